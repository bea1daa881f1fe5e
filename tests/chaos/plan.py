"""The plan of a seed: the bucket's ways, objects, the faults of each, and visits of clients."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from doubles import StrictBucket
from doubles.replies import Script
from doubles.s3.dialects import AWS, SEAWEEDFS, Dialect

from .trouble import (
    ABSENT,
    ANSWERS,
    ENDLESS,
    PRESENT,
    PUTS,
    RANGELESS,
    READS,
    TROUBLE,
    UNPINNED,
    UPLOADS,
    WRITES,
    without_body_for_head,
)

DIALECTS = (AWS, SEAWEEDFS, replace(AWS, ends_uploads=True))
"""The kinds of buckets. All of them honour conditions."""

MIB = 1 << 20
PART_SIZE = 5 * MIB
"""S3's smallest, so that a film of a few parts is soon made."""

OBJECTS = 44
VISITS = 220
ABSENT_CLIENTS = 12
"""Clients that ask for a film and never read a byte of the answer."""

SPAN = 1.5
"""The seconds over which the visits are spread: most come while something is filled, some long after."""

REPLICAS = 2
"""Edges in front of the one bucket. They know nothing of one another."""

FAMILIES = ("plain", "served", "guarded", "backed-up", "dead")
"""Prefixes with a rule each: a working origin; the same with `response: serve`, and with `on_403: ignore`; a
dead origin and then a working one; only a dead one."""


FILMS = ("plain", "served")
"""The rules of the two films: clients of the first are passed to the origin when their time is over, those of
the second at once, so that what they read feeds the fill.
"""

MARKER = "mirror-on-miss=stream"
"""`stream.marker` of the shipped edges."""


@dataclass(frozen=True)
class Ways:
    """The kind of a bucket, and the rights of its users."""

    dialect: Dialect
    reader_lists: bool
    """Without this right a missing object is 403, not 404."""
    writer_lists: bool


@dataclass
class Thing:
    """A path, the origin's answer there, and its faults."""

    path: str
    content: bytes | None = field(repr=False)
    """None: the origin does not have it."""
    drips: bool
    """The origin sends it slowly."""
    origin: list[str]
    """The origin's answers before the object, and the form of the last one."""
    reads: list[str]
    """The bucket's answers to its first readers."""
    writes: list[str]
    """The bucket's answers to the first attempts to store it."""
    later: bytes | None = field(default=None, repr=False)
    """The origin's object from `changes_at` on, of the same length."""
    changes_at: float = 0.0
    theirs: bytes | None = field(default=None, repr=False)
    """Another writer's object: stored at `theirs_at`, or just before ours if that is None."""
    theirs_at: float | None = None
    is_denied: bool = False
    """The bucket denies it, stored or not: to the reader alone where the rule has `on_403: ignore`.

    Elsewhere it denies the writer too. Else no answer tells a denied object from a missing one.
    """
    is_below: bool = False
    """Its name is that of a directory in which there is another object."""

    @property
    def key(self) -> str:
        return self.path[1:]

    @property
    def stream(self) -> str:
        """Returns what a client asks for that is passed to the origin while the bucket is filled."""
        return f"{self.path}?{MARKER}"

    @property
    def family(self) -> str:
        return self.path.split("/")[1]

    @property
    def contents(self) -> list[bytes]:
        """Lists its versions, any of which a client may get."""
        return [each for each in (self.content, self.later, self.theirs) if each is not None]

    @property
    def is_calm(self) -> bool:
        """Tells if nothing goes wrong, so that the object or its absence is the only possible result."""
        troubled = self.origin[:-1] or self.reads or self.writes or self.family == "dead"
        return not (troubled or self.later or self.theirs or self.is_denied or self.is_below)

    @property
    def is_in_doubt(self) -> bool:
        """Tells if only the dead origin, which is asked first, could know the object."""
        return self.content is None and self.family == "backed-up"

    @property
    def may_be_too_large(self) -> bool:
        """Tells if its parts cannot be asked for or joined, or its end not be told from a cut."""
        return any(name in (*RANGELESS, *UNPINNED, *ENDLESS) for name in self.origin)

    def may_be_lost(self, ways: Ways) -> bool:
        """Tells if the store claims to hold an object that it does not hold, and nothing proves it wrong.

        A HEAD proves a 412 wrong, but not with a credential that may not list: it gets 403 in any case.
        """
        untrue = "untrue: 2" if ways.writer_lists else "untrue: "
        is_refused = self.is_below and ways.dialect.makes_directories and not ways.writer_lists
        return is_refused or any(name.startswith(untrue) for name in self.writes)

    def scripts(self) -> list[Script]:
        return [self._script(name, self.content) for name in self.origin]

    def script_later(self) -> Script:
        return self._script(self.origin[-1], self.later)

    def _script(self, name: str, content: bytes | None) -> Script:
        return without_body_for_head(ANSWERS[name](self.path, b"" if content is None else content))

    def arm(self, bucket: StrictBucket) -> None:
        for name in self.reads:
            READS[name](bucket, self.key)
        if self.theirs is not None and self.theirs_at is None:
            operation = "PutObject" if len(self.theirs) <= PART_SIZE else "CompleteMultipartUpload"
            bucket.overtake(operation, self.key, self.theirs)
        for name in self.writes:
            WRITES[name](bucket, self.key)
        if self.is_denied:
            everybody = (bucket.reader, bucket.writer)
            bucket.forbid(self.key, *((bucket.reader,) if self.family == "guarded" else everybody))


