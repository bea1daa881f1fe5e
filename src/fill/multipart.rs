//! The frame of a multipart upload: it is created, and then completed or aborted.

use super::fetch::ActiveOrigin;
use super::head::{Proof, VacancyOfUpload};
use super::state::{ATTEMPTS, Later, STORE_TIMEOUT, State, Transition, done, is_ambiguous};
use super::transfer::Transfer;
use super::{Action, CallId, Job, Outcome};
use crate::config::Overwrite;
use crate::fill::plan::Parts;
use crate::http::{Body, Response};
use crate::object::Object;
use crate::object::integrity::ExpectedDigests;
use crate::object::metadata::Metadata;
use crate::origin::Version;
use crate::s3::{self, CompleteResult, UploadId};
use std::time::Duration;

/// Bound on completing an upload, for which a store may assemble 10,000 parts. Below the signer's idle timeout.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(55);
/// How often the abortion of an upload is asked for at most: within half a minute of a store that refuses at once.
const ABORT_ATTEMPTS: u32 = 8;

/// An object that is stored part by part.
#[derive(Debug)]
pub struct MultipartObject {
    /// Where it comes from.
    pub source: ActiveOrigin,
    /// Which version of it.
    pub version: Version,
    /// How it is divided.
    pub parts: Parts,
    /// What its parts, one after the other, are to come to.
    pub announced: ExpectedDigests,
    /// The longest range that is asked for: some origins give no longer ones than this.
    pub range: u64,
}

/// An upload that exists at the store.
#[derive(Debug)]
pub struct Upload {
    /// The store's name for it.
    pub id: UploadId,
    /// What it is to become.
    pub object: MultipartObject,
}

/// How a fill goes on when its upload is gone.
#[derive(Debug)]
pub enum Ending {
    /// It ends.
    Done(Outcome),
    /// It asks the rule's next origin, or ends.
    NextOrigin(Outcome),
    /// It begins again, with the version that is there now.
    Restart,
}

/// The store was asked to create an upload, or will be.
#[derive(Debug)]
pub struct CreateUpload {
    /// `None` while it waits for its time.
    pub call: Option<CallId>,
    object: MultipartObject,
    metadata: Metadata,
    /// The first part, or its beginning.
    first: Body,
    attempts: u32,
}

impl CreateUpload {
    pub fn begin(job: &mut Job, object: MultipartObject, beginning: Object) -> Transition {
        Self { call: None, object, metadata: beginning.metadata, first: beginning.body, attempts: 0 }.ask(job)
    }

    pub fn ask(mut self, job: &mut Job) -> Transition {
        self.attempts = self.attempts.saturating_add(1);
        let request = s3::create_multipart_upload(&job.bucket, &job.request.fill_key.key, &self.metadata);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        self.call = Some(call);
        (State::CreateUpload(self), vec![action])
    }

    /// Without an answer there may be an upload that nobody knows the name of. Another try could leave another.
    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        match response.map(s3::read_create_multipart_upload) {
            Some(Ok(id)) => Transfer::begin(job, Upload { id, object: self.object }, self.first),
            Some(Err(refusal)) if refusal.undone && self.attempts < ATTEMPTS => {
                let wait = job.back_off(self.attempts);
                (State::Later(Later::Create(self)), vec![wait])
            }
            Some(Err(refusal)) => done(Outcome::NotStored { object: None, status: refusal.status }),
            None => done(Outcome::NotStored { object: None, status: 0 }),
        }
    }
}

/// The store was asked to complete an upload, or will be.
#[derive(Debug)]
pub struct CompleteUpload {
    /// `None` while it waits for its time.
    pub call: Option<CallId>,
    upload: Upload,
    etags: Vec<String>,
    attempts: u32,
    /// An attempt ended without a clear answer, so the object may be there after all.
    maybe_done: bool,
}

impl CompleteUpload {
    pub fn begin(job: &mut Job, upload: Upload, etags: Vec<String>) -> Transition {
        let completion = Self { call: None, upload, etags, attempts: 0, maybe_done: false };
        match job.bucket.overwrite {
            Overwrite::HeadFirst => VacancyOfUpload::ask(job, completion),
            Overwrite::Conditional | Overwrite::Forbidden(_) => completion.ask(job),
        }
    }

    pub fn ask(mut self, job: &mut Job) -> Transition {
        self.attempts = self.attempts.saturating_add(1);
        let Upload { id, object } = &self.upload;
        let request = s3::complete_multipart_upload(
            &job.bucket,
            &job.request.fill_key.key,
            id,
            &self.etags,
            object.parts.total(),
        );
        let (call, action) = job.call(job.store(), request, COMPLETE_TIMEOUT);
        self.call = Some(call);
        (State::CompleteUpload(self), vec![action])
    }

    pub fn answered(mut self, job: &mut Job, response: Option<&Response>) -> Transition {
        let answer = response.map(s3::read_complete_multipart_upload).unwrap_or(CompleteResult::Retry(0));
        match answer {
            CompleteResult::Exists if self.maybe_done => self.give_up(job, Outcome::Stored),
            CompleteResult::Exists => self.give_up(job, Outcome::Exists),
            CompleteResult::NoSuchUpload if self.maybe_done => Proof::ask(job),
            CompleteResult::NoSuchUpload => done(Outcome::NotStored { object: None, status: 404 }),
            CompleteResult::Retry(status) if self.attempts < ATTEMPTS => {
                self.maybe_done |= is_ambiguous(status);
                let wait = job.back_off(self.attempts);
                (State::Later(Later::Complete(self)), vec![wait])
            }
            CompleteResult::Rejected(status) | CompleteResult::Retry(status) => {
                self.give_up(job, Outcome::NotStored { object: None, status })
            }
            CompleteResult::Stored => done(Outcome::Stored),
        }
    }

    /// Has the upload aborted, and the fill end.
    pub fn give_up(self, job: &mut Job, outcome: Outcome) -> Transition {
        AbortUpload::begin(job, self.upload, Ending::Done(outcome))
    }
}

/// The store was asked to abort an upload, or will be. No call that could add a part to it is under way.
#[derive(Debug)]
pub struct AbortUpload {
    /// `None` while it waits for its time.
    pub call: Option<CallId>,
    upload: Upload,
    ending: Ending,
    attempts: u32,
}

impl AbortUpload {
    pub fn begin(job: &mut Job, upload: Upload, ending: Ending) -> Transition {
        Self { call: None, upload, ending, attempts: 0 }.ask(job)
    }

    pub fn ask(mut self, job: &mut Job) -> Transition {
        self.attempts = self.attempts.saturating_add(1);
        let request = s3::abort_multipart_upload(&job.bucket, &job.request.fill_key.key, &self.upload.id);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        self.call = Some(call);
        (State::AbortUpload(self), vec![action])
    }

    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        if response.is_some_and(s3::read_abort_multipart_upload) {
            return self.end(job);
        }
        if self.attempts < ABORT_ATTEMPTS {
            let wait = job.back_off(self.attempts);
            return (State::Later(Later::Abort(self)), vec![wait]);
        }
        let (state, mut actions) = self.end(job);
        actions.insert(0, Action::Warn("an upload could not be aborted: the bucket's lifecycle rule has to"));
        (state, actions)
    }

    fn end(self, job: &mut Job) -> Transition {
        match self.ending {
            Ending::Done(outcome) => done(outcome),
            Ending::NextOrigin(last) => self.upload.object.source.next(job, last),
            Ending::Restart => self.upload.object.source.again(job),
        }
    }
}
