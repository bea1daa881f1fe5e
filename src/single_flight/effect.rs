//! Effects that the adapter carries out for a worker, and the names of calls and streams.

use super::events::{FillEnded, Progress};
use crate::config::rule::Mirror;
use crate::fill::{Call, CallId, FillKey, Outcome};
use crate::http::Response;
use crate::metrics::{self, CallRecord};
use crate::object::key::Key;
use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

/// An effect that the adapter carries out for a worker.
#[derive(Debug)]
pub enum Effect {
    /// These streams are to be answered.
    Answer {
        /// Streams in the order in which they came.
        streams: Vec<StreamId>,
        /// The source that they are answered about.
        source: Source,
        /// The end of their fill, or that it goes on.
        outcome: Outcome,
    },
    /// A call is to be made. Its end is given to [`Flights::finish_call`](super::Flights::finish_call).
    Call {
        /// The name of the call when it comes back.
        ticket: Ticket,
        call: Call,
    },
    /// A fill ended; for the log.
    Ended(FillEnded),
    /// A miss was only counted; for the log.
    Observed(Key),
    /// A part of an object is in the store.
    Progress(Progress),
    /// A stream's own answer may pass, for this reason (a metric's label).
    Release(StreamId, &'static str),
    /// Something that an operator must see.
    Warn {
        /// The object of the fill that it is about; none for the bucket as a whole.
        key: Option<Key>,
        /// The text of the log line.
        what: Cow<'static, str>,
    },
}

/// The place where an object was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The rule's way to fill.
    pub mirror: Rc<Mirror>,
    /// The index of the origin in it that was asked last.
    pub origin: usize,
}

/// A stream as Envoy numbers them: unique within a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// Names a call within a worker. What comes back is reported with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) fill_key: Rc<FillKey>,
    /// The fill's number in this worker.
    pub(super) fill: u64,
    pub(super) call: CallId,
    /// It asks the store, and not an origin.
    pub(super) to_store: bool,
    /// The time at which the call has taken nearly as long as it may. Envoy's timers count from when its event loop last
    /// looked at the clock, and so may fire early on a busy machine.
    pub(super) due: Instant,
    /// [`Call::before`].
    pub(super) before: usize,
    /// Nothing reads the headers of its answer, but for the status.
    pub(super) reads_status_alone: bool,
}

impl Ticket {
    /// Returns the bytes that the body of the answer is to have room for, beside its own.
    pub fn before(&self) -> usize {
        self.before
    }

    /// Tells if nothing reads the headers of its answer, but for the status. Then the others need not be copied.
    pub fn reads_status_alone(&self) -> bool {
        self.reads_status_alone
    }

    /// Tells if the call asks the store, and not an origin.
    pub fn is_for_store(&self) -> bool {
        self.to_store
    }

    /// Makes the metrics' record of a call that was sent then and came back with a response, or with none.
    pub fn called(&self, response: Option<&Response>, sent: Instant, now: Instant) -> CallRecord {
        let late = response.is_none() && now >= self.due;
        let result = if late { "timeout" } else { metrics::result(response) };
        let bytes = response.filter(|_| !self.to_store).map(|response| response.body.len());
        let fetched = bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        let to = if self.to_store { "store" } else { "origin" };
        CallRecord { to, result, took: now.saturating_duration_since(sent), fetched }
    }
}
