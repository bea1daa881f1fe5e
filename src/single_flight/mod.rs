//! Single-flight: one fill per key, however many streams wait for it, in whatever worker.
//!
//! A client that goes away never stops a fill; a fill that nobody began and nobody waits for is forgotten. The worker
//! that holds a key's lease fills it; another one's streams follow, and are answered when it tells how that ended.

pub mod leases;
pub mod messages;

use crate::config::rule::Mirror;
use crate::config::{Config, Limits};
use crate::fill::{Action, Call, CallId, Fill, FillKey, FillRequest, Input, Outcome, Shortage, Warnings};
use crate::http::{Response, Upstream};
use crate::metrics::{self, CallRecord};
use crate::object::key::Key;
use crate::request::trace::Trace;
use crate::sorted_map::SortedMap;
use leases::{Claim, KeyHash, LEASE, Leases, SharedHost};
use messages::Message;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A stream as Envoy numbers them: unique within a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// Names a call within a worker. What comes back is reported with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    fill_key: Rc<FillKey>,
    /// Which fill of that goal, in the order in which they were asked for.
    fill: u64,
    call: CallId,
    /// It asks the store, and not an origin.
    to_store: bool,
    /// When the call has taken nearly all the time that it may. Envoy's timers count from when its event loop last
    /// looked at the clock, and so may fire early on a busy machine.
    due: Instant,
}

impl Ticket {
    /// How the call ended that was sent then, for the metrics: with a response, or with none.
    pub fn called(&self, response: Option<&Response>, sent: Instant, now: Instant) -> CallRecord {
        let late = response.is_none() && now >= self.due;
        let result = if late { "timeout" } else { metrics::result(response) };
        let bytes = response.filter(|_| !self.to_store).map(|response| response.body.len());
        let fetched = bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        let to = if self.to_store { "store" } else { "origin" };
        CallRecord { to, result, took: now.saturating_duration_since(sent), fetched }
    }
}

/// What is to be done now.
#[derive(Debug)]
pub enum Effect {
    /// These streams wait no longer.
    Answer {
        /// In the order in which they came.
        streams: Vec<StreamId>,
        /// How the fill was done that they waited for.
        mirror: Rc<Mirror>,
        /// How it ended, or that it goes on.
        outcome: Outcome,
    },
    /// Make a call, and report its end with [`Flights::finish_call`].
    Call {
        /// What to report it with.
        ticket: Ticket,
        /// What to do.
        call: Call,
    },
    /// A fill ended; for the log.
    Ended(FillEnded),
    /// A part of an object is in the store.
    Progress(Progress),
    /// Something that an operator must see.
    Warn {
        /// Whose fill it is about.
        key: Key,
        /// What it is.
        what: &'static str,
    },
}

/// The end of a fill.
#[derive(Debug, PartialEq, Eq)]
pub struct FillEnded {
    /// What was filled.
    pub key: Key,
    /// [`Outcome::label`].
    pub outcome: &'static str,
    /// [`Outcome::detail`].
    pub detail: String,
    /// Name of the origin that was asked last; empty if none was.
    pub origin: String,
    /// [`Fill::failures`].
    pub failures: Vec<&'static str>,
    /// The name in logs of the request that began it; empty if it has none.
    pub request_id: String,
    /// Bytes that were stored, and in how many parts.
    pub stored: u64,
    /// 1 for an object that was stored as a whole.
    pub parts: u64,
    /// Streams that waited to the end.
    pub waiters: usize,
    /// From its first call to its end.
    pub took: Duration,
}

/// The line in the log, in logfmt: what is not quoted has neither space nor quote in it, whatever the key.
impl fmt::Display for FillEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, outcome, detail, origin, request_id, stored, parts, waiters, took, .. } = self;
        let (key, ms) = (key.encoded(), took.as_millis());
        write!(
            f,
            "fill key=/{key} outcome={outcome} detail={detail:?} origin={origin:?} bytes={stored} parts={parts} ms={ms} \
             waiters={waiters} request_id={request_id:?}"
        )
    }
}

