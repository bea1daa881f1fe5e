//! Events of a fill, for the log and the metrics.

use crate::fill::FillKey;
use crate::request::trace::Trace;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// The end of a fill.
#[derive(Debug, PartialEq, Eq)]
pub struct FillEnded {
    pub fill_key: Rc<FillKey>,
    /// [`Outcome::label`](crate::fill::Outcome::label).
    pub outcome: &'static str,
    /// [`Outcome::detail`](crate::fill::Outcome::detail).
    pub detail: String,
    /// Name of the origin that was asked last; empty if none was.
    pub origin: String,
    /// [`Fill::failures`](crate::fill::Fill::failures).
    pub failures: Vec<&'static str>,
    /// The headers that name the request which began it.
    pub trace: Trace,
    /// Bytes that were stored.
    pub stored: u64,
    /// Parts that were stored; 1 for a whole object.
    pub parts: u64,
    /// Streams that waited to the end.
    pub waiters: usize,
    /// The time from its first call to its end.
    pub took: Duration,
}

/// The line in the log, in logfmt: what is not quoted has neither space nor quote in it, whatever the key.
impl fmt::Display for FillEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fill_key, outcome, detail, origin, trace, stored, parts, waiters, took, .. } = self;
        let (key, ms, request_id) = (fill_key.key.encoded(), took.as_millis(), trace.request_id());
        write!(
            f,
            "fill key=/{key} outcome={outcome} detail={detail:?} origin={origin:?} bytes={stored} parts={parts} ms={ms} \
             waiters={waiters} request_id={request_id:?}"
        )
    }
}

/// A fill that goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct Progress {
    pub fill_key: Rc<FillKey>,
    /// Bytes of the part that was stored last.
    pub bytes: u64,
    /// Bytes that are stored.
    pub stored: u64,
    /// Bytes of the object.
    pub total: u64,
    /// It is worth a line in the log: none was written for [`LOG_EVERY`].
    pub log: bool,
}

/// The time between two lines in the log about a fill that goes on.
pub const LOG_EVERY: Duration = Duration::from_secs(10);
