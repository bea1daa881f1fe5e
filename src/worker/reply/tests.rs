use super::*;
use crate::config::Pin;
use crate::config::{Bucket, Config};
use crate::fill::PassedObject;
use crate::fill::Shortage;
use crate::http::{Headers, Response};
use crate::object::Object;
use crate::origin::Version;
use crate::origin::endpoint::Endpoint;
use crate::origin::{FirstRange, Span, read};
use crate::request::forwarded::Forwarded;

const PUBLIC: &str = "https://files.example.com/v1";

fn mirror(public: bool, too_large: TooLarge) -> Mirror {
    let mut config = serde_json::json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com"},
        "origin": {"cluster": "origin", "authority": "files.example.com"}});
    if public {
        config["origin"]["public_url"] = PUBLIC.into();
    }
    let config = Config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
    Mirror { too_large, ..(**config.rules[0].mirror.as_ref().unwrap()).clone() }
}

fn target(method: &str, path: &str) -> Target {
    Target::parse(method.as_bytes(), path.as_bytes(), &Bucket::default()).unwrap()
}

/// Makes an object of an origin that sends more headers than may be passed on.
fn object() -> Object {
    let headers = [
        ("content-length", "5"),
        ("content-type", "text/css"),
        ("etag", "\"e\""),
        ("set-cookie", "a=b"),
        ("cache-control", "max-age=9"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
    let response = Response { status: 200, headers: Headers::new(headers), body: b"hello".to_vec() };
    let mirror = mirror(false, TooLarge::Origin);
    let key = target("GET", "/a").key;
    match read(
        response,
        &Endpoint::at(&mirror.origins[0], &mirror, key.as_str(), &Forwarded::default()),
        &key,
        Span::Whole,
    ) {
        crate::origin::FetchResult::First(FirstRange { object, .. }) => object,
        other => panic!("{other:?}"),
    }
}

fn ask(outcome: &Outcome, target: &Target, denial: Denial, mirror: &Mirror) -> Reply {
    reply(
        outcome,
        ReplyContext {
            target,
            denial,
            precondition: &Precondition::None,
            range: None,
            request_id: "",
            body_kept: true,
            origin: 0,
        },
        mirror,
        target.location(None),
    )
}

/// Shows status and headers without the outcome's, in readable form, and the body.
fn shown(reply: Reply) -> (u16, Vec<String>, Option<String>) {
    let Reply::Local(made) = reply else { panic!("not made: {reply:?}") };
    let headers = made.headers.iter().filter(|(name, _)| *name != OUTCOME_HEADER);
    let headers = headers.map(|(name, value)| format!("{name}: {value}")).collect();
    (made.status, headers, made.body.map(|body| String::from_utf8(body.to_vec()).unwrap()))
}

/// Makes an object that nothing tells from another version.
fn unversioned() -> Object {
    Object { etag: None, ..object() }
}

fn asked<'a>(target: &'a Target, precondition: &'a Precondition, range: Option<&'a RangeRequest>) -> ReplyContext<'a> {
    ReplyContext { target, denial: Denial::NotFound, precondition, range, request_id: "", body_kept: true, origin: 0 }
}

fn range(range: &str, if_range: &str) -> RangeRequest {
    RangeRequest::read(&|name| Some(if name == "range" { range } else { if_range }.as_bytes().to_vec())).unwrap()
}

