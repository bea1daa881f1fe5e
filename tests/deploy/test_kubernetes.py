"""The manifests of envoy/kubernetes, as kustomize builds them: pods, their limits, and what selects them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from manifests.__main__ import manifests as written
from stack.render import CHECKOUT, named

from .kustomize import (
    KUBERNETES,
    Manifest,
    build,
    build_site,
    containers,
    is_custom,
    of_kind,
    only,
    pods,
)

COMPONENTS = sorted(path.name for path in (KUBERNETES / "components").iterdir())
OVERLAYS = sorted(f"overlays/{path.name}" for path in (KUBERNETES / "overlays").iterdir())
GATEWAYS = [
    "base",
    *(f"base+{name}" for name in COMPONENTS),
    "base+custom-image+irsa+transparent",
    "base+custom-image+maglev+pod-identity+prometheus-operator+transparent",
    "base+transparent+prometheus-operator+irsa+maglev",
]
SITES = [*GATEWAYS, *OVERLAYS]
MIB = 1 << 20
MEMORY_OF_A_WORKER = 3 * 128 * MIB
"""docs/limits.md, "Memory": three times limits.memory, whose default is 128 MiB."""
MEMORY_OF_ENVOY = 256 * MIB
SELECTING = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
INSTANCE = "app.kubernetes.io/instance"


def gateway(site: str) -> Manifest:
    return only(build(site), "Deployment", "mirror-on-miss")["spec"]["template"]


@pytest.mark.parametrize("version", ["1.35", "1.37"])
@pytest.mark.parametrize("site", SITES)
def test_kubernetes_knows_every_field(site: str, version: str) -> None:
    for manifest in build(site):
        if not is_custom(manifest):
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("site", SITES)
def test_the_configuration_is_the_shipped_one(site: str) -> None:
    (found,) = [
        each
        for each in of_kind(build(site), "ConfigMap")
        if each["metadata"]["name"].startswith("mirror-on-miss-configuration-")
    ]
    for name, text in found["data"].items():
        assert text == (CHECKOUT / "envoy" / "configuration" / name).read_text()


@pytest.mark.parametrize("site", SITES)
def test_no_namespace_is_made_or_removed(site: str) -> None:
    """`kubectl delete -k` would take all that is in it, Secrets made by hand among it."""
    assert of_kind(build(site), "Namespace") == []


@pytest.mark.parametrize("site", SITES)
def test_pods_can_do_no_more_than_they_must(site: str) -> None:
    for pod in pods(build(site)):
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in containers(pod):
            allowed = container["securityContext"]
            assert (allowed["allowPrivilegeEscalation"], allowed["readOnlyRootFilesystem"]) == (False, True)
            assert allowed["capabilities"] == {"drop": ["ALL"]}
            assert container["image"].rpartition(":")[2] not in ("", "latest")


@pytest.mark.parametrize("site", SITES)
def test_a_quota_finds_what_it_counts(site: str) -> None:
    for pod in pods(build(site)):
        for container in containers(pod):
            assert {"cpu", "ephemeral-storage", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("site", SITES)
def test_every_container_is_probed(site: str) -> None:
    """A start takes as long as it needs, and only a container that is no sidecar says that it is ready."""
    for pod in pods(build(site)):
        for container in containers(pod):
            assert {"startupProbe", "livenessProbe"} <= set(container)
        assert all("readinessProbe" in container for container in pod["spec"]["containers"])


@pytest.mark.parametrize("site", GATEWAYS)
def test_the_edge_cannot_write(site: str) -> None:
    edge = named(gateway(site)["spec"]["containers"], "edge")
    assert "writer" not in json.dumps([edge["volumeMounts"], edge["env"]])


@pytest.mark.parametrize("site", GATEWAYS)
def test_the_signer_outlives_the_edge(site: str) -> None:
    signer = named(gateway(site)["spec"]["initContainers"], "signer")
    assert signer["restartPolicy"] == "Always"


@pytest.mark.parametrize("site", GATEWAYS)
def test_memory_follows_from_workers(site: str) -> None:
    edge = named(gateway(site)["spec"]["containers"], "edge")
    workers = int(edge["command"][edge["command"].index("--concurrency") + 1])
    needed = workers * MEMORY_OF_A_WORKER + MEMORY_OF_ENVOY
    assert quantity(edge["resources"]["limits"]["memory"]) >= needed
    assert "cpu" not in edge["resources"]["limits"]


def quantity(text: str) -> int:
    return int(text[:-2]) * {"Mi": MIB, "Gi": 1024 * MIB}[text[-2:]]


@pytest.mark.parametrize("site", SITES)
def test_a_drain_ends_in_time(site: str) -> None:
    for pod in pods(build(site)):
        for container in pod["spec"]["containers"]:
            stop = container["lifecycle"]["preStop"]
            seconds = stop["sleep"]["seconds"] if "sleep" in stop else int(stop["exec"]["command"][-1])
            assert seconds < pod["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("site", SITES)
def test_a_drained_node_waits_for_no_broken_pod(site: str) -> None:
    for budget in of_kind(build(site), "PodDisruptionBudget"):
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("site", SITES)
def test_what_is_mounted_is_there_and_what_is_there_is_mounted(site: str) -> None:
    for pod in pods(build(site)):
        mounted = {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}


@pytest.mark.parametrize("site", SITES)
def test_an_autoscaler_may_remove_the_node(site: str) -> None:
    for pod in pods(build(site)):
        local = {volume["name"] for volume in pod["spec"]["volumes"] if "emptyDir" in volume}
        name = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
        assert set(pod["metadata"]["annotations"][name].split(",")) == local


# Selectors.


def selectors(manifests: list[Manifest]) -> list[tuple[str, dict[str, str]]]:
    """Everything that selects pods of ours, by where it stands. Peers of other namespaces are not ours."""
    found: list[tuple[str, dict[str, str]]] = []
    for manifest in manifests:
        spec, where = manifest.get("spec", {}), f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
            found.append((where, spec["selector"]["matchLabels"]))
        elif manifest["kind"] == "Service":
            found.append((where, spec["selector"]))
        elif manifest["kind"] == "NetworkPolicy":
            found.append((where, spec["podSelector"]["matchLabels"]))
            rules = [*spec["ingress"], *spec["egress"]]
            peers = [peer for rule in rules for peer in [*rule.get("from", []), *rule.get("to", [])]]
            found += [
                (where, peer["podSelector"]["matchLabels"])
                for peer in peers
                if "podSelector" in peer and "namespaceSelector" not in peer
            ]
        if manifest["kind"] == "Deployment":
            spread = spec["template"]["spec"]["topologySpreadConstraints"]
            found += [(where, each["labelSelector"]["matchLabels"]) for each in spread]
    return found


@pytest.mark.parametrize("site", SITES)
def test_pods_are_selected_by_name_instance_and_component(site: str) -> None:
    """A generic label alone selects other applications of the namespace. A Deployment's cannot be changed."""
    for where, labels in selectors(build(site)):
        wanted = SELECTING - {"app.kubernetes.io/component"} if "PodMonitor" in where else SELECTING
        assert set(labels) == wanted, where


