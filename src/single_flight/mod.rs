//! Single-flight: one fill per key, however many streams wait for it, in whatever worker.
//!
//! A client that goes away never stops a fill. A fill that has not begun and that nobody waits for is forgotten. The
//! worker that holds a key's lease fills it. Another worker's streams follow, and are answered when it tells how the
//! fill ended. [`admission`] decides which fills run.

mod admission;
pub mod effect;
pub mod events;
pub mod feeding;
mod flight;
mod following;
pub mod leases;
pub mod messages;
mod passing;
pub mod permits;
pub mod report;
mod running;
mod turns;

use crate::config::Config;
use crate::fill::{Fill, FillKey, FillRequest, Input, Outcome, Shortage, Warnings};
use crate::http::Response;
use crate::request::trace::Trace;
use crate::sorted_map::SortedMap;
use admission::{Admission, Hold, OriginId};
use effect::{Effect, Source, StreamId, Ticket};
use feeding::OpenStreams;
use flight::{Flight, Phase, Waiter};
use leases::{Claim, KeyHash, LEASE, Leases, SharedHost};
use messages::Message;
use passing::Passes;
use report::Place;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A worker's fills, and the streams that wait for them.
#[derive(Debug)]
pub struct Flights {
    config: Rc<Config>,
    leases: Leases,
    /// The start of each fill's random numbers.
    seed: u64,
    next: u64,
    flights: SortedMap<Rc<FillKey>, Flight>,
    admission: Admission,
    /// Streams that wait, in all flights.
    waiters: usize,
    /// Flights that have lost their last stream since this was looked at.
    abandoned: Vec<Rc<FillKey>>,
    warnings: Warnings,
    open_streams: OpenStreams,
    /// Effects of what streams brought, until the next tick.
    deferred: Vec<Effect>,
    /// The time at which a call may have its turn at an origin with a rate.
    next_turn: Option<Instant>,
    /// A time before which nothing is due in any flight, so that an event of one looks at no other. It is too early when the
    /// flight that it was for has ended: a tick then finds nothing to do, and the next time.
    due: Option<Instant>,
}

/// A stream that wants an object which the bucket denied it.
#[derive(Clone, Copy)]
pub struct Join<'a> {
    pub stream: StreamId,
    /// Reads the time of its client's request, on the [`SharedHost`]'s clock.
    pub asked: &'a dyn Fn() -> u64,
    /// The request. The way to fill counts for the stream that comes first.
    pub request: &'a FillRequest,
    /// Headers of the fill's calls. Likewise.
    pub trace: &'a Trace,
    /// It may be passed to the origin.
    pub may_pass: bool,
    /// Only the bucket can answer it, so it waits for the end of the fill.
    pub for_bucket: bool,
    /// The most bytes of the object that it may be handed.
    pub most: u64,
}

impl Flights {
    /// Makes the flights of a worker, without any. `seed` differs between workers.
    pub fn new(config: Rc<Config>, leases: Leases, seed: u64) -> Self {
        let admission = Admission::new(&config);
        Self {
            config,
            leases,
            seed,
            next: 0,
            flights: SortedMap::default(),
            admission,
            waiters: 0,
            abandoned: Vec::new(),
            warnings: Warnings::default(),
            open_streams: OpenStreams::default(),
            deferred: Vec::new(),
            next_turn: None,
            due: None,
        }
    }

    /// Makes a stream wait for the fill of its key. The fill begins, unless it is under way or known to be of no use.
    /// Where the client is sent to the origin at once, only the fill begins.
    pub fn join(&mut self, join: Join<'_>, now: Instant, shared: &dyn SharedHost) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.forget_abandoned(now, shared, &mut effects);
        if let Some((outcome, place)) = self.admit(join, now, shared) {
            let known = self.flights.get(&join.request.fill_key).map(Flight::source);
            let source = known.unwrap_or_else(|| Source::at(place, join.request));
            effects.push(Effect::Answer { streams: vec![join.stream], source, outcome });
        }
        self.begin_queued(now, shared, &mut effects);
        effects
    }

