"""SeaweedFS as the embedded S3 server: all ports its own, on loopback, its data kept on demand."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sysconfig
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from xml.etree import ElementTree

from .children import Child, StackError, free_ports
from .sigv4 import Credentials
from .store import Answer, S3Store

SERVERS = ("master", "volume", "filer", "s3")
START_TIMEOUT = 60.0
"""Seconds. It takes 3 on an idle machine; test runs share theirs."""

ATTEMPTS = 3
"""Attempts to start, because another program may take a port between its choice and its bind."""

DIRECTORY = "seaweedfs"
"""Its directory in that of the run."""

PORTS = "ports"
"""The file in which a running SeaweedFS notes its ports, for the next run's tidying."""

S3_XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class SeaweedFS(S3Store):
    """An S3Store that starts on entry. Its own `get`, `put` and `list` see the bucket as its owner does.

    With `keep` it begins with what an earlier one left in the directory of the run.
    """

    def __init__(
        self,
        run_dir: Path,
        bucket: str = "mirror",
        region: str = "us-east-1",
        *,
        also: Sequence[str] = (),
        keep: bool = False,
    ) -> None:
        """`also` names more buckets, with the same reader and writer."""
        super().__init__("", region, bucket, reader=_random_credentials(), writer=_random_credentials())
        self.owner = _random_credentials()
        self._buckets = [bucket, *also]
        self._keep = keep
        self._dir = run_dir / DIRECTORY
        self.child: Child

    def __enter__(self) -> SeaweedFS:
        for attempt in range(1, ATTEMPTS + 1):
            if not self._keep:
                shutil.rmtree(self._dir, ignore_errors=True)
            (self._dir / "data").mkdir(parents=True, exist_ok=True)
            self.child = Child(
                "SeaweedFS",
                self._argv(),
                cwd=self._dir,
                stderr=self._dir / "log",
                env=_environment(self._dir),
            )
            try:
                self.child.wait_until(self._healthy, START_TIMEOUT)
                for bucket in self._buckets:
                    self._create_bucket(bucket)
                self._warm_up()
                return self
            except StackError:
                self.stop()
                if attempt == ATTEMPTS or "address already in use" not in self.child.tail():
                    raise
            except BaseException:
                self.stop()
                raise
        raise AssertionError("the last attempt returns or raises")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        # There is nothing to save, and its own shutdown takes 25 seconds.
        self.child.stop(grace=0)
        remove_sockets(self._dir)

    def of(self, bucket: str) -> S3Store:
        """Returns one of the buckets, as its owner sees it."""
        return S3Store(self.url, self.region, bucket, self.owner, self.owner)

    def get(self, key: str) -> Answer:
        return self.request("GET", key, self.owner)

    def put(self, key: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        status, _, answer = self.request("PUT", key, self.owner, body=body, headers=headers)
        if status != 200:
            raise StackError(f"PUT {key}: {status} {answer.decode(errors='replace')}")

    def delete(self, key: str) -> None:
        self.request("DELETE", key, self.owner)

    def list(self, prefix: str = "") -> list[str]:
        """Lists all keys that start with the prefix."""
        keys: list[str] = []
        query = {"list-type": "2", "prefix": prefix}
        while True:
            _, _, body = self.request("GET", "", self.owner, query=query)
            root = ElementTree.fromstring(body)
            keys += [node.text or "" for node in root.iterfind(f"{S3_XML}Contents/{S3_XML}Key")]
            token = root.findtext(f"{S3_XML}NextContinuationToken")
            if not token:
                return keys
            query["continuation-token"] = token

    def _argv(self) -> list[str | Path]:
        config = self._dir / "s3.json"
        config.write_text(json.dumps({"identities": self._identities()}))
        config.chmod(0o600)
        chosen = free_ports(2 * len(SERVERS))
        (self._dir / PORTS).write_text("\n".join(map(str, chosen)))
        ports = iter(chosen)
        options = {
            "dir": self._dir / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.config": config,
            # 0 is off: both default to fixed ports.
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.allowedOrigins": "http://none.invalid",  # CORS headers come from the edge alone.
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 1024,
            "volume.max": 100,
            **{f"{server}.port": next(ports) for server in SERVERS},
            **{f"{server}.port.grpc": next(ports) for server in SERVERS},
        }
        arguments = [f"-{name}={value}" for name, value in options.items()]
        self.url = f"http://127.0.0.1:{options['s3.port']}"
        return [_binary(), "-logtostderr", "server", "-filer", "-s3", *arguments]

    def _identities(self) -> list[dict[str, object]]:
        actions = {
            self.reader: [f"{what}:{bucket}" for bucket in self._buckets for what in ("Read", "List")],
            self.writer: [f"{what}:{bucket}" for bucket in self._buckets for what in ("Read", "Write")],
            self.owner: ["Admin"],
        }
        return [
            {
                "name": who.access_key,
                "credentials": [{"accessKey": who.access_key, "secretKey": who.secret_key}],
                "actions": allowed,
            }
            for who, allowed in actions.items()
        ]

    def _healthy(self) -> bool:
        with contextlib.suppress(OSError, HTTPException):
            status, _, _ = self.send("GET", "/healthz", {})
            return status == 200
        return False

    def _create_bucket(self, bucket: str) -> None:
        if self._keep and self.of(bucket).request("HEAD", "", self.owner)[0] == 200:
            return
        status, _, body = self.of(bucket).request("PUT", "", self.owner)
        if status != 200:
            raise StackError(f"SeaweedFS does not create the bucket {bucket}: {status} {body.decode()}")

    def _warm_up(self) -> None:
        """Makes the first write, which lays out the volumes and takes up to 3 seconds: better now than in a
        test.
        """
        self.put("warm-up", b"any byte")
        self.delete("warm-up")


def remove_sockets(directory: Path) -> None:
    """Removes the sockets of a SeaweedFS that ran in a directory and has ended: it always puts them into
    /tmp.
    """
    noted = directory / PORTS
    for port in noted.read_text().split() if noted.exists() else ():
        for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            socket.unlink(missing_ok=True)


def _random_credentials() -> Credentials:
    return Credentials(access_key=secrets.token_hex(10), secret_key=secrets.token_hex(20))


def _binary() -> Path:
    path = Path(sysconfig.get_path("scripts"), "weed")
    if not path.exists():
        raise StackError(f"SeaweedFS is not installed: no {path}; `make run` installs it")
    return path


def _environment(home: Path) -> dict[str, str]:
    """Returns an environment without hidden settings: a ~/.seaweedfs, and variables that it reads."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_", "WEED_"))
    }
    return {**kept, "HOME": str(home)}
