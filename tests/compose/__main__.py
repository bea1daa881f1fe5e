"""`make compose-test`: the compose file with each of its stores, and the checks of `checks` through it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from stack import StackError
from stack.children import free_ports
from stack.render import CHECKOUT

from . import images
from .engine import Engine, started

STORES = {
    "MinIO": ["docker-compose.yaml"],
    "SeaweedFS": ["docker-compose.yaml", "docker-compose.seaweedfs.yaml"],
}
PORTS = ("PORT", "STORE_CONSOLE_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")


def main() -> int:
    try:
        with started() as engine:
            _say("building the images that there is no registry for...")
            images.build(engine)
            return max(
                [
                    _try(engine, store, [CHECKOUT / "envoy" / file for file in files])
                    for store, files in STORES.items()
                ]
            )
    except StackError as error:
        print(f"make compose-test: {error}", file=sys.stderr)
        return 1


def _try(engine: Engine, store: str, files: list[Path]) -> int:
    variables = {name: str(port) for name, port in zip(PORTS, free_ports(len(PORTS)))}
    _say(f"bringing up {' + '.join(file.name for file in files)} ({store})...")
    try:
        engine.compose(files, variables, "up", "--build", "--detach")
        told = {
            "COMPOSE_TEST_STORE": store,
            "COMPOSE_TEST_DOCKER_HOST": engine.host,
            **{f"COMPOSE_TEST_{name}": port for name, port in variables.items()},
        }
        argv = [sys.executable, "-m", "pytest", "--quiet", str(Path(__file__).with_name("checks.py"))]
        exit_code = subprocess.run(argv, cwd=CHECKOUT, env={**os.environ, **told}, check=False).returncode
    except StackError:
        with suppress(StackError):
            print(engine.compose(files, variables, "logs", "--tail", "40"))
        raise
    if exit_code:
        print(engine.compose(files, variables, "logs", "--tail", "40"))
    engine.compose(files, variables, "down", "--volumes")
    return exit_code


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
