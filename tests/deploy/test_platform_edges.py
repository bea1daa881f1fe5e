"""What Istio's and Envoy Gateway's overlays have in common with the shipped edge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import headers
from stack.render import named, plugin_of

from .kustomize import build, of_kind, only
from .platforms import (
    CONFIGURATION,
    EDGE,
    ENVOY_GATEWAYS,
    ISTIOS,
    MORE,
    NAMES,
    OPTIONS,
    PLATFORMS,
    configuration,
    istio_s_plugin,
    named_site,
    patch_of,
)


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


def test_the_bucket_is_told_what_the_transparent_edge_tells_it() -> None:
    """By each of the two clusters that are the bucket's."""
    edge = yaml.safe_load((CONFIGURATION / "transparent.yaml").read_text())
    options = named(edge["static_resources"]["clusters"], "bucket")["typed_extension_protocol_options"]
    expected = named(options[OPTIONS]["http_filters"], "envoy.filters.http.header_mutation")
    for route in ("mirror-on-miss", "mirror-on-miss-miss"):
        match = {"name": f"httproute/mirror-on-miss/{route}/rule/0"}
        patches = [each["value"] for each in patches_of("overlays/envoy-gateway-transparent", match)]
        (found,) = [each for each in patches if isinstance(each, dict)]
        assert named(found[OPTIONS]["http_filters"], expected["name"]) == expected


def patches_of(overlay: str, match: dict[str, str]) -> list[dict[str, Any]]:
    (policy,) = of_kind(build(overlay), "EnvoyPatchPolicy")
    patches = policy["spec"]["jsonPatches"]
    return [each["operation"] for each in patches if match.items() <= each.items()]


def test_the_bucket_is_told_what_an_application_signs_and_the_list() -> None:
    service = {"service": "s3.eu-west-1.amazonaws.com", "portNumber": 10002}
    match = {"applyTo": "CLUSTER", "match": {"context": "SIDECAR_OUTBOUND", "cluster": service}}
    found = patch_of("overlays/istio-sidecar", "EnvoyFilter", match)["typed_extension_protocol_options"]
    script, mutation, _ = found[OPTIONS]["http_filters"]
    source = script["typed_config"]["default_source_code"]["inline_string"]
    names = set(re.findall(r'\["([a-z0-9-]+)"\] = true', source))
    table = {*headers.listed("client, bucket", "application, bucket"), "x-request-id"}
    assert names == table - {"x-amz-*"}
    assert 'name:find("^x%-amz%-")' in source
    assert "SignedHeaders=" in source
    edge = named(EDGE["static_resources"]["clusters"], "bucket")["typed_extension_protocol_options"]
    of_edge = named(edge[OPTIONS]["http_filters"], "envoy.filters.http.header_mutation")["typed_config"]
    assert mutation["typed_config"]["mutations"] == {
        "response_mutations": of_edge["mutations"]["response_mutations"]
    }


OBJECT = {
    "applyTo": "HTTP_ROUTE",
    "match": {"context": "GATEWAY", "routeConfiguration": {"vhost": {"route": {"name": "mirror-on-miss"}}}},
}
AGAINST_CONTENT = ["whole-request", "no-content"]


