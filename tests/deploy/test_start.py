"""envoy/configuration/start.sh: the shipped configurations with the examples replaced, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import Credentials, OriginAccess, S3Store, envoy, render
from stack.kinds import CONDITIONS, STYLES, kinds
from stack.origins import authorization
from stack.render import CHECKOUT, ca_file, named
from stack.stack import WASM

ENVOY = CHECKOUT / "envoy" / "configuration"
NAMES = ["edge", "front", "signer", "transparent"]
AWS = {"BUCKET": "files", "AWS_REGION": "us-east-2", "ORIGIN": "https://old.example.net/v1"}
LOCAL = {
    "BUCKET": "files",
    "AWS_REGION": "us-east-2",
    "STORE": "http://store:9000",
    "ORIGIN": "http://origin:8080",
}


def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    argv = ["sh", ENVOY / "start.sh", *arguments]
    env = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


def rendered(name: str, **variables: str) -> str:
    done = start("print", name, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def cluster(text: str, name: str) -> dict[str, Any]:
    return named(yaml.safe_load(text)["static_resources"]["clusters"], name)


def endpoint(text: str, name: str) -> dict[str, Any]:
    (place,) = cluster(text, name)["load_assignment"]["endpoints"][0]["lb_endpoints"]
    return place["endpoint"]["address"]["socket_address"]


@pytest.mark.parametrize("name", NAMES)
def test_without_variables_nothing_changes(name: str) -> None:
    assert rendered(name) == (ENVOY / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_only_names_and_addresses_change(name: str) -> None:
    """With the example values put back, the result is the shipped file: nothing else was touched."""
    text = rendered(name, **AWS, MODULE="/plugin.wasm")
    text = text.replace('"old.example.net", "path_prefix": "/v1"', '"files.example.com"')
    text = text.replace("old.example.net", "files.example.com").replace(
        "/plugin.wasm", "target/mirror_on_miss.wasm"
    )
    shipped = (ENVOY / f"{name}.yaml").read_text()
    assert text.replace("us-east-2", "eu-west-1").count("files") >= shipped.count("my-bucket")
    lines = zip(text.splitlines(), shipped.splitlines(), strict=True)
    for line, original in lines:
        expected = original.replace("eu-west-1", "us-east-2").replace("my-bucket", "files")
        assert line == expected


@pytest.mark.parametrize(("name", "store"), [("edge", "bucket"), ("signer", "store")])
def test_a_store_without_tls(name: str, store: str) -> None:
    text = rendered(name, **LOCAL)
    assert endpoint(text, store) == {"address": "store", "port_value": 9000}
    assert "transport_socket" not in cluster(text, store)
    assert "host_rewrite_literal: store:9000" in text
    assert "amazonaws" not in text


def test_tls_of_one_is_not_that_of_the_other() -> None:
    text = rendered("edge", **{**LOCAL, "STORE": "https://store.example.net"})
    assert endpoint(text, "bucket") == {"address": "store.example.net", "port_value": 443}
    assert "transport_socket" in cluster(text, "bucket")
    assert "transport_socket" not in cluster(text, "origin")
    # A default port is not named: it would be signed.
    assert "host_rewrite_literal: store.example.net\n" in text


def test_values_may_look_like_examples() -> None:
    text = rendered(
        "edge",
        BUCKET="files.example.com",
        ORIGIN="https://my-bucket.s3.eu-west-1.amazonaws.com",
        AWS_REGION="a",
    )
    assert "prefix_rewrite: /files.example.com/\n" in text
    assert endpoint(text, "origin")["address"] == "my-bucket.s3.eu-west-1.amazonaws.com"


def test_the_credentials_of_aws_leave_no_provider() -> None:
    for name in NAMES:
        assert "credential" not in yaml.safe_dump(yaml.safe_load(rendered(name, CREDENTIALS="aws")))


def address(text: str, name: str) -> dict[str, Any]:
    listener = named(yaml.safe_load(text)["static_resources"]["listeners"], name)
    return listener["address"]["socket_address"]


def test_a_signer_listens_for_its_own_pod_unless_it_is_told() -> None:
    assert address(rendered("signer"), "signer") == {"address": "127.0.0.1", "port_value": 10001}
    for_others = address(rendered("signer", LISTEN="10.0.0.1"), "signer")
    assert for_others == {"address": "10.0.0.1", "port_value": 10001}


@pytest.mark.parametrize(
    ("name", "listener"), [("edge", "edge"), ("front", "front"), ("transparent", "edge")]
)
def test_clients_come_by_ipv4_and_ipv6(name: str, listener: str) -> None:
    both = {"address": "::", "ipv4_compat": True, "port_value": 10000}
    assert address(rendered(name), listener) == both
    assert address(rendered(name, LISTEN="::"), listener) == both
    assert address(rendered(name, LISTEN="0.0.0.0"), listener) == {"address": "0.0.0.0", "port_value": 10000}


def test_others_come_to_the_signer_by_ipv4_and_ipv6() -> None:
    both = {"address": "::", "ipv4_compat": True, "port_value": 10001}
    assert address(rendered("signer", LISTEN="::"), "signer") == both


@pytest.mark.parametrize("listen", ["", "::"])
def test_a_kernel_without_ipv6_is_asked_for_none(tmp_path: Path, listen: str) -> None:
    without = (ENVOY / "start.sh").read_text().replace("/proc/net/if_inet6", str(tmp_path / "none"))
    (tmp_path / "start.sh").write_text(without)
    for name, port in (("edge", 10000), ("signer", 10001)):
        (tmp_path / f"{name}.yaml").write_text((ENVOY / f"{name}.yaml").read_text())
        argv = ["sh", tmp_path / "start.sh", "print", name]
        done = subprocess.run(argv, env={"LISTEN": listen}, capture_output=True, text=True, check=False)
        expected = "127.0.0.1" if name == "signer" and not listen else "0.0.0.0"
        assert address(done.stdout, name) == {"address": expected, "port_value": port}


@pytest.mark.parametrize("name", ["edge", "transparent"])
def test_an_edge_for_its_own_pod_listens_on_a_port_of_its_choice(name: str) -> None:
    text = rendered(name, LISTEN="127.0.0.1", LISTEN_PORT="8000")
    assert address(text, "edge") == {"address": "127.0.0.1", "port_value": 8000}
    # Of all the rest nothing.
    lines = zip(text.splitlines(), (ENVOY / f"{name}.yaml").read_text().splitlines(), strict=True)
    assert sum(line != original for line, original in lines) == 1


def test_the_status_port_of_such_an_edge_stays_open_for_probes(tmp_path: Path) -> None:
    (tmp_path / "envoy").write_text('#!/bin/sh\nprintf "%s" "$4"\n')
    (tmp_path / "envoy").chmod(0o755)
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TMPDIR": str(tmp_path), "LISTEN": "127.0.0.1"}
    everywhere = {"address": "::", "ipv4_compat": True, "port_value": 9903}
    if not Path("/proc/net/if_inet6").exists():
        everywhere = {"address": "0.0.0.0", "port_value": 9903}
    own = {"address": "127.0.0.1", "port_value": 9903}
    assert address(start("edge", **variables).stdout, "status") == own
    assert address(start("edge", **variables, STATUS_LISTEN="::").stdout, "status") == everywhere


def test_the_front_tier_looks_its_replicas_up() -> None:
    text = rendered("front", REPLICAS="a-mirror-on-miss-replicas")
    assert endpoint(text, "replicas")["address"] == "a-mirror-on-miss-replicas"


@pytest.mark.parametrize("name", ["edge", "transparent"])
def test_a_module_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    """Kubernetes before 1.35 drops an image volume without a word."""
    done = start(name, MODULE="/opt/module/plugin.wasm", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("start.sh: MODULE=/opt/module/plugin.wasm is not there")
    assert "components/custom-image" in done.stderr


def test_more_workers_get_more_memory() -> None:
    for name in ("edge", "transparent"):
        document = yaml.safe_load(rendered(name, HEAP_MIB="768"))
        heap = named(document["overload_manager"]["resource_monitors"], "envoy.resource_monitors.fixed_heap")
        assert heap["typed_config"]["max_heap_size_bytes"] == 768 << 20


def module(text: str) -> dict[str, Any]:
    return json.loads(render.plugin_of(yaml.safe_load(text))["configuration"]["value"])


@pytest.mark.parametrize("name", ["edge", "transparent"])
@pytest.mark.parametrize(
    ("variable", "setting", "match"),
    [
        ("false", False, None),
        ("x-oss-forbid-overwrite", "x-oss-forbid-overwrite", ("x-oss-forbid-overwrite", "true")),
        ("true", None, ("if-none-match", "*")),
    ],
)
def test_edge_and_signer_agree_on_what_forbids_to_overwrite(
    name: str, variable: str, setting: Any, match: tuple[str, str] | None
) -> None:
    assert module(rendered(name, IF_NONE_MATCH=variable))["bucket"].get("if_none_match") == setting
    signer = yaml.safe_load(rendered("signer", IF_NONE_MATCH=variable))
    manager = named(signer["static_resources"]["listeners"], "signer")["filter_chains"][0]["filters"][0]
    routes = manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    for route in ("put-object", "complete-multipart-upload"):
        headers = [
            each for each in named(routes, route)["match"]["headers"] if not each["name"].startswith(":")
        ]
        found = [(each["name"], each["string_match"]["exact"]) for each in headers]
        assert found == ([match] if match else [])


@pytest.mark.parametrize("name", ["edge", "signer", "transparent"])
@pytest.mark.parametrize("kind", kinds())
def test_a_kind_of_store_is_the_variables_that_it_means(name: str, kind: str) -> None:
    condition, style = kinds()[kind]
    assert (condition in CONDITIONS, style in STYLES) == (True, True)
    spelled_out = {"IF_NONE_MATCH": condition, "ADDRESSING_STYLE": style}
    assert rendered(name, **LOCAL, STORE_KIND=kind) == rendered(name, **LOCAL, **spelled_out)
    # One that is set goes before the kind.
    others = {"IF_NONE_MATCH": "x-tos-forbid-overwrite", "ADDRESSING_STYLE": "path"}
    assert rendered(name, **LOCAL, STORE_KIND=kind, **others) == rendered(name, **LOCAL, **others)


def test_an_unknown_kind_of_store_is_answered_with_those_that_are_known() -> None:
    done = start("print", "edge", STORE_KIND="minoi")
    assert done.stderr == f"start.sh: STORE_KIND=minoi is not allowed: {', '.join(kinds())}\n"


@pytest.mark.parametrize("name", ["edge", "signer", "transparent"])
def test_the_authorities_of_bucket_and_origin_are_those_of_ca_file(name: str) -> None:
    shipped = (ENVOY / f"{name}.yaml").read_text()
    assert shipped.count("/etc/ssl/certs/ca-certificates.crt") == shipped.count("trusted_ca")
    found = rendered(name, CA_FILE="/run/ca.pem")
    assert found == shipped.replace("/etc/ssl/certs/ca-certificates.crt", "/run/ca.pem")


def test_authorities_that_are_not_there_are_named_and_an_empty_file_is_none(tmp_path: Path) -> None:
    done = start("signer", CA_FILE="/no/such.pem")
    assert (done.returncode, done.stderr) == (
        1,
        "start.sh: CA_FILE=/no/such.pem is not there, or not for this user to read\n",
    )
    envoy_stand_in = tmp_path / "envoy"
    envoy_stand_in.write_text('#!/bin/sh\ncat "$2"\n')
    envoy_stand_in.chmod(0o755)
    done = start("signer", CA_FILE="/dev/null", PATH=f"{tmp_path}:/usr/bin:/bin", TMPDIR=str(tmp_path))
    assert done.stdout == (ENVOY / "signer.yaml").read_text()


@pytest.mark.parametrize("name", ["edge", "signer", "transparent"])
@pytest.mark.parametrize("variables", [{}, AWS, LOCAL])
def test_a_bucket_in_the_host_is_as_the_renderer_has_it(
    tmp_path: Path, name: str, variables: dict[str, str]
) -> None:
    """The two ways to adapt a file agree; the renderer's is tested on a store."""
    text = rendered(name, **variables, ADDRESSING_STYLE="virtual")
    bucket = variables.get("BUCKET", "my-bucket")
    region = variables.get("AWS_REGION", "eu-west-1")
    url = variables.get("STORE", f"https://s3.{region}.amazonaws.com")
    nobody = Credentials("nobody", "secret")
    place = render.Place(S3Store(url, region, bucket, nobody, nobody), bucket, tmp_path, virtual_hosted=True)
    if name == "signer":
        expected = render.signer(place)
    else:
        origin = variables.get("ORIGIN", "https://files.example.com")
        wiring = "redirect" if name == "edge" else "transparent"
        options = {"port": 1, "origin": origin, "signer_port": 2, "wasm": WASM}
        plugin = {"bucket": {"path_prefix": None}}
        expected = render.edge(place, wiring=wiring, plugin=plugin, **options)
        ours, theirs = module(text), json.loads(render.plugin_of(expected)["configuration"]["value"])
        assert ours["bucket"].pop("path_prefix") == ""
        assert {**ours["bucket"], "exposed": None} == {**theirs["bucket"], "exposed": None}
    for found, wanted in zip(managers(yaml.safe_load(text)), managers(expected), strict=True):
        assert found["route_config"] == wanted["route_config"]
        if name == "signer":
            assert found["http_filters"] == wanted["http_filters"]
        if found["stat_prefix"] == "miss":
            assert found["http_filters"][0] == wanted["http_filters"][0]
            assert found["http_filters"][0]["name"] == "path-of-clients"
    host = url.partition("://")[2].partition(":")[0]
    assert endpoint(text, "store" if name == "signer" else "bucket")["address"] == f"{bucket}.{host}"


