//! Admission: the fills that run and those that wait, by shares of a worker's `limits`.
//!
//! Calls cannot be cancelled, so what was given comes back only when a call ends, which for a silent origin is a long time.
//! So nothing is lent beyond its share, and a share is measured by what it leaves free. A share that holds nothing may
//! always begin with what is free.
//!
//! | share | may take more if, afterwards, |
//! | --- | --- |
//! | all fills, and all bytes that clients were handed | they are within `limits.fills` and `limits.memory` |
//! | first parts, of one origin | they are at most what is free, if there are other origins, or a large object waits |
//! | large objects: fills beyond their first part | they are at most what is free, so half of all |
//! | large objects of one origin | they are at most half of what large ones may still take, if there are other origins |
//! | bodies that clients were handed | they are at most what is free, and a part is free |
//! | places in the queue, of one origin | they are at most what is free of `limits.queue`, if there are other origins |
//! | streams that wait, for one origin | they are at most what is free of `limits.waiters`, if there are other origins |
//!
//! A fill belongs to the origin that it asks now. Of the fills that wait, the oldest one begins that may.

use super::effect::StreamId;
use crate::config::{Config, Limits, MAX_PART_SIZE};
use crate::fill::{FillKey, Shortage};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The time for which an origin is expected to do again what it did: to be slow, or to give a whole object for a range.
const LEARNED_FOR: Duration = Duration::from_secs(600);

/// Bytes a second that a client is taken to read. With HTTP/1 a stream is gone when Envoy has the whole answer in the
/// connection's buffer, which no limit bounds (measured on 1.40), and not when the client has read it.
const READ_RATE: u64 = 256 * 1024;

/// The shares that are held, and the fills that wait for theirs.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    /// All origins of the rules.
    origins: Vec<OriginShare>,
    all: Amount,
    large: Amount,
    /// Bodies that clients may not have read yet.
    copies: Vec<Copy>,
    copied: u64,
    queued: usize,
    large_queued: usize,
}

/// A body that a client was handed.
#[derive(Clone, Copy, Debug)]
struct Copy {
    /// `None` if the stream is gone.
    stream: Option<StreamId>,
    length: u64,
    /// The time at which the client is taken to have read it.
    read: Instant,
}

/// The fills of one origin.
#[derive(Debug)]
struct OriginShare {
    name: String,
    first: Amount,
    large: Amount,
    /// Its fills that wait for room, oldest first: those that begin or begin again, and those of large objects.
    lines: [VecDeque<Queued>; 2],
    /// The end of the time for which it is expected to be slow.
    slow: Option<Instant>,
    /// Likewise to ignore ranges.
    unranged: Option<Instant>,
}

/// A fill that waits for room.
#[derive(Debug)]
struct Queued {
    /// Its number, so that the oldest is found.
    id: u64,
    fill_key: Rc<FillKey>,
    wanted: Hold,
}

/// One of the origins of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginId(usize);

/// The share that a fill holds, or wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The origin that it asks.
    pub origin: OriginId,
    /// It is beyond its first part.
    pub large: bool,
    /// Bytes that it holds, or will when its calls come back.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    fills: usize,
    bytes: u64,
}

impl Amount {
    fn of(hold: Option<Hold>) -> Self {
        hold.map(|hold| Self { fills: 1, bytes: hold.bytes }).unwrap_or_default()
    }

