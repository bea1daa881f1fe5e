"""**One S3 bucket that is as strict as AWS, which the servers that imitate S3 are not.**

SeaweedFS accepts any region, any Host and any spelling of a path, and collapses `//`: what passes there says
little about AWS. `DIFFERENCES.md` lists what this bucket leaves out.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from xml.sax.saxutils import escape

from stack import Credentials

from .faults import CARRIED_OUT, UNANSWERED, Effect, Fault, Faults
from .s3 import sigv4
from .s3.answers import Answer, document, error_answer, serialize, slow_document
from .s3.dialects import AWS, Dialect
from .s3.errors import (
    S3Error,
    access_denied,
    conflict,
    deleted,
    key_too_long,
    no_such_key,
    not_implemented,
    precondition_failed,
)
from .s3.multipart import Uploads
from .s3.objects import StoredObject, check_part_headers, check_put_headers, new_object, read_object
from .s3.operations import MULTIPART_OPERATIONS, operation_of, query_of
from .wire import Journal, Request, Server, reset

MAX_HEADER_BYTES = 8192
"""Bytes of a request's header lines ("Working with object metadata", S3 User Guide)."""

MAX_KEY_BYTES = 1024
"""Bytes of a key in UTF-8 ("Naming Amazon S3 objects", S3 User Guide)."""

ENCRYPTED = ("x-amz-server-side-encryption", "AES256")
"""Every object of AWS's is encrypted since January 2023, and every answer about one says so."""

READER_RIGHTS = frozenset({"GetObject", "HeadObject"})
WRITER_RIGHTS = frozenset({"HeadObject", "ListMultipartUploads", "PutObject", *MULTIPART_OPERATIONS.values()})
ABOUT_AN_OBJECT = READER_RIGHTS | WRITER_RIGHTS - {"AbortMultipartUpload", "ListMultipartUploads"}


@dataclass
class Call:
    """One request to the bucket and its result. Status None: it was never answered."""

    request: Request
    operation: str = ""
    key: str = ""
    name: str = ""
    """The name that the bucket takes the key for: another than the key in some dialects."""
    access_key: str | None = None
    status: int | None = None
    code: str = ""


