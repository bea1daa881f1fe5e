//! The lease table: a table of fixed size that all workers see.
//!
//! A slot holds one fact about one key: the worker that fills it, or that its origins do not have it or failed, or that it
//! was stored a moment ago. The table never grows, so keys share sets of slots. A key that finds all slots of its set
//! taken does without. No fact has to be true: a fact that is lost, late or overwritten costs one more fetch, and the
//! conditional PUT keeps the bucket right.

use super::report::{self, Place};
use crate::config::{Config, Rate, SKEW};
use crate::fill::{FillKey, Outcome};
use crate::request::denial::Denial;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Sets in the table. With their slots they suffice for `limits.fills` of 16 workers and thousands of negative answers: of 8,192
/// leases 4 % find their set full. With 1,024 sets it was half of them.
pub const SETS: u32 = 4096;

/// Slots of a set. A key's fact may stand in any of them. With one, a hundred keys would already collide.
const WAYS: usize = 4;

/// Bytes of a slot: `kind hash until value`, in 1, 16, 8 and 8 bytes. Kind 0 is an empty slot.
const SLOT_BYTES: usize = 33;

/// Attempts to read and write a set while other workers write to it.
pub(super) const TRIES: u32 = 4;

/// A set of slots: one entry of the shared data, so that one call reads it and one writes it.
type Set = [[u8; SLOT_BYTES]; WAYS];

/// The time for which a lease holds without renewal. The other workers wait that long for a worker that died.
pub const LEASE: Duration = Duration::from_secs(10);

/// The time for which an error of the bucket is remembered.
pub const BUCKET_ERROR: Duration = Duration::from_secs(60);

/// The time for which the last turn of an origin is remembered. It outlasts the slowest rate's interval.
const TURN: Duration = Duration::from_secs(7200);

/// The clock, table and queues that all workers of an Envoy share.
pub trait SharedHost {
    /// Returns the nanoseconds of a clock that all workers see. Request times are given on it.
    fn nanos(&self) -> u64;
    /// Reads a set's content and version. A set that was never written may have any content. `None` if there is no
    /// table.
    fn read(&self, set: u32) -> Option<(Vec<u8>, u32)>;
    /// Replaces a set's content if it still has that version.
    fn write(&self, set: u32, content: &[u8], version: u32) -> bool;
    /// Sends a message to the worker that has this queue.
    fn post(&self, queue: u32, message: &[u8]);
}

/// A hash of a fill key and its configuration. No two of these share one (128 bits of SipHash).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 16]);

/// One worker's view of the table.
#[derive(Debug)]
pub struct Leases {
    /// This worker's queue.
    me: u32,
    /// A number for the configuration. The facts of one configuration do not concern another.
    salt: u64,
    lifetimes: Lifetimes,
}

/// The time that a fact of each kind holds, from when it was written.
#[derive(Clone, Copy, Debug)]
struct Lifetimes {
    failed: Duration,
    missing: Duration,
    stored: Duration,
}

impl Lifetimes {
    fn of(&self, state: KeyState) -> Duration {
        match state {
            KeyState::Failed { .. } => self.failed,
            KeyState::Lease { .. } => LEASE,
            KeyState::Missing => self.missing,
            KeyState::Stored { .. } => self.stored,
            KeyState::BucketError => BUCKET_ERROR,
            KeyState::Turn { .. } => TURN,
        }
    }
}

/// A worker's task for a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: its origins failed a moment ago, the last of them at this place.
    Failed(Outcome, Place),
    /// Wait for the worker that fills it.
    Follow {
        /// The queue of that worker.
        owner: u32,
        /// The time that its lease still lasts.
        lasts: Duration,
    },
    /// Fill it.
    Lead,
    /// Nothing: it was stored before the client asked, and yet the bucket denied it.
    Loop,
    /// Nothing: its origins do not have it.
    Missing,
    /// Nothing: it was stored since the client asked.
    Stored,
}

/// The fact in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyState {
    /// The origins failed, as the report says.
    Failed { report: u64 },
    /// A worker, known by its queue, fills the key.
    Lease { owner: u32 },
    /// The bucket fails all requests, with the denial that the hash stands for.
    BucketError,
    /// The origins do not have the key.
    Missing,
    /// The key was stored at this time.
    Stored { at: u64 },
    /// The time that the last request to an origin with a rate was given ([`Rate::take_turn`]).
    Turn { next: u64 },
}

impl Leases {
    /// Makes the view of the worker with this queue.
    pub fn new(config: &Config, salt: u64, me: u32) -> Self {
        let lifetimes =
            Lifetimes { failed: config.failure_ttl, missing: config.negative_ttl, stored: config.loop_window };
        Self { me, salt, lifetimes }
    }

    /// Hashes a fill key, under this configuration. The bucket's denial is no part of the hash: a fact holds for both, and
    /// workers tell each other no object.
    pub fn hash(&self, fill_key: &FillKey) -> KeyHash {
        let FillKey { key, origin_key, head, forwarded, forbidden: _, unavailable } = fill_key;
        self.hash_of((key, origin_key, head, unavailable, forwarded))
    }

