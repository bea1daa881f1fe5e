"""One seed through the real Envoy, with a check of the invariants."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.client import Answer
from e2e.crowd import Client, Crowd, all_of, allow_open_files
from e2e.site import Site, add_dead_cluster
from stack import Stack

from .plan import Plan, Visit
from .plan import plan as plan_of
from .sides import Bucket, Origin
from .verdict import UNTOUCHED, objection

DEADLINE = 15.0
"""The seconds in which every client is answered.

The bucket may be silent for 1.5 s, twice because Envoy repeats a request after a reset. Its error document
has 1 s, and `wait` is 2 s. The rest is for a busy machine. Envoy's idle timeout, on which nothing may rely,
is 90 s.
"""

REDIRECTS = 3
"""The redirects that a client follows. The bucket may forget an object, so not each of them leads to one."""

QUIET = 0.6
"""Seconds. Longer than a fill waits before it repeats a request. An upload's abort is seen in that time."""

SETTLED_IN = 60.0
"""The seconds in which all fills are over."""


@dataclass
class Report:
    """The result of a seed."""

    seed: int
    problems: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def line(self) -> str:
        answers = " ".join(f"{name}={count}" for name, count in sorted(self.answers.items()))
        return f"seed {self.seed}: {self.answers.total()} answers in {self.seconds:.1f} s: {answers}"


@dataclass(frozen=True)
class Got:
    """The answers that a client got, one redirect after the other."""

    visit: Visit
    answers: list[Answer]
    problem: str | None = None


@contextmanager
def chaos_site(run_dir: Path) -> Iterator[Site]:
    """A site of two workers for any number of seeds, one after the other."""
    allow_open_files(4096)
    with (
        Origin() as origin,
        Bucket() as bucket,
        Stack(
            run_dir, origin=origin.url, store=bucket, plugin=_plugin(origin), edit_edge=add_dead_cluster
        ) as stack,
    ):
        yield Site(stack, bucket, origin)


def _plugin(origin: Origin) -> dict[str, Any]:
    working = {"cluster": "origin", "authority": origin.authority, "timeout": "1s"}
    return {
        "origin": None,
        "origins": {"working": working, "dead": {**working, "cluster": "dead"}},
        "rules": [
            {"prefix": "/backed-up/", "origins": ["dead", "working"], "too_large": "error"},
            {"prefix": "/dead/", "origins": ["dead"], "too_large": "error"},
            {"prefix": "/", "origins": ["working"], "too_large": "error"},
        ],
        "wait": "2s",
        "negative_ttl": "1s",
        "loop_window": "1s",
        "limits": {"part_size": "5MiB", "memory": "20MiB", "fills": 12, "queue": 24},
    }


def run_seed(site: Site, seed: int) -> Report:
    plan, report, began = plan_of(seed), Report(seed), time.monotonic()
    for thing in plan.things:
        site.origin.script(thing.path, *thing.scripts())
        if thing.drips:
            site.origin.drips.add(thing.path)
        thing.arm(site.store)
    before = _counted(site)
    got = asyncio.run(_visits(site, plan))
    report.problems += _settle(site)
    report.problems += _judge(got, report)
    report.problems += _wrong_objects(site, plan)
    report.problems += _wrong_counts(got, _counted(site) - before)
    try:
        site.assert_module_healthy()
    except AssertionError as unhealthy:
        report.problems.append(f"the module is not healthy: {unhealthy}")
    report.seconds = time.monotonic() - began
    return report


async def _visits(site: Site, plan: Plan) -> list[Got]:
    async with Crowd(site.stack.url, len(plan.visits)) as clients:
        return list(
            await all_of(_visit(client, visit) for client, visit in zip(clients, plan.visits, strict=True))
        )


async def _visit(client: Client, visit: Visit) -> Got:
    await asyncio.sleep(visit.at)
    headers = [("range", f"bytes={visit.span[0]}-{visit.span[1]}")] if visit.span else []
    answers: list[Answer] = []
    try:
        while len(answers) <= REDIRECTS:
            timeout = DEADLINE if visit.leaves_after is None else visit.leaves_after
            answers.append(await client.ask(visit.thing.path, visit.method, headers, timeout))
            if answers[-1].status != 302:
                break
    except (asyncio.TimeoutError, TimeoutError):
        client.leave()
        if visit.leaves_after is None:
            return Got(visit, answers, f"no answer in {DEADLINE:g} s")
    except (asyncio.IncompleteReadError, ConnectionError) as cut:
        if not visit.thing.reads:
            return Got(visit, answers, f"the answer was cut: {cut}")
    return Got(visit, answers)


def _settle(site: Site) -> list[str]:
    """Waits until no fill runs any more: no server is asked, and no upload is under way."""
    end = time.monotonic() + SETTLED_IN
    while site.store.uploads.open() or min(site.origin.idle_for, site.store.idle_for) < QUIET:
        if time.monotonic() > end:
            left = [key for key, _ in site.store.uploads.open()]
            return [f"fills go on after {SETTLED_IN:g} s, or leave uploads: {left}"]
        time.sleep(0.05)
    return []


def _judge(got: list[Got], report: Report) -> Iterator[str]:
    for each in got:
        problems = [each.problem] if each.problem else []
        for answer in each.answers:
            report.answers[f"{answer.status}:{answer.outcome or 'none'}"] += 1
            against = objection(each.visit, answer)
            if against:
                problems.append(f"{answer.status} {answer.outcome}: {against}")
        yield from (f"{problem}: {each.visit}" for problem in problems)


def _wrong_objects(site: Site, plan: Plan) -> Iterator[str]:
    for thing in plan.things:
        status, _, body = site.store.get(thing.key)
        if status == 200 and body != thing.content:
            yield f"{len(body)} wrong bytes are stored: {thing}"


def _counted(site: Site) -> Counter[str]:
    stats = site.stats("mirror_on_miss_requests_total.outcome")
    return Counter({name.rpartition(".")[2]: value for name, value in stats.items()})


def _wrong_counts(got: list[Got], counted: Counter[str]) -> Iterator[str]:
    """Finds wrong counts. Each answer is counted once, under its name. One that a client did not wait for may
    be counted too.
    """
    if counted["broken"]:
        yield f"{counted['broken']} fills broke an invariant"
    answers = [answer for each in got for answer in each.answers]
    unheard = sum(each.visit.leaves_after is not None or each.problem is not None for each in got)
    unheard += sum(bool(each.visit.thing.reads) for each in got)
    marked = Counter(answer.outcome for answer in answers if answer.outcome)
    for outcome in {*marked, *counted} - set(UNTOUCHED):
        if not marked[outcome] <= counted[outcome] <= marked[outcome] + unheard:
            yield f"{marked[outcome]} answers {outcome}, but {counted[outcome]} counted"
    unmarked = sum(answer.outcome is None and answer.status in (403, 404) for answer in answers)
    counted_unmarked = sum(counted[outcome] - marked[outcome] for outcome in UNTOUCHED)
    if not unmarked <= counted_unmarked <= unmarked + unheard:
        yield f"{unmarked} answers of the bucket's, but {counted_unmarked} counted"