@dataclass(frozen=True)
class Visit:
    """One client: the time of its visit, its replica and protocol, its request, and its patience."""

    at: float
    replica: int
    is_http2: bool
    method: str
    thing: Thing
    span: tuple[int, int] | None
    """The bytes of a Range."""
    leaves_after: float | None


@dataclass(frozen=True)
class Plan:
    seed: int
    ways: Ways
    things: list[Thing]
    visits: list[Visit]
    absent: list[Visit]
    """Clients that never read."""


def plan(seed: int) -> Plan:
    random = Random(seed)
    ways = Ways(
        dialect=random.choices(DIALECTS, weights=(3, 2, 1))[0],
        reader_lists=random.random() < 0.6,
        writer_lists=random.random() < 0.75,
    )
    things = [_thing(random, seed, number) for number in range(OBJECTS)]
    things += _neighbours(random, things)
    visits = [_visit(random, random.choice(things)) for _ in range(VISITS)]
    films = things[:2]
    absent = [replace(_visit(random, random.choice(films)), method="GET") for _ in range(ABSENT_CLIENTS)]
    return Plan(seed, ways, things, visits, absent)


def _thing(random: Random, seed: int, number: int) -> Thing:
    family = FILMS[number] if number < 2 else random.choices(FAMILIES, weights=(6, 2, 1, 2, 1))[0]
    path = f"/{family}/{seed}-{number}.bin"
    # Two films, many small objects, an empty one now and then, and many that are missing.
    if number < 2:
        content: bytes | None = random.randbytes(PART_SIZE + random.randrange(1, 2 * PART_SIZE))
    elif random.random() < 0.2:
        content = None
    else:
        content = random.randbytes(random.choice((0, 1, 300, 5_000, 40_000, 300_000)))
    if random.random() < 0.25:
        return Thing(path, content, False, [_last(random, content)], [], [])
    is_film = content is not None and len(content) > PART_SIZE
    # A film's trouble is more often with one of its later parts.
    beginning = ["as it should"] if is_film and random.random() < 0.7 else []
    thing = Thing(
        path,
        content,
        drips=random.random() < 0.1,
        origin=[*beginning, *_some(random, list(TROUBLE), 0.5), _last(random, content)],
        reads=_some(random, list(READS), 0.3),
        writes=_some(random, list(UPLOADS if is_film else PUTS), 0.5),
    )
    if content and random.random() < 0.2:
        thing.later, thing.changes_at = random.randbytes(len(content)), random.random() * SPAN
    if content and random.random() < 0.15:
        thing.theirs = random.randbytes(len(content))
        thing.theirs_at = random.random() * SPAN if random.random() < 0.5 else None
    # A bucket that says 404 of what it denies has not denied it.
    thing.is_denied = not thing.reads and random.random() < (0.4 if family == "guarded" else 0.1)
    return thing


def _neighbours(random: Random, things: list[Thing]) -> list[Thing]:
    """Makes objects whose names make directories of the names of some small ones."""
    small = [each for each in things if each.content is not None and len(each.content) <= PART_SIZE]
    below = random.sample(small, 3)
    for each in below:
        each.is_below = True
    return [
        Thing(f"{each.path}/below", random.randbytes(300), False, ["as it should"], [], []) for each in below
    ]


def _last(random: Random, content: bytes | None) -> str:
    if content is None:
        return random.choice(ABSENT)
    return random.choices(list(PRESENT), weights=(8, 2, 1, 1, 1, 1))[0]


def _some(random: Random, names: list[str], chance: float) -> list[str]:
    """Picks no fault, or a few, or more than a fill has patience for."""
    return random.choices(names, k=random.randint(1, 8)) if random.random() < chance else []


def _visit(random: Random, thing: Thing) -> Visit:
    span = None
    if random.random() < 0.1 and thing.content:
        first = random.randrange(len(thing.content))
        span = (first, random.randrange(first, len(thing.content)))
    return Visit(
        at=random.random() * SPAN,
        replica=random.choices(range(REPLICAS), weights=(2, 1))[0],
        is_http2=random.random() < 0.25,
        method=random.choices(("GET", "HEAD"), weights=(6, 1))[0],
        thing=thing,
        span=span,
        leaves_after=random.random() if random.random() < 0.1 else None,
    )
