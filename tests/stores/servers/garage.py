"""Garage, built from Rust's registry: one node that is the whole cluster."""

from __future__ import annotations

import re
import secrets
import subprocess

from stack.children import StackError, free_ports
from stack.sigv4 import Credentials

from . import installed
from .local import BUCKET, Local


class Garage(Local):
    name = "garage"
    title = "Garage"
    install = "`make stores` builds it from Rust's registry"
    domain = "s3.localhost"

    @classmethod
    def version(cls) -> str | None:
        return installed.of_makefile("GARAGE_VERSION") if installed.garage().exists() else None

    def start(self, port: int) -> None:
        (rpc,) = free_ports(1)
        self.region = "garage"
        self._file = self.home / "garage.toml"
        self._file.write_text(
            f"""\
metadata_dir = "{self.home}/meta"
data_dir = "{self.home}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secrets.token_hex(32)}"

[s3_api]
s3_region = "{self.region}"
api_bind_addr = "127.0.0.1:{port}"
root_domain = ".{self.domain}"
"""
        )
        self._file.chmod(0o600)
        self.run([installed.garage(), "-c", self._file, "server"])

    def prepare(self) -> None:
        node = self._told("node", "id", "-q").split("@")[0].strip()
        self._told("layout", "assign", "-z", "here", "-c", "10G", node)
        self._told("layout", "apply", "--version", "1")
        self._told("bucket", "create", BUCKET)
        self.owner = self.reader = self.writer = self._key("owner", "--read", "--write", "--owner")
        self.reading = self._key("reading", "--read")

    def _key(self, name: str, *rights: str) -> Credentials:
        said = self._told("key", "create", name)
        found = [re.search(rf"{field}:\s*(\S+)", said) for field in ("Key ID", "Secret key")]
        key, secret = (each[1] if each else "" for each in found)
        self._told("bucket", "allow", *rights, BUCKET, "--key", key)
        return Credentials(key, secret)

    def _told(self, *arguments: str) -> str:
        argv = [installed.garage(), "-c", self._file, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"garage {' '.join(arguments)}: {done.stderr}")
        return done.stdout