    fn hash_of(&self, what: impl Hash) -> KeyHash {
        let mut hasher = DefaultHasher::new();
        (self.salt, what).hash(&mut hasher);
        let first = hasher.finish();
        hasher.write_u8(1);
        KeyHash(((u128::from(first) << 64) | u128::from(hasher.finish())).to_le_bytes())
    }

    /// Remembers that the bucket denies each request so, because of an error of its own.
    pub fn remember_bucket_error(&self, shared: &dyn SharedHost, denial: Denial) {
        let hash = self.hash_of(("bucket error", denial));
        self.change(shared, hash, |_, now| Some(self.encode(hash, KeyState::BucketError, now)));
    }

    /// Forgets it.
    pub fn forget_bucket_error(&self, shared: &dyn SharedHost, denial: Denial) {
        let hash = self.hash_of(("bucket error", denial));
        self.change(shared, hash, |slot, _| slot.known.is_some().then_some(EMPTY));
    }

    /// Tells if the bucket denied each request so a moment ago, because of an error of its own.
    pub fn knows_bucket_error(&self, shared: &dyn SharedHost, denial: Denial) -> bool {
        let slot = self.slot(shared, self.hash_of(("bucket error", denial)), shared.nanos());
        slot.is_some_and(|slot| matches!(slot.known, Some((KeyState::BucketError, _))))
    }

    /// Decides the worker's task for a key, and takes the lease if the task is to fill it. `asked` returns the time
    /// of the client's request. It tells an object that was stored meanwhile from one that is stored and cannot be read.
    pub fn claim(&self, shared: &dyn SharedHost, hash: KeyHash, asked: &dyn Fn() -> u64) -> Claim {
        for _ in 0..TRIES {
            let now = shared.nanos();
            let Some(slot) = self.slot(shared, hash, now) else { return Claim::Lead };
            match slot.known {
                Some((KeyState::Lease { owner }, lasts)) if owner != self.me => {
                    return Claim::Follow { owner, lasts };
                }
                Some((KeyState::Failed { report }, _)) => {
                    if let (Some(outcome), place) = report::decode(report) {
                        return Claim::Failed(outcome, place);
                    }
                }
                Some((KeyState::Missing, _)) => return Claim::Missing,
                Some((KeyState::Stored { at }, _)) if asked() > at => return Claim::Loop,
                Some((KeyState::Stored { .. }, _)) => return Claim::Stored,
                Some((KeyState::Lease { .. } | KeyState::BucketError | KeyState::Turn { .. }, _)) | None => {}
            }
            if slot.write(shared, self.encode(hash, KeyState::Lease { owner: self.me }, now)) {
                return Claim::Lead;
            }
        }
        Claim::Lead
    }

    /// Takes a turn at an origin with a rate, or returns the wait until there may be one.
    pub fn take_turn(&self, shared: &dyn SharedHost, origin: &str, rate: Rate) -> Result<(), Duration> {
        let hash = self.hash_of(("turn", origin));
        for _ in 0..TRIES {
            let now = shared.nanos();
            let Some(slot) = self.slot(shared, hash, now) else { break };
            let last = match slot.known {
                Some((KeyState::Turn { next }, _)) => next,
                _ => 0,
            };
            let next = rate.take_turn(last, now)?;
            if slot.write(shared, self.encode(hash, KeyState::Turn { next }, now)) {
                break;
            }
        }
        Ok(())
    }

    /// Renews the lease of a fill that is still under way.
    pub fn renew(&self, shared: &dyn SharedHost, hash: KeyHash) {
        let renewed = |now| self.encode(hash, KeyState::Lease { owner: self.me }, now);
        self.change(shared, hash, |slot, now| self.owns(slot).then(|| renewed(now)));
    }

    /// Records the end of a fill at this place, as far as that helps later clients.
    pub fn settle(&self, shared: &dyn SharedHost, hash: KeyHash, outcome: &Outcome, place: Place) {
        let fact = |now| match outcome {
            Outcome::Exists | Outcome::Stored => Some(KeyState::Stored { at: now }),
            Outcome::NotFound => Some(KeyState::Missing),
            outcome if outcome.is_failure_of_origin() => {
                Some(KeyState::Failed { report: report::encode(Some(outcome), place) })
            }
            _ => None,
        };
        self.change(shared, hash, |slot, now| {
            // Another worker knows more: it fills the key, or has filled it.
            let others = slot.known.is_some() && !self.owns(slot);
            match fact(now) {
                Some(KeyState::Failed { .. }) | None if others => None,
                Some(_) if others && matches!(slot.known, Some((KeyState::Lease { .. }, _))) => None,
                Some(fact) => Some(self.encode(hash, fact, now)),
                None => self.owns(slot).then_some(EMPTY),
            }
        });
    }

    /// Gives up a lease that led to nothing.
    pub fn release(&self, shared: &dyn SharedHost, hash: KeyHash) {
        self.change(shared, hash, |slot, _| self.owns(slot).then_some(EMPTY));
    }

