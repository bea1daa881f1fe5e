//! Calls to origins with a rate, which wait for their turn.
//!
//! A fill that waits holds its share ([`admission`](super::admission)), so that few wait here and the others in the queue. The
//! oldest fill of an origin goes first.

use super::effect::Effect;
use super::flight::Flight;
use super::leases::SharedHost;
use super::{Flights, advance_to, after};
use crate::config::{Origin, Rate};
use crate::fill::{Action, Call, FillKey};
use std::rc::Rc;
use std::time::Instant;

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
        let to_store = self.is_store(&call.to);
        let Some(flight) = self.flights.get_mut(fill_key) else { return };
        if to_store || rate_of(flight).is_none() {
            let id = flight.id;
            effects.push(self.call(fill_key, id, call, now));
        } else {
            flight.waiting.push(Action::Call(call));
            self.take_turns(now, shared, effects);
        }
    }

    /// Takes a turn for a client that is passed to an origin. Fills go first: the object is stored once, and clients may come
    /// again and again.
    pub fn may_stream(&self, origin: &Origin, shared: &dyn SharedHost) -> bool {
        let takes = |rate| self.next_turn.is_none() && self.leases.take_turn(shared, &origin.name, rate).is_ok();
        origin.rate.is_none_or(takes)
    }

    /// Sends the calls whose turn it is.
    pub(super) fn take_turns(&mut self, now: Instant, shared: &dyn SharedHost, effects: &mut Vec<Effect>) {
        self.next_turn = None;
        let mut blocked: Vec<String> = Vec::new();
        loop {
            let waits = |flight: &&Flight| {
                !flight.waiting.is_empty() && !blocked.iter().any(|origin| origin == flight.fill.origin())
            };
            let Some(flight) = self.flights.values().filter(waits).min_by_key(|flight| flight.id) else { return };
            let (id, fill_key) = (flight.id, flight.request.fill_key.clone());
            let turn = rate_of(flight).map(|rate| self.leases.take_turn(shared, flight.fill.origin(), rate));
            if let Some(Err(wait)) = turn {
                advance_to(&mut self.next_turn, after(now, wait));
                blocked.push(flight.fill.origin().to_owned());
                continue;
            }
            let Some(flight) = self.flights.get_mut(&fill_key) else { return };
            if let Action::Call(call) = flight.waiting.remove(0) {
                effects.push(self.call(&fill_key, id, call, now));
            }
        }
    }
}

/// Returns the rate of the origin that a flight's fill asks now.
fn rate_of(flight: &Flight) -> Option<Rate> {
    let is_asked = |origin: &&Rc<Origin>| origin.name == flight.fill.origin();
    flight.fill.mirror().origins.iter().find(is_asked).and_then(|origin| origin.rate)
}
