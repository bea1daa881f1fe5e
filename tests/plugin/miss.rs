//! A miss, from the bucket's 404 to the client's 302.

use std::time::Duration;

use crate::host::{Answer, Client, Envoy, Headers};

const CONFIGURATION: &str = r#"{
    "bucket": {"cluster": "signer", "authority": "s3.test", "path_prefix": "/assets"},
    "origin": {"cluster": "origin", "authority": "files.test"}
}"#;

const NO_SUCH_KEY: &str = "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>";

fn miss(client: Client) {
    client.bucket_answers(404, &[("content-type", "application/xml"), ("x-amz-request-id", "17B2")], NO_SUCH_KEY);
}

#[test]
fn a_miss_is_stored_and_redirected() {
    let mut envoy = Envoy::start(CONFIGURATION);
    let client = envoy.get("/img/a.jpg?v=1");
    miss(client);
    assert!(client.is_waiting());

    let get = envoy.next_call();
    assert_eq!(
        (get.cluster.as_str(), get.method(), get.authority(), get.path()),
        ("origin", "GET", "files.test", "/img/a.jpg")
    );
    assert_eq!(get.header("range"), Some("bytes=0-8388607"));
    envoy.respond(get, 206, &[("content-type", "image/jpeg"), ("content-range", "bytes 0-4/5")], "hello");

    let put = envoy.next_call();
    assert_eq!(
        (put.cluster.as_str(), put.method(), put.authority(), put.path()),
        ("signer", "PUT", "s3.test", "/assets/img/a.jpg")
    );
    assert_eq!((put.header("if-none-match"), put.header("content-type")), (Some("*"), Some("image/jpeg")));
    assert_eq!(put.body, b"hello");
    envoy.respond(put, 200, &[("etag", "\"5d41402abc4b2a76b9719d911017c592\"")], "");

    let headers = Headers::response(302)
        .with("location", "/img/a.jpg?v=1")
        .with("cache-control", "no-store")
        .with("x-mirror-on-miss", "stored")
        .with("content-length", "0");
    assert_eq!(client.answer(), Some(Answer { headers, body: Vec::new(), through_filters: true }));
    envoy.assert_idle();
}

#[test]
fn a_client_that_leaves_does_not_stop_the_fill() {
    let mut envoy = Envoy::start(CONFIGURATION);
    let client = envoy.get("/img/a.jpg");
    miss(client);
    client.leaves();
    let get = envoy.next_call();
    envoy.respond(get, 200, &[("content-length", "5")], "hello");
    let put = envoy.next_call();
    assert_eq!((put.method(), put.body.as_slice()), ("PUT", b"hello".as_slice()));
    envoy.respond(put, 200, &[], "");
    envoy.assert_idle();
}

#[test]
fn a_client_waits_no_longer_than_it_must_and_the_fill_goes_on() {
    let mut envoy = Envoy::start(CONFIGURATION);
    let client = envoy.get("/img/a.jpg");
    miss(client);
    let get = envoy.next_call();
    envoy.advance(Duration::from_secs(19));
    envoy.respond(get, 200, &[("content-length", "5")], "hello");
    envoy.advance(Duration::from_millis(5_999));
    assert!(client.is_waiting());
    envoy.advance(Duration::from_millis(1));
    let answer = client.answer().expect("an answer after 25 s");
    assert_eq!((answer.status(), answer.header("x-mirror-on-miss")), (503, Some("filling")));
    assert!(answer.header("retry-after").is_some());

    let put = envoy.next_call();
    envoy.respond(put, 200, &[], "");
    envoy.assert_idle();
}

#[test]
fn a_hit_is_untouched() {
    let mut envoy = Envoy::start(CONFIGURATION);
    let client = envoy.get("/img/a.jpg");
    client.bucket_answers_in_chunks(200, &[("content-length", "6")], &[b"abc", b"def"]);
    let headers = Headers::response(200).with("content-length", "6").with("x-envoy-upstream-service-time", "0");
    assert_eq!(client.answer(), Some(Answer { headers, body: b"abcdef".to_vec(), through_filters: true }));
    assert!(envoy.try_next_call().is_none());
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_a_reason() {
    let logs = Envoy::try_start("{}").unwrap_err();
    assert!(logs.iter().any(|line| line.starts_with("error: configuration:")), "{logs:?}");
}
