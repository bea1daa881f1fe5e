//! Clients that are passed to an origin: the headers that go there and come back.

use serde_json::{Value, json};
use std::time::Duration;

use crate::host::{Client, Envoy};
use crate::steps::{PATH, answer, configured, envoy_with, is, miss, next_call, result};

const MARKED: &str = "/img/a.jpg?v=1&m=s";

/// A large object whose beginning has come, and its first client.
fn begun() -> (Envoy, Client) {
    begun_with(json!({}))
}

fn begun_with(mut changes: Value) -> (Envoy, Client) {
    changes["stream"] = json!({"marker": "m=s"});
    changes["rules"] = json!([{"response": "serve"}]);
    let mut envoy = envoy_with(changes);
    let client = envoy.get("/img/a.jpg?v=1");
    miss(client);
    begin(&mut envoy);
    (envoy, client)
}

/// The beginning of a large object comes.
fn begin(envoy: &mut Envoy) {
    let headers = [
        ("etag", "\"1\""),
        ("content-type", "video/mp4"),
        ("content-range", "bytes 0-65535/7000000"),
        ("content-length", "65536"),
    ];
    let call = next_call(envoy);
    envoy.respond(call, 206, &headers, vec![0; 65_536]);
}

#[test]
fn a_client_is_sent_to_the_marker_and_from_there_to_the_origin() {
    let (mut envoy, client) = begun();
    assert_eq!(result(client), is(302, "streamed"));
    assert_eq!(answer(client).header("location"), Some(MARKED));
    let passed = envoy
        .request("GET", MARKED)
        .header("cookie", "a=b")
        .header("range", "bytes=5-9")
        .header("x-forwarded-proto", "https")
        .send();
    let sent = passed.request_sent();
    assert_eq!((sent.text(":path"), sent.text(":authority")), (Some(PATH), Some("files.test")));
    assert_eq!((sent.text("x-mirror-on-miss-cluster"), sent.text("range")), (Some("origin"), Some("bytes=5-9")));
    assert_eq!((sent.text("cookie"), sent.text("x-forwarded-proto")), (None, Some("https")));
    let headers = [
        ("etag", "\"1\""),
        ("content-type", "video/mp4"),
        ("set-cookie", "a=b"),
        ("content-range", "bytes 5-9/7000000"),
        ("content-length", "5"),
    ];
    passed.bucket_answers(206, &headers, "hello");
    assert_eq!(result(passed), is(206, "streamed"));
    let got = answer(passed);
    assert_eq!((got.header("set-cookie"), got.header("content-type")), (None, Some("video/mp4")));
    assert_eq!(got.body, b"hello");
}

#[test]
fn what_is_not_of_the_version_is_replaced_and_ends_the_permit() {
    for (status, headers) in [
        (200, &[("etag", "\"2\""), ("content-length", "7000000")][..]),
        (200, &[("etag", "\"1\""), ("content-length", "6999999")]),
        (200, &[("etag", "\"1\"")]),
        (206, &[("etag", "\"1\""), ("content-range", "bytes 0-0/7000000"), ("content-length", "1")]),
        (304, &[("etag", "\"1\"")]),
        (403, &[]),
        (404, &[]),
    ] {
        let (mut envoy, _) = begun();
        let passed = envoy.get(MARKED);
        assert_eq!(passed.request_sent().text("x-mirror-on-miss-cluster"), Some("origin"));
        passed.bucket_answers(status, headers, "what the origin says");
        assert_eq!(result(passed), is(502, "origin_unavailable"), "{status} {headers:?}");
        assert_eq!(envoy.metric("mirror_on_miss_requests_total.outcome.origin_unavailable"), 1);
        let next = envoy.get(MARKED);
        assert_eq!(next.request_sent().text("x-mirror-on-miss-cluster"), None);
        assert_eq!(next.path_sent(), PATH, "the bucket is asked, without the marker");
    }
}

#[test]
fn the_answer_to_a_range_is_the_range_or_its_beginning_or_the_whole_object() {
    let all = ("content-length", "7000000");
    for (status, headers, passes) in [
        (206, &[("content-range", "bytes 5-9/7000000"), ("content-length", "5")][..], true),
        (206, &[("content-range", "bytes 5-7/7000000"), ("content-length", "3")], true),
        (200, &[all], true),
        (206, &[("content-range", "bytes 4-9/7000000"), ("content-length", "6")], false),
        (206, &[("content-range", "bytes 6-9/7000000"), ("content-length", "4")], false),
        (206, &[("content-range", "bytes 5-10/7000000"), ("content-length", "6")], false),
        (206, &[("content-range", "bytes 5-9/7000000"), ("content-length", "4")], false),
        (206, &[("content-range", "bytes 5-9/7000000")], false),
        (206, &[("content-range", "bytes 5-9/6999999"), ("content-length", "5")], false),
        (206, &[all], false),
        (200, &[("content-range", "bytes 5-9/7000000"), ("content-length", "5")], false),
        (200, &[("content-range", "bytes 5-9/7000000"), all], false),
        (200, &[("content-length", "5")], false),
    ] {
        let (mut envoy, _) = begun();
        let passed = envoy.request("GET", MARKED).header("range", "bytes=5-9").send();
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let length = header("content-length").filter(|_| passes).map(|length| length.parse().unwrap());
        let body = "a".repeat(length.unwrap_or_default());
        passed.bucket_answers(status, &[&[("etag", "\"1\"")], headers].concat(), &body);
        let expected = if passes { is(status, "streamed") } else { is(502, "origin_unavailable") };
        assert_eq!(result(passed), expected, "{status} {headers:?}");
        if passes {
            let got = answer(passed);
            for name in ["content-range", "content-length"] {
                assert_eq!(got.header(name), header(name), "{status} {headers:?}");
            }
        }
    }
}

