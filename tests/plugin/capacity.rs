//! Bounds on the work at once, on the waiting clients and on their waiting time; and the worker's timer.

use std::time::Duration;

use serde_json::json;

use crate::host::{Client, Envoy};
use crate::steps::{LONG, OBJECT, answer, envoy_with, expect_call, is, miss, origin_gives_bytes, result};

const MIB: usize = 1024 * 1024;

fn missing(envoy: &mut Envoy, path: &str) -> Client {
    let client = envoy.get(path);
    miss(client);
    client
}

fn fill(envoy: &mut Envoy, path: &str) {
    let get = expect_call(envoy, &format!("GET origin {path}"));
    origin_gives_bytes(envoy, get, OBJECT);
    let put = expect_call(envoy, &format!("PUT signer /assets{path}"));
    envoy.respond(put, 200, &[], "");
}

#[test]
fn fills_beyond_the_limit_wait_in_the_order_in_which_they_came() {
    let mut envoy = envoy_with(json!({"limits": {"fills": 2, "queue": 2}}));
    let clients = ["/1", "/2", "/3", "/4", "/5"].map(|path| missing(&mut envoy, path));
    assert_eq!(result(clients[4]), is(503, "busy"));
    assert_eq!(answer(clients[4]).header("retry-after"), Some("1"));
    assert!(missing(&mut envoy, "/3").is_waiting(), "a key that waits already can be joined");

    let gets = ["/1", "/2"].map(|path| expect_call(&mut envoy, &format!("GET origin {path}")));
    assert!(envoy.try_next_call().is_none());
    for get in gets {
        envoy.respond(get, 404, &[], "");
    }
    fill(&mut envoy, "/3");
    fill(&mut envoy, "/4");
    let ends = [is(404, "not_found"), is(404, "not_found"), is(302, "stored"), is(302, "stored"), is(503, "busy")];
    assert_eq!(clients.map(result), ends);
    envoy.assert_idle();
}

#[test]
fn refusals_are_counted_by_the_limit_that_was_reached() {
    for (limits, reached) in [
        (json!({"fills": 1, "queue": 0}), "fills"),
        (json!({"part_size": "6MiB", "memory": "6MiB", "queue": 0}), "memory"),
        (json!({"waiters": 1}), "waiters"),
    ] {
        let mut envoy = envoy_with(json!({"limits": limits}));
        missing(&mut envoy, "/1");
        assert_eq!(result(missing(&mut envoy, "/2")), is(503, "busy"));
        for limit in ["fills", "memory", "waiters"] {
            let counted = envoy.metric(&format!("mirror_on_miss_refusals_total.limit.{limit}"));
            assert_eq!(counted, u64::from(limit == reached), "{limit} where {reached} is reached");
        }
    }
}

#[test]
fn there_is_room_again_after_busy() {
    let mut envoy = envoy_with(json!({"limits": {"fills": 1, "queue": 0}}));
    let first = missing(&mut envoy, "/1");
    assert_eq!(result(missing(&mut envoy, "/2")), is(503, "busy"));
    fill(&mut envoy, "/1");
    let again = missing(&mut envoy, "/2");
    fill(&mut envoy, "/2");
    assert_eq!([first, again].map(result), [is(302, "stored"), is(302, "stored")]);
}

#[test]
fn a_fill_whose_last_client_leaves_the_queue_is_not_begun() {
    let mut envoy = envoy_with(json!({"limits": {"fills": 1}}));
    missing(&mut envoy, "/1");
    missing(&mut envoy, "/2").leaves();
    let third = missing(&mut envoy, "/3");
    fill(&mut envoy, "/1");
    fill(&mut envoy, "/3");
    assert_eq!(result(third), is(302, "stored"));
    assert!(envoy.try_next_call().is_none());
}

#[test]
fn a_queue_of_clients_that_have_left_refuses_nobody() {
    let mut envoy = envoy_with(json!({"limits": {"fills": 1, "queue": 2}}));
    missing(&mut envoy, "/1");
    for path in ["/2", "/3"] {
        missing(&mut envoy, path).leaves();
    }
    let others = ["/4", "/5"].map(|path| missing(&mut envoy, path));
    for path in ["/1", "/4", "/5"] {
        fill(&mut envoy, path);
    }
    assert_eq!(others.map(result), [is(302, "stored"), is(302, "stored")]);
    envoy.assert_idle();
}

