//! Fills that run: from their place in the queue to their end.

use super::admission::Hold;
use super::effect::{Effect, StreamId, Ticket};
use super::events::{FillEnded, LOG_EVERY, Progress};
use super::flight::{Flight, Needs, Phase};
use super::leases::SharedHost;
use super::messages::Message;
use super::passing::{Passes, outlives};
use super::{Flights, advance_to, after, answer, hand_out};
use crate::fill::{Action, Call, FillKey, Input, Outcome, Shortage};
use crate::http::Upstream;
use crate::s3;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

impl Flights {
    /// Begins as many fills as may run, or has them go on.
    pub(super) fn begin_queued(&mut self, now: Instant, shared: &dyn SharedHost, effects: &mut Vec<Effect>) {
        while let Some((fill_key, hold)) = self.admission.next() {
            let Some(flight) = self.flights.get_mut(&fill_key) else {
                self.admission.replace(Some(hold), None);
                continue;
            };
            flight.phase = Phase::Running(hold);
            flight.logged = now;
            flight.began.get_or_insert(now);
            if flight.parked.is_empty() {
                if flight.needs.is_none() {
                    flight.fill.expect(self.admission.first_range(hold, now));
                }
                self.advance(&fill_key, Input::Start, now, shared, effects);
                continue;
            }
            let parked = std::mem::take(&mut flight.parked);
            for action in parked {
                self.perform(&fill_key, action, now, shared, effects);
            }
        }
    }

    /// Forgets flights that nobody waits for any more, and the bodies that clients have read.
    pub(super) fn forget_abandoned(&mut self, now: Instant, shared: &dyn SharedHost, effects: &mut Vec<Effect>) {
        self.admission.forget_read(now);
        while let Some(fill_key) = self.abandoned.pop() {
            let Some(flight) = self.flights.get(&fill_key).filter(|flight| flight.is_abandoned()) else { continue };
            match flight.phase {
                Phase::Following(owner) if self.following(flight.hash).len() == 1 => {
                    shared.post(owner, &self.unsubscription(flight.hash));
                }
                Phase::Following(_) => {}
                Phase::Queued(wanted) => self.admission.dequeue(flight.id, wanted),
                Phase::Running(_) => {}
            }
            if flight.began.is_some() {
                self.end(&fill_key, Outcome::Busy(Shortage::Share), now, shared, effects);
                continue;
            }
            if !flight.follows() {
                self.leases.release(shared, flight.hash);
            }
            self.flights.remove(&fill_key);
        }
    }

    /// Makes room for an origin's answer, which may be larger than the range that was asked for. Where there is none, the
    /// fill begins again when there is, or ends.
    pub(super) fn makes_room(
        &mut self,
        fill_key: &Rc<FillKey>,
        input: &Input,
        unread: u64,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Input::Response { response, .. } = input else { return true };
        let Some(flight) = self.flights.get_mut(fill_key) else { return true };
        let Phase::Running(hold) = flight.phase else { return true };
        let bytes = u64::try_from(response.body.len()).unwrap_or(u64::MAX).saturating_add(unread);
        if bytes <= hold.bytes || flight.fill.is_multipart() || !matches!(response.status, 200..=299) {
            return true;
        }
        let wanted = Hold { bytes, ..hold };
        if unread == 0 && self.admission.fits_at_all(Some(hold), wanted) {
            self.admission.replace(Some(hold), Some(wanted));
            flight.phase = Phase::Running(wanted);
            return true;
        }
        if flight.needs == Some(Needs::Whole) || bytes > self.admission.most() {
            let is_too_large = bytes > self.config.limits.memory;
            let outcome = if is_too_large { Outcome::TooLarge } else { Outcome::Busy(Shortage::Memory) };
            self.end(fill_key, outcome, now, shared, effects);
        } else {
            flight.needs = Some(Needs::Whole);
            let wanted = Hold { bytes: self.admission.most(), ..hold };
            self.wait_for_room(fill_key, wanted, now, shared, effects);
        }
        false
    }

