"""Faults of a request to the bucket."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .s3.errors import S3Error


class Effect(enum.Enum):
    """The event in place of the operation's answer."""

    ANSWER = "an error is answered"
    OVERTAKE = "another writer comes first"
    RAW = "these bytes are answered and the connection is closed"
    RAW_STALL = "these bytes are answered and the connection stays open, and silent"
    RESET = "the connection is reset and nothing is done"
    RESET_AFTER = "the operation is carried out, then the connection is reset"
    STALL = "nothing is ever answered"
    SWALLOW = "200 is answered and nothing is done"


CARRIED_OUT = frozenset({Effect.OVERTAKE, Effect.RESET_AFTER})
"""Effects with which the operation happens all the same."""

UNANSWERED = frozenset({Effect.RAW, Effect.RAW_STALL, Effect.RESET, Effect.RESET_AFTER, Effect.STALL})
"""Effects that leave a request without an answer of S3's."""


@dataclass
class Fault:
    """A fault of the next `times` requests for `operation` on `key`, or on any key if that is None."""

    operation: str
    key: str | None
    effect: Effect
    times: int
    error: S3Error | None = None
    raw: bytes = b""


class Faults:
    """The faults that are armed, oldest first."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    def arm(self, fault: Fault) -> None:
        self._armed.append(fault)

    def strike(self, operation: str, key: str) -> Fault | None:
        """Returns the fault for this request, and uses it up by one."""
        for fault in self._armed:
            if fault.operation == operation and fault.key in (None, key):
                fault.times -= 1
                if fault.times == 0:
                    self._armed.remove(fault)
                return fault
        return None
