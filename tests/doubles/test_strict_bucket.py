"""The strict bucket against an independent signer, botocore's, and against requests that AWS would refuse."""

from __future__ import annotations

import hashlib
import http.client
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest

from doubles import StrictBucket
from doubles.s3.errors import S3Error
from doubles.s3.multipart import MIN_PART_SIZE
from doubles.s3.sigv4 import verify
from doubles.wire import Request
from stack import Credentials, sigv4

HOSTILE_PATHS = [
    "plain.txt",
    "with%20space",
    "a%2Bb",
    "a%252Fb",
    "a%25b",
    "%27quotes%22",
    "%C3%A4%E2%82%AC",
    "two//slashes",
    "/slash/first",
    "semi%3Bcolon%3A%40%26%3D%2A%28%29",
    "tilde~dot.-_",
    "back%5Cslash",
    "%23hash%3Fquestion",
]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        return ElementTree.fromstring(self.body).findtext("Code") if self.body else None


@pytest.fixture
def bucket() -> Iterator[StrictBucket]:
    with StrictBucket() as bucket:
        yield bucket


def send(
    bucket: StrictBucket, method: str, target: str, headers: dict[str, str], body: bytes = b""
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", bucket.port, timeout=10)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    if "transfer-encoding" not in headers:
        headers = {"content-length": str(len(body)), **headers}
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    connection.close()
    return answer


def sign(
    bucket: StrictBucket,
    credential: Credentials,
    method: str,
    target: str,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    region: str | None = None,
) -> dict[str, str]:
    """Returns the headers that botocore would send."""
    headers = {"host": bucket.authority, **(headers or {})}
    return sigv4.sign(method, f"{bucket.url}{target}", headers, body, credential, region or bucket.region)


def put(bucket: StrictBucket, path: str, body: bytes = b"x", headers: dict[str, str] | None = None) -> Answer:
    target = f"/mirror/{path}"
    return send(bucket, "PUT", target, sign(bucket, bucket.writer, "PUT", target, headers, body), body)


def get(
    bucket: StrictBucket, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> Answer:
    target = f"/mirror/{path}"
    return send(bucket, method, target, sign(bucket, bucket.reader, method, target, headers))


def write(bucket: StrictBucket, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return send(bucket, method, target, sign(bucket, bucket.writer, method, target, named, body), body)


def part_list(*parts: tuple[int, str]) -> bytes:
    listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in parts)
    return f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_what_botocore_signs_is_accepted(bucket: StrictBucket, path: str) -> None:
    assert put(bucket, path, path.encode()).status == 200
    answer = get(bucket, path)
    assert (answer.status, answer.body) == (200, path.encode())


@pytest.mark.parametrize(
    ("signed", "sent"),
    [("%C3%A4", "%c3%a4"), ("a%20b", "a+b"), ("a~b", "a%7Eb"), ("A", "%41"), ("a/b", "a%2Fb")],
)
def test_only_the_signature_has_to_be_canonical_not_what_is_sent(
    bucket: StrictBucket, signed: str, sent: str
) -> None:
    headers = sign(bucket, bucket.reader, "GET", f"/mirror/{signed}")
    assert send(bucket, "GET", f"/mirror/{sent}", headers).code == "NoSuchKey"


def test_a_path_signed_in_a_spelling_that_is_not_canonical_is_refused(bucket: StrictBucket) -> None:
    for path in ("a+b", "%c3%a4", "a%7Eb", "a%2Fb", "a@b"):
        answer = get(bucket, path)
        assert (path, answer.status, answer.code) == (path, 403, "SignatureDoesNotMatch")


def test_keys_are_kept_to_the_byte(bucket: StrictBucket) -> None:
    for path in ("a//b", "/a", "a%2Bb", "%C3%A4", "..hidden", "a%252Fb"):
        put(bucket, path)
    assert bucket.list() == sorted(["a//b", "/a", "a+b", "ä", "..hidden", "a%2Fb"])


def test_an_unsigned_request_is_denied(bucket: StrictBucket) -> None:
    answer = send(bucket, "GET", "/mirror/a", {"host": bucket.authority})
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_an_unknown_key_a_wrong_secret_and_a_wrong_region_are_told_apart(bucket: StrictBucket) -> None:
    def code(credential: Credentials, region: str | None = None) -> tuple[int, str | None]:
        signed = sign(bucket, credential, "GET", "/mirror/a", region=region)
        answer = send(bucket, "GET", "/mirror/a", signed)
        return answer.status, answer.code

    assert code(Credentials("NOBODY", "secret")) == (403, "InvalidAccessKeyId")
    assert code(Credentials(bucket.reader.access_key, "wrong")) == (403, "SignatureDoesNotMatch")
    assert code(bucket.reader, region="us-east-1") == (400, "AuthorizationHeaderMalformed")


def test_the_host_that_was_sent_is_the_one_that_must_be_signed(bucket: StrictBucket) -> None:
    headers = sign(bucket, bucket.reader, "GET", "/mirror/a")
    answer = send(bucket, "GET", "/mirror/a", {**headers, "host": "127.0.0.1"})
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_every_amz_header_must_be_signed(bucket: StrictBucket) -> None:
    headers = sign(bucket, bucket.reader, "GET", "/mirror/a")
    answer = send(bucket, "GET", "/mirror/a", {**headers, "x-amz-meta-a": "1"})
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert b"<HeadersNotSigned>x-amz-meta-a</HeadersNotSigned>" in answer.body


def test_a_body_other_than_the_signed_one_is_refused(bucket: StrictBucket) -> None:
    headers = sign(bucket, bucket.writer, "PUT", "/mirror/a", body=b"one")
    answer = send(bucket, "PUT", "/mirror/a", {**headers, "content-length": "3"}, b"two")
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    assert bucket.list() == []


def test_an_unsigned_payload_is_accepted(bucket: StrictBucket) -> None:
    assert put(bucket, "a", b"x", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}).status == 200


def test_a_date_that_is_off_by_more_than_15_minutes_is_refused(bucket: StrictBucket) -> None:
    headers = list(sign(bucket, bucket.reader, "GET", "/mirror/a").items())
    request = Request("GET /mirror/a HTTP/1.1", headers)
    secrets, now = {bucket.reader.access_key: bucket.reader.secret_key}, datetime.now(timezone.utc)
    assert verify(request, secrets, bucket.region, now + timedelta(minutes=14)) == bucket.reader.access_key
    with pytest.raises(S3Error, match="RequestTimeTooSkewed"):
        verify(request, secrets, bucket.region, now + timedelta(minutes=16))


def test_a_query_is_signed_sorted_by_name(bucket: StrictBucket) -> None:
    bucket.put("a", b"x")
    assert get(bucket, "a?b=2&a-b=1&a=%2B&a=").status == 200


def test_a_missing_key_is_403_without_the_right_to_list(bucket: StrictBucket) -> None:
    assert (get(bucket, "a").status, get(bucket, "a").code) == (404, "NoSuchKey")
    with bucket.without_list_right(bucket.reader):
        assert (get(bucket, "a").status, get(bucket, "a").code) == (403, "AccessDenied")
        assert get(bucket, "?list-type=2").code == "AccessDenied"
    assert get(bucket, "?list-type=2").status == 200


def test_the_reader_may_not_write_and_nobody_may_touch_sub_resources(bucket: StrictBucket) -> None:
    headers = sign(bucket, bucket.reader, "PUT", "/mirror/a", body=b"x")
    assert send(bucket, "PUT", "/mirror/a", headers, b"x").status == 403
    assert get(bucket, "a?acl").code == "AccessDenied"
    assert write(bucket, "DELETE", "/mirror/a").code == "AccessDenied"
    assert write(bucket, "PUT", "/mirror/a", b"x", x_amz_copy_source="/mirror/b").code == "AccessDenied"
    assert write(bucket, "PUT", "/mirror/a", b"x", x_amz_acl="public-read").code == "AccessDenied"
    assert bucket.list() == []


def test_a_forbidden_object_is_403_for_the_reader_and_there_for_the_writer(bucket: StrictBucket) -> None:
    bucket.put("secret", b"x")
    bucket.forbid("secret")
    assert get(bucket, "secret").code == "AccessDenied"
    assert write(bucket, "HEAD", "/mirror/secret").status == 200


def test_a_bucket_of_another_name_does_not_exist(bucket: StrictBucket) -> None:
    answer = write(bucket, "PUT", "/other/a", b"x")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")


def test_a_stored_object_comes_back_with_its_headers(bucket: StrictBucket) -> None:
    kept = {"content-type": "image/png", "cache-control": "no-cache", "x-amz-meta-mirror-url": "u"}
    put(bucket, "a", b"hello", {**kept, "x-other": "1"})
    answer = get(bucket, "a")
    assert {name: answer.headers[name] for name in kept} == kept
    assert "x-other" not in answer.headers
    head = get(bucket, "a", method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "5")
    assert head.headers["etag"] == answer.headers["etag"] == '"5d41402abc4b2a76b9719d911017c592"'


def test_ranges_and_conditions(bucket: StrictBucket) -> None:
    bucket.put("a", b"hello")
    part = get(bucket, "a", {"range": "bytes=1-2"})
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"el", "bytes 1-2/5")
    assert get(bucket, "a", {"range": "bytes=-2"}).body == b"lo"
    assert get(bucket, "a", {"range": "bytes=3-99"}).body == b"lo"
    assert get(bucket, "a", {"range": "bytes=5-"}).code == "InvalidRange"
    etag = get(bucket, "a").headers["etag"]
    assert get(bucket, "a", {"if-none-match": etag}).status == 304
    assert get(bucket, "a", {"if-match": '"other"'}).code == "PreconditionFailed"


