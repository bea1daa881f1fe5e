"""The transparent wiring: a path-style S3 endpoint that reads like a bucket which has every object already.

A test that looks for a 200 would see a 302: the client of these tests follows none.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from doubles import ScriptedOrigin, StrictBucket, replies
from stack import SeaweedFS
from stack.render import named

from .client import Connection, Headers
from .conftest import Start, Unique
from .crowd import Crowd, all_of, in_thread
from .site import (
    PUBLIC_URL,
    Site,
    a_rule_for_everything,
    add_dead_cluster,
    error_code,
    eventually,
    running,
    xml_of_envoy,
)

BODY = bytes(range(256)) * 16
LARGE = bytes(range(256)) * (13 << 12)
"""13 MiB: three parts."""

CLIENTS = 200
STRANGER = BotoCredentials("AKIDSTRANGER", "a secret that nobody here knows", "a session token")
BUCKET = "/mirror"


@pytest.fixture(scope="module")
def transparent(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    """A stack on the strict bucket, with a rule for everything and one worker."""
    run_dir = tmp_path_factory.mktemp("transparent")
    options = {"plugin": a_rule_for_everything(origin), "edit_edge": add_dead_cluster}
    with running(run_dir, origin, StrictBucket(), workers=1, wiring="transparent", **options) as site:
        yield site


@pytest.fixture(scope="module")
def seaweed_transparent(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    """A stack on SeaweedFS, with the plugin's configuration as it is shipped and two workers."""
    run_dir = tmp_path_factory.mktemp("transparent-seaweed")
    with running(run_dir, origin, SeaweedFS(run_dir), wiring="transparent") as site:
        yield site


@pytest.fixture(params=["transparent", "seaweed_transparent"])
def site(request: pytest.FixtureRequest) -> Site:
    return request.getfixturevalue(request.param)


# Objects.


def test_a_cold_key_is_a_200_and_stored(site: Site, unique: Unique) -> None:
    path = unique("picture.jpg")
    site.origin.put(path, BODY, {"Content-Type": "image/jpeg"})
    for _ in range(2):
        answer = site.ask(BUCKET + path)
        assert (answer.status, answer.body, answer.header("content-type")) == (200, BODY, "image/jpeg")
        assert answer.outcome is None
    assert site.origin.count(path) == 1
    assert site.stored(path) == BODY


def test_a_miss_waits_for_no_connection_to_the_bucket(transparent: Site, unique: Unique) -> None:
    misses, waited = 20, "cluster.bucket.upstream_rq_pending_total"
    before = transparent.stats(waited)[waited]
    for number in range(misses):
        path = unique(f"{number}.jpg")
        transparent.origin.put(path, BODY)
        assert transparent.ask(BUCKET + path).body == BODY
    # One for each, where a closed connection is replaced by the request that needs it.
    assert transparent.stats(waited)[waited] - before <= misses // 2


def test_connections_in_advance_leave_every_request_one_of_its_own(
    tmp_path: Path, origin: ScriptedOrigin
) -> None:
    """The shipped proportions, small: four workers, each with connections that the others cannot use."""
    held, active = 36, "cluster.bucket.upstream_rq_active"

    def edit(edge: dict[str, Any]) -> None:
        shipped = named(edge["static_resources"]["clusters"], "bucket")["circuit_breakers"]["thresholds"][0]
        for limit in shipped:
            shipped[limit] = int(shipped[limit] * 40 / 8192)

    with (
        running(tmp_path, origin, StrictBucket(), workers=4, wiring="transparent", edit_edge=edit) as site,
        ExitStack() as clients,
    ):
        site.store.put("slow", BODY)
        site.store.put("quick", BODY)
        site.store.stall("GetObject", "slow", times=held)
        for _ in range(held):
            clients.enter_context(Connection(site.stack.url)).send("GET", f"{BUCKET}/slow")
        eventually(lambda: site.stats(active)[active], held)
        for _ in range(30):
            assert site.ask(f"{BUCKET}/quick").body == BODY


