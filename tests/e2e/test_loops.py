"""A bucket that claims to have stored an object and does not have it: no client is sent in circles."""

from __future__ import annotations

import asyncio
import time

from .client import Answer
from .conftest import Start, Unique
from .crowd import Client, Crowd, all_of
from .site import Site, error_code

BODY = b"an object\n"
FOR_GOOD = 1_000_000
"""More often than any request."""

FOLLOWED = 5
"""The redirects that a client follows before it gives up."""


def test_a_client_is_redirected_once_and_then_gets_the_buckets_own_answer(
    start: Start, unique: Unique
) -> None:
    site, path = start(plugin={"loop_window": "1h"}), unique()
    site.origin.put(path, BODY)
    site.store.swallow("PutObject", path[1:], FOR_GOOD)
    redirect = site.ask(path)
    assert (redirect.status, redirect.outcome) == (302, "stored")
    for answer in (site.follow(redirect), site.ask(path)):
        assert (answer.status, answer.outcome, error_code(answer)) == (404, "loop", "NoSuchKey")
    head = site.follow(redirect, "HEAD")
    assert (head.status, head.outcome) == (404, "loop")
    assert site.origin.count(path) == 1
    assert counted(site) == {"loop": 3, "stored": 1}


def test_a_herd_is_redirected_at_most_once_each(start: Start, unique: Unique) -> None:
    site, path = start(workers=2, plugin={"loop_window": "1h"}), unique()
    site.origin.put(path, BODY)
    site.store.swallow("PutObject", path[1:], FOR_GOOD)

    async def scenario() -> list[tuple[int, Answer]]:
        async with Crowd(site.stack.url, 100) as clients:
            return list(await all_of(to_the_end(client, path) for client in clients))

    ends = asyncio.run(scenario())
    assert max(redirects for redirects, _ in ends) == 1
    assert {(answer.status, answer.outcome) for _, answer in ends} == {(404, "loop")}
    assert site.origin.count(path) == 1


def test_after_the_window_the_object_is_filled_again(start: Start, unique: Unique) -> None:
    site, path = start(plugin={"loop_window": "3s"}), unique()
    site.origin.put(path, BODY)
    site.store.swallow("PutObject", path[1:])
    assert site.follow(site.ask(path)).status == 404
    again = asked_until_redirected(site, path)
    assert again.outcome == "stored"
    assert site.follow(again).body == BODY
    assert site.origin.count(path) == 2


def test_without_a_window_every_miss_is_filled(start: Start, unique: Unique) -> None:
    site, path = start(plugin={"loop_window": "0s"}), unique()
    site.origin.put(path, BODY)
    site.store.swallow("PutObject", path[1:])
    assert site.follow(site.ask(path)).status == 302
    assert site.ask(path).body == BODY


async def to_the_end(client: Client, path: str) -> tuple[int, Answer]:
    """Follows redirects. Returns their number, and the answer after them."""
    answer = await client.ask(path)
    for redirects in range(FOLLOWED):
        if answer.status != 302:
            return redirects, answer
        answer = await client.follow(answer)
    return FOLLOWED, answer


def asked_until_redirected(site: Site, path: str, patience: float = 20) -> Answer:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        answer = site.ask(path)
        if answer.status == 302:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"no redirect in {patience:g} s")


def counted(site: Site) -> dict[str, int]:
    """Returns the edge's count of requests by outcome."""
    stats = site.stats("mirror_on_miss_requests_total.outcome")
    return {name.rpartition(".")[2]: value for name, value in stats.items() if value}
