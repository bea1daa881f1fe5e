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
CHART = ENVOY / "chart"
KUBERNETES = ENVOY / "kubernetes"
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
    edge = yaml.safe_load((CONFIGURATION / "edge.yaml").read_text())
    return json.dumps({"stats_config": edge["stats_config"]}, indent=2) + "\n"


def marked() -> dict[Path, str]:
    """Returns every manifest that has marks, with what stands between them as it is now."""
    sources = {
        path.name: Source(path.name, path.read_text()) for path in sorted(CONFIGURATION.glob("*.yaml"))
    }
    texts = {path: path.read_text() for path in sorted(KUBERNETES.rglob("*.yaml"))}
    return {path: filled(text, sources) for path, text in texts.items() if ".yaml: " in text}


def chart() -> dict[Path, str]:
    """Returns the files of the chart that are files of others, too: a package has what is below its directory
    alone.
    """
    observability = ENVOY / "observability"
    sources = {"dashboard.json": observability / "grafana" / "dashboards" / "mirror-on-miss.json"}
    for path in sorted((observability / "prometheus").glob("*.yml")):
        if "groups" in yaml.safe_load(path.read_text()):
            sources[f"rules/{path.name}"] = path
    component = yaml.safe_load((CONFIGURATION / "kustomization.yaml").read_text())
    for name in component["configMapGenerator"][0]["files"]:
        sources[f"configuration/{name}"] = CONFIGURATION / name
    return {CHART / "files" / name: path.read_text() for name, path in sources.items()}


def schema_of_values() -> str:
    """Returns the schema of the chart's values with that of the module's configuration in it.

    What the chart gives itself is not required: the bucket's and the origin's names.
    """
    values = json.loads((CHART / "values.schema.json").read_text())
    configuration = json.loads((CHECKOUT / "docs" / "configuration.schema.json").read_text())
    for field in ("$schema", "oneOf", "required"):
        del configuration[field]
    del configuration["properties"]["bucket"]["required"]
    configuration["properties"]["origin"] = {**configuration["$defs"]["origin"]}
    del configuration["properties"]["origin"]["required"]
    text = json.dumps(configuration).replace("#/$defs/", "#/definitions/configuration/definitions/")
    # Helm's regular expressions are Go's.
    text = text.replace(r"\\u00", r"\\x")
    configuration = {**json.loads(text), "definitions": json.loads(text)["$defs"]}
    del configuration["$defs"]
    values["definitions"]["configuration"] = configuration
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


@functools.cache
def manifests() -> dict[Path, str]:
    """Returns every file that is written, with its text."""
    return {
        KUBERNETES / "components" / "prometheus-operator" / "rules.yaml": alerts(),
        KUBERNETES / "overlays" / "istio" / "custom_bootstrap.json": bootstrap(),
        CHART / "values.schema.json": schema_of_values(),
        **chart(),
        **marked(),
    }


if __name__ == "__main__":
    for path, text in manifests().items():
        path.write_text(text)
