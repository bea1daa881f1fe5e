"""Objects that the module hands out of memory: ranges of them, and the one entity tag they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from doubles import ScriptedOrigin, StrictBucket
from stack.render import manager_of

from .client import Answer, Headers
from .conftest import WIRINGS, Start, Unique
from .site import Site, Wired, error_code, eventually, running

BODY = bytes(range(251)) * 401
"""Over 16 KiB, which the module hands out without Envoy's other filters; a part of it may be below."""

RULES = [
    {"prefix": "/unstored/", "store": False},
    {"prefix": "/headers/", "response": "serve", "on_head": "origin"},
    {"response": "serve"},
]

OURS = re.compile('"mirror-[0-9a-f]{16}"')


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin, wiring: str) -> Iterator[Wired]:
    run_dir = tmp_path_factory.mktemp(f"serve-{wiring}")
    plugin = {"rules": RULES}
    with running(run_dir, origin, StrictBucket(), workers=1, wiring=wiring, plugin=plugin) as site:
        yield Wired(site, WIRINGS[wiring])


def parts_of(answer: Answer) -> tuple[int, int, int]:
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.header("content-range") or "")
    assert found, answer
    first, last, total = map(int, found.groups())
    return first, last, total


@pytest.mark.parametrize("length", [1, 900, len(BODY)])
@pytest.mark.parametrize(
    "asked",
    ["0-0", "0-", "0-899", "100-299", "899-899", "-1", "-300", "20000-60000", "0-9999999", "-9999999"],
)
def test_a_range_is_the_bytes_that_its_content_range_names(
    served: Wired, unique: Unique, length: int, asked: str
) -> None:
    path, body = unique(under="/unstored"), BODY[:length]
    served.site.origin.put(path, body)
    answer = served.read(path, headers=[("range", f"bytes={asked}")])
    from_, to = asked.split("-")
    expected = body[int(from_) : int(to or length) + 1] if from_ else body[-int(to) :]
    if not expected:
        assert (answer.status, error_code(answer)) == (416, "InvalidRange")
        assert answer.header("content-range") == f"bytes */{length}"
        return
    first, last, total = parts_of(answer)
    assert (answer.status, answer.outcome, total) == (206, "served", length)
    assert answer.body == expected == body[first : last + 1]
    assert answer.header("content-length") == str(len(expected))
    assert answer.header("accept-ranges") == "bytes"
    assert OURS.fullmatch(answer.header("etag") or "")


@pytest.mark.parametrize("form", ['"{}"', "{}", '"x", "{}"', '"{}", "x"'])
@pytest.mark.parametrize("length", [900, 7 << 20])
def test_the_tag_is_known_in_a_list_and_without_quotes(
    served: Wired, unique: Unique, form: str, length: int
) -> None:
    """The SDK for Java v1 leaves the quotes out."""
    path, body = unique(under="/unstored"), (BODY * 80)[:length]
    served.site.origin.put(path, body, {"ETag": '"1"'})
    tag = (served.read(path, headers=[("range", "bytes=0-1")]).header("etag") or "").strip('"')
    answer = served.read(path, headers=[("range", "bytes=1-2"), ("if-match", form.format(tag))])
    assert (answer.status, answer.body) == (206, body[1:3])


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "bytes=5-2", "bytes=a-b", "bytes=", "items=0-1", "0-1"])
def test_a_range_that_is_none_or_several_gets_the_whole(served: Wired, unique: Unique, asked: str) -> None:
    path = unique(under="/unstored")
    served.site.origin.put(path, BODY)
    answer = served.read(path, headers=[("range", asked)])
    assert (answer.status, answer.header("content-range"), answer.body) == (200, None, BODY)


def test_a_cold_range_is_served_and_all_of_the_object_is_stored(served: Wired, unique: Unique) -> None:
    path, body = unique(), BODY[:900]
    served.site.origin.put(path, body)
    answer = served.read(path, headers=[("range", "bytes=100-299")])
    assert (answer.status, answer.outcome, answer.body) == (206, "served", BODY[100:300])
    eventually(lambda: served.site.stored(path), body)
    assert served.site.origin.count(path) == 1
    hit = served.read(path, headers=[("range", "bytes=100-299")])
    assert (hit.status, hit.outcome, hit.body) == (206, None, BODY[100:300])


@pytest.mark.parametrize("asked", ["bytes=0-1", "bytes=999999-"])
def test_a_head_has_no_range(served: Wired, unique: Unique, asked: str) -> None:
    path = unique(under="/unstored")
    served.site.origin.put(path, BODY)
    answer = served.read(path, "HEAD", [("range", asked)])
    assert (answer.status, answer.header("content-length")) == (200, str(len(BODY)))