@pytest.mark.parametrize("site", SITES)
def test_selectors_select_pods_of_the_site(site: str) -> None:
    labels = [pod["metadata"]["labels"].items() for pod in pods(build(site))]
    for where, selector in selectors(build(site)):
        matching = sum(selector.items() <= each for each in labels)
        assert matching >= 1 if "PodMonitor" in where else matching == 1, where


EVERYTHING = [f"components/{name}" for name in COMPONENTS]


@pytest.mark.parametrize(
    "components",
    [[], EVERYTHING, *([each] for each in EVERYTHING)],
    ids=lambda names: "+".join(names) or "base",
)
def test_two_sites_of_a_namespace_share_nothing(components: list[str]) -> None:
    sites = [
        build_site(
            {
                "namespace": "shared",
                "namePrefix": f"{name}-",
                "resources": ["base"],
                "components": components,
                "labels": [{"pairs": {INSTANCE: name}, "includeSelectors": True}],
            }
        )
        for name in "ab"
    ]
    for name, manifests in zip("ab", sites, strict=True):
        for where, labels in selectors(manifests):
            assert labels[INSTANCE] == name, where
        for manifest in manifests:
            assert manifest["metadata"]["name"].startswith(f"{name}-")
        # Names within values: the one that the front tier looks up.
        assert f'"value": "{name}-mirror-on-miss-replicas"' in json.dumps(manifests) or "+" not in str(
            components
        )
        assert '"value": "mirror-on-miss-replicas"' not in json.dumps(manifests)


