"""The clients and their calls.

Each has a key of its own for each operation, which the bucket does not have yet. It writes its result to a
file: the object, a thousand bytes of it, or for a HEAD the length that the client got.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from stack.render import CHECKOUT

INSTALLED = CHECKOUT / ".clients"
BIN = INSTALLED / "bin"
PROGRAMS = Path(__file__).with_name("programs")

ACCESS_KEY, SECRET_KEY = "anything", "anything-at-all"
"""Credentials that are valid nowhere."""

Operation = Literal["get", "range", "head", "download"]

RANGE = range(1000, 2000)
"""The bytes that `range` reads."""


@dataclass(frozen=True)
class Ask:
    """One call of a client."""

    operation: Operation
    endpoint: str
    bucket: str
    key: str
    output: Path

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).netloc

    @property
    def s3_url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def url(self) -> str:
        return f"{self.endpoint}/{self.bucket}/{self.key}"


Command = Callable[[Ask], Sequence[str | Path]]


@dataclass(frozen=True)
class Client:
    name: str
    version: Sequence[str | Path]
    """A command that prints it; the first text that looks like a version counts."""
    command: Command
    operations: Sequence[Operation] = ("get", "range", "head", "download")


def library(name: str, distribution: str) -> Client:
    """Makes a client of a Python library, called by its program."""
    version = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    program = PROGRAMS / f"with_{distribution}.py"
    return Client(
        name,
        [BIN / "python", "-c", version],
        lambda ask: [BIN / "python", program, ask.operation, ask.endpoint, ask.bucket, ask.key, ask.output],
    )


def aws_cli(ask: Ask) -> Sequence[str | Path]:
    aws = [BIN / "aws", "--endpoint-url", ask.endpoint]
    object_of = ["--bucket", ask.bucket, "--key", ask.key]
    if ask.operation == "head":
        length = ["--query", "ContentLength", "--output", "text"]
        return to_file(ask, [*aws, "s3api", "head-object", *object_of, *length])
    if ask.operation == "range":
        span = ["--range", f"bytes={RANGE.start}-{RANGE.stop - 1}"]
        return [*aws, "s3api", "get-object", *object_of, *span, ask.output]
    return [*aws, "s3", "cp", "--no-progress", ask.s3_url, ask.output]


def curl(ask: Ask) -> Sequence[str | Path]:
    if ask.operation == "head":
        return to_file(ask, ["curl", "-sSfI", "-o", "/dev/null", "-w", "%header{content-length}", ask.url])
    span = ["-r", f"{RANGE.start}-{RANGE.stop - 1}"] if ask.operation == "range" else []
    return ["curl", "-sSf", *span, "-o", ask.output, ask.url]


def rclone(ask: Ask) -> Sequence[str | Path]:
    access = f'access_key_id="{ACCESS_KEY}",secret_access_key="{SECRET_KEY}"'
    remote = f':s3,provider=Other,endpoint="{ask.endpoint}",{access}:{ask.bucket}/{ask.key}'
    program = [BIN / "rclone", "--config", "/dev/null", "--retries", "1"]
    if ask.operation == "head":
        return to_file(ask, [*program, "lsjson", "--stat", remote])
    return [*program, "copyto", remote, ask.output]


def s3cmd(ask: Ask) -> Sequence[str | Path]:
    credentials = [f"--access_key={ACCESS_KEY}", f"--secret_key={SECRET_KEY}"]
    where = [f"--host={ask.host}", f"--host-bucket={ask.host}", "--no-ssl", "--config=/dev/null"]
    return [BIN / "python", BIN / "s3cmd", *credentials, *where, "--quiet", "get", ask.s3_url, ask.output]


def node(ask: Ask) -> Sequence[str | Path]:
    program = PROGRAMS / "with_aws_sdk.cjs"
    return [BIN / "node", program, ask.operation, ask.endpoint, ask.bucket, ask.key, ask.output]


def to_file(ask: Ask, command: Sequence[str | Path]) -> Sequence[str | Path]:
    """Wraps a command that writes its result to its standard output."""
    write = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[2:], stdout=open(sys.argv[1], 'wb')))"
    return [sys.executable, "-c", write, ask.output, *command]


NODE_VERSION = "console.log(require(process.env.NODE_MODULES + '/@aws-sdk/client-s3/package.json').version)"

CLIENTS: Sequence[Client] = (
    library("boto3", "boto3"),
    Client("aws-cli", [BIN / "aws", "--version"], aws_cli),
    library("minio-py", "minio"),
    library("s3fs", "s3fs"),
    library("pyarrow", "pyarrow"),
    library("obstore, unsigned", "obstore"),
    Client("rclone", [BIN / "rclone", "version"], rclone, operations=("get", "head", "download")),
    Client("s3cmd", [BIN / "python", BIN / "s3cmd", "--version"], s3cmd, operations=("get", "download")),
    Client("aws-sdk-js v3", [BIN / "node", "-e", NODE_VERSION], node),
    Client("curl without -L", ["curl", "--version"], curl),
)
