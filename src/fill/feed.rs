//! Clients' streams that bring the object while it is filled. The fill asks for no range that one of them brings.
//!
//! The fill never waits for a client for long, and no client for the fill:
//!
//! - A stream is trusted while it keeps up: it brings a part within [`PART_TIME`]. A fill that waits longer would hold its
//!   memory for a slow client.
//! - After clients were passed, the fill waits [`PATIENCE`] for the first of their streams.
//! - A stream is waited for where it brings the rest of a part, and is at most two windows behind: one that the fill asked for
//!   before the client came, and the next one.
//! - Bytes for which no part is reserved are dropped. The fill asks for them when no stream brings others.

use super::plan::Parts;
use crate::config::Limits;
use crate::origin::Version;
use std::rc::Rc;
use std::time::Duration;

/// The time for which a stream may bring too little, and that its first bytes may take.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// The seconds in which a stream has to bring as much as a part has: with the default 1 MiB a second.
const PART_TIME: u64 = 6;

/// A stream that reads the object, and its next byte.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Its number.
    pub stream: u32,
    /// The version that its answer was found to have.
    pub version: Rc<Version>,
    /// Offset of the byte that it brings next.
    pub next: u64,
    /// Offset of its last byte.
    pub last: u64,
}

/// A piece of what a stream reads.
#[derive(Debug)]
pub struct Chunk {
    /// The stream, before this piece.
    pub reader: Reader,
    /// Bytes of the piece.
    pub length: u64,
    /// Offset of the bytes that are given.
    pub first: u64,
    /// The bytes of it that the fill [`wants`](super::Fill::wants), or the first of them.
    pub bytes: Vec<u8>,
}

/// The streams that a fill knows.
#[derive(Debug, Default)]
pub struct Feed {
    streams: Vec<Stream>,
    /// The end of the time in which the first stream is expected, since the fill began.
    until: Duration,
    /// Bytes that a stream has to bring within [`PATIENCE`].
    enough: u64,
    /// The most bytes that a stream may be behind.
    reach: u64,
    /// The fill waits to look again which streams keep up.
    pub watching: bool,
    /// What the streams bring is not what the origin announced.
    pub is_corrupt: bool,
}

#[derive(Debug)]
struct Stream {
    reader: Reader,
    /// The time at which it had last brought enough, and the bytes since then.
    since: Duration,
    came: u64,
}

impl Feed {
    pub fn new(limits: &Limits) -> Self {
        let parts = u64::try_from(limits.parts_in_flight).unwrap_or(u64::MAX);
        let reach = limits.part_size.saturating_mul(parts).saturating_mul(2);
        Self { enough: limits.part_size / PART_TIME, reach, ..Self::default() }
    }

    /// Notes that clients were passed at this time.
    pub fn expect(&mut self, now: Duration) {
        self.until = now.saturating_add(PATIENCE);
    }

    /// Forgets all streams: the object is asked for anew, and perhaps elsewhere.
    pub fn forget(&mut self) {
        self.streams.clear();
        self.until = Duration::ZERO;
        self.is_corrupt = false;
    }

    /// Takes the end of a stream.
    pub fn leave(&mut self, stream: u32) {
        self.streams.retain(|known| known.reader.stream != stream);
    }

    /// Notes that a stream of the fill's version brought so many bytes.
    pub fn brought(&mut self, mut reader: Reader, length: u64, now: Duration) {
        self.until = Duration::ZERO;
        reader.next = reader.next.saturating_add(length);
        match self.streams.iter_mut().find(|known| known.reader.stream == reader.stream) {
            Some(known) => {
                known.reader = reader;
                known.came = known.came.saturating_add(length);
                if known.came >= self.enough {
                    (known.since, known.came) = (now, 0);
                }
            }
            None => self.streams.push(Stream { reader, since: now, came: 0 }),
        }
    }

    /// Tells if a stream brings these bytes, both ends inclusive, or may be expected to.
    pub fn brings(&self, first: u64, last: u64, now: Duration) -> bool {
        let brings = |Reader { next, last: end, .. }: &Reader| {
            first.checked_sub(*next).is_some_and(|behind| behind <= self.reach) && last <= *end
        };
        now < self.until || self.trusted(now).any(brings)
    }

    /// Finds the part that a stream reads next as a whole, of those that may be begun.
    pub fn next_part(&self, parts: &Parts, is_free: impl Fn(u64) -> bool, now: Duration) -> Option<u64> {
        let ahead = |reader: &Reader| {
            let mut numbers = parts.number_from(reader.next)..=parts.count();
            let number = numbers.find(|number| is_free(*number))?;
            let part = parts.range(number);
            (part.last <= reader.last).then(|| (part.first.saturating_sub(reader.next), number))
        };
        self.trusted(now).filter_map(ahead).min().map(|(_, number)| number)
    }

    /// Returns the time after which the fill looks again which streams keep up.
    pub fn patience(&self, now: Duration) -> Duration {
        let ends = self.trusted_streams(now).map(|stream| stream.since.saturating_add(PATIENCE));
        ends.chain([self.until]).filter(|end| *end > now).min().unwrap_or(now).saturating_sub(now)
    }

    fn trusted(&self, now: Duration) -> impl Iterator<Item = &Reader> {
        self.trusted_streams(now).map(|stream| &stream.reader)
    }

    fn trusted_streams(&self, now: Duration) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(move |stream| now < stream.since.saturating_add(PATIENCE))
    }
}
