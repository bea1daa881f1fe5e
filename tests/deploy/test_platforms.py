"""The overlays for Istio and Envoy Gateway: custom resources, and the module's configuration in them."""

from __future__ import annotations

import functools
import json
import operator
import os
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import envoy
from stack.render import CHECKOUT, ca_file, named, plugin_of
from stack.stack import WASM

from . import definitions
from .kustomize import KUBERNETES, Manifest, build, is_custom, kustomize, of_kind

ENVOY_GATEWAYS = ["overlays/envoy-gateway", "overlays/envoy-gateway-transparent"]
ISTIOS = ["overlays/istio", "overlays/istio-sidecar", "overlays/istio-transparent"]
PLATFORMS = [*ENVOY_GATEWAYS, *ISTIOS]
MORE = {
    "overlays/envoy-gateway": ["envoy-gateway/module-file", "envoy-gateway/signed-reads"],
    "overlays/envoy-gateway-transparent": ["envoy-gateway-transparent/module-file"],
    **{overlay: ["istio/module-file"] for overlay in ISTIOS},
}
"""The components of an overlay. They stand behind `names`, in this order."""
CONFIGURATION = CHECKOUT / "envoy" / "configuration"
EDGE = yaml.safe_load((CONFIGURATION / "edge.yaml").read_text())
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

Where = tuple[str | int, ...]


def patch_of(overlay: str, kind: str, match: dict[str, Any]) -> Any:
    """Returns what the one patch does that has these fields: of an EnvoyFilter or an EnvoyPatchPolicy."""
    (policy,) = of_kind(build(overlay), kind)
    patches = policy["spec"].get("configPatches") or policy["spec"]["jsonPatches"]
    (found,) = [each for each in patches if match.items() <= each.items()]
    return found.get("patch", found.get("operation"))["value"]


def istio_s_plugin(overlay: str = "overlays/istio") -> dict[str, Any]:
    value = patch_of(overlay, "EnvoyFilter", {"applyTo": "EXTENSION_CONFIG"})
    return value["typed_config"]["config"]


def configuration(overlay: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the module's configuration, and the variables of its VM."""
    if overlay in ISTIOS:
        plugin = istio_s_plugin(overlay)
        variables = plugin["vm_config"]["environment_variables"]["key_values"]
        return json.loads(plugin["configuration"]["value"]), variables
    (plugin,) = of_kind(build(overlay), "EnvoyExtensionPolicy")
    return plugin["spec"]["wasm"][0]["config"], {}


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_the_module_takes_the_configuration_of_a_platform(tmp_path: Path, overlay: str) -> None:
    """Envoy itself confirms it, with that configuration in place of the shipped one."""
    config, variables = configuration(overlay)
    edge = yaml.safe_load(
        (CONFIGURATION / "edge.yaml").read_text().replace("/etc/ssl/certs/ca-certificates.crt", ca_file())
    )
    module = plugin_of(edge)
    module["configuration"]["value"] = json.dumps(config)
    module["vm_config"]["code"]["local"]["filename"] = str(WASM)
    module["vm_config"]["environment_variables"] = {"key_values": variables}
    file = tmp_path / "edge.json"
    file.write_text(json.dumps(edge))
    argv = [envoy.binary(), "--mode", "validate", "--disable-hot-restart", "-c", file]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_the_clusters_that_a_platform_s_plugin_names_exist(overlay: str) -> None:
    config, variables = configuration(overlay)
    named = [config[service]["cluster"] for service in ("bucket", "origin")]
    assert {variables[each["env"]] if isinstance(each, dict) else each for each in named} <= clusters(overlay)


def clusters(overlay: str) -> set[str]:
    patches = [
        patch
        for policy in of_kind(build(overlay), "EnvoyPatchPolicy")
        for patch in policy["spec"]["jsonPatches"]
    ]
    hosts = {
        (entry["spec"]["hosts"][0], entry["spec"]["ports"][0]["number"])
        for entry in of_kind(build(overlay), "ServiceEntry")
    }
    for service in of_kind(build(overlay), "Service"):
        meta = service["metadata"]
        hosts.add(
            (f"{meta['name']}.{meta['namespace']}.svc.cluster.local", service["spec"]["ports"][0]["port"])
        )
    return {patch["name"] for patch in patches} | {f"outbound|{port}||{host}" for host, port in hosts}


# One place for the names of a site.

NAMES = {
    "APPLICATION": "till",
    "APPLICATION_NAMESPACE": "tills",
    "AWS_REGION": "us-east-2",
    "BUCKET": "photos",
    "GATEWAY": "gates",
    "GATEWAY_CLASS": "classy",
    "GATEWAY_NAMESPACE": "gates-system",
    "MODULE_IMAGE": "oci://registry.example.org/module@sha256:00",
    "ORIGIN": "https://old.example.org",
    "PUBLIC_HOST": "new.example.org",
    "STORE": "https://store.example.org",
}


def named_site(directory: Path, overlay: str, more: list[str]) -> list[Manifest]:
    """Builds an overlay as docs/deploy-kubernetes.md does it: a component with the settings, and the one that
    writes them.
    """
    (directory / "settings").mkdir()
    literals = [f"{name}={value}" for name, value in NAMES.items()]
    generator = {"name": "mirror-on-miss-settings", "namespace": "mirror-on-miss", "behavior": "merge"}
    component = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "configMapGenerator": [{**generator, "literals": literals}],
    }
    (directory / "settings" / "kustomization.yaml").write_text(json.dumps(component))
    ours = os.path.relpath(KUBERNETES, directory.resolve())
    components = ["settings", f"{ours}/{overlay}/names", *(f"{ours}/overlays/{name}" for name in more)]
    site = {"kind": "Kustomization", "resources": [f"{ours}/{overlay}"], "components": components}
    (directory / "kustomization.yaml").write_text(json.dumps(site))
    return kustomize(directory)


