//! Facts about every call of a fill, whatever state makes it, and about how a fill is seen from outside.

use super::rules::{configured, denied};
use super::*;
use crate::request::trace::Trace;
use serde_json::json;

fn traced(config: &Config) -> World {
    let mirror = config.rules[0].mirror.clone().unwrap();
    let mut fill = Fill::new(config, request("a.jpg", mirror, false), 7);
    fill.carry(Trace::find(|name| Some(format!("of-{name}").into_bytes())));
    World::start(fill)
}

fn values<'a>(call: &'a Call, name: &str) -> Vec<&'a str> {
    let set = call.to.headers.iter().map(|(name, value)| (&**name, &**value));
    let own = call.request.headers.iter().map(|(name, value)| (*name, &**value));
    set.chain(own).filter(|(set, _)| *set == name).map(|(_, value)| value).collect()
}

#[test]
fn each_call_carries_the_trace_of_the_request_that_began_the_fill() {
    let mut world = traced(&configured(json!({}), json!({}), json!([{"origins": ["first"]}])));
    let get = world.answer("GET first /a.jpg", 200, &[("content-length", "5")], "hello");
    let put = world.answer("PUT signer /my-bucket/a.jpg", 200, &[], "");
    for call in [get, put] {
        assert_eq!(values(&call, "x-request-id"), ["of-x-request-id"]);
        assert_eq!(values(&call, "traceparent"), ["of-traceparent"]);
    }
    assert_eq!(world.fill.trace().request_id(), "of-x-request-id");
}

#[test]
fn a_header_that_the_origin_s_settings_give_is_sent_once_and_as_they_give_it() {
    let origin = json!({"headers": {"x-request-id": "fixed"}});
    let mut world = traced(&configured(json!({}), origin, json!([{"origins": ["first"]}])));
    let call = world.call();
    assert_eq!(values(&call, "x-request-id"), ["fixed"]);
    assert_eq!(values(&call, "traceparent"), ["of-traceparent"]);
}

#[test]
fn a_fill_tells_the_failure_of_each_origin_that_it_left() {
    let config =
        configured(json!({}), json!({}), json!([{"origins": ["first", "second"], "content_types": ["image/*"]}]));
    let mut world = denied(&config, "GET", Denial::NotFound, false);
    assert!(world.fill.failures().is_empty());
    world.answer("GET first /a.jpg", 206, &[("content-range", "bytes 0-4/5"), ("content-type", "text/html")], "hello");
    assert_eq!(world.fill.failures(), ["wrong_type"]);
    assert_eq!(world.fill.origin(), "second");
}

#[test]
fn a_head_fills_the_bucket_also_where_a_rule_tells_heads_apart() {
    let rules = json!([{"methods": ["HEAD", "GET"], "origins": ["first"]}]);
    let config = configured(json!({}), json!({}), rules);
    let mut world = denied(&config, "HEAD", Denial::NotFound, false);
    world.answer("GET first /a.jpg", 200, &[("content-length", "5")], "hello");
    world.answer("PUT signer /my-bucket/a.jpg", 200, &[], "");
    assert!(matches!(world.outcome(), Outcome::Stored));
}
