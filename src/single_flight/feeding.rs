//! Clients' streams, and the fills of the same objects in this worker: these take what the streams read.
//!
//! A stream of another worker feeds no fill: each of its bytes would have to be copied to another VM.

use super::Flights;
use super::effect::StreamId;
use super::leases::{KeyHash, SharedHost};
use super::report::Place;
use crate::fill::{Chunk, FillKey, Input, PassedObject, Reader};
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
    /// The object that is permitted.
    pub object: Rc<PassedObject>,
    /// Offsets of the byte that it brings next, and of its last one.
    pub next: u64,
    pub last: u64,
    /// Its answer was found to be of the object.
    pub is_answered: bool,
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
        for open in &mut self.0 {
            open.is_corrupt |= open.hash == hash && open.place == place;
        }
    }
}

impl Flights {
    /// Counts the streams that read objects of origins.
    pub fn streams(&self) -> usize {
        self.open_streams.0.len()
    }

    /// Notes the bytes that a stream asks for, both ends inclusive.
    pub fn ask_range(&mut self, stream: StreamId, (first, last): (u64, u64)) {
        if let Some(open) = self.open_streams.find(stream) {
            (open.next, open.last) = (first, last);
        }
    }

    /// Notes that a stream's answer is of the permitted object, and begins with the byte that was asked for.
    pub fn answer_stream(&mut self, stream: StreamId) {
        if let Some(open) = self.open_streams.find(stream) {
            open.is_answered = true;
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
        let Some(open) = self.open_streams.find(stream).filter(|open| open.is_answered) else { return PieceStep::Pass };
        let (hash, place, begin) = (open.hash, open.place, open.next);
        let mut reader = Reader { stream: stream.0, object: open.object.clone(), next: begin, last: open.last };
        let end = begin.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        open.next = end;
        let mut is_due = false;
        // Each chunk is about one part at most.
        while let Some(fill_key) = self.fed_by(hash, place).filter(|_| reader.next < end) {
            let Some(flight) = self.flights.get_mut(&fill_key) else { break };
            let wanted = flight.fill.wants(&reader, end.saturating_sub(reader.next));
            let (first, until) = wanted.unwrap_or((end, end));
            let size = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or_default();
            let bytes = if first < until { read(size(begin, first), size(first, until)) } else { Vec::new() };
            let length = until.saturating_sub(reader.next);
            let chunk = Chunk { reader: reader.clone(), length, first, bytes };
            is_due |= self.advance_later(&fill_key, Input::Chunk(chunk), now, shared);
            reader.next = until;
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
        let OpenStream { hash, place, .. } = open.swap_remove(at);
        if let Some(fill_key) = self.fed_by(hash, place) {
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