#[test]
fn only_a_get_of_the_whole_object_with_the_marker_is_passed() {
    let (mut envoy, _) = begun();
    for (method, path) in [("HEAD", MARKED), ("GET", PATH), ("GET", "/img/a.jpg?partNumber=1&m=s")] {
        let sent = envoy.request(method, path).send().request_sent();
        assert_eq!(sent.text("x-mirror-on-miss-cluster"), None, "{method} {path}");
    }
    assert_eq!(envoy.get(MARKED).request_sent().text("x-mirror-on-miss-cluster"), Some("origin"), "the permit stands");
}

#[test]
fn a_client_that_gets_nothing_of_the_object_is_answered_without_the_origin() {
    let (mut envoy, _) = begun();
    let passed = envoy.request("GET", MARKED).header("range", "bytes=0-0").send();
    let first = [("etag", "\"1\""), ("content-range", "bytes 0-0/7000000"), ("content-length", "1")];
    passed.bucket_answers(206, &first, "a");
    let tag = answer(passed).header("etag").unwrap().to_owned();
    for (name, value, status) in [
        ("if-none-match", tag.as_str(), 304),
        ("if-match", "\"mirror-0123456789abcdef\"", 412),
        ("range", "bytes=7000000-", 416),
    ] {
        let client = envoy.request("GET", MARKED).header(name, value).send();
        assert_eq!(result(client), is(status, "streamed"), "{name}");
        let range = (status == 416).then_some("bytes */7000000");
        assert_eq!(answer(client).header("content-range"), range, "{name}");
    }
    let client = envoy.request("GET", MARKED).header("if-match", "\"1\"").send();
    assert_eq!(client.request_sent().text("x-mirror-on-miss-cluster"), None, "the bucket's own tags are its to judge");
}

#[test]
fn streams_have_a_cluster_of_their_own_at_the_origin_and_none_where_it_redirects_to() {
    for (location, cluster) in [(None, "streams"), (Some("https://cdn.test/x"), "cdn")] {
        let redirects = json!({"hosts": {"cdn.test": "cdn"}});
        let mut envoy = Envoy::builder().clusters(&["origin", "signer", "cdn"]).start(&configured(json!({
            "origin": {"stream_cluster": "streams", "redirects": redirects},
            "stream": {"marker": "m=s"},
            "rules": [{"response": "serve"}]})));
        let client = envoy.get("/img/a.jpg?v=1");
        miss(client);
        if let Some(location) = location {
            let call = next_call(&mut envoy);
            envoy.respond(call, 302, &[("location", location)], "");
        }
        begin(&mut envoy);
        let sent = envoy.get(MARKED).request_sent();
        assert_eq!(sent.text("x-mirror-on-miss-cluster"), Some(cluster));
        assert_eq!(sent.text(":path"), Some(if location.is_some() { "/x" } else { PATH }));
    }
}

#[test]
fn a_failure_that_says_nothing_about_the_object_is_its_own_clients_alone() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let (mut envoy, _) = begun();
        for _ in 0..2 {
            let passed = envoy.get(MARKED);
            assert_eq!(passed.request_sent().text("x-mirror-on-miss-cluster"), Some("origin"), "{status}");
            passed.bucket_answers(status, &[], "what the origin or Envoy says");
            assert_eq!(result(passed), is(502, "origin_unavailable"), "{status}");
            assert_eq!(answer(passed).header("retry-after"), Some("5"));
        }
        assert_eq!(envoy.metric("mirror_on_miss_requests_total.outcome.origin_unavailable"), 2);
    }
}

#[test]
fn an_origins_rate_bounds_the_clients_that_are_passed_to_it() {
    let (mut envoy, _) = begun_with(json!({"origin": {
        "cluster": "origin", "authority": "files.example.com", "rate": "2/s"}}));
    let passed = |envoy: &mut Envoy| envoy.get(MARKED).request_sent().text("x-mirror-on-miss-cluster").is_some();
    assert!(passed(&mut envoy), "after the fill's own first request");
    assert!(!passed(&mut envoy), "a second's requests went at once");
    envoy.advance(Duration::from_millis(500));
    assert!(passed(&mut envoy));
    assert!(!passed(&mut envoy));
}

#[test]
fn a_marker_without_a_permit_goes_to_the_bucket_without_it() {
    let mut envoy = envoy_with(json!({"stream": {"marker": "m=s"}}));
    for (path, sent) in [
        ("/a?m=s", "/a"),
        ("/a%2Db?v=1&m=s", "/a-b"),
        ("/a?partNumber=2&m=s", "/a?partNumber=2"),
        // What is no key of this filter's may be one of the bucket's.
        ("/a%0Ab?acl&m=s", "/a%0Ab"),
        ("/%FF?tagging&m=s", "/%FF"),
        ("/?list-type=2&m=s", "/"),
        ("/a%zz?partNumber=2&acl&m=s", "/a%zz?partNumber=2"),
        ("/a/./b?acl&m=s", "/a/./b"),
        // A route of Envoy's refuses it.
        ("/a?versionId=1&m=s", "/a?versionId=1"),
    ] {
        assert_eq!(envoy.get(path).path_sent(), sent);
    }
}

#[test]
fn a_request_with_content_is_not_passed() {
    let (mut envoy, _) = begun();
    let cluster = |client: Client| client.request_sent().text("x-mirror-on-miss-cluster").map(str::to_owned);
    let with_content = envoy.request("GET", MARKED).with_content().send();
    assert_eq!((cluster(with_content), with_content.path_sent()), (None, PATH.to_owned()));
    assert_eq!(cluster(envoy.get(MARKED)).as_deref(), Some("origin"), "the permit stands");
}
