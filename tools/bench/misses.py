"""The cost of a miss of a small object, alone and among many."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from stack import S3Store, SeaweedFS, StackError

from .calls import ANSWERS, call_of_bucket, calls_of_fill
from .costs import Profile, highest_ratio, profiled
from .edges import copying
from .measure import Measure, exactly, ratio, typical
from .native import Call, Load
from .peers import lua
from .short import rounds
from .site import PATIENT, Site, directory, site

WORKERS = 2
SMALL = 4096
SERVE: Mapping[str, Any] = {**PATIENT, "rules": [{"response": "serve"}]}

STACKS = rounds(5)
"""The stacks with new processes that are measured one after the other. A small miss of one differs from that
of the next by half a percent, for as long as they live.
"""

ALONE_ROUNDS = rounds(4)
ALONE_REQUESTS = 150

MISS = "request to 302"
MISS_OF_LUA = "request to object"
ALL_THREE = "its three calls in sequence"
MISS_FOLLOWED = "request to object"
ALL_FOUR = "404, GET, PUT and GET in sequence"
EACH = {
    "the bucket's 404 in sequence": slice(0, 1),
    "GET from the origin in sequence": slice(1, 2),
    "PUT in sequence": slice(2, 3),
}
STEPS = {MISS: slice(3, 4), ALL_THREE: slice(0, 3), **EACH}
STEPS_FOLLOWED = {
    MISS_FOLLOWED: slice(4, 5),
    ALL_FOUR: slice(0, 4),
    **EACH,
    "GET from the bucket in sequence": slice(3, 4),
}
"""The part of a client's calls for each number: the calls of a fill, and then a miss."""

HERD = 5_000
HERD_ROUNDS = rounds(3)

CONNECTIONS = 64
RATE_ROUNDS = rounds(2)
RATE_SECONDS = 1.5

Turns = Mapping[str, tuple[Sequence[Call], Sequence[int]]]
"""Loads by their names: their calls, and the answers to these."""

S3_PUT_SLOTS = 35
S3_PUT_MS = 10
"""3,500 PUTs a second: S3 promises at least that for a prefix, as its user guide says in "Best practices
design patterns: optimizing Amazon S3 performance".
"""


def miss_alone() -> list[Measure]:
    """Compares a miss up to the 302 with its three calls through the same Envoys: the bucket's 404, the
    origin's answer, the PUT.
    """
    with directory() as run_dir, SeaweedFS(run_dir) as store:
        measures = [*_alone("SeaweedFS", store, 1.10), *_alone_in_lua(store), *_alone_in_copy_filter(store)]
    return measures + _alone("a bucket that costs nothing", None, None)


def miss_followed() -> list[Measure]:
    """Compares a miss in the transparent wiring, up to the object, with these calls and the GET that follows
    them.
    """
    with directory() as run_dir, SeaweedFS(run_dir) as store:
        measures = _followed("SeaweedFS", store, 1.15)
    with directory() as run_dir, SeaweedFS(run_dir) as store:
        measures += _followed("SeaweedFS, `serve`", store, None, SERVE)
    return measures + _followed("a bucket that costs nothing", None, None)


def herd() -> list[Measure]:
    """Makes all clients want the same object, which the bucket lacks."""
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
    """Compares the rate of distinct small objects with that of clients that make the calls themselves."""
    with directory() as run_dir, SeaweedFS(run_dir) as store:
        measures = [*_rate("SeaweedFS", store, 0.95), *_rate_in_lua(store)]
    limits = {"put_slots": S3_PUT_SLOTS, "put_ms": S3_PUT_MS}
    return measures + _rate("a bucket of 3,500 PUTs/s", None, None, **limits)


