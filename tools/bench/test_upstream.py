"""The upstream is as slow as it is told: measurements beside a slow origin depend on that."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from stack.render import CHECKOUT

from .native import BUILT

FIRST = 16 << 10
"""Bytes that every answer begins with at once."""


@pytest.fixture(scope="module")
def binary() -> Path:
    """Builds the upstream in the way that takes cargo the least time."""
    manifest = CHECKOUT / "tools" / "bench" / "Cargo.toml"
    options = ["--quiet", "--locked", "--manifest-path", manifest, "--target-dir", BUILT]
    subprocess.run(["cargo", "build", *options, "--package", "bench-native", "--bin", "upstream"], check=True)
    return BUILT / "debug" / "upstream"


@pytest.fixture
def ports(binary: Path) -> Iterator[dict[str, int]]:
    """Runs upstreams whose origin takes a day and more for a piece."""
    with upstream(binary, "--origin-rate", "1") as ports:
        yield ports


@contextmanager
def upstream(*argv: str | Path) -> Iterator[dict[str, int]]:
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            yield json.loads(running.stdout.readline())
        finally:
            running.kill()


def received(port: int, path: str, at_least: int) -> int:
    """Waits for as many bytes of content. Returns how many came, with those that follow at once."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        data = b""
        while len(data.partition(b"\r\n\r\n")[2]) < at_least:
            data += client.recv(1 << 16)
        client.settimeout(0.5)
        with suppress(OSError):
            data += client.recv(1 << 16)
    return len(data.partition(b"\r\n\r\n")[2])


def test_the_rate_holds_back_what_comes_after_the_beginning_of_an_answer(ports: dict[str, int]) -> None:
    assert received(ports["origin"], f"/{FIRST}/small.jpg", FIRST) == FIRST
    assert received(ports["origin"], "/1000000/large.mp4", FIRST) == FIRST


def test_the_bucket_has_no_rate(ports: dict[str, int]) -> None:
    assert received(ports["bucket"], "/mirror/hit/1000000/large.mp4", 1_000_000) == 1_000_000


def test_a_line_holds_back_each_answer_until_those_before_it_have_passed(binary: Path) -> None:
    """The first answer's bytes take a day, so nothing of a second one comes after it."""
    with upstream(binary, "--origin-line", "1") as ports, ExitStack() as clients:
        for _ in range(2):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", ports["origin"])))
            client.sendall(f"GET /{FIRST}/small.jpg HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            client.settimeout(0.5)
            with pytest.raises(TimeoutError):
                client.recv(1)
    with upstream(binary, "--origin-line", str(1 << 30)) as ports:
        assert received(ports["origin"], f"/{FIRST}/small.jpg", FIRST) == FIRST


def test_the_bytes_that_the_origin_sent_are_counted_and_those_of_the_bucket_are_not(binary: Path) -> None:
    with upstream(binary) as ports:
        assert received(ports["origin"], "/1000000/large.mp4", 1_000_000) == 1_000_000
        assert received(ports["bucket"], "/mirror/hit/1000000/large.mp4", 1_000_000) == 1_000_000
        counts: dict[str, int] = {}
        while counts.get("origin_bytes") != 1_000_000:
            with closing(HTTPConnection("127.0.0.1", ports["control"], timeout=30)) as control:
                control.request("GET", "/counts")
                counts = json.loads(control.getresponse().read())
        assert (counts["origin_gets"], counts["bucket_gets"]) == (1, 1)