@pytest.mark.parametrize("components", ["names", "all"])
@pytest.mark.parametrize("overlay", PLATFORMS)
def test_the_names_of_a_site_stand_in_one_place(tmp_path: Path, overlay: str, components: str) -> None:
    more = MORE[overlay] if components == "all" else []
    manifests = named_site(tmp_path, overlay, more)
    text = json.dumps([each for each in manifests if not is_shipped(each)])
    for example in ("eu-west-1", "files.example", "my-bucket", "registry.example.com"):
        assert example not in text
    for example in ('"eg"', '"envoy-gateway-system"', '["ingress"]', '"istio": "ingress"', '"istio-ingress"'):
        assert example not in text
    assert '"shop"' not in text
    assert "/photos" in text
    for name in ("ORIGIN", "STORE", "PUBLIC_HOST"):
        value = NAMES[name].partition("//")[2] or NAMES[name]
        # An application asks for the store's host.
        assert value in text or (overlay, name) == ("overlays/istio-sidecar", "PUBLIC_HOST")
    if "istio/module-file" not in more:
        assert "module@sha256:00" in text


def is_shipped(manifest: Manifest) -> bool:
    return manifest["metadata"]["name"].startswith("mirror-on-miss-configuration-")


# What is the edge's, too.


@pytest.mark.parametrize("overlay", ISTIOS)
def test_the_filter_of_istio_is_the_edge_s(overlay: str) -> None:
    edge = plugin_of(EDGE)
    for name in ("name", "root_id", "failure_policy", "allow_on_headers_stop_iteration"):
        assert istio_s_plugin(overlay)[name] == edge[name]
    for name in ("vm_id", "runtime"):
        assert istio_s_plugin(overlay)["vm_config"][name] == edge["vm_config"][name]


@pytest.mark.parametrize(("overlay", "name"), list(zip(ENVOY_GATEWAYS, ["http", "miss"], strict=True)))
def test_the_filter_of_envoy_gateway_is_the_edge_s(overlay: str, name: str) -> None:
    """By patches of the listener that has the module, where the EnvoyExtensionPolicy has no field."""
    (policy,) = of_kind(build(overlay), "EnvoyPatchPolicy")
    listeners = [
        patch for patch in policy["spec"]["jsonPatches"] if patch["type"].endswith(".listener.v3.Listener")
    ]
    (gateway,) = of_kind(build(overlay), "Gateway")
    meta, listener = gateway["metadata"], named(gateway["spec"]["listeners"], name)
    edge = plugin_of(EDGE)
    for patch in listeners:
        assert patch["name"] == f"{meta['namespace']}/{meta['name']}/{listener['name']}"
        field = patch["operation"]["path"].rpartition("/")[2]
        assert patch["operation"]["value"] == edge[field]
    assert len(listeners) == 2


