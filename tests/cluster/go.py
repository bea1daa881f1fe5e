"""What comes from Go's registry: the control plane's program, and definitions of custom resources."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from stack.children import StackError
from stack.render import CHECKOUT

PROGRAM = Path(__file__).with_name("program")
KUBERNETES = "1.35.4"
"""As in program/go.mod."""

OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.92.1"

MODULES = {
    "istio.io/api@v1.29.5": "h1:LDukCsRZyL4C3O644yOvN8qv6wVMjvydGDt4X9pxpDM=",
    "sigs.k8s.io/gateway-api@v1.6.1": "h1:mock6phZbI6rvZerwrVNk7hVNymQgHo+6sJ81Ia7ftY=",
    "github.com/envoyproxy/gateway@v1.9.0": "h1:PaOpud15v3kDCl3L5yc1TdYzggCMpRm1yRjNKmLkzHA=",
    OPERATOR: "h1:rHWuFo6SVya4FBSCNg2DCzyc4xAv54zk3eDTzp5mQZc=",
}
"""The modules that have the definitions, and their checksums."""

DEFINITIONS = {
    "istio.io/api@v1.29.5": ["kubernetes/customresourcedefinitions.gen.yaml"],
    "sigs.k8s.io/gateway-api@v1.6.1": ["config/crd/experimental/gateway.networking*.yaml"],
    "github.com/envoyproxy/gateway@v1.9.0": ["charts/gateway-helm/charts/crds/crds/generated/*.yaml"],
    OPERATOR: [
        "example/prometheus-operator-crd/*_podmonitors.yaml",
        "example/prometheus-operator-crd/*_prometheusrules.yaml",
    ],
}


def control_plane() -> Path:
    """Returns the program. It is built once, which takes ten minutes, and kept."""
    sources = b"".join(path.read_bytes() for path in sorted(PROGRAM.iterdir()))
    built = CHECKOUT / "target" / "control-plane" / hashlib.sha256(sources).hexdigest()[:16] / "control-plane"
    if not built.exists():
        print(
            f"building the control plane of Kubernetes {KUBERNETES}, once: this takes ten minutes...",
            flush=True,
        )
        built.parent.mkdir(parents=True, exist_ok=True)
        new = built.with_suffix(".new")
        version = f"-X k8s.io/component-base/version.gitVersion=v{KUBERNETES}"
        _go("build", "-ldflags", version, "-o", new, ".", cwd=PROGRAM)
        new.rename(built)
    return built


def definitions() -> list[Path]:
    """Returns the files of the custom resources' definitions, out of modules that are what they were."""
    found: list[Path] = []
    for module, checksum in MODULES.items():
        told = json.loads(_go("mod", "download", "-json", module, cwd=PROGRAM))
        if told["Sum"] != checksum:
            raise StackError(f"{module} has the checksum {told['Sum']}, not {checksum}")
        files = [path for pattern in DEFINITIONS[module] for path in sorted(Path(told["Dir"]).glob(pattern))]
        if not files:
            raise StackError(f"{module} has none of {DEFINITIONS[module]}")
        found += files
    return found


def _go(*arguments: str | Path, cwd: Path) -> str:
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if not go:
        raise StackError(
            "no go: install Go 1.25, https://go.dev/doc/install, or golang-go of Debian's backports"
        )
    done = subprocess.run([go, *arguments], cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise StackError(f"go {arguments[0]} failed")
    return done.stdout