#[test]
fn an_object_is_given_only_where_the_condition_does_not_exclude_its_version() {
    let (get, mirror) = (target("GET", "/a"), mirror(true, TooLarge::Origin));
    let ours = object().representation().etag.unwrap();
    let head = |object: Object| Outcome::Head { metadata: object.metadata, length: Some(5), etag: object.etag };
    for (precondition, versioned, without) in [
        (Precondition::None, 200, 200),
        (Precondition::Unmodified(None), 200, 200),
        (Precondition::Match, 412, 412),
        (Precondition::NoneMatch, 304, 304),
        (Precondition::NoneOf("\"x\"".into()), 200, 200),
        (Precondition::NoneOf(format!("\"x\", W/{ours}").into()), 304, 200),
        (Precondition::Stream(ours.as_str().into()), 200, 412),
        (Precondition::Stream("\"mirror-0\"".into()), 412, 412),
    ] {
        let asked = asked(&get, &precondition, None);
        for (object, expected) in [(object(), versioned), (unversioned(), without)] {
            for outcome in [
                Outcome::Served(object.clone()),
                Outcome::NotStored { object: Some(object.clone()), status: 503 },
                head(object.clone()),
            ] {
                let (status, headers, body) = shown(reply(&outcome, asked, &mirror, get.location(None)));
                assert_eq!(status, expected, "{precondition:?} {outcome:?}");
                let body = body.unwrap_or_default();
                assert_eq!(status == 412, body.contains("<Code>PreconditionFailed</Code>"), "{body}");
                let tag = headers.iter().find_map(|header| header.strip_prefix("etag: "));
                let own = object.representation().etag;
                assert_eq!(tag, own.as_deref().filter(|_| status != 412), "{outcome:?}");
                let caching = if status == 412 { "cache-control: no-store" } else { "cache-control: max-age=9" };
                assert!(headers.iter().any(|header| header == caching), "{headers:?}");
            }
        }
        let (status, ..) = shown(reply(&Outcome::Stored, asked, &mirror, get.location(None)));
        assert_eq!(status, 302, "the bucket judges what it has");
    }
}

#[test]
fn a_range_of_an_object_at_hand_is_these_bytes_of_it_and_no_others() {
    let (get, mirror) = (target("GET", "/a"), mirror(true, TooLarge::Origin));
    for (range_header, status, content_range, content) in [
        ("bytes=0-0", 206, Some("bytes 0-0/5"), Some("h")),
        ("bytes=1-2", 206, Some("bytes 1-2/5"), Some("el")),
        ("bytes=3-", 206, Some("bytes 3-4/5"), Some("lo")),
        ("bytes=-2", 206, Some("bytes 3-4/5"), Some("lo")),
        ("bytes=0-99", 206, Some("bytes 0-4/5"), Some("hello")),
        ("bytes=5-", 416, Some("bytes */5"), None),
        ("bytes=-0", 416, Some("bytes */5"), None),
        ("bytes=0-1,3-4", 200, None, Some("hello")),
        ("bytes=2-1", 200, None, Some("hello")),
        ("items=0-1", 200, None, Some("hello")),
        ("nonsense", 200, None, Some("hello")),
    ] {
        let range = range(range_header, "");
        let asked = asked(&get, &Precondition::None, Some(&range));
        for outcome in [Outcome::Served(object()), Outcome::Private(Some(unversioned())), not_stored()] {
            let (got, headers, body) = shown(reply(&outcome, asked, &mirror, get.location(None)));
            let header = |name: &str| headers.iter().find_map(|header| header.strip_prefix(name));
            assert_eq!((got, header("content-range: ")), (status, content_range), "{range_header} {outcome:?}");
            let body = body.unwrap();
            assert_eq!(header("content-length: "), Some(body.len().to_string().as_str()));
            match content {
                Some(content) => {
                    assert_eq!((body.as_str(), header("accept-ranges: ")), (content, Some("bytes")));
                    assert_eq!(header("etag: "), outcome.object().unwrap().representation().etag.as_deref());
                }
                None => assert_eq!(xml::error_code(body.as_bytes()), Some("InvalidRange")),
            }
        }
    }
}

