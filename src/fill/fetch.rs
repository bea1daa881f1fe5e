//! The beginning of an object, from one of the rule's origins after the other.
//!
//! The first request is for a range. After an answer that is no range, the same is asked once more without one. A failure that may
//! pass is repeated. Then the next origin is asked.

use super::multipart::{CreateMultipartUpload, MultipartObject};
use super::outcome::NOT_ASKED;
use super::passed::pass;
use super::plan::{Plan, plan};
use super::rest::RestFetch;
use super::state::{State, Transition, done};
use super::write::Write;
use super::{Action, CallId, Job, Outcome, Warning};
use crate::config::rule::{Private, ResponseMode};
use crate::config::{Limits, MAX_PART_SIZE};
use crate::http::Response;
use crate::origin::endpoint::{Endpoint, Moved, OwnRedirect};
use crate::origin::{self, Failure, FetchResult, FirstRange, Span};
use std::rc::Rc;

/// A request to an origin for the object's beginning, which was sent or will be.
#[derive(Debug)]
pub struct FirstFetch {
    /// `None` while it waits for its time.
    pub call: Option<CallId>,
    pub source: ActiveOrigin,
    span: Span,
    attempts: u32,
    /// The failure of the last range. Everything is asked for only because some servers refuse ranges so.
    doubted: Option<Outcome>,
}

/// One of the rule's origins.
#[derive(Clone, Debug)]
pub struct ActiveOrigin {
    /// Its place in the rule.
    at: usize,
    /// Where the object is asked for.
    pub endpoint: Rc<Endpoint>,
    /// Where the origin itself has it, which may redirect to the other one.
    at_origin: Rc<Endpoint>,
    /// The object changed while it was fetched from here, and is fetched once more.
    pub restarted: bool,
}

impl ActiveOrigin {
    /// Asks the rule's next origin; without one the fill ends as this one had it end.
    pub fn next(self, job: &mut Job, last: Outcome) -> Transition {
        job.failures.push(last.label());
        let next = self.at.saturating_add(1);
        if next < job.mirror.origins.len() {
            job.doubt.get_or_insert(last);
            return FirstFetch::ask(job, next, false);
        }
        done(last)
    }

    /// Asks it again, from the beginning.
    pub fn again(self, job: &mut Job) -> Transition {
        FirstFetch::ask(job, self.at, true)
    }

    /// Goes on after an origin that does not have the object: asks the rule's next origin, and after the last one those of
    /// the next rule, unless one that failed may have it.
    fn missing(self, job: &mut Job) -> Transition {
        let next = self.at.saturating_add(1);
        if next < job.mirror.origins.len() {
            return FirstFetch::ask(job, next, false);
        }
        if let Some(doubt) = job.doubt.take() {
            return done(doubt);
        }
        let Some(mirror) = job.request.then.get(job.tried).cloned() else { return done(Outcome::NotFound) };
        job.tried = job.tried.saturating_add(1);
        job.mirror = mirror;
        FirstFetch::ask(job, 0, false)
    }

    /// Says that it gives whole objects where parts are asked for.
    fn unranged(&self) -> Action {
        Action::Unranged(self.at_origin.origin.upstream.cluster.clone())
    }

    /// Returns the place that the origin redirects to, if it does.
    pub fn moved(&self, job: &Job) -> Option<Moved> {
        let origin = job.mirror.origins.get(self.at)?;
        let fill_key = &job.request.fill_key;
        self.endpoint.moved(&Endpoint::at(origin, &job.mirror, &fill_key.origin_key, &fill_key.forwarded))
    }

    /// Returns the same before it redirected, if it did. A URL that it signed for a while may have expired.
    pub fn before_redirect(&self) -> Option<Self> {
        let source = Self { endpoint: self.at_origin.clone(), ..self.clone() };
        (self.endpoint != self.at_origin).then_some(source)
    }

    /// Follows a redirect, if that is allowed.
    pub fn redirected(&self, response: &Response) -> Option<Self> {
        let endpoint = self.endpoint.redirected(response.status, &response.headers)?;
        Some(Self { endpoint: Rc::new(endpoint), ..self.clone() })
    }

