//! What every fill goes through, and the storing of an object with one PUT.
//!
//! Who repeats what:
//!
//! | request | safe to repeat | repeated |
//! | --- | --- | --- |
//! | HEAD to the store, after a 403 | yes | never: its failure passes the bucket's 403 on |
//! | HEAD to the store, before a write | yes | never: its failure is that of the write |
//! | GET to an origin, for the beginning | yes | never to the same one: the rule's next origin is asked |
//! | the same, answered 416 | yes | once, without the range |
//! | HEAD to an origin | yes | never: its failure is that of the GET before it |
//! | GET to an origin, for a later part | yes, by its validator | [`ATTEMPTS`] in all on 5xx, timeout, reset |
//! | PUT of an object | yes, by `If-None-Match: *` | [`ATTEMPTS`] in all on 408, 409, 425, 429, 5xx, reset |
//! | PUT of a part | yes: it replaces itself | likewise |
//! | POST that creates an upload | no: each creates another | [`ATTEMPTS`] in all on 409, 429, 503 |
//! | POST that completes an upload | yes, by `If-None-Match: *` | as a PUT, and on a 200 with an error in it |
//! | DELETE of an upload | yes | [`ABORT_ATTEMPTS`](super::multipart) in all on everything but 2xx and 404 |

use super::multipart::{AbortUpload, CompleteUpload, CreateUpload, MultipartObject, Proof, VacancyOfUpload};
use super::transfer::Transfer;
use super::{Action, CallId, Input, Job, Outcome};
use crate::config::Overwrite;
use crate::config::rule::ResponseMode;
use crate::fill::plan::{Plan, plan};
use crate::http::Response;
use crate::object::Object;
use crate::origin::endpoint::Endpoint;
use crate::origin::{self, FetchResult, FirstRange, Span};
use crate::s3::{self, HeadResult, PutResult};
use std::time::Duration;

/// Bound on one request to the store: a default part at 2.5 Mbit/s.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a request is sent at most.
pub const ATTEMPTS: u32 = 3;

/// What a fill awaits.
#[derive(Debug)]
pub enum State {
    AbortUpload(AbortUpload),
    FirstFetch(FirstFetch),
    CompleteUpload(CompleteUpload),
    CreateUpload(CreateUpload),
    Existence(Existence),
    Finished,
    Idle,
    Later(Later),
    OriginLength(OriginLength),
    Proof(Proof),
    Put(Put),
    Transfer(Box<Transfer>),
    Vacancy(Vacancy),
    VacancyOfUpload(VacancyOfUpload),
}

/// What is done again when its time has come.
#[derive(Debug)]
pub enum Later {
    Abort(AbortUpload),
    Complete(CompleteUpload),
    Create(CreateUpload),
    Put(Put),
}

/// What a state leads to: the next state, and what to do meanwhile.
pub type Transition = (State, Vec<Action>);

impl State {
    pub fn handle(self, job: &mut Job, input: Input) -> Transition {
        match (self, input) {
            (Self::Finished, _) => (Self::Finished, Vec::new()),
            (Self::Transfer(state), input) => state.handle(job, input),
            (Self::Idle, Input::Start) if job.request.check => Existence::ask(job),
            (Self::Idle, Input::Start) => FirstFetch::start(job),
            (Self::Later(later), Input::Deadline) => later.ask(job),
            (state, Input::Response { call, response }) if state.awaits(call) => state.answered(job, Some(response)),
            (state, Input::Failed { call }) if state.awaits(call) => state.answered(job, None),
            (state, _) => state.broken(job),
        }
    }

    /// Bytes that are held, or will be when the calls come back.
    pub fn memory(&self, job: &Job) -> u64 {
        match self {
            Self::Idle | Self::Existence(_) | Self::FirstFetch(_) | Self::OriginLength(_) => job.expected,
            Self::CreateUpload(_) | Self::Later(Later::Create(_)) => job.limits.part_size,
            Self::Put(put) | Self::Later(Later::Put(put)) | Self::Vacancy(Vacancy { put, .. }) => put.object.length(),
            Self::Transfer(transfer) => transfer.memory(),
            _ => 0,
        }
    }

