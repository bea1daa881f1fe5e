"""Other forms of the edge: those that it is compared with, and the ways that a fill's own requests take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stack.render import named, plugin_of

from .native import COPY_FILTER, EMPTY_FILTER

FILTER = "mirror_on_miss"

BUCKET_HOST = "bucket.bench"
FETCH_HOST = "origin.bench"
"""Hosts at the edge for the bucket's or the origin's own answers."""


def bare(edge: dict[str, Any]) -> None:
    """Makes the same Envoy without the filter."""
    manager = connection_manager(edge)
    manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] != FILTER]
    del object_route(edge)["typed_per_filter_config"][FILTER]


def bare_transparent(edge: dict[str, Any]) -> None:
    """Makes the transparent edge without its way to the filter and back."""
    route = object_route(edge)["route"]
    route["cluster"] = "bucket"
    del route["retry_policy"], route["internal_redirect_policy"]


def unmatched(edge: dict[str, Any]) -> None:
    """Makes the filter without the matcher that keeps responses from it, as where others configure Envoy."""
    module = named(connection_manager(edge)["http_filters"], FILTER)
    module["typed_config"] = module["typed_config"]["extension_config"]["typed_config"]


def empty(edge: dict[str, Any], wasm: Path = EMPTY_FILTER) -> None:
    """Makes the same Envoy with a filter that does nothing, and no matcher either."""
    unmatched(edge)
    vm = plugin_of(edge)["vm_config"]
    vm["vm_id"] = "empty"
    vm["code"]["local"]["filename"] = str(wasm)


def copying(origin: str, edge: dict[str, Any]) -> None:
    """Puts a filter in the place of ours that fetches, stores and redirects, and does nothing else."""
    plugin = plugin_of(edge)
    plugin["vm_config"] |= {"vm_id": "copy", "code": {"local": {"filename": str(COPY_FILTER)}}}
    plugin["configuration"] |= {"value": f"{origin}\n{object_route(edge)['route']['host_rewrite_literal']}"}


def connection_manager(edge: dict[str, Any]) -> dict[str, Any]:
    listener = named(edge["static_resources"]["listeners"], "edge")
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def object_route(edge: dict[str, Any]) -> dict[str, Any]:
    host = named(connection_manager(edge)["route_config"]["virtual_hosts"], "bucket")
    return named(host["routes"], "object")


def to_halves(origin: str, edge: dict[str, Any]) -> None:
    """Adds the ways that a fill's requests take to the origin and the bucket, for other clients too."""
    to_bucket = {**object_route(edge)["route"], "cluster": "bucket"}
    if to_bucket.pop("internal_redirect_policy", None):
        # In the transparent wiring, what is repeated is for the filter.
        del to_bucket["retry_policy"]
    to_origin = {"cluster": "origin", "host_rewrite_literal": origin, "timeout": "0s"}
    hosts = connection_manager(edge)["route_config"]["virtual_hosts"]
    for host, action in ((BUCKET_HOST, to_bucket), (FETCH_HOST, to_origin)):
        routes = [{"match": {"prefix": "/"}, "route": action}]
        hosts.append({"name": host, "domains": [host], "routes": routes})