def test_a_conditional_put_never_overwrites(bucket: StrictBucket) -> None:
    assert put(bucket, "a", b"first", {"if-none-match": "*"}).status == 200
    answer = put(bucket, "a", b"second", {"if-none-match": "*"})
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert bucket.get("a")[2] == b"first"
    assert put(bucket, "a", b"x", {"if-none-match": '"etag"'}).code == "NotImplemented"


def test_what_a_policy_demands_is_demanded_of_an_object_and_of_an_upload_and_refused_on_a_part(
    bucket: StrictBucket,
) -> None:
    bucket.demands["x-amz-server-side-encryption"] = "aws:kms"
    demanded = {"x_amz_server_side_encryption": "aws:kms"}
    for method, target in (("PUT", "/mirror/a"), ("POST", "/mirror/a?uploads=")):
        assert write(bucket, method, target).code == "AccessDenied"
        assert write(bucket, method, target, x_amz_server_side_encryption="AES256").code == "AccessDenied"
        assert write(bucket, method, target, **demanded).status == 200
    upload = bucket.uploads.open()[0][1]
    part = f"/mirror/a?partNumber=1&uploadId={upload}"
    assert write(bucket, "PUT", part, **demanded).code == "InvalidArgument"
    assert write(bucket, "PUT", part).status == 200


