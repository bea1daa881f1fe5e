"""An Envoy Lua filter that copies. It has all of an object in memory; Envoy gives a call 32 MiB at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..edges import connection_manager, object_route

SOURCE = Path(__file__).with_name("copy.lua")


def copy(origin: str, edge: dict[str, Any]) -> None:
    bucket = object_route(edge)["route"]["host_rewrite_literal"]
    code = SOURCE.read_text().replace("ORIGIN", origin).replace("BUCKET", bucket)
    config = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": code},
    }
    filters = connection_manager(edge)["http_filters"]
    filters.insert(len(filters) - 1, {"name": "copy", "typed_config": config})
