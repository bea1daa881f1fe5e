"""Rules through a real Envoy: the origin's requests, and the client's answers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from doubles import ScriptedOrigin, StrictBucket
from doubles.replies import status
from stack.render import named

from .conftest import Start, Unique
from .site import PUBLIC_URL, Site, add_dead_cluster, error_code, running

BODY = b"an object\n"
LARGE = bytes(range(256)) * (13 << 12)
"""13 MiB: three parts."""


def rules_of(origin: ScriptedOrigin) -> dict[str, Any]:
    """Lists all settings of rules, with a prefix for each."""
    working = {"cluster": "origin", "authority": origin.authority}
    hosts = {"cdn.test": "cdn"}
    origins = {
        "working": working,
        "dead": {**working, "cluster": "dead"},
        "redirecting": {**working, "headers": {"x-token": "secret"}, "redirects": {"hosts": hosts}},
        "public": {**working, "public_url": PUBLIC_URL},
    }
    one = {"origins": ["working"]}
    rules = [
        {
            **one,
            "prefix": "/img/",
            "suffixes": [".jpg"],
            "strip_prefix": "/img",
            "add_prefix": "/static files",
        },
        {**one, "prefix": "/query/", "query": ["v"], "request_headers": ["accept-language"]},
        {**one, "prefix": "/typed/", "content_types": ["image/*"], "cache_control": "public, max-age=60"},
        {**one, "prefix": "/served/", "response": "serve"},
        {**one, "prefix": "/head/", "on_head": "origin"},
        {**one, "prefix": "/observed/", "observe": True},
        {**one, "prefix": "/get/", "methods": ["GET"]},
        {"prefix": "/get/", "mirror": False},
        {"prefix": "/redirected/", "origins": ["redirecting"]},
        {"prefix": "/elsewhere/", "origins": ["public"], "response": "origin"},
        {"prefix": "/doubtful/", "origins": ["dead", "working"]},
        {**one, "add_prefix": "/second"},
    ]
    return {"origin": None, "origins": origins, "rules": rules, "bucket": {"storage_class": "STANDARD_IA"}}


def add_clusters(edge: dict[str, Any]) -> None:
    """Adds a dead cluster, and one for a host that the origin redirects to: it is the same server."""
    add_dead_cluster(edge)
    clusters = edge["static_resources"]["clusters"]
    cdn = copy.deepcopy(named(clusters, "origin"))
    cdn["name"] = cdn["load_assignment"]["cluster_name"] = "cdn"
    clusters.append(cdn)


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    run_dir = tmp_path_factory.mktemp("rules")
    options = {"plugin": rules_of(origin), "edit_edge": add_clusters}
    with running(run_dir, origin, StrictBucket(), workers=1, **options) as site:
        yield site


def test_a_prefix_is_replaced_at_the_origin_and_not_in_the_bucket(ruled: Site, unique: Unique) -> None:
    path = unique("a%20b.jpg", under="/img")
    ruled.origin.put(f"/static%20files{path.removeprefix('/img')}", BODY)
    assert ruled.follow(ruled.ask(path)).body == BODY
    assert ruled.stored(path.replace("%20", " ")) == BODY
    (put,) = ruled.store.calls("PutObject", path[1:].replace("%20", " "))
    assert put.request.header("x-amz-storage-class") == "STANDARD_IA"


def test_the_next_rule_is_asked_when_the_origin_of_the_first_says_404(ruled: Site, unique: Unique) -> None:
    path = unique("a.jpg", under="/img")
    ruled.origin.put(f"/second{path}", BODY)
    assert ruled.follow(ruled.ask(path)).body == BODY
    assert ruled.origin.count(f"/static%20files{path.removeprefix('/img')}") == 1


def test_only_what_a_rule_lists_of_query_and_headers_reaches_the_origin(ruled: Site, unique: Unique) -> None:
    path = unique(under="/query")
    ruled.origin.put(path, BODY)
    headers = [("accept-language", "de"), ("accept", "a/b"), ("cookie", "c=1"), ("authorization", "Bearer x")]
    assert ruled.ask(f"{path}?token=secret&v=%31&w=2", headers=headers).status == 302
    (request,) = ruled.origin.asked(path)
    assert (request.query, request.header("accept-language")) == ("v=%31", "de")
    assert not {name.lower() for name, _ in request.headers} & {"accept", "cookie", "authorization"}


def test_requests_that_differ_in_what_no_rule_lists_share_one_fetch(ruled: Site, unique: Unique) -> None:
    path = unique(under="/served")
    ruled.origin.put(path, BODY)
    gate = ruled.origin.hold(path)
    with ruled.open() as one, ruled.open() as two:
        one.send("GET", f"{path}?v=1", [("accept-language", "de")])
        two.send("GET", f"{path}?v=2", [("cookie", "a=b")])
        ruled.wait_until_held(path, 2)
        gate.open()
        assert {one.receive("GET").body, two.receive("GET").body} == {BODY}
    (request,) = ruled.origin.asked(path)
    assert (request.query, request.header("cookie")) == ("", None)


def test_a_page_of_another_type_is_neither_stored_nor_served(ruled: Site, unique: Unique) -> None:
    login, picture = unique("login.png", under="/typed"), unique("a.png", under="/typed")
    ruled.origin.put(login, b"<html>", {"Content-Type": "text/html"})
    ruled.origin.put(picture, BODY, {"Content-Type": "image/png", "Cache-Control": "no-cache"})
    answer = ruled.ask(login)
    assert (answer.status, answer.outcome, error_code(answer)) == (502, "wrong_type", "OriginWrongType")
    stored = ruled.follow(ruled.ask(picture))
    assert (stored.body, stored.header("cache-control")) == (BODY, "public, max-age=60")
    assert ruled.stored(login) is None


def test_a_served_object_is_a_200_at_once_and_stored(ruled: Site, unique: Unique) -> None:
    path = unique("a.txt", under="/served")
    body = BODY * 5000
    ruled.origin.put(path, body, {"Content-Type": "text/plain", "Set-Cookie": "a=b"})
    answer = ruled.ask(path)
    assert (answer.status, answer.outcome, answer.body) == (200, "served", body)
    assert answer.header("content-length") == str(len(body))
    assert (answer.header("content-type"), answer.header("set-cookie")) == ("text/plain", None)
    ruled.store.requests.wait(lambda call: (call.operation, call.key) == ("PutObject", path[1:]))
    assert ruled.stored(path) == body
    assert ruled.origin.count(path) == 1


def test_a_head_of_a_served_object_gets_the_buckets_answer(ruled: Site, unique: Unique) -> None:
    path = unique("a.txt", under="/served")
    ruled.origin.put(path, BODY, {"Content-Type": "text/plain", "ETag": '"1"'})
    redirect = ruled.ask(path, "HEAD")
    assert (redirect.status, redirect.outcome) == (302, "stored")
    head, answer = ruled.follow(redirect, "HEAD"), ruled.ask(path)
    assert (head.status, head.header("content-length")) == (200, str(len(BODY)))
    assert head.header("etag") == answer.header("etag"), "clients that begin with HEAD demand one"
    assert ruled.origin.count(path) == 1


def test_a_served_object_of_several_parts_is_passed_from_the_origin(ruled: Site, unique: Unique) -> None:
    path = unique(under="/served")
    ruled.origin.put(path, LARGE, {"ETag": '"1"'})
    answer = ruled.ask(path)
    assert (answer.status, answer.outcome) == (302, "streamed")
    assert ruled.follow(answer).body == LARGE


def test_a_served_object_reaches_its_client_though_the_bucket_takes_nothing(
    ruled: Site, unique: Unique
) -> None:
    path = unique(under="/served")
    ruled.origin.put(path, BODY)
    ruled.store.fault("PutObject", path[1:], times=9, status=403, code="AccessDenied")
    answer = ruled.ask(path)
    assert (answer.status, answer.body) == (200, BODY)


def test_a_client_is_sent_to_the_origin_at_once_while_the_bucket_is_filled(
    ruled: Site, unique: Unique
) -> None:
    path = unique(under="/elsewhere")
    ruled.origin.put(path, BODY)
    gate = ruled.origin.hold(path)
    answer = ruled.ask(f"{path}?v=1")
    assert (answer.status, answer.outcome) == (302, "origin")
    assert answer.header("location") == f"{PUBLIC_URL}{path}"
    gate.open()
    ruled.store.requests.wait(lambda call: (call.operation, call.key) == ("PutObject", path[1:]))
    assert ruled.ask(path).body == BODY


def test_a_head_is_answered_by_the_origin_and_stores_nothing(ruled: Site, unique: Unique) -> None:
    path = unique("a.css", under="/head")
    ruled.origin.put(path, BODY, {"Content-Language": "de"})
    answer = ruled.ask(path, "HEAD")
    assert (answer.status, answer.outcome) == (200, "head")
    assert (answer.header("content-length"), answer.header("content-language")) == (str(len(BODY)), "de")
    assert answer.header("content-type") == "text/css"
    assert [request.method for request in ruled.origin.asked(path)] == ["HEAD"]
    assert ruled.ask(unique(under="/head"), "HEAD").status == 404
    assert ruled.stored(path) is None
    assert ruled.follow(ruled.ask(path)).body == BODY


def test_what_is_observed_is_counted_and_left_to_the_bucket(ruled: Site, unique: Unique) -> None:
    path = unique(under="/observed")
    ruled.origin.put(path, BODY)
    counter = "wasmcustom.mirror_on_miss_requests_total.outcome.observed"
    before = ruled.stats("observed").get(counter, 0)
    answer = ruled.ask(path)
    assert (answer.status, answer.outcome, error_code(answer)) == (404, "observed", "NoSuchKey")
    assert ruled.stats("observed")[counter] == before + 1
    assert ruled.origin.count(path) == 0
    assert ruled.access_logged(path)["outcome"] == "observed"
    assert f"observed key={path}" in ruled.stack.edge.log_path.read_text()


def test_a_rule_for_one_method_leaves_the_other_to_the_next(ruled: Site, unique: Unique) -> None:
    path = unique(under="/get")
    ruled.origin.put(path, BODY)
    head = ruled.ask(path, "HEAD")
    assert (head.status, head.outcome) == (404, None)
    assert ruled.follow(ruled.ask(path)).body == BODY


def test_a_redirect_of_the_origin_is_followed_to_itself_and_to_a_listed_host(
    ruled: Site, unique: Unique
) -> None:
    path, there = unique("a.jpg", under="/redirected"), unique("there")
    ruled.origin.script(
        path,
        status(302, {"Location": f"{path}?again=1"}),
        status(307, {"Location": f"http://cdn.test{there}?sig=1"}),
    )
    ruled.origin.put(there, LARGE)
    assert ruled.follow(ruled.ask(path)).body == LARGE
    own, again = ruled.origin.asked(path)
    assert (own.header("x-token"), again.header("x-token"), again.query) == ("secret", "secret", "again=1")
    parts = ruled.origin.asked(there)
    assert len(parts) == 3
    for part in parts:
        assert (part.header("host"), part.header("x-token"), part.query) == ("cdn.test", None, "sig=1")
    _, headers, _ = ruled.store.get(path[1:])
    assert headers["x-amz-meta-mirror-url"] == f"//{ruled.origin.authority}{path}"


@pytest.mark.parametrize("location", ["http://evil.test/x", "//evil.test/x", "file:///etc/passwd", "{path}"])
def test_a_redirect_elsewhere_or_in_a_circle_is_refused(ruled: Site, unique: Unique, location: str) -> None:
    path = unique(under="/redirected")
    ruled.origin.script(path, status(302, {"Location": location.format(path=path)}))
    answer = ruled.ask(path)
    assert (answer.status, answer.outcome) == (502, "origin_refused")
    assert ruled.origin.count(path) == (4 if location == "{path}" else 1)
    assert ruled.stored(path) is None


def test_an_object_is_not_missing_while_an_origin_that_may_have_it_is_down(
    ruled: Site, unique: Unique
) -> None:
    answer = ruled.ask(unique(under="/doubtful"))
    assert (answer.status, answer.outcome) == (502, "origin_unavailable")


def test_a_store_without_conditional_writes_is_asked_before_each_one(start: Start, unique: Unique) -> None:
    site = start(plugin={"bucket": {"if_none_match": False}})
    for path, body in ((unique("small"), BODY), (unique("large"), LARGE)):
        site.origin.put(path, body)
        assert site.follow(site.ask(path)).body == body
        assert [call.status for call in site.store.calls("HeadObject", path[1:])] == [404]
    path = unique()
    site.origin.put(path, BODY)
    gate = site.origin.hold(path)
    with site.open() as client:
        client.send("GET", path)
        site.origin.wait_for(path)
        site.store.put(path[1:], b"theirs")
        gate.open()
        assert client.receive("GET").outcome == "exists"
    assert site.stored(path) == b"theirs"
