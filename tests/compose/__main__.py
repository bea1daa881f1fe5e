"""`make compose-test`: the compose file, with each of its stores and wirings, and checks through it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from stack import StackError
from stack.children import free_ports
from stack.render import CHECKOUT

from . import images
from .engine import Engine, started

PORTS = ("PORT", "STORE_CONSOLE_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")


@dataclass(frozen=True)
class Trial:
    name: str
    overrides: tuple[str, ...] = ()
    checks: str = "checks.py"
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        return [CHECKOUT / "envoy" / file for file in ("docker-compose.yaml", *self.overrides)]


TRIALS = (
    Trial("MinIO"),
    Trial("SeaweedFS", ("docker-compose.seaweedfs.yaml",)),
    *([Trial("Garage", ("docker-compose.garage.yaml",))] if images.GARAGE else []),
    Trial(
        "SeaweedFS, transparent",
        ("docker-compose.seaweedfs.yaml",),
        "checks_transparent.py",
        {"WIRING": "transparent"},
    ),
)


def main() -> int:
    try:
        with started() as engine:
            _say("building the images that there is no registry for...")
            images.build(engine)
            return max([_carry_out(trial, engine) for trial in TRIALS])
    except StackError as error:
        print(f"make compose-test: {error}", file=sys.stderr)
        return 1


def _carry_out(trial: Trial, engine: Engine) -> int:
    ports = {name: str(port) for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)}
    variables = {**ports, **trial.variables}
    _say(f"bringing up {' + '.join(file.name for file in trial.files)} ({trial.name})...")
    try:
        engine.compose(trial.files, variables, "up", "--build", "--detach")
        exit_code = _check(trial, engine, ports)
    except StackError:
        _show_logs(trial, engine, variables)
        raise
    if exit_code:
        _show_logs(trial, engine, variables)
    engine.compose(trial.files, variables, "down", "--volumes")
    return exit_code


def _check(trial: Trial, engine: Engine, ports: Mapping[str, str]) -> int:
    told = {f"COMPOSE_TEST_{name}": value for name, value in {**ports, "DOCKER_HOST": engine.host}.items()}
    argv = [sys.executable, "-m", "pytest", "--quiet", str(Path(__file__).with_name(trial.checks))]
    return subprocess.run(argv, cwd=CHECKOUT, env={**os.environ, **told}, check=False).returncode


def _show_logs(trial: Trial, engine: Engine, variables: Mapping[str, str]) -> None:
    with suppress(StackError):
        print(engine.compose(trial.files, variables, "logs", "--tail", "40"))


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
