//! The operator's view of a fill: metrics, lines in the log, and the request's id on the calls.

use std::time::Duration;

use mirror_on_miss::metrics;
use serde_json::json;

use crate::host::{Client, Envoy};
use crate::steps::{
    LONG, OBJECT, PATH, configured, envoy_with, expect_call, is, kept, miss, next_call, origin_gives,
    origin_gives_bytes, result, store_says,
};

const GET: &str = "GET origin /img/a.jpg";
const REQUEST_ID: &str = "0f9e6c1c-6d0c-4b5c-9f10-0c5f8b9f4a11";
const TRACE_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn missed(envoy: &mut Envoy, path: &str) -> Client {
    let client = envoy.get(path);
    miss(client);
    client
}

fn calls(envoy: &Envoy, to: &str, result: &str) -> u64 {
    envoy.metric(&format!("mirror_on_miss_calls_total.to.{to}.result.{result}"))
}

fn times(envoy: &Envoy, to: &str) -> Vec<u64> {
    envoy.samples(&format!("mirror_on_miss_call_milliseconds.to.{to}"))
}

fn gauges(envoy: &Envoy) -> (u64, u64) {
    (envoy.metric("mirror_on_miss_fills_in_flight"), envoy.metric("mirror_on_miss_waiters"))
}

/// Returns the lines about ends of fills.
fn ends(envoy: &Envoy) -> Vec<String> {
    envoy.logs().into_iter().filter(|line| line.starts_with("info: fill ")).collect()
}

#[test]
fn each_call_is_counted_and_timed_by_whom_it_asked() {
    let mut envoy = envoy_with(json!({}));
    missed(&mut envoy, PATH);
    envoy.advance(Duration::from_millis(120));
    origin_gives(&mut envoy);
    envoy.advance(Duration::from_millis(30));
    store_says(&mut envoy, 200);
    assert_eq!((calls(&envoy, "origin", "2xx"), calls(&envoy, "store", "2xx")), (1, 1));
    assert_eq!((times(&envoy, "origin"), times(&envoy, "store")), (vec![120], vec![30]));
    assert_eq!(envoy.samples("mirror_on_miss_fill_milliseconds"), [150]);
    let bytes = OBJECT.len() as u64;
    let counted = ["fetched", "stored"].map(|what| envoy.metric(&format!("mirror_on_miss_{what}_bytes_total")));
    assert_eq!(counted, [bytes, bytes]);
}

#[test]
fn a_call_without_an_answer_of_its_own_is_counted_too() {
    let mut envoy = envoy_with(json!({"origin": {"timeout": "2s"}}));
    for (number, path) in ["/reset", "/late", "/cut", "/refused", "/status"].into_iter().enumerate() {
        missed(&mut envoy, path);
        let call = expect_call(&mut envoy, &format!("GET origin {path}"));
        match number {
            0 => envoy.fail(call),
            1 => envoy.time_out(call),
            2 => {
                // The answer has begun, so Envoy does not report the passed timeout.
                envoy.advance(Duration::from_millis(1_900));
                envoy.fail(call);
            }
            3 => envoy.refuse(call),
            _ => envoy.respond(call, 302, &[], ""),
        }
        envoy.advance(LONG);
    }
    let counted = ["failed", "timeout", "5xx", "3xx", "2xx", "4xx"].map(|result| calls(&envoy, "origin", result));
    // After the reset and the refusal a second attempt went unanswered.
    assert_eq!(counted, [1, 4, 1, 1, 0, 0]);
    assert_eq!(calls(&envoy, "store", "2xx"), 0);
}

#[test]
fn a_call_that_cannot_be_sent_has_failed() {
    let mut envoy = envoy_with(json!({"origin": {"cluster": "unknown"}}));
    missed(&mut envoy, PATH);
    envoy.advance(Duration::from_secs(1));
    // Three attempts, and a HEAD.
    assert_eq!((calls(&envoy, "origin", "failed"), times(&envoy, "origin")), (4, vec![0; 4]));
}

