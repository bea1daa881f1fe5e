"""The files for systemd: what each service may do, and that its page names all of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.render import CHECKOUT

UNITS = CHECKOUT / "envoy" / "systemd"
PAGE = (CHECKOUT / "docs" / "deploy-machine.md").read_text()
START = (CHECKOUT / "envoy" / "configuration" / "start.sh").read_text()


def settings(unit: str) -> Iterator[tuple[str, str]]:
    for line in (UNITS / f"mirror-on-miss-{unit}.service").read_text().splitlines():
        if re.match(r"\w+=", line):
            name, _, value = line.partition("=")
            yield name, value


@pytest.mark.parametrize("unit", ["edge", "signer"])
def test_a_service_runs_as_a_user_of_its_own_without_more_than_it_needs(unit: str) -> None:
    own = dict(settings(unit))
    assert own["User"] == f"mirror-on-miss-{unit}"
    assert f"u mirror-on-miss-{unit} - " in (UNITS / "mirror-on-miss.sysusers").read_text()
    assert (own["NoNewPrivileges"], own["ProtectSystem"]) == ("true", "strict")
    assert own["CapabilityBoundingSet"] == ("CAP_NET_BIND_SERVICE" if unit == "edge" else "")
    assert own["ExecStart"].startswith(f"/bin/sh /usr/local/lib/mirror-on-miss/start.sh {unit} ")


def test_the_signer_stays_on_loopback_whatever_the_edge_listens_on() -> None:
    assert ("UnsetEnvironment", "LISTEN") in set(settings("signer"))


def test_every_variable_of_the_environment_is_one_of_start_sh() -> None:
    named = set(re.findall(r"^#? ?([A-Z_0-9]+)=", (UNITS / "environment").read_text(), re.MULTILINE))
    assert {"BUCKET", "ORIGIN", "TLS_KEY"} <= named
    assert [name for name in named if not re.search(rf"^#   .*\b{name}\b", START, re.MULTILINE)] == []


def test_the_page_installs_every_file() -> None:
    assert [
        file.name
        for file in UNITS.iterdir()
        if f"envoy/systemd/{file.name}" not in PAGE and f"envoy/systemd/*{file.suffix}" not in PAGE
    ] == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("unit", ["edge", "signer"])
def test_systemd_itself_finds_nothing_wrong(unit: str, tmp_path: Path) -> None:
    for file in UNITS.glob("*.service"):
        # The page is not installed here.
        text = re.sub("^Documentation=.*\n", "", file.read_text(), flags=re.MULTILINE)
        (tmp_path / file.name).write_text(text)
    verify = ["systemd-analyze", "verify", "--man=no", str(tmp_path / f"mirror-on-miss-{unit}.service")]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "mirror-on-miss" in line] == []
