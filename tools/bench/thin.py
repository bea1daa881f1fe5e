"""A bucket behind a thin, long and lossy line: a large object, and small ones beside it.

The line needs a network namespace. So the measurement runs as a child, `python -m bench.thin`, that has one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

from doubles.large_origin import Large
from stack import S3Store, Stack

from .large import PART_SIZE, PARTS_IN_FLIGHT
from .line import FAR, NEAR, Line
from .measure import Measure, exactly, ratio, typical
from .native import Call, Loader, Upstream
from .site import DEFAULTS, Site, directory
from .transfer import spans_of, store

KIB, MIB = 1 << 10, 1 << 20

UP, DOWN = 5_000_000, 50_000_000
"""Bits a second."""
AWAY = 0.1
"""Seconds to the bucket and back."""
LOSS = 0.01
LINE = f"line of {UP // 1_000_000} Mbit/s up, {AWAY * 1000:.0f} ms, {LOSS:.0%} loss"

WORKERS = 2
LARGE = 40 * MIB
SMALL = 16 * KIB
IDLE_SECONDS = 15.0
GIVEN_UP = 180.0
"""Seconds. The line alone carries the object in 67."""

NAMESPACE = ["unshare", "--net"]
NAMESPACE_OF_OTHERS = ["unshare", "--user", "--map-root-user", "--net"]
"""What makes one, for root and for others."""


def thin() -> list[Measure]:
    namespace = NAMESPACE if os.geteuid() == 0 else NAMESPACE_OF_OTHERS
    argv = [*namespace, sys.executable, "-m", "bench.thin"]
    try:
        said = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"  not measured: no network namespace with a TUN device here ({error})", flush=True)
        return []
    found = Found(**json.loads(said))
    return [
        exactly(f"object of 40 MiB over a {LINE}: stored", [found.stored], 1, ""),
        ratio(f"40 MiB over a {LINE}: the fill / its parts sent by a client", found.fill, found.parts, None),
        typical(f"40 MiB over a {LINE}: the fill", found.fill, "s"),
        typical(f"40 MiB over a {LINE}: its parts sent by a client", found.parts, "s"),
        typical(f"40 MiB over a {LINE}: sent over it meanwhile / its size", found.sent, "x"),
        ratio(f"small miss beside that fill, {LINE} / on that line alone", found.beside, found.alone, None),
        typical(f"small miss beside that fill, {LINE}", found.beside, "ms"),
        typical(f"small miss on an idle {LINE}", found.alone, "ms"),
    ]


@dataclass
class Found:
    """Of each run: seconds, milliseconds of the median miss, bytes over bytes."""

    stored: int
    fill: list[float]
    parts: list[float]
    sent: list[float]
    beside: list[float]
    alone: list[float]


def main() -> None:
    with _site() as (here, line, direct):
        miss = Call(f"{here.objects}/{SMALL}/{{n}}.jpg")
        here.loader.run(miss, requests=3).expect(302)
        alone = here.loader.run(miss, seconds=IDLE_SECONDS).expect(302).p50
        film = Large(LARGE)
        start = time.monotonic()
        spans = spans_of(LARGE, PART_SIZE)
        store(here.stack.signer.url, f"/{here.store.bucket}/alone/{LARGE}.mp4", film, spans, PARTS_IN_FLIGHT)
        parts = time.monotonic() - start

        before, start = line.bytes_up, time.monotonic()
        key = f"{LARGE}/film.mp4"
        client = partial(Loader().run, Call(f"{here.objects}/{key}"), requests=1, follow=True)
        reader = threading.Thread(target=client)
        reader.start()
        beside: list[float] = []
        fill = GIVEN_UP
        while time.monotonic() - start < GIVEN_UP:
            beside += here.loader.run(miss, requests=5).ms[0]
            if _has(direct, key):
                fill = time.monotonic() - start
                break
        sent = (line.bytes_up - before) / LARGE
        reader.join()
    beside.sort()
    found = Found(int(fill < GIVEN_UP), [fill], [parts], [sent], [beside[len(beside) // 2]], [alone])
    print(json.dumps(found.__dict__))


@contextmanager
def _site() -> Iterator[tuple[Site, Line, S3Store]]:
    """Runs a stack whose origin is near, and whose bucket is at the other end of the line."""
    with (
        directory() as run_dir,
        Line(UP, DOWN, AWAY, LOSS) as line,
        Upstream(run_dir, address=NEAR) as upstream,
    ):
        direct = upstream.store
        port = urlsplit(direct.url).port or 0
        line.servers.add(port)
        far = S3Store(f"http://{FAR}:{port}", direct.region, direct.bucket, direct.reader, direct.writer)
        with Stack(run_dir, origin=upstream.origin, store=far, workers=WORKERS, plugin=DEFAULTS) as stack:
            yield Site(stack, far, upstream, Loader()), line, direct


def _has(direct: S3Store, key: str) -> bool:
    connection = HTTPConnection(urlsplit(direct.url).netloc, timeout=10)
    try:
        connection.request("HEAD", f"/{direct.bucket}/{key}")
        return connection.getresponse().status == 200
    finally:
        connection.close()


if __name__ == "__main__":
    main()