#[test]
fn bodies_that_clients_may_not_have_read_count_as_memory() {
    let mut envoy = envoy_with(json!({"limits": {"part_size": "5MiB", "memory": "20MiB"}}));
    let mut not_stored = |path: &str| {
        let client = missing(&mut envoy, path);
        let get = expect_call(&mut envoy, &format!("GET origin {path}"));
        origin_gives_bytes(&mut envoy, get, &vec![1; 4 * MIB]);
        let put = expect_call(&mut envoy, &format!("PUT signer /assets{path}"));
        envoy.respond(put, 403, &[], "");
        result(client)
    };
    let results = ["/1", "/2", "/3"].map(&mut not_stored);
    assert_eq!(
        results,
        [is(200, "not_stored"), is(200, "not_stored"), is(502, "not_stored")],
        "8 MiB are with clients"
    );
    envoy.advance(Duration::from_secs(16));
    missing(&mut envoy, "/4");
    let get = expect_call(&mut envoy, "GET origin /4");
    origin_gives_bytes(&mut envoy, get, &vec![1; 4 * MIB]);
    let put = expect_call(&mut envoy, "PUT signer /assets/4");
    envoy.respond(put, 403, &[], "");
    envoy.assert_idle();
}

#[test]
fn a_miss_of_another_origin_is_fetched_at_once_while_one_is_silent() {
    let mut envoy = envoy_with(json!({
        "origin": null,
        "origins": {
            "silent": {"cluster": "origin", "authority": "silent.test"},
            "origin": {"cluster": "origin", "authority": "files.test"},
        },
        "rules": [{"prefix": "/silent/", "origins": ["silent"]}, {"origins": ["origin"]}],
    }));
    for number in 0..600 {
        missing(&mut envoy, &format!("/silent/{number}"));
    }
    let asked = std::iter::from_fn(|| envoy.try_next_call()).count();
    assert!((1..=256).contains(&asked), "{asked}");
    assert_eq!(envoy.metric("mirror_on_miss_refusals_total.limit.share"), 600 - 128 - asked as u64);
    let client = missing(&mut envoy, "/1");
    fill(&mut envoy, "/1");
    assert_eq!(result(client), is(302, "stored"));
    envoy.advance(LONG);
}

#[test]
fn a_client_waits_in_the_queue_no_longer_than_elsewhere() {
    let mut envoy = envoy_with(json!({"wait": "3s", "limits": {"fills": 1}}));
    missing(&mut envoy, "/1");
    envoy.advance(Duration::from_secs(1));
    let queued = missing(&mut envoy, "/2");
    envoy.advance(Duration::from_millis(2_999));
    assert!(queued.is_waiting());
    envoy.advance(Duration::from_millis(1));
    assert_eq!(result(queued), is(503, "filling"));
    fill(&mut envoy, "/1");
    assert!(envoy.try_next_call().is_none(), "nobody waits for /2 any more");
    envoy.assert_idle();
}

#[test]
fn fills_that_run_together_ask_for_less_than_the_memory_first() {
    let mut envoy = envoy_with(json!({"limits": {"part_size": "8MiB", "memory": "20MiB"}}));
    let clients = ["/1", "/2", "/3"].map(|path| missing(&mut envoy, path));
    let gets = ["/1", "/2", "/3"].map(|path| expect_call(&mut envoy, &format!("GET origin {path}")));
    let ranges = gets.each_ref().map(|get| get.header("range").expect("a range").to_owned());
    assert_eq!(ranges, ["bytes=0-8388607", "bytes=0-4194303", "bytes=0-1677720"], "8, 4 and 1.6 MiB");
    for get in gets {
        envoy.respond(get, 404, &[], "");
    }
    assert_eq!(clients.map(result), [is(404, "not_found"), is(404, "not_found"), is(404, "not_found")]);
}

#[test]
fn one_fill_always_runs_however_little_memory_there_is() {
    let mut envoy = envoy_with(json!({"limits": {"part_size": "5MiB", "memory": "5MiB"}}));
    let clients = ["/1", "/2"].map(|path| missing(&mut envoy, path));
    fill(&mut envoy, "/1");
    fill(&mut envoy, "/2");
    assert_eq!(clients.map(result), [is(302, "stored"), is(302, "stored")]);
}

#[test]
fn clients_beyond_the_limit_are_told_to_come_back_until_others_have_gone() {
    let mut envoy = envoy_with(json!({"limits": {"waiters": 2}}));
    let (first, second) = (missing(&mut envoy, "/1"), missing(&mut envoy, "/1"));
    assert_eq!(result(missing(&mut envoy, "/1")), is(503, "busy"));
    second.leaves();
    let third = missing(&mut envoy, "/1");
    fill(&mut envoy, "/1");
    assert_eq!([first, third].map(result), [is(302, "stored"), is(302, "stored")]);
    assert!(missing(&mut envoy, "/2").is_waiting());
    envoy.advance(LONG);
}

/// The time after which metrics and lines of the log are written.
const TOLD: Duration = Duration::from_millis(10);

