"""Conditions of clients about cold objects, in both wirings: the bucket judges them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doubles import ScriptedOrigin, StrictBucket
from doubles.replies import LAST_MODIFIED

from .client import Answer
from .conftest import WIRINGS, Unique
from .site import Site, error_code, running

BODY = b"an object\n"
LONG_AGO = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Tue, 14 Nov 2023 22:13:21 GMT"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin, wiring: str) -> Iterator[Site]:
    run_dir = tmp_path_factory.mktemp(f"conditions-{wiring}")
    rules = [
        {"prefix": "/served/", "response": "serve"},
        {"prefix": "/headers/", "on_head": "origin"},
        {},
    ]
    with running(run_dir, origin, StrictBucket(), workers=1, wiring=wiring, plugin={"rules": rules}) as site:
        yield site


def read(site: Site, wiring: str, target: str, method: str, condition: dict[str, str]) -> Answer:
    """What a client gets in the end; it follows one redirect."""
    headers = list(condition.items())
    answer = site.ask(WIRINGS[wiring] + target, method, headers)
    return site.follow(answer, method, headers) if answer.status == 302 else answer


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"if-match": '"other"'}, 412),
        ({"if-match": '"other", "another"', "if-none-match": '"x"'}, 412),
        ({"if-none-match": "*"}, 304),
    ],
)
def test_a_condition_waits_for_the_bucket_where_others_are_served_from_memory(
    site: Site, wiring: str, unique: Unique, method: str, condition: dict[str, str], status: int
) -> None:
    path = unique(under="/served")
    site.origin.put(path, BODY)
    answer = read(site, wiring, path, method, condition)
    assert (answer.status, answer.outcome) == (status, None)
    if method == "GET" and status == 412:
        assert error_code(answer) == "PreconditionFailed"
    assert site.stored(path) == BODY
    assert read(site, wiring, path, method, condition).status == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("date", "status"), [(LONG_AGO, 412), (LAST_MODIFIED, 200), (LATER, 200)])
@pytest.mark.parametrize("length", [10, 7 << 20])
def test_a_cold_object_is_judged_by_the_date_that_it_is_given_with(
    site: Site, wiring: str, unique: Unique, method: str, date: str, status: int, length: int
) -> None:
    # A HEAD of a small object waits for the bucket, but where nothing is stored.
    path = unique(under="/served" if method == "GET" or length > 10 else "/headers")
    site.origin.put(path, bytes(length))
    outcome = ("served" if method == "GET" else "head") if length == 10 else "streamed"
    answer = read(site, wiring, path, method, {"if-unmodified-since": date})
    assert (answer.status, answer.outcome) == (status, outcome)
    if status == 200:
        assert answer.header("last-modified") == LAST_MODIFIED
        assert answer.body == (bytes(length) if method == "GET" else b"")
    elif method == "GET":
        assert error_code(answer) == "PreconditionFailed"


def test_only_the_bucket_judges_what_is_no_date(site: Site, wiring: str, unique: Unique) -> None:
    path = unique(under="/served")
    site.origin.put(path, BODY)
    answer = read(site, wiring, path, "GET", {"if-unmodified-since": "yesterday"})
    assert (answer.status, answer.outcome, answer.body) == (200, None, BODY)


@pytest.mark.parametrize(
    "condition",
    [
        {"if-match": "*"},
        {"if-match": "*", "if-unmodified-since": LONG_AGO},
        {"if-none-match": '"other"'},
        {"if-modified-since": LONG_AGO},
        {"if-range": '"other"', "range": "bytes=1-2"},
    ],
)
def test_a_condition_that_no_cold_object_fails_is_served_from_memory(
    site: Site, wiring: str, unique: Unique, condition: dict[str, str]
) -> None:
    path = unique(under="/served")
    site.origin.put(path, BODY)
    answer = read(site, wiring, path, "GET", condition)
    assert (answer.status, answer.outcome, answer.body) == (200, "served", BODY)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"if-match": '"other"'}, 412),
        ({"if-match": "*"}, 200),
        ({"if-none-match": "*"}, 304),
        ({"if-unmodified-since": LONG_AGO}, 412),
        ({"if-unmodified-since": LAST_MODIFIED}, 200),
    ],
)
def test_an_object_that_is_not_stored_has_no_tag_of_the_buckets(
    site: Site, wiring: str, unique: Unique, condition: dict[str, str], status: int
) -> None:
    path = unique()
    site.origin.put(path, BODY)
    site.store.fault("PutObject", path[1:], times=9, status=403, code="AccessDenied")
    answer = read(site, wiring, path, "GET", condition)
    assert (answer.status, answer.outcome) == (status, "not_stored")
    assert answer.body == (BODY if status == 200 else answer.body)
    assert status != 412 or error_code(answer) == "PreconditionFailed"


@pytest.mark.parametrize(
    ("condition", "status"), [({"if-match": '"other"'}, 412), ({"if-match": "*"}, 200), ({}, 200)]
)
def test_the_headers_of_the_origin_have_no_tag_of_the_buckets(
    site: Site, wiring: str, unique: Unique, condition: dict[str, str], status: int
) -> None:
    path = unique(under="/headers")
    site.origin.put(path, BODY)
    answer = read(site, wiring, path, "HEAD", condition)
    assert (answer.status, answer.outcome) == (status, "head")


@pytest.mark.parametrize("number", [1, 2])
def test_a_part_of_a_cold_object_is_the_buckets(site: Site, wiring: str, unique: Unique, number: int) -> None:
    path = unique(under="/served")
    site.origin.put(path, BODY)
    answer = read(site, wiring, f"{path}?partNumber={number}", "GET", {})
    assert (answer.status, answer.outcome) == (206 if number == 1 else 416, None)
    assert site.stored(path) == BODY
    assert site.origin.count(path) == 1
