use super::*;
use crate::config::rule::Mirror;
use crate::config::{Missing, Origin, Pin, Redirects};
use crate::http::Upstream;
use crate::request::forwarded::Forwarded;
use std::time::Duration;

fn endpoint(key: &Key) -> Endpoint {
    let upstream = Upstream { cluster: "origin".into(), authority: "files.example.com".into(), headers: Vec::new() };
    let origin = Origin {
        name: "origin".into(),
        upstream: Rc::new(upstream),
        stream_cluster: None,
        path_prefix: "/v1".into(),
        public_url: None,
        timeout: Duration::from_secs(20),
        parameters: Vec::new(),
        missing: [404, 410].map(|status| Missing { status, content_type: None }).to_vec(),
        rate: None,
        redirects: Redirects::default(),
        pin: Pin::Strong,
        http2: false,
        user_agent: "mirror/1".into(),
    };
    Endpoint::at(&Rc::new(origin), &Mirror::default(), key.as_str(), &Forwarded::default())
}

fn key(path: &str) -> Key {
    Key::from_path(path.as_bytes()).unwrap()
}

const PART: Span = Span::First { length: 4 };

fn answer(span: Span, status: u16, headers: &[(&str, &str)], body: &str) -> FetchResult {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let response = Response { status, headers: Headers::new(headers), body: body.into() };
    read(response, &endpoint(&key("a.txt")), &key("a.txt"), span)
}

fn object(answer: FetchResult) -> (String, u64) {
    match answer {
        FetchResult::First(first) => (String::from_utf8(first.object.body.to_vec()).unwrap(), first.version.total),
        other => panic!("no object: {other:?}"),
    }
}

#[test]
fn the_first_request_is_a_range_and_carries_nothing_of_the_client() {
    let always = [("accept-encoding", "identity".to_owned()), ("user-agent", "mirror/1".to_owned())];
    let request = get(&endpoint(&key("a b/ä")), Span::First { length: 8 * 1024 * 1024 });
    assert_eq!((request.method, request.path.as_str()), (Method::Get, "/v1/a%20b/%C3%A4"));
    assert_eq!(request.headers[..2], always);
    assert_eq!(request.headers[2..], [("range", "bytes=0-8388607".to_owned())]);
    assert_eq!(get(&endpoint(&key("a")), Span::Whole).headers, always);
}

#[test]
fn an_origin_gets_the_characters_of_a_path_as_they_are_and_what_s3_needs_encoded() {
    let asked = |path: &str| get(&endpoint(&key(path)), Span::Whole).path;
    assert_eq!(asked("rs:fit:300:300/@webp"), "/v1/rs:fit:300:300/@webp");
    assert_eq!(asked("a%21$&'()*,;=-._~"), "/v1/a!$&'()*,;=-._~");
    assert_eq!(asked("a+b c%3F%23%25%5B"), "/v1/a%2Bb%20c%3F%23%25%5B");
}

#[test]
fn a_user_agent_of_the_configuration_or_of_the_client_goes_before_ours() {
    let mut endpoint = endpoint(&key("a"));
    Rc::make_mut(&mut endpoint.upstream).headers.push(("user-agent".into(), "theirs/1".into()));
    assert!(get(&endpoint, Span::Whole).headers.iter().all(|(name, _)| *name != "user-agent"));
}

#[test]
fn the_beginning_of_an_object_is_what_came_and_how_long_all_of_it_is() {
    assert_eq!(object(answer(PART, 206, &[("content-range", "bytes 0-3/9")], "abcd")), ("abcd".into(), 9));
    assert_eq!(object(answer(PART, 206, &[("content-range", "bytes 0-1/9")], "ab")), ("ab".into(), 9));
    assert_eq!(object(answer(PART, 206, &[("content-range", "bytes 0-1/2")], "ab")), ("ab".into(), 2));
    assert_eq!(object(answer(PART, 200, &[("content-length", "9")], "abcdefghi")), ("abcdefghi".into(), 9));
    assert_eq!(object(answer(PART, 200, &[("content-length", "4")], "abcd")), ("abcd".into(), 4));
    assert_eq!(answer(PART, 206, &[("content-range", "bytes 0-3/*")], "abcd"), FetchResult::Unusable { total: None });
    assert_eq!(answer(PART, 416, &[("content-range", "bytes */0")], ""), FetchResult::Unusable { total: Some(0) });
    assert_eq!(answer(Span::Whole, 416, &[], ""), FetchResult::Refused(416));
}

#[test]
fn an_end_that_no_header_proves_is_proven_by_http2_or_by_a_digest() {
    assert_eq!(answer(PART, 200, &[], "abcde"), FetchResult::Unframed);
    assert_eq!(
        answer(PART, 200, &[], "abcd"),
        FetchResult::Unusable { total: None },
        "it may end where the range does"
    );
    let digest = [("repr-digest", "md5=:q1bkMW4M9j7mTU8R6OVyMA==:")];
    assert_eq!(object(answer(PART, 200, &digest, "abcde")), ("abcde".into(), 5));

    let mut over_http2 = endpoint(&key("a"));
    over_http2.http2 = true;
    let response = Response { status: 200, headers: Headers::default(), body: b"abcde".to_vec() };
    assert_eq!(object(read(response, &over_http2, &key("a"), PART)), ("abcde".into(), 5));
}

