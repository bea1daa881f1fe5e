"""The overlays for Istio and Envoy Gateway: custom resources, and the module's configuration in them."""

from __future__ import annotations

import functools
import json
import operator
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import envoy
from stack.render import CHECKOUT, ca_file, plugin_of
from stack.stack import WASM

from . import definitions
from .kustomize import Manifest, build, is_custom, of_kind

PLATFORMS = {"overlays/envoy-gateway": "EnvoyExtensionPolicy", "overlays/istio": "WasmPlugin"}

Where = tuple[str | int, ...]


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_the_module_takes_the_configuration_of_a_platform(tmp_path: Path, overlay: str) -> None:
    """Envoy itself confirms it, with that configuration in place of the shipped one."""
    (plugin,) = of_kind(build(overlay), PLATFORMS[overlay])
    config = plugin["spec"].get("pluginConfig") or plugin["spec"]["wasm"][0]["config"]
    edge = yaml.safe_load(
        (CHECKOUT / "envoy" / "configuration" / "edge.yaml")
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
    (plugin,) = of_kind(build(overlay), PLATFORMS[overlay])
    config = plugin["spec"].get("pluginConfig") or plugin["spec"]["wasm"][0]["config"]
    assert {config["bucket"]["cluster"], config["origin"]["cluster"]} <= clusters(overlay)


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
