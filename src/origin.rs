//! The origin's side of a fill: what it is asked, and what its answers mean.

use crate::config::Origin;
use crate::content_type;
use crate::http::{Body, ContentRange, Headers, Method, Request, Response, digits};
use crate::key::Key;
use std::rc::Rc;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The first bytes, as many as fit one part. An origin may answer with the whole object instead.
    First {
        /// Bytes asked for; above 0.
        length: u64,
    },
    /// Everything, without a `Range`.
    Whole,
}

/// What an origin's answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The beginning of the object, or all of it.
    First(First),
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
    /// What came.
    pub object: Object,
    /// Length of the whole object; that of `object.body` if that is all of it.
    pub total: u64,
}

/// Content, and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Headers that belong to it.
    pub metadata: Metadata,
    /// Its bytes.
    pub body: Body,
}

/// Asks the origin for an object. Of the client's request only the key goes there.
pub fn get(origin: &Origin, key: &Key, span: Span) -> Request {
    let mut headers = vec![("accept-encoding", "identity".to_owned())];
    if let Span::First { length } = span {
        headers.push(("range", format!("bytes=0-{}", length.saturating_sub(1))));
    }
    Request { method: Method::Get, path: path(origin, key), headers, body: Rc::default() }
}

/// Reads the answer to [`get`].
pub fn read(response: Response, origin: &Origin, key: &Key, span: Span) -> Answer {
    match (response.status, span) {
        (200, _) => whole(response, origin, key),
        (206, Span::First { length }) => first(response, origin, key, length),
        (206, Span::Whole) => Answer::Unavailable("206 to a request without a range"),
        (404 | 410, _) => Answer::Missing,
        (416, Span::First { .. }) => Answer::Unsatisfiable,
        // Envoy answers in the origin's place when the time of a call is over.
        (504, _) => Answer::TimedOut,
        (0, _) => Answer::Unavailable("no status"),
        (500..=599, _) => Answer::Unavailable("5xx"),
        (status, _) => Answer::Refused(status),
    }
}

fn whole(response: Response, origin: &Origin, key: &Key) -> Answer {
    let headers = &response.headers;
    let framed = headers.contains("content-length") || headers.contains("transfer-encoding");
    if !framed {
        return Answer::Unframed;
    }
    let total = length(&response.body);
    if contradicts(headers, total) {
        return Answer::Unavailable("length mismatch");
    }
    Answer::First(First { object: Object::new(response, origin, key), total })
}

fn first(response: Response, origin: &Origin, key: &Key, asked: u64) -> Answer {
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
    Answer::First(First { object: Object::new(response, origin, key), total: range.total })
}

/// Whether the announced length is another than that of what came.
fn contradicts(headers: &Headers, got: u64) -> bool {
    headers.contains("content-length") && headers.text("content-length").and_then(digits) != Some(got)
}

fn length(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

fn path(origin: &Origin, key: &Key) -> String {
    format!("{}/{}", origin.path_prefix, key.encoded())
}

impl Object {
    fn new(response: Response, origin: &Origin, key: &Key) -> Self {
        let metadata = Metadata::new(&response.headers, origin, key);
        Self { metadata, body: Rc::new(response.body) }
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

/// Taken over from the origin as they are.
const REPRESENTATION: [&str; 5] =
    ["content-encoding", "content-language", "content-disposition", "cache-control", "expires"];

/// Bytes of names, without the prefix `x-amz-meta-`, and values that S3 takes as user metadata:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>.
const MAX_USER_METADATA: usize = 2048;

impl Metadata {
    fn new(headers: &Headers, origin: &Origin, key: &Key) -> Self {
        let mut representation = vec![("content-type", content_type(headers, key).to_owned())];
        for name in REPRESENTATION {
            let value = headers.text(name).filter(|value| (name, *value) != ("content-encoding", "identity"));
            representation.extend(value.map(|value| (name, value.to_owned())));
        }
        let url = format!("//{}{}", origin.authority, path(origin, key));
        let provenance = [
            ("x-amz-meta-mirror-last-modified", headers.text("last-modified")),
            ("x-amz-meta-mirror-etag", headers.text("etag")),
            ("x-amz-meta-mirror-url", Some(url.as_str())),
        ];
        let mut left = MAX_USER_METADATA;
        let mut fits = |name: &str, value: &str| {
            let needed = name.len().saturating_add(value.len());
            let rest = left.checked_sub(needed);
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        let provenance = provenance
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value.to_owned())))
            .filter(|(name, value)| fits(name, value))
            .collect();
        Self { representation, provenance }
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

/// The origin's type, unless it is none or the one that says nothing; then that of the extension.
fn content_type<'a>(headers: &'a Headers, key: &Key) -> &'a str {
    match headers.text("content-type") {
        Some(told) if !told.eq_ignore_ascii_case(content_type::UNKNOWN) => told,
        _ => content_type::guess(key.as_str()).unwrap_or(content_type::UNKNOWN),
    }
}

#[cfg(test)]
mod tests;