def test_limits_of_s3(bucket: StrictBucket) -> None:
    assert put(bucket, "k" * 1024).status == 200
    assert put(bucket, "k" * 1025).code == "KeyTooLongError"
    assert put(bucket, "a", headers={"x-amz-meta-long": "v" * 2048}).code == "MetadataTooLarge"
    headers = {**sign(bucket, bucket.writer, "PUT", "/mirror/a"), "transfer-encoding": "chunked"}
    assert send(bucket, "PUT", "/mirror/a", headers, b"0\r\n\r\n").code == "MissingContentLength"


def test_a_multipart_upload_becomes_one_object(bucket: StrictBucket) -> None:
    created = write(bucket, "POST", "/mirror/big?uploads=", content_type="image/png")
    upload = ElementTree.fromstring(created.body).findtext("{*}UploadId")
    bodies = [b"a" * MIN_PART_SIZE, b"b"]
    etags = []
    for number, body in enumerate(bodies, 1):
        target = f"/mirror/big?partNumber={number}&uploadId={upload}"
        etags.append(write(bucket, "PUT", target, body).headers["etag"])
    document = part_list(*enumerate(etags, 1))
    done = write(bucket, "POST", f"/mirror/big?uploadId={upload}", document, if_none_match="*")
    assert done.status == 200
    status, headers, body = bucket.get("big")
    assert (status, headers["content-type"], body) == (200, "image/png", b"".join(bodies))
    assert headers["etag"].endswith('-2"')
    assert bucket.uploads.open() == []


