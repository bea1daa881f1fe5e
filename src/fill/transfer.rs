//! The parts of an upload on their way: while one is being stored, the next ones are fetched.
//!
//! Where the origin announced what the whole object comes to, parts are compared with that in the object's order. One
//! that is stored before its turn stays in the window until then, so that memory stays bounded.
//!
//! A part that a client's stream brings is not asked for ([`feed`](super::feed)). Without anything to compare, parts that are
//! about to be read by a stream come before others.

use super::feed::{Chunk, LOOK_AGAIN, Reader};
use super::fetch::outcome_of;
use super::head::{HeadObject, Question, Reason};
use super::multipart::{AbortMultipartUpload, Ending, Upload, append};
use super::retry::{self, ATTEMPTS, Attempts};
use super::state::{State, Transition};
use super::store::STORE_TIMEOUT;
use super::write::Write;
use super::{Action, CallId, Input, Job, Outcome, joined};
use crate::http::{Body, ContentRange, Response};
use crate::object::integrity::Hasher;
use crate::origin::{self, Failure, PartResult};
use crate::s3::{self, Refusal};
use std::rc::Rc;
use std::time::Duration;

/// A call that takes this share of its time, as its inverse, is a slow one: parts that take turns do not come to the end of it.
const SLOW: u32 = 4;

/// A window of parts that are fetched and stored, in any order.
#[derive(Debug)]
pub struct Transfer {
    upload: Upload,
    window: Vec<Part>,
    /// Entity tags by part, empty where a part is not stored.
    etags: Vec<String>,
    /// The announced digests, while they are computed, and the number of the part that they need next.
    hasher: Option<(Hasher, u64)>,
    /// Parts are asked for without a precondition, because the origin denied one that it gave itself.
    unconditional: bool,
    /// The number of times that the origin's endpoint changed.
    moves: u32,
    /// The origin itself was asked, because where it redirected to refused, and no part has come since.
    renewed: bool,
    /// The fill waits to ask again for the parts whose time comes later.
    waiting: bool,
    /// The most parts that are on their way at once.
    width: usize,
    /// Nothing more is asked for; when the calls under way are back, the upload is aborted.
    ending: Option<Ending>,
    actions: Vec<Action>,
}

#[derive(Debug)]
struct Part {
    number: u64,
    /// Of what the stage is about.
    attempts: u32,
    stage: PartState,
    /// The time since the fill began from which on its call is a slow one.
    slow: Duration,
}

#[derive(Debug)]
enum PartState {
    /// These are its first bytes; a stream brings the rest.
    Fed(Vec<u8>),
    /// These are its first bytes; the rest is asked for.
    Fetch(Vec<u8>),
    Fetching {
        call: CallId,
        came: Vec<u8>,
        conditional: bool,
        /// [`Transfer::moves`] when it was asked for.
        moves: u32,
    },
    Store(Body),
    Storing(CallId, Body),
    /// It awaits its turn to be compared.
    Stored(Body),
}

impl Part {
    fn new(number: u64, attempts: u32, stage: PartState) -> Self {
        Self { number, attempts, stage, slow: Duration::ZERO }
    }

    fn call(&self) -> Option<CallId> {
        match self.stage {
            PartState::Fetching { call, .. } | PartState::Storing(call, _) => Some(call),
            PartState::Fed(_) | PartState::Fetch(_) | PartState::Store(_) | PartState::Stored(_) => None,
        }
    }

    fn body(&self) -> Option<&Body> {
        match &self.stage {
            PartState::Store(body) | PartState::Storing(_, body) | PartState::Stored(body) => Some(body),
            PartState::Fed(_) | PartState::Fetch(_) | PartState::Fetching { .. } => None,
        }
    }

    /// Tells if it waits to be asked for again: for its time, or for another part to come back.
    fn waits(&self) -> bool {
        matches!(self.stage, PartState::Fetch(_) | PartState::Store(_))
    }

