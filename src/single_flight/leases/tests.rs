//! Tests of the table, and a shared host in memory for tests of other modules.

use super::*;
use crate::single_flight::messages::Message;
use crate::single_flight::permits::PERMIT_SETS;
use crate::single_flight::tests::fill_key;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// A shared host that behaves as Envoy's shared data and queues do, with a clock that the test sets.
#[derive(Debug, Default)]
pub(crate) struct FakeSharedHost {
    pub(crate) nanos: Cell<u64>,
    sets: RefCell<BTreeMap<u32, (Vec<u8>, u32)>>,
    pub(crate) posted: RefCell<Vec<(u32, Vec<u8>)>>,
    /// The number of next writes that fail, as if another worker had been faster.
    pub(crate) lost_races: Cell<u32>,
}

impl FakeSharedHost {
    pub(crate) fn new() -> Self {
        let shared = Self { nanos: Cell::new(10_000_000_000_000), ..Self::default() };
        shared.sets.replace((0..SETS + PERMIT_SETS).map(|set| (set, (Vec::new(), 1))).collect());
        shared
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.nanos.set(self.nanos.get() + nanos(time));
    }

    pub(crate) fn set_back(&self, time: Duration) {
        self.nanos.set(self.nanos.get() - nanos(time));
    }

    /// Takes the messages for one queue.
    pub(crate) fn messages(&self, queue: u32) -> Vec<Message> {
        let (mine, others) = self.posted.take().into_iter().partition::<Vec<_>, _>(|(to, _)| *to == queue);
        self.posted.replace(others);
        mine.iter().map(|(_, message)| Message::decode(message).unwrap()).collect()
    }
}

impl SharedHost for FakeSharedHost {
    fn nanos(&self) -> u64 {
        self.nanos.get()
    }

    fn read(&self, set: u32) -> Option<(Vec<u8>, u32)> {
        self.sets.borrow().get(&set).cloned()
    }

    fn write(&self, set: u32, content: &[u8], version: u32) -> bool {
        if self.lost_races.get() > 0 {
            self.lost_races.set(self.lost_races.get() - 1);
            return false;
        }
        let mut sets = self.sets.borrow_mut();
        let Some(slot) = sets.get_mut(&set).filter(|(_, current)| *current == version) else { return false };
        *slot = (content.to_vec(), version + 1);
        true
    }

    fn post(&self, queue: u32, message: &[u8]) {
        self.posted.borrow_mut().push((queue, message.to_vec()));
    }
}

fn worker(me: u32, salt: u64) -> Leases {
    let lifetimes =
        Lifetimes { failed: Duration::from_secs(1), missing: Duration::from_secs(10), stored: Duration::from_secs(5) };
    Leases { me, salt, lifetimes }
}

fn hash(leases: &Leases, key: &str) -> KeyHash {
    leases.hash(&fill_key(key))
}

#[test]
fn the_second_worker_follows_the_first_until_its_lease_is_over() {
    let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 0));
    let key = hash(&one, "a");
    assert_eq!(one.claim(&shared, key, &|| 0), Claim::Lead);
    assert_eq!(two.claim(&shared, key, &|| 0), Claim::Follow { owner: 1, lasts: LEASE });
    shared.pass(LEASE / 2);
    one.renew(&shared, key);
    shared.pass(LEASE - Duration::from_nanos(1));
    assert_eq!(two.claim(&shared, key, &|| 0), Claim::Follow { owner: 1, lasts: Duration::from_nanos(1) });
    shared.pass(Duration::from_nanos(1));
    assert_eq!(two.claim(&shared, key, &|| 0), Claim::Lead, "the owner is dead");
    one.renew(&shared, key);
    assert_eq!(one.claim(&shared, key, &|| 0), Claim::Follow { owner: 2, lasts: LEASE }, "and comes too late");
}

#[test]
fn who_asked_before_the_object_was_stored_is_redirected_and_who_asked_after_is_in_a_loop() {
    let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 0));
    let key = hash(&one, "a");
    one.claim(&shared, key, &|| 0);
    let before = shared.nanos();
    shared.pass(Duration::from_secs(1));
    one.settle(&shared, key, &Outcome::Stored, Place::default());
    for worker in [&one, &two] {
        assert_eq!(worker.claim(&shared, key, &|| before), Claim::Stored);
        assert_eq!(worker.claim(&shared, key, &|| shared.nanos()), Claim::Stored, "in the same moment");
        assert_eq!(worker.claim(&shared, key, &|| shared.nanos() + 1), Claim::Loop);
    }
    shared.pass(Duration::from_secs(5));
    assert_eq!(two.claim(&shared, key, &|| shared.nanos()), Claim::Lead, "the window is over");
}

#[test]
fn a_negative_answer_is_shared_and_forgotten_in_time() {
    let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 0));
    let key = hash(&one, "a");
    one.claim(&shared, key, &|| 0);
    one.settle(&shared, key, &Outcome::NotFound, Place::default());
    assert_eq!(two.claim(&shared, key, &|| 0), Claim::Missing);
    shared.pass(Duration::from_secs(10));
    assert_eq!(two.claim(&shared, key, &|| 0), Claim::Lead);
}

