use super::*;
use crate::config::Origin;
use crate::config::rule::Mirror;
use crate::request::forwarded::Forwarded;
use std::time::Duration;

pub fn endpoint(key: &Key) -> Endpoint {
    let origin = Origin {
        name: "origin".into(),
        cluster: "origin".into(),
        authority: "files.example.com".into(),
        path_prefix: "/v1".into(),
        public_url: None,
        timeout: Duration::from_secs(20),
        headers: Vec::new(),
        redirects: None,
    };
    Endpoint::at(&origin, &Mirror::default(), key.as_str(), &Forwarded::default())
}

pub fn key(path: &str) -> Key {
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
    let request = get(&endpoint(&key("a b/ä")), Span::First { length: 8 * 1024 * 1024 });
    assert_eq!((request.method, request.path.as_str()), (Method::Get, "/v1/a%20b/%C3%A4"));
    assert_eq!(request.headers, [("accept-encoding", "identity".to_owned()), ("range", "bytes=0-8388607".to_owned())]);
    assert_eq!(get(&endpoint(&key("a")), Span::Whole).headers, [("accept-encoding", "identity".to_owned())]);
}

#[test]
fn a_206_counts_only_if_it_is_exactly_what_was_asked() {
    assert_eq!(object(answer(PART, 206, &[("content-range", "bytes 0-3/9")], "abcd")), ("abcd".into(), 9));
    assert_eq!(object(answer(PART, 206, &[("content-range", "bytes 0-3/4")], "abcd")), ("abcd".into(), 4));
    assert_eq!(object(answer(PART, 206, &[("content-range", "bytes 0-1/2")], "ab")), ("ab".into(), 2));
    for (headers, body) in [
        (&[][..], "abcd"),
        (&[("content-range", "bytes 0-3/*")], "abcd"),
        (&[("content-range", "bytes 1-4/9")], "abcd"),
        (&[("content-range", "bytes 0-2/9")], "abc"),
        (&[("content-range", "bytes 0-4/9")], "abcde"),
        (&[("content-range", "bytes 0-3/9")], "abc"),
        (&[("content-range", "bytes 0-3/9")], "abcde"),
        (&[("content-range", "bytes 0-3/9"), ("content-length", "5")], "abcd"),
        (&[("content-range", "bytes 0-3/9"), ("content-length", "+4")], "abcd"),
    ] {
        let answer = answer(PART, 206, headers, body);
        assert!(matches!(answer, FetchResult::Unavailable(_)), "{headers:?} {body}: {answer:?}");
    }
    assert!(matches!(
        answer(Span::Whole, 206, &[("content-range", "bytes 0-3/4")], "abcd"),
        FetchResult::Unavailable(_)
    ));
}

#[test]
fn a_200_counts_only_if_its_end_is_known() {
    for span in [PART, Span::Whole] {
        assert_eq!(object(answer(span, 200, &[("content-length", "9")], "abcdefghi")), ("abcdefghi".into(), 9));
        assert_eq!(object(answer(span, 200, &[("transfer-encoding", "chunked")], "")), (String::new(), 0));
        assert_eq!(answer(span, 200, &[], "abcd"), FetchResult::Unframed);
        assert_eq!(answer(span, 200, &[("content-length", "5")], "abcd"), FetchResult::Unavailable("length mismatch"));
    }
}

#[test]
fn every_other_status_has_one_meaning() {
    assert_eq!([404, 410].map(|status| answer(PART, status, &[], "")), [FetchResult::Missing, FetchResult::Missing]);
    for status in [201, 204, 301, 302, 304, 400, 401, 403, 429, 451] {
        assert_eq!(answer(PART, status, &[], ""), FetchResult::Refused(status));
    }
    assert_eq!(
        [500, 503, 599].map(|status| answer(PART, status, &[], "")),
        [500, 503, 599].map(|_| FetchResult::Unavailable("5xx"))
    );
    assert_eq!(answer(PART, 504, &[], ""), FetchResult::TimedOut);
    assert_eq!(answer(PART, 416, &[("content-range", "bytes */0")], ""), FetchResult::Unsatisfiable);
    assert_eq!(answer(Span::Whole, 416, &[], ""), FetchResult::Refused(416));
}

const WHOLE: ContentRange = ContentRange { first: 4, last: 7, total: 10 };

/// The answer to a request for [`WHOLE`] of a version with an `ETag` and a date.
fn part(status: u16, headers: &[(&str, &str)], body: &str) -> PartResult {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let response = Response { status, headers: Headers::new(headers), body: body.into() };
    read_part(response, &version(Some("\"a\""), Some("Sun")), WHOLE)
}

fn version(etag: Option<&str>, last_modified: Option<&str>) -> Version {
    Version { total: 10, etag: etag.map(str::to_owned), last_modified: last_modified.map(str::to_owned) }
}

#[test]
fn a_later_part_is_asked_for_under_the_strongest_validator_there_is() {
    for (etag, date, expected) in [
        (Some("\"a\""), Some("Sun"), Some(("if-match", "\"a\""))),
        (Some("W/\"a\""), Some("Sun"), Some(("if-unmodified-since", "Sun"))),
        (None, Some("Sun"), Some(("if-unmodified-since", "Sun"))),
        (Some("W/\"a\""), None, None),
    ] {
        let request = get_part(&endpoint(&key("a")), &version(etag, date), WHOLE);
        assert_eq!(request.headers[1], ("range", "bytes=4-7".to_owned()));
        assert_eq!(request.headers.get(2).map(|(name, value)| (*name, value.as_str())), expected);
    }
}

#[test]
fn a_later_part_counts_only_if_it_is_exactly_the_range_of_the_same_version() {
    let same = [("etag", "\"a\""), ("last-modified", "Sun")];
    let with = |range| [("content-range", range), same[0], same[1]];
    assert_eq!(part(206, &with("bytes 4-7/10"), "efgh"), PartResult::Bytes(b"efgh".to_vec()));
    assert_eq!(part(206, &with("bytes 4-7/11"), "efgh"), PartResult::Changed);
    assert_eq!(part(206, &[("content-range", "bytes 4-7/10")], "efgh"), PartResult::Changed);
    assert_eq!(
        part(206, &[("content-range", "bytes 4-7/10"), ("etag", "\"b\""), same[1]], "efgh"),
        PartResult::Changed
    );
    for (range, body) in
        [("bytes 0-3/10", "abcd"), ("bytes 4-6/10", "efg"), ("bytes 4-7/10", "efg"), ("bytes 4-7/*", "efgh")]
    {
        assert!(matches!(part(206, &with(range), body), PartResult::Unavailable(_)), "{range} {body}");
    }
    assert_eq!([200, 404, 410, 412, 416].map(|status| part(status, &[], "")), [200; 5].map(|_| PartResult::Changed));
    assert_eq!(part(504, &[], ""), PartResult::TimedOut);
    assert_eq!(part(503, &[], ""), PartResult::Unavailable("5xx"));
    assert_eq!(part(403, &[], ""), PartResult::Refused(403));
}
