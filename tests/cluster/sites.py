"""Kustomizations of a user's own, and what a server must make of one."""

from __future__ import annotations

import json
import os
from pathlib import Path

from deploy.kustomize import KUBERNETES

from .server import Server

COMPONENTS = sorted(path.name for path in (KUBERNETES / "components").iterdir())
EVERYTHING = ["custom-image", "irsa", "maglev", "prometheus-operator", "transparent"]
"""All components but `pod-identity`, of which and `irsa` a site has one."""

INSTANCE = "app.kubernetes.io/instance"


def site(directory: Path, resource: str, components: list[str], **more: object) -> Path:
    """Writes a kustomization of a user's own, and returns its directory."""
    directory.mkdir(parents=True)
    ours = os.path.relpath(KUBERNETES, directory.resolve())
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{ours}/{resource}"],
        "components": [f"{ours}/components/{name}" for name in components],
        **more,
    }
    (directory / "kustomization.yaml").write_text(json.dumps(kustomization))
    return directory


def sidecar_site(directory: Path, components: list[str]) -> Path:
    """A user's own kustomization with the application of the example."""
    directory = site(directory, "base", [])
    kustomization = json.loads((directory / "kustomization.yaml").read_text())
    ours = kustomization["resources"][0].removesuffix("/base")
    application = (KUBERNETES / "sidecar" / "example" / "application.yaml").read_text()
    (directory / "application.yaml").write_text(application)
    kustomization["resources"] = ["application.yaml"]
    kustomization["components"] = [f"{ours}/sidecar/{each}" for each in components]
    kustomization["configMapGenerator"] = [{"name": "mirror-on-miss-settings", "literals": ["BUCKET=files"]}]
    (directory / "kustomization.yaml").write_text(json.dumps(kustomization))
    return directory


def accepted(server: Server, directory: Path, *options: str) -> None:
    """Applies a site in both ways, twice, without an error, a change or a conflict."""
    for way in ([], ["--server-side"]):
        done = server.kubectl(*options, "apply", *way, "--validate=strict", "-k", directory)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr, done.stderr
        difference = server.kubectl(*options, "diff", *way, "-k", directory)
        assert difference.returncode == 0, difference.stdout + difference.stderr
        again = server.told(*options, "apply", *way, "--validate=strict", "-k", directory).splitlines()
        # kubectl replaces the selector of a budget whenever it applies one.
        changed = [
            line for line in again if line.endswith(" configured") and "poddisruptionbudget" not in line
        ]
        assert not changed, changed
