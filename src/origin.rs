//! The origin's side of a fill: what it is asked, and what its answers mean.

use crate::config::MAX_PART_SIZE;
use crate::content_type;
use crate::http::{Body, ContentRange, Headers, Method, Request, Response, digits};
use crate::integrity::Announced;
use crate::key::Key;
use crate::place::Place;
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
pub enum Answer {
    /// The beginning of the object, or all of it.
    First(First),
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
pub struct First {
    /// What the origin says about all bytes of the object.
    pub announced: Announced,
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
pub enum PartAnswer {
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

/// Content, and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Headers that belong to it.
    pub metadata: Metadata,
    /// Its bytes.
    pub body: Body,
}

/// Asks an origin for an object.
pub fn get(place: &Place, span: Span) -> Request {
    let mut headers = vec![("accept-encoding", "identity".to_owned())];
    if let Span::First { length } = span {
        headers.push(("range", format!("bytes=0-{}", length.saturating_sub(1))));
    }
    let method = if span == Span::Headers { Method::Head } else { Method::Get };
    Request { method, path: place.path.clone(), headers, body: Rc::default() }
}

/// Asks the origin for a later part of the version whose beginning it gave.
pub fn get_part(place: &Place, version: &Version, range: ContentRange) -> Request {
    let mut headers =
        vec![("accept-encoding", "identity".to_owned()), ("range", format!("bytes={}-{}", range.first, range.last))];
    headers.extend(version.precondition());
    Request { method: Method::Get, path: place.path.clone(), headers, body: Rc::default() }
}

/// Whether an origin's answer to a HEAD says that the object is longer than Envoy takes in one answer.
pub fn read_head_too_large(response: &Response) -> bool {
    let length = response.headers.text("content-length").and_then(digits);
    response.status == 200 && length.is_some_and(|length| length > MAX_PART_SIZE)
}

/// Reads the answer to [`get_part`].
pub fn read_part(response: Response, version: &Version, range: ContentRange) -> PartAnswer {
    match response.status {
        206 => {}
        // 200: the range did not apply to what is there now.
        200 | 404 | 410 | 412 | 416 => return PartAnswer::Changed,
        504 => return PartAnswer::TimedOut,
        0 => return PartAnswer::Unavailable("no status"),
        500..=599 => return PartAnswer::Unavailable("5xx"),
        status => return PartAnswer::Refused(status),
    }
    let Some(got) = response.headers.text("content-range").and_then(ContentRange::parse) else {
        return PartAnswer::Unavailable("206 without a usable content-range");
    };
    if Version::of(&response.headers, got.total) != *version {
        return PartAnswer::Changed;
    }
    let came = length(&response.body);
    if got != range {
        return PartAnswer::Unavailable("206 with another range than asked");
    }
    if came != range.length() || contradicts(&response.headers, came) {
        return PartAnswer::Unavailable("length mismatch");
    }
    PartAnswer::Bytes(response.body)
}

/// Reads the answer to [`get`].
pub fn read(response: Response, place: &Place, key: &Key, span: Span) -> Answer {
    match (response.status, span) {
        (200, Span::Headers) => {
            let length = response.headers.text("content-length").and_then(digits);
            Answer::Headers(Metadata::new(&response.headers, place, key), length)
        }
        (200, _) => whole(response, place, key),
        (206, Span::First { length }) => first(response, place, key, length),
        (206, _) => Answer::Unavailable("206 to a request without a range"),
        (404 | 410, _) => Answer::Missing,
        (416, Span::First { .. }) => Answer::Unsatisfiable,
        // Envoy answers in the origin's place when the time of a call is over.
        (504, _) => Answer::TimedOut,
        (0, _) => Answer::Unavailable("no status"),
        (500..=599, _) => Answer::Unavailable("5xx"),
        (status, _) => Answer::Refused(status),
    }
}

fn whole(response: Response, place: &Place, key: &Key) -> Answer {
    let headers = &response.headers;
    let framed = headers.contains("content-length") || headers.contains("transfer-encoding");
    if !framed {
        return Answer::Unframed;
    }
    let total = length(&response.body);
    if contradicts(headers, total) {
        return Answer::Unavailable("length mismatch");
    }
    Answer::First(First::new(response, place, key, total))
}

fn first(response: Response, place: &Place, key: &Key, asked: u64) -> Answer {
    let Some(range) = response.headers.text("content-range").and_then(ContentRange::parse) else {
        return Answer::Unavailable("206 without a usable content-range");
    };
    let expected = range.total.min(asked);
    if range.first != 0 || range.length() != expected {
        return Answer::Unavailable("206 with another range than asked");
    }
    let got = length(&response.body);
    if got != expected || contradicts(&response.headers, got) {
        return Answer::Unavailable("length mismatch");
    }
    Answer::First(First::new(response, place, key, range.total))
}

/// Whether the announced length is another than that of what came.
fn contradicts(headers: &Headers, got: u64) -> bool {
    headers.contains("content-length") && headers.text("content-length").and_then(digits) != Some(got)
}

fn length(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

impl Object {
    /// Number of its bytes.
    pub fn length(&self) -> u64 {
        length(&self.body)
    }
}

impl First {
    fn new(response: Response, place: &Place, key: &Key, total: u64) -> Self {
        let version = Version::of(&response.headers, total);
        let metadata = Metadata::new(&response.headers, place, key);
        let announced = Announced::read(&response, total);
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

/// Headers that are stored with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Headers of the representation, which every reader gets.
    representation: Vec<(&'static str, String)>,
    /// Where the object comes from, as S3 user metadata.
    provenance: Vec<(&'static str, String)>,
}

/// Taken over from the origin.
const REPRESENTATION: [&str; 5] =
    ["content-encoding", "content-language", "content-disposition", "cache-control", "expires"];

/// Codings that say nothing about the object. `aws-chunked` is how an upload was framed; stores that keep it give it to
/// readers (<https://github.com/noobaa/noobaa-core/issues/9138>), and S3 would take our PUT to be framed so.
const NO_CODINGS: [&str; 2] = ["aws-chunked", "identity"];

/// Bytes of names and values that S3 takes as system metadata, and as many again, without the prefix `x-amz-meta-`, as
/// user metadata: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>.
const MAX_METADATA: usize = 2048;

impl Metadata {
    fn new(headers: &Headers, place: &Place, key: &Key) -> Self {
        let content_type = ("content-type", Some(content_type(headers, key).to_owned()));
        let representation = REPRESENTATION.map(|name| (name, represented(headers, name)));
        let provenance = [
            ("x-amz-meta-mirror-last-modified", headers.text("last-modified").map(str::to_owned)),
            ("x-amz-meta-mirror-etag", headers.text("etag").map(str::to_owned)),
            ("x-amz-meta-mirror-url", Some(place.url.clone())),
        ];
        let representation = [content_type].into_iter().chain(representation);
        Self { representation: fitting(representation.collect()), provenance: fitting(provenance.to_vec()) }
    }

    /// The media type.
    pub fn content_type(&self) -> &str {
        self.served().find(|(name, _)| *name == "content-type").map(|(_, value)| value).unwrap_or(content_type::UNKNOWN)
    }

    /// Has the object be cached as the operator wants, and not as the origin does.
    pub fn set_cache_control(&mut self, value: &str) {
        self.representation.retain(|(name, _)| *name != "cache-control" && *name != "expires");
        self.representation.push(("cache-control", value.to_owned()));
    }

    /// All headers that a PUT carries.
    pub fn stored(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.representation.iter().chain(&self.provenance).map(|(name, value)| (*name, value.as_str()))
    }

    /// The headers with which the object itself is served.
    pub fn served(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.representation.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// The origin's type, unless it is none or one that says nothing; then that of the extension.
fn content_type<'a>(headers: &'a Headers, key: &Key) -> &'a str {
    let told = headers.text("content-type").unwrap_or(content_type::UNKNOWN);
    let essence = told.split(';').next().unwrap_or_default().trim();
    if content_type::says_nothing(essence) {
        return content_type::guess(key.as_str()).unwrap_or(told);
    }
    told
}

/// What a header of the representation says. Several that are lists are one (RFC 9110, 5.3).
fn represented(headers: &Headers, name: &str) -> Option<String> {
    if matches!(name, "content-disposition" | "expires") {
        return headers.text(name).map(str::to_owned);
    }
    let mut list = Vec::new();
    for (_, value) in headers.readable().filter(|(known, _)| *known == name) {
        let says =
            |item: &&str| name != "content-encoding" || !NO_CODINGS.iter().any(|no| item.eq_ignore_ascii_case(no));
        list.extend(value.split(',').map(str::trim).filter(says));
    }
    (!list.is_empty()).then(|| list.join(", "))
}

/// What there is and S3 takes.
fn fitting(headers: Vec<(&'static str, Option<String>)>) -> Vec<(&'static str, String)> {
    let mut left = MAX_METADATA;
    let mut kept = Vec::new();
    for (name, value) in headers {
        let Some(value) = value else { continue };
        if let Some(rest) = left.checked_sub(name.len().saturating_add(value.len())) {
            left = rest;
            kept.push((name, value));
        }
    }
    kept
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