    fn awaits(&self, call: CallId) -> bool {
        let awaited = match self {
            Self::AbortUpload(state) => state.call,
            Self::FirstFetch(state) => Some(state.call),
            Self::CompleteUpload(state) => state.call,
            Self::CreateUpload(state) => state.call,
            Self::Existence(state) => Some(state.call),
            Self::OriginLength(state) => Some(state.call),
            Self::Proof(state) => Some(state.call),
            Self::Put(state) => state.call,
            Self::Vacancy(state) => Some(state.call),
            Self::VacancyOfUpload(state) => Some(state.call),
            Self::Finished | Self::Idle | Self::Later(_) | Self::Transfer(_) => None,
        };
        awaited == Some(call)
    }

    fn answered(self, job: &mut Job, response: Option<Response>) -> Transition {
        match self {
            Self::AbortUpload(state) => state.answered(job, response.as_ref()),
            Self::FirstFetch(state) => state.answered(job, response),
            Self::CompleteUpload(state) => state.answered(job, response.as_ref()),
            Self::CreateUpload(state) => state.answered(job, response.as_ref()),
            Self::Existence(state) => state.answered(job, response.as_ref()),
            Self::OriginLength(state) => state.answered(job, response.as_ref()),
            Self::Proof(state) => state.answered(response.as_ref()),
            Self::Put(state) => state.answered(job, response.as_ref()),
            Self::Vacancy(state) => state.answered(job, response.as_ref()),
            Self::VacancyOfUpload(state) => state.answered(job, response.as_ref()),
            state @ (Self::Finished | Self::Idle | Self::Later(_) | Self::Transfer(_)) => state.broken(job),
        }
    }

    /// An input that this state cannot have. What it created is given up first.
    fn broken(self, job: &mut Job) -> Transition {
        let outcome = Outcome::Broken("an input that the fill does not await");
        match self {
            Self::CompleteUpload(state) | Self::Later(Later::Complete(state)) => state.give_up(job, outcome),
            Self::VacancyOfUpload(state) => state.completion.give_up(job, outcome),
            _ => done(outcome),
        }
    }
}

impl Later {
    fn ask(self, job: &mut Job) -> Transition {
        match self {
            Self::Abort(state) => state.ask(job),
            Self::Complete(state) => state.ask(job),
            Self::Create(state) => state.ask(job),
            Self::Put(state) => state.ask(job),
        }
    }
}

/// The bucket was asked with the writer's credential whether it has the object that it denied to the reader.
#[derive(Debug)]
pub struct Existence {
    call: CallId,
}