/// A fill that goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is filled.
    pub key: Key,
    /// Bytes of the part that was stored last.
    pub bytes: u64,
    /// Bytes that are stored.
    pub stored: u64,
    /// Bytes of the object.
    pub total: u64,
    /// Worth a line in the log: none was written for [`LOG_EVERY`].
    pub log: bool,
}

/// How often a fill that goes on is worth a line in the log.
pub const LOG_EVERY: Duration = Duration::from_secs(10);

/// A worker's fills, and who waits for them.
#[derive(Debug)]
pub struct Flights {
    config: Rc<Config>,
    leases: Leases,
    /// Where each fill's random numbers start.
    seed: u64,
    next: u64,
    flights: SortedMap<Rc<FillKey>, Flight>,
    /// Whose fill has not begun, first come first.
    queue: VecDeque<Rc<FillKey>>,
    /// Streams that wait, in all flights.
    waiters: usize,
    /// Clusters of origins that give whole objects where parts are asked for.
    unranged: Vec<String>,
    warnings: Warnings,
}

#[derive(Debug)]
struct Flight {
    id: u64,
    hash: KeyHash,
    fill: Fill,
    phase: Phase,
    /// When this worker's lease is to be renewed, or another's is over.
    lease: Instant,
    /// Bytes that are stored, in how many parts, and when that was last told.
    stored: u64,
    parts: u64,
    logged: Instant,
    /// When the fill wants [`Input::Deadline`].
    timer: Option<Instant>,
    /// What those who come are answered with, while the fill goes on.
    meanwhile: Option<Outcome>,
    /// How many more may be given the object itself; nothing until it is at hand.
    copies: Option<usize>,
    /// Filled although nobody waits for it.
    background: bool,
    /// In the order of their deadlines, because all wait equally long.
    waiters: VecDeque<Waiter>,
    /// Queues of workers that want to be told how it ends.
    followers: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Another worker fills the key.
    Following,
    /// It waits for room.
    Queued,
    /// It runs since then.
    Running(Instant),
}

#[derive(Debug)]
struct Waiter {
    stream: StreamId,
    deadline: Instant,
}

/// A stream that wants an object which the bucket denied it.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    /// Itself.
    pub stream: StreamId,
    /// When its client asked, on the [`SharedHost`]'s clock.
    pub asked: u64,
    /// What it wants. How, counts for the stream that comes first.
    pub request: &'a FillRequest,
    /// What the calls of the fill carry. Likewise.
    pub trace: &'a Trace,
}

impl Flights {
    /// No fills yet. `seed` differs between workers.
    pub fn new(config: Rc<Config>, leases: Leases, seed: u64) -> Self {
        Self {
            config,
            leases,
            seed,
            next: 0,
            flights: SortedMap::default(),
            queue: VecDeque::new(),
            waiters: 0,
            unranged: Vec::new(),
            warnings: Warnings::default(),
        }
    }

