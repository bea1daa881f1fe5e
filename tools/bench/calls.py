"""The calls of a small fill, for clients that make them as src/origin and src/s3 do."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from stack.render import CHECKOUT

from .edges import BUCKET_HOST, FETCH_HOST
from .large import PART_SIZE
from .native import Call
from .site import Site

VERSION = re.compile(r'^version = "(.+)"$', re.MULTILINE)
USER_AGENT = f"mirror-on-miss/{VERSION.findall((CHECKOUT / 'Cargo.toml').read_text())[0]}"

ANSWERS = [404, 206, 200]
"""The statuses of their answers. The part that is asked for holds the whole object."""


def calls_of_fill(here: Site, key: str, size: int | Literal["{size}"]) -> list[Call]:
    """Returns the bucket's 404 and the GET from the origin, through the edge, and the PUT to the signer."""
    ranged = {"accept-encoding": "identity", "range": f"bytes=0-{PART_SIZE - 1}", "user-agent": USER_AGENT}
    stored = {
        "if-none-match": "*",
        "content-type": "image/jpeg",
        "x-amz-meta-mirror-last-modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "x-amz-meta-mirror-etag": '"1"',
        "x-amz-meta-mirror-url": f"//{urlsplit(here.upstream.origin).netloc}/{key}",
    }
    return [
        call_of_bucket(here, key),
        Call(f"{here.stack.url}/{key}", headers={"host": FETCH_HOST, **ranged}),
        Call(f"{here.stack.signer.url}/{here.store.bucket}/{key}", "PUT", stored, size),
    ]


def call_of_bucket(here: Site, key: str) -> Call:
    """Returns the GET of a key from the bucket, through the edge, without the filter."""
    return Call(f"{here.objects}/{key}", headers={"host": BUCKET_HOST})
