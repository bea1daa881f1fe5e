"""A bucket behind a thin line, through the real Envoy: large objects are stored, each byte once."""

from __future__ import annotations

import time
from pathlib import Path

from doubles import StrictBucket
from doubles.large_origin import Large, LargeOrigin
from doubles.thin_line import ThinLine
from stack import Stack

from .site import Site

MIB = 1 << 20
MBIT = 1_000_000 / 8

SIZE = 15 * MIB
"""Three parts, which take 25 seconds together: longer than a call may without its bytes."""


PATIENCE = 120.0


def test_an_uplink_of_5_mbit_stores_a_large_object_and_carries_each_part_once(tmp_path: Path) -> None:
    plugin = {"limits": {"part_size": "5MiB"}, "wait": "2s", "stream": None}
    with LargeOrigin() as origin, StrictBucket() as bucket, ThinLine(bucket.port, 5 * MBIT) as line:
        bucket.front = line.authority
        with Stack(tmp_path, origin=origin.url, store=bucket, workers=1, plugin=plugin) as stack:
            site = Site(stack, bucket, origin)
            film = origin.put("/film.mp4", Large(SIZE))
            answer = site.ask("/film.mp4")
            assert (answer.status, answer.outcome) == (503, "filling"), answer.body
            end = time.monotonic() + PATIENCE
            while site.gauges()[0] and time.monotonic() < end:
                time.sleep(0.1)
            assert site.stored("/film.mp4") == film.content(range(SIZE))
            assert len(bucket.calls("UploadPart", "film.mp4")) == 3
            site.assert_module_healthy()
