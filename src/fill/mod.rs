//! The state machine of one fill, without any I/O.
//!
//! **Every call that the machine asks for comes back to it exactly once, as a response or as a failure. After
//! [`Action::Done`] there is no fill, and an upload that was created has been completed or aborted.**
//!
//! ```text
//! Start ─► HeadObject ─► FirstFetch ─► PutObject ─► Done                       one part
//!          (a 403 that    (one origin
//!           may be a       after the     └─► CreateMultipartUpload ─► Transfer ─► CompleteMultipartUpload ─► Done
//!           miss)          other)                                  └──────────┴─► AbortMultipartUpload ─► Done, or
//!                                    └─► Done                                                        once again
//!                                        (the headers alone)
//! ```
//!
//! A state is one struct, named for what it awaits, and holds only what that needs. Each request to the store is an
//! `Operation` (`store.rs`) with the same two states: it expects the answer, or the time for another attempt. A write that
//! ends in doubt is followed by a HeadObject, whose `Question` (`head.rs`) has the table of answers.

mod feed;
mod fetch;
mod head;
mod multipart;
mod outcome;
mod passed;
pub mod plan;
mod rest;
mod retry;
mod state;
mod store;
mod transfer;
mod warning;
mod write;

pub use feed::{Chunk, Reader};
pub use outcome::{Outcome, Shortage};
pub use passed::PassedObject;
pub use warning::{Warning, Warnings};

use crate::config::rule::{self, Mirror, OnHead, ResponseMode, Rule};
use crate::config::{Bucket, Config, Limits, MAX_PART_SIZE, Origin, Overwrite};
use crate::http::{Method, Request, Response, Upstream};
use crate::object::key::Key;
use crate::request::denial::Denial;
use crate::request::forwarded::Forwarded;
use crate::request::target::Target;
use crate::request::trace::Trace;
use crate::s3::xml;
use feed::Feed;
use outcome::NOT_ASKED;
use retry::Random;
use state::State;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;
use std::time::Duration;
use warning::StoreRefusal;

/// One object on its way from an origin to the bucket.
#[derive(Debug)]
pub struct Fill {
    job: Job,
    state: State,
}

/// Names a call within its fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(u32);

/// An event of a fill.
#[derive(Debug)]
pub enum Input {
    /// A client's stream brought a piece of the object.
    Chunk(Chunk),
    /// The wait that was asked for is over.
    Deadline,
    /// A call came back without a response: the connection was refused, reset or cut short, or the response was
    /// larger than Envoy takes.
    Failed {
        /// The call.
        call: CallId,
    },
    /// A client's stream ended, the one with this number.
    Left(u32),
    /// A call came back.
    Response {
        /// The call.
        call: CallId,
        /// All of it.
        response: Response,
    },
    /// The first input.
    Start,
}

/// A thing that a fill wants done.
#[derive(Debug)]
pub enum Action {
    /// Make a call, whose end is an [`Input::Response`] or [`Input::Failed`].
    Call(Call),
    /// The fill is over.
    Done(Outcome),
    /// Answer the waiting clients so, and those that come meanwhile. The fill goes on.
    Meanwhile(Outcome),
    /// Clients may be passed to the object at its origin. The fill goes on.
    Pass(Rc<PassedObject>),
    /// A part is in the store.
    Progress {
        /// Bytes of the part.
        bytes: u64,
        /// Bytes of the object.
        total: u64,
    },
    /// Come back with [`Input::Deadline`] after this time, and not after one that was asked for before.
    Wait(Duration),
    /// The origin behind this cluster gave a whole object where a part was asked for; so it will the next time.
    Unranged(String),
    /// Something that an operator must see.
    Warn(Warning),
}

/// A request and where it goes.
#[derive(Debug)]
pub struct Call {
    /// Its name in this fill.
    pub id: CallId,
    /// The server that is asked.
    pub to: Rc<Upstream>,
    /// The question.
    pub request: Request,
    /// Bound on all of it, from sending to the response's last byte.
    pub timeout: Duration,
    /// Bytes that the fill holds and puts before the response's body, which is to have room for them.
    pub before: usize,
}

