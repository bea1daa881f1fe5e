"""Origins by several addresses, and origins that speak nothing but HTTP/2, as start.sh has them asked."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from doubles import ScriptedOrigin
from doubles.dns import NameServer
from doubles.large_origin import Large, LargeOrigin
from stack import OriginAccess
from stack.children import free_ports
from stack.render import named

from .conftest import Start, Unique
from .site import Site

BODY = b"an object\n"
MIB = 1 << 20
DEAD = "127.0.0.2"
"""An address of this machine on which no origin listens."""


def resolver(server: NameServer) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": server.port}}
    typed = {
        "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        "resolvers": [address],
        "dns_resolver_options": {"no_default_search_domain": True},
    }
    return {"name": "envoy.network.dns_resolver.cares", "typed_config": typed}


def looked_up(server: NameServer) -> Any:
    """Has the origin's cluster look its name up at this server."""

    def edit(edge: dict[str, Any]) -> None:
        cluster = named(edge["static_resources"]["clusters"], "origin")
        cluster["typed_dns_resolver_config"] = resolver(server)

    return edit


def over_http2(edge: dict[str, Any], port: int, behind: int) -> None:
    """Adds a proxy that speaks HTTP/2 alone in front of an origin at another port."""
    resources = edge["static_resources"]
    cluster = copy.deepcopy(named(resources["clusters"], "origin"))
    cluster["name"] = cluster["load_assignment"]["cluster_name"] = "behind"
    options = cluster["typed_extension_protocol_options"]
    options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]["explicit_http_config"] = {
        "http_protocol_options": {}
    }
    place = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    place["address"]["socket_address"]["port_value"] = behind
    resources["clusters"].append(cluster)
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    network = "type.googleapis.com/envoy.extensions.filters.network"
    route = {"match": {"prefix": "/"}, "route": {"cluster": "behind", "timeout": "0s"}}
    only_http2 = {
        "@type": f"{network}.http_connection_manager.v3.HttpConnectionManager",
        "codec_type": "HTTP2",
        "stat_prefix": "over_http2",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": only_http2}]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    listener = {"name": "over-http2", "address": address, "filter_chains": [{"filters": filters}]}
    resources["listeners"].append(listener)


def fill(site: Site, unique: Unique, count: int) -> list[int]:
    """Fills as many objects. Returns the statuses that their clients got."""
    statuses = []
    for number in range(count):
        path = unique(f"{number}.bin")
        site.origin.put(path, BODY)
        statuses.append(site.ask(path).status)
    return statuses


def test_an_address_that_fails_is_left_alone_and_the_others_serve(
    start: Start, unique: Unique, origin: ScriptedOrigin
) -> None:
    with NameServer(DEAD, "127.0.0.1") as server:
        url = f"http://files.test:{origin.port}"
        site = start(origin=url, access=OriginAccess(strict_dns=True), edit_edge=looked_up(server))
        assert fill(site, unique, 16) == [302] * 16
        stats = site.stats("^cluster.origin.(membership|outlier_detection)")
        assert stats["cluster.origin.membership_total"] == 2
        assert stats["cluster.origin.outlier_detection.ejections_enforced_total"] >= 1


@pytest.mark.parametrize("strict_dns", [False, True])
def test_an_origin_that_answers_on_ipv6_alone_is_found(
    start: Start, unique: Unique, strict_dns: bool
) -> None:
    class OnIpv6(ScriptedOrigin):
        bind = ("::1", 0)

    with OnIpv6() as origin, NameServer("127.0.0.1", "::1") as server:
        url = f"http://files.test:{origin.port}"
        site = start(origin=url, access=OriginAccess(strict_dns=strict_dns), edit_edge=looked_up(server))
        site = Site(site.stack, site.store, origin)
        assert fill(site, unique, 4) == [302] * 4


@pytest.mark.parametrize("wiring", ["redirect", "transparent"])
def test_an_origin_that_speaks_http2_alone_fills_a_large_object(
    start: Start, unique: Unique, wiring: str
) -> None:
    (port,) = free_ports(1)
    with LargeOrigin() as origin:
        site = start(
            origin=f"http://127.0.0.1:{port}",
            access=OriginAccess(http2=True),
            edit_edge=lambda edge: over_http2(edge, port, origin.port),
            wiring=wiring,
        )
        path = unique("film.mp4")
        large = origin.put(path, Large(40 * MIB))
        hit = site.follow(site.ask(path)) if wiring == "redirect" else site.ask(f"/mirror{path}")
        assert (hit.status, hit.body) == (200, large.content(range(large.size)))
