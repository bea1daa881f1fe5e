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
JAVA = INSTALLED / "java"
MAVEN = INSTALLED / "maven"
"""A repository of what `mvn dependency:get` itself is made of."""
BUN = INSTALLED / "node_modules" / "@oven" / "bun-linux-x64" / "bin" / "bun"
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


ALL: Sequence[Operation] = ("get", "range", "head", "download")
WHOLE: Sequence[Operation] = ("get", "download")


@dataclass(frozen=True)
class Client:
    name: str
    version: Sequence[str | Path]
    """A command that prints it; the first text that looks like a version counts."""
    command: Command
    operations: Sequence[Operation] = ALL
    signs: bool = True
    """It is a client of S3, and no plain one of HTTP."""


def library(name: str, distribution: str) -> Client:
    """Makes a client of a Python library, called by its program."""
    version = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    program = PROGRAMS / f"with_{distribution}.py"
    return Client(
        name,
        [BIN / "python", "-c", version],
        lambda ask: [BIN / "python", program, ask.operation, ask.endpoint, ask.bucket, ask.key, ask.output],
    )


def java(
    name: str, library: str, kind: str, operations: Sequence[Operation] = ALL, signs: bool = True
) -> Client:
    """Makes a client of a Java library, whose version stands in its file's name."""
    # Paths without a match stay as they are, so ls says what is missing.
    version = ["sh", "-c", f"ls {JAVA}/lib/{library}-[0-9]*.jar"]
    program = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{JAVA}:{JAVA}/lib/*", "Reads", kind]
    return Client(name, version, lambda ask: [*program, *arguments(ask)], operations, signs)


def go(
    name: str, module: str, kind: str, operations: Sequence[Operation] = ALL, signs: bool = True
) -> Client:
    """Makes a client of a Go module, whose version the program knows."""
    version = ["sh", "-c", f"go version -m {BIN / 'with_go'} | grep -P '\\t{module}\\t' | cut -f4"]
    if not signs:
        version = ["go", "version", BIN / "with_go"]
    return Client(name, version, lambda ask: [BIN / "with_go", kind, *arguments(ask)], operations, signs)


def arguments(ask: Ask) -> Sequence[str | Path]:
    return [ask.operation, ask.endpoint, ask.bucket, ask.key, ask.output]


def plain(
    name: str, *command: str, operations: Sequence[Operation] = WHOLE, version: str = "--version"
) -> Client:
    """Makes a client that writes a URL to a file; OUTPUT and URL stand for these."""

    def call(ask: Ask) -> Sequence[str | Path]:
        values = {"OUTPUT": str(ask.output), "NAME": ask.output.name, "URL": ask.url}
        filled = [values.get(each, each) for each in command]
        return to_file(ask, filled) if "OUTPUT" not in command and "NAME" not in command else filled

    return Client(name, [command[0], version], call, operations, signs=False)


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


def curl(*options: str) -> Command:
    def call(ask: Ask) -> Sequence[str | Path]:
        program = ["curl", "-sSf", *options]
        if ask.operation == "head":
            return to_file(ask, [*program, "-I", "-o", "/dev/null", "-w", "%header{content-length}", ask.url])
        span = ["-r", f"{RANGE.start}-{RANGE.stop - 1}"] if ask.operation == "range" else []
        return [*program, *span, "-o", ask.output, ask.url]

    return call


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


def node(program: str, interpreter: str = "node") -> Command:
    return lambda ask: [BIN / interpreter, PROGRAMS / program, *arguments(ask)]


def to_file(ask: Ask, command: Sequence[str | Path]) -> Sequence[str | Path]:
    """Wraps a command that writes its result to its standard output."""
    write = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[2:], stdout=open(sys.argv[1], 'wb')))"
    return [sys.executable, "-c", write, ask.output, *command]


def node_version(module: str) -> Sequence[str | Path]:
    return [
        BIN / "node",
        "-e",
        f"console.log(require(process.env.NODE_MODULES + '/{module}/package.json').version)",
    ]


CLIENTS: Sequence[Client] = (
    library("boto3", "boto3"),
    Client("aws-cli", [BIN / "aws", "--version"], aws_cli),
    library("minio-py", "minio"),
    library("s3fs", "s3fs"),
    library("pyarrow", "pyarrow"),
    library("obstore, unsigned", "obstore"),
    Client("rclone", [BIN / "rclone", "version"], rclone, operations=("get", "head", "download")),
    Client("s3cmd", [BIN / "python", BIN / "s3cmd", "--version"], s3cmd, operations=("get", "download")),
    Client("AWS SDK for JavaScript v3", node_version("@aws-sdk/client-s3"), node("with_aws_sdk.cjs")),
    Client("minio-js", node_version("minio"), node("with_minio.cjs")),
    Client("Bun.s3", [BUN, "--version"], lambda ask: [BUN, PROGRAMS / "with_bun.js", *arguments(ask)]),
    java("AWS SDK for Java v2, sync", "s3", "v2-sync"),
    java("AWS SDK for Java v2, Netty", "s3", "v2-netty"),
    java("AWS SDK for Java v2, Netty, `multipartEnabled`", "s3", "v2-multipart"),
    java("AWS SDK for Java v2, CRT", "aws-crt", "v2-crt"),
    java("S3TransferManager, Netty, `multipartEnabled`", "s3-transfer-manager", "v2-manager-netty", WHOLE),
    java("S3TransferManager, CRT", "s3-transfer-manager", "v2-manager-crt", WHOLE),
    java("AWS SDK for Java v1", "aws-java-sdk-s3", "v1"),
    java("AWS SDK for Java v1, TransferManager", "aws-java-sdk-s3", "v1-manager", WHOLE),
    java("minio-java", "minio", "minio"),
    java("Hadoop S3A", "hadoop-aws", "s3a"),
    go("AWS SDK for Go v2", "github.com/aws/aws-sdk-go-v2/service/s3", "aws-v2"),
    go("AWS SDK for Go v2, manager", "github.com/aws/aws-sdk-go-v2/feature/s3/manager", "manager", WHOLE),
    go(
        "AWS SDK for Go v2, transfermanager",
        "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager",
        "transfermanager",
        WHOLE,
    ),
    go("AWS SDK for Go v1", "github.com/aws/aws-sdk-go", "aws-v1"),
    go("minio-go", "github.com/minio/minio-go/v7", "minio"),
    Client("curl without `-L`", ["curl", "--version"], curl(), signs=False),
    Client("curl `-L`", ["curl", "--version"], curl("-L"), signs=False),
    plain("wget", "wget", "-q", "-O", "OUTPUT", "URL"),
    plain("wget2", "wget2", "-q", "-O", "OUTPUT", "URL"),
    plain("aria2c", "aria2c", "-q", "-x4", "-k1M", "-o", "NAME", "URL"),
    plain("axel", "axel", "-q", "-o", "OUTPUT", "URL"),
    plain("lynx", "lynx", "-source", "URL", version="-version"),
    Client("Node's fetch", [BIN / "node", "--version"], node("with_fetch.mjs"), signs=False),
    Client(
        "Bun's fetch",
        [BUN, "--version"],
        lambda ask: [BUN, PROGRAMS / "with_fetch.mjs", *arguments(ask)],
        signs=False,
    ),
    java("Apache HttpClient 5.4", "httpclient5", "apache5", signs=False),
    Client("java.net.http.HttpClient", ["java", "--version"], java("", "", "jdk").command, signs=False),
    go("Go's net/http", "", "net-http", signs=False),
)
