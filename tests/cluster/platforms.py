"""Istio and Envoy Gateway: their own validators, and what they make of the overlays, run in a real Envoy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import boto3
from botocore.config import Config

from deploy.kustomize import Manifest
from doubles import ScriptedOrigin

from . import envoys, gateway_server
from .envoys import Json, Site, running
from .server import Server
from .streams import streams

Check = Callable[[Server, Path], None]

TOLD_TO_ORIGIN = {"host", "accept-encoding", "range", "user-agent", "x-request-id"}
TOLD_TO_BUCKET = {
    "host",
    "accept-encoding",
    "range",
    "x-request-id",
    "x-envoy-original-path",
    "x-forwarded-proto",
}
SIGNATURE = {"authorization", "x-amz-content-sha256", "x-amz-date"}

OF_A_CLIENT = {
    "authorization": "Bearer of-a-client",
    "cookie": "session=of-a-client",
    "proxy-authorization": "Basic of-a-client",
    "referer": "https://example.net/of-a-client",
    "x-amzn-oidc-accesstoken": "of-a-client",
    "x-forwarded-for": "192.0.2.1",
}
"""What is none of the bucket's business."""

NOISE = {
    "IST0128",  # SIMPLE without caCertificates: those of the system are taken.
    "IST0133",  # Every EnvoyFilter is warned of.
}

MEANT = re.compile(
    # The listener with the module is in no Service, and must not be.
    r"IST0162.*mirror-on-miss-inner"
    # Fills have the origin's cluster without a subset, streams the one with it.
    r"|IST0140.*mirror-on-miss-streams"
)

GATEWAY = "mirror-on-miss/mirror-on-miss"


def directory(work: Path, *names: str) -> Path:
    new = work / "-".join(names).replace("/", "-")
    new.mkdir(parents=True)
    return new


# Envoy Gateway.


def translated(work: Path, overlay: str, components: list[str]) -> Json:
    """Returns what Envoy Gateway makes of an overlay. Every condition that it sets must be true."""
    result = envoys.egctl(work, envoys.manifests(work / "site", overlay, components))
    resources = [each for kind in result.values() if isinstance(kind, list) for each in kind]
    assert resources
    wrong = [
        f"{each['kind']} {each['metadata']['name']}: {condition['message']}"
        for each in resources
        for condition in conditions(each.get("status"))
        if condition["status"] != "True"
        # The program has no cache for modules, which the server has.
        and condition["message"] != "Wasm: wasm cache is not initialized."
    ]
    assert not wrong, wrong
    return result


def conditions(status: object) -> list[Json]:
    if isinstance(status, dict):
        inner = [each for value in status.values() for each in conditions(value)]
        return [*status.get("conditions", []), *inner]
    if isinstance(status, list):
        return [each for value in status for each in conditions(value)]
    return []


def envoy_gateway_s_translator(server: Server, work: Path) -> None:
    for overlay in ("envoy-gateway", "envoy-gateway-transparent"):
        translated(directory(work, "translated", overlay), overlay, [f"{overlay}/names"])
    signed = ["envoy-gateway/names", "envoy-gateway/signed-reads"]
    translated(directory(work, "translated-signed"), "envoy-gateway", signed)


def envoy_gateway_redirects(server: Server, work: Path) -> None:
    overlay = "envoy-gateway"
    work = directory(work, "run", overlay)
    result = translated(work, overlay, [f"{overlay}/names", f"{overlay}/module-file"])
    resources = envoys.of_envoy_gateway(result)
    with running(work, resources, f"{GATEWAY}/http", host="files.example.net", anonymous=True) as site:
        redirected(site)
        site.origin.put("/page.css", b"{}")
        assert site.ask("/page.css").headers["access-control-allow-origin"] == "*", "the redirect"
        read_from_any_page(site, "/page.css")


