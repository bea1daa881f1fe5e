//! What workers tell each other: a table of fixed size that all of them see, and a queue for each.
//!
//! A slot holds one fact about one key: who fills it, that its origins do not have it, or that it was stored a moment
//! ago. The table never grows, so keys share sets of slots; whoever finds all slots of its set taken does without.
//! Nothing here has to be true: a fact that is lost, late or overwritten costs a fetch more, and the conditional PUT
//! keeps the bucket right.

use crate::config::Config;
use crate::fill::{FillKey, Outcome};
use crate::request::denial::Denial;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Sets in the table: with their slots enough for the fills of many workers and a thousand negative answers.
pub const SETS: u32 = 1024;

/// Slots of a set, any of which a key's fact may stand in. With one, a hundred keys would already collide.
const WAYS: usize = 4;

/// Bytes of a slot: `kind mark until value`, in 1, 16, 8 and 8 bytes. Kind 0 is an empty one.
const SLOT_BYTES: usize = 33;

/// How often a set is read and written again that somebody else writes in between.
const TRIES: u32 = 4;

/// A set is one entry of the shared data, so that it takes one call to read and one to write.
type Set = [[u8; SLOT_BYTES]; WAYS];

/// How long a fill counts as under way after its worker last said so. A worker that died is waited for so long.
pub const LEASE: Duration = Duration::from_secs(10);

/// How long an error of the bucket is remembered.
pub const BUCKET_ERROR: Duration = Duration::from_secs(60);

/// What all workers of an Envoy share.
pub trait SharedHost {
    /// Nanoseconds on a clock that all workers see, and that request times are given in.
    fn nanos(&self) -> u64;
    /// A set's content and its version; of a set that nothing was written to yet, anything. `None` if there is no table.
    fn read(&self, set: u32) -> Option<(Vec<u8>, u32)>;
    /// Replaces a set's content if it still has that version.
    fn write(&self, set: u32, content: &[u8], version: u32) -> bool;
    /// Sends a message to the worker that has this queue.
    fn post(&self, queue: u32, message: &[u8]);
}

/// A key under a configuration: two never have the same one (128 bits of SipHash).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 16]);

/// One worker's view of the table.
#[derive(Debug)]
pub struct Leases {
    /// This worker's queue.
    me: u32,
    /// Tells configurations apart, whose facts do not concern each other.
    salt: u64,
    negative_ttl: Duration,
    loop_window: Duration,
}

