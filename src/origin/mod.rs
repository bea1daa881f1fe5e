//! The origin's side of a fill: what it is asked, and what its answers mean.

pub mod endpoint;
pub mod reading;
mod version;

pub use version::Version;

use crate::config::MAX_PART_SIZE;
use crate::http::{ContentRange, Headers, Method, Request, Response, digits};
use crate::object::integrity::ExpectedDigests;
use crate::object::key::Key;
use crate::object::metadata::Metadata;
use crate::object::{EntityTag, Object};
use endpoint::Endpoint;
use reading::{Asked, Reading};
use std::rc::Rc;

/// The extent of a request.
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

/// The meaning of an origin's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchResult {
    /// The beginning of the object, or all of it. One of just the length that was asked for may be either, whatever its total
    /// is: see [`confirms`].
    First(FirstRange),
    /// Headers of an object that was asked for with HEAD.
    Headers {
        metadata: Metadata,
        length: Option<u64>,
        /// [`Object::etag`].
        etag: Option<EntityTag>,
    },
    /// The origin does not have the object.
    Missing,
    /// 401, 403, another 4xx, a redirect, or a success that is not one of a GET: asking again does not help.
    Refused(u16),
    /// No answer in time.
    TimedOut,
    /// The origin failed, is busy, or contradicts itself. It may do better the next time.
    Unavailable(Failure),
    /// Nothing tells the end of the content from a connection that was cut, so it cannot be stored.
    Unframed,
    /// It is no answer to a range. The same without `Range` may have one.
    Unusable {
        /// Length of the object, where a 416 tells it.
        total: Option<u64>,
    },
}

/// A failure of an origin that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its cause.
    pub why: &'static str,
    /// The seconds for which the origin asks to be left alone: 1 to 60.
    pub retry_after: Option<u8>,
    /// Some servers refuse ranges so, and nothing else.
    pub may_refuse_ranges: bool,
}

/// The beginning of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstRange {
    /// The digests that the origin announces of the whole object.
    pub announced: ExpectedDigests,
    /// The bytes that came, with their metadata.
    pub object: Object,
    /// No cache may store it, or none that serves several clients (RFC 9111, 5.2.2.5 and 5.2.2.7).
    pub private: bool,
    /// The version of the object that it is the beginning of.
    pub version: Version,
}

/// The meaning of an answer to [`get_part`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartResult {
    /// Bytes of the version asked for, from the first one asked for on; at least one, and not always all.
    Bytes(Vec<u8>),
    /// The origin has another version now, or none.
    Changed,
    /// 412: the origin says that the precondition does not hold.
    PreconditionFailed,
    /// 401, 403, another 4xx or a redirect.
    Refused(u16),
    /// No answer in time.
    TimedOut,
    /// The origin failed, is busy, or contradicts itself. It may do better the next time.
    Unavailable(Failure),
}

/// Asks an origin for an object.
pub fn get(endpoint: &Endpoint, span: Span) -> Request {
    let mut headers = headers(endpoint);
    if let Span::First { length } = span {
        headers.push(("range", ["bytes=0-", &length.saturating_sub(1).to_string()].concat()));
    }
    let method = if span == Span::Headers { Method::Head } else { Method::Get };
    Request { method, path: endpoint.target(), headers, metadata: Vec::new(), body: Rc::default() }
}

/// Asks the origin for later bytes of the version whose beginning it gave.
pub fn get_part(endpoint: &Endpoint, version: &Version, range: ContentRange, conditional: bool) -> Request {
    let mut headers = headers(endpoint);
    headers.push(("range", format!("bytes={}-{}", range.first, range.last)));
    headers.extend(version.precondition().filter(|_| conditional));
    Request { method: Method::Get, path: endpoint.target(), headers, metadata: Vec::new(), body: Rc::default() }
}

/// Makes the headers of each request. A `User-Agent` of the configuration's `headers`, or of the client, goes before ours.
fn headers(endpoint: &Endpoint) -> Vec<(&'static str, String)> {
    let own = endpoint.upstream.headers.iter().any(|(name, _)| name == "user-agent");
    let user_agent = (!own).then(|| ("user-agent", endpoint.origin.user_agent.clone()));
    // There is room for a range and a precondition.
    let mut headers = Vec::with_capacity(4);
    headers.push(("accept-encoding", "identity".to_owned()));
    headers.extend(user_agent);
    headers
}

/// Tells if an origin's answer to a HEAD says that the object is longer than Envoy takes in one answer, and comes in one
/// answer. An origin that gave no range where one was asked for may still say that it knows them.
pub fn read_head_too_large(response: &Response, unranged: bool) -> bool {
    let length = response.headers.text("content-length").and_then(digits);
    let ranges = response.headers.text("accept-ranges").is_some_and(|unit| unit.eq_ignore_ascii_case("bytes"));
    response.status == 200 && length.is_some_and(|length| length > MAX_PART_SIZE) && (unranged || !ranges)
}

/// Tells if an origin's answer to a HEAD says that this version has its length. It has the version's own validators, so it is
/// about no other one.
pub fn confirms(response: &Response, version: &Version) -> bool {
    let length = response.headers.text("content-length").and_then(digits);
    response.status == 200 && length.is_some_and(|length| version.has(&response.headers, length))
}

