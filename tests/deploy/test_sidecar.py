"""envoy/kubernetes/sidecar: edge and signer beside an application. What a pod starts is started here, too."""

from __future__ import annotations

import functools
import json
import os
import re
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from doubles import ScriptedOrigin, StrictBucket
from e2e.client import ask
from stack import envoy
from stack.children import Child, free_ports
from stack.render import CHECKOUT, named
from stack.stack import WASM

from .kustomize import KUBERNETES, Manifest, build, kustomize, only

WIRINGS = ["redirect", "transparent"]
OURS = ["mirror-on-miss-signer", "mirror-on-miss-edge"]
KINDS = ["DaemonSet", "Deployment", "Job", "StatefulSet"]


def workload(kind: str, **labels: str) -> Manifest:
    """An application that has a volume and an init container of its own."""
    mounts = [{"name": "data", "mountPath": "/data"}]
    spec: dict[str, Any] = {
        "template": {
            "metadata": {"labels": {"app": "shop"}},
            "spec": {
                "restartPolicy": "Never" if kind == "Job" else "Always",
                "initContainers": [{"name": "seed", "image": "shop:1", "volumeMounts": mounts}],
                "containers": [{"name": "shop", "image": "shop:1", "volumeMounts": mounts}],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        }
    }
    if kind != "Job":
        spec["selector"] = {"matchLabels": {"app": "shop"}}
    if kind == "StatefulSet":
        spec["serviceName"] = "shop"
    group = "batch/v1" if kind == "Job" else "apps/v1"
    return {"apiVersion": group, "kind": kind, "metadata": {"name": "shop", "labels": labels}, "spec": spec}


def site(directory: Path, wiring: str, application: str) -> list[Manifest]:
    """Builds a kustomization of a user's own with that application. `wiring` may have one more behind `+`."""
    (directory / "application.yaml").write_text(application)
    document = {
        "kind": "Kustomization",
        "resources": ["application.yaml"],
        "components": [
            os.path.relpath(KUBERNETES / "sidecar" / each, directory.resolve()) for each in wiring.split("+")
        ],
        "configMapGenerator": [{"name": "mirror-on-miss-settings", "literals": ["BUCKET=my-bucket"]}],
    }
    (directory / "kustomization.yaml").write_text(json.dumps(document))
    return kustomize(directory)


def with_sidecars(directory: Path, wiring: str, manifest: Manifest) -> Manifest:
    return only(site(directory, wiring, json.dumps(manifest)), manifest["kind"], "shop")


@functools.cache
def example(wiring: str) -> Manifest:
    """Returns the pod of the shipped example, which has the redirect, with either wiring."""
    text = (KUBERNETES / "sidecar" / "example" / "application.yaml").read_text()
    with tempfile.TemporaryDirectory() as name:
        manifests = site(Path(name), wiring, text)
    return only(manifests, "Deployment", "shop")["spec"]["template"]["spec"]


def test_the_example_is_the_redirect_s() -> None:
    shop = only(build("sidecar/example"), "Deployment", "shop")["spec"]["template"]["spec"]
    hashes = json.dumps([shop, example("redirect")])
    first, second = json.loads(re.sub(r"(mirror-on-miss-settings)-\w+", r"\1", hashes))
    assert first == second


@pytest.mark.parametrize("kind", KINDS)
def test_a_workload_with_the_label_gets_both(tmp_path: Path, kind: str) -> None:
    changed = with_sidecars(tmp_path, "redirect", workload(kind, **{"mirror-on-miss": "sidecar"}))
    kubernetes_validate.validate(changed, "1.35", strict=True)
    pod = changed["spec"]["template"]["spec"]
    # The application's own come after them, and may use them.
    assert [each["name"] for each in pod["initContainers"]] == [*OURS, "seed"]
    assert [each["name"] for each in pod["containers"]] == ["shop"]
    assert all(named(pod["initContainers"], name)["restartPolicy"] == "Always" for name in OURS)


def test_a_workload_without_the_label_stays_as_it_is(tmp_path: Path) -> None:
    other = workload("Deployment", app="other")
    assert with_sidecars(tmp_path, "redirect", other) == other


@pytest.mark.parametrize("wiring", WIRINGS)
def test_nothing_of_the_application_is_changed(tmp_path: Path, wiring: str) -> None:
    before = workload("Deployment", **{"mirror-on-miss": "sidecar"})
    after = with_sidecars(tmp_path, wiring, before)
    pod = after["spec"]["template"]["spec"]
    pod["initContainers"] = [each for each in pod["initContainers"] if each["name"] not in OURS]
    pod["volumes"] = [each for each in pod["volumes"] if not each["name"].startswith("mirror-on-miss-")]
    assert after == before


@pytest.mark.parametrize("wiring", WIRINGS)
def test_one_image_may_hold_envoy_and_module(wiring: str) -> None:
    pod, other = example(f"{wiring}+custom-image"), example(wiring)
    assert [each["name"] for each in pod["initContainers"]] == OURS
    assert {each["image"] for each in pod["initContainers"]} == {"registry.example.com/mirror-on-miss:0.1.0"}
    edge = named(pod["initContainers"], "mirror-on-miss-edge")
    assert named(edge["env"], "MODULE")["value"] == "/opt/mirror-on-miss/plugin.wasm"
    assert "mirror-on-miss-module" not in json.dumps(pod)
    assert named(edge["env"], "LISTEN") == named(sidecars(wiring)[edge["name"]]["env"], "LISTEN")
    assert pod["containers"] == other["containers"]


def test_the_wirings_differ_in_the_edge_s_configuration_alone() -> None:
    redirect, transparent = (deepcopy(example(wiring)) for wiring in WIRINGS)
    edge = named(redirect["initContainers"], "mirror-on-miss-edge")
    assert edge["command"][2] == "edge"
    edge["command"][2] = "transparent"
    assert redirect == transparent


def sidecars(wiring: str) -> dict[str, Manifest]:
    return {name: named(example(wiring)["initContainers"], name) for name in OURS}


def test_sidecars_can_do_no_more_than_they_must() -> None:
    """Of the container all of it, because the pod's rights are the application's."""
    for container in sidecars("redirect").values():
        allowed = container["securityContext"]
        assert allowed["runAsNonRoot"]
        assert (allowed["allowPrivilegeEscalation"], allowed["readOnlyRootFilesystem"]) == (False, True)
        assert allowed["capabilities"] == {"drop": ["ALL"]}
        assert allowed["seccompProfile"] == {"type": "RuntimeDefault"}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        # The admission of ServiceAccounts mounts the token where nothing else is.
        assert mounts["/var/run/secrets/kubernetes.io/serviceaccount"] == "mirror-on-miss-no-token"


def test_each_sidecar_has_its_own_key_and_the_application_none() -> None:
    pod = example("redirect")
    having = {
        secret: [each["name"] for each in pod["initContainers"] if secret in json.dumps(each["volumeMounts"])]
        for secret in ("mirror-on-miss-reader", "mirror-on-miss-writer")
    }
    assert having == {
        "mirror-on-miss-reader": ["mirror-on-miss-edge"],
        "mirror-on-miss-writer": ["mirror-on-miss-signer"],
    }
    assert all("volumeMounts" not in each for each in pod["containers"])


def test_a_second_apply_changes_nothing() -> None:
    """The API server drops an empty value, and a second apply would write it again."""
    for container in sidecars("redirect").values():
        assert all(each["value"] for each in container.get("env", []))
        assert all("protocol" in port for port in container["ports"])


def test_memory_follows_from_workers_and_heap() -> None:
    edge = sidecars("redirect")["mirror-on-miss-edge"]
    workers = int(edge["command"][edge["command"].index("--concurrency") + 1])
    heap = int(named(edge["env"], "HEAP_MIB")["value"])
    assert edge["resources"]["limits"]["memory"] == f"{workers * 3 * 128 + heap}Mi"


# Live: the command lines of both containers, as processes.


class Pod:
    """The sidecars as processes, started in their order with their variables. Paths and ports are the test's,
    which has no container of its own.
    """

    def __init__(self, tmp_path: Path, wiring: str, settings: dict[str, str]) -> None:
        self._path, self._settings = tmp_path, settings
        self._signer, self.edge, *self._ports = free_ports(6)
        self._manifests = sidecars(wiring)

    def start(self, name: str, credentials: str) -> Child:
        container = self._manifests[name]
        volume = self._path / name
        volume.mkdir()
        kind = "writer" if name.endswith("signer") else "reader"
        (volume / f"{kind}.credentials").write_text(credentials)
        replaced = {
            "/etc/mirror-on-miss": volume,
            "port_value: 10001": f"port_value: {self._signer}",
            **{f"port_value: {port}": f"port_value: {own}" for port, own in self._fixed().items()},
        }
        script = "; ".join(f"s|{old}|{new}|g" for old, new in replaced.items())
        shim = volume / "bin" / "envoy"
        shim.parent.mkdir()
        shim.write_text(
            "#!/bin/sh\n"
            f"sed -i '{script}' \"$2\"\n"
            f"status=$(printf '%s' \"$4\" | sed '{script}')\n"
            "config=$2; shift 4\n"
            f'exec {envoy.binary()} -c "$config" --config-yaml "$status" "$@"\n'
        )
        shim.chmod(0o755)
        command = [
            str(each).replace("/opt/configuration", f"{CHECKOUT}/envoy/configuration")
            for each in container["command"]
        ]
        variables = {each["name"]: each["value"] for each in container.get("env", [])}
        if "MODULE" in variables:
            assert variables["MODULE"] == "/opt/module/plugin.wasm"
            variables |= {"MODULE": str(WASM), "LISTEN_PORT": str(self.edge)}
        environment = {
            "PATH": f"{shim.parent}:/usr/bin:/bin",
            "TMPDIR": str(volume),
            **self._settings,
            **variables,
        }
        log = volume / "log"
        child = Child(name, command, cwd=volume, stderr=log, env=environment)
        probe = container["startupProbe"]["httpGet"]
        (port,) = [each["containerPort"] for each in container["ports"] if each["name"] == probe["port"]]
        try:
            child.wait_until(lambda: answers(self._fixed()[port], probe["path"]), 60)
        except BaseException:
            child.stop()
            raise
        return child

    def _fixed(self) -> dict[int, int]:
        return dict(zip((9901, 9902, 9903, 9904), self._ports, strict=True))


def answers(port: int, path: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def keys(access: str, secret: str) -> str:
    return f"[default]\naws_access_key_id={access}\naws_secret_access_key={secret}\n"


Beside = tuple[str, StrictBucket, ScriptedOrigin]


@pytest.fixture(params=WIRINGS)
def beside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Beside]:
    """An application's view: the address that the sidecars give it, the bucket and the origin."""
    with ExitStack() as running:
        origin = running.enter_context(ScriptedOrigin())
        bucket = running.enter_context(StrictBucket("my-bucket"))
        settings = {
            "STORE": bucket.url,
            "ORIGIN": origin.url,
            "BUCKET": "my-bucket",
            "AWS_REGION": "eu-west-1",
        }
        pod = Pod(tmp_path, request.param, settings)
        for name, credentials in zip(OURS, (bucket.writer, bucket.reader), strict=True):
            child = pod.start(name, keys(credentials.access_key, credentials.secret_key))
            running.callback(child.stop)
        yield f"http://127.0.0.1:{pod.edge}", bucket, origin


def test_an_application_finds_what_only_the_origin_has(
    beside: Beside, request: pytest.FixtureRequest
) -> None:
    url, bucket, origin = beside
    origin.put("/img/a.jpg", b"picture", {"content-type": "image/jpeg"})
    if "transparent" in request.node.name:
        first = ask(url, "/my-bucket/img/a.jpg")
    else:
        miss = ask(url, "/img/a.jpg")
        assert (miss.status, miss.header("location"), miss.outcome) == (302, "/img/a.jpg", "stored")
        first = ask(url, "/img/a.jpg")
    assert (first.status, first.body) == (200, b"picture")
    assert bucket.list() == ["img/a.jpg"]
    assert bucket.get("img/a.jpg")[2] == b"picture"
    assert origin.count("/img/a.jpg") == 1


def test_an_application_is_told_that_nobody_has_it(beside: Beside, request: pytest.FixtureRequest) -> None:
    url, bucket, _ = beside
    prefix = "/my-bucket" if "transparent" in request.node.name else ""
    answer = ask(url, f"{prefix}/nowhere")
    assert (answer.status, answer.outcome) == (404, "not_found")
    assert bucket.list() == []
