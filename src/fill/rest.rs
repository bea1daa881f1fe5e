//! The rest of an object that fits one part, where the first request asked for less than a part.
//!
//! A client that is to be passed to a large object waits for the first answer alone. So that answer is small, and the rest of a
//! small object takes a second request.

use super::fetch::FirstFetch;
use super::state::{State, Transition};
use super::{CallId, Job};
use crate::http::{ContentRange, Response};
use crate::origin::{self, FirstRange, PartResult};
use std::rc::Rc;

/// A request for everything but the first bytes of an object.
#[derive(Debug)]
pub struct RestFetch {
    pub call: CallId,
    fetch: FirstFetch,
    first: FirstRange,
}

impl RestFetch {
    pub fn ask(job: &mut Job, fetch: FirstFetch, first: FirstRange) -> Transition {
        let endpoint = &fetch.source.endpoint;
        let request = origin::get_part(endpoint, &first.version, range(&first), true);
        let (call, action) = job.call(endpoint.upstream.clone(), request, endpoint.timeout);
        (State::RestFetch(Box::new(Self { call, fetch, first })), vec![action])
    }

    /// Bytes of the object, part of which is at hand, and the one more that is asked for where it begins again.
    pub fn memory(&self) -> u64 {
        self.first.version.total.saturating_add(1)
    }

    /// Takes the answer. Where that is not all of the rest, everything is asked for at once, as ever.
    pub fn answered(mut self, job: &mut Job, response: Option<Response>) -> Transition {
        let asked = range(&self.first);
        let endpoint = &self.fetch.source.endpoint;
        let read = |response| origin::read_part(response, endpoint, &self.first.version, asked);
        if let Some(PartResult::Bytes(bytes)) = response.map(read)
            && u64::try_from(bytes.len()).is_ok_and(|length| length == asked.length())
        {
            Rc::make_mut(&mut self.first.object.body).extend_from_slice(&bytes);
            return self.fetch.gave(job, self.first);
        }
        (job.begins_small, job.expected) = (false, job.limits.part_size);
        self.fetch.source.asked_again(job)
    }
}

fn range(first: &FirstRange) -> ContentRange {
    let total = first.version.total;
    ContentRange { first: first.object.length(), last: total.saturating_sub(1), total }
}
