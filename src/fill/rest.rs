//! The rest of an object that fits one part, where the first request asked for less than a part.
//!
//! A client that is to be passed to a large object waits for the first answer alone. So that answer is small, and the rest of a
//! small object takes a second request.
//!
//! An answer that may have made the total of the range itself takes a HEAD, which tells if there is a rest.

use super::fetch::FirstFetch;
use super::state::{State, Transition};
use super::{CallId, Job, joined};
use crate::http::{ContentRange, Response};
use crate::origin::{self, FirstRange, PartResult, Span};
use std::rc::Rc;

/// A request for everything but the first bytes of an object. Where they seem to be all, it is a HEAD.
#[derive(Debug)]
pub struct RestFetch {
    pub call: CallId,
    fetch: FirstFetch,
    first: FirstRange,
}

impl RestFetch {
    pub fn ask(job: &mut Job, fetch: FirstFetch, first: FirstRange) -> Transition {
        let endpoint = &fetch.source.endpoint;
        let (came, request): (&[u8], _) = match is_all(&first) {
            true => (&[], origin::get(endpoint, Span::Headers)),
            false => (&first.object.body, origin::get_part(endpoint, &first.version, range(&first), true)),
        };
        let (call, action) = job.call_behind(came, endpoint.upstream.clone(), request, endpoint.origin.timeout);
        (State::RestFetch(Box::new(Self { call, fetch, first })), vec![action])
    }

    /// Bytes of the object, part of which is at hand, and the one more that is asked for where it begins again.
    pub fn memory(&self) -> u64 {
        self.first.version.total.saturating_add(u64::from(!is_all(&self.first)))
    }

    /// Takes the answer. Where none came in time, the rest is asked for in pieces. Where it is not all of the rest, everything is
    /// asked for after a wait.
    pub fn answered(mut self, job: &mut Job, response: Option<Response>) -> Transition {
        if is_all(&self.first) {
            return match response.is_some_and(|response| origin::confirms(&response, &self.first.version)) {
                true => self.fetch.gave(job, self.first),
                false => self.fetch.ask_all(job),
            };
        }
        let asked = range(&self.first);
        let endpoint = &self.fetch.source.endpoint;
        let read = |response| origin::read_part(response, endpoint, &self.first.version, asked);
        match response.map(read) {
            Some(PartResult::Bytes(bytes)) if u64::try_from(bytes.len()) == Ok(asked.length()) => {
                self.first.object.body = Rc::new(joined(&self.first.object.body, bytes));
                return self.fetch.gave(job, self.first);
            }
            Some(PartResult::TimedOut) => return self.fetch.begins(job, self.first),
            _ => {}
        }
        let length = self.memory().min(job.limits.part_size);
        job.begins_small = false;
        self.fetch.asked_again(job, length)
    }
}

fn is_all(first: &FirstRange) -> bool {
    first.object.length() == first.version.total
}

fn range(first: &FirstRange) -> ContentRange {
    let total = first.version.total;
    ContentRange { first: first.object.length(), last: total.saturating_sub(1), total }
}
