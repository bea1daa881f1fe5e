//! Calls that fail in every way at every step, and answers that no well-behaved server gives.

use serde_json::json;

use crate::host::{CLIENT_SECRET, Call, Client, Envoy, Headers};
use crate::steps::{
    LONG, OBJECT, PATH, answer, configured, denial, envoy_with, expect_call, fails_each_time, is, miss, next_call,
    origin_gives, result, store_says,
};

/// The failures of a call, beside statuses of the upstream's own.
const FAILURES: [fn(&mut Envoy, Call); 3] =
    [|envoy, call| envoy.fail(call), |envoy, call| envoy.refuse(call), |envoy, call| envoy.time_out(call)];

fn denied(envoy: &mut Envoy) -> Client {
    let client = envoy.get(PATH);
    denial(client);
    client
}

#[test]
fn a_failure_at_any_step_ends_in_an_answer_and_in_a_fill_that_is_over() {
    // HEAD to the signer, GET from the origin, PUT to the signer.
    let ends = [
        [is(503, "bucket_unavailable"), is(503, "bucket_unavailable"), is(503, "bucket_unavailable")],
        [is(502, "origin_unavailable"), is(502, "origin_unavailable"), is(504, "origin_timeout")],
        [is(200, "not_stored"), is(200, "not_stored"), is(200, "not_stored")],
    ];
    for (step, ends) in ends.into_iter().enumerate() {
        for (fail, end) in FAILURES.into_iter().zip(ends) {
            let mut envoy = envoy_with(json!({}));
            let client = denied(&mut envoy);
            if step > 0 {
                let head = expect_call(&mut envoy, "HEAD signer /assets/img/a.jpg");
                envoy.respond(head, 404, &[], "");
            }
            if step > 1 {
                origin_gives(&mut envoy);
            }
            while client.is_waiting() {
                let call = next_call(&mut envoy);
                fail(&mut envoy, call);
            }
            assert_eq!(result(client), end, "step {step}");
            envoy.assert_idle();

            envoy.advance(std::time::Duration::from_secs(1));
            let next = denied(&mut envoy);
            assert!(next.is_waiting(), "the next client begins a fill of its own");
            envoy.advance(LONG);
        }
    }
}

#[test]
fn a_store_that_fails_for_a_moment_is_asked_again() {
    for fail in FAILURES {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.get(PATH);
        miss(client);
        origin_gives(&mut envoy);
        for _ in 0..2 {
            let put = expect_call(&mut envoy, "PUT signer /assets/img/a.jpg");
            assert_eq!((put.body.as_slice(), put.header("if-none-match")), (OBJECT, Some("*")));
            fail(&mut envoy, put);
            assert!(envoy.try_next_call().is_none(), "not at once");
        }
        // The store had stored the object at the second attempt, and now answers 412.
        store_says(&mut envoy, 412);
        let head = expect_call(&mut envoy, "HEAD signer /assets/img/a.jpg");
        envoy.respond(head, 200, &[], "");
        assert_eq!(result(client), is(302, "stored"));
    }
}

#[test]
fn a_silent_upstream_is_given_up_when_its_time_is_over() {
    let mut envoy = envoy_with(json!({"origin": {"timeout": "7s"}}));
    let client = envoy.get(PATH);
    miss(client);
    let get = envoy.next_call();
    assert_eq!(get.timeout, Some(std::time::Duration::from_secs(7)));
    envoy.advance(std::time::Duration::from_secs(7));
    assert_eq!(result(client), is(504, "origin_timeout"));
    assert!(!envoy.awaits(&get));
}