def envoy_gateway_signs(server: Server, work: Path) -> None:
    """The bucket refuses what is not signed, and the gateway what a signature must not be lent to."""
    overlay = "envoy-gateway"
    work = directory(work, "signed", overlay)
    components = [f"{overlay}/{each}" for each in ("names", "module-file", "signed-reads")]
    resources = envoys.of_envoy_gateway(translated(work, overlay, components))
    with running(work, resources, f"{GATEWAY}/http", host="files.example.net") as site:
        redirected(site, SIGNATURE)
        refused = {
            ("POST", "/img/a.jpg"): 405,
            ("GET", "/a%2F..%2Fb"): 400,
            ("GET", "/img/a.jpg?versionId=1"): 501,
            ("GET", "/img/a.jpg?uploadId=1"): 501,
            ("GET", "/?list-type=2"): 302,
            ("GET", "//"): 302,
        }
        asked = len(site.bucket.requests)
        for (method, path), status in refused.items():
            assert site.ask(path, method).status == status, path
        assert len(site.bucket.requests) == asked
        # What is no object's is dropped, and so is signed for nobody.
        assert (
            site.ask("/img/a%20b.jpg?response-content-type=text/html").headers["content-type"] == "image/jpeg"
        )
        assert site.ask("/img/a%20b.jpg?acl").body == b"picture"


def envoy_gateway_is_transparent(server: Server, work: Path) -> None:
    overlay = "envoy-gateway-transparent"
    work = directory(work, "run", overlay)
    resources = envoys.of_envoy_gateway(
        translated(work, overlay, [f"{overlay}/names", f"{overlay}/module-file"])
    )
    listeners = (f"{GATEWAY}/http", f"{GATEWAY}/miss")
    with running(work, resources, *listeners, host="files.example.net", anonymous=True) as site:
        served(site)
        read_from_any_page(site, "/my-bucket/img/a%20b.jpg")
        # The bucket is asked without the query, but for a part of an object.
        asked = len(site.bucket.requests)
        assert site.ask("/my-bucket/img/a%20b.jpg?x-id=GetObject&v=%26acl").body == b"picture"
        assert site.ask("/my-bucket/img/a%20b.jpg?versionId=1").status == 501
        targets = [call.request.target for call in site.bucket.requests][asked:]
        assert [str(target) for target in targets] == ["/my-bucket/img/a%20b.jpg"]


def envoy_gateway_streams(overlay: str, listeners: tuple[str, ...], *components: str) -> Check:
    def check(server: Server, work: Path) -> None:
        work = directory(work, "streams", overlay, *components)
        names = [f"{overlay}/{each}" for each in ("names", *components)]
        resources = envoys.of_envoy_gateway(translated(work, overlay, names))
        anonymous = "signed-reads" not in components
        run = partial(running, work, resources, *listeners, host=HOST, anonymous=anonymous)
        streams(run, **PATHS[overlay])

    return check


def envoy_gateway_itself(overlay: str) -> Check:
    """It fetches the module for its EnvoyExtensionPolicy, and sends it to an Envoy that it has started."""

    def check(server: Server, work: Path) -> None:
        for what in ("objects", "streams"):
            place = directory(work, "itself", overlay, what)
            manifests = envoys.manifests(place / "site", overlay, [f"{overlay}/names"])
            run = partial(gateway_server.running, place, manifests, host=HOST)
            if what == "streams":
                streams(run, **PATHS[overlay])
                continue
            with run() as site:
                if PATHS[overlay]["redirects"]:
                    redirected(site)
                else:
                    served(site)

    return check


HOST = "files.example.net"
PATHS: dict[str, Json] = {
    "envoy-gateway": {"redirects": True},
    "envoy-gateway-transparent": {"prefix": "/my-bucket", "redirects": False},
}


# Istio.

SIGNER: Manifest = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "ServiceEntry",
    "metadata": {"name": "signer", "namespace": "mirror-on-miss"},
    "spec": {
        "hosts": ["mirror-on-miss-signer.mirror-on-miss.svc.cluster.local"],
        "location": "MESH_EXTERNAL",
        "ports": [{"number": 10001, "name": "http", "protocol": "HTTP"}],
        "resolution": "STATIC",
        "endpoints": [{"address": "127.0.0.1", "ports": {"http": 10001}}],
    },
}
"""In the place of the Service: pilot's controller for Services wants an API server."""

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

OWNERS = {"istio": "istio-ingress", "istio-transparent": "istio-ingress", "istio-sidecar": "shop"}


