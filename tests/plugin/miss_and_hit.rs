//! A miss, from the bucket's 404 to the client's 302, and a hit beside it.

use serde_json::json;

use crate::host::{Answer, Headers};
use crate::steps::{envoy_with, miss};

#[test]
fn a_miss_is_stored_and_redirected() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get("/img/a.jpg?v=1");
    miss(client);
    assert!(client.is_waiting());

    let get = envoy.next_call();
    assert_eq!(
        (get.cluster.as_str(), get.method(), get.authority(), get.path()),
        ("origin", "GET", "files.test", "/img/a.jpg")
    );
    assert_eq!(get.header("range"), Some("bytes=0-6291455"));
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
fn a_hit_is_untouched() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get("/img/a.jpg");
    client.bucket_answers_in_chunks(200, &[("content-length", "6")], &[b"abc", b"def"]);
    let headers = Headers::response(200).with("content-length", "6").with("x-envoy-upstream-service-time", "0");
    assert_eq!(client.answer(), Some(Answer { headers, body: b"abcdef".to_vec(), through_filters: true }));
    assert!(envoy.try_next_call().is_none());
}
