"""Metrics: every one that a page, an alert or a panel names exists, and every one that exists has its row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from doubles import ScriptedOrigin, StrictBucket, replies
from observability import shipped
from observability.exposition import Scrape
from stack.render import named

from .client import ask
from .conftest import Start, Unique
from .site import Site, a_rule_for_everything, add_dead_cluster, eventually, running

BODY = b"an object\n"
OFTEN = 100

KEEPER = "envoy.filters.http.header_to_metadata"
"""The filter that keeps headers of a request for the calls of its fill."""

UNPROVOKED = {"broken"}
"""Outcomes that no request causes: they are defects."""

TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

LINE = re.compile(r"wasm log mirror_on_miss[^:]*: (fill key=.*)")
FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^\s"=]*)(?: |$)')
"""logfmt."""


@pytest.fixture(scope="module")
def eventful(
    tmp_path_factory: pytest.TempPathFactory, origin: ScriptedOrigin
) -> Iterator[tuple[Site, set[str]]]:
    """A site to which every possible event has happened, and the intended outcomes."""
    run_dir = tmp_path_factory.mktemp("eventful")
    options = {"plugin": eventful_plugin(origin), "edit_edge": prepare}
    with running(run_dir, origin, StrictBucket(), workers=1, **options) as site:
        yield site, let_everything_happen(site)


def eventful_plugin(origin: ScriptedOrigin) -> dict[str, Any]:
    plugin = a_rule_for_everything(origin)
    rules = [
        {"prefix": "/head.", "origins": ["working"], "on_head": "origin"},
        {"prefix": "/observed.", "origins": ["working"], "observe": True},
        {"prefix": "/origin.", "origins": ["public"], "response": "origin"},
        {"prefix": "/private.", "origins": ["working"], "private": "skip"},
        {"prefix": "/served.", "origins": ["working"], "response": "serve"},
        {"prefix": "/streamed.", "origins": ["working"], "response": "serve"},
        {"prefix": "/wrong_type.", "origins": ["working"], "content_types": ["image/*"]},
    ]
    return {**plugin, "rules": rules + plugin["rules"], "wait": "2s", "limits": {"waiters": 1}}


def prepare(edge: dict[str, Any]) -> None:
    add_dead_cluster(edge)
    forbid_behind_the_module(edge, "/rbac/")


def forbid_behind_the_module(edge: dict[str, Any], prefix: str) -> None:
    (listener,) = edge["static_resources"]["listeners"]
    filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    permission = {"header": {"name": ":path", "string_match": {"prefix": prefix}}}
    policies = {"forbidden": {"principals": [{"any": True}], "permissions": [permission]}}
    rbac = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": {"action": "DENY", "policies": policies},
    }
    filters.insert(-1, {"name": "envoy.filters.http.rbac", "typed_config": rbac})


def let_everything_happen(site: Site) -> set[str]:
    """Makes one request for each outcome, named for it. Returns the outcomes."""
    store, origin = site.store, site.origin

    def happens(outcome: str, path: str | None = None, method: str = "GET") -> None:
        happened.add(outcome)
        site.ask(path or f"/{outcome}.bin", method)

    happened: set[str] = set()
    for outcome in ("stored", "exists", "head", "loop", "not_stored", "origin", "served", "wrong_type"):
        origin.put(f"/{outcome}.bin", BODY, {"Content-Type": "text/html"})
    origin.put("/corrupt.bin", BODY, {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="})
    happens("corrupt")
    happens("stored")
    happens("head", method="HEAD")
    origin.put("/streamed.bin", bytes(7 << 20), {"ETag": '"1"'})
    happens("streamed")
    for outcome in ("observed", "origin", "served", "wrong_type"):
        happens(outcome)
    store.put("exists.bin", BODY)
    store.fault("GetObject", "exists.bin", status=404, code="NoSuchKey")
    happens("exists")
    store.fault("PutObject", "not_stored.bin", OFTEN, status=403, code="AccessDenied")
    happens("not_stored")
    store.swallow("PutObject", "loop.bin", OFTEN)
    happens("stored", "/loop.bin")
    happens("loop")
    happens("not_found")
    origin.script("/origin_refused.bin", replies.status(401))
    happens("origin_refused")
    origin.script("/origin_redirect.bin", replies.status(301, {"Location": "/other.bin"}))
    happens("origin_redirect")
    origin.put("/private.bin", BODY, {"Cache-Control": "private"})
    happens("private")
    happens("origin_unavailable", "/dead/a.bin")
    stalled = origin.hold("/impatient/a.bin")
    happens("origin_timeout", "/impatient/a.bin")
    stalled.open()
    origin.script("/too_large.bin", replies.close_delimited(BODY))
    happens("too_large")

    gate = origin.hold("/filling.bin")
    with site.open() as waiting:
        waiting.send("GET", "/filling.bin")
        origin.wait_for("/filling.bin")
        happens("busy")
        happened.add("filling")
        assert waiting.receive("GET").outcome == "filling"
    gate.open()

    store.fault("GetObject", "bucket_error.bin", OFTEN, status=404, code="NoSuchBucket")
    happens("bucket_error")
    for outcome in ("forbidden", "bucket_unavailable"):
        # Older than an object that another edge may just have stored.
        store.put(f"{outcome}.bin", BODY, age=3600)
        store.fault("GetObject", f"{outcome}.bin", OFTEN, status=403, code="AccessDenied")
    happens("forbidden")
    store.fault("HeadObject", "bucket_unavailable.bin", OFTEN, status=500, code="InternalError")
    happens("bucket_unavailable")
    happens("not_the_bucket", "/rbac/a.bin")
    store.fault("GetObject", "bad_request.bin", OFTEN, status=400, code="InvalidArgument")
    happens("bad_request")
    store.put("deleted.bin", BODY)
    store.delete("deleted.bin", marker=True)
    happens("deleted")
    store.put("hit.bin", BODY)
    assert site.ask("/hit.bin").status == 200
    return happened


@pytest.fixture(scope="module")
def scrape(eventful: tuple[Site, set[str]]) -> Scrape:
    return scraped(eventful[0])


def scraped(site: Site) -> Scrape:
    site.wait_until_told()
    return Scrape(ask(site.stack.edge.admin, "/stats/prometheus").body.decode())


def test_every_metric_that_is_there_has_its_row_and_every_row_a_metric(scrape: Scrape) -> None:
    documented = shipped.documented()
    assert {name: kind for name, (kind, _) in documented.items()} == scrape.own
    assert {name: labels for name, (_, labels) in documented.items()} == {
        name: scrape.labels(name) for name in scrape.own
    }


def test_every_outcome_that_happens_has_its_row_and_every_row_happens(
    eventful: tuple[Site, set[str]], scrape: Scrape
) -> None:
    counted = scrape.values("mirror_on_miss_requests_total", "outcome")
    assert {outcome for outcome, count in counted.items() if count} == eventful[1]
    assert shipped.documented_values("outcome") == eventful[1] | UNPROVOKED
    assert set(scrape.values("mirror_on_miss_fills_total", "outcome")) <= shipped.documented_values("outcome")
    reasons = set(scrape.values("mirror_on_miss_origin_failures_total", "reason"))
    assert {"corrupt", "origin_unavailable", "origin_timeout"} <= reasons
    assert reasons <= shipped.documented_values("outcome")
    results = scrape.values("mirror_on_miss_calls_total", "result")
    assert set(results) <= shipped.documented_values("result")


def test_every_series_that_an_alert_or_a_panel_asks_for_is_there(scrape: Scrape) -> None:
    selectors = list(shipped.selectors())
    assert selectors
    unknown = [selector for selector in selectors if not scrape.has(selector.name, selector.labels)]
    assert unknown == []


def test_every_metric_that_a_page_names_is_there(scrape: Scrape) -> None:
    unknown = {name: page for name, page in shipped.named_in_docs().items() if name not in scrape.types}
    assert unknown == {}


def test_labels_are_labels(scrape: Scrape) -> None:
    """Without the stats_tags of envoy/configuration/edge.yaml they would be a part of the name."""
    assert scrape.has("mirror_on_miss_requests_total", {"outcome": "stored"})
    assert scrape.has("mirror_on_miss_calls_total", {"to": "store", "result": "4xx"})
    assert scrape.has("mirror_on_miss_call_milliseconds_bucket", {"to": "origin", "le": "1000"})
    assert scrape.has("mirror_on_miss_refusals_total", {"limit": "waiters"})


def test_without_stats_tags_prometheus_can_be_told_the_labels(
    start: Start, unique: Unique, scrape: Scrape
) -> None:
    site, path = start(edit_edge=lambda edge: edge.pop("stats_config")), unique("a.bin")
    site.origin.put(path, BODY)
    site.ask(path)
    untagged = [each for each in scraped(site).series if each.name.startswith("mirror_on_miss_")]
    series = [each.relabelled(shipped.relabelling()) for each in untagged]
    unlike = [each for each in series if not scrape.has(each.name, each.labels)]
    assert unlike == []
    assert len(series) > 50
    assert not any(scrape.has(each.name, each.labels) for each in untagged if "_outcome_" in each.name)


def test_the_gauges_are_back_at_0_when_nothing_runs(eventful: tuple[Site, set[str]]) -> None:
    eventually(eventful[0].gauges, (0, 0))


def test_the_gauges_show_what_runs_now(strict: Site, unique: Unique) -> None:
    path = unique()
    gate = strict.origin.hold(path)
    strict.origin.put(path, BODY)
    with strict.open() as first, strict.open() as second:
        for client in (first, second):
            client.send("GET", path)
        strict.wait_until_held(path, 2)
        assert strict.gauges() == (1, 2)
        gate.open()
        for client in (first, second):
            assert client.receive("GET").outcome == "stored"
    eventually(strict.gauges, (0, 0))


def test_the_line_of_a_fill_can_be_read_whatever_the_key(strict: Site, unique: Unique) -> None:
    path = unique('a" outcome=stored origin=\u00a0\u2028 b=c%')
    written = "".join(f"%{byte:02x}" if byte not in b"/" else "/" for byte in path.encode())
    strict.origin.script(quote(path, safe="/~!$&'()*,;=:@"), replies.status(401))
    assert strict.ask(f"{written}?token=s3cret").outcome == "origin_refused"
    (line,) = [line for line in lines(strict) if canonical(path) in line]
    fields = dict(FIELD.findall(line.removeprefix("fill ")))
    assert "".join(f"{name}={value} " for name, value in fields.items()).strip() == line.removeprefix("fill ")
    assert fields["key"] == canonical(path)
    assert (fields["outcome"], fields["detail"]) == ("origin_refused", '"the origin answered 401"')
    assert (fields["origin"], fields["bytes"], fields["parts"]) == ('"working"', "0", "0")
    assert fields["waiters"] == "1"
    assert fields["ms"].isdigit()
    assert "s3cret" not in strict.log()


def canonical(path: str) -> str:
    unreserved = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
    return "".join(chr(byte) if byte in unreserved else f"%{byte:02X}" for byte in path.encode())


def lines(site: Site) -> list[str]:
    """Returns the lines about ends of fills."""
    return LINE.findall(site.log())


# The request's id.


def test_a_request_has_one_name_in_the_access_log_at_the_origin_at_the_store_and_in_the_line(
    strict: Site, unique: Unique
) -> None:
    path = unique("a.bin")
    strict.origin.put(path, BODY)
    headers = [("x-request-id", "of-the-client"), ("traceparent", TRACE_PARENT)]
    assert strict.ask(path, headers=headers).outcome == "stored"
    (get,) = strict.origin.asked(path)
    (put,) = strict.store.calls("PutObject", path[1:])
    name = get.header("x-request-id")
    assert name
    assert name != "of-the-client"
    assert put.request.header("x-request-id") == name
    assert (get.header("traceparent"), put.request.header("traceparent")) == (None, None)
    (line,) = [line for line in lines(strict) if f"key={path} " in line]
    assert f'request_id="{name}"' in line
    assert strict.access_logged(path)["request_id"] == name


def test_a_rule_for_traceparent_has_the_calls_join_the_trace(start: Start, unique: Unique) -> None:
    def keep_the_trace(edge: dict[str, Any]) -> None:
        rules = kept(edge)["request_rules"]
        metadata = {"metadata_namespace": "mirror_on_miss", "key": "traceparent", "type": "STRING"}
        rules.append({"header": "traceparent", "on_header_present": metadata})

    site, path = start(edit_edge=keep_the_trace), unique("a.bin")
    site.origin.put(path, BODY)
    assert site.ask(path, headers=[("traceparent", TRACE_PARENT)]).outcome == "stored"
    (get,) = site.origin.asked(path)
    (put,) = site.store.calls("PutObject", path[1:])
    assert (get.header("traceparent"), put.request.header("traceparent")) == (TRACE_PARENT, TRACE_PARENT)
    untraced = unique("b.bin")
    site.origin.put(untraced, BODY)
    for value in ("x" * 129, "with space", "caf\u00e9"):
        site.ask(untraced, headers=[("traceparent", value)])
    assert [get.header("traceparent") for get in site.origin.asked(untraced)] == [None]


def test_without_the_filter_the_calls_carry_nothing(start: Start, unique: Unique) -> None:
    def keep_nothing(edge: dict[str, Any]) -> None:
        kept(edge)["request_rules"].clear()
        filters = manager_of(edge)["http_filters"]
        filters[:] = [each for each in filters if each["name"] != KEEPER]

    site, path = start(edit_edge=keep_nothing), unique("a.bin")
    site.origin.put(path, BODY)
    assert site.ask(path).outcome == "stored"
    (get,) = site.origin.asked(path)
    assert get.header("x-request-id") is None


def kept(edge: dict[str, Any]) -> dict[str, Any]:
    return named(manager_of(edge)["http_filters"], KEEPER)["typed_config"]


def manager_of(edge: dict[str, Any]) -> dict[str, Any]:
    (listener,) = edge["static_resources"]["listeners"]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]
