//! The table of clients' answers of docs/answers.md, row by row, for GET and for HEAD.

use serde_json::{Value, json};

use crate::host::{Answer, Call, Client, Envoy, Headers};
use crate::steps::{
    ACCESS_DENIED, BUCKET_HEADERS, LONG, NO_SUCH_KEY, OBJECT, PATH, answer, configured, denial, deny, envoy_with, miss,
    next_call, tag,
};

const PUBLIC_URL: &str = "https://files.example.com/v1";
const QUERY: &str = "?v=1&token=s3cr3t-of-the-client";

/// The end of a call.
#[derive(Clone, Copy)]
enum End {
    Answered(u16, &'static [(&'static str, &'static str)], &'static [u8]),
    CutShort,
    Refused,
    TimedOut,
}

use End::{Answered, CutShort, Refused, TimedOut};

impl End {
    fn happens(self, envoy: &mut Envoy, call: Call) {
        match self {
            Answered(status, headers, body) => envoy.respond(call, status, headers, body),
            CutShort => envoy.fail(call),
            Refused => envoy.refuse(call),
            TimedOut => envoy.time_out(call),
        }
    }
}

/// The answer of an origin that sends more headers than may be passed on.
const FOUND: End = Answered(
    206,
    &[
        ("content-type", "image/jpeg"),
        ("content-language", "de"),
        ("content-range", "bytes 0-4/5"),
        ("content-length", "5"),
        ("etag", "\"e\""),
        ("server", "Apache"),
        ("set-cookie", "a=b"),
        ("x-powered-by", "PHP"),
    ],
    OBJECT,
);
const STORE_FAILS: End = Answered(503, &[("x-amz-request-id", "17B3")], b"<Error><Code>SlowDown</Code></Error>");

/// A row of the table with an answer that the filter makes.
struct Row<'a> {
    bucket: fn(Client),
    /// The calls that follow, and the end of each.
    calls: &'a [(&'static str, End)],
    configuration: Value,
    status: u16,
    outcome: &'static str,
    /// Headers before the outcome's.
    headers: &'a [(&'static str, &'a str)],
    body: String,
}

impl Default for Row<'_> {
    fn default() -> Self {
        let (status, outcome, headers) = (302, "stored", [].as_slice());
        Self { bucket: miss, calls: &[], configuration: json!({}), status, outcome, headers, body: String::new() }
    }
}

impl Row<'_> {
    /// Plays the row. The answer has these headers and no other, and every filter of the chain sees it.
    fn check(self) {
        for method in ["GET", "HEAD"] {
            let is_head = method == "HEAD";
            let mut envoy = envoy_with(self.configuration.clone());
            let client = envoy.request(method, &format!("{PATH}{QUERY}")).send();
            (self.bucket)(client);
            for (cluster, end) in self.calls {
                let call = next_call(&mut envoy);
                assert_eq!(call.cluster, *cluster, "{} {}", call.method(), call.path());
                end.happens(&mut envoy, call);
            }
            let mut headers =
                Headers::response(self.status).with_all(self.headers).with("x-mirror-on-miss", self.outcome);
            if !is_head || self.status == 200 {
                headers.add("content-length", self.body.len().to_string().as_bytes());
            }
            let body = if is_head { Vec::new() } else { self.body.clone().into_bytes() };
            let expected = Answer { headers, body, through_filters: true };
            assert_eq!(answer(client), expected, "{method} {}", self.outcome);
            envoy.assert_idle();
        }
    }
}

const REDIRECT: &[(&str, &str)] =
    &[("location", "/img/a.jpg?v=1&token=s3cr3t-of-the-client"), ("cache-control", "no-store")];
const REDIRECT_TO_ORIGIN: &[(&str, &str)] =
    &[("location", "https://files.example.com/v1/img/a.jpg"), ("cache-control", "no-store")];
const ERROR: &[(&str, &str)] = &[("content-type", "application/xml"), ("cache-control", "no-store")];
const ERROR_THAT_MAY_PASS: &[(&str, &str)] =
    &[("content-type", "application/xml"), ("cache-control", "no-store"), ("retry-after", "5")];

