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
ISTIOS = ["overlays/istio", "overlays/istio-transparent"]
PLATFORMS = [*ENVOY_GATEWAYS, *ISTIOS]
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


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_the_names_of_a_site_stand_in_one_place(tmp_path: Path, overlay: str) -> None:
    """As docs/deploy-kubernetes.md does it: a component with the settings, and the one that writes them."""
    (tmp_path / "settings").mkdir()
    literals = [f"{name}={value}" for name, value in NAMES.items()]
    generator = {"name": "mirror-on-miss-settings", "namespace": "mirror-on-miss", "behavior": "merge"}
    component = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "configMapGenerator": [{**generator, "literals": literals}],
    }
    (tmp_path / "settings" / "kustomization.yaml").write_text(json.dumps(component))
    ours = os.path.relpath(KUBERNETES / overlay, tmp_path.resolve())
    site = {"kind": "Kustomization", "resources": [ours], "components": ["settings", f"{ours}/names"]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(site))
    text = json.dumps([each for each in kustomize(tmp_path) if not is_shipped(each)])
    for example in ("eu-west-1", "files.example", "my-bucket", "registry.example.com"):
        assert example not in text
    for example in ('"eg"', '"envoy-gateway-system"', '["ingress"]', '"istio": "ingress"', '"istio-ingress"'):
        assert example not in text
    for value in ("/photos", "old.example.org", "store.example.org", "new.example.org", "module@sha256:00"):
        assert value in text


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
    module = "..http_filters[?@.typed_config.config.root_id=='mirror_on_miss']"
    listeners = [
        patch for patch in policy["spec"]["jsonPatches"] if patch["operation"].get("jsonPath") == module
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
    istio = patch_of("overlays/istio", "EnvoyFilter", {"applyTo": "CLUSTER"})
    expected = edge["typed_extension_protocol_options"]
    assert istio == {"typed_extension_protocol_options": expected}
    gateway = patch_of("overlays/envoy-gateway", "EnvoyPatchPolicy", {"name": "origin"})
    assert gateway == {name: value for name, value in edge.items() if name not in BUFFERS}


BUFFERS = {"per_connection_buffer_limit_bytes"}
"""Bounds of the edge's own memory, beside the limits of its listeners. A gateway has its own."""


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


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_old_clients_are_served(overlay: str) -> None:
    """They speak HTTP/1.0, or offer TLS. Other hosts of an Istio gateway keep their WebSockets."""
    ignored = [{"safe_regex": {"regex": "(?i)tls/.*"}}]
    if overlay in ISTIOS:
        (policy,) = of_kind(build(overlay), "EnvoyFilter")
        managers = [each for each in policy["spec"]["configPatches"] if each["applyTo"] == "NETWORK_FILTER"]
        of_clients = [each for each in managers if each["match"]["listener"]["portNumber"] == 80]
        (options,) = (each["patch"]["value"]["typed_config"]["http_protocol_options"] for each in of_clients)
        assert (options["accept_http_10"], options["ignore_http_11_upgrade"]) == (True, ignored)
        return
    (policy,) = of_kind(build(overlay), "ClientTrafficPolicy")
    assert policy["spec"]["http1"] == {"http10": {}}
    (patches,) = of_kind(build(overlay), "EnvoyPatchPolicy")
    path = "typed_config/http_protocol_options/ignore_http_11_upgrade"
    by_path = {each["operation"].get("path"): each for each in patches["spec"]["jsonPatches"]}
    assert by_path[path]["name"].endswith("/http")
    assert by_path[path]["operation"]["value"] == ignored


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
    narrowed = [
        each
        for each in patches
        if each["applyTo"] == "HTTP_FILTER"
        or (each["applyTo"] == "NETWORK_FILTER" and "stream_idle_timeout" in json.dumps(each))
    ]
    assert len(narrowed) == 2
    for patch in narrowed:
        assert patch["match"]["listener"]["portNumber"] == inner["port"]["number"]


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
    return "".join(f"/{each}" for each in path), copy


def assert_found(wrong: list[tuple[str, Manifest]]) -> None:
    found = definitions.problems([manifest for _, manifest in wrong])
    for (pointer, _), problems in zip(wrong, found, strict=True):
        assert any(problem.startswith(f"{pointer}: ") for problem in problems), (pointer, problems)
