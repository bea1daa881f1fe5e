//! Calls to origins with a rate, which wait for their turn.
//!
//! A fill that waits holds its share ([`admission`](super::admission)), so that few wait here and the others in the queue.

use super::effect::Effect;
use super::leases::SharedHost;
use super::{Flights, after};
use crate::config::Rate;
use crate::fill::{Call, FillKey};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The calls that wait for their turn, those of one origin in order.
#[derive(Debug, Default)]
pub struct Turns {
    waiting: VecDeque<Waiting>,
    /// The time at which one of them may have its turn.
    pub next: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    fill_key: Rc<FillKey>,
    /// The fill's number.
    fill: u64,
    call: Call,
    origin: String,
    rate: Rate,
}

impl Flights {
    /// Sends a call of a fill, if need be when its origin has a turn for it.
    pub(super) fn send(
        &mut self,
        fill_key: &Rc<FillKey>,
        call: Call,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let Some(flight) = self.flights.get(fill_key) else { return };
        let origins = &flight.fill.mirror().origins;
        let origin = origins.iter().find(|origin| origin.name == flight.fill.origin() && !self.is_store(&call.to));
        match origin.and_then(|origin| Some((origin.name.clone(), origin.rate?))) {
            None => effects.push(self.call(fill_key, flight.id, call, now)),
            Some((origin, rate)) => {
                let (fill_key, fill) = (fill_key.clone(), flight.id);
                self.turns.waiting.push_back(Waiting { fill_key, fill, call, origin, rate });
                self.take_turns(now, shared, effects);
            }
        }
    }

    /// Sends the calls whose turn it is.
    pub(super) fn take_turns(&mut self, now: Instant, shared: &dyn SharedHost, effects: &mut Vec<Effect>) {
        let mut waits: Vec<(String, Duration)> = Vec::new();
        for one in std::mem::take(&mut self.turns.waiting) {
            if self.flights.get(&one.fill_key).is_none_or(|flight| flight.id != one.fill) {
                continue;
            }
            if !waits.iter().any(|(origin, _)| *origin == one.origin) {
                match self.leases.take_turn(shared, &one.origin, one.rate) {
                    Ok(()) => {
                        effects.push(self.call(&one.fill_key, one.fill, one.call, now));
                        continue;
                    }
                    Err(wait) => waits.push((one.origin.clone(), wait)),
                }
            }
            self.turns.waiting.push_back(one);
        }
        self.turns.next = waits.into_iter().map(|(_, wait)| after(now, wait)).min();
    }
}