#[test]
fn an_origin_that_failed_is_counted_though_another_one_gave_the_object() {
    let mut envoy = Envoy::start(&configured(json!({
        "origin": null,
        "origins": {
            "first": {"cluster": "backup", "authority": "first.test"},
            "second": {"cluster": "origin", "authority": "files.test"},
        },
        "rules": [{"origins": ["first", "second"]}],
    })));
    let client = missed(&mut envoy, PATH);
    for _ in 0..4 {
        let first = expect_call(&mut envoy, &format!("GET backup {PATH}"));
        envoy.respond(first, 500, &[], "");
    }
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
    assert_eq!(result(client), is(302, "stored"));
    assert_eq!(envoy.metric("mirror_on_miss_origin_failures_total.reason.origin_unavailable"), 1);
    let [line] = &ends(&envoy)[..] else { panic!("{:?}", ends(&envoy)) };
    assert!(line.contains("outcome=stored detail=\"\" origin=\"second\" "), "{line}");
}

#[test]
fn the_gauges_show_what_runs_and_who_waits_now() {
    let mut envoy = envoy_with(json!({"limits": {"fills": 2}}));
    assert_eq!(gauges(&envoy), (0, 0));
    let clients = [PATH, PATH, "/b", "/c"].map(|path| missed(&mut envoy, path));
    assert_eq!(gauges(&envoy), (2, 4), "one fill waits for room");
    clients[1].leaves();
    for path in [PATH, "/b", "/c"] {
        let get = expect_call(&mut envoy, &format!("GET origin {path}"));
        envoy.respond(get, 404, &[], "");
    }
    assert_eq!(gauges(&envoy), (0, 0));
}

#[test]
fn a_root_that_goes_takes_what_it_showed_with_it() {
    let mut envoy = envoy_with(json!({}));
    missed(&mut envoy, PATH);
    assert_eq!(gauges(&envoy), (1, 1));
    // The host looks when the root is gone: see `Metrics::left`.
    drop(envoy);
}

#[test]
fn what_should_never_happen_is_shown_before_it_happens() {
    let envoy = envoy_with(json!({}));
    let defined = envoy.defined_metrics();
    for name in metrics::never().into_iter().chain([metrics::FILLS_IN_FLIGHT, metrics::WAITERS].map(Into::into)) {
        assert!(defined.contains(&name.to_string()), "{name}");
    }
}

#[test]
fn a_hit_is_neither_counted_nor_logged() {
    let mut envoy = envoy_with(json!({}));
    let before = (envoy.defined_metrics(), envoy.logs());
    envoy.get(PATH).bucket_answers(200, &[], OBJECT);
    envoy.advance(LONG);
    assert_eq!((envoy.defined_metrics(), envoy.logs()), before);
}

#[test]
fn each_metric_is_defined_once() {
    let mut envoy = envoy_with(json!({}));
    for path in ["/1", "/2", "/3"] {
        missed(&mut envoy, path);
        let get = next_call(&mut envoy);
        origin_gives_bytes(&mut envoy, get, OBJECT);
        let put = next_call(&mut envoy);
        envoy.respond(put, 200, &[], "");
        envoy.advance(Duration::from_millis(500));
        missed(&mut envoy, path);
    }
    assert_eq!(envoy.metric(&metrics::requests("loop").to_string()), 3, "which was shown before it happened");
    let mut defined = envoy.defined_metrics();
    let count = defined.len();
    defined.sort();
    defined.dedup();
    assert_eq!(defined.len(), count, "{defined:?}");
    assert!(count >= 9, "{defined:?}");
}

#[test]
fn a_fill_ends_with_one_line_that_can_be_read_whatever_the_key() {
    const HOSTILE: &str = "/a%22%20outcome=stored%20origin=%C2%A0%E2%80%A8x%5C%22";
    let mut envoy = envoy_with(json!({}));
    kept(&mut envoy, "x-request-id", REQUEST_ID);
    let client = envoy.get(&format!("{HOSTILE}?token=s3cr3t"));
    miss(client);
    missed(&mut envoy, HOSTILE);
    envoy.advance(Duration::from_millis(7));
    let get = next_call(&mut envoy);
    envoy.respond(get, 401, &[], "");
    let key = "/a%22%20outcome%3Dstored%20origin%3D%C2%A0%E2%80%A8x%5C%22";
    let expected = format!(
        "info: fill key={key} outcome=origin_refused detail=\"the origin answered 401\" origin=\"origin\" bytes=0 \
         parts=0 ms=7 waiters=2 request_id=\"{REQUEST_ID}\""
    );
    // The host shows lines in lower case.
    assert_eq!(ends(&envoy), [expected.to_lowercase()]);
}

