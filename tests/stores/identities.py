"""Checks with an edge and a signer of their own: other credentials, another bucket, or another host."""

from __future__ import annotations

import secrets
from dataclasses import replace

from stack.sigv4 import Credentials

from .trial import Trial, must, told

BODY = b"an object that the origin has\n"


def blind_reader(trial: Trial) -> str | None:
    """Reads as a reader without s3:ListBucket."""
    if trial.target.blind is None:
        return "no such identity here"
    with trial.running(trial.target.with_(reader=trial.target.blind)) as blind:
        blind.stores(blind.offer("a", BODY), BODY)
        missing = blind.reads(blind.key("missing"))
        must(missing.status == 404, f"a GET of what no origin has is {told(missing)}")
    return None


def powerless_writer(trial: Trial) -> str | None:
    """Has a signer that may not write: the client gets the object."""
    if trial.target.reading is None:
        return "no such identity here"
    with trial.running(trial.target.with_(writer=trial.target.reading)) as powerless:
        key = powerless.offer("a", BODY)
        answer = powerless.has(key, BODY)
        must(answer.outcome == "not_stored", f"a GET is {told(answer)}")
        must(powerless.bucket.get(key) is None, "an object is stored all the same")
    return None


def wrong_reader(trial: Trial) -> None:
    """Has an edge with a secret that is wrong: the bucket's answer stands."""
    reader = replace(trial.target.owner, secret_key="w" * 40)
    with trial.running(trial.target.with_(reader=reader)) as wrong:
        _is_refused(wrong, "the secret")
    with trial.running(trial.target.with_(reader=Credentials("unknown" * 3, "w" * 40))) as wrong:
        _is_refused(wrong, "the key")


def no_such_bucket(trial: Trial) -> None:
    store = trial.target.with_(bucket=f"no-such-{secrets.token_hex(8)}")
    with trial.running(store) as nowhere:
        key = nowhere.offer("a", BODY)
        answer = nowhere.asks(key)
        must(answer.status in (403, 404), f"a GET is {told(answer)}")
        must(not nowhere.fetched(key), f"the origin is asked: {told(answer)}")


def deleted(trial: Trial) -> str | None:
    """Deletes an object of a bucket with versioning: it does not come back."""
    if trial.target.versioned is None:
        return "no bucket with versioning here"
    with trial.running(trial.target.with_(bucket=trial.target.versioned)) as versioned:
        # Not by a fill: what was stored a moment ago is not fetched again in any case.
        key = versioned.offer("a", BODY)
        versioned.bucket.put(key, BODY)
        versioned.has(key, BODY)
        versioned.bucket.ask("DELETE", key)
        answer = versioned.reads(key)
        must((answer.status, answer.outcome) == (404, "deleted"), f"a deleted object is {told(answer)}")
    return None


def virtual_hosted(trial: Trial) -> str | None:
    """Has edge and signer name the bucket in the host, as `ADDRESSING_STYLE=virtual` does."""
    if trial.target.domain is None:
        return "its address has no subdomains here"
    port = trial.target.store.host.partition(":")[2]
    store = trial.target.with_(url=f"http://{trial.target.domain}:{port}")
    with trial.running(store, {"bucket": {"path_prefix": ""}}) as named:
        named = replace(named, bucket=trial.bucket)
        named.stores(named.offer("a b", BODY), BODY)
    return None


def _is_refused(trial: Trial, what: str) -> None:
    key = trial.offer(f"a-{secrets.token_hex(2)}", BODY)
    answer = trial.asks(key)
    must(answer.status == 403, f"{what} is wrong, and a GET is {told(answer)}")
    must(not trial.fetched(key), f"{what} is wrong, and the origin is asked: {told(answer)}")