/// What a worker is to do about a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// Wait for the worker that fills it.
    Follow {
        /// Its queue.
        owner: u32,
        /// How long its lease lasts.
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

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyState {
    /// A worker, known by its queue, fills the key.
    Lease { owner: u32 },
    /// The bucket fails each request, with the denial that the key stands for.
    BucketError,
    /// The origins do not have the key.
    Missing,
    /// The key was stored at this time.
    Stored { at: u64 },
}

impl Leases {
    /// The view of the worker with this queue.
    pub fn new(config: &Config, salt: u64, me: u32) -> Self {
        Self { me, salt, negative_ttl: config.negative_ttl, loop_window: config.loop_window }
    }

    /// What stands in the table for what is wanted.
    pub fn hash(&self, fill_key: &FillKey) -> KeyHash {
        self.hash_of(fill_key)
    }

    fn hash_of(&self, what: impl Hash) -> KeyHash {
        let half = |which: u8| {
            let mut hasher = DefaultHasher::new();
            (which, self.salt, &what).hash(&mut hasher);
            hasher.finish()
        };
        KeyHash(((u128::from(half(0)) << 64) | u128::from(half(1))).to_le_bytes())
    }

    /// Remembers that the bucket denies each request so, because of an error of its own.
    pub fn remember_bucket_error(&self, shared: &dyn SharedHost, denial: Denial) {
        let hash = self.hash_of(("bucket error", denial));
        change(shared, hash, |_, now| Some(encode(hash, KeyState::BucketError, BUCKET_ERROR, now)));
    }

    /// Whether the bucket denied each request so a moment ago, because of an error of its own.
    pub fn knows_bucket_error(&self, shared: &dyn SharedHost, denial: Denial) -> bool {
        let slot = Slot::of(shared, self.hash_of(("bucket error", denial)), shared.nanos());
        slot.is_some_and(|slot| matches!(slot.known, Some((KeyState::BucketError, lasts)) if lasts <= BUCKET_ERROR))
    }

    /// Finds out what to do about a key, and takes the lease where that is to fill it. `asked` is when the client
    /// asked, which tells an object that was stored meanwhile from one that is stored and cannot be read.
    pub fn claim(&self, shared: &dyn SharedHost, hash: KeyHash, asked: u64) -> Claim {
        for _ in 0..TRIES {
            let now = shared.nanos();
            let Some(slot) = Slot::of(shared, hash, now) else { return Claim::Lead };
            match slot.known {
                Some((KeyState::Lease { owner }, lasts)) if owner != self.me => {
                    // Never longer than a lease, should the clock have been set back.
                    return Claim::Follow { owner, lasts: lasts.min(LEASE) };
                }
                Some((KeyState::Missing, _)) => return Claim::Missing,
                Some((KeyState::Stored { at }, _)) if asked > at => return Claim::Loop,
                Some((KeyState::Stored { .. }, _)) => return Claim::Stored,
                Some((KeyState::Lease { .. } | KeyState::BucketError, _)) | None => {}
            }
            if slot.write(shared, encode(hash, KeyState::Lease { owner: self.me }, LEASE, now)) {
                return Claim::Lead;
            }
        }
        Claim::Lead
    }

    /// Says that a fill is still under way.
    pub fn renew(&self, shared: &dyn SharedHost, hash: KeyHash) {
        let renewed = |now| encode(hash, KeyState::Lease { owner: self.me }, LEASE, now);
        change(shared, hash, |slot, now| self.owns(slot).then(|| renewed(now)));
    }

    /// Says how a fill ended, as far as that helps those who come later.
    pub fn settle(&self, shared: &dyn SharedHost, hash: KeyHash, outcome: &Outcome) {
        let stored = matches!(outcome, Outcome::Stored | Outcome::Exists);
        if !stored && *outcome != Outcome::NotFound {
            return self.release(shared, hash);
        }
        change(shared, hash, |slot, now| {
            let others = matches!(slot.known, Some((KeyState::Lease { .. }, _))) && !self.owns(slot);
            let (fact, lasts) = if stored {
                (KeyState::Stored { at: now }, self.loop_window)
            } else {
                (KeyState::Missing, self.negative_ttl)
            };
            (!others).then(|| encode(hash, fact, lasts, now))
        });
    }

    /// Gives up a lease that nothing came of.
    pub fn release(&self, shared: &dyn SharedHost, hash: KeyHash) {
        change(shared, hash, |slot, _| self.owns(slot).then_some(EMPTY));
    }

    fn owns(&self, slot: &Slot) -> bool {
        matches!(slot.known, Some((KeyState::Lease { owner }, _)) if owner == self.me)
    }

    /// This worker's queue.
    pub fn queue(&self) -> u32 {
        self.me
    }
}

/// Where a key's fact stands, or can be put.
#[derive(Debug)]
struct Slot {
    at: u32,
    version: u32,
    set: Set,
    way: usize,
    /// What is known of the key, and for how long.
    known: Option<(KeyState, Duration)>,
}

impl Slot {
    /// The slot that speaks of the key; else an empty one of its set; else one that speaks of another key, but not of
    /// its fill. `None` if there is no table, or no such slot.
    fn of(shared: &dyn SharedHost, hash: KeyHash, now: u64) -> Option<Self> {
        let at = hash.set();
        let (content, version) = shared.read(at)?;
        let (leases, _) = content.as_chunks::<SLOT_BYTES>();
        let set: Set = std::array::from_fn(|way| leases.get(way).copied().unwrap_or(EMPTY));
        let mut best: Option<(bool, usize)> = None;
        for (way, slot) in set.iter().enumerate() {
            match decode(slot, now) {
                Some((of, fact, lasts)) if of == hash => {
                    return Some(Self { at, version, set, way, known: Some((fact, lasts)) });
                }
                Some((_, KeyState::Lease { .. }, _)) => {}
                other => {
                    let taken = other.is_some();
                    if best.is_none_or(|(best_taken, _)| best_taken && !taken) {
                        best = Some((taken, way));
                    }
                }
            }
        }
        best.map(|(_, way)| Self { at, version, set, way, known: None })
    }

    /// Replaces the slot's content, unless somebody was faster with one of the set.
    fn write(mut self, shared: &dyn SharedHost, content: [u8; SLOT_BYTES]) -> bool {
        if let Some(slot) = self.set.get_mut(self.way) {
            *slot = content;
        }
        shared.write(self.at, self.set.as_flattened(), self.version)
    }
}

/// Writes what `to` makes of a key's place, if it makes anything of it.
fn change(shared: &dyn SharedHost, hash: KeyHash, to: impl Fn(&Slot, u64) -> Option<[u8; SLOT_BYTES]>) {
    for _ in 0..TRIES {
        let now = shared.nanos();
        let Some(slot) = Slot::of(shared, hash, now) else { return };
        let Some(content) = to(&slot, now) else { return };
        if slot.write(shared, content) {
            return;
        }
    }
}

impl KeyHash {
    /// The set in which a key's fact may stand.
    fn set(self) -> u32 {
        let Self([a, b, c, d, ..]) = self;
        u32::from_le_bytes([a, b, c, d]) % SETS
    }
}

const EMPTY: [u8; SLOT_BYTES] = [0; SLOT_BYTES];

fn encode(hash: KeyHash, fact: KeyState, lasts: Duration, now: u64) -> [u8; SLOT_BYTES] {
    let until = now.saturating_add(nanos(lasts));
    let (kind, value) = match fact {
        KeyState::Lease { owner } => (1, u64::from(owner)),
        KeyState::Missing => (2, 0),
        KeyState::Stored { at } => (3, at),
        KeyState::BucketError => (4, 0),
    };
    let content = [&[kind][..], &hash.0, &until.to_le_bytes(), &value.to_le_bytes()].concat();
    content.try_into().unwrap_or(EMPTY)
}

/// A slot's fact, and how long it holds; none if that time is over, or if the slot is empty.
fn decode(slot: &[u8; SLOT_BYTES], now: u64) -> Option<(KeyHash, KeyState, Duration)> {
    let (kind, rest) = slot.split_first()?;
    let (hash, rest) = rest.split_first_chunk()?;
    let (until, value) = rest.split_first_chunk()?;
    let value = u64::from_le_bytes(value.try_into().ok()?);
    let lasts = Duration::from_nanos(u64::from_le_bytes(*until).checked_sub(now).filter(|left| *left > 0)?);
    let fact = match kind {
        1 => KeyState::Lease { owner: u32::try_from(value).ok()? },
        2 => KeyState::Missing,
        3 => KeyState::Stored { at: value },
        4 => KeyState::BucketError,
        _ => return None,
    };
    Some((KeyHash(*hash), fact, lasts))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
