"""What a store is asked without the edge, since its settings follow from it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from http.client import HTTPException
from urllib.parse import quote
from xml.etree import ElementTree

from stack.sigv4 import sign

from . import verdict
from .bucket import Bucket, code_of
from .trial import Target

PART = bytes(5 << 20)
"""The smallest that S3 takes before the last one."""

Facts = dict[str, str]
"""By its name, "yes" or what it says instead. A fact that could not be seen is not there."""


def ask(target: Target, prefix: str) -> Facts:
    """Asks everything."""
    facts: Facts = {}
    for name, question in QUESTIONS.items():
        try:
            facts[name] = question(target, f"{prefix}facts/{secrets.token_hex(4)}")
        except (OSError, HTTPException, ElementTree.ParseError, AssertionError) as error:
            facts[name] = f"{type(error).__name__}: {error}"
    return facts


def _of_a_put(target: Target, key: str) -> str:
    bucket = target.bucket()
    status, _, said = bucket.ask("PUT", key, b"first", **target.new)
    if status != 200:
        return f"{status} {code_of(said)} to a new key"
    status, _, said = bucket.ask("PUT", key, b"second", **target.new)
    return _kept(bucket, key, b"first", status, said)


def _of_a_completion(target: Target, key: str) -> str:
    bucket = target.bucket()
    status, _, said = bucket.upload(key, b"first", **target.new)
    if status != 200:
        return f"{status} {code_of(said)} to a new key"
    status, _, said = bucket.upload(key, b"second", **target.new)
    return _kept(bucket, key, b"first", status, said)


def _kept(bucket: Bucket, key: str, body: bytes, status: int, said: bytes) -> str:
    if bucket.get(key) != body:
        return f"ignored: {status}, and the object is overwritten"
    return "yes" if status in (409, 412) else f"{status} {code_of(said)}, and the object stays"


def _of_other_spellings(target: Target, key: str) -> str:
    """Asks for keys that AWS keeps apart."""
    bucket = target.bucket()
    merged = []
    for name, plain in (("a//b", "a/b"), ("c\\d", "c/d"), ("e/", "e")):
        one, other = f"{key}/{name}", f"{key}/{plain}"
        status, _, _ = bucket.ask("PUT", one, b"of this spelling alone")
        if status != 200:
            merged.append(f"{status} for `{name}`")
        elif bucket.get(other) is not None:
            merged.append(f"`{name}` is `{plain}`")
        elif bucket.get(one) != b"of this spelling alone":
            merged.append(f"`{name}` is lost")
        bucket.ask("DELETE", one)
    return ", ".join(merged) or "yes"


def _of_a_prefix(target: Target, key: str) -> str:
    """Asks for a key that is a directory's name."""
    bucket = target.bucket()
    bucket.put(f"{key}/a/b", b"inner")
    status, _, said = bucket.ask("PUT", f"{key}/a", b"outer")
    if status != 200:
        return f"{status} {code_of(said)}"
    both = bucket.get(f"{key}/a/b"), bucket.get(f"{key}/a")
    return "yes" if both == (b"inner", b"outer") else "one of the two is lost"


def _of_part_numbers(target: Target, key: str) -> str:
    bucket = target.bucket()
    status, _, said = bucket.upload(key, PART, b"second")
    if status != 200:
        return f"{status} {code_of(said)} to a completion"
    status, headers, body = bucket.ask("GET", key, query={"partNumber": "2"})
    if (status, body) != (206, b"second"):
        return f"{status} with {len(body)} bytes"
    return "yes" if headers["x-amz-mp-parts-count"] == "2" else "206 without `x-amz-mp-parts-count`"


def _of_a_missing_key(target: Target, key: str) -> str:
    bucket = target.bucket()
    status, _, said = bucket.ask("GET", key)
    head = bucket.ask("HEAD", key)[0]
    code = code_of(said)
    return "yes" if (status, code, head) == (404, "NoSuchKey", 404) else f"{status} {code}, HEAD {head}"


def _of_a_missing_key_without_rights(target: Target, key: str) -> str:
    if target.blind is None:
        return "- no such identity here"
    status, _, said = target.store.request("GET", key, target.blind)
    return "yes" if status == 404 else f"{status} {code_of(said)}"


def _of_delete_marker(target: Target, key: str) -> str:
    if target.versioned is None:
        return "- no bucket with versioning here"
    bucket = target.bucket(target.versioned)
    bucket.put(key, b"to be deleted")
    bucket.ask("DELETE", key)
    status, headers, _ = bucket.ask("GET", key)
    head = bucket.ask("HEAD", key)[1]
    if headers["x-amz-delete-marker"] == "true":
        return "yes"
    return "on HEAD alone" if head["x-amz-delete-marker"] == "true" else f"{status} without the header"


def _of_the_host(target: Target, key: str) -> str:
    """Asks for an object with the bucket in the host."""
    if target.domain is None:
        return "- its address has no subdomains here"
    bucket = target.bucket()
    bucket.put(key, b"by its host")
    store = target.store
    host = f"{store.bucket}.{target.domain}:{store.host.partition(':')[2]}"
    path = f"/{quote(key)}"
    signed = sign("GET", f"http://{host}{path}", {"host": host}, b"", target.owner, store.region)
    status, _, body = store.send("GET", path, signed)
    return "yes" if body == b"by its host" else f"{status} {code_of(body)}"


QUESTIONS: dict[str, Callable[[Target, str], str]] = {
    verdict.PUT: _of_a_put,
    verdict.COMPLETE: _of_a_completion,
    verdict.MISSING: _of_a_missing_key,
    verdict.BLIND: _of_a_missing_key_without_rights,
    verdict.SPELLINGS: _of_other_spellings,
    verdict.DIRECTORIES: _of_a_prefix,
    verdict.PARTS: _of_part_numbers,
    verdict.MARKERS: _of_delete_marker,
    verdict.HOST: _of_the_host,
}
