//! The states of a fill, each named for what it awaits.
//!
//! Who repeats what:
//!
//! | request | safe to repeat | repeated |
//! | --- | --- | --- |
//! | HEAD to the store | yes | never: its failure passes the bucket's 403 on |
//! | GET to an origin | yes | never to the same one: the rule's next origin is asked |
//! | GET with a range that is answered 416 | yes | once, without the range |
//! | PUT to the store | yes, by `If-None-Match: *` | [`PUT_ATTEMPTS`] times in all on 408, 409, 425, 429, 5xx and reset |

use super::{Action, CallId, Input, Job, Outcome, Upstream};
use crate::config::Origin;
use crate::http::Response;
use crate::origin::{self, Answer, Object, Span};
use crate::plan::{Plan, plan};
use crate::s3::{self, Existence, Put};
use std::time::Duration;

/// Bound on one request to the store: 8 MiB at 4 Mbit/s.
const STORE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a PUT is sent at most.
const PUT_ATTEMPTS: u32 = 3;
/// The longest wait before the second PUT; doubled before each further one. AWS's SDKs begin as short.
pub const PUT_BACKOFF: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub enum State {
    AwaitRetry(AwaitRetry),
    ExpectFirst(ExpectFirst),
    ExpectHead(ExpectHead),
    ExpectPut(ExpectPut),
    Finished,
    Idle,
}

/// What a state leads to: the next state, and what to do meanwhile.
type Step = (State, Vec<Action>);

impl State {
    pub fn handle(self, job: &mut Job, input: Input) -> Step {
        match (self, input) {
            (Self::Idle, Input::Start) if job.check => ExpectHead::ask(job),
            (Self::Idle, Input::Start) => ExpectFirst::ask(job, 0),
            (Self::ExpectHead(state), Input::Response { call, response }) if call == state.call => {
                state.answered(job, &response)
            }
            (Self::ExpectHead(state), Input::Failed { call }) if call == state.call => done(Outcome::BucketUnavailable),
            (Self::ExpectFirst(state), Input::Response { call, response }) if call == state.call => {
                state.answered(job, response)
            }
            (Self::ExpectFirst(state), Input::Failed { call }) if call == state.call => {
                state.next_origin(job, Outcome::OriginUnavailable("refused, reset or cut short"))
            }
            (Self::ExpectPut(state), Input::Response { call, response }) if call == state.call => {
                state.answered(job, &response)
            }
            (Self::ExpectPut(state), Input::Failed { call }) if call == state.call => state.retry(job, 0),
            (Self::AwaitRetry(state), Input::Deadline) => state.put.ask(job),
            (Self::Finished, _) => (Self::Finished, Vec::new()),
            _ => done(Outcome::Broken("an input that the fill does not await")),
        }
    }
}

/// The bucket was asked with the writer's credential whether it has the object that it denied to the reader.
#[derive(Debug)]
pub struct ExpectHead {
    call: CallId,
}

impl ExpectHead {
    fn ask(job: &mut Job) -> Step {
        let request = s3::head(&job.bucket, &job.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::ExpectHead(Self { call }), vec![action])
    }

    fn answered(self, job: &mut Job, response: &Response) -> Step {
        match s3::read_head(response) {
            Existence::Exists => done(Outcome::Forbidden),
            Existence::Unavailable => done(Outcome::BucketUnavailable),
            Existence::Unknown => ExpectFirst::ask(job, 0),
        }
    }
}

/// An origin was asked for the object's beginning.
#[derive(Debug)]
pub struct ExpectFirst {
    call: CallId,
    /// Place of the origin in the rule.
    at: usize,
    origin: Origin,
    span: Span,
}

impl ExpectFirst {
    fn ask(job: &mut Job, at: usize) -> Step {
        let Some(origin) = job.mirror.origins.get(at).cloned() else {
            return done(Outcome::Broken("a rule without an origin"));
        };
        let span = Span::First { length: job.limits.part_size };
        Self::ask_for(job, at, origin, span)
    }

