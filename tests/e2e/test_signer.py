"""The signer, asked directly: a client of it may do as a fill does, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doubles import ScriptedOrigin, StrictBucket

from .client import Answer, Headers, ask
from .conftest import Start, Unique
from .site import Site, running

IF_ABSENT = [("if-none-match", "*")]


def sign(site: Site, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Answer:
    return ask(site.stack.signer.url, target, method, headers, body)


@pytest.mark.parametrize(
    ("method", "query", "headers"),
    [
        ("HEAD", "", []),
        ("PUT", "", IF_ABSENT),
        ("POST", "?uploads", []),
        ("POST", "?uploads=", []),
        ("PUT", "?partNumber=1&uploadId=unknown", []),
        ("POST", "?uploadId=unknown", IF_ABSENT),
        ("DELETE", "?uploadId=unknown", []),
    ],
)
def test_what_a_fill_needs_is_signed(
    strict: Site, unique: Unique, method: str, query: str, headers: Headers
) -> None:
    path = unique()
    sign(strict, method, f"/mirror{path}{query}", headers)
    (call,) = strict.store.requests.matching(lambda call: call.key == path[1:])
    assert call.access_key == strict.store.writer.access_key
    assert call.code in ("", "NoSuchKey", "NoSuchUpload")


def test_a_put_never_overwrites(strict: Site, unique: Unique) -> None:
    path = unique()
    assert sign(strict, "PUT", f"/mirror{path}", IF_ABSENT, b"first").status == 200
    assert sign(strict, "PUT", f"/mirror{path}", IF_ABSENT, b"second").status == 412
    assert strict.stored(path) == b"first"


REFUSED = {
    "a body for HEAD's query": ("HEAD", "/mirror/KEY?versionId=1", []),
    "a complete that may overwrite": ("POST", "/mirror/KEY?uploadId=1", []),
    "a condition that is another": ("PUT", "/mirror/KEY", [("if-none-match", '"etag"')]),
    "a copy": ("PUT", "/mirror/KEY", [*IF_ABSENT, ("x-amz-copy-source", "/mirror/other")]),
    "a copy of a part": (
        "PUT",
        "/mirror/KEY?partNumber=1&uploadId=1",
        [("x-amz-copy-source", "/mirror/other")],
    ),
    "a delete": ("DELETE", "/mirror/KEY", []),
    "a dot segment": ("PUT", "/mirror/../other/KEY", IF_ABSENT),
    "a dot segment at the end": ("HEAD", "/mirror/KEY/..", []),
    "a dot segment behind a backslash": ("PUT", "/mirror/a\\..\\KEY", IF_ABSENT),
    "a dot segment, encoded": ("PUT", "/mirror/%2e%2E/other/KEY", IF_ABSENT),
    "a get": ("GET", "/mirror/KEY", []),
    "a grant": ("PUT", "/mirror/KEY", [*IF_ABSENT, ("x-amz-grant-read", "uri=all")]),
    "a listing": ("GET", "/mirror/?list-type=2&prefix=KEY", []),
    "a listing of uploads": ("GET", "/mirror/?uploads&prefix=KEY", []),
    "a part with more in its query": ("PUT", "/mirror/KEY?partNumber=1&uploadId=1&acl", []),
    "a public acl": ("PUT", "/mirror/KEY", [*IF_ABSENT, ("x-amz-acl", "public-read")]),
    "a put of an acl": ("PUT", "/mirror/KEY?acl", IF_ABSENT),
    "a put of an acl, encoded": ("PUT", "/mirror/KEY?%61cl", IF_ABSENT),
    "a put that may overwrite": ("PUT", "/mirror/KEY", []),
    "a redirect": ("PUT", "/mirror/KEY", [*IF_ABSENT, ("x-amz-website-redirect-location", "/x")]),
    "a tagging": ("PUT", "/mirror/KEY", [*IF_ABSENT, ("x-amz-tagging", "a=b")]),
    "an archive that MinIO unpacks": (
        "PUT",
        "/mirror/KEY",
        [*IF_ABSENT, ("x-amz-meta-snowball-auto-extract", "true")],
    ),
    "an encryption": ("PUT", "/mirror/KEY", [*IF_ABSENT, ("x-amz-server-side-encryption", "aws:kms")]),
    "an encryption with a key": (
        "POST",
        "/mirror/KEY?uploads=",
        [("x-amz-server-side-encryption-aws-kms-key-id", "mine")],
    ),
    "an owner": ("PUT", "/mirror/KEY", [*IF_ABSENT, ("x-amz-expected-bucket-owner", "111122223333")]),
    "another bucket": ("PUT", "/other/KEY", IF_ABSENT),
    "another bucket of a longer name": ("PUT", "/mirror2/KEY", IF_ABSENT),
    "options": ("OPTIONS", "/mirror/KEY", []),
    "the acl": ("HEAD", "/mirror/KEY?acl", []),
}


@pytest.mark.parametrize(("method", "target", "headers"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused_and_reaches_no_store(
    strict: Site, unique: Unique, method: str, target: str, headers: Headers
) -> None:
    mark = unique().strip("/")
    answer = sign(strict, method, target.replace("KEY", mark), headers)
    assert answer.status == 403
    assert strict.store.requests.matching(lambda call: mark in call.request.line) == []


@pytest.mark.parametrize(
    ("if_none_match", "headers", "status"),
    [
        (False, [], 200),
        ("x-oss-forbid-overwrite", [("x-oss-forbid-overwrite", "true")], 200),
        ("x-oss-forbid-overwrite", [("x-oss-forbid-overwrite", "false")], 403),
        ("x-oss-forbid-overwrite", IF_ABSENT, 403),
        (True, [], 403),
    ],
)
def test_the_signer_demands_of_a_write_what_the_plugin_is_told_to_send(
    start: Start, unique: Unique, if_none_match: bool | str, headers: Headers, status: int
) -> None:
    site, path = start(plugin={"bucket": {"if_none_match": if_none_match}}), unique()
    assert sign(site, "PUT", f"/mirror{path}", headers, b"object").status == status
    complete = sign(site, "POST", f"/mirror{path}?uploadId=unknown", headers)
    assert complete.status == (404 if status == 200 else 403)


@pytest.mark.parametrize(
    ("wiring", "exposed"), [("redirect", "root"), ("transparent", "root"), ("transparent", "path")]
)
def test_a_bucket_in_the_host_is_filled_and_read(
    tmp_path: Path, origin: ScriptedOrigin, unique: Unique, wiring: str, exposed: str
) -> None:
    # Without a path_prefix the redirect wiring has no path that could be exposed.
    bucket: dict[str, Any] = {"path_prefix": None, "exposed": exposed}
    store = StrictBucket(virtual_hosted=True)
    with running(tmp_path, origin, store, wiring=wiring, plugin={"bucket": bucket}) as site:
        under = "/mirror" if exposed == "path" else ""
        for name, size in (("small", 10), ("large", 13 << 20)):
            path = unique(name)
            origin.put(path, b"x" * size)
            first = site.ask(f"{under}{path}?v=1")
            hit = site.follow(first) if wiring == "redirect" else first
            assert (hit.status, len(hit.body)) == (200, size)
            assert site.ask(under + path).body == hit.body
            assert site.stored(path) == hit.body
            assert origin.count(path) == -(-size // (6 << 20))
        for target in ("/", "//", "/%2F"):
            assert sign(site, "PUT", target, IF_ABSENT).status == 403


@pytest.mark.parametrize("target", ["/", "/mirror", "/mirror/", "/mirror//", "/mirror/%2F", "/mirror/%2f/"])
@pytest.mark.parametrize("method", ["HEAD", "PUT"])
def test_the_bucket_itself_is_out_of_reach(strict: Site, method: str, target: str) -> None:
    seen = len(strict.store.requests)
    assert sign(strict, method, target, IF_ABSENT).status == 403
    assert len(strict.store.requests) == seen


def test_a_host_of_the_caller_s_choice_changes_nothing(strict: Site, unique: Unique) -> None:
    path = unique()
    assert (
        sign(strict, "PUT", f"/mirror{path}", [*IF_ABSENT, ("x-forwarded-host", "evil.example")]).status
        == 200
    )
    (put,) = strict.store.calls("PutObject", path[1:])
    assert put.request.header("host") == strict.store.authority