    /// Makes a stream wait, or returns the outcome that it is answered with, and what that is about.
    fn admit(&mut self, join: Join<'_>, now: Instant, shared: &dyn SharedHost) -> Option<(Outcome, Place)> {
        let about_first = |outcome| Some((outcome, Place::default()));
        let request = join.request;
        let waits = join.for_bucket || !request.is_background();
        let hash = self.leases.hash(&request.fill_key);
        let known = self.flights.get(&request.fill_key);
        let is_missing = known.is_some_and(Flight::is_missing) || !request.fill_key.forbidden;
        let passes = join.may_pass && waits && is_missing;
        let passed = if passes { self.passed_at_once(hash, &request.mirror, shared) } else { None };
        if let Some(flight) = self.flights.get_mut(&request.fill_key) {
            flight.background |= !waits;
            let meanwhile = if waits { flight.meanwhile.clone() } else { Some(Outcome::Origin) };
            let meanwhile = meanwhile.filter(|_| !join.for_bucket);
            if let Some(outcome) =
                meanwhile.filter(|outcome| hand_out(&mut self.admission, join.stream, join.most, outcome, now))
            {
                return about_first(outcome);
            }
            if let Some(passed) = passed {
                return about_first(passed);
            }
        }
        let origin = self.origin_of(request);
        if waits && !self.admission.may_wait(self.waiters, || self.waiters_for(origin)) {
            return about_first(Outcome::Busy(Shortage::Waiters));
        }
        let deadline = after(now, self.config.wait);
        advance_to(&mut self.due, deadline);
        let waits = waits && passed.is_none();
        let Join { stream, may_pass, for_bucket, most, .. } = join;
        let waiter = waits.then_some(Waiter { stream, may_pass, for_bucket, most, deadline });
        let at_once = || about_first(passed.clone().unwrap_or(Outcome::Origin));
        if let Some(flight) = self.flights.get_mut(&request.fill_key) {
            flight.waiters.extend(waiter);
            self.waiters = self.waiters.saturating_add(1);
            return None;
        }
        let (phase, lease) = match self.leases.claim(shared, hash, join.asked) {
            Claim::Failed(..) | Claim::Follow { .. } if !waits => return at_once(),
            Claim::Failed(outcome, place) => {
                let instead = if passes { self.passed_instead(&outcome, hash, &request.mirror, shared) } else { None };
                return Some((instead.unwrap_or(outcome), place));
            }
            Claim::Follow { owner, lasts } => {
                shared.post(owner, &self.subscription(hash));
                (Some(Phase::Following(owner)), lasts)
            }
            Claim::Lead => (None, RENEW_AFTER),
            Claim::Loop => return about_first(Outcome::Loop),
            Claim::Missing => return about_first(Outcome::NotFound),
            Claim::Stored => return about_first(Outcome::Stored),
        };
        let flight = self.flight(join, hash, phase, waiter, after(now, lease), now);
        advance_to(&mut self.due, flight.lease);
        if let Phase::Queued(wanted) = flight.phase
            && let Some(shortage) = self.admission.enqueue(flight.id, &request.fill_key, wanted)
        {
            self.leases.release(shared, hash);
            return if waits { about_first(Outcome::Busy(shortage)) } else { at_once() };
        }
        self.flights.insert(request.fill_key.clone(), flight);
        if !waits {
            return at_once();
        }
        self.waiters = self.waiters.saturating_add(1);
        None
    }

    /// Tells if Envoy holds bodies for clients, as far as it is known.
    pub fn has_copies(&self) -> bool {
        self.admission.has_copies()
    }

