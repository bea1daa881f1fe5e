"""What a manifest takes from Envoy's shared configuration stands between two marks, or before one:

    # <edge.yaml: origin/circuit_breakers>
    ...
    # </edge.yaml>

    streamIdleTimeout: 60s  # <edge.yaml: stream_idle_timeout>

`| FORM` behind the path says that it is written in another form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from .excerpts import Source

BLOCK = re.compile(
    r"^(?P<indent> *)# <(?P<file>[\w.]+): (?P<what>[^>]+)>\n(?P<old>.*?)^ *# </(?P=file)>$", re.M | re.S
)
INLINE = re.compile(r"^(?P<key> *(?:- )?[\w@-]+: ).*(?P<mark>  # <(?P<file>[\w.]+): (?P<what>[^>]+)>)$", re.M)

VARIABLES = {
    ("bucket", "authority"): "STORE",
    ("bucket", "cluster"): "SIGNER_CLUSTER",
    ("bucket", "path_prefix"): "BUCKET",
    ("origin", "authority"): "ORIGIN",
    ("origin", "cluster"): "ORIGIN_CLUSTER",
    ("origin", "stream_cluster"): "STREAM_CLUSTER",
}
"""What a site chooses, where the module reads it from variables of its VM."""


def filled(text: str, sources: Mapping[str, Source]) -> str:
    """Returns the manifest with everything between and before its marks as the configuration has it now."""

    def block(match: re.Match[str]) -> str:
        lines = excerpt(sources[match["file"]], match["what"])
        indented = "".join(f"{match['indent']}{line}".rstrip() + "\n" for line in lines)
        first, last = match[0].splitlines()[0], match[0].splitlines()[-1]
        return f"{first}\n{indented}{last}"

    def inline(match: re.Match[str]) -> str:
        (value,) = excerpt(sources[match["file"]], match["what"])
        return f"{match['key']}{value}{match['mark']}"

    return INLINE.sub(inline, BLOCK.sub(block, text))


def excerpt(source: Source, what: str) -> list[str]:
    path, _, form = what.partition(" | ")
    return FORMS[form](source, path) if form else source.text(path)


def _patches(source: Source, path: str) -> list[str]:
    """Returns JSON patches that put each item at the front of the list of Envoy Gateway's own bootstrap."""
    lines = []
    for item in source.value(path):
        lines += ["- op: add", f"  path: /stats_config/{path}/0", f"  value: {_flow(item)}"]
    return lines


def _fields(source: Source, path: str) -> list[str]:
    """Returns a JSON object as YAML, a line for each field."""
    return [f"{name}: {_flow(value)}" for name, value in json.loads(source.value(path)).items()]


def _variables(source: Source, path: str) -> list[str]:
    return ["value: |", *(f"  {line}" for line in _json(json.loads(source.value(path))))]


def _variables_and_location(source: Source, path: str) -> list[str]:
    """Returns that of an edge that follows redirects itself, to a URL that the site chooses."""
    configuration = {**json.loads(source.value(path)), "location": {"env": "LOCATION"}}
    return ["value: |", *(f"  {line}" for line in _json(configuration))]


def _without_streams(source: Source, path: str) -> list[str]:
    """Returns the same for an edge that has no routes for streams."""
    configuration = {**json.loads(source.value(path)), "location": {"env": "LOCATION"}}
    del configuration["stream"], configuration["origin"]["stream_cluster"]
    return ["value: |", *(f"  {line}" for line in _json(configuration))]


def _module(source: Source, path: str) -> list[str]:
    """Returns the filter in WebAssembly without `code`, so that what follows goes on in `vm_config`."""
    filter_, json_, code = (source.part(f"{path}{inner}") for inner in ("", "/configuration/value", "/code"))
    lines = source.lines(filter_)
    before = lines[: json_.node.start_mark.line - filter_.first]
    after = lines[json_.last + 1 - filter_.first : code.node.start_mark.line - filter_.first]
    indent = " " * (len(before[-1]) - len(before[-1].lstrip(" ")))
    value = _variables(source, f"{path}/configuration/value")
    assert code.last == filter_.last, "`code` is not the last field of the filter"
    return [*before, *(f"{indent}{line}" for line in value), *after]


def _json(configuration: dict[str, Any]) -> list[str]:
    for (service, field), name in VARIABLES.items():
        if field in configuration[service]:
            configuration[service][field] = {"env": name}
    text = json.dumps(configuration, indent=2)
    return re.sub(r'\{\s*("env": "\w+")\s*\}', r"{\1}", text).splitlines()


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return text.removesuffix("\n...\n").removesuffix("\n")


FORMS: Mapping[str, Callable[[Source, str], list[str]]] = {
    "fields": _fields,
    "module": _module,
    "patches": _patches,
    "variables": _variables,
    "variables and LOCATION": _variables_and_location,
    "variables and LOCATION, without streams": _without_streams,
}
