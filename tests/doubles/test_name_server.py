"""The name server, asked as a resolver asks it."""

from __future__ import annotations

import socket
import struct

from .dns import NameServer

A, AAAA, TXT = 1, 28, 16


def records(server: NameServer, kind: int) -> list[bytes]:
    """Asks for the records of a name. Returns their data."""
    name = b"".join(bytes([len(label)]) + label for label in (b"files", b"test")) + b"\0"
    query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(query, ("127.0.0.1", server.port))
        answer = client.recv(512)
    identity, flags, questions, count = struct.unpack("!HHHH", answer[:8])
    assert (identity, flags & 0x800F, questions) == (7, 0x8000, 1)
    found, rest = [], answer[len(query) :]
    for _ in range(count):
        length = struct.unpack("!H", rest[10:12])[0]
        found.append(rest[12 : 12 + length])
        rest = rest[12 + length :]
    assert rest == b""
    return found


def test_a_name_has_the_addresses_of_the_asked_kind() -> None:
    with NameServer("127.0.0.1", "127.0.0.2", "::1") as server:
        assert records(server, A) == [b"\x7f\0\0\x01", b"\x7f\0\0\x02"]
        assert records(server, AAAA) == [bytes(15) + b"\x01"]
        assert records(server, TXT) == []
