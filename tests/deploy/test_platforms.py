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
from stack.render import ca_file, plugin_of
from stack.stack import WASM

from . import definitions
from .kustomize import Manifest, build, is_custom, of_kind
from .platforms import CONFIGURATION, MORE, NAMES, PLATFORMS, configuration, named_site

Where = tuple[str | int, ...]


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


# What definitions of custom resources allow.


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
    # A map of any names, of which each may match everything.
    of_any_names = path[-1:] == ("queryParams",) or (path[-3:-2], path[-1:]) == (("match",), ("headers",))
    # What definitions.mjs lets pass as newer than the package.
    if patched or open_config or of_any_names or path[-1:] == ("streamIdleTimeout",):
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
