//! An object that is stored with one PUT.

use super::head::Vacancy;
use super::state::{ATTEMPTS, Later, STORE_TIMEOUT, State, Transition, done, is_ambiguous};
use super::{Action, CallId, Job, Outcome};
use crate::config::Overwrite;
use crate::config::rule::ResponseMode;
use crate::http::Response;
use crate::object::Object;
use crate::s3::{self, PutResult};

/// The object was sent to the store, or will be.
#[derive(Debug)]
pub struct Put {
    /// `None` while it waits for its time.
    pub call: Option<CallId>,
    pub object: Object,
    attempts: u32,
    /// An attempt ended without an answer, so the object may be there after all.
    maybe_stored: bool,
}

impl Put {
    pub fn begin(job: &mut Job, object: Object) -> Transition {
        let served = job.responds(ResponseMode::Serve).then(|| Action::Meanwhile(Outcome::Served(object.clone())));
        let put = Self { call: None, object, attempts: 0, maybe_stored: false };
        let (state, mut actions) = match job.bucket.overwrite {
            Overwrite::HeadFirst => Vacancy::ask(job, put),
            Overwrite::Conditional | Overwrite::Forbidden(_) => put.ask(job),
        };
        actions.extend(served);
        (state, actions)
    }

    pub fn ask(mut self, job: &mut Job) -> Transition {
        self.attempts = self.attempts.saturating_add(1);
        let request =
            s3::put_object(&job.bucket, &job.request.fill_key.key, &self.object.metadata, self.object.body.clone());
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        self.call = Some(call);
        (State::Put(self), vec![action])
    }

    pub fn answered(mut self, job: &mut Job, response: Option<&Response>) -> Transition {
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
