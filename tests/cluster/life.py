"""What becomes of the manifests on nodes: rollouts, drains, and their end."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.kustomize import KUBERNETES

from .nodes import Object
from .server import TENANT, Server
from .sites import EVERYTHING, INSTANCE, accepted, sidecar_site, site

PATIENCE = 90.0
"""The seconds in which a controller has done its part, on a busy machine."""

FRONT = "app.kubernetes.io/component=front"


def eventually(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not within {patience:g} s: {what}"
        time.sleep(0.2)


def rolled_out(server: Server, namespace: str, workload: str = "deployment/mirror-on-miss") -> None:
    server.told("-n", namespace, "rollout", "status", workload, f"--timeout={PATIENCE:g}s")


def endpoints(server: Server, namespace: str, service: str = "mirror-on-miss") -> set[str]:
    """Returns the names of the pods to which a Service sends clients."""
    label = f"kubernetes.io/service-name={service}"
    slices = server.objects("endpointslices", "-n", namespace, "-l", label)
    return {
        endpoint["targetRef"]["name"]
        for each in slices
        for endpoint in each["endpoints"] or []
        if endpoint["conditions"]["ready"]
    }


@contextlib.contextmanager
def always_served(server: Server, namespace: str, service: str = "mirror-on-miss") -> Iterator[None]:
    """Fails if the Service had no ready pod at any look meanwhile."""
    counts: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            counts.append(len(endpoints(server, namespace, service)))

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            yield
        finally:
            done.set()
        looking.result()
    assert counts, "nobody looked"
    assert min(counts) > 0, f"ready pods, look by look: {counts}"


def running(server: Server, namespace: str, replicas: int = 2) -> None:
    eventually(lambda: len(endpoints(server, namespace)) == replicas, f"{replicas} ready pods in {namespace}")


def base_runs(server: Server, work: Path) -> None:
    """The HPA raises the replicas to two, and each is on a node of its own."""
    namespace = server.namespace("runs")
    server.told("-n", namespace, "apply", "-k", KUBERNETES / "base")
    rolled_out(server, namespace)
    running(server, namespace)
    pods = server.objects("pods", "-n", namespace)
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    (budget,) = server.objects("pdb", "-n", namespace)
    assert budget["status"]["disruptionsAllowed"] == 1
    # No token of the service account, in any container.
    assert all("token" not in json.dumps(pod["spec"]) for pod in pods)


def another_application_gets_no_request(server: Server, work: Path) -> None:
    """One that has a generic label, and a port of the same name."""
    namespace = "runs"
    labels = {"app.kubernetes.io/name": "loki", "app.kubernetes.io/component": "gateway"}
    server.told("-n", namespace, "apply", "-f", "-", input=json.dumps(restricted("loki", labels)))
    rolled_out(server, namespace, "deployment/loki")
    assert all(name.startswith("mirror-on-miss-") for name in endpoints(server, namespace))
    (budget,) = server.objects("pdb", "-n", namespace)
    assert budget["status"]["expectedPods"] == 2


def restricted(name: str, labels: dict[str, str], image: str = "registry.example.com/loki:1") -> Object:
    """An application that fits `restricted`."""
    allowed = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    ports = [{"name": "http", "containerPort": 8080}]
    container = {"name": name, "image": image, "ports": ports, "securityContext": allowed}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def a_rollout_serves_all_the_time(server: Server, work: Path) -> None:
    namespace = server.namespace("switched")
    with contextlib.ExitStack() as served:
        for number, name in enumerate(
            ["", "transparent", "irsa", "", "pod-identity", "custom-image", "irsa", ""]
        ):
            directory = site(work / f"switch-{number}", "base", [name] if name else [])
            server.told("-n", namespace, "apply", "-k", directory)
            assert server.kubectl("-n", namespace, "diff", "-k", directory).returncode == 0, name
            rolled_out(server, namespace)
            if number == 0:
                running(server, namespace)
                served.enter_context(always_served(server, namespace))


def the_front_tier_comes_and_goes(server: Server, work: Path) -> None:
    """As docs/deploy-kubernetes.md does it. The Service never turns to a front tier that is not there."""
    namespace = server.namespace("front")
    without, front = KUBERNETES / "base", site(work / "front", "base", ["maglev"])
    server.told("-n", namespace, "apply", "-k", without)
    rolled_out(server, namespace)
    running(server, namespace)
    with always_served(server, namespace):
        server.told("-n", namespace, "apply", "-k", front, "-l", FRONT)
        rolled_out(server, namespace, "deployment/mirror-on-miss-front")
        server.told("-n", namespace, "apply", "-k", front)
        eventually(
            lambda: all("front" in name for name in endpoints(server, namespace)), "clients at the front"
        )
        assert len(endpoints(server, namespace, "mirror-on-miss-replicas")) == 2
        server.told("-n", namespace, "apply", "-k", without)
        eventually(
            lambda: not any("front" in name for name in endpoints(server, namespace)), "clients at replicas"
        )
        server.told("-n", namespace, "delete", "deployment,service,pdb,networkpolicy", "-l", FRONT)
    assert server.kubectl("-n", namespace, "diff", "-k", without).returncode == 0
    left = server.told("-n", namespace, "get", "deployment,service,pdb,networkpolicy", "-o", "name")
    assert "front" not in left
    assert "replicas" not in left


def two_sites_in_one_namespace(server: Server, work: Path) -> None:
    """Each serves its own bucket, scales by itself, and keeps no node from being drained."""
    namespace = server.namespace("shared")
    for name in "ab":
        labels = [{"pairs": {INSTANCE: name}, "includeSelectors": True}]
        directory = site(work / f"site-{name}", "base", EVERYTHING, namePrefix=f"{name}-", labels=labels)
        accepted(server, directory, "-n", namespace)
    for name in "ab":
        rolled_out(server, namespace, f"deployment/{name}-mirror-on-miss")
        rolled_out(server, namespace, f"deployment/{name}-mirror-on-miss-front")
        service = f"{name}-mirror-on-miss-replicas"
        eventually(lambda service=service: len(endpoints(server, namespace, service)) == 2, service)
        assert all(pod.startswith(f"{name}-") for pod in endpoints(server, namespace, service))
    for scaler in server.objects("hpa", "-n", namespace):
        reasons = {each["reason"] for each in scaler["status"]["conditions"]}
        assert "AmbiguousSelector" not in reasons
    for budget in server.objects("pdb", "-n", namespace):
        assert (budget["status"]["expectedPods"], budget["status"]["disruptionsAllowed"]) == (2, 1)
    drained(server, "node-a")
    server.told("delete", "namespace", namespace, "--wait=false")


def drained(server: Server, *names: str) -> None:
    """Drains nodes at once, as the docs say it, and gives them back."""
    arguments = ["--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={PATIENCE:g}s"]
    try:
        with ThreadPoolExecutor(len(names)) as pool:
            for done in pool.map(lambda name: server.kubectl("drain", name, *arguments), names):
                assert done.returncode == 0, done.stderr
    finally:
        server.told("uncordon", *names)


def a_drain_leaves_one_replica(server: Server, work: Path) -> None:
    """Of both nodes at once: the budget lets one replica go at a time."""
    namespace = "runs"
    running(server, namespace)
    on = {pod["spec"]["nodeName"] for pod in server.objects("pods", "-n", namespace)}
    with always_served(server, namespace):
        drained(server, *on)
    running(server, namespace)


def pods_that_were_never_ready_keep_no_node(server: Server, work: Path) -> None:
    """A first install with a wrong configuration, say."""
    namespace = server.namespace("never-ready")
    directory = site(
        work / "never-ready", "base", [], images=[{"name": "envoyproxy/envoy", "newName": "x/broken"}]
    )
    server.told("-n", namespace, "apply", "-k", directory)
    label = "app.kubernetes.io/name=mirror-on-miss"

    def started() -> bool:
        pods = server.objects("pods", "-n", namespace, "-l", label)
        return len(pods) == 2 and all(pod["status"].get("phase") == "Running" for pod in pods)

    eventually(started, "two pods that are not ready")
    on = {pod["spec"]["nodeName"] for pod in server.objects("pods", "-n", namespace)}
    drained(server, *on)
    server.told("-n", namespace, "delete", "-k", directory)


def a_registry_that_is_down_stops_a_rollout_and_no_replica(server: Server, work: Path) -> None:
    """The same holds for a pull secret that has expired. A pod on a node that has the images starts."""
    namespace = server.namespace("registry")
    old, new = (
        site(work / f"registry-{tag}", "base", ["custom-image"], images=[custom_image(tag)])
        for tag in ("old", "new")
    )
    server.told("-n", namespace, "apply", "-k", old)
    rolled_out(server, namespace)
    running(server, namespace)
    server.kubelet.unreachable.add("registry.example.com")
    try:
        with always_served(server, namespace):
            server.told("-n", namespace, "apply", "-k", new)
            waits = server.kubectl(
                "-n", namespace, "rollout", "status", "deployment/mirror-on-miss", "--timeout=3s"
            )
            assert waits.returncode != 0
            eventually(lambda: "ImagePullBackOff" in reasons(server, namespace), "a pod without its image")
            running(server, namespace)
            server.told("-n", namespace, "rollout", "undo", "deployment/mirror-on-miss")
            rolled_out(server, namespace)
        assert {image for image in images(server, namespace) if "mirror-on-miss" in image} == {
            "registry.example.com/mirror-on-miss:old"
        }
    finally:
        server.kubelet.unreachable.clear()


def custom_image(tag: str) -> dict[str, str]:
    return {"name": "registry.example.com/mirror-on-miss", "newTag": tag}


def reasons(server: Server, namespace: str) -> set[str]:
    return {
        container["state"]["waiting"]["reason"]
        for pod in server.objects("pods", "-n", namespace)
        for container in pod["status"].get("containerStatuses", [])
        if "waiting" in container["state"]
    }


def images(server: Server, namespace: str) -> set[str]:
    (deployment,) = server.objects("deployment", "-n", namespace)
    return {each["image"] for each in deployment["spec"]["template"]["spec"]["containers"]}


def an_admin_of_the_namespace_installs_it(server: Server, work: Path) -> None:
    namespace = server.namespace("tenant")
    server.told("-n", namespace, "create", "rolebinding", "tenant", "--clusterrole=admin", f"--user={TENANT}")
    as_tenant = ["--token", TENANT, "-n", namespace]
    directory = site(work / "tenant", "base", ["transparent", "maglev"])
    server.told(*as_tenant, "apply", "-k", directory)
    rolled_out(server, namespace)
    server.told(*as_tenant, "delete", "-k", directory)


def a_quota_on_cpu_wants_the_patch_of_the_docs(server: Server, work: Path) -> None:
    namespace = server.namespace("quota")
    server.told("-n", namespace, "create", "quota", "q", "--hard=limits.cpu=100,requests.cpu=100,pods=50")
    patch = {
        "target": {"kind": "Deployment"},
        "patch": json.dumps(
            [
                {"op": "add", "path": f"/spec/template/spec/{kind}/0/resources/limits/cpu", "value": "4"}
                for kind in ("initContainers", "containers")
            ]
        ),
    }
    server.told("-n", namespace, "apply", "-k", KUBERNETES / "base")

    def refused() -> bool:
        (deployment,) = server.objects("deployment", "-n", namespace)
        return "must specify limits.cpu" in json.dumps(deployment["status"])

    eventually(refused, "a refusal by the quota")
    server.told("-n", namespace, "apply", "-k", site(work / "quota", "base", [], patches=[patch]))
    rolled_out(server, namespace)


def replicas_are_as_many_as_are_said(server: Server, work: Path) -> None:
    """Of a site without the HPA, as docs/deploy-kubernetes.md has it."""
    namespace = server.namespace("fixed")
    directory = site(
        work / "fixed",
        "base",
        [],
        replicas=[{"name": "mirror-on-miss", "count": 3}],
        patches=[{"target": {"kind": "HorizontalPodAutoscaler"}, "patch": DELETE}],
    )
    server.told("-n", namespace, "apply", "-k", directory)
    rolled_out(server, namespace)
    running(server, namespace, 3)
    server.told("-n", namespace, "scale", "deployment/mirror-on-miss", "--replicas=4")
    running(server, namespace, 4)


DELETE = json.dumps(
    {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "mirror-on-miss"},
        "$patch": "delete",
    }
)


def sidecars_run(server: Server, work: Path) -> None:
    """In a namespace that enforces `restricted`, and without the token that the application has."""
    for wiring in ("redirect", "transparent", "custom-image"):
        namespace = server.namespace(f"sidecar-{wiring}")
        components = ["redirect", wiring] if wiring == "custom-image" else [wiring]
        directory = sidecar_site(work / f"sidecar-{wiring}", components)
        accepted(server, directory, "-n", namespace)
        rolled_out(server, namespace, "deployment/shop")
        for pod in server.objects("pods", "-n", namespace):
            signer, edge = pod["spec"]["initContainers"]
            (application,) = pod["spec"]["containers"]
            mounts = {
                container["name"]: [
                    mount["name"]
                    for mount in container["volumeMounts"]
                    if mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
                ]
                for container in (signer, edge, application)
            }
            assert mounts["shop"][0].startswith("kube-api-access-")
            assert mounts[signer["name"]] == mounts[edge["name"]] == ["mirror-on-miss-no-token"]
        server.told("-n", namespace, "delete", "-k", directory)


def a_removal_leaves_nothing(server: Server, work: Path) -> None:
    """But namespace, Secrets, and ConfigMaps of earlier settings, which the docs remove by a label."""
    namespace = server.namespace("removed")
    earlier, later = (
        site(
            work / f"removed-{bucket}",
            "base",
            ["maglev", "prometheus-operator"],
            configMapGenerator=[
                {"name": "mirror-on-miss-settings", "behavior": "merge", "literals": [f"BUCKET={bucket}"]}
            ],
        )
        for bucket in ("earlier", "later")
    )
    before = everything(server, namespace)
    for directory in (earlier, later):
        server.told("-n", namespace, "apply", "-k", directory)
        rolled_out(server, namespace)
    server.told("-n", namespace, "delete", "-k", later)
    label = "app.kubernetes.io/name=mirror-on-miss"
    server.told("-n", namespace, "delete", "configmap", "-l", label)
    eventually(lambda: everything(server, namespace) == before, f"nothing left in {namespace}")


def everything(server: Server, namespace: str) -> set[str]:
    """Returns the names of all objects of a namespace, of every kind that can be listed there."""
    kinds = server.told("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    kinds = [kind for kind in kinds if not kind.startswith("events")]
    return set(server.told("-n", namespace, "get", ",".join(kinds), "-o", "name").split())


LIFE: dict[str, Callable[[Server, Path], None]] = {
    "base: two replicas on two nodes, by the HPA": base_runs,
    "another application with the same generic label": another_application_gets_no_request,
    "switching between components, served all the time": a_rollout_serves_all_the_time,
    "the front tier, added and removed, served all the time": the_front_tier_comes_and_goes,
    "two sites in one namespace with five components": two_sites_in_one_namespace,
    "draining both nodes at once": a_drain_leaves_one_replica,
    "draining nodes whose pods were never ready": pods_that_were_never_ready_keep_no_node,
    "a registry that is down, or refuses": a_registry_that_is_down_stops_a_rollout_and_no_replica,
    "installing as admin of the namespace alone": an_admin_of_the_namespace_installs_it,
    "a quota on limits.cpu": a_quota_on_cpu_wants_the_patch_of_the_docs,
    "three replicas without the HPA, scaled to four": replicas_are_as_many_as_are_said,
    "sidecar/redirect, sidecar/transparent, sidecar/custom-image": sidecars_run,
    "removing base, maglev, prometheus-operator": a_removal_leaves_nothing,
}