#[test]
fn a_range_counts_if_the_client_holds_this_version() {
    let (get, mirror) = (target("GET", "/a"), mirror(true, TooLarge::Origin));
    let ours = object().representation().etag.unwrap();
    let weak = format!("W/{ours}");
    for (if_range, versioned, without) in [
        ("", 206, 206),
        (ours.as_str(), 206, 200),
        (weak.as_str(), 200, 200),
        ("\"mirror-0\"", 200, 200),
        ("Sun, 22 Nov 2026 10:00:00 GMT", 200, 200),
    ] {
        let range = range("bytes=1-2", if_range);
        for (object, expected) in [(object(), versioned), (unversioned(), without)] {
            let asked = asked(&get, &Precondition::None, Some(&range));
            let (status, ..) = shown(reply(&Outcome::Served(object), asked, &mirror, get.location(None)));
            assert_eq!(status, expected, "{if_range}");
        }
    }
}

#[test]
fn a_head_has_no_range() {
    let (head, mirror) = (target("HEAD", "/a"), mirror(true, TooLarge::Origin));
    for range_header in ["bytes=1-2", "bytes=5-"] {
        let range = range(range_header, "");
        let asked = asked(&head, &Precondition::None, Some(&range));
        let of_origin = Outcome::Head { metadata: object().metadata, length: Some(5), etag: None };
        for outcome in [Outcome::Served(object()), of_origin] {
            let (status, headers, _) = shown(reply(&outcome, asked, &mirror, head.location(None)));
            assert_eq!((status, headers.contains(&"content-length: 5".to_owned())), (200, true), "{outcome:?}");
        }
    }
}

#[test]
fn an_object_at_hand_is_judged_here_where_the_bucket_fails() {
    let (get, mirror) = (target("GET", "/a"), mirror(true, TooLarge::Origin));
    let (past, other) = (range("bytes=5-", ""), Precondition::Stream("\"mirror-0\"".into()));
    for (precondition, range, expected) in [(&Precondition::None, Some(&past), 416), (&other, None, 412)] {
        let asked = ReplyContext { denial: Denial::Unavailable, ..asked(&get, precondition, range) };
        let (status, ..) = shown(reply(&Outcome::Served(object()), asked, &mirror, get.location(None)));
        assert_eq!(status, expected);
    }
}

#[test]
fn an_empty_object_has_no_bytes_to_ask_for() {
    let (get, mirror) = (target("GET", "/a"), mirror(true, TooLarge::Origin));
    let range = range("bytes=0-", "");
    let empty = Outcome::Served(Object { body: Rc::default(), ..object() });
    let asked = asked(&get, &Precondition::None, Some(&range));
    let (status, headers, _) = shown(reply(&empty, asked, &mirror, get.location(None)));
    assert_eq!((status, headers.contains(&"content-range: bytes */0".to_owned())), (416, true));
}

#[test]
fn every_answer_of_ours_has_the_id_of_its_request_where_s3_has_it() {
    let mirror = mirror(true, TooLarge::Error);
    for method in ["GET", "HEAD"] {
        let target = target(method, "/a");
        for outcome in every_outcome() {
            let asked = ReplyContext {
                target: &target,
                denial: Denial::Forbidden,
                precondition: &Precondition::None,
                range: None,
                request_id: "0f9e6c1c",
                body_kept: false,
                origin: 0,
            };
            let Reply::Local(made) = reply(&outcome, asked, &mirror, target.location(None)) else {
                panic!("{outcome:?}")
            };
            assert!(made.headers.contains(&("x-amz-request-id", "0f9e6c1c".to_owned())), "{outcome:?}");
            let body = made.body.map(|body| String::from_utf8(body.to_vec()).unwrap()).unwrap_or_default();
            assert_eq!(body.contains("<Error>"), body.contains("<RequestId>0f9e6c1c</RequestId>"), "{body}");
        }
    }
}

fn not_stored() -> Outcome {
    Outcome::NotStored { object: Some(object()), status: 503 }
}

