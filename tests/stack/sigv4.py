"""Signature Version 4 for a request to S3, so that a test can look into a bucket without the stack.

After "Authenticating Requests: Using the Authorization Header" in the Amazon S3 API Reference.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import quote

UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str
    session_token: str = ""


def encode(text: str, safe: str = "") -> str:
    """Encodes a text by AWS's UriEncode: every byte that is not unreserved becomes an upper-case percent
    escape.
    """
    return quote(text, safe="-._~" + safe)


def query_string(query: Mapping[str, str]) -> str:
    """Returns the canonical form, which is also the form that must be sent."""
    return "&".join(f"{encode(name)}={encode(query[name])}" for name in sorted(query))


def sign(
    method: str, path: str, query: str, headers: Mapping[str, str], credentials: Credentials, region: str
) -> dict[str, str]:
    """Returns all headers of the request: the given ones, host among them, and those that authenticate it."""
    timestamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {name.lower(): value.strip() for name, value in headers.items()}
    headers.update({"x-amz-content-sha256": UNSIGNED, "x-amz-date": timestamp})
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(headers))
    canonical_headers = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join([method, path, query, canonical_headers, names, UNSIGNED])

    scope = [timestamp[:8], region, "s3", "aws4_request"]
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope:
        key = _hmac(key, part)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", timestamp, "/".join(scope), digest])
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{'/'.join(scope)}, "
        f"SignedHeaders={names}, Signature={_hmac(key, to_sign).hex()}"
    )
    return headers


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