def sent(work: Path, overlay: str, components: list[str], more: list[Manifest]) -> Json:
    """Returns what pilot sends the proxy that an overlay is for."""
    manifests = [*envoys.manifests(work / "site", overlay, components), SIGNER, *more]
    proxy = ["router", "istio-ingress", "istio=ingress"]
    if overlay == "istio-sidecar":
        proxy = ["sidecar", "shop", "app.kubernetes.io/name=shop"]
    (resources,) = envoys.istio(manifests, "envoy", *proxy)
    encrypted = [each for each in resources["clusters"] if "UpstreamTlsContext" in json.dumps(each)]
    assert {each["name"].rpartition("|")[2] for each in encrypted} == {envoys.STORE, "files.example.com"}
    for each in encrypted:
        # The certificate must be valid for the host that is asked.
        options = each["typed_extension_protocol_options"][OPTIONS]["upstream_http_protocol_options"]
        assert options["auto_sni"] and options["auto_san_validation"], each["name"]
    return resources


def istio_s_analyzers(server: Server, work: Path) -> None:
    for overlay, namespace in OWNERS.items():
        for components in ([], ["istio/module-file"]):
            place = directory(work, "analyzed", overlay, *components)
            manifests = envoys.manifests(place / "site", overlay, [f"{overlay}/names", *components])
            label = {"app.kubernetes.io/name": "shop"} if namespace == "shop" else {"istio": "ingress"}
            messages = envoys.istio([*manifests, *around(namespace, label)], "analyze")
            wrong = [
                each["text"]
                for each in messages
                if each["code"] not in NOISE and not MEANT.search(each["text"])
            ]
            assert not wrong, wrong


def around(namespace: str, labels: dict[str, str]) -> list[Manifest]:
    """Returns what an analyzer looks for: the pod of the proxy, and the namespaces."""
    ports = [{"containerPort": 80}]
    containers = [{"name": name, "image": "example:1", "ports": ports} for name in ("app", "istio-proxy")]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "proxy", "namespace": namespace, "labels": labels},
        "spec": {"containers": containers},
    }
    injected = {namespace: "enabled", "mirror-on-miss": "disabled"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "proxy", "namespace": namespace},
        "spec": {
            "selector": labels,
            "ports": [{"name": "http", "port": 80, "targetPort": 80, "protocol": "TCP"}],
        },
    }
    return [
        pod,
        service,
        *(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {LABEL: value}}}
            for name, value in injected.items()
        ),
    ]


LABEL = "istio-injection"


def istio_redirects(components: list[str]) -> Check:
    def check(server: Server, work: Path) -> None:
        work = directory(work, "run-istio", *components)
        with ScriptedOrigin() as neighbour:
            resources = sent(work, "istio", ["istio/names", *components], neighbours())
            with running(
                work,
                resources,
                "0.0.0.0_80",
                host="files.example.net",
                anonymous=True,
                more={"shop.example.org": neighbour.port},
            ) as site:
                redirected(site)
                # Another host of the gateway: its 404 is its own.
                asked = len(site.origin.requests)
                other = site.ask("/orders/77", host="shop.example.net", headers=OF_A_CLIENT, body=b"an order")
                assert (other.status, "x-mirror-on-miss" in other.headers) == (404, False)
                (order,) = neighbour.requests
                assert order.body == b"an order"
                assert {"authorization", "cookie", "content-length"} <= {name for name, _ in order.headers}
                assert len(site.origin.requests) == asked

    return check


def neighbours() -> list[Manifest]:
    """Returns another application at the same gateway."""
    meta = {"name": "shop", "namespace": "istio-ingress"}
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["shop.example.net"]}
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    route = [{"destination": {"host": "shop.example.org", "port": {"number": 80}}}]
    specs = {
        "Gateway": {"selector": {"istio": "ingress"}, "servers": [server]},
        "VirtualService": {"gateways": ["shop"], "hosts": ["shop.example.net"], "http": [{"route": route}]},
        "ServiceEntry": {"hosts": ["shop.example.org"], "ports": ports, "resolution": "DNS"},
    }
    return [
        {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec}
        for kind, spec in specs.items()
    ]


def istio_is_transparent(components: list[str]) -> Check:
    def check(server: Server, work: Path) -> None:
        overlay = "istio-transparent"
        work = directory(work, "run", overlay, *components)
        resources = sent(work, overlay, [f"{overlay}/names", *components], [])
        listeners = ("0.0.0.0_80", "127.0.0.1_10002")
        with running(work, resources, *listeners, host="files.example.net", anonymous=True) as site:
            served(site, prefix="")

    return check


def istio_streams(overlay: str, listeners: tuple[str, ...], components: list[str]) -> Check:
    def check(server: Server, work: Path) -> None:
        work = directory(work, "streams", overlay, *components)
        resources = sent(work, overlay, [f"{overlay}/names", *components], [])
        run = partial(running, work, resources, *listeners, host=HOST, anonymous=True)
        streams(run, redirects=overlay == "istio")

    return check


