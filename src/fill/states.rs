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

use super::multipart::{Abortion, Completion, Creation, Large, Proof, VacancyOfUpload};
use super::transfer::Transfer;
use super::{Action, CallId, Input, Job, Outcome};
use crate::config::Overwrite;
use crate::config::rule::Response as Mode;
use crate::fill::plan::{Plan, plan};
use crate::http::Response;
use crate::object::Object;
use crate::origin::endpoint::Place;
use crate::origin::{self, Answer, First, Span};
use crate::s3::{self, Existence as Exists, Put as PutAnswer};
use std::time::Duration;

/// Bound on one request to the store: a default part at 2.5 Mbit/s.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a request is sent at most.
pub const ATTEMPTS: u32 = 3;

/// What a fill awaits.
#[derive(Debug)]
pub enum State {
    Abortion(Abortion),
    Beginning(Beginning),
    Completion(Completion),
    Creation(Creation),
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
    Abort(Abortion),
    Complete(Completion),
    Create(Creation),
    Put(Put),
}

/// What a state leads to: the next state, and what to do meanwhile.
pub type Step = (State, Vec<Action>);

impl State {
    pub fn handle(self, job: &mut Job, input: Input) -> Step {
        match (self, input) {
            (Self::Finished, _) => (Self::Finished, Vec::new()),
            (Self::Transfer(state), input) => state.handle(job, input),
            (Self::Idle, Input::Start) if job.order.check => Existence::ask(job),
            (Self::Idle, Input::Start) => Beginning::start(job),
            (Self::Later(later), Input::Deadline) => later.ask(job),
            (state, Input::Response { call, response }) if state.awaits(call) => state.answered(job, Some(response)),
            (state, Input::Failed { call }) if state.awaits(call) => state.answered(job, None),
            (state, _) => state.broken(job),
        }
    }

    /// Bytes that are held, or will be when the calls come back.
    pub fn memory(&self, job: &Job) -> u64 {
        match self {
            Self::Idle | Self::Existence(_) | Self::Beginning(_) | Self::OriginLength(_) => job.expected,
            Self::Creation(_) | Self::Later(Later::Create(_)) => job.limits.part_size,
            Self::Put(put) | Self::Later(Later::Put(put)) | Self::Vacancy(Vacancy { put, .. }) => put.object.length(),
            Self::Transfer(transfer) => transfer.memory(),
            _ => 0,
        }
    }

