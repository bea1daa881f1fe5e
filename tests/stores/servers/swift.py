"""OpenStack Swift with its s3api, from PyPI: four servers, one device, one replica."""

from __future__ import annotations

import subprocess
from pathlib import Path

from stack.children import StackError, free_ports
from stack.sigv4 import Credentials

from . import installed
from .local import Local

SERVERS = ("account", "container", "object")
PIPELINE = (
    "catch_errors proxy-logging cache listing_formats bulk s3api tempauth copy slo versioned_writes symlink"
    " proxy-logging proxy-server"
)


class Swift(Local):
    name = "swift"
    title = "OpenStack Swift"
    install = "`make stores` installs it from PyPI"
    domain = "s3.localhost"

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir)
        # An account and a user of it, and the user's key: https://docs.openstack.org/swift/latest/overview_auth.html
        self.owner = self.reader = self.writer = Credentials("site:owner", self.owner.secret_key)

    @classmethod
    def version(cls) -> str | None:
        return installed.of_python("swift") if installed.program("swift-proxy-server") else None

    def start(self, port: int) -> None:
        ports = dict(zip(SERVERS, free_ports(len(SERVERS)), strict=True))
        (self.home / "devices" / "d1").mkdir(parents=True)
        (self.home / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n"
            "[storage-policy:0]\nname = one\ndefault = yes\n"
        )
        self._environment = {"SWIFT_DIR": str(self.home)}
        for server, at in ports.items():
            self._ring(server, at)
            self.run(
                self._argv(f"swift-{server}-server", self._file(server, at, f"{server}-server", server)),
                port=at,
                name=server,
            )
        self.run(self._argv("swift-proxy-server", self._proxy(port)), name="proxy")

    def _argv(self, program: str, file: Path) -> list[str | Path]:
        return [installed.HOME / "bin" / "python", installed.HOME / "bin" / program, file]

    def _file(self, server: str, port: int, pipeline: str, app: str) -> Path:
        file = self.home / f"{server}.conf"
        file.write_text(
            f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 1\nswift_dir = {self.home}\n"
            f"devices = {self.home}/devices\nmount_check = false\nuser = root\nfallocate_reserve = 0\n"
            f"disable_fallocate = true\n"
            f"[pipeline:main]\npipeline = {pipeline}\n"
            f"[app:{pipeline}]\nuse = egg:swift#{app}\n"
        )
        return file

    def _proxy(self, port: int) -> Path:
        file = self.home / "proxy.conf"
        filters = {
            "catch_errors": "",
            "proxy-logging": "use = egg:swift#proxy_logging",
            "cache": "use = egg:swift#memcache\nmemcache_servers = 127.0.0.1:1",
            "listing_formats": "",
            "bulk": "",
            "s3api": f"s3_acl = false\nlocation = {self.region}\nstorage_domain = {self.domain}",
            "tempauth": f"user_site_owner = {self.owner.secret_key} .admin",
            "copy": "",
            "slo": "",
            "symlink": "",
            "versioned_writes": "allow_object_versioning = true",
        }
        sections = "".join(
            f"[filter:{name}]\n{'' if 'use =' in options else f'use = egg:swift#{name}'}\n{options}\n"
            for name, options in filters.items()
        )
        file.write_text(
            f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 2\nswift_dir = {self.home}\n"
            f"user = root\n[pipeline:main]\npipeline = {PIPELINE}\n"
            f"[app:proxy-server]\nuse = egg:swift#proxy\nallow_account_management = true\n"
            f"account_autocreate = true\n"
            f"{sections}"
        )
        return file

    def _ring(self, server: str, port: int) -> None:
        builder = self.home / f"{server}.builder"
        for arguments in (
            ["create", "4", "1", "1"],
            ["add", f"r1z1-127.0.0.1:{port}/d1", "1"],
            ["rebalance"],
        ):
            argv = self._argv("swift-ring-builder", builder) + arguments
            done = subprocess.run(argv, cwd=self.home, capture_output=True, text=True, check=False)
            if done.returncode > 1:  # 1 is a warning.
                raise StackError(f"swift-ring-builder {arguments[0]}: {done.stdout}{done.stderr}")
