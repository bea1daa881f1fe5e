"""`make manifests`: writes the manifests that repeat another file of envoy/."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from stack.render import CHECKOUT

ENVOY = CHECKOUT / "envoy"
RULES = """\
# Written by `make manifests`: the rules of envoy/observability/prometheus as a custom resource.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: mirror-on-miss
  labels: {app.kubernetes.io/name: mirror-on-miss, app.kubernetes.io/instance: mirror-on-miss}
spec:
"""


def alerts() -> str:
    """Returns alerts and records for prometheus-operator, with the comments that stand between them."""
    texts = [
        (ENVOY / "observability" / "prometheus" / name).read_text() for name in ("alerts.yml", "progress.yml")
    ]
    groups = [text.partition("groups:\n")[2] for text in texts]
    lines = ["groups:", *"\n".join(groups).splitlines()]
    return RULES + "".join(f"  {line}".rstrip() + "\n" for line in lines)


def bootstrap() -> str:
    """Returns the labels of the metrics as Istio's agent merges them into the bootstrap."""
    edge = yaml.safe_load((ENVOY / "configuration" / "edge.yaml").read_text())
    return json.dumps({"stats_config": edge["stats_config"]}, indent=2) + "\n"


def manifests() -> dict[Path, str]:
    """Returns every file that is written, with its text."""
    kubernetes = ENVOY / "kubernetes"
    return {
        kubernetes / "components" / "prometheus-operator" / "rules.yaml": alerts(),
        kubernetes / "overlays" / "istio" / "custom_bootstrap.json": bootstrap(),
    }


if __name__ == "__main__":
    for path, text in manifests().items():
        path.write_text(text)
