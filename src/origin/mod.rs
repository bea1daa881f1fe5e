//! The origin's side of a fill: what it is asked, and what its answers mean.

pub mod endpoint;

use crate::config::MAX_PART_SIZE;
use crate::http::{ContentRange, Headers, Method, Request, Response, digits};
use crate::object::Object;
use crate::object::integrity::ExpectedDigests;
use crate::object::key::Key;
use crate::object::metadata::Metadata;
use endpoint::Endpoint;
use std::rc::Rc;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The first bytes, as many as fit one part. An origin may answer with the whole object instead.
    First {
        /// Bytes asked for; above 0.
        length: u64,
    },
    /// The headers alone.
    Headers,
    /// Everything, without a `Range`.
    Whole,
}

/// What an origin's answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchResult {
    /// The beginning of the object, or all of it.
    First(FirstRange),
    /// What is said about an object that was asked for with HEAD.
    Headers(Metadata, Option<u64>),
    /// 404 or 410: there is no such object.
    Missing,
    /// 401, 403, another 4xx, a redirect, or a success that is not one of a GET: asking again does not help.
    Refused(u16),
    /// No answer in time.
    TimedOut,
    /// A 5xx, or an answer that contradicts itself.
    Unavailable(&'static str),
    /// Nothing tells the end of the content from a connection that was cut, so it cannot be stored.
    Unframed,
    /// 416: no byte satisfies the range, as for an empty object.
    Unsatisfiable,
}

/// The beginning of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstRange {
    /// What the origin says about all bytes of the object.
    pub announced: ExpectedDigests,
    /// What came.
    pub object: Object,
    /// Which version of the object it is the beginning of.
    pub version: Version,
}

/// What tells one version of an object from another.
///
/// An origin that sends neither validator is pinned by the length alone: a change that keeps it goes unseen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Length of the whole object.
    pub total: u64,
    etag: Option<String>,
    last_modified: Option<String>,
}

/// What an answer to [`get_part`] comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartResult {
    /// Exactly the bytes asked for, of the version asked for.
    Bytes(Vec<u8>),
    /// The origin has another version now, or none.
    Changed,
    /// 401, 403, another 4xx or a redirect.
    Refused(u16),
    /// No answer in time.
    TimedOut,
    /// A 5xx, or an answer that contradicts itself.
    Unavailable(&'static str),
}

/// Asks an origin for an object.
pub fn get(endpoint: &Endpoint, span: Span) -> Request {
    let mut headers = vec![("accept-encoding", "identity".to_owned())];
    if let Span::First { length } = span {
        headers.push(("range", format!("bytes=0-{}", length.saturating_sub(1))));
    }
    let method = if span == Span::Headers { Method::Head } else { Method::Get };
    Request { method, path: endpoint.path.clone(), headers, body: Rc::default() }
}

/// Asks the origin for a later part of the version whose beginning it gave.
pub fn get_part(endpoint: &Endpoint, version: &Version, range: ContentRange) -> Request {
    let mut headers =
        vec![("accept-encoding", "identity".to_owned()), ("range", format!("bytes={}-{}", range.first, range.last))];
    headers.extend(version.precondition());
    Request { method: Method::Get, path: endpoint.path.clone(), headers, body: Rc::default() }
}

/// Whether an origin's answer to a HEAD says that the object is longer than Envoy takes in one answer.
pub fn read_head_too_large(response: &Response) -> bool {
    let length = response.headers.text("content-length").and_then(digits);
    response.status == 200 && length.is_some_and(|length| length > MAX_PART_SIZE)
}

