"""The shipped Envoy configurations, adapted to this machine.

An operator adapts them by replacing four example values, as the head of each file says. So does this module.
Then it sets the values that only a stack of its own needs: ports, files, TLS or none.
"""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import yaml

from . import envoy, headers
from .children import StackError
from .origins import OriginAccess
from .sigv4 import Credentials
from .store import S3Store

CHECKOUT = Path(__file__).resolve().parents[2]

EXAMPLE_BUCKET = "my-bucket"
EXAMPLE_ORIGIN = "files.example.com"
EXAMPLE_REGION = "eu-west-1"
EXAMPLE_STORE = "s3.eu-west-1.amazonaws.com"

FAILURES = (500, 502, 503, 504)
"""The answers of a bucket that fails."""

SILENCE = "5s"
"""A bucket that says nothing for so long is asked once more."""

STATUS_CLASS = {
    "name": "class",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput"
    },
}

HEAP_OF_A_WORKER = 128 << 20
"""Bytes of Envoy's memory for the parts of one worker, `limits.memory`. What is shipped is for two."""

Wiring = Literal["redirect", "transparent"]
FILES: Mapping[Wiring, str] = {"redirect": "edge.yaml", "transparent": "transparent.yaml"}

OBJECTS = ("object", "object-if-match", "object-if-none-match", "object-if-range")
"""Routes to the bucket: of each request, and of those that hold the tag of a stream."""

OBJECTS_AGAIN = (*(name.replace("object", "object-again") for name in OBJECTS), "object-again-with-query")
"""Routes of what the transparent edge follows itself."""

SIGNED = ("bucket", "bucket-then-miss")
"""Clusters whose requests are signed with the reader's credential."""

ORIGINS = ("origin", "origin-streams")
"""Clusters of the origin."""

CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Debian and its kin, Red Hat and its kin, Alpine; for a Python that was built to look elsewhere."""


@dataclass(frozen=True)
class Place:
    """The facts that both Envoys need: the bucket, and the directory of this run."""

    store: S3Store
    bucket: str
    run_dir: Path
    virtual_hosted: bool = False
    """The bucket is a part of the host, and no part of the path."""

    @property
    def secrets_dir(self) -> Path:
        """The directory of the credentials, and of nothing else, as in every deployment.

        Envoy watches it, and the main thread of each would wake up for each line of a log that is there.
        """
        return self.run_dir / "secrets"

    @property
    def authority(self) -> str:
        """The name of the bucket's host, as it is signed."""
        host = authority(urlsplit(self.store.url))
        return f"{self.bucket}.{host}" if self.virtual_hosted else host

    def replacements(self) -> dict[str, str]:
        # The host first: the region is a part of it.
        return {
            EXAMPLE_STORE: self.authority,
            EXAMPLE_REGION: self.store.region,
            EXAMPLE_BUCKET: self.bucket,
        }


def virtual_hosted(plugin: Mapping[str, Any]) -> bool:
    """Tells from the plugin's configuration: without a `path_prefix` the bucket is in the host."""
    bucket = plugin.get("bucket")
    return isinstance(bucket, Mapping) and "path_prefix" in bucket and not bucket["path_prefix"]


