"""A bucket and an origin with certificates of a private authority: CA_FILE, and what is said without it."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

from doubles import ScriptedOrigin
from stack import S3Store, SeaweedFS, Stack

from .client import ask
from .conftest import Unique
from .site import Site, eventually
from .test_make_run import Run, run

__all__ = ["run"]

BODY = b"an object\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Makes a certificate that nobody knows, and its key."""
    directory = tmp_path_factory.mktemp("authority")
    chain, key = directory / "chain.pem", directory / "key.pem"
    new = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=a -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*new.split(), "-keyout", key, "-out", chain], check=True, capture_output=True)
    return chain, key


@contextmanager
def behind_tls(url: str, certificate: tuple[Path, Path]) -> Iterator[str]:
    """Takes TLS off, and passes on to the server at a URL. Returns its own URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    there = urlsplit(url)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket) -> None:
        with (
            suppress(OSError),
            closing(context.wrap_socket(plain, server_side=True)) as client,
            closing(socket.create_connection((there.hostname, there.port))) as server,
        ):
            Thread(target=copy, args=(server, client), daemon=True).start()
            copy(client, server)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=accept, args=(listener,), daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def store(seaweed: Site, certificate: tuple[Path, Path]) -> Iterator[S3Store]:
    plain = seaweed.store
    assert isinstance(plain, SeaweedFS)
    with behind_tls(plain.url, certificate) as url:
        yield S3Store(url, plain.region, plain.bucket, plain.reader, plain.writer)


def variables(store: S3Store) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": store.writer.access_key, "AWS_SECRET_ACCESS_KEY": store.writer.secret_key}
    return {"S3_ENDPOINT": store.url, "AWS_REGION": store.region, "BUCKET": store.bucket, **keys}


def test_ca_file_is_for_bucket_and_origin(
    run: Callable[..., Run],
    origin: ScriptedOrigin,
    store: S3Store,
    certificate: tuple[Path, Path],
    unique: Unique,
) -> None:
    path = unique()
    origin.put(path, BODY)
    with behind_tls(origin.url, certificate) as origin_url:
        running = run(ORIGIN=origin_url, CA_FILE=str(certificate[0]), **variables(store))
        running.wait_until_ready()
        assert ask(running.url, path).outcome == "stored"
        assert ask(running.url, path).body == BODY


def test_without_it_make_run_names_it(
    run: Callable[..., Run], origin: ScriptedOrigin, store: S3Store
) -> None:
    code, _, err = run(ORIGIN=origin.url, **variables(store)).end()
    assert code == 1
    assert "has a certificate that is not trusted" in err
    assert "CA_FILE" in err


def test_the_access_log_says_why_the_bucket_is_not_reached(
    tmp_path: Path, origin: ScriptedOrigin, store: S3Store, unique: Unique
) -> None:
    path = unique()
    with ExitStack() as stacks:
        stack = stacks.enter_context(Stack(tmp_path, origin=origin.url, store=store, workers=1))
        assert ask(stack.url, path).status == 503
        lines = stack.edge.access_log_path
        eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in lines.read_text(), True)
        assert '"upstream_failure":"' in lines.read_text()
