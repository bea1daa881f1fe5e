"""Multipart uploads as in S3, see "Multipart upload" in the S3 User Guide."""

from __future__ import annotations

import hashlib
import uuid
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

from .errors import S3Error
from .objects import MAX_PART_NUMBER, StoredObject, new_object

MIN_PART_SIZE = 5 << 20
"""Bytes that every part but the last must have, else EntityTooSmall."""


@dataclass(frozen=True)
class Part:
    """One part, as it was put."""

    etag: str
    size: int
    body: bytes = field(repr=False)


@dataclass
class Upload:
    """An upload in progress: its key, the headers it was created with and its parts by number."""

    key: str
    headers: list[tuple[str, str]]
    parts: dict[int, Part] = field(default_factory=dict, repr=False)


class Uploads:
    """All uploads of a bucket that are neither completed nor aborted."""

    def __init__(self, keeps_parts: bool = True) -> None:
        self._keeps_parts = keeps_parts
        self._open: dict[str, Upload] = {}

    def create(self, key: str, headers: list[tuple[str, str]]) -> str:
        upload_id = uuid.uuid4().hex
        self._open[upload_id] = Upload(key, headers)
        return upload_id

    def put_part(self, upload_id: str, key: str, number: str, body: bytes) -> str:
        """Stores a part, replacing one of the same number, and returns its ETag."""
        parts = self._find(upload_id, key).parts
        if not number.isdigit() or not 1 <= int(number) <= MAX_PART_NUMBER:
            raise S3Error(400, "InvalidArgument", "Part number must be between 1 and 10000")
        part = Part(_etag(body), len(body), body if self._keeps_parts else b"")
        parts[int(number)] = part
        return part.etag

    def complete(self, upload_id: str, key: str, document: bytes) -> StoredObject:
        """Makes the object of the listed parts. The upload is gone afterwards, but not after an error."""
        upload = self._find(upload_id, key)
        listed = _part_list(document)
        numbers = [number for number, _ in listed]
        if numbers != sorted(set(numbers)):
            raise S3Error(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
        for number, etag in listed:
            if number not in upload.parts or upload.parts[number].etag.strip('"') != etag.strip('"'):
                message = "One or more of the specified parts could not be found."
                raise S3Error(400, "InvalidPart", message, PartNumber=str(number))
        parts = [upload.parts[number] for number in numbers]
        if any(part.size < MIN_PART_SIZE for part in parts[:-1]):
            raise S3Error(400, "EntityTooSmall", "A part but the last is too small")
        digests = hashlib.md5(b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)).hexdigest()
        del self._open[upload_id]
        body = b"".join(part.body for part in parts)
        sizes = tuple(part.size for part in parts)
        return new_object(body, upload.headers, etag=f'"{digests}-{len(parts)}"', parts=sizes)

    def abort(self, upload_id: str, key: str) -> None:
        self._find(upload_id, key)
        del self._open[upload_id]

    def end_all_of(self, key: str) -> None:
        self._open = {name: upload for name, upload in self._open.items() if upload.key != key}

    def open(self) -> list[tuple[str, str]]:
        """Lists key and id of each, as ListMultipartUploads does: the remains of an incomplete fill."""
        return sorted((upload.key, upload_id) for upload_id, upload in self._open.items())

    def _find(self, upload_id: str, key: str) -> Upload:
        upload = self._open.get(upload_id)
        if upload is None or upload.key != key:
            message = "The specified upload does not exist. The upload ID may be invalid."
            raise S3Error(404, "NoSuchUpload", message, UploadId=upload_id)
        return upload


def _part_list(document: bytes) -> list[tuple[int, str]]:
    try:
        root = ElementTree.fromstring(document)
        parts = root.findall("{*}Part")
        listed = [(int(part.findtext("{*}PartNumber")), part.findtext("{*}ETag") or "") for part in parts]
    except (ElementTree.ParseError, TypeError, ValueError):
        listed = []
    if not listed:
        raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed.")
    return listed


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'