    /// Forgets a stream that is gone. `true` says that [`tick`](Self::tick) has something to do.
    pub fn leave(&mut self, stream: StreamId, fill_key: Option<&FillKey>, now: Instant) -> bool {
        if let Some(flight) = fill_key.and_then(|fill_key| self.flights.get_mut(fill_key)) {
            let before = flight.waiters.len();
            flight.waiters.retain(|waiter| waiter.stream != stream);
            self.waiters = self.waiters.saturating_sub(before.saturating_sub(flight.waiters.len()));
            self.abandoned.extend(flight.is_abandoned().then(|| flight.request.fill_key.clone()));
        }
        let may_begin = self.admission.gone(stream, now);
        may_begin || !self.abandoned.is_empty()
    }

    /// Tells if a body of so many bytes may be read, which came as the answer to a call. One of an origin may be larger than
    /// what the fill has room for.
    pub fn may_read(&self, ticket: &Ticket, length: u64) -> bool {
        let flight = self.flights.get(&ticket.fill_key).filter(|flight| flight.id == ticket.fill);
        ticket.to_store || flight.and_then(Flight::hold).is_some_and(|hold| self.has_room_for(hold, length))
    }

    fn has_room_for(&self, hold: Hold, bytes: u64) -> bool {
        bytes <= hold.bytes || self.admission.fits_at_all(Some(hold), Hold { bytes, ..hold })
    }

    /// Takes the end of a call: a response, or none. A ticket of a fill that has ended changes nothing. `unread` is the
    /// length of a body that [`may_read`](Self::may_read) did not allow to be read; the response is without it.
    pub fn finish_call(
        &mut self,
        ticket: Ticket,
        response: Option<Response>,
        unread: u64,
        now: Instant,
        shared: &dyn SharedHost,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.forget_abandoned(now, shared, &mut effects);
        let Ticket { fill_key, fill, call, to_store, due, .. } = ticket;
        if let Some(flight) = self.flights.get(&fill_key).filter(|flight| flight.id == fill) {
            if now >= due && !to_store && !flight.fill.is_multipart() {
                self.admission.learn_slow(self.origin(flight), now);
            }
            let input = match response {
                Some(response) => Input::Response { call, response },
                // Envoy answers 504 in the place of an upstream that does not, but gives nothing where the answer had begun.
                None if now >= due => Input::Response { call, response: Response::timed_out() },
                None => Input::Failed { call },
            };
            if to_store || self.makes_room(&fill_key, &input, unread, now, shared, &mut effects) {
                self.advance(&fill_key, input, now, shared, &mut effects);
            }
            // The fill may have ended, or hold less than before.
            self.begin_queued(now, shared, &mut effects);
        }
        effects
    }

    /// Takes another worker's message.
    pub fn receive(&mut self, message: Message, now: Instant, shared: &dyn SharedHost) -> Vec<Effect> {
        let mut effects = Vec::new();
        match message {
            Message::Subscribe { hash, reply_to } => self.subscribe(hash, reply_to, shared),
            Message::Unsubscribe { hash, reply_to } => self.unsubscribe(hash, reply_to),
            Message::Ended { hash, outcome, place } => self.told(hash, outcome, place, now, shared, &mut effects),
            Message::Offered { hash } => self.told_of_offer(hash, shared, &mut effects),
        }
        self.forget_abandoned(now, shared, &mut effects);
        self.begin_queued(now, shared, &mut effects);
        effects
    }

