"""Where an origin is reached: IPv6, and several addresses of which one is dead."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from doubles import ScriptedOrigin, StrictBucket
from stack.render import named

from .conftest import Start, Unique
from .site import DEAD_PORT, eventually, running

BODY = bytes(range(256))


class Ipv6Origin(ScriptedOrigin):
    """The same origin, on IPv6 alone."""

    bind = ("::1", 0)

    @property
    def authority(self) -> str:
        return f"[::1]:{self.port}"


def test_an_origin_on_ipv6_fills_the_bucket(tmp_path: Path, unique: Unique) -> None:
    with (
        Ipv6Origin() as origin,
        running(tmp_path, origin, StrictBucket(), workers=1) as site,
    ):
        path = unique()
        origin.put(path, BODY)
        assert site.follow(site.ask(path)).body == BODY
        (asked,) = origin.asked(path)
        assert asked.header("host") == origin.authority


def test_an_address_that_is_dead_is_left_alone_and_costs_no_object(start: Start, unique: Unique) -> None:
    site = start(edit_edge=add_dead_address)
    for number in range(20):
        path = unique(f"{number}.bin")
        site.origin.put(path, BODY)
        assert site.follow(site.ask(path)).body == BODY
    ejected = "cluster.origin.outlier_detection.ejections_active"
    eventually(lambda: site.stats("^cluster.origin.outlier_detection").get(ejected), 1)


def add_dead_address(edge: dict[str, Any]) -> None:
    """Gives the origin a second address, each of them a host, as `STRICT_DNS` makes them of one name."""
    cluster = named(edge["static_resources"]["clusters"], "origin")
    cluster["type"] = "STRICT_DNS"
    endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    dead = copy.deepcopy(endpoints[0])
    dead["endpoint"]["address"]["socket_address"]["port_value"] = DEAD_PORT
    endpoints.append(dead)
