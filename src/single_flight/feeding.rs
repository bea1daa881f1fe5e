//! Clients' streams, and the fills of the same objects in this worker: these take what the streams read.
//!
//! A stream of another worker feeds no fill: each of its bytes would have to be copied to another VM.

use super::Flights;
use super::effect::StreamId;
use super::leases::{KeyHash, SharedHost};
use super::report::Place;
use crate::fill::{Chunk, FillKey, Input, Reader};
use crate::origin::Version;
use std::rc::Rc;
use std::time::Instant;

/// The streams that read objects of origins.
#[derive(Debug, Default)]
pub struct OpenStreams(pub Vec<OpenStream>);

/// A stream that reads an object of an origin.
#[derive(Debug)]
pub struct OpenStream {
    pub stream: StreamId,
    /// The key of the object.
    pub hash: KeyHash,
    /// The place of the origin.
    pub place: Place,
    /// The version that is permitted.
    pub version: Rc<Version>,
    /// Offsets of the byte that it brings next, and of its last one, once the answer is found to have that version.
    pub reads: Option<(u64, u64)>,
    /// What it brings is not what the origin announced.
    pub is_corrupt: bool,
}

/// The adapter's step with a piece of a stream's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceStep {
    /// Let it pass.
    Pass,
    /// Let it pass, and call [`Flights::tick`].
    PassAndTick,
    /// Break the transfer off, and call [`Flights::tick`]: the object is not what its origin announced.
    Reset,
}

impl OpenStreams {
    fn find(&mut self, stream: StreamId) -> Option<&mut OpenStream> {
        self.0.iter_mut().find(|open| open.stream == stream)
    }

    /// Notes that the object of this key is not what the origin at this place announced.
    pub fn corrupt(&mut self, hash: KeyHash, place: Place) {
        self.0.iter_mut().for_each(|open| open.is_corrupt |= (open.hash, open.place) == (hash, place));
    }
}

impl Flights {
    /// Counts the streams that read objects of origins.
    pub fn streams(&self) -> usize {
        self.open_streams.0.len()
    }

    /// Notes that a stream's answer has the permitted version, and these bytes of it, both ends inclusive.
    pub fn answer_stream(&mut self, stream: StreamId, first: u64, last: u64) {
        if let Some(open) = self.open_streams.find(stream) {
            open.reads = Some((first, last));
        }
    }

    /// Takes a piece of a stream's body. `read` reads some bytes of it, from a place on.
    pub fn feed(
        &mut self,
        stream: StreamId,
        length: usize,
        read: &dyn Fn(usize, usize) -> Vec<u8>,
        now: Instant,
        shared: &dyn SharedHost,
    ) -> PieceStep {
        let Some(open) = self.open_streams.find(stream) else { return PieceStep::Pass };
        let Some((next, last)) = open.reads else { return PieceStep::Pass };
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        open.reads = Some((next.saturating_add(length), last));
        let reader = Reader { stream: stream.0, version: open.version.clone(), next, last };
        let (hash, place) = (open.hash, open.place);
        let mut is_due = false;
        if let Some(fill_key) = self.fed_by(hash, place) {
            let wanted = self.flights.get(&fill_key).and_then(|flight| flight.fill.wants(&reader, length));
            let (first, end) = wanted.unwrap_or((next, next));
            let size = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or_default();
            let bytes = wanted.map(|_| read(size(next, first), size(first, end))).unwrap_or_default();
            is_due = self.advance_later(&fill_key, Input::Chunk(Chunk { reader, length, first, bytes }), now, shared);
        }
        match self.open_streams.find(stream) {
            Some(open) if open.is_corrupt => PieceStep::Reset,
            _ if is_due => PieceStep::PassAndTick,
            _ => PieceStep::Pass,
        }
    }

    /// Takes the end of a stream. [`tick`](Self::tick) may have something to do.
    pub fn close_stream(&mut self, stream: StreamId, now: Instant, shared: &dyn SharedHost) {
        let OpenStreams(open) = &mut self.open_streams;
        let Some(at) = open.iter().position(|open| open.stream == stream) else { return };
        let OpenStream { hash, place, reads, .. } = open.swap_remove(at);
        if let Some(fill_key) = reads.and_then(|_| self.fed_by(hash, place)) {
            self.advance_later(&fill_key, Input::Left(stream.0), now, shared);
        }
    }

    /// Finds the fill that runs here of an object that streams read.
    fn fed_by(&self, hash: KeyHash, place: Place) -> Option<Rc<FillKey>> {
        let mut flights = self.flights.iter();
        let found = flights.find(|(_, flight)| flight.hash == hash && flight.hold().is_some())?;
        (found.1.place() == place).then(|| found.0.clone())
    }

    /// Gives a fill its input, and keeps the effects for [`tick`](Self::tick): calls that are made in a stream's callback end with
    /// the stream. Tells if it is to be called.
    fn advance_later(&mut self, fill_key: &Rc<FillKey>, input: Input, now: Instant, shared: &dyn SharedHost) -> bool {
        let timer = |flights: &Self| flights.flights.get(fill_key).and_then(|flight| flight.timer);
        let (before, kept) = (timer(self), self.deferred.len());
        let mut effects = std::mem::take(&mut self.deferred);
        self.advance(fill_key, input, now, shared, &mut effects);
        self.begin_queued(now, shared, &mut effects);
        self.deferred = effects;
        self.deferred.len() > kept || timer(self) != before
    }
}
