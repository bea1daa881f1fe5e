"""An Envoy Lua filter that copies. It has all of an object in memory; Envoy gives a call 32 MiB at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..edges import bare, connection_manager, object_route

SOURCE = Path(__file__).with_name("copy.lua")
TYPES = "type.googleapis.com/envoy.extensions.filters.http.lua.v3"


def copy(origin: str, edge: dict[str, Any]) -> None:
    """Puts the copy in the place of the filter, for the objects alone."""
    bare(edge)
    route = object_route(edge)
    code = (
        SOURCE.read_text().replace("ORIGIN", origin).replace("BUCKET", route["route"]["host_rewrite_literal"])
    )
    filters = connection_manager(edge)["http_filters"]
    filters.insert(len(filters) - 1, {"name": "copy", "typed_config": {"@type": f"{TYPES}.Lua"}})
    own = {"@type": f"{TYPES}.LuaPerRoute", "source_code": {"inline_string": code}}
    route["typed_per_filter_config"]["copy"] = own
