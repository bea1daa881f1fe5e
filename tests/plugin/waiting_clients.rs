//! Clients that wait for a fill, together, one after the other, or not to the end.

use std::time::Duration;

use serde_json::json;

use crate::host::{Client, Envoy, Headers};
use crate::steps::{
    LONG, NO_SUCH_KEY, PATH, denial, envoy_with, expect_call, is, miss, next_call, origin_gives, result, store_says,
};

const FILLS: &str = "mirror_on_miss_fills_total.outcome.stored";
const ANSWERS: &str = "mirror_on_miss_requests_total.outcome.stored";

#[test]
fn fifty_clients_cause_one_call_to_the_origin_and_one_to_the_store() {
    let mut envoy = envoy_with(json!({}));
    let clients: Vec<Client> = (0..50)
        .map(|n| {
            let method = if n % 5 == 0 { "HEAD" } else { "GET" };
            // All of them are spellings of one key.
            envoy.request(method, ["/img/a.jpg", "/%69mg/a.jpg", "/img%2Fa.jpg"][n % 3]).send()
        })
        .collect();
    clients.iter().copied().for_each(miss);
    origin_gives(&mut envoy);
    assert!(clients.iter().all(Client::is_waiting));
    store_says(&mut envoy, 200);
    for client in clients {
        assert_eq!(result(client), is(302, "stored"));
    }
    assert_eq!((envoy.metric(FILLS), envoy.metric(ANSWERS)), (1, 50));
    envoy.assert_idle();
}

#[test]
fn a_herd_is_answered_in_more_than_one_callback() {
    // The host reports a violation otherwise.
    let mut envoy = envoy_with(json!({}));
    let clients: Vec<Client> = (0..2_500).map(|_| envoy.get(PATH)).collect();
    clients.iter().copied().for_each(miss);
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
    assert!(clients.into_iter().all(|client| result(client) == is(302, "stored")));
    envoy.assert_idle();
}

#[test]
fn a_herd_whose_time_is_over_is_answered_in_more_than_one_callback() {
    let mut envoy = envoy_with(json!({"wait": "1s"}));
    let clients: Vec<Client> = (0..2_500).map(|_| envoy.get(PATH)).collect();
    clients.iter().copied().for_each(miss);
    envoy.advance(Duration::from_secs(1));
    assert!(clients.into_iter().all(|client| result(client) == is(503, "filling")));
    envoy.advance(LONG);
}

#[test]
fn a_client_that_comes_while_the_object_is_being_stored_waits_for_that() {
    let mut envoy = envoy_with(json!({}));
    let first = envoy.get(PATH);
    miss(first);
    origin_gives(&mut envoy);
    let second = envoy.get(&format!("{PATH}?second"));
    miss(second);
    store_says(&mut envoy, 200);
    assert_eq!([first, second].map(result), [is(302, "stored"), is(302, "stored")]);
    assert_eq!(second.answer().unwrap().header("location"), Some("/img/a.jpg?second"));
    envoy.assert_idle();
}

#[test]
fn a_client_that_was_told_403_is_not_handed_what_one_that_was_told_404_is() {
    let mut envoy = envoy_with(json!({"rules": [{"response": "serve"}]}));
    let (missed, denied) = (envoy.get(PATH), envoy.get(PATH));
    miss(missed);
    denial(denied);
    origin_gives(&mut envoy);
    assert_eq!(result(missed), is(200, "served"));
    // The object came to the bucket in the meantime, and may not be read.
    let head = expect_call(&mut envoy, "HEAD signer /assets/img/a.jpg");
    envoy.respond(head, 200, &[], "");
    assert_eq!(result(denied), is(403, "none"));
    store_says(&mut envoy, 200);
    envoy.assert_idle();
}

#[test]
fn a_key_that_was_filled_is_filled_again_when_it_is_missing_again() {
    let mut envoy = envoy_with(json!({}));
    for fills in 1..=3 {
        let client = envoy.get(PATH);
        miss(client);
        origin_gives(&mut envoy);
        store_says(&mut envoy, 200);
        assert_eq!(result(client), is(302, "stored"));
        assert_eq!(envoy.metric(FILLS), fills);
        envoy.assert_idle();
        // The loop window.
        envoy.advance(Duration::from_secs(5));
        assert_eq!(envoy.tick_period(), None, "nothing is left of it");
    }
}

#[test]
fn keys_are_filled_side_by_side() {
    let mut envoy = envoy_with(json!({}));
    let clients = ["/a", "/b", "/c"].map(|path| envoy.get(path));
    clients.into_iter().for_each(miss);
    let gets = ["/a", "/b", "/c"].map(|path| expect_call(&mut envoy, &format!("GET origin {path}")));
    for get in gets.into_iter().rev() {
        let body = get.path().to_owned();
        envoy.respond(get, 200, &[("content-length", "2")], &body);
    }
    for path in ["/c", "/b", "/a"] {
        let put = expect_call(&mut envoy, &format!("PUT signer /assets{path}"));
        assert_eq!(put.body, path.as_bytes());
        envoy.respond(put, 200, &[], "");
    }
    assert_eq!(clients.map(result), ["", "", ""].map(|_| is(302, "stored")));
}

