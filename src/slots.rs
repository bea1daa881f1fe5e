//! What workers tell each other: a table of fixed size that all of them see, and a queue for each.
//!
//! A slot holds one fact about one key: who fills it, that its origins do not have it, or that it was stored a moment
//! ago. The table never grows, so keys share slots; whoever finds all of its slots taken does without. Nothing
//! here has to be true: a fact that is lost, late or overwritten costs a fetch more, and the conditional PUT keeps the
//! bucket right.

use crate::config::Config;
use crate::fill::{Goal, Outcome};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Slots in the table: enough for the fills of many workers and a thousand negative answers.
pub const SLOTS: u32 = 4096;

/// Slots that a key's fact may stand in. With one, a hundred keys would already collide.
const WAYS: u32 = 4;

/// How long a fill counts as under way after its worker last said so. A worker that died is waited for so long.
pub const LEASE: Duration = Duration::from_secs(10);

/// What all workers of an Envoy share.
pub trait Board {
    /// Nanoseconds on a clock that all workers see, and that request times are given in.
    fn nanos(&self) -> u64;
    /// A slot's content and its version. `None` if there is no table.
    fn read(&self, slot: u32) -> Option<(Vec<u8>, u32)>;
    /// Replaces a slot's content if it still has that version.
    fn write(&self, slot: u32, content: &[u8], version: u32) -> bool;
    /// Sends a message to the worker that has this queue.
    fn post(&self, queue: u32, message: &[u8]);
}

/// A key under a configuration: two never have the same one (128 bits of SipHash).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark([u8; 16]);

/// One worker's view of the table.
#[derive(Debug)]
pub struct Slots {
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
enum Fact {
    /// A worker, known by its queue, fills the key.
    Lease { owner: u32 },
    /// The origins do not have the key.
    Missing,
    /// The key was stored at this time.
    Stored { at: u64 },
}

impl Slots {
    /// The view of the worker with this queue.
    pub fn new(config: &Config, salt: u64, me: u32) -> Self {
        Self { me, salt, negative_ttl: config.negative_ttl, loop_window: config.loop_window }
    }

    /// What stands in the table for what is wanted.
    pub fn mark(&self, goal: &Goal) -> Mark {
        let half = |which: u8| {
            let mut hasher = DefaultHasher::new();
            (which, self.salt, goal).hash(&mut hasher);
            hasher.finish()
        };
        Mark(((u128::from(half(0)) << 64) | u128::from(half(1))).to_le_bytes())
    }

    /// Finds out what to do about a key, and takes the lease where that is to fill it. `asked` is when the client
    /// asked, which tells an object that was stored meanwhile from one that is stored and cannot be read.
    pub fn claim(&self, board: &dyn Board, mark: Mark, asked: u64) -> Claim {
        // Twice, because a slot may change between reading and writing.
        for _ in 0..2 {
            let now = board.nanos();
            let Some(place) = Place::of(board, mark, now) else { return Claim::Lead };
            match place.known {
                Some((Fact::Lease { owner }, lasts)) if owner != self.me => {
                    // Never longer than a lease, should the clock have been set back.
                    return Claim::Follow { owner, lasts: lasts.min(LEASE) };
                }
                Some((Fact::Missing, _)) => return Claim::Missing,
                Some((Fact::Stored { at }, _)) if asked > at => return Claim::Loop,
                Some((Fact::Stored { .. }, _)) => return Claim::Stored,
                Some((Fact::Lease { .. }, _)) | None => {}
            }
            if place.write(board, &encode(mark, Fact::Lease { owner: self.me }, LEASE, now)) {
                return Claim::Lead;
            }
        }
        Claim::Lead
    }

    /// Says that a fill is still under way.
    pub fn renew(&self, board: &dyn Board, mark: Mark) {
        let now = board.nanos();
        if let Some(place) = Place::of(board, mark, now).filter(|place| self.owns(place)) {
            place.write(board, &encode(mark, Fact::Lease { owner: self.me }, LEASE, now));
        }
    }

    /// Says how a fill ended, as far as that helps those who come later. A lost race is somebody else's newer fact.
    pub fn settle(&self, board: &dyn Board, mark: Mark, outcome: &Outcome) {
        let now = board.nanos();
        let (fact, lasts) = match outcome {
            Outcome::NotFound => (Fact::Missing, self.negative_ttl),
            Outcome::Stored | Outcome::Exists => (Fact::Stored { at: now }, self.loop_window),
            _ => return self.release(board, mark),
        };
        let Some(place) = Place::of(board, mark, now) else { return };
        let others = matches!(place.known, Some((Fact::Lease { .. }, _))) && !self.owns(&place);
        if !others {
            place.write(board, &encode(mark, fact, lasts, now));
        }
    }

    /// Gives up a lease that nothing came of.
    pub fn release(&self, board: &dyn Board, mark: Mark) {
        if let Some(place) = Place::of(board, mark, board.nanos()).filter(|place| self.owns(place)) {
            place.write(board, &[]);
        }
    }

    fn owns(&self, place: &Place) -> bool {
        matches!(place.known, Some((Fact::Lease { owner }, _)) if owner == self.me)
    }

