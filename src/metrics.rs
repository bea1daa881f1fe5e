//! The names of the metrics. Envoy shows a metric `X` as `wasmcustom.X`, and as `X` to Prometheus.
//!
//! `.label.value` in a name is a label. Envoy's `stats_tags` make it one:
//! `mirror_on_miss_requests_total.outcome.stored` becomes `mirror_on_miss_requests_total{outcome="stored"}`.
//! `docs/operations.md` explains each metric, and a test compares it with a running Envoy.

use crate::http::Response;
use std::fmt;
use std::time::Duration;

/// The name of a metric, in the pieces that it is put together of. Most events are counted under one of few names, so the whole is
/// only written when the metric is defined.
#[derive(Clone, Copy, Debug, Eq)]
pub struct Name {
    /// Bytes of the whole.
    length: usize,
    pieces: [&'static str; 4],
}

/// Most names begin alike, so their lengths are compared first. A piece is mostly the very text of the other one.
impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |(own, theirs): (&&'static str, &&'static str)| std::ptr::eq(*own, *theirs) || own == theirs;
        self.length == other.length && self.pieces.iter().zip(&other.pieces).all(is_same)
    }
}

impl Name {
    fn of(pieces: [&'static str; 4]) -> Self {
        let [name, label, second, value] = pieces.map(str::len);
        Self { length: name.saturating_add(label).saturating_add(second).saturating_add(value), pieces }
    }

    fn labelled(name: &'static str, label: &'static str) -> Self {
        Self::of([name, label, "", ""])
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self::labelled(name, "")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| f.write_str(piece))
    }
}

/// Names the counter of requests that the bucket denied, by their answer: an [`Outcome`](crate::fill::Outcome)'s
/// label, or `bad_request`, `bucket_error`, `deleted`, `forbidden`, `not_the_bucket` for denials that were passed on.
pub fn requests(outcome: &'static str) -> Name {
    Name::labelled("mirror_on_miss_requests_total.outcome.", outcome)
}

/// Names the counter of requests that were refused because a limit was reached, by the limit's name.
pub fn refusals(limit: &'static str) -> Name {
    Name::labelled("mirror_on_miss_refusals_total.limit.", limit)
}

/// Names the counter of fills that ended, by their [`Outcome`](crate::fill::Outcome)'s label.
pub fn fills(outcome: &'static str) -> Name {
    Name::labelled("mirror_on_miss_fills_total.outcome.", outcome)
}

/// Names the counter of times that an origin failed to give an object, so that the rule's next origin was asked or
/// the fill ended. The label is that of the outcome that this made, or would have made.
pub fn origin_failures(reason: &'static str) -> Name {
    Name::labelled("mirror_on_miss_origin_failures_total.reason.", reason)
}

/// Bytes that came from origins in answers to calls.
pub const FETCHED_BYTES: &str = "mirror_on_miss_fetched_bytes_total";

/// Bytes of objects that are in the store, of whole ones and of parts.
pub const STORED_BYTES: &str = "mirror_on_miss_stored_bytes_total";

/// Events of fills that an operator must see, each with a line in the log.
pub const WARNINGS: &str = "mirror_on_miss_warnings_total";

/// The duration of fills, from their first call to their end. A histogram.
pub const FILL_TIME: &str = "mirror_on_miss_fill_milliseconds";

/// Fills that run, in all workers. A gauge.
pub const FILLS_IN_FLIGHT: &str = "mirror_on_miss_fills_in_flight";

/// Clients that are passed to origins, in all workers. A gauge.
pub const STREAMS: &str = "mirror_on_miss_streams";

/// Requests that wait for fills, in all workers. A gauge.
pub const WAITERS: &str = "mirror_on_miss_waiters";

/// Names counters of events that should never happen. They are shown from the start: Prometheus sees no increase in a
/// counter that appears with its first event.
pub fn never() -> [Name; 6] {
    [
        fills("broken"),
        fills("not_stored"),
        origin_failures("corrupt"),
        requests("bucket_error"),
        requests("loop"),
        WARNINGS.into(),
    ]
}

/// The record of a call that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The server that was asked: `origin` or `store`.
    pub to: &'static str,
    /// The class of the status; `timeout`, or `failed` where there was no answer.
    pub result: &'static str,
    /// The time from sending the call to the answer's last byte.
    pub took: Duration,
    /// Bytes that an origin gave.
    pub fetched: u64,
}

impl CallRecord {
    /// Names the counter of calls that ended.
    pub fn count(&self) -> Name {
        Name::of(["mirror_on_miss_calls_total.to.", self.to, ".result.", self.result])
    }

    /// Names the histogram of the calls' duration.
    pub fn time(&self) -> Name {
        Name::labelled("mirror_on_miss_call_milliseconds.to.", self.to)
    }
}

/// Classifies a response for [`CallRecord::result`].
pub fn result(response: Option<&Response>) -> &'static str {
    match response.map(|response| (response.status, response.status / 100)) {
        // Envoy answers in place of a server that does not answer in time.
        Some((504, _)) => "timeout",
        Some((_, 2)) => "2xx",
        Some((_, 3)) => "3xx",
        Some((_, 4)) => "4xx",
        Some((_, 5)) => "5xx",
        _ => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Headers;

    #[test]
    fn a_call_is_counted_by_the_class_of_its_answer() {
        for (status, expected) in [
            (200, "2xx"),
            (206, "2xx"),
            (302, "3xx"),
            (404, "4xx"),
            (499, "4xx"),
            (500, "5xx"),
            (503, "5xx"),
            (504, "timeout"),
            (0, "failed"),
            (101, "failed"),
        ] {
            let response = Response { status, headers: Headers::default(), body: Vec::new() };
            assert_eq!(result(Some(&response)), expected, "{status}");
        }
        assert_eq!(result(None), "failed");
    }
}
