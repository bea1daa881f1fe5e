"""Origins that are far away, as those of most migrations are: nothing but time passes until they answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from stack import SeaweedFS

from .calls import calls_of_fill
from .costs import Profile, profiled
from .measure import Measure, ratio, typical
from .mix import sizes, write
from .native import Call, Load
from .results import Table
from .short import rounds
from .site import DEFAULTS, Site, directory, site

ROUNDS = rounds(3)

SMALL = 16 << 10
CLIENTS = 256
AWAY = 200
"""Milliseconds."""
SECONDS = 8.0
ALONE_REQUESTS = 300
AFAR = f"small misses per second, origin {AWAY} ms away, {CLIENTS} clients, one worker"
SMALL_TARGET = 0.80

DELAYS = [1, 50, 200]
CONCURRENCIES = [16, 64, 256, 1024]
WORKERS = [1, 2]
MATRIX_SECONDS = 3.0
MATRIX_SIZES = 2_000

SITE_OBJECTS = 10_000
SITE_AWAY = 100
SITE_CLIENTS = 256
SITE_WORKERS = 2
SITE_ROUNDS = rounds(2)
"""With a target. SeaweedFS keeps 4 GiB of each on the disk."""
SITE_TARGET = 0.80
LINE = 125_000_000
"""Bytes a second."""
GIGABIT = "line of 1 Gbit/s"

WARM_UP_KEYS = 2
"""Keys of each client, before anything is measured: connections are opened, and code is compiled."""


def small_from_afar() -> list[Measure]:
    """Compares the rate of small misses with that of clients that wait for nothing but the origin and one
    miss.
    """
    rates, ideals, alone = [], [], []
    for _ in range(ROUNDS):
        with site(workers=1, plugin=DEFAULTS) as near:
            call = Call(f"{near.objects}/{SMALL}/{{n}}.jpg")
            near.loader.run(call, requests=ALONE_REQUESTS).expect(302)
            alone.append(near.loader.run(call, requests=ALONE_REQUESTS).expect(302).p50)
        with site(workers=1, plugin=DEFAULTS, origin_ms=AWAY) as far:
            call = Call(f"{far.objects}/{SMALL}/{{n}}.jpg")
            far.loader.run(call, connections=CLIENTS, requests=WARM_UP_KEYS * CLIENTS)
            load = far.loader.run(call, connections=CLIENTS, seconds=SECONDS).expect(302)
            rates.append(load.per_second)
            ideals.append(ideal_rate(CLIENTS, AWAY, alone[-1]))
        print(f"  {rates[-1]:.0f} of {ideals[-1]:.0f} a second", flush=True)
    return [
        ratio(f"{AFAR} / {CLIENTS} in {AWAY} ms and a miss", rates, ideals, SMALL_TARGET, ">="),
        typical(AFAR, rates, "/s"),
        typical("miss of 16 KiB, one client, origin beside it", alone, "ms"),
    ]


def ideal_rate(clients: int, away: float, miss: float) -> float:
    """Returns the misses a second of clients that each wait for these milliseconds, and for nothing else."""
    return clients * 1000 / (away + miss)


def matrix() -> Table:
    """Measures misses of a real mix of sizes, beside what as many clients take from the origin alone."""
    head = ["origin away", "workers", "clients", "misses per second", "of the origin's own rate"]
    rows = [[*head, "median, ms", "99 %, ms", "answered with 302"]]
    with directory() as run_dir:
        mix = write(run_dir, MATRIX_SIZES)
        for delay in DELAYS:
            for workers in WORKERS:
                print(f"  {delay} ms away, workers: {workers}...", flush=True)
                rows += _matrix_rows(delay, workers, mix)
    return Table("distant", rows)


def mixed_site() -> list[Measure]:
    """Compares the fill of a whole site with the slower of fetching it and storing it alone.

    The line bounds the first, and SeaweedFS the second. The third has no bound but the processors.
    """
    return [
        *_mixed(GIGABIT, SITE_TARGET, origin_line=LINE),
        *_mixed("SeaweedFS", SITE_TARGET, seaweed=True),
        *_mixed("line without a bound", None),
    ]


def _matrix_rows(delay: int, workers: int, mix: Path) -> Iterator[list[str]]:
    with site(workers=workers, plugin=DEFAULTS, origin_ms=delay) as here:
        miss, fetch = Call(f"{here.objects}/{{size}}/{{n}}.bin"), _fetch(here)
        for clients in CONCURRENCIES:
            run = partial(here.loader.run, connections=clients, sizes=mix)
            run(miss, requests=WARM_UP_KEYS * clients)
            alone = run(fetch, seconds=MATRIX_SECONDS)
            load = run(miss, seconds=MATRIX_SECONDS)
            yield [f"{delay} ms", str(workers), str(clients), *cells(load, alone)]


def cells(load: Load, alone: Load) -> list[str]:
    """Returns the rate of misses, what it is of the origin's own, their times, and the right answers."""
    stored = load.statuses.get("302", 0)
    rate = stored / load.seconds
    return [
        f"{rate:.0f}",
        f"{rate / alone.per_second:.2f}",
        f"{load.p50:.1f}",
        f"{load.percentile(99):.0f}",
        f"{stored / sum(load.statuses.values()):.1%}",
    ]


