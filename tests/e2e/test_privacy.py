"""The data that pass between client, origin and bucket: the path, and nothing else that is not intended."""

from __future__ import annotations

import pytest

from doubles import replies

from .client import Answer
from .conftest import Start, Unique
from .site import Site

BODY = b"an object\n"

OF_THE_CLIENT = [
    ("accept", "image/x-private"),
    ("accept-encoding", "gzip, br"),
    ("accept-language", "tlh"),
    ("authorization", "Bearer private"),
    ("cache-control", "no-cache, private-x"),
    ("cookie", "session=private"),
    ("forwarded", "for=192.0.2.1;host=private.example"),
    ("if-modified-since", "Wed, 21 Oct 2026 07:28:00 GMT"),
    ("if-none-match", '"private"'),
    ("origin", "https://private.example"),
    ("range", "bytes=3-5"),
    ("referer", "https://private.example/"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("user-agent", "private/1.0"),
    ("via", "1.1 private.example"),
    ("x-amz-acl", "public-read"),
    ("x-amz-copy-source", "/private/object"),
    ("x-amz-date", "19700101T000000Z"),
    ("x-amz-meta-private", "private"),
    ("x-amz-security-token", "private"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-foo", "private"),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-host", "private.example"),
    ("x-forwarded-proto", "https"),
    ("x-mirror-on-miss", "stored"),
    ("x-request-id", "private"),
]

SENT_TO_THE_ORIGIN = {"accept-encoding", "host", "range", "user-agent", "x-request-id"}
"""The user agent is our own, and the last one is Envoy's own id of the request."""

SENT_TO_THE_STORE = {
    "authorization",
    "content-length",
    "content-type",
    "host",
    "if-none-match",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-meta-mirror-etag",
    "x-amz-meta-mirror-last-modified",
    "x-amz-meta-mirror-url",
    "x-request-id",
}

IN_A_MADE_ANSWER = {
    "access-control-allow-origin",
    "access-control-expose-headers",
    "cache-control",
    "content-length",
    "content-type",
    "date",
    "location",
    "retry-after",
    "server",
    "transfer-encoding",
    "x-amz-request-id",
    "x-mirror-on-miss",
}

OF_THE_BUCKET_S_404 = {"x-amz-id-2"}
"""Where the origin lacks the object too, the bucket's own answer stands."""

OF_THE_ORIGIN = {
    "Access-Control-Allow-Origin": "https://evil.example",
    "Age": "12",
    "Alt-Svc": 'h3=":443"',
    "Clear-Site-Data": '"*"',
    "Link": "</evil.css>; rel=preload",
    "Location": "https://evil.example/",
    "Refresh": "0; url=https://evil.example/",
    "Server": "evil/1.0",
    "Set-Cookie": "evil=1",
    "Strict-Transport-Security": "max-age=0",
    "X-Amz-Acl": "public-read",
    "X-Amz-Copy-Source": "/mirror/evil",
    "X-Amz-Meta-Evil": "1",
    "X-Amz-Tagging": "evil=1",
    "X-Amz-Website-Redirect-Location": "https://evil.example/",
    "X-Envoy-Upstream-Service-Time": "1",
    "X-Mirror-On-Miss": "evil",
    "X-Powered-By": "evil",
}


def names_sent(headers: list[tuple[str, str]]) -> set[str]:
    return {name.lower() for name, _ in headers}


def assert_made_here(answer: Answer) -> None:
    assert answer.outcome
    allowed = IN_A_MADE_ANSWER | (OF_THE_BUCKET_S_404 if answer.status == 404 else set())
    assert answer.names <= allowed, answer.names - allowed
    assert "evil" not in str(answer.headers)
    assert answer.header("server") == "envoy"


def test_nothing_of_the_client_but_the_path_reaches_the_origin(site: Site, unique: Unique) -> None:
    path = unique()
    site.origin.put(path, BODY)
    assert site.ask(f"{path}?token=private", headers=OF_THE_CLIENT).status == 302
    (request,) = site.origin.asked(path)
    assert request.line == f"GET {path} HTTP/1.1"
    assert names_sent(request.headers) == SENT_TO_THE_ORIGIN
    assert (request.header("host"), request.header("accept-encoding")) == (site.origin.authority, "identity")
    assert request.header("range") == "bytes=0-6291455"
    assert "private" not in str(request.headers)
    assert request.body == b""


def test_nothing_of_the_client_but_the_path_reaches_the_store(strict: Site, unique: Unique) -> None:
    path = unique("a.bin")
    strict.origin.put(path, BODY)
    assert strict.ask(path, headers=OF_THE_CLIENT).status == 302
    (put,) = strict.store.calls("PutObject", path[1:])
    assert names_sent(put.request.headers) <= SENT_TO_THE_STORE
    assert "private" not in str(put.request.headers)
    assert put.access_key == strict.store.writer.access_key
    get = strict.store.calls("GetObject", path[1:])[0]
    assert get.access_key == strict.store.reader.access_key
    not_passed_on = ("authorization", "cookie", "x-amz-acl", "x-amz-meta-private", "x-amz-security-token")
    assert not [name for name in not_passed_on if "private" in (get.request.header(name) or "")]


def test_what_the_origin_may_not_choose_is_not_stored(strict: Site, unique: Unique) -> None:
    path = unique("a.bin")
    strict.origin.put(path, BODY, OF_THE_ORIGIN)
    miss = strict.ask(path)
    assert_made_here(miss)
    (put,) = strict.store.calls("PutObject", path[1:])
    assert names_sent(put.request.headers) <= SENT_TO_THE_STORE
    assert "evil" not in str(put.request.headers)
    assert "evil" not in str(strict.follow(miss).headers)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 403, 404, 503])