    /// Has a stream wait for the fill of what it wants, which begins unless it is under way, or known to be of no use.
    /// Where the client is sent to the origin at once, only the fill begins.
    pub fn join(&mut self, join: Join<'_>, now: Instant, shared: &dyn SharedHost) -> Vec<Effect> {
        let mirror = &join.request.mirror;
        let answer = |outcome| vec![Effect::Answer { streams: vec![join.stream], mirror: mirror.clone(), outcome }];
        let waits = !join.request.is_background();
        if let Some(flight) = self.flights.get_mut(&join.request.fill_key) {
            let meanwhile = if waits { flight.meanwhile.clone() } else { Some(Outcome::Origin) };
            if let Some(outcome) = meanwhile.filter(|outcome| flight.share(outcome, 1, &self.config.limits) > 0) {
                return answer(outcome);
            }
        }
        if waits && self.waiters >= self.config.limits.waiters {
            return answer(Outcome::Busy(Shortage::Waiters));
        }
        let deadline = now.checked_add(self.config.wait).unwrap_or(now);
        let waiter = waits.then_some(Waiter { stream: join.stream, deadline });
        if let Some(flight) = self.flights.get_mut(&join.request.fill_key) {
            flight.waiters.extend(waiter);
            self.waiters = self.waiters.saturating_add(1);
            return Vec::new();
        }
        let hash = self.leases.hash(&join.request.fill_key);
        let phase = match self.leases.claim(shared, hash, join.asked) {
            Claim::Follow { .. } if !waits => return answer(Outcome::Origin),
            Claim::Follow { owner, lasts } => {
                shared.post(owner, &self.subscription(hash));
                (Phase::Following, lasts)
            }
            Claim::Lead if self.is_full() => {
                self.leases.release(shared, hash);
                return answer(if waits { Outcome::Busy(self.shortage()) } else { Outcome::Origin });
            }
            Claim::Lead => (Phase::Queued, RENEW_AFTER),
            Claim::Loop => return answer(Outcome::Loop),
            Claim::Missing => return answer(Outcome::NotFound),
            Claim::Stored => return answer(Outcome::Stored),
        };
        if waits {
            self.waiters = self.waiters.saturating_add(1);
        }
        self.insert(join, hash, phase, waiter, now);
        let mut effects = if waits { Vec::new() } else { answer(Outcome::Origin) };
        self.begin_queued(now, shared, &mut effects);
        effects
    }

    /// A stream that waited is gone; nobody is to be answered.
    pub fn leave(&mut self, stream: StreamId, fill_key: &FillKey) {
        if let Some(flight) = self.flights.get_mut(fill_key) {
            let before = flight.waiters.len();
            flight.waiters.retain(|waiter| waiter.stream != stream);
            self.waiters = self.waiters.saturating_sub(before.saturating_sub(flight.waiters.len()));
        }
    }

    /// A call came back: with a response, or with none. A ticket of a fill that has ended changes nothing.
    pub fn finish_call(
        &mut self,
        ticket: Ticket,
        response: Option<Response>,
        now: Instant,
        shared: &dyn SharedHost,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Ticket { fill_key, fill, call, due, .. } = ticket;
        if self.flights.get(&fill_key).is_some_and(|flight| flight.id == fill) {
            let input = match response {
                Some(response) => Input::Response { call, response },
                // Envoy answers 504 in the place of one who does not, but gives nothing where the answer had begun.
                None if now >= due => Input::Response { call, response: Response::timed_out() },
                None => Input::Failed { call },
            };
            self.advance(&fill_key, input, now, shared, &mut effects);
            // The fill may have ended, or hold less than before.
            self.begin_queued(now, shared, &mut effects);
        }
        effects
    }

    /// Another worker said something.
    pub fn receive(&mut self, message: Message, now: Instant, shared: &dyn SharedHost) -> Vec<Effect> {
        let mut effects = Vec::new();
        match message {
            Message::Subscribe { hash, reply_to } => self.subscribe(hash, reply_to, shared),
            Message::Ended { hash, outcome } => {
                let following = |flight: &Flight| flight.hash == hash && flight.phase == Phase::Following;
                for fill_key in self.fill_keys(following) {
                    match outcome.clone() {
                        Some(outcome) => self.end(&fill_key, outcome, now, shared, &mut effects),
                        None => self.claim_again(&fill_key, now, shared, &mut effects),
                    }
                }
            }
        }
        self.begin_queued(now, shared, &mut effects);
        effects
    }

    /// Does what is due at `now`. To be called when [`next_deadline`](Self::next_deadline) has come.
    pub fn tick(&mut self, now: Instant, shared: &dyn SharedHost) -> Vec<Effect> {
        let mut effects = Vec::new();
        for fill_key in self.fill_keys(|flight| flight.timer.is_some_and(|timer| timer <= now)) {
            if let Some(flight) = self.flights.get_mut(&fill_key) {
                flight.timer = None;
            }
            self.advance(&fill_key, Input::Deadline, now, shared, &mut effects);
        }
        for fill_key in self.fill_keys(|flight| flight.lease <= now) {
            match self.flights.get_mut(&fill_key) {
                Some(flight) if flight.phase != Phase::Following => {
                    self.leases.renew(shared, flight.hash);
                    flight.lease = after(now, RENEW_AFTER);
                }
                _ => self.claim_again(&fill_key, now, shared, &mut effects),
            }
        }
        self.begin_queued(now, shared, &mut effects);
        self.answer_overdue(now, &mut effects);
        effects
    }