    fn ask_for(job: &mut Job, at: usize, origin: Origin, span: Span) -> Step {
        let Origin { cluster, authority, headers, timeout, .. } = origin.clone();
        let request = origin::get(&origin, &job.key, span);
        let (call, action) = job.call(Upstream { cluster, authority, headers }, request, timeout);
        (State::ExpectFirst(Self { call, at, origin, span }), vec![action])
    }

    fn answered(self, job: &mut Job, response: Response) -> Step {
        match origin::read(response, &self.origin, &job.key, self.span) {
            Answer::First(first) => match plan(first, &job.limits) {
                Plan::Single(object) => ExpectPut::first(job, object),
                Plan::TooLarge => done(Outcome::TooLarge),
            },
            Answer::Missing => done(Outcome::NotFound),
            Answer::Refused(status) => done(Outcome::OriginRefused { status }),
            Answer::TimedOut => self.next_origin(job, Outcome::OriginTimeout),
            Answer::Unavailable(why) => self.next_origin(job, Outcome::OriginUnavailable(why)),
            Answer::Unframed => done(Outcome::TooLarge),
            // An empty object satisfies no range. Its own 200 says what a 416 does not: its type and validators.
            Answer::Unsatisfiable => Self::ask_for(job, self.at, self.origin, Span::Whole),
        }
    }

    /// Asks the rule's next origin; without one the fill ends as the last origin had it end.
    fn next_origin(self, job: &mut Job, last: Outcome) -> Step {
        let next = self.at.saturating_add(1);
        if next < job.mirror.origins.len() { Self::ask(job, next) } else { done(last) }
    }
}

/// An object to be stored, and what became of that so far.
#[derive(Debug)]
struct Storing {
    object: Object,
    attempts: u32,
    /// An attempt ended without an answer, so the object may be there after all.
    maybe_stored: bool,
}

impl Storing {
    fn ask(mut self, job: &mut Job) -> Step {
        self.attempts = self.attempts.saturating_add(1);
        let request = s3::put(&job.bucket, &job.key, &self.object.metadata, self.object.body.clone());
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::ExpectPut(ExpectPut { call, put: self }), vec![action])
    }
}

/// The object was sent to the store.
#[derive(Debug)]
pub struct ExpectPut {
    call: CallId,
    put: Storing,
}

impl ExpectPut {
    fn first(job: &mut Job, object: Object) -> Step {
        Storing { object, attempts: 0, maybe_stored: false }.ask(job)
    }

    fn answered(self, job: &mut Job, response: &Response) -> Step {
        match s3::read_put(response) {
            // The object that is there may be the one of an earlier attempt of this fill.
            Put::Exists if self.put.maybe_stored => done(Outcome::Stored),
            Put::Exists => done(Outcome::Exists),
            Put::Rejected(status) => done(Outcome::NotStored { object: self.put.object, status }),
            Put::Retry(status) => self.retry(job, status),
            Put::Stored => done(Outcome::Stored),
        }
    }

    /// Waits for the next attempt. `status` is the store's, 0 where the call failed.
    fn retry(mut self, job: &mut Job, status: u16) -> Step {
        if self.put.attempts >= PUT_ATTEMPTS {
            return done(Outcome::NotStored { object: self.put.object, status });
        }
        // Only these two say that nothing was done.
        self.put.maybe_stored |= !matches!(status, 409 | 429);
        let doublings = self.put.attempts.saturating_sub(1);
        let longest = PUT_BACKOFF.saturating_mul(2_u32.saturating_pow(doublings));
        let wait = job.random.jitter(longest);
        (State::AwaitRetry(AwaitRetry { put: self.put }), vec![Action::Wait(wait)])
    }
}

/// The store failed and is given time before it is asked again.
#[derive(Debug)]
pub struct AwaitRetry {
    put: Storing,
}

fn done(outcome: Outcome) -> Step {
    (State::Finished, vec![Action::Done(outcome)])
}
