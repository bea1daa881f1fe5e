"""The answers that a client may get, under any fault."""

from __future__ import annotations

from e2e.client import Answer

from .plan import Thing, Visit, Ways

REDIRECTS = ("stored", "exists")

ALWAYS = {(503, "busy"), (503, "filling"), (504, "origin_timeout")}
"""Outcomes that a busy machine alone may cause."""

FAILURES = {
    (502, "origin_refused"),
    (502, "origin_unavailable"),
    (502, "not_stored"),
    (503, "bucket_unavailable"),
}
"""Outcomes that a fault causes."""

TOO_LARGE = (502, "too_large")
"""An outcome that no cut answer causes: that is a failure, and may pass."""

UNTOUCHED = ("broken", "bucket_error", "forbidden", "loop", "not_the_bucket")
"""Outcomes that leave the bucket's answer as it is.

Clients see the other names than `loop` and `broken` only where its document was too long to be kept.
"""


def objection(visit: Visit, answer: Answer, ways: Ways) -> str | None:
    """Returns the objection to an answer; None if it is allowed."""
    thing, got = visit.thing, (answer.status, answer.outcome)
    if answer.status in (200, 206):
        return "the bucket denies this object" if thing.is_denied else _wrong_content(visit, answer)
    if answer.status == 302:
        return _wrong_redirect(thing, answer, ways)
    if got == (404, "not_found"):
        if thing.is_in_doubt:
            return "not found, but the dead origin may have it"
        return "not found, but the origin has it" if thing.content is not None else None
    if got == (502, "origin_unavailable") and thing.is_in_doubt:
        return None
    if got in ALWAYS or (got in FAILURES and not thing.is_calm):
        return None
    if got == TOO_LARGE and thing.may_be_too_large:
        return None
    if answer.outcome in (None, *UNTOUCHED) and _is_the_buckets(thing, answer, ways):
        return None
    return "nothing brings this about"


def _is_the_buckets(thing: Thing, answer: Answer, ways: Ways) -> bool:
    """Tells if the bucket's own answer may stand, or Envoy's where the bucket gave none."""
    missing = 404 if ways.reader_lists else 403
    if thing.reads or (thing.may_be_lost(ways) and answer.status == missing):
        return True
    # Without the right to list a missing object is a 403, which such a rule leaves as it is.
    is_ignored = thing.family == "guarded" and not ways.reader_lists
    return answer.status == 403 and (thing.is_denied or is_ignored)


def _wrong_content(visit: Visit, answer: Answer) -> str | None:
    if not visit.thing.contents:
        return "nobody has this object"
    if visit.method == "HEAD":
        length = int(answer.header("content-length") or 0)
        right = visit.span is not None or length in map(len, visit.thing.contents)
        return f"{len(answer.body)} bytes of {length} for a HEAD" if answer.body or not right else None
    first, last = visit.span if visit.span and answer.status == 206 else (0, None)
    wanted = [each[first : None if last is None else last + 1] for each in visit.thing.contents]
    return None if answer.body in wanted else f"{len(answer.body)} wrong bytes"


def _wrong_redirect(thing: Thing, answer: Answer, ways: Ways) -> str | None:
    if answer.outcome not in (*REDIRECTS, "streamed"):
        return "a redirect that is not ours"
    if answer.outcome == "streamed" and thing.is_denied:
        return "the bucket denies this object"
    if answer.header("location") != (thing.stream if answer.outcome == "streamed" else thing.path):
        return f"a redirect to {answer.header('location')}"
    if answer.header("cache-control") != "no-store" or answer.body:
        return "a redirect that could be kept, or with a body"
    return None if thing.contents or thing.may_be_lost(ways) else "a redirect to what nobody has"
