//! PutObject and CompleteMultipartUpload: the two operations after which the object is in the store.

use super::head::{HeadObject, Question, Reason};
use super::multipart::{AbortMultipartUpload, Ending, Upload};
use super::retry::{self, Attempts};
use super::state::{State, Transition, done};
use super::store::Operation;
use super::{Action, Job, Outcome};
use crate::config::Overwrite;
use crate::config::rule::ResponseMode;
use crate::http::Response;
use crate::object::Object;
use crate::s3::{self, Refusal, WriteResult};

/// A write of the object.
#[derive(Debug)]
pub enum Write {
    Complete(Box<CompleteMultipartUpload>),
    Put(Object),
}

/// An upload whose parts are stored.
#[derive(Debug)]
pub struct CompleteMultipartUpload {
    pub upload: Upload,
    /// Entity tags of the parts, in their order.
    pub etags: Vec<String>,
}

impl Write {
    /// Stores an object that is at hand. Those who wait need not, where the rule has them served.
    pub fn put(job: &mut Job, object: Object) -> Transition {
        let served = job.responds(ResponseMode::Serve).then(|| Action::Meanwhile(Outcome::Served(object.clone())));
        let (state, mut actions) = Self::Put(object).ask(job, Attempts::default());
        actions.extend(served);
        (state, actions)
    }

    /// Makes an object of an upload's parts.
    pub fn complete(job: &mut Job, upload: Upload, etags: Vec<String>) -> Transition {
        Self::uploaded(upload, etags).ask(job, Attempts::default())
    }

    /// The write of an upload's parts.
    pub fn uploaded(upload: Upload, etags: Vec<String>) -> Self {
        Self::Complete(Box::new(CompleteMultipartUpload { upload, etags }))
    }

    /// Asks the store to write. One that would overwrite is asked before each attempt whether it has the object.
    pub fn ask(self, job: &mut Job, attempts: Attempts) -> Transition {
        match job.bucket.overwrite {
            Overwrite::HeadFirst => HeadObject::ask(job, Question::Write(Reason::MayWrite, self, attempts)),
            Overwrite::Conditional | Overwrite::Forbidden(_) => Operation::Write(self).send(job, attempts),
        }
    }

    /// Takes an answer, or asks again.
    pub fn answered(self, job: &mut Job, attempts: Attempts, response: Option<&Response>) -> Transition {
        let read = match self {
            Self::Complete(_) => s3::read_complete_multipart_upload,
            Self::Put(_) => s3::read_put_object,
        };
        match response.map(read).unwrap_or(WriteResult::Refused(Refusal::UNANSWERED)) {
            WriteResult::Stored => self.stored(),
            WriteResult::Exists => HeadObject::ask(job, Question::Write(Reason::Taken, self, attempts)),
            WriteResult::Conflict => HeadObject::ask(job, Question::Write(Reason::Conflicted, self, attempts)),
            WriteResult::NoSuchUpload => HeadObject::ask(job, Question::Write(Reason::Written(404), self, attempts)),
            WriteResult::Refused(refusal) => {
                let attempts = attempts.refused(refusal);
                if retry::STORE.allows(attempts.made, refusal) {
                    Operation::Write(self).wait(job, attempts)
                } else if attempts.ambiguous {
                    HeadObject::ask(job, Question::Write(Reason::Written(refusal.status), self, attempts))
                } else {
                    self.not_stored(job, refusal.status)
                }
            }
        }
    }

    /// Ends the fill: the object is there.
    pub fn found(self, job: &mut Job, attempts: Attempts) -> Transition {
        self.end(job, if attempts.ambiguous { Outcome::Stored } else { Outcome::Exists })
    }

    /// Ends the fill: the store did not take the object. It is handed out, where it is at hand and that is allowed.
    pub fn not_stored(self, job: &mut Job, status: u16) -> Transition {
        let object = match &self {
            Self::Put(object) if !job.withheld => Some(object.clone()),
            Self::Complete(_) | Self::Put(_) => None,
        };
        self.end(job, Outcome::NotStored { object, status })
    }

    /// Begins another upload in the place of this one, once in a fill.
    pub fn anew(self, job: &mut Job) -> Transition {
        match self {
            Self::Complete(complete) if !job.conflicted => {
                job.conflicted = true;
                AbortMultipartUpload::begin(job, complete.upload, Ending::Restart)
            }
            Self::Complete(_) | Self::Put(_) => self.not_stored(job, 409),
        }
    }

    /// Ends the fill, without an upload.
    pub fn end(self, job: &mut Job, outcome: Outcome) -> Transition {
        match self {
            Self::Complete(complete) => AbortMultipartUpload::begin(job, complete.upload, Ending::Done(outcome)),
            Self::Put(_) if outcome == Outcome::Stored => self.stored(),
            Self::Put(_) => done(outcome),
        }
    }

    /// Bytes of the object that are held.
    pub fn length(&self) -> u64 {
        match self {
            Self::Complete(_) => 0,
            Self::Put(object) => object.length(),
        }
    }

    fn stored(self) -> Transition {
        let progress = match self {
            // Its parts were told of one by one.
            Self::Complete(_) => None,
            Self::Put(object) => Some(Action::Progress { bytes: object.length(), total: object.length() }),
        };
        (State::Finished, progress.into_iter().chain([Action::Done(Outcome::Stored)]).collect())
    }
}
