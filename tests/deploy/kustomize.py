"""What `kubectl kustomize` makes of envoy/kubernetes: a base or an overlay, with components."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from stack.render import CHECKOUT

from .kubectl import BINARY

KUBERNETES = CHECKOUT / "envoy" / "kubernetes"

Manifest = dict[str, Any]


@functools.cache
def build(site: str) -> list[Manifest]:
    """Builds `base` or `overlays/NAME`; `base+a+b` is the base with the components a and b."""
    resource, *components = site.split("+")
    if not components:
        return kustomize(KUBERNETES / resource)
    return build_site({"resources": [resource], "components": [f"components/{name}" for name in components]})


def build_site(kustomization: dict[str, Any]) -> list[Manifest]:
    """Builds a kustomization that lies somewhere else. It names ours as resources and components."""
    with tempfile.TemporaryDirectory() as name:
        # The temporary directory may be a link, which relative paths do not cross.
        directory = Path(name).resolve()
        document = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **kustomization}
        for field in ("resources", "components"):
            paths = kustomization.get(field, [])
            document[field] = [os.path.relpath(KUBERNETES / path, directory) for path in paths]
        (directory / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return kustomize(directory)


def kustomize(directory: Path) -> list[Manifest]:
    # Without `--load-restrictor`: `kubectl apply -k` has no such option.
    done = subprocess.run([BINARY, "kustomize", directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def only(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name]
    return found


def pods(manifests: list[Manifest]) -> list[Manifest]:
    return [deployment["spec"]["template"] for deployment in of_kind(manifests, "Deployment")]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def is_custom(manifest: Manifest) -> bool:
    group = manifest["apiVersion"].partition("/")[0]
    return "." in group and not group.endswith(".k8s.io") or group == "gateway.networking.k8s.io"
