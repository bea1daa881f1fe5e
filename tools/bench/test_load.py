"""The load makes the given calls: its measurements depend on that."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stack.render import CHECKOUT

from .native import BUILT, Call, Loader

SLOW = 0.05
"""Seconds."""


class Server(ThreadingHTTPServer):
    """A server that has nothing, takes everything, and breaks off where a test wants it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, str | None, str | None, int]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        number = self.headers.get("x-number")
        self.server.seen.append((self.command, self.path, self.headers["host"], number, len(body)))
        if self.path.startswith("/break-off/"):
            self.close_connection = True
            return
        moved = self.path.startswith("/moved/")
        if self.path.startswith("/moved/slowly/"):
            time.sleep(SLOW)
        self.send_response(302 if moved else 200 if self.command == "PUT" else 404)
        if moved:
            self.send_header("location", f"{self.server.url}{self.path.removeprefix('/moved')}")
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"body")

    do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@pytest.fixture(scope="module")
def binary() -> Path:
    """Builds the load in the way that takes cargo the least time."""
    manifest = CHECKOUT / "tools" / "bench" / "Cargo.toml"
    options = ["--quiet", "--locked", "--manifest-path", manifest, "--target-dir", BUILT]
    subprocess.run(["cargo", "build", *options, "--package", "bench-native", "--bin", "load"], check=True)
    return BUILT / "debug" / "load"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_client_makes_all_calls_of_a_number_in_their_order_before_those_of_the_next(
    binary: Path, server: Server
) -> None:
    loader = Loader(asked=7, binary=binary)
    get = Call(f"{server.url}/a/{{n}}", headers={"host": "a.test"})
    put = Call(f"{server.url}/b/{{n}}", "PUT", {"x-number": "{n}"}, body=3)
    load = loader.run(get, put, requests=2).expect(404, 200)
    own = f"127.0.0.1:{server.server_port}"
    assert server.seen == [
        ("GET", "/a/7", "a.test", None, 0),
        ("PUT", "/b/7", own, "7", 3),
        ("GET", "/a/8", "a.test", None, 0),
        ("PUT", "/b/8", own, "8", 3),
    ]
    assert load.requests == 2
    assert [len(each) for each in load.ms] == [2, 2]
    assert load.bytes == 16
    assert load.cpu_seconds > 0
    assert loader.asked >= 9


def test_clients_share_the_numbers(binary: Path, server: Server) -> None:
    loader = Loader(binary=binary)
    for _ in range(2):
        loader.run(Call(f"{server.url}/{{n}}"), connections=4, requests=9).expect(404)
    assert len({path for _, path, *_ in server.seen}) == 18


def test_a_number_whose_calls_were_not_all_answered_has_no_times(binary: Path, server: Server) -> None:
    calls = [Call(f"{server.url}/{kind}/{{n}}") for kind in ("a", "break-off", "c")]
    load = Loader(binary=binary).run(*calls, requests=2)
    assert load.statuses == {"404 failed": 2}
    assert load.ms == [[], [], []]
    assert [path for _, path, *_ in server.seen] == ["/a/0", "/break-off/0", "/a/1", "/break-off/1"]


def test_a_redirect_is_followed_within_its_call(binary: Path, server: Server) -> None:
    call = Call(f"{server.url}/moved/{{n}}")
    load = Loader(binary=binary).run(call, requests=1, follow=True).expect(404)
    assert [path for _, path, *_ in server.seen] == ["/moved/0", "/0"]
    assert load.bytes == 8


def test_each_number_has_the_size_of_its_place_in_its_path_and_in_its_body(
    binary: Path, server: Server, tmp_path: Path
) -> None:
    sizes = tmp_path / "sizes"
    sizes.write_text("3\n5\n")
    put = Call(f"{server.url}/{{size}}/{{n}}", "PUT", body="{size}")
    Loader(binary=binary).run(put, requests=3, sizes=sizes).expect(200)
    assert [(path, length) for _, path, _, _, length in server.seen] == [
        ("/3/0", 3),
        ("/5/1", 5),
        ("/3/2", 3),
    ]


def test_the_first_byte_is_that_of_the_object_and_not_of_what_redirected_to_it(
    binary: Path, server: Server
) -> None:
    load = Loader(binary=binary).run(Call(f"{server.url}/moved/slowly/{{n}}"), requests=1, follow=True)
    assert SLOW * 1000 <= load.first_ms[0][0] <= load.ms[0][0]
