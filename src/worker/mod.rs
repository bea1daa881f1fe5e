//! One worker's state: the streams that it holds, and the fills that they wait for.
//!
//! A stream whose bucket answered 400, 403 or 404 is held from the response's headers on. The worker reads its error
//! document to the end, then judges the denial. A miss joins its fill; every other stream is let go. A held stream
//! always has a deadline, first that of the reading, then that of the waiting.

mod page;
pub mod reply;
pub mod streaming;

use crate::config::rule::{Mirror, On5xx, ResponseMode, mirror_for};
use crate::config::{Bucket, Config, Deleted, Location};
use crate::fill::{FillKey, FillRequest, Outcome};
use crate::http::{Body, Method, Response, is_field_value};
use crate::request::denial::{Denial, Verdict, judge, outlasts_its_request};
use crate::request::passing::{RangeRequest, with_marker, without_marker};
use crate::request::precondition::Precondition;
use crate::request::target::{Target, TargetError, is_plain, own_base, readable, without_query};
use crate::request::trace::Trace;
use crate::s3::xml;
use crate::single_flight::effect::{Effect, Source, StreamId, Ticket};
use crate::single_flight::leases::{Leases, SharedHost};
use crate::single_flight::messages::Message;
use crate::single_flight::{Flights, Join};
use crate::sorted_map::SortedMap;
use page::PageLookup;
use reply::{LocalReply, Reply, ReplyContext, reply};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The longest time from the headers of the bucket's error to the end of its document. It also bounds the whole
/// reading where bodies do not arrive while headers are held (no `allow_on_headers_stop_iteration`).
pub const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes of a body that are kept in Envoy's buffer of a held response, or put into it.
///
/// Past `per_connection_buffer_limit_bytes` Envoy fails the stream with a 500. Where the module itself filled the
/// buffer, Envoy does so inside the host call. The callback at the stream's end then finds the SDK borrowed, which is
/// a panic (measured on 1.40). The limit is 1 MiB by default and 32 KiB in Envoy's advice for edges; this is half of
/// that. S3's error documents are below 8 KiB.
pub const MAX_BUFFERED: usize = 16 * 1024;

/// The facts of a client's request that a miss needs. They are taken from every GET and HEAD, so they are not parsed
/// before the bucket has denied the object.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    method: Method,
    /// Without the marker.
    path_and_query: Vec<u8>,
    /// It had the marker.
    is_marked: bool,
    /// The client's headers that some rule lists.
    headers: Vec<(String, String)>,
    /// The scheme and authority of the store, if the request names the store: then the edge follows `Location`.
    store_base: Option<String>,
}

impl ClientRequest {
    /// Tells if it had the marker.
    pub fn is_marked(&self) -> bool {
        self.is_marked
    }
}

/// A request for an object that is mirrored.
#[derive(Clone, Debug)]
pub struct MirroredRequest {
    pub target: Target,
    /// The client's headers that some rule lists.
    headers: Vec<(String, String)>,
    mirror: Rc<Mirror>,
    /// [`ClientRequest::is_marked`].
    is_marked: bool,
    /// [`ClientRequest::store_base`].
    store_base: Option<String>,
}

/// The denial of a stream's object.
#[derive(Debug, Default)]
pub struct DeniedResponse {
    /// Envoy's `response.code_details`, which say what made it.
    pub details: Option<Vec<u8>>,
    /// The error document, if there is one.
    pub document: Option<Vec<u8>>,
    /// The condition of the client's request.
    pub precondition: Precondition,
    /// Its range.
    pub range: Option<RangeRequest>,
    /// The headers that the calls of its fill carry.
    pub trace: Trace,
}

/// The adapter's next step with a piece of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyStep {
    /// Hold it, and empty the buffer.
    Drop,
    /// Hold it, and keep the buffer.
    Keep,
    /// Let it pass.
    Pass,
}