#[test]
fn the_timer_runs_for_the_next_deadline_and_not_without_one() {
    let mut envoy = envoy_with(json!({"wait": "3s", "origin": {"timeout": "10m"}}));
    assert_eq!(envoy.tick_period(), None);
    envoy.get("/hit").bucket_answers(200, &[], "x");
    assert_eq!(envoy.tick_period(), None);

    missing(&mut envoy, "/1");
    assert_eq!(envoy.tick_period(), Some(TOLD), "operators are told");
    envoy.tick();
    assert_eq!(envoy.tick_period(), Some(Duration::from_secs(3) - TOLD), "the first client's");
    envoy.advance(Duration::from_secs(1));
    missing(&mut envoy, "/2");
    envoy.tick();
    assert_eq!(envoy.tick_period(), Some(Duration::from_secs(2) - 2 * TOLD), "the first client's");
    envoy.tick();
    assert_eq!(envoy.tick_period(), Some(TOLD), "operators are told of its answer");
    envoy.tick();
    assert_eq!(envoy.tick_period(), Some(Duration::from_secs(1)), "the second client's");
    envoy.tick();
    envoy.tick();
    let left = envoy.tick_period().expect("nobody waits, and the leases are renewed");
    assert!(left > TOLD, "{left:?}");

    let get = expect_call(&mut envoy, "GET origin /1");
    origin_gives_bytes(&mut envoy, get, OBJECT);
    let put = expect_call(&mut envoy, "PUT signer /assets/1");
    envoy.respond(put, 503, &[], "");
    let back_off = envoy.tick_period().expect("the store is asked again");
    assert!(back_off <= Duration::from_millis(200), "{back_off:?}");
    let put = expect_call(&mut envoy, "PUT signer /assets/1");
    envoy.respond(put, 200, &[], "");
    let get = expect_call(&mut envoy, "GET origin /2");
    envoy.respond(get, 404, &[], "");
    envoy.tick();
    assert_eq!(envoy.tick_period(), None);
}

#[test]
fn a_client_that_leaves_takes_its_deadline_along() {
    let mut envoy = envoy_with(json!({"wait": "3s", "origin": {"timeout": "10m"}}));
    missing(&mut envoy, "/1").leaves();
    envoy.tick();
    envoy.tick();
    assert_eq!(envoy.tick_period(), Some(Duration::from_secs(3) - 2 * TOLD), "what is left is the lease of the fill");
    envoy.advance(LONG);
    assert_eq!(envoy.tick_period(), None);
}

#[test]
fn the_root_hears_late_of_streams_and_serves_them_all_the_same() {
    let mut envoy = envoy_with(json!({}));
    envoy.hold_queues();
    let clients = ["/1", "/2", "/3"].map(|path| missing(&mut envoy, path));
    clients[1].leaves();
    envoy.advance(Duration::from_millis(500));
    assert!(envoy.try_next_call().is_none());
    envoy.deliver_queues();
    fill(&mut envoy, "/1");
    fill(&mut envoy, "/3");
    assert_eq!([clients[0], clients[2]].map(result), [is(302, "stored"), is(302, "stored")]);
    envoy.assert_idle();
}

#[test]
fn a_notification_that_comes_after_a_tick_did_its_work_changes_nothing() {
    let mut envoy = envoy_with(json!({}));
    missing(&mut envoy, "/0");
    expect_call(&mut envoy, "GET origin /0");
    envoy.hold_queues();
    let client = missing(&mut envoy, "/1");
    // The tick for `/0`, whose lease is renewed, finds the other one readable.
    envoy.advance(Duration::from_secs(5));
    let one = expect_call(&mut envoy, "GET origin /1");
    envoy.deliver_queues();
    assert!(envoy.try_next_call().is_none());
    origin_gives_bytes(&mut envoy, one, OBJECT);
    let put = expect_call(&mut envoy, "PUT signer /assets/1");
    envoy.respond(put, 200, &[], "");
    assert_eq!(result(client), is(302, "stored"));
    envoy.advance(LONG);
    envoy.assert_idle();
}

#[test]
fn an_answer_that_there_is_no_room_for_is_never_read() {
    let mut envoy = envoy_with(json!({"limits": {"part_size": "5MiB", "memory": "8MiB"}}));
    let client = missing(&mut envoy, "/1");
    let get = expect_call(&mut envoy, "GET origin /1");
    let length = (30 * MIB).to_string();
    envoy.respond(get, 200, &[("content-length", length.as_str())], vec![1; 30 * MIB]);
    assert_eq!(result(client), is(502, "too_large"));
    assert!(envoy.longest_read() <= 8 * MIB, "{} bytes were copied from Envoy", envoy.longest_read());
    envoy.assert_idle();
}