    /// Does what is due at `now`. To be called when [`next_deadline`](Self::next_deadline) has come.
    pub fn tick(&mut self, now: Instant, shared: &dyn SharedHost) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.deferred);
        self.forget_abandoned(now, shared, &mut effects);
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.pass_timers(now, shared, &mut effects);
            self.renew_leases(now, shared, &mut effects);
        }
        if self.next_turn.is_some_and(|next| next <= now) {
            self.take_turns(now, shared, &mut effects);
        }
        self.begin_queued(now, shared, &mut effects);
        if is_due {
            self.answer_overdue(now, shared, &mut effects);
            self.due = self.first_deadline();
        }
        self.forget_abandoned(now, shared, &mut effects);
        effects
    }

    /// Returns the time of the next [`tick`](Self::tick), or an earlier one. It changes with every call.
    pub fn next_deadline(&self) -> Option<Instant> {
        let is_covered = |first| self.due.is_some_and(|due| due <= first);
        debug_assert!(self.first_deadline().is_none_or(is_covered), "{:?} misses a deadline", self.due);
        let due = self.due.filter(|_| self.flights.values().next().is_some());
        due.into_iter().chain(self.admission.next_read()).chain(self.next_turn).min()
    }

    /// Returns the time at which the first thing is due in any flight.
    fn first_deadline(&self) -> Option<Instant> {
        let deadlines = |flight: &Flight| {
            let waiter = flight.waiters.front().map(|waiter| waiter.deadline);
            flight.timer.into_iter().chain(waiter).chain([flight.lease]).min()
        };
        self.flights.values().filter_map(deadlines).min()
    }

    /// Tells the fills whose wait is over.
    fn pass_timers(&mut self, now: Instant, shared: &dyn SharedHost, effects: &mut Vec<Effect>) {
        for fill_key in self.fill_keys(|flight| flight.timer.is_some_and(|timer| timer <= now)) {
            if let Some(flight) = self.flights.get_mut(&fill_key) {
                flight.timer = None;
            }
            self.advance(&fill_key, Input::Deadline, now, shared, effects);
        }
    }

    /// Renews this worker's leases, and claims those of other workers that are over.
    fn renew_leases(&mut self, now: Instant, shared: &dyn SharedHost, effects: &mut Vec<Effect>) {
        for fill_key in self.fill_keys(|flight| flight.lease <= now) {
            match self.flights.get_mut(&fill_key) {
                Some(flight) if !flight.follows() => {
                    self.leases.renew(shared, flight.hash);
                    if flight.is_offered {
                        self.leases.renew_permit(shared, flight.hash);
                    }
                    flight.lease = after(now, RENEW_AFTER);
                }
                _ => self.claim_again(&fill_key, now, shared, effects),
            }
        }
    }

    /// Counts the fills that run.
    pub fn running(&self) -> usize {
        self.admission.running()
    }

    /// Returns the table of all workers.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Counts the streams that wait.
    pub fn waiters(&self) -> usize {
        self.waiters
    }

    /// Counts the streams that wait for fills of an origin.
    fn waiters_for(&self, origin: OriginId) -> usize {
        let own = self.flights.values().filter(|flight| self.origin(flight) == origin);
        own.map(|flight| flight.waiters.len()).sum()
    }

    /// Finds the origin that a request asks first.
    fn origin_of(&self, request: &FillRequest) -> OriginId {
        self.admission.origin(request.mirror.origins.first().map(|origin| origin.name.as_str()).unwrap_or_default())
    }

    /// Finds the origin that a flight's fill asks now.
    fn origin(&self, flight: &Flight) -> OriginId {
        match flight.fill.origin() {
            "" => self.origin_of(&flight.request),
            name => self.admission.origin(name),
        }
    }

    fn fill_keys(&self, chosen: impl Fn(&Flight) -> bool) -> Vec<Rc<FillKey>> {
        self.flights.iter().filter(|(_, flight)| chosen(flight)).map(|(fill_key, _)| fill_key.clone()).collect()
    }

    /// Makes a flight. Without another phase it waits for room.
    fn flight(
        &mut self,
        join: Join<'_>,
        hash: KeyHash,
        phase: Option<Phase>,
        first: Option<Waiter>,
        lease: Instant,
        now: Instant,
    ) -> Flight {
        let id = self.next;
        self.next = id.wrapping_add(1);
        let mut fill = self.fill(id, join.request, join.trace);
        let origin = self.origin_of(join.request);
        if self.admission.is_unranged(origin, now) {
            fill.expect_unranged();
        }
        fill.expect(self.config.limits.first_range.min(self.config.limits.part_size));
        let wanted = Hold { origin, large: false, bytes: fill.memory().min(self.admission.most()) };
        Flight {
            id,
            hash,
            request: join.request.clone(),
            fill,
            phase: phase.unwrap_or(Phase::Queued(wanted)),
            began: None,
            needs: None,
            parked: Vec::new(),
            waiting: Vec::new(),
            told: None,
            lease,
            stored: 0,
            parts: 0,
            logged: now,
            timer: None,
            is_offered: false,
            meanwhile: None,
            background: first.is_none(),
            waiters: first.into_iter().collect(),
            followers: Vec::new(),
        }
    }

    fn fill(&self, id: u64, request: &FillRequest, trace: &Trace) -> Fill {
        let mut fill = Fill::new(&self.config, request.clone(), self.seed ^ id.rotate_left(32));
        fill.carry(trace.clone());
        fill
    }

    /// Answers the streams whose time is over.
    fn answer_overdue(&mut self, now: Instant, shared: &dyn SharedHost, effects: &mut Vec<Effect>) {
        let is_overdue = |flight: &Flight| flight.waiters.front().is_some_and(|waiter| waiter.deadline <= now);
        for fill_key in self.fill_keys(is_overdue) {
            let Some(flight) = self.flights.get_mut(&fill_key) else { continue };
            let due = flight.waiters.partition_point(|waiter| waiter.deadline <= now);
            let rest = flight.waiters.split_off(due);
            let overdue = std::mem::replace(&mut flight.waiters, rest);
            self.waiters = self.waiters.saturating_sub(overdue.len());
            self.abandoned.extend(flight.is_abandoned().then(|| fill_key.clone()));
            let passes = Passes { hash: flight.hash, is_missing: flight.is_missing() };
            let source = flight.source();
            self.answer_without_object(overdue, passes, source, Outcome::Filling, shared, effects);
        }
    }

    /// Answers streams with an outcome without an object. Those that may be are passed to the origin in its place.
    fn answer_without_object(
        &self,
        waiters: VecDeque<Waiter>,
        passes: Passes,
        source: Source,
        outcome: Outcome,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let instead = if passes.is_missing && waiters.iter().any(|waiter| waiter.may_pass) {
            self.passed_instead(&outcome, passes.hash, &source.mirror, shared)
        } else {
            None
        };
        let (mut passed, mut others) = (Vec::new(), Vec::new());
        for waiter in waiters {
            let streams = if waiter.may_pass && instead.is_some() { &mut passed } else { &mut others };
            streams.push(waiter.stream);
        }
        if let Some(instead) = instead {
            answer(effects, passed, source.clone(), instead);
        }
        answer(effects, others, source, outcome);
    }
}

/// Tells if a stream may be answered so. One that is given the object itself, or at most so many bytes of it, holds a copy from
/// now on: Envoy has it until the client has read it.
fn hand_out(admission: &mut Admission, stream: StreamId, most: u64, outcome: &Outcome, now: Instant) -> bool {
    outcome.object().is_none_or(|object| admission.hand_out(stream, object.length().min(most), now))
}

fn answer(effects: &mut Vec<Effect>, streams: Vec<StreamId>, source: Source, outcome: Outcome) {
    if !streams.is_empty() {
        effects.push(Effect::Answer { streams, source, outcome });
    }
}

/// Half of [`LEASE`], so that one late tick loses nothing.
const RENEW_AFTER: Duration = Duration::from_secs(5);

const _: () = assert!(RENEW_AFTER.as_nanos() < LEASE.as_nanos());

fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now)
}

/// Moves a time to an earlier one, or sets it.
fn advance_to(time: &mut Option<Instant>, other: Instant) {
    *time = Some(time.map_or(other, |known| known.min(other)));
}

#[cfg(test)]
mod tests;
