"""Rules of Istio and Envoy Gateway that cost requests, keys or a whole gateway when they were not kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stack.render import CHECKOUT

from .kustomize import Manifest, build, of_kind, only
from .platforms import ENVOY_GATEWAYS, ISTIOS

GATEWAYS_OF_ISTIO = ["overlays/istio", "overlays/istio-transparent"]
CLIENTS = 65536
"""More than wait for one missing object at once."""


# Envoy Gateway.


@pytest.mark.parametrize("overlay", ENVOY_GATEWAYS)
def test_keys_stay_whole(overlay: str) -> None:
    """By default `//` becomes `/`, and `%2F` is answered with a redirect to another key. Dot segments are
    resolved, and must be: this happens before the bucket's name is put in front.
    """
    manifests = build(overlay)
    (policy,) = of_kind(manifests, "ClientTrafficPolicy")
    (gateway,) = of_kind(manifests, "Gateway")
    assert [each["name"] for each in policy["spec"]["targetRefs"]] == [gateway["metadata"]["name"]]
    assert policy["spec"]["path"] == {"escapedSlashesAction": "KeepUnchanged", "disableMergeSlashes": True}


@pytest.mark.parametrize("overlay", ENVOY_GATEWAYS)
def test_a_crowd_waits_for_the_bucket(overlay: str) -> None:
    """With Envoy's own breakers 1,315 of 2,500 clients of one missing object were refused."""
    manifests = build(overlay)
    policies = {
        target["name"]: policy["spec"]
        for policy in of_kind(manifests, "BackendTrafficPolicy")
        for target in policy["spec"]["targetRefs"]
    }
    assert set(policies) == {route["metadata"]["name"] for route in of_kind(manifests, "HTTPRoute")}
    for policy in policies.values():
        breaker = policy["circuitBreaker"]
        assert min(breaker["maxPendingRequests"], breaker["maxParallelRequests"]) >= CLIENTS
        # Each miss of the transparent wiring is a retry, of which Envoy allows 3 at once.
        if 404 in policy["retry"]["retryOn"].get("httpStatusCodes", []):
            assert breaker["maxParallelRetries"] >= CLIENTS


@pytest.mark.parametrize("overlay", ENVOY_GATEWAYS)
def test_workers_are_as_many_as_the_memory_is_for(overlay: str) -> None:
    """Envoy Gateway starts one for each CPU of the node."""
    (proxy,) = of_kind(build(overlay), "EnvoyProxy")
    container = proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"]
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert proxy["spec"]["concurrency"] * 3 * 128 + 256 == 1024


@pytest.mark.parametrize("overlay", ENVOY_GATEWAYS)
def test_a_download_outlives_a_change_of_the_configuration(overlay: str) -> None:
    (proxy,) = of_kind(build(overlay), "EnvoyProxy")
    assert proxy["spec"]["shutdown"]["drainTimeout"] == "300s"


def test_the_page_names_both_switches_and_the_digest() -> None:
    """Without the first switch every request is 500; without the second the bucket seems to refuse all."""
    page = (CHECKOUT / "docs" / "deploy-kubernetes.md").read_text()
    assert "extensionApis: {enableBackend: true, enableEnvoyPatchPolicy: true}" in page
    assert "that of the manifest for linux/amd64" in page


@pytest.mark.parametrize(
    ("overlay", "listeners"), list(zip(ENVOY_GATEWAYS, [["http"], ["http", "miss"]], strict=True))
)
def test_no_client_of_envoy_gateway_says_where_it_is_passed_to(overlay: str, listeners: list[str]) -> None:
    """The header chooses the route of streams. The listener `miss` is a port of the Service, too."""
    (policy,) = of_kind(build(overlay), "EnvoyPatchPolicy")
    path = "typed_config/early_header_mutation_extensions"
    early = [each for each in policy["spec"]["jsonPatches"] if each["operation"].get("path") == path]
    assert {each["name"].rpartition("/")[2] for each in early} == set(listeners)
    for each in early:
        assert '"mutations": [{"remove": "x-mirror-on-miss-cluster"}]' in json.dumps(each)


# Istio.


def envoy_filter(overlay: str) -> list[dict[str, Any]]:
    return only(build(overlay), "EnvoyFilter", "mirror-on-miss")["spec"]["configPatches"]


def inserted_filters(overlay: str) -> list[dict[str, Any]]:
    """The module's, that for what the module knows beside a path, and the two against content."""
    return [each["patch"]["value"] for each in envoy_filter(overlay) if each["applyTo"] == "HTTP_FILTER"]


@pytest.mark.parametrize("overlay", ISTIOS)
def test_the_module_knows_a_request_s_id_condition_and_range(overlay: str) -> None:
    _, metadata, *_ = inserted_filters(overlay)
    rules = metadata["typed_config"]["request_rules"]
    assert {rule["on_header_present"]["key"] for rule in rules} == {
        "x-request-id",
        "precondition",
        "range",
        "if-range",
    }


@pytest.mark.parametrize("overlay", ISTIOS)
def test_what_denies_in_the_module_s_place_is_let_in(overlay: str) -> None:
    """The agent puts it there when the image cannot be fetched; else the whole listener is refused."""
    inserted, *_ = inserted_filters(overlay)
    types = inserted["config_discovery"]["type_urls"]
    assert {each.rpartition(".")[2] for each in types} == {"Wasm", "RBAC"}


