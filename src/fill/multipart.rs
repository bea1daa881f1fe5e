//! The frame of a multipart upload: it is created, and then completed or aborted.

use super::states::{ATTEMPTS, Later, STORE_TIMEOUT, Source, State, Step, done, is_ambiguous};
use super::transfer::Transfer;
use super::{Action, CallId, Job, Outcome};
use crate::config::Overwrite;
use crate::fill::plan::Parts;
use crate::http::{Body, Response};
use crate::object::Object;
use crate::object::integrity::Announced;
use crate::object::metadata::Metadata;
use crate::origin::Version;
use crate::s3::{self, Complete, Existence, UploadId};
use std::time::Duration;

/// Bound on completing an upload, for which a store may assemble 10,000 parts. Below the signer's idle timeout.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(55);
/// How often the abortion of an upload is asked for at most: within half a minute of a store that refuses at once.
const ABORT_ATTEMPTS: u32 = 8;

/// An object that is stored part by part.
#[derive(Debug)]
pub struct Large {
    /// Where it comes from.
    pub source: Source,
    /// Which version of it.
    pub version: Version,
    /// How it is divided.
    pub parts: Parts,
    /// What its parts, one after the other, are to come to.
    pub announced: Announced,
}

impl Large {
    /// All four.
    pub fn new(source: Source, version: Version, parts: Parts, announced: Announced) -> Self {
        Self { source, version, parts, announced }
    }
}

/// An upload that exists at the store.
#[derive(Debug)]
pub struct Upload {
    /// The store's name for it.
    pub id: UploadId,
    /// What it is to become.
    pub large: Large,
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
pub struct Creation {
    /// `None` while it waits for its time.
    pub call: Option<CallId>,
    large: Large,
    metadata: Metadata,
    /// The first part, if what came is one.
    first: Option<Body>,
    attempts: u32,
}

impl Creation {
    pub fn begin(job: &mut Job, large: Large, beginning: Object) -> Step {
        let whole_part = u64::try_from(beginning.body.len()) == Ok(large.parts.size());
        let first = whole_part.then_some(beginning.body);
        Self { call: None, large, metadata: beginning.metadata, first, attempts: 0 }.ask(job)
    }

    pub fn ask(mut self, job: &mut Job) -> Step {
        self.attempts = self.attempts.saturating_add(1);
        let request = s3::create_upload(&job.bucket, &job.order.goal.key, &self.metadata);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        self.call = Some(call);
        (State::Creation(self), vec![action])
    }

    /// Without an answer there may be an upload that nobody knows the name of. Another try could leave another.
    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Step {
        match response.map(s3::read_create_upload) {
            Some(Ok(id)) => Transfer::begin(job, Upload { id, large: self.large }, self.first),
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
pub struct Completion {
    /// `None` while it waits for its time.
    pub call: Option<CallId>,
    upload: Upload,
    etags: Vec<String>,
    attempts: u32,
    /// An attempt ended without a clear answer, so the object may be there after all.
    maybe_done: bool,
}

impl Completion {
    pub fn begin(job: &mut Job, upload: Upload, etags: Vec<String>) -> Step {
        let completion = Self { call: None, upload, etags, attempts: 0, maybe_done: false };
        match job.bucket.overwrite {
            Overwrite::HeadFirst => VacancyOfUpload::ask(job, completion),
            Overwrite::Conditional | Overwrite::Forbidden(_) => completion.ask(job),
        }
    }

    pub fn ask(mut self, job: &mut Job) -> Step {
        self.attempts = self.attempts.saturating_add(1);
        let Upload { id, large } = &self.upload;
        let request = s3::complete_upload(&job.bucket, &job.order.goal.key, id, &self.etags, large.parts.total());
        let (call, action) = job.call(job.store(), request, COMPLETE_TIMEOUT);
        self.call = Some(call);
        (State::Completion(self), vec![action])
    }

    pub fn answered(mut self, job: &mut Job, response: Option<&Response>) -> Step {
        let answer = response.map(s3::read_complete_upload).unwrap_or(Complete::Retry(0));
        match answer {
            Complete::Exists if self.maybe_done => self.give_up(job, Outcome::Stored),
            Complete::Exists => self.give_up(job, Outcome::Exists),
            Complete::NoSuchUpload if self.maybe_done => Proof::ask(job),
            Complete::NoSuchUpload => done(Outcome::NotStored { object: None, status: 404 }),
            Complete::Retry(status) if self.attempts < ATTEMPTS => {
                self.maybe_done |= is_ambiguous(status);
                let wait = job.back_off(self.attempts);
                (State::Later(Later::Complete(self)), vec![wait])
            }
            Complete::Rejected(status) | Complete::Retry(status) => {
                self.give_up(job, Outcome::NotStored { object: None, status })
            }
            Complete::Stored => done(Outcome::Stored),
        }
    }

    /// Has the upload aborted, and the fill end.
    pub fn give_up(self, job: &mut Job, outcome: Outcome) -> Step {
        Abortion::begin(job, self.upload, Ending::Done(outcome))
    }
}

/// The store, which would overwrite, was asked whether it has the object already.
#[derive(Debug)]
pub struct VacancyOfUpload {
    pub call: CallId,
    pub completion: Completion,
}

impl VacancyOfUpload {
    fn ask(job: &mut Job, completion: Completion) -> Step {
        let request = s3::head(&job.bucket, &job.order.goal.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::VacancyOfUpload(Self { call, completion }), vec![action])
    }

    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Step {
        match response.map(s3::read_head) {
            Some(Existence::Exists) => self.completion.give_up(job, Outcome::Exists),
            Some(Existence::Unknown) => self.completion.ask(job),
            Some(Existence::Unavailable) | None => {
                let status = response.map(|response| response.status).unwrap_or(0);
                self.completion.give_up(job, Outcome::NotStored { object: None, status })
            }
        }
    }
}

/// An upload is gone that may have been completed; the store was asked whether the object is there.
#[derive(Debug)]
pub struct Proof {
    pub call: CallId,
}

impl Proof {
    fn ask(job: &mut Job) -> Step {
        let request = s3::head(&job.bucket, &job.order.goal.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::Proof(Self { call }), vec![action])
    }

    pub fn answered(self, response: Option<&Response>) -> Step {
        match response.map(s3::read_head) {
            Some(Existence::Exists) => done(Outcome::Stored),
            _ => done(Outcome::NotStored { object: None, status: 404 }),
        }
    }
}

/// The store was asked to abort an upload, or will be. No call that could add a part to it is under way.
#[derive(Debug)]
pub struct Abortion {
    /// `None` while it waits for its time.
    pub call: Option<CallId>,
    upload: Upload,
    ending: Ending,
    attempts: u32,
}

impl Abortion {
    pub fn begin(job: &mut Job, upload: Upload, ending: Ending) -> Step {
        Self { call: None, upload, ending, attempts: 0 }.ask(job)
    }

    pub fn ask(mut self, job: &mut Job) -> Step {
        self.attempts = self.attempts.saturating_add(1);
        let request = s3::abort_upload(&job.bucket, &job.order.goal.key, &self.upload.id);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        self.call = Some(call);
        (State::Abortion(self), vec![action])
    }

    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Step {
        if response.is_some_and(s3::read_abort_upload) {
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

    fn end(self, job: &mut Job) -> Step {
        match self.ending {
            Ending::Done(outcome) => done(outcome),
            Ending::NextOrigin(last) => self.upload.large.source.next(job, last),
            Ending::Restart => self.upload.large.source.again(job),
        }
    }
}