def title_of_site(what: str) -> str:
    return f"site of {SITE_OBJECTS} objects, origin {SITE_AWAY} ms away, {SITE_CLIENTS} clients, {what}"


def _mixed(what: str, target: float | None, seaweed: bool = False, **options: int) -> list[Measure]:
    """Fills each object once, with new keys in each round, and makes as many clients fetch or store them."""
    profiles: dict[str, list[Profile]] = {"filling": [], "fetching": [], "storing": []}
    with directory() as run_dir:
        mix = write(run_dir, SITE_OBJECTS)
        for _ in range(SITE_ROUNDS if target else 1):
            for name, profile in _mixed_round(mix, seaweed, options):
                profiles[name].append(profile)
                print(f"  {what}: {name}, {profile.load.per_second:.0f} a second", flush=True)
    rates = {name: [each.load.per_second for each in turns] for name, turns in profiles.items()}
    slower = min(("fetching", "storing"), key=lambda name: median(rates[name]))
    title = title_of_site(what)
    return [
        ratio(f"{title}: filling / {slower}, the slower half", rates["filling"], rates[slower], target, ">="),
        *(typical(f"{title}: {name}", each, "/s") for name, each in rates.items()),
        typical(f"{title}: MB a second", [megabytes(rate) for rate in rates["filling"]], "MB/s"),
        typical(f"{title}: processors idle meanwhile", [each.idle for each in profiles["filling"]], ""),
    ]


def _mixed_round(mix: Path, seaweed: bool, options: dict[str, int]) -> Iterator[tuple[str, Profile]]:
    with ExitStack() as running:
        store = running.enter_context(SeaweedFS(running.enter_context(directory()))) if seaweed else None
        options = {"workers": SITE_WORKERS, "origin_ms": SITE_AWAY, **options}
        here = running.enter_context(site(store=store, plugin=DEFAULTS, **options))
        *_, put = calls_of_fill(here, "alone/{size}/{n}.bin", "{size}")
        miss = Call(f"{here.objects}/{{size}}/{{n}}.bin")
        runs = {"fetching": (_fetch(here), 200), "storing": (put, 200), "filling": (miss, 302)}
        run = partial(here.loader.run, connections=SITE_CLIENTS, sizes=mix)
        for call, _ in runs.values():
            run(call, requests=WARM_UP_KEYS * SITE_CLIENTS)
        for name, (call, status) in runs.items():
            profile = profiled(here.processes, partial(run, call, requests=SITE_OBJECTS))
            profile.load.expect(status)
            yield name, profile


def megabytes(rate: float) -> float:
    """Returns the megabytes a second of so many objects of the mix."""
    return rate * sum(sizes(SITE_OBJECTS)) / SITE_OBJECTS / 1e6


def _fetch(here: Site) -> Call:
    """Returns the GET of an object from the origin, without the edge."""
    return Call(f"{here.upstream.origin}/{{size}}/{{n}}.bin")
