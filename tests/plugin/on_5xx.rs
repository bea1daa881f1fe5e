//! A bucket that fails, and an origin that serves in its place.

use serde_json::{Value, json};

use crate::host::{Client, Envoy};
use crate::steps::{answer, deny, envoy_with, is, next_call, result};

const SLOW_DOWN: &str = "<Error><Code>SlowDownRead</Code></Error>";

fn failed(rule: Value) -> (Envoy, Client) {
    let mut envoy = envoy_with(json!({"stream": {"marker": "m=s"}, "rules": [rule]}));
    let client = envoy.get("/img/a.jpg");
    deny(client, 503, SLOW_DOWN);
    (envoy, client)
}

#[test]
fn the_origins_object_is_handed_out_and_not_stored() {
    let (mut envoy, client) = failed(json!({"on_5xx": "origin"}));
    let call = next_call(&mut envoy);
    envoy.respond(call, 206, &[("content-range", "bytes 0-4/5"), ("content-length", "5")], "hello");
    assert_eq!(result(client), is(200, "served"));
    assert_eq!(answer(client).body, b"hello");
    assert!(envoy.try_next_call().is_none());
}

#[test]
fn a_large_object_is_passed_on_and_the_next_clients_are_too() {
    let (mut envoy, client) = failed(json!({"on_5xx": "origin"}));
    let call = next_call(&mut envoy);
    let headers = [("etag", "\"1\""), ("content-range", "bytes 0-65535/7000000"), ("content-length", "65536")];
    envoy.respond(call, 206, &headers, vec![0; 65_536]);
    assert_eq!(result(client), is(302, "streamed"));
    assert!(envoy.try_next_call().is_none(), "there is no upload");
    for _ in 0..2 {
        let passed = envoy.get("/img/a.jpg?m=s");
        assert_eq!(passed.request_sent().text("x-mirror-on-miss-cluster"), Some("origin"));
    }
}

#[test]
fn the_buckets_answer_stands_where_no_origin_gives_the_object() {
    for (status, outcome) in [(404, "not_found"), (401, "origin_refused"), (504, "origin_timeout")] {
        let (mut envoy, client) = failed(json!({"on_5xx": "origin"}));
        let call = next_call(&mut envoy);
        envoy.respond(call, status, &[], "");
        assert_eq!(result(client), is(503, outcome));
        assert_eq!(answer(client).body, SLOW_DOWN.as_bytes());
    }
}

#[test]
fn the_buckets_answer_stands_where_the_rule_does_not_say_otherwise() {
    for rule in [json!({}), json!({"on_5xx": "pass"}), json!({"on_5xx": "origin", "observe": true})] {
        let (mut envoy, client) = failed(rule);
        assert_eq!((answer(client).status(), answer(client).body), (503, SLOW_DOWN.as_bytes().to_vec()));
        assert!(envoy.try_next_call().is_none());
    }
}

#[test]
fn an_edge_that_is_full_says_nothing_about_the_bucket() {
    for (reason, asks) in [("overflow", false), ("connection_termination", true)] {
        let mut envoy = envoy_with(json!({"rules": [{"on_5xx": "origin"}]}));
        let details = format!("upstream_reset_before_response_started{{{reason}}}");
        envoy.set_property(&["response", "code_details"], details);
        let client = envoy.get("/img/a.jpg");
        deny(client, 503, "upstream connect error");
        assert_eq!(envoy.try_next_call().is_some(), asks, "{reason}");
    }
}