def test_a_cold_head_has_the_object_s_length(site: Site, unique: Unique) -> None:
    path = unique()
    site.origin.put(path, BODY)
    answer = site.ask(BUCKET + path, "HEAD")
    assert (answer.status, answer.header("content-length"), answer.body) == (200, str(len(BODY)), b"")
    assert site.stored(path) == BODY


def test_a_cold_range_is_a_206(site: Site, unique: Unique) -> None:
    path = unique()
    site.origin.put(path, BODY)
    answer = site.ask(BUCKET + path, headers=[("range", "bytes=10-19")])
    assert (answer.status, answer.body) == (206, BODY[10:20])
    assert answer.header("content-range") == f"bytes 10-19/{len(BODY)}"
    assert site.stored(path) == BODY


def test_a_cold_condition_is_the_bucket_s_to_judge(transparent: Site, unique: Unique) -> None:
    path = unique()
    transparent.origin.put(path, BODY)
    assert transparent.ask(BUCKET + path, headers=[("if-match", '"another"')]).status == 412
    etag = transparent.ask(BUCKET + path).header("etag") or ""
    assert transparent.ask(BUCKET + path, headers=[("if-none-match", etag)]).status == 304
    assert transparent.origin.count(path) == 1


def test_an_object_of_several_parts_arrives_whole(site: Site, unique: Unique) -> None:
    path = unique()
    site.origin.put(path, LARGE)
    answer = site.ask(BUCKET + path)
    assert (answer.status, answer.header("content-length")) == (200, str(len(LARGE)))
    assert answer.body == LARGE


@pytest.mark.parametrize("name", ["a%20b.txt", "%c3%a4+@:,;=&~.txt", "a%252Fb"])
def test_any_name_that_is_a_key_leads_to_its_object(transparent: Site, unique: Unique, name: str) -> None:
    key = unquote(f"{unique()}/{name}")
    canonical = quote(key, safe="/~")
    # The origin gets the characters that a path may have as they are, but for the plus.
    transparent.origin.put(quote(key, safe="/~!$&'()*,;=:@"), BODY)
    answer = transparent.ask(BUCKET + canonical)
    assert (answer.status, answer.body) == (200, BODY)
    assert transparent.stored(key) == BODY


# Answers other than the object.


def test_missing_everywhere_is_the_bucket_s_404(site: Site, unique: Unique) -> None:
    path = unique()
    answer = site.ask(BUCKET + path)
    assert (answer.status, answer.outcome, error_code(answer)) == (404, "not_found", "NoSuchKey")
    head = site.ask(BUCKET + path, "HEAD")
    assert (head.status, head.outcome, head.body) == (404, "not_found", b"")
    assert site.origin.count(path) == 1


def test_a_forbidden_object_stays_forbidden(transparent: Site, unique: Unique) -> None:
    path = unique()
    transparent.store.put(path[1:], BODY, age=3600)
    transparent.store.forbid(path[1:])
    answer = transparent.ask(BUCKET + path)
    assert (answer.status, answer.outcome, error_code(answer)) == (403, None, "AccessDenied")
    assert transparent.ask(BUCKET + path, "HEAD").status == 403
    assert transparent.origin.count(path) == 0


def test_a_key_that_is_denied_because_it_is_missing_is_filled(transparent: Site, unique: Unique) -> None:
    path = unique()
    transparent.origin.put(path, BODY)
    with transparent.store.without_list_right(transparent.store.reader):
        answer = transparent.ask(BUCKET + path)
    assert (answer.status, answer.body) == (200, BODY)


