"""What `helm template` makes of envoy/chart."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from stack.render import CHECKOUT

from .kubectl import HELM
from .kustomize import Manifest

CHART = CHECKOUT / "envoy" / "chart"

SITE: dict[str, Any] = {
    "bucket": {"name": "my-bucket", "region": "eu-west-1"},
    "origin": {"url": "https://files.example.com"},
    "module": {"image": {"repository": "registry.example.com/mirror-on-miss-module"}},
}
"""The values that the chart demands: the names of envoy/kubernetes."""


def helm(*arguments: str | Path, binary: Path = HELM, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs helm without anything of its user's."""
    with tempfile.TemporaryDirectory() as home:
        homes = {f"HELM_{name}_HOME": home for name in ("CACHE", "CONFIG", "DATA")}
        env = {**os.environ, **homes, **environment}
        return subprocess.run([binary, *arguments], capture_output=True, text=True, env=env, check=False)


def template(
    values: dict[str, Any] | None = None, *options: str, release: str = "mirror-on-miss"
) -> list[Manifest]:
    """Renders a release. AssertionError with helm's own words if it refuses the values."""
    done = rendered(values, *options, release=release)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def refused(values: dict[str, Any], *options: str) -> str:
    """Returns why these values are refused."""
    done = rendered(values, *options)
    assert done.returncode != 0, "it is accepted"
    return done.stderr


def rendered(
    values: dict[str, Any] | None, *options: str, release: str = "mirror-on-miss"
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "values.yaml")
        file.write_text(json.dumps(merged(values)))
        return helm("template", release, CHART, "--namespace", "site", "--values", file, *options)


def merged(values: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the site's values with these over them. A null stays: it takes a default of the chart away."""

    def over(base: Any, value: Any) -> Any:
        if not isinstance(base, dict) or not isinstance(value, dict):
            return value
        return {**base, **{name: over(base.get(name), inner) for name, inner in value.items()}}

    return over(SITE, values or {})
