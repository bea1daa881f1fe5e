"""What becomes of a query: the bucket is asked without it, `Location` has it, some are not implemented."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doubles import ScriptedOrigin, StrictBucket

from .client import Answer
from .conftest import WIRINGS, Start, Unique
from .site import Site, a_rule_for_everything, add_dead_cluster, error_code, running

BODY = b"an object\n"
PARTS = [b"1" * (6 << 20), b"2" * (6 << 20), b"3" * (1 << 20)]


@pytest.fixture(scope="module")
def transparent(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    run_dir = tmp_path_factory.mktemp("transparent-query")
    options = {"plugin": a_rule_for_everything(origin), "edit_edge": add_dead_cluster}
    with running(run_dir, origin, StrictBucket(), workers=1, wiring="transparent", **options) as site:
        yield site


@pytest.fixture(params=WIRINGS)
def wiring(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def site(request: pytest.FixtureRequest, wiring: str) -> Site:
    return request.getfixturevalue("strict" if wiring == "redirect" else wiring)


def read(site: Site, wiring: str, target: str, method: str = "GET") -> Answer:
    """What a client gets in the end; it follows one redirect."""
    answer = site.ask(WIRINGS[wiring] + target, method)
    return site.follow(answer, method) if wiring == "redirect" and answer.status == 302 else answer


def asked(site: Site, path: str) -> set[str]:
    """The queries that the bucket got, from whomever."""
    return {call.request.query for call in site.store.requests.matching(lambda call: call.key == path[1:])}


DROPPED = [
    "",
    "v=1",
    "v=a%20b",
    "a=%26acl",
    "a=%26tagging",
    "a=%26uploads",
    "a=%26versionId=1",
    "a=%26response-content-type=text/html",
    "a=1%3Facl",
    "%61cl",
    "ACL",
    "%76ersionId=1",
    "VersionId=1",
    "versionid=1",
    "x=1;versionId=1",
    "policy",
    "list-type=2&prefix=",
    "location=x",
    "session=1",
    "utm%5Fsource=x",
    "filter%5B%5D=1",
    "%zz",
    "?acl",
    "partNumber=0",
    "partNumber=01",
    "partNumber=1;v=1",
    "v=%26partNumber=1",
    "partNumber=%31",
    "partNumber=100000",
    "response-content-type=text/html",
    "x-id=GetObject",
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20260101%2Feu-west-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0a",
    "AWSAccessKeyId=AKID&Signature=abc%2Bdef%3D&Expires=1700000000",
    "Expires=1700000000&Signature=a~b__&Key-Pair-Id=K1",
]


@pytest.mark.parametrize("query", DROPPED)
def test_a_query_is_dropped_before_the_bucket_is_asked(
    site: Site, wiring: str, unique: Unique, query: str
) -> None:
    cold, warm = unique("cold"), unique("warm")
    site.origin.put(cold, BODY)
    site.store.put(warm[1:], BODY, {"content-type": "text/plain"})
    for path in (warm, cold):
        answer = read(site, wiring, f"{path}?{query}")
        assert (answer.status, answer.body) == (200, BODY)
        assert asked(site, path) == {""}
    assert read(site, wiring, f"{warm}?{query}").header("content-type") == "text/plain"


@pytest.mark.parametrize("query", DROPPED)
def test_a_location_has_the_query_as_it_came(strict: Site, unique: Unique, query: str) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    assert strict.ask(f"{path}?{query}").header("location") == f"{path}?{query}"


def test_a_key_that_no_rule_mirrors_is_asked_without_a_query_too(
    site: Site, wiring: str, unique: Unique
) -> None:
    path = unique(under="/unmirrored")
    assert read(site, wiring, f"{path}?acl%3D&x=%26acl").status == 404
    assert asked(site, path) == {""}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "query", ["versionId", "versionId=1", "v=1&versionId=1", "uploadId=1", "partNumber=1&uploadId=1"]
)
def test_versions_and_uploads_are_not_implemented(
    site: Site, wiring: str, unique: Unique, method: str, query: str
) -> None:
    path = unique()
    site.store.put(path[1:], BODY)
    answer = site.ask(f"{WIRINGS[wiring]}{path}?{query}", method)
    assert (answer.status, answer.outcome) == (501, None)
    assert method == "HEAD" or error_code(answer) == "NotImplemented"
    assert asked(site, path) == set()
    assert site.origin.count(path) == 0


@pytest.mark.parametrize(
    "name",
    ["acl", "attributes", "legal-hold", "restore", "retention", "select", "tagging", "torrent", "uploads"],
)
def test_what_sdks_ask_besides_is_not_implemented_in_the_transparent_wiring(
    strict: Site, transparent: Site, unique: Unique, name: str
) -> None:
    path = unique()
    for site in (strict, transparent):
        site.store.put(path[1:], BODY)
    answer = transparent.ask(f"/mirror{path}?{name}")
    assert (answer.status, error_code(answer)) == (501, "NotImplemented")
    assert asked(transparent, path) == set()
    assert strict.ask(f"{path}?{name}").status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_part_is_read_cold_and_warm(site: Site, wiring: str, unique: Unique, method: str) -> None:
    path, whole = unique(), b"".join(PARTS)
    site.origin.put(path, whole)
    for _ in range(2):
        answer = read(site, wiring, f"{path}?partNumber=2", method)
        assert (answer.status, answer.header("x-amz-mp-parts-count")) == (206, "3")
        assert answer.header("content-range") == f"bytes {6 << 20}-{(12 << 20) - 1}/{len(whole)}"
        assert answer.body == (PARTS[1] if method == "GET" else b"")
    assert site.origin.count(path) == len(PARTS)


@pytest.mark.parametrize(
    "query", ["partNumber=2&x-id=GetObject", "X-Amz-Expires=60&partNumber=2&X-Amz-Date=0"]
)
def test_a_part_is_read_whatever_stands_beside_its_number(
    site: Site, wiring: str, unique: Unique, query: str
) -> None:
    """SDKs for Go and JavaScript send the first, a presigned URL is like the second. A client that got all of
    the object instead would make a wrong one of it.
    """
    path = unique()
    site.origin.put(path, b"".join(PARTS))
    for _ in range(2):
        answer = read(site, wiring, f"{path}?{query}")
        assert (answer.status, answer.header("x-amz-mp-parts-count"), answer.body) == (206, "3", PARTS[1])
    assert asked(site, path) >= {"partNumber=2"}
    assert not [sent for sent in asked(site, path) if "x-id" in sent or "X-Amz" in sent]


def test_the_headers_of_a_part_are_never_those_of_the_whole(
    start: Start, wiring: str, unique: Unique
) -> None:
    site = start(wiring=wiring, plugin={"rules": [{"on_head": "origin"}]})
    path = unique()
    site.origin.put(path, b"".join(PARTS))
    answer = read(site, wiring, f"{path}?partNumber=3", "HEAD")
    assert (answer.status, answer.header("content-length")) == (206, str(len(PARTS[2])))
    assert read(site, wiring, f"{unique('another')}", "HEAD").status == 404


def test_a_part_is_never_served_from_memory(start: Start, wiring: str, unique: Unique) -> None:
    site = start(wiring=wiring, plugin={"rules": [{"response": "serve"}]})
    path = unique()
    site.origin.put(path, BODY)
    assert read(site, wiring, f"{path}?partNumber=2").status == 416
    assert site.stored(path) == BODY
    assert read(site, wiring, f"{path}?partNumber=2").status == 416
    assert read(site, wiring, f"{path}?partNumber=1").body == BODY


def test_a_part_of_nothing_is_a_404(site: Site, wiring: str, unique: Unique) -> None:
    answer = read(site, wiring, f"{unique()}?partNumber=1")
    assert (answer.status, answer.outcome) == (404, "not_found")


def test_rules_see_the_query_as_it_came(start: Start, wiring: str, unique: Unique) -> None:
    site, path = start(wiring=wiring, plugin={"rules": [{"query": ["size"]}]}), unique()
    site.origin.put(path, BODY)
    assert read(site, wiring, f"{path}?v=1&size=a%26b").body == BODY
    (get,) = site.origin.asked(path)
    assert get.target == f"{path}?size=a%26b"
    assert asked(site, path) == {""}


@pytest.mark.parametrize("name", ["./a", "a/./b", "./././a", "a/././b?v=/./"])
def test_a_path_is_served_without_its_current_directories(
    site: Site, wiring: str, unique: Unique, name: str
) -> None:
    under = unique("")
    plain = f"{under}{name}".partition("?")[0].replace("/./", "/").replace("/./", "/").replace("./", "")
    cold, warm = plain, plain + "-warm"
    site.origin.put(cold, BODY)
    site.store.put(warm[1:], BODY)
    path, _, query = f"{under}{name}".partition("?")
    for target, key in ((path + "-warm", warm), (path, cold)):
        answer = read(site, wiring, f"{target}?{query}")
        assert (answer.status, answer.body) == (200, BODY)
        assert {call.request.path for call in site.store.calls("GetObject", key[1:])} == {f"/mirror{key}"}


@pytest.mark.parametrize("name", ["..", "../a", "./../a", "a/.", "a/%2e/b", "a\\.\\b", "a/.%2e/b", "a%2f./b"])
def test_other_dot_segments_are_refused(site: Site, wiring: str, unique: Unique, name: str) -> None:
    seen = len(site.store.requests)
    answer = site.ask(f"{WIRINGS[wiring]}{unique('')}{name}")
    assert (answer.status, error_code(answer)) == (400, "InvalidURI")
    assert len(site.store.requests) == seen