def managers(document: dict[str, Any]) -> list[dict[str, Any]]:
    listeners = document["static_resources"]["listeners"]
    return [listener["filter_chains"][0]["filters"][0]["typed_config"] for listener in listeners]


@pytest.mark.parametrize("name", ["edge", "transparent"])
@pytest.mark.parametrize("variables", [{}, {"ADDRESSING_STYLE": "virtual"}], ids=str)
def test_a_bucket_that_fails_is_passed_to_the_filter_as_the_renderer_has_it(
    tmp_path: Path, name: str, variables: dict[str, str]
) -> None:
    """The two ways to adapt a file agree; the renderer's is tested on buckets that fail."""
    nobody = Credentials("nobody", "secret")
    place = render.Place(S3Store(LOCAL["STORE"], "us-east-2", "files", nobody, nobody), "files", tmp_path)
    plugin = {"rules": [{"on_5xx": "origin"}]}
    options = {"port": 1, "origin": LOCAL["ORIGIN"], "signer_port": 2, "wasm": WASM, "plugin": plugin}
    wiring = "redirect" if name == "edge" else "transparent"
    expected = render.edge(place, wiring=wiring, **options)
    text = yaml.safe_load(rendered(name, **LOCAL, ON_5XX="origin", **variables))
    assert json.loads(render.plugin_of(text)["configuration"]["value"])["rules"] == plugin["rules"]
    assert list(retries(text)) == list(retries(expected))
    assert list(statuses(text)) == list(statuses(expected))
    unchanged = yaml.safe_load(rendered(name, **LOCAL, ON_5XX="pass", **variables))
    assert unchanged == yaml.safe_load(rendered(name, **LOCAL, **variables))