def gated(here: Site, clients: int) -> tuple[Load, float]:
    """Makes as many clients want one new object. The origin answers once all of them wait.

    Returns the result, and the seconds from there to the last answer.
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
    call = Call(f"{here.stack.url}/gated/{SMALL}/{here.loader.asked}.jpg")
    load = here.loader.run(call, connections=clients, requests=clients)
    if not opened:
        raise StackError(f"of {clients} clients not all came to wait: {load.statuses}")
    return load, time.perf_counter() - opened[0]


def _alone(bucket: str, store: S3Store | None, target: float | None) -> list[Measure]:
    ms = _by_turns(partial(site, workers=WORKERS, store=store), _fill_and_miss, [*ANSWERS, 302], STEPS)
    return _compared(f"small miss, {bucket}", ms, MISS, ALL_THREE, target)


def _alone_in_lua(store: S3Store) -> list[Measure]:
    """Measures the calls of a Lua filter, which judges nothing and knows of no other client."""
    steps = {MISS_OF_LUA: STEPS[MISS], ALL_THREE: STEPS[ALL_THREE]}
    ms = _by_turns(partial(_lua_site, store), partial(_fill_and_miss, of="lua"), [*ANSWERS, 200], steps)
    return _compared("small miss, SeaweedFS, a Lua filter", ms, MISS_OF_LUA, ALL_THREE, None)


def _alone_in_copy_filter(store: S3Store) -> list[Measure]:
    """Measures the same calls of a filter that is WebAssembly as ours, and does nothing else."""
    start = partial(site, workers=WORKERS, store=store, edit=copying)
    ms = _by_turns(start, partial(_fill_and_miss, of="copy"), [*ANSWERS, 302], STEPS)
    return _compared("small miss, SeaweedFS, a filter of the two calls alone", ms, MISS, ALL_THREE, None)


def _fill_and_miss(here: Site, stack: int, of: str = "") -> list[Call]:
    """Returns the calls of a fill, and the miss of another key, of which no other stack fills the store."""
    calls = calls_of_fill(here, f"{SMALL}/{{n}}-{of}{stack}-a.jpg", SMALL)
    return [*calls, Call(f"{here.objects}/{SMALL}/{{n}}-{of}{stack}-b.jpg")]


def _fill_and_miss_followed(here: Site, stack: int) -> list[Call]:
    """Returns the same with the GET that follows."""
    *calls, miss = _fill_and_miss(here, stack)
    return [*calls, call_of_bucket(here, f"{SMALL}/{{n}}-{stack}-a.jpg"), miss]


def _rate_in_lua(store: S3Store) -> list[Measure]:
    """Measures the rate of a Lua filter's misses likewise."""

    def turns(here: Site, stack: int) -> Turns:
        key = f"{SMALL}/{{n}}-lua{stack}.jpg"
        miss = Call(f"{here.stack.url}/{key}")
        return {"misses": ([miss], [200]), "sequences": (calls_of_fill(here, key, SMALL), ANSWERS)}

    rates = _rates(_profiles(partial(_lua_site, store), turns))
    title = "distinct small misses per second, SeaweedFS, a Lua filter"
    return [ratio(f"{title} / its three calls made by clients", rates["misses"], rates["sequences"], None)]


def _lua_site(store: S3Store) -> AbstractContextManager[Site]:
    return site(workers=WORKERS, store=store, edit=lua.copy)


def _followed(
    bucket: str, store: S3Store | None, target: float | None, plugin: Mapping[str, Any] = PATIENT
) -> list[Measure]:
    start = partial(site, workers=WORKERS, store=store, wiring="transparent", plugin=plugin)
    ms = _by_turns(start, _fill_and_miss_followed, [*ANSWERS, 200, 200], STEPS_FOLLOWED)
    return _compared(f"small miss, transparent wiring, {bucket}", ms, MISS_FOLLOWED, ALL_FOUR, target)


