"""docs/migration.md, followed from top to bottom: its own commands, and what it says that they print."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.children import free_ports
from stack.render import CHECKOUT, named

from .command import command
from .conftest import Start, Unique
from .site import eventually

PAGE = CHECKOUT / "docs" / "migration.md"
EDGE, ORIGIN, PLACE = "10000", "8081", "target/migration"
"""What the page says, and another run on this machine may use as well."""

BUILD, BUILT = "make cli", "target/mirror-on-miss"
"""The one command that is not run, and its result: the test has that from `cargo test`."""

TIMEOUT = 300
DONE = "the command has ended"


@dataclass
class Step:
    """A command of the page, and the lines below it; `...` stands for any."""

    line: int
    command: str
    expected: list[str] = field(default_factory=list)


def steps() -> list[Step]:
    """Returns the commands of the page in order."""
    found: list[Step] = []
    inside = False
    for number, line in enumerate(PAGE.read_text().splitlines(), start=1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append(Step(number, line[2:]))
        elif inside:
            found[-1].expected.append(line)
    return found


class Shells:
    """The reader's two shells: one runs `make run`, the other one everything else."""

    def __init__(self, place: Path, log: Path) -> None:
        edge, origin = map(str, free_ports(2))
        self._names = {EDGE: edge, ORIGIN: origin, PLACE: str(place), BUILT: str(command())}
        self._log = log
        # The same Python environment as this test, where `make` would make one of its own.
        makeflags = os.environ.get("MAKEFLAGS") or f"VENV={sys.prefix}"
        self._environment = {**os.environ, "MAKEFLAGS": makeflags, "PORT": edge}
        self._other = subprocess.Popen(
            ["bash"],
            cwd=CHECKOUT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._run: subprocess.Popen[str] | None = None

    def do(self, step: Step) -> list[str]:
        """Runs a command, and returns what it printed."""
        written = self._here(step.command)
        return self._start(written) if written.startswith("make run") else self._ask(written)

    def expected(self, step: Step) -> list[str]:
        return [self._here(line) for line in step.expected]

    def close(self) -> None:
        self._end_the_run()
        os.killpg(self._other.pid, signal.SIGKILL)
        self._other.wait()

    def _here(self, text: str) -> str:
        for name, own in self._names.items():
            text = text.replace(name, own)
        return text

    def _start(self, written: str) -> list[str]:
        self._end_the_run()
        self._run = subprocess.Popen(
            ["bash", "-c", f"exec {written}"],
            cwd=CHECKOUT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=self._log.open("a"),
            text=True,
            start_new_session=True,
        )
        assert self._run.stdout
        lines = []
        for line in self._run.stdout:
            lines.append(line.rstrip("\n"))
            if lines[-1].startswith("ready "):
                return lines
        raise AssertionError(f"{written} ended: {lines} {self._log.read_text()}")

    def _end_the_run(self) -> None:
        """Does what Ctrl-C does."""
        if self._run:
            os.killpg(self._run.pid, signal.SIGINT)
            self._run.communicate(timeout=TIMEOUT)
            self._run = None

    def _ask(self, written: str) -> list[str]:
        assert self._other.stdin
        assert self._other.stdout
        self._other.stdin.write(f"{written}\necho; echo '{DONE}'\n")
        self._other.stdin.flush()
        lines = []
        for line in self._other.stdout:
            if line == f"{DONE}\n":
                return lines[:-1] if lines and not lines[-1] else lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended in {written}: {lines}")


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[Shells]:
    shells = Shells(tmp_path / "migration", tmp_path / "run.log")
    yield shells
    shells.close()
    (CHECKOUT / "warm-failed.tsv").unlink(missing_ok=True)


def test_the_page_can_be_followed_from_top_to_bottom(shells: Shells) -> None:
    followed = steps()
    assert len(followed) > 30
    for step in followed:
        if step.command == BUILD:
            continue
        printed, expected = shells.do(step), shells.expected(step)
        assert is_as_told(printed, expected), f"line {step.line}: {step.command}\n{printed}\nnot\n{expected}"


def is_as_told(printed: list[str], expected: list[str]) -> bool:
    """Compares lines, where `...` stands for any number of them."""
    pattern = "".join(r"(.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in expected)
    return bool(re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)))


def test_a_line_is_told_by_itself_or_by_dots() -> None:
    assert is_as_told(["a", "b", "c"], ["...", "c"])
    assert is_as_told(["a"], ["a"])
    assert not is_as_told(["a", "b"], ["a"])
    assert not is_as_told([], ["a"])


def test_a_share_of_the_requests_rehearses_the_switch_off(start: Start, unique: Unique) -> None:
    """The route of the page, for all requests instead of one in twenty."""
    (snippet,) = re.findall(r"^```yaml\n(match:.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    match = yaml.safe_load(snippet)["match"]
    match["runtime_fraction"]["default_value"]["numerator"] = 100

    def rehearse(edge: dict[str, Any]) -> None:
        (manager,) = edge["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
        (host,) = manager["typed_config"]["route_config"]["virtual_hosts"]
        own = named(host["routes"], "object")
        filters = {
            name: on for name, on in own["typed_per_filter_config"].items() if name != "mirror_on_miss"
        }
        copy = {**own, "name": "rehearsal", "match": match, "typed_per_filter_config": filters}
        host["routes"].insert(host["routes"].index(own), copy)

    site = start(edit_edge=rehearse)
    there, left = unique("there.txt"), unique("left.txt")
    site.origin.put(left, b"at the origin alone")
    site.store.put(there[1:], b"in the bucket")
    assert site.ask(there).body == b"in the bucket"
    missed = site.ask(left)
    assert (missed.status, missed.outcome, site.origin.count(left)) == (404, None, 0)
    line = site.access_logged(left)
    assert (line["status"], line["outcome"] or None) == (404, None)
    assert site.ask(f"{left}?v=1").outcome == "stored", "a query is the filter's"


def test_what_was_deleted_in_a_bucket_with_versions_stays_away_unless_it_is_to_be_refilled(
    start: Start, unique: Unique
) -> None:
    path = unique()
    site = start(plugin={"loop_window": "1s"})
    site.origin.put(path, b"at the origin")
    assert site.ask(path).outcome == "stored"
    site.store.delete(path[1:], marker=True)
    eventually(lambda: site.ask(path).outcome, "deleted")
    assert (site.ask(path).status, site.origin.count(path)) == (404, 1)
