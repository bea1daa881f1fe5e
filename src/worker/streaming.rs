//! Streams that are passed to an origin: what is asked there, and what of the answer reaches the client.

use super::reply::{LocalReply, OUTCOME_HEADER, RETRY_AFTER_FAILURE, stream_error, stream_refusal};
use super::{ClientRequest, Worker};
use crate::config::Origin;
use crate::config::rule::{Mirror, On5xx};
use crate::fill::{FillKey, FillRequest, PassedObject};
use crate::http::{ContentRange, Headers, Method, digits};
use crate::object::key::Key;
use crate::origin::endpoint::Endpoint;
use crate::origin::{self, Span};
use crate::request::denial::Denial;
use crate::request::passing::{Wanted, text};
use crate::request::precondition::wanted;
use crate::request::target::Target;
use crate::single_flight::effect::StreamId;
use crate::single_flight::feeding::PieceStep;
use crate::single_flight::leases::SharedHost;
use std::rc::Rc;
use std::time::Instant;

/// The header by which the route of streams chooses the cluster. No client's comes that far, and it goes no further.
pub const CLUSTER_HEADER: &str = "x-mirror-on-miss-cluster";

/// [`Outcome::Passed`](crate::fill::Outcome::Passed)'s label.
const LABEL: &str = "streamed";

/// The outcome of a stream whose origin does not give the object, or gives another version.
pub const STREAM_FAILED: &str = "origin_unavailable";

/// The step that a marked request takes.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamStep {
    /// It is answered so, and goes nowhere.
    Answer(LocalReply),
    /// It is a request like any other, without the marker.
    AskBucket,
    /// It goes to an origin with these headers and no others.
    Pass(Box<PassedStream>, Vec<(String, String)>),
}

/// The failure of a stream, in the place of the object.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamFailure {
    /// The client's answer.
    pub reply: LocalReply,
    /// The origin does not have the object that was permitted, so nobody else is to be passed to it. Else it says nothing about
    /// the object: the origin is overloaded, or cannot be reached.
    pub is_of_object: bool,
}

/// A stream that was passed to an origin.
#[derive(Debug, PartialEq, Eq)]
pub struct PassedStream {
    object: Rc<PassedObject>,
    target: Target,
    range: Option<(u64, u64)>,
    request_id: String,
}

impl Worker {
    /// Decides about a request. `header` looks up its headers.
    pub fn open_stream(
        &mut self,
        stream: StreamId,
        request: &ClientRequest,
        header: &dyn Fn(&str) -> Option<Vec<u8>>,
        now: Instant,
        shared: &dyn SharedHost,
    ) -> StreamStep {
        self.passed(stream, request, header, now, shared).unwrap_or(StreamStep::AskBucket)
    }

    fn passed(
        &mut self,
        stream: StreamId,
        request: &ClientRequest,
        header: &dyn Fn(&str) -> Option<Vec<u8>>,
        now: Instant,
        shared: &dyn SharedHost,
    ) -> Option<StreamStep> {
        if !request.is_marked || request.method != Method::Get {
            return None;
        }
        let (target, mirror) = self.target_and_mirror(request)?;
        if target.is_part() || mirror.observe {
            return None;
        }
        let fill = FillRequest::new(&self.config.rules, mirror, &target, &request.headers, Denial::NotFound, false);
        let permit = match self.flights.open_stream(stream, &fill.fill_key, shared) {
            None if fill.mirror.on_5xx == On5xx::Origin => {
                let unavailable = FillKey { unavailable: true, ..FillKey::clone(&fill.fill_key) };
                self.flights.open_stream(stream, &unavailable, shared)?
            }
            permit => permit?,
        };
        let mirror = [&fill.mirror].into_iter().chain(&fill.then).nth(permit.place.mirror.into());
        let origin = mirror.and_then(|mirror| Some((mirror, mirror.origins.get(usize::from(permit.place.origin))?)));
        let endpoint = origin.map(|(mirror, origin)| endpoint(mirror, origin, &fill, &permit.object));
        let total = permit.object.version.total;
        let request_id = text(header, "x-request-id");
        let object = permit.object.representation();
        let (tag, modified) = (object.etag.clone().unwrap_or_default(), object.modified());
        let range = match (wanted(header, &tag, modified, total), endpoint) {
            (Wanted::All, Some(endpoint)) => Ok((None, endpoint)),
            (Wanted::Range(first, last), Some(endpoint)) => Ok((Some((first, last)), endpoint)),
            (wanted, _) => Err(wanted),
        };
        let (range, (endpoint, cluster)) = match range {
            Ok(passed) => passed,
            Err(wanted) => {
                self.flights.close_stream(stream, now, shared);
                return refusal(wanted, &target, &request_id, &permit.object).map(StreamStep::Answer);
            }
        };
        if !origin.is_some_and(|(_, origin)| self.flights.may_stream(origin, shared)) {
            self.flights.close_stream(stream, now, shared);
            return None;
        }
        self.flights.ask_range(stream, range.unwrap_or((0, total.saturating_sub(1))));
        let headers = headers(endpoint, cluster, range, header);
        Some(StreamStep::Pass(Box::new(PassedStream { object: permit.object, target, range, request_id }), headers))
    }

