//! The operations that a fill asks of the store, and the two states of each: it awaits the answer, or the time for the
//! next attempt.

use super::head::{HeadObject, Question};
use super::multipart::{AbortMultipartUpload, CreateMultipartUpload};
use super::retry::Attempts;
use super::state::{State, Transition, done};
use super::write::Write;
use super::{CallId, Job, Outcome};
use crate::http::{Request, Response};
use crate::s3;
use std::time::Duration;

/// Bound on one request to the store, without the time that its bytes take.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bound on a HEAD, which moves no bytes. Three of them end within the `wait` of a client by default.
const HEAD_TIMEOUT: Duration = Duration::from_secs(7);
/// Bound on completing an upload, for which a store may assemble 10,000 parts. Below the signer's idle timeout.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(55);

/// An operation, by S3's name, and its subject.
#[derive(Debug)]
pub enum Operation {
    AbortMultipartUpload(AbortMultipartUpload),
    CreateMultipartUpload(CreateMultipartUpload),
    HeadObject(HeadObject),
    /// PutObject or CompleteMultipartUpload.
    Write(Write),
}

/// The state in which the store's answer to an operation is awaited.
#[derive(Debug)]
pub struct ExpectResponse {
    pub call: CallId,
    pub operation: Operation,
    attempts: Attempts,
}

/// The state in which the time is awaited to ask the store again.
#[derive(Debug)]
pub struct ExpectDeadline {
    pub operation: Operation,
    attempts: Attempts,
}

impl ExpectResponse {
    /// Takes the answer, or `None` where the call came back without one.
    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        let Self { operation, attempts, .. } = self;
        job.note_code(response);
        match operation {
            Operation::AbortMultipartUpload(abort) => abort.answered(job, attempts, response),
            Operation::CreateMultipartUpload(create) => create.answered(job, attempts, response),
            Operation::HeadObject(head) => head.answered(job, attempts, response),
            Operation::Write(write) => write.answered(job, attempts, response),
        }
    }
}

impl ExpectDeadline {
    /// Asks again. A write first asks whether it may, at a store that would overwrite.
    pub fn passed(self, job: &mut Job) -> Transition {
        match self.operation {
            Operation::Write(write) => write.ask(job, self.attempts),
            operation => operation.send(job, self.attempts),
        }
    }
}

impl Operation {
    /// Sends the request; `attempts` were made before.
    pub fn send(self, job: &mut Job, attempts: Attempts) -> Transition {
        let (request, timeout) = self.request(job);
        let (call, action) = job.call(job.store(), request, timeout);
        let attempts = attempts.next();
        (State::ExpectResponse(ExpectResponse { call, operation: self, attempts }), vec![action])
    }

    /// Waits before the next attempt.
    pub fn wait(self, job: &mut Job, attempts: Attempts) -> Transition {
        let wait = job.back_off(attempts.made);
        (State::ExpectDeadline(ExpectDeadline { operation: self, attempts }), vec![wait])
    }

    /// Ends the fill without the operation. An upload is aborted first, unless that is what was being tried.
    pub fn give_up(self, job: &mut Job, outcome: Outcome) -> Transition {
        match self {
            Self::Write(write) => write.end(job, outcome),
            Self::HeadObject(HeadObject { question: Question::Write(_, write, _) }) => write.end(job, outcome),
            Self::AbortMultipartUpload(_) | Self::CreateMultipartUpload(_) | Self::HeadObject(_) => done(outcome),
        }
    }

    /// Bytes of the object that it holds, or will when its call comes back.
    pub fn memory(&self, job: &Job) -> u64 {
        match self {
            Self::AbortMultipartUpload(_) => 0,
            Self::CreateMultipartUpload(create) => create.memory(job),
            Self::HeadObject(HeadObject { question: Question::Denied }) => job.expected,
            Self::HeadObject(HeadObject { question: Question::Write(_, write, _) }) | Self::Write(write) => {
                write.length()
            }
        }
    }

    /// Tells if it is about an upload.
    pub fn is_multipart(&self) -> bool {
        match self {
            Self::AbortMultipartUpload(_) | Self::CreateMultipartUpload(_) => true,
            Self::HeadObject(HeadObject { question: Question::Denied }) => false,
            Self::HeadObject(HeadObject { question: Question::Write(_, write, _) }) | Self::Write(write) => {
                matches!(write, Write::Complete(_))
            }
        }
    }

    fn request(&self, job: &Job) -> (Request, Duration) {
        let (bucket, key) = (&job.bucket, &job.request.fill_key.key);
        let request = match self {
            Self::AbortMultipartUpload(abort) => s3::abort_multipart_upload(bucket, key, &abort.upload.id),
            Self::CreateMultipartUpload(create) => s3::create_multipart_upload(bucket, key, &create.metadata),
            Self::HeadObject(_) => return (s3::head_object(bucket, key), HEAD_TIMEOUT),
            Self::Write(Write::Complete(complete)) => {
                let (id, total) = (&complete.upload.id, complete.upload.object.parts.total());
                let request = s3::complete_multipart_upload(bucket, key, id, &complete.etags, total);
                return (request, COMPLETE_TIMEOUT);
            }
            Self::Write(Write::Put(object)) => {
                let request = s3::put_object(bucket, key, &object.metadata, object.body.clone());
                return (request, job.time_for(object.length(), STORE_TIMEOUT));
            }
        };
        (request, STORE_TIMEOUT)
    }
}
