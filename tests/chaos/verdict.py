"""The answers that a client may get, under any fault."""

from __future__ import annotations

from e2e.client import Answer

from .plan import Thing, Visit

REDIRECTS = ("stored", "exists")

ALWAYS = {(503, "busy"), (503, "filling"), (504, "origin_timeout")}
"""Outcomes that a busy machine alone may cause."""

FAILURES = {
    (502, "origin_refused"),
    (502, "origin_unavailable"),
    (502, "not_stored"),
    (502, "too_large"),
    (503, "bucket_unavailable"),
}
"""Outcomes that a fault causes."""

UNTOUCHED = ("broken", "bucket_error", "forbidden", "loop", "not_the_bucket")
"""Outcomes that leave the bucket's answer as it is.

Clients see their names only where its document was too long to be kept.
"""


def objection(visit: Visit, answer: Answer) -> str | None:
    """Returns the objection to an answer; None if it is allowed."""
    thing, got = visit.thing, (answer.status, answer.outcome)
    if answer.status in (200, 206):
        return _wrong_content(visit, answer)
    if answer.status == 302:
        return _wrong_redirect(thing, answer)
    if got == (404, "not_found"):
        if thing.is_in_doubt:
            return "not found, but the dead origin may have it"
        return "not found, but the origin has it" if thing.content is not None else None
    if got == (502, "origin_unavailable") and thing.is_in_doubt:
        return None
    if got in ALWAYS or (got in FAILURES and not thing.is_calm):
        return None
    if answer.outcome in (None, *UNTOUCHED) and (thing.reads or (thing.may_be_lost and answer.status == 404)):
        return None  # the bucket's own answer, or Envoy's where the bucket gave none
    return "nothing brings this about"


def _wrong_content(visit: Visit, answer: Answer) -> str | None:
    content = visit.thing.content
    if content is None:
        return "nobody has this object"
    expected = content
    if answer.status == 206:
        assert visit.span is not None
        expected = content[visit.span[0] : visit.span[1] + 1]
    if visit.method == "HEAD":
        expected = b""
    return None if answer.body == expected else f"{len(answer.body)} wrong bytes"


def _wrong_redirect(thing: Thing, answer: Answer) -> str | None:
    if answer.outcome not in REDIRECTS:
        return "a redirect that is not ours"
    if answer.header("location") != thing.path:
        return f"a redirect to {answer.header('location')}"
    if answer.header("cache-control") != "no-store" or answer.body:
        return "a redirect that could be kept, or with a body"
    return "a redirect to what nobody has" if thing.content is None and not thing.may_be_lost else None