def retries(document: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Lists how the routes ask again."""
    for manager in managers(document):
        for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
            action = route.get("route", {})
            yield route["name"], action.get("retry_policy"), action.get("hedge_policy")


def statuses(document: dict[str, Any]) -> Iterator[Any]:
    """Lists what the filter hears of."""
    for manager in managers(document):
        yield from (
            each["typed_config"].get("xds_matcher")
            for each in manager["http_filters"]
            if each["name"] == "mirror_on_miss"
        )


@pytest.mark.parametrize("name", ["edge", "transparent"])
@pytest.mark.parametrize(
    ("variables", "access"),
    [
        ({"ORIGIN_AUTH": "s3", "ORIGIN_REGION": "us-west-1"}, OriginAccess("s3", region="us-west-1")),
        ({"ORIGIN_AUTH": "gcs"}, OriginAccess("gcs")),
        ({"ORIGIN_AUTH": "authorization"}, OriginAccess("authorization")),
        ({"ORIGIN_AUTH": "sas"}, OriginAccess("sas")),
        ({"ORIGIN_DNS": "strict", "ORIGIN_HTTP": "2"}, OriginAccess(strict_dns=True, http2=True)),
        ({"ORIGIN_AUTH": "sas", "ORIGIN_HTTP": "2"}, OriginAccess("sas", http2=True)),
    ],
    ids=str,
)
def test_an_origin_is_asked_as_the_renderer_has_it(
    tmp_path: Path, name: str, variables: dict[str, str], access: OriginAccess
) -> None:
    """The two ways to adapt a file agree; the renderer's is tested on origins."""
    nobody = Credentials("nobody", "secret")
    place = render.Place(S3Store(LOCAL["STORE"], "us-east-2", "files", nobody, nobody), "files", tmp_path)
    options = {"port": 1, "origin": LOCAL["ORIGIN"], "signer_port": 2, "wasm": WASM, "plugin": {}}
    wiring = "redirect" if name == "edge" else "transparent"
    expected = render.edge(place, wiring=wiring, access=access, **options)
    text = yaml.safe_load(rendered(name, **LOCAL, **variables))
    found, wanted = (
        named(document["static_resources"]["clusters"], "origin") for document in (text, expected)
    )
    assert found == wanted
    ours, theirs = (render.plugin_of(document) for document in (text, expected))
    assert (
        json.loads(ours["configuration"]["value"])["origin"]
        == json.loads(theirs["configuration"]["value"])["origin"]
    )
    variable = ours["vm_config"].get("environment_variables")
    assert variable == theirs["vm_config"].get("environment_variables")


def test_an_origin_may_have_an_address_of_ipv6() -> None:
    for url, address, port, authority in (
        ("http://[fd00::1]:8080/v1", "fd00::1", 8080, "[fd00::1]:8080"),
        ("https://[fd00::1]", "fd00::1", 443, "[fd00::1]"),
    ):
        text = rendered("edge", ORIGIN=url)
        assert endpoint(text, "origin") == {"address": address, "port_value": port}
        assert module(text)["origin"]["authority"] == authority


@pytest.mark.parametrize("name", ["edge", "transparent"])
def test_edge_and_signer_agree_on_what_the_bucket_demands(tmp_path: Path, name: str) -> None:
    demands = {"x-amz-acl": "bucket-owner-full-control", "x-amz-tagging": "a=b&c=d/e"}
    variable = " ".join(f"{header}={value}" for header, value in demands.items())
    assert module(rendered(name, PUT_HEADERS=variable))["bucket"]["put_headers"] == demands
    nobody = Credentials("nobody", "secret")
    place = render.Place(S3Store(LOCAL["STORE"], "us-east-2", "files", nobody, nobody), "files", tmp_path)
    expected = render.signer(place, {"bucket": {"put_headers": demands}})
    found = managers(yaml.safe_load(rendered("signer", **LOCAL, PUT_HEADERS=variable)))
    assert found[0]["http_filters"] == managers(expected)[0]["http_filters"]


@pytest.mark.parametrize(
    "variables",
    [
        {"ADDRESSING_STYLE": "host"},
        {"BUCKET": "a|b"},
        {"CA_FILE": "/a b.pem"},
        {"STORE_KIND": "AWS"},
        {"AWS_REGION": "a b"},
        {"CREDENTIALS": "file"},
        {"HEAP_MIB": "1g"},
        {"IF_NONE_MATCH": "x-evil"},
        {"MODULE": "a}"},
        {"LISTEN": "::, a: b"},
        {"LISTEN_PORT": "80 80"},
        {"LISTEN_PORT": "080"},
        {"ORIGIN": "files.example.net"},
        {"ORIGIN": "ftp://files.example.net"},
        {"ORIGIN": "http://[a: b]"},
        {"ORIGIN_AUTH": "azure"},
        {"ORIGIN_DNS": "static"},
        {"ORIGIN_HTTP": "3"},
        {"ON_5XX": "serve"},
        {"PUT_HEADERS": "x-amz-copy-source=/a/b"},
        {"PUT_HEADERS": 'x-amz-acl="a'},
        {"ORIGIN": "https://files.example.net:port"},
        {"ORIGIN": "https://files.example.net/\n- evil"},
        {"STORE": "https://store/bucket"},
    ],
)
def test_a_value_that_is_not_allowed_is_named(variables: dict[str, str]) -> None:
    done = start("print", "edge", **variables)
    ((name, value),) = variables.items()
    assert done.returncode == 1
    assert done.stderr.startswith(f"start.sh: {name}={value} is not allowed")
    assert done.stdout == ""


@pytest.mark.parametrize(
    "variables",
    [
        LOCAL,
        AWS,
        {**AWS, "CREDENTIALS": "aws"},
        {
            **AWS,
            "CREDENTIALS": "aws",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/proc/version",
            "AWS_ROLE_ARN": "arn:a",
        },
        {**LOCAL, "LISTEN": "::"},
        {**LOCAL, "LISTEN": "0.0.0.0"},
        {**AWS, "ADDRESSING_STYLE": "virtual", "IF_NONE_MATCH": "x-oss-forbid-overwrite"},
        {**LOCAL, "IF_NONE_MATCH": "false"},
        {**AWS, "ORIGIN_AUTH": "s3", "ORIGIN_DNS": "strict", "PUT_HEADERS": "x-amz-acl=private"},
        {**AWS, "ORIGIN_AUTH": "gcs", "CREDENTIALS": "aws"},
        {**AWS, "ORIGIN_AUTH": "sas", "ORIGIN_HTTP": "2", "ORIGIN_SAS": "sv=1&sig=a%2Bb"},
        {**LOCAL, "ORIGIN_AUTH": "authorization", "ORIGIN": "http://[fd00::1]:8080"},
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_envoy_takes_what_it_is_started_on(tmp_path: Path, name: str, variables: dict[str, str]) -> None:
    """The status listener is merged in, as start.sh does it; its `envoy` is the tests' one, with one option
    more.
    """
    assert WASM.exists(), "`make wasm` builds it"
    shim = tmp_path / "envoy"
    shim.write_text(f'#!/bin/sh\nexec {envoy.binary()} --mode validate "$@"\n')
    shim.chmod(0o755)
    for file in ("start.sh", "status.yaml", *(path.name for path in ENVOY.glob("origin-*.yaml"))):
        copied = (ENVOY / file).read_text().replace("/etc/mirror-on-miss-origin", f"{tmp_path}/origin")
        (tmp_path / file).write_text(copied)
    (tmp_path / "origin").mkdir()
    # Envoy does not start without it; credentials it can wait for.
    (tmp_path / "origin" / "authorization.yaml").write_text(authorization("Bearer a"))
    text = (ENVOY / f"{name}.yaml").read_text()
    (tmp_path / f"{name}.yaml").write_text(text.replace("/etc/ssl/certs/ca-certificates.crt", ca_file()))
    (tmp_path / "tmp").mkdir()
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TMPDIR": f"{tmp_path}/tmp", "MODULE": str(WASM), **variables}
    argv = ["sh", tmp_path / "start.sh", name]
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shipped = yaml.safe_load(text)["static_resources"]["listeners"]
    assert f"loading {len(shipped) + 1} listener(s)" in done.stderr
