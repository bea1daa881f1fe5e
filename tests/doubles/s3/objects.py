"""A bucket's objects, and its answers to GetObject and HeadObject for them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus

from ..wire import Request
from .answers import Answer
from .dialects import Dialect
from .errors import S3Error, access_denied, precondition_failed

STORED_HEADERS = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
    }
)
"""The headers beside `x-amz-meta-*` that PutObject keeps and GetObject returns."""

MAX_PART_NUMBER = 10_000

METADATA_LIMIT = 2048
"""Bytes of all user metadata, names and values ("Working with object metadata", S3 User Guide)."""

NEEDS_MORE_RIGHTS = re.compile("x-amz-(acl|grant-.*|tagging|object-lock-.*)")
"""Headers of a PUT that need a right beyond s3:PutObject, which the writer does not have."""

NOT_ON_A_PART = re.compile(
    "x-amz-(acl|tagging|server-side-encryption(-(aws-kms-key-id|context|bucket-key-enabled))?)"
)
"""Headers of PutObject and CreateMultipartUpload that a part does not have."""


@dataclass(frozen=True)
class StoredObject:
    """One object, immutable as in S3: a PUT replaces it whole."""

    body: bytes = field(repr=False)
    headers: list[tuple[str, str]]
    etag: str
    modified: datetime
    parts: tuple[int, ...] = ()
    """The parts' lengths, if it was stored in parts."""


def new_object(
    body: bytes, headers: Iterable[tuple[str, str]], etag: str | None = None, parts: tuple[int, ...] = ()
) -> StoredObject:
    kept = [(name.lower(), value) for name, value in headers if _is_stored(name.lower())]
    if not any(name == "content-type" for name, _ in kept):
        kept.append(("content-type", "binary/octet-stream"))
    digest = f'"{hashlib.md5(body).hexdigest()}"'
    modified = datetime.now(timezone.utc).replace(microsecond=0)
    return StoredObject(body, kept, etag or digest, modified, parts)


def check_put_headers(request: Request, dialect: Dialect, demands: Mapping[str, str]) -> None:
    """Checks the headers by the rules that PutObject and CreateMultipartUpload share. The writer has a right
    to send what the bucket's policy demands.
    """
    for name, _ in request.headers:
        if NEEDS_MORE_RIGHTS.fullmatch(name.lower()) and name.lower() not in demands:
            raise access_denied()
    if any(request.header(name) != value for name, value in demands.items()):
        raise access_denied()
    metadata = [(n.lower(), v) for n, v in request.headers if n.lower().startswith("x-amz-meta-")]
    size = sum(len(name) - len("x-amz-meta-") + len(value) for name, value in metadata)
    if size > METADATA_LIMIT:
        message = "Your metadata headers exceed the maximum allowed metadata size"
        raise S3Error(400, "MetadataTooLarge", message, Size=str(size), MaxSizeAllowed=str(METADATA_LIMIT))
    dialect.check_metadata([value for _, value in metadata])


def check_part_headers(request: Request) -> None:
    """Refuses what UploadPart does not take: a part has what its upload has (API_UploadPart)."""
    for name, _ in request.headers:
        if NOT_ON_A_PART.fullmatch(name.lower()):
            message = f"{name.lower()} header is not supported for this operation."
            raise S3Error(400, "InvalidArgument", message)


def read_object(stored: StoredObject, request: Request, part: str | None = None) -> Answer:
    """Answers GetObject and HeadObject: conditions first, then the range (RFC 9110 sections 13.2.2 and
    14.2).

    `part` is the query's `partNumber`: "a ranged GET request for the part specified" (API_GetObject).
    """
    if part is not None and request.header("range") is not None:
        raise S3Error(
            400, "InvalidRequest", "Cannot specify both Range header and partNumber query parameter"
        )
    validators = [("etag", stored.etag), ("last-modified", format_datetime(stored.modified, usegmt=True))]
    if _not_modified(stored, request):
        return Answer(HTTPStatus.NOT_MODIFIED, validators)
    headers = [*validators, ("accept-ranges", "bytes"), *stored.headers]
    span = _range(request.header("range"), len(stored.body)) if part is None else _part(stored, part)
    if part is not None and stored.parts:
        headers.append(("x-amz-mp-parts-count", str(len(stored.parts))))
    if span is None:
        return Answer(HTTPStatus.OK, headers, stored.body)
    first, last = span
    headers.append(("content-range", f"bytes {first}-{last}/{len(stored.body)}"))
    return Answer(HTTPStatus.PARTIAL_CONTENT, headers, stored.body[first : last + 1])


def _is_stored(name: str) -> bool:
    return name in STORED_HEADERS or name.startswith("x-amz-meta-")


def _not_modified(stored: StoredObject, request: Request) -> bool:
    if_match, if_none_match = request.header("if-match"), request.header("if-none-match")
    if if_match is not None and if_match != "*" and _unquoted(if_match) != _unquoted(stored.etag):
        raise precondition_failed("If-Match")
    unmodified_since = request.header("if-unmodified-since")
    if (
        if_match is None
        and unmodified_since
        and stored.modified > (_date(unmodified_since) or stored.modified)
    ):
        raise precondition_failed("If-Unmodified-Since")
    if if_none_match is not None:
        listed = map(_unquoted, re.split(r"\s*,\s*", if_none_match))
        return if_none_match == "*" or _unquoted(stored.etag) in listed
    modified_since = _date(request.header("if-modified-since") or "")
    return modified_since is not None and stored.modified <= modified_since


def _unquoted(etag: str) -> str:
    """Returns an ETag as the AWS SDK for Java v1 sends it in a condition; stores take that, too.

    MinIO: `canonicalizeETag` in cmd/object-handlers-common.go.
    """
    return etag.strip('"')


def _date(value: str) -> datetime | None:
    """Reads a date; None if it is none, which servers ignore (RFC 9110 section 13.1.3)."""
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def _part(stored: StoredObject, number: str) -> tuple[int, int] | None:
    """Finds the first and last byte of a part; None if it is empty. A small object is its own part 1."""
    if not number.isdigit() or not 1 <= int(number) <= MAX_PART_NUMBER:
        raise S3Error(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
    lengths, index = stored.parts or (len(stored.body),), int(number) - 1
    if index >= len(lengths):
        raise S3Error(416, "InvalidPartNumber", "The requested partnumber is not satisfiable")
    start = sum(lengths[:index])
    return (start, start + lengths[index] - 1) if lengths[index] else None


def _range(wanted: str | None, size: int) -> tuple[int, int] | None:
    """Returns first and last byte of a single range; None for no range or one that S3 ignores."""
    parsed = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if parsed is None or parsed.groups() == ("", ""):
        return None
    first, last = parsed.groups()
    if first and last and int(first) > int(last):
        return None  # RFC 9110 section 14.1.1: it is invalid, and S3 ignores it.
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        message = "The requested range is not satisfiable"
        raise S3Error(416, "InvalidRange", message, ActualObjectSize=str(size))
    return start, end