def _by_turns(
    start: Callable[[], AbstractContextManager[Site]],
    calls_of: Callable[[Site, int], Sequence[Call]],
    answers: Sequence[int],
    steps: Mapping[str, slice],
) -> dict[str, list[float]]:
    """Makes one client do the calls of a fill in sequence, then miss another key, and so on.

    So both find the same caches. Returns the median milliseconds of each step, round by round, of all stacks.
    """
    ms: dict[str, list[float]] = {name: [] for name in steps}
    for stack in range(STACKS):
        with start() as here:
            calls = calls_of(here, stack)
            for number in range(ALONE_ROUNDS + 1):
                load = here.loader.run(*calls, requests=ALONE_REQUESTS).expect(*answers)
                if number:  # The first round warms up.
                    for name, which in steps.items():
                        ms[name].append(load.percentile(50, which))
    return ms


def _compared(
    title: str, ms: Mapping[str, list[float]], miss: str, calls: str, target: float | None
) -> list[Measure]:
    return [
        ratio(f"{title}: {miss} / {calls}", ms[miss], ms[calls], target),
        *(typical(f"{title}: {name}", each, "ms") for name, each in ms.items()),
    ]


def _rate(bucket: str, store: S3Store | None, target: float | None, **limits: int) -> list[Measure]:
    """Makes as many clients miss, or make the calls of a fill in sequence, or only its PUT."""

    def turns(here: Site, stack: int) -> Turns:
        key = f"{SMALL}/{{n}}-{stack}.jpg"
        calls, miss = calls_of_fill(here, key, SMALL), Call(f"{here.stack.url}/{key}")
        return {"misses": ([miss], [302]), "sequences": (calls, ANSWERS), "PUTs": (calls[2:], ANSWERS[2:])}

    profiles = _profiles(partial(site, workers=WORKERS, store=store, **limits), turns)
    rates = _rates(profiles)
    pairs = zip(profiles["misses"], profiles["PUTs"], strict=True)
    at_most = [highest_ratio(misses, puts, free="edge") for misses, puts in pairs]
    title = f"distinct small misses per second, {bucket}"
    return [
        ratio(
            f"{title} / its three calls made by clients", rates["misses"], rates["sequences"], target, ">="
        ),
        ratio(f"{title} / PUTs", rates["misses"], rates["PUTs"], None),
        typical(f"{title} / PUTs: at most, if the edge cost nothing", at_most, "x"),
        *(typical(f"{name} per second, {bucket}", each, "/s") for name, each in rates.items()),
        *_costs(bucket, profiles),
    ]


def _profiles(
    start: Callable[[], AbstractContextManager[Site]], turns_of: Callable[[Site, int], Turns]
) -> dict[str, list[Profile]]:
    """Makes as many clients do each of these by turns, and returns the profiles of each, of all stacks."""
    profiles: dict[str, list[Profile]] = {}
    for stack in range(STACKS):
        with start() as here:
            turns = turns_of(here, stack)
            for number in range(RATE_ROUNDS + 1):
                for name, (made, answers) in turns.items():
                    profile = profiled(here.processes, partial(_many, here, made))
                    profile.load.expect(*answers)
                    if number:  # The first round warms up.
                        profiles.setdefault(name, []).append(profile)
    return profiles


def _rates(profiles: Mapping[str, list[Profile]]) -> dict[str, list[float]]:
    return {name: [each.load.per_second for each in turns] for name, turns in profiles.items()}


def title_of_process(load: str, bucket: str, process: str) -> str:
    return f"{CONNECTIONS} {load} at a time, {bucket}: CPU for one, {process}"


def _costs(bucket: str, profiles: dict[str, list[Profile]]) -> Iterator[Measure]:
    """Returns the processes' shares of the processor time."""
    for name, turns in profiles.items():
        title = f"{CONNECTIONS} {name} at a time, {bucket}"
        for process in turns[0].for_one:
            yield typical(
                title_of_process(name, bucket, process), [each.for_one[process] for each in turns], "us"
            )
        yield typical(f"{title}: processors used", [each.used for each in turns], "")
        yield typical(f"{title}: processors idle", [each.idle for each in turns], "")


def _many(here: Site, calls: Sequence[Call]) -> Load:
    return here.loader.run(*calls, connections=CONNECTIONS, seconds=RATE_SECONDS)