    fn is_fed(&self) -> bool {
        matches!(self.stage, PartState::Fed(_))
    }

    fn is_stored(&self) -> bool {
        matches!(self.stage, PartState::Stored(_))
    }
}

impl Transfer {
    /// Begins with the first part, or with its beginning.
    pub fn begin(job: &mut Job, mut upload: Upload, first: Body) -> Transition {
        let count = usize::try_from(upload.object.parts.count()).unwrap_or(usize::MAX);
        let hasher = std::mem::take(&mut upload.object.announced).hasher();
        let mut transfer = Self {
            upload,
            window: Vec::new(),
            etags: vec![String::new(); count],
            hasher: hasher.map(|hasher| (hasher, 1)),
            unconditional: false,
            moves: 0,
            renewed: false,
            waiting: false,
            width: job.limits.parts_in_flight,
            ending: None,
            actions: Vec::new(),
        };
        transfer.came(job, 1, Rc::try_unwrap(first).unwrap_or_else(|shared| shared.to_vec()));
        Box::new(transfer).proceed(job)
    }

    /// Bytes that the window holds, or will.
    pub fn memory(&self) -> u64 {
        self.held_by(self.window.len())
    }

    pub fn handle(mut self: Box<Self>, job: &mut Job, input: Input) -> Transition {
        match input {
            Input::Response { call, response } => self.answered(job, call, Some(response)),
            Input::Failed { call } => self.answered(job, call, None),
            Input::Chunk(chunk) => self.fed(job, chunk),
            Input::Left(stream) => job.feed.leave(stream),
            Input::Deadline if job.feed.watching => job.feed.watching = false,
            Input::Deadline if self.waiting => self.waiting = false,
            Input::Deadline | Input::Start => self.fail(Ending::Done(Outcome::Broken("no such input in a transfer"))),
        }
        self.proceed(job)
    }

    fn answered(&mut self, job: &mut Job, call: CallId, response: Option<Response>) {
        let Some(at) = self.window.iter().position(|part| part.call() == Some(call)) else {
            return self.fail(Ending::Done(Outcome::Broken("an answer that the transfer does not await")));
        };
        let part = self.window.swap_remove(at);
        self.adapt(job, &part);
        match part.stage {
            PartState::Fed(came) | PartState::Fetch(came) => {
                self.fetched(job, part.number, part.attempts, came, false, response)
            }
            PartState::Fetching { came, conditional, moves, .. } => {
                if let Some(came) = self.moved(job, part.number, part.attempts, came, moves, response.as_ref()) {
                    self.fetched(job, part.number, part.attempts, came, conditional, response);
                }
            }
            PartState::Store(body) | PartState::Storing(_, body) | PartState::Stored(body) => {
                self.stored(job, part.number, part.attempts, body, response.as_ref());
            }
        }
    }

    /// Asks for a part elsewhere: where the origin redirects to, or at the origin itself, where a redirect of its own led to a
    /// refusal. Returns the part's first bytes if the answer is about the part.
    fn moved(
        &mut self,
        job: &mut Job,
        number: u64,
        attempts: u32,
        came: Vec<u8>,
        moves: u32,
        response: Option<&Response>,
    ) -> Option<Vec<u8>> {
        let Some(response) = response.filter(|response| self.ending.is_none() && origin::refuses(response)) else {
            return Some(came);
        };
        let source = &self.upload.object.source;
        let next = match source.redirected(response) {
            // Another part has found the way since.
            _ if moves != self.moves => None,
            None if self.renewed => return Some(came),
            None => {
                let Some(before) = source.before_redirect() else { return Some(came) };
                self.renewed = true;
                Some(before)
            }
            redirected => redirected,
        };
        if let Some(next) = next {
            self.upload.object.source = next;
            self.moves = self.moves.saturating_add(1);
        }
        let attempts = attempts.saturating_sub(1);
        self.send(job, Part::new(number, attempts, PartState::Fetch(came)));
        None
    }

