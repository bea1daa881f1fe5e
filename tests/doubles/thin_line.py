"""**A thin line to a server of this machine: all connections together carry so many bytes a second to it.**

It is a TCP proxy. What comes back is not held up. It loses nothing; for lost packets there is `bench.line`.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

PIECE = 16 << 10
BUFFER = 64 << 10
"""Bytes that the kernel takes of a sender ahead of the line."""


class ThinLine:
    """Runs between entry and exit, on a free port of 127.0.0.1."""

    def __init__(self, port: int, rate: float) -> None:
        self._server = ("127.0.0.1", port)
        self._rate = rate
        self._turn = threading.Lock()
        self._listener = socket.socket()

    def __enter__(self) -> ThinLine:
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.authority = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for pump in (self._up, self._down):
                    threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(PIECE):
                with self._turn:
                    time.sleep(len(piece) / self._rate)
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := server.recv(PIECE):
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
