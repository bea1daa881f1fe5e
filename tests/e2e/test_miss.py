"""The main job: a miss fills the bucket and answers 302, and from then on the bucket serves it."""

from __future__ import annotations

import subprocess

import pytest

from doubles import replies

from .conftest import Unique
from .site import Site

BODY = bytes(range(256)) * 16
PART_SIZE = 6 << 20
"""The default `limits.part_size`: the bytes that are asked of the origin at once."""

FIRST_RANGE = f"bytes=0-{PART_SIZE - 1}"


def test_a_miss_is_stored_and_redirected_and_a_hit_from_then_on(site: Site, unique: Unique) -> None:
    path = unique("picture.jpg")
    site.origin.put(path, BODY, {"Content-Type": "image/jpeg"})

    miss = site.ask(path)
    assert (miss.status, miss.outcome, miss.body) == (302, "stored", b"")
    assert (miss.header("location"), miss.header("cache-control")) == (path, "no-store")

    for _ in range(2):
        hit = site.ask(path)
        assert (hit.status, hit.body, hit.header("content-type")) == (200, BODY, "image/jpeg")
        assert hit.outcome is None
    assert site.origin.count(path) == 1
    assert site.stored(path) == BODY


def test_what_the_origin_says_about_an_object_is_stored_with_it(strict: Site, unique: Unique) -> None:
    path = unique("page.html.gz")
    said = {
        "Cache-Control": "max-age=60",
        "Content-Disposition": 'inline; filename="page.html"',
        "Content-Encoding": "gzip",
        "Content-Language": "de",
        "Content-Type": "text/html; charset=utf-8",
        "Expires": "Wed, 21 Oct 2026 07:28:00 GMT",
    }
    strict.origin.put(path, BODY, {**said, "ETag": '"abc"'})
    hit = strict.follow(strict.ask(path))
    assert {name: hit.header(name.lower()) for name in said} == said
    _, stored, _ = strict.store.get(path[1:])
    assert stored["x-amz-meta-mirror-etag"] == '"abc"'
    assert stored["x-amz-meta-mirror-last-modified"] == replies.LAST_MODIFIED
    assert stored["x-amz-meta-mirror-url"].endswith(path)


def test_a_content_type_is_guessed_only_where_the_origin_gives_none(strict: Site, unique: Unique) -> None:
    guessed = {}
    for name, said in [("a.png", {}), ("b.png", {"Content-Type": "application/octet-stream"})]:
        path = unique(name)
        strict.origin.put(path, BODY, said)
        guessed[name] = strict.follow(strict.ask(path)).header("content-type")
    assert guessed == {"a.png": "image/png", "b.png": "application/octet-stream"}
    path = unique("c.png")
    strict.origin.put(path, BODY, {"Content-Type": "text/x-own"})
    assert strict.follow(strict.ask(path)).header("content-type") == "text/x-own"


def test_a_head_miss_is_redirected_without_a_content_length(site: Site, unique: Unique) -> None:
    """pyarrow takes `Content-Length: 0` of a 302 to HEAD for the object's length."""
    path = unique("picture.jpg")
    site.origin.put(path, BODY)
    miss = site.ask(path, "HEAD")
    assert (miss.status, miss.outcome, miss.header("location")) == (302, "stored", path)
    assert miss.header("content-length") is None
    hit = site.follow(miss, "HEAD")
    assert (hit.status, hit.header("content-length"), hit.body) == (200, str(len(BODY)), b"")
    assert site.stored(path) == BODY


def test_a_range_miss_stores_the_whole_object_and_the_range_comes_from_the_bucket(
    site: Site, unique: Unique
) -> None:
    path, wanted = unique(), [("range", "bytes=100-199")]
    site.origin.put(path, BODY)
    miss = site.ask(path, headers=wanted)
    assert (miss.status, miss.body) == (302, b"")
    part = site.follow(miss, headers=wanted)
    assert (part.status, part.body) == (206, BODY[100:200])
    assert part.header("content-range") == f"bytes 100-199/{len(BODY)}"
    assert site.stored(path) == BODY
    assert [request.header("range") for request in site.origin.asked(path)] == [FIRST_RANGE]


def test_a_conditional_miss_stores_the_object_and_the_condition_meets_the_bucket(
    site: Site, unique: Unique
) -> None:
    path = unique()
    site.origin.put(path, BODY)
    miss = site.ask(path, headers=[("if-none-match", '"what-the-old-origin-said"')])
    assert miss.status == 302
    etag = site.follow(miss).header("etag") or ""
    assert site.ask(path, headers=[("if-none-match", etag)]).status == 304
    assert site.ask(path, headers=[("if-match", '"other"')]).status == 412
    assert site.origin.count(path) == 1


def test_the_query_stays_in_the_location_and_is_not_sent_to_the_origin(site: Site, unique: Unique) -> None:
    path = unique()
    site.origin.put(path, BODY)
    miss = site.ask(f"{path}?v=1&x=%20")
    assert (miss.status, miss.header("location")) == (302, f"{path}?v=1&x=%20")
    assert site.follow(miss).body == BODY
    assert [request.target for request in site.origin.asked(path)] == [path]
    assert site.ask(f"{path}?v=2").status == 200


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [0, 1, PART_SIZE])
def test_objects_of_every_size_that_fits_one_part(
    site: Site, unique: Unique, size: int, ranges: bool
) -> None:
    path, body = unique(), b"m" * size
    site.origin.put(path, body, ranges=ranges)
    miss = site.ask(path)
    assert (miss.status, miss.outcome) == (302, "stored")
    assert site.follow(miss).body == body
    assert site.stored(path) == body


def test_an_origin_below_a_path_is_asked_there(strict: Site, unique: Unique) -> None:
    path = unique("a%20b", under="/prefixed")
    strict.origin.put(f"/old%20site/v1{path}", BODY)
    assert strict.follow(strict.ask(path)).body == BODY
    assert strict.origin.count(f"/old%20site/v1{path}") == 1


def test_curl_sees_what_the_readme_says(site: Site, unique: Unique) -> None:
    path = unique("picture.jpg")
    site.origin.put(path, BODY, {"Content-Type": "image/jpeg"})
    headers = curl("-si", f"{site.stack.url}{path}").decode().splitlines()
    assert headers[0] == "HTTP/1.1 302 Found"
    assert {f"location: {path}", "cache-control: no-store", "x-mirror-on-miss: stored"} <= set(headers)
    followed = curl("-sL", "-w", "%{content_type} %{http_code}", f"{site.stack.url}{path}")
    assert followed == BODY + b"image/jpeg 200"
    other = unique("other.jpg")
    site.origin.put(other, BODY)
    assert curl("-sL", f"{site.stack.url}{other}") == BODY


def test_http_2_clients_get_the_same_answers(strict: Site, unique: Unique) -> None:
    if b"HTTP2" not in curl("--version"):
        pytest.skip("this curl knows no HTTP/2")
    path, missing = unique(), unique("missing")
    strict.origin.put(path, BODY)
    for arguments, status, body in [
        (["-I", path], b"302", b""),
        (["-I", path], b"200", b""),
        ([path], b"200", BODY),
        ([missing], b"404", None),
        ([unique(under="/dead")], b"502", None),
    ]:
        *options, target = arguments
        answer = curl("-si", "--http2-prior-knowledge", *options, f"{strict.stack.url}{target}")
        head, _, content = answer.partition(b"\r\n\r\n")
        assert head.split()[:2] == [b"HTTP/2", status]
        assert body in (None, content)


def curl(*arguments: str) -> bytes:
    command = ["curl", "--noproxy", "*", "--max-time", "30", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout
