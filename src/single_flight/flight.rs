//! One flight: a fill, or one that another worker makes, and the streams that wait for it.

use super::admission::Hold;
use super::effect::{Source, StreamId};
use super::leases::KeyHash;
use super::report::Place;
use crate::config::rule::Mirror;
use crate::fill::{Action, Fill, FillRequest, Outcome};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A fill, and the streams that wait for it.
#[derive(Debug)]
pub struct Flight {
    pub id: u64,
    pub hash: KeyHash,
    pub request: FillRequest,
    pub fill: Fill,
    pub phase: Phase,
    /// The time of its begin, if it has begun.
    pub began: Option<Instant>,
    /// The room that it was found to need. It begins again when there is so much.
    pub needs: Option<Needs>,
    /// Calls to an origin that wait for room for their answers.
    pub parked: Vec<Action>,
    /// Calls to an origin with a rate that wait for their turn.
    pub waiting: Vec<Action>,
    /// The source that another worker named when it told of the end.
    pub told: Option<Source>,
    /// The time at which this worker's lease is renewed, or another's is over.
    pub lease: Instant,
    /// Bytes that are stored, in how many parts, and when that was last told.
    pub stored: u64,
    pub parts: u64,
    pub logged: Instant,
    /// The time at which the fill wants [`Input::Deadline`](crate::fill::Input::Deadline).
    pub timer: Option<Instant>,
    /// Clients may be passed to its object: there is a permit, which is to be renewed.
    pub is_offered: bool,
    /// The answer to streams that come while the fill goes on.
    pub meanwhile: Option<Outcome>,
    /// It is filled although nobody waits for it.
    pub background: bool,
    /// Streams in the order of their deadlines: all wait equally long.
    pub waiters: VecDeque<Waiter>,
    /// Queues of workers that want to be told how it ends.
    pub followers: Vec<u32>,
}

/// The phase of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The worker with this queue fills the key.
    Following(u32),
    /// It waits for room for so much.
    Queued(Hold),
    /// It runs, and holds so much.
    Running(Hold),
}

/// The room that a fill was found to need, and that there was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// That for so many bytes, which are all of an object that fits one part.
    All(u64),
    /// That of a large object, so many bytes.
    Large(u64),
    /// That for a whole object in one answer.
    Whole,
}

/// A stream that waits, and the end of its time.
#[derive(Debug)]
pub struct Waiter {
    pub stream: StreamId,
    /// It may be passed to the origin.
    pub may_pass: bool,
    /// It is answered when the fill has ended, and not before.
    pub for_bucket: bool,
    /// The most bytes of the object that it may be handed.
    pub most: u64,
    pub deadline: Instant,
}

impl Flight {
    /// Tells if anybody is there for whom it is to begin.
    pub fn is_wanted(&self) -> bool {
        self.background || !self.waiters.is_empty() || !self.followers.is_empty()
    }

    /// Tells if it waits, for room or for another worker, and nobody for it.
    pub fn is_abandoned(&self) -> bool {
        !matches!(self.phase, Phase::Running(_)) && !self.is_wanted()
    }

    /// Tells if the bucket is known to lack the object: it said 404, or the fill found so. Another flight's permit says nothing to
    /// those who got a 403.
    pub fn is_missing(&self) -> bool {
        self.is_offered || !self.request.fill_key.forbidden
    }

    /// Returns the time since it began.
    pub fn spent(&self, now: Instant) -> Duration {
        self.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default()
    }

    /// Returns the share that it holds.
    pub fn hold(&self) -> Option<Hold> {
        match self.phase {
            Phase::Running(hold) => Some(hold),
            Phase::Following(_) | Phase::Queued(_) => None,
        }
    }

    /// Returns the source that its streams are answered about.
    pub fn source(&self) -> Source {
        let mirror = self.fill.mirror();
        let origin = mirror.origins.iter().position(|origin| origin.name == self.fill.origin());
        self.told.clone().unwrap_or_else(|| Source { mirror: mirror.clone(), origin: origin.unwrap_or(0) })
    }

    /// Returns the place of that source, for workers with the same configuration.
    pub fn place(&self) -> Place {
        let source = self.source();
        let index = |at: usize| u8::try_from(at).unwrap_or(u8::MAX);
        let mirror = chain(&self.request).position(|mirror| Rc::ptr_eq(mirror, &source.mirror));
        Place { mirror: index(mirror.unwrap_or(0)), origin: index(source.origin) }
    }

    /// Takes the source at a place that another worker named.
    pub fn tell(&mut self, place: Place) {
        self.told = Some(Source::at(place, &self.request));
    }

    /// Tells if another worker fills the key.
    pub fn follows(&self) -> bool {
        matches!(self.phase, Phase::Following(_))
    }
}

impl Source {
    /// Finds the source at a place among those that a request tries.
    pub fn at(place: Place, request: &FillRequest) -> Self {
        let mirror = chain(request).nth(place.mirror.into()).unwrap_or(&request.mirror);
        Self { mirror: mirror.clone(), origin: place.origin.into() }
    }
}

/// Lists the ways to fill that are tried one after the other.
fn chain(request: &FillRequest) -> impl Iterator<Item = &Rc<Mirror>> {
    [&request.mirror].into_iter().chain(&request.then)
}
