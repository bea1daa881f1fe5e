"""Children and ports: no child outlives its starter, and a taken port is seen."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .children import Child, StackError, free_ports, is_free

RUNNER = """
import pathlib, signal, sys
from stack.children import Child
directory = pathlib.Path(sys.argv[1])
child = Child("sleep", ["sleep", "60"], cwd=directory, stderr=directory / "log")
print(child.pid, flush=True)
signal.pause()
"""
PATIENCE = 10
"""The seconds that a process may take to end before a test fails."""


def test_a_killed_runner_leaves_no_child(tmp_path: Path) -> None:
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdout
    child = os.pidfd_open(int(runner.stdout.readline()))
    runner.kill()
    runner.communicate()
    ended, _, _ = select.select([child], [], [], PATIENCE)
    os.close(child)
    assert ended


def test_stopping_a_child_ends_what_it_started_too(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 60 & echo $!; wait"
    child = Child("sh", ["sh", "-c", script], cwd=tmp_path, stderr=tmp_path / "log", stdout=tmp_path / "out")
    child.wait_until(lambda: (tmp_path / "out").read_text().endswith("\n"), PATIENCE)
    grandchild = os.pidfd_open(int((tmp_path / "out").read_text()))
    child.stop(grace=0.1)
    ended, _, _ = select.select([grandchild], [], [], PATIENCE)
    os.close(grandchild)
    assert ended
    assert child.exit_code == -signal.SIGKILL


def test_a_child_that_ends_at_its_start_says_why(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo no such luck >&2; exit 3"]
    child = Child("sh", argv, cwd=tmp_path, stderr=tmp_path / "log")
    with pytest.raises(StackError, match="sh ended at its start: no such luck"):
        child.wait_until(lambda: False, PATIENCE)
    child.stop()


def test_a_missing_program_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="cannot start it: no-such-program: No such file or directory"):
        Child("it", ["no-such-program"], cwd=tmp_path, stderr=tmp_path / "log")


def test_a_port_is_taken_even_if_its_owner_would_share_it() -> None:
    (port,) = free_ports(1)
    with socket.socket() as owner:
        owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        owner.bind(("127.0.0.1", port))
        owner.listen()
        assert not is_free(port)
    assert is_free(port)
