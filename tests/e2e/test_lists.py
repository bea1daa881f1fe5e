"""Which headers arrive where, on the wire, against the table in docs/security.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doubles import ScriptedOrigin, StrictBucket
from stack import headers

from .client import Connection, ask
from .conftest import Start, Unique
from .site import Site, a_rule_for_everything, add_dead_cluster, running

BODY = b"an object\n"

SIGNED = {"authorization", "host", "x-amz-content-sha256", "x-amz-date"}
"""What every signed request has, by the signature's own rules."""

OF_A_CLIENT_NAMES = """
accept accept-charset accept-encoding accept-language access-control-request-method authorization
cache-control cf-connecting-ip cookie cookie2 dnt expect-ct forwarded from if if-match if-modified-since
if-none-match if-range if-ranges if-unmodified-since max-forwards origin pragma proxy-authorization range
ranges referer save-data sec-fetch-site sec-websocket-key te true-client-ip upgrade-insecure-requests
user-agent via want-digest x-amz-acl x-amz-checksum-mode x-amz-copy-source x-amz-request-payer
x-amz-security-token x-amz-server-side-encryption-customer-key x-amzn-oidc-accesstoken x-amzn-trace-id
x-b3-traceid x-cos-copy-source x-envoy-decorator-operation x-envoy-external-address x-envoy-original-path
x-envoy-original-url x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port
x-forwarded-proto x-goog-copy-source x-http-method-override x-mirror-on-miss x-oss-copy-source
x-original-url x-real-ip x-request-id x-rewrite-url x-request-ids xrange
"""
OF_A_CLIENT = OF_A_CLIENT_NAMES.split()

OF_A_FILL_NAMES = """
cache-control content-disposition content-encoding content-language content-type expires traceparent
x-amz-meta-mirror-url x-amz-meta-of-the-origin x-amz-mp-object-size x-amz-storage-class
x-cos-forbid-overwrite x-oss-forbid-overwrite x-request-id x-tos-forbid-overwrite
"""
OF_A_FILL = OF_A_FILL_NAMES.split()

NEVER_SIGNED_NAMES = """
accept content-md5 cookie user-agent x-amz-checksum-crc32 x-amz-meta x-amz-metadata-directive
x-amz-security-tokens x-amz-server-side-encryption-customer-key
x-cos-copy-source x-envoy-original-path x-forwarded-for x-forwarded-host x-goog-copy-source
x-http-method-override x-obs-copy-source x-oss-copy-source x-tos-copy-source
"""
NEVER_SIGNED = NEVER_SIGNED_NAMES.split()


@pytest.fixture(scope="module")
def transparent(tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin) -> Iterator[Site]:
    run_dir = tmp_path_factory.mktemp("transparent-lists")
    options = {"plugin": a_rule_for_everything(origin), "edit_edge": add_dead_cluster}
    with running(run_dir, origin, StrictBucket(), workers=1, wiring="transparent", **options) as site:
        yield site


def harmless(name: str) -> str:
    """A value that a strict bucket and Envoy take in that header, if they get it at all."""
    values = {"if-match": "*", "if-none-match": '"x"', "range": "bytes=0-3"}
    dates = {
        "if-modified-since": "Mon, 01 Jan 2001 00:00:00 GMT",
        "if-unmodified-since": "Fri, 01 Jan 2100 00:00:00 GMT",
    }
    return {**values, **dates}.get(name, "private")


def got(site: Site, path: str, operation: str = "GetObject") -> list[dict[str, str]]:
    calls = site.store.calls(operation, path[1:])
    return [{name.lower(): value for name, value in call.request.headers} for call in calls]