#[test]
fn a_failure_is_shared_with_its_place_and_forgotten_in_time() {
    let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 0));
    let (key, place) = (hash(&one, "a"), Place { mirror: 1, origin: 2 });
    for outcome in [
        Outcome::Corrupt("what it announced to another worker"),
        Outcome::OriginBusy { seconds: 7 },
        Outcome::OriginRefused { status: 403 },
        Outcome::OriginTimeout,
        Outcome::OriginUnavailable("told by another worker"),
        Outcome::TooLarge,
        Outcome::WrongType,
    ] {
        assert_eq!(one.claim(&shared, key, &|| 0), Claim::Lead);
        one.settle(&shared, key, &outcome, place);
        for worker in [&one, &two] {
            assert_eq!(worker.claim(&shared, key, &|| 0), Claim::Failed(outcome.clone(), place));
        }
        shared.pass(Duration::from_secs(1));
    }
    assert_eq!(two.claim(&shared, key, &|| 0), Claim::Lead);
    one.settle(&shared, key, &Outcome::OriginTimeout, place);
    assert_eq!(one.claim(&shared, key, &|| 0), Claim::Follow { owner: 2, lasts: LEASE }, "another worker tries again");
    two.settle(&shared, key, &Outcome::Stored, place);
    one.settle(&shared, key, &Outcome::OriginTimeout, place);
    assert_eq!(one.claim(&shared, key, &|| 0), Claim::Stored, "and had more luck");
}

#[test]
fn a_worker_leads_where_the_lease_is_its_own() {
    let (shared, one) = (FakeSharedHost::new(), worker(7, 0));
    let key = hash(&one, "a");
    assert_eq!(one.claim(&shared, key, &|| 0), Claim::Lead);
    assert_eq!(one.claim(&shared, key, &|| 0), Claim::Lead);
    assert_eq!(one.queue(), 7);
}

#[test]
fn an_empty_slot_is_taken_before_that_of_a_negative_answer() {
    let (shared, one) = (FakeSharedHost::new(), worker(1, 0));
    let keys = sharing(&one, WAYS);
    for key in &keys[..2] {
        one.claim(&shared, *key, &|| 0);
        one.settle(&shared, *key, &Outcome::NotFound, Place::default());
    }
    for key in &keys[2..] {
        assert_eq!(one.claim(&shared, *key, &|| 0), Claim::Lead);
    }
    for key in &keys[..2] {
        assert_eq!(one.claim(&shared, *key, &|| 0), Claim::Missing);
    }
}

#[test]
fn keys_are_spread_over_the_sets() {
    let one = worker(1, 0);
    let sets: BTreeSet<u32> = (0..100).map(|number| hash(&one, &format!("key {number}")).set()).collect();
    assert!(sets.len() > 90, "{}", sets.len());
}

#[test]
fn any_other_end_frees_the_slot() {
    let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 0));
    let key = hash(&one, "a");
    one.claim(&shared, key, &|| 0);
    one.settle(&shared, key, &Outcome::BucketUnavailable, Place::default());
    assert_eq!(two.claim(&shared, key, &|| 0), Claim::Lead);
    assert_eq!(one.claim(&shared, key, &|| 0), Claim::Follow { owner: 2, lasts: LEASE });
}

/// Lists keys that may stand in the same set as `a`, beginning with `a`.
fn sharing(leases: &Leases, count: usize) -> Vec<KeyHash> {
    let first = hash(leases, "a");
    let others = (0..).map(|n| hash(leases, &format!("k{n}"))).filter(|other| other.set() == first.set());
    [first].into_iter().chain(others).take(count).collect()
}

#[test]
fn fills_of_keys_that_share_their_set_do_not_disturb_each_other() {
    let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 0));
    let keys = sharing(&one, 5);
    for key in &keys {
        assert_eq!(one.claim(&shared, *key, &|| 0), Claim::Lead, "the last one without a lease");
    }
    one.renew(&shared, keys[4]);
    one.settle(&shared, keys[4], &Outcome::Stored, Place::default());
    for key in &keys[..4] {
        assert_eq!(two.claim(&shared, *key, &|| 0), Claim::Follow { owner: 1, lasts: LEASE }, "the leases stand");
    }
    assert_eq!(two.claim(&shared, keys[4], &|| 0), Claim::Lead);
}

#[test]
fn a_fact_that_is_no_fill_makes_room_for_a_newer_one() {
    let (shared, one) = (FakeSharedHost::new(), worker(1, 0));
    let keys = sharing(&one, 5);
    for key in &keys {
        assert_eq!(one.claim(&shared, *key, &|| 0), Claim::Lead);
        one.settle(&shared, *key, &Outcome::NotFound, Place::default());
    }
    assert_eq!(one.claim(&shared, keys[4], &|| 0), Claim::Missing);
    let forgotten = keys.iter().filter(|key| one.claim(&shared, **key, &|| 0) == Claim::Lead).count();
    assert!((1..=2).contains(&forgotten), "{forgotten}");
}

