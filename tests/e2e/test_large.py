"""Objects of any size through the real Envoy: the arriving bytes, and the requests to origin and store."""

from __future__ import annotations

import hashlib
import http.client
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from doubles import StrictBucket
from doubles.large_origin import Large, LargeOrigin
from doubles.s3.operations import query_of
from stack import SeaweedFS, Stack

from .client import Answer
from .conftest import Start, Unique
from .site import PUBLIC_URL, Site, error_code

MIB = 1 << 20
GIB = 1 << 30
PART_SIZE = 6 * MIB
"""The default of `limits.part_size`."""

ENVOY_LIMIT = 32 * MIB
"""The bytes of an answer to a call that Envoy takes."""

PATIENCE = "85s"
"""The filter's `wait`: as long as Envoy's idle timeout allows, for fills on a busy machine."""

SIZES = [0, 1, PART_SIZE - 1, PART_SIZE, PART_SIZE + 1, ENVOY_LIMIT - 1, ENVOY_LIMIT, ENVOY_LIMIT + 1]


@pytest.fixture(scope="module")
def large() -> Iterator[LargeOrigin]:
    with LargeOrigin() as origin:
        yield origin


@pytest.fixture(scope="module")
def large_strict(
    tmp_path_factory: pytest.TempPathFactory, strict: Site, large: LargeOrigin
) -> Iterator[Site]:
    """One worker, so that a second request finds the fill that is under way."""
    run_dir = tmp_path_factory.mktemp("large-strict")
    with Stack(run_dir, origin=large.url, store=strict.store, workers=1, plugin={"wait": PATIENCE}) as stack:
        site = Site(stack, strict.store, large)
        yield site
        site.assert_module_healthy()


@pytest.fixture(scope="module")
def large_seaweed(
    tmp_path_factory: pytest.TempPathFactory, seaweed: Site, large: LargeOrigin
) -> Iterator[Site]:
    run_dir = tmp_path_factory.mktemp("large-seaweed")
    with Stack(run_dir, origin=large.url, store=seaweed.store, plugin={"wait": PATIENCE}) as stack:
        site = Site(stack, seaweed.store, large)
        yield site
        site.assert_module_healthy()


@pytest.fixture(params=["large_strict", "large_seaweed"])
def large_site(request: pytest.FixtureRequest) -> Site:
    """Gives each store in turn."""
    return request.getfixturevalue(request.param)


# The bytes that arrive.


@pytest.mark.parametrize("size", [*SIZES, 200 * MIB])
def test_an_object_of_any_size_arrives_whole(large_site: Site, unique: Unique, size: int) -> None:
    path = unique("film.mp4")
    object_ = large_site.origin.put(path, Large(size))
    miss = patiently(large_site, path)
    assert (miss.status, miss.outcome, miss.header("location")) == (302, "stored", path)
    assert_stored(large_site, path, object_)


def test_a_gibibyte_arrives_whole(large_seaweed: Site, unique: Unique) -> None:
    path = unique("film.mp4")
    object_ = large_seaweed.origin.put(path, Large(GIB))
    assert patiently(large_seaweed, path).outcome == "stored"
    assert_stored(large_seaweed, path, object_)


def test_a_gibibyte_arrives_whole_in_the_strict_bucket(
    tmp_path: Path, large: LargeOrigin, unique: Unique
) -> None:
    """The bucket forgets the parts, but not their digests."""
    path = unique("film.mp4")
    object_ = large.put(path, Large(GIB))
    with (
        StrictBucket(keeps_parts=False) as store,
        Stack(tmp_path, origin=large.url, store=store, plugin={"wait": PATIENCE}) as stack,
    ):
        assert patiently(Site(stack, store, large), path).outcome == "stored"
    spans = [range(start, min(start + PART_SIZE, GIB)) for start in range(0, GIB, PART_SIZE)]
    digests = b"".join(hashlib.md5(object_.content(span)).digest() for span in spans)
    assert store.get(path[1:])[1]["etag"] == f'"{hashlib.md5(digests).hexdigest()}-{len(spans)}"'
    assert store.uploads.open() == []


@pytest.mark.parametrize("size", [ENVOY_LIMIT - 1, ENVOY_LIMIT])
def test_without_ranges_what_envoy_takes_in_one_answer_arrives(
    large_site: Site, unique: Unique, size: int
) -> None:
    path = unique("film.mp4")
    object_ = large_site.origin.put(path, Large(size, ranges=False))
    assert patiently(large_site, path).outcome == "stored"
    assert_stored(large_site, path, object_)