    fn fetched(
        &mut self,
        job: &mut Job,
        number: u64,
        attempts: u32,
        came: Vec<u8>,
        conditional: bool,
        response: Option<Response>,
    ) {
        if self.ending.is_some() {
            return;
        }
        let answer = match response {
            Some(response) => {
                let object = &self.upload.object;
                origin::read_part(response, &object.source.endpoint, &object.version, self.rest(number, &came))
            }
            None => PartResult::Unavailable(Failure::without_answer("reset or cut short")),
        };
        let last = match answer {
            PartResult::Bytes(bytes) => {
                self.renewed = false;
                return self.came(job, number, joined(&came, bytes));
            }
            // The validators of the answer are compared all the same.
            PartResult::PreconditionFailed if conditional => {
                self.unconditional = true;
                let attempts = attempts.saturating_sub(1);
                return self.send(job, Part::new(number, attempts, PartState::Fetch(came)));
            }
            PartResult::Changed | PartResult::PreconditionFailed if self.upload.object.source.restarted => {
                let changed = Outcome::OriginUnavailable("the object changed twice while it was fetched");
                return self.fail(Ending::NextOrigin(changed));
            }
            PartResult::Changed | PartResult::PreconditionFailed => return self.fail(Ending::Restart),
            PartResult::Refused(status) => return self.fail(Ending::Done(Outcome::OriginRefused { status })),
            // The origin is silent, or the line from it is thin: it is asked for less at once.
            PartResult::TimedOut => {
                let range = &mut self.upload.object.range;
                *range = (*range / 4).max(job.limits.first_range).min(*range);
                Outcome::OriginTimeout
            }
            PartResult::Unavailable(failure) => outcome_of(failure),
        };
        if attempts < ATTEMPTS {
            self.wait(job, Part::new(number, attempts, PartState::Fetch(came)));
        } else {
            self.fail(Ending::NextOrigin(last));
        }
    }

    /// Returns the next bytes that a part in the window misses, of those that a stream brings up to `end`.
    pub fn wants(&self, reader: &Reader, end: u64) -> Option<(u64, u64)> {
        let mut wanted = None;
        let mut least = end;
        for part in &self.window {
            if let Some((first, last)) = self.missing(part)
                && reader.next <= first
                && first < least
            {
                (least, wanted) = (first, Some((first, end.min(last.saturating_add(1)))));
            }
        }
        wanted.filter(|_| reader.is_of(&self.upload.object.version))
    }

    /// Returns the bytes that a stream is to bring of a part, both ends inclusive.
    fn missing(&self, part: &Part) -> Option<(u64, u64)> {
        let PartState::Fed(came) = &part.stage else { return None };
        let range = self.upload.object.parts.range(part.number);
        Some((range.first.saturating_add(length_of(came)), range.last))
    }

    /// Takes a piece of a stream.
    fn fed(&mut self, job: &mut Job, chunk: Chunk) {
        let Chunk { reader, length, first, bytes } = chunk;
        if !reader.is_of(&self.upload.object.version) {
            return;
        }
        job.feed.brought(reader, length, job.spent);
        let is_next = |part: &Part| self.missing(part).is_some_and(|(missing, _)| missing == first);
        let Some(at) = self.window.iter().position(is_next).filter(|_| !bytes.is_empty()) else { return };
        let Some(Part { number, attempts, stage: PartState::Fed(came), .. }) = self.window.get_mut(at) else { return };
        let part = self.upload.object.parts.range(*number);
        append(came, &bytes, part.length());
        *attempts = 0;
        if first.saturating_add(length_of(&bytes)) > part.last {
            let (number, came) = (*number, std::mem::take(came));
            self.window.remove(at);
            self.came(job, number, came);
        }
    }

    /// Stores a part that is at hand, or asks for the rest of it.
    fn came(&mut self, job: &mut Job, number: u64, bytes: Vec<u8>) {
        let is_whole = length_of(&bytes) >= self.upload.object.parts.range(number).length();
        let stage = if is_whole { PartState::Store(Rc::new(bytes)) } else { PartState::Fetch(bytes) };
        self.send(job, Part::new(number, 0, stage));
    }