def test_an_origin_is_called_as_the_edge_does() -> None:
    edge = named(EDGE["static_resources"]["clusters"], "origin")
    expected = {"typed_extension_protocol_options": edge["typed_extension_protocol_options"]}
    for overlay, context in (("istio", "GATEWAY"), ("istio-sidecar", "SIDECAR_OUTBOUND")):
        service = {"service": "files.example.com", "portNumber": 443}
        match = {"applyTo": "CLUSTER", "match": {"context": context, "cluster": service}}
        assert patch_of(f"overlays/{overlay}", "EnvoyFilter", match) == expected
    gateway = patch_of("overlays/envoy-gateway", "EnvoyPatchPolicy", {"name": "origin"})
    assert gateway == edge


@pytest.mark.parametrize("overlay", ["overlays/istio", "overlays/envoy-gateway"])
def test_the_bucket_is_told_what_the_edge_tells_it(overlay: str) -> None:
    """And clients get no word of where an object comes from."""
    clusters = EDGE["static_resources"]["clusters"]
    edge = deepcopy(named(clusters, "bucket")["typed_extension_protocol_options"])
    filters = edge[OPTIONS]["http_filters"]
    filters.remove(named(filters, "envoy.filters.http.aws_request_signing"))
    if overlay == "overlays/istio":
        service = {"service": "s3.eu-west-1.amazonaws.com", "portNumber": 443}
        match = {"applyTo": "CLUSTER", "match": {"context": "GATEWAY", "cluster": service}}
        found = patch_of(overlay, "EnvoyFilter", match)["typed_extension_protocol_options"]
    else:
        name = "httproute/mirror-on-miss/mirror-on-miss/rule/0"
        found = patch_of(overlay, "EnvoyPatchPolicy", {"name": name})
    assert found == edge


