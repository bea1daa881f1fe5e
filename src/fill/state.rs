//! The states of a fill, and which of them takes which input.

use super::feed::Reader;
use super::fetch::{FirstFetch, OriginLength};
use super::head::{HeadObject, Question};
use super::multipart::CreateMultipartUpload;
use super::rest::RestFetch;
use super::store::{ExpectDeadline, ExpectResponse, Operation};
use super::transfer::Transfer;
use super::{Action, CallId, Input, Job, Outcome};
use crate::http::Response;

/// The state of a fill, by the thing that it awaits.
#[derive(Debug)]
pub enum State {
    ExpectDeadline(ExpectDeadline),
    ExpectResponse(ExpectResponse),
    FirstFetch(FirstFetch),
    Finished,
    Idle,
    OriginLength(OriginLength),
    RestFetch(Box<RestFetch>),
    Transfer(Box<Transfer>),
}

/// The next state, and the actions on the way to it.
pub type Transition = (State, Vec<Action>);

impl State {
    pub fn handle(self, job: &mut Job, input: Input) -> Transition {
        match (self, input) {
            (Self::Finished, _) => (Self::Finished, Vec::new()),
            (Self::Transfer(state), input) => state.handle(job, input),
            (mut state, Input::Chunk(chunk)) => {
                if let Some(create) = state.creating() {
                    create.fed(job, chunk);
                }
                (state, Vec::new())
            }
            (state, Input::Left(stream)) => {
                job.feed.leave(stream);
                (state, Vec::new())
            }
            // A transfer watched its streams, and did not wait for that to end.
            (state, Input::Deadline) if job.feed.watching => {
                job.feed.watching = false;
                (state, Vec::new())
            }
            (Self::Idle, Input::Start) if job.asks_first() => HeadObject::ask(job, Question::Denied),
            (Self::Idle, Input::Start) => FirstFetch::start(job),
            (Self::ExpectDeadline(state), Input::Deadline) => state.passed(job),
            (Self::FirstFetch(state), Input::Deadline) if state.call.is_none() => state.send(job),
            (state, Input::Response { call, response }) if state.awaits(call) => state.answered(job, Some(response)),
            (state, Input::Failed { call }) if state.awaits(call) => state.answered(job, None),
            (state, _) => state.broken(job),
        }
    }

    /// Returns the next bytes that it takes of those that a stream brings up to `end`.
    pub fn wants(&mut self, reader: &Reader, end: u64) -> Option<(u64, u64)> {
        match self {
            Self::Transfer(transfer) => transfer.wants(reader, end),
            state => state.creating()?.wants(reader, end),
        }
    }

    fn creating(&mut self) -> Option<&mut CreateMultipartUpload> {
        match self {
            Self::ExpectDeadline(ExpectDeadline { operation: Operation::CreateMultipartUpload(create), .. })
            | Self::ExpectResponse(ExpectResponse { operation: Operation::CreateMultipartUpload(create), .. }) => {
                Some(create)
            }
            _ => None,
        }
    }

    /// Bytes that are held, or will be when the calls come back.
    pub fn memory(&self, job: &Job) -> u64 {
        match self {
            Self::ExpectDeadline(ExpectDeadline { operation, .. })
            | Self::ExpectResponse(ExpectResponse { operation, .. }) => operation.memory(job),
            Self::Finished => 0,
            Self::FirstFetch(_) | Self::Idle | Self::OriginLength(_) => job.expected,
            Self::RestFetch(rest) => rest.memory(),
            Self::Transfer(transfer) => transfer.memory(),
        }
    }

    /// Tells if an upload exists, or is asked for.
    pub fn is_multipart(&self) -> bool {
        match self {
            Self::ExpectDeadline(ExpectDeadline { operation, .. })
            | Self::ExpectResponse(ExpectResponse { operation, .. }) => operation.is_multipart(),
            Self::Transfer(_) => true,
            Self::Finished | Self::FirstFetch(_) | Self::Idle | Self::OriginLength(_) | Self::RestFetch(_) => false,
        }
    }

    fn awaits(&self, call: CallId) -> bool {
        let awaited = match self {
            Self::ExpectResponse(state) => Some(state.call),
            Self::FirstFetch(state) => state.call,
            Self::OriginLength(state) => Some(state.call),
            Self::RestFetch(state) => Some(state.call),
            Self::ExpectDeadline(_) | Self::Finished | Self::Idle | Self::Transfer(_) => None,
        };
        awaited == Some(call)
    }

    fn answered(self, job: &mut Job, response: Option<Response>) -> Transition {
        match self {
            Self::ExpectResponse(state) => state.answered(job, response.as_ref()),
            Self::FirstFetch(state) => state.answered(job, response),
            Self::OriginLength(state) => state.answered(job, response.as_ref()),
            Self::RestFetch(state) => state.answered(job, response),
            state @ (Self::ExpectDeadline(_) | Self::Finished | Self::Idle | Self::Transfer(_)) => state.broken(job),
        }
    }

    /// Ends the fill for an input that this state cannot have. An upload is given up first.
    fn broken(self, job: &mut Job) -> Transition {
        let outcome = Outcome::Broken("an input that the fill does not await");
        match self {
            Self::ExpectDeadline(ExpectDeadline { operation, .. })
            | Self::ExpectResponse(ExpectResponse { operation, .. }) => operation.give_up(job, outcome),
            _ => done(outcome),
        }
    }
}

pub fn done(outcome: Outcome) -> Transition {
    (State::Finished, vec![Action::Done(outcome)])
}
