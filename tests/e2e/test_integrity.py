"""Objects that match their origin's announced digest, and objects that do not, through a real Envoy."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from doubles import ScriptedOrigin, StrictBucket
from stack.render import named

from .conftest import Unique
from .site import Site, error_code, running

BODY = b"an object of the origin\n" * 1000
LARGE = bytes(range(256)) * (13 << 12)
"""13 MiB: three parts."""

OTHER = b"of something else"


def sf(algorithm: str, body: bytes) -> str:
    """Makes a dictionary of structured fields with one digest."""
    return f"{algorithm}=:{b64(algorithm, body)}:"


def b64(algorithm: str, body: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm.replace("-", ""), body).digest()).decode()


def announcements(body: bytes) -> dict[str, dict[str, str]]:
    """Lists an origin's possible announcements about the whole of an object, by header and algorithm."""
    etag = {"ETag": f'"{hashlib.md5(body).hexdigest()}"', "x-amz-request-id": "17B2"}
    checksum = {"x-amz-checksum-sha256": b64("sha256", body), "x-amz-checksum-type": "FULL_OBJECT"}
    return {
        "content-md5": {"Content-MD5": b64("md5", body)},
        "digest": {"Digest": f"SHA-512={b64('sha512', body)},SHA={b64('sha1', body)}"},
        "etag": etag,
        "repr-digest": {"Repr-Digest": sf("sha-256", body)},
        "x-amz-checksum-sha256": checksum,
        "x-goog-hash": {"x-goog-hash": f"crc32c={crc32c(body)},md5={b64('md5', body)}"},
    }


def crc32c(body: bytes) -> str:
    """Computes CRC-32/ISCSI, byte by byte."""
    table = []
    for entry in range(256):
        for _ in range(8):
            entry = (entry >> 1) ^ (0x82F63B78 if entry & 1 else 0)
        table.append(entry)
    crc = 0xFFFFFFFF
    for byte in body:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return base64.b64encode((crc ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()


OF_PARTS = {"content-md5", "x-amz-checksum-sha256"}
"""The announcements that are about a part where the answer is one."""


def without_content_digest(edge: dict[str, Any]) -> None:
    """Configures an origin whose header is always wrong, as docs/integrity.md says."""
    origin = named(edge["static_resources"]["clusters"], "origin")
    (options,) = origin["typed_extension_protocol_options"].values()
    mutation = named(options["http_filters"], "envoy.filters.http.header_mutation")
    mutation["typed_config"]["mutations"]["response_mutations"] = [{"remove": "content-digest"}]


def two_origins(origin: ScriptedOrigin) -> dict[str, Any]:
    working = {"cluster": "origin", "authority": origin.authority}
    origins = {"first": {**working, "path_prefix": "/first"}, "second": {**working, "path_prefix": "/second"}}
    rules = [{"prefix": "/only/", "origins": ["first"]}, {"origins": ["first", "second"]}]
    return {"origin": None, "origins": origins, "rules": rules}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    run_dir = tmp_path_factory.mktemp("integrity")
    # A test mends its origin and asks again at once.
    plugin = {**two_origins(origin), "failure_ttl": "0s"}
    options = {"plugin": plugin, "edit_edge": without_content_digest}
    with running(run_dir, origin, StrictBucket(), workers=1, **options) as site:
        yield site


@pytest.mark.parametrize("header", announcements(b""))
@pytest.mark.parametrize("ranges", [True, False])
def test_an_object_that_is_what_was_announced_is_stored(
    site: Site, unique: Unique, header: str, ranges: bool
) -> None:
    path = unique(under="/only")
    site.origin.put("/first" + path, BODY, announcements(BODY)[header], ranges=ranges)
    answer = site.ask(path)
    assert (answer.status, answer.outcome) == (302, "stored")
    assert site.follow(answer).body == BODY


@pytest.mark.parametrize("header", announcements(b""))
@pytest.mark.parametrize("ranges", [True, False])
def test_an_object_that_is_not_is_neither_stored_nor_served(
    site: Site, unique: Unique, header: str, ranges: bool
) -> None:
    path = unique(under="/only")
    site.origin.put("/first" + path, BODY, announcements(OTHER)[header], ranges=ranges)
    answer = site.ask(path)
    assert (answer.status, answer.outcome, error_code(answer)) == (502, "corrupt", "OriginCorrupt")
    assert answer.header("retry-after")
    assert BODY[:9] not in answer.body
    assert site.store.calls("PutObject", path[1:]) == []


def test_the_next_origin_is_asked_for_what_the_first_one_spoiled(site: Site, unique: Unique) -> None:
    path = unique()
    site.origin.put("/first" + path, BODY, announcements(OTHER)["content-md5"])
    site.origin.put("/second" + path, BODY, announcements(BODY)["content-md5"])
    assert site.follow(site.ask(path)).body == BODY
    assert [site.origin.count(at + path) for at in ("/first", "/second")] == [1, 1]


@pytest.mark.parametrize("header", sorted(announcements(b"").keys() - OF_PARTS))
def test_an_object_of_several_parts_is_compared_before_it_is_completed(
    site: Site, unique: Unique, header: str
) -> None:
    path = unique("film.mp4", under="/only")
    site.origin.put("/first" + path, LARGE, announcements(OTHER)[header])
    answer = site.ask(path)
    assert (answer.status, answer.outcome, error_code(answer)) == (502, "corrupt", "OriginCorrupt")
    assert site.store.calls("CompleteMultipartUpload", path[1:]) == []
    assert site.stored(path) is None
    assert [key for key, _ in site.store.uploads.open() if key == path[1:]] == []

    site.origin.put("/first" + path, LARGE, announcements(LARGE)[header])
    answer = site.ask(path)
    assert (answer.status, answer.outcome) == (302, "stored")
    assert site.stored(path) == LARGE


@pytest.mark.parametrize("header", sorted(OF_PARTS))
def test_what_is_said_of_a_part_is_not_taken_for_the_object(site: Site, unique: Unique, header: str) -> None:
    path = unique("film.mp4", under="/only")
    site.origin.put("/first" + path, LARGE, announcements(LARGE[:100])[header])
    assert site.ask(path).outcome == "stored"
    assert site.stored(path) == LARGE


def test_a_header_that_is_wrong_for_good_can_be_taken_away_by_envoy(site: Site, unique: Unique) -> None:
    path = unique(under="/only")
    site.origin.put("/first" + path, BODY, {"Content-Digest": sf("sha-256", OTHER)})
    assert site.follow(site.ask(path)).body == BODY
