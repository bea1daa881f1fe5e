"""Rules of Istio and Envoy Gateway that cost requests, keys or a whole gateway when they were not kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stack.render import CHECKOUT

from .kustomize import Manifest, build, of_kind, only

ENVOY_GATEWAYS = ["overlays/envoy-gateway", "overlays/envoy-gateway-transparent"]
GATEWAYS_OF_ISTIO = ["overlays/istio", "overlays/istio-transparent"]
ISTIOS = [*GATEWAYS_OF_ISTIO, "overlays/istio-sidecar"]
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


# Istio.


def envoy_filter(overlay: str) -> list[dict[str, Any]]:
    return only(build(overlay), "EnvoyFilter", "mirror-on-miss")["spec"]["configPatches"]


@pytest.mark.parametrize("overlay", ISTIOS)
def test_what_denies_in_the_module_s_place_is_let_in(overlay: str) -> None:
    """The agent puts it there when the image cannot be fetched; else the whole listener is refused."""
    (inserted,) = [each for each in envoy_filter(overlay) if each["applyTo"] == "HTTP_FILTER"]
    types = inserted["patch"]["value"]["config_discovery"]["type_urls"]
    assert {each.rpartition(".")[2] for each in types} == {"Wasm", "RBAC"}


@pytest.mark.parametrize("overlay", ISTIOS)
def test_a_configuration_for_routes_has_a_type(overlay: str) -> None:
    """Pilot refuses `config: {}`, which Envoy takes: "Any JSON doesn't have '@type'"."""
    for patch in envoy_filter(overlay):
        for each in patch["patch"]["value"].get("typed_per_filter_config", {}).values():
            assert each["config"]["@type"].endswith(".Wasm")


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
    }
    assert hosts["files.example.com"] == hosts["mirror-on-miss-signer.mirror-on-miss.svc.cluster.local"] == 0


@pytest.mark.parametrize("overlay", ISTIOS)
def test_a_kept_connection_may_be_closed_by_the_bucket(overlay: str) -> None:
    """Istio's own retries leave out `reset`. The way to the module repeats nothing."""
    for each in routes(overlay):
        for route in each["spec"]["http"]:
            to_bucket = "s3.eu-west-1.amazonaws.com" in json.dumps(route["route"])
            expected = {"attempts": 2, "retryOn": "reset,connect-failure,refused-stream"}
            assert route["retries"] == (expected if to_bucket else {"attempts": 0})


@pytest.mark.parametrize("overlay", GATEWAYS_OF_ISTIO)
def test_clients_are_told_nothing_of_envoy(overlay: str) -> None:
    for each in routes(overlay):
        for route in each["spec"]["http"]:
            assert route["headers"]["response"] == {"remove": ["x-envoy-upstream-service-time"]}
            assert {"authorization", "cookie"} <= set(route["headers"]["request"]["remove"])
