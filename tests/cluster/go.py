"""What comes from Go's registry: programs of Kubernetes, Envoy Gateway, Istio and Helm, and definitions."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from stack.children import StackError
from stack.render import CHECKOUT

SOURCES = Path(__file__).parent
KUBERNETES = "1.35.4"
"""As in program/go.mod."""

HELM3 = "3.17.4"
"""As in helm3/go.mod."""

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
    """Returns the program that is etcd, the API server, the controllers and the scheduler of Kubernetes."""
    version = f"-X k8s.io/component-base/version.gitVersion=v{KUBERNETES}"
    return _built("program", f"the control plane of Kubernetes {KUBERNETES}", "-ldflags", version, ".")


def gateway() -> Path:
    """Returns Envoy Gateway's own program, `egctl`."""
    return _built("gateway", "Envoy Gateway's egctl", "github.com/envoyproxy/gateway/cmd/egctl")


def gateway_server() -> Path:
    """Returns Envoy Gateway itself."""
    package = "github.com/envoyproxy/gateway/cmd/envoy-gateway"
    return _built("gateway", "Envoy Gateway", package, name="server")


def istio() -> Path:
    """Returns the program that has Istio's analyzers and its translation for Envoy."""
    return _built("istio", "Istio's analyzers and pilot", ".")


def helm3() -> Path:
    """Returns the oldest Helm that docs/deploy-helm.md names."""
    values = {
        "internal/version.version": f"v{HELM3}",
        # What `helm template` takes for granted: the version of its Kubernetes modules.
        "pkg/chartutil.k8sVersionMajor": "1",
        "pkg/chartutil.k8sVersionMinor": "32",
    }
    flags = " ".join(f"-X helm.sh/helm/v3/{name}={value}" for name, value in values.items())
    return _built("helm3", f"Helm {HELM3}", "-ldflags", flags, "helm.sh/helm/v3/cmd/helm")


def _built(directory: str, what: str, *arguments: str, name: str = "") -> Path:
    """Builds a program once, which takes ten minutes, and keeps it."""
    home = SOURCES / directory
    sources = b"".join(path.read_bytes() for path in sorted(home.iterdir()))
    built = CHECKOUT / "target" / "cluster" / hashlib.sha256(sources).hexdigest()[:16] / (name or directory)
    if not built.exists():
        print(f"building {what}, once: this takes ten minutes...", flush=True)
        built.parent.mkdir(parents=True, exist_ok=True)
        new = built.with_suffix(".new")
        _go("build", "-o", new, *arguments, cwd=home)
        new.rename(built)
    return built


def definitions() -> list[Path]:
    """Returns the files of the custom resources' definitions, out of modules that are what they were."""
    found: list[Path] = []
    for module, checksum in MODULES.items():
        told = json.loads(_go("mod", "download", "-json", module, cwd=SOURCES / "program"))
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
        raise StackError("no go: install Go 1.26, https://go.dev/doc/install")
    done = subprocess.run([go, *arguments], cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise StackError(f"go {arguments[0]} failed")
    return done.stdout
