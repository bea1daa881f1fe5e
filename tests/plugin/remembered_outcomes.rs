//! Keys that the worker knows about: their origins do not have them, or they were stored a moment ago.

use std::time::Duration;

use serde_json::json;

use crate::host::{Client, Envoy};
use crate::steps::{
    NO_SUCH_KEY, PATH, answer, denial, envoy_with, expect_call, fails_each_time, is, miss, origin_gives, result,
    store_says,
};

fn missing(envoy: &mut Envoy) -> Client {
    let client = envoy.get(PATH);
    miss(client);
    client
}

fn origin_has_none(envoy: &mut Envoy) {
    let get = expect_call(envoy, &format!("GET origin {PATH}"));
    envoy.respond(get, 404, &[], "");
}

#[test]
fn an_origins_404_is_remembered_for_its_time() {
    let mut envoy = envoy_with(json!({"negative_ttl": "7s"}));
    missing(&mut envoy);
    origin_has_none(&mut envoy);

    envoy.advance(Duration::from_millis(6_999));
    let (missed, denied) = (missing(&mut envoy), envoy.get(PATH));
    denial(denied);
    assert_eq!((result(missed), answer(missed).body), (is(404, "not_found"), NO_SUCH_KEY.into()));
    assert_eq!(result(denied), is(404, "not_found"));
    assert!(envoy.try_next_call().is_none());

    envoy.advance(Duration::from_millis(1));
    assert!(missing(&mut envoy).is_waiting());
    origin_has_none(&mut envoy);
}

#[test]
fn a_clock_that_is_set_back_makes_no_outcome_last_longer() {
    let mut envoy = envoy_with(json!({"negative_ttl": "7s", "loop_window": "7s"}));
    missing(&mut envoy);
    origin_has_none(&mut envoy);
    envoy.set_clock(-3600);
    envoy.advance(Duration::from_secs(7));
    assert!(missing(&mut envoy).is_waiting(), "the origin is asked again");
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);

    envoy.set_clock(-3600);
    envoy.advance(Duration::from_secs(7));
    assert!(missing(&mut envoy).is_waiting(), "it is filled again");
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
}

#[test]
fn what_is_not_to_be_remembered_is_not() {
    let mut envoy = envoy_with(json!({"failure_ttl": "0s", "negative_ttl": "0s", "loop_window": "0s"}));
    for _ in 0..2 {
        missing(&mut envoy);
        origin_has_none(&mut envoy);
    }
    for _ in 0..2 {
        missing(&mut envoy);
        let get = expect_call(&mut envoy, &format!("GET origin {PATH}"));
        envoy.respond(get, 401, &[], "");
    }
    for _ in 0..2 {
        missing(&mut envoy);
        origin_gives(&mut envoy);
        store_says(&mut envoy, 200);
    }
    envoy.assert_idle();
}

#[test]
fn a_failure_is_remembered_for_its_time() {
    let mut envoy = envoy_with(json!({"failure_ttl": "2s"}));
    for fail in [|envoy: &mut Envoy, call| envoy.refuse(call), |envoy: &mut Envoy, call| envoy.time_out(call)] {
        let client = missing(&mut envoy);
        fails_each_time(&mut envoy, client, fail);
        envoy.advance(Duration::from_millis(1_999));
        let again = missing(&mut envoy);
        assert_eq!(result(again), result(client));
        assert!(answer(again).status() >= 500 && answer(again).header("retry-after").is_some());
        assert!(envoy.try_next_call().is_none());
        envoy.advance(Duration::from_millis(1));
    }
    assert!(missing(&mut envoy).is_waiting());
    envoy.advance(crate::steps::LONG);
}

#[test]
fn a_key_that_the_bucket_denies_right_after_it_was_stored_is_the_buckets_own_answer() {
    for bucket_denies in [miss, denial] {
        let mut envoy = envoy_with(json!({"loop_window": "3s"}));
        missing(&mut envoy);
        origin_gives(&mut envoy);
        store_says(&mut envoy, 200);

        envoy.advance(Duration::from_millis(2_999));
        let client = envoy.get(PATH);
        bucket_denies(client);
        let (status, outcome) = result(client);
        assert!([403, 404].contains(&status) && outcome == "loop", "{status} {outcome}");
        assert_eq!(answer(client).header("server"), Some("AmazonS3"));
        assert_eq!(envoy.metric("mirror_on_miss_requests_total.outcome.loop"), 1);

        envoy.advance(Duration::from_millis(1));
        assert!(missing(&mut envoy).is_waiting());
        envoy.advance(crate::steps::LONG);
    }
}

#[test]
fn a_404_that_is_older_than_the_object_is_redirected_to_it() {
    let mut envoy = envoy_with(json!({}));
    let late = envoy.get(PATH);
    envoy.advance(Duration::from_millis(10));
    missing(&mut envoy);
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
    envoy.advance(Duration::from_millis(10));
    // The bucket had looked before the object was there.
    miss(late);
    assert_eq!(result(late), is(302, "stored"));
    assert!(envoy.try_next_call().is_none());
}

#[test]
fn what_was_stored_is_known_in_all_spellings_of_its_key_and_of_no_other_key() {
    let mut envoy = envoy_with(json!({}));
    missing(&mut envoy);
    origin_has_none(&mut envoy);
    let (same, other) = (envoy.get("/img%2f%61.jpg?x"), envoy.get("/img/b.jpg"));
    miss(same);
    miss(other);
    assert_eq!(result(same), is(404, "not_found"));
    assert!(other.is_waiting());
    envoy.advance(crate::steps::LONG);
}
