"""Signature Version 4 for a request to S3, by botocore: a look into a bucket without the stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str
    session_token: str = ""


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    region: str,
) -> dict[str, str]:
    """Returns all headers of the request: the given ones, and those that authenticate it."""
    # Not above: the containers of `make compose-test` use the strict bucket, and have no botocore.
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Keys

    request = AWSRequest(method, url, dict(headers), body)
    keys = Keys(credentials.access_key, credentials.secret_key, credentials.session_token or None)
    S3SigV4Auth(keys, "s3", region).add_auth(request)
    return dict(request.headers.items())
