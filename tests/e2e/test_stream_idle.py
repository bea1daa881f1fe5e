"""Clients that are passed to an origin and take nothing: they make room for others."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from stack.render import manager_of, named

from .conftest import WIRINGS, Start, Unique
from .site import eventually

MIB = 1 << 20
CLIENTS = 3


def impatient(edge: dict[str, Any]) -> None:
    """Has a stream's silence end sooner than the shipped 30 s."""
    for listener in edge["static_resources"]["listeners"]:
        routes = manager_of(listener)["route_config"]["virtual_hosts"][0]["routes"]
        if any(route["name"] == "stream" for route in routes):
            assert named(routes, "stream")["route"]["idle_timeout"] == "30s"
            named(routes, "stream")["route"]["idle_timeout"] = "1s"


def deaf(url: str, target: str) -> socket.socket:
    """Asks, and never reads."""
    address = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((address.hostname, address.port))
    client.sendall(f"GET {target} HTTP/1.1\r\nhost: {address.netloc}\r\n\r\n".encode())
    return client


@pytest.mark.parametrize("wiring", WIRINGS)
def test_a_client_that_takes_nothing_counts_no_longer(start: Start, unique: Unique, wiring: str) -> None:
    plugin = {
        "rules": [{"response": "serve"}],
        "wait": "1s",
        "limits": {"streams": CLIENTS, "streams_per_key": CLIENTS},
    }
    site, path = start(wiring=wiring, plugin=plugin, edit_edge=impatient), unique("film.mp4")
    body = bytes(40 * MIB)
    site.origin.put(path, body, {"ETag": '"1"'})
    # Nothing is stored, so its permit outlives the fill.
    site.store.fault("CreateMultipartUpload", path[1:], times=99, status=403, code="AccessDenied")
    target = f"{WIRINGS[wiring]}{path}?mirror-on-miss=stream"
    while site.ask(WIRINGS[wiring] + path, "HEAD").outcome != "streamed":
        pass
    clients = [deaf(site.stack.url, target) for _ in range(CLIENTS)]
    inner = "edge" if wiring == "redirect" else "miss"
    idle = f"http.{inner}.downstream_rq_idle_timeout"
    eventually(lambda: site.stats(idle).get(idle), CLIENTS)

    def read() -> int:
        answer = site.ask(WIRINGS[wiring] + path)
        return len((site.follow(answer) if answer.status == 302 else answer).body)

    eventually(read, len(body))
    for client in clients:
        client.close()