    fn plus(self, other: Self) -> Self {
        Self { fills: self.fills.saturating_add(other.fills), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn minus(self, other: Self) -> Self {
        Self { fills: self.fills.saturating_sub(other.fills), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    fn is_within(self, other: Self) -> bool {
        self.fills <= other.fills && self.bytes <= other.bytes
    }
}

impl Admission {
    /// Makes the admission of a worker that holds nothing.
    pub fn new(config: &Config) -> Self {
        let mut origins: Vec<OriginShare> = Vec::new();
        let mirrors = config.rules.iter().filter_map(|rule| rule.mirror.as_ref()).filter(|mirror| !mirror.observe);
        for origin in mirrors.flat_map(|mirror| &mirror.origins) {
            if !origins.iter().any(|share| share.name == origin.name) {
                origins.push(OriginShare::new(&origin.name));
            }
        }
        Self {
            limits: config.limits.clone(),
            origins,
            all: Amount::default(),
            large: Amount::default(),
            copies: Vec::new(),
            copied: 0,
            queued: 0,
            large_queued: 0,
        }
    }

    /// Finds the origin with this name.
    pub fn origin(&self, name: &str) -> OriginId {
        OriginId(self.origins.iter().position(|share| share.name == name).unwrap_or(0))
    }

    /// Counts the fills that run.
    pub fn running(&self) -> usize {
        self.all.fills
    }

    /// Returns the most bytes that a fill is promised. With half of the memory, bodies of clients never keep it from
    /// beginning.
    pub fn most(&self) -> u64 {
        self.limits.part_size.max(self.limits.memory / 2).min(MAX_PART_SIZE)
    }

    /// Returns the bytes that a fill which begins may ask for first: a part while few run and wait, and as many as it holds while
    /// many do, or where the origin is slow. Where there are others, half of what is free stays free for those that turn out to need more.
    pub fn first_range(&self, held: Hold, now: Instant) -> u64 {
        let slow = self.origins.get(held.origin.0).and_then(|share| share.slow);
        if slow.is_some_and(|until| now < until) {
            return held.bytes;
        }
        let fills = u64::try_from(self.all.fills.saturating_add(self.queued)).unwrap_or(u64::MAX);
        let room = held.bytes.saturating_add(self.spare(held));
        let share = room.checked_div(fills.saturating_mul(2).saturating_sub(1)).unwrap_or_default();
        share.min(self.limits.part_size).max(held.bytes)
    }

    /// Tells if a fill may hold this in the place of the share that it holds.
    pub fn fits(&self, held: Option<Hold>, wanted: Hold) -> bool {
        if !self.fits_at_all(held, wanted) {
            return false;
        }
        let more = Amount::of(Some(wanted));
        let free = self.free().plus(Amount::of(held)).minus(more);
        let others_large = self.large.minus(Amount::of(held.filter(|held| held.large)));
        let own = self.origins.get(wanted.origin.0).map(|share| share.of(wanted.large)).unwrap_or_default();
        let own = own.minus(Amount::of(held.filter(|held| (held.origin, held.large) == (wanted.origin, wanted.large))));
        let is_shared = self.is_shared();
        if wanted.large {
            let large = others_large.plus(more);
            (others_large.fills == 0 || large.is_within(free))
                && (!is_shared || own.fills == 0 || own.plus(more).is_within(free.minus(large)))
        } else {
            let bounded = is_shared || self.large_queued > 0;
            !bounded || own.fills == 0 || own.plus(more).is_within(free)
        }
    }

    /// Tells if that is within the limits, whatever the shares.
    pub fn fits_at_all(&self, held: Option<Hold>, wanted: Hold) -> bool {
        Amount::of(Some(wanted)).is_within(self.free().plus(Amount::of(held)))
    }

    /// Counts the bytes that a fill may hold beyond its share.
    pub fn spare(&self, held: Hold) -> u64 {
        let free = self.free().bytes;
        let own = self.origins.get(held.origin.0).map(|share| share.of(held.large).bytes).unwrap_or_default();
        match (held.large, self.is_shared()) {
            // What is free is for those that wait.
            (true, _) if self.large_queued > 0 => 0,
            (true, false) => free.saturating_sub(self.large.bytes) / 2,
            (true, true) => free.saturating_sub(self.large.bytes).saturating_sub(own) / 3,
            (false, false) if self.large_queued == 0 => free,
            (false, _) => free.saturating_sub(own) / 2,
        }
    }

    /// Gives a fill this in the place of the share that it held.
    pub fn replace(&mut self, held: Option<Hold>, by: Option<Hold>) {
        let (less, more) = (Amount::of(held), Amount::of(by));
        self.all = self.all.minus(less).plus(more);
        for (hold, taken) in [(held, false), (by, true)] {
            let Some(hold) = hold else { continue };
            let amount = Amount::of(Some(hold));
            let change = |old: Amount| if taken { old.plus(amount) } else { old.minus(amount) };
            if hold.large {
                self.large = change(self.large);
            }
            if let Some(share) = self.origins.get_mut(hold.origin.0) {
                let own = if hold.large { &mut share.large } else { &mut share.first };
                *own = change(*own);
            }
        }
    }

    /// Puts a fill into the queue, behind those that are older, or returns the reason why it may neither begin nor wait.
    pub fn enqueue(&mut self, id: u64, fill_key: &Rc<FillKey>, wanted: Hold) -> Option<Shortage> {
        if !self.has_place(wanted.origin) && !self.fits(None, wanted) {
            return Some(self.shortage(wanted));
        }
        if let Some(line) = self.line(wanted) {
            let at = line.partition_point(|queued| queued.id < id);
            line.insert(at, Queued { id, fill_key: fill_key.clone(), wanted });
            self.queued = self.queued.saturating_add(1);
            self.large_queued = self.large_queued.saturating_add(usize::from(wanted.large));
        }
        None
    }

    /// Takes a fill out of the queue, if it is there.
    pub fn dequeue(&mut self, id: u64, wanted: Hold) {
        let Some(line) = self.line(wanted) else { return };
        let Ok(at) = line.binary_search_by(|queued| queued.id.cmp(&id)) else { return };
        line.remove(at);
        self.queued = self.queued.saturating_sub(1);
        self.large_queued = self.large_queued.saturating_sub(usize::from(wanted.large));
    }

    /// Takes the oldest fill that waits and may begin. It holds its share from now on.
    pub fn next(&mut self) -> Option<(Rc<FillKey>, Hold)> {
        let fronts = self.origins.iter().flat_map(|share| &share.lines).filter_map(VecDeque::front);
        let next = fronts.filter(|queued| self.fits(None, queued.wanted)).min_by_key(|queued| queued.id)?;
        let (id, fill_key, wanted) = (next.id, next.fill_key.clone(), next.wanted);
        self.dequeue(id, wanted);
        self.replace(None, Some(wanted));
        Some((fill_key, wanted))
    }

    /// Tells if another stream may wait for an origin's fills, beside `all` that wait and `own` that wait for these.
    pub fn may_wait(&self, all: usize, own: impl FnOnce() -> usize) -> bool {
        let free = self.limits.waiters.saturating_sub(all);
        let after = free.saturating_sub(1);
        free > 0
            && (!self.is_shared() || after > all || own().checked_add(1).is_none_or(|own| own == 1 || own <= after))
    }

    /// Hands so many bytes of a body to a stream, and counts them. `false` if it may not have them.
    pub fn hand_out(&mut self, stream: StreamId, length: u64, now: Instant) -> bool {
        let free = self.free().bytes;
        let room = free.saturating_sub(self.copied).checked_div(2).unwrap_or_default();
        let fits = length <= room.min(free.saturating_sub(self.limits.part_size));
        if fits {
            let reads = length.saturating_mul(1000).checked_div(READ_RATE).unwrap_or_default();
            let read = now.checked_add(Duration::from_millis(reads)).unwrap_or(now);
            self.copies.push(Copy { stream: Some(stream), length, read });
            self.copied = self.copied.saturating_add(length);
        }
        fits
    }

    /// Tells if bodies were handed out that clients may not have read.
    pub fn has_copies(&self) -> bool {
        !self.copies.is_empty()
    }

    /// Forgets a stream that is gone. Tells if a fill that waits may begin.
    pub fn gone(&mut self, stream: StreamId, now: Instant) -> bool {
        // Those that were answered first are mostly the first to go.
        if let Some(copy) = self.copies.iter_mut().find(|copy| copy.stream == Some(stream)) {
            copy.stream = None;
        }
        self.forget_read(now) && self.queued > 0
    }

    /// Forgets the bodies that clients have read. Tells if there were any.
    pub fn forget_read(&mut self, now: Instant) -> bool {
        let before = self.copied;
        let copied = &mut self.copied;
        self.copies.retain(|copy| {
            let is_read = copy.stream.is_none() && copy.read <= now;
            *copied = copied.saturating_sub(if is_read { copy.length } else { 0 });
            !is_read
        });
        self.copied < before
    }

    /// Returns the time at which a body is read, if fills wait for its room.
    pub fn next_read(&self) -> Option<Instant> {
        let reads = self.copies.iter().filter(|copy| copy.stream.is_none()).map(|copy| copy.read);
        if self.queued > 0 { reads.min() } else { None }
    }

    /// Notes that an origin did not give a first range in time.
    pub fn learn_slow(&mut self, origin: OriginId, now: Instant) {
        if let Some(share) = self.origins.get_mut(origin.0) {
            share.slow = now.checked_add(LEARNED_FOR);
        }
    }

    /// Notes that an origin gave a whole object where a part was asked for.
    pub fn learn_unranged(&mut self, origin: OriginId, now: Instant) {
        if let Some(share) = self.origins.get_mut(origin.0) {
            share.unranged = now.checked_add(LEARNED_FOR);
        }
    }

    /// Tells if an origin is expected to do so.
    pub fn is_unranged(&self, origin: OriginId, now: Instant) -> bool {
        self.origins.get(origin.0).and_then(|share| share.unranged).is_some_and(|until| now < until)
    }

    /// Returns the amount that neither fills nor clients hold.
    fn free(&self) -> Amount {
        Amount { fills: self.limits.fills, bytes: self.limits.memory.saturating_sub(self.copied) }.minus(self.all)
    }

    /// Tells if origins share the limits.
    fn is_shared(&self) -> bool {
        self.origins.len() > 1
    }

    /// Returns the reason why a fill may not begin.
    fn shortage(&self, wanted: Hold) -> Shortage {
        if self.fits_at_all(None, wanted) {
            Shortage::Share
        } else if self.all.fills >= self.limits.fills {
            Shortage::Fills
        } else {
            Shortage::Memory
        }
    }

    fn has_place(&self, origin: OriginId) -> bool {
        let free = self.limits.queue.saturating_sub(self.queued);
        let own = self.origins.get(origin.0).map(OriginShare::queued).unwrap_or_default();
        free > 0 && (!self.is_shared() || own == 0 || own.saturating_add(1) < free)
    }

    fn line(&mut self, wanted: Hold) -> Option<&mut VecDeque<Queued>> {
        self.origins.get_mut(wanted.origin.0)?.lines.get_mut(usize::from(wanted.large))
    }
}

impl OriginShare {
    fn new(name: &str) -> Self {
        let (first, large) = (Amount::default(), Amount::default());
        Self { name: name.to_owned(), first, large, lines: Default::default(), slow: None, unranged: None }
    }

    fn of(&self, large: bool) -> Amount {
        if large { self.large } else { self.first }
    }

    fn queued(&self) -> usize {
        self.lines.iter().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
impl Admission {
    /// Bytes that fills and clients hold.
    pub fn held(&self) -> u64 {
        self.all.bytes + self.copied
    }

    /// Tells if a large object is filled.
    pub fn is_large(&self) -> bool {
        self.large.fills > 0
    }

    /// The most fills that one origin has of each kind.
    pub fn most_of_an_origin(&self) -> usize {
        self.origins.iter().map(|share| share.first.fills.max(share.large.fills)).max().unwrap_or_default()
    }
}
