//! Clients that are passed to origins: to which objects, and how many.

use super::effect::{Effect, StreamId};
use super::feeding::{OpenStream, OpenStreams};
use super::flight::Flight;
use super::leases::{KeyHash, SharedHost};
use super::messages::Message;
use super::permits::Permit;
use super::{Flights, answer};
use crate::config::rule::{Mirror, OnWait, ResponseMode, TooLarge};
use crate::fill::{FillKey, FillRequest, Outcome, PassedObject};
use std::rc::Rc;
use std::time::Instant;

/// The facts of a flight that say if its streams may be passed.
#[derive(Clone, Copy, Debug)]
pub struct Passes {
    pub hash: KeyHash,
    /// [`Flight::is_missing`](super::flight::Flight::is_missing).
    pub is_missing: bool,
}

impl Flights {
    /// Opens a stream to an object of an origin. `None` if there is no permit, or no room.
    pub fn open_stream(&mut self, stream: StreamId, fill_key: &FillKey, shared: &dyn SharedHost) -> Option<Permit> {
        let hash = self.leases.hash(fill_key);
        let permit = self.leases.permit(shared, hash).filter(|_| self.room_for_streams(hash) > 0)?;
        let Permit { place, object } = permit.clone();
        let (is_answered, is_corrupt) = (false, false);
        self.open_streams.0.push(OpenStream { stream, hash, place, object, next: 0, last: 0, is_answered, is_corrupt });
        Some(permit)
    }

    /// Takes the failure of a stream: the origin does not have the object that was permitted. The next client asks it anew.
    pub fn fail_stream(&mut self, stream: StreamId, shared: &dyn SharedHost) {
        let hash = self.open_streams.0.iter().find(|open| open.stream == stream).map(|open| open.hash);
        if let Some(hash) = hash {
            self.leases.revoke(shared, hash);
        }
    }

    /// Takes an object that clients may be passed to, and passes those that wait for it, if their rule says so.
    pub(super) fn offer(
        &mut self,
        fill_key: &FillKey,
        object: Rc<PassedObject>,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let Some(flight) = self.flights.get_mut(fill_key) else { return };
        let permit = Permit { place: flight.place(), object: object.clone() };
        let hash = flight.hash;
        flight.is_offered = self.leases.grant(shared, hash, &permit);
        if !flight.is_offered || !is_served(&flight.request) {
            return;
        }
        for follower in &flight.followers {
            shared.post(*follower, &Message::Offered { hash }.encode());
        }
        let passed = self.pass_waiters(fill_key, object, effects);
        if let Some(flight) = self.flights.get_mut(fill_key).filter(|_| passed > 0) {
            flight.fill.expect_stream(flight.spent(now));
        }
    }

    /// Takes the word of another worker that clients may be passed to the object that it fills.
    pub(super) fn told_of_offer(&mut self, hash: KeyHash, shared: &dyn SharedHost, effects: &mut Vec<Effect>) {
        let Some(permit) = self.leases.permit(shared, hash) else { return };
        let object = permit.object;
        for fill_key in self.following(hash) {
            let passes = |flight: &Flight| is_served(&flight.request) && flight.is_missing();
            if self.flights.get(&fill_key).is_some_and(passes) {
                self.pass_waiters(&fill_key, object.clone(), effects);
                self.abandoned.push(fill_key);
            }
        }
    }

    /// Passes as many of those who wait as there is room for, and counts them.
    fn pass_waiters(&mut self, fill_key: &FillKey, object: Rc<PassedObject>, effects: &mut Vec<Effect>) -> usize {
        let Some(hash) = self.flights.get(fill_key).map(|flight| flight.hash) else { return 0 };
        let room = self.room_for_streams(hash);
        let Some(flight) = self.flights.get_mut(fill_key) else { return 0 };
        let mut passed = Vec::new();
        flight.waiters.retain(|waiter| {
            let passes = waiter.may_pass && passed.len() < room;
            if passes {
                passed.push(waiter.stream);
            }
            !passes
        });
        let count = passed.len();
        self.waiters = self.waiters.saturating_sub(count);
        answer(effects, passed, flight.source(), Outcome::Passed(object));
        count
    }

    /// Returns the answer that passes a client at once, where its rule says so. What is not stored changes, so the origin is asked
    /// each time.
    pub(super) fn passed_at_once(&self, hash: KeyHash, mirror: &Mirror, shared: &dyn SharedHost) -> Option<Outcome> {
        if mirror.response == ResponseMode::Serve && !mirror.unstored { self.passed(hash, shared) } else { None }
    }

    /// Returns the answer that passes a client in the place of an outcome without an object.
    pub(super) fn passed_instead(
        &self,
        outcome: &Outcome,
        hash: KeyHash,
        mirror: &Mirror,
        shared: &dyn SharedHost,
    ) -> Option<Outcome> {
        let may_pass = match outcome {
            Outcome::Filling => mirror.on_wait == OnWait::Origin,
            Outcome::NotStored { object: None, .. } | Outcome::Private(None) => true,
            Outcome::TooLarge => mirror.too_large == TooLarge::Origin,
            _ => false,
        };
        let has_public_url = mirror.origins.iter().any(|origin| origin.public_url.is_some());
        if may_pass && !has_public_url { self.passed(hash, shared) } else { None }
    }

    fn passed(&self, hash: KeyHash, shared: &dyn SharedHost) -> Option<Outcome> {
        if self.config.marker.is_none() || self.room_for_streams(hash) == 0 {
            return None;
        }
        self.leases.permit(shared, hash).map(|permit| Outcome::Passed(permit.object))
    }

    fn room_for_streams(&self, hash: KeyHash) -> usize {
        let OpenStreams(open) = &self.open_streams;
        let own = open.iter().filter(|open| open.hash == hash).count();
        let limits = &self.config.limits;
        limits.streams.saturating_sub(open.len()).min(limits.streams_per_key.saturating_sub(own))
    }
}

/// Tells if a permit outlives the end of a fill: the object may be had all the same, and is not in the bucket.
pub fn outlives(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Busy(_)
            | Outcome::NotStored { .. }
            | Outcome::OriginBusy { .. }
            | Outcome::OriginTimeout
            | Outcome::OriginUnavailable(_)
            | Outcome::Private(_)
            | Outcome::TooLarge
    )
}

fn is_served(request: &FillRequest) -> bool {
    request.mirror.response == ResponseMode::Serve || request.is_unstored()
}
