"""A second site in an edge: another bucket with another origin, told by its host or by its paths.

docs/several-sites.md tells the same to those who edit the files: which parts are copied, and which names are
replaced in the copies. Without a `host` the site is told by its paths, as in the transparent edge.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from . import render
from .render import named

FILTER = "mirror_on_miss"


@dataclass(frozen=True)
class Site:
    name: str
    """Ends the names of its filter and of its origin's cluster."""
    bucket: str
    """In the same store as the first one."""
    origin: str
    """Its URL."""
    host: str | None = None
    """The host by which clients reach it; None if they write /BUCKET/KEY at any host."""
    vm_id: str | None = None
    """The first site's, unless it is to have VMs and a table of its own."""


def add(edge: dict[str, Any], site: Site, first_bucket: str) -> None:
    """Adds a site to an edge that was adapted to the first one."""
    listeners, clusters = (edge["static_resources"][part] for part in ("listeners", "clusters"))
    origin = copy.deepcopy(named(clusters, "origin"))
    origin["name"] = origin["load_assignment"]["cluster_name"] = f"origin-{site.name}"
    render.connect(origin, urlsplit(site.origin))
    clusters.append(origin)
    for listener in listeners:
        manager = render.manager_of(listener)
        filters = manager["http_filters"]
        if any(each["name"] == FILTER for each in filters):
            place = filters.index(named(filters, FILTER))
            filters.insert(place, _filter(filters[place], site))
        names = {first_bucket: site.bucket, FILTER: f"{FILTER}_{site.name}"}
        hosts = manager["route_config"]["virtual_hosts"]
        if site.host:
            hosts.append({**_replaced(hosts[0], names), "name": site.name, "domains": [site.host]})
        else:
            routes = hosts[0]["routes"]
            own = [route for route in routes if f"/{first_bucket}" in json.dumps(route)]
            place = routes.index(own[-1]) + 1
            routes[place:place] = [_replaced(route, names) for route in own]


def allow(signer: dict[str, Any], site: Site, first_bucket: str) -> None:
    """Has the signer take objects of the site's bucket, too."""
    manager = render.manager_of(signer["static_resources"]["listeners"][0])
    rules = named(manager["http_filters"], "envoy.filters.http.rbac")["typed_config"]["rules"]["policies"]
    first = rules["not-an-object-of-the-bucket"]
    outside, root = first["permissions"]
    both = [outside["not_rule"], _replaced(outside["not_rule"], {first_bucket: site.bucket})]
    roots = [root, _replaced(root, {first_bucket: site.bucket})]
    first["permissions"] = [{"not_rule": {"or_rules": {"rules": both}}}, *roots]


def _filter(first: dict[str, Any], site: Site) -> dict[str, Any]:
    """Copies the filter. Each of them has a configuration of its own: Envoy knows none for a route."""
    own = copy.deepcopy(first)
    own["name"] = f"{FILTER}_{site.name}"
    module = own["typed_config"].get("extension_config", own)["typed_config"]["config"]
    if site.vm_id:
        module["vm_config"]["vm_id"] = site.vm_id
    configuration = json.loads(module["configuration"]["value"])
    configuration["bucket"]["path_prefix"] = f"/{site.bucket}"
    url = urlsplit(site.origin)
    configuration["origin"] = {"cluster": f"origin-{site.name}", "authority": render.authority(url)}
    module["configuration"]["value"] = json.dumps(configuration)
    return own


def _replaced(node: Any, names: Mapping[str, str]) -> Any:
    """Replaces names in texts, and those of filters where they are keys."""
    if isinstance(node, dict):
        return {names.get(key, key): _replaced(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, names) for value in node]
    if isinstance(node, str):
        for old, new in names.items():
            node = node.replace(f"/{old}", f"/{new}")
    return node
