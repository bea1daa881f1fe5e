"""The shipped Envoy configurations, adapted to this machine.

An operator adapts them by replacing four example values, as the head of each file says. So does this module.
Then it sets the values that only a stack of its own needs: ports, files, TLS or none.
"""

from __future__ import annotations

import copy
import json
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import yaml

from . import envoy
from .children import StackError
from .sigv4 import Credentials
from .store import S3Store

CHECKOUT = Path(__file__).resolve().parents[2]

EXAMPLE_BUCKET = "my-bucket"
EXAMPLE_ORIGIN = "files.example.com"
EXAMPLE_REGION = "eu-west-1"
EXAMPLE_STORE = "s3.eu-west-1.amazonaws.com"

Wiring = Literal["redirect", "transparent"]
FILES: Mapping[Wiring, str] = {"redirect": "edge.yaml", "transparent": "transparent.yaml"}

SIGNED = ("bucket", "bucket-then-miss")
"""Clusters whose requests are signed with the reader's credential."""

CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Debian and its kin, Red Hat and its kin, Alpine; for a Python that was built to look elsewhere."""


@dataclass(frozen=True)
class Place:
    """The facts that both Envoys need: the bucket, and the directory of this run."""

    store: S3Store
    bucket: str
    run_dir: Path

    def replacements(self) -> dict[str, str]:
        # The host first: the region is a part of it.
        return {
            EXAMPLE_STORE: authority(urlsplit(self.store.url)),
            EXAMPLE_REGION: self.store.region,
            EXAMPLE_BUCKET: self.bucket,
        }


def signer(place: Place) -> dict[str, Any]:
    document = _load("signer.yaml", place.replacements())
    _listen(document, 0)
    store = named(document["static_resources"]["clusters"], "store")
    _connect(store, urlsplit(place.store.url))
    _sign(store, place.store.writer, place.run_dir / "writer.credentials")
    return document


def edge(
    place: Place,
    *,
    wiring: Wiring = "redirect",
    port: int,
    origin: str,
    signer_port: int,
    wasm: Path,
    plugin: Mapping[str, Any],
) -> dict[str, Any]:
    from_url = urlsplit(origin)
    document = _load(FILES[wiring], {**place.replacements(), EXAMPLE_ORIGIN: authority(from_url)})
    manager = _listen(document, port)
    clusters = document["static_resources"]["clusters"]

    _connect(named(clusters, "bucket"), urlsplit(place.store.url))
    for cluster in clusters:
        if cluster["name"] in SIGNED:
            _sign(cluster, place.store.reader, place.run_dir / "reader.credentials")
    _connect(named(clusters, "origin"), from_url)
    _address(named(clusters, "signer"))["port_value"] = signer_port

    module = plugin_of(document)
    if not wasm.exists():
        raise StackError(f"no {wasm}: `make wasm` builds it")
    module["vm_config"]["code"]["local"]["filename"] = str(wasm.resolve())
    configuration = json.loads(module["configuration"]["value"])
    if from_url.path.rstrip("/"):
        configuration["origin"]["path_prefix"] = from_url.path.rstrip("/")
    exposed = _exposed(configuration)
    configuration = merge(configuration, plugin)
    if _exposed(configuration) != exposed:
        routes = manager["route_config"]["virtual_hosts"][0]["routes"]
        if wiring == "redirect":
            _expose_path(routes, place.bucket)
        else:
            _expose_root(routes, place)
            # The listener `miss` is asked for the bucket's own paths.
            configuration["bucket"]["exposed"] = exposed
    module["configuration"]["value"] = json.dumps(configuration, indent=2)
    return document


def shipped(name: str) -> str:
    """Reads a file of envoy/. For an Envoy that lacks some of its fields it is changed as the file's head
    says.
    """
    path = CHECKOUT / "envoy" / "configuration" / name
    if envoy.version() >= (1, 37):
        return path.read_text()
    argv = ["sed", "-E", "-f", str(path.with_name("envoy-1.36.sed")), str(path)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def plugin_of(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of an edge that is the module's."""
    managers = (_manager(listener) for listener in document["static_resources"]["listeners"])
    filters = [each for manager in managers for each in manager["http_filters"]]
    module = named(filters, "mirror_on_miss")
    # In edge.yaml a matcher is around it.
    return module["typed_config"].get("extension_config", module)["typed_config"]["config"]


def named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Finds the cluster, filter, route or listener of that name."""
    return next(item for item in items if item["name"] == name)


def merge(base: Any, over: Any) -> Any:
    """Applies a JSON merge patch (RFC 7396): objects merge, null removes, every other value replaces."""
    if not isinstance(over, Mapping):
        return over
    merged = dict(base) if isinstance(base, Mapping) else {}
    for name, value in over.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def authority(url: SplitResult) -> str:
    """Returns host and port as a client writes them: a default port is not named, as it would be signed."""
    default = {"http": 80, "https": 443}[url.scheme]
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{host}" if url.port in (None, default) else f"{host}:{url.port}"


def ca_file() -> str:
    """Returns the machine's certificate authorities, or those that SSL_CERT_FILE names."""
    found = ssl.get_default_verify_paths().cafile
    for path in (found, *CA_FILES):
        if path and Path(path).exists():
            return path
    raise StackError("no file of certificate authorities on this machine: name one in SSL_CERT_FILE")


