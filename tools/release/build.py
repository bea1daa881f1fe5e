"""One clean build: the files that git knows, copied to another place, and `make wasm` there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stack.render import CHECKOUT

from .failure import ReleaseError

MODULE = "mirror_on_miss.wasm"
TARGET = "wasm32-wasip1"


@dataclass(frozen=True)
class Build:
    checkout: Path
    environment: dict[str, str]

    @classmethod
    def run(cls, checkout: Path, **variables: str) -> Build:
        """Builds the working tree's tracked files, as they are, in a directory that does not exist yet."""
        _copy(checkout)
        # Otherwise this make's own variables would reach that one.
        ours = {name: value for name, value in os.environ.items() if "MAKE" not in name and name != "MFLAGS"}
        ours.pop("CARGO_TARGET_DIR", None)
        build = cls(checkout, {**ours, **variables})
        # Only Node.js is taken from there, and the tools that are not needed would be downloaded again.
        build.call("make", "wasm", f"VENV={sys.prefix}")
        return build

    @property
    def module(self) -> Path:
        return self.checkout / "target" / MODULE

    @property
    def built(self) -> Path:
        """Returns the directory of cargo's output for the module."""
        target = Path(self.environment.get("CARGO_TARGET_DIR", self.checkout / "target"))
        return target / TARGET / "release"

    def call(self, *argv: str, **variables: str) -> str:
        environment = {**self.environment, **variables}
        done = subprocess.run(
            argv, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ReleaseError(f"{' '.join(argv)} in {self.checkout}:\n{done.stdout}{done.stderr}")
        return done.stdout


def committed() -> str:
    """Returns the time of the commit, in seconds of Unix. Everything that is built from it has this time."""
    argv = ["git", "log", "-1", "--format=%ct"]
    return subprocess.run(argv, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.strip()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _copy(to: Path) -> None:
    argv = ["git", "ls-files", "-z"]
    names = subprocess.run(argv, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, to / name, follow_symlinks=False)