@pytest.mark.parametrize(
    ("under", "script", "status", "outcome", "asked"),
    [
        ("/dead", replies.status(200), 502, "origin_unavailable", 0),
        # Three times with a range, then once without.
        ("", replies.status(500), 502, "origin_unavailable", 4),
        ("", replies.status(403), 502, "origin_refused", 2),
        ("", replies.status(302, {"Location": "http://127.0.0.1:1/mirror/a"}), 502, "origin_refused", 1),
        ("/impatient", replies.silent(), 504, "origin_timeout", 1),
    ],
)
def test_an_origin_that_fails_is_said_so_by_one_fill(
    transparent: Site,
    unique: Unique,
    under: str,
    script: replies.Script,
    status: int,
    outcome: str,
    asked: int,
) -> None:
    path = unique(under=under)
    transparent.origin.script(path, *[script] * 4)
    answer = transparent.ask(BUCKET + path)
    assert (answer.status, answer.outcome) == (status, outcome)
    assert error_code(answer)
    assert transparent.origin.count(path) == asked
    # Once through the edge, once through the filter.
    assert len(transparent.store.calls("GetObject", path[1:])) == 2


def test_a_broken_bucket_serves_what_it_cannot_store(transparent: Site, unique: Unique) -> None:
    path = unique()
    transparent.origin.put(path, BODY)
    transparent.store.fault("PutObject", path[1:], times=9, status=500, code="InternalError")
    answer = transparent.ask(BUCKET + path)
    assert (answer.status, answer.outcome, answer.body) == (200, "not_stored", BODY)


def test_a_rule_that_serves_at_once_does(start: Start, unique: Unique) -> None:
    site, path = start(wiring="transparent", plugin={"rules": [{"response": "serve"}]}), unique()
    site.origin.put(path, BODY)
    first = site.ask(BUCKET + path)
    assert (first.status, first.outcome, first.body) == (200, "served", BODY)
    assert site.ask(BUCKET + path).body == BODY
    assert site.origin.count(path) == 1


def test_a_bucket_that_swallows_objects_is_a_404_and_no_redirect(transparent: Site, unique: Unique) -> None:
    path = unique()
    transparent.origin.put(path, BODY)
    transparent.store.swallow("PutObject", path[1:])
    answer = transparent.ask(BUCKET + path)
    assert (answer.status, error_code(answer)) == (404, "NoSuchKey")
    assert transparent.origin.count(path) == 1


def test_a_connection_that_the_bucket_closes_is_asked_again(transparent: Site, unique: Unique) -> None:
    path = unique()
    transparent.store.put(path[1:], BODY)
    transparent.store.reset("GetObject", path[1:], times=2)
    assert transparent.ask(BUCKET + path).body == BODY


def test_a_bucket_in_trouble_is_passed_on_as_it_is(transparent: Site, unique: Unique) -> None:
    path = unique()
    transparent.store.fault("GetObject", path[1:], status=500, code="InternalError")
    answer = transparent.ask(BUCKET + path)
    assert (answer.status, error_code(answer)) == (500, "InternalError")
    assert transparent.origin.count(path) == 0


@pytest.mark.parametrize("public_url", [PUBLIC_URL, f"https://old.example.com{BUCKET}"])
def test_a_redirect_to_a_public_url_is_the_client_s_to_follow(
    start: Start, unique: Unique, public_url: str
) -> None:
    """It is so even for a location that looks like a path of this bucket, at which Envoy looks first."""
    plugin = {"origin": {"public_url": public_url}, "limits": {"max_object_size": "1KiB"}}
    site, path = start(wiring="transparent", plugin=plugin), unique()
    site.origin.put(path, BODY)
    answer = site.ask(BUCKET + path)
    assert (answer.status, answer.outcome) == (302, "too_large")
    assert answer.header("location") == public_url + path


# Many clients.


