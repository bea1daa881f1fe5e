"""An origin that speaks HTTP/2 itself, with trailers behind each body."""

from __future__ import annotations

import re
import socketserver
import threading
from types import TracebackType

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes

TRAILERS = [("x-checksum", "0123"), ("set-cookie", "trailing=1")]
"""What stands behind each body."""


class Http2Origin:
    """One object under each path, in ranges, over HTTP/2 with prior knowledge (RFC 9113, 3.3)."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.origin = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Http2Origin:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: str | None) -> tuple[list[tuple[str, str]], bytes]:
        """Returns the headers and the body for a `Range`, or for none."""
        headers, content = [("etag", '"1"'), ("content-type", "video/mp4")], self.content
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked or "")
        if found:
            first, last = int(found[1]), min(int(found[2]), len(content) - 1)
            headers.append(("content-range", f"bytes {first}-{last}/{len(content)}"))
            content = content[first : last + 1]
        status = "206" if found else "200"
        return [(":status", status), ("content-length", str(len(content))), *headers], content


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    origin: Http2Origin


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._http.initiate_connection()
        self._http.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 100})
        self._bodies: dict[int, bytes] = {}
        try:
            self.request.sendall(self._http.data_to_send())
            while data := self.request.recv(65536):
                for event in self._http.receive_data(data):
                    self._take(event)
                for stream in list(self._bodies):
                    self._send(stream)
                self.request.sendall(self._http.data_to_send())
        except OSError:
            pass  # The client has gone.

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            asked = {name.decode(): value.decode() for name, value in event.headers}
            assert isinstance(self.server, _Server)
            headers, body = self.server.origin.answer(asked.get("range"))
            self._http.send_headers(event.stream_id, headers)
            self._bodies[event.stream_id] = body
        elif isinstance(event, h2.events.StreamReset):
            self._bodies.pop(event.stream_id, None)

    def _send(self, stream: int) -> None:
        body = self._bodies[stream]
        while body and (room := self._http.local_flow_control_window(stream)):
            piece = min(room, self._http.max_outbound_frame_size)
            self._http.send_data(stream, body[:piece])
            body = body[piece:]
        self._bodies[stream] = body
        if not body:
            self._http.send_headers(stream, TRAILERS, end_stream=True)
            del self._bodies[stream]