    /// Gives a fill its input, and carries out its actions as far as there is room.
    pub(super) fn advance(
        &mut self,
        fill_key: &Rc<FillKey>,
        input: Input,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let Some(flight) = self.flights.get_mut(fill_key) else { return };
        let held = flight.hold();
        let spare = held.map(|held| self.admission.spare(held)).unwrap_or_default();
        let mut actions = flight.fill.handle(input, spare, flight.spent(now));
        if flight.fill.is_corrupt() {
            self.open_streams.corrupt(flight.hash, flight.place());
        }
        let Some(flight) = self.flights.get(fill_key) else { return };
        let wanted = self.wanted(flight);
        let has_room = self.has_room(held, spare, wanted, &actions);
        let may_park = !has_room && !wanted.large && !flight.fill.asks_rest();
        let parked: Vec<_> = actions.extract_if(.., |action| may_park && self.asks_origin(action)).collect();
        let Some(flight) = self.flights.get_mut(fill_key) else { return };
        if has_room {
            self.admission.replace(held, Some(wanted));
            flight.phase = Phase::Running(wanted);
        } else if may_park {
            flight.parked = parked;
        } else {
            // An upload was to be created, or the rest was to be asked for. So nothing is under way, and what came is let go.
            flight.needs = Some(if wanted.large { Needs::Large } else { Needs::All }(wanted.bytes));
            actions.retain(|action| matches!(action, Action::Pass(_) | Action::Unranged(_)));
        }
        let mut ended = None;
        for action in actions {
            match action {
                Action::Done(outcome) => ended = Some(outcome),
                action => self.perform(fill_key, action, now, shared, effects),
            }
        }
        if let Some(outcome) = ended {
            self.end(fill_key, outcome, now, shared, effects);
        } else if !has_room {
            self.wait_for_room(fill_key, wanted, now, shared, effects);
        }
    }

    /// Carries out one of a fill's actions, but for its end.
    fn perform(
        &mut self,
        fill_key: &Rc<FillKey>,
        action: Action,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let Some(flight) = self.flights.get_mut(fill_key) else { return };
        match action {
            Action::Call(call) => self.send(fill_key, call, now, shared, effects),
            Action::Done(_) => {}
            Action::Pass(object) => self.offer(fill_key, object, now, shared, effects),
            Action::Meanwhile(outcome) => {
                flight.meanwhile = Some(outcome.clone());
                let admission = &mut self.admission;
                let mut streams: Vec<StreamId> = Vec::new();
                flight.waiters.retain(|waiter| {
                    let is_served =
                        !waiter.for_bucket && hand_out(admission, waiter.stream, waiter.most, &outcome, now);
                    streams.extend(is_served.then_some(waiter.stream));
                    !is_served
                });
                self.waiters = self.waiters.saturating_sub(streams.len());
                answer(effects, streams, flight.source(), outcome);
            }
            Action::Progress { bytes, total } => {
                flight.stored = flight.stored.saturating_add(bytes);
                flight.parts = flight.parts.saturating_add(1);
                let log = now.saturating_duration_since(flight.logged) >= LOG_EVERY;
                flight.logged = if log { now } else { flight.logged };
                let (fill_key, stored) = (fill_key.clone(), flight.stored);
                effects.push(Effect::Progress(Progress { fill_key, bytes, stored, total, log }));
            }
            Action::Unranged(_) => {
                let origin = self.admission.origin(flight.fill.origin());
                self.admission.learn_unranged(origin, now);
            }
            Action::Warn(warning) => {
                let warn = || Effect::Warn { key: Some(fill_key.key.clone()), what: flight.fill.text(warning) };
                effects.extend(self.warnings.admits(warning, now).then(warn));
            }
            Action::Wait(wait) => {
                let timer = after(now, wait);
                flight.timer = Some(timer);
                advance_to(&mut self.due, timer);
            }
        }
    }

    pub(super) fn call(&self, fill_key: &Rc<FillKey>, fill: u64, call: Call, now: Instant) -> Effect {
        let (to_store, due) = (self.is_store(&call.to), after(now, nearly(call.timeout)));
        let reads_status_alone = to_store && s3::is_put_object(&call.request);
        let (fill_key, call_id, before) = (fill_key.clone(), call.id, call.before);
        let ticket = Ticket { fill_key, fill, call: call_id, to_store, due, before, reads_status_alone };
        Effect::Call { ticket, call }
    }

    /// Returns the share that a fill is to hold now.
    pub(super) fn wanted(&self, flight: &Flight) -> Hold {
        let (origin, memory) = (self.origin(flight), flight.fill.memory());
        if flight.fill.is_multipart() {
            return Hold { origin, large: true, bytes: memory };
        }
        // An answer may be larger than the range that was promised.
        let promised = flight.hold().map(|held| held.bytes).unwrap_or_default().max(self.admission.most());
        match flight.needs {
            Some(Needs::Large(bytes)) => Hold { origin, large: true, bytes: memory.min(promised).max(bytes) },
            Some(Needs::All(_) | Needs::Whole) | None => Hold { origin, large: false, bytes: memory.min(promised) },
        }
    }