    fn owns(&self, slot: &Slot) -> bool {
        matches!(slot.known, Some((KeyState::Lease { owner }, _)) if owner == self.me)
    }

    /// Returns this worker's queue.
    pub fn queue(&self) -> u32 {
        self.me
    }

    /// Changes the slot of a key to the content that `to` returns, if it returns any.
    fn change(&self, shared: &dyn SharedHost, hash: KeyHash, to: impl Fn(&Slot, u64) -> Option<[u8; SLOT_BYTES]>) {
        for _ in 0..TRIES {
            let now = shared.nanos();
            let Some(slot) = self.slot(shared, hash, now) else { return };
            let Some(content) = to(&slot, now) else { return };
            if slot.write(shared, content) {
                return;
            }
        }
    }

    /// Finds the slot of the key; else an empty one of its set; else one of another key, but not with a lease or a turn. `None`
    /// if there is no table, or no such slot.
    fn slot(&self, shared: &dyn SharedHost, hash: KeyHash, now: u64) -> Option<Slot> {
        let at = hash.set();
        let (content, version) = shared.read(at)?;
        let (leases, _) = content.as_chunks::<SLOT_BYTES>();
        let set: Set = std::array::from_fn(|way| leases.get(way).copied().unwrap_or(EMPTY));
        let mut best: Option<(bool, usize)> = None;
        for (way, slot) in set.iter().enumerate() {
            match self.decode(slot, now) {
                Some((of, fact, lasts)) if of == hash => {
                    return Some(Slot { at, version, set, way, known: Some((fact, lasts)) });
                }
                Some((_, KeyState::Lease { .. } | KeyState::Turn { .. }, _)) => {}
                other => {
                    let taken = other.is_some();
                    if best.is_none_or(|(best_taken, _)| best_taken && !taken) {
                        best = Some((taken, way));
                    }
                }
            }
        }
        best.map(|(_, way)| Slot { at, version, set, way, known: None })
    }

    fn encode(&self, hash: KeyHash, state: KeyState, now: u64) -> [u8; SLOT_BYTES] {
        let until = now.saturating_add(nanos(self.lifetimes.of(state)));
        let (kind, value) = match state {
            KeyState::Lease { owner } => (1, u64::from(owner)),
            KeyState::Missing => (2, 0),
            KeyState::Stored { at } => (3, at),
            KeyState::BucketError => (4, 0),
            KeyState::Failed { report } => (5, report),
            KeyState::Turn { next } => (6, next),
        };
        let mut content = EMPTY;
        let [first, rest @ ..] = &mut content;
        let (hash, _) = hash.0.as_chunks();
        let words = hash.iter().copied().chain([until, value].map(u64::to_le_bytes));
        *first = kind;
        rest.as_chunks_mut().0.iter_mut().zip(words).for_each(|(to, word)| *to = word);
        content
    }

    /// Reads a slot's fact, and the time that it still holds. `None` if the slot is empty or if that time is over; also
    /// if so much more time is left than such a fact ever has that the clock was set back since.
    fn decode(&self, slot: &[u8; SLOT_BYTES], now: u64) -> Option<(KeyHash, KeyState, Duration)> {
        let (kind, rest) = slot.split_first()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (until, value) = rest.split_first_chunk()?;
        let value = u64::from_le_bytes(value.try_into().ok()?);
        let lasts = Duration::from_nanos(u64::from_le_bytes(*until).checked_sub(now).filter(|left| *left > 0)?);
        let state = match kind {
            1 => KeyState::Lease { owner: u32::try_from(value).ok()? },
            2 => KeyState::Missing,
            3 => KeyState::Stored { at: value },
            4 => KeyState::BucketError,
            5 => KeyState::Failed { report: value },
            6 => KeyState::Turn { next: value },
            _ => return None,
        };
        let longest = self.lifetimes.of(state);
        (lasts <= longest.saturating_add(SKEW)).then(|| (KeyHash(*hash), state, lasts.min(longest)))
    }
}

/// The slot of a key's fact, or the slot that the fact can be put into.
#[derive(Debug)]
struct Slot {
    at: u32,
    version: u32,
    set: Set,
    way: usize,
    /// The fact about the key, and the time that it still holds.
    known: Option<(KeyState, Duration)>,
}

impl Slot {
    /// Replaces the slot's content, unless another worker has written to the set since.
    fn write(mut self, shared: &dyn SharedHost, content: [u8; SLOT_BYTES]) -> bool {
        if let Some(slot) = self.set.get_mut(self.way) {
            *slot = content;
        }
        shared.write(self.at, self.set.as_flattened(), self.version)
    }
}

impl KeyHash {
    /// Returns the number of the set that the key's fact may stand in.
    fn set(self) -> u32 {
        let Self([a, b, c, d, ..]) = self;
        u32::from_le_bytes([a, b, c, d]) % SETS
    }
}

const EMPTY: [u8; SLOT_BYTES] = [0; SLOT_BYTES];

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