    /// Reads a redirect that is the client's to follow. One to the object itself would have it ask for ever.
    fn passed(&self, job: &Job, Response { status, headers, .. }: &Response) -> Option<Outcome> {
        let OwnRedirect { key, query } = self.endpoint.own_redirect(*status, headers)?;
        let listed = |parameter: &&str| job.mirror.passes(parameter);
        let query = query.map(|query| query.split('&').filter(listed).collect::<Vec<_>>().join("&"));
        let key = job.mirror.key_of(&key).filter(|key| !job.withheld && *key != job.request.fill_key.origin_key)?;
        Some(Outcome::OriginRedirect { status: *status, key, query })
    }
}

impl FirstFetch {
    /// Asks the first origin. Where the client is sent there itself, it need not wait for it.
    pub fn start(job: &mut Job) -> Transition {
        if !job.request.store && job.responds(ResponseMode::Origin) {
            return done(Outcome::Origin);
        }
        let (state, mut actions) = Self::ask(job, 0, false);
        if job.responds(ResponseMode::Origin) {
            actions.push(Action::Meanwhile(Outcome::Origin));
        }
        (state, actions)
    }

    fn ask(job: &mut Job, at: usize, restarted: bool) -> Transition {
        let Some(origin) = job.mirror.origins.get(at) else {
            return done(Outcome::Broken("a rule without an origin"));
        };
        job.origin = Some(origin.clone());
        job.feed.forget();
        let endpoint =
            Endpoint::at(origin, &job.mirror, &job.request.fill_key.origin_key, &job.request.fill_key.forwarded);
        let endpoint = Rc::new(endpoint);
        let source = ActiveOrigin { at, at_origin: endpoint.clone(), endpoint, restarted };
        let span = if job.request.is_head() { Span::Headers } else { Span::First { length: first_range(job) } };
        Self { call: None, source, span, attempts: 0, doubted: None }.send(job)
    }

    /// Asks its origin again as after any failure, for so many bytes: what came behind the beginning was not the rest.
    pub fn asked_again(self, job: &mut Job, length: u64) -> Transition {
        job.expected = length;
        let source = self.source.before_redirect().unwrap_or(self.source);
        Self { source, span: Span::First { length }, ..self }.failed(job, CUT)
    }

    /// Sends the request. Its time has come, or nothing stands before it.
    pub fn send(mut self, job: &mut Job) -> Transition {
        self.attempts = self.attempts.saturating_add(1);
        let request = origin::get(&self.source.endpoint, self.span);
        let (call, action) =
            job.call(self.source.endpoint.upstream.clone(), request, self.source.endpoint.origin.timeout);
        self.call = Some(call);
        (State::FirstFetch(self), vec![action])
    }

    /// Asks for everything, however much that is.
    pub fn ask_all(self, job: &mut Job) -> Transition {
        let expected = whole(job);
        self.ask_whole(job, expected)
    }

    /// Asks for everything, of which at most `expected` bytes come. Admission holds the call back until there is room for
    /// that.
    fn ask_whole(self, job: &mut Job, expected: u64) -> Transition {
        job.expected = expected;
        Self { span: Span::Whole, attempts: 0, ..self }.send(job)
    }

    pub fn answered(self, job: &mut Job, response: Option<Response>) -> Transition {
        let Some(response) = response else { return self.cut(job) };
        let passed = self.source.passed(job, &response);
        if !adds_slash(job, passed.as_ref())
            && let Some(source) = self.source.redirected(&response)
        {
            return Self { source, attempts: 0, ..self }.send(job);
        }
        if let Some(passed) = passed {
            return done(passed);
        }
        match origin::read(response, &self.source.endpoint, &job.request.fill_key.key, self.span) {
            FetchResult::First(first) if !self.is_in_doubt(&first) => self.gave(job, first),
            FetchResult::First(first) if first.version.joins() => RestFetch::ask(job, self, first),
            FetchResult::Headers { metadata, .. } if !job.mirror.accepts(metadata.content_type()) => {
                self.source.next(job, Outcome::WrongType)
            }
            FetchResult::Headers { mut metadata, length, etag } => {
                if let Some(cache_control) = &job.mirror.cache_control {
                    metadata.set_cache_control(cache_control);
                }
                done(Outcome::Head { metadata, length, etag })
            }
            FetchResult::Missing => self.source.missing(job),
            FetchResult::Refused(status) => match self.doubted {
                Some(doubted) => self.source.next(job, doubted),
                None => done(Outcome::OriginRefused { status }),
            },
            FetchResult::TimedOut => self.source.next(job, Outcome::OriginTimeout),
            FetchResult::Unavailable(failure) => self.failed(job, failure),
            FetchResult::Unframed => {
                let warning = Action::Warn(Warning::EndNotProven);
                with(warning, self.source.next(job, Outcome::TooLarge))
            }
            // An empty object satisfies no range. Its own 200 says what a 416 does not: its type and validators.
            FetchResult::Unusable { total: Some(0) } => self.ask_whole(job, job.expected),
            FetchResult::First(_) | FetchResult::Unusable { total: _ } => self.ask_all(job),
        }
    }