# What the API server does to a manifest, and `kubectl apply` to the one that is there.


@pytest.mark.parametrize("site", SITES)
def test_a_second_apply_changes_nothing(site: str) -> None:
    """The API server fills these fields in, within lists and unions, and a second apply would take them
    away. With server-side apply they would be a conflict.
    """
    for deployment in of_kind(build(site), "Deployment"):
        assert deployment["spec"]["strategy"]["type"] == "RollingUpdate"
    for policy in of_kind(build(site), "NetworkPolicy"):
        rules = [*policy["spec"]["ingress"], *policy["spec"]["egress"]]
        assert all("protocol" in port for rule in rules for port in rule["ports"])
    for service in of_kind(build(site), "Service"):
        assert all("protocol" in port for port in service["spec"]["ports"])
    for pod in pods(build(site)):
        ports = [port for container in containers(pod) for port in container["ports"]]
        assert all("protocol" in port for port in ports)


@pytest.mark.parametrize("site", SITES)
def test_both_families_of_addresses_are_reached(site: str) -> None:
    for service in of_kind(build(site), "Service"):
        assert service["spec"]["ipFamilyPolicy"] == "PreferDualStack"
    for policy in of_kind(build(site), "NetworkPolicy"):
        peers = [peer for rule in policy["spec"]["egress"] for peer in rule["to"]]
        blocks = {peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer}
        assert ("0.0.0.0/0" in blocks) == ("::/0" in blocks)


def test_the_rules_of_prometheus_operator_are_the_shipped_ones() -> None:
    rule = only(build("base+prometheus-operator"), "PrometheusRule", "mirror-on-miss")
    prometheus = CHECKOUT / "envoy" / "observability" / "prometheus"
    shipped = [yaml.safe_load((prometheus / name).read_text()) for name in ("alerts.yml", "progress.yml")]
    assert rule["spec"] == {"groups": [group for file in shipped for group in file["groups"]]}


@pytest.mark.parametrize("path", written(), ids=lambda path: path.name)
def test_what_repeats_another_file_is_as_it_is(path: Path) -> None:
    assert path.read_text() == written()[path], "`make manifests` writes it"


def test_prometheus_operator_scrapes_each_status_port() -> None:
    manifests = build("base+prometheus-operator+maglev")
    monitor = only(manifests, "PodMonitor", "mirror-on-miss")
    endpoints = {(each["port"], each["path"]) for each in monitor["spec"]["podMetricsEndpoints"]}
    assert endpoints == {(port, "/stats/prometheus") for port in status_ports(manifests)}


def test_monitoring_reaches_each_status_port() -> None:
    for site in ("base+maglev", "overlays/signer"):
        for pod in pods(build(site)):
            policy = next(
                each
                for each in of_kind(build(site), "NetworkPolicy")
                if each["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
            )
            monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
            rules = [rule for rule in policy["spec"]["ingress"] if rule.get("from") == [monitoring]]
            assert {port["port"] for rule in rules for port in rule["ports"]} == status_ports_of(pod)


def status_ports(manifests: list[Manifest]) -> set[str]:
    return set().union(*map(status_ports_of, pods(manifests)))


def status_ports_of(pod: dict[str, Any]) -> set[str]:
    ports = [port["name"] for container in containers(pod) for port in container["ports"]]
    return {name for name in ports if name.endswith("-status")}


def test_the_front_tier_is_applied_and_removed_by_its_label() -> None:
    """docs/deploy-kubernetes.md makes and removes it by that label."""
    added = names(build("base+maglev")) - names(build("base"))
    front = {
        (manifest["kind"], manifest["metadata"]["name"])
        for manifest in build("base+maglev")
        if manifest["metadata"]["labels"].get("app.kubernetes.io/component") == "front"
    }
    assert front == added


def names(manifests: list[Manifest]) -> set[tuple[str, str]]:
    return {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
