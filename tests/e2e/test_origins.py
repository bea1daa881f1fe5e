"""Origins as they are, through the real Envoy: gateways that cut, refusals of ranges, HTTP/2, raw names."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from doubles import replies
from doubles.replies import Reply, Script, Then
from doubles.wire import Request
from stack.children import free_ports
from stack.render import named

from .conftest import Start, Unique
from .site import Site

BODY = bytes(range(256)) * 8
MIB = 1 << 20
PART_SIZE = 6 * MIB
"""The default of `limits.part_size`."""


def by_range(ranged: Script, whole: Script) -> Script:
    """Answers a request with `Range` in one way and one without in another."""
    return lambda request: (ranged if request.header("range") else whole)(request)


def a_gateway_that_cuts(request: Request) -> Reply:
    """Says 200 to a range, and sends a part."""
    return replies.status(200, {"Content-Range": f"bytes 0-999/{len(BODY)}"}, BODY[:1000])(request)


REFUSALS = {status: replies.status(status) for status in (400, 403, 405, 501, 503)}
UNUSABLE = {
    "a 200 with Content-Range": a_gateway_that_cuts,
    "an unknown total": replies.partial("bytes 0-999/*", BODY[:1000]),
    "another range": replies.partial(f"bytes 1-1000/{len(BODY)}", BODY[1:1001]),
    "multipart/byteranges": replies.status(206, {"Content-Type": "multipart/byteranges; boundary=a"}, b"--a"),
    **{f"a {status}": script for status, script in REFUSALS.items()},
}


@pytest.mark.parametrize("ranged", UNUSABLE.values(), ids=UNUSABLE)
def test_what_is_no_answer_to_a_range_is_asked_for_without_one(
    strict: Site, unique: Unique, ranged: Script
) -> None:
    path = unique()
    strict.origin.script(path, by_range(ranged, replies.resource(BODY, ranges=False)))
    assert strict.follow(strict.ask(path)).body == BODY
    assert strict.stored(path) == BODY
    assert strict.origin.asked(path)[-1].header("range") is None


def test_an_origin_that_caps_its_ranges_is_asked_for_as_many_as_it_takes(
    strict: Site, unique: Unique
) -> None:
    path, object_ = unique(), bytes(251) * (8 * MIB // 251)
    whole = replies.resource(object_)

    def capped(request: Request) -> Reply:
        first, last = (int(end) for end in (request.header("range") or "").removeprefix("bytes=").split("-"))
        range_ = f"bytes={first}-{min(last, first + MIB - 1)}"
        others = [(name, value) for name, value in request.headers if name.lower() != "range"]
        return whole(Request(request.line, [*others, ("range", range_)]))

    strict.origin.script(path, capped)
    assert strict.follow(strict.ask(path)).body == object_


@pytest.mark.parametrize("validators", [{"ETag": 'W/"a"'}, {"ETag": ""}], ids=["weak", "a date alone"])
def test_parts_that_nothing_joins_are_never_joined(
    strict: Site, unique: Unique, validators: dict[str, str]
) -> None:
    path, size = unique(), PART_SIZE + 1000
    old, new = b"o" * size, b"n" * size
    # Without a Date nobody knows how old the Last-Modified is.
    strict.origin.script(path, replies.resource(old, validators), replies.resource(new, validators))
    assert strict.follow(strict.ask(path)).body == new
    assert [request.header("range") for request in strict.origin.asked(path)] == ["bytes=0-6291455", None]


@pytest.mark.parametrize("name", [b"r\xc3\xa9sum\xc3\xa9.html", b"r\xe9sum\xe9.html"])
def test_what_must_be_downloaded_stays_so_whatever_its_name_is_written_in(
    strict: Site, unique: Unique, name: bytes
) -> None:
    path = unique("page.html")
    header = b'Content-Disposition: attachment; filename="' + name + b'"'
    strict.origin.script(path, replies.with_header_bytes(header, BODY))
    hit = strict.follow(strict.ask(path))
    assert hit.header("content-disposition") == "attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.html"


def test_each_request_to_an_origin_says_who_asks(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    strict.ask(path)
    (request,) = strict.origin.asked(path)
    assert (request.header("user-agent") or "").startswith("mirror-on-miss/")


def test_a_busy_origin_is_asked_again_and_says_how_long_to_wait(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.origin.script(path, replies.status(429), replies.resource(BODY))
    assert strict.follow(strict.ask(path)).body == BODY
    path = unique("other.bin")
    strict.origin.script(path, replies.status(429, {"Retry-After": "9"}))
    answer = strict.ask(path)
    assert (answer.status, answer.outcome, answer.header("retry-after")) == (502, "origin_unavailable", "9")
    assert strict.origin.count(path) == 3


def test_workers_share_the_rate_of_an_origin_and_who_waits_too_long_is_503(
    start: Start, unique: Unique
) -> None:
    site = start(plugin={"origin": {"rate": "1/h"}, "wait": "500ms"}, workers=2)
    paths = [unique(f"{number}.bin") for number in range(5)]
    for path in paths:
        site.origin.put(path, BODY)
    first, *others = [site.ask(path) for path in paths]
    assert site.follow(first).body == BODY
    for answer in others:
        assert (answer.status, answer.outcome, answer.header("retry-after")) == (503, "filling", "5")
    assert sum(map(site.origin.count, paths)) == 1


def test_over_http2_an_answer_without_a_length_has_an_end(start: Start, unique: Unique) -> None:
    (port,) = free_ports(1)
    plugin = {"origin": {"cluster": "over-http2", "http2": True}}
    site = start(plugin=plugin, edit_edge=lambda edge: add_http2_origin(edge, port))
    path = unique()
    # Envoy takes the chunks off on its way into HTTP/2.
    site.origin.script(path, replies.chunked(BODY))
    assert site.follow(site.ask(path)).body == BODY
    # A part of it with a reset is a failure, and not an end.
    path = unique("cut.bin")
    cut = replies.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Then.RESET)
    site.origin.script(path, cut)
    answer = site.ask(path)
    assert (answer.status, answer.outcome) == (502, "origin_unavailable")
    assert site.stored(path) is None


def test_an_answer_whose_end_is_that_of_the_connection_is_not_stored(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.origin.script(path, replies.close_delimited(BODY))
    answer = strict.ask(path)
    assert (answer.status, answer.outcome) == (502, "too_large")
    assert strict.stored(path) is None


def add_http2_origin(edge: dict[str, Any], port: int) -> None:
    """Adds a proxy that speaks HTTP/2 alone in front of the origin, and a cluster for it."""
    resources = edge["static_resources"]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "origin"}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network"
        ".http_connection_manager.v3.HttpConnectionManager",
        "codec_type": "HTTP2",
        "stat_prefix": "over_http2",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    resources["listeners"].append(
        {"name": "over-http2", "address": address, "filter_chains": [{"filters": filters}]}
    )
    cluster = copy.deepcopy(named(resources["clusters"], "origin"))
    cluster["name"] = cluster["load_assignment"]["cluster_name"] = "over-http2"
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"] = address
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    own = cluster.setdefault("typed_extension_protocol_options", {}).setdefault(options, {})
    own["@type"] = f"type.googleapis.com/{options}"
    own["explicit_http_config"] = {"http2_protocol_options": {}}
    resources["clusters"].append(cluster)