@pytest.mark.parametrize("overlay", ISTIOS)
def test_a_configuration_for_routes_has_a_type(overlay: str) -> None:
    """Pilot refuses `config: {}`, which Envoy takes: "Any JSON doesn't have '@type'"."""
    for patch in envoy_filter(overlay):
        for each in patch["patch"]["value"].get("typed_per_filter_config", {}).values():
            assert each.get("config", each)["@type"].endswith((".Wasm", "PerRoute"))


@pytest.mark.parametrize("overlay", ISTIOS)
def test_a_route_is_found_by_its_name(overlay: str) -> None:
    """Never by the gateway's or the port's: these match nothing on a plain server, or one that is bound."""
    names = {route.get("name") for each in routes(overlay) for route in each["spec"]["http"]}
    for patch in envoy_filter(overlay):
        if patch["applyTo"] == "HTTP_ROUTE":
            assert set(patch["match"]["routeConfiguration"]) == {"vhost"}
            assert patch["match"]["routeConfiguration"]["vhost"]["route"]["name"] in names


def routes(overlay: str) -> list[Manifest]:
    return of_kind(build(overlay), "VirtualService")


@pytest.mark.parametrize("overlay", GATEWAYS_OF_ISTIO)
def test_clusters_that_only_the_module_calls_are_sent(overlay: str) -> None:
    """PILOT_FILTER_GATEWAY_CLUSTER_CONFIG leaves out clusters that no route names."""
    hosts = {
        destination["destination"]["host"]: destination.get("weight")
        for each in routes(overlay)
        for route in each["spec"]["http"]
        for destination in route["route"]
        if "subset" not in destination["destination"]
    }
    assert hosts["files.example.com"] == hosts["mirror-on-miss-signer.mirror-on-miss.svc.cluster.local"] == 0


@pytest.mark.parametrize("overlay", ISTIOS)
def test_a_kept_connection_may_be_closed_by_the_bucket(overlay: str) -> None:
    """Istio's own retries leave out `reset`. The way to the module repeats nothing."""
    for each in routes(overlay):
        for route in each["spec"]["http"]:
            if route.get("name") == "mirror-on-miss-stream":
                continue
            to_bucket = "s3.eu-west-1.amazonaws.com" in json.dumps(route["route"])
            expected = {"attempts": 2, "retryOn": "reset,connect-failure,refused-stream"}
            assert route["retries"] == (expected if to_bucket else {"attempts": 0})


@pytest.mark.parametrize("overlay", GATEWAYS_OF_ISTIO)
def test_clients_are_told_nothing_of_envoy(overlay: str) -> None:
    for each in routes(overlay):
        for route in each["spec"]["http"]:
            assert route["headers"]["response"] == {"remove": ["x-envoy-upstream-service-time"]}
            # The module makes the headers of a stream anew.
            if route.get("name") != "mirror-on-miss-stream":
                assert {"authorization", "cookie"} <= set(route["headers"]["request"]["remove"])


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
    inserted, metadata, *against_content = inserted_filters("overlays/istio")
    for each in (inserted, *against_content):
        assert each["disabled"] is True
    # It changes nothing of a request, and nothing of another host reads what it keeps.
    assert set(metadata["typed_config"]) == {"@type", "request_rules"}
    (envoy_filter,) = of_kind(build("overlays/istio"), "EnvoyFilter")
    routes_of_ours = only(build("overlays/istio"), "VirtualService", "mirror-on-miss")["spec"]["http"]
    turned_on = {
        each["match"]["routeConfiguration"]["vhost"]["route"]["name"]: set(
            each["patch"]["value"]["typed_per_filter_config"]
        )
        for each in envoy_filter["spec"]["configPatches"]
        if "typed_per_filter_config" in each["patch"]["value"]
    }
    names = {each["name"] for each in (inserted, *against_content)}
    assert turned_on == {route["name"]: names for route in routes_of_ours}


@pytest.mark.parametrize("overlay", GATEWAYS_OF_ISTIO)
def test_no_client_of_an_istio_gateway_says_where_it_is_passed_to(overlay: str) -> None:
    """The header chooses the route of streams. At whichever port of the gateway it comes, it is taken off."""
    patches = [each for each in envoy_filter(overlay) if each["applyTo"] == "NETWORK_FILTER"]
    (early,) = [each for each in patches if "early_header_mutation_extensions" in json.dumps(each)]
    assert early["match"] == {
        "context": "GATEWAY",
        "listener": {"filterChain": {"filter": {"name": "envoy.filters.network.http_connection_manager"}}},
    }
    assert '"mutations": [{"remove": "x-mirror-on-miss-cluster"}]' in json.dumps(early)
    (stream,) = only(build(overlay), "VirtualService", "mirror-on-miss-streams")["spec"]["http"]
    assert stream["match"] == [{"headers": {"x-mirror-on-miss-cluster": {"exact": STREAMS_OF_ISTIO}}}]


STREAMS_OF_ISTIO = "outbound|443|streams|files.example.com"


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
    assert len(narrowed) == 5
    assert not any(each["patch"]["value"].get("disabled") for each in narrowed)
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
    values = [each["patch"]["value"] for each in envoy_filter["spec"]["configPatches"]]
    turned_on = [each["typed_per_filter_config"] for each in values if "typed_per_filter_config" in each]
    assert [each["mirror-on-miss"]["is_optional"] for each in turned_on] == [True, True]


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
