"""The commented routes of the edges that keep a prefix from the bucket, taken as they are written there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from doubles import StrictBucket
from doubles.large_origin import Large, LargeOrigin
from stack import Stack
from stack.render import FILES, manager_of, named, shipped

from .conftest import WIRINGS, Unique
from .site import Site

FILM = 20 << 20
NAME = "past-the-bucket"


def uncommented(wiring: str) -> list[list[dict[str, Any]]]:
    """Returns the routes of each listener, with those that are comments in the shipped file."""
    text = re.sub(
        rf"^( *)# (- name: {NAME}\n)((?: *#   .*\n)+)",
        lambda found: found[1] + found[2] + re.sub(r"(?m)^( *)# ", r"\1", found[3]),
        shipped(FILES[wiring]),
        flags=re.MULTILINE,
    )
    listeners = yaml.safe_load(text.replace("/my-bucket/live/", "/mirror/live/"))["static_resources"][
        "listeners"
    ]
    return [manager_of(listener)["route_config"]["virtual_hosts"][0]["routes"] for listener in listeners]


def with_routes(edge: dict[str, Any], wiring: str) -> None:
    """Puts these routes where the file has them."""
    for listener, routes in zip(edge["static_resources"]["listeners"], uncommented(wiring), strict=True):
        ours = manager_of(listener)["route_config"]["virtual_hosts"][0]["routes"]
        at = [route["name"] for route in routes].index(NAME)
        route = routes[at]
        if "route" in route:
            route["route"] = named(ours, "page")["route"]
        ours.insert(at, route)


@pytest.fixture(scope="module", params=WIRINGS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, str]]:
    wiring = request.param
    options = {
        "wiring": wiring,
        "workers": 1,
        "plugin": {"rules": [{"prefix": "/live/", "store": False}, {}]},
        "edit_edge": lambda edge: with_routes(edge, wiring),
    }
    with (
        LargeOrigin() as origin,
        StrictBucket() as store,
        Stack(tmp_path_factory.mktemp(wiring), store=store, origin=origin.url, **options) as stack,
    ):
        site = Site(stack, store, origin)
        yield site, WIRINGS[wiring]
        site.assert_module_healthy()


@pytest.mark.parametrize("size", [10, 100_000, FILM])
def test_the_origin_is_asked_and_not_the_bucket(site: tuple[Site, str], unique: Unique, size: int) -> None:
    (live, prefix), path = site, unique(str(size), under="/live")
    live.store.put(path[1:], b"what the bucket has is not served")
    for version in (1, 2):
        film = live.origin.put(path, Large(size, version, etag=f'"{version}"'))
        answer = live.ask(f"{prefix}{path}?v=1")
        answer = live.follow(answer) if answer.status == 302 else answer
        assert (answer.status, answer.outcome) == (200, "streamed" if size == FILM else "served")
        assert answer.body == film.content(range(size))
        head = live.ask(prefix + path, "HEAD")
        assert (head.status, head.header("content-length"), head.outcome) == (200, str(size), "head")
    assert live.store.requests.matching(lambda call: call.key == path[1:]) == []


def test_what_the_origin_has_not_is_404(site: tuple[Site, str], unique: Unique) -> None:
    (live, prefix), path = site, unique("missing", under="/live")
    answer = live.ask(prefix + path)
    assert (answer.status, answer.outcome) == (404, "not_found")


def test_the_others_are_the_buckets(site: tuple[Site, str], unique: Unique) -> None:
    (live, prefix), path = site, unique("a", under="/liver")
    live.store.put(path[1:], b"of the bucket")
    assert live.ask(prefix + path).body == b"of the bucket"