fn every_outcome() -> Vec<Outcome> {
    vec![
        Outcome::Broken("x"),
        Outcome::BucketUnavailable,
        Outcome::Busy(Shortage::Fills),
        Outcome::Corrupt("x"),
        Outcome::Exists,
        Outcome::Filling,
        Outcome::Forbidden,
        Outcome::Loop,
        Outcome::NotFound,
        not_stored(),
        Outcome::NotStored { object: None, status: 0 },
        Outcome::OriginRedirect { status: 301, key: "b".into(), query: None },
        Outcome::OriginRefused { status: 403 },
        Outcome::OriginTimeout,
        Outcome::OriginUnavailable("x"),
        Outcome::Private(Some(object())),
        Outcome::Private(None),
        Outcome::Stored,
        Outcome::TooLarge,
    ]
}

#[test]
fn stored_is_a_redirect_to_the_same_path_and_query_that_nobody_may_keep() {
    let target = target("GET", "/a%20b@?v=1");
    let (status, headers, body) =
        shown(ask(&Outcome::Stored, &target, Denial::NotFound, &mirror(false, TooLarge::Origin)));
    assert_eq!(status, 302);
    assert_eq!(headers, ["location: /a%20b%40?v=1", "cache-control: no-store", "content-length: 0"]);
    assert_eq!(body.as_deref(), Some(""));
}

#[test]
fn a_redirect_of_the_origins_own_keeps_its_status_and_nobody_may_keep_it() {
    let redirect = Outcome::OriginRedirect { status: 301, key: "b".into(), query: None };
    let (status, headers, _) =
        shown(ask(&redirect, &target("GET", "/b?v=1"), Denial::NotFound, &mirror(true, TooLarge::Origin)));
    assert_eq!((status, &headers[..2]), (301, &["location: /b?v=1", "cache-control: no-store"].map(str::to_owned)[..]));
}

#[test]
fn an_object_that_somebody_else_stored_is_the_buckets_to_give_whatever_it_said_before() {
    let (target, mirror) = (target("GET", "/a"), mirror(false, TooLarge::Origin));
    for denial in [Denial::NotFound, Denial::Forbidden] {
        let (status, headers, _) = shown(ask(&Outcome::Exists, &target, denial, &mirror));
        assert_eq!((status, headers[0].as_str()), (302, "location: /a"));
    }
    assert_eq!(ask(&Outcome::Forbidden, &target, Denial::Forbidden, &mirror), Reply::Untouched);
}

#[test]
fn the_buckets_own_answer_says_that_the_object_was_stored_a_moment_ago() {
    let (target, mirror) = (target("GET", "/a"), mirror(false, TooLarge::Origin));
    for denial in [Denial::NotFound, Denial::Forbidden] {
        assert_eq!(ask(&Outcome::Loop, &target, denial, &mirror), Reply::Tagged("loop"));
        assert_eq!(ask(&Outcome::Broken("x"), &target, denial, &mirror), Reply::Tagged("broken"));
    }
}

#[test]
fn not_found_is_the_buckets_own_404_or_s3s_where_it_was_a_403() {
    let (target, mirror) = (target("GET", "/a&b"), mirror(false, TooLarge::Origin));
    assert_eq!(ask(&Outcome::NotFound, &target, Denial::NotFound, &mirror), Reply::Tagged("not_found"));
    let (status, headers, body) = shown(ask(&Outcome::NotFound, &target, Denial::Forbidden, &mirror));
    let body = body.unwrap();
    assert_eq!((status, headers[0].as_str()), (404, "content-type: application/xml"));
    assert!(body.contains("<Code>NoSuchKey</Code>") && body.contains("<Key>a&amp;b</Key>"), "{body}");
}

