"""Ceph's RADOS Gateway, from the machine's packages: one monitor, one OSD in memory, one gateway."""

from __future__ import annotations

import json
import re
import subprocess
import time
import uuid
from pathlib import Path

from stack.children import StackError, free_ports
from stack.sigv4 import Credentials

from . import installed
from .local import Local
from .policies import LIST, READ, policy

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")

ATTEMPTS = 6


class Ceph(Local):
    name = "ceph"
    title = "Ceph RGW"
    install = "Debian's packages: apt install ceph-common ceph-mon ceph-osd radosgw"
    domain = "s3.localhost"

    @classmethod
    def version(cls) -> str | None:
        gateway = installed.system_program("radosgw")
        if gateway is None or any(installed.system_program(each) is None for each in PROGRAMS):
            return None
        said = subprocess.run([gateway, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"version (\d+\.\d+\.\d+)", said)
        return found[1] if found else None

    def start(self, port: int) -> None:
        monitor, cluster, disk = *free_ports(1), str(uuid.uuid4()), str(uuid.uuid4())
        self._file = self.home / "ceph.conf"
        for each in ("mon", "osd", "rgw"):
            (self.home / each).mkdir()
        self._file.write_text(
            f"""\
[global]
fsid = {cluster}
mon host = v1:127.0.0.1:{monitor}
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
run dir = {self.home}
admin socket = {self.home}/$name.asok
crash dir = {self.home}
log file = {self.home}/$name.log
mon data = {self.home}/mon
osd data = {self.home}/osd
rgw data = {self.home}/rgw
osd objectstore = memstore
memstore device bytes = 4294967296
osd crush chooseleaf type = 0
osd class update on start = false
osd crush update on start = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
rgw dns name = {self.domain}
rgw frontends = beast endpoint=127.0.0.1:{port}
"""
        )
        address = f"[v1:127.0.0.1:{monitor}]"
        self._told("monmaptool", "--create", "--addv", "a", address, "--fsid", cluster, self._map)
        self._told("ceph-mon", "--mkfs", "-i", "a", "--monmap", self._map)
        self.run(self._argv("ceph-mon", "-f", "-i", "a"), port=monitor, name="mon")
        self._told("ceph", "osd", "new", disk)
        # An OSD that asks for this itself sometimes does so before it knows the cluster, and ends.
        self._told("ceph", "osd", "crush", "add", "osd.0", "1", "root=default")
        self._told("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self.run(self._argv("ceph-osd", "-f", "-i", "0"), port=monitor, name="osd")
        self.run(self._argv("radosgw", "-f", "-n", "client.rgw"), name="rgw")

    def prepare(self) -> None:
        self._user("owner", self.owner)
        super().prepare()
        self.blind, self.reading = Credentials("blind", "blind-key"), Credentials("reading", "reading-key")
        statements = []
        for name, who, actions in (("blind", self.blind, READ), ("reading", self.reading, READ + LIST)):
            self._user(name, who)
            statements += json.loads(policy(actions, f"arn:aws:iam:::user/{name}"))["Statement"]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements}).encode()
        status, _, body = self.request("PUT", "", self.owner, query={"policy": ""}, body=document)
        if status // 100 != 2:
            raise StackError(f"Ceph refuses the policy: {status} {body.decode()}")

    @property
    def _map(self) -> Path:
        return self.home / "monmap"

    def _user(self, name: str, who: Credentials) -> None:
        keys = ["--access-key", who.access_key, "--secret-key", who.secret_key]
        self._told("radosgw-admin", "user", "create", "--uid", name, "--display-name", name, *keys)

    def _argv(self, program: str, *arguments: str | Path) -> list[str | Path]:
        return [installed.system_program(program) or program, "-c", self._file, *arguments]

    def _told(self, program: str, *arguments: str | Path) -> str:
        """Runs a command. A monitor that has just begun refuses some, and each may be repeated."""
        argv = self._argv(program, *arguments)
        for attempt in range(1, ATTEMPTS + 1):
            done = subprocess.run(
                argv, cwd=self.home, capture_output=True, text=True, check=False, timeout=120
            )
            if done.returncode == 0:
                return done.stdout
            time.sleep(attempt / 2)
        raise StackError(f"{program} {arguments[0]}: {done.stdout[-500:]}{done.stderr[-1500:]}")