def signer(place: Place, plugin: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Adapts the signer to what the plugin sends, by the plugin's own settings."""
    document = _load("signer.yaml", place.replacements())
    manager = _listen(document, 0)
    _demand(manager["route_config"]["virtual_hosts"][0]["routes"], plugin or {})
    _allow_put_headers(manager, plugin or {})
    if place.virtual_hosted:
        _allow_keys_of_the_host(manager, place.bucket)
    store = named(document["static_resources"]["clusters"], "store")
    connect(store, urlsplit(place.store.url))
    _sign(store, place.store.writer, place.secrets_dir / "writer.credentials")
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
    workers: int = 2,
    access: OriginAccess | None = None,
) -> dict[str, Any]:
    access = access or OriginAccess()
    snippet = shipped(f"origin-{access.auth}.yaml") if access.auth else ""
    from_url = urlsplit(origin)
    document = _load(FILES[wiring], {**place.replacements(), EXAMPLE_ORIGIN: authority(from_url)})
    manager = _listen(document, port)
    clusters = document["static_resources"]["clusters"]

    connect(named(clusters, "bucket"), urlsplit(place.store.url))
    for cluster in clusters:
        if cluster["name"] in SIGNED:
            _sign(cluster, place.store.reader, place.secrets_dir / "reader.credentials")
    for cluster in clusters:
        if cluster["name"] in ORIGINS:
            connect(cluster, from_url)
            access.adapt(cluster, snippet)
    _address(named(clusters, "signer"))["port_value"] = signer_port

    heap = named(document["overload_manager"]["resource_monitors"], "envoy.resource_monitors.fixed_heap")
    heap["typed_config"]["max_heap_size_bytes"] += max(workers - 2, 0) * HEAP_OF_A_WORKER

    module = plugin_of(document)
    if not wasm.exists():
        raise StackError(f"no {wasm}: `make wasm` builds it")
    module["vm_config"]["code"]["local"]["filename"] = str(wasm.resolve())
    module["vm_config"].update(access.vm(snippet))
    configuration = json.loads(module["configuration"]["value"])
    if from_url.path.rstrip("/"):
        configuration["origin"]["path_prefix"] = from_url.path.rstrip("/")
    configuration["origin"].update(access.settings())
    exposed = _exposed(configuration)
    configuration = merge(configuration, plugin)
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    if _exposed(configuration) != exposed:
        if wiring == "redirect":
            _expose_path(routes, place.bucket)
        else:
            _expose_root(routes, place.bucket)
            # The listener `miss` is asked for the bucket's own paths.
            configuration["bucket"]["exposed"] = exposed
            if not place.virtual_hosted:
                _redirect_to(document, f"^/{place.bucket}/", "/")
    if place.virtual_hosted:
        _ask_without_bucket(routes, wiring, f"/{place.bucket}/")
        if wiring == "transparent":
            if "regex_rewrite" in named(routes, "page")["route"]:
                _redirect_to(document, "^/", f"/{place.bucket}/")
            configuration["bucket"]["exposed"] = "root"
            miss = manager_of(named(document["static_resources"]["listeners"], "miss"))
            inner = miss["route_config"]["virtual_hosts"][0]["routes"]
            for name in OBJECTS:
                named(inner, name)["match"]["prefix"] = "/"
            named(inner, "bucket-root")["match"]["safe_regex"]["regex"] = "(/|%2[fF])*"
    if _on_5xx(configuration):
        _pass_failures(document, wiring)
    module["configuration"]["value"] = json.dumps(configuration, indent=2)
    if wiring == "transparent":
        document = _replace(document, _passing_on(_request_headers(configuration)))
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
    managers = (manager_of(listener) for listener in document["static_resources"]["listeners"])
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
    """Returns the machine's certificate authorities, or those that SSL_CERT_FILE names: there `make run` puts
    CA_FILE.
    """
    found = ssl.get_default_verify_paths().cafile
    for path in (found, *CA_FILES):
        if path and Path(path).exists():
            return path
    raise StackError("no file of certificate authorities on this machine: name one in CA_FILE")


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
    return manager_of(listener)


def manager_of(listener: dict[str, Any]) -> dict[str, Any]:
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def connect(cluster: dict[str, Any], url: SplitResult) -> None:
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    _address(cluster).update(address=url.hostname, port_value=port)
    if url.scheme == "https":
        tls = cluster["transport_socket"]["typed_config"]["common_tls_context"]
        tls["validation_context"]["trusted_ca"]["filename"] = ca_file()
    else:
        cluster.pop("transport_socket", None)


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Writes an AWS credentials file for its owner only, in the place of one that is there."""
    lines = [
        "[default]",
        f"aws_access_key_id={credentials.access_key}",
        f"aws_secret_access_key={credentials.secret_key}",
    ]
    if credentials.session_token:
        lines.append(f"aws_session_token={credentials.session_token}")
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text("\n".join([*lines, ""]))
    new.rename(path)


def _sign(cluster: dict[str, Any], credentials: Credentials, path: Path) -> None:
    """Has Envoy read the credentials from a file."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_credentials(path, credentials)
    signing = named(_http_options(cluster)["http_filters"], "envoy.filters.http.aws_request_signing")
    provider = signing["typed_config"]["credential_provider"]["credentials_file_provider"]
    source = {"filename": str(path.resolve()), "watched_directory": {"path": str(path.resolve().parent)}}
    provider["credentials_data_source"] = source


