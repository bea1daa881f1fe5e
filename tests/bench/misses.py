"""What a miss of a small object costs, alone and among many."""

from __future__ import annotations

import resource
import threading
import time
from typing import Any

from stack import S3Store, SeaweedFS, StackError

from .edges import BUCKET_HOST, FETCH_HOST
from .measure import Measure, exactly, ratio, typical
from .native import Load
from .site import Site, directory, site

WORKERS = 2
SMALL = 4096

ALONE_ROUNDS = 11
ALONE_REQUESTS = 150

HERD = 5_000
HERD_ROUNDS = 3

CONNECTIONS = 64
RATE_ROUNDS = 5
RATE_SECONDS = 1.5

S3_PUT_SLOTS = 35
S3_PUT_MS = 10
"""3,500 PUTs a second: what S3 promises at least for a prefix, as its user guide says in "Best practices
design patterns: optimizing Amazon S3 performance"."""


def miss_alone() -> list[Measure]:
    """Up to the 302, against a GET from the origin and then a PUT to the bucket through the same Envoys."""
    with directory() as run_dir, SeaweedFS(run_dir) as store:
        measures = _alone("SeaweedFS", store, 1.15)
    return measures + _alone("a bucket that costs nothing", None, None)


def herd() -> list[Measure]:
    """Everybody wants the same object, and nobody has it."""
    gets, puts, answered = [], [], []
    for _ in range(HERD_ROUNDS):
        with site(workers=WORKERS) as here:
            load, _ = gated(here, HERD)
            counts = here.upstream.counts()
            gets.append(counts["origin_gets"])
            puts.append(counts["puts"])
            answered.append(load.statuses.get("302", 0))
    return [
        exactly(f"{HERD} clients miss one key: GETs from the origin", gets, 1, ""),
        exactly(f"{HERD} clients miss one key: PUTs to the bucket", puts, 1, ""),
        exactly(f"{HERD} clients miss one key: answered with 302", answered, HERD, ""),
    ]


def rate() -> list[Measure]:
    """Distinct small objects, against what the bucket takes without us."""
    with directory() as run_dir, SeaweedFS(run_dir) as store:
        measures = _rate("SeaweedFS", store, 0.80)
    limits = {"put_slots": S3_PUT_SLOTS, "put_ms": S3_PUT_MS}
    return measures + _rate("a bucket of 3,500 PUTs/s", None, None, **limits)


def gated(here: Site, clients: int) -> tuple[Load, float]:
    """As many clients want one new object, and the origin answers once all of them wait.

    Returns what came of it, and the seconds from there to the last answer.
    """
    needed = clients + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    opened: list[float] = []

    def open_when_all_wait() -> None:
        while here.upstream.counts()["bucket_gets"] < clients:
            time.sleep(0.01)
        opened.append(time.perf_counter())
        here.upstream.open_gate()

    here.upstream.reset()
    threading.Thread(target=open_when_all_wait, daemon=True).start()
    path = f"/gated/{SMALL}/{here.loader.asked}.jpg"
    load = here.loader.run(here.stack.url, path, connections=clients, requests=clients)
    if not opened:
        raise StackError(f"of {clients} clients not all came to wait: {load.statuses}")
    return load, time.perf_counter() - opened[0]


def _alone(bucket: str, store: S3Store | None, target: float | None) -> list[Measure]:
    """A miss begins with the bucket's 404, which no way round can save: `all three` is the floor."""
    miss, denied, fetched, stored = [], [], [], []
    with site(workers=WORKERS, store=store) as here:
        edge, signer = here.stack.url, here.stack.signer.url
        for number in range(ALONE_ROUNDS + 1):
            times = [
                _one_by_one(here, edge, f"/{SMALL}/{{n}}.jpg", 302),
                _one_by_one(here, edge, f"/{SMALL}/{{n}}.jpg", 404, host=BUCKET_HOST),
                _one_by_one(here, edge, f"/{SMALL}/{{n}}.jpg", 200, host=FETCH_HOST),
                _one_by_one(here, signer, f"/mirror/{SMALL}/{{n}}.jpg", 200, put=SMALL),
            ]
            if number:  # The first round warms up.
                for kept, value in zip((miss, denied, fetched, stored), times):
                    kept.append(value)
    both = [sum(times) for times in zip(fetched, stored)]
    all_three = [sum(times) for times in zip(denied, fetched, stored)]
    title = f"small miss, {bucket}"
    return [
        ratio(f"{title}: request to 302 / GET and PUT in sequence", miss, both, target),
        ratio(f"{title}: request to 302 / the bucket's 404, GET and PUT in sequence", miss, all_three, None),
        typical(f"{title}: request to 302", miss, "ms"),
        typical(f"{title}: the bucket's 404 alone", denied, "ms"),
        typical(f"{title}: GET from the origin alone", fetched, "ms"),
        typical(f"{title}: PUT alone", stored, "ms"),
    ]


def _one_by_one(here: Site, url: str, path: str, status: int, **options: Any) -> float:
    """The median of their times in ms."""
    return here.loader.run(url, path, requests=ALONE_REQUESTS, **options).expect(status).p50


def _rate(bucket: str, store: S3Store | None, target: float | None, **limits: int) -> list[Measure]:
    """The floor is what the same Envoys take for the three calls of a miss, when clients make them."""
    rates: dict[str, list[float]] = {"misses": [], "404s": [], "GETs": [], "PUTs": []}
    with site(workers=WORKERS, store=store, **limits) as here:
        edge, signer = here.stack.url, here.stack.signer.url
        for number in range(RATE_ROUNDS + 1):
            loads = {
                "misses": _many(here, edge, f"/{SMALL}/{{n}}.jpg", 302),
                "404s": _many(here, edge, f"/{SMALL}/{{n}}.jpg", 404, host=BUCKET_HOST),
                "GETs": _many(here, edge, f"/{SMALL}/{{n}}.jpg", 200, host=FETCH_HOST),
                "PUTs": _many(here, signer, f"/mirror/{SMALL}/{{n}}.jpg", 200, put=SMALL),
            }
            if number:  # The first round warms up.
                for name, rate in loads.items():
                    rates[name].append(rate)
    parts = zip(rates["404s"], rates["GETs"], rates["PUTs"])
    floor = [1 / sum(1 / rate for rate in each) for each in parts]
    title = f"distinct small misses per second, {bucket}"
    return [
        ratio(f"{title} / PUTs", rates["misses"], rates["PUTs"], target, ">="),
        ratio(f"{title} / its three calls made by clients", rates["misses"], floor, None),
        *(typical(f"{name} per second, {bucket}", each, "/s") for name, each in rates.items()),
    ]


def _many(here: Site, url: str, path: str, status: int, **options: Any) -> float:
    """How many a second."""
    load = here.loader.run(url, path, connections=CONNECTIONS, seconds=RATE_SECONDS, **options)
    return load.expect(status).per_second