    /// Handles an answer that was cut: by the origin or the network, or by Envoy, because it was too large. An origin that
    /// knows ranges gives none that is too large.
    fn cut(mut self, job: &mut Job) -> Transition {
        self.call = None;
        if let Some(doubted) = self.doubted {
            return self.source.next(job, doubted);
        }
        let unranged = job.unranged || self.span == Span::Whole;
        if self.span != Span::Headers && (unranged || !job.may_ask_again(self.attempts)) {
            return OriginLength::ask(job, self, unranged);
        }
        self.failed(job, CUT)
    }

    /// Asks the same once more when its time has come, and the next origin after the last attempt.
    fn failed(mut self, job: &mut Job, failure: Failure) -> Transition {
        self.call = None;
        if let Some(doubted) = self.doubted {
            return self.source.next(job, doubted);
        }
        if job.may_ask_again(self.attempts) {
            let wait = job.back_off(self.attempts);
            return (State::FirstFetch(self), vec![wait]);
        }
        let last = outcome_of(failure);
        if failure.may_refuse_ranges && self.span != Span::Headers && self.span != Span::Whole {
            self.doubted = Some(last);
            return self.ask_whole(job, whole(job));
        }
        self.source.next(job, last)
    }

    /// Plans the storing of an object whose beginning, or whole, is at hand.
    pub fn gave(self, job: &mut Job, mut first: FirstRange) -> Transition {
        if !job.mirror.accepts(first.object.metadata.content_type()) {
            return self.source.next(job, Outcome::WrongType);
        }
        if let Some(cache_control) = &job.mirror.cache_control {
            first.object.metadata.set_cache_control(cache_control);
        }
        let (came, total) = (first.object.length(), first.version.total);
        let asked = self.asked(job);
        if asked < job.limits.part_size && came < total && total <= job.limits.part_size.min(job.limits.max_object_size)
        {
            return if first.version.joins() { RestFetch::ask(job, self, first) } else { self.ask_whole(job, total) };
        }
        self.begins(job, first)
    }

    /// Stores what is at hand, or begins to store the object in parts.
    pub fn begins(self, job: &mut Job, first: FirstRange) -> Transition {
        let Self { source, .. } = &self;
        let FirstRange { announced, object, private, version } = first;
        let (came, total) = (object.length(), version.total);
        let left_out = object.metadata.left_out;
        let skipped = private && job.mirror.private == Private::Skip;
        let asked = self.asked(job);
        let unranged = job.limits.part_size < came;
        let unranged = unranged.then(|| source.unranged());
        let passed = if came < total { pass(job, source, &object.metadata, &version) } else { None };
        let (state, mut actions) = match plan(object, total, &job.limits) {
            // Parts can only be put together in a bucket.
            Plan::Multipart(..) if skipped => done(Outcome::Private(None)),
            Plan::Multipart(..) if !job.request.store => done(Outcome::TooLarge),
            Plan::Multipart(..) if !version.joins() => self.not_joined(job, version.total),
            Plan::Multipart(parts, object) => {
                let short = object.length() < asked;
                let range = if short { object.length() } else { parts.size() };
                let object_in_parts = MultipartObject { source: self.source, version, parts, announced, range };
                CreateMultipartUpload::begin(job, object_in_parts, object)
            }
            Plan::Single(object) => match announced.verify(&object.body) {
                Ok(()) if skipped => done(Outcome::Private((!job.withheld).then_some(object))),
                Ok(()) if job.request.store => Write::put(job, object),
                Ok(()) if job.request.is_unstored() && !job.withheld => done(Outcome::Served(object)),
                Ok(()) => done(Outcome::NotStored { object: (!job.withheld).then_some(object), status: NOT_ASKED }),
                Err(header) => self.source.next(job, Outcome::Corrupt(header)),
            },
            Plan::TooLarge => done(Outcome::TooLarge),
        };
        actions.extend(unranged);
        if left_out {
            actions.insert(0, Action::Warn(Warning::MetadataLeftOut));
        }
        match passed {
            Some(passed) => with(passed, (state, actions)),
            None => (state, actions),
        }
    }

