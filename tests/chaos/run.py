"""One seed through the real Envoy, with a check of the invariants."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.client import Answer
from e2e.crowd import Client, all_of, allow_open_files
from e2e.site import Site, add_dead_cluster
from stack import Stack

from .clients import AbsentClient, Http2, Http2Client, connect
from .plan import REPLICAS, Plan, Thing, Visit
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


WORKERS = 2


@dataclass(frozen=True)
class Replicas:
    """Edges that share an origin and a bucket, and nothing else."""

    sites: list[Site]
    bucket: Bucket
    origin: Origin

    def stats(self, contains: str) -> Counter[str]:
        total: Counter[str] = Counter()
        for site in self.sites:
            total.update(site.stats(contains))
        return total


@contextmanager
def chaos_site(run_dir: Path) -> Iterator[Replicas]:
    """Replicas of two workers each for any number of seeds, one after the other."""
    allow_open_files(4096)
    with Origin() as origin, Bucket() as bucket, ExitStack() as running:
        options: dict[str, Any] = {"plugin": _plugin(origin), "edit_edge": add_dead_cluster}
        stacks = [
            Stack(run_dir / str(number), origin=origin.url, store=bucket, workers=WORKERS, **options)
            for number in range(REPLICAS)
        ]
        sites = [Site(running.enter_context(stack), bucket, origin) for stack in stacks]
        yield Replicas(sites, bucket, origin)


def _plugin(origin: Origin) -> dict[str, Any]:
    working = {"cluster": "origin", "authority": origin.authority, "timeout": "1s"}
    return {
        "origin": None,
        "origins": {"working": working, "dead": {**working, "cluster": "dead"}},
        "rules": [
            {"prefix": "/backed-up/", "origins": ["dead", "working"], "too_large": "error"},
            {"prefix": "/dead/", "origins": ["dead"], "too_large": "error"},
            {"prefix": "/guarded/", "origins": ["working"], "too_large": "error", "on_403": "ignore"},
            {"prefix": "/served/", "origins": ["working"], "too_large": "error", "response": "serve"},
            {"prefix": "/", "origins": ["working"], "too_large": "error"},
        ],
        "wait": "2s",
        "negative_ttl": "1s",
        "loop_window": "1s",
        "limits": {"part_size": "5MiB", "memory": "20MiB", "fills": 12, "queue": 24},
    }


def run_seed(replicas: Replicas, seed: int) -> Report:
    plan, report, began = plan_of(seed), Report(seed), time.monotonic()
    bucket, origin = replicas.bucket, replicas.origin
    for thing in plan.things:
        origin.script(thing.path, *thing.scripts())
        if thing.drips:
            origin.drips.add(thing.path)
        thing.arm(bucket)
    before = _counted(replicas)
    with ExitStack() as ways:
        bucket.dialect = plan.ways.dialect
        for credential, lists in (
            (bucket.reader, plan.ways.reader_lists),
            (bucket.writer, plan.ways.writer_lists),
        ):
            if not lists:
                ways.enter_context(bucket.without_list_right(credential))
        got = asyncio.run(_everything(replicas, plan))
        report.problems += _settle(replicas)
    report.problems += _judge(got, plan, report)
    report.problems += _wrong_objects(bucket, plan)
    report.problems += _wrong_counts(got, plan, _counted(replicas) - before)
    for number, site in enumerate(replicas.sites):
        try:
            site.assert_module_healthy()
        except AssertionError as unhealthy:
            report.problems.append(f"the module of replica {number} is not healthy: {unhealthy}")
    report.seconds = time.monotonic() - began
    return report


async def _everything(replicas: Replicas, plan: Plan) -> list[Got]:
    """Runs the visits, while others store, the origin's objects change, and some clients do not read."""
    others = [asyncio.create_task(_change(replicas, thing)) for thing in plan.things]
    async with AsyncExitStack() as open_for_all:
        urls = [site.stack.url for site in replicas.sites]
        http2 = [await open_for_all.enter_async_context(Http2(url)) for url in urls]
        unread = [await open_for_all.enter_async_context(Http2(url, reads=False)) for url in urls]

        async def absent(visit: Visit) -> None:
            await asyncio.sleep(visit.at)
            if visit.is_http2:
                unread[visit.replica].send(visit.thing.path, "GET", [])
            else:
                client = AbsentClient(urls[visit.replica], visit.thing.path)
                await open_for_all.enter_async_context(client)

        others += [asyncio.create_task(absent(visit)) for visit in plan.absent]
        got = await all_of(_visit(visit, urls[visit.replica], http2[visit.replica]) for visit in plan.visits)
        await all_of(others)
    return list(got)


