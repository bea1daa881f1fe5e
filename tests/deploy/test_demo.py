"""envoy/compose/demo.sh, with a stand-in for docker: it starts the store that was asked for, and it ends."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stack.render import CHECKOUT

DEMO = CHECKOUT / "envoy" / "compose" / "demo.sh"

DOCKER = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
  *version*) exit 0 ;;
  *" up "*) exit "$UP" ;;
  *" exec "*) exit "$READY" ;;
  *" logs "*) echo "signer said: no credential" ;;
esac
"""


def demo(
    tmp_path: Path, *arguments: str, up: int = 0, ready: int = 0, **variables: str
) -> tuple[int, str, str]:
    """Returns exit code, standard error, and what docker was asked."""
    for name, text in (("docker", DOCKER), ("curl", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(calls), "UP": str(up), "READY": str(ready)}
    argv = ["sh", DEMO, *arguments]
    done = subprocess.run(
        argv, env={**env, **variables}, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr, calls.read_text()


@pytest.mark.parametrize("kind", ["garage", "seaweedfs"])
def test_the_kind_chooses_the_store(tmp_path: Path, kind: str) -> None:
    code, said, calls = demo(tmp_path, STORE_KIND=kind)
    assert (code, said) == (0, "")
    assert (
        f"-f {DEMO.parent}/../docker-compose.yaml -f {DEMO.parent}/../docker-compose.{kind}.yaml up" in calls
    )
    assert f"docker-compose.{kind}.yaml down --volumes" in demo(tmp_path, "down", STORE_KIND=kind)[2]


def test_by_default_it_is_minio(tmp_path: Path) -> None:
    code, said, calls = demo(tmp_path)
    assert (code, said) == (0, "")
    assert "docker-compose.yaml up --build --detach" in calls


def test_a_kind_that_is_no_store_of_the_demo_is_named(tmp_path: Path) -> None:
    code, said, calls = demo(tmp_path, STORE_KIND="aws")
    assert (code, calls) == (1, "")
    assert said == "demo: STORE_KIND=aws is not allowed: minio, seaweedfs or garage\n"


@pytest.mark.parametrize(
    ("up", "ready", "says"), [(1, 0, "it did not start"), (0, 1, "the signer is not ready after 0 s")]
)
def test_what_does_not_come_up_ends_with_what_the_containers_said(
    tmp_path: Path, up: int, ready: int, says: str
) -> None:
    code, said, _ = demo(tmp_path, up=up, ready=ready, DEMO_TIMEOUT="0")
    assert code == 1
    assert "signer said: no credential" in said
    assert said.splitlines()[-1] == (
        f"demo: {says}. Above is what its containers said last; make demo-down ends all of it."
    )
