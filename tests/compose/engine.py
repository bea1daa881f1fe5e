"""A container engine of the test's own: its images, volumes and networks belong to it alone and go with
it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stack import Child, StackError
from stack.render import CHECKOUT

DIRECTORY = CHECKOUT / "target" / "compose"
START_TIMEOUT = 60.0
STOP_GRACE = 30.0
"""The seconds that dockerd has to stop its containers and to unmount their volumes."""

PROJECT = "mirror-on-miss-test"

INSTALL = "on Debian and Ubuntu: apt-get install docker.io docker-compose prometheus"


class Engine:
    """dockerd on a socket of its own, and the clients that talk to it."""

    def __init__(self, socket: Path) -> None:
        self.host = f"unix://{socket}"
        self._env = {**os.environ, "DOCKER_HOST": self.host}
        # COMPOSE_* may be set for the user's own project, and docker-compose 1 must not find this `compose`.
        self._env = {
            name: value for name, value in self._env.items() if not name.startswith(("COMPOSE_", "PYTHON"))
        }
        self._compose = self._find_compose()

    def docker(self, *arguments: str | Path, stdin: Path | None = None) -> str:
        with contextlib.ExitStack() as files:
            source = files.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
            return self._run(["docker", *arguments], stdin=source)

    def compose(self, files: Sequence[Path], variables: Mapping[str, str], *arguments: str) -> str:
        named = [option for file in files for option in ("-f", str(_without_digests(file)))]
        argv = [
            *self._compose,
            "--project-name",
            PROJECT,
            "--project-directory",
            str(files[0].parent),
            *named,
        ]
        return self._run([*argv, *arguments], {**self._env, **variables})

    def ready(self) -> bool:
        return subprocess.run(["docker", "version"], env=self._env, capture_output=True).returncode == 0

    def _find_compose(self) -> list[str]:
        plugin = ["docker", "compose"]
        if subprocess.run([*plugin, "version"], env=self._env, capture_output=True).returncode == 0:
            return plugin
        if shutil.which("docker-compose"):
            return ["docker-compose"]
        raise StackError(f"there is neither `docker compose` nor docker-compose here; {INSTALL}")

    def _run(
        self,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        stdin: object = subprocess.DEVNULL,
    ) -> str:
        done = subprocess.run(argv, env=env or self._env, stdin=stdin, capture_output=True)  # type: ignore[call-overload]
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise StackError(f"{' '.join(map(str, argv))}: exit code {done.returncode}\n{said}")
        return done.stdout.decode(errors="replace")


def without_digests(text: str) -> str:
    """Names images by their tags: one that is built here has another digest than the registry's."""
    return re.sub(r"@sha256:[0-9a-f]{64}", "", text)


def _without_digests(file: Path) -> Path:
    copy = DIRECTORY / file.name
    copy.write_text(without_digests(file.read_text()))
    return copy


@contextlib.contextmanager
def started() -> Iterator[Engine]:
    """Starts an engine. StackError with the missing part, where no engine can run."""
    for program in ("docker", "dockerd"):
        if not shutil.which(program):
            raise StackError(f"there is no {program} here; {INSTALL}")
    if os.geteuid() != 0:
        raise StackError("only root can start a container engine; try sudo")
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir(parents=True)
    # A socket's path may have 107 bytes, which a checkout's may exceed.
    with tempfile.TemporaryDirectory(prefix="mirror-on-miss-") as short:
        socket = Path(short, "docker.sock")
        argv: list[str | Path] = [
            "dockerd",
            "--data-root",
            DIRECTORY / "data",
            "--exec-root",
            Path(short, "exec"),
        ]
        argv += ["--pidfile", Path(short, "pid"), "--host", f"unix://{socket}", "--bridge", "none"]
        child = Child("dockerd", argv, cwd=DIRECTORY, stderr=DIRECTORY / "dockerd.log")
        try:
            engine = Engine(socket)
            child.wait_until(engine.ready, START_TIMEOUT)
            yield engine
        finally:
            child.stop(STOP_GRACE)
            shutil.rmtree(DIRECTORY / "data", ignore_errors=True)