def test_a_herd_costs_one_get_and_one_put(start: Start, unique: Unique) -> None:
    site, path = start(wiring="transparent", workers=2), unique()
    site.origin.put(path, BODY)
    gate = site.origin.hold(path)

    async def scenario() -> None:
        async with Crowd(site.stack.url, CLIENTS) as clients:
            answers = [asyncio.ensure_future(client.ask(BUCKET + path)) for client in clients]
            # Each has been denied twice: at the edge, and behind the filter.
            denials = lambda call: call.key == path[1:] and call.operation == "GetObject"  # noqa: E731
            await in_thread(site.store.requests.wait, denials, 2 * CLIENTS)
            gate.open()
            got = Counter((answer.status, answer.body) for answer in await all_of(answers))
            assert got == {(200, BODY): CLIENTS}

    asyncio.run(scenario())
    assert site.origin.count(path) == 1
    assert len(site.store.calls("PutObject", path[1:])) == 1


def test_a_hit_never_comes_to_the_module(start: Start, unique: Unique) -> None:
    site, path = start(wiring="transparent"), unique()
    site.store.put(path[1:], BODY)
    for method in ("GET", "HEAD", "GET"):
        assert site.ask(BUCKET + path, method).status == 200
    assert site.stats("http.miss.downstream_rq_total") == {"http.miss.downstream_rq_total": 0}
    site.ask(BUCKET + unique("missing"))
    assert site.stats("http.miss.downstream_rq_total") == {"http.miss.downstream_rq_total": 1}

    edge = json.loads(site.stack.edge.log_path.with_name("edge.json").read_text())
    listener = named(edge["static_resources"]["listeners"], "edge")
    filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    assert "envoy.filters.http.wasm" not in json.dumps(filters)


# The clients' credentials and connections.


