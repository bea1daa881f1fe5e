"""A client that sends exactly the given bytes: it normalises no path and follows no redirect."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT = 40.0
"""Seconds of silence. Above every wait that the filter causes, below Envoy's idle timeout."""

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One answer; header names in lower case, in the order of the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        values = [value for known, value in self.headers if known == name]
        assert len(values) <= 1, f"{name} more than once: {values}"
        return values[0] if values else None

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.headers}

    @property
    def outcome(self) -> str | None:
        return self.header("x-mirror-on-miss")


class Connection:
    """A connection to one server, usable for several requests."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        self.authority = urlsplit(url).netloc
        host, port = self.authority.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, method: str, target: str | bytes, headers: Headers = (), body: bytes = b"") -> None:
        target = target.encode("ascii") if isinstance(target, str) else target
        fields = [("host", self.authority), *headers]
        if body or method in ("POST", "PUT"):
            fields.append(("content-length", str(len(body))))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")
        self._socket.sendall(method.encode() + b" " + target + b" HTTP/1.1\r\n" + lines + b"\r\n" + body)

    def send_raw(self, data: bytes) -> None:
        """Anything, whether it is HTTP or not."""
        self._socket.sendall(data)

    def receive(self, method: str) -> Answer:
        response = http.client.HTTPResponse(self._socket, method=method)
        response.begin()
        headers = [(name.lower(), value) for name, value in response.getheaders()]
        answer = Answer(response.status, headers, response.read())
        response.close()
        return answer


def ask(
    url: str, target: str | bytes, method: str = "GET", headers: Headers = (), body: bytes = b""
) -> Answer:
    """Sends one request on a connection of its own."""
    with Connection(url) as connection:
        connection.send(method, target, headers, body)
        return connection.receive(method)


def target_of(location: str) -> str:
    """Returns the target that a client requests for a `Location` that is a path (RFC 3986, 5.2.2 and
    5.2.4).
    """
    assert location.startswith("/"), f"{location} is no path"
    assert not location.startswith("//"), f"{location} leaves the host"
    return location[2:] if location.startswith("/./") else location
