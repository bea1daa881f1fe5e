"""What a cluster must make of the manifests. Each check is a function, named for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from deploy.kustomize import KUBERNETES

from .server import Server

COMPONENTS = sorted(path.name for path in (KUBERNETES / "components").iterdir())
TOGETHER = ["custom-image", "irsa", "maglev", "prometheus-operator", "transparent"]

REFERENCE = (
    '{range .items[?(@.kind=="Deployment")]}'
    '{.spec.template.spec.volumes[?(@.name=="module")].image.reference}{"\\n"}{end}'
)
"""docs/deploy-kubernetes.md has it."""

Check = Callable[[Server, Path], None]


def site(directory: Path, resource: str, components: list[str], **more: object) -> Path:
    """Writes a kustomization of a user's own, and returns its directory."""
    directory.mkdir(parents=True)
    ours = os.path.relpath(KUBERNETES, directory.resolve())
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{ours}/{resource}"],
        "components": [f"{ours}/components/{name}" for name in components],
        **more,
    }
    (directory / "kustomization.yaml").write_text(json.dumps(kustomization))
    return directory


def accepted(server: Server, directory: Path, *options: str) -> None:
    """Applies a site in both ways, twice, without an error, a change or a conflict."""
    for way in ([], ["--server-side"]):
        done = server.kubectl(*options, "apply", *way, "--validate=strict", "-k", directory)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr, done.stderr
        assert server.kubectl(*options, "diff", *way, "-k", directory).returncode == 0
        again = server.told(*options, "apply", *way, "--validate=strict", "-k", directory).splitlines()
        # kubectl replaces the selector of a budget whenever it applies one.
        changed = [
            line for line in again if line.endswith(" configured") and "poddisruptionbudget" not in line
        ]
        assert not changed, changed


def base_alone(server: Server, work: Path) -> None:
    accepted(server, KUBERNETES / "base", "-n", server.namespace("base"))


def component(name: str) -> Check:
    def check(server: Server, work: Path) -> None:
        accepted(server, site(work / name, "base", [name]), "-n", server.namespace(f"with-{name}"))

    return check


def components_together(server: Server, work: Path) -> None:
    accepted(server, site(work / "together", "base", TOGETHER), "-n", server.namespace("together"))


def two_sites_in_one_namespace(server: Server, work: Path) -> None:
    namespace = server.namespace("shared")
    for name in "ab":
        labels = [{"pairs": {"app.kubernetes.io/instance": name}, "includeSelectors": True}]
        accepted(
            server,
            site(work / f"site-{name}", "base", TOGETHER, namePrefix=f"{name}-", labels=labels),
            *("-n", namespace),
        )


def switches_leave_nothing_behind(server: Server, work: Path) -> None:
    namespace = server.namespace("switched")
    for number, name in enumerate(
        ["", "transparent", "irsa", "", "pod-identity", "custom-image", "irsa", ""]
    ):
        directory = site(work / f"switch-{number}", "base", [name] if name else [])
        server.told("-n", namespace, "apply", "-k", directory)
        assert server.kubectl("-n", namespace, "diff", "-k", directory).returncode == 0, name


def the_front_tier_comes_and_goes(server: Server, work: Path) -> None:
    namespace = server.namespace("front")
    without, front = KUBERNETES / "base", site(work / "front", "base", ["maglev"])
    label = "app.kubernetes.io/component=front"
    server.told("-n", namespace, "apply", "-k", without)
    server.told("-n", namespace, "apply", "-k", front, "-l", label)
    selector = server.told(
        "-n", namespace, "get", "service", "mirror-on-miss", "-o", "jsonpath={.spec.selector}"
    )
    assert json.loads(selector)["app.kubernetes.io/component"] == "gateway"
    server.told("-n", namespace, "apply", "-k", front)
    server.told("-n", namespace, "apply", "-k", without)
    server.told("-n", namespace, "delete", "deployment,service,pdb,networkpolicy", "-l", label)
    assert server.kubectl("-n", namespace, "diff", "-k", without).returncode == 0
    left = server.told("-n", namespace, "get", "deployment,service,pdb,networkpolicy", "-o", "name")
    assert "front" not in left
    assert "replicas" not in left


def a_removal_leaves_namespace_and_secrets(server: Server, work: Path) -> None:
    for overlay in ("overlays/signer", "overlays/istio", "overlays/envoy-gateway"):
        server.kubectl("-n", "mirror-on-miss", "create", "secret", "generic", "writer-credentials")
        server.told("apply", "-k", KUBERNETES / overlay)
        server.told("delete", "-k", KUBERNETES / overlay)
        server.told("-n", "mirror-on-miss", "get", "secret", "writer-credentials")


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
    f"base with {', '.join(TOGETHER)}": components_together,
    "two such sites in one namespace": two_sites_in_one_namespace,
    "switching between components": switches_leave_nothing_behind,
    "the front tier, added and removed": the_front_tier_comes_and_goes,
    "the image volume, by the check of the docs": the_image_volume_is_seen,
    "overlays/signer": signer_alone,
    "overlays/istio": istio,
    "overlays/istio-transparent": istio_transparent,
    "overlays/envoy-gateway": envoy_gateway,
    "overlays/envoy-gateway-transparent": envoy_gateway_transparent,
    "removal of these, which leaves namespace and Secrets": a_removal_leaves_namespace_and_secrets,
}

WITHOUT_IMAGE_VOLUMES: dict[str, Check] = {
    "a dropped image volume, by the check of the docs": a_dropped_image_volume_is_seen,
}
