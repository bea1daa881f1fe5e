"""What a seed stands for: objects, what goes wrong with each of them, and visits of clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Callable

from doubles import StrictBucket, replies
from doubles.replies import Reply, Script, Then
from doubles.wire import Request

MIB = 1 << 20
PART_SIZE = 5 * MIB
"""S3's smallest, so that a film of a few parts is soon made."""

OBJECTS = 40
VISITS = 220
SPAN = 1.5
"""Seconds over which the visits are spread: most come while something is filled, some long after."""

FAMILIES = ("plain", "backed-up", "dead")
"""Prefixes with a rule each: a working origin; a dead one and then a working one; only a dead one."""

Arm = Callable[[StrictBucket, str], None]
"""Has something go wrong with the next request for a key."""


@dataclass
class Thing:
    """A path, what the origin has there, and what goes wrong with it."""

    path: str
    content: bytes | None = field(repr=False)
    """None: the origin does not have it."""
    drips: bool
    """The origin sends it slowly."""
    origin: list[str]
    """What the origin says before it gives what it has, and how it says that, last."""
    reads: list[str]
    """What the bucket says to its first readers."""
    writes: list[str]
    """What the bucket says to the first attempts to store it."""

    @property
    def key(self) -> str:
        return self.path[1:]

    @property
    def is_calm(self) -> bool:
        """Nothing goes wrong, so nothing but the object or its absence may come of it."""
        return not (self.origin[:-1] or self.reads or self.writes or self.path.startswith("/dead/"))

    @property
    def is_in_doubt(self) -> bool:
        """Nobody has it, but the dead origin, which is asked first, cannot be asked about it."""
        return self.content is None and self.path.startswith("/backed-up/")

    @property
    def may_be_lost(self) -> bool:
        """The store has said that it holds what it does not hold."""
        return any(name.startswith("untrue: ") for name in self.writes)

    def scripts(self) -> list[Script]:
        content = b"" if self.content is None else self.content
        return [_without_body_for_head(ANSWERS[name](self.path, content)) for name in self.origin]

    def arm(self, bucket: StrictBucket) -> None:
        for name in self.reads:
            READS[name](bucket, self.key)
        for name in self.writes:
            WRITES[name](bucket, self.key)


@dataclass(frozen=True)
class Visit:
    """One client: when it comes, what it asks for, and whether it stays."""

    at: float
    method: str
    thing: Thing
    span: tuple[int, int] | None
    """The bytes of a Range."""
    leaves_after: float | None


@dataclass(frozen=True)
class Plan:
    seed: int
    things: list[Thing]
    visits: list[Visit]


def plan(seed: int) -> Plan:
    random = Random(seed)
    things = [_thing(random, seed, number) for number in range(OBJECTS)]
    visits = [_visit(random, things) for _ in range(VISITS)]
    return Plan(seed, things, visits)


def _thing(random: Random, seed: int, number: int) -> Thing:
    family = "plain" if number < 2 else random.choices(FAMILIES, weights=(7, 2, 1))[0]
    path = f"/{family}/{seed}-{number}.bin"
    # Two films, much that is small, an empty one now and then, and much that is not there.
    if number < 2:
        content: bytes | None = random.randbytes(PART_SIZE + random.randrange(1, 2 * PART_SIZE))
    elif random.random() < 0.2:
        content = None
    else:
        content = random.randbytes(random.choice((0, 1, 300, 5_000, 40_000, 300_000)))
    if random.random() < 0.25:
        return Thing(path, content, False, [_last(random, content)], [], [])
    is_film = content is not None and len(content) > PART_SIZE
    # The trouble with a film is more often with one of its later parts.
    beginning = ["as it should"] if is_film and random.random() < 0.7 else []
    return Thing(
        path,
        content,
        drips=random.random() < 0.1,
        origin=[*beginning, *_some(random, list(TROUBLE), 0.5), _last(random, content)],
        reads=_some(random, list(READS), 0.3),
        writes=_some(random, list(UPLOADS if is_film else PUTS), 0.5),
    )


def _last(random: Random, content: bytes | None) -> str:
    if content is None:
        return random.choice(ABSENT)
    return random.choices(list(PRESENT), weights=(8, 2, 1))[0]


def _some(random: Random, names: list[str], chance: float) -> list[str]:
    """Nothing, or a few, or more than a fill has patience for."""
    return random.choices(names, k=random.randint(1, 8)) if random.random() < chance else []


def _visit(random: Random, things: list[Thing]) -> Visit:
    thing = random.choice(things)
    span = None
    if random.random() < 0.1 and thing.content:
        first = random.randrange(len(thing.content))
        span = (first, random.randrange(first, len(thing.content)))
    return Visit(
        at=random.random() * SPAN,
        method=random.choices(("GET", "HEAD"), weights=(6, 1))[0],
        thing=thing,
        span=span,
        leaves_after=random.random() if random.random() < 0.1 else None,
    )