    /// When [`tick`](Self::tick) has something to do again. Changes with every call.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = |flight: &Flight| {
            let waiter = flight.waiters.front().map(|waiter| waiter.deadline);
            flight.timer.into_iter().chain(waiter).chain([flight.lease]).min()
        };
        self.flights.values().filter_map(deadlines).min()
    }

    /// Fills that run now.
    pub fn running(&self) -> usize {
        self.flights.values().filter(|flight| flight.began().is_some()).count()
    }

    /// Streams that wait now.
    pub fn waiters(&self) -> usize {
        self.waiters
    }

    fn is_store(&self, upstream: &Upstream) -> bool {
        let bucket = &self.config.bucket;
        (&upstream.cluster, &upstream.authority) == (&bucket.cluster, &bucket.authority)
    }

    fn fill_keys(&self, chosen: impl Fn(&Flight) -> bool) -> Vec<Rc<FillKey>> {
        self.flights.iter().filter(|(_, flight)| chosen(flight)).map(|(fill_key, _)| fill_key.clone()).collect()
    }

    fn subscription(&self, hash: KeyHash) -> Vec<u8> {
        Message::Subscribe { hash, reply_to: self.leases.queue() }.encode()
    }

    /// Another worker wants to be told how a fill ends. If there is none, it has ended: the table knows how, if
    /// anybody does.
    fn subscribe(&mut self, hash: KeyHash, reply_to: u32, shared: &dyn SharedHost) {
        match self.flights.values_mut().find(|flight| flight.hash == hash && flight.phase != Phase::Following) {
            Some(flight) if flight.followers.contains(&reply_to) => {}
            Some(flight) => flight.followers.push(reply_to),
            None => shared.post(reply_to, &Message::Ended { hash, outcome: None }.encode()),
        }
    }

    /// The worker that was followed has no more to say, or lives no more. Who waits asked before whatever was stored.
    fn claim_again(
        &mut self,
        fill_key: &Rc<FillKey>,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hash) = self.flights.get(fill_key).map(|flight| flight.hash) else { return };
        let outcome = match self.leases.claim(shared, hash, 0) {
            Claim::Follow { owner, lasts } => {
                shared.post(owner, &self.subscription(hash));
                if let Some(flight) = self.flights.get_mut(fill_key) {
                    flight.lease = after(now, lasts);
                }
                return;
            }
            Claim::Lead if self.is_full() => {
                self.leases.release(shared, hash);
                Outcome::Busy(self.shortage())
            }
            Claim::Lead => {
                if let Some(flight) = self.flights.get_mut(fill_key) {
                    flight.phase = Phase::Queued;
                    flight.lease = after(now, RENEW_AFTER);
                    self.queue.push_back(fill_key.clone());
                }
                return;
            }
            Claim::Missing => Outcome::NotFound,
            Claim::Loop | Claim::Stored => Outcome::Stored,
        };
        self.end(fill_key, outcome, now, shared, effects);
    }

    /// Answers who waited for as long as it may.
    fn answer_overdue(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        for flight in self.flights.values_mut() {
            let due = flight.waiters.partition_point(|waiter| waiter.deadline <= now);
            let streams: Vec<StreamId> = flight.waiters.drain(..due).map(|waiter| waiter.stream).collect();
            self.waiters = self.waiters.saturating_sub(streams.len());
            answer(effects, streams, flight.fill.mirror(), Outcome::Filling);
        }
    }

    /// Bytes that the fills which run hold, or will.
    fn memory(&self) -> u64 {
        self.flights.values().filter(|flight| flight.began().is_some()).map(|flight| flight.fill.memory()).sum()
    }

    /// Whether the fill may begin that waits longest, or one of the default size if none waits. One always may.
    fn has_room(&self) -> bool {
        let limits = &self.config.limits;
        let running = self.running();
        let next = self.queue.front().and_then(|fill_key| self.flights.get(fill_key));
        let needed = next.map(|flight| flight.fill.memory()).unwrap_or(limits.part_size);
        running == 0 || (running < limits.fills && self.memory().saturating_add(needed) <= limits.memory)
    }

    /// Why there is no room.
    fn shortage(&self) -> Shortage {
        if self.running() >= self.config.limits.fills { Shortage::Fills } else { Shortage::Memory }
    }

    fn is_full(&self) -> bool {
        !self.has_room() && self.queue.len() >= self.config.limits.queue
    }

    fn insert(&mut self, join: Join<'_>, hash: KeyHash, phase: (Phase, Duration), first: Option<Waiter>, now: Instant) {
        let id = self.next;
        self.next = id.wrapping_add(1);
        let seed = self.seed ^ id.rotate_left(32);
        let mut fill = Fill::new(&self.config, join.request.clone(), seed);
        fill.carry(join.trace.clone());
        let request = join.request;
        let mut origins = [&request.mirror].into_iter().chain(&request.then).flat_map(|mirror| &mirror.origins);
        if origins.any(|origin| self.unranged.contains(&origin.cluster)) {
            fill.expect_unranged();
        }
        let fill_key = request.fill_key.clone();
        if phase.0 == Phase::Queued {
            self.queue.push_back(fill_key.clone());
        }
        let flight = Flight {
            id,
            hash,
            fill,
            phase: phase.0,
            lease: after(now, phase.1),
            stored: 0,
            parts: 0,
            logged: now,
            timer: None,
            meanwhile: None,
            copies: None,
            background: first.is_none(),
            waiters: first.into_iter().collect(),
            followers: Vec::new(),
        };
        self.flights.insert(fill_key, flight);
    }

    /// Begins as many fills as may run. A fill that lost all its waiters in the queue is not begun, unless another
    /// worker's streams wait for it.
    fn begin_queued(&mut self, now: Instant, shared: &dyn SharedHost, effects: &mut Vec<Effect>) {
        while self.has_room() {
            let Some(fill_key) = self.queue.pop_front() else { return };
            match self.flights.get_mut(&fill_key) {
                Some(flight) if flight.is_wanted() => {
                    flight.phase = Phase::Running(now);
                    flight.logged = now;
                    self.advance(&fill_key, Input::Start, now, shared, effects);
                }
                Some(flight) => {
                    self.leases.release(shared, flight.hash);
                    self.flights.remove(&fill_key);
                }
                None => {}
            }
        }
    }

    fn advance(
        &mut self,
        fill_key: &Rc<FillKey>,
        input: Input,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let spare = self.config.limits.memory.saturating_sub(self.memory());
        let Some(mut flight) = self.flights.remove(fill_key) else { return };
        let (fill, actions) = flight.fill.handle(input, spare);
        flight.fill = fill;
        let mut ended = None;
        for action in actions {
            match action {
                Action::Call(call) => {
                    let ticket = Ticket {
                        fill_key: fill_key.clone(),
                        fill: flight.id,
                        call: call.id,
                        to_store: self.is_store(&call.to),
                        due: after(now, nearly(call.timeout)),
                    };
                    effects.push(Effect::Call { ticket, call });
                }
                Action::Done(outcome) => ended = Some(outcome),
                Action::Meanwhile(outcome) => {
                    let share = flight.share(&outcome, flight.waiters.len(), &self.config.limits);
                    let streams: Vec<StreamId> = flight.waiters.drain(..share).map(|waiter| waiter.stream).collect();
                    self.waiters = self.waiters.saturating_sub(streams.len());
                    answer(effects, streams, flight.fill.mirror(), outcome.clone());
                    flight.meanwhile = Some(outcome);
                }
                Action::Progress { bytes, total } => {
                    flight.stored = flight.stored.saturating_add(bytes);
                    flight.parts = flight.parts.saturating_add(1);
                    let log = now.saturating_duration_since(flight.logged) >= LOG_EVERY;
                    flight.logged = if log { now } else { flight.logged };
                    let (key, stored) = (fill_key.key.clone(), flight.stored);
                    effects.push(Effect::Progress(Progress { key, bytes, stored, total, log }));
                }
                Action::Unranged(cluster) if self.unranged.contains(&cluster) => {}
                Action::Unranged(cluster) => self.unranged.push(cluster),
                Action::Warn(warning) => {
                    let warn = || Effect::Warn { key: fill_key.key.clone(), what: warning.text() };
                    effects.extend(self.warnings.admits(warning, now).then(warn));
                }
                Action::Wait(wait) => flight.timer = Some(after(now, wait)),
            }
        }
        self.flights.insert(fill_key.clone(), flight);
        if let Some(outcome) = ended {
            self.end(fill_key, outcome, now, shared, effects);
        }
    }

    /// Answers everybody who waits, here and in other workers, and leaves word in the table for those who come later.
    fn end(
        &mut self,
        fill_key: &FillKey,
        outcome: Outcome,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut flight) = self.flights.remove(fill_key) else { return };
        let mut streams: Vec<StreamId> = flight.waiters.iter().map(|waiter| waiter.stream).collect();
        self.waiters = self.waiters.saturating_sub(streams.len());
        if let Some(began) = flight.began() {
            self.leases.settle(shared, flight.hash, &outcome);
            effects.push(Effect::Ended(FillEnded {
                key: fill_key.key.clone(),
                outcome: outcome.label(),
                detail: outcome.detail(),
                origin: flight.fill.origin().to_owned(),
                failures: flight.fill.failures().to_vec(),
                request_id: flight.fill.trace().request_id().to_owned(),
                stored: flight.stored,
                parts: flight.parts,
                waiters: streams.len(),
                took: now.saturating_duration_since(began),
            }));
        }
        for follower in std::mem::take(&mut flight.followers) {
            let message = Message::Ended { hash: flight.hash, outcome: Some(outcome.clone()) };
            shared.post(follower, &message.encode());
        }
        let rest = streams.split_off(flight.share(&outcome, streams.len(), &self.config.limits));
        answer(effects, rest, flight.fill.mirror(), outcome.without_object());
        answer(effects, streams, flight.fill.mirror(), outcome);
    }
}

