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

use super::PassedObject;
use super::plan::Parts;
use crate::config::Limits;
use crate::origin::Version;
use std::rc::Rc;
use std::time::Duration;

/// The time for which a stream may bring too little, and that its first bytes may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The time after which a fill looks again which streams keep up.
pub const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The seconds in which a stream has to bring as much as a part has: with the default 1 MiB a second.
const PART_TIME: u64 = 6;

/// A stream that reads the object, and its next byte.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Its number.
    pub stream: u32,
    /// The object that its answer was found to be of.
    pub object: Rc<PassedObject>,
    /// Offset of the byte that it brings next.
    pub next: u64,
    /// Offset of its last byte.
    pub last: u64,
}

impl Reader {
    /// Tells if it reads this version.
    #[inline(never)]
    pub fn is_of(&self, version: &Version) -> bool {
        self.object.version == *version
    }
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
    /// The end of the time in which it has to bring enough, and the bytes that it brought of that.
    until: Duration,
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
        (self.until, self.is_corrupt) = (Duration::ZERO, false);
    }

    /// Takes the end of a stream.
    pub fn leave(&mut self, stream: u32) {
        self.streams.retain(|known| known.reader.stream != stream);
    }

    /// Notes that a stream of the fill's version brought so many bytes.
    pub fn brought(&mut self, mut reader: Reader, length: u64, now: Duration) {
        self.until = Duration::ZERO;
        reader.next = reader.next.saturating_add(length);
        let until = now.saturating_add(PATIENCE);
        for known in &mut self.streams {
            if known.reader.stream == reader.stream {
                known.reader.next = reader.next;
                known.came = known.came.saturating_add(length);
                if known.came >= self.enough {
                    (known.until, known.came) = (until, 0);
                }
                return;
            }
        }
        self.streams.push(Stream { reader, until, came: 0 });
    }

    /// Tells if a stream brings these bytes, both ends inclusive, or may be expected to.
    pub fn brings(&self, first: u64, last: u64, now: Duration) -> bool {
        let brings = |Stream { reader, until, .. }: &Stream| {
            let behind = first.saturating_sub(reader.next);
            now < *until && reader.next <= first && behind <= self.reach && last <= reader.last
        };
        now < self.until || self.streams.iter().any(brings)
    }

    /// Finds the part that a stream reads next as a whole, of those that may be begun.
    pub fn next_part(&self, parts: &Parts, is_free: &dyn Fn(u64) -> bool, now: Duration) -> Option<u64> {
        let (mut nearest, mut found) = (u64::MAX, None);
        for Stream { reader, until, .. } in &self.streams {
            let Some(number) = parts.next_free(reader.next, is_free).filter(|_| now < *until) else { continue };
            let part = parts.range(number);
            let distance = part.first.saturating_sub(reader.next);
            if part.last <= reader.last && distance < nearest {
                (nearest, found) = (distance, Some(number));
            }
        }
        found
    }
}