    /// This worker's queue.
    pub fn queue(&self) -> u32 {
        self.me
    }
}

/// Where a key's fact stands, or can be put.
#[derive(Debug)]
struct Place {
    slot: u32,
    version: u32,
    /// What is known of the key, and for how long.
    known: Option<(Fact, Duration)>,
}

impl Place {
    /// The slot that speaks of the key; else an empty one of those that it may have; else one that speaks of another
    /// key, but not of its fill. `None` if there is no table, or no such slot.
    fn of(board: &dyn Board, mark: Mark, now: u64) -> Option<Self> {
        let mut best: Option<(bool, Self)> = None;
        for slot in mark.slots() {
            let (content, version) = board.read(slot)?;
            match decode(&content, now) {
                Some((of, fact, lasts)) if of == mark => {
                    return Some(Self { slot, version, known: Some((fact, lasts)) });
                }
                Some((_, Fact::Lease { .. }, _)) => {}
                other => {
                    let taken = other.is_some();
                    if best.as_ref().is_none_or(|(best_taken, _)| *best_taken && !taken) {
                        best = Some((taken, Self { slot, version, known: None }));
                    }
                }
            }
        }
        best.map(|(_, place)| place)
    }

    /// Replaces the slot's content, unless somebody was faster.
    fn write(&self, board: &dyn Board, content: &[u8]) -> bool {
        board.write(self.slot, content, self.version)
    }
}

impl Mark {
    /// The slots in which a key's fact may stand.
    fn slots(self) -> impl Iterator<Item = u32> {
        let Self([a, b, c, d, ..]) = self;
        let set = u32::from_le_bytes([a, b, c, d]) % (SLOTS / WAYS);
        (0..WAYS).map(move |way| set.saturating_mul(WAYS).saturating_add(way))
    }
}

/// `kind mark until value`, in 1, 16, 8 and 8 bytes.
fn encode(mark: Mark, fact: Fact, lasts: Duration, now: u64) -> Vec<u8> {
    let until = now.saturating_add(nanos(lasts));
    let (kind, value) = match fact {
        Fact::Lease { owner } => (1, u64::from(owner)),
        Fact::Missing => (2, 0),
        Fact::Stored { at } => (3, at),
    };
    [&[kind][..], &mark.0, &until.to_le_bytes(), &value.to_le_bytes()].concat()
}

/// A slot's fact, and how long it holds; none if that time is over, or if the slot is empty.
fn decode(content: &[u8], now: u64) -> Option<(Mark, Fact, Duration)> {
    let (kind, rest) = content.split_first()?;
    let (mark, rest) = rest.split_first_chunk()?;
    let (until, value) = rest.split_first_chunk()?;
    let value = u64::from_le_bytes(value.try_into().ok()?);
    let lasts = Duration::from_nanos(u64::from_le_bytes(*until).checked_sub(now).filter(|left| *left > 0)?);
    let fact = match kind {
        1 => Fact::Lease { owner: u32::try_from(value).ok()? },
        2 => Fact::Missing,
        3 => Fact::Stored { at: value },
        _ => return None,
    };
    Some((Mark(*mark), fact, lasts))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What one worker says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Tell me how the fill of this key ends.
    Ask {
        /// The key.
        mark: Mark,
        /// Where to.
        reply_to: u32,
    },
    /// It ended so; or I do not fill it, or cannot say.
    Told {
        /// The key.
        mark: Mark,
        /// How it ended.
        outcome: Option<Outcome>,
    },
}

impl Message {
    /// `kind mark value status`, in 1, 16, 4 and 2 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, mark, value, status) = match self {
            Self::Ask { mark, reply_to } => (1_u8, mark, *reply_to, 0),
            Self::Told { mark, outcome } => {
                let (value, status) = outcome.as_ref().map(told).unwrap_or_default();
                (2, mark, value, status)
            }
        };
        [&[kind][..], &mark.0, &value.to_le_bytes(), &status.to_le_bytes()].concat()
    }

    /// `None` for what is no message.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let (kind, rest) = message.split_first()?;
        let (mark, rest) = rest.split_first_chunk()?;
        let (value, status) = rest.split_first_chunk()?;
        let (mark, value) = (Mark(*mark), u32::from_le_bytes(*value));
        let status = u16::from_le_bytes(status.try_into().ok()?);
        match kind {
            1 => Some(Self::Ask { mark, reply_to: value }),
            2 => Some(Self::Told { mark, outcome: heard(value, status) }),
            _ => None,
        }
    }
}

/// An outcome in numbers. 0 for those that another worker cannot act on: an object is not told, only that it is there.
fn told(outcome: &Outcome) -> (u32, u16) {
    match outcome {
        Outcome::Stored => (1, 0),
        Outcome::Exists => (2, 0),
        Outcome::NotFound => (3, 0),
        Outcome::Forbidden => (4, 0),
        Outcome::BucketUnavailable => (5, 0),
        Outcome::OriginRefused { status } => (6, *status),
        Outcome::OriginTimeout => (7, 0),
        Outcome::OriginUnavailable(_) => (8, 0),
        Outcome::TooLarge => (9, 0),
        Outcome::NotStored { object: None, status } => (10, *status),
        Outcome::WrongType => (11, 0),
        Outcome::Corrupt(_) => (12, 0),
        Outcome::NotStored { object: Some(_), .. }
        | Outcome::Broken(_)
        | Outcome::Busy(_)
        | Outcome::Filling
        | Outcome::Head { .. }
        | Outcome::Loop
        | Outcome::Origin
        | Outcome::Served(_) => (0, 0),
    }
}

fn heard(value: u32, status: u16) -> Option<Outcome> {
    Some(match value {
        1 => Outcome::Stored,
        2 => Outcome::Exists,
        3 => Outcome::NotFound,
        4 => Outcome::Forbidden,
        5 => Outcome::BucketUnavailable,
        6 => Outcome::OriginRefused { status },
        7 => Outcome::OriginTimeout,
        8 => Outcome::OriginUnavailable("told by another worker"),
        9 => Outcome::TooLarge,
        10 => Outcome::NotStored { object: None, status },
        11 => Outcome::WrongType,
        12 => Outcome::Corrupt("what it announced to another worker"),
        _ => return None,
    })
}

#[cfg(test)]
pub(crate) mod tests;
