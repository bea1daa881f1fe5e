"""Trailers of an origin that speaks HTTP/2: they end a body, and go no further."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import h2.connection
import h2.events
import pytest

from doubles.http2_origin import TRAILERS, Http2Origin
from stack.origins import OriginAccess

from .client import TIMEOUT
from .conftest import WIRINGS, Start, Unique

MARKER = "mirror-on-miss=stream"
CONTENT = bytes(range(256)) * (7 << 12)
"""7 MiB, more than a part."""


def ask(url: str, target: str, headers: list[tuple[str, str]]) -> tuple[dict[str, str], bytes, Any]:
    """Asks over HTTP/2. Returns the headers, the body and the trailers, None without any."""
    came: dict[type, Any] = {}
    body = b""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), TIMEOUT) as client:
        http = h2.connection.H2Connection()
        http.initiate_connection()
        own = [(":method", "GET"), (":scheme", "http"), (":authority", address.netloc), (":path", target)]
        http.send_headers(1, [*own, *headers], end_stream=True)
        while h2.events.StreamEnded not in came:
            client.sendall(http.data_to_send())
            data = client.recv(65536)
            assert data, f"closed after {came}"
            for event in http.receive_data(data):
                came[type(event)] = event
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
                    http.acknowledge_received_data(event.flow_controlled_length, 1)
    answered = {name.decode(): value.decode() for name, value in came[h2.events.ResponseReceived].headers}
    trailers = came.get(h2.events.TrailersReceived)
    return answered, body, trailers and trailers.headers


@pytest.mark.parametrize("prefix", WIRINGS.values(), ids=WIRINGS)
def test_trailers_of_an_origin_reach_nobody(start: Start, unique: Unique, prefix: str) -> None:
    with Http2Origin(CONTENT) as origin:
        straight = ask(origin.url, "/a", [("range", "bytes=0-9")])
        assert straight[1:] == (CONTENT[:10], [(name.encode(), value.encode()) for name, value in TRAILERS])
        site = start(
            origin=origin.url,
            access=OriginAccess(http2=True),
            wiring="transparent" if prefix else "redirect",
            plugin={"rules": [{"response": "serve"}], "wait": "1s"},
        )
        path = unique("film.mp4")
        # Nothing is stored, so its permit outlives the fill.
        site.store.fault("CreateMultipartUpload", path[1:], status=403, code="AccessDenied")
        target = prefix + path
        if not prefix:
            first, _, _ = ask(site.stack.url, target, [])
            assert (first[":status"], first["location"]) == ("302", f"{path}?{MARKER}")
            target = first["location"]
        for asked, expected in [("bytes=5-9", CONTENT[5:10]), ("bytes=100-65635", CONTENT[100:65636])]:
            answered, body, trailers = ask(site.stack.url, target, [("range", asked)])
            assert (answered[":status"], answered["x-mirror-on-miss"]) == ("206", "streamed")
            assert (body, trailers) == (expected, None)
