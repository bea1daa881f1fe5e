"""The bucket's answers, and their form on the wire."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import format_datetime
from http import HTTPStatus
from xml.sax.saxutils import escape

from .errors import S3Error

XML = ("content-type", "application/xml")
CHUNKED = ("transfer-encoding", "chunked")


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of one answer."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = field(default=b"", repr=False)


def document(root: str, inner: str = "", **fields: str) -> Answer:
    """Makes a result document: an element per field, then `inner` as it is."""
    elements = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{namespace}">{elements}{inner}</{root}>'
    return Answer(HTTPStatus.OK, [XML], text.encode())


def slow_document(root: str, **fields: str) -> Answer:
    """Makes the document of CompleteMultipartUpload, before which S3 sends white space."""
    answer = document(root, **fields)
    declaration, line, rest = answer.body.partition(b"\n")
    return Answer(answer.status, [XML, CHUNKED], declaration + line + b"\n" * 3 + rest)


def error_answer(error: S3Error) -> Answer:
    """Makes an error answer. AWS sends its error documents chunked, so a client cannot know their length."""
    fields = {"Code": error.code, "Message": error.message, **error.details, "RequestId": _request_id()}
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
    return Answer(error.status, [XML, CHUNKED, *error.headers], text.encode("utf-8", "replace"))


def serialize(answer: Answer, head: bool) -> bytes:
    headers = [
        ("x-amz-id-2", secrets.token_urlsafe(24)),
        ("x-amz-request-id", _request_id()),
        ("date", format_datetime(datetime.now(timezone.utc), usegmt=True)),
        ("server", "AmazonS3"),
        *answer.headers,
    ]
    body = answer.body
    if CHUNKED in answer.headers:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    elif answer.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        headers.append(("content-length", str(len(body))))
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {_one_line(value)}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (b"" if head else body)


def _request_id() -> str:
    return secrets.token_hex(8).upper()


def _one_line(value: str) -> str:
    return re.sub(r"[\r\n]", " ", value)