    /// Tells if what came seems to be all of the object, and is just what was asked for. Some gateways that cut say so.
    fn is_in_doubt(&self, first: &FirstRange) -> bool {
        let length = first.object.length();
        first.version.total == length && self.span == Span::First { length }
    }

    /// Returns the bytes that were asked for.
    fn asked(&self, job: &Job) -> u64 {
        if let Span::First { length } = self.span { length } else { job.limits.part_size }
    }

    /// Asks for the whole object in one answer, because nothing proves that later parts are of the same version.
    fn not_joined(self, job: &mut Job, total: u64) -> Transition {
        if total <= whole(job) && self.span != Span::Whole {
            return self.ask_whole(job, total);
        }
        let warning = Action::Warn(Warning::NothingJoins);
        with(warning, self.source.next(job, Outcome::TooLarge))
    }
}

/// Tells if a redirect leads to the page that a path without its slash stands for. The references of a page lead elsewhere from
/// there, so it is an object of its own, where paths that end in a slash are.
fn adds_slash(job: &Job, redirect: Option<&Outcome>) -> bool {
    let Some(Outcome::OriginRedirect { key, .. }) = redirect else { return false };
    job.bucket.index.is_some() && key.strip_suffix('/') == Some(&job.request.fill_key.origin_key)
}

/// Returns the length of the first request, for which the fill has room. Where clients may be passed they wait for its answer
/// alone, so it is small.
fn first_range(job: &mut Job) -> u64 {
    let Limits { first_range, part_size, .. } = job.limits;
    let at_once = job.responds(ResponseMode::Serve) || job.request.is_unstored();
    if job.passes && job.begins_small && at_once && !job.unranged {
        job.expected = first_range;
    }
    job.expected = job.expected.max(first_range.min(part_size));
    job.expected.min(part_size)
}

/// An answer that ended before its end.
const CUT: Failure = Failure { why: "reset or cut short", retry_after: None, may_refuse_ranges: false };

/// Returns the most bytes of an object that comes in one answer.
fn whole(job: &Job) -> u64 {
    MAX_PART_SIZE.min(job.limits.memory)
}

/// Turns the last failure into an outcome.
pub fn outcome_of(failure: Failure) -> Outcome {
    match failure.retry_after {
        Some(seconds) => Outcome::OriginBusy { seconds },
        None => Outcome::OriginUnavailable(failure.why),
    }
}

fn with(action: Action, (state, mut actions): Transition) -> Transition {
    actions.insert(0, action);
    (state, actions)
}

/// A HEAD to an origin whose answer was cut, by the origin or by Envoy because it was too large.
#[derive(Debug)]
pub struct OriginLength {
    pub call: CallId,
    fetch: FirstFetch,
    unranged: bool,
}

impl OriginLength {
    fn ask(job: &mut Job, fetch: FirstFetch, unranged: bool) -> Transition {
        let endpoint = &fetch.source.endpoint;
        let request = origin::get(endpoint, Span::Headers);
        let (call, action) = job.call(endpoint.upstream.clone(), request, endpoint.origin.timeout);
        (State::OriginLength(Self { call, fetch, unranged }), vec![action])
    }

    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        if response.is_some_and(|response| origin::read_head_too_large(response, self.unranged)) {
            let unranged = self.fetch.source.unranged();
            return (State::Finished, vec![unranged, Action::Done(Outcome::TooLarge)]);
        }
        self.fetch.failed(job, CUT)
    }
}
