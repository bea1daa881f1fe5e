"""The differences of servers that imitate S3, each measured on the server that it names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .errors import S3Error, key_too_long

CONDITIONAL_WRITES = frozenset({"PutObject", "CompleteMultipartUpload"})


@dataclass(frozen=True)
class Dialect:
    """The differences of a bucket from AWS. The default has none."""

    makes_directories: bool = False
    """`a/b` makes a directory `a`. A conditional write of `a` is then 412, although `a` is not there."""
    joins_slashes: bool = False
    """`a//b` is `a/b`, and `/a` is `a`."""
    reads_backslashes_as_slashes: bool = False
    drops_bodies_of_directories: bool = False
    """`a/` is stored without its body."""
    segment_limit: int | None = None
    """Bytes between two slashes."""
    metadata_value_limit: int | None = None
    """Bytes of one value of user metadata."""
    ignores_conditions: frozenset[str] = field(default=frozenset())
    """Operations that overwrite in spite of `If-None-Match`."""
    ends_uploads: bool = False
    """An upload is gone when another writer stores the object."""

    def name_of(self, key: str) -> str:
        """Finds the name that the bucket takes a key for."""
        name = key.replace("\\", "/") if self.reads_backslashes_as_slashes else key
        return re.sub("/+", "/", name).removeprefix("/") if self.joins_slashes else name

    def check_name(self, name: str) -> None:
        if self.segment_limit and any(len(s.encode()) > self.segment_limit for s in name.split("/")):
            raise key_too_long(name)

    def check_metadata(self, values: list[str]) -> None:
        if self.metadata_value_limit and any(len(value) > self.metadata_value_limit for value in values):
            raise S3Error(400, "InvalidRequest", "A metadata value is too long")


AWS = Dialect()

CEPH_18 = Dialect(ignores_conditions=frozenset({"CompleteMultipartUpload"}))
"""Ceph RGW 18.2; 20.2 compares."""

GARAGE = Dialect(ignores_conditions=CONDITIONAL_WRITES, ends_uploads=True)
"""Garage 2.5."""

SEAWEEDFS = Dialect(
    makes_directories=True,
    joins_slashes=True,
    reads_backslashes_as_slashes=True,
    drops_bodies_of_directories=True,
    segment_limit=255,
)
"""SeaweedFS 4.48."""

SWIFT = Dialect(metadata_value_limit=256)
"""OpenStack Swift's s3api 2.38."""