#[test]
fn failures_of_the_origin_say_whether_to_come_back() {
    let (target, mirror) = (target("GET", "/a"), mirror(false, TooLarge::Origin));
    for (outcome, status, code, retry) in [
        (Outcome::OriginRefused { status: 401 }, 502, "OriginRefused", false),
        (Outcome::Private(None), 502, "OriginPrivate", false),
        (Outcome::OriginUnavailable("x"), 502, "OriginUnavailable", true),
        (Outcome::OriginTimeout, 504, "OriginTimeout", true),
        (Outcome::Corrupt("content-md5"), 502, "OriginCorrupt", true),
        (Outcome::BucketUnavailable, 503, "ServiceUnavailable", true),
        (Outcome::Filling, 503, "ServiceUnavailable", true),
        (Outcome::Busy(Shortage::Fills), 503, "SlowDown", true),
        (Outcome::TooLarge, 502, "EntityTooLarge", false),
        (Outcome::NotStored { object: None, status: 503 }, 502, "ServiceUnavailable", true),
    ] {
        let (got, headers, body) = shown(ask(&outcome, &target, Denial::NotFound, &mirror));
        assert_eq!((got, headers.iter().any(|h| h.starts_with("retry-after: "))), (status, retry), "{outcome:?}");
        assert!(headers.contains(&"cache-control: no-store".to_owned()), "{outcome:?}");
        let body = body.unwrap();
        assert_eq!(xml::error_code(body.as_bytes()), Some(code));
        assert!(headers.contains(&format!("content-length: {}", body.len())));
    }
}

#[test]
fn a_part_is_answered_by_the_bucket_or_not_at_all() {
    let (target, mirror) = (target("GET", "/a?partNumber=2"), mirror(true, TooLarge::Origin));
    for (outcome, status, label) in [
        (Outcome::Served(object()), 503, "filling"),
        (Outcome::Head { metadata: object().metadata, length: Some(9), etag: None }, 503, "filling"),
        (Outcome::Filling, 503, "filling"),
        (not_stored(), 502, "not_stored"),
        (Outcome::Private(Some(object())), 502, "private"),
        (Outcome::TooLarge, 502, "too_large"),
    ] {
        let Reply::Local(made) = ask(&outcome, &target, Denial::NotFound, &mirror) else { panic!("{outcome:?}") };
        assert_eq!(made.status, status, "{outcome:?}");
        assert!(made.headers.contains(&(OUTCOME_HEADER, label.to_owned())), "{outcome:?}");
    }
    let (_, headers, _) = shown(ask(&Outcome::Stored, &target, Denial::NotFound, &mirror));
    assert_eq!(headers[0], "location: /a?partNumber=2");
}

#[test]
fn a_public_url_takes_what_cannot_be_served_from_the_bucket() {
    let target = target("GET", "/a%20b?v=1");
    for (outcome, too_large, status) in [
        (Outcome::TooLarge, TooLarge::Origin, 302),
        (Outcome::TooLarge, TooLarge::Error, 502),
        (Outcome::Filling, TooLarge::Origin, 302),
        (Outcome::Filling, TooLarge::Error, 302),
        (Outcome::NotStored { object: None, status: 503 }, TooLarge::Error, 302),
        (Outcome::Private(None), TooLarge::Error, 302),
    ] {
        let (got, headers, _) = shown(ask(&outcome, &target, Denial::NotFound, &mirror(true, too_large)));
        assert_eq!(got, status, "{outcome:?} {too_large:?}");
        assert_eq!(headers[0] == format!("location: {PUBLIC}/a%20b"), status == 302);
    }
}

#[test]
fn an_object_that_could_not_be_stored_is_served_with_its_own_headers_only() {
    let mirror = mirror(false, TooLarge::Origin);
    let (status, headers, body) = shown(ask(&not_stored(), &target("GET", "/a"), Denial::NotFound, &mirror));
    assert_eq!((status, body.as_deref()), (200, Some("hello")));
    let etag = format!("etag: {}", object().etag.unwrap());
    let expected =
        ["accept-ranges: bytes", &etag, "content-type: text/css", "cache-control: max-age=9", "content-length: 5"];
    assert_eq!(headers, expected);
    let (status, headers, body) = shown(ask(&not_stored(), &target("HEAD", "/a"), Denial::NotFound, &mirror));
    assert_eq!((status, body), (200, None));
    assert!(headers.contains(&"content-length: 5".to_owned()));
}

