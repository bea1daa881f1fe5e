"""The manifests of envoy/kubernetes, as kustomize builds them."""

from __future__ import annotations

import functools
import json
import operator
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from stack import envoy
from stack.render import CHECKOUT, ca_file, named, plugin_of
from stack.stack import WASM

from . import definitions
from .kubectl import BINARY

KUBERNETES = CHECKOUT / "envoy" / "kubernetes"
OVERLAYS = ["base", *sorted(f"overlays/{path.name}" for path in (KUBERNETES / "overlays").iterdir())]
GATEWAYS = [
    "base",
    "overlays/custom-image",
    "overlays/irsa",
    "overlays/maglev",
    "overlays/pod-identity",
    "overlays/transparent",
]
PLATFORMS = {"overlays/envoy-gateway": "EnvoyExtensionPolicy", "overlays/istio": "WasmPlugin"}
MIB = 1 << 20
MEMORY_OF_A_WORKER = 3 * 128 * MIB
"""docs/limits.md, "Memory": three times limits.memory, whose default is 128 MiB."""
MEMORY_OF_ENVOY = 256 * MIB

Manifest = dict[str, Any]
Where = tuple[str | int, ...]


@functools.cache
def build(overlay: str) -> list[Manifest]:
    argv = [BINARY, "kustomize", "--load-restrictor", "LoadRestrictionsNone", KUBERNETES / overlay]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, kind: str) -> list[Manifest]:
    return [manifest for manifest in build(overlay) if manifest["kind"] == kind]


def pods(overlay: str) -> list[Manifest]:
    return [deployment["spec"]["template"]["spec"] for deployment in of_kind(overlay, "Deployment")]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def gateway(overlay: str) -> Manifest:
    return next(pod for pod in pods(overlay) if "initContainers" in pod)


@pytest.mark.parametrize("version", ["1.35", "1.37"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_knows_every_field(overlay: str, version: str) -> None:
    for manifest in build(overlay):
        if not is_custom(manifest):
            kubernetes_validate.validate(manifest, version, strict=True)


def is_custom(manifest: Manifest) -> bool:
    group = manifest["apiVersion"].partition("/")[0]
    return "." in group and not group.endswith(".k8s.io") or group == "gateway.networking.k8s.io"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_configuration_is_the_shipped_one(overlay: str) -> None:
    (found,) = [
        each
        for each in of_kind(overlay, "ConfigMap")
        if each["metadata"]["name"].startswith("configuration-")
    ]
    for name, text in found["data"].items():
        assert text == (CHECKOUT / "envoy" / name).read_text()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_can_do_no_more_than_they_must(overlay: str) -> None:
    for pod in pods(overlay):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in containers(pod):
            allowed = container["securityContext"]
            assert (allowed["allowPrivilegeEscalation"], allowed["readOnlyRootFilesystem"]) == (False, True)
            assert allowed["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} <= set(container["resources"])
            assert container["livenessProbe"]
            assert container["image"].rpartition(":")[2] not in ("", "latest")


@pytest.mark.parametrize("overlay", GATEWAYS)
def test_the_edge_cannot_write(overlay: str) -> None:
    edge = named(gateway(overlay)["containers"], "edge")
    assert "writer" not in json.dumps([edge["volumeMounts"], edge["env"]])


@pytest.mark.parametrize("overlay", GATEWAYS)
def test_the_signer_outlives_the_edge(overlay: str) -> None:
    signer = named(gateway(overlay)["initContainers"], "signer")
    assert signer["restartPolicy"] == "Always"


@pytest.mark.parametrize("overlay", GATEWAYS)
def test_memory_follows_from_workers(overlay: str) -> None:
    edge = named(gateway(overlay)["containers"], "edge")
    workers = int(edge["command"][edge["command"].index("--concurrency") + 1])
    needed = workers * MEMORY_OF_A_WORKER + MEMORY_OF_ENVOY
    assert quantity(edge["resources"]["limits"]["memory"]) >= needed
    assert "cpu" not in edge["resources"]["limits"]


def quantity(text: str) -> int:
    return int(text[:-2]) * {"Mi": MIB, "Gi": 1024 * MIB}[text[-2:]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_drain_ends_in_time(overlay: str) -> None:
    for pod in pods(overlay):
        for container in pod["containers"]:
            stop = container["lifecycle"]["preStop"]
            seconds = stop["sleep"]["seconds"] if "sleep" in stop else int(stop["exec"]["command"][-1])
            assert seconds < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_mounted_is_there_and_what_is_there_is_mounted(overlay: str) -> None:
    for pod in pods(overlay):
        mounted = {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_select_pods_of_the_overlay(overlay: str) -> None:
    labels = [
        each["spec"]["template"]["metadata"]["labels"].items() for each in of_kind(overlay, "Deployment")
    ]
    for kind in ("Deployment", "PodDisruptionBudget", "Service"):
        for manifest in of_kind(overlay, kind):
            selector = manifest["spec"]["selector"]
            wanted = selector.get("matchLabels", selector).items()
            assert sum(wanted <= each for each in labels) == 1, manifest["metadata"]


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_the_module_takes_the_configuration_of_a_platform(tmp_path: Path, overlay: str) -> None:
    """Envoy itself confirms it, with that configuration in place of the shipped one."""
    (plugin,) = of_kind(overlay, PLATFORMS[overlay])
    config = plugin["spec"].get("pluginConfig") or plugin["spec"]["wasm"][0]["config"]
    edge = yaml.safe_load(
        (CHECKOUT / "envoy" / "edge.yaml")
        .read_text()
        .replace("/etc/ssl/certs/ca-certificates.crt", ca_file())
    )
    module = plugin_of(edge)
    module["configuration"]["value"] = json.dumps(config)
    module["vm_config"]["code"]["local"]["filename"] = str(WASM)
    file = tmp_path / "edge.json"
    file.write_text(json.dumps(edge))
    argv = [envoy.binary(), "--mode", "validate", "--disable-hot-restart", "-c", file]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_the_clusters_that_a_platform_s_plugin_names_exist(overlay: str) -> None:
    (plugin,) = of_kind(overlay, PLATFORMS[overlay])
    config = plugin["spec"].get("pluginConfig") or plugin["spec"]["wasm"][0]["config"]
    assert {config["bucket"]["cluster"], config["origin"]["cluster"]} <= clusters(overlay)


def clusters(overlay: str) -> set[str]:
    patches = [
        patch for policy in of_kind(overlay, "EnvoyPatchPolicy") for patch in policy["spec"]["jsonPatches"]
    ]
    hosts = {
        (entry["spec"]["hosts"][0], entry["spec"]["ports"][0]["number"])
        for entry in of_kind(overlay, "ServiceEntry")
    }
    for service in of_kind(overlay, "Service"):
        meta = service["metadata"]
        hosts.add(
            (f"{meta['name']}.{meta['namespace']}.svc.cluster.local", service["spec"]["ports"][0]["port"])
        )
    return {patch["name"] for patch in patches} | {f"outbound|{port}||{host}" for host, port in hosts}


@pytest.mark.parametrize("overlay", OVERLAYS)
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
    if isinstance(value, dict) and path[-1:] in (("pluginConfig",), ("config",), ("value",)):
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
