"""The S3 operation of a request, by the names of the Amazon S3 API Reference."""

from __future__ import annotations

from urllib.parse import unquote_plus

from ..wire import Request

MULTIPART_OPERATIONS = {
    ("DELETE", frozenset({"uploadId"})): "AbortMultipartUpload",
    ("POST", frozenset({"uploadId"})): "CompleteMultipartUpload",
    ("POST", frozenset({"uploads"})): "CreateMultipartUpload",
    ("PUT", frozenset({"partNumber", "uploadId"})): "UploadPart",
}

SUBRESOURCE_NAMES = """
accelerate acl analytics attributes cors delete encryption intelligent-tiering inventory legal-hold lifecycle
location logging metadataTable metrics notification object-lock ownershipControls partNumber policy
policyStatus publicAccessBlock renameObject replication requestPayment restore retention select session
tagging torrent uploadId uploads versionId versioning versions website
"""
SUBRESOURCES = frozenset(SUBRESOURCE_NAMES.split())
"""Query names that make a request another operation. S3 ignores a name that it does not know."""


def operation_of(request: Request, key: str) -> str:
    """Returns the operation's name. For one that no client may use here, it is the request's form (`GET
    ?acl`).
    """
    names = frozenset(query_of(request)) & SUBRESOURCES
    if request.header("x-amz-copy-source") is not None:
        return "CopyObject"
    if not key and request.method == "GET" and names <= {"uploads"}:
        return "ListMultipartUploads" if names else "ListObjects"
    if names == {"partNumber"} and request.method in ("GET", "HEAD"):
        names = frozenset()
    if names:
        asked = f"{request.method} ?{'&'.join(sorted(names))}"
        return MULTIPART_OPERATIONS.get((request.method, names), asked) if key else asked
    return f"{request.method.capitalize()}{'Object' if key else 'Bucket'}"


def query_of(request: Request) -> dict[str, str]:
    pairs = (parameter.partition("=") for parameter in request.query.split("&"))
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}