    /// Takes the answer to a stream, which is not of the object that it was passed to.
    pub fn fail_stream(&mut self, stream: StreamId, shared: &dyn SharedHost) {
        self.flights.fail_stream(stream, shared);
    }

    /// Notes that the answer to a stream is of the object that it was passed to.
    pub fn answer_stream(&mut self, stream: StreamId) {
        self.flights.answer_stream(stream);
    }

    /// Takes a piece of a stream's body. `read` reads some bytes of it, from a place on.
    pub fn feed(
        &mut self,
        stream: StreamId,
        length: usize,
        read: &dyn Fn(usize, usize) -> Vec<u8>,
        now: Instant,
        shared: &dyn SharedHost,
    ) -> PieceStep {
        self.flights.feed(stream, length, read, now, shared)
    }

    /// Takes the end of a stream that was passed. [`tick`](Self::tick) may have something to do.
    pub fn close_stream(&mut self, stream: StreamId, now: Instant, shared: &dyn SharedHost) {
        self.flights.close_stream(stream, now, shared);
    }
}

/// Returns the place where the object is, and the cluster for streams from there.
fn endpoint(mirror: &Mirror, origin: &Rc<Origin>, fill: &FillRequest, object: &PassedObject) -> (Endpoint, String) {
    let endpoint = Endpoint::at(origin, mirror, &fill.fill_key.origin_key, &fill.fill_key.forwarded);
    let endpoint = match &object.moved {
        Some(moved) => endpoint.moved_to(moved),
        None => endpoint,
    };
    let own = origin.stream_cluster.as_ref().filter(|_| endpoint.upstream.cluster == origin.upstream.cluster);
    let cluster = own.unwrap_or(&endpoint.upstream.cluster).clone();
    (endpoint, cluster)
}

/// The headers that stay: Envoy finds no route without `x-forwarded-proto` (`RouteMatcher::route`), which its cluster of streams
/// takes off.
const KEPT: [&str; 3] = [":scheme", "x-forwarded-proto", "x-request-id"];

/// Makes all headers of the request.
fn headers(
    endpoint: Endpoint,
    cluster: String,
    range: Option<(u64, u64)>,
    header: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Vec<(String, String)> {
    let request = origin::get(&endpoint, Span::Whole);
    let own = [
        (":method", request.method.as_str().to_owned()),
        (":path", request.path),
        (":authority", endpoint.upstream.authority.clone()),
        (CLUSTER_HEADER, cluster),
        ("range", range.map(|(first, last)| format!("bytes={first}-{last}")).unwrap_or_default()),
    ];
    let mut all = Vec::new();
    for (name, value) in own {
        add(&mut all, name, value);
    }
    for name in KEPT {
        add(&mut all, name, text(header, name));
    }
    for (name, value) in request.headers {
        add(&mut all, name, value);
    }
    all.extend(endpoint.upstream.headers.iter().cloned());
    all
}

/// Adds a header that has a value.
#[inline(never)]
fn add(headers: &mut Vec<(String, String)>, name: &str, value: String) {
    if !value.is_empty() {
        headers.push((name.to_owned(), value));
    }
}

/// Answers a request that goes nowhere. `None` if it is for the bucket.
fn refusal(wanted: Wanted, target: &Target, request_id: &str, object: &PassedObject) -> Option<LocalReply> {
    let status = match wanted {
        Wanted::NotModified => 304,
        Wanted::OtherVersion => 412,
        Wanted::Unsatisfiable => 416,
        Wanted::All | Wanted::AskBucket | Wanted::Range(..) => return None,
    };
    Some(stream_refusal(status, LABEL, target, request_id, &object.representation()))
}

impl PassedStream {
    /// Returns the status and headers for the client, or the failure in the place of an answer that is not of the object's
    /// version.
    pub fn answered(&self, headers: &Headers) -> Result<LocalReply, StreamFailure> {
        let length = headers.text("content-length").and_then(digits);
        let range = self.range.and_then(|(first, last)| {
            let range = headers.only("content-range").and_then(ContentRange::parse)?;
            let is_asked = range.first == first && range.last <= last && length == Some(range.length());
            (headers.status() == 206 && is_asked).then_some(range)
        });
        let is_whole = headers.status() == 200 && !headers.contains("content-range");
        let total = range.map(|range| range.total).or(length.filter(|_| is_whole));
        let Some(length) = length.filter(|_| total.is_some_and(|total| self.object.version.has(headers, total))) else {
            let error = (502, STREAM_FAILED, "OriginUnavailable", "The origin failed to give the object.");
            let reply = stream_error(&self.target, &self.request_id, error, Some(RETRY_AFTER_FAILURE));
            let is_of_object = !matches!(headers.status(), 408 | 425 | 429 | 500..=599);
            return Err(StreamFailure { reply, is_of_object });
        };
        let mut answer = self.object.representation().headers();
        answer.push((OUTCOME_HEADER, LABEL.to_owned()));
        answer.push(("content-length", length.to_string()));
        answer.extend(
            range.map(|ContentRange { first, last, total }| ("content-range", format!("bytes {first}-{last}/{total}"))),
        );
        Ok(LocalReply { status: if range.is_some() { 206 } else { 200 }, headers: answer, body: None })
    }

    /// Returns the key, for the log.
    pub fn key(&self) -> &Key {
        &self.target.key
    }
}
