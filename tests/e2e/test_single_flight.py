"""Many clients, one missing object: one request to the origin, one PUT, the right bytes for all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from .conftest import Start, Unique
from .site import Site

BODY = bytes(range(256)) * 64
CLIENTS = 50


def test_fifty_clients_of_one_missing_object_cost_one_fetch_and_one_put(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    gate = strict.origin.hold(path)
    with ExitStack() as connections:
        clients = [connections.enter_context(strict.open()) for _ in range(CLIENTS)]
        for client in clients:
            client.send("GET", path)
        strict.wait_until_held(path, CLIENTS)
        gate.open()
        answers = [client.receive("GET") for client in clients]
    assert {(answer.status, answer.outcome) for answer in answers} == {(302, "stored")}
    assert {strict.follow(answer).body for answer in answers} == {BODY}
    assert strict.origin.count(path) == 1
    assert len(strict.store.calls("PutObject", path[1:])) == 1


def test_clients_with_different_questions_share_a_fill(strict: Site, unique: Unique) -> None:
    path = unique("shared")
    strict.origin.put(path, BODY)
    gate = strict.origin.hold(path)
    questions = [
        ("GET", f"{path}?v=1", []),
        ("GET", f"{path}?v=2", [("range", "bytes=0-9")]),
        ("HEAD", path, []),
        ("GET", path.replace("shared", "%73hared"), []),
    ]
    with ExitStack() as connections:
        clients = [connections.enter_context(strict.open()) for _ in questions]
        for client, (method, target, headers) in zip(clients, questions, strict=True):
            client.send(method, target, headers)
        strict.wait_until_held(path, len(questions))
        gate.open()
        answers = [client.receive(method) for client, (method, _, _) in zip(clients, questions, strict=True)]
    assert [answer.status for answer in answers] == [302] * len(questions)
    locations = [answer.header("location") for answer in answers]
    assert locations == [f"{path}?v=1", f"{path}?v=2", path, path]
    assert strict.origin.count(path) == 1


def test_fifty_clients_of_an_object_that_the_origin_has_not_cost_one_question(
    strict: Site, unique: Unique
) -> None:
    path = unique()
    gate = strict.origin.hold(path)
    with ExitStack() as connections:
        clients = [connections.enter_context(strict.open()) for _ in range(CLIENTS)]
        for client in clients:
            client.send("GET", path)
        strict.wait_until_held(path, CLIENTS)
        gate.open()
        answers = [client.receive("GET") for client in clients]
    assert {(answer.status, answer.outcome) for answer in answers} == {(404, "not_found")}
    assert strict.origin.count(path) == 1


@pytest.mark.parametrize("others_wait", [True, False])
def test_a_client_that_leaves_does_not_stop_the_fill(strict: Site, unique: Unique, others_wait: bool) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    gate = strict.origin.hold(path)
    with ExitStack() as connections:
        with strict.open() as leaving:
            leaving.send("GET", path)
            strict.origin.wait_for(path)
        other = connections.enter_context(strict.open())
        if others_wait:
            other.send("GET", path)
            strict.wait_until_held(path, 2)
        gate.open()
        if others_wait:
            assert other.receive("GET").status == 302
    strict.store.requests.wait(lambda call: (call.operation, call.key) == ("PutObject", path[1:]))
    assert strict.ask(path).body == BODY
    assert strict.origin.count(path) == 1


def test_two_workers_never_store_twice(seaweed: Site, unique: Unique) -> None:
    """Each worker has its own flights, and a client may come as one ends: the PUT's condition decides."""
    path = unique()
    seaweed.origin.put(path, BODY)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: seaweed.ask(path), range(20)))
    assert {(answer.status, answer.outcome) for answer in answers} <= {
        (200, None),
        (302, "exists"),
        (302, "stored"),
    }
    assert [answer.outcome for answer in answers].count("stored") >= 1
    assert seaweed.ask(path).body == BODY


def test_many_different_objects_at_once(site: Site, unique: Unique) -> None:
    paths = [unique(f"{number}.bin") for number in range(60)]
    for path in paths:
        site.origin.put(path, path.encode())
    with ThreadPoolExecutor(20) as pool:
        bodies = list(pool.map(lambda path: site.follow(site.ask(path)).body, paths))
    assert bodies == [path.encode() for path in paths]
    assert [site.origin.count(path) for path in paths] == [1] * len(paths)


def test_a_worker_at_its_limits_says_busy_and_recovers(start: Start, unique: Unique) -> None:
    site = start(plugin={"limits": {"fills": 1, "queue": 1}})
    filling, queued, refused = (unique(name) for name in ("filling", "queued", "refused"))
    for path in (filling, queued, refused):
        site.origin.put(path, BODY)
    gate = site.origin.hold(filling)
    with site.open() as first, site.open() as second:
        first.send("GET", filling)
        site.origin.wait_for(filling)
        second.send("GET", queued)
        site.wait_until_held(queued, 1)
        busy = site.ask(refused)
        gate.open()
        answers = [first.receive("GET"), second.receive("GET")]
    assert (busy.status, busy.outcome) == (503, "busy")
    assert busy.header("retry-after")
    assert [answer.status for answer in answers] == [302, 302]
    assert site.follow(site.ask(refused)).body == BODY
