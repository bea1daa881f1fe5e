"""Signature Version 4 as S3 verifies it, with none of the leniency of the servers that imitate S3.

Written from "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API Reference. The canonical
request is built from the *decoded* request, so a client that signs one spelling of a path and sends another
fails here as it does on AWS, unless what it signed was canonical.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, unquote_to_bytes

from ..wire import Request
from .errors import S3Error, access_denied

CLOCK_SKEW = timedelta(minutes=15)
"""The greatest difference of `x-amz-date` before AWS answers RequestTimeTooSkewed."""

UNRESERVED = "-._~"
"""The characters beside letters and digits that UriEncode leaves bare; `quote` itself never encodes these."""

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request,\s*"
    r"SignedHeaders=([a-z0-9;._-]+),\s*Signature=([0-9a-f]{64})"
)


def verify(request: Request, secrets: Mapping[str, str], region: str, now: datetime) -> str:
    """Returns the access key that signed the request. Raises the S3Error that AWS would answer with."""
    authorization = request.header("authorization")
    if authorization is None:
        raise access_denied()
    parsed = AUTHORIZATION.fullmatch(authorization)
    if parsed is None:
        raise _malformed("The authorization header is malformed.")
    access_key, date, scope_region, service, signed, signature = parsed.groups()
    if access_key not in secrets:
        message = "The AWS Access Key Id you provided does not exist in our records."
        raise S3Error(403, "InvalidAccessKeyId", message, AWSAccessKeyId=access_key)
    if scope_region != region:
        raise _malformed(f"the region '{scope_region}' is wrong; expecting '{region}'", Region=region)
    if service != "s3":
        raise _malformed(f"incorrect service '{service}'. This endpoint belongs to 's3'.")
    timestamp = _check_date(request, date, now)
    signed_headers = signed.split(";")
    _check_signed_headers(request, signed_headers)
    _check_payload(request)

    canonical = canonical_request(request, signed_headers)
    scope = f"{date}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    string_to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"
    expected = _signature(secrets[access_key], date, region, string_to_sign)
    if not hmac.compare_digest(expected, signature):
        message = "The request signature we calculated does not match the signature you provided."
        details = {"StringToSign": string_to_sign, "CanonicalRequest": canonical}
        raise S3Error(403, "SignatureDoesNotMatch", message, **details)
    return access_key


def canonical_request(request: Request, signed_headers: list[str]) -> str:
    headers = "".join(f"{name}:{_canonical_value(request, name)}\n" for name in signed_headers)
    payload = request.header("x-amz-content-sha256") or ""
    parts = [request.method, uri_encode(decode(request.path), keep="/"), _canonical_query(request.query)]
    return "\n".join([*parts, headers, ";".join(signed_headers), payload])


def decode(text: str) -> bytes:
    """Decodes a path or a part of a query. AWS reads a raw `+` as a space, in paths too."""
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1"))


def uri_encode(value: bytes, keep: str = "") -> str:
    return quote(value, safe=UNRESERVED + keep)


def _canonical_query(query: str) -> str:
    """Decodes every name and value, encodes them again and sorts by name; a name alone gets an empty
    value.
    """
    pairs = (parameter.partition("=") for parameter in query.split("&") if parameter)
    encoded = sorted((uri_encode(decode(name)), uri_encode(decode(value))) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _canonical_value(request: Request, name: str) -> str:
    """Joins a header's values in order, each trimmed and with runs of spaces made one."""
    values = (value for known, value in request.headers if known.lower() == name)
    return ",".join(re.sub(" +", " ", value.strip()) for value in values)


def _check_date(request: Request, scope_date: str, now: datetime) -> str:
    timestamp = request.header("x-amz-date") or ""
    try:
        sent = datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise access_denied("AWS authentication requires a valid Date or x-amz-date header") from None
    if timestamp[:8] != scope_date:
        raise _malformed(f"Invalid credential date '{scope_date}'. This date is not the same as X-Amz-Date.")
    if abs(now - sent) > CLOCK_SKEW:
        message = "The difference between the request time and the current time is too large."
        raise S3Error(403, "RequestTimeTooSkewed", message, RequestTime=timestamp)
    return timestamp


def _check_signed_headers(request: Request, signed: list[str]) -> None:
    if signed != sorted(set(signed)):
        raise _malformed("SignedHeaders is not sorted.")
    if "host" not in signed:
        raise _malformed("'host' must be a 'SignedHeader' in the AWS Authorization.")
    sent = {name.lower() for name, _ in request.headers}
    unsigned = sorted(name for name in sent if name.startswith("x-amz-") and name not in signed)
    if unsigned:
        message = "There were headers present in the request which were not signed"
        raise access_denied(message, HeadersNotSigned=", ".join(unsigned))


def _check_payload(request: Request) -> None:
    announced = request.header("x-amz-content-sha256")
    if announced is None:
        message = "Missing required header for this request: x-amz-content-sha256"
        raise S3Error(400, "InvalidRequest", message)
    if announced == "UNSIGNED-PAYLOAD":
        return
    if re.fullmatch("[0-9a-f]{64}", announced) is None:
        message = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value."
        raise S3Error(400, "InvalidArgument", message)
    if hashlib.sha256(request.body).hexdigest() != announced:
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise S3Error(400, "XAmzContentSHA256Mismatch", message)


def _signature(secret: str, date: str, region: str, string_to_sign: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, string_to_sign.encode(), hashlib.sha256).hexdigest()


def _malformed(message: str, **details: str) -> S3Error:
    return S3Error(400, "AuthorizationHeaderMalformed", message, **details)
