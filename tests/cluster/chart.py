"""What a cluster, and helm itself, must make of the chart: from the first installation to the last object."""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from deploy.helm import CHART, helm, merged
from deploy.kubectl import BINARY, HELM
from deploy.kustomize import KUBERNETES
from deploy.test_chart import EVERYTHING, SITES
from doubles import ScriptedOrigin
from doubles.replies import status
from stack.render import CHECKOUT

from . import go
from .go import KUBERNETES as VERSION
from .life import always_served, endpoints, eventually
from .server import TENANT, Server

Check = Callable[[Server, Path], None]

RELEASE = "mirror-on-miss"
KINDS = (
    "configmap,cronjob,daemonset,deployment,horizontalpodautoscaler,httproute,ingress,job,networkpolicy,pod,"
    "poddisruptionbudget,podmonitor,prometheusrule,secret,service,serviceaccount,statefulset"
)
OF_THE_CLUSTER = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
WAIT = ("--wait", "--timeout", "2m")
SWITCHES: list[tuple[str, dict[str, Any]]] = [
    ("a wiring", {"wiring": "transparent"}),
    ("everything", EVERYTHING),
    ("a configuration", {"plugin": {"config": {"wait": "24s"}}}),
    ("a key from elsewhere", {"credentials": {"reader": {"existingSecret": "other"}}}),
    ("the defaults", {}),
]


