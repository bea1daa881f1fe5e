//! The frame of a multipart upload: it is created, and then completed ([`Write`](super::write::Write)) or aborted.

use super::feed::{Chunk, Reader};
use super::fetch::ActiveOrigin;
use super::plan::Parts;
use super::retry::{self, Attempts};
use super::state::{Transition, done};
use super::store::Operation;
use super::transfer::Transfer;
use super::{Action, Job, Outcome, Warning};
use crate::http::{Body, Response};
use crate::object::Object;
use crate::object::integrity::ExpectedDigests;
use crate::object::metadata::Metadata;
use crate::origin::Version;
use crate::s3::{self, Refusal, UploadId};
use std::rc::Rc;

/// An object that is stored part by part.
#[derive(Debug)]
pub struct MultipartObject {
    /// Where it comes from.
    pub source: ActiveOrigin,
    /// Its version.
    pub version: Version,
    /// Its parts.
    pub parts: Parts,
    /// The digests that its parts, one after the other, are to have.
    pub announced: ExpectedDigests,
    /// The longest range that is asked for: some origins give no longer ones than this.
    pub range: u64,
}

/// An upload that exists at the store.
#[derive(Debug)]
pub struct Upload {
    /// The store's name for it.
    pub id: UploadId,
    /// The object that it is to become.
    pub object: MultipartObject,
}

/// The fill's way on after its upload is gone.
#[derive(Debug)]
pub enum Ending {
    /// It ends.
    Done(Outcome),
    /// It asks the rule's next origin, or ends.
    NextOrigin(Outcome),
    /// It begins again, with the version that is there now.
    Restart,
}

/// The beginning of an upload.
#[derive(Debug)]
pub struct CreateMultipartUpload {
    pub metadata: Metadata,
    object: MultipartObject,
    /// The first part, or its beginning.
    first: Body,
}

impl CreateMultipartUpload {
    pub fn begin(job: &mut Job, object: MultipartObject, beginning: Object) -> Transition {
        Operation::CreateMultipartUpload(Self { metadata: beginning.metadata, object, first: beginning.body })
            .send(job, Attempts::default())
    }

    /// Counts the bytes of the first part, which is at hand or is asked for next.
    pub fn memory(&self, job: &Job) -> u64 {
        self.object.parts.size().max(job.limits.part_size)
    }

    /// Returns the bytes that are missing of the first part, as far as a stream brings them next.
    pub fn wants(&self, reader: &Reader, end: u64) -> Option<(u64, u64)> {
        let next = self.first_missing();
        let end = end.min(self.object.parts.size());
        (reader.next <= next && next < end && reader.is_of(&self.object.version)).then_some((next, end))
    }

    /// Takes a piece of a stream.
    pub fn fed(&mut self, job: &mut Job, chunk: Chunk) {
        if chunk.reader.is_of(&self.object.version) {
            if chunk.first == self.first_missing() {
                append(Rc::make_mut(&mut self.first), &chunk.bytes, self.object.parts.size());
            }
            job.feed.brought(chunk.reader, chunk.length, job.spent);
        }
    }

    fn first_missing(&self) -> u64 {
        u64::try_from(self.first.len()).unwrap_or(u64::MAX)
    }

    /// Takes an answer, or asks again. Without a clear one there may be an upload that nobody knows the name of, and
    /// another try could leave another.
    pub fn answered(self, job: &mut Job, attempts: Attempts, response: Option<&Response>) -> Transition {
        match response.map(s3::read_create_multipart_upload).unwrap_or(Err(Refusal::UNANSWERED)) {
            Ok(id) => Transfer::begin(job, Upload { id, object: self.object }, self.first),
            Err(refusal) if retry::CREATE.allows(attempts.made, refusal) => {
                Operation::CreateMultipartUpload(self).wait(job, attempts)
            }
            Err(refusal) => done(Outcome::NotStored { object: None, status: refusal.status }),
        }
    }
}

/// Appends bytes to the beginning of something so long.
pub fn append(came: &mut Vec<u8>, bytes: &[u8], length: u64) {
    let length = usize::try_from(length).unwrap_or_default();
    came.reserve(length.saturating_sub(came.len()));
    came.extend_from_slice(bytes);
}

/// The end of an upload that is not to become an object. No call that could add a part to it is under way.
#[derive(Debug)]
pub struct AbortMultipartUpload {
    pub upload: Upload,
    ending: Ending,
}

impl AbortMultipartUpload {
    pub fn begin(job: &mut Job, upload: Upload, ending: Ending) -> Transition {
        Operation::AbortMultipartUpload(Self { upload, ending }).send(job, Attempts::default())
    }

    /// Takes an answer, or asks again.
    pub fn answered(self, job: &mut Job, attempts: Attempts, response: Option<&Response>) -> Transition {
        match response.map(s3::read_abort_multipart_upload).unwrap_or(Err(Refusal::UNANSWERED)) {
            Ok(()) => self.end(job),
            Err(refusal) if retry::ABORT.allows(attempts.made, refusal) => {
                Operation::AbortMultipartUpload(self).wait(job, attempts)
            }
            Err(_) => {
                let (state, mut actions) = self.end(job);
                actions.insert(0, Action::Warn(Warning::CannotAbort));
                (state, actions)
            }
        }
    }

    fn end(self, job: &mut Job) -> Transition {
        match self.ending {
            Ending::Done(outcome) => done(outcome),
            Ending::NextOrigin(last) => self.upload.object.source.next(job, last),
            Ending::Restart => self.upload.object.source.again(job),
        }
    }
}
