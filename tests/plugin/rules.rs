//! A rule's effect on a request: answers at once, the origin's HEAD, requests that are only counted, and the parts of
//! a client's request that the origin gets.

use serde_json::{Value, json};

use crate::host::{Answer, Headers};
use crate::steps::{
    NO_SUCH_KEY, OBJECT, PATH, answer, denial, deny, envoy_with, expect_call, is, miss, next_call, origin_gives,
    result, store_says,
};

const PUBLIC_URL: &str = "https://files.example.com/v1";

fn rule(rule: Value) -> Value {
    json!({"origin": {"public_url": PUBLIC_URL}, "rules": [rule]})
}

#[test]
fn a_head_of_what_is_not_stored_is_the_origins_however_gets_are_answered() {
    for response in ["redirect", "serve", "origin"] {
        let mut envoy = envoy_with(rule(json!({"store": false, "response": response})));
        let client = envoy.request("HEAD", PATH).send();
        miss(client);
        let call = next_call(&mut envoy);
        envoy.respond(call, 200, &[("content-length", "7000000")], "");
        assert_eq!(result(client), is(200, "head"), "so warm says at once that nothing is stored: {response}");
    }
}

#[test]
fn served_is_a_200_with_the_object_while_it_is_being_stored() {
    let mut envoy = envoy_with(rule(json!({"response": "serve", "cache_control": "max-age=60"})));
    let client = envoy.get(PATH);
    miss(client);
    origin_gives(&mut envoy);
    let headers = Headers::response(200)
        .with("accept-ranges", "bytes")
        .with("content-type", "image/jpeg")
        .with("cache-control", "max-age=60")
        .with("x-mirror-on-miss", "served")
        .with("content-length", "5");
    assert_eq!(answer(client), Answer { headers, body: OBJECT.to_vec(), through_filters: true });

    let second = envoy.get(PATH);
    miss(second);
    assert_eq!((result(second), answer(second).body), (is(200, "served"), OBJECT.to_vec()));
    store_says(&mut envoy, 200);
    envoy.assert_idle();
}

#[test]
fn a_head_waits_for_the_tag_that_stays_and_gets_the_objects_headers_if_there_is_none() {
    for (status, expected) in [(200, is(302, "stored")), (403, is(200, "not_stored"))] {
        let mut envoy = envoy_with(rule(json!({"response": "serve"})));
        let head = envoy.request("HEAD", PATH).send();
        miss(head);
        origin_gives(&mut envoy);
        assert!(head.is_waiting());
        store_says(&mut envoy, status);
        assert_eq!(result(head), expected);
    }
}

#[test]
fn a_client_is_sent_to_the_origin_at_once_and_the_bucket_is_filled_behind_it() {
    let mut envoy = envoy_with(rule(json!({"response": "origin"})));
    let client = envoy.get(PATH);
    miss(client);
    assert_eq!(result(client), is(302, "origin"));
    assert_eq!(answer(client).header("location"), Some("https://files.example.com/v1/img/a.jpg"));
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
    envoy.assert_idle();
    assert_eq!(envoy.metric("mirror_on_miss_fills_total.outcome.stored"), 1);
}

#[test]
fn nobody_is_sent_to_the_origin_for_an_object_that_the_bucket_has() {
    let mut envoy = envoy_with(rule(json!({"response": "origin"})));
    let client = envoy.get(PATH);
    denial(client);
    assert!(client.is_waiting());
    let head = expect_call(&mut envoy, "HEAD signer /assets/img/a.jpg");
    envoy.respond(head, 200, &[], "");
    assert_eq!((answer(client).status(), answer(client).header("location")), (403, None));
    envoy.assert_idle();
}

#[test]
fn a_head_is_answered_with_the_origins_headers_and_stores_nothing() {
    let mut envoy = envoy_with(rule(json!({"on_head": "origin"})));
    let client = envoy.request("HEAD", PATH).send();
    deny(client, 404, "");
    let head = expect_call(&mut envoy, "HEAD origin /img/a.jpg");
    envoy.respond(head, 200, &[("content-length", "7"), ("content-type", "image/png"), ("server", "Apache")], "");
    let headers = Headers::response(200)
        .with("accept-ranges", "bytes")
        .with("content-type", "image/png")
        .with("x-mirror-on-miss", "head")
        .with("content-length", "7");
    assert_eq!(answer(client), Answer { headers, body: Vec::new(), through_filters: true });
    envoy.assert_idle();
}

