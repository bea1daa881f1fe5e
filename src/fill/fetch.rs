//! The beginning of an object, from one of the rule's origins after the other.

use super::multipart::{CreateMultipartUpload, MultipartObject};
use super::outcome::NOT_ASKED;
use super::plan::{Plan, plan};
use super::state::{State, Transition, done};
use super::write::Write;
use super::{Action, CallId, Job, Outcome};
use crate::config::rule::ResponseMode;
use crate::http::Response;
use crate::origin::endpoint::Endpoint;
use crate::origin::{self, FetchResult, FirstRange, Span};

/// An origin was asked for the object's beginning.
#[derive(Debug)]
pub struct FirstFetch {
    pub call: CallId,
    source: ActiveOrigin,
    span: Span,
}

/// One of the rule's origins.
#[derive(Clone, Debug)]
pub struct ActiveOrigin {
    /// Its place in the rule.
    at: usize,
    /// Envoy's name of its own cluster.
    cluster: String,
    /// Where the object is asked for.
    pub endpoint: Endpoint,
}

impl ActiveOrigin {
    /// Asks the rule's next origin; without one the fill ends as this one had it end.
    pub fn next(self, job: &mut Job, last: Outcome) -> Transition {
        job.failures.push(last.label());
        let next = self.at.saturating_add(1);
        if next < job.mirror.origins.len() {
            job.doubt.get_or_insert(last);
            return FirstFetch::ask(job, next);
        }
        done(last)
    }

    /// Asks it again, from the beginning.
    pub fn again(self, job: &mut Job) -> Transition {
        FirstFetch::ask(job, self.at)
    }

    fn redirected(&self, response: &Response) -> Option<Self> {
        let endpoint = self.endpoint.redirected(response.status, &response.headers)?;
        Some(Self { endpoint, ..self.clone() })
    }
}

impl FirstFetch {
    /// Asks the first origin. Where the client is sent there itself, it need not wait for it.
    pub fn start(job: &mut Job) -> Transition {
        if !job.request.store && job.responds(ResponseMode::Origin) {
            return done(Outcome::Origin);
        }
        let (state, mut actions) = Self::ask(job, 0);
        if job.responds(ResponseMode::Origin) {
            actions.push(Action::Meanwhile(Outcome::Origin));
        }
        (state, actions)
    }

    pub fn ask(job: &mut Job, at: usize) -> Transition {
        let Some(origin) = job.mirror.origins.get(at) else {
            return done(Outcome::Broken("a rule without an origin"));
        };
        job.origin = origin.name.clone();
        let endpoint =
            Endpoint::at(origin, &job.mirror, &job.request.fill_key.origin_key, &job.request.fill_key.forwarded);
        let source = ActiveOrigin { at, cluster: origin.cluster.clone(), endpoint };
        let span = if job.request.is_head() { Span::Headers } else { Span::First { length: job.limits.part_size } };
        Self::ask_for(job, source, span)
    }

    pub fn ask_for(job: &mut Job, source: ActiveOrigin, span: Span) -> Transition {
        let request = origin::get(&source.endpoint, span);
        let (call, action) = job.call(source.endpoint.upstream.clone(), request, source.endpoint.timeout);
        (State::FirstFetch(Self { call, source, span }), vec![action])
    }

    pub fn answered(self, job: &mut Job, response: Option<Response>) -> Transition {
        let Some(response) = response else {
            return match self.span {
                Span::Headers => self.source.next(job, Outcome::OriginUnavailable("reset or cut short")),
                Span::First { .. } | Span::Whole => OriginLength::ask(job, self.source),
            };
        };
        if let Some(source) = self.source.redirected(&response) {
            return Self::ask_for(job, source, self.span);
        }
        match origin::read(response, &self.source.endpoint, &job.request.fill_key.key, self.span) {
            FetchResult::First(first) => self.source.gave(job, first),
            FetchResult::Headers(metadata, length) => done(Outcome::Head { metadata, length }),
            FetchResult::Missing => missing(job),
            FetchResult::Refused(status) => done(Outcome::OriginRefused { status }),
            FetchResult::TimedOut => self.source.next(job, Outcome::OriginTimeout),
            FetchResult::Unavailable(why) => self.source.next(job, Outcome::OriginUnavailable(why)),
            FetchResult::Unframed => done(Outcome::TooLarge),
            // An empty object satisfies no range. Its own 200 says what a 416 does not: its type and validators.
            FetchResult::Unsatisfiable => Self::ask_for(job, self.source, Span::Whole),
        }
    }
}

impl ActiveOrigin {
    /// It gave the beginning of the object, which is stored if it is what the rule is for.
    fn gave(self, job: &mut Job, mut first: FirstRange) -> Transition {
        if !job.mirror.accepts(first.object.metadata.content_type()) {
            return self.next(job, Outcome::WrongType);
        }
        if let Some(cache_control) = &job.mirror.cache_control {
            first.object.metadata.set_cache_control(cache_control);
        }
        let (version, announced) = (first.version.clone(), std::mem::take(&mut first.announced));
        let unranged = job.limits.part_size < first.object.length();
        let unranged = unranged.then(|| Action::Unranged(self.cluster.clone()));
        let (state, mut actions) = match plan(first, &job.limits) {
            // Parts can only be put together in a bucket.
            Plan::Multipart(..) if !job.request.store => done(Outcome::TooLarge),
            Plan::Multipart(parts, object) => {
                CreateMultipartUpload::begin(job, MultipartObject::new(self, version, parts, announced), object)
            }
            Plan::Single(object) => match announced.verify(&object.body) {
                Ok(()) if job.request.store => Write::put(job, object),
                Ok(()) => done(Outcome::NotStored { object: (!job.withheld).then_some(object), status: NOT_ASKED }),
                Err(header) => self.next(job, Outcome::Corrupt(header)),
            },
            Plan::TooLarge => done(Outcome::TooLarge),
        };
        actions.extend(unranged);
        (state, actions)
    }
}

/// An origin does not have the object. Asks those of the next rule, unless one that failed may have it.
fn missing(job: &mut Job) -> Transition {
    if let Some(doubt) = job.doubt.take() {
        return done(doubt);
    }
    let Some(mirror) = job.request.then.get(job.tried).cloned() else { return done(Outcome::NotFound) };
    job.tried = job.tried.saturating_add(1);
    job.mirror = mirror;
    FirstFetch::ask(job, 0)
}

/// An origin's answer was cut, by the origin or by Envoy because it was too large; the origin was asked which.
#[derive(Debug)]
pub struct OriginLength {
    pub call: CallId,
    source: ActiveOrigin,
}

impl OriginLength {
    pub fn ask(job: &mut Job, source: ActiveOrigin) -> Transition {
        let request = origin::get(&source.endpoint, Span::Headers);
        let (call, action) = job.call(source.endpoint.upstream.clone(), request, source.endpoint.timeout);
        (State::OriginLength(Self { call, source }), vec![action])
    }

    pub fn answered(self, job: &mut Job, response: Option<&Response>) -> Transition {
        if response.is_some_and(origin::read_head_too_large) {
            let unranged = Action::Unranged(self.source.cluster);
            return (State::Finished, vec![unranged, Action::Done(Outcome::TooLarge)]);
        }
        self.source.next(job, Outcome::OriginUnavailable("reset or cut short"))
    }
}
