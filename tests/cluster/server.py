"""A control plane on ports of loopback: etcd, the API server, the controllers and the scheduler."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.kubectl import BINARY
from stack.children import Child, StackError, free_ports

from .nodes import Kubelet, nodes

PATIENCE = 120.0
"""The seconds in which it must be ready on a busy machine."""

ADMISSION = (
    "PodSecurity,LimitRanger,ServiceAccount,ResourceQuota,DefaultTolerationSeconds,ValidatingAdmissionPolicy"
)


TENANT = "tenant"
"""A user without rights, until a namespace gives them."""


class Server:
    """A cluster, as kubectl sees it. `kubelet` is there if it has nodes."""

    kubelet: Kubelet

    def __init__(self, directory: Path, port: int) -> None:
        self.config = directory / "kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "admin"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        self.config.write_text(json.dumps(config))

    def kubectl(self, *arguments: str | Path, input: str | None = None) -> subprocess.CompletedProcess[str]:
        argv = [BINARY, "--kubeconfig", self.config, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, input=input)

    def told(self, *arguments: str | Path, input: str | None = None) -> str:
        """Returns what kubectl prints. AssertionError if it fails."""
        done = self.kubectl(*arguments, input=input)
        assert done.returncode == 0, f"kubectl {arguments[0]}: {done.stderr.strip()}"
        return done.stdout

    def objects(self, *arguments: str | Path) -> list[dict[str, Any]]:
        """Returns what `kubectl get` finds."""
        found = json.loads(self.told("get", *arguments, "-o", "json"))
        return found["items"] if found["kind"] == "List" else [found]

    def namespace(self, name: str) -> str:
        """Makes a namespace that enforces `restricted`, and has both keys."""
        self.told("create", "namespace", name)
        self.told("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        for secret in ("reader-credentials", "writer-credentials"):
            self.told("-n", name, "create", "secret", "generic", secret, "--from-literal=key=secret")
        return name

    def ready(self) -> bool:
        return self.kubectl("get", "--raw", "/readyz").returncode == 0


@contextlib.contextmanager
def running(program: Path, directory: Path, *options: str, judging_only: bool = False) -> Iterator[Server]:
    """Starts all parts, and ends them again. `options` are the API server's; without the rest it judges
    manifests, and runs nothing.
    """
    clients, peers, port = free_ports(3)
    etcd_url, peer_url = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    key = directory / "service-account.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    tokens = directory / "tokens.csv"
    tokens.write_text(f"admin,admin,1,system:masters\n{TENANT},{TENANT},2\n")
    etcd = ["etcd", "--data-dir", "etcd", "--unsafe-no-fsync", "--log-level", "error"]
    etcd += ["--listen-client-urls", etcd_url, "--advertise-client-urls", etcd_url]
    etcd += ["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]
    etcd += ["--initial-cluster", f"default={peer_url}"]
    api = ["apiserver", "--etcd-servers", etcd_url, "--cert-dir", "certificates"]
    api += ["--bind-address", "127.0.0.1", "--secure-port", str(port)]
    api += ["--service-account-key-file", str(key), "--service-account-signing-key-file", str(key)]
    api += ["--service-account-issuer", "https://kubernetes.default.svc"]
    api += ["--service-cluster-ip-range", "10.96.0.0/16,fd00:96::/112"]
    api += ["--token-auth-file", str(tokens), "--authorization-mode", "RBAC"]
    api += ["--enable-admission-plugins", ADMISSION, *options]
    server = Server(directory, port)
    alone = ["--kubeconfig", str(server.config), "--leader-elect=false", "--secure-port=0"]
    controllers = ["controllers", *alone, "--service-account-private-key-file", str(key)]
    controllers += ["--root-ca-file", str(directory / "certificates" / "apiserver.crt")]
    # It would want heartbeats of nodes.
    controllers += ["--controllers", "*,-node-lifecycle-controller"]
    controllers += ["--horizontal-pod-autoscaler-sync-period", "2s"]
    with contextlib.ExitStack() as running:

        def start(name: str, arguments: list[str]) -> Child:
            log = directory / f"{arguments[0]}.log"
            child = Child(name, [program, *arguments], cwd=directory, stderr=log)
            running.callback(child.stop)
            return child

        start("etcd", etcd)
        try:
            start("the API server", api).wait_until(server.ready, PATIENCE)
        except StackError as error:
            raise StackError(f"{error}: see {directory}") from error
        if not judging_only:
            start("the controllers", controllers)
            start("the scheduler", ["scheduler", *alone])
            server.kubelet = running.enter_context(nodes(port, "admin"))
        yield server
