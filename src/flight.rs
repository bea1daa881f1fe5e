//! Single-flight: one fill per key, however many streams wait for it.
//!
//! A client that goes away never stops a fill; a fill that nobody began and nobody waits for is forgotten.

use crate::config::{Config, Mirror};
use crate::fill::{Action, Call, CallId, Fill, Input, Outcome};
use crate::http::Response;
use crate::key::Key;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A stream as Envoy numbers them: unique within a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// Names a call within a worker. What comes back is reported with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    key: Key,
    /// Which fill of that key, in the order in which they were asked for.
    fill: u64,
    call: CallId,
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
    /// Make a call, and report its end with [`Flights::finished`].
    Call {
        /// What to report it with.
        ticket: Ticket,
        /// What to do.
        call: Call,
    },
    /// A fill ended; for the log.
    Ended(Ended),
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
pub struct Ended {
    /// What was filled.
    pub key: Key,
    /// [`Outcome::label`].
    pub outcome: &'static str,
    /// [`Outcome::detail`].
    pub detail: String,
    /// Streams that waited to the end.
    pub waiters: usize,
    /// From its first call to its end.
    pub took: Duration,
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
    /// Worth a line in the log: none was written for [`TELL_EVERY`].
    pub tell: bool,
}

/// How often a fill that goes on is worth a line in the log.
pub const TELL_EVERY: Duration = Duration::from_secs(10);

/// A worker's fills, and who waits for them.
#[derive(Debug)]
pub struct Flights {
    config: Rc<Config>,
    /// Where each fill's random numbers start.
    seed: u64,
    next: u64,
    flights: BTreeMap<Key, Flight>,
    /// Keys whose fill has not begun, first come first.
    queue: VecDeque<Key>,
}

#[derive(Debug)]
struct Flight {
    id: u64,
    fill: Fill,
    /// `None` while it is in the queue.
    began: Option<Instant>,
    /// Bytes that are stored, and when that was last told.
    stored: u64,
    told: Instant,
    /// When the fill wants [`Input::Deadline`].
    timer: Option<Instant>,
    /// In the order of their deadlines, because all wait equally long.
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    stream: StreamId,
    deadline: Instant,
}

impl Flights {
    /// No fills yet.
    pub fn new(config: Rc<Config>, seed: u64) -> Self {
        Self { config, seed, next: 0, flights: BTreeMap::new(), queue: VecDeque::new() }
    }

    /// Has a stream wait for the fill of a key, which begins unless it is under way. `check` is for a miss that was a
    /// 403; it counts for the stream that comes first.
    pub fn join(&mut self, stream: StreamId, key: &Key, mirror: &Rc<Mirror>, check: bool, now: Instant) -> Vec<Effect> {
        let deadline = now.checked_add(self.config.wait).unwrap_or(now);
        let waiter = Waiter { stream, deadline };
        let mut effects = Vec::new();
        if let Some(flight) = self.flights.get_mut(key) {
            flight.waiters.push_back(waiter);
        } else if self.is_full() {
            effects.push(Effect::Answer { streams: vec![stream], mirror: mirror.clone(), outcome: Outcome::Busy });
        } else {
            self.enqueue(key, mirror, check, waiter, now);
            self.begin_queued(now, &mut effects);
        }
        effects
    }

    /// A stream that waited for a key is gone; nobody is to be answered.
    pub fn leave(&mut self, stream: StreamId, key: &Key) {
        if let Some(flight) = self.flights.get_mut(key) {
            flight.waiters.retain(|waiter| waiter.stream != stream);
        }
    }

    /// A call came back: with a response, or with none. A ticket of a fill that has ended changes nothing.
    pub fn finished(&mut self, ticket: Ticket, response: Option<Response>, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Ticket { key, fill, call } = ticket;
        if self.flights.get(&key).is_some_and(|flight| flight.id == fill) {
            let input = match response {
                Some(response) => Input::Response { call, response },
                None => Input::Failed { call },
            };
            self.advance(&key, input, now, &mut effects);
            // The fill may have ended, or hold less than before.
            self.begin_queued(now, &mut effects);
        }
        effects
    }