def test_a_head_of_a_cold_object_has_the_tag_that_its_ranges_will_have(served: Wired, unique: Unique) -> None:
    path = unique()
    served.site.origin.put(path, BODY)
    head = served.read(path, "HEAD")
    assert (head.status, head.outcome, head.header("content-length")) == (200, None, str(len(BODY)))
    part = served.read(path, headers=[("range", "bytes=1-2")])
    assert (part.status, part.body) == (206, BODY[1:3])
    for name in ("etag", "last-modified"):
        assert head.header(name) and head.header(name) == part.header(name)


def test_the_tag_holds_while_the_origin_has_that_version(served: Wired, unique: Unique) -> None:
    path, changed = unique(under="/unstored"), b"!" * len(BODY)
    served.site.origin.put(path, BODY)

    def read(*conditions: tuple[str, str]) -> Answer:
        return served.read(path, headers=[("range", "bytes=1-2"), *conditions])

    tag = served.read(path).header("etag") or ""
    assert OURS.fullmatch(tag)
    for version, matches, if_range in ((BODY, 206, 206), (changed, 412, 200)):
        served.site.origin.put(path, version)
        matched = read(("if-match", tag))
        assert (matched.status, matched.outcome) == (matches, "served")
        assert matched.body == version[1:3] if matches == 206 else error_code(matched) == "PreconditionFailed"
        since = read(("if-range", tag))
        assert (since.status, since.body) == (if_range, version[1:3] if if_range == 206 else version)
        known = read(("if-none-match", tag))
        assert known.status == (304 if version == BODY else 206)
        assert (known.header("etag") == tag) == (version == BODY)
    assert read(("if-range", f"W/{tag}")).status == 200
    assert read(("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")).status == 200


def test_conditions_with_the_tag_of_what_was_served_hold_at_the_bucket(served: Wired, unique: Unique) -> None:
    path = unique()
    served.site.origin.put(path, BODY)
    tag = served.read(path).header("etag") or ""
    eventually(lambda: served.site.stored(path), BODY)
    for condition in ("if-match", "if-range", "if-none-match"):
        hit = served.read(path, headers=[("range", "bytes=1-2"), (condition, tag)])
        assert (hit.status, hit.outcome, hit.body) == (206, None, BODY[1:3]), condition


@pytest.mark.parametrize("length", [900, 7 << 20])
def test_a_head_from_the_origins_headers_has_the_tag_of_the_get(
    served: Wired, unique: Unique, length: int
) -> None:
    path = unique(under="/headers")
    served.site.origin.put(path, (BODY * 80)[:length])
    head = served.read(path, "HEAD")
    assert (head.status, head.outcome) == (200, "head")
    get = served.read(path, headers=[("range", "bytes=1-2")])
    assert (get.status, get.outcome) == (206, "streamed" if length > 6 << 20 else "served")
    assert get.header("etag") == head.header("etag") and OURS.fullmatch(get.header("etag") or "")


def test_what_no_validator_tells_apart_has_ranges_and_no_tag(served: Wired, unique: Unique) -> None:
    path = unique(under="/unstored")
    served.site.origin.put(path, BODY, {"ETag": 'W/"a"', "Last-Modified": ""})
    answer = served.read(path, headers=[("range", "bytes=1-2")])
    assert (answer.status, answer.body, answer.header("etag")) == (206, BODY[1:3], None)
    matched = served.read(path, headers=[("if-match", '"mirror-0123456789abcdef"')])
    assert matched.status == 412


def test_an_object_that_is_not_stored_has_ranges_too(served: Wired, unique: Unique) -> None:
    path = unique()
    served.site.origin.put(path, BODY)
    served.site.store.fault("PutObject", path[1:], times=9, status=403, code="AccessDenied")
    conditions: Headers = [("range", "bytes=-7"), ("if-match", "*")]
    answer = served.read(path, headers=conditions)
    assert (answer.status, answer.body) == (206, BODY[-7:])


def test_an_older_edge_keeps_no_range_and_gives_the_whole(start: Start, unique: Unique, wiring: str) -> None:
    def keep_no_range(edge: dict[str, Any]) -> None:
        listeners = edge["static_resources"]["listeners"]
        keepers = [
            each["typed_config"]
            for listener in listeners
            for each in manager_of(listener)["http_filters"]
            if each["name"] == "envoy.filters.http.header_to_metadata"
        ]
        (keeper,) = keepers
        rules = keeper["request_rules"]
        kept = [rule for rule in rules if rule["header"] not in ("range", "if-range")]
        assert len(kept) == len(rules) - 2
        keeper["request_rules"] = kept

    site: Site = start(wiring=wiring, edit_edge=keep_no_range, plugin={"rules": RULES})
    path = unique()
    site.origin.put(path, BODY)
    answer = Wired(site, WIRINGS[wiring]).read(path, headers=[("range", "bytes=1-2")])
    assert (answer.status, answer.outcome, answer.body) == (200, "served", BODY)