class StrictBucket(Server):
    """The bucket as a server and, for the test, as an object that it arranges and looks into.

    With `virtual_hosted` its name is in the host, and in no path. With `keeps_parts` False it forgets the
    bytes of an upload's parts, and takes more than fits into memory. The object's ETag shows their content.
    With `anonymous` everybody has s3:GetObject, by a policy such as envoy/aws/bucket-policy.json.
    """

    def __init__(
        self,
        bucket: str = "mirror",
        region: str = "eu-west-1",
        *,
        dialect: Dialect = AWS,
        anonymous: bool = False,
        keeps_parts: bool = True,
        virtual_hosted: bool = False,
    ) -> None:
        self.bucket, self.region, self.dialect = bucket, region, dialect
        self.virtual_hosted = virtual_hosted
        self.anonymous = anonymous
        self.front: str | None = None
        """The `host:port` of whatever clients reach it by, if that is not its own."""
        self.reader = Credentials(f"READER{secrets.token_hex(6).upper()}", secrets.token_urlsafe(30))
        self.writer = Credentials(f"WRITER{secrets.token_hex(6).upper()}", secrets.token_urlsafe(30))
        self.owner = Credentials(f"OWNER{secrets.token_hex(6).upper()}", secrets.token_urlsafe(30))
        """An operator's credential, for everything that is here."""
        self.requests: Journal[Call] = Journal()
        self.uploads = Uploads(keeps_parts)
        self._keeps_parts = keeps_parts
        self.demands: dict[str, str] = {}
        """Headers without which the bucket's policy denies PutObject and CreateMultipartUpload."""
        self._faults = Faults()
        self._forbidden: set[tuple[str, str]] = set()
        self._being_written: set[str] = set()
        self._deleted: dict[str, str] = {}
        self._directories: set[str] = set()
        known = (self.reader, self.writer, self.owner)
        self._listers = {credential.access_key for credential in known}
        self._objects: dict[str, StoredObject] = {}
        self._secrets = {credential.access_key: credential.secret_key for credential in known}

    @property
    def authority(self) -> str:
        if self.front:
            return self.front
        # A name of which there are others below it, as there are of no address.
        return f"localhost:{self.port}" if self.virtual_hosted else super().authority

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    # The bucket's content.

    def put(
        self, key: str, body: bytes, headers: Mapping[str, str] | None = None, *, age: float = 0.0
    ) -> None:
        """Stores an object as another writer does, or did so many seconds ago."""
        stored = new_object(body, (headers or {}).items())
        modified = stored.modified - timedelta(seconds=age)
        self._store(self.dialect.name_of(key), replace(stored, modified=modified))
        if self.dialect.ends_uploads:
            self.uploads.end_all_of(key)

    def delete(self, key: str, *, marker: bool = False) -> None:
        """Deletes an object as another writer does. A bucket with versions leaves a marker."""
        name = self.dialect.name_of(key)
        self._objects.pop(name, None)
        if marker:
            self._deleted[name] = secrets.token_urlsafe(24)

    def get(self, key: str) -> tuple[int, dict[str, str], bytes]:
        stored = self._objects.get(self.dialect.name_of(key))
        return (200, {**dict(stored.headers), "etag": stored.etag}, stored.body) if stored else (404, {}, b"")

    def calls(self, operation: str, key: str) -> list[Call]:
        return self.requests.matching(lambda call: (call.operation, call.key) == (operation, key))

    def list(self) -> list[str]:
        return sorted(self._objects)

    # Rights.

    def forbid(self, key: str, *credentials: Credentials) -> None:
        """Denies s3:GetObject, and so HEAD, on one key explicitly: the reader, or those that are named."""
        for credential in credentials or (self.reader,):
            self._forbidden.add((credential.access_key, key))

    @contextmanager
    def without_list_right(self, *credentials: Credentials) -> Iterator[None]:
        """Takes s3:ListBucket away, so that a missing key is 403 AccessDenied, not 404 NoSuchKey."""
        taken = self._listers & {credential.access_key for credential in credentials}
        self._listers -= taken
        try:
            yield
        finally:
            self._listers |= taken

    @contextmanager
    def with_secret(self, credential: Credentials, secret_key: str) -> Iterator[None]:
        """Gives a credential another secret, so that every signature made with it is wrong."""
        self._secrets[credential.access_key] = secret_key
        try:
            yield
        finally:
            self._secrets[credential.access_key] = credential.secret_key

    @contextmanager
    def being_written(self, key: str) -> Iterator[None]:
        """Answers 409 to conditional writes of a key, as while another write is under way."""
        self._being_written.add(key)
        try:
            yield
        finally:
            self._being_written.discard(key)

    # Faults.

    def fault(
        self, operation: str, key: str | None = None, times: int = 1, *, status: int, code: str
    ) -> None:
        """Answers with an S3 error. Status 200 gives an error inside a success, as Complete may answer."""
        error = S3Error(status, code, f"Injected {code}.")
        self._faults.arm(Fault(operation, key, Effect.ANSWER, times, error))

    def raw(
        self, operation: str, key: str | None, data: bytes, times: int = 1, *, stall: bool = False
    ) -> None:
        """Answers with any bytes, then ends the connection; with `stall`, silence."""
        self._faults.arm(Fault(operation, key, Effect.RAW_STALL if stall else Effect.RAW, times, raw=data))

    def swallow(self, operation: str, key: str | None = None, times: int = 1) -> None:
        """Answers 200 and stores nothing."""
        self._faults.arm(Fault(operation, key, Effect.SWALLOW, times))

    def overtake(self, operation: str, key: str, body: bytes, *, conflict_first: bool = False) -> None:
        """Stores another writer's object just before the operation is carried out, or is refused with 409."""
        error = conflict(key) if conflict_first else None
        self._faults.arm(Fault(operation, key, Effect.OVERTAKE, 1, error, raw=body))

    def reset(self, operation: str, key: str | None = None, times: int = 1, *, after: bool = False) -> None:
        """Sends an RST instead of an answer; with `after`, the operation has been carried out by then."""
        self._faults.arm(Fault(operation, key, Effect.RESET_AFTER if after else Effect.RESET, times))

    def stall(self, operation: str, key: str | None = None, times: int = 1) -> None:
        """Takes the request and never answers."""
        self._faults.arm(Fault(operation, key, Effect.STALL, times))

    # Answers to clients.

    async def respond(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        call, fault = Call(request), None
        try:
            self._identify(call)
            fault = self._faults.strike(call.operation, call.key)
            answer = self._carry_out(call, fault)
            if call.operation in ABOUT_AN_OBJECT and answer.status != HTTPStatus.NOT_MODIFIED:
                answer.headers.append(ENCRYPTED)
        except S3Error as error:
            call.code, answer = error.code, error_answer(error)
        if fault is not None and fault.effect in UNANSWERED:
            self._record(call)
            await self._misbehave(fault, writer)
            return False
        call.status = answer.status
        self._record(call)
        writer.write(serialize(answer, head=request.method == "HEAD"))
        await writer.drain()
        return True

    def _record(self, call: Call) -> None:
        if call.operation == "UploadPart" and not self._keeps_parts:
            call.request = replace(call.request, body=b"")
        self.requests.add(call)

    def _identify(self, call: Call) -> None:
        """Identifies the client and its operation. Requests are path-style, and any other Host names another
        bucket; or the bucket is in the Host.
        """
        request = call.request
        if sum(len(f"{name}: {value}\r\n") for name, value in request.headers) > MAX_HEADER_BYTES:
            message = "Your request header section exceeds the maximum allowed size."
            raise S3Error(400, "RequestHeaderSectionTooLarge", message, MaxSizeAllowed=str(MAX_HEADER_BYTES))
        try:
            path = sigv4.decode(request.path).decode()
        except UnicodeDecodeError:
            raise S3Error(400, "InvalidURI", "Couldn't parse the specified URI.") from None
        if self.virtual_hosted:
            bucket, call.key = (request.header("host") or "").removesuffix(f".{self.authority}"), path[1:]
        else:
            bucket, _, call.key = path[1:].partition("/")
        call.name = self.dialect.name_of(call.key)
        call.operation = operation_of(request, call.key)
        if not (self.anonymous and request.header("authorization") is None):
            call.access_key = sigv4.verify(request, self._secrets, self.region, datetime.now(timezone.utc))
        if not self.virtual_hosted and request.header("host") != self.authority:
            bucket = request.header("host") or ""
        if bucket != self.bucket:
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)

    def _carry_out(self, call: Call, fault: Fault | None) -> Answer:
        if fault is not None and fault.effect is Effect.OVERTAKE:
            self.put(call.key, fault.raw)
        if fault is not None and fault.error is not None:
            raise fault.error
        if fault is not None and fault.effect not in CARRIED_OUT:
            return Answer(HTTPStatus.OK, [("etag", new_object(call.request.body, []).etag)])
        self._authorize(call)
        if len(call.key.encode()) > MAX_KEY_BYTES:
            raise key_too_long(call.key)
        return self._operations[call.operation](self, call)

    async def _misbehave(self, fault: Fault, writer: asyncio.StreamWriter) -> None:
        writer.write(fault.raw)
        await writer.drain()
        if fault.effect in (Effect.RAW_STALL, Effect.STALL):
            await self.silence()
        if fault.effect in (Effect.RESET, Effect.RESET_AFTER):
            reset(writer)

    def _authorize(self, call: Call) -> None:
        reads = call.access_key in (None, self.reader.access_key)
        allowed = call.operation in (READER_RIGHTS if reads else WRITER_RIGHTS)
        if call.access_key == self.owner.access_key:
            allowed = call.operation in self._operations
        if call.operation == "ListObjects":
            allowed = call.access_key in self._listers
        gets = call.operation in READER_RIGHTS
        if not allowed or (gets and (call.access_key, call.key) in self._forbidden):
            raise access_denied()

    def _get_object(self, call: Call) -> Answer:
        stored = self._objects.get(call.name)
        if stored is None and call.access_key not in self._listers:
            raise access_denied()
        if stored is None and call.name in self._deleted:
            raise deleted(call.key, self._deleted[call.name])
        if stored is None:
            raise no_such_key(call.key)
        return read_object(stored, call.request, query_of(call.request).get("partNumber"))

    def _put_object(self, call: Call) -> Answer:
        check_put_headers(call.request, self.dialect, self.demands)
        self.dialect.check_name(call.name)
        _require_length(call.request)
        self._check_condition(call)
        stored = new_object(call.request.body, call.request.headers)
        self._store(call.name, stored)
        return Answer(HTTPStatus.OK, [("etag", stored.etag)])

    def _create_upload(self, call: Call) -> Answer:
        check_put_headers(call.request, self.dialect, self.demands)
        self.dialect.check_name(call.name)
        upload_id = self.uploads.create(call.key, call.request.headers)
        return document("InitiateMultipartUploadResult", Bucket=self.bucket, Key=call.key, UploadId=upload_id)

    def _upload_part(self, call: Call) -> Answer:
        check_part_headers(call.request)
        _require_length(call.request)
        query = query_of(call.request)
        etag = self.uploads.put_part(query["uploadId"], call.key, query["partNumber"], call.request.body)
        return Answer(HTTPStatus.OK, [("etag", etag)])

    def _complete_upload(self, call: Call) -> Answer:
        self._check_condition(call)
        stored = self.uploads.complete(query_of(call.request)["uploadId"], call.key, call.request.body)
        self._store(call.name, stored)
        return slow_document(
            "CompleteMultipartUploadResult", Bucket=self.bucket, Key=call.key, ETag=stored.etag
        )

    def _abort_upload(self, call: Call) -> Answer:
        self.uploads.abort(query_of(call.request)["uploadId"], call.key)
        return Answer(HTTPStatus.NO_CONTENT)

    def _delete_object(self, call: Call) -> Answer:
        self.delete(call.key)
        return Answer(HTTPStatus.NO_CONTENT)

    def _list_uploads(self, _: Call) -> Answer:
        fields = (
            f"<Key>{escape(key)}</Key><UploadId>{upload}</UploadId>" for key, upload in self.uploads.open()
        )
        inner = "".join(f"<Upload>{upload}</Upload>" for upload in fields)
        return document("ListMultipartUploadsResult", inner, Bucket=self.bucket)

    def _list_objects(self, _: Call) -> Answer:
        inner = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in self.list())
        return document("ListBucketResult", inner, Name=self.bucket)

    def _store(self, name: str, stored: StoredObject) -> None:
        if self.dialect.drops_bodies_of_directories and name.endswith("/"):
            directory = [("content-type", "httpd/unix-directory")]
            stored = replace(stored, body=b"", headers=directory)
        self._objects[name] = stored
        self._deleted.pop(name, None)
        above = name.split("/")[:-1]
        self._directories.update("/".join(above[:depth]) for depth in range(1, len(above) + 1))

    def _check_condition(self, call: Call) -> None:
        """Checks a conditional write. `If-None-Match` takes nothing but `*` in S3."""
        if call.operation in self.dialect.ignores_conditions:
            return
        stored = self._objects.get(call.name)
        condition, if_match = call.request.header("if-none-match"), call.request.header("if-match")
        if condition not in (None, "*"):
            raise not_implemented("If-None-Match")
        if (condition or if_match) and call.key in self._being_written:
            raise conflict(call.key)
        is_directory = self.dialect.makes_directories and call.name in self._directories
        if condition == "*" and (stored or is_directory):
            raise precondition_failed("If-None-Match")
        if if_match is not None and stored is None:
            raise no_such_key(call.key)
        if if_match is not None and if_match != stored.etag:
            raise precondition_failed("If-Match")

    _operations: dict[str, Callable[[StrictBucket, Call], Answer]] = {
        "AbortMultipartUpload": _abort_upload,
        "CompleteMultipartUpload": _complete_upload,
        "CreateMultipartUpload": _create_upload,
        "DeleteObject": _delete_object,
        "GetObject": _get_object,
        "HeadObject": _get_object,
        "ListMultipartUploads": _list_uploads,
        "ListObjects": _list_objects,
        "PutObject": _put_object,
        "UploadPart": _upload_part,
    }


def _require_length(request: Request) -> None:
    if request.header("content-length") is None:
        raise S3Error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
