"""A bucket as its owner sees it, without the stack: what is in it, and what was left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from stack.sigv4 import Credentials
from stack.store import Answer, S3Store

DELETED_AT_ONCE = 20
"""Rounds of a removal, each a listing: a server may list what it has deleted, for ever."""


@dataclass(frozen=True)
class Bucket:
    store: S3Store
    owner: Credentials

    def ask(
        self,
        method: str,
        key: str = "",
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
        **headers: str,
    ) -> Answer:
        return self.store.request(method, key, self.owner, query=query, headers=headers, body=body)

    def put(self, key: str, body: bytes) -> None:
        status, _, said = self.ask("PUT", key, body)
        if status != 200:
            raise AssertionError(f"the owner's PUT of {key!r} is {status} {code_of(said)}")

    def get(self, key: str) -> bytes | None:
        status, _, body = self.ask("GET", key)
        return body if status == 200 else None

    def upload(self, key: str, *parts: bytes, **headers: str) -> Answer:
        """Uploads in parts. The headers are those of its completion."""
        _, _, created = self.ask("POST", key, query={"uploads": ""})
        upload = ElementTree.fromstring(created).findtext("{*}UploadId") or ""
        listed = ""
        for number, part in enumerate(parts, 1):
            _, given, _ = self.ask("PUT", key, part, {"partNumber": str(number), "uploadId": upload})
            listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{given['etag']}</ETag></Part>"
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        answer = self.ask("POST", key, document, {"uploadId": upload}, **headers)
        if answer[0] != 200:
            self.ask("DELETE", key, query={"uploadId": upload})
        return answer

    def uploads(self, prefix: str) -> list[tuple[str, str]]:
        """Lists the key and the number of each upload that was begun and did not end."""
        status, _, body = self.ask("GET", query={"uploads": "", "prefix": prefix})
        if status != 200:
            raise AssertionError(f"its uploads cannot be listed: {status} {code_of(body)}")
        found = ElementTree.fromstring(body).iterfind("{*}Upload")
        both = ((each.findtext("{*}Key") or "", each.findtext("{*}UploadId") or "") for each in found)
        return [(key, upload) for key, upload in both if key.startswith(prefix)]

    def remove(self, prefix: str) -> list[str]:
        """Removes all objects, versions and uploads below a prefix. Returns the keys that are left.

        AssertionError if they cannot be listed.
        """
        try:
            for key, upload in self.uploads(prefix):
                self.ask("DELETE", key, query={"uploadId": upload})
        except (AssertionError, ElementTree.ParseError):
            pass  # It lists no uploads.
        for _ in range(DELETED_AT_ONCE):
            found = [*self._versions(prefix), *((key, "") for key in self._keys(prefix))]
            for key, version in found:
                self.ask("DELETE", key, query={"versionId": version} if version else None)
            if not found:
                break
        return [key for key, _ in found]

    def _keys(self, prefix: str) -> list[str]:
        status, _, body = self.ask("GET", query={"list-type": "2", "prefix": prefix})
        if status != 200:
            raise AssertionError(f"its objects cannot be listed: {status} {code_of(body)}")
        return [key for key, _ in _listed(body, "Contents") if key.startswith(prefix)]

    def _versions(self, prefix: str) -> list[tuple[str, str]]:
        status, _, body = self.ask("GET", query={"versions": "", "prefix": prefix})
        if status != 200:
            return []
        found = [*_listed(body, "Version"), *_listed(body, "DeleteMarker")]
        return [(key, version) for key, version in found if key.startswith(prefix) and version]


def _listed(body: bytes, element: str) -> Iterator[tuple[str, str]]:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return
    for each in root.iterfind(f"{{*}}{element}"):
        yield each.findtext("{*}Key") or "", each.findtext("{*}VersionId") or ""


def code_of(document: bytes) -> str:
    """Returns the code of an error document."""
    try:
        return ElementTree.fromstring(document).findtext("{*}Code") or "without a code"
    except ElementTree.ParseError:
        return "without a document"
