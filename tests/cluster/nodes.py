"""Nodes without machines: objects, and in the place of the kubelet a thread that says what it would say.

It runs nothing but a test of Helm's. A pod is ready once what it names is there: its ConfigMaps and Secrets,
and its images in a registry that answers, or on the node since an earlier pod. A pod that is deleted ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

TICK = 0.2
"""Seconds between two looks."""


class Api:
    """The API server, without kubectl: a process for each look would be too slow."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._trust = ssl._create_unverified_context()
        self._connection: http.client.HTTPSConnection | None = None

    def __call__(self, method: str, path: str, body: Object | None = None) -> tuple[int, Object]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"authorization": f"Bearer {self._token}", "content-type": kind}
        for attempt in (1, 2):
            connection = self._connection or http.client.HTTPSConnection(
                "127.0.0.1", self._port, context=self._trust, timeout=60
            )
            try:
                connection.request(method, path, json.dumps(body) if body is not None else None, headers)
                response = connection.getresponse()
                text = response.read()
                self._connection = connection
                return response.status, json.loads(text)
            except (OSError, http.client.HTTPException):
                # The server closes a connection that was not used for a while.
                self._connection = None
                if attempt == 2:
                    raise
        raise AssertionError("two attempts are all")


class Kubelet:
    """What the kubelets of all nodes do. `unreachable` are registries that do not answer, `broken` is a part
    of the names of images whose containers never get ready.
    """

    def __init__(self, api: Api, nodes: list[str]) -> None:
        self.unreachable: set[str] = set()
        self.broken = "/broken"
        self.failed: Exception | None = None
        self._tested_at: int | None = None
        self._api, self._nodes = api, nodes
        self._pulled: set[tuple[str, str]] = set()
        self._addresses = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)

    def __enter__(self) -> Kubelet:
        for name in self._nodes:
            self._api("POST", "/api/v1/nodes", node(name))
            # The admission gives a new node the taint not-ready.
            self._api("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": None}})
            self._api("PATCH", f"/api/v1/nodes/{name}/status", {"status": node(name)["status"]})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @contextlib.contextmanager
    def running_tests(self, port: int) -> Iterator[None]:
        """Runs the command of Helm's test as a process, for which the Service is this port of loopback."""
        self._tested_at = port
        yield
        self._tested_at = None

    def _run(self) -> None:
        try:
            while not self._stop.wait(TICK):
                _, pods = self._api("GET", "/api/v1/pods?fieldSelector=spec.nodeName!=")
                for pod in pods["items"]:
                    self._look_after(pod)
        except Exception as error:
            self.failed = error
            raise

    def _look_after(self, pod: Object) -> None:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if "deletionTimestamp" in meta:
            self._api("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})
            return
        if pod["status"].get("phase") in ("Failed", "Running", "Succeeded"):
            return
        waiting = self._waits_for(pod)
        if waiting:
            if not pod["status"].get("containerStatuses"):
                self._api("PATCH", f"{path}/status", {"status": status(pod, waiting=waiting)})
            return
        self._pulled |= {(pod["spec"]["nodeName"], image) for image in images(pod)}
        self._addresses += 1
        address = f"10.64.{self._addresses // 250}.{self._addresses % 250 + 1}"
        ready = not any(self.broken in image for image in images(pod))
        if self._tested_at and meta.get("annotations", {}).get("helm.sh/hook") == "test":
            phase = "Failed" if run(pod, self._tested_at) else "Succeeded"
            self._api("PATCH", f"{path}/status", {"status": {**status(pod, address=address), "phase": phase}})
            return
        self._api("PATCH", f"{path}/status", {"status": status(pod, address=address, ready=ready)})

    def _waits_for(self, pod: Object) -> str:
        for kind, name in references(pod):
            found, _ = self._api("GET", f"/api/v1/namespaces/{pod['metadata']['namespace']}/{kind}/{name}")
            if found != 200:
                return "ContainerCreating"
        for image in images(pod):
            on_node = (pod["spec"]["nodeName"], image) in self._pulled
            if not on_node and image.partition("/")[0] in self.unreachable:
                return "ImagePullBackOff"
        return ""


def run(pod: Object, port: int) -> int:
    """Runs the one container's command, and returns its exit code."""
    (container,) = pod["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    env = {**os.environ, **variables, "HOST": "127.0.0.1", "PORT": str(port)}
    return subprocess.run(container["command"], env=env, capture_output=True, check=False).returncode


def node(name: str) -> Object:
    # For all that the checks leave running.
    room = {"cpu": "256", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "500"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
        "status": {"capacity": room, "allocatable": room, "conditions": [ready]},
    }


def containers(pod: Object) -> Iterator[Object]:
    yield from pod["spec"].get("initContainers", [])
    yield from pod["spec"]["containers"]


def images(pod: Object) -> list[str]:
    """Returns the images of containers and of volumes."""
    volumes = [each["image"]["reference"] for each in pod["spec"].get("volumes", []) if "image" in each]
    return [*(each["image"] for each in containers(pod)), *volumes]


def references(pod: Object) -> set[tuple[str, str]]:
    """Returns the ConfigMaps and Secrets without which no container is made."""
    found = set()
    for volume in pod["spec"].get("volumes", []):
        if "configMap" in volume:
            found.add(("configmaps", volume["configMap"]["name"]))
        if "secret" in volume:
            found.add(("secrets", volume["secret"]["secretName"]))
    for container in containers(pod):
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                found.add(("configmaps", source["configMapRef"]["name"]))
    return found


def status(pod: Object, *, waiting: str = "", address: str = "", ready: bool = False) -> Object:
    now = pod["metadata"]["creationTimestamp"]
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": now}}

    def of(container: Object) -> Object:
        name, image = container["name"], container["image"]
        own = {"name": name, "image": image, "imageID": "", "restartCount": 0, "state": state}
        return {**own, "ready": ready, "started": ready}

    condition = {"lastTransitionTime": now, "status": "True" if ready else "False"}
    return {
        "phase": "Pending" if waiting else "Running",
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": now},
            *({"type": kind, **condition} for kind in ("Initialized", "ContainersReady", "Ready")),
        ],
        "containerStatuses": [of(each) for each in pod["spec"]["containers"]],
        "initContainerStatuses": [of(each) for each in pod["spec"].get("initContainers", [])],
        **({"podIP": address, "podIPs": [{"ip": address}]} if address else {}),
    }


@contextlib.contextmanager
def nodes(port: int, token: str) -> Iterator[Kubelet]:
    with Kubelet(Api(port, token), ["node-a", "node-b", "node-c"]) as kubelet:
        yield kubelet
    if kubelet.failed:
        raise kubelet.failed