#[test]
fn the_origin_says_for_how_long_it_wants_to_be_left_alone_within_bounds() {
    for (value, expected) in [("7", Some(7)), ("0", Some(1)), ("86400", Some(60)), ("-1", None), ("tomorrow", None)] {
        for status in [429, 500, 503] {
            match answer(PART, status, &[("retry-after", value)], "") {
                FetchResult::Unavailable(failure) => assert_eq!(failure.retry_after, expected, "{value}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_length_says_that_an_object_is_too_large_only_where_it_comes_in_one_answer() {
    let head = |headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Response { status: 200, headers: Headers::new(headers), body: Vec::new() }
    };
    let (large, ranges) = (("content-length", "33554433"), ("accept-ranges", "bytes"));
    assert!(read_head_too_large(&head(&[large]), false));
    assert!(!read_head_too_large(&head(&[large, ranges]), false), "an origin that knows ranges was cut");
    assert!(read_head_too_large(&head(&[large, ranges]), true));
    assert!(!read_head_too_large(&head(&[("content-length", "33554432")]), true));
    assert!(!read_head_too_large(&head(&[]), true));
}

const RANGE: ContentRange = ContentRange { first: 4, last: 7, total: 10 };

/// The answer to a request for [`RANGE`] of a version with an ETag.
fn part(status: u16, headers: &[(&str, &str)], body: &str) -> PartResult {
    let all = |headers: &[(&str, &str)]| {
        Headers::new(headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect())
    };
    let response = Response { status, headers: all(headers), body: body.into() };
    read_part(response, &endpoint(&key("a")), &Version::of(&all(&[ETAG]), 10, Pin::Strong), RANGE)
}

const ETAG: (&str, &str) = ("etag", "\"a\"");

#[test]
fn a_later_part_is_asked_for_under_a_precondition_unless_the_origin_denied_it() {
    let headers = Headers::new(vec![("etag".into(), b"\"a\"".to_vec())]);
    let version = Version::of(&headers, 10, Pin::Strong);
    let asked = |conditional| get_part(&endpoint(&key("a")), &version, RANGE, conditional).headers[2..].to_vec();
    let range = ("range", "bytes=4-7".to_owned());
    assert_eq!(asked(true), [range.clone(), ("if-match", "\"a\"".to_owned())]);
    assert_eq!(asked(false), [range]);
}

#[test]
fn a_later_part_counts_only_if_it_begins_where_asked_and_is_of_the_same_version() {
    let with = |range| [("content-range", range), ETAG];
    assert_eq!(part(206, &with("bytes 4-7/10"), "efgh"), PartResult::Bytes(b"efgh".to_vec()));
    assert_eq!(part(206, &with("bytes 4-5/10"), "ef"), PartResult::Bytes(b"ef".to_vec()), "a legal shorter one");
    assert_eq!(part(206, &with("bytes 4-7/11"), "efgh"), PartResult::Changed);
    assert_eq!(part(206, &[("content-range", "bytes 4-7/10")], "efgh"), PartResult::Changed);
    assert_eq!(part(206, &[("content-range", "bytes 4-7/10"), ("etag", "\"b\"")], "efgh"), PartResult::Changed);
    let encoded = [("content-range", "bytes 4-7/10"), ETAG, ("content-encoding", "gzip")];
    assert_eq!(part(206, &encoded, "efgh"), PartResult::Changed);
    for (range, body) in
        [("bytes 0-3/10", "abcd"), ("bytes 4-8/10", "efghi"), ("bytes 4-7/10", "efg"), ("bytes 4-7/*", "efgh")]
    {
        assert!(matches!(part(206, &with(range), body), PartResult::Unavailable(_)), "{range} {body}");
    }
    assert_eq!([200, 404, 410, 416].map(|status| part(status, &[], "")), [200; 4].map(|_| PartResult::Changed));
    assert_eq!(part(412, &[], ""), PartResult::PreconditionFailed);
    assert_eq!(part(504, &[], ""), PartResult::TimedOut);
    for status in [408, 425, 429, 500, 501, 503] {
        assert!(matches!(part(status, &[], ""), PartResult::Unavailable(_)), "{status}");
    }
    assert_eq!(part(403, &[], ""), PartResult::Refused(403));
}

#[test]
fn only_a_refusal_or_a_redirect_of_a_later_part_makes_its_signed_address_be_asked_for_again() {
    let refused = |status| refuses(&Response { status, headers: Headers::default(), body: Vec::new() });
    assert_eq!([301, 302, 307, 400, 401, 403].map(refused), [true; 6]);
    assert_eq!([200, 206, 404, 410, 412, 416, 429, 500, 503, 504].map(refused), [false; 10]);
}
