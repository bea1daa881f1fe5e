"""Origins that are far away, as those of most migrations are: nothing but time passes until they answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import harmonic_mean, median

from stack import SeaweedFS

from .calls import calls_of_fill
from .costs import Profile, profiled
from .measure import Measure, ratio, typical
from .mix import sizes, write
from .native import Call, Load
from .peers import lua
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
"""With a target. SeaweedFS keeps 12 GiB of each on the disk."""
SITE_TARGET = 0.80
LINE = 125_000_000
"""Bytes a second."""
GIGABIT = "line of 1 Gbit/s"
SEAWEEDFS = "SeaweedFS"

FILLING, FILLING_IN_LUA = "filling", "filling by a Lua filter"
STORING = ["storing", "storing again", "storing a third time"]

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
        *_mixed(SEAWEEDFS, SITE_TARGET),
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


def _mixed(what: str, target: float | None, **options: int) -> list[Measure]:
    """Fills each object once, with new keys in each round, and makes as many clients fetch or store them."""
    turns = []
    with directory() as run_dir:
        mix = write(run_dir, SITE_OBJECTS)
        for _ in range(SITE_ROUNDS if target else 1):
            turns.append({})
            for name, profile in _mixed_round(mix, what == SEAWEEDFS, options):
                turns[-1][name] = profile
                print(f"  {what}: {name}, {profile.load.per_second:.0f} a second", flush=True)
    return [*_of_site(title_of_site(what), turns, target)]


def _mixed_round(mix: Path, seaweed: bool, options: dict[str, int]) -> Iterator[tuple[str, Profile]]:
    """Stores the site before and after each of its fills: a store's speed changes with what it holds."""
    options = {"workers": SITE_WORKERS, "origin_ms": SITE_AWAY, **options}
    run_site = partial(site, plugin=DEFAULTS, **options)
    with ExitStack() as running:
        store = running.enter_context(SeaweedFS(running.enter_context(directory()))) if seaweed else None
        here = running.enter_context(run_site(store=store))
        *_, put = calls_of_fill(here, "alone/{size}/{n}.bin", "{size}")
        run = partial(_profile_of_site, here, mix)
        # The first gigabytes take SeaweedFS longest: the kernel finds room for them.
        run(put, 200)
        yield "fetching", run(_fetch(here), 200)
        yield STORING[0], run(put, 200)
        yield FILLING, run(Call(f"{here.objects}/{{size}}/{{n}}.bin"), 302)
        yield STORING[1], run(put, 200)
        if store:
            in_lua = running.enter_context(run_site(store=store, edit=lua.copy))
            yield (
                FILLING_IN_LUA,
                _profile_of_site(in_lua, mix, Call(f"{in_lua.stack.url}/lua/{{size}}/{{n}}.bin"), 200),
            )
            yield STORING[2], run(put, 200)


def _profile_of_site(here: Site, mix: Path, call: Call, status: int) -> Profile:
    run = partial(here.loader.run, call, connections=SITE_CLIENTS, sizes=mix)
    run(requests=WARM_UP_KEYS * SITE_CLIENTS)
    profile = profiled(here.processes, partial(run, requests=SITE_OBJECTS))
    profile.load.expect(status)
    return profile


def _of_site(title: str, turns: Sequence[Mapping[str, Profile]], target: float | None) -> Iterator[Measure]:
    rates = {name: [turn[name].load.per_second for turn in turns] for name in turns[0]}
    slower, half = min(
        ("fetching", rates["fetching"]),
        ("storing", [harmonic_mean(pair) for pair in zip(rates[STORING[0]], rates[STORING[1]], strict=True)]),
        key=lambda named: median(named[1]),
    )
    filling = f"{title}: filling"
    yield ratio(f"{filling} / {slower}, the slower half", rates[FILLING], half, target, ">=")
    if FILLING_IN_LUA in rates:
        around = zip(rates[STORING[1]], rates[STORING[2]], strict=True)
        storing = [harmonic_mean(pair) for pair in around]
        yield ratio(f"{title}: filling by a Lua filter / storing", rates[FILLING_IN_LUA], storing, None)
    for name, each in rates.items():
        yield typical(f"{title}: {name}", each, "/s")
    yield typical(f"{title}: MB a second", [megabytes(rate) for rate in rates[FILLING]], "MB/s")
    yield typical(f"{title}: processors idle meanwhile", [turn[FILLING].idle for turn in turns], "")
    for name in (FILLING, FILLING_IN_LUA, STORING[1]):
        if name in rates:
            for process in turns[0][name].for_one:
                values = [turn[name].for_one[process] for turn in turns]
                yield typical(title_of_site_process(title, name, process), values, "us")


def title_of_site_process(site: str, run: str, process: str) -> str:
    return f"{site}: CPU for one, {run}, {process}"


def megabytes(rate: float) -> float:
    """Returns the megabytes a second of so many objects of the mix."""
    return rate * sum(sizes(SITE_OBJECTS)) / SITE_OBJECTS / 1e6


def _fetch(here: Site) -> Call:
    """Returns the GET of an object from the origin, without the edge."""
    return Call(f"{here.upstream.origin}/{{size}}/{{n}}.bin")