KEY = "a b+\u00fc.bin"
SIGNED = "x-of-the-application"
UNSIGNED = {name: value for name, value in OF_A_CLIENT.items() if name != "authorization"}


def an_application_s_sidecar(components: list[str]) -> Check:
    """With boto3, whose signature the bucket verifies; it refuses reads without one."""

    def check(server: Server, work: Path) -> None:
        overlay = "istio-sidecar"
        work = directory(work, "run", overlay, *components)
        resources = sent(work, overlay, [f"{overlay}/names", *components], [])
        filters = {
            each["name"]: "mirror-on-miss" in json.dumps(each["filter_chains"])
            for each in resources["listeners"]
            if "filter_chains" in each
        }
        assert {name for name, has in filters.items() if has} == {"127.0.0.1_10002"}
        with running(work, resources, "0.0.0.0_80", "127.0.0.1_10002", host=envoys.STORE) as site:
            site.origin.put("/a%20b%2B%C3%BC.bin", b"picture")
            keys = site.bucket.reader
            s3 = boto3.client(
                "s3",
                endpoint_url=f"http://{envoys.STORE}",
                region_name="eu-west-1",
                aws_access_key_id=keys.access_key,
                aws_secret_access_key=keys.secret_key,
                config=Config(
                    proxies={"http": f"http://127.0.0.1:{site.port}"},
                    retries={"total_max_attempts": 1},
                    s3={"addressing_style": "path"},
                ),
            )
            # What else a program puts on: before it signs, and after.
            s3.meta.events.register(
                "before-sign.s3", lambda request, **_: request.headers.add_header(SIGNED, "1")
            )
            s3.meta.events.register("before-send.s3", lambda request, **_: request.headers.update(UNSIGNED))
            for _ in range(2):
                answer = s3.get_object(Bucket="my-bucket", Key=KEY)
                assert answer["Body"].read() == b"picture"
                assert not answer["Metadata"]
            part = s3.get_object(Bucket="my-bucket", Key=KEY, Range="bytes=1-3")
            assert part["Body"].read() == b"ict"
            assert s3.head_object(Bucket="my-bucket", Key=KEY)["ContentLength"] == 7
            try:
                s3.get_object(Bucket="my-bucket", Key="nowhere")
            except s3.exceptions.NoSuchKey:
                pass
            else:
                raise AssertionError("a key that nobody has was found")
            assert site.bucket.list() == [KEY]
            told(site, TOLD_TO_BUCKET | SIGNATURE | {SIGNED, "x-amz-checksum-mode"})
            *_, last = site.bucket.requests
            assert SIGNED in {name for name, _ in last.request.headers}
            no_content(site, last.request.target)
            # What is no read of an object goes past the module: the reader may not write.
            try:
                s3.put_object(Bucket="my-bucket", Key="new", Body=b"x")
            except s3.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDenied"
            *_, last = site.bucket.requests
            assert last.operation == "PutObject"
            assert "cookie" in {name for name, _ in last.request.headers}

    return check


# What a site must do, wherever it runs.


def redirected(site: Site, signature: set[str] = frozenset()) -> None:
    site.origin.put("/img/a%20b.jpg", b"picture", {"content-type": "image/jpeg"})
    miss = site.ask("/img/a%20b.jpg")
    assert (miss.status, miss.headers["x-mirror-on-miss"]) == (302, "stored"), miss
    assert miss.headers["location"] == "/img/a%20b.jpg"
    reads(site, "")
    told(site, TOLD_TO_BUCKET | signature)


def served(site: Site, prefix: str = "/my-bucket") -> None:
    site.origin.put("/img/a%20b.jpg", b"picture", {"content-type": "image/jpeg"})
    reads(site, prefix)
    told(site, TOLD_TO_BUCKET)


def reads(site: Site, prefix: str) -> None:
    path = f"{prefix}/img/a%20b.jpg"
    hit = site.ask(path)
    assert (hit.status, hit.body) == (200, b"picture"), hit
    internal = [name for name in hit.headers if name.startswith(("x-amz-meta-mirror-", "x-envoy-"))]
    assert not internal, internal
    part = site.ask(path, headers={"range": "bytes=1-3", **OF_A_CLIENT})
    assert (part.status, part.body) == (206, b"ict")
    assert site.ask(path, "HEAD").status == 200
    no_content(site, path)
    nowhere = site.ask(f"{prefix}/nowhere")
    assert (nowhere.status, nowhere.headers["x-mirror-on-miss"]) == (404, "not_found")
    assert site.bucket.list() == ["img/a b.jpg"]
    assert site.origin.count("/img/a%20b.jpg") == 1