impl Existence {
    fn ask(job: &mut Job) -> Transition {
        let request = s3::head_object(&job.bucket, &job.request.fill_key.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::Existence(Self { call }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        match response.map(s3::read_head_object) {
            Some(HeadResult::Exists) => done(Outcome::Forbidden),
            Some(HeadResult::Unknown) => FirstFetch::start(job),
            Some(HeadResult::Unavailable) | None => done(Outcome::BucketUnavailable),
        }
    }
}

/// An origin was asked for the object's beginning.
#[derive(Debug)]
pub struct FirstFetch {
    call: CallId,
    source: ActiveOrigin,
    span: Span,
}

/// One of the rule's origins.
#[derive(Clone, Debug)]
pub struct ActiveOrigin {
    /// Its place in the rule.
    at: usize,
    /// Envoy's name of its own cluster.
    cluster: String,
    /// Where the object is asked for.
    pub endpoint: Endpoint,
}

impl ActiveOrigin {
    /// Asks the rule's next origin; without one the fill ends as this one had it end.
    pub fn next(self, job: &mut Job, last: Outcome) -> Transition {
        job.failures.push(last.label());
        let next = self.at.saturating_add(1);
        if next < job.mirror.origins.len() {
            job.doubt.get_or_insert(last);
            return FirstFetch::ask(job, next);
        }
        done(last)
    }

    /// Asks it again, from the beginning.
    pub fn again(self, job: &mut Job) -> Transition {
        FirstFetch::ask(job, self.at)
    }

    fn redirected(&self, response: &Response) -> Option<Self> {
        let endpoint = self.endpoint.redirected(response.status, &response.headers)?;
        Some(Self { endpoint, ..self.clone() })
    }
}

impl FirstFetch {
    /// Asks the first origin. Where the client is sent there itself, it need not wait for it.
    fn start(job: &mut Job) -> Transition {
        let (state, mut actions) = Self::ask(job, 0);
        if job.responds(ResponseMode::Origin) {
            actions.push(Action::Meanwhile(Outcome::Origin));
        }
        (state, actions)
    }

    fn ask(job: &mut Job, at: usize) -> Transition {
        let Some(origin) = job.mirror.origins.get(at) else {
            return done(Outcome::Broken("a rule without an origin"));
        };
        job.origin = origin.name.clone();
        let endpoint = Endpoint::at(origin, &job.mirror, &job.request.fill_key.key, &job.request.fill_key.forwarded);
        let source = ActiveOrigin { at, cluster: origin.cluster.clone(), endpoint };
        let span = if job.request.is_head() { Span::Headers } else { Span::First { length: job.limits.part_size } };
        Self::ask_for(job, source, span)
    }

    fn ask_for(job: &mut Job, source: ActiveOrigin, span: Span) -> Transition {
        let request = origin::get(&source.endpoint, span);
        let (call, action) = job.call(source.endpoint.upstream.clone(), request, source.endpoint.timeout);
        (State::FirstFetch(Self { call, source, span }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<Response>) -> Transition {
        let Some(response) = response else {
            return match self.span {
                Span::Headers => self.source.next(job, Outcome::OriginUnavailable("reset or cut short")),
                Span::First { .. } | Span::Whole => OriginLength::ask(job, self.source),
            };
        };
        if let Some(source) = self.source.redirected(&response) {
            return Self::ask_for(job, source, self.span);
        }
        match origin::read(response, &self.source.endpoint, &job.request.fill_key.key, self.span) {
            FetchResult::First(first) => self.source.gave(job, first),
            FetchResult::Headers(metadata, length) => done(Outcome::Head { metadata, length }),
            FetchResult::Missing => missing(job),
            FetchResult::Refused(status) => done(Outcome::OriginRefused { status }),
            FetchResult::TimedOut => self.source.next(job, Outcome::OriginTimeout),
            FetchResult::Unavailable(why) => self.source.next(job, Outcome::OriginUnavailable(why)),
            FetchResult::Unframed => done(Outcome::TooLarge),
            // An empty object satisfies no range. Its own 200 says what a 416 does not: its type and validators.
            FetchResult::Unsatisfiable => Self::ask_for(job, self.source, Span::Whole),
        }
    }
}

impl ActiveOrigin {
    /// It gave the beginning of the object, which is stored if it is what the rule is for.
    fn gave(self, job: &mut Job, mut first: FirstRange) -> Transition {
        if !job.mirror.accepts(first.object.metadata.content_type()) {
            return self.next(job, Outcome::WrongType);
        }
        if let Some(cache_control) = &job.mirror.cache_control {
            first.object.metadata.set_cache_control(cache_control);
        }
        let (version, announced) = (first.version.clone(), std::mem::take(&mut first.announced));
        let unranged = job.limits.part_size < first.object.length();
        let unranged = unranged.then(|| Action::Unranged(self.cluster.clone()));
        let (state, mut actions) = match plan(first, &job.limits) {
            Plan::Multipart(parts, object) => {
                CreateUpload::begin(job, MultipartObject::new(self, version, parts, announced), object)
            }
            Plan::Single(object) => match announced.verify(&object.body) {
                Ok(()) => Put::begin(job, object),
                Err(header) => self.next(job, Outcome::Corrupt(header)),
            },
            Plan::TooLarge => done(Outcome::TooLarge),
        };
        actions.extend(unranged);
        (state, actions)
    }
}

/// An origin does not have the object. Asks those of the next rule, unless one that failed may have it.
fn missing(job: &mut Job) -> Transition {
    if let Some(doubt) = job.doubt.take() {
        return done(doubt);
    }
    let Some(mirror) = job.request.then.get(job.tried).cloned() else { return done(Outcome::NotFound) };
    job.tried = job.tried.saturating_add(1);
    job.mirror = mirror;
    FirstFetch::ask(job, 0)
}

/// An origin's answer was cut, by the origin or by Envoy because it was too large; the origin was asked which.
#[derive(Debug)]
pub struct OriginLength {
    call: CallId,
    source: ActiveOrigin,
}

impl OriginLength {
    fn ask(job: &mut Job, source: ActiveOrigin) -> Transition {
        let request = origin::get(&source.endpoint, Span::Headers);
        let (call, action) = job.call(source.endpoint.upstream.clone(), request, source.endpoint.timeout);
        (State::OriginLength(Self { call, source }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        if response.is_some_and(origin::read_head_too_large) {
            let unranged = Action::Unranged(self.source.cluster);
            return (State::Finished, vec![unranged, Action::Done(Outcome::TooLarge)]);
        }
        self.source.next(job, Outcome::OriginUnavailable("reset or cut short"))
    }
}

/// The store, which would overwrite, was asked whether it has the object already.
#[derive(Debug)]
pub struct Vacancy {
    call: CallId,
    put: Put,
}

impl Vacancy {
    fn ask(job: &mut Job, put: Put) -> Transition {
        let request = s3::head_object(&job.bucket, &job.request.fill_key.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::Vacancy(Self { call, put }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        match response.map(s3::read_head_object) {
            Some(HeadResult::Exists) => done(Outcome::Exists),
            Some(HeadResult::Unknown) => self.put.ask(job),
            Some(HeadResult::Unavailable) | None => {
                let status = response.map(|response| response.status).unwrap_or(0);
                done(Outcome::NotStored { object: Some(self.put.object), status })
            }
        }
    }
}

/// The object was sent to the store, or will be.
#[derive(Debug)]
pub struct Put {
    /// `None` while it waits for its time.
    call: Option<CallId>,
    object: Object,
    attempts: u32,
    /// An attempt ended without an answer, so the object may be there after all.
    maybe_stored: bool,
}

impl Put {
    fn begin(job: &mut Job, object: Object) -> Transition {
        let served = job.responds(ResponseMode::Serve).then(|| Action::Meanwhile(Outcome::Served(object.clone())));
        let put = Self { call: None, object, attempts: 0, maybe_stored: false };
        let (state, mut actions) = match job.bucket.overwrite {
            Overwrite::HeadFirst => Vacancy::ask(job, put),
            Overwrite::Conditional | Overwrite::Forbidden(_) => put.ask(job),
        };
        actions.extend(served);
        (state, actions)
    }

    fn ask(mut self, job: &mut Job) -> Transition {
        self.attempts = self.attempts.saturating_add(1);
        let request =
            s3::put_object(&job.bucket, &job.request.fill_key.key, &self.object.metadata, self.object.body.clone());
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        self.call = Some(call);
        (State::Put(self), vec![action])
    }

    fn answered(mut self, job: &mut Job, response: Option<&Response>) -> Transition {
        // No answer at all is one that may come the next time; 0 stands for its status.
        let answer = response.map(s3::read_put_object).unwrap_or(PutResult::Retry(0));
        match answer {
            // The object that is there may be the one of an earlier attempt of this fill.
            PutResult::Exists if self.maybe_stored => done(Outcome::Stored),
            PutResult::Exists => done(Outcome::Exists),
            PutResult::Retry(status) if self.attempts < ATTEMPTS => {
                self.maybe_stored |= is_ambiguous(status);
                let wait = job.back_off(self.attempts);
                (State::Later(Later::Put(self)), vec![wait])
            }
            PutResult::Rejected(status) | PutResult::Retry(status) => {
                done(Outcome::NotStored { object: Some(self.object), status })
            }
            PutResult::Stored => {
                let bytes = self.object.length();
                (State::Finished, vec![Action::Progress { bytes, total: bytes }, Action::Done(Outcome::Stored)])
            }
        }
    }
}

/// Whether a store that answered so may have done what it was asked. Only these two say that it did not.
pub fn is_ambiguous(status: u16) -> bool {
    !matches!(status, 409 | 429)
}

pub fn done(outcome: Outcome) -> Transition {
    (State::Finished, vec![Action::Done(outcome)])
}