#[test]
fn a_call_that_cannot_be_sent_is_a_call_that_failed() {
    for (origin, bucket, deny, end) in [
        ("unheard-of", "signer", miss as fn(Client), is(502, "origin_unavailable")),
        ("hostless", "signer", miss, is(502, "origin_unavailable")),
        ("origin", "unheard-of", miss, is(200, "not_stored")),
        ("origin", "hostless", miss, is(200, "not_stored")),
        ("origin", "unheard-of", denial, is(503, "bucket_unavailable")),
        ("origin", "hostless", denial, is(503, "bucket_unavailable")),
    ] {
        let configuration = configured(json!({"bucket": {"cluster": bucket}, "origin": {"cluster": origin}}));
        let mut envoy = Envoy::builder().cluster_without_hosts("hostless").start(&configuration);
        let client = envoy.get(PATH);
        deny(client);
        if let Some(get) = envoy.try_next_call() {
            envoy.respond(get, 200, &[("content-length", "5")], OBJECT);
        }
        envoy.advance(std::time::Duration::from_secs(2));
        assert_eq!(result(client), end, "{origin} {bucket}");
        let refused = if origin == "origin" { bucket } else { origin };
        let warning = format!("warn: no request can be sent to the cluster {refused}");
        assert!(envoy.logs().contains(&warning), "{:?}", envoy.logs());
        envoy.assert_idle();
    }
}

#[test]
fn an_origin_that_cannot_be_reached_is_followed_by_the_next() {
    let configuration = configured(json!({
        "origin": null,
        "origins": {"first": {"cluster": "hostless", "authority": "first.test"},
                    "second": {"cluster": "origin", "authority": "second.test"},
                    "third": {"cluster": "backup", "authority": "third.test", "path_prefix": "/v3"}},
        "rules": [{"origins": ["first", "second", "third"]}],
    }));
    for fail in FAILURES {
        let mut envoy = Envoy::builder().cluster_without_hosts("hostless").start(&configuration);
        let client = envoy.get(PATH);
        miss(client);
        while client.is_waiting() {
            let call = next_call(&mut envoy);
            match call.cluster.as_str() {
                "origin" => fail(&mut envoy, call),
                "backup" => {
                    assert_eq!((call.authority(), call.path()), ("third.test", "/v3/img/a.jpg"));
                    envoy.respond(call, 200, &[("content-length", "5")], OBJECT);
                }
                _ => envoy.respond(call, 200, &[], ""),
            }
        }
        assert_eq!(result(client), is(302, "stored"));
    }
}

#[test]
fn header_values_that_are_not_text_are_passed_by_and_never_stored() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.request("GET", PATH).header("referer", b"caf\xe9").header("x-empty", "").send();
    let from_bucket = Headers::response(404)
        .with("x-amz-meta-name", b"caf\xe9")
        .with("x-empty", "")
        .with("content-type", b"\xff\xfe");
    client.bucket_sends_headers(from_bucket, false);
    client.bucket_sends("<Error><Code>NoSuchKey</Code><Message>\u{e9}</Message></Error>", true);

    let get = next_call(&mut envoy);
    assert_eq!(get.header("referer"), None);
    let from_origin = Headers::response(200)
        .with("content-length", "5")
        .with("content-type", b"image/\xe9")
        .with("content-disposition", b"attachment; filename=\"caf\xe9.jpg\"")
        .with("content-language", "")
        .with("etag", b"\"\xe9\"")
        .with("last-modified", "")
        .with("cache-control", "max-age=9")
        .with("x-\u{e9}", "?");
    envoy.respond_with(get, from_origin, OBJECT);

    let put = next_call(&mut envoy);
    let headers = Headers::request("PUT", "s3.test", "/assets/img/a.jpg");
    let expected: Headers = headers
        .iter()
        .filter(|(name, _)| *name != ":scheme")
        .chain([
            ("if-none-match", b"*".as_slice()),
            ("content-length", b"5"),
            ("content-type", b"image/jpeg"),
            ("content-disposition", b"attachment; filename*=UTF-8''caf%C3%A9.jpg"),
            ("cache-control", b"max-age=9"),
            ("x-amz-meta-mirror-url", b"//files.test/img/a.jpg"),
        ])
        .collect();
    assert_eq!(sorted(&put.headers), sorted(&expected));
    envoy.respond_with(put, Headers::response(200).with("etag", b"\xe9"), "");
    assert_eq!(result(client), is(302, "stored"));
}

fn sorted(headers: &Headers) -> Vec<(&str, &[u8])> {
    let mut sorted: Vec<_> = headers.iter().collect();
    sorted.sort_unstable();
    sorted
}