def test_nothing_of_the_bucket_or_the_origin_leaks_into_a_made_answer(
    strict: Site, unique: Unique, method: str, status: int
) -> None:
    path = unique("a.bin")
    strict.origin.script(path, replies.status(status, OF_THE_ORIGIN, BODY))
    answer = strict.ask(path, method)
    assert answer.status == {200: 302, 403: 502, 404: 404, 503: 502}[status]
    assert_made_here(answer)


@pytest.mark.parametrize("under", ["/dead", "/impatient"])
def test_nothing_leaks_when_the_origin_does_not_answer(strict: Site, unique: Unique, under: str) -> None:
    path = unique(under=under)
    strict.origin.script(path, replies.silent())
    answer = strict.ask(path)
    assert answer.status in (502, 504)
    assert_made_here(answer)
    assert b"127.0.0.1" not in answer.body


def test_a_body_at_hand_is_served_with_what_would_have_been_stored_and_no_more(
    strict: Site, unique: Unique
) -> None:
    path = unique("a.bin")
    strict.origin.put(path, BODY, {**OF_THE_ORIGIN, "Content-Language": "de"})
    strict.store.fault("PutObject", path[1:], status=403, code="AccessDenied")
    answer = strict.ask(path)
    assert (answer.status, answer.body, answer.header("content-language")) == (200, BODY, "de")
    about_the_object = {"accept-ranges", "content-language", "etag", "last-modified"}
    assert answer.names <= IN_A_MADE_ANSWER | about_the_object
    assert "evil" not in str(answer.headers)


ELSEWHERE = {
    "//evil.example/x": "//evil.example/x",
    "///evil.example/x": "///evil.example/x",
    "//evil.example:80/x": "//evil.example%3A80/x",
    "//user@evil.example/x": "//user%40evil.example/x",
    "/\\evil.example/x": "/%5Cevil.example/x",
    "/\\/evil.example/x": "/%5C/evil.example/x",
    "/%5Cevil.example/x": "/%5Cevil.example/x",
    "/%5C%5Cevil.example/x": "/%5C%5Cevil.example/x",
    "/%2Fevil.example/x": "//evil.example/x",
    "/%2F%2Fevil.example/x": "///evil.example/x",
    "//%65vil.example/x": "//evil.example/x",
    "/https://evil.example/x": "/https%3A//evil.example/x",
    "/https:%2F%2Fevil.example/x": "/https%3A//evil.example/x",
}


def test_location_never_leaves_the_host(start: Start, unique: Unique) -> None:
    """On a store of exact keys: no other gets such names."""
    site = start(plugin={"bucket": {"keys": "exact"}})
    for number, (written, canonical) in enumerate(ELSEWHERE.items()):
        mark = unique(str(number))
        # An origin gets `:` and `@` as they are.
        site.origin.put(canonical.replace("%3A", ":").replace("%40", "@") + mark, BODY)
        miss = site.ask(f"{written}{mark}?next=https://evil.example")
        assert (miss.status, miss.outcome) == (302, "stored"), written
        location = miss.header("location") or ""
        assert location.startswith("/"), written
        assert not location.startswith(("//", "/\\")), written
        assert site.follow(miss).body == BODY, written


@pytest.mark.parametrize("break_", ["%0d%0a", "%0a", "%0d", "%E5%98%8A%E5%98%8D"])
def test_a_location_cannot_be_made_to_carry_a_header(strict: Site, unique: Unique, break_: str) -> None:
    path = unique(f"x{break_}set-cookie:%20evil=1")
    for target in (path, f"{unique()}?a={break_}set-cookie:%20evil=1"):
        answer = strict.ask(target)
        assert "set-cookie" not in answer.names
        assert answer.status in (302, 400, 403, 404)
