"""HTTP/2 as no well-behaved client speaks it: frames by hand, and nothing read unless asked for.

Header fields are literals without Huffman coding or indexing (RFC 7541, 6.2.2), so that no library is needed.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
REFUSED_STREAM = b"\7"
"""The end of that error code."""
OK = 0x88
"""`:status 200` by its index in the static table (RFC 7541, appendix A)."""

Frame = tuple[int, int, int, bytes]
"""Type, flags, stream, payload."""


class Http2Connection:
    """A connection whose client has windows of `window` bytes, and never makes them larger."""

    def __init__(self, url: str, window: int = 65535, timeout: float = 20) -> None:
        host, port = urlsplit(url).netloc.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout)
        self._stream = -1
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        self._socket.sendall(PREFACE + _frame(SETTINGS, 0, 0, settings))

    def __enter__(self) -> Http2Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def request(self, path: str, headers: Iterable[tuple[str, str]] = (), *, end: bool = True) -> int:
        """Sends the headers of a GET. Returns the stream's number."""
        self._stream += 2
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path), *headers]
        block = b"".join(_literal(name, value) for name, value in fields)
        self._socket.sendall(_frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), self._stream, block))
        return self._stream

    def data(self, stream: int, content: bytes) -> None:
        """Sends content of a request, and its end."""
        self._socket.sendall(_frame(DATA, END_STREAM, stream, content))

    def ping(self) -> list[Frame]:
        """Returns all frames that came before the answer to a PING."""
        self._socket.sendall(_frame(PING, 0, 0, bytes(8)))
        came = []
        for frame in self.frames():
            if frame[:2] == (PING, ACK):
                return came
            came.append(frame)
        raise ConnectionError("closed before it answered a PING")

    def frames(self) -> Iterator[Frame]:
        """Yields the frames that come, until the connection ends."""
        while head := self._read(9):
            (length,) = struct.unpack(">I", b"\0" + head[:3])
            (stream,) = struct.unpack(">I", head[5:])
            yield head[3], head[4], stream, self._read(length)

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self._socket.recv(length - len(data))
            if not piece:
                return b""
            data += piece
        return data


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _literal(name: str, value: str) -> bytes:
    return b"\0" + _string(name) + _string(value)


def _string(text: str) -> bytes:
    data, prefix = text.encode(), 127
    if len(data) < prefix:
        return bytes([len(data)]) + data
    rest = len(data) - prefix
    assert rest < 128, "a longer integer needs more bytes (RFC 7541, 5.1)"
    return bytes([prefix, rest]) + data