def test_without_ranges_a_larger_object_is_too_large(large_site: Site, unique: Unique) -> None:
    path = unique("film.mp4")
    large_site.origin.put(path, Large(ENVOY_LIMIT + 1, ranges=False))
    answer = patiently(large_site, path)
    assert (answer.status, answer.outcome, error_code(answer)) == (502, "too_large", "EntityTooLarge")
    assert_nothing_left(large_site, path)


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_an_object_of_just_one_part_crosses_once(large_strict: Site, unique: Unique, ranges: bool) -> None:
    path, origin = unique("film.mp4"), large_strict.origin
    object_ = origin.put(path, Large(PART_SIZE, ranges=ranges))
    assert patiently(large_strict, path).outcome == "stored"
    assert_stored(large_strict, path, object_)
    assert [request.method for request in origin.asked(path)] == ["GET", "HEAD"]
    assert origin.sent[path] == PART_SIZE


def test_many_fills_share_little_memory(start: Start, large: LargeOrigin, unique: Unique) -> None:
    """There is room for two parts: one fill that takes its time, or two that have one part each."""
    site = start(origin=large.url, plugin={"wait": PATIENCE, "limits": {"memory": "16MiB"}})
    objects = {unique("film.mp4"): Large(40 * MIB, version=number) for number in range(4)}
    for path, object_ in objects.items():
        large.put(path, object_)
    with ThreadPoolExecutor(len(objects)) as pool:
        answers = list(pool.map(lambda path: patiently(site, path), objects))
    assert [answer.outcome for answer in answers] == ["stored"] * len(objects)
    for path, object_ in objects.items():
        assert_stored(site, path, object_)


# The requests to the origin and to the store.


@pytest.mark.parametrize(
    ("object_", "validator"),
    [
        (Large(27 * MIB), ("if-match", '"1"')),
        (Large(35 * MIB, etag='W/"1"'), ("if-unmodified-since", Large.last_modified)),
        (Large(35 * MIB, etag=None), ("if-unmodified-since", Large.last_modified)),
    ],
    ids=["etag", "weak etag", "date"],
)
def test_each_byte_is_asked_for_once_and_of_the_first_version(
    large_strict: Site, unique: Unique, object_: Large, validator: tuple[str, str]
) -> None:
    path = unique("film.mp4")
    large_strict.origin.put(path, object_)
    assert patiently(large_strict, path).outcome == "stored"
    spans = sorted(large_strict.origin.ranges(path), key=lambda span: span.start)
    starts = range(0, object_.size, PART_SIZE)
    assert spans == [range(start, min(start + PART_SIZE, object_.size)) for start in starts]
    _, *later = large_strict.origin.asked(path)
    for name in ("if-match", "if-unmodified-since"):
        expected = validator[1] if validator[0] == name else None
        assert [request.header(name) for request in later] == [expected] * len(later)
    assert_stored(large_strict, path, object_)


@pytest.mark.parametrize("size", [ENVOY_LIMIT, ENVOY_LIMIT + 1])
def test_what_no_validator_joins_comes_in_one_answer_or_is_too_large(
    large_site: Site, unique: Unique, size: int
) -> None:
    path = unique("film.mp4")
    object_ = large_site.origin.put(path, Large(size, etag='W/"1"', last_modified=None))
    answer = patiently(large_site, path)
    if size > ENVOY_LIMIT:
        assert (answer.status, answer.outcome) == (502, "too_large")
        assert_nothing_left(large_site, path)
    else:
        assert answer.outcome == "stored"
        assert_stored(large_site, path, object_)


def test_an_operator_may_let_the_length_alone_join_parts(
    start: Start, large: LargeOrigin, unique: Unique
) -> None:
    site = start(origin=large.url, plugin={"wait": PATIENCE, "origin": {"pin": "length"}})
    path = unique("film.mp4")
    object_ = large.put(path, Large(35 * MIB, etag=None, last_modified=None))
    assert patiently(site, path).outcome == "stored"
    assert_stored(site, path, object_)


def test_the_store_gets_equal_parts_but_the_last_and_a_conditional_end(
    large_strict: Site, unique: Unique
) -> None:
    path = unique("film.mp4")
    object_ = large_strict.origin.put(path, Large(27 * MIB))
    patiently(large_strict, path)
    store, key = large_strict.store, path[1:]
    (create,) = store.calls("CreateMultipartUpload", key)
    assert create.request.header("content-type") == "video/mp4"
    assert create.request.header("x-amz-meta-mirror-etag") == '"1"'
    parts = {
        int(query_of(call.request)["partNumber"]): len(call.request.body)
        for call in store.calls("UploadPart", key)
    }
    assert parts == {1: PART_SIZE, 2: PART_SIZE, 3: PART_SIZE, 4: PART_SIZE, 5: 3 * MIB}
    (complete,) = store.calls("CompleteMultipartUpload", key)
    assert complete.request.header("if-none-match") == "*"
    assert complete.request.header("x-amz-mp-object-size") == str(object_.size)
    assert large_strict.ask(path, "HEAD").header("content-type") == "video/mp4"


# The object is replaced at the origin meanwhile.