/// The way in which an answer reaches its stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A local reply. It is used where there is no body that could be replaced, where the bucket's body has not come
    /// to its end, and where the answer is too large for Envoy's buffer. Filters of the chain do not see it.
    Direct(LocalReply),
    /// In place of the bucket's headers and, if a body is given, of the buffered body.
    InPlace(LocalReply, Option<Body>),
    /// The bucket's answer with one more header: the outcome's name.
    Tagged(&'static str),
    /// The bucket's answer.
    Untouched,
}

/// One worker's state.
#[derive(Debug)]
pub struct Worker {
    config: Rc<Config>,
    /// Names of request headers that some rule lists.
    listed: Vec<String>,
    flights: Flights,
    streams: SortedMap<StreamId, Held>,
    /// Streams whose error document is being read, with the deadline of each. All may take equally long, so they
    /// stand in the order of their deadlines. Some of them are judged already, or gone.
    reading: VecDeque<(Instant, StreamId)>,
    /// The streams among them whose response has come to its end.
    complete: Vec<StreamId>,
    /// Denials that this worker has remembered as errors of the whole bucket.
    failing: Vec<Denial>,
    /// The time of the last warning about a bucket that cannot be read.
    warned: Option<Instant>,
}

/// A stream whose response is held.
#[derive(Debug)]
struct Held {
    wanted: MirroredRequest,
    denial: Denial,
    content: Content,
    /// The error document is being read.
    reading: bool,
    /// The buffered body had to be dropped.
    dropped: bool,
    /// The key of the fill that it waits for, once that is known.
    fill_key: Option<Rc<FillKey>>,
    /// It may look for a page yet.
    lookup: Option<PageLookup>,
    /// The page that it waits for instead of its object.
    page: Option<Target>,
    /// Likewise.
    precondition: Precondition,
    /// Likewise.
    range: Option<RangeRequest>,
    /// Likewise.
    trace: Trace,
}

/// The part of the bucket's body that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// All of it.
    Complete,
    /// There is no body.
    None,
    /// Nothing yet.
    Pending,
    /// Some of it.
    Started,
}

/// The reason why the 404 of a deleted object is passed on, and the outcome that its client sees.
const DELETED: &str = "deleted";
const OBSERVED: &str = "observed";

const WARN_EVERY: Duration = Duration::from_secs(60);

impl Worker {
    /// Makes a worker without streams. `seed` differs between workers.
    pub fn new(config: Rc<Config>, leases: Leases, seed: u64) -> Self {
        let flights = Flights::new(config.clone(), leases, seed);
        let mirrors = config.rules.iter().filter_map(|rule| rule.mirror.as_ref());
        let mut listed: Vec<String> = Vec::new();
        for name in mirrors.flat_map(|mirror| &mirror.request_headers) {
            if !listed.contains(name) {
                listed.push(name.clone());
            }
        }
        Self {
            config,
            listed,
            flights,
            streams: SortedMap::default(),
            reading: VecDeque::new(),
            complete: Vec::new(),
            failing: Vec::new(),
            warned: None,
        }
    }

    /// Takes the facts that a miss would need from a request. `None` if every answer to it is to be left alone.
    /// `header` looks up a header of the request.
    pub fn capture(&self, header: &dyn Fn(&str) -> Option<Vec<u8>>) -> Option<ClientRequest> {
        let method = readable(&header(":method")?)?;
        let mut path_and_query = header(":path")?;
        let rest = self.config.marker.as_ref().and_then(|marker| without_marker(&path_and_query, marker));
        let is_marked = rest.is_some();
        path_and_query.truncate(rest.map(<[u8]>::len).unwrap_or(usize::MAX));
        // An edge that follows redirects has replaced the client's authority by the store's. No other one is believed.
        let store = self.config.bucket.upstream.authority.as_bytes();
        let store_base = match self.config.location {
            Some(Location::Absolute) if header(":authority")?.eq_ignore_ascii_case(store) => {
                header(":scheme").and_then(|scheme| own_base(&scheme, store))
            }
            Some(Location::Absolute | Location::Base(_) | Location::Distinct) | None => None,
        };
        let listed = self.listed.iter().filter_map(|name| {
            let value = String::from_utf8(header(name)?).ok()?;
            is_field_value(&value).then(|| (name.clone(), value))
        });
        Some(ClientRequest { method, path_and_query, is_marked, headers: listed.collect(), store_base })
    }