def no_content(site: Site, path: str) -> None:
    """Checks that content in a read reaches nobody, with a length or in chunks."""
    asked = len(site.bucket.requests)
    for body in (b"of-a-client", [b"of-", b"a-client"]):
        assert site.ask(path, headers=OF_A_CLIENT, body=body).status == 403, body
    assert site.ask(path, body=[b"x" * 5000]).status == 413
    assert len(site.bucket.requests) == asked


def read_from_any_page(site: Site, path: str) -> None:
    """Checks what Fetch asks of an answer to a page of another site, and of what it asks first."""
    page = {"origin": "https://app.example"}
    first = site.ask(path, "OPTIONS", headers={**page, "access-control-request-method": "GET"})
    assert (first.status, first.headers["access-control-allow-methods"]) == (200, "GET, HEAD")
    for asked in (path, f"{path}.none"):
        assert site.ask(asked, headers=page).headers["access-control-allow-origin"] == "*", asked


def told(site: Site, to_bucket: set[str]) -> None:
    """Checks that nothing of a client, or of Envoy, is told but what is on a list."""
    more = {name for each in site.origin.requests for name, _ in each.headers} - TOLD_TO_ORIGIN
    assert not more, f"told to the origin: {more}"
    reading = [call for call in site.bucket.requests if call.access_key != site.bucket.writer.access_key]
    more = {name for call in reading for name, _ in call.request.headers} - to_bucket
    assert not more, f"told to the bucket: {more}"
    values = " ".join(value for call in reading for _, value in call.request.headers)
    assert "of-a-client" not in values, values


FILE = ["istio/module-file"]
LISTENERS = (f"{GATEWAY}/http", f"{GATEWAY}/miss")
GATES = ("0.0.0.0_80", "127.0.0.1_10002")

PLATFORMS: dict[str, Check] = {
    "Envoy Gateway's translator, of both overlays": envoy_gateway_s_translator,
    "overlays/envoy-gateway with module-file, in Envoy": envoy_gateway_redirects,
    "overlays/envoy-gateway with module-file and signed-reads, in Envoy": envoy_gateway_signs,
    "overlays/envoy-gateway-transparent with module-file, in Envoy": envoy_gateway_is_transparent,
    "overlays/envoy-gateway with module-file, a stream": envoy_gateway_streams(
        "envoy-gateway", LISTENERS[:1], "module-file"
    ),
    "overlays/envoy-gateway with module-file and signed-reads, a stream": envoy_gateway_streams(
        "envoy-gateway", LISTENERS[:1], "module-file", "signed-reads"
    ),
    "overlays/envoy-gateway-transparent with module-file, a stream": envoy_gateway_streams(
        "envoy-gateway-transparent", LISTENERS, "module-file"
    ),
    "overlays/envoy-gateway, by Envoy Gateway itself": envoy_gateway_itself("envoy-gateway"),
    "overlays/envoy-gateway-transparent, by Envoy Gateway itself": envoy_gateway_itself(
        "envoy-gateway-transparent"
    ),
    "Istio's analyzers, of all three overlays": istio_s_analyzers,
    "overlays/istio, in Envoy": istio_redirects([]),
    "overlays/istio with module-file, in Envoy": istio_redirects(FILE),
    "overlays/istio-transparent, in Envoy": istio_is_transparent([]),
    "overlays/istio-transparent with module-file, in Envoy": istio_is_transparent(FILE),
    "overlays/istio, a stream": istio_streams("istio", GATES[:1], []),
    "overlays/istio with module-file, a stream": istio_streams("istio", GATES[:1], FILE),
    "overlays/istio-transparent, a stream": istio_streams("istio-transparent", GATES, []),
    "overlays/istio-transparent with module-file, a stream": istio_streams("istio-transparent", GATES, FILE),
    "overlays/istio-sidecar, in Envoy, with boto3": an_application_s_sidecar([]),
    "overlays/istio-sidecar with module-file, in Envoy, with boto3": an_application_s_sidecar(FILE),
}
