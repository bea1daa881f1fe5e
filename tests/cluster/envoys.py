"""What Istio and Envoy Gateway make of an overlay, run in the Envoy of the tests.

Their own programs say what a proxy would be sent. Here it stands in a file, with other addresses: everything
is on loopback, without TLS, and the module is the one of this checkout.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.kustomize import KUBERNETES, Manifest, is_custom, kustomize
from doubles import ScriptedOrigin, StrictBucket
from doubles.large_origin import LargeOrigin
from stack import Envoy, render
from stack.children import free_ports
from stack.stack import WASM

from . import go

Json = dict[str, Any]

STORE = "s3.eu-west-1.amazonaws.com"
"""The example of the overlays: what the bucket's server is called, wherever it is."""

NAMES = {"bucket": STORE, "origin": "files.example.com", "signer": "mirror-on-miss-signer"}
"""Parts of the hosts that an overlay names."""


GATEWAY_CLASS: Manifest = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "GatewayClass",
    "metadata": {"name": "eg"},
    "spec": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
}


class Bucket(StrictBucket):
    """The bucket of the example, at an address of loopback."""

    @property
    def authority(self) -> str:
        return STORE

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Place(render.Place):
    @property
    def authority(self) -> str:
        return STORE


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Site:
    """A proxy that runs, as its clients see it, and what is behind it."""

    port: int
    host: str
    bucket: Bucket
    origin: ScriptedOrigin | LargeOrigin

    def ask(
        self,
        path: str,
        method: str = "GET",
        host: str = "",
        headers: dict[str, str] | None = None,
        body: bytes | list[bytes] | None = None,
    ) -> Answer:
        """Asks as a client does. A list is sent as chunks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"host": host or self.host, **(headers or {})})
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, named, response.read())
        connection.close()
        return answer


def manifests(directory: Path, overlay: str, components: list[str]) -> list[Manifest]:
    """Builds an overlay as a site has it, with the names of the example."""
    directory.mkdir(parents=True)
    ours = os.path.relpath(KUBERNETES / "overlays", directory.resolve())
    document = {
        "kind": "Kustomization",
        "resources": [f"{ours}/{overlay}"],
        "components": [f"{ours}/{each}" for each in components],
    }
    (directory / "kustomization.yaml").write_text(json.dumps(document))
    return kustomize(directory)


def egctl(work: Path, manifests: list[Manifest]) -> Json:
    """Returns the resources with their status, and Envoy's configuration as a dump of it has it."""
    file = work / "manifests.yaml"
    file.write_text(yaml.safe_dump_all([*manifests, GATEWAY_CLASS]))
    argv = [go.gateway(), "x", "translate", "--from", "gateway-api", "--to", "gateway-api,xds"]
    argv += ["--output", "json", "--file", file, "--namespace", "mirror-on-miss"]
    return json.loads(told(argv))