/// The key of a fill. Requests with the same one share a fill.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FillKey {
    /// The object.
    pub key: Key,
    /// The key as origins know it, decoded: without a page's index, and in the spelling whose rule decides.
    pub origin_key: String,
    /// The bucket denied it with 403. It may be there, so clients that were told 404 do not share the fill.
    pub forbidden: bool,
    /// The bucket failed. What its origin gives in its place is not stored, so other clients do not share that.
    pub unavailable: bool,
    /// The method is HEAD, and the rules treat it otherwise than GET.
    pub head: bool,
    /// The parts of the client's request that the origins get.
    pub forwarded: Forwarded,
}

/// An order to find keys by. Nearly each look-up is with the very key that the fill has.
impl Ord for FillKey {
    fn cmp(&self, other: &Self) -> Ordering {
        if std::ptr::eq(self, other) {
            return Ordering::Equal;
        }
        let rest = |key: &Self| (key.forbidden, key.unavailable, key.head);
        let by_key = self.key.cmp(&other.key).then_with(|| rest(self).cmp(&rest(other)));
        by_key.then_with(|| (&self.origin_key, &self.forwarded).cmp(&(&other.origin_key, &other.forwarded)))
    }
}

impl PartialOrd for FillKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An object to be filled, and its sources.
#[derive(Clone, Debug)]
pub struct FillRequest {
    /// The key of the fill.
    pub fill_key: Rc<FillKey>,
    /// The way in which it is filled.
    pub mirror: Rc<Mirror>,
    /// The next ways, in order, for when the origins say that they do not have the object.
    pub then: Vec<Rc<Mirror>>,
    /// The bucket is asked first, because the miss was a 403.
    pub check: bool,
    /// The client asks for a part of an object that was stored in parts, which only the bucket has.
    pub part: bool,
    /// The object is stored. An object that is not stored is handed out.
    pub store: bool,
}

impl FillRequest {
    /// Makes the fill of a request that a rule mirrors in this way. `headers` are the listed headers of the request.
    /// `check` is the rule's word on a denial like this one. A 403 is checked all the same where the rule hands out what
    /// the origin gives.
    pub fn new(
        rules: &[Rule],
        mirror: &Rc<Mirror>,
        target: &Target,
        headers: &[(String, String)],
        denial: Denial,
        check: bool,
    ) -> Self {
        let chain = rule::chain(rules, target.method, target.spellings());
        let unavailable = denial == Denial::Unavailable;
        let store =
            !unavailable && denial != Denial::BadRequest && target.reading.not_plain().is_none() && !mirror.unstored;
        let part = target.is_part();
        let headers_alone = !part && (!store || mirror.on_head == OnHead::Origin);
        let apart = headers_alone || rules.iter().any(|rule| !rule.methods.is_empty());
        let forbidden = denial == Denial::Forbidden;
        let fill_key = FillKey {
            key: target.key.clone(),
            origin_key: target.origin_key().to_owned(),
            forbidden,
            unavailable,
            head: target.method == Method::Head && apart,
            forwarded: Forwarded::of(target.query(), headers, &chain),
        };
        let then = chain.into_iter().skip(1).collect();
        let mut request = Self { fill_key: Rc::new(fill_key), mirror: mirror.clone(), then, check, part, store };
        request.check |= forbidden && (!store || request.is_head() || mirror.response == ResponseMode::Serve);
        request
    }

    /// Only the origin's headers are wanted, and nothing is stored.
    pub fn is_head(&self) -> bool {
        self.fill_key.head && !self.part && (self.mirror.on_head == OnHead::Origin || !self.store)
    }

    /// The object is the origin's at each request, and nothing else is said about it.
    pub fn is_unstored(&self) -> bool {
        self.mirror.unstored || self.fill_key.unavailable
    }

    /// The client is sent to the origin itself, whatever becomes of the fill, and of the bucket nothing is asked before.
    pub fn is_background(&self) -> bool {
        self.mirror.response == ResponseMode::Origin && !self.check && !self.is_head()
    }
}