    /// Does what is due at `now`. To be called when [`next_deadline`](Self::next_deadline) has come.
    pub fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        let due = |flight: &Flight| flight.timer.is_some_and(|timer| timer <= now);
        let timers: Vec<Key> =
            self.flights.iter().filter(|(_, flight)| due(flight)).map(|(key, _)| key.clone()).collect();
        for key in timers {
            if let Some(flight) = self.flights.get_mut(&key) {
                flight.timer = None;
            }
            self.advance(&key, Input::Deadline, now, &mut effects);
        }
        self.begin_queued(now, &mut effects);
        for flight in self.flights.values_mut() {
            let due = flight.waiters.partition_point(|waiter| waiter.deadline <= now);
            let streams: Vec<StreamId> = flight.waiters.drain(..due).map(|waiter| waiter.stream).collect();
            if !streams.is_empty() {
                let mirror = flight.fill.mirror().clone();
                effects.push(Effect::Answer { streams, mirror, outcome: Outcome::Filling });
            }
        }
        effects
    }

    /// When [`tick`](Self::tick) has something to do again. Changes with every call.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = |flight: &Flight| {
            let waiter = flight.waiters.front().map(|waiter| waiter.deadline);
            flight.timer.into_iter().chain(waiter).min()
        };
        self.flights.values().filter_map(deadlines).min()
    }

    /// Fills that run now.
    pub fn running(&self) -> usize {
        self.flights.len().saturating_sub(self.queue.len())
    }

    fn is_full(&self) -> bool {
        !self.has_room() && self.queue.len() >= self.config.limits.queue
    }

    fn enqueue(&mut self, key: &Key, mirror: &Rc<Mirror>, check: bool, first: Waiter, now: Instant) {
        let id = self.next;
        self.next = id.wrapping_add(1);
        let fill = Fill::new(&self.config, key.clone(), mirror.clone(), check, self.seed ^ id.rotate_left(32));
        let flight =
            Flight { id, fill, began: None, stored: 0, told: now, timer: None, waiters: VecDeque::from([first]) };
        self.flights.insert(key.clone(), flight);
        self.queue.push_back(key.clone());
    }

    /// Bytes that the fills which run hold, or will.
    fn memory(&self) -> u64 {
        self.flights.values().filter(|flight| flight.began.is_some()).map(|flight| flight.fill.memory()).sum()
    }

    /// Whether another fill may begin. One always may.
    fn has_room(&self) -> bool {
        let limits = &self.config.limits;
        let fits = || self.memory().saturating_add(limits.part_size) <= limits.memory;
        self.running() == 0 || (self.running() < limits.fills && fits())
    }

    /// Begins as many fills as may run. A fill that lost all its waiters in the queue is not begun.
    fn begin_queued(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        while self.has_room() {
            let Some(key) = self.queue.pop_front() else { return };
            match self.flights.get_mut(&key) {
                Some(flight) if !flight.waiters.is_empty() => {
                    flight.began = Some(now);
                    flight.told = now;
                }
                _ => {
                    self.flights.remove(&key);
                    continue;
                }
            }
            self.advance(&key, Input::Start, now, effects);
        }
    }

    fn advance(&mut self, key: &Key, input: Input, now: Instant, effects: &mut Vec<Effect>) {
        let spare = self.config.limits.memory.saturating_sub(self.memory());
        let Some(mut flight) = self.flights.remove(key) else { return };
        let (fill, actions) = flight.fill.handle(input, spare);
        flight.fill = fill;
        let mut ended = None;
        for action in actions {
            match action {
                Action::Call(call) => {
                    let ticket = Ticket { key: key.clone(), fill: flight.id, call: call.id };
                    effects.push(Effect::Call { ticket, call });
                }
                Action::Done(outcome) => ended = Some(outcome),
                Action::Progress { bytes, total } => {
                    flight.stored = flight.stored.saturating_add(bytes);
                    let tell = now.saturating_duration_since(flight.told) >= TELL_EVERY;
                    flight.told = if tell { now } else { flight.told };
                    let (key, stored) = (key.clone(), flight.stored);
                    effects.push(Effect::Progress(Progress { key, bytes, stored, total, tell }));
                }
                Action::Warn(what) => effects.push(Effect::Warn { key: key.clone(), what }),
                Action::Wait(wait) => flight.timer = now.checked_add(wait),
            }
        }
        match ended {
            None => {
                self.flights.insert(key.clone(), flight);
            }
            Some(outcome) => end(key, flight, outcome, now, effects),
        }
    }
}

fn end(key: &Key, flight: Flight, outcome: Outcome, now: Instant, effects: &mut Vec<Effect>) {
    let streams: Vec<StreamId> = flight.waiters.iter().map(|waiter| waiter.stream).collect();
    effects.push(Effect::Ended(Ended {
        key: key.clone(),
        outcome: outcome.label(),
        detail: outcome.detail(),
        waiters: streams.len(),
        took: flight.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default(),
    }));
    if !streams.is_empty() {
        effects.push(Effect::Answer { streams, mirror: flight.fill.mirror().clone(), outcome });
    }
}

#[cfg(test)]
mod tests;