    /// Returns the path and query for the bucket, if they differ from those that came. Rules do not matter here.
    pub fn path_of_bucket(&self, captured: &ClientRequest) -> Option<Vec<u8>> {
        if captured.is_marked {
            return Some(match self.read_target(captured) {
                Ok(target) => target.path_of_bucket().into_bytes(),
                // A route refuses it, once the marker is off.
                Err(TargetError::SubResource) => captured.path_and_query.clone(),
                Err(_) => without_query(&captured.path_and_query),
            });
        }
        if is_plain(&captured.path_and_query) {
            return None;
        }
        let asked = match self.target(captured) {
            Some(target) => target.path_of_bucket().into_bytes(),
            None => without_query(&captured.path_and_query),
        };
        (asked != captured.path_and_query).then_some(asked)
    }

    /// Finds the object of a request, if it is mirrored when the bucket denies it so.
    pub fn mirrored_request(&self, captured: ClientRequest, denial: Denial) -> Option<MirroredRequest> {
        let (target, mirror) = self.target_and_mirror(&captured)?;
        if denial == Denial::Unavailable && (mirror.on_5xx == On5xx::Pass || mirror.observe) {
            return None;
        }
        let ClientRequest { headers, is_marked, store_base, .. } = captured;
        Some(MirroredRequest { target, headers, mirror: mirror.clone(), is_marked, store_base })
    }

    /// Holds a stream whose object was denied. `end` says that the response has no body.
    pub fn hold(&mut self, stream: StreamId, wanted: MirroredRequest, denial: Denial, end: bool, now: Instant) {
        let content = if end { Content::None } else { Content::Pending };
        let denial = match (denial, self.config.bucket.deleted) {
            (Denial::Deleted, Deleted::Refill) => Denial::NotFound,
            (denial, _) => denial,
        };
        let (precondition, trace) = (Precondition::default(), Trace::default());
        let held = Held {
            wanted,
            denial,
            content,
            reading: true,
            dropped: false,
            fill_key: None,
            lookup: None,
            page: None,
            precondition,
            range: None,
            trace,
        };
        self.streams.insert(stream, held);
        self.reading.push_back((now.checked_add(READ_TIMEOUT).unwrap_or(now), stream));
        self.complete.extend(end.then_some(stream));
    }

    /// Takes a piece of a response's body. `size` is the size of everything that is buffered of it.
    pub fn body(&mut self, stream: StreamId, size: usize, end: bool) -> BodyStep {
        let Some(held) = self.streams.get_mut(&stream) else { return BodyStep::Pass };
        held.content = if end { Content::Complete } else { Content::Started };
        self.complete.extend(end.then_some(stream));
        held.dropped |= size > MAX_BUFFERED;
        if held.dropped { BodyStep::Drop } else { BodyStep::Keep }
    }

    /// Takes the response's trailers, which end its body. Returns `true` if they are to be held.
    pub fn trailers(&mut self, stream: StreamId) -> bool {
        let Some(held) = self.streams.get_mut(&stream) else { return false };
        held.content = if held.content == Content::Pending { Content::None } else { Content::Complete };
        self.complete.push(stream);
        true
    }

    /// Tells if nothing is left of a stream that could be [forgotten](Self::forget): neither itself nor a body that it got.
    pub fn has_nothing_of(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_none() && !self.flights.has_copies()
    }

    /// Forgets a stream that is gone. Its fill goes on. `true` says that [`tick`](Self::tick) has something to do.
    pub fn forget(&mut self, stream: StreamId, now: Instant) -> bool {
        let fill_key = self.streams.remove(&stream).and_then(|held| held.fill_key);
        self.flights.leave(stream, fill_key.as_deref(), now)
    }