def signed(url: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Headers:
    """Signs as an SDK does that has credentials of its own."""
    request = AWSRequest(method, url, headers=dict(headers or {}))
    S3SigV4Auth(STRANGER, "s3", "eu-central-1").add_auth(request)
    return [(name.lower(), value) for name, value in request.headers.items()]


def presigned(url: str) -> str:
    request = AWSRequest("GET", url)
    S3SigV4QueryAuth(STRANGER, "s3", "eu-central-1", expires=60).add_auth(request)
    return str(request.url)


def test_what_a_client_signs_is_dropped_and_the_edge_signs(transparent: Site, unique: Unique) -> None:
    path = unique()
    transparent.origin.put(path, BODY)
    said = {"x-amz-checksum-mode": "ENABLED", "x-amz-request-payer": "requester", "cookie": "a=b"}
    headers = signed(transparent.stack.url + BUCKET + path, headers=said)
    for _ in range(2):
        assert transparent.ask(BUCKET + path, headers=headers).body == BODY
    for call in transparent.store.calls("GetObject", path[1:]):
        assert call.access_key == transparent.store.reader.access_key
        assert call.request.header("x-amz-security-token") is None
        assert {name for name in said if call.request.header(name)} == set()
    (asked,) = transparent.origin.asked(path)
    assert {asked.header(name) for name in ("authorization", "cookie", "x-amz-date")} == {None}


def test_a_presigned_url_is_read_without_its_signature(transparent: Site, unique: Unique) -> None:
    path = unique()
    transparent.origin.put(path, BODY)
    url = presigned(transparent.stack.url + BUCKET + path + "?v=1&x-id=GetObject")
    assert "X-Amz-Signature=" in url
    answer = transparent.ask(url.removeprefix(transparent.stack.url))
    assert (answer.status, answer.body) == (200, BODY)
    calls = transparent.store.calls("GetObject", path[1:])
    assert {call.request.query for call in calls} == {""}
    old = f"{BUCKET}{path}?AWSAccessKeyId=AKID&Signature=abc%2Bdef%3D&Expires=1700000000"
    assert transparent.ask(old).body == BODY
    assert "X-Amz-Signature" not in transparent.stack.edge.access_log_path.read_text()


def test_what_clients_say_in_envoy_s_own_headers_is_not_believed(transparent: Site, unique: Unique) -> None:
    path = unique()
    headers = [
        ("x-envoy-max-retries", "5"),
        ("x-envoy-retry-on", "5xx,retriable-status-codes"),
        ("x-envoy-retriable-status-codes", "404"),
        ("x-envoy-original-url", "http://evil.example/"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
    ]
    assert transparent.ask(BUCKET + path, headers=headers).status == 404
    calls = transparent.store.calls("GetObject", path[1:])
    assert len(calls) == 2
    assert {call.request.header("x-forwarded-host") for call in calls} == {None}


@pytest.mark.parametrize(
    "authority", ["evil.example", "evil.example:99", "127.0.0.1", "a..b:0", "[::1]", "a:99999"]
)
def test_whatever_host_a_client_names_it_sees_no_redirect(
    transparent: Site, unique: Unique, authority: str
) -> None:
    path = unique()
    transparent.origin.put(path, BODY)
    with Connection(transparent.stack.url) as connection:
        connection.authority = authority
        connection.send("GET", BUCKET + path)
        answer = connection.receive("GET")
    assert (answer.status, answer.body) == (200, BODY)


def test_behind_a_trusted_proxy_that_ends_tls_clients_see_no_redirect_either(
    start: Start, unique: Unique
) -> None:
    """`Location` is https then, and the connection is not."""

    def trust_a_proxy(edge: dict) -> None:
        listener = named(edge["static_resources"]["listeners"], "edge")
        listener["filter_chains"][0]["filters"][0]["typed_config"]["xff_num_trusted_hops"] = 1

    site, path = start(wiring="transparent", edit_edge=trust_a_proxy), unique()
    site.origin.put(path, BODY)
    said = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")]
    answer = site.ask(BUCKET + path, headers=said)
    assert (answer.status, answer.body) == (200, BODY)


# Requests that are not served.


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"])
def test_nothing_can_be_written(transparent: Site, unique: Unique, method: str) -> None:
    path = unique()
    transparent.store.put(path[1:], BODY)
    headers = [("content-encoding", "aws-chunked"), ("x-amz-decoded-content-length", "4")]
    body = b"evil" if method in ("PATCH", "POST", "PUT") else b""
    answer = transparent.ask(BUCKET + path, method, headers, body)
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
    assert transparent.stored(path) == BODY
    assert_reached_nobody(transparent, path)


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/", 404, "NoSuchBucket"),
        ("//", 404, "NoSuchBucket"),
        ("/other/key", 404, "NoSuchBucket"),
        ("/mirrorx/key", 404, "NoSuchBucket"),
        ("/MIRROR/key", 404, "NoSuchBucket"),
        ("/mirror%2Fkey", 404, "NoSuchBucket"),
        ("/?list-type=2", 404, "NoSuchBucket"),
        ("/mirror", 403, "AccessDenied"),
        ("/mirror/", 403, "AccessDenied"),
        ("/mirror//", 403, "AccessDenied"),
        ("/mirror/%2f", 403, "AccessDenied"),
        ("/mirror/?prefix=a", 403, "AccessDenied"),
        ("/mirror?list-type=2", 403, "AccessDenied"),
        ("/mirror?uploads", 403, "AccessDenied"),
        ("/mirror?policy", 403, "AccessDenied"),
        ("/mirror?location&acl", 403, "AccessDenied"),
        ("/mirror/../mirror/key", 400, "InvalidURI"),
        ("/mirror/a/%2e%2E/b", 400, "InvalidURI"),
        ("/mirror/..%2fother/key", 400, "InvalidURI"),
        ("/mirror/a\\..\\b", 400, "InvalidURI"),
    ],
)
def test_nothing_but_objects_of_the_bucket_is_served(
    transparent: Site, target: str, status: int, code: str
) -> None:
    before = len(transparent.store.requests)
    answer = transparent.ask(target)
    assert (answer.status, answer.outcome, error_code(answer)) == (status, None, code)
    assert len(transparent.store.requests) == before


