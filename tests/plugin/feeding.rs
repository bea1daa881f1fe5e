//! What clients that are passed to an origin read, and the fill of the same object.

use serde_json::json;
use std::time::Duration;

use crate::host::{Client, Envoy, Headers};
use crate::multipart::{CREATE, CREATED, GET, object, put_part};
use crate::steps::{PATH, envoy_with, expect_call, miss, next_call};

const MARKED: &str = "/img/a.jpg?m=s";
const PART: usize = 6 << 20;
const CHUNK: usize = 500_000;

/// A large object whose beginning has come, and a client that reads it at its origin. The upload is not created yet.
fn begun(announced: &[(&str, &str)]) -> (Envoy, Client) {
    let mut envoy = envoy_with(
        json!({"stream": {"marker": "m=s"}, "rules": [{"response": "serve"}], "limits": {"memory": "64MiB"}}),
    );
    miss(envoy.get(PATH));
    let first = expect_call(&mut envoy, GET);
    let last = first.header("range").and_then(|range| range.strip_prefix("bytes=0-")).unwrap();
    let (range, length) = (format!("bytes 0-{last}/{}", object().len()), last.parse::<usize>().unwrap() + 1);
    let headers = [("etag", "\"1\""), ("content-range", range.as_str())];
    let headers = Headers::response(206).with_all(&headers).with_all(announced);
    envoy.respond_with(first, headers, &object()[..length]);
    let passed = envoy.get(MARKED);
    let length = object().len().to_string();
    let headers = Headers::response(200).with_all(&[("etag", "\"1\""), ("content-length", length.as_str())]);
    passed.bucket_sends_headers(headers, false);
    (envoy, passed)
}

fn send(passed: Client, bytes: &[u8]) {
    for chunk in bytes.chunks(CHUNK) {
        passed.bucket_sends(chunk, false);
    }
}

#[test]
fn what_a_client_reads_is_stored_and_asked_for_by_nobody_else() {
    let (mut envoy, passed) = begun(&[]);
    let object = object();
    send(passed, &object[..2 * CHUNK]);
    let create = expect_call(&mut envoy, CREATE);
    envoy.respond(create, 200, &[], CREATED);
    send(passed, &object[2 * CHUNK..]);
    passed.bucket_sends(b"", true);
    for (number, part) in object.chunks(PART).enumerate() {
        let call = expect_call(&mut envoy, &put_part(number + 1));
        assert!(call.body == part, "{number}");
        envoy.respond(call, 200, &[("etag", "\"p\"")], "");
    }
    assert!(next_call(&mut envoy).path().contains("?uploadId="), "the completion");
    assert!(envoy.longest_read() <= CHUNK, "no copy is larger than a chunk");
}

#[test]
fn a_client_that_leaves_has_the_fill_ask_for_the_rest_at_once() {
    let (mut envoy, passed) = begun(&[]);
    let create = expect_call(&mut envoy, CREATE);
    envoy.respond(create, 200, &[], CREATED);
    send(passed, &object()[..CHUNK]);
    assert!(envoy.try_next_call().is_none(), "the client brings it");
    passed.leaves();
    assert_eq!(expect_call(&mut envoy, GET).header("range"), Some(format!("bytes={CHUNK}-{}", PART - 1).as_str()));
    for _ in 0..2 {
        expect_call(&mut envoy, GET);
    }
}

#[test]
fn a_client_that_falls_silent_is_waited_for_a_second() {
    let (mut envoy, passed) = begun(&[]);
    let create = expect_call(&mut envoy, CREATE);
    envoy.respond(create, 200, &[], CREATED);
    send(passed, &object()[..CHUNK]);
    envoy.advance(Duration::from_millis(900));
    assert!(envoy.try_next_call().is_none());
    envoy.advance(Duration::from_millis(500));
    assert_eq!(expect_call(&mut envoy, GET).header("range"), Some(format!("bytes={CHUNK}-{}", PART - 1).as_str()));
}

#[test]
fn the_end_of_what_the_origin_contradicts_is_kept_from_the_client() {
    let wrong = format!("sha-256=:{}=:", "A".repeat(43));
    let (mut envoy, passed) = begun(&[("repr-digest", &wrong)]);
    let object = object();
    let create = expect_call(&mut envoy, CREATE);
    envoy.respond(create, 200, &[], CREATED);
    send(passed, &object[..object.len() - 1]);
    assert!(!passed.was_reset());
    for number in 1..=2 {
        let call = expect_call(&mut envoy, &put_part(number));
        envoy.respond(call, 200, &[("etag", "\"p\"")], "");
    }
    passed.bucket_sends(&object[object.len() - 1..], false);
    assert!(passed.was_reset());
    assert!(envoy.logs().iter().any(|line| line.ends_with("the object is not what the origin announced")));
    let call = expect_call(&mut envoy, &put_part(3));
    envoy.respond(call, 200, &[("etag", "\"p\"")], "");
    assert_eq!(next_call(&mut envoy).method(), "DELETE");
}

#[test]
fn clients_that_are_passed_are_counted_while_they_read() {
    let (envoy, passed) = begun(&[]);
    assert_eq!(envoy.metric("mirror_on_miss_streams"), 1);
    passed.leaves();
    assert_eq!(envoy.metric("mirror_on_miss_streams"), 0);
}