fn answer(effects: &mut Vec<Effect>, streams: Vec<StreamId>, mirror: &Rc<Mirror>, outcome: Outcome) {
    if !streams.is_empty() {
        effects.push(Effect::Answer { streams, mirror: mirror.clone(), outcome });
    }
}

impl Flight {
    /// Whether it is worth to be begun.
    fn is_wanted(&self) -> bool {
        self.background || !self.waiters.is_empty() || !self.followers.is_empty()
    }

    /// How many of so many streams are answered so. Envoy holds a copy of the object for each that is given it, until its
    /// client has read that, so they are not more than fit into the memory that fills may have; one always is.
    fn share(&mut self, outcome: &Outcome, streams: usize, limits: &Limits) -> usize {
        let Some(object) = outcome.object() else { return streams };
        let fit = limits.memory.checked_div(object.length()).map(|copies| usize::try_from(copies.max(1)));
        let copies = self.copies.get_or_insert(fit.and_then(Result::ok).unwrap_or(usize::MAX));
        let share = streams.min(*copies);
        *copies = copies.saturating_sub(share);
        share
    }

    /// Since when it runs.
    fn began(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running(began) => Some(began),
            Phase::Following | Phase::Queued => None,
        }
    }
}

/// Half of [`LEASE`], so that one late tick loses nothing.
const RENEW_AFTER: Duration = Duration::from_secs(5);

const _: () = assert!(RENEW_AFTER.as_nanos() < LEASE.as_nanos());

/// Nine tenths.
fn nearly(time: Duration) -> Duration {
    time.saturating_sub(time.checked_div(10).unwrap_or_default())
}

fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now)
}

#[cfg(test)]
mod tests;
