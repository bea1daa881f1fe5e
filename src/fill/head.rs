//! The questions that a fill asks the store with a HEAD.

use super::fetch::FirstFetch;
use super::multipart::CompleteUpload;
use super::put::Put;
use super::state::{STORE_TIMEOUT, State, Transition, done};
use super::{CallId, Job, Outcome};
use crate::http::Response;
use crate::s3::{self, HeadResult};

/// The bucket was asked with the writer's credential whether it has the object that it denied to the reader.
#[derive(Debug)]
pub struct Existence {
    pub call: CallId,
}

impl Existence {
    pub fn ask(job: &mut Job) -> Transition {
        let request = s3::head_object(&job.bucket, &job.request.fill_key.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::Existence(Self { call }), vec![action])
    }

    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        match response.map(s3::read_head_object) {
            Some(HeadResult::Exists) => done(Outcome::Forbidden),
            Some(HeadResult::Unknown) => FirstFetch::start(job),
            Some(HeadResult::Unavailable) | None => done(Outcome::BucketUnavailable),
        }
    }
}

/// The store, which would overwrite, was asked whether it has the object already.
#[derive(Debug)]
pub struct Vacancy {
    pub call: CallId,
    pub put: Put,
}

impl Vacancy {
    pub fn ask(job: &mut Job, put: Put) -> Transition {
        let request = s3::head_object(&job.bucket, &job.request.fill_key.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::Vacancy(Self { call, put }), vec![action])
    }

    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        match response.map(s3::read_head_object) {
            Some(HeadResult::Exists) => done(Outcome::Exists),
            Some(HeadResult::Unknown) => self.put.ask(job),
            Some(HeadResult::Unavailable) | None => {
                let status = response.map(|response| response.status).unwrap_or(0);
                done(Outcome::NotStored { object: Some(self.put.object), status })
            }
        }
    }
}

/// The store, which would overwrite, was asked whether it has the object already.
#[derive(Debug)]
pub struct VacancyOfUpload {
    pub call: CallId,
    pub completion: CompleteUpload,
}

impl VacancyOfUpload {
    pub fn ask(job: &mut Job, completion: CompleteUpload) -> Transition {
        let request = s3::head_object(&job.bucket, &job.request.fill_key.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::VacancyOfUpload(Self { call, completion }), vec![action])
    }

    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        match response.map(s3::read_head_object) {
            Some(HeadResult::Exists) => self.completion.give_up(job, Outcome::Exists),
            Some(HeadResult::Unknown) => self.completion.ask(job),
            Some(HeadResult::Unavailable) | None => {
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
    pub fn ask(job: &mut Job) -> Transition {
        let request = s3::head_object(&job.bucket, &job.request.fill_key.key);
        let (call, action) = job.call(job.store(), request, STORE_TIMEOUT);
        (State::Proof(Self { call }), vec![action])
    }

    pub fn answered(self, response: Option<&Response>) -> Transition {
        match response.map(s3::read_head_object) {
            Some(HeadResult::Exists) => done(Outcome::Stored),
            _ => done(Outcome::NotStored { object: None, status: 404 }),
        }
    }
}
