"""Child processes that never outlive the process that started them, and the ports they listen on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>: the signal that a process gets when the thread that forked it ends."""

PORTS = range(10240, 32768)
"""Below Linux's ephemeral ports (32768 and up), which any outgoing connection may take meanwhile."""

# It is loaded before any fork, and its calls keep the GIL: a forked child that waits for a lock waits for
# ever.
_libc = ctypes.PyDLL(None)


class StackError(Exception):
    """An error that keeps the stack from running, in one line for the user."""


class Child:
    """One child process, in a process group of its own, so that the runner handles a Ctrl-C in the
    terminal.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        cwd: Path,
        stderr: Path,
        stdout: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log_path = stderr
        runner = os.getpid()
        with contextlib.ExitStack() as files:
            err = files.enter_context(stderr.open("ab"))
            out = files.enter_context(stdout.open("ab")) if stdout else err
            try:
                self._process = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                    preexec_fn=lambda: _die_with(runner),
                )
            except OSError as error:
                raise StackError(f"cannot start {name}: {argv[0]}: {error.strerror}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Returns None while it runs; -N when signal N ended it."""
        return self._process.poll()

    def tail(self, lines: int = 8) -> str:
        """Returns the end of its log."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Returns once `ready()`. StackError if the child ends before that, or `timeout` seconds do."""
        deadline = time.monotonic() + timeout
        while not ready():
            if self.exit_code is not None:
                raise StackError(f"{self.name} ended at its start: {self.why_ended()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} is not ready after {timeout:g}s: {self.why_ended()}")
            time.sleep(0.02)

    def why_ended(self) -> str:
        """Returns its last line; the programs themselves know better ways (see Envoy)."""
        return self.tail(1) or f"exit code {self.exit_code}"

    def stop(self, grace: float = 2.0) -> None:
        """Ends the whole process group: SIGTERM, then SIGKILL after `grace` seconds. Safe to call twice."""
        if self.exit_code is None and grace > 0:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def _die_with(runner: int) -> None:
    """Makes the child die with its runner. It runs before exec, so not even a SIGKILL of the runner leaves it
    behind.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:  # It ended before the line above.
        os._exit(1)


def free_ports(count: int) -> list[int]:
    """Finds ports of 127.0.0.1 on which nothing listens now. Another program may still take one, so be ready
    to retry.
    """
    ports: list[int] = []
    candidates = random.sample(PORTS, len(PORTS))
    while len(ports) < count:
        port = candidates.pop()
        if is_free(port):
            ports.append(port)
    return ports


def require_free(port: int) -> None:
    if not is_free(port):
        raise StackError(f"port {port} of 127.0.0.1 is taken: choose another with PORT=")


def is_free(port: int) -> bool:
    """Tells if nothing listens on the port, not even an Envoy that would share it (SO_REUSEPORT)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