async def _change(replicas: Replicas, thing: Thing) -> None:
    if thing.later is not None:
        await asyncio.sleep(thing.changes_at)
        replicas.origin.script(thing.path, thing.script_later())
    if thing.theirs is not None and thing.theirs_at is not None:
        await asyncio.sleep(max(0.0, thing.theirs_at - thing.changes_at))
        await replicas.bucket.others_store(thing.key, thing.theirs)


async def _visit(visit: Visit, url: str, http2: Http2) -> Got:
    await asyncio.sleep(visit.at)
    client: Client | Http2Client = http2.client() if visit.is_http2 else await connect(url)
    headers = [("range", f"bytes={visit.span[0]}-{visit.span[1]}")] if visit.span else []
    answers: list[Answer] = []
    target = visit.thing.path
    try:
        while len(answers) <= REDIRECTS:
            timeout = DEADLINE if visit.leaves_after is None else visit.leaves_after
            answers.append(await client.ask(target, visit.method, headers, timeout))
            if answers[-1].status != 302:
                break
            target = visit.thing.stream if answers[-1].outcome == "streamed" else visit.thing.path
    except (asyncio.TimeoutError, TimeoutError):
        if visit.leaves_after is None:
            return Got(visit, answers, f"no answer in {DEADLINE:g} s")
    except (asyncio.IncompleteReadError, ConnectionError) as cut:
        if not visit.thing.reads and (target == visit.thing.path or visit.thing.is_calm):
            return Got(visit, answers, f"the answer was cut: {cut}")
    finally:
        client.leave()
    return Got(visit, answers)


def _settle(replicas: Replicas) -> list[str]:
    """Waits until no fill runs any more: no server is asked, and no upload is under way."""
    bucket, origin = replicas.bucket, replicas.origin
    end = time.monotonic() + SETTLED_IN
    while bucket.uploads.open() or min(origin.idle_for, bucket.idle_for) < QUIET:
        if time.monotonic() > end:
            left = [key for key, _ in bucket.uploads.open()]
            return [f"fills go on after {SETTLED_IN:g} s, or leave uploads: {left}"]
        time.sleep(0.05)
    return []


def _judge(got: list[Got], plan: Plan, report: Report) -> Iterator[str]:
    for each in got:
        problems = [each.problem] if each.problem else []
        for answer in each.answers:
            report.answers[f"{answer.status}:{answer.outcome or 'none'}"] += 1
            against = objection(each.visit, answer, plan.ways)
            if against:
                problems.append(f"{answer.status} {answer.outcome}: {against}")
        thing = each.visit.thing
        if len(each.answers) > REDIRECTS and not (thing.may_be_lost(plan.ways) or thing.reads):
            problems.append("one redirect after the other")
        yield from (f"{problem}: {each.visit}" for problem in problems)


def _wrong_objects(bucket: Bucket, plan: Plan) -> Iterator[str]:
    """Finds objects that are no whole version, and objects of others that were overwritten."""
    for thing in plan.things:
        status, _, body = bucket.get(thing.key)
        theirs = bucket.theirs.get(thing.key)
        if theirs is not None and body != theirs:
            yield f"the object of another writer was overwritten: {thing}"
        elif status == 200 and body not in thing.contents:
            yield f"{len(body)} wrong bytes are stored: {thing}"


def _counted(replicas: Replicas) -> Counter[str]:
    stats = replicas.stats("mirror_on_miss_requests_total.outcome")
    return Counter({name.rpartition(".")[2]: value for name, value in stats.items()})


def _wrong_counts(got: list[Got], plan: Plan, counted: Counter[str]) -> Iterator[str]:
    """Finds wrong counts. Each answer is counted once, under its name. One that a client did not wait for may
    be counted too.
    """
    if counted["broken"]:
        yield f"{counted['broken']} fills broke an invariant"
    answers = [answer for each in got for answer in each.answers]
    unheard = len(plan.absent)
    unheard += sum(each.visit.leaves_after is not None or each.problem is not None for each in got)
    unheard += sum(bool(each.visit.thing.reads) for each in got)
    # A client that is passed to the origin is counted when it is told so.
    named = [answer for answer in answers if answer.outcome != "streamed" or answer.status == 302]
    marked = Counter(answer.outcome for answer in named if answer.outcome)
    for outcome in {*marked, *counted} - set(UNTOUCHED):
        if not marked[outcome] <= counted[outcome] <= marked[outcome] + unheard:
            yield f"{marked[outcome]} answers {outcome}, but {counted[outcome]} counted"
    unmarked = sum(answer.outcome is None and answer.status in (403, 404) for answer in answers)
    counted_unmarked = sum(counted[outcome] - marked[outcome] for outcome in UNTOUCHED)
    if not unmarked <= counted_unmarked <= unmarked + unheard:
        yield f"{unmarked} answers of the bucket's, but {counted_unmarked} counted"
