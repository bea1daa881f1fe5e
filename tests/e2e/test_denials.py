"""A 403 of the bucket, whose meaning only the signer's HEAD can tell, and a 412 that proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles import ScriptedOrigin, StrictBucket

from .conftest import Unique
from .site import Site, error_code, running

BODY = b"an object of the origin that the bucket may deny\n"

RULES = [
    {"prefix": "/served/", "response": "serve"},
    {"prefix": "/served-and-assumed/", "response": "serve", "on_403": "miss"},
    {"prefix": "/assumed/", "on_403": "miss"},
    {"prefix": "/ignored/", "response": "serve", "on_403": "ignore"},
    {"prefix": "/headers/", "on_head": "origin"},
    {"prefix": "/headers-assumed/", "on_head": "origin", "on_403": "miss"},
    {"prefix": "/"},
]


@pytest.fixture(scope="module")
def denying(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    run_dir: Path = tmp_path_factory.mktemp("denying")
    with running(run_dir, origin, StrictBucket(), workers=1, plugin={"rules": RULES}) as site:
        yield site


@pytest.mark.parametrize("takes_it", [True, False])
@pytest.mark.parametrize("under", ["", "/served", "/assumed", "/served-and-assumed"])
def test_nobody_is_handed_what_a_policy_denies_to_everybody(
    denying: Site, unique: Unique, under: str, takes_it: bool
) -> None:
    path, store = unique(under=under), denying.store
    denying.origin.put(path, BODY)
    store.forbid(path[1:], store.reader, store.writer)
    if not takes_it:
        store.fault("PutObject", path[1:], status=403, code="AccessDenied")
    answer = denying.ask(path)
    assert BODY not in answer.body
    assert (answer.status, answer.outcome) == ((302, "stored") if takes_it else (502, "not_stored"))
    again = denying.ask(path)
    assert BODY not in again.body
    if takes_it:
        assert (again.status, error_code(again), again.outcome) == (403, "AccessDenied", "loop")


def test_a_writer_that_cannot_tell_is_warned_of(denying: Site, unique: Unique) -> None:
    path, store = unique(), denying.store
    denying.origin.put(path, BODY)
    with store.without_list_right(store.reader, store.writer):
        assert denying.follow(denying.ask(path)).body == BODY
    assert "without s3:ListBucket" in denying.stack.edge.log_path.read_text()


def test_what_is_denied_to_the_reader_alone_is_denied_by_a_rule_that_ignores_403(
    denying: Site, unique: Unique
) -> None:
    path = unique(under="/ignored")
    denying.origin.put(path, BODY)
    denying.store.forbid(path[1:])
    answer = denying.ask(path)
    assert (answer.status, error_code(answer), answer.outcome) == (403, "AccessDenied", None)
    assert denying.origin.count(path) == 0


@pytest.mark.parametrize("under", ["/headers", "/headers-assumed"])
def test_nobody_is_told_the_headers_of_what_a_policy_denies(
    denying: Site, unique: Unique, under: str
) -> None:
    path, store = unique(under=under), denying.store
    denying.origin.put(path, BODY, {"Content-Language": "mi"})
    store.forbid(path[1:], store.reader, store.writer)
    answer = denying.ask(path, "HEAD")
    assert (answer.status, answer.header("content-language")) == (403, None)
    assert denying.origin.count(path) == 0


def test_who_loses_a_race_for_a_key_that_was_missing_is_sent_to_the_bucket(
    denying: Site, unique: Unique
) -> None:
    path, store = unique(), denying.store
    denying.origin.put(path, BODY)
    gate = denying.origin.hold(path)
    with store.without_list_right(store.reader), denying.open() as client:
        client.send("GET", path)
        denying.origin.wait_for(path)
        store.put(path[1:], b"of another replica")
        gate.open()
        miss = client.receive("GET")
    assert (miss.status, miss.outcome) == (302, "exists")
    assert denying.follow(miss).body == b"of another replica"


@pytest.mark.parametrize("under", ["", "/served", "/headers"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_what_was_deleted_stays_deleted_for_a_reader_that_may_not_list(
    denying: Site, unique: Unique, under: str, method: str
) -> None:
    """Such a reader gets no sign of the delete marker, but the signer's HEAD does."""
    path, store = unique(under=under), denying.store
    denying.origin.put(path, BODY)
    store.put(path[1:], BODY)
    store.delete(path[1:], marker=True)
    with store.without_list_right(store.reader):
        answer = denying.ask(path, method)
    assert (answer.status, answer.outcome) == (403, None)
    assert denying.origin.count(path) == 0


@pytest.mark.parametrize("times", [1, 2])
def test_a_head_of_the_signer_that_is_reset_is_made_again(denying: Site, unique: Unique, times: int) -> None:
    path, store = unique(), denying.store
    denying.origin.put(path, BODY)
    store.reset("HeadObject", path[1:], times)
    with store.without_list_right(store.reader):
        assert denying.ask(path).outcome == "stored"


def test_a_head_of_the_signer_that_always_fails_is_a_503(denying: Site, unique: Unique) -> None:
    path, store = unique(), denying.store
    denying.origin.put(path, BODY)
    store.reset("HeadObject", path[1:], 3)
    with store.without_list_right(store.reader):
        answer = denying.ask(path)
    assert (answer.status, answer.outcome) == (503, "bucket_unavailable")
    assert error_code(answer) == "ServiceUnavailable"
    assert answer.header("retry-after")
    assert denying.origin.count(path) == 0


def test_a_key_that_the_store_cannot_hold_is_served_and_not_redirected_for_ever(
    seaweed: Site, unique: Unique
) -> None:
    """SeaweedFS makes a directory of `blog` when it stores `blog/post`, and says 412 to a PUT of `blog`."""
    blog = unique("blog")
    post = f"{blog}/post"
    for path in (post, blog):
        seaweed.origin.put(path, BODY + path.encode())
    assert seaweed.follow(seaweed.ask(post)).body == BODY + post.encode()
    for _ in range(2):
        answer = seaweed.ask(blog)
        assert (answer.status, answer.outcome, answer.body) == (200, "not_stored", BODY + blog.encode())
    assert "it cannot hold this key" in seaweed.stack.edge.log_path.read_text()