/// The task of a fill; the same in all its states.
#[derive(Debug)]
struct Job {
    bucket: Rc<Bucket>,
    limits: Limits,
    request: FillRequest,
    /// The way that is tried now.
    mirror: Rc<Mirror>,
    /// Number of the request's other mirrors that were tried before.
    tried: usize,
    /// The failure of an origin that may have the object. A 404 of another origin proves nothing then.
    doubt: Option<Outcome>,
    random: Random,
    calls: u32,
    /// Headers that each call carries.
    trace: Trace,
    /// The origin that was asked last.
    origin: Option<Rc<Origin>>,
    /// The failures of origins, by the outcome's label.
    failures: Vec<&'static str>,
    /// The store's last word on a write.
    refusal: StoreRefusal,
    /// An upload was in conflict with another write, and was begun again.
    conflicted: bool,
    /// Clients may be passed to the origin.
    passes: bool,
    /// The clients' streams that bring the object.
    feed: Feed,
    /// Where clients may be passed, the first request is a small one.
    begins_small: bool,
    /// The bucket may deny its reader the object, so no byte of it is handed out.
    withheld: bool,
    /// Bytes that the origin's first answer may have.
    expected: u64,
    /// The origins give whole objects where parts are asked for.
    unranged: bool,
    /// Bytes that the fill may hold.
    budget: u64,
    /// The time since the fill began.
    spent: Duration,
    /// The longest time that a client waits for it.
    wait: Duration,
}

impl Fill {
    /// A fill that has not begun. `seed` is where its jitter comes from.
    pub fn new(config: &Config, request: FillRequest, seed: u64) -> Self {
        let passes = config.marker.is_some() && !request.part && !request.is_head();
        let job = Job {
            bucket: config.bucket.clone(),
            limits: config.limits.clone(),
            mirror: request.mirror.clone(),
            passes,
            feed: Feed::new(&config.limits),
            begins_small: true,
            withheld: request.fill_key.forbidden,
            request,
            tried: 0,
            doubt: None,
            random: Random(seed),
            calls: 0,
            trace: Trace::default(),
            origin: None,
            failures: Vec::new(),
            refusal: StoreRefusal::default(),
            conflicted: false,
            expected: config.limits.part_size,
            unranged: false,
            budget: 0,
            spent: Duration::ZERO,
            wait: config.wait,
        };
        Self { job, state: State::Idle }
    }

    /// Lets a fill that has not begun ask for so many bytes first, or for fewer where clients may be passed.
    pub fn expect(&mut self, bytes: u64) {
        if !self.job.unranged {
            self.job.expected = bytes;
        }
    }

    /// Lets a fill that has not begun ask for so many bytes, which are all of the object.
    pub fn expect_all(&mut self, bytes: u64) {
        (self.job.begins_small, self.job.expected) = (false, bytes);
    }

    /// Lets a fill that has not begun expect whole objects from its origins.
    pub fn expect_unranged(&mut self) {
        self.job.expected = MAX_PART_SIZE;
        self.job.unranged = true;
    }

    /// Lets the calls of a fill that has not begun carry these headers.
    pub fn carry(&mut self, trace: Trace) {
        self.job.trace = trace;
    }

    /// Notes that clients were passed to the object, at this time since its first input. Their streams may bring it.
    pub fn expect_stream(&mut self, spent: Duration) {
        self.job.feed.expect(spent);
    }

    /// Returns the next bytes that it takes of so many of a stream's, as the offsets of their first one and of the one behind
    /// their last.
    pub fn wants(&mut self, reader: &Reader, length: u64) -> Option<(u64, u64)> {
        self.state.wants(reader, reader.next.saturating_add(length))
    }

    /// Tells if what streams bring is found to be not what the origin announced.
    pub fn is_corrupt(&self) -> bool {
        self.job.feed.is_corrupt
    }

    /// Takes one input and says what is to be done now. `spare` is how many bytes the fill may hold beyond its
    /// [`memory`](Self::memory), `spent` the time since its first input. An input that cannot be ends the fill with
    /// [`Outcome::Broken`].
    #[must_use]
    pub fn handle(&mut self, input: Input, spare: u64, spent: Duration) -> Vec<Action> {
        self.job.budget = self.memory().saturating_add(spare);
        self.job.spent = spent;
        let (state, actions) = std::mem::replace(&mut self.state, State::Finished).handle(&mut self.job, input);
        self.state = state;
        actions
    }

