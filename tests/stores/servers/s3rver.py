"""s3rver, from npm. Its one pair of keys is fixed."""

from __future__ import annotations

from pathlib import Path

from stack.sigv4 import Credentials

from . import installed
from .local import Local

KEYS = Credentials("S3RVER", "S3RVER")


class S3rver(Local):
    name = "s3rver"
    title = "s3rver"
    install = "`make stores` installs it from npm"
    domain = "s3.localhost"

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir)
        self.owner = self.reader = self.writer = KEYS

    @classmethod
    def version(cls) -> str | None:
        return installed.of_node("s3rver") if _script().exists() else None

    def start(self, port: int) -> None:
        options = ["--address", "127.0.0.1", "--port", str(port), "--directory", self.home / "data"]
        options += ["--service-endpoint", "localhost", "--silent"]
        self.run([installed.HOME / "bin" / "node", _script(), *options])


def _script() -> Path:
    return installed.HOME / "node_modules" / "s3rver" / "bin" / "s3rver.js"