#[test]
fn a_client_gone_while_its_document_is_read_begins_no_fill() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    client.bucket_sends_headers(Headers::response(404), false);
    client.bucket_sends(&NO_SUCH_KEY[..20], false);
    client.leaves();
    envoy.advance(LONG);
    assert!(envoy.try_next_call().is_none());
    assert_eq!(envoy.tick_period(), None);
}

#[test]
fn a_client_gone_before_the_root_hears_of_it_begins_no_fill() {
    let mut envoy = envoy_with(json!({}));
    envoy.hold_queues();
    let (gone, stays) = (envoy.get(PATH), envoy.get("/b"));
    miss(gone);
    miss(stays);
    gone.leaves();
    envoy.deliver_queues();
    expect_call(&mut envoy, "GET origin /b");
    assert!(envoy.try_next_call().is_none());
    envoy.advance(LONG);
    assert_eq!(result(stays), is(504, "origin_timeout"));
}

#[test]
fn a_notification_that_is_lost_strikes_those_alone_who_come_within_a_second() {
    let mut envoy = envoy_with(json!({}));
    envoy.hold_queues();
    let struck = envoy.get(PATH);
    miss(struck);
    envoy.lose_queues();
    envoy.deliver_queues();
    let too_early = envoy.get(PATH);
    miss(too_early);
    assert!(envoy.try_next_call().is_none());
    envoy.advance(Duration::from_secs(1));
    let later = envoy.get(PATH);
    miss(later);
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
    assert_eq!([struck, too_early, later].map(result), [(); 3].map(|()| is(302, "stored")));
    envoy.assert_idle();
}

#[test]
fn a_client_gone_at_any_call_leaves_the_fill_and_the_others_alone() {
    for leaves_at in 0..3 {
        let mut envoy = envoy_with(json!({}));
        let (leaver, other) = (envoy.get(PATH), envoy.get(PATH));
        denial(leaver);
        denial(other);
        for (at, status) in [404, 206, 200].into_iter().enumerate() {
            let call = envoy.next_call();
            if at == leaves_at {
                leaver.leaves();
            }
            envoy.respond(call, status, &[("content-range", "bytes 0-4/5")], ["", "hello", ""][at]);
        }
        assert!(leaver.was_reset());
        assert_eq!(result(other), is(302, "stored"));
        assert_eq!((envoy.metric(FILLS), envoy.metric(ANSWERS)), (1, 1));
        envoy.assert_idle();
    }
}

#[test]
fn a_fill_ends_without_anybody_who_waits() {
    for leaves_at in 0..2 {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.get(PATH);
        miss(client);
        if leaves_at == 0 {
            client.leaves();
        }
        origin_gives(&mut envoy);
        client.leaves();
        store_says(&mut envoy, 200);
        assert_eq!((envoy.metric(FILLS), envoy.metric(ANSWERS)), (1, 0));
        assert!(envoy.logs().iter().any(|line| line.contains("outcome=stored") && line.contains("waiters=0")));
        envoy.assert_idle();
    }
}

#[test]
fn a_client_that_was_told_to_come_back_finds_the_fill_that_goes_on() {
    let mut envoy = envoy_with(json!({"wait": "5s"}));
    let first = envoy.get(PATH);
    miss(first);
    let get = next_call(&mut envoy);
    envoy.advance(Duration::from_secs(5));
    assert_eq!(result(first), is(503, "filling"));

    let again = envoy.get(PATH);
    miss(again);
    assert!(envoy.try_next_call().is_none(), "it is one fill");
    envoy.respond(get, 200, &[("content-length", "5")], "hello");
    store_says(&mut envoy, 200);
    assert_eq!(result(again), is(302, "stored"));
}

#[test]
fn a_client_gone_after_it_was_told_to_come_back_changes_nothing() {
    let mut envoy = Envoy::builder().pause_holds_body().start(&crate::steps::configured(json!({"wait": "5s"})));
    let client = envoy.get(PATH);
    client.bucket_sends_headers(Headers::response(404), false);
    envoy.advance(Duration::from_secs(6));
    assert!(!client.is_waiting(), "its headers are on their way, its body is not");
    client.leaves();
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
    envoy.assert_idle();
}

#[test]
fn every_client_waits_from_its_own_denial_on() {
    let mut envoy = envoy_with(json!({"wait": "10s", "origin": {"timeout": "1m"}}));
    let first = envoy.get(PATH);
    miss(first);
    envoy.advance(Duration::from_secs(4));
    let second = envoy.get(PATH);
    miss(second);
    envoy.advance(Duration::from_secs(6));
    assert_eq!(result(first), is(503, "filling"));
    assert!(second.is_waiting());
    envoy.advance(Duration::from_secs(4));
    assert_eq!(result(second), is(503, "filling"));
    envoy.advance(LONG);
}
