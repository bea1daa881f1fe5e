//! What every fill goes through, and the storing of an object with one PUT.
//!
//! Who repeats what:
//!
//! | request | safe to repeat | repeated |
//! | --- | --- | --- |
//! | HEAD to the store | yes | never: its failure passes the bucket's 403 on |
//! | GET to an origin, for the beginning | yes | never to the same one: the rule's next origin is asked |
//! | the same, answered 416 | yes | once, without the range |
//! | HEAD to an origin | yes | never: its failure is that of the GET before it |
//! | GET to an origin, for a later part | yes, by its validator | [`ATTEMPTS`] in all on 5xx, timeout, reset |
//! | PUT of an object | yes, by `If-None-Match: *` | [`ATTEMPTS`] in all on 408, 409, 425, 429, 5xx, reset |
//! | PUT of a part | yes: it replaces itself | likewise |
//! | POST that creates an upload | no: each creates another | [`ATTEMPTS`] in all on 409, 429, 503 |
//! | POST that completes an upload | yes, by `If-None-Match: *` | as a PUT, and on a 200 with an error in it |
//! | DELETE of an upload | yes | [`ABORT_ATTEMPTS`](super::multipart) in all on everything but 2xx and 404 |

use super::multipart::{Abortion, Completion, Creation, Large, Proof};
use super::transfer::Transfer;
use super::{Action, CallId, Input, Job, Outcome, Upstream};
use crate::config::Origin;
use crate::http::Response;
use crate::origin::{self, Answer, Object, Span};
use crate::plan::{Plan, plan};
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
            (Self::Idle, Input::Start) if job.check => Existence::ask(job),
            (Self::Idle, Input::Start) => Beginning::ask(job, 0),
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
            Self::Put(put) | Self::Later(Later::Put(put)) => put.object.length(),
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
            state @ (Self::Finished | Self::Idle | Self::Later(_) | Self::Transfer(_)) => state.broken(job),
        }
    }

    /// An input that this state cannot have. What it created is given up first.
    fn broken(self, job: &mut Job) -> Step {
        let outcome = Outcome::Broken("an input that the fill does not await");
        match self {
            Self::Completion(state) | Self::Later(Later::Complete(state)) => state.give_up(job, outcome),
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
        let request = s3::head(&job.bucket, &job.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::Existence(Self { call }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<&Response>) -> Step {
        match response.map(s3::read_head) {
            Some(Exists::Exists) => done(Outcome::Forbidden),
            Some(Exists::Unknown) => Beginning::ask(job, 0),
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
    /// Itself.
    pub origin: Origin,
}

impl Source {
    /// How it is reached.
    pub fn upstream(&self) -> Upstream {
        let Origin { cluster, authority, headers, .. } = self.origin.clone();
        Upstream { cluster, authority, headers }
    }

    /// Asks the rule's next origin; without one the fill ends as this one had it end.
    pub fn next(self, job: &mut Job, last: Outcome) -> Step {
        let next = self.at.saturating_add(1);
        if next < job.mirror.origins.len() { Beginning::ask(job, next) } else { done(last) }
    }

    /// Asks it again, from the beginning.
    pub fn again(self, job: &mut Job) -> Step {
        Beginning::ask(job, self.at)
    }
}

impl Beginning {
    fn ask(job: &mut Job, at: usize) -> Step {
        let Some(origin) = job.mirror.origins.get(at).cloned() else {
            return done(Outcome::Broken("a rule without an origin"));
        };
        let span = Span::First { length: job.limits.part_size };
        Self::ask_for(job, Source { at, origin }, span)
    }

    fn ask_for(job: &mut Job, source: Source, span: Span) -> Step {
        let request = origin::get(&source.origin, &job.key, span);
        let (call, action) = job.call(source.upstream(), request, source.origin.timeout);
        (State::Beginning(Self { call, source, span }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<Response>) -> Step {
        let Some(response) = response else { return OriginLength::ask(job, self.source) };
        match origin::read(response, &self.source.origin, &job.key, self.span) {
            Answer::First(mut first) => {
                let announced = std::mem::take(&mut first.announced);
                let version = first.version.clone();
                let unranged = job.limits.part_size < first.object.length();
                let unranged = unranged.then(|| Action::Unranged(self.source.origin.cluster.clone()));
                let (state, mut actions) = match plan(first, &job.limits) {
                    Plan::Multipart(parts, object) => {
                        Creation::begin(job, Large::new(self.source, version, parts, announced), object)
                    }
                    Plan::Single(object) => match announced.verify(&object.body) {
                        Ok(()) => Put::begin(job, object),
                        Err(header) => self.source.next(job, Outcome::Corrupt(header)),
                    },
                    Plan::TooLarge => done(Outcome::TooLarge),
                };
                actions.extend(unranged);
                (state, actions)
            }
            Answer::Missing => done(Outcome::NotFound),
            Answer::Refused(status) => done(Outcome::OriginRefused { status }),
            Answer::TimedOut => self.source.next(job, Outcome::OriginTimeout),
            Answer::Unavailable(why) => self.source.next(job, Outcome::OriginUnavailable(why)),
            Answer::Unframed => done(Outcome::TooLarge),
            // An empty object satisfies no range. Its own 200 says what a 416 does not: its type and validators.
            Answer::Unsatisfiable => Self::ask_for(job, self.source, Span::Whole),
        }
    }
}

/// An origin's answer was cut, by the origin or by Envoy because it was too large; the origin was asked which.
#[derive(Debug)]
pub struct OriginLength {
    call: CallId,
    source: Source,
}

impl OriginLength {
    fn ask(job: &mut Job, source: Source) -> Step {
        let request = origin::head(&source.origin, &job.key);
        let (call, action) = job.call(source.upstream(), request, source.origin.timeout);
        (State::OriginLength(Self { call, source }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Option<&Response>) -> Step {
        if response.is_some_and(origin::read_head_too_large) {
            let unranged = Action::Unranged(self.source.origin.cluster);
            return (State::Finished, vec![unranged, Action::Done(Outcome::TooLarge)]);
        }
        self.source.next(job, Outcome::OriginUnavailable("reset or cut short"))
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
        Self { call: None, object, attempts: 0, maybe_stored: false }.ask(job)
    }

    fn ask(mut self, job: &mut Job) -> Step {
        self.attempts = self.attempts.saturating_add(1);
        let request = s3::put(&job.bucket, &job.key, &self.object.metadata, self.object.body.clone());
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