/// Reads the answer to [`get_part`].
pub fn read_part(response: Response, version: &Version, range: ContentRange) -> PartResult {
    match response.status {
        206 => {}
        // 200: the range did not apply to what is there now.
        200 | 404 | 410 | 412 | 416 => return PartResult::Changed,
        504 => return PartResult::TimedOut,
        0 => return PartResult::Unavailable("no status"),
        500..=599 => return PartResult::Unavailable("5xx"),
        status => return PartResult::Refused(status),
    }
    let Some(got) = response.headers.text("content-range").and_then(ContentRange::parse) else {
        return PartResult::Unavailable("206 without a usable content-range");
    };
    if Version::of(&response.headers, got.total) != *version {
        return PartResult::Changed;
    }
    let came = length(&response.body);
    if got != range {
        return PartResult::Unavailable("206 with another range than asked");
    }
    if came != range.length() || contradicts(&response.headers, came) {
        return PartResult::Unavailable("length mismatch");
    }
    PartResult::Bytes(response.body)
}

/// Reads the answer to [`get`].
pub fn read(response: Response, endpoint: &Endpoint, key: &Key, span: Span) -> FetchResult {
    match (response.status, span) {
        (200, Span::Headers) => {
            let length = response.headers.text("content-length").and_then(digits);
            FetchResult::Headers(Metadata::new(&response.headers, &endpoint.url, key), length)
        }
        (200, _) => whole(response, endpoint, key),
        (206, Span::First { length }) => first(response, endpoint, key, length),
        (206, _) => FetchResult::Unavailable("206 to a request without a range"),
        (404 | 410, _) => FetchResult::Missing,
        (416, Span::First { .. }) => FetchResult::Unsatisfiable,
        // Envoy answers in the origin's place when the time of a call is over.
        (504, _) => FetchResult::TimedOut,
        (0, _) => FetchResult::Unavailable("no status"),
        (500..=599, _) => FetchResult::Unavailable("5xx"),
        (status, _) => FetchResult::Refused(status),
    }
}

fn whole(response: Response, endpoint: &Endpoint, key: &Key) -> FetchResult {
    let headers = &response.headers;
    let framed = headers.contains("content-length") || headers.contains("transfer-encoding");
    if !framed {
        return FetchResult::Unframed;
    }
    let total = length(&response.body);
    if contradicts(headers, total) {
        return FetchResult::Unavailable("length mismatch");
    }
    FetchResult::First(FirstRange::new(response, endpoint, key, total))
}

fn first(response: Response, endpoint: &Endpoint, key: &Key, asked: u64) -> FetchResult {
    let Some(range) = response.headers.text("content-range").and_then(ContentRange::parse) else {
        return FetchResult::Unavailable("206 without a usable content-range");
    };
    let expected = range.total.min(asked);
    if range.first != 0 || range.length() != expected {
        return FetchResult::Unavailable("206 with another range than asked");
    }
    let got = length(&response.body);
    if got != expected || contradicts(&response.headers, got) {
        return FetchResult::Unavailable("length mismatch");
    }
    FetchResult::First(FirstRange::new(response, endpoint, key, range.total))
}

/// Whether the announced length is another than that of what came.
fn contradicts(headers: &Headers, got: u64) -> bool {
    headers.contains("content-length") && headers.text("content-length").and_then(digits) != Some(got)
}

fn length(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

impl FirstRange {
    fn new(response: Response, endpoint: &Endpoint, key: &Key, total: u64) -> Self {
        let version = Version::of(&response.headers, total);
        let metadata = Metadata::new(&response.headers, &endpoint.url, key);
        let announced = ExpectedDigests::read(&response, total);
        Self { announced, object: Object { metadata, body: Rc::new(response.body) }, version }
    }
}

impl Version {
    /// The version that an answer with these headers is of.
    pub fn of(headers: &Headers, total: u64) -> Self {
        let text = |name| headers.text(name).map(str::to_owned);
        Self { total, etag: text("etag"), last_modified: text("last-modified") }
    }

    /// Has the origin refuse to give a part of another version: `If-Match` with a strong validator (RFC 9110,
    /// 13.1.1), else `If-Unmodified-Since`.
    fn precondition(&self) -> Option<(&'static str, String)> {
        let strong = self.etag.as_ref().filter(|etag| etag.starts_with('"'));
        let date = self.last_modified.as_ref();
        strong.map(|etag| ("if-match", etag.clone())).or_else(|| date.map(|date| ("if-unmodified-since", date.clone())))
    }
}

#[cfg(test)]
mod tests;