/// Tells if an answer to [`get_part`] refuses it, or redirects.
pub fn refuses(response: &Response) -> bool {
    matches!(response.status, 300..=399 | 400 | 401 | 403)
}

/// Reads the answer to [`get_part`].
pub fn read_part(response: Response, endpoint: &Endpoint, version: &Version, range: ContentRange) -> PartResult {
    match response.status {
        _ if endpoint.lacks(response.status, &response.headers) => return PartResult::Changed,
        // 200: the range did not apply to what is there now.
        200 | 416 => return PartResult::Changed,
        412 => return PartResult::PreconditionFailed,
        _ => {}
    }
    match reading::read(&response, Asked::Range { first: range.first, last: range.last }, false) {
        Reading::Range(got) if version.has(&response.headers, got.total) => PartResult::Bytes(response.body),
        Reading::Range(_) => PartResult::Changed,
        Reading::TimedOut => PartResult::TimedOut,
        Reading::Busy => PartResult::Unavailable(Failure::of(&response, "busy")),
        Reading::Failed(why) => PartResult::Unavailable(Failure::of(&response, why)),
        Reading::Unusable if response.status == 206 => {
            PartResult::Unavailable(Failure::of(&response, "206 with another range than asked"))
        }
        Reading::Unusable if response.status >= 500 => PartResult::Unavailable(Failure::of(&response, reading::FAILED)),
        Reading::Refused(_) | Reading::Unframed | Reading::Unusable | Reading::Whole => {
            PartResult::Refused(response.status)
        }
    }
}

/// Reads the answer to [`get`].
pub fn read(response: Response, endpoint: &Endpoint, key: &Key, span: Span) -> FetchResult {
    let asked = match span {
        Span::First { length } => Asked::Range { first: 0, last: length.saturating_sub(1) },
        Span::Headers | Span::Whole => Asked::Whole,
    };
    if endpoint.lacks(response.status, &response.headers) {
        return FetchResult::Missing;
    }
    if span == Span::Headers && response.status == 200 {
        let length = response.headers.text("content-length").and_then(digits);
        let metadata = metadata(&response, endpoint, key);
        let etag = length.and_then(|length| Version::of(&response.headers, length, endpoint.origin.pin).tag());
        return FetchResult::Headers { metadata, length, etag };
    }
    // Only a 200 may have no end of its own.
    let has_digest =
        || response.status == 200 && !ExpectedDigests::read(&response, reading::length(&response)).is_empty();
    let ends = endpoint.http2 || has_digest();
    match reading::read(&response, asked, ends) {
        Reading::Range(range) => FetchResult::First(FirstRange::new(response, endpoint, key, range.total)),
        Reading::Whole => {
            let total = reading::length(&response);
            FetchResult::First(FirstRange::new(response, endpoint, key, total))
        }
        Reading::Refused(status) => FetchResult::Refused(status),
        Reading::TimedOut => FetchResult::TimedOut,
        Reading::Busy => FetchResult::Unavailable(Failure::of(&response, "busy")),
        Reading::Failed(why) => FetchResult::Unavailable(Failure::of(&response, why)),
        Reading::Unframed => FetchResult::Unframed,
        Reading::Unusable => FetchResult::Unusable { total: unsatisfied(&response) },
    }
}

fn metadata(response: &Response, endpoint: &Endpoint, key: &Key) -> Metadata {
    Metadata::new(&response.headers, &endpoint.url, key, endpoint.guess_types, &endpoint.metadata)
}

/// Reads the length of the object that a 416 tells: `Content-Range: bytes */0` (RFC 9110, 14.4).
fn unsatisfied(response: &Response) -> Option<u64> {
    let range = response.headers.only("content-range").filter(|_| response.status == 416)?;
    range.strip_prefix("bytes */").and_then(digits)
}

impl Failure {
    /// Makes a failure that brought no answer.
    pub fn without_answer(why: &'static str) -> Self {
        Self { why, retry_after: None, may_refuse_ranges: false }
    }

    fn of(response: &Response, why: &'static str) -> Self {
        const LONGEST: u64 = 60;
        let seconds = response.headers.text("retry-after").and_then(digits);
        let retry_after = seconds.and_then(|seconds| u8::try_from(seconds.clamp(1, LONGEST)).ok());
        Self { why, retry_after, may_refuse_ranges: why == reading::FAILED }
    }
}

impl FirstRange {
    fn new(response: Response, endpoint: &Endpoint, key: &Key, total: u64) -> Self {
        let version = Version::of(&response.headers, total, endpoint.origin.pin);
        let metadata = metadata(&response, endpoint, key);
        let announced = ExpectedDigests::read(&response, total);
        let private = is_private(&response.headers);
        let object = Object { metadata, body: Rc::new(response.body), etag: version.tag() };
        Self { announced, object, private, version }
    }
}

/// Tells if `Cache-Control` says `private` or `no-store`. A `private` that names fields counts, too: they are not stored apart.
fn is_private(headers: &Headers) -> bool {
    let mut directives = headers.texts("cache-control").flat_map(|value| value.split(','));
    directives.any(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        ["no-store", "private"].iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests;
