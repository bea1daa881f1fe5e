"""The request's id, as S3 has it, on what the edges answer themselves; the same in the access log."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest

from doubles import ScriptedOrigin, StrictBucket, replies

from .client import Answer
from .conftest import WIRINGS, Unique
from .site import Site, running

BODY = b"an object\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin, wiring: str) -> Iterator[Site]:
    run_dir = tmp_path_factory.mktemp(f"request-id-{wiring}")
    rules = [{"prefix": "/served/", "response": "serve"}, {}]
    with running(run_dir, origin, StrictBucket(), workers=1, wiring=wiring, plugin={"rules": rules}) as site:
        yield site


def assert_known_by_its_id(site: Site, path: str, answer: Answer) -> None:
    request_id = answer.header("x-amz-request-id")
    assert request_id
    assert site.access_logged(path)["request_id"] == request_id
    if answer.body.startswith((b"<?xml", b"<Error>")):
        assert ElementTree.fromstring(answer.body).findtext("RequestId") == request_id


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_error_of_the_modules_has_the_id_of_its_request(
    site: Site, wiring: str, unique: Unique, method: str
) -> None:
    path = unique()
    site.origin.script(path, replies.status(401))
    answer = site.ask(WIRINGS[wiring] + path, method, [("x-request-id", "chosen-by-the-client")])
    assert (answer.status, answer.outcome) == (502, "origin_refused")
    assert_known_by_its_id(site, path, answer)
    assert answer.header("x-amz-request-id") != "chosen-by-the-client"
    assert method == "HEAD" or b"<RequestId>" in answer.body


def test_an_object_that_the_module_hands_out_has_the_id_of_its_request(
    site: Site, wiring: str, unique: Unique
) -> None:
    path = unique(under="/served")
    site.origin.put(path, BODY * 4000)
    answer = site.ask(WIRINGS[wiring] + path)
    assert (answer.status, answer.outcome) == (200, "served")
    assert_known_by_its_id(site, path, answer)


def test_an_answer_of_the_buckets_keeps_the_id_that_the_bucket_gave(
    site: Site, wiring: str, unique: Unique
) -> None:
    stored, missing = unique("stored"), unique("missing")
    site.store.put(stored[1:], BODY)
    for path, status in ((stored, 200), (missing, 404)):
        answer = site.ask(WIRINGS[wiring] + path)
        assert answer.status == status
        assert answer.header("x-amz-request-id") != site.access_logged(path)["request_id"]


ANSWERED_BY_ENVOY = {
    "a method": ("PUT", "", 405),
    "a version": ("GET", "?versionId=1", 501),
    "a dot segment": ("GET", "/../a", 400),
    "a bucket that is gone": ("GET", "", 503),
}


@pytest.mark.parametrize("case", ANSWERED_BY_ENVOY)
def test_an_answer_of_envoy_s_own_has_the_id_of_its_request(
    site: Site, wiring: str, unique: Unique, case: str
) -> None:
    method, rest, status = ANSWERED_BY_ENVOY[case]
    path = unique()
    if case == "a bucket that is gone":
        site.store.reset("GetObject", path[1:], times=99)
    answer = site.ask(f"{WIRINGS[wiring]}{path}{rest}", method)
    assert (answer.status, answer.outcome) == (status, None)
    assert_known_by_its_id(site, path, answer)
    assert status == 503 or b"<RequestId>" in answer.body