    /// Tells if a fill may hold that share and go on. One that ends may. One that asks no origin has nothing to wait with.
    fn has_room(&self, held: Option<Hold>, spare: u64, wanted: Hold, actions: &[Action]) -> bool {
        let is_covered = |held: Hold| {
            (held.origin, held.large) == (wanted.origin, wanted.large)
                && wanted.bytes <= held.bytes.saturating_add(spare)
        };
        held.is_some_and(is_covered)
            || self.admission.fits(held, wanted)
            || actions.iter().any(|action| matches!(action, Action::Done(_)))
            || !(wanted.large || actions.iter().any(|action| self.asks_origin(action)))
    }

    fn asks_origin(&self, action: &Action) -> bool {
        matches!(action, Action::Call(call) if !self.is_store(&call.to))
    }

    pub(super) fn is_store(&self, upstream: &Upstream) -> bool {
        let store = &self.config.bucket.upstream;
        std::ptr::eq(upstream, &**store)
            || (&upstream.cluster, &upstream.authority) == (&store.cluster, &store.authority)
    }

    /// Puts a fill that runs back into the queue: with its calls, or else to begin again. It ends where there is no place,
    /// or if nobody waits for it.
    fn wait_for_room(
        &mut self,
        fill_key: &Rc<FillKey>,
        wanted: Hold,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut flight) = self.flights.remove(fill_key) else { return };
        self.admission.replace(flight.hold(), None);
        flight.phase = Phase::Queued(wanted);
        // It was for streams that the fill watched before it began again.
        flight.timer = None;
        if flight.parked.is_empty() {
            flight.fill = self.fill(flight.id, &flight.request, flight.fill.trace());
            match flight.needs {
                Some(Needs::All(bytes)) => flight.fill.expect_all(bytes),
                Some(Needs::Whole) => flight.fill.expect_unranged(),
                Some(Needs::Large(_)) | None => {}
            }
        }
        let refused = self.admission.enqueue(flight.id, fill_key, wanted);
        let is_abandoned = flight.is_abandoned();
        self.flights.insert(fill_key.clone(), flight);
        if let Some(shortage) = refused.or(is_abandoned.then_some(Shortage::Share)) {
            self.end(fill_key, Outcome::Busy(shortage), now, shared, effects);
        }
    }

    /// Ends a flight: answers all streams that wait, here and in other workers, and records the end in the table.
    pub(super) fn end(
        &mut self,
        fill_key: &FillKey,
        outcome: Outcome,
        now: Instant,
        shared: &dyn SharedHost,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut flight) = self.flights.remove(fill_key) else { return };
        match flight.phase {
            Phase::Running(hold) => self.admission.replace(Some(hold), None),
            Phase::Queued(wanted) => self.admission.dequeue(flight.id, wanted),
            Phase::Following(_) => {}
        }
        self.waiters = self.waiters.saturating_sub(flight.waiters.len());
        let source = flight.source();
        if let Some(began) = flight.began {
            // The next client of what is not stored gets what the origin has then.
            if flight.request.is_unstored() && flight.is_offered {
                self.leases.release(shared, flight.hash);
            } else {
                self.leases.settle(shared, flight.hash, &outcome, flight.place());
            }
            if self.config.marker.is_some() && !outlives(&outcome) {
                self.leases.revoke(shared, flight.hash);
            }
            let warning = flight.fill.warning_at_end(&outcome).filter(|warning| self.warnings.admits(*warning, now));
            let warn = |warning| Effect::Warn { key: Some(fill_key.key.clone()), what: flight.fill.text(warning) };
            effects.extend(warning.map(warn));
            effects.push(Effect::Ended(FillEnded {
                fill_key: flight.request.fill_key.clone(),
                outcome: outcome.label(),
                detail: outcome.detail(),
                origin: flight.fill.origin().to_owned(),
                failures: flight.fill.failures().to_vec(),
                trace: flight.fill.trace().clone(),
                stored: flight.stored,
                parts: flight.parts,
                waiters: flight.waiters.len(),
                took: now.saturating_duration_since(began),
            }));
        }
        for follower in &flight.followers {
            let message = Message::Ended { hash: flight.hash, outcome: Some(outcome.clone()), place: flight.place() };
            shared.post(*follower, &message.encode());
        }
        let passes = Passes { hash: flight.hash, is_missing: flight.is_missing() };
        let (mut streams, mut rest) = (Vec::new(), VecDeque::new());
        for waiter in flight.waiters {
            let has_object = outcome.object().is_some();
            match has_object && hand_out(&mut self.admission, waiter.stream, waiter.most, &outcome, now) {
                true => streams.push(waiter.stream),
                false => rest.push_back(waiter),
            }
        }
        self.answer_without_object(rest, passes, source.clone(), outcome.without_object(), shared, effects);
        answer(effects, streams, source, outcome);
    }
}

/// Returns nine tenths of a time.
fn nearly(time: Duration) -> Duration {
    time.saturating_sub(time.checked_div(10).unwrap_or_default())
}