def _demand(routes: list[dict[str, Any]], plugin: Mapping[str, Any]) -> None:
    """Has the signer demand of a write what the plugin's `if_none_match` has it carry."""
    bucket = plugin.get("bucket")
    condition = bucket.get("if_none_match") if isinstance(bucket, Mapping) else None
    if condition in (None, True):
        return
    for route in routes:
        matches = route["match"].get("headers", [])
        for match in [match for match in matches if match["name"] == "if-none-match"]:
            if condition is False:
                matches.remove(match)
            else:
                match.update(name=condition, string_match={"exact": "true"})


def _allow_put_headers(manager: dict[str, Any], plugin: Mapping[str, Any]) -> None:
    """Has the signer take what the plugin's `put_headers` has a write carry: these values alone."""
    bucket = plugin.get("bucket")
    allowed = bucket.get("put_headers") if isinstance(bucket, Mapping) else None
    rbac = named(manager["http_filters"], "envoy.filters.http.rbac")["typed_config"]["rules"]["policies"]
    for permission in rbac["headers-no-bucket-demands"]["permissions"]:
        header = permission["header"]
        if isinstance(allowed, Mapping) and header["name"] in allowed:
            del header["present_match"]
            header.update(string_match={"exact": allowed[header["name"]]}, invert_match=True)


def _allow_keys_of_the_host(manager: dict[str, Any], bucket: str) -> None:
    """Has the signer take each path for a key of the bucket, which is in the host."""
    rbac = named(manager["http_filters"], "envoy.filters.http.rbac")["typed_config"]["rules"]["policies"]
    rules = rbac["not-an-object-of-the-bucket"]
    replaced = {f"/{bucket}/": "/", f"/{bucket}(/|%2[fF])*": "(/|%2[fF])*"}
    rules["permissions"] = _replace(rules["permissions"], replaced)


def _ask_without_bucket(routes: list[dict[str, Any]], wiring: Wiring, prefix: str) -> None:
    """Has the bucket be asked for /KEY, whatever clients write."""
    if wiring == "redirect":
        for name in ("marked", *OBJECTS):
            named(routes, name)["route"]["prefix_rewrite"] = "/"
        return
    listing, page = named(routes, "listing"), named(routes, "page")
    pattern = {"regex": listing["match"]["safe_regex"]["regex"]}
    listing["route"]["regex_rewrite"] = {"pattern": pattern, "substitution": "/"}
    exposes_root = page["route"].pop("regex_rewrite", None)
    if not exposes_root:
        page["route"]["regex_rewrite"] = {"pattern": {"regex": f"^{prefix}"}, "substitution": "/"}
    named(routes, "marked")["route"] = page["route"]
    for name in (*OBJECTS, *OBJECTS_AGAIN, "object-with-query"):
        named(routes, name)["route"]["prefix_rewrite"] = "/"
    for name in ("marked-again", *OBJECTS_AGAIN):
        named(routes, name)["match"]["prefix"] = "/"


def _redirect_to(document: dict[str, Any], pattern: str, replacement: str) -> None:
    """Has a redirect of the listener `miss` name the path that clients write, not the bucket's own.

    A whole URL is the edge's to follow, or another host's. A path that begins with `//` would be a host.
    """
    source = f"""\
function envoy_on_response(handle)
  local location = handle:headers():get("location")
  if location and location:find("^/") then
    location = location:gsub("^/%./", "/"):gsub("{_lua(pattern)}", "{replacement}"):gsub("^//", "/.//")
    handle:headers():replace("location", location)
  end
end
"""
    miss = manager_of(named(document["static_resources"]["listeners"], "miss"))
    lua = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
    typed_config = {"@type": lua, "default_source_code": {"inline_string": source}}
    miss["http_filters"].insert(0, {"name": "path-of-clients", "typed_config": typed_config})


def _lua(pattern: str) -> str:
    """Escapes what a bucket's name may have and a pattern of Lua reads otherwise."""
    return pattern.replace(".", "%.").replace("-", "%-")


def _request_headers(configuration: Mapping[str, Any]) -> set[str]:
    """Returns the headers of clients that a rule lets origins see."""
    rules = configuration.get("rules")
    listed = [rule.get("request_headers") for rule in rules or () if isinstance(rule, Mapping)]
    return {
        name.lower() for names in listed if isinstance(names, list) for name in names if isinstance(name, str)
    }


def _passing_on(more: set[str]) -> dict[str, str]:
    """Returns what has the transparent edge leave these headers to the listener of the filter."""
    file = FILES["transparent"]
    return {headers.expression(file): headers.expression(file, more)} if more else {}