#[test]
fn two_thousand_headers_are_read_and_not_stored() {
    // Past Envoy's default of 100 headers, at which Envoy answers in the origin's place, if an operator allows them.
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    miss(client);
    let get = next_call(&mut envoy);
    let many = (0..2000).map(|n| (format!("x-{n}"), "value"));
    let headers: Headers = many.chain([(":status".into(), "200"), ("content-length".into(), "5")]).collect();
    envoy.respond_with(get, headers, OBJECT);
    let put = next_call(&mut envoy);
    assert!(put.headers.len() < 10, "{:?}", put.headers);
    envoy.respond(put, 200, &[], "");
    assert_eq!(result(client), is(302, "stored"));
}

#[test]
fn an_answer_without_a_usable_status_is_a_failure() {
    for status in [None, Some(b"".as_slice()), Some(b"abc"), Some(b"2\xb20"), Some(b"99999"), Some(b"-200"), Some(b"0")]
    {
        let headers =
            || status.iter().fold(Headers::default(), |all, status| all.with(":status", status)).with("x", "y");
        let mut envoy = envoy_with(json!({}));
        let client = envoy.get(PATH);
        miss(client);
        fails_each_time(&mut envoy, client, |envoy, get| envoy.respond_with(get, headers(), OBJECT));
        assert_eq!(result(client), is(502, "origin_unavailable"), "{status:?}");

        envoy.advance(std::time::Duration::from_secs(1));
        let client = denied(&mut envoy);
        let head = next_call(&mut envoy);
        envoy.respond_with(head, headers(), "");
        assert_eq!(result(client), is(503, "bucket_unavailable"), "{status:?}");

        let client = envoy.get(PATH);
        miss(client);
        origin_gives(&mut envoy);
        for _ in ["PUT", "HEAD"] {
            let call = next_call(&mut envoy);
            envoy.respond_with(call, headers(), "");
        }
        assert_eq!(result(client), is(200, "not_stored"), "{status:?}");
        envoy.assert_idle();
    }
}

#[test]
fn a_bucket_that_answers_without_a_status_is_left_to_envoy() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    client.bucket_sends_headers(Headers::default().with("x-amz-request-id", "17B2"), true);
    assert_eq!(answer(client).status(), 502);
    assert!(envoy.try_next_call().is_none());
}

#[test]
fn an_answer_over_what_envoy_takes_is_not_taken_for_the_object() {
    let mut envoy = envoy_with(json!({"origin": {"public_url": "https://files.example.com"}}));
    let client = envoy.get(PATH);
    miss(client);
    let length = 33 * 1024 * 1024;
    for _ in 0..3 {
        let get = expect_call(&mut envoy, "GET origin /img/a.jpg");
        envoy.respond(get, 200, &[("content-length", &length.to_string())], vec![0; length]);
    }
    let head = expect_call(&mut envoy, "HEAD origin /img/a.jpg");
    envoy.respond(head, 200, &[("content-length", &length.to_string())], "");
    assert_eq!(result(client), is(302, "too_large"));
    assert_eq!(answer(client).header("location"), Some("https://files.example.com/img/a.jpg"));
}

#[test]
fn nothing_of_a_client_but_the_key_reaches_the_origin() {
    let mut envoy = envoy_with(json!({}));
    let path = format!("{PATH}?token={CLIENT_SECRET}");
    let client = envoy.request("GET", &path).header("range", "bytes=1-2").header("if-none-match", "\"e\"").send();
    assert_eq!(client.path_sent(), PATH);
    miss(client);
    let get = next_call(&mut envoy);
    let expected = Headers::default()
        .with(":method", "GET")
        .with(":path", PATH)
        .with(":authority", "files.test")
        .with("accept-encoding", "identity")
        .with("user-agent", concat!("mirror-on-miss/", env!("CARGO_PKG_VERSION")))
        .with("range", "bytes=0-6291455");
    assert_eq!(get.headers, expected);
    envoy.advance(LONG);
    assert_eq!(result(client), is(504, "origin_timeout"));
}
