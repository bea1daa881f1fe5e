"""A program that reads a small site of its own kind, and what all of them need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .trial import Endpoint, run

Files = Mapping[str, bytes]
HTML = "text/html"


class ToolError(Exception):
    """A tool did not get what the origin has."""


@dataclass(frozen=True)
class Tool:
    name: str
    needs: str
    """The program."""
    version: Sequence[str | Path]
    read: Callable[[str, Path, Endpoint], None]
    """Reads by a base URL into an empty directory. Raises ToolError."""


def said(argv: Sequence[str | Path], directory: Path, **environment: str) -> None:
    printed(argv, directory, **environment)


def printed(argv: Sequence[str | Path], directory: Path, **environment: str) -> str:
    """Runs a program, and returns its standard output."""
    done = run(argv, directory, **environment)
    if done.returncode != 0:
        raise ToolError(" | ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]))
    return done.stdout


def expect(path: Path, body: bytes) -> None:
    if not path.exists() or path.read_bytes() != body:
        raise ToolError(f"no {path.name}, or another one")


def expect_somewhere(directory: Path, body: bytes) -> None:
    if not any(each.is_file() and each.read_bytes() == body for each in directory.rglob("*")):
        raise ToolError("it is nowhere")


def publish(endpoint: Endpoint, files: Files, under: str) -> None:
    for path, body in files.items():
        kind = {"Content-Type": HTML} if path.endswith((".html", "/")) else {}
        endpoint.site.origin.put(f"/{under}/{path}", body, kind)