#[test]
fn every_answer_of_ours_names_its_outcome_and_head_has_neither_body_nor_a_length_of_0() {
    for outcome in every_outcome() {
        for denial in [Denial::Forbidden, Denial::NotFound] {
            for method in ["GET", "HEAD"] {
                match ask(&outcome, &target(method, "/a"), denial, &mirror(false, TooLarge::Origin)) {
                    Reply::Local(made) => {
                        assert!(made.headers.contains(&(OUTCOME_HEADER, outcome.label().to_owned())), "{outcome:?}");
                        assert_eq!(made.body.is_some(), method == "GET", "{outcome:?}");
                        assert!(!made.headers.contains(&("content-length", "0".to_owned())) || method == "GET");
                    }
                    Reply::Tagged(label) => assert_eq!(label, outcome.label()),
                    Reply::Untouched => assert!(!matches!(outcome, Outcome::Stored | Outcome::NotFound)),
                }
            }
        }
    }
}

#[test]
fn an_answer_whose_body_is_lost_is_never_passed_on_without_it() {
    let (target, mirror) = (target("GET", "/a"), mirror(false, TooLarge::Origin));
    for outcome in every_outcome() {
        for (denial, status) in [(Denial::Forbidden, 403), (Denial::NotFound, 404)] {
            let asked = ReplyContext {
                target: &target,
                denial,
                precondition: &Precondition::None,
                range: None,
                request_id: "",
                body_kept: false,
                origin: 0,
            };
            let kept = ask(&outcome, &target, denial, &mirror);
            let (got, _, body) = shown(reply(&outcome, asked, &mirror, target.location(None)));
            if kept == Reply::Untouched {
                assert_eq!(got, status, "{outcome:?}");
                assert!(xml::error_code(body.unwrap().as_bytes()).is_some());
            }
        }
    }
}

#[test]
fn a_location_base_is_the_recipes_service_endpoint() {
    let target = target("GET", "/a?v=1");
    let asked = ReplyContext {
        target: &target,
        denial: Denial::NotFound,
        precondition: &Precondition::None,
        range: None,
        request_id: "",
        body_kept: true,
        origin: 0,
    };
    let location = target.location(Some("https://cdn.example.com"));
    let reply = reply(&Outcome::Stored, asked, &mirror(false, TooLarge::Origin), location);
    assert_eq!(shown(reply).1[0], "location: https://cdn.example.com/a?v=1");
}

#[test]
fn a_rule_may_say_that_nobody_is_sent_away_when_its_time_is_over() {
    let (target, patient) = (target("GET", "/a"), mirror(true, TooLarge::Origin));
    let busy = Mirror { on_wait: OnWait::Busy, ..patient.clone() };
    for (mirror, filling) in [(&patient, 302), (&busy, 503)] {
        assert_eq!(shown(ask(&Outcome::Filling, &target, Denial::NotFound, mirror)).0, filling);
        assert_eq!(shown(ask(&Outcome::Origin, &target, Denial::NotFound, mirror)).0, 302);
    }
}

#[test]
fn a_client_that_is_passed_is_redirected_and_a_head_is_answered() {
    let mirror = mirror(false, TooLarge::Origin);
    let headers = Headers::new(vec![("etag".into(), b"\"1\"".to_vec())]);
    let version = Version::of(&headers, 9_000_000, Pin::Strong);
    let passed = Rc::new(PassedObject { metadata: object().metadata, version, moved: None });
    let tag = format!("etag: {}", passed.version.tag().unwrap());
    let (status, headers, body) =
        shown(ask(&Outcome::Passed(passed.clone()), &target("HEAD", "/a"), Denial::NotFound, &mirror));
    assert_eq!((status, body.is_none()), (200, true));
    for header in [tag.as_str(), "accept-ranges: bytes", "content-length: 9000000"] {
        assert!(headers.iter().any(|known| known == header), "{header} of {headers:?}");
    }
    let (status, headers, _) = shown(ask(&Outcome::Passed(passed), &target("GET", "/a"), Denial::NotFound, &mirror));
    assert_eq!((status, headers[1].as_str()), (302, "cache-control: no-store"));
}
