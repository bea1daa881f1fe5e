"""A system clock that is set, in the real Envoy: a library in front of libc's moves the one that it reads."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Start, Unique
from .site import Site, eventually

BODY = b"an object\n"
TEN_MINUTES = 600
"""Less than AWS forgives a signature's clock, and more than any fact may live."""

SHIFTED = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long *offset;

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
    offset = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, id, now);
    if (result == 0 && id == CLOCK_REALTIME && offset) now->tv_sec += *offset;
    return result;
}
"""


class Clock:
    """The seconds by which the edge's clock is wrong."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "offset"
        self.set(0)

    def set(self, seconds: int) -> None:
        # In place, as the edge has the file in its memory.
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.write(struct.pack("l", seconds))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def site(start: Start, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library, source = tmp_path / "shifted.so", tmp_path / "shifted.c"
    source.write_text(SHIFTED)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)

    def shift(_: dict[str, Any]) -> None:
        monkeypatch.setenv("CLOCK_OFFSET", str(clock.path))
        monkeypatch.setenv("LD_PRELOAD", str(library))

    # The edge is configured last, so it alone starts with another clock.
    site = start(edit_edge=shift, plugin={"negative_ttl": "60s", "failure_ttl": "60s"})
    monkeypatch.undo()
    yield site


def test_a_clock_that_is_set_back_makes_no_outcome_last_longer(
    site: Site, clock: Clock, unique: Unique
) -> None:
    path = unique()
    assert site.ask(path).outcome == "not_found"
    site.origin.put(path, BODY)
    assert site.ask(path).outcome == "not_found", "it is remembered"
    clock.set(-TEN_MINUTES)
    eventually(lambda: site.ask(path).outcome, "stored")
    assert site.ask(path).body == BODY


def test_a_clock_that_is_set_forth_ends_what_is_remembered_and_nothing_else(
    site: Site, clock: Clock, unique: Unique
) -> None:
    path, slow = unique(), unique("slow")
    assert site.ask(path).outcome == "not_found"
    site.origin.put(path, BODY)
    site.origin.put(slow, BODY)
    gate = site.origin.hold(slow)
    with site.open() as waiting:
        waiting.send("GET", slow)
        site.origin.wait_for(slow)
        clock.set(TEN_MINUTES)
        eventually(lambda: site.ask(path).outcome, "stored")
        gate.open()
        assert waiting.receive("GET").outcome == "stored"
    assert site.ask(slow).body == BODY
    assert site.origin.count(slow) == 1