    /// Returns the streams whose error document has come, or will not come in time. The flag says that there is one
    /// to be read. Each stream is returned once, to be judged.
    pub fn readable(&mut self, now: Instant) -> Vec<(StreamId, bool)> {
        let mut ended = std::mem::take(&mut self.complete);
        let late = self.reading.iter().take_while(|(until, _)| *until <= now).count();
        ended.extend(self.reading.drain(..late).map(|(_, stream)| stream));
        let read = |stream| match self.streams.get_mut(&stream) {
            Some(held) => {
                let document = held.content == Content::Complete && !held.dropped;
                std::mem::take(&mut held.reading).then_some((stream, document))
            }
            None => None,
        };
        ended.into_iter().filter_map(read).collect()
    }

    /// Judges a stream's denial. `asked` reads the time of its client's request, on the shared host's clock. Few denials need it.
    pub fn judge(
        &mut self,
        stream: StreamId,
        denied: &DeniedResponse,
        asked: &dyn Fn() -> u64,
        now: Instant,
        shared: &dyn SharedHost,
    ) -> Vec<Effect> {
        let Some(held) = self.streams.get_mut(&stream) else { return Vec::new() };
        held.reading = false;
        (held.precondition, held.trace) = (denied.precondition.clone(), denied.trace.clone());
        held.range = denied.range.clone();
        let MirroredRequest { target, headers, mirror, .. } = &held.wanted;
        if !held.denial.is_by_bucket(denied.details.as_deref()) {
            return vec![Effect::Release(stream, "not_the_bucket")];
        }
        let fails = held.denial == Denial::Unavailable;
        if fails && (target.is_part() || !denied.precondition.may_replace_bucket()) {
            return vec![Effect::Release(stream, "bucket_unavailable")];
        }
        let code = denied.document.as_deref().filter(|_| !fails).and_then(xml::error_code);
        if code.is_none() && self.flights.leases().knows_bucket_error(shared, held.denial) {
            return vec![Effect::Release(stream, "bucket_error")];
        }
        let verdict = judge(held.denial, code, target.reading.not_plain().is_none(), mirror.on_403);
        let check = match verdict {
            Verdict::Miss | Verdict::Unstorable => false,
            Verdict::Check => true,
            Verdict::Deleted => return vec![Effect::Release(stream, DELETED)],
            Verdict::Untouched if held.denial == Denial::BadRequest => {
                return vec![Effect::Release(stream, "bad_request")];
            }
            Verdict::Untouched => return vec![Effect::Release(stream, "forbidden")],
            Verdict::BucketError => {
                let code = code.unwrap_or_default();
                if let Some(denial) = outlasts_its_request(code) {
                    self.remember_bucket_error(denial, shared);
                }
                let mut steps = vec![Effect::Release(stream, "bucket_error")];
                let cure = match code {
                    "NoSuchBucket" => ": see BUCKET and STORE",
                    "InvalidAccessKeyId" | "SignatureDoesNotMatch" => ": see reader.credentials",
                    _ => "",
                };
                let Bucket { upstream, path_prefix, .. } = &*self.config.bucket;
                let authority = &upstream.authority;
                let what = format!(
                    "the bucket {authority}{path_prefix} answers {code} to the edge, and nothing is mirrored{cure}"
                );
                steps.extend(self.warn_of_bucket(what, now));
                return steps;
            }
        };
        if mirror.observe {
            return vec![Effect::Observed(target.key.clone()), Effect::Release(stream, OBSERVED)];
        }
        if code.is_some() {
            // The bucket is there again, and knows its reader.
            self.failing.drain(..).for_each(|denial| self.flights.leases().forget_bucket_error(shared, denial));
        }
        let request = FillRequest::new(&self.config.rules, mirror, target, headers, held.denial, check);
        held.fill_key = Some(request.fill_key.clone());
        held.lookup = (!fails && self.config.bucket.index.is_some()).then(|| PageLookup::new(asked(), now));
        let is_served = request.mirror.response == ResponseMode::Serve;
        // The tag of a small object is the bucket's own from then on. A client that asks with HEAD first reads ranges next, and
        // DuckDB demands the same tag of all of them.
        let is_first_of_several = is_served && target.method == Method::Head;
        let for_bucket = target.is_part() || is_first_of_several || denied.precondition.is_for_bucket(is_served);
        // A marked request has no permit. With another marker it could go round for ever.
        let may_pass = self.config.marker.is_some()
            && !held.wanted.is_marked
            && !target.is_part()
            && denied.precondition.may_pass();
        let trace = &denied.trace;
        let most = match &denied.range {
            _ if target.method == Method::Head => 0,
            Some(range) => range.most(),
            None => u64::MAX,
        };
        let join = Join { stream, asked, request: &request, trace, may_pass, for_bucket, most };
        let mut effects = self.flights.join(join, now, shared);
        if fails {
            let what = "the bucket fails: origins serve in its place and nothing is stored".to_owned();
            effects.extend(self.warn_of_bucket(what, now));
        }
        self.with_pages(effects, now, shared)
    }