#[test]
fn configurations_do_not_share_facts() {
    let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 7));
    assert_ne!(hash(&one, "a"), hash(&two, "a"));
    one.claim(&shared, hash(&one, "a"), &|| 0);
    assert_eq!(two.claim(&shared, hash(&two, "a"), &|| 0), Claim::Lead);
}

#[test]
fn the_end_of_a_fill_is_told_though_others_of_its_set_were_faster() {
    let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 0));
    for (outcome, claim) in [(Outcome::Stored, Claim::Stored), (Outcome::BucketUnavailable, Claim::Lead)] {
        let key = hash(&one, outcome.label());
        one.claim(&shared, key, &|| 0);
        shared.lost_races.set(TRIES - 1);
        one.settle(&shared, key, &outcome, Place::default());
        assert_eq!(two.claim(&shared, key, &|| 0), claim, "{outcome:?}");
    }
}

#[test]
fn without_a_table_or_after_lost_races_everybody_leads() {
    let (shared, one) = (FakeSharedHost::new(), worker(1, 0));
    shared.lost_races.set(TRIES);
    assert_eq!(one.claim(&shared, hash(&one, "a"), &|| 0), Claim::Lead);
    let none = FakeSharedHost::default();
    assert_eq!(one.claim(&none, hash(&one, "a"), &|| 0), Claim::Lead);
    one.renew(&none, hash(&one, "a"));
    one.settle(&none, hash(&one, "a"), &Outcome::Stored, Place::default());
}

#[test]
fn a_slot_that_cannot_be_read_is_taken_for_an_empty_one() {
    let (shared, one) = (FakeSharedHost::new(), worker(1, 0));
    let key = hash(&one, "a");
    for length in [0, 1, SLOT_BYTES - 1, SLOT_BYTES, SLOT_BYTES + 1, SLOT_BYTES * WAYS, SLOT_BYTES * WAYS + 1] {
        for byte in [0, 4, 255] {
            let bytes = vec![byte; length];
            shared.sets.borrow_mut().insert(key.set(), (bytes.clone(), 1));
            assert_eq!(one.claim(&shared, key, &|| 0), Claim::Lead, "{bytes:?}");
        }
    }
}

#[test]
fn no_fact_outlives_a_clock_that_is_set_back_by_an_hour() {
    const HOUR: Duration = Duration::from_secs(3600);
    for outcome in [None, Some(Outcome::NotFound), Some(Outcome::OriginTimeout), Some(Outcome::Stored)] {
        let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 0));
        let key = hash(&one, "a");
        one.claim(&shared, key, &|| 0);
        if let Some(outcome) = &outcome {
            one.settle(&shared, key, outcome, Place::default());
        }
        shared.set_back(HOUR);
        assert_eq!(two.claim(&shared, key, &|| shared.nanos()), Claim::Lead, "{outcome:?}");
        assert_eq!(one.claim(&shared, key, &|| 0), Claim::Follow { owner: 2, lasts: LEASE }, "and the next fact holds");
    }
}

#[test]
fn a_worker_whose_time_is_a_little_behind_sees_what_another_has_written() {
    let missing = Some(Outcome::NotFound);
    for (outcome, expected) in [(None, Claim::Follow { owner: 1, lasts: LEASE }), (missing, Claim::Missing)] {
        let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 0));
        let key = hash(&one, "a");
        assert_eq!(one.claim(&shared, key, &|| 0), Claim::Lead);
        if let Some(outcome) = &outcome {
            one.settle(&shared, key, outcome, Place::default());
        }
        shared.set_back(SKEW);
        assert_eq!(two.claim(&shared, key, &|| 0), expected);
        shared.set_back(Duration::from_millis(1));
        assert_eq!(two.claim(&shared, key, &|| 0), Claim::Lead, "more than that is a clock that was set back");
    }
}

#[test]
fn a_clock_that_jumps_both_ways_makes_no_fact_last_longer_than_its_kind() {
    let (shared, one, two) = (FakeSharedHost::new(), worker(1, 0), worker(2, 0));
    let key = hash(&one, "a");
    for seconds in 1..=15 {
        assert_eq!(one.claim(&shared, key, &|| 0), Claim::Lead);
        shared.pass(Duration::from_secs(4));
        one.settle(&shared, key, &Outcome::NotFound, Place::default());
        shared.pass(Duration::from_secs(9));
        shared.set_back(Duration::from_secs(seconds));
        // 1 s was left before; the negative answer has 10 s at most.
        let expected = if seconds > 9 { Claim::Lead } else { Claim::Missing };
        assert_eq!(two.claim(&shared, key, &|| 0), expected, "set back by {seconds} s");
        shared.pass(Duration::from_secs(3600));
        assert_eq!(one.claim(&shared, key, &|| 0), Claim::Lead, "set forth by an hour");
        one.release(&shared, key);
    }
}