fn with_public_url() -> Value {
    json!({"origin": {"public_url": PUBLIC_URL}})
}

fn document(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>{message}</Message><Resource>{PATH}</Resource></Error>"
    )
}

/// Denies, and expects the bucket's own answer, with one more header at most and no call but to the signer.
fn check_untouched(status: u16, document: &str, methods: &[&str], calls: &[(&str, End)], outcome: Option<&str>) {
    for method in methods {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.request(method, PATH).send();
        deny(client, status, document);
        for (cluster, end) in calls {
            let call = next_call(&mut envoy);
            assert_eq!(call.cluster, *cluster);
            end.happens(&mut envoy, call);
        }
        let mut headers =
            Headers::response(status).with_all(&BUCKET_HEADERS).with("x-envoy-upstream-service-time", "0");
        if let Some(outcome) = outcome {
            headers.add("x-mirror-on-miss", outcome.as_bytes());
        }
        let body = if *method == "HEAD" { "" } else { document }.into();
        assert_eq!(answer(client), Answer { headers, body, through_filters: true }, "{method} {status} {document}");
        assert!(envoy.try_next_call().is_none());
        envoy.assert_idle();
    }
}

#[test]
fn no_status_but_403_and_404_is_held() {
    for status in [200, 204, 206, 301, 304, 307, 400, 401, 405, 410, 412, 416, 429, 500, 503] {
        check_untouched(status, "<Error><Code>NoSuchKey</Code></Error>", &["GET", "HEAD"], &[], None);
    }
}

#[test]
fn a_request_that_is_for_no_object_is_not_held() {
    let mut envoy = envoy_with(json!({}));
    for (method, path) in [
        ("PUT", PATH),
        ("POST", PATH),
        ("DELETE", PATH),
        ("OPTIONS", PATH),
        ("get", PATH),
        ("GET", "/"),
        ("GET", "/?prefix=img/"),
        ("GET", "/img/a.jpg?versionId=1"),
        ("HEAD", "/img/a.jpg?v=1&uploadId="),
        ("GET", "/img/../a.jpg"),
        ("GET", "/img/%2e%2e/a.jpg"),
        ("GET", "/img/%0d%0a"),
        ("GET", "/img/%zz"),
        ("GET", "/img/%ff"),
    ] {
        let client = envoy.request(method, path).send();
        let without_query = path.split('?').next().unwrap();
        assert_eq!(client.path_sent(), without_query, "no more than the query is dropped");
        miss(client);
        assert_eq!(
            (answer(client).status(), answer(client).header("x-mirror-on-miss")),
            (404, None),
            "{method} {path}"
        );
    }
    assert!(envoy.try_next_call().is_none());
    assert_eq!(envoy.tick_period(), None);
}

#[test]
fn a_key_of_a_rule_without_mirror_is_not_held() {
    let mut envoy = envoy_with(json!({"rules": [{"prefix": "/private/", "mirror": false}, {}]}));
    let client = envoy.get("/private/a.jpg");
    miss(client);
    assert_eq!((answer(client).status(), answer(client).header("x-mirror-on-miss")), (404, None));
    assert!(envoy.try_next_call().is_none());
}