def told(argv: list[str | Path], text: str = "", **variables: str) -> str:
    done = subprocess.run(
        argv, input=text, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def of_envoy_gateway(translated: Json) -> Json:
    """Returns the resources of the dump: listeners, routes, clusters."""
    (dump,) = translated["xds"].values()
    found: Json = {}
    for config in dump["configs"]:
        for kind, inner in (
            ("dynamicListeners", "listener"),
            ("dynamicRouteConfigs", "routeConfig"),
            ("dynamicActiveClusters", "cluster"),
        ):
            for each in config.get(kind, []):
                resource = each.get("activeState", each)[inner]
                found.setdefault(kind, []).append({k: v for k, v in resource.items() if k != "@type"})
    bootstrap = dump["configs"][0]["bootstrap"]
    return {
        "bootstrap": {name: bootstrap[name] for name in ("layeredRuntime", "statsConfig")},
        "listeners": [each for each in found["dynamicListeners"] if "ready" not in each["name"]],
        "routes": found["dynamicRouteConfigs"],
        "clusters": found["dynamicActiveClusters"],
    }


def istio(manifests: list[Manifest], *arguments: str) -> list[Json]:
    """Asks Istio's program, and returns the objects that it prints."""
    wanted = [
        each for each in manifests if is_custom(each) or each["kind"] in ("Service", "Pod", "Namespace")
    ]
    text = yaml.safe_dump_all(wanted)
    # What only Istio's own build of Envoy has.
    own = {"PILOT_ENABLE_ALPN_FILTER": "false", "PILOT_ENABLE_METADATA_EXCHANGE": "false"}
    printed = told([go.istio(), *arguments], text, **own)
    return [json.loads(line) for line in printed.splitlines()]


# One configuration in a file.

CHANGED = [
    *("additional_addresses", "auto_config", "bind_to_port", "cluster_name", "cluster_type"),
    *("config_discovery", "default_filter_chain", "eds_cluster_config", "explicit_http_config"),
    *("filter_chains", "http_filters", "lb_endpoints", "listener_filters", "load_assignment"),
    *("port_value", "route_config_name", "socket_address", "transport_socket", "transport_socket_matches"),
    *("typed_config", "typed_extension_protocol_options", "vm_config"),
]
"""The fields of Envoy that are changed here."""


RE2 = {
    "layered_runtime": {
        "layers": [{"name": "istio", "static_layer": {"re2.max_program_size.error_level": 32768}}]
    }
}
"""Of Istio's bootstrap: tools/packaging/common/envoy_bootstrap.json."""


def static(resources: Json, places: dict[str, int], ports: dict[str, int]) -> Json:
    """Returns a bootstrap. `places` are the ports of what is behind the proxy, `ports` those of its listeners
    by name; others are left out.
    """
    snake = json.loads(_snake(json.dumps(resources)))
    routes = {each["name"]: each for each in snake["routes"]}
    modules = {each["name"]: each["typed_config"] for each in snake.get("extensions", [])}
    listeners = [each for each in snake["listeners"] if each["name"] in ports]
    assert {each["name"] for each in listeners} == set(ports), [each["name"] for each in snake["listeners"]]
    for listener in listeners:
        listener["address"] = _address(ports[listener["name"]])
        chains = [*listener.pop("filter_chains", []), listener.pop("default_filter_chain", {"filters": []})]
        # Of the chain for HTTP alone, since nobody says here what a connection was meant for.
        listener["filter_chains"] = [{"filters": each["filters"]} for each in chains if any(_managers(each))]
        for unused in ("additional_addresses", "bind_to_port", "listener_filters"):
            listener.pop(unused, None)
        (chain,) = listener["filter_chains"]
        for manager in _managers(chain):
            manager["route_config"] = routes[manager.pop("rds")["route_config_name"]]
            manager["route_config"].pop("@type", None)
            for each in manager["http_filters"]:
                if "config_discovery" in each:
                    del each["config_discovery"]
                    each["typed_config"] = modules[each["name"]]
    assignments = {each["cluster_name"]: each for each in snake.get("endpoints", [])}
    clusters = [each for each in snake["clusters"] if each.get("type") not in ("ORIGINAL_DST",)]
    for cluster in clusters:
        _connect(cluster, assignments, places)
    document = {
        **snake.get("bootstrap", RE2),
        "admin": {"address": _address(0)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }
    _take_module_from_here(document)
    return document


def _snake(text: str) -> str:
    """Dumps have the fields' other spelling, which Envoy takes as well. One is easier to change."""
    for name in CHANGED:
        camel = re.sub("_(.)", lambda match: match[1].upper(), name)
        text = text.replace(f'"{camel}":', f'"{name}":')
    return text


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _managers(chain: Json) -> Iterator[Json]:
    for each in chain["filters"]:
        if each["name"].endswith("http_connection_manager"):
            yield each["typed_config"]


def _connect(cluster: Json, assignments: dict[str, Json], places: dict[str, int]) -> None:
    """Lets a cluster reach its server on loopback, whatever its name and its way of finding it are."""
    for tls in ("transport_socket", "transport_socket_matches"):
        cluster.pop(tls, None)
    for options in cluster.get("typed_extension_protocol_options", {}).values():
        # TLS says by ALPN which protocol it is.
        if options.pop("auto_config", None) is not None:
            options["explicit_http_config"] = {"http_protocol_options": {}}
    if cluster.get("type") == "EDS":
        cluster["type"] = "STATIC"
        cluster.pop("eds_cluster_config")
        cluster["load_assignment"] = assignments[cluster["name"]]
    for group in cluster.get("load_assignment", {}).get("endpoints", []):
        for each in group["lb_endpoints"]:
            each.pop("metadata", None)
            address = each["endpoint"]["address"]["socket_address"]
            wanted = {
                port
                for name, port in places.items()
                if name in address["address"] or name == str(address["port_value"])
            }
            assert len(wanted) == 1, address
            (port,) = wanted
            each["endpoint"]["address"] = _address(port)


def _take_module_from_here(node: Any) -> None:
    if isinstance(node, dict):
        if "vm_config" in node:
            node["vm_config"]["code"] = {"local": {"filename": str(WASM)}}
        for value in node.values():
            _take_module_from_here(value)
    elif isinstance(node, list):
        for value in node:
            _take_module_from_here(value)


def _configure(node: Any, plugin: Json) -> None:
    if isinstance(node, dict):
        if "vm_config" in node:
            configuration = node["configuration"]
            configuration["value"] = json.dumps({**json.loads(configuration["value"]), **plugin})
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            _configure(value, plugin)


@contextmanager
def running(
    work: Path,
    resources: Json,
    entry: str,
    inner: str = "",
    host: str = "",
    *,
    anonymous: bool = False,
    more: dict[str, int] | None = None,
    origin: ScriptedOrigin | LargeOrigin | None = None,
    plugin: Json | None = None,
) -> Iterator[Site]:
    """Runs what a proxy is sent, with everything behind it. `entry` is the listener for clients, `inner` the
    one with the module, where that is another. `more` are ports of other hosts. `plugin` is put over the
    module's configuration.
    """
    with ExitStack() as stack:
        origin = origin or stack.enter_context(ScriptedOrigin())
        bucket = stack.enter_context(Bucket("my-bucket", anonymous=anonymous))
        signer = Envoy("signer", render.signer(Place(bucket, bucket.bucket, work)), work, workers=1)
        signer.start()
        stack.callback(signer.stop)
        port, inner_port = free_ports(2)
        places = {
            NAMES["bucket"]: bucket.port,
            NAMES["origin"]: origin.port,
            NAMES["signer"]: signer.port,
            # By their ports, where a platform says them by address.
            "10001": signer.port,
            "10002": inner_port,
            **(more or {}),
        }
        ports = {entry: port, **({inner: inner_port} if inner else {})}
        config = static(resources, places, ports)
        _configure(config, plugin or {})
        text = json.dumps(config).replace("/etc/mirror-on-miss", str(work))
        keys = bucket.reader
        (work / "reader.credentials").write_text(
            f"[default]\naws_access_key_id={keys.access_key}\naws_secret_access_key={keys.secret_key}\n"
        )
        proxy = Envoy("proxy", json.loads(text), work, workers=1)
        proxy.start()
        stack.callback(proxy.stop)
        yield Site(port, host, bucket, origin)