def test_signed_reads_of_envoy_gateway_are_the_edge_s(tmp_path: Path) -> None:
    overlay = "overlays/envoy-gateway"
    manifests = named_site(tmp_path, overlay, MORE[overlay])
    (policy,) = of_kind(manifests, "EnvoyPatchPolicy")
    patches = [each["operation"] for each in policy["spec"]["jsonPatches"]]
    options, signing = patches[2:4]
    names = [each["name"] for each in options["value"][OPTIONS]["http_filters"]]
    edge = named(EDGE["static_resources"]["clusters"], "bucket")["typed_extension_protocol_options"]
    # Where the patch puts it.
    names.insert(int(signing["path"].rpartition("/")[2]), signing["value"]["name"])
    assert names == [each["name"] for each in edge[OPTIONS]["http_filters"]]
    assert signing["value"]["typed_config"]["region"] == NAMES["AWS_REGION"]
    routes = [each["value"]["name"] for each in patches if each["path"] == "routes/0"]
    shipped = EDGE["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    order = [each["name"] for each in shipped["route_config"]["virtual_hosts"][0]["routes"]]
    # The last one is the first route.
    assert routes[::-1] == [name for name in order if name in routes]
    assert set(order) - set(routes) == {"preflight", "no-content", "current-directory", "object"}
    (proxy,) = of_kind(manifests, "EnvoyProxy")
    deployment = proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]
    mounted = {each["name"]: each["mountPath"] for each in deployment["container"]["volumeMounts"]}
    assert mounted == {"module": "/opt/module", "reader": "/etc/mirror-on-miss"}
    assert {each["name"] for each in deployment["pod"]["volumes"]} == set(mounted)


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_a_module_from_a_file_is_the_edge_s_filter(tmp_path: Path, overlay: str) -> None:
    """With its matcher, so that hits pass no WebAssembly, and with nothing that a registry is asked for."""
    manifests = named_site(tmp_path, overlay, MORE[overlay][:1])
    assert of_kind(manifests, "EnvoyExtensionPolicy") == []
    (policy,) = [each for each in manifests if each["kind"] in ("EnvoyFilter", "EnvoyPatchPolicy")]
    assert "EXTENSION_CONFIG" not in json.dumps(policy)
    assert "oci://" not in json.dumps(policy)
    manager = EDGE["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    edge = named(manager["http_filters"], "mirror_on_miss")["typed_config"]
    found = with_matcher(policy)
    assert found["xds_matcher"] == edge["xds_matcher"]
    wasm = found["extension_config"]["typed_config"]["config"]
    assert wasm["vm_config"]["code"] == {"local": {"filename": "/opt/module/plugin.wasm"}}
    for name in ("name", "root_id", "failure_policy", "allow_on_headers_stop_iteration"):
        assert wasm[name] == plugin_of(EDGE)[name]
    configuration = json.loads(wasm["configuration"]["value"])
    variables = wasm["vm_config"]["environment_variables"]["key_values"]
    assert {each["env"] for each in values(configuration) if "env" in each} == set(variables)


def with_matcher(node: Any) -> Any:
    """Returns the one filter that has a matcher around it."""
    found = [each for each in values(node) if "xds_matcher" in each]
    assert len(found) == 1
    return found[0]


def values(node: Any) -> Iterator[dict[str, Any]]:
    """Returns every object of a document."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from values(inner)


def test_the_edge_s_second_attempt_is_envoy_gateway_s() -> None:
    edge = yaml.safe_load((CONFIGURATION / "transparent.yaml").read_text())
    manager = edge["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    route = named(manager["route_config"]["virtual_hosts"][0]["routes"], "object")["route"]
    policies = of_kind(build("overlays/envoy-gateway-transparent"), "BackendTrafficPolicy")
    retry = next(each for each in policies if each["metadata"]["name"] == "mirror-on-miss")["spec"]["retry"]
    assert retry["numRetries"] == route["retry_policy"]["num_retries"]
    assert retry["retryOn"]["httpStatusCodes"] == route["retry_policy"]["retriable_status_codes"]


def test_metrics_have_the_edge_s_labels() -> None:
    (bootstrap,) = [
        each
        for each in of_kind(build("overlays/istio"), "ConfigMap")
        if each["metadata"]["name"] == "mirror-on-miss-bootstrap"
    ]
    assert json.loads(bootstrap["data"]["custom_bootstrap.json"]) == {"stats_config": EDGE["stats_config"]}
    (proxy,) = of_kind(build("overlays/envoy-gateway"), "EnvoyProxy")
    patches = proxy["spec"]["bootstrap"]["jsonPatches"]
    assert [patch["value"] for patch in patches] == EDGE["stats_config"]["stats_tags"]


def test_an_access_log_has_the_edge_s_fields() -> None:
    """No query and no header of a client, which may be secrets; Envoy Gateway's own has them."""
    manager = EDGE["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (log,) = manager["access_log"]
    (proxy,) = of_kind(build("overlays/envoy-gateway"), "EnvoyProxy")
    (settings,) = proxy["spec"]["telemetry"]["accessLog"]["settings"]
    assert settings["format"]["json"] == log["typed_config"]["log_format"]["json_format"]


def test_clients_of_a_dead_vm_are_answered_when_the_edge_would() -> None:
    manager = EDGE["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    route = patch_of("overlays/istio", "EnvoyFilter", {"applyTo": "HTTP_ROUTE"})["route"]
    assert route == {"idle_timeout": manager["stream_idle_timeout"]}
    (policy,) = of_kind(build("overlays/envoy-gateway"), "BackendTrafficPolicy")
    assert policy["spec"]["timeout"]["http"]["streamIdleTimeout"] == manager["stream_idle_timeout"]


# Rules of the platforms that no definition in npm has: the API server evaluates them in CEL.


@pytest.mark.parametrize("overlay", ISTIOS)
def test_istio_takes_no_timeout_of_zero(overlay: str) -> None:
    """`duration must be greater than 1ms`: x-kubernetes-validations of HTTPRoute.timeout, Istio 1.29."""
    for service in of_kind(build(overlay), "VirtualService"):
        for route in service["spec"]["http"]:
            assert "timeout" not in route


@pytest.mark.parametrize("overlay", ISTIOS)
def test_istio_checks_the_names_of_certificates(overlay: str) -> None:
    """With an explicit `sni` pilot sends neither auto_sni nor auto_san_validation."""
    rules = of_kind(build(overlay), "DestinationRule")
    for rule in rules:
        assert set(rule["spec"]["trafficPolicy"]["tls"]) == {"mode"}
    assert [rule["spec"]["trafficPolicy"]["tls"]["mode"] for rule in rules].count("SIMPLE") == 2


def test_other_hosts_of_an_istio_gateway_never_meet_the_filter() -> None:
    """A WasmPlugin is for all of them: 404s of other applications went to the origin."""
    assert of_kind(build("overlays/istio"), "WasmPlugin") == []
    inserted = patch_of("overlays/istio", "EnvoyFilter", {"applyTo": "HTTP_FILTER"})
    assert inserted["disabled"] is True
    (envoy_filter,) = of_kind(build("overlays/istio"), "EnvoyFilter")
    (turned_on,) = [each for each in envoy_filter["spec"]["configPatches"] if each["applyTo"] == "HTTP_ROUTE"]
    (service,) = of_kind(build("overlays/istio"), "VirtualService")
    (route,) = service["spec"]["http"]
    assert turned_on["match"]["routeConfiguration"]["vhost"]["route"]["name"] == route["name"]
    assert set(turned_on["patch"]["value"]["typed_per_filter_config"]) == {inserted["name"]}


def test_the_inner_listener_of_istio_is_reached_by_nobody_else() -> None:
    """It has the module on every route, and so it is on loopback, and the filter in it alone."""
    (inner,) = [
        gateway["spec"]["servers"][0]
        for gateway in of_kind(build("overlays/istio-transparent"), "Gateway")
        if gateway["metadata"]["name"] == "mirror-on-miss-inner"
    ]
    assert inner["bind"] == "127.0.0.1"
    (envoy_filter,) = of_kind(build("overlays/istio-transparent"), "EnvoyFilter")
    patches = envoy_filter["spec"]["configPatches"]
    narrowed = [each for each in patches if each["applyTo"] in ("HTTP_FILTER", "NETWORK_FILTER")]
    assert len(narrowed) == 2
    for patch in narrowed:
        assert patch["match"]["listener"]["portNumber"] == inner["port"]["number"]


def test_a_sidecar_changes_nothing_for_others() -> None:
    """A host of a VirtualService or a ServiceEntry is otherwise one for every sidecar of the mesh. A filter
    by the port alone would be in a captured listener, too.
    """
    manifests = build("overlays/istio-sidecar")
    for kind in ("DestinationRule", "ServiceEntry", "VirtualService"):
        assert all(each["spec"]["exportTo"] == ["."] for each in of_kind(manifests, kind))
    (sidecar,) = of_kind(manifests, "Sidecar")
    (envoy_filter,) = of_kind(manifests, "EnvoyFilter")
    application = sidecar["spec"]["workloadSelector"]["labels"]
    assert envoy_filter["spec"]["workloadSelector"]["labels"] == application
    (service,) = of_kind(manifests, "VirtualService")
    route, rest = service["spec"]["http"]
    assert all(each["sourceLabels"] == application for each in route["match"])
    assert "match" not in rest
    inner, others = sidecar["spec"]["egress"]
    assert (inner["bind"], inner["captureMode"], others) == ("127.0.0.1", "NONE", {"hosts": ["*/*"]})
    listeners = {
        patch["match"]["listener"]["name"]
        for patch in envoy_filter["spec"]["configPatches"]
        if patch["applyTo"] in ("HTTP_FILTER", "NETWORK_FILTER")
    }
    assert listeners == {f"{inner['bind']}_{inner['port']['number']}"}


@pytest.mark.parametrize("overlay", ISTIOS)
def test_istio_s_analyzer_finds_a_priority(overlay: str) -> None:
    """IST0151: an EnvoyFilter with a place before another filter and no priority may not be applied."""
    (envoy_filter,) = of_kind(build(overlay), "EnvoyFilter")
    assert envoy_filter["spec"]["priority"] > 0


def test_a_route_of_istio_turns_the_filter_on_in_envoy_1_40() -> None:
    """It refuses a route's configuration of a filter that has none for routes, unless it is optional."""
    (envoy_filter,) = of_kind(build("overlays/istio"), "EnvoyFilter")
    (patch,) = [each for each in envoy_filter["spec"]["configPatches"] if each["applyTo"] == "HTTP_ROUTE"]
    (turned_on,) = patch["patch"]["value"]["typed_per_filter_config"].values()
    assert turned_on["is_optional"] is True


def test_a_replaced_prefix_of_gateway_api_has_one_match() -> None:
    """`exactly one PathPrefix match must be specified`: x-kubernetes-validations of HTTPRoute. Envoy Gateway
    also drops the slash at its end, so that the bucket's name and the key become one.
    """
    for route in of_kind(build("overlays/envoy-gateway"), "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            rewrites = [each["urlRewrite"] for each in rule["filters"] if each["type"] == "URLRewrite"]
            assert all("path" not in rewrite for rewrite in rewrites)
    (path,) = [
        each["spec"]["urlRewrite"]["path"]
        for each in of_kind(build("overlays/envoy-gateway"), "HTTPRouteFilter")
    ]
    rewrite = path["replaceRegexMatch"]
    assert (rewrite["pattern"], rewrite["substitution"]) == ("^/", "/my-bucket/")


@pytest.mark.parametrize("overlay", ENVOY_GATEWAYS)
def test_gateway_api_s_defaults_within_lists_are_spelled_out(overlay: str) -> None:
    """Otherwise a second apply is no `unchanged`, and server-side apply a conflict."""
    for route in of_kind(build(overlay), "HTTPRoute"):
        assert all({"group", "kind"} <= set(parent) for parent in route["spec"]["parentRefs"])
        references = [reference for rule in route["spec"]["rules"] for reference in rule["backendRefs"]]
        assert all("weight" in reference for reference in references)
    for gateway in of_kind(build(overlay), "Gateway"):
        for listener in gateway["spec"]["listeners"]:
            assert listener["allowedRoutes"] == {"namespaces": {"from": "Same"}}


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_custom_resources_fit_their_definitions(overlay: str) -> None:
    manifests = custom_resources(overlay)
    assert definitions.problems(manifests) == [[] for _ in manifests]


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_an_unknown_field_is_found_wherever_it_is(overlay: str) -> None:
    wrong = [
        changed(manifest, (*path, "unheardOf"), {})
        for manifest in custom_resources(overlay)
        for path, value in defined(manifest)
        if isinstance(value, dict)
    ]
    assert_found(wrong)


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_a_value_of_another_type_is_found_wherever_it_is(overlay: str) -> None:
    wrong = [
        changed(manifest, path, "text" if isinstance(value, (dict, list)) else [])
        for manifest in custom_resources(overlay)
        for path, value in defined(manifest)
        if path and path[0] not in ("apiVersion", "kind")
    ]
    assert_found(wrong)


def custom_resources(overlay: str) -> list[Manifest]:
    return [manifest for manifest in build(overlay) if is_custom(manifest)]


def defined(value: Any, path: Where = ()) -> Iterator[tuple[Where, Any]]:
    """Returns a manifest without the parts that its definition leaves open: a configuration, clusters of
    Envoy.
    """
    patched = {"configPatches", "jsonPatches"} & set(path) and path[-1:] == ("value",)
    open_config = isinstance(value, dict) and path[-1:] == ("config",)
    # What definitions.mjs lets pass as newer than the package.
    if patched or open_config or path[-1:] == ("streamIdleTimeout",):
        return
    yield path, value
    if isinstance(value, (dict, list)):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from defined(inner, (*path, name))


def changed(manifest: Manifest, path: Where, value: Any) -> tuple[str, Manifest]:
    """Returns the manifest with that value at that JSON pointer."""
    copy = deepcopy(manifest)
    *parents, name = path
    functools.reduce(operator.getitem, parents, copy)[name] = value
    return "".join(f"/{each}".replace("/", "~1").replace("~1", "/", 1) for each in path), copy


def assert_found(wrong: list[tuple[str, Manifest]]) -> None:
    found = definitions.problems([manifest for _, manifest in wrong])
    for (pointer, _), problems in zip(wrong, found, strict=True):
        assert any(problem.startswith(f"{pointer}: ") for problem in problems), (pointer, problems)