    /// Tells if a body of so many bytes may be read, which came as the answer to a call.
    pub fn may_read(&self, ticket: &Ticket, length: u64) -> bool {
        self.flights.may_read(ticket, length)
    }

    /// Takes the end of a fill's call: a response, or none. `unread` is the length of a body that may not be read.
    ///
    /// A store that has no such bucket for a writer has none for readers. Its other errors for a writer say nothing about
    /// readers.
    pub fn finish_call(
        &mut self,
        ticket: Ticket,
        response: Option<Response>,
        unread: u64,
        now: Instant,
        shared: &dyn SharedHost,
    ) -> Vec<Effect> {
        let code =
            response.as_ref().filter(|_| ticket.is_for_store()).and_then(|response| xml::error_code(&response.body));
        if let Some(denial @ Denial::NotFound) = code.and_then(outlasts_its_request) {
            self.remember_bucket_error(denial, shared);
        }
        let effects = self.flights.finish_call(ticket, response, unread, now, shared);
        self.with_pages(effects, now, shared)
    }

    /// Takes a message from the worker's queue. It is another worker's, or an empty one that only wakes this worker
    /// up.
    pub fn receive(&mut self, message: &[u8], now: Instant, shared: &dyn SharedHost) -> Vec<Effect> {
        let Some(message) = Message::decode(message) else { return Vec::new() };
        let effects = self.flights.receive(message, now, shared);
        self.with_pages(effects, now, shared)
    }

    /// Does everything that is due at `now`. The caller reads the [`readable`](Self::readable) streams.
    pub fn tick(&mut self, now: Instant, shared: &dyn SharedHost) -> Vec<Effect> {
        let over = self.reading.iter().take_while(|(_, stream)| !self.is_read(*stream)).count();
        self.reading.drain(..over);
        let effects = self.flights.tick(now, shared);
        self.with_pages(effects, now, shared)
    }

