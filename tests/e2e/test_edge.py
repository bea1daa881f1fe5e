"""The edge around the filter: methods, sub-resources, listings, and the log."""

from __future__ import annotations

import json

import pytest

from .conftest import Unique
from .site import Site

BODY = b"an object\n"


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"])
def test_only_get_and_head_are_let_through(strict: Site, unique: Unique, method: str) -> None:
    path = unique()
    strict.store.put(path[1:], BODY)
    body = b"evil" if method in ("PATCH", "POST", "PUT") else b""
    answer = strict.ask(path, method, body=body)
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
    assert_reached_nobody(strict, path)
    assert strict.stored(path) == BODY


@pytest.mark.parametrize(
    "target", ["/", "//", "/%2F", "/?", "/?prefix=a", "/?delimiter=/&prefix=", "/?list-type=2", "/?policy"]
)
def test_the_bucket_is_never_listed(site: Site, unique: Unique, target: str) -> None:
    site.store.put(unique("listed")[1:], BODY)
    answer = site.ask(target)
    assert (answer.status, answer.outcome) == (302, None)
    assert answer.header("location") == "/index.html"
    assert b"listed" not in answer.body
    assert b"ListBucketResult" not in answer.body


def test_a_hit_is_the_bucket_s_own_answer(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.store.put(path[1:], BODY, {"content-type": "text/plain", "x-amz-meta-a": "b"})
    hit = strict.ask(path)
    assert (hit.status, hit.body, hit.outcome) == (200, BODY, None)
    assert (hit.header("content-type"), hit.header("x-amz-meta-a")) == ("text/plain", "b")
    assert "x-envoy-upstream-service-time" not in hit.names


def test_one_connection_carries_answers_of_every_kind(strict: Site, unique: Unique) -> None:
    """The filter's change of an answer must leave the connection at the start of the next one."""
    here, head_only, missing = unique("here"), unique("head"), unique("missing")
    for path in (here, head_only):
        strict.origin.put(path, BODY)
    dead, forbidden = unique(under="/dead"), unique("forbidden")
    strict.store.put(forbidden[1:], BODY, age=3600)
    strict.store.forbid(forbidden[1:])
    requests = [
        ("HEAD", head_only, 302),
        ("GET", here, 302),
        ("GET", here, 200),
        ("HEAD", missing, 404),
        ("GET", missing, 404),
        ("HEAD", dead, 502),
        ("GET", dead, 502),
        ("GET", forbidden, 403),
        ("HEAD", forbidden, 403),
        ("PUT", here, 405),
        ("GET", head_only, 200),
    ]
    with strict.open() as connection:
        for method, path, status in requests:
            connection.send(method, path)
            assert connection.receive(method).status == status, (method, path)


def test_the_access_log_has_the_outcome_and_no_query(strict: Site, unique: Unique) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    strict.ask(f"{path}?token=private")
    line = strict.access_logged(path)
    assert (line["status"], line["outcome"], line["path"]) == (302, "stored", path)
    assert "private" not in json.dumps(line)
    log = strict.log()
    assert path in log
    for secret in ("private", "Signature=", strict.store.reader.secret_key, strict.store.writer.access_key):
        assert secret not in log


def assert_reached_nobody(site: Site, path: str) -> None:
    assert site.origin.count(path) == 0
    assert site.store.requests.matching(lambda call: call.key == path[1:]) == []