@pytest.mark.parametrize("key", [b"%", b"%zz", b"\xff\xfe", b"\xc3", b"%ff", b"%00", b"%0a", b"a#b"])
def test_garbage_is_answered_and_never_mirrored(transparent: Site, key: bytes) -> None:
    before = len(transparent.origin.requests)
    answer = transparent.ask(BUCKET.encode() + b"/" + key)
    assert 400 <= answer.status < 500
    assert answer.outcome is None
    assert len(transparent.origin.requests) == before


def test_clients_learn_that_there_is_a_bucket_and_where(transparent: Site) -> None:
    head = transparent.ask(BUCKET, "HEAD")
    assert (head.status, head.header("x-amz-bucket-region")) == (200, transparent.store.region)
    where = transparent.ask(f"{BUCKET}/?location=")
    assert (where.status, where.header("content-type")) == (200, xml_of_envoy())
    assert where.body.decode() == f"<LocationConstraint>{transparent.store.region}</LocationConstraint>"


def test_the_bucket_is_listed_where_the_operator_allows_it(start: Start, unique: Unique) -> None:
    def allow(edge: dict) -> None:
        edge["layered_runtime"]["layers"][0]["static_layer"]["listing"] = 100

    site = start(wiring="transparent", edit_edge=allow)
    site.store.put("listed", BODY)
    for query in (
        "",
        "?list-type=2",
        "?list-type=2&prefix=a%2F&delimiter=%2F&x-id=ListObjectsV2",
        "?marker=a&max-keys=1",
    ):
        answer = site.ask(BUCKET + query)
        assert answer.status == 200, query
        assert b"<Key>listed</Key>" in answer.body
    for query in ("?uploads", "?versions", "?list-type=2&versions", "?acl", "?prefix=a&policy"):
        answer = site.ask(BUCKET + query)
        assert (answer.status, error_code(answer)) == (403, "AccessDenied"), query


def test_clients_may_write_keys_without_the_bucket(start: Start, unique: Unique) -> None:
    """It works as virtual-hosted S3 does. A key may begin with the bucket's name."""
    site = start(wiring="transparent", plugin={"bucket": {"exposed": "root"}})
    for path in (unique(), f"{BUCKET}{unique()}"):
        site.origin.put(path, BODY)
        for _ in range(2):
            answer = site.ask(f"{path}?v=1")
            assert (answer.status, answer.body) == (200, BODY)
        assert site.stored(path) == BODY
        assert site.origin.count(path) == 1
    assert site.ask("/", "HEAD").status == 200
    assert (site.ask("/").status, site.ask("/?list-type=2").status, site.ask("//").status) == (403, 403, 403)


def test_the_access_log_tells_what_came_of_a_miss(start: Start, unique: Unique) -> None:
    site, path = start(wiring="transparent"), unique()
    site.origin.put(path, BODY)
    site.ask(f"{BUCKET}{path}?secret")
    site.stack.edge.stop()
    lines = site.stack.edge.access_log_path.read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    told = [(entry["status"], entry["outcome"], entry["path"]) for entry in entries]
    assert told == [(302, "stored", BUCKET + path), (200, None, BUCKET + path)]
    (get,) = site.origin.asked(path)
    assert {entry["request_id"] for entry in entries} == {get.header("x-request-id")}
    site.stack.edge.start()


def assert_reached_nobody(site: Site, path: str) -> None:
    assert not site.store.requests.matching(lambda call: call.key == path[1:])
    assert site.origin.count(path) == 0


def test_a_redirect_of_the_origin_s_own_is_the_client_s_to_follow(transparent: Site, unique: Unique) -> None:
    path = unique("docs")
    moved = {"Location": f"http://{transparent.origin.authority}{path}/?token=s"}
    transparent.origin.script(path, replies.status(301, moved), replies.status(302, moved))
    for status in (301, 302):
        answer = transparent.ask(BUCKET + path)
        assert (answer.status, answer.outcome) == (status, "origin_redirect")
        assert answer.header("location") == f"{BUCKET}{path}/"
    assert transparent.stored(path) is None
