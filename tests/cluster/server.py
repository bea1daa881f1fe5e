"""One API server with its etcd, on ports of loopback."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploy.kubectl import BINARY
from stack.children import Child, StackError, free_ports

PATIENCE = 120.0
"""The seconds in which it must be ready on a busy machine."""

ADMISSION = (
    "PodSecurity,LimitRanger,ServiceAccount,ResourceQuota,DefaultTolerationSeconds,ValidatingAdmissionPolicy"
)


class Server:
    """A cluster without nodes: it judges manifests, and runs nothing."""

    def __init__(self, directory: Path, port: int) -> None:
        self._config = directory / "kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "admin"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        self._config.write_text(json.dumps(config))

    def kubectl(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        argv = [BINARY, "--kubeconfig", self._config, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def told(self, *arguments: str | Path) -> str:
        """Returns what kubectl prints. AssertionError if it fails."""
        done = self.kubectl(*arguments)
        assert done.returncode == 0, f"kubectl {arguments[0]}: {done.stderr.strip()}"
        return done.stdout

    def namespace(self, name: str) -> str:
        """Makes a namespace that enforces `restricted`."""
        self.told("create", "namespace", name)
        self.told("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        return name

    def ready(self) -> bool:
        return self.kubectl("get", "--raw", "/readyz").returncode == 0


@contextlib.contextmanager
def running(program: Path, directory: Path, *options: str) -> Iterator[Server]:
    """Starts both parts, and ends them again. `options` are the API server's."""
    clients, peers, port = free_ports(3)
    etcd_url, peer_url = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    key = directory / "service-account.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    tokens = directory / "tokens.csv"
    tokens.write_text("admin,admin,1,system:masters\n")
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
    with contextlib.ExitStack() as children:
        for name, arguments in (("etcd", etcd), ("the API server", api)):
            log = directory / f"{arguments[0]}.log"
            child = Child(name, [program, *arguments], cwd=directory, stderr=log)
            children.callback(child.stop)
        try:
            child.wait_until(server.ready, PATIENCE)
        except StackError as error:
            raise StackError(f"{error}: see {directory}") from error
        yield server
