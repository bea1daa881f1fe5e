"""The same questions to the strict bucket and to SeaweedFS, which must give the same answers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from doubles import StrictBucket
from doubles.s3.dialects import CEPH_18, GARAGE, SEAWEEDFS, SWIFT, Dialect
from doubles.s3.multipart import MIN_PART_SIZE
from stack import SeaweedFS
from stack.store import S3Store

NEW = {"if-none-match": "*"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def code(self) -> str | None:
        return ElementTree.fromstring(self.body).findtext("Code") if self.body else None

    @property
    def said(self) -> tuple[int, str | None]:
        return self.status, self.code


class Asked:
    """A store, as its reader and its writer see it. The test's name keeps keys apart."""

    def __init__(self, store: S3Store, prefix: str) -> None:
        self._store, self._prefix = store, prefix

    def get(self, key: str, method: str = "GET", query: str = "", **headers: str) -> Answer:
        return self._ask(method, key, self._store.reader, query, headers, b"")

    def head(self, key: str, query: str = "", **headers: str) -> Answer:
        return self.get(key, "HEAD", query, **headers)

    def put(self, key: str, body: bytes = b"x", headers: Mapping[str, str] | None = None) -> Answer:
        return self._ask("PUT", key, self._store.writer, "", headers or {}, body)

    def create(self, key: str) -> str:
        answer = self._ask("POST", key, self._store.writer, "uploads=", {}, b"")
        return ElementTree.fromstring(answer.body).findtext("{*}UploadId") or ""

    def part(self, key: str, upload: str, number: int, body: bytes) -> Answer:
        return self._ask("PUT", key, self._store.writer, f"partNumber={number}&uploadId={upload}", {}, body)

    def complete(
        self, key: str, upload: str, *etags: str | None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        parts = (
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        document = f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()
        return self._ask("POST", key, self._store.writer, f"uploadId={upload}", headers or {}, document)

    def abort(self, key: str, upload: str) -> Answer:
        return self._ask("DELETE", key, self._store.writer, f"uploadId={upload}", {}, b"")

    def upload(self, key: str, *bodies: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        upload = self.create(key)
        etags = [
            self.part(key, upload, number, body).headers["etag"] for number, body in enumerate(bodies, 1)
        ]
        return self.complete(key, upload, *etags, headers=headers)

    def _ask(
        self, method: str, key: str, who: object, query: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        pairs = (pair.partition("=") for pair in query.split("&") if pair)
        parameters = {name: value for name, _, value in pairs}
        status, fields, content = self._store.request(
            method, f"{self._prefix}{key}", who, query=parameters, headers=named, body=body
        )
        return Answer(status, {name.lower(): value for name, value in fields.items()}, content)


def strict(request: pytest.FixtureRequest, dialect: Dialect | None = None) -> Iterator[Asked]:
    with StrictBucket(**({"dialect": dialect} if dialect else {})) as bucket:
        store = S3Store(bucket.url, bucket.region, bucket.bucket, bucket.reader, bucket.writer)
        yield Asked(store, "")


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with SeaweedFS(tmp_path_factory.mktemp("seaweed")) as store:
        yield store


@pytest.fixture(params=["strict", "SeaweedFS"])
def s3(request: pytest.FixtureRequest) -> Iterator[Asked]:
    """AWS's behaviour, where SeaweedFS has the same."""
    yield from _asked(request, None)


@pytest.fixture(params=["strict", "SeaweedFS"])
def lenient(request: pytest.FixtureRequest) -> Iterator[Asked]:
    """SeaweedFS's own behaviour, and the dialect that imitates it."""
    yield from _asked(request, SEAWEEDFS)


def _asked(request: pytest.FixtureRequest, dialect: Dialect | None) -> Iterator[Asked]:
    if request.param == "strict":
        yield from strict(request, dialect)
    else:
        yield Asked(request.getfixturevalue("seaweed"), re.sub(r"\W", "", request.node.name) + "/")


def test_a_write_without_a_condition_overwrites(s3: Asked) -> None:
    assert s3.put("a", b"one").status == s3.put("a", b"two").status == 200
    assert s3.get("a").body == b"two"
    assert s3.upload("a", b"three").status == 200
    assert s3.get("a").body == b"three"


def test_a_conditional_write_of_what_is_there_is_412_and_changes_nothing(s3: Asked) -> None:
    assert s3.put("a", b"one", NEW).status == 200
    assert s3.put("a", b"two", NEW).said == (412, "PreconditionFailed")
    assert s3.upload("a", b"three", headers=NEW).said == (412, "PreconditionFailed")
    assert s3.get("a").body == b"one"


def test_if_match_compares_before_it_overwrites(s3: Asked) -> None:
    etag = s3.put("a", b"one").headers["etag"]
    assert s3.put("a", b"two", {"if-match": '"other"'}).said == (412, "PreconditionFailed")
    assert s3.put("a", b"two", {"if-match": etag}).status == 200


def test_an_upload_outlives_a_412_and_can_then_be_completed_or_aborted(s3: Asked) -> None:
    s3.put("a")
    upload = s3.create("a")
    etag = s3.part("a", upload, 1, b"part").headers["etag"]
    assert s3.complete("a", upload, etag, headers=NEW).status == 412
    assert s3.part("a", upload, 1, b"part").status == 200
    assert s3.abort("a", upload).status == 204
    assert s3.complete("a", upload, etag).said == (404, "NoSuchUpload")


def test_parts_are_refused_once_the_upload_was_completed(s3: Asked) -> None:
    upload = s3.create("a")
    etag = s3.part("a", upload, 1, b"part").headers["etag"]
    assert s3.complete("a", upload, etag, headers=NEW).status == 200
    assert s3.part("a", upload, 1, b"part").said == (404, "NoSuchUpload")
    # The object is there by now, and the condition comes first.
    assert s3.complete("a", upload, etag, headers=NEW).said == (412, "PreconditionFailed")


def test_what_is_wrong_with_a_list_of_parts_is_told(s3: Asked) -> None:
    upload = s3.create("a")
    etags = [s3.part("a", upload, number, b"small").headers["etag"] for number in (1, 2)]
    assert s3.complete("a", upload, *etags).said == (400, "EntityTooSmall")
    assert s3.complete("a", upload, '"beef"').said == (400, "InvalidPart")
    assert s3.complete("a", "no-such-upload", *etags).said == (404, "NoSuchUpload")


def test_head_of_what_is_missing_or_refused_has_no_body(s3: Asked) -> None:
    assert (s3.head("a").status, s3.head("a").body) == (404, b"")
    assert s3.get("a").said == (404, "NoSuchKey")
    s3.put("b")
    assert (s3.head("b", if_match='"other"').status, s3.head("b", if_match='"other"').body) == (412, b"")


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=0-0", 206, b"h"),
        ("bytes=-99", 206, b"hello"),
        ("bytes=3-99", 206, b"lo"),
        ("bytes=5-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=0-0,2-3", 200, b"hello"),
        ("lines=0-1", 200, b"hello"),
    ],
)
def test_a_range_is_served_refused_or_ignored(s3: Asked, asked: str, status: int, body: bytes | None) -> None:
    s3.put("a", b"hello")
    answer = s3.get("a", range=asked)
    assert (answer.status, answer.code if body is None else answer.body) == (status, body or "InvalidRange")


def test_no_byte_of_an_empty_object_can_be_asked_for(s3: Asked) -> None:
    s3.put("a", b"")
    assert s3.get("a", range="bytes=0-").said == s3.get("a", range="bytes=-1").said == (416, "InvalidRange")


def test_if_range_is_not_looked_at(s3: Asked) -> None:
    s3.put("a", b"hello")
    assert s3.get("a", range="bytes=0-0", if_range='"other"').status == 206


def test_a_part_is_read_as_it_was_written(s3: Asked) -> None:
    assert s3.upload("a", b"a" * MIN_PART_SIZE, b"bb").status == 200
    answer = s3.get("a", query="partNumber=2")
    size = MIN_PART_SIZE + 2
    assert (answer.status, answer.body) == (206, b"bb")
    assert answer.headers["content-range"] == f"bytes {MIN_PART_SIZE}-{size - 1}/{size}"
    assert answer.headers["x-amz-mp-parts-count"] == "2"
    head = s3.head("a", query="partNumber=1")
    assert (head.status, head.headers["content-length"]) == (206, str(MIN_PART_SIZE))
    assert head.headers["x-amz-mp-parts-count"] == "2"
    assert s3.get("a", query="partNumber=3").said == (416, "InvalidPartNumber")


def test_what_was_stored_at_once_is_its_own_first_part(s3: Asked) -> None:
    s3.put("a", b"hello")
    answer = s3.get("a", query="partNumber=1")
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, b"hello", "bytes 0-4/5")
    assert s3.get("a", query="partNumber=2").said == (416, "InvalidPartNumber")
    assert s3.get("b", query="partNumber=1").said == (404, "NoSuchKey")


def test_user_metadata_may_have_2_kib(s3: Asked) -> None:
    assert s3.put("a", headers={"x-amz-meta-a": "v" * 2047}).status == 200
    assert s3.head("a").headers["x-amz-meta-a"] == "v" * 2047


def test_a_key_of_more_than_1024_bytes_is_400(s3: Asked) -> None:
    assert s3.put("k" * 1025).said == (400, "KeyTooLongError")


# SeaweedFS's own behaviour.


def test_the_name_of_a_directory_is_412_to_a_conditional_write_and_not_found(lenient: Asked) -> None:
    assert lenient.put("d/x", headers=NEW).status == 200
    for body in (b"small", b"other"):
        assert lenient.put("d", body, NEW).said == (412, "PreconditionFailed")
    assert lenient.upload("d", b"part", headers=NEW).said == (412, "PreconditionFailed")
    assert (lenient.head("d").status, lenient.get("d").said) == (404, (404, "NoSuchKey"))
    # Without a condition it is stored, and found.
    assert (lenient.put("d", b"all the same").status, lenient.get("d").body) == (200, b"all the same")


def test_an_object_does_not_keep_others_from_being_stored_below_its_name(lenient: Asked) -> None:
    assert lenient.put("f", b"above", NEW).status == lenient.put("f/x", b"below", NEW).status == 200
    assert (lenient.get("f").body, lenient.get("f/x").body) == (b"above", b"below")


def test_slashes_are_joined_and_backslashes_are_slashes(lenient: Asked) -> None:
    for written, read in (("p//q", "p/q"), ("s\\t", "s/t"), ("w//\\v", "w/v")):
        lenient.put(written, written.encode())
        assert lenient.get(read).body == lenient.get(written).body == written.encode()


def test_a_key_that_ends_in_a_slash_is_stored_without_its_body(lenient: Asked) -> None:
    assert lenient.put("e/", b"body", NEW).status == 200
    answer = lenient.get("e/")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "httpd/unix-directory"
    assert lenient.get("e").said == (404, "NoSuchKey")
    assert lenient.put("e/", b"other", NEW).status == lenient.put("e", b"other", NEW).status == 412


def test_a_segment_of_a_key_has_at_most_255_bytes(lenient: Asked) -> None:
    assert lenient.put("k" * 255).status == 200
    assert lenient.put("k" * 256).said == (400, "KeyTooLongError")
    assert lenient.get("k" * 256).said == (404, "NoSuchKey")


# Behaviour that AWS documents, and that no server shows that can be run here.


@pytest.fixture
def bucket() -> Iterator[StrictBucket]:
    with StrictBucket() as bucket:
        yield bucket


def asked(bucket: StrictBucket) -> Asked:
    return Asked(S3Store(bucket.url, bucket.region, bucket.bucket, bucket.reader, bucket.writer), "")


def test_a_conditional_write_is_409_while_another_write_is_under_way(bucket: StrictBucket) -> None:
    s3 = asked(bucket)
    with bucket.being_written("a"):
        assert s3.put("a", headers=NEW).said == (409, "ConditionalRequestConflict")
        assert s3.upload("a", b"part", headers=NEW).said == (409, "ConditionalRequestConflict")
        assert s3.put("a", b"one").status == 200
    assert s3.put("b", headers=NEW).status == 200


def test_another_writer_may_come_first(bucket: StrictBucket) -> None:
    s3 = asked(bucket)
    bucket.overtake("PutObject", "a", b"theirs")
    assert s3.put("a", b"ours", NEW).status == 412
    bucket.overtake("CompleteMultipartUpload", "b", b"theirs", conflict_first=True)
    assert s3.upload("b", b"ours", headers=NEW).said == (409, "ConditionalRequestConflict")
    assert s3.get("a").body == s3.get("b").body == b"theirs"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_delete_marker_shows_in_the_404_to_those_who_may_list(bucket: StrictBucket, method: str) -> None:
    s3 = asked(bucket)
    bucket.put("a", b"x")
    bucket.delete("a", marker=True)
    answer = s3.get("a", method)
    assert (answer.status, answer.headers["x-amz-delete-marker"]) == (404, "true")
    with bucket.without_list_right(bucket.reader):
        denied = s3.get("a", method)
    assert (denied.status, "x-amz-delete-marker" in denied.headers) == (403, False)
    assert s3.put("a", b"again", NEW).status == 200
    assert (s3.get("a").status, s3.get("b").headers.get("x-amz-delete-marker")) == (200, None)


def test_an_object_that_was_deleted_without_versions_leaves_no_trace(bucket: StrictBucket) -> None:
    bucket.put("a", b"x")
    bucket.delete("a")
    assert "x-amz-delete-marker" not in asked(bucket).get("a").headers


def test_a_key_that_everybody_is_denied_can_be_written_and_not_looked_at(bucket: StrictBucket) -> None:
    bucket.forbid("a", bucket.reader, bucket.writer)
    s3 = asked(bucket)
    store = S3Store(bucket.url, bucket.region, bucket.bucket, bucket.writer, bucket.writer)
    assert s3.put("a", headers=NEW).status == 200
    assert s3.get("a").said == (403, "AccessDenied")
    assert (s3.head("a").status, Asked(store, "").head("a").status) == (403, 403)


def test_aws_has_limits_for_metadata_and_for_headers(bucket: StrictBucket) -> None:
    s3 = asked(bucket)
    assert s3.put("a", headers={"x-amz-meta-a": "v" * 2048}).said == (400, "MetadataTooLarge")
    assert s3.put("a", headers={"x-other": "v" * 8192}).said == (400, "RequestHeaderSectionTooLarge")
    assert s3.get("k" * 1025).said == (400, "KeyTooLongError")
    assert (s3.head("k" * 1025).status, s3.head("k" * 1025).body) == (400, b"")


def test_a_part_of_an_empty_object_has_no_range_and_a_part_is_no_range(bucket: StrictBucket) -> None:
    s3 = asked(bucket)
    s3.put("a", b"")
    answer = s3.get("a", query="partNumber=1")
    assert (answer.status, answer.body, "content-range" in answer.headers) == (200, b"", False)
    assert s3.get("a", query="partNumber=0").said == (400, "InvalidArgument")
    assert s3.get("a", query="partNumber=1", range="bytes=0-0").said == (400, "InvalidRequest")


def test_a_range_or_a_date_that_is_none_is_ignored(bucket: StrictBucket) -> None:
    s3 = asked(bucket)
    s3.put("a", b"hello")
    assert (s3.get("a", range="bytes=3-1").status, s3.get("a", range="bytes=a-b").status) == (200, 200)
    assert s3.get("a", if_modified_since="yesterday", if_unmodified_since="tomorrow").status == 200


@pytest.mark.parametrize("quote", ['"', ""])
def test_an_etag_counts_without_its_quotes_too(bucket: StrictBucket, quote: str) -> None:
    """The AWS SDK for Java v1 sends it so."""
    s3 = asked(bucket)
    etag = quote + s3.put("a", b"hello").headers["etag"].strip('"') + quote
    assert (s3.get("a", if_match=etag).status, s3.get("a", if_none_match=etag).status) == (200, 304)
    assert s3.get("a", if_match=f"{quote}other{quote}").status == 412


# Other servers.


def test_ceph_18_overwrites_by_an_upload_and_garage_by_both() -> None:
    for dialect, put, complete in ((CEPH_18, 412, 200), (GARAGE, 200, 200)):
        with StrictBucket(dialect=dialect) as bucket:
            bucket.put("a", b"theirs")
            assert asked(bucket).put("a", b"ours", NEW).status == put
            assert asked(bucket).upload("a", b"ours", headers=NEW).status == complete


def test_garage_ends_uploads_of_what_another_writer_has_stored() -> None:
    with StrictBucket(dialect=GARAGE) as bucket:
        s3 = asked(bucket)
        upload = s3.create("a")
        etag = s3.part("a", upload, 1, b"part").headers["etag"]
        bucket.put("a", b"theirs")
        assert s3.complete("a", upload, etag, headers=NEW).said == (404, "NoSuchUpload")


def test_swift_takes_256_bytes_for_a_value_of_metadata() -> None:
    with StrictBucket(dialect=SWIFT) as bucket:
        assert asked(bucket).put("a", headers={"x-amz-meta-a": "v" * 256}).status == 200
        assert asked(bucket).put("a", headers={"x-amz-meta-a": "v" * 257}).said == (400, "InvalidRequest")
