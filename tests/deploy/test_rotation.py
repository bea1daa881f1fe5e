"""A key that is replaced while each shipped Envoy runs: it signs with the new one, without a restart."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from doubles import ScriptedOrigin
from e2e.client import ask
from stack import Envoy
from stack.render import CHECKOUT, named
from stack.stack import WASM

START = CHECKOUT / "envoy" / "configuration" / "start.sh"
READER, WRITER = "reader.credentials", "writer.credentials"
SIGNING = {"edge": ("GET", "/x", READER), "transparent": ("GET", "/my-bucket/x", READER)}
SIGNING["signer"] = ("HEAD", "/my-bucket/x", WRITER)
PATIENCE = 15.0
"""The seconds after which a key must be in use."""


class Volume:
    """A Secret's volume. The files are links through `..data`, which the kubelet renames into place:
    https://github.com/kubernetes/kubernetes/blob/v1.35.4/pkg/volume/util/atomic_writer.go
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._versions = 0

    def write(self, name: str, text: str) -> None:
        self._versions += 1
        version = self.path / f"..v{self._versions}"
        version.mkdir(parents=True)
        (version / name).write_text(text)
        link = self.path / "..data_tmp"
        link.symlink_to(version.name)
        os.replace(link, self.path / "..data")
        if self._versions == 1:
            (self.path / name).symlink_to(f"..data/{name}")


def replace(path: Path, name: str, text: str) -> None:
    """Does what docs/deploy-compose.md tells: writes beside the file, and moves over it."""
    path.mkdir(exist_ok=True)
    (path / "new").write_text(text)
    os.replace(path / "new", path / name)


def credentials(key: str) -> str:
    return f"[default]\naws_access_key_id={key}\naws_secret_access_key=secret-of-{key}\n"


@pytest.fixture
def store() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as running:
        running.put("/my-bucket/x", b"object")
        yield running


def signed_by(store: ScriptedOrigin) -> str:
    authorization = store.asked("/my-bucket/x")[-1].header("authorization") or ""
    (key,) = re.findall(r"Credential=(\w+)/", authorization)
    return key


def running(tmp_path: Path, name: str, store: ScriptedOrigin) -> Envoy:
    environment = {"PATH": "/usr/bin:/bin", "STORE": store.url, "MODULE": str(WASM)}
    argv = ["sh", START, "print", name]
    text = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout
    config = yaml.safe_load(text.replace("/etc/mirror-on-miss", str(tmp_path / "secret")))
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    listener = "signer" if name == "signer" else "edge"
    place = {"address": "127.0.0.1", "port_value": 0}
    named(config["static_resources"]["listeners"], listener)["address"]["socket_address"] = place
    for cluster in config["static_resources"]["clusters"]:
        # Of the origin; nothing here comes to that.
        cluster.pop("transport_socket", None)
    return Envoy(listener, config, tmp_path, workers=1)


@pytest.mark.parametrize("how", ["kubernetes", "compose"])
@pytest.mark.parametrize("name", SIGNING)
def test_a_replaced_key_is_in_use_within_seconds(
    tmp_path: Path, store: ScriptedOrigin, name: str, how: str
) -> None:
    method, path, file = SIGNING[name]
    volume = tmp_path / "secret"
    write = Volume(volume).write if how == "kubernetes" else partial(replace, volume)
    write(file, credentials("AKIAOLD"))
    envoy = running(tmp_path, name, store)
    envoy.start()
    try:
        assert ask(envoy.url, path, method).status == 200
        assert signed_by(store) == "AKIAOLD"
        write(file, credentials("AKIANEW"))
        end = time.monotonic() + PATIENCE
        while signed_by(store) == "AKIAOLD":
            assert time.monotonic() < end, "the old key is still in use"
            assert ask(envoy.url, path, method).status == 200
        assert signed_by(store) == "AKIANEW"
    finally:
        envoy.stop()