#[test]
fn a_head_that_is_off_and_a_key_that_is_not_the_rules_are_not_held() {
    let mut envoy = envoy_with(json!({"rules": [{"suffixes": [".jpg"], "on_head": "off"}]}));
    for (method, path) in [("HEAD", PATH), ("GET", "/img/a.png")] {
        let client = envoy.request(method, path).send();
        deny(client, 404, NO_SUCH_KEY);
        assert_eq!((answer(client).status(), answer(client).header("x-mirror-on-miss")), (404, None));
    }
    assert!(envoy.try_next_call().is_none());
    assert_eq!(envoy.tick_period(), None);
}

#[test]
fn what_is_only_observed_is_counted_and_passed_on() {
    let mut envoy = envoy_with(rule(json!({"observe": true})));
    for deny in [miss, denial] {
        let client = envoy.get(PATH);
        deny(client);
        assert_eq!(answer(client).header("x-mirror-on-miss"), Some("observed"));
    }
    assert!(envoy.try_next_call().is_none());
    assert_eq!(envoy.metric("mirror_on_miss_requests_total.outcome.observed"), 2);
    assert_eq!(envoy.logs().iter().filter(|line| line.ends_with(&format!("observed key={PATH}"))).count(), 2);
    envoy.assert_idle();
}

#[test]
fn only_what_a_rule_lists_of_a_request_reaches_the_origin() {
    let mut envoy = envoy_with(rule(json!({"query": ["v"], "request_headers": ["accept-language"]})));
    let request = envoy.request("GET", "/img/a.jpg?v=1&token=secret");
    let client = request
        .header("accept-language", "de")
        .header("accept", "*/*")
        .header("cookie", "session=secret")
        .header("authorization", "secret")
        .send();
    miss(client);
    let get = expect_call(&mut envoy, "GET origin /img/a.jpg?v=1");
    assert_eq!(get.header("accept-language"), Some("de"));
    for name in ["accept", "cookie", "authorization"] {
        assert_eq!(get.header(name), None, "{name}");
    }
}

#[test]
fn requests_that_differ_in_what_a_rule_lists_are_fetched_apart_and_others_together() {
    let mut envoy = envoy_with(rule(json!({"query": ["v"]})));
    for path in ["/img/a.jpg?v=1", "/img/a.jpg?v=1&w=2", "/img/a.jpg?v=2"] {
        miss(envoy.get(path));
    }
    let one = expect_call(&mut envoy, "GET origin /img/a.jpg?v=1");
    let two = expect_call(&mut envoy, "GET origin /img/a.jpg?v=2");
    assert!(envoy.try_next_call().is_none());
    envoy.respond(one, 404, &[], "");
    envoy.respond(two, 206, &[("content-range", "bytes 0-4/5")], "hello");
    store_says(&mut envoy, 200);
    envoy.assert_idle();
    let late = envoy.get("/img/a.jpg?v=1");
    miss(late);
    assert_eq!(result(late), is(404, "not_found"), "remembered for these parameters alone");
}

#[test]
fn a_header_that_is_no_text_is_left_out() {
    let mut envoy = envoy_with(rule(json!({"request_headers": ["accept-language"]})));
    let client = envoy.request("GET", PATH).header("accept-language", b"\xe4").send();
    miss(client);
    assert_eq!(expect_call(&mut envoy, "GET origin /img/a.jpg").header("accept-language"), None);
}

#[test]
fn a_page_that_is_no_picture_is_not_stored_and_not_served() {
    let mut envoy = envoy_with(rule(json!({"content_types": ["image/*"], "response": "serve"})));
    let client = envoy.get(PATH);
    miss(client);
    let get = expect_call(&mut envoy, "GET origin /img/a.jpg");
    envoy.respond(get, 200, &[("content-type", "text/html"), ("content-length", "5")], "login");
    assert_eq!(result(client), is(502, "wrong_type"));
    envoy.assert_idle();
}