def content_filters() -> list[dict[str, Any]]:
    manager = EDGE["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return [named(manager["http_filters"], name)["typed_config"] for name in AGAINST_CONTENT]


@pytest.mark.parametrize("overlay", ISTIOS)
def test_content_in_a_read_is_refused_by_istio(overlay: str) -> None:
    (policy,) = of_kind(build(overlay), "EnvoyFilter")
    patches = [each["patch"]["value"] for each in policy["spec"]["configPatches"]]
    filters = [each for each in patches if "name" in each]
    found = [named(filters, f"mirror-on-miss-{name}") for name in AGAINST_CONTENT]
    assert [each["typed_config"] for each in found] == content_filters()
    if overlay == "overlays/istio":
        route = patch_of(overlay, "EnvoyFilter", OBJECT)["typed_per_filter_config"]
        whole, none = (route[f"mirror-on-miss-{name}"] for name in AGAINST_CONTENT)
        assert whole["buffer"]["max_request_bytes"] == content_filters()[0]["max_request_bytes"]
        assert none["rbac"]["rules"] == content_filters()[1]["rules"]


@pytest.mark.parametrize(
    ("overlay", "listeners"), list(zip(ENVOY_GATEWAYS, [["http"], ["http", "miss"]], strict=True))
)
def test_content_in_a_read_is_refused_by_envoy_gateway(overlay: str, listeners: list[str]) -> None:
    """The later patch is the earlier filter."""
    for listener in listeners:
        patches = patches_of(overlay, {"name": f"mirror-on-miss/mirror-on-miss/{listener}"})
        added = [each["value"] for each in patches if each["path"] == "http_filters/0"]
        added = [each for each in added if each["name"] in AGAINST_CONTENT]
        assert [each["name"] for each in added] == AGAINST_CONTENT[::-1]
        assert [each["typed_config"] for each in added[::-1]] == content_filters()


def test_each_cluster_of_the_transparent_overlay_is_patched_for_itself() -> None:
    """The bucket's, which has the listener `miss` as its fallback, and the one behind that listener."""
    (policy,) = of_kind(build("overlays/envoy-gateway-transparent"), "EnvoyPatchPolicy")
    route = "httproute/mirror-on-miss/mirror-on-miss"
    patched = [
        (each["name"].removeprefix(route), each["operation"]["path"].partition("/")[2].partition("/")[0])
        for each in policy["spec"]["jsonPatches"]
        if each["name"].startswith(route)
    ]
    assert sorted(patched) == [
        ("-miss/rule/0", "typed_extension_protocol_options"),
        ("/rule/0", "load_assignment"),
        ("/rule/0", "typed_extension_protocol_options"),
    ]


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
    routes = [each["value"]["name"] for each in patches if each["path"] == "routes/1"]
    shipped = EDGE["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    order = [each["name"] for each in shipped["route_config"]["virtual_hosts"][0]["routes"]]
    # The last one is the first route.
    assert routes[::-1] == [name for name in order if name in routes]
    assert set(routes) == {"read-only", "no-dot-segments", "bucket-root", "not-implemented"}
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
    own = json.loads(wasm["configuration"]["value"])
    variables = wasm["vm_config"]["environment_variables"]["key_values"]
    assert {each["env"] for each in values(own) if "env" in each} == set(variables)


def with_matcher(node: Any) -> Any:
    """Returns the one filter that has a matcher around it."""
    found = [each for each in values(node) if {"xds_matcher", "extension_config"} <= set(each)]
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


@pytest.mark.parametrize("overlay", ["overlays/istio", "overlays/istio-transparent"])
def test_old_clients_of_istio_are_served(overlay: str) -> None:
    """They speak HTTP/1.0, or offer TLS. Other hosts of the gateway keep their WebSockets."""
    (policy,) = of_kind(build(overlay), "EnvoyFilter")
    managers = [each for each in policy["spec"]["configPatches"] if each["applyTo"] == "NETWORK_FILTER"]
    of_clients = [each for each in managers if each["match"]["listener"].get("portNumber") == 80]
    (options,) = (each["patch"]["value"]["typed_config"]["http_protocol_options"] for each in of_clients)
    assert options == {"accept_http_10": True, "ignore_http_11_upgrade": OFFERS_OF_TLS}


@pytest.mark.parametrize("overlay", ENVOY_GATEWAYS)
def test_old_clients_of_envoy_gateway_are_served(overlay: str) -> None:
    (policy,) = of_kind(build(overlay), "ClientTrafficPolicy")
    assert policy["spec"]["http1"] == {"http10": {}}
    (patches,) = of_kind(build(overlay), "EnvoyPatchPolicy")
    path = "typed_config/http_protocol_options/ignore_http_11_upgrade"
    by_path = {each["operation"].get("path"): each for each in patches["spec"]["jsonPatches"]}
    assert by_path[path]["name"].endswith("/http")
    assert by_path[path]["operation"]["value"] == OFFERS_OF_TLS


OFFERS_OF_TLS = [{"safe_regex": {"regex": "(?i)tls/.*"}}]


def test_clients_of_a_dead_vm_are_answered_when_the_edge_would() -> None:
    manager = EDGE["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    route = patch_of("overlays/istio", "EnvoyFilter", OBJECT)["route"]
    assert route == {"idle_timeout": manager["stream_idle_timeout"]}
    (policy,) = of_kind(build("overlays/envoy-gateway"), "BackendTrafficPolicy")
    assert policy["spec"]["timeout"]["http"]["streamIdleTimeout"] == manager["stream_idle_timeout"]


@pytest.mark.parametrize("overlay", ENVOY_GATEWAYS)
def test_a_page_of_any_site_may_read_through_envoy_gateway(overlay: str) -> None:
    patches = patches_of(overlay, {"name": "mirror-on-miss/mirror-on-miss/http"})
    manager = EDGE["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    by_path = {each["path"]: each["value"] for each in patches if "value" in each}
    assert by_path["typed_config/local_reply_config"] == manager["local_reply_config"]
    assert by_path["http_filters/0"] == named(manager["http_filters"], "any-site")
    routes = [each for each in patches if each["path"] == "/virtual_hosts/0/routes/0" and "value" in each]
    last = routes[-1]["value"]
    assert last == named(routes_of_edge(), "preflight")


# Streams.

TAGS = ["if-match", "if-range", "if-none-match"]


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_clients_are_passed_to_origins_as_the_edge_does_it(overlay: str) -> None:
    """But for an application's sidecar, of which each page and overlay says why."""
    found, variables = configuration(overlay)
    if overlay == "overlays/istio-sidecar":
        assert "stream" not in found
        assert "stream_cluster" not in found["origin"]
        return
    assert found["stream"] == json.loads(plugin_of(EDGE)["configuration"]["value"])["stream"]
    cluster = found["origin"]["stream_cluster"]
    assert variables.get("STREAM_CLUSTER", cluster) == (
        "outbound|443|streams|files.example.com" if overlay in ISTIOS else "origin-streams"
    )


def routes_of_edge() -> list[dict[str, Any]]:
    manager = EDGE["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return manager["route_config"]["virtual_hosts"][0]["routes"]


@pytest.mark.parametrize("overlay", ENVOY_GATEWAYS)
def test_streams_of_envoy_gateway_are_the_edge_s(overlay: str) -> None:
    clusters = EDGE["static_resources"]["clusters"]
    assert patch_of(overlay, "EnvoyPatchPolicy", {"name": "origin-streams"}) == named(
        clusters, "origin-streams"
    )
    listener = "http" if overlay == ENVOY_GATEWAYS[0] else "miss"
    patches = patches_of(overlay, {"name": f"mirror-on-miss/mirror-on-miss/{listener}"})
    (stream,) = [each["value"] for each in patches if "cluster_header" in json.dumps(each)]
    (stream,) = stream.get("routes", [stream])
    assert stream.pop("response_headers_to_remove") == ["x-envoy-upstream-service-time"]
    assert stream == named(routes_of_edge(), "stream")
    names = [each["value"] for each in patches if each["path"].endswith("/0/name")]
    order = [each["name"] for each in routes_of_edge() if each["name"] in names]
    # The last one is the first route.
    assert names[::-1] == order == ["marked", *(f"object-{tag}" for tag in TAGS)]


@pytest.mark.parametrize("overlay", ["overlays/istio", "overlays/istio-transparent"])
def test_the_bucket_of_istio_is_never_asked_with_the_tag_of_a_stream(overlay: str) -> None:
    name = "mirror-on-miss" if overlay == "overlays/istio" else "mirror-on-miss-inner"
    routes = only(build(overlay), "VirtualService", name)["spec"]["http"]
    marked, *tagged, _ = routes
    assert marked["match"][0]["queryParams"] == {"mirror-on-miss": {"exact": "stream"}}
    for tag, route in zip(TAGS, tagged, strict=True):
        # The AWS SDK for Java v1 takes the quotes off.
        stream = {"regex": '"?mirror-.*'} if tag == "if-match" else {"prefix": '"mirror-'}
        assert [each["headers"] for each in route["match"]] == [{tag: stream}] * 2
        of_edge = named(routes_of_edge(), f"object-{tag}")["request_headers_to_remove"]
        common = marked["headers"]["request"]["remove"]
        assert route["headers"]["request"]["remove"] == [*of_edge, *common]


@pytest.mark.parametrize("overlay", ["overlays/envoy-gateway", "overlays/istio"])
def test_the_module_hears_of_each_answer_to_a_stream(tmp_path: Path, overlay: str) -> None:
    """With a module from a file, whose matcher keeps the answers of hits from it."""
    manifests = named_site(tmp_path, overlay, MORE[overlay][:1])
    edge = named(routes_of_edge(), "marked")["typed_per_filter_config"]["mirror_on_miss"]["config"]
    found = [
        {key: value for key, value in each.items() if key != "name"}
        for each in values(manifests)
        if str(each.get("@type")).endswith("ExtensionWithMatcherPerRoute")
    ]
    assert found == [edge]
