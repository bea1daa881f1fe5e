//! HeadObject: the questions that a fill has about the object, and what each answer means.

use super::fetch::FirstFetch;
use super::retry::{self, Attempts};
use super::state::{Transition, done};
use super::store::Operation;
use super::write::Write;
use super::{Action, Job, Outcome, Warning};
use crate::config::{Deleted, Overwrite};
use crate::http::Response;
use crate::s3::{self, HeadResult, Refusal};

/// A HEAD of the object with the writer's credential.
#[derive(Debug)]
pub struct HeadObject {
    pub question: Question,
}

/// The reason for asking.
///
/// | question | 200 | 404 | 403 | other, or none |
/// | --- | --- | --- | --- | --- |
/// | [`Denied`](Self::Denied) | the bucket's 403 stands; `exists` if the object is new | a miss: it is filled | filled by a conditional write, no byte is handed out; the 403 stands where there is no such write | `bucket_unavailable` |
/// | [`MayWrite`](Reason::MayWrite) | `exists` | it is written | `not_stored` | `not_stored` |
/// | [`Taken`](Reason::Taken) | `exists` | `not_stored`, and a warning: the store cannot hold the key | `exists` | `not_stored` |
/// | [`Conflicted`](Reason::Conflicted) | `exists` | a new upload, once | a new upload, once | `not_stored` |
/// | [`Written`](Reason::Written) | `exists` | `not_stored` | `not_stored` | `not_stored` |
///
/// To [`Denied`](Self::Denied) a 404 of a deleted object is no miss unless `bucket.deleted` is `refill`. A 400 for a key that
/// is not plain is that of a store that cannot hold it. In both the bucket's 403 stands. To the other questions a deleted
/// object is a missing one. `exists` becomes `stored` where an attempt of this fill may have put the object there. Each 403
/// is worth a warning: the writer lacks `s3:ListBucket`, or a policy denies it the object. `not_stored` hands the object out
/// where it is at hand, unless nobody knows that the client may have it.
#[derive(Debug)]
pub enum Question {
    /// The bucket said 403 to its reader. Is the object there?
    Denied,
    /// A write has come to a point where that has to be known.
    Write(Reason, Write, Attempts),
}

/// The point to which a write has come.
#[derive(Clone, Copy, Debug)]
pub enum Reason {
    /// A completion was answered 409. Is another one's object there?
    Conflicted,
    /// The store would overwrite. May the object be written?
    MayWrite,
    /// The store refused the write because an object is there. Is it?
    Taken,
    /// The write ended in doubt, with this status. Is the object there?
    Written(u16),
}

impl HeadObject {
    /// Asks for the first time.
    pub fn ask(job: &mut Job, question: Question) -> Transition {
        Operation::HeadObject(Self { question }).send(job, Attempts::default())
    }

    /// Takes an answer, or asks again.
    pub fn answered(self, job: &mut Job, attempts: Attempts, response: Option<&Response>) -> Transition {
        let found = response.map(s3::read_head_object).unwrap_or(HeadResult::Refused(Refusal::UNANSWERED));
        if let HeadResult::Refused(refusal) = found
            && retry::STORE.allows(attempts.made, refusal)
        {
            return Operation::HeadObject(self).wait(job, attempts);
        }
        let is_new = response.is_some_and(s3::is_new);
        let (state, mut actions) = self.question.answered(job, found, is_new);
        if found == HeadResult::Forbidden {
            actions.insert(0, Action::Warn(Warning::CannotList));
        }
        (state, actions)
    }
}

impl Question {
    fn answered(self, job: &mut Job, found: HeadResult, is_new: bool) -> Transition {
        match self {
            Self::Denied => denied(job, found, is_new),
            Self::Write(reason, write, attempts) => reason.answered(job, found, write, attempts),
        }
    }
}

/// The table's first row.
///
/// A new object may have been stored after the bucket had denied it, by another replica or while this fill waited. So
/// the client asks the bucket again.
fn denied(job: &mut Job, found: HeadResult, is_new: bool) -> Transition {
    let nothing_else = !job.request.store || job.request.is_head() || job.bucket.overwrite == Overwrite::HeadFirst;
    match found {
        HeadResult::Exists if is_new => done(Outcome::Exists),
        HeadResult::Exists => done(Outcome::Forbidden),
        HeadResult::Forbidden if nothing_else => done(Outcome::Forbidden),
        HeadResult::Forbidden => FirstFetch::start(job),
        HeadResult::Deleted if job.bucket.deleted == Deleted::Pass => done(Outcome::Forbidden),
        HeadResult::Deleted | HeadResult::Missing => {
            job.withheld = false;
            FirstFetch::start(job)
        }
        // The store cannot hold a key that is not plain, so it has no object for anybody. To a plain one AWS says 400 of a token
        // that has expired.
        HeadResult::Refused(Refusal { status: 400, .. }) if !job.request.store => done(Outcome::Forbidden),
        HeadResult::Refused(_) => done(Outcome::BucketUnavailable),
    }
}

impl Reason {
    /// The table's other rows.
    fn answered(self, job: &mut Job, found: HeadResult, write: Write, attempts: Attempts) -> Transition {
        use HeadResult::{Deleted, Exists, Forbidden, Missing, Refused};
        match (self, found) {
            (_, Exists) | (Self::Taken, Forbidden) => write.found(job, attempts),

            (Self::MayWrite, Deleted | Missing) => Operation::Write(write).send(job, attempts),
            (Self::MayWrite, Forbidden) => write.not_stored(job, 403),
            (Self::MayWrite, Refused(refusal)) => write.not_stored(job, refusal.status),

            (Self::Taken, Deleted | Missing) => {
                let (state, mut actions) = write.not_stored(job, 412);
                actions.insert(0, Action::Warn(Warning::CannotHold));
                (state, actions)
            }
            (Self::Taken, Refused(_)) => write.not_stored(job, 412),

            (Self::Conflicted, Deleted | Missing | Forbidden) => write.anew(job),
            (Self::Conflicted, Refused(_)) => write.not_stored(job, 409),

            (Self::Written(status), Deleted | Missing | Forbidden | Refused(_)) => write.not_stored(job, status),
        }
    }
}
