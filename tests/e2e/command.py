"""The command `mirror-on-miss`, as `cargo` builds it."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

from stack.render import CHECKOUT


@functools.cache
def command() -> Path:
    """Builds the command, unless `cargo test` has just done so, and returns its path."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))
    build = ["cargo", "build", "--quiet", "--locked", "--bin", "mirror-on-miss"]
    subprocess.run(build, cwd=CHECKOUT, check=True)
    return target / "debug" / "mirror-on-miss"
