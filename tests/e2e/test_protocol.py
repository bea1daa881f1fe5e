"""HTTP as old clients and old proxies speak it: HTTP/1.0, and offers of another protocol."""

from __future__ import annotations

import pytest

from .client import Answer
from .conftest import Unique
from .site import Wired

BODY = b"an object\n" * 4000


def ask_with_1_0(wired: Wired, target: str, *fields: str) -> Answer:
    """Sends a request as HTTP/1.0, with a `Host` only if it is given."""
    with wired.site.open() as connection:
        lines = [f"GET {wired.bucket}{target} HTTP/1.0", *fields, "", ""]
        connection.send_raw("\r\n".join(lines).encode())
        return connection.receive("GET")


@pytest.mark.parametrize("host", [["Host: files.example.net"], []])
def test_http_1_0_is_served(wired: Wired, unique: Unique, host: list[str]) -> None:
    cold = unique()
    wired.site.origin.put(cold, BODY)
    answer = ask_with_1_0(wired, cold, *host)
    if not wired.follows:
        assert (answer.status, answer.header("location")) == (302, cold)
        answer = ask_with_1_0(wired, cold, *host)
    assert (answer.status, answer.body, answer.header("transfer-encoding")) == (200, BODY, None)
    assert ask_with_1_0(wired, unique("missing"), *host).status == 404
    assert ask_with_1_0(wired, unique(under="/dead"), *host).status == 502


@pytest.mark.parametrize("offer", ["TLS/1.2", "TLS/1.0, HTTP/2.0", "websocket", "h2c", "IRC/6.9"])
def test_an_offer_to_upgrade_is_ignored(wired: Wired, unique: Unique, offer: str) -> None:
    cold = unique()
    wired.site.origin.put(cold, BODY)
    headers = [
        ("connection", "upgrade, http2-settings"),
        ("upgrade", offer),
        ("http2-settings", "AAMAAABkAAQAAP__"),
    ]
    answer = wired.read(cold, headers=headers)
    assert (answer.status, answer.body) == (200, BODY)
    assert "upgrade" not in answer.names
    for call in wired.site.store.requests.matching(lambda call: call.key == cold[1:]):
        assert "upgrade" not in {name.lower() for name, _ in call.request.headers}


def test_a_tunnel_is_refused(wired: Wired) -> None:
    with wired.site.open() as connection:
        connection.send_raw(b"CONNECT mirror.example:443 HTTP/1.1\r\nHost: mirror.example:443\r\n\r\n")
        assert connection.receive("CONNECT").status in (403, 404, 405)