class Release:
    """A release in a namespace of its own, which enforces `restricted`."""

    def __init__(
        self, server: Server, work: Path, namespace: str, name: str = RELEASE, program: Path = HELM
    ) -> None:
        self._server, self._work, self._program = server, work, program
        self.namespace, self.name = namespace, name

    def told(self, *arguments: str | Path, values: dict[str, Any] | None = None) -> str:
        """Returns what helm prints. AssertionError if it fails, or warns."""
        done = self.helm(*arguments, values=values)
        assert done.returncode == 0, f"helm {arguments[0]}: {done.stderr.strip()}"
        assert "warning" not in done.stderr.lower(), done.stderr
        return done.stdout

    def helm(
        self, *arguments: str | Path, values: dict[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        options: list[str | Path] = ["--namespace", self.namespace]
        if values is not None:
            file = self._work / "values.json"
            file.write_text(json.dumps(merged(values)))
            options += ["--values", file]
        return helm(*arguments, *options, binary=self._program, KUBECONFIG=str(self._server.config))

    def install(self, values: dict[str, Any], *options: str) -> str:
        return self.told("install", self.name, CHART, *options, values=values)

    def upgrade(self, values: dict[str, Any]) -> str:
        return self.told("upgrade", self.name, CHART, *WAIT, values=values)

    def scaled(self) -> None:
        """Waits for the autoscaler, which asks for a second pod."""
        ready = "--for=jsonpath={.status.readyReplicas}=2"
        options = ["wait", "deployment", self.name, ready, "--timeout", "2m"]
        self._server.told("-n", self.namespace, *options)

    def generation(self) -> int:
        """Returns how often the pods' template was changed, and the number of pods."""
        return self._server.objects("-n", self.namespace, "deployment", self.name)[0]["metadata"][
            "generation"
        ]

    def objects(self) -> dict[str, dict[str, Any]]:
        """Returns what is in the namespace, by kind and name, but for what each namespace has and for helm's
        own records.
        """
        told = self._server.told("-n", self.namespace, "get", KINDS, "-o", "json")
        found = {
            f"{each['kind'].lower()}/{each['metadata']['name']}": each for each in json.loads(told)["items"]
        }
        return {
            name: each
            for name, each in found.items()
            if name not in OF_THE_CLUSTER and each.get("type") != "helm.sh/release.v1" and not owned(each)
        }

    def state(self) -> dict[str, Any]:
        """Returns what a user asked for: the objects without what the API server says of them."""
        return {name: asked_for(each) for name, each in self.objects().items()}


def owned(each: dict[str, Any]) -> bool:
    """Tells what a controller made: pods, and sets of them."""
    return bool(each["metadata"].get("ownerReferences"))


def asked_for(each: dict[str, Any]) -> dict[str, Any]:
    each = deepcopy(each)
    each.pop("status", None)
    for field in ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"):
        each["metadata"].pop(field, None)
    each["metadata"].get("annotations", {}).pop("deployment.kubernetes.io/revision", None)
    if each["kind"] == "Deployment":
        # The autoscaler's.
        each["spec"].pop("replicas")
    return each


def documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def renders(name: str, values: dict[str, Any]) -> Check:
    def check(server: Server, work: Path) -> None:
        namespace = server.namespace(f"chart-{name}")
        manifest = work / f"chart-{name}.yaml"
        manifest.write_text(Release(server, work, namespace).told("template", RELEASE, CHART, values=values))
        for way in ([], ["--server-side"]):
            done = server.kubectl("-n", namespace, "apply", *way, "--validate=strict", "-f", manifest)
            assert done.returncode == 0, done.stderr
            assert "Warning" not in done.stderr, done.stderr
            assert server.kubectl("-n", namespace, "diff", *way, "-f", manifest).returncode == 0
            again = server.told("-n", namespace, "apply", *way, "--validate=strict", "-f", manifest)
            changed = [
                line
                for line in again.splitlines()
                if line.endswith(" configured") and "poddisruptionbudget" not in line
            ]
            assert not changed, changed
        # Its test is a pod of its own, for which `kubectl drain` would want --force.
        server.told("delete", "namespace", namespace, "--wait=false")

    return check


def program_of(version: int) -> Path:
    return HELM if version == 4 else go.helm3()


def a_life_with_helm(server: Server, work: Path, version: int = 4) -> None:
    """Installs, upgrades, rolls back and uninstalls, each until its pods run: nothing is left behind."""
    namespace = server.namespace(f"life-{version}")
    release = Release(server, work, namespace, program=program_of(version))
    server.told("-n", release.namespace, "create", "secret", "generic", "other", "--from-literal=key=secret")
    before = set(release.objects())
    release.install({}, *WAIT)
    release.scaled()
    first = release.state()
    assert f"deployment/{RELEASE}" in first
    generation = release.generation()
    release.upgrade({})
    assert release.state() == first
    assert release.generation() == generation, "an upgrade with the same values rolls the pods"
    for name, values in SWITCHES:
        release.upgrade(values)
        upgraded = {each: spec for each, spec in release.state().items() if each not in before}
        options = ["--no-hooks", "--kube-version", VERSION]
        rendered = release.told("template", RELEASE, CHART, *options, values=values)
        wanted = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in documents(rendered)}
        assert set(upgraded) == wanted, name
    release.upgrade(EVERYTHING)
    release.told("rollback", RELEASE, "1", *WAIT)
    assert release.state() == first
    release.told("uninstall", RELEASE, *WAIT)
    assert set(release.objects()) == before
    records = server.told("-n", release.namespace, "get", "secret", "-o", "name")
    assert "sh.helm.release" not in records


def a_release_whose_pods_never_run_is_rolled_back(server: Server, work: Path, version: int = 4) -> None:
    namespace = server.namespace(f"broken-{version}")
    release = Release(server, work, namespace, program=program_of(version))
    release.install({}, *WAIT)
    release.scaled()
    first = release.state()
    wrong = merged({"credentials": {"writer": {"existingSecret": "no-such-secret"}}})
    options = ["--rollback-on-failure" if version == 4 else "--atomic", "--timeout", "15s"]
    failed = release.helm("upgrade", RELEASE, CHART, *options, values=wrong)
    assert failed.returncode != 0
    assert release.state() == first
    # The pods that served went on.
    told = server.told(
        "-n", release.namespace, "get", "deployment", RELEASE, "-o", "jsonpath={.status.readyReplicas}"
    )
    assert told == "2"


def the_front_tier_comes_and_goes(server: Server, work: Path) -> None:
    """The Service never turns to a front tier that is not there."""
    release = Release(server, work, server.namespace("chart-front"))

    def at(front: bool) -> bool:
        return all(("-front-" in name) == front for name in endpoints(server, release.namespace))

    release.install({}, *WAIT)
    with always_served(server, release.namespace):
        release.upgrade({"maglev": {"enabled": True, "route": False}})
        assert at(front=False)
        release.upgrade({"maglev": {"enabled": True}})
        eventually(lambda: at(front=True), "clients at the front")
        release.upgrade({})
        eventually(lambda: at(front=False), "clients at replicas")
    assert not [name for name in release.objects() if "front" in name or "replicas" in name]


def an_admin_of_the_namespace_installs_it(server: Server, work: Path) -> None:
    release = Release(server, work, server.namespace("chart-tenant"))
    user = ["rolebinding", "tenant", "--clusterrole=admin", f"--user={TENANT}"]
    server.told("-n", release.namespace, "create", *user)
    release.install({"maglev": {"enabled": True}}, "--kube-token", TENANT, *WAIT)
    release.told("uninstall", RELEASE, "--kube-token", TENANT, *WAIT)


def two_releases_in_one_namespace(server: Server, work: Path) -> None:
    namespace = server.namespace("releases")
    releases = [Release(server, work, namespace, name) for name in ("photos", "films")]
    before = set(releases[0].objects())
    for release in releases:
        release.install(EVERYTHING)
    photos, films = releases
    photos.told("uninstall", "photos")
    left = set(films.objects())
    assert left
    assert not [name for name in left if "photos" in name]
    films.told("uninstall", "films")
    assert set(films.objects()) == before


def objects_of_kustomize_are_adopted(server: Server, work: Path, version: int = 4) -> None:
    """As docs/deploy-helm.md does it: the Deployment stays the same object."""
    namespace = server.namespace(f"adopted-{version}")
    release = Release(server, work, namespace, program=program_of(version))
    server.told("-n", release.namespace, "apply", "-k", KUBERNETES / "base")
    release.scaled()
    secrets = {name for name in release.objects() if name.startswith("secret/")}
    before = release.objects()
    refused = release.helm("install", RELEASE, CHART, values={})
    assert refused.returncode != 0
    assert "cannot be imported" in refused.stderr, refused.stderr
    with always_served(server, release.namespace):
        way = ["--server-side=false"] if version == 4 else []
        release.install({}, "--take-ownership", *way, *WAIT)
    after = release.objects()
    kept = {name for name in before if not name.startswith("configmap/")}
    assert kept <= set(after)
    for name in kept:
        assert after[name]["metadata"]["uid"] == before[name]["metadata"]["uid"], name
    replicas = [each[f"deployment/{RELEASE}"]["spec"]["replicas"] for each in (before, after)]
    assert replicas == [2, 2]
    # What kubectl applied is Helm's to change from now on.
    release.upgrade({"image": {"tag": "v1.40.1"}})
    release.upgrade({})
    old = {name for name in before if name.startswith("configmap/")}
    label = "app.kubernetes.io/name=mirror-on-miss,!app.kubernetes.io/managed-by"
    server.told("-n", release.namespace, "delete", "configmap", "-l", label)
    assert set(release.objects()) == set(after) - old
    release.told("uninstall", RELEASE)
    assert set(release.objects()) == secrets


def its_own_test(server: Server, work: Path, version: int = 4) -> None:
    """`helm test`, whose pod's command is run as a process, against an answer of the filter's and another."""
    namespace = server.namespace(f"tested-{version}")
    release = Release(server, work, namespace, program=program_of(version))
    release.install({}, *WAIT)
    with ScriptedOrigin() as edge, server.kubelet.running_tests(edge.port):
        asked = "/mirror-on-miss-helm-test"
        edge.script(asked, status(404, {"x-mirror-on-miss": "not_found"}), status(403))
        release.told("test", RELEASE)
        assert "pod/mirror-on-miss-test" not in release.objects()
        failed = release.helm("test", RELEASE)
        assert failed.returncode != 0
        assert edge.count(asked) == 2
    # It stays for its log, and Helm leaves it alone.
    release.told("uninstall", RELEASE, *WAIT)
    server.told("-n", namespace, "delete", "pod", "mirror-on-miss-test")
    assert {name.partition("/")[0] for name in release.objects()} == {"secret"}


def with_helm_3(check: Callable[[Server, Path, int], None]) -> Check:
    return lambda server, work: check(server, work, 3)


def the_commands_of_the_docs(server: Server, work: Path, version: int = 4) -> None:
    """Runs what docs/deploy-helm.md says, as it stands there. First from nothing, then over kustomize's. One
    of the options is not Helm 3's, as the page says.
    """
    page = (CHECKOUT / "docs" / "deploy-helm.md").read_text()
    commands = [line for block in blocks(page, "console") for line in block.splitlines()]
    beside = work / f"beside-{version}"
    beside.mkdir()
    (beside / "mirror-on-miss").symlink_to(CHECKOUT)
    (beside / "values.yaml").write_text(blocks(page, "yaml")[0])
    for name in ("reader", "writer"):
        (beside / f"{name}.credentials").write_text("[default]\n")
    run = Shell(beside, server, program_of(version))
    before, _, after = page.partition("## Coming from kustomize")
    for command in commands:
        if command in after and "helm template" in command:
            run("kubectl apply -n mirror-on-miss -k mirror-on-miss/envoy/kubernetes/base")
        # The one needs pods that run, the others a registry on the internet.
        if not command.startswith(("$ helm test", "$ gh ", "$ helm pull")) and ".tgz" not in command:
            command = command.removeprefix("$ ")
            run(command.replace(" --server-side=false", "") if version == 3 else command)
    run("helm uninstall mirror-on-miss --namespace mirror-on-miss --wait")
    run("kubectl delete namespace mirror-on-miss")


class Shell:
    def __init__(self, directory: Path, server: Server, program: Path) -> None:
        self._directory = directory
        bin = directory / "bin"
        bin.mkdir()
        (bin / "kubectl").symlink_to(BINARY)
        (bin / "helm").symlink_to(program)
        homes = {f"HELM_{name}_HOME": str(directory / "helm") for name in ("CACHE", "CONFIG", "DATA")}
        path = f"{bin}:{os.environ['PATH']}"
        self._env = {**os.environ, **homes, "KUBECONFIG": str(server.config), "PATH": path}

    def __call__(self, command: str) -> None:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._directory,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        # `kubectl diff` says with 1 that there is something.
        differs = "kubectl diff" in command and done.returncode == 1
        assert done.returncode == 0 or differs, f"{command}\n{done.stdout}{done.stderr}"


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, text in found]


