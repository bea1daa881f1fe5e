"""What a cluster must make of the manifests. Each check is a function, named for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from deploy.kustomize import KUBERNETES

from .server import Server
from .sites import COMPONENTS, EVERYTHING, accepted, site

REFERENCE = (
    '{range .items[?(@.kind=="Deployment")]}'
    '{.spec.template.spec.volumes[?(@.name=="module")].image.reference}{"\\n"}{end}'
)
"""docs/deploy-kubernetes.md has it."""

Check = Callable[[Server, Path], None]


def base_alone(server: Server, work: Path) -> None:
    accepted(server, KUBERNETES / "base", "-n", server.namespace("base"))


def component(name: str) -> Check:
    def check(server: Server, work: Path) -> None:
        accepted(server, site(work / name, "base", [name]), "-n", server.namespace(f"with-{name}"))

    return check


def components_together(server: Server, work: Path) -> None:
    accepted(server, site(work / "together", "base", EVERYTHING), "-n", server.namespace("together"))


def a_removal_leaves_namespace_and_secrets(server: Server, work: Path) -> None:
    for overlay in ("signer", "istio", "istio-sidecar", "envoy-gateway"):
        server.told("apply", "-k", KUBERNETES / "overlays" / overlay)
        server.told("delete", "-k", KUBERNETES / "overlays" / overlay)
        server.told("-n", "mirror-on-miss", "get", "secret", "writer-credentials")


def istio_s_sidecar(server: Server, work: Path) -> None:
    server.told("create", "namespace", "shop")
    accepted(server, KUBERNETES / "overlays" / "istio-sidecar")


def platform(overlay: str, *components: str) -> Check:
    """An overlay as a site has it: with the names of its settings, and components of its own."""

    def check(server: Server, work: Path) -> None:
        directory = work / "-".join([overlay, *components]).replace("/", "-")
        names = [f"{KUBERNETES}/overlays/{each}" for each in (f"{overlay}/names", *components)]
        server.told("delete", "-k", KUBERNETES / "overlays" / overlay, "--ignore-not-found")
        site(directory, f"overlays/{overlay}", [])
        document = json.loads((directory / "kustomization.yaml").read_text())
        document["components"] = [os.path.relpath(name, directory.resolve()) for name in names]
        (directory / "kustomization.yaml").write_text(json.dumps(document))
        accepted(server, directory)
        server.told("delete", "-k", directory)

    return check


def signer_alone(server: Server, work: Path) -> None:
    server.namespace("mirror-on-miss")
    accepted(server, KUBERNETES / "overlays" / "signer")


def istio(server: Server, work: Path) -> None:
    server.told("create", "namespace", "istio-ingress")
    accepted(server, KUBERNETES / "overlays" / "istio")


def istio_transparent(server: Server, work: Path) -> None:
    server.told("delete", "-k", KUBERNETES / "overlays" / "istio")
    accepted(server, KUBERNETES / "overlays" / "istio-transparent")


def envoy_gateway(server: Server, work: Path) -> None:
    accepted(server, KUBERNETES / "overlays" / "envoy-gateway")


def envoy_gateway_transparent(server: Server, work: Path) -> None:
    server.told("delete", "-k", KUBERNETES / "overlays" / "envoy-gateway")
    accepted(server, KUBERNETES / "overlays" / "envoy-gateway-transparent")


def the_image_volume_is_seen(server: Server, work: Path) -> None:
    arguments = ["apply", "--dry-run=server", "-k", KUBERNETES / "base", "-o", f"jsonpath={REFERENCE}"]
    assert server.told(*arguments) == "registry.example.com/mirror-on-miss-module:0.1.0\n"


def a_dropped_image_volume_is_seen(server: Server, work: Path) -> None:
    """On a server without the feature gate: nothing else tells."""
    arguments = ["apply", "--dry-run=server", "-k", KUBERNETES / "base", "-o", f"jsonpath={REFERENCE}"]
    assert server.told(*arguments) == "\n"


CHECKS: dict[str, Check] = {
    "base": base_alone,
    **{f"base with {name}": component(name) for name in COMPONENTS},
    f"base with {', '.join(EVERYTHING)}": components_together,
    "the image volume, by the check of the docs": the_image_volume_is_seen,
    "overlays/signer": signer_alone,
    "overlays/istio": istio,
    "overlays/istio-transparent": istio_transparent,
    "overlays/envoy-gateway": envoy_gateway,
    "overlays/envoy-gateway-transparent": envoy_gateway_transparent,
    "overlays/istio-sidecar": istio_s_sidecar,
    "overlays/istio with module-file": platform("istio", "istio/module-file"),
    "overlays/istio-transparent with module-file": platform("istio-transparent", "istio/module-file"),
    "overlays/istio-sidecar with module-file": platform("istio-sidecar", "istio/module-file"),
    "overlays/envoy-gateway with module-file and signed-reads": platform(
        "envoy-gateway", "envoy-gateway/module-file", "envoy-gateway/signed-reads"
    ),
    "overlays/envoy-gateway-transparent with module-file": platform(
        "envoy-gateway-transparent", "envoy-gateway-transparent/module-file"
    ),
    "removal of these, which leaves namespace and Secrets": a_removal_leaves_namespace_and_secrets,
}

WITHOUT_IMAGE_VOLUMES: dict[str, Check] = {
    "a dropped image volume, by the check of the docs": a_dropped_image_volume_is_seen,
}
