"""Herds through the real Envoy: the origin is asked once per object, for any number of clients."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from .client import Answer
from .conftest import Start, Unique
from .crowd import Crowd, all_of, allow_open_files, in_thread
from .site import Site

BODY = bytes(range(256)) * 4
CLIENTS = 5_000
OPEN_FILES = 16_000
"""10,000 clients, 1,024 connections to the bucket for each worker, and the files of every process."""

WAIT = "80s"
"""A herd takes its time on a busy machine, and every waiting client is to see its end."""

PATIENCE = 85.0
"""Seconds. Above `WAIT`, below Envoy's idle timeout."""


@pytest.fixture
def herd(start: Start) -> Callable[..., Site]:
    """A site with two workers."""
    allow_open_files(OPEN_FILES)

    def herd(**plugin: Any) -> Site:
        return start(workers=2, plugin={"wait": WAIT, **plugin})

    return herd


def test_five_thousand_clients_of_one_object_cost_one_get_and_one_put(
    herd: Callable[..., Site], unique: Unique
) -> None:
    site, path = herd(), unique()
    site.origin.put(path, BODY)
    gate = site.origin.hold(path)

    async def scenario() -> None:
        async with Crowd(site.stack.url, CLIENTS) as clients:
            answers = [asyncio.ensure_future(client.ask(path, timeout=PATIENCE)) for client in clients]
            await denied(site, CLIENTS)
            gate.open()
            redirects = await all_of(answers)
            assert tally(redirects) == {(302, "stored"): CLIENTS}
            followed = await all_of(
                client.follow(redirect, PATIENCE) for client, redirect in zip(clients, redirects, strict=True)
            )
            assert Counter(answer.body for answer in followed) == {BODY: CLIENTS}

    asyncio.run(scenario())
    assert site.origin.count(path) == 1
    assert len(site.store.calls("PutObject", path[1:])) == 1


def test_many_clients_of_each_of_fifty_objects_cost_fifty_gets_and_puts(
    herd: Callable[..., Site], unique: Unique
) -> None:
    site = herd()
    paths = [unique(f"{number}.bin") for number in range(50)]
    for path in paths:
        site.origin.put(path, path.encode())
    gates = [site.origin.hold(path) for path in paths]
    # As many connections as the edge takes, less a few.
    wanted = paths * 160

    async def scenario() -> None:
        async with Crowd(site.stack.url, len(wanted)) as clients:
            answers = [
                asyncio.ensure_future(client.ask(path, timeout=PATIENCE))
                for client, path in zip(clients, wanted, strict=True)
            ]
            await denied(site, len(wanted))
            for gate in gates:
                gate.open()
            redirects = await all_of(answers)
            assert tally(redirects) == {(302, "stored"): len(wanted)}
            followed = await all_of(
                client.follow(redirect, PATIENCE) for client, redirect in zip(clients, redirects, strict=True)
            )
            assert [answer.body for answer in followed] == [path.encode() for path in wanted]

    asyncio.run(scenario())
    assert [site.origin.count(path) for path in paths] == [1] * len(paths)
    assert [len(site.store.calls("PutObject", path[1:])) for path in paths] == [1] * len(paths)


def test_a_leader_that_leaves_changes_nothing(herd: Callable[..., Site], unique: Unique) -> None:
    site, path = herd(), unique()
    site.origin.put(path, BODY)
    gate = site.origin.hold(path)

    async def scenario() -> None:
        async with Crowd(site.stack.url, 200) as (leader, *others):
            leading = asyncio.ensure_future(leader.ask(path))
            await in_thread(site.origin.wait_for, path)
            answers = [asyncio.ensure_future(client.ask(path, timeout=PATIENCE)) for client in others]
            await denied(site, 1 + len(others))
            leading.cancel()
            leader.leave()
            gate.open()
            assert tally(await all_of(answers)) == {(302, "stored"): len(others)}

    asyncio.run(scenario())
    assert site.ask(path).body == BODY
    assert site.origin.count(path) == 1
    assert len(site.store.calls("PutObject", path[1:])) == 1


def test_ten_thousand_requests_for_a_hundred_missing_objects_cost_a_hundred_questions(
    herd: Callable[..., Site], unique: Unique
) -> None:
    site = herd(negative_ttl=WAIT)
    paths = [unique(f"{number}.bin") for number in range(100)]

    async def scenario() -> None:
        async with Crowd(site.stack.url, 1_000) as clients:
            for round_ in range(10):
                answers = await all_of(
                    client.ask(paths[(number + round_) % len(paths)], timeout=PATIENCE)
                    for number, client in enumerate(clients)
                )
                assert tally(answers) == {(404, "not_found"): len(clients)}

    asyncio.run(scenario())
    assert sum(site.origin.count(path) for path in paths) <= len(paths)


def test_a_herd_that_the_bucket_itself_turns_away_is_left_alone(
    herd: Callable[..., Site], unique: Unique
) -> None:
    """Five thousand streams that are let go at once recurse as deep as five thousand that are answered."""
    site, path = herd(), unique()
    site.store.fault("GetObject", times=CLIENTS, status=404, code="NoSuchBucket")

    async def scenario() -> None:
        async with Crowd(site.stack.url, CLIENTS) as clients:
            answers = await all_of(client.ask(path, timeout=PATIENCE) for client in clients)
        assert tally(answers) == {(404, None): CLIENTS}
        assert all(b"<Code>NoSuchBucket</Code>" in answer.body for answer in answers)

    asyncio.run(scenario())
    assert site.origin.count(path) == 0
    assert site.stats("outcome.bucket_error") == {
        "wasmcustom.mirror_on_miss_requests_total.outcome.bucket_error": CLIENTS
    }


def test_more_waiters_than_a_worker_holds_are_told_to_come_again(start: Start, unique: Unique) -> None:
    site, path = start(plugin={"limits": {"waiters": 100}}), unique()
    site.origin.put(path, BODY)
    gate = site.origin.hold(path)

    async def scenario() -> None:
        async with Crowd(site.stack.url, 130) as clients:
            answers = [asyncio.ensure_future(client.ask(path)) for client in clients]
            refused = []
            for answer in asyncio.as_completed(answers):
                refused.append(await answer)
                if len(refused) == 30:
                    break
            assert tally(refused) == {(503, "busy"): 30}
            assert all(answer.header("retry-after") for answer in refused)
            gate.open()
            assert tally(await all_of(answers)) == {(302, "stored"): 100, (503, "busy"): 30}

    asyncio.run(scenario())
    assert site.origin.count(path) == 1


async def denied(site: Site, count: int) -> None:
    """Waits until the test's own bucket has denied so many requests.

    The last denials may still be on their way to their workers. That is no loss: a client that comes after
    the end of the fill gets its outcome, too. This looks at the journal now and then, because an awaited
    journal goes through all of its entries with each new one.
    """
    end = time.monotonic() + PATIENCE
    while len(site.store.requests) < count:
        assert time.monotonic() < end, f"{len(site.store.requests)} of {count} requests in {PATIENCE:g} s"
        await asyncio.sleep(0.05)


def tally(answers: Sequence[Answer]) -> Counter[tuple[int, str | None]]:
    return Counter((answer.status, answer.outcome) for answer in answers)