CHECKS: dict[str, Check] = {
    "the commands of docs/deploy-helm.md": the_commands_of_the_docs,
    **{f"the chart for {name}": renders(name.replace("+", "-"), values) for name, values in SITES.items()},
    "the chart with everything": renders("everything", EVERYTHING),
    "helm install, upgrade, rollback, uninstall": a_life_with_helm,
    "helm upgrade to pods that never run": a_release_whose_pods_never_run_is_rolled_back,
    "helm upgrade to the front tier and back, served all the time": the_front_tier_comes_and_goes,
    "helm install as admin of the namespace alone": an_admin_of_the_namespace_installs_it,
    "two releases in one namespace": two_releases_in_one_namespace,
    "helm install over base, whose objects it adopts": objects_of_kustomize_are_adopted,
    "helm test": its_own_test,
    "Helm 3: the commands of docs/deploy-helm.md": with_helm_3(the_commands_of_the_docs),
    "Helm 3: install, upgrade, rollback, uninstall": with_helm_3(a_life_with_helm),
    "Helm 3: upgrade to pods that never run": with_helm_3(a_release_whose_pods_never_run_is_rolled_back),
    "Helm 3: install over base, whose objects it adopts": with_helm_3(objects_of_kustomize_are_adopted),
    "Helm 3: test": with_helm_3(its_own_test),
}
