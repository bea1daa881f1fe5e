//! The names of what is counted. Envoy shows a metric `X` as `wasmcustom.X`, and as `X` to Prometheus.
//!
//! The last part of a name is a label's value, which Envoy's `stats_tags` turn into one:
//! `mirror_on_miss_requests_total.outcome.stored` into `mirror_on_miss_requests_total{outcome="stored"}`.

/// Requests that the bucket denied, by what they got: an [`Outcome`](crate::fill::Outcome)'s label, or
/// `bucket_error`, `forbidden`, `not_the_bucket` for denials that were passed on.
pub fn requests(outcome: &str) -> String {
    format!("mirror_on_miss_requests_total.outcome.{outcome}")
}

/// Requests that were refused because a limit was reached, by the limit's name.
pub fn refusals(limit: &str) -> String {
    format!("mirror_on_miss_refusals_total.limit.{limit}")
}

/// Bytes of objects that are in the store, of whole ones and of parts.
pub const STORED_BYTES: &str = "mirror_on_miss_stored_bytes_total";

/// Fills that ended, by their [`Outcome`](crate::fill::Outcome)'s label.
pub fn fills(outcome: &str) -> String {
    format!("mirror_on_miss_fills_total.outcome.{outcome}")
}