    /// Returns the time of the next tick that is needed if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let reading = self.reading.iter().find(|(_, stream)| self.is_read(*stream)).map(|(until, _)| *until);
        reading.into_iter().chain(self.flights.next_deadline()).min()
    }

    /// Returns the number of fills that run now.
    pub fn fills(&self) -> usize {
        self.flights.running()
    }

    /// Returns the number of streams that wait for fills now.
    pub fn waiters(&self) -> usize {
        self.flights.waiters()
    }

    /// Returns the number of clients that are passed to origins now.
    pub fn streams(&self) -> usize {
        self.flights.streams()
    }

    /// Lets a stream go with the bucket's answer, as far as that can still be passed on, for the reason that was given with
    /// [`Effect::Release`].
    pub fn release(&mut self, stream: StreamId, reason: &'static str) -> Delivery {
        let Some(held) = self.streams.get(&stream) else { return Delivery::Untouched };
        let (mirror, denial) = (held.wanted.mirror.clone(), held.denial);
        match self.deliver(stream, &Source { mirror, origin: 0 }, &Outcome::Forbidden) {
            Delivery::Untouched if denial == Denial::Deleted => Delivery::Tagged(DELETED),
            Delivery::Untouched if reason == OBSERVED => Delivery::Tagged(OBSERVED),
            delivery => delivery,
        }
    }

    /// Returns the label of the outcome that a held stream's client is told.
    pub fn label_for(&self, stream: StreamId, outcome: &Outcome) -> &'static str {
        self.streams.get(&stream).map_or(outcome, |held| held.told(outcome)).label()
    }

    /// Makes the answer to a held stream, which is not held any more.
    pub fn deliver(&mut self, stream: StreamId, source: &Source, outcome: &Outcome) -> Delivery {
        let Some(held) = self.streams.remove(&stream) else { return Delivery::Untouched };
        // A body that has not come to its end may never do so, and its client would wait for that.
        let stalled = matches!(held.content, Content::Pending | Content::Started);
        let body_kept = !held.dropped && !stalled;
        let page = held.found_page(outcome);
        let target = page.unwrap_or(&held.wanted.target);
        // The client is to follow the redirect to a page itself, because references of the page are relative to that.
        let store_base = held.wanted.store_base.as_ref().filter(|_| page.is_none());
        let outcome = held.told(outcome);
        let asked = ReplyContext {
            target,
            origin: source.origin,
            denial: held.denial,
            precondition: &held.precondition,
            range: held.range.as_ref(),
            request_id: held.trace.request_id(),
            body_kept,
        };
        let base = match &self.config.location {
            Some(Location::Base(base)) => Some(base.as_str()),
            Some(Location::Absolute | Location::Distinct) | None => None,
        };
        let location = match (&self.config.location, store_base, outcome) {
            // An edge that follows redirects to the store leaves this one to the client, which resolves references against it.
            (_, _, Outcome::OriginRedirect { key, query, .. }) => target.location_of(key, query.as_deref(), base),
            (Some(Location::Absolute), Some(store), _) => target.location_at_store(store),
            (Some(Location::Distinct), ..) if page.is_none() => target.distinct_location(),
            _ => target.location(base),
        };
        let location = match (outcome, &self.config.marker) {
            (Outcome::Passed(_), Some(marker)) => with_marker(&location, marker),
            _ => location,
        };
        let made = match reply(outcome, asked, &source.mirror, location) {
            Reply::Local(made) => made,
            Reply::Tagged(outcome) => return Delivery::Tagged(outcome),
            Reply::Untouched => return Delivery::Untouched,
        };
        let body = made.body.clone().unwrap_or_default();
        match held.content {
            Content::None if body.is_empty() => Delivery::InPlace(made, None),
            Content::Complete if body.len() <= MAX_BUFFERED => Delivery::InPlace(made, Some(body)),
            Content::Complete | Content::None | Content::Pending | Content::Started => Delivery::Direct(made),
        }
    }

    fn is_read(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|held| held.reading)
    }

    fn target_and_mirror(&self, captured: &ClientRequest) -> Option<(Target, &Rc<Mirror>)> {
        let target = self.target(captured)?;
        let mirror = mirror_for(&self.config.rules, target.method, target.spellings())?;
        target.reading.is_mirrored().then_some((target, mirror))
    }

    fn target(&self, captured: &ClientRequest) -> Option<Target> {
        self.read_target(captured).ok()
    }

    fn read_target(&self, captured: &ClientRequest) -> Result<Target, TargetError> {
        Target::read(captured.method.as_str().as_bytes(), &captured.path_and_query, &self.config.bucket)
    }

    fn remember_bucket_error(&mut self, denial: Denial, shared: &dyn SharedHost) {
        self.flights.leases().remember_bucket_error(shared, denial);
        if !self.failing.contains(&denial) {
            self.failing.push(denial);
        }
    }

    fn warn_of_bucket(&mut self, what: String, now: Instant) -> Option<Effect> {
        let quiet = self.warned.is_some_and(|at| now.saturating_duration_since(at) < WARN_EVERY);
        if quiet {
            return None;
        }
        self.warned = Some(now);
        Some(Effect::Warn { key: None, what: what.into() })
    }
}

#[cfg(test)]
mod tests;