    /// Returns the range that is asked for next, of a part whose first bytes came.
    fn rest(&self, number: u64, came: &[u8]) -> ContentRange {
        let part = self.upload.object.parts.range(number);
        let first = part.first.saturating_add(length_of(came));
        let end = first.saturating_add(self.upload.object.range.max(1));
        ContentRange { first, last: part.last.min(end.saturating_sub(1)), total: part.total }
    }

    fn stored(&mut self, job: &mut Job, number: u64, attempts: u32, body: Body, response: Option<&Response>) {
        job.note_code(response);
        let etag = match response.map(s3::read_upload_part).unwrap_or(Err(Refusal::UNANSWERED)) {
            Ok(etag) => etag,
            Err(refusal) if retry::STORE.allows(attempts, refusal) => {
                return self.wait(job, Part::new(number, attempts, PartState::Store(body)));
            }
            Err(Refusal { status, .. }) => {
                return self.fail(Ending::Done(Outcome::NotStored { object: None, status }));
            }
        };
        let at = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some(entry) = self.etags.get_mut(at) {
            *entry = etag;
        }
        let bytes = length_of(&body);
        self.actions.push(Action::Progress { bytes, total: self.upload.object.parts.total() });
        if self.hasher.is_some() && self.ending.is_none() {
            self.window.push(Part::new(number, attempts, PartState::Stored(body)));
        }
    }

    /// Sends the request that a part's stage is about.
    fn send(&mut self, job: &mut Job, part: Part) {
        let Part { number, attempts, stage, .. } = part;
        let object = &self.upload.object;
        let (stage, action, timeout) = match stage {
            PartState::Fed(came) | PartState::Fetch(came) | PartState::Fetching { came, .. } => {
                let range = self.rest(number, &came);
                if job.feed.brings(range.first, object.parts.range(number).last, job.spent) {
                    return self.window.push(Part::new(number, attempts, PartState::Fed(came)));
                }
                let endpoint = &object.source.endpoint;
                let conditional = !self.unconditional;
                let request = origin::get_part(endpoint, &object.version, range, conditional);
                let (call, action) =
                    job.call_behind(&came, endpoint.upstream.clone(), request, endpoint.origin.timeout);
                (PartState::Fetching { call, came, conditional, moves: self.moves }, action, endpoint.origin.timeout)
            }
            PartState::Store(body) | PartState::Storing(_, body) | PartState::Stored(body) => {
                let timeout = job.time_for(length_of(&body), STORE_TIMEOUT);
                let request =
                    s3::upload_part(&job.bucket, &job.request.fill_key.key, &self.upload.id, number, body.clone());
                let (call, action) = job.call(job.store(), request, timeout);
                (PartState::Storing(call, body), action, timeout)
            }
        };
        self.actions.push(action);
        let slow = job.spent.saturating_add(timeout.checked_div(SLOW).unwrap_or_default());
        self.window.push(Part { number, attempts: attempts.saturating_add(1), stage, slow });
    }

    /// Has fewer parts on their way after a slow call, and more after others.
    fn adapt(&mut self, job: &Job, part: &Part) {
        let more = self.width.saturating_add(1).min(job.limits.parts_in_flight);
        self.width = if job.spent >= part.slow { (self.width / 2).max(1) } else { more };
    }

    /// Keeps a part until the fill's next deadline.
    fn wait(&mut self, job: &mut Job, part: Part) {
        if self.ending.is_some() {
            return;
        }
        if !self.waiting {
            self.waiting = true;
            self.actions.push(job.back_off(part.attempts));
        }
        self.window.push(part);
    }

