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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FillId(u64);

/// Names a call within a worker. What comes back is reported with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    fill: FillId,
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

/// A worker's fills, and who waits for them.
#[derive(Debug)]
pub struct Flights {
    config: Rc<Config>,
    /// Where each fill's random numbers start.
    seed: u64,
    next: u64,
    flights: BTreeMap<FillId, Flight>,
    by_key: BTreeMap<Key, FillId>,
    by_stream: BTreeMap<StreamId, FillId>,
    /// Fills that have not begun, first come first.
    queue: VecDeque<FillId>,
}

#[derive(Debug)]
struct Flight {
    fill: Fill,
    /// `None` while it is in the queue.
    began: Option<Instant>,
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
        Self {
            config,
            seed,
            next: 0,
            flights: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_stream: BTreeMap::new(),
            queue: VecDeque::new(),
        }
    }

    /// Has a stream wait for the fill of a key, which begins unless it is under way. `check` is for a miss that was a
    /// 403; it counts for the stream that comes first.
    pub fn join(&mut self, stream: StreamId, key: &Key, mirror: &Rc<Mirror>, check: bool, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        let id = match self.by_key.get(key) {
            Some(id) => *id,
            None if self.is_full() => {
                let outcome = Outcome::Busy;
                return vec![Effect::Answer { streams: vec![stream], mirror: mirror.clone(), outcome }];
            }
            None => self.enqueue(key, mirror, check),
        };
        if let Some(flight) = self.flights.get_mut(&id) {
            let deadline = now.checked_add(self.config.wait).unwrap_or(now);
            flight.waiters.push_back(Waiter { stream, deadline });
            self.by_stream.insert(stream, id);
        }
        self.begin_queued(now, &mut effects);
        effects
    }

    /// A stream is gone; nobody is to be answered.
    pub fn leave(&mut self, stream: StreamId) {
        let flight = self.by_stream.remove(&stream).and_then(|id| self.flights.get_mut(&id));
        if let Some(flight) = flight {
            flight.waiters.retain(|waiter| waiter.stream != stream);
        }
    }

    /// A call came back: with a response, or with none. Unknown tickets are those of fills that ended.
    pub fn finished(&mut self, ticket: Ticket, response: Option<Response>, now: Instant) -> Vec<Effect> {
        let call = ticket.call;
        let input = match response {
            Some(response) => Input::Response { call, response },
            None => Input::Failed { call },
        };
        let mut effects = Vec::new();
        self.advance(ticket.fill, input, now, &mut effects);
        effects
    }

    /// Does what is due at `now`. To be called when [`next_deadline`](Self::next_deadline) has come.
    pub fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        let due = |timer: Option<Instant>| timer.is_some_and(|timer| timer <= now);
        let timers: Vec<FillId> =
            self.flights.iter().filter(|(_, flight)| due(flight.timer)).map(|(id, _)| *id).collect();
        for id in timers {
            if let Some(flight) = self.flights.get_mut(&id) {
                flight.timer = None;
            }
            self.advance(id, Input::Deadline, now, &mut effects);
        }
        for flight in self.flights.values_mut() {
            let due = flight.waiters.partition_point(|waiter| waiter.deadline <= now);
            let streams: Vec<StreamId> = flight.waiters.drain(..due).map(|waiter| waiter.stream).collect();
            for stream in &streams {
                self.by_stream.remove(stream);
            }
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
        self.running() >= self.config.limits.fills && self.queue.len() >= self.config.limits.queue
    }

    fn enqueue(&mut self, key: &Key, mirror: &Rc<Mirror>, check: bool) -> FillId {
        let id = FillId(self.next);
        self.next = self.next.wrapping_add(1);
        let fill = Fill::new(&self.config, key.clone(), mirror.clone(), check, self.seed ^ id.0.rotate_left(32));
        self.flights.insert(id, Flight { fill, began: None, timer: None, waiters: VecDeque::new() });
        self.by_key.insert(key.clone(), id);
        self.queue.push_back(id);
        id
    }

    /// Begins as many fills as may run. A fill that lost all its waiters in the queue is not begun.
    fn begin_queued(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        while self.running() < self.config.limits.fills {
            let Some(id) = self.queue.pop_front() else { return };
            match self.flights.get_mut(&id) {
                Some(flight) if !flight.waiters.is_empty() => flight.began = Some(now),
                _ => {
                    self.remove(id);
                    continue;
                }
            }
            self.advance(id, Input::Start, now, effects);
        }
    }

    fn advance(&mut self, id: FillId, input: Input, now: Instant, effects: &mut Vec<Effect>) {
        let Some(mut flight) = self.flights.remove(&id) else { return };
        let (fill, actions) = flight.fill.handle(input);
        flight.fill = fill;
        let mut ended = None;
        for action in actions {
            match action {
                Action::Call(call) => effects.push(Effect::Call { ticket: Ticket { fill: id, call: call.id }, call }),
                Action::Done(outcome) => ended = Some(outcome),
                Action::Wait(wait) => flight.timer = now.checked_add(wait),
            }
        }
        match ended {
            None => {
                self.flights.insert(id, flight);
            }
            Some(outcome) => {
                self.by_key.remove(flight.fill.key());
                self.end(flight, outcome, now, effects);
                self.begin_queued(now, effects);
            }
        }
    }

    fn end(&mut self, flight: Flight, outcome: Outcome, now: Instant, effects: &mut Vec<Effect>) {
        let streams: Vec<StreamId> = flight.waiters.iter().map(|waiter| waiter.stream).collect();
        for stream in &streams {
            self.by_stream.remove(stream);
        }
        effects.push(Effect::Ended(Ended {
            key: flight.fill.key().clone(),
            outcome: outcome.label(),
            detail: outcome.detail(),
            waiters: streams.len(),
            took: flight.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default(),
        }));
        if !streams.is_empty() {
            effects.push(Effect::Answer { streams, mirror: flight.fill.mirror().clone(), outcome });
        }
    }

    fn remove(&mut self, id: FillId) {
        if let Some(flight) = self.flights.remove(&id) {
            self.by_key.remove(flight.fill.key());
        }
    }
}

#[cfg(test)]
mod tests;
