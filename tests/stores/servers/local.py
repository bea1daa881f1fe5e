"""A server that runs on this machine, with a bucket, its owner, and identities with less rights."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from typing import ClassVar

from stack.children import Child, StackError, free_ports, is_free
from stack.sigv4 import Credentials
from stack.store import S3Store

from ..trial import Target

BUCKET = "mirror"
VERSIONED = "versioned"
START_TIMEOUT = 90.0
"""Seconds, of a machine that does other work."""

VERSIONING = (
    b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Status>Enabled</Status></VersioningConfiguration>"
)


class Local(S3Store):
    """An S3Store whose reader and writer are its owner."""

    name: ClassVar[str]
    """As ONLY= has it."""
    kind: ClassVar[str] = ""
    """As STORE_KIND= has it, where that is not its name."""
    title: ClassVar[str]
    """As the table has it."""
    install: ClassVar[str]
    """What to do where it is missing."""

    blind: Credentials | None = None
    reading: Credentials | None = None
    domain: str | None = None
    versioned: str | None = None

    def __init__(self, run_dir: Path) -> None:
        owner = Credentials(secrets.token_hex(10), secrets.token_hex(20))
        super().__init__("", "us-east-1", BUCKET, reader=owner, writer=owner)
        self.owner = owner
        self.home = run_dir
        self._running = ExitStack()

    @classmethod
    def version(cls) -> str | None:
        """Returns its version; None if it is not installed."""
        raise NotImplementedError

    def start(self, port: int) -> None:
        """Starts its programs, and returns when they answer."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Makes the bucket, and identities with less rights."""
        self.create(BUCKET)

    def __enter__(self) -> Local:
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            (port,) = free_ports(1)
            self.url = f"http://127.0.0.1:{port}"
            self.start(port)
            self.prepare()
            self._version()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def run(
        self,
        argv: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        name: str = "",
    ) -> Child:
        """Runs a program until the exit. Returns when it answers; with a port, when it listens there."""
        name = name or self.name
        kept = {each: value for each, value in os.environ.items() if not each.startswith(("AWS_", "S3_"))}
        child = Child(
            self.title,
            argv,
            cwd=self.home,
            stderr=self.home / f"{name}.log",
            env={**kept, "HOME": str(self.home), **(environment or {})},
        )
        self._running.callback(child.stop)
        child.wait_until(lambda: not is_free(port) if port else _answers(self.url), START_TIMEOUT)
        return child

    def target(self) -> Target:
        store = S3Store(self.url, self.region, self.bucket, self.reader, self.writer)
        return Target(store, self.owner, self.blind, self.reading, self.versioned, self.domain)

    def create(self, bucket: str) -> None:
        status, _, body = self.of(bucket).request("PUT", "", self.owner)
        if status != 200:
            said = body.decode(errors="replace")
            raise StackError(f"{self.title} makes no bucket {bucket}: {status} {said}")

    def of(self, bucket: str) -> S3Store:
        return S3Store(self.url, self.region, bucket, self.owner, self.owner)

    def _version(self) -> None:
        """Makes a bucket with versioning, where the server can."""
        with contextlib.suppress(StackError, OSError, HTTPException):
            if self.of(VERSIONED).request("HEAD", "", self.owner)[0] != 200:
                self.create(VERSIONED)
            status, _, _ = self.of(VERSIONED).request(
                "PUT", "", self.owner, query={"versioning": ""}, body=VERSIONING
            )
            self.versioned = VERSIONED if status == 200 else None


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError, HTTPException):
        nobody = Credentials("", "")
        return S3Store(url, "", "", nobody, nobody).send("GET", "/", {})[0] != 503
    return False
