"""Envoy Gateway itself, without a cluster: it reads manifests from a file, fetches the module, and starts an
Envoy, which it sends its configuration and the module.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from deploy.kustomize import Manifest
from doubles import ScriptedOrigin
from doubles.large_origin import LargeOrigin
from doubles.replies import status
from stack import Envoy, render
from stack.children import Child, free_ports
from stack.envoy import binary
from stack.stack import WASM

from . import envoys, go
from .envoys import Bucket, Json, Place, Site
from .life import eventually

ENVOY_VERSION = "1.40.0"
"""A name alone: it is the Envoy of the tests."""

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ENDPOINT = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address"

STARTS = 120.0
"""The seconds in which the module must be in the Envoy."""


def here(
    manifests: list[Manifest], ports: dict[str, int], module: Json, plugin: Json, keys: Path
) -> list[Manifest]:
    """Returns the manifests with everything on loopback, without TLS, and the module by HTTP."""
    text = json.dumps(manifests).replace("10002", str(ports["miss"]))
    manifests = json.loads(text)
    for each in manifests:
        spec = each.get("spec", {})
        match each["kind"]:
            case "Gateway":
                spec["listeners"][0]["port"] = ports["http"]
            case "Backend" if "fallback" not in spec:
                del spec["tls"]
            case "EnvoyProxy":
                # As elsewhere in these tests: where the bucket says 403, clients of other workers wait.
                spec["concurrency"] = 1
                spec["provider"] = {"type": "Host", "host": {"envoyVersion": ENVOY_VERSION}}
            case "EnvoyExtensionPolicy":
                (wasm,) = spec["wasm"]
                wasm["code"] = {"type": "HTTP", "http": module}
                wasm["config"] |= plugin
            case "EnvoyPatchPolicy":
                patches = spec["jsonPatches"]
                spec["jsonPatches"] = [*_clusters(patches, ports), *_listeners(patches), *_modules(keys)]
    return manifests


def _clusters(patches: list[Json], ports: dict[str, int]) -> Iterator[Json]:
    places = {"signer": ports["signer"], "origin": ports["origin"], "origin-streams": ports["origin"]}
    for patch in patches:
        if patch["name"] in places:
            cluster = patch["operation"]["value"]
            cluster.pop("transport_socket", None)
            (group,) = cluster["load_assignment"]["endpoints"]
            (endpoint,) = group["lb_endpoints"]
            endpoint["endpoint"]["address"] = {
                "socket_address": {"address": "127.0.0.1", "port_value": places[patch["name"]]}
            }
        yield patch
    buckets = {patch["name"] for patch in patches if patch["name"].startswith("httproute/")}
    for name in sorted(buckets):
        address = {"address": "127.0.0.1", "port_value": ports["bucket"]}
        yield _replaced(CLUSTER, name, f"{ENDPOINT}/socket_address", address)


def _listeners(patches: list[Json]) -> Iterator[Json]:
    for name in sorted({patch["name"] for patch in patches if patch["type"] == LISTENER}):
        yield _replaced(LISTENER, name, "/address/socket_address/address", "127.0.0.1")


def _replaced(kind: str, name: str, path: str, value: Any) -> Json:
    return {"type": kind, "name": name, "operation": {"op": "replace", "path": path, "value": value}}


def _modules(keys: Path) -> Iterator[Json]:
    """Without a cluster, the Envoy finds Envoy Gateway's server of modules nowhere, nor the keys for it."""
    context = {
        "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [
            {
                "certificate_chain": {"filename": f"{keys}/tls.crt"},
                "private_key": {"filename": f"{keys}/tls.key"},
            }
        ],
        "validation_context": {"trusted_ca": {"filename": f"{keys}/ca.crt"}},
    }
    yield _replaced(CLUSTER, "wasm_cluster", f"{ENDPOINT}/socket_address/address", "127.0.0.1")
    yield _replaced(CLUSTER, "wasm_cluster", "/transport_socket/typed_config/common_tls_context", context)


@contextlib.contextmanager
def running(
    work: Path,
    manifests: list[Manifest],
    *,
    host: str,
    origin: ScriptedOrigin | LargeOrigin | None = None,
    plugin: Json | None = None,
) -> Iterator[Site]:
    """Runs Envoy Gateway with these manifests, and everything behind its Envoy."""
    with ExitStack() as stack:
        origin = origin or stack.enter_context(ScriptedOrigin())
        bucket = stack.enter_context(Bucket("my-bucket", anonymous=True))
        registry = stack.enter_context(ScriptedOrigin())
        signer = Envoy("signer", render.signer(Place(bucket, bucket.bucket, work)), work, workers=1)
        signer.start()
        stack.callback(signer.stop)
        http, miss = free_ports(2)
        ports = {
            "bucket": bucket.port,
            "http": http,
            "miss": miss,
            "origin": origin.port,
            "signer": signer.port,
        }
        module = WASM.read_bytes()
        registry.script("/plugin.wasm", status(200, {"content-type": "application/wasm"}, module))
        code = {"url": f"{registry.url}/plugin.wasm", "sha256": hashlib.sha256(module).hexdigest()}
        keys = work / "config" / "certs" / "envoy"
        server = _start(work, here(manifests, ports, code, plugin or {}, keys))
        stack.callback(server.stop)
        site = Site(http, host, bucket, origin)
        eventually(lambda: _serves(site), f"an Envoy with the module; {server.log_path}", STARTS)
        yield site


def _serves(site: Site) -> bool:
    with contextlib.suppress(OSError):
        return site.ask("/").status not in (500, 503)
    return False


def _start(work: Path, manifests: list[Manifest]) -> Child:
    homes = {f"{name}Home": str(work / name) for name in ("config", "data", "state")}
    own = work / "data" / "envoy-versions" / ENVOY_VERSION / "bin" / "envoy"
    own.parent.mkdir(parents=True)
    own.symlink_to(binary())
    resources = work / "resources"
    resources.mkdir()
    document: list[Any] = [*manifests, envoys.GATEWAY_CLASS]
    (resources / "site.yaml").write_text(yaml.safe_dump_all(document))
    configuration = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": envoys.GATEWAY_CLASS["spec"]["controllerName"]},
        "provider": {
            "type": "Custom",
            "custom": {
                "resource": {"type": "File", "file": {"paths": [str(resources)]}},
                "infrastructure": {
                    "type": "Host",
                    "host": {**homes, "runtimeDir": str(work / "runtime")},
                },
            },
        },
        "extensionApis": {"enableBackend": True, "enableEnvoyPatchPolicy": True},
    }
    (work / "server.yaml").write_text(yaml.safe_dump(configuration))
    program = go.gateway_server()
    certificates = ["certgen", "--local", "--config-home", work / "config"]
    subprocess.run([program, *certificates], check=True, capture_output=True)
    env = {"HOME": str(work), "PATH": "/usr/bin:/bin"}
    argv = [program, "server", "--config-path", work / "server.yaml"]
    return Child("Envoy Gateway", argv, cwd=work, stderr=work / "server.log", env=env)
