"""The overlays for Istio and Envoy Gateway, as their tests look at them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from stack.render import CHECKOUT

from .kustomize import KUBERNETES, Manifest, build, kustomize, of_kind

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