@pytest.mark.parametrize("wiring", ["redirect", "transparent"])
def test_the_bucket_gets_of_a_client_what_the_table_lists(
    request: pytest.FixtureRequest, unique: Unique, wiring: str
) -> None:
    site: Site = request.getfixturevalue("strict" if wiring == "redirect" else "transparent")
    file, bucket = ("edge.yaml", "") if wiring == "redirect" else ("transparent.yaml", "/mirror")
    clients, edges = set(headers.listed("client, bucket")), set(headers.listed(*headers.PASSES[file]))
    cold, warm = unique("cold"), unique("warm")
    site.store.put(warm[1:], BODY)
    sent = [(name, harmless(name)) for name in OF_A_CLIENT]
    for path in (warm, cold):
        site.ask(f"{bucket}{path}?token=private", headers=sent)
        arrived = got(site, path)
        assert arrived
        for one in arrived:
            assert set(one) <= edges | SIGNED
            assert set(one) >= clients | SIGNED
            told = {name: value for name, value in one.items() if name not in SIGNED | clients | {"origin"}}
            assert "private" not in str(told)


@pytest.mark.parametrize("wiring", ["redirect", "transparent"])
def test_a_header_that_a_rule_lists_reaches_the_origin(start: Start, unique: Unique, wiring: str) -> None:
    plugin = {"rules": [{"request_headers": ["accept-language"]}]}
    site, path = start(wiring=wiring, plugin=plugin), unique()
    site.origin.put(path, BODY)
    site.ask(("/mirror" if wiring == "transparent" else "") + path, headers=[("accept-language", "tlh")])
    (get,) = site.origin.asked(path)
    assert get.header("accept-language") == "tlh"


def test_every_row_of_the_table_is_tried() -> None:
    names = {name.replace("*", "mirror-url") for name in headers.listed("client, bucket", "fill, store")}
    assert names - {"content-length", "if-none-match"} <= {*OF_A_CLIENT, *OF_A_FILL}


def test_the_signer_signs_and_sends_what_the_table_lists(strict: Site, unique: Unique) -> None:
    path = unique()
    sent = [(name, harmless(name)) for name in [*OF_A_FILL, *NEVER_SIGNED]]
    answer = ask(strict.stack.signer.url, f"/mirror{path}", "PUT", [("if-none-match", "*"), *sent], BODY)
    assert answer.status == 200
    (arrived,) = got(strict, path, "PutObject")
    assert set(arrived) == SIGNED | {*OF_A_FILL, "content-length", "if-none-match"}
    listed = headers.listed("fill, store")
    exact = {name for name in listed if not name.endswith("*")}
    prefixes = tuple(name.removesuffix("*") for name in listed if name.endswith("*"))
    assert {name for name in set(arrived) - SIGNED if not name.startswith(prefixes)} == exact


def test_the_signer_takes_of_what_a_bucket_demands_the_configured_values_alone(
    start: Start, unique: Unique
) -> None:
    demanded = headers.listed(headers.DEMANDED)
    values = {name: f"of-{name}" for name in demanded}
    site = start(plugin={"bucket": {"put_headers": values}})
    site.store.demands.update(values)
    path = unique()

    def put(sent: dict[str, str], target: str) -> int:
        conditional = [("if-none-match", "*"), *sent.items()]
        return ask(site.stack.signer.url, f"/mirror{target}", "PUT", conditional, BODY).status

    assert len(demanded) == 7
    for name in demanded:
        assert put({**values, name: "another"}, unique(name)) == 403
    assert {call.operation for call in site.store.requests} == set()
    assert put(values, path) == 200
    (arrived,) = got(site, path, "PutObject")
    assert {name: arrived[name] for name in demanded} == values


@pytest.mark.parametrize("name", ["x_amz_copy_source", "x-amz_copy-source", "if_none_match", "x_amz_meta_a"])
def test_a_name_with_an_underscore_is_refused_by_the_signer_and_dropped_by_the_edge(
    strict: Site, unique: Unique, name: str
) -> None:
    path = unique()
    put = ask(
        strict.stack.signer.url, f"/mirror{path}", "PUT", [("if-none-match", "*"), (name, "/mirror/a")], BODY
    )
    assert put.status == 400
    assert got(strict, path, "PutObject") == []
    strict.store.put(path[1:], BODY)
    assert strict.ask(path, headers=[(name, "private")]).body == BODY
    assert "private" not in str(got(strict, path))