def test_a_bucket_that_forgets_parts_still_knows_what_they_were() -> None:
    with StrictBucket(keeps_parts=False) as bucket:
        created = write(bucket, "POST", "/mirror/big?uploads=")
        upload = ElementTree.fromstring(created.body).findtext("{*}UploadId")
        etag = write(bucket, "PUT", f"/mirror/big?partNumber=1&uploadId={upload}", b"a").headers["etag"]
        write(bucket, "POST", f"/mirror/big?uploadId={upload}", part_list((1, etag)))
        _, headers, body = bucket.get("big")
        (part,) = bucket.calls("UploadPart", "big")
    # AWS computes it so: the MD5 of the parts' MD5s, and their number.
    assert headers["etag"] == f'"{hashlib.md5(hashlib.md5(b"a").digest()).hexdigest()}-1"'
    assert (body, part.request.body) == (b"", b"")


def test_a_multipart_upload_is_checked(bucket: StrictBucket) -> None:
    created = write(bucket, "POST", "/mirror/big?uploads=")
    upload = ElementTree.fromstring(created.body).findtext("{*}UploadId")
    etag = write(bucket, "PUT", f"/mirror/big?partNumber=1&uploadId={upload}", b"small").headers["etag"]
    write(bucket, "PUT", f"/mirror/big?partNumber=2&uploadId={upload}", b"small")

    def complete(*parts: tuple[int, str]) -> str | None:
        return write(bucket, "POST", f"/mirror/big?uploadId={upload}", part_list(*parts)).code

    assert complete((1, etag), (2, etag)) == "EntityTooSmall"
    assert complete((2, etag), (1, etag)) == "InvalidPartOrder"
    assert complete((1, '"wrong"')) == "InvalidPart"
    assert complete() == "MalformedXML"
    assert write(bucket, "PUT", f"/mirror/big?partNumber=0&uploadId={upload}", b"x").code == "InvalidArgument"
    assert b"<Key>big</Key>" in write(bucket, "GET", "/mirror/?uploads=").body
    assert write(bucket, "DELETE", f"/mirror/big?uploadId={upload}").status == 204
    assert complete((1, etag)) == "NoSuchUpload"


def test_faults_strike_as_often_as_told(bucket: StrictBucket) -> None:
    bucket.fault("PutObject", "a", status=503, code="SlowDown", times=2)
    assert [put(bucket, "a").code for _ in range(2)] == ["SlowDown"] * 2
    assert put(bucket, "b").status == put(bucket, "a").status == 200
    bucket.swallow("PutObject", "c")
    assert (put(bucket, "c").status, bucket.get("c")[0]) == (200, 404)
    bucket.raw("PutObject", "r", b"HTTP/1.1 299 Odd\r\n\r\n")
    assert (put(bucket, "r").status, bucket.get("r")[0]) == (299, 404)
    bucket.reset("PutObject", "d", after=True)
    with pytest.raises(ConnectionResetError):
        put(bucket, "d")
    assert bucket.get("d")[0] == 200


def test_requests_are_recorded(bucket: StrictBucket) -> None:
    put(bucket, "a", b"hello", {"content-type": "text/plain"})
    (call,) = bucket.calls("PutObject", "a")
    assert (call.access_key, call.status, call.request.body) == (bucket.writer.access_key, 200, b"hello")
    assert call.request.header("Content-Type") == "text/plain"
