"""The command `mirror-on-miss` for Linux: one static file for each processor, with nothing to install."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from stack.render import CHECKOUT

from .failure import ReleaseError

PROCESSORS = ("aarch64", "x86_64")
INTERPRETER = 3
"""PT_INTERP of ELF: the segment that names a dynamic linker."""


def build(to: Path, work: Path) -> list[Path]:
    """Builds the command for each processor into a directory, and returns the files."""
    return [_build(processor, to, work) for processor in PROCESSORS]


def _build(processor: str, to: Path, work: Path) -> Path:
    target = f"{processor}-unknown-linux-musl"
    # Of the toolchain itself: it links for another processor as well.
    linker = {f"CARGO_TARGET_{target.upper().replace('-', '_')}_LINKER": "rust-lld"}
    argv = [
        "cargo",
        "build",
        "--quiet",
        "--locked",
        "--release",
        "--bin",
        "mirror-on-miss",
        "--target",
        target,
    ]
    done = subprocess.run(
        [*argv, "--target-dir", work / "command"],
        cwd=CHECKOUT,
        env={**os.environ, **linker},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReleaseError(f"{' '.join(argv)}: {done.stderr}\nIs it there? rustup target add {target}")
    file = to / f"mirror-on-miss-linux-{processor}"
    shutil.copy2(work / "command" / target / "release" / "mirror-on-miss", file)
    return file


def check(file: Path, version: str | None) -> None:
    """Raises ReleaseError if a file needs a dynamic linker, or is of another version than the release."""
    if INTERPRETER in segments(file.read_bytes()):
        raise ReleaseError(f"{file.name} is not static")
    if not file.name.endswith(platform.machine()):
        return
    said = subprocess.run([file, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if version and said != f"mirror-on-miss {version}":
        raise ReleaseError(f"{file.name} says that it is {said}, not {version}")


def segments(elf: bytes) -> list[int]:
    """Returns the types of the segments of a 64-bit little-endian ELF file: elf(5)."""
    begin = int.from_bytes(elf[32:40], "little")
    size, count = int.from_bytes(elf[54:56], "little"), int.from_bytes(elf[56:58], "little")
    return [int.from_bytes(elf[at : at + 4], "little") for at in range(begin, begin + size * count, size)]
