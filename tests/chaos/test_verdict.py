"""The verdict objects to each broken promise, and to nothing that a fault explains."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.s3.dialects import AWS
from e2e.client import Answer

from .plan import Thing, Visit, Ways, plan
from .run import _wrong_objects
from .sides import Bucket
from .verdict import objection

CONTENT = b"hello"
BLIND = Ways(AWS, reader_lists=False, writer_lists=False)
LISTS = Ways(AWS, reader_lists=True, writer_lists=True)


def thing(family: str = "plain", **fields: Any) -> Thing:
    given = {"content": CONTENT, "drips": False, "origin": ["as it should"], "reads": [], "writes": []}
    return Thing(f"/{family}/a", **{**given, **fields})


def visit(of: Thing, method: str = "GET", span: tuple[int, int] | None = None) -> Visit:
    return Visit(0.0, 0, False, method, of, span, None)


def answer(status: int, outcome: str | None = None, body: bytes = b"", **headers: str) -> Answer:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Answer(status, [*named, *([("x-mirror-on-miss", outcome)] if outcome else [])], body)


REDIRECT = answer(302, "stored", location="/plain/a", cache_control="no-store")
RESET = thing(origin=["a reset in the middle", "as it should"])


@pytest.mark.parametrize(
    ("asked", "got", "ways"),
    [
        (visit(thing()), answer(200, None, b"hell"), LISTS),
        (visit(thing(later=b"HELLO")), answer(200, None, b"heLLO"), LISTS),
        (visit(thing(), span=(1, 2)), answer(206, None, b"he"), LISTS),
        (visit(thing(), "HEAD"), answer(200, None, b"", content_length="4"), LISTS),
        (visit(thing("served", is_denied=True)), answer(200, "served", CONTENT), LISTS),
        (visit(thing(is_denied=True)), answer(200, "not_stored", CONTENT), BLIND),
        (visit(RESET), answer(502, "too_large"), LISTS),
        (visit(thing()), answer(502, "origin_unavailable"), LISTS),
        (visit(thing()), answer(404, "not_found"), LISTS),
        (visit(thing()), answer(403), BLIND),
        (visit(thing(content=None)), REDIRECT, LISTS),
        (visit(thing(content=None)), answer(200, None, b""), LISTS),
        (visit(thing(writes=["untrue: 412"])), answer(404), LISTS),
    ],
)
def test_a_broken_promise_is_objected_to(asked: Visit, got: Answer, ways: Ways) -> None:
    assert objection(asked, got, ways) is not None


@pytest.mark.parametrize(
    ("asked", "got", "ways"),
    [
        (visit(thing()), answer(200, None, CONTENT), LISTS),
        (visit(thing(later=b"HELLO")), answer(200, None, b"HELLO"), LISTS),
        (visit(thing(theirs=b"THEIR")), answer(200, None, b"THEIR"), LISTS),
        (visit(thing(), span=(1, 2)), answer(206, None, b"el"), LISTS),
        (visit(thing(), "HEAD"), answer(200, None, b"", content_length="5"), LISTS),
        (visit(thing()), REDIRECT, BLIND),
        (visit(thing(is_denied=True)), answer(403), LISTS),
        (visit(thing("guarded")), answer(403), BLIND),
        (visit(RESET), answer(502, "origin_unavailable"), LISTS),
        (visit(thing(origin=["without ranges"])), answer(502, "too_large"), LISTS),
        (visit(thing(content=None)), answer(404, "not_found"), LISTS),
        (visit(thing(writes=["untrue: 200"])), answer(404), LISTS),
        (visit(thing(writes=["untrue: 412"])), answer(403), BLIND),
    ],
)
def test_an_answer_that_a_fault_explains_is_allowed(asked: Visit, got: Answer, ways: Ways) -> None:
    assert objection(asked, got, ways) is None


def test_a_mixed_object_and_an_object_that_was_overwritten_are_found() -> None:
    mixed = thing(later=b"HELLO")
    theirs = thing("served", theirs=b"THEIR")
    seed = plan(1)
    with Bucket() as bucket:
        seed.things[:] = [mixed, theirs]
        bucket.put(theirs.key, b"THEIR")
        assert list(_wrong_objects(bucket, seed)) == []
        for each, body in ((mixed, b"heLLO"), (theirs, CONTENT)):
            bucket.put(each.key, body)
            bucket.theirs = {theirs.key: b"THEIR"}
        mistakes = list(_wrong_objects(bucket, seed))
    assert [mistake.split(":")[0] for mistake in mistakes] == [
        "5 wrong bytes are stored",
        "the object of another writer was overwritten",
    ]


def test_a_seed_always_means_the_same() -> None:
    assert plan(7) == plan(7) != plan(8)