@pytest.mark.parametrize("conditions", [True, False], ids=["412", "another etag"])
@pytest.mark.parametrize("after", [1, 3])
def test_a_replaced_object_is_begun_again_and_never_mixed(
    large_strict: Site, unique: Unique, after: int, conditions: bool
) -> None:
    path = unique("film.mp4")
    large_strict.origin.put(path, Large(40 * MIB, conditions=conditions))
    changed = Large(40 * MIB, version=2, etag='"2"', conditions=conditions)
    large_strict.origin.replace(path, changed, after=after)
    assert patiently(large_strict, path).outcome == "stored"
    assert_stored(large_strict, path, changed)
    begun = [span for span in large_strict.origin.ranges(path) if span.start == 0]
    assert len(begun) == 2
    assert len(large_strict.store.calls("AbortMultipartUpload", path[1:])) == 1


def test_an_object_that_changes_with_every_request_is_not_stored(large_strict: Site, unique: Unique) -> None:
    path = unique("film.mp4")
    large_strict.origin.put(path, Large(40 * MIB))
    for number in range(2, 12):
        changed = Large(40 * MIB, version=number, etag=f'"{number}"')
        large_strict.origin.replace(path, changed, after=number - 1)
    answer = patiently(large_strict, path)
    assert (answer.status, answer.outcome) == (502, "origin_unavailable")
    assert_nothing_left(large_strict, path)


# The fill takes longer than a client may wait, or than Envoy lives.


@pytest.mark.parametrize("public_url", [None, PUBLIC_URL])
def test_a_client_waits_no_longer_than_told_and_the_fill_goes_on(
    start: Start, large: LargeOrigin, unique: Unique, public_url: str | None
) -> None:
    plugin = {"wait": "500ms", "origin": {"public_url": public_url}, "stream": None}
    site = start(origin=large.url, plugin=plugin)
    path = unique("film.mp4")
    object_ = large.put(path, Large(40 * MIB))
    gate = large.hold(path, at=PART_SIZE)
    answers = [site.ask(path), site.ask(path)]
    for answer in answers:
        assert answer.outcome == "filling"
        if public_url:
            assert (answer.status, answer.header("location")) == (302, f"{public_url}{path}")
        else:
            assert (answer.status, error_code(answer)) == (503, "ServiceUnavailable")
            assert answer.header("retry-after")
    assert site.store.get(path[1:])[0] == 404
    gate.open()
    site.store.requests.wait(lambda call: (call.operation, call.key) == ("CompleteMultipartUpload", path[1:]))
    assert_stored(site, path, object_)
    assert len([span for span in large.ranges(path) if span.start == 0]) == 1


def test_a_killed_edge_leaves_no_object_and_its_successor_fills_it(
    start: Start, large: LargeOrigin, unique: Unique
) -> None:
    site = start(origin=large.url)
    path = unique("film.mp4")
    object_ = large.put(path, Large(40 * MIB))
    gate = large.hold(path, at=3 * PART_SIZE)
    with site.open() as client:
        client.send("GET", path)
        site.store.requests.wait(lambda call: (call.operation, call.key) == ("UploadPart", path[1:]), 2)
        site.stack.edge.child.stop(grace=0)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            client.receive("GET")
    assert site.store.list() == []
    (left,) = incomplete_uploads(site.store)
    site.stack.edge.start()
    site.stack.url = site.stack.edge.url
    gate.open()
    assert patiently(site, path).outcome == "stored"
    assert_stored(site, path, object_, uploads=[left])


def patiently(site: Site, path: str) -> Answer:
    """Sends a request that waits for as long as a fill may take."""
    with site.open(timeout=100) as connection:
        connection.send("GET", path)
        return connection.receive("GET")


def assert_stored(site: Site, path: str, object_: Large, uploads: list[str] | None = None) -> None:
    """Checks that a client gets the object from the bucket, bit by bit, and that only these uploads are
    left.
    """
    asked = len(site.origin.asked(path))
    with closing(http.client.HTTPConnection("127.0.0.1", site.stack.edge.port, timeout=40)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert (answer.status, answer.length) == (200, object_.size)
        digest = hashlib.sha256()
        for piece in iter(lambda: answer.read(MIB), b""):
            digest.update(piece)
    assert digest.hexdigest() == object_.sha256()
    assert len(site.origin.asked(path)) == asked
    assert incomplete_uploads(site.store, path[1:]) == (uploads or [])


def assert_nothing_left(site: Site, path: str) -> None:
    assert site.store.get(path[1:])[0] == 404
    assert incomplete_uploads(site.store, path[1:]) == []


def incomplete_uploads(store: SeaweedFS | StrictBucket, key: str | None = None) -> list[str]:
    """Lists the ids of the uploads that are neither completed nor aborted: all, or those of one key."""
    if isinstance(store, StrictBucket):
        return [upload for its_key, upload in store.uploads.open() if key in (None, its_key)]
    status, _, document = store.request("GET", "", store.writer, query={"uploads": ""})
    assert status == 200, document
    uploads = ElementTree.fromstring(document).iterfind("{*}Upload")
    return [
        upload.findtext("{*}UploadId") or "" for upload in uploads if key in (None, upload.findtext("{*}Key"))
    ]
