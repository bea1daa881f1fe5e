"""`make manifests`: writes what of the manifests repeats another file of envoy/."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import yaml

from stack.render import CHECKOUT

from .excerpts import Source
from .regions import filled

ENVOY = CHECKOUT / "envoy"
CONFIGURATION = ENVOY / "configuration"
KUBERNETES = ENVOY / "kubernetes"
RULES = """\
# Written by `make manifests`: envoy/observability/prometheus/alerts.yml as a custom resource.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: mirror-on-miss
  labels: {app.kubernetes.io/name: mirror-on-miss, app.kubernetes.io/instance: mirror-on-miss}
spec:
"""


def alerts() -> str:
    """Returns the alerts for prometheus-operator, with the comments that stand between them."""
    text = (ENVOY / "observability" / "prometheus" / "alerts.yml").read_text()
    lines = text[text.index("groups:") :].splitlines()
    return RULES + "".join(f"  {line}".rstrip() + "\n" for line in lines)


def bootstrap() -> str:
    """Returns the labels of the metrics as Istio's agent merges them into the bootstrap."""
    edge = yaml.safe_load((CONFIGURATION / "edge.yaml").read_text())
    return json.dumps({"stats_config": edge["stats_config"]}, indent=2) + "\n"


def marked() -> dict[Path, str]:
    """Returns every manifest that has marks, with what stands between them as it is now."""
    sources = {
        path.name: Source(path.name, path.read_text()) for path in sorted(CONFIGURATION.glob("*.yaml"))
    }
    texts = {path: path.read_text() for path in sorted(KUBERNETES.rglob("*.yaml"))}
    return {path: filled(text, sources) for path, text in texts.items() if ".yaml: " in text}


@functools.cache
def manifests() -> dict[Path, str]:
    """Returns every file that is written, with its text."""
    return {
        KUBERNETES / "components" / "prometheus-operator" / "rules.yaml": alerts(),
        KUBERNETES / "overlays" / "istio" / "custom_bootstrap.json": bootstrap(),
        **marked(),
    }


if __name__ == "__main__":
    for path, text in manifests().items():
        path.write_text(text)
