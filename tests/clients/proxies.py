"""Proxies of others in front of an edge, with what they do by default: HTTP/1.0, buffers, caches."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from stack.children import free_ports

from .trial import Endpoint, environment

BODY = b"an object\n" * 4000
SITES = ("https://shop.example.com", "https://blog.example.org", "")
START = 20.0
"""The seconds that a proxy may take to listen."""


@dataclass(frozen=True)
class Proxy:
    name: str
    needs: str
    version: Sequence[str]
    read: Callable[[str, Path, Endpoint], None]


def nginx(cache: bool) -> Callable[[str, Path, Endpoint], None]:
    def read(base: str, directory: Path, endpoint: Endpoint) -> None:
        with nginx_before(base, directory, cache=cache) as port:
            reads(endpoint, port, f"nginx-{cache}", hits=cache)

    return read


@contextlib.contextmanager
def nginx_before(base: str, directory: Path, *, cache: bool) -> Iterator[int]:
    """Runs nginx in front of an edge. Gives its port."""
    (port,) = free_ports(1)
    at = urlsplit(base).netloc
    lines = [
        "user root;" if os.geteuid() == 0 else "",
        f"daemon off; pid {directory}/pid; error_log {directory}/error.log; worker_processes 1;",
        "events {}",
        "http { access_log off;",
        f"client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;",
        f"fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;",
        f"proxy_cache_path {directory}/cache keys_zone=a:1m;" if cache else "",
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{at};",
        "proxy_cache a;" if cache else "",
        "} } }",
    ]
    config, log = directory / "nginx.conf", f"{directory}/error.log"
    config.write_text("\n".join(lines))
    with running(["nginx", "-p", str(directory), "-e", log, "-c", str(config)], directory, port):
        yield port


def varnish(base: str, directory: Path, endpoint: Endpoint) -> None:
    (port,) = free_ports(1)
    at = urlsplit(base).netloc
    where = [
        "-a",
        f"127.0.0.1:{port}",
        "-b",
        at,
        "-n",
        str(directory / "n"),
        "-s",
        "malloc,16m",
        "-T",
        "none",
    ]
    with running(["varnishd", "-F", *where], directory, port):
        reads(endpoint, port, "varnish", hits=True)


@contextlib.contextmanager
def running(command: Sequence[str], directory: Path, port: int) -> Iterator[None]:
    with (directory / "said").open("wb") as said:
        process = subprocess.Popen(
            command, cwd=directory, env=environment(directory), stdout=said, stderr=said
        )
    try:
        end = time.monotonic() + START
        while True:
            with contextlib.suppress(OSError):
                http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
                break
            if process.poll() is not None or time.monotonic() > end:
                raise OSError((directory / "said").read_text(errors="replace")[-300:] or "it does not start")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def reads(endpoint: Endpoint, port: int, name: str, hits: bool) -> None:
    """Reads a cold key, and a warm one for three sites in each order; their answers must not be mixed."""
    origin, bucket = endpoint.site.origin, endpoint.site.store.bucket
    kept = {"Cache-Control": "public, max-age=3600"}
    for order, sites in enumerate((SITES, SITES[::-1])):
        path = f"/{name}/{order}"
        origin.put(path, BODY, kept)
        statuses = [follow(port, f"/{bucket}{path}", site)[0] for site in sites]
        if statuses != [200, 200, 200]:
            raise OSError(f"cold: {statuses}")
        before = len(endpoint.site.store.calls("GetObject", path[1:]))
        for site in sites:
            status, allowed, body = follow(port, f"/{bucket}{path}", site)
            if (status, body) != (200, BODY) or allowed not in ("*", site):
                raise OSError(f"{site}: {status}, allowed {allowed}, {len(body)} bytes")
        if hits and len(endpoint.site.store.calls("GetObject", path[1:])) != before:
            raise OSError("it was not kept")
    missing = f"/{bucket}/{name}/missing"
    if (status := follow(port, missing, "")[0]) != 404:
        raise OSError(f"a missing key: {status}")


def follow(port: int, target: str, site: str) -> tuple[int, str | None, bytes]:
    for _ in range(3):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", target, headers={"Origin": site} if site else {})
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 302:
            return answer.status, answer.getheader("access-control-allow-origin"), body
        place = urlsplit(answer.getheader("location") or "")
        target = f"{place.path}?{place.query}" if place.query else place.path
    return 302, None, b""


PROXIES: Sequence[Proxy] = (
    Proxy("nginx `proxy_pass`, HTTP/1.0", "nginx", ["nginx", "-v"], nginx(cache=False)),
    Proxy("nginx `proxy_cache`", "nginx", ["nginx", "-v"], nginx(cache=True)),
    Proxy("Varnish", "varnishd", ["varnishd", "-V"], varnish),
)
