"""Shell scripts and the Dockerfile, by their linters."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from stack.render import CHECKOUT

SCRIPTS = [
    *CHECKOUT.glob("envoy/**/*.sh"),
    *CHECKOUT.glob("tests/compose/stand_ins/mc"),
    CHECKOUT / ".ci" / "run",
]
DOCKERFILE = CHECKOUT / "envoy" / "Dockerfile"


def tool(name: str) -> Path:
    return Path(sysconfig.get_path("scripts"), name)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_shellcheck_finds_nothing(script: Path) -> None:
    done = subprocess.run([tool("shellcheck"), script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([tool("hadolint"), DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_of_the_module_is_one_layer_with_the_module_in_it() -> None:
    """Istio and Envoy Gateway look for that in an image."""
    (stage,) = re.findall(r"^FROM scratch AS module\n(.*?)(?=\n\n|\Z)", DOCKERFILE.read_text(), re.M | re.S)
    assert stage == "COPY --from=shrinker /plugin.wasm /plugin.wasm"