    /// Computes what was announced as far as the parts at hand go, and lets those go that nothing awaits any more.
    fn compare(&mut self) {
        if self.ending.is_some() {
            return;
        }
        let Some((mut hasher, mut next)) = self.hasher.take() else { return };
        while let Some(body) = self.window.iter().find(|part| part.number == next).and_then(Part::body) {
            hasher.update(body);
            next = next.saturating_add(1);
        }
        self.window.retain(|part| part.number >= next || !part.is_stored());
        if next <= self.upload.object.parts.count() {
            self.hasher = Some((hasher, next));
        } else if let Err(header) = hasher.verify() {
            self.fail(Ending::NextOrigin(Outcome::Corrupt(header)));
        }
    }

    /// Ends the transfer for the first reason that comes up.
    fn fail(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
        self.window.retain(|part| part.call().is_some());
    }

    /// Fetches on as far as the window and the memory allow, or takes the transfer to its end.
    fn proceed(mut self: Box<Self>, job: &mut Job) -> Transition {
        self.compare();
        job.feed.is_corrupt |= matches!(self.ending, Some(Ending::NextOrigin(Outcome::Corrupt(_))));
        if self.ending.is_none() {
            self.send_fed(job);
            while !self.waiting && self.under_way() < self.width {
                let Some(at) = self.window.iter().position(Part::waits) else { break };
                let part = self.window.swap_remove(at);
                self.send(job, part);
            }
            while self.has_room(job) {
                let Some(number) = self.next(job) else { break };
                self.send(job, Part::new(number, 0, PartState::Fetch(Vec::new())));
            }
            if self.window.iter().any(Part::is_fed) && !self.waiting && !job.feed.watching {
                job.feed.watching = true;
                self.actions.push(Action::Wait(LOOK_AGAIN));
            }
        }
        let mut actions = std::mem::take(&mut self.actions);
        // A wait comes back too, and what follows a transfer does not await it.
        if !self.window.is_empty() || self.waiting {
            return (State::Transfer(self), actions);
        }
        let Self { upload, etags, ending, .. } = *self;
        let (state, more) = match ending {
            // The upload is gone. Garage ends it when somebody else stores the object.
            Some(Ending::Done(Outcome::NotStored { status: 404, .. })) => {
                let write = Write::uploaded(upload, etags);
                HeadObject::ask(job, Question::Write(Reason::Written(404), write, Attempts::default()))
            }
            Some(ending) => AbortMultipartUpload::begin(job, upload, ending),
            None => Write::complete(job, upload, etags),
        };
        actions.extend(more);
        (state, actions)
    }

    /// Asks for what streams were to bring, and do not bring any more.
    fn send_fed(&mut self, job: &mut Job) {
        let (fed, others): (Vec<Part>, Vec<Part>) =
            std::mem::take(&mut self.window).into_iter().partition(Part::is_fed);
        self.window = others;
        for part in fed {
            self.send(job, part);
        }
    }

    /// Returns the part to be begun next, if there is another one. What is to be compared is compared in the object's order.
    fn next(&self, job: &Job) -> Option<u64> {
        let parts = &self.upload.object.parts;
        let is_free = |number: u64| {
            let at = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
            self.etags.get(at).is_some_and(String::is_empty) && self.window.iter().all(|part| part.number != number)
        };
        let fed = if self.hasher.is_none() { job.feed.next_part(parts, &is_free, job.spent) } else { None };
        fed.or_else(|| parts.next_free(0, &is_free))
    }

    /// Counts the parts whose calls are under way.
    fn under_way(&self) -> usize {
        self.window.iter().filter(|part| part.call().is_some()).count()
    }

    /// Tells if another part may be begun. One always may.
    fn has_room(&self, job: &Job) -> bool {
        let held = self.window.len();
        let more = held.saturating_add(1);
        held == 0 || (held < self.width && self.held_by(more) <= job.budget)
    }

    fn held_by(&self, parts: usize) -> u64 {
        u64::try_from(parts).unwrap_or(u64::MAX).saturating_mul(self.upload.object.parts.size())
    }
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
