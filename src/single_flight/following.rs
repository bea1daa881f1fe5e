//! Fills of other workers: following them, and telling others of ours.

use super::effect::Effect;
use super::flight::Phase;
use super::leases::{Claim, KeyHash, SharedHost};
use super::messages::Message;
use super::report::Place;
use super::{Flights, RENEW_AFTER, advance_to, after};
use crate::fill::{FillKey, Outcome};
use std::rc::Rc;
use std::time::Instant;

impl Flights {
    pub(super) fn subscription(&self, hash: KeyHash) -> Vec<u8> {
        Message::Subscribe { hash, reply_to: self.leases.queue() }.encode()
    }

    pub(super) fn unsubscription(&self, hash: KeyHash) -> Vec<u8> {
        Message::Unsubscribe { hash, reply_to: self.leases.queue() }.encode()
    }

    /// Adds another worker to those that are told of the end of a fill. A fill that is not there has ended, and the table may
    /// know how.
    pub(super) fn subscribe(&mut self, hash: KeyHash, reply_to: u32, shared: &dyn SharedHost) {
        match self.flights.values_mut().find(|flight| flight.hash == hash && !flight.follows()) {
            Some(flight) if flight.followers.contains(&reply_to) => {}
            Some(flight) => flight.followers.push(reply_to),
            None => shared.post(reply_to, &Message::Ended { hash, outcome: None, place: Place::default() }.encode()),
        }
    }

    /// Takes another worker off a fill, because nobody waits there any more.
    pub(super) fn unsubscribe(&mut self, hash: KeyHash, reply_to: u32) {
        if let Some(flight) = self.flights.values_mut().find(|flight| flight.hash == hash && !flight.follows()) {
            flight.followers.retain(|follower| *follower != reply_to);
            self.abandoned.extend(flight.is_abandoned().then(|| flight.request.fill_key.clone()));
        }
    }

    /// Takes the end of a fill from the worker that is followed, or that it does not know of one.
    pub(super) fn told(
        &mut self,
        hash: KeyHash,
        outcome: Option<Outcome>,
        place: Place,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        for fill_key in self.following(hash) {
            match outcome.clone() {
                Some(outcome) => {
                    if let Some(flight) = self.flights.get_mut(&fill_key) {
                        flight.tell(place);
                    }
                    self.end(&fill_key, outcome, now, shared, effects);
                }
                None => self.claim_again(&fill_key, now, shared, effects),
            }
        }
    }

    /// Lists the flights that follow another worker's fill: one for each way in which the bucket denied the key.
    pub(super) fn following(&self, hash: KeyHash) -> Vec<Rc<FillKey>> {
        self.fill_keys(|flight| flight.hash == hash && flight.follows())
    }

    /// Asks the table again: the worker that was followed has no more to say, or is gone. The streams that wait asked
    /// before anything was stored.
    pub(super) fn claim_again(
        &mut self,
        fill_key: &Rc<FillKey>,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let Some(flight) = self.flights.get(fill_key) else { return };
        let hash = flight.hash;
        let outcome = match self.leases.claim(shared, hash, &|| 0) {
            Claim::Failed(outcome, place) => {
                if let Some(flight) = self.flights.get_mut(fill_key) {
                    flight.tell(place);
                }
                outcome
            }
            Claim::Follow { owner, lasts } => {
                shared.post(owner, &self.subscription(hash));
                return self.proceed(fill_key, Phase::Following(owner), after(now, lasts));
            }
            Claim::Lead => {
                let wanted = self.wanted(flight);
                match self.admission.enqueue(flight.id, fill_key, wanted) {
                    Some(shortage) => {
                        self.leases.release(shared, hash);
                        Outcome::Busy(shortage)
                    }
                    None => return self.proceed(fill_key, Phase::Queued(wanted), after(now, RENEW_AFTER)),
                }
            }
            Claim::Missing => Outcome::NotFound,
            Claim::Loop | Claim::Stored => Outcome::Stored,
        };
        self.end(fill_key, outcome, now, shared, effects);
    }

    fn proceed(&mut self, fill_key: &FillKey, phase: Phase, lease: Instant) {
        if let Some(flight) = self.flights.get_mut(fill_key) {
            (flight.phase, flight.lease) = (phase, lease);
            advance_to(&mut self.due, lease);
        }
    }
}