def _load(name: str, replacements: Mapping[str, str]) -> dict[str, Any]:
    document = yaml.safe_load(shipped(name))
    document["admin"]["address"]["socket_address"]["port_value"] = 0
    return _replace(document, replacements)


def _replace(node: Any, replacements: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {name: _replace(value, replacements) for name, value in node.items()}
    if isinstance(node, list):
        return [_replace(value, replacements) for value in node]
    if isinstance(node, str):
        for example, value in replacements.items():
            node = node.replace(example, value)
    return node


def _listen(document: dict[str, Any], port: int) -> dict[str, Any]:
    """Moves the listener to a port of loopback (0: any free one). Returns its HTTP connection manager."""
    (listener,) = (each for each in document["static_resources"]["listeners"] if "address" in each)
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    return _manager(listener)


def _manager(listener: dict[str, Any]) -> dict[str, Any]:
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def _connect(cluster: dict[str, Any], url: SplitResult) -> None:
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    _address(cluster).update(address=url.hostname, port_value=port)
    if url.scheme == "https":
        tls = cluster["transport_socket"]["typed_config"]["common_tls_context"]
        tls["validation_context"]["trusted_ca"]["filename"] = ca_file()
    else:
        del cluster["transport_socket"]


def _sign(cluster: dict[str, Any], credentials: Credentials, path: Path) -> None:
    """Writes the credentials where Envoy reads them, as an AWS credentials file for its owner only."""
    lines = [
        "[default]",
        f"aws_access_key_id={credentials.access_key}",
        f"aws_secret_access_key={credentials.secret_key}",
    ]
    if credentials.session_token:
        lines.append(f"aws_session_token={credentials.session_token}")
    path.touch(mode=0o600)
    path.write_text("\n".join([*lines, ""]))
    signing = named(_http_options(cluster)["http_filters"], "envoy.filters.http.aws_request_signing")
    provider = signing["typed_config"]["credential_provider"]["credentials_file_provider"]
    source = {"filename": str(path.resolve()), "watched_directory": {"path": str(path.resolve().parent)}}
    provider["credentials_data_source"] = source


def _exposed(configuration: Mapping[str, Any]) -> Any:
    bucket = configuration.get("bucket")
    return bucket.get("exposed", "root") if isinstance(bucket, Mapping) else "root"


def _expose_path(routes: list[dict[str, Any]], bucket: str) -> None:
    """Makes clients write /BUCKET/KEY: no rewriting, no index page, and nothing beside that bucket."""
    named(routes, "object")["match"] = {"prefix": f"/{bucket}/"}
    del named(routes, "object")["route"]["prefix_rewrite"]
    root = named(routes, "bucket-root")
    root["match"] = {"safe_regex": {"regex": f"/{bucket}(/|%2[fF])*"}}
    del root["redirect"]
    root["direct_response"] = named(routes, "no-sub-resources")["direct_response"]
    routes.append({"name": "no-other-bucket", "match": {"prefix": "/"}, "direct_response": {"status": 404}})


def _expose_root(routes: list[dict[str, Any]], place: Place) -> None:
    """Makes clients write /KEY. Envoy's internal redirects use the bucket's own /BUCKET/KEY."""
    bucket = f"/{place.bucket}/"
    roots = {"bucket-root": "(/|%2[fF])+", "page": "/(.*(/|%2[fF]))?"}
    for name in ("head-bucket", "bucket-location", "listing", *roots):
        named(routes, name)["match"]["safe_regex"]["regex"] = roots.get(name, "/")
    # A regular expression's match is rewritten as one.
    rewrite = {"pattern": {"regex": "/"}, "substitution": bucket}
    named(routes, "listing")["route"]["regex_rewrite"] = rewrite
    page = named(routes, "page")
    page["route"]["regex_rewrite"] = {"pattern": {"regex": "^/"}, "substitution": bucket}
    del routes[-1]
    first = named(routes, "object")
    again = copy.deepcopy(first)
    again["name"] = "object-again"
    host = authority(urlsplit(place.store.url))
    store = {"name": ":authority", "string_match": {"exact": host}}
    again["match"] = {"prefix": bucket, "headers": [store]}
    first["match"] = {"prefix": "/"}
    first["route"]["prefix_rewrite"] = bucket
    for route in (page, first, again):
        (predicate,) = route["route"]["internal_redirect_policy"]["predicates"]
        predicate["typed_config"]["allowed_route_names"] = ["object-again"]
    routes.insert(routes.index(first), again)


def _address(cluster: dict[str, Any]) -> dict[str, Any]:
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    return endpoint["address"]["socket_address"]


def _http_options(cluster: dict[str, Any]) -> dict[str, Any]:
    options = cluster["typed_extension_protocol_options"]
    return options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
