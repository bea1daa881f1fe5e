"""The sample origin of `make run` and of the compose file: a small site, as any web server would serve it."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

SITE = Path(__file__).parent / "site"

LARGE = "/large.bin"
"""An object of several parts, which is no file of the site."""

LARGE_BODY = bytes(range(256)) * (20 * 1024 * 4)
"""20 MiB."""


class SampleOrigin:
    """Serves `site/` between entry and exit, and tells `log` of each request. While it is `down` it
    closes each connection without an answer.
    """

    def __init__(self, log: Callable[[str], None], address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._server = _Server(address, _Handler)
        self._server.log = log
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def down(self) -> bool:
        return self._server.down

    @down.setter
    def down(self, down: bool) -> None:
        self._server.down = down

    def __enter__(self) -> SampleOrigin:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    log: Callable[[str], None]
    down = False
    # By request path as a browser writes it, so that no path can lead out of the site.
    files = {f"/{quote(str(file.relative_to(SITE)))}": file for file in SITE.rglob("*") if file.is_file()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        if self.server.down:
            self.close_connection = True
            return
        self.server.log(f"origin: {self.command} {self.path}")
        path = self.path.partition("?")[0]
        file = self.server.files.get(path)
        if path == LARGE:
            body, file = LARGE_BODY, Path(__file__)
        elif file is not None:
            body = file.read_bytes()
        else:
            self._answer(404, b"no such page\n", {"Content-Type": "text/plain"})
            return
        headers = {
            "Content-Type": "application/octet-stream" if path == LARGE else content_type(file),
            # It is stored with the object: browsers then ask again at each click, and the terminal shows each
            # answer's source.
            "Cache-Control": "no-cache",
            "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True),
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            "Accept-Ranges": "bytes",
        }
        part = byte_range(self.headers.get("Range"), len(body))
        if part is None:
            self._answer(200, body, headers)
        elif len(part) == 0:
            self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        else:
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(body)}"
            self._answer(206, body[part.start : part.stop], headers)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Logs nothing: one line a request is enough, and do_GET writes it."""

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def content_type(file: Path) -> str:
    guessed = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed


def byte_range(header: str | None, size: int) -> range | None:
    """Returns the bytes that a Range header asks for, RFC 9110 section 14.2. Empty: none of them exist. None:
    all.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(size, int(last) + 1 if last else size))