    /// Bytes of the object that the fill holds, or will when the calls that it made come back.
    pub fn memory(&self) -> u64 {
        self.state.memory(&self.job)
    }

    /// Tells if it asks for the rest of an object whose beginning it holds.
    pub fn asks_rest(&self) -> bool {
        matches!(self.state, State::RestFetch(_))
    }

    /// Tells if it is beyond the object's first part: an upload exists, or is asked for.
    pub fn is_multipart(&self) -> bool {
        self.state.is_multipart()
    }

    /// The text of a warning that it gave.
    pub fn text(&self, warning: Warning) -> Cow<'static, str> {
        warning.text(&self.job.bucket, &self.job.refusal)
    }

    /// The warning about the way in which it ended. A 412 has one of its own.
    pub fn warning_at_end(&mut self, outcome: &Outcome) -> Option<Warning> {
        let Outcome::NotStored { status, .. } = outcome else { return None };
        self.job.refusal.status = *status;
        (!matches!(*status, 412 | NOT_ASKED)).then_some(Warning::CannotWrite)
    }

    /// The headers that its calls carry.
    pub fn trace(&self) -> &Trace {
        &self.job.trace
    }

    /// The name of the origin that was asked last; empty if none was.
    pub fn origin(&self) -> &str {
        self.job.origin.as_ref().map(|origin| origin.name.as_str()).unwrap_or_default()
    }

    /// The failures of origins so far, each by the label of the outcome that it is if no other origin has the object.
    pub fn failures(&self) -> &[&'static str] {
        &self.job.failures
    }

    /// The way in which it is filled now.
    pub fn mirror(&self) -> &Rc<Mirror> {
        &self.job.mirror
    }
}

impl Job {
    fn call(&mut self, to: Rc<Upstream>, request: Request, timeout: Duration) -> (CallId, Action) {
        self.call_behind(&[], to, request, timeout)
    }

    /// Makes a call for the bytes behind these.
    fn call_behind(
        &mut self,
        came: &[u8],
        to: Rc<Upstream>,
        mut request: Request,
        timeout: Duration,
    ) -> (CallId, Action) {
        for (name, value) in self.trace.headers() {
            if !to.headers.iter().any(|(set, _)| set == name) {
                request.headers.push((name, value.clone()));
            }
        }
        let id = CallId(self.calls);
        self.calls = self.calls.wrapping_add(1);
        (id, Action::Call(Call { id, to, request, timeout, before: came.len() }))
    }

    /// Keeps the S3 error code of a store's answer. A HEAD has none.
    fn note_code(&mut self, response: Option<&Response>) {
        if let Some(code) = response.and_then(|response| xml::error_code(&response.body)) {
            code.clone_into(&mut self.refusal.code);
        }
    }

    /// Tells if the store is asked before the origins. One that would overwrite is never written to without that.
    fn asks_first(&self) -> bool {
        self.request.check || (self.withheld && self.bucket.overwrite == Overwrite::HeadFirst)
    }

    /// Tells if clients are answered this way, and not sent to the bucket.
    fn responds(&self, mode: ResponseMode) -> bool {
        !self.withheld && !self.request.is_head() && self.request.mirror.response == mode
    }

    /// Returns the longest time of a call that moves so many bytes, and may take this time without them.
    fn time_for(&self, bytes: u64, without: Duration) -> Duration {
        let moving = bytes.saturating_mul(1000).checked_div(self.limits.min_rate).unwrap_or_default();
        without.saturating_add(Duration::from_millis(moving))
    }

    fn store(&self) -> Rc<Upstream> {
        self.bucket.upstream.clone()
    }
}

/// Puts the first bytes of something before the next ones. These are not copied to another place where they have room
/// ([`Call::before`]).
fn joined(first: &[u8], mut next: Vec<u8>) -> Vec<u8> {
    let end = next.len();
    next.resize(end.saturating_add(first.len()), 0);
    next.copy_within(..end, first.len());
    for (to, byte) in next.iter_mut().zip(first) {
        *to = *byte;
    }
    next
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