#[test]
fn a_denial_with_another_code_is_the_buckets_own() {
    for (status, code) in [
        (404, "NoSuchBucket"),
        (404, "NoSuchVersion"),
        (404, "AccessDenied"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (403, "RequestTimeTooSkewed"),
        (403, "NoSuchKey"),
    ] {
        check_untouched(status, &format!("<Error><Code>{code}</Code></Error>"), &["GET"], &[], None);
    }
}

#[test]
fn a_bucket_that_cannot_be_read_is_counted_each_time_and_logged_once_a_minute() {
    let mut envoy = envoy_with(json!({}));
    for _ in 0..3 {
        deny(envoy.get(PATH), 404, "<Error><Code>NoSuchBucket</Code></Error>");
    }
    let warnings = |envoy: &Envoy| envoy.logs().iter().filter(|line| line.contains("nosuchbucket")).count();
    assert_eq!((warnings(&envoy), envoy.metric("mirror_on_miss_requests_total.outcome.bucket_error")), (1, 3));
    envoy.advance(std::time::Duration::from_secs(60));
    deny(envoy.get(PATH), 404, "<Error><Code>NoSuchBucket</Code></Error>");
    assert_eq!(warnings(&envoy), 2);
}

#[test]
fn a_403_of_an_object_that_exists_is_the_buckets_own() {
    check_untouched(403, ACCESS_DENIED, &["GET", "HEAD"], &[("signer", Answered(200, &[], b""))], None);
}

#[test]
fn a_403_about_which_the_bucket_cannot_be_asked_is_a_503_that_may_pass() {
    for (end, times) in
        [(Answered(500, &[], b""), 3), (Answered(301, &[], b""), 1), (CutShort, 3), (Refused, 3), (TimedOut, 3)]
    {
        let calls = vec![("signer", end); times];
        let row = Row { bucket: denial, calls: &calls, status: 503, outcome: "bucket_unavailable", ..Row::default() };
        let message = "The bucket cannot be asked whether it has the object.";
        Row { headers: ERROR_THAT_MAY_PASS, body: document("ServiceUnavailable", message), ..row }.check();
    }
    let outlasted = [
        ("signer", CutShort),
        ("signer", Refused),
        ("signer", Answered(404, &[], b"")),
        ("origin", FOUND),
        ("signer", Answered(200, &[], b"")),
    ];
    Row { bucket: denial, calls: &outlasted, headers: REDIRECT, ..Row::default() }.check();
}

#[test]
fn stored_is_a_302_to_the_same_path_and_query() {
    let calls = [("origin", FOUND), ("signer", Answered(200, &[("etag", "\"e\"")], b""))];
    Row { calls: &calls, headers: REDIRECT, ..Row::default() }.check();
    let unknown = [("signer", Answered(404, &[], b"")), calls[0], calls[1]];
    Row { bucket: denial, calls: &unknown, headers: REDIRECT, ..Row::default() }.check();
    let unsaid = [("signer", Answered(403, &[], b"")), calls[0], calls[1]];
    Row { bucket: denial, calls: &unsaid, headers: REDIRECT, ..Row::default() }.check();
}

#[test]
fn exists_is_a_302_whatever_the_bucket_said() {
    for status in [412, 304] {
        let calls = [("origin", FOUND), ("signer", Answered(status, &[], b"")), ("signer", Answered(200, &[], b""))];
        Row { calls: &calls, outcome: "exists", headers: REDIRECT, ..Row::default() }.check();
        // Another replica was faster. Our own HEAD had said that there was nothing.
        let missing = [("signer", Answered(404, &[], b"")), calls[0], calls[1], calls[2]];
        Row { bucket: denial, calls: &missing, outcome: "exists", headers: REDIRECT, ..Row::default() }.check();
    }
}

#[test]
fn an_object_that_the_store_cannot_hold_is_served_and_told_once_a_minute() {
    let etag = tag("\"e\"", OBJECT.len());
    let served =
        &[("accept-ranges", "bytes"), ("etag", &etag), ("content-type", "image/jpeg"), ("content-language", "de")];
    let calls = [("origin", FOUND), ("signer", Answered(412, &[], b"")), ("signer", Answered(404, &[], b""))];
    let row = Row { calls: &calls, status: 200, outcome: "not_stored", headers: served, ..Row::default() };
    Row { body: "hello".into(), ..row }.check();

    let mut envoy = envoy_with(json!({}));
    let refuses = |envoy: &mut Envoy| {
        miss(envoy.get(PATH));
        for (_, end) in calls {
            let call = next_call(envoy);
            end.happens(envoy, call);
        }
        envoy.logs().iter().filter(|line| line.contains("it cannot hold this key")).count()
    };
    assert_eq!([refuses(&mut envoy), refuses(&mut envoy)], [1, 1]);
    envoy.advance(std::time::Duration::from_secs(60));
    assert_eq!(refuses(&mut envoy), 2);
}

#[test]
fn nothing_is_handed_out_where_the_writer_is_denied_its_head_and_the_bucket_decides() {
    const DENIED: (&str, End) = ("signer", Answered(403, &[], b""));
    for response in ["redirect", "serve"] {
        let configuration = json!({"rules": [{"response": response}]});
        let calls = [DENIED, ("origin", FOUND), ("signer", Answered(200, &[], b""))];
        let row = Row { bucket: denial, calls: &calls, headers: REDIRECT, ..Row::default() };
        Row { configuration: configuration.clone(), ..row }.check();

        let refused = [DENIED, ("origin", FOUND), ("signer", Answered(403, &[], b""))];
        let row = Row { bucket: denial, calls: &refused, status: 502, outcome: "not_stored", ..Row::default() };
        let body = document("ServiceUnavailable", "The object cannot be stored.");
        Row { configuration, headers: ERROR_THAT_MAY_PASS, body, ..row }.check();
    }
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    denial(client);
    let head = next_call(&mut envoy);
    envoy.respond(head, 403, &[], "");
    assert!(envoy.logs().iter().any(|line| line.contains("without s3:listbucket")), "{:?}", envoy.logs());
    envoy.advance(LONG);
}

#[test]
fn the_origins_headers_are_not_told_to_whom_the_bucket_denied_the_object() {
    for (on_403, status) in [("check", 403), ("check", 200), ("miss", 403), ("miss", 200)] {
        let mut envoy = envoy_with(json!({"rules": [{"on_head": "origin", "on_403": on_403}]}));
        let client = envoy.request("HEAD", PATH).send();
        denial(client);
        let head = next_call(&mut envoy);
        assert_eq!((head.cluster.as_str(), head.method()), ("signer", "HEAD"));
        envoy.respond(head, status, &[], "");
        assert_eq!((answer(client).status(), answer(client).header("content-language")), (403, None), "{on_403}");
        assert!(envoy.try_next_call().is_none());
        envoy.assert_idle();
    }
}

#[test]
fn what_the_origin_does_not_have_is_the_buckets_own_404() {
    for status in [404, 410] {
        let gone = Answered(status, &[("set-cookie", "a=b")], b"<h1>Not here</h1>");
        check_untouched(404, NO_SUCH_KEY, &["GET", "HEAD"], &[("origin", gone)], Some("not_found"));
    }
}

#[test]
fn what_the_origin_does_not_have_is_s3s_404_where_the_bucket_said_403() {
    let calls = [("signer", Answered(404, &[], b"")), ("origin", Answered(404, &[], b"<h1>Not here</h1>"))];
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                <Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>img/a.jpg</Key></Error>";
    let row =
        Row { bucket: denial, calls: &calls, status: 404, outcome: "not_found", headers: ERROR, ..Row::default() };
    Row { body: body.into(), ..row }.check();
}

#[test]
fn an_origin_that_will_not_give_it_is_a_502() {
    for (status, times) in [(301, 1), (302, 1), (304, 1), (401, 1), (451, 1), (400, 2), (403, 2), (405, 2)] {
        let refused = Answered(status, &[("location", "https://evil.example/"), ("www-authenticate", "Basic")], b"no");
        let calls = vec![("origin", refused); times];
        let row = Row { calls: &calls, status: 502, outcome: "origin_refused", headers: ERROR, ..Row::default() };
        Row { body: document("OriginRefused", "The origin refused to give the object."), ..row }.check();
    }
}

#[test]
fn an_origin_that_fails_is_a_502_that_may_pass() {
    let wrong_length: End = Answered(200, &[("content-length", "6")], OBJECT);
    let other_range: End = Answered(206, &[("content-range", "bytes 1-5/6")], OBJECT);
    let of_unknown_length: End = Answered(206, &[("content-range", "bytes 0-4/*")], OBJECT);
    for end in [Refused, wrong_length] {
        check_origin_unavailable(&[("origin", end); 3]);
    }
    // Once more without a range.
    for end in [Answered(500, &[], b""), Answered(503, &[], b""), other_range, of_unknown_length] {
        check_origin_unavailable(&[("origin", end); 4]);
    }
    // The answer may have been too long for Envoy. The origin is asked, and its answer does not confirm it.
    for said in [Answered(200, &[("content-length", "33554432")], b""), Answered(404, &[], b""), CutShort, TimedOut] {
        check_origin_unavailable(&[("origin", CutShort), ("origin", CutShort), ("origin", CutShort), ("origin", said)]);
    }
}

fn check_origin_unavailable(calls: &[(&'static str, End)]) {
    let row = Row { calls, status: 502, outcome: "origin_unavailable", headers: ERROR_THAT_MAY_PASS, ..Row::default() };
    Row { body: document("OriginUnavailable", "The origin failed to give the object."), ..row }.check();
}

#[test]
fn an_origin_that_is_silent_is_a_504_that_may_pass() {
    let calls = [("origin", TimedOut)];
    let row =
        Row { calls: &calls, status: 504, outcome: "origin_timeout", headers: ERROR_THAT_MAY_PASS, ..Row::default() };
    Row { body: document("OriginTimeout", "The origin did not answer in time."), ..row }.check();
}

#[test]
fn an_object_that_the_store_does_not_take_is_served_with_its_own_headers() {
    let etag = tag("\"e\"", OBJECT.len());
    let served =
        &[("accept-ranges", "bytes"), ("etag", &etag), ("content-type", "image/jpeg"), ("content-language", "de")];
    let rejected = [("origin", FOUND), ("signer", Answered(403, &[], b""))];
    let missing = ("signer", Answered(404, &[], b""));
    let given_up = [("origin", FOUND), ("signer", STORE_FAILS), ("signer", CutShort), ("signer", TimedOut), missing];
    for calls in [&rejected[..], &given_up] {
        let row = Row { calls, status: 200, outcome: "not_stored", headers: served, ..Row::default() };
        Row { body: "hello".into(), ..row }.check();
    }
}

#[test]
fn an_object_that_cannot_be_stored_is_fetched_from_the_origin_or_a_502() {
    let unframed = [("origin", Answered(200, &[], OBJECT))];
    let length = Answered(200, &[("content-length", "33554433")], b"");
    let larger_than_envoy_takes =
        [("origin", CutShort), ("origin", CutShort), ("origin", CutShort), ("origin", length)];
    let larger_than_allowed = [("origin", Answered(206, &[("content-range", "bytes 0-4/5")], OBJECT))];
    for (calls, limits) in [
        (&unframed[..], json!({})),
        (&larger_than_envoy_takes, json!({})),
        (&larger_than_allowed, json!({"max_object_size": "4B"})),
    ] {
        let mut configuration = with_public_url();
        configuration["limits"] = limits;
        let row = Row { calls, outcome: "too_large", ..Row::default() };
        Row { configuration: configuration.clone(), headers: REDIRECT_TO_ORIGIN, ..row }.check();
        configuration["rules"] = json!([{"too_large": "error"}]);
        let row = Row { calls, outcome: "too_large", status: 502, headers: ERROR, configuration, ..Row::default() };
        Row { body: document("EntityTooLarge", "The object cannot be mirrored."), ..row }.check();
    }
}

/// Makes one client wait for as long as it may, behind a call that the test holds.
fn check_filling(configuration: Value, status: u16, headers: &[(&str, &str)], body: &str) {
    for method in ["GET", "HEAD"] {
        let is_head = method == "HEAD";
        let mut envoy = envoy_with(configuration.clone());
        let client = envoy.request(method, PATH).send();
        miss(client);
        let call = next_call(&mut envoy);
        envoy.advance(std::time::Duration::from_millis(9_999));
        assert!(client.is_waiting());
        envoy.advance(std::time::Duration::from_millis(1));
        let mut expected = Headers::response(status).with_all(headers).with("x-mirror-on-miss", "filling");
        if !is_head {
            expected.add("content-length", body.len().to_string().as_bytes());
        }
        let body = if is_head { "" } else { body }.into();
        assert_eq!(answer(client), Answer { headers: expected, body, through_filters: true });
        FOUND.happens(&mut envoy, call);
        assert_eq!(next_call(&mut envoy).method(), "PUT", "the fill goes on");
        envoy.advance(LONG);
        envoy.assert_idle();
    }
}

#[test]
fn a_client_that_has_waited_long_enough_is_sent_to_the_origin_or_told_to_come_back() {
    check_filling(
        json!({"wait": "10s", "origin": {"public_url": PUBLIC_URL}}),
        302,
        &[("location", "https://files.example.com/v1/img/a.jpg"), ("cache-control", "no-store")],
        "",
    );
    let body = document("ServiceUnavailable", "The object is still being stored.");
    check_filling(json!({"wait": "10s"}), 503, ERROR_THAT_MAY_PASS, &body);
}

#[test]
fn without_room_a_client_is_told_to_come_back_soon() {
    for method in ["GET", "HEAD"] {
        let mut envoy = envoy_with(json!({"limits": {"fills": 1, "queue": 0}}));
        miss(envoy.get("/first"));
        let client = envoy.request(method, PATH).send();
        miss(client);
        let answer = answer(client);
        let body = document("SlowDown", "Please reduce your request rate.");
        assert_eq!((answer.status(), answer.header("x-mirror-on-miss")), (503, Some("busy")));
        assert_eq!((answer.header("retry-after"), answer.through_filters), (Some("1"), true));
        assert_eq!(answer.body, if method == "HEAD" { b"" } else { body.as_bytes() });
        envoy.advance(LONG);
    }
}

#[test]
fn a_body_where_the_bucket_sent_none_is_a_reply_past_the_filters() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    client.bucket_answers(404, &[("content-length", "0")], "");
    let call = next_call(&mut envoy);
    TimedOut.happens(&mut envoy, call);
    let answer = answer(client);
    assert_eq!((answer.status(), answer.through_filters), (504, false));
    assert_eq!(answer.body, document("OriginTimeout", "The origin did not answer in time.").into_bytes());
    assert_eq!(answer.header("x-mirror-on-miss"), Some("origin_timeout"));
}

#[test]
fn location_is_on_the_configured_host_and_never_on_another() {
    for (location, path, expected) in [
        (Value::Null, "//evil.example/x", "/.//evil.example/x"),
        (Value::Null, "/%2Fevil.example/x?y", "/.//evil.example/x?y"),
        (Value::Null, "/\\evil.example", "/%5Cevil.example"),
        ("https://cdn.example.com".into(), "//evil.example/x", "https://cdn.example.com//evil.example/x"),
        ("https://cdn.example.com".into(), "/a%62?c=%64", "https://cdn.example.com/ab?c=%64"),
        ("distinct".into(), "/a%62", "/ab?mirror-on-miss"),
        ("distinct".into(), "//evil.example/x", "/.//evil.example/x?mirror-on-miss"),
        ("distinct".into(), "/a%62?mirror-on-miss", "/ab"),
        ("absolute".into(), "/a%62?c=%64", "/ab?c=%64"),
        ("absolute".into(), "//evil.example/x", "/.//evil.example/x"),
    ] {
        let mut envoy = Envoy::start(&configured(json!({"location": location, "bucket": {"keys": "exact"}})));
        let client = envoy.get(path);
        miss(client);
        for end in [FOUND, Answered(200, &[], b"")] {
            let call = next_call(&mut envoy);
            end.happens(&mut envoy, call);
        }
        assert_eq!(answer(client).header("location"), Some(expected), "{path}");
    }
}

#[test]
fn an_absolute_location_is_that_of_the_store_and_never_that_of_a_client() {
    let mut envoy = Envoy::start(&configured(json!({"location": "absolute"})));
    let authorities = [
        // That of an edge which has rewritten the host, and follows.
        (&b"s3.test"[..], "https://s3.test"),
        (b"S3.test", "https://s3.test"),
        (b"evil.example", ""),
        (b"s3.test:443", ""),
        (b"user@s3.test", ""),
        (b"user@evil.example", ""),
        (b"a/b", ""),
        (b"\xff\xfe", ""),
        (b"", ""),
    ];
    for (number, (authority, base)) in authorities.into_iter().enumerate() {
        let path = format!("/of-{number}");
        let client = envoy.request("GET", &path).header(":authority", authority).send();
        miss(client);
        for end in [FOUND, Answered(200, &[], b"")] {
            let call = next_call(&mut envoy);
            end.happens(&mut envoy, call);
        }
        assert_eq!(answer(client).header("location"), Some(format!("{base}{}", client.path_sent()).as_str()));
    }
}