    fn awaits(&self, call: CallId) -> bool {
        let awaited = match self {
            Self::Abortion(state) => state.call,
            Self::Beginning(state) => Some(state.call),
            Self::Completion(state) => state.call,
            Self::Creation(state) => state.call,
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

    fn answered(self, job: &mut Job, response: Option<Response>) -> Step {
        match self {
            Self::Abortion(state) => state.answered(job, response.as_ref()),
            Self::Beginning(state) => state.answered(job, response),
            Self::Completion(state) => state.answered(job, response.as_ref()),
            Self::Creation(state) => state.answered(job, response.as_ref()),
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
    fn broken(self, job: &mut Job) -> Step {
        let outcome = Outcome::Broken("an input that the fill does not await");
        match self {
            Self::Completion(state) | Self::Later(Later::Complete(state)) => state.give_up(job, outcome),
            Self::VacancyOfUpload(state) => state.completion.give_up(job, outcome),
            _ => done(outcome),
        }
    }
}

impl Later {
    fn ask(self, job: &mut Job) -> Step {
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
    fn ask(job: &mut Job) -> Step {
        let request = s3::head(&job.bucket, &job.order.goal.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::Existence(Self { call }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<&Response>) -> Step {
        match response.map(s3::read_head) {
            Some(Exists::Exists) => done(Outcome::Forbidden),
            Some(Exists::Unknown) => Beginning::start(job),
            Some(Exists::Unavailable) | None => done(Outcome::BucketUnavailable),
        }
    }
}

/// An origin was asked for the object's beginning.
#[derive(Debug)]
pub struct Beginning {
    call: CallId,
    source: Source,
    span: Span,
}

/// One of the rule's origins.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its place in the rule.
    at: usize,
    /// Envoy's name of its own cluster.
    cluster: String,
    /// Where the object is asked for.
    pub place: Place,
}

impl Source {
    /// Asks the rule's next origin; without one the fill ends as this one had it end.
    pub fn next(self, job: &mut Job, last: Outcome) -> Step {
        job.failures.push(last.label());
        let next = self.at.saturating_add(1);
        if next < job.mirror.origins.len() {
            job.doubt.get_or_insert(last);
            return Beginning::ask(job, next);
        }
        done(last)
    }

    /// Asks it again, from the beginning.
    pub fn again(self, job: &mut Job) -> Step {
        Beginning::ask(job, self.at)
    }

    fn redirected(&self, response: &Response) -> Option<Self> {
        let place = self.place.redirected(response.status, &response.headers)?;
        Some(Self { place, ..self.clone() })
    }
}

impl Beginning {
    /// Asks the first origin. Where the client is sent there itself, it need not wait for it.
    fn start(job: &mut Job) -> Step {
        let (state, mut actions) = Self::ask(job, 0);
        if job.responds(Mode::Origin) {
            actions.push(Action::Meanwhile(Outcome::Origin));
        }
        (state, actions)
    }

    fn ask(job: &mut Job, at: usize) -> Step {
        let Some(origin) = job.mirror.origins.get(at) else {
            return done(Outcome::Broken("a rule without an origin"));
        };
        job.origin = origin.name.clone();
        let place = Place::at(origin, &job.mirror, &job.order.goal.key, &job.order.goal.carried);
        let source = Source { at, cluster: origin.cluster.clone(), place };
        let span = if job.order.is_head() { Span::Headers } else { Span::First { length: job.limits.part_size } };
        Self::ask_for(job, source, span)
    }

    fn ask_for(job: &mut Job, source: Source, span: Span) -> Step {
        let request = origin::get(&source.place, span);
        let (call, action) = job.call(source.place.upstream.clone(), request, source.place.timeout);
        (State::Beginning(Self { call, source, span }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<Response>) -> Step {
        let Some(response) = response else {
            return match self.span {
                Span::Headers => self.source.next(job, Outcome::OriginUnavailable("reset or cut short")),
                Span::First { .. } | Span::Whole => OriginLength::ask(job, self.source),
            };
        };
        if let Some(source) = self.source.redirected(&response) {
            return Self::ask_for(job, source, self.span);
        }
        match origin::read(response, &self.source.place, &job.order.goal.key, self.span) {
            Answer::First(first) => self.source.gave(job, first),
            Answer::Headers(metadata, length) => done(Outcome::Head { metadata, length }),
            Answer::Missing => missing(job),
            Answer::Refused(status) => done(Outcome::OriginRefused { status }),
            Answer::TimedOut => self.source.next(job, Outcome::OriginTimeout),
            Answer::Unavailable(why) => self.source.next(job, Outcome::OriginUnavailable(why)),
            Answer::Unframed => done(Outcome::TooLarge),
            // An empty object satisfies no range. Its own 200 says what a 416 does not: its type and validators.
            Answer::Unsatisfiable => Self::ask_for(job, self.source, Span::Whole),
        }
    }
}

impl Source {
    /// It gave the beginning of the object, which is stored if it is what the rule is for.
    fn gave(self, job: &mut Job, mut first: First) -> Step {
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
            Plan::Multipart(parts, object) => Creation::begin(job, Large::new(self, version, parts, announced), object),
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
fn missing(job: &mut Job) -> Step {
    if let Some(doubt) = job.doubt.take() {
        return done(doubt);
    }
    let Some(mirror) = job.order.then.get(job.tried).cloned() else { return done(Outcome::NotFound) };
    job.tried = job.tried.saturating_add(1);
    job.mirror = mirror;
    Beginning::ask(job, 0)
}

/// An origin's answer was cut, by the origin or by Envoy because it was too large; the origin was asked which.
#[derive(Debug)]
pub struct OriginLength {
    call: CallId,
    source: Source,
}

impl OriginLength {
    fn ask(job: &mut Job, source: Source) -> Step {
        let request = origin::get(&source.place, Span::Headers);
        let (call, action) = job.call(source.place.upstream.clone(), request, source.place.timeout);
        (State::OriginLength(Self { call, source }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<&Response>) -> Step {
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
    fn ask(job: &mut Job, put: Put) -> Step {
        let request = s3::head(&job.bucket, &job.order.goal.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::Vacancy(Self { call, put }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<&Response>) -> Step {
        match response.map(s3::read_head) {
            Some(Exists::Exists) => done(Outcome::Exists),
            Some(Exists::Unknown) => self.put.ask(job),
            Some(Exists::Unavailable) | None => {
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
    fn begin(job: &mut Job, object: Object) -> Step {
        let served = job.responds(Mode::Serve).then(|| Action::Meanwhile(Outcome::Served(object.clone())));
        let put = Self { call: None, object, attempts: 0, maybe_stored: false };
        let (state, mut actions) = match job.bucket.overwrite {
            Overwrite::HeadFirst => Vacancy::ask(job, put),
            Overwrite::Conditional | Overwrite::Forbidden(_) => put.ask(job),
        };
        actions.extend(served);
        (state, actions)
    }

    fn ask(mut self, job: &mut Job) -> Step {
        self.attempts = self.attempts.saturating_add(1);
        let request = s3::put(&job.bucket, &job.order.goal.key, &self.object.metadata, self.object.body.clone());
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        self.call = Some(call);
        (State::Put(self), vec![action])
    }

    fn answered(mut self, job: &mut Job, response: Option<&Response>) -> Step {
        // No answer at all is one that may come the next time; 0 stands for its status.
        let answer = response.map(s3::read_put).unwrap_or(PutAnswer::Retry(0));
        match answer {
            // The object that is there may be the one of an earlier attempt of this fill.
            PutAnswer::Exists if self.maybe_stored => done(Outcome::Stored),
            PutAnswer::Exists => done(Outcome::Exists),
            PutAnswer::Retry(status) if self.attempts < ATTEMPTS => {
                self.maybe_stored |= is_ambiguous(status);
                let wait = job.back_off(self.attempts);
                (State::Later(Later::Put(self)), vec![wait])
            }
            PutAnswer::Rejected(status) | PutAnswer::Retry(status) => {
                done(Outcome::NotStored { object: Some(self.object), status })
            }
            PutAnswer::Stored => {
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

pub fn done(outcome: Outcome) -> Step {
    (State::Finished, vec![Action::Done(outcome)])
}