#[test]
fn the_line_says_what_was_stored() {
    let mut envoy = envoy_with(json!({}));
    missed(&mut envoy, PATH);
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
    let [line] = &ends(&envoy)[..] else { panic!("{:?}", ends(&envoy)) };
    assert!(line.ends_with(" bytes=5 parts=1 ms=0 waiters=1 request_id=\"\""), "{line}");
}

#[test]
fn every_call_of_a_fill_carries_what_was_kept_of_the_request_that_began_it() {
    let mut envoy = envoy_with(json!({}));
    kept(&mut envoy, "x-request-id", REQUEST_ID);
    kept(&mut envoy, "traceparent", TRACE_PARENT);
    let client = envoy.get(PATH);
    crate::steps::denial(client);
    kept(&mut envoy, "x-request-id", "another");
    crate::steps::denial(envoy.get(PATH));
    for described in ["HEAD signer /assets/img/a.jpg", GET, "PUT signer /assets/img/a.jpg"] {
        let call = expect_call(&mut envoy, described);
        let forwarded = ["x-request-id", "traceparent"].map(|name| call.header(name));
        assert_eq!(forwarded, [Some(REQUEST_ID), Some(TRACE_PARENT)], "{described}");
        match described {
            GET => origin_gives_bytes(&mut envoy, call, OBJECT),
            _ => envoy.respond(call, 404, &[], ""),
        }
    }
    assert_eq!(result(client), is(200, "not_stored"));
}

#[test]
fn nothing_is_carried_that_envoy_did_not_keep_or_that_is_no_such_value() {
    let mut envoy = envoy_with(json!({}));
    for value in ["", "a b", "a\r\nx-evil: 1", "\u{e4}", &"a".repeat(129)] {
        kept(&mut envoy, "traceparent", value);
        let client = envoy.request("GET", PATH).header("traceparent", TRACE_PARENT).send();
        miss(client);
        let get = expect_call(&mut envoy, GET);
        assert_eq!((get.header("x-request-id"), get.header("traceparent")), (None, None), "{value:?}");
        envoy.fail(get);
        envoy.advance(LONG);
    }
}

#[test]
fn a_header_that_the_configuration_sets_for_an_origin_stays_the_only_one_of_its_name() {
    let mut envoy = envoy_with(json!({"origin": {"headers": {"x-request-id": "of the configuration"}}}));
    kept(&mut envoy, "x-request-id", REQUEST_ID);
    missed(&mut envoy, PATH);
    let get = expect_call(&mut envoy, GET);
    assert_eq!(get.header("x-request-id"), Some("of the configuration"));
    origin_gives_bytes(&mut envoy, get, OBJECT);
    let put = expect_call(&mut envoy, "PUT signer /assets/img/a.jpg");
    assert_eq!(put.header("x-request-id"), Some(REQUEST_ID));
    envoy.respond(put, 200, &[], "");
}

#[test]
fn a_page_that_was_stored_is_counted_as_its_client_is_told() {
    let mut envoy = envoy_with(json!({"bucket": {"index": "index.html"}}));
    let client = missed(&mut envoy, "/blog");
    let object = expect_call(&mut envoy, "GET origin /blog");
    envoy.respond(object, 404, &[], "");
    let head = expect_call(&mut envoy, "HEAD signer /assets/blog/index.html");
    envoy.respond(head, 404, &[], "");
    let page = expect_call(&mut envoy, "GET origin /blog/");
    origin_gives_bytes(&mut envoy, page, OBJECT);
    let put = expect_call(&mut envoy, "PUT signer /assets/blog/index.html");
    envoy.respond(put, 200, &[], "");
    assert_eq!(result(client), is(302, "exists"));
    let counted = ["exists", "stored"].map(|outcome| envoy.metric(&metrics::requests(outcome).to_string()));
    assert_eq!(counted, [1, 0]);
}