def test_clients_learn_nothing_of_where_an_object_comes_from(
    strict: Site, transparent: Site, unique: Unique
) -> None:
    for site, bucket in ((strict, ""), (transparent, "/mirror")):
        path = unique()
        site.origin.put(path, BODY, {"ETag": '"e"', "Last-Modified": "Mon, 01 Jan 2001 00:00:00 GMT"})
        site.ask(bucket + path)
        hit = site.ask(bucket + path)
        assert (hit.status, hit.body) == (200, BODY)
        assert "x-amz-meta-mirror-url" in site.store.get(path[1:])[1]
        removed = [name.removesuffix("*") for name in headers.listed("not: bucket, client")]
        assert not [name for name in hit.names if name.startswith(tuple(removed))]
        site.store.put(path[1:] + "-own", BODY, {"x-amz-meta-a": "b", "cache-control": "no-cache"})
        own = site.ask(bucket + path + "-own")
        assert (own.header("x-amz-meta-a"), own.header("cache-control")) == ("b", "no-cache")


@pytest.mark.parametrize(
    ("framing", "content", "status"),
    [
        ("content-length: 4", b"evil", 400),
        ("content-length: 004", b"evil", 400),
        ("transfer-encoding: chunked", b"4\r\nevil\r\n0\r\n\r\n", 403),
        ("transfer-encoding: chunked", b"2000\r\n" + b"evil" * 2048 + b"\r\n", 413),
    ],
)
def test_content_in_a_get_is_refused_and_reaches_no_bucket(
    strict: Site, transparent: Site, unique: Unique, framing: str, content: bytes, status: int
) -> None:
    for site, bucket in ((strict, ""), (transparent, "/mirror")):
        path = unique()
        site.store.put(path[1:], BODY)
        with Connection(site.stack.url) as connection:
            head = f"GET {bucket}{path} HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n"
            connection.send_raw(head.encode() + content)
            assert connection.receive("GET").status == status
        assert got(site, path) == []
        assert site.ask(bucket + path, headers=[("content-length", "0")]).body == BODY


HOSTS = [b"evil.example", b"evil.example:99", b"user@evil.example", b"", b"evil.example/x", b"[::1]"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "target", [b"/", b"//", b"/KEY", b"http://evil.example/", b"http://evil.example/KEY"]
)
def test_no_location_has_a_host_that_a_client_chose(
    strict: Site, unique: Unique, host: bytes, target: bytes
) -> None:
    path = unique()
    strict.origin.put(path, BODY)
    with Connection(strict.stack.url) as connection:
        target = target.replace(b"/KEY", path.encode())
        connection.send_raw(b"GET " + target + b" HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")
        answer = connection.receive("GET")
    assert answer.status in (302, 400)
    assert answer.status == 400 or answer.header("location") in ("/index.html", path)


@pytest.mark.parametrize("base", ["https://old.example.com/mirror", "http://old.example.com:1/mirror"])
def test_a_redirect_to_another_host_is_never_followed_whatever_its_path(
    start: Start, unique: Unique, base: str
) -> None:
    """Envoy itself looks at the path alone, and would answer with another key's bytes."""
    plugin = {"origin": {"public_url": base}, "limits": {"max_object_size": "1KiB"}}
    site, path = start(wiring="transparent", plugin=plugin), unique()
    site.origin.put(path, b"large" * 1000)
    for query in ("", "?v=1"):
        answer = site.ask(f"/mirror{path}{query}")
        assert (answer.status, answer.header("location")) == (302, f"{base}{path}")
        assert site.stats("^http.edge.downstream_rq_2xx") == {"http.edge.downstream_rq_2xx": 0}
