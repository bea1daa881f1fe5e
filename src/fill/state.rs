//! What every fill goes through, and the storing of an object with one PUT.
//!
//! Who repeats what:
//!
//! | request | safe to repeat | repeated |
//! | --- | --- | --- |
//! | HEAD to the store, after a 403 | yes | never: its failure passes the bucket's 403 on |
//! | HEAD to the store, before a write | yes | never: its failure is that of the write |
//! | GET to an origin, for the beginning | yes | [`ATTEMPTS`] in all on 408, 425, 429, 5xx but 504, reset |
//! | the same, answered by what is no range | yes | once without the range, and that as above |
//! | HEAD to an origin, for its length | yes | never: its failure is that of the GET before it |
//! | GET to an origin, for a later part | yes, by its validator | [`ATTEMPTS`] in all on 408, 425, 429, 5xx, reset |
//! | the same, answered 412 | yes | once without its precondition |
//! | PUT of an object | yes, by `If-None-Match: *` | [`ATTEMPTS`] in all on 408, 409, 425, 429, 5xx, reset |
//! | PUT of a part | yes: it replaces itself | likewise |
//! | POST that creates an upload | no: each creates another | [`ATTEMPTS`] in all on 409, 429, 503 |
//! | POST that completes an upload | yes, by `If-None-Match: *` | as a PUT, and on a 200 with an error in it |
//! | DELETE of an upload | yes | [`ABORT_ATTEMPTS`](super::multipart) in all on everything but 2xx and 404 |

use super::fetch::{FirstFetch, OriginLength};
use super::head::{Existence, Proof, Vacancy, VacancyOfUpload};
use super::multipart::{AbortUpload, CompleteUpload, CreateUpload};
use super::put::Put;
use super::transfer::Transfer;
use super::{Action, CallId, Input, Job, Outcome};
use crate::http::Response;
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
    First(FirstFetch),
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
            Self::FirstFetch(fetch) | Self::Later(Later::First(fetch)) => fetch.memory(job),
            Self::Idle | Self::Existence(_) | Self::OriginLength(_) => job.expected,
            Self::CreateUpload(_) | Self::Later(Later::Create(_)) => job.limits.part_size,
            Self::Put(put) | Self::Later(Later::Put(put)) | Self::Vacancy(Vacancy { put, .. }) => put.object.length(),
            Self::Transfer(transfer) => transfer.memory(),
            _ => 0,
        }
    }

    fn awaits(&self, call: CallId) -> bool {
        let awaited = match self {
            Self::AbortUpload(state) => state.call,
            Self::FirstFetch(state) => state.call,
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
            Self::First(state) => state.resume(job),
            Self::Put(state) => state.ask(job),
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
