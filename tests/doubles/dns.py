"""**A name server that knows one name, with the addresses that a test gives it.**"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading

TYPES = {1: 4, 28: 6}
"""A and AAAA, and the version of the addresses in them (RFC 1035, RFC 3596)."""

TTL = 300


class NameServer:
    """Runs between entry and exit, on a free UDP port of 127.0.0.1. Each name has these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = [ipaddress.ip_address(address) for address in addresses]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self) -> NameServer:
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(512)
            if not question:
                return
            self._socket.sendto(self._answer(question), client)

    def _answer(self, query: bytes) -> bytes:
        """Answers the first question of a query. A name is lengths and labels, and ends with a 0."""
        end = query.index(0, 12) + 5
        question = query[12:end]
        (kind,) = struct.unpack("!H", question[-4:-2])
        found = [address.packed for address in self._addresses if address.version == TYPES.get(kind)]
        records = [struct.pack("!HHHIH", 0xC00C, kind, 1, TTL, len(packed)) + packed for packed in found]
        header = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0)
        return header + question + b"".join(records)