def _on_5xx(configuration: Mapping[str, Any]) -> bool:
    """Tells if an origin may serve in the bucket's place, by some rule."""
    rules = configuration.get("rules")
    return any(isinstance(rule, Mapping) and rule.get("on_5xx") == "origin" for rule in rules or ())


def _pass_failures(document: dict[str, Any], wiring: Wiring) -> None:
    """Has the filter hear of a bucket that fails, as start.sh does with ON_5XX=origin."""
    listeners = document["static_resources"]["listeners"]
    edge = manager_of(named(listeners, "edge"))
    asking = edge
    if wiring == "redirect":
        matcher = named(edge["http_filters"], "mirror_on_miss")["typed_config"]["xds_matcher"]["matcher_list"]
        statuses = matcher["matchers"][0]["predicate"]["not_matcher"]["or_matcher"]["predicate"]
        statuses.append({"single_predicate": {"input": STATUS_CLASS, "value_match": {"exact": "5xx"}}})
    else:
        asking = manager_of(named(listeners, "miss"))
        # Envoy lets aliases be copies.
        for route in edge["route_config"]["virtual_hosts"][0]["routes"]:
            action = route.get("route", {})
            if action.get("cluster") == "bucket-then-miss":
                action["hedge_policy"] = {"hedge_on_per_try_timeout": True}
                codes = sorted({*action["retry_policy"]["retriable_status_codes"], *FAILURES})
                action["retry_policy"].update(per_try_timeout=SILENCE, retriable_status_codes=codes)
    for route in asking["route_config"]["virtual_hosts"][0]["routes"]:
        if route.get("route", {}).get("cluster") == "bucket" and "retry_policy" in route["route"]:
            route["route"]["retry_policy"].update(num_retries=1, per_try_timeout=SILENCE)


def _exposed(configuration: Mapping[str, Any]) -> Any:
    bucket = configuration.get("bucket")
    return bucket.get("exposed", "root") if isinstance(bucket, Mapping) else "root"


def _expose_path(routes: list[dict[str, Any]], bucket: str) -> None:
    """Makes clients write /BUCKET/KEY: no rewriting, no index page, and nothing beside that bucket."""
    for name in ("marked", *OBJECTS):
        named(routes, name)["match"]["prefix"] = f"/{bucket}/"
        del named(routes, name)["route"]["prefix_rewrite"]
    named(routes, "not-implemented")["match"]["prefix"] = f"/{bucket}/"
    root = named(routes, "bucket-root")
    root["match"] = {"safe_regex": {"regex": f"/{bucket}(/|%2[fF])*"}}
    del root["response_headers_to_add"]
    denied = _replace(named(routes, "not-implemented")["direct_response"], {"NotImplemented": "AccessDenied"})
    root["direct_response"] = {**denied, "status": 403}
    routes.append({"name": "no-other-bucket", "match": {"prefix": "/"}, "direct_response": {"status": 404}})


def _expose_root(routes: list[dict[str, Any]], bucket: str) -> None:
    """Makes clients write /KEY. Envoy's internal redirects use the bucket's own /BUCKET/KEY."""
    roots = {"bucket-root": "(/|%2[fF])+", "page": "/(.*(/|%2[fF]))?"}
    for name in ("head-bucket", "bucket-location", "listing", "no-listing", *roots):
        named(routes, name)["match"]["safe_regex"]["regex"] = roots.get(name, "/")
    # A regular expression's match is rewritten as one.
    rewrite = {"pattern": {"regex": "/"}, "substitution": f"/{bucket}/"}
    named(routes, "listing")["route"]["regex_rewrite"] = rewrite
    for name in ("marked", "page"):
        named(routes, name)["route"]["regex_rewrite"] = {**rewrite, "pattern": {"regex": "^/"}}
    named(routes, "marked")["match"]["prefix"] = "/"
    named(routes, "not-implemented")["match"]["prefix"] = "/"
    for name in (*OBJECTS, "object-with-query"):
        route = named(routes, name)
        route["match"]["prefix"] = "/"
        route["route"]["prefix_rewrite"] = f"/{bucket}/"
    routes.remove(named(routes, "no-other-bucket"))


def _address(cluster: dict[str, Any]) -> dict[str, Any]:
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    return endpoint["address"]["socket_address"]


def _http_options(cluster: dict[str, Any]) -> dict[str, Any]:
    options = cluster["typed_extension_protocol_options"]
    return options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
