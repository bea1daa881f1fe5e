//! Origins, which objects come from.

use crate::http::{Headers, Upstream};
use crate::object::content_type;
use std::rc::Rc;
use std::time::Duration;

/// A server that objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name in the configuration, for logs.
    pub name: String,
    /// Its cluster, the `host[:port]` of requests to it, and headers of each of these; lower-case names.
    pub upstream: Rc<Upstream>,
    /// Envoy's name of the cluster that clients are passed through.
    pub stream_cluster: Option<String>,
    /// The path in front of the key.
    pub path_prefix: String,
    /// The URL at which clients reach it directly, without a trailing slash.
    pub public_url: Option<String>,
    /// Bound on one request to it, from sending to the last byte of the answer.
    pub timeout: Duration,
    /// Query parameters of each request to it, encoded: `name=value`. They may be credentials.
    pub parameters: Vec<String>,
    /// The answers that mean that it does not have the object.
    pub missing: Vec<Missing>,
    /// The most requests to it, of all workers; `None` for any number.
    pub rate: Option<Rate>,
    pub redirects: Redirects,
    /// The validator that joins the parts of an object.
    pub pin: Pin,
    /// Its cluster speaks nothing but HTTP/2 or later, where END_STREAM proves the end of an answer without a length
    /// (RFC 9113, 8.1). Over HTTP/1 such an answer ends as a cut one does, and a call does not tell the two apart.
    pub http2: bool,
    /// The `User-Agent` of each request to it.
    pub user_agent: String,
}

/// The `User-Agent` of a configuration without one. Some servers refuse requests without a `User-Agent`.
pub const USER_AGENT: &str = concat!("mirror-on-miss/", env!("CARGO_PKG_VERSION"));

/// The validator that must be equal in two answers of one version of an object. The length always must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// The ETag, weak ones too. An answer without one is pinned as with [`Strong`](Self::Strong).
    Etag,
    /// `Last-Modified`, and not the ETag, which may be another at each node of an origin.
    LastModified,
    /// Nothing else. A change that keeps the length goes unseen.
    Length,
    /// A strong ETag; else a `Last-Modified` that is a second older than the answer (RFC 9110, 8.8.2.2).
    #[default]
    Strong,
}

/// An answer that means that an origin does not have the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its status. 200 stands for 206, too.
    pub status: u16,
    /// The media type that it states, `type/subtype` or `type/*`; `None` for any and none.
    pub content_type: Option<String>,
}

impl Missing {
    /// Tells if it is this answer.
    pub fn is(&self, status: u16, headers: &Headers) -> bool {
        let status = if status == 206 { 200 } else { status };
        let states =
            |range: &String| content_type::stated(headers).is_some_and(|stated| content_type::is_in(range, &stated));
        self.status == status && self.content_type.as_ref().is_none_or(states)
    }
}

/// A rate of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The most requests within [`per`](Self::per), on average; above 0.
    pub requests: u32,
    pub per: Duration,
}

/// The most by which a worker's time may be behind what another one has written. A worker takes the time once, at the beginning of a
/// callback, and reads in it what others write meanwhile. Only more than that says that the clock was set back.
pub const SKEW: Duration = Duration::from_millis(500);

impl Rate {
    /// Takes a turn at `now`, and returns the time that the next call is given; or returns the wait until there is a turn. `next` is
    /// what the last call was given. Up to a second's requests may go out at once. Times are nanoseconds of one clock.
    ///
    /// It is the generic cell rate algorithm (ITU-T I.371), whose only state is that time.
    pub fn take_turn(self, next: u64, now: u64) -> Result<u64, Duration> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let interval = nanos(self.per).checked_div(u64::from(self.requests)).unwrap_or_default().max(1);
        let burst = nanos(Duration::from_secs(1)).checked_div(interval).unwrap_or_default().max(1);
        let latest = now.saturating_add(interval.saturating_mul(burst));
        // More than that is left only if the clock was set back since.
        let from = if next > latest.saturating_add(nanos(SKEW)) { now } else { next.max(now) };
        let given = from.saturating_add(interval);
        match given.checked_sub(latest) {
            None | Some(0) => Ok(given),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }
}

/// The redirects of an origin that are followed, and the fate of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirects {
    /// The most redirects in a row.
    pub follow: u32,
    /// The hosts beside the origin's own: `host[:port]`, without the default port of the scheme, and Envoy's name of the
    /// cluster that is asked.
    pub hosts: Vec<(String, String)>,
    pub others: OtherRedirects,
}

/// The answer to a client where the origin redirects to another path of its own, and that is not followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherRedirects {
    /// A redirect to that path on this host.
    #[default]
    Pass,
    /// A 502, as for redirects to other hosts.
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    #[test]
    fn a_rate_lets_a_seconds_requests_go_at_once_and_then_one_each_interval() {
        let rate = Rate { requests: 300, per: Duration::from_secs(60) };
        let mut next = 0;
        let now = 1_000_000 * MILLISECOND;
        for _ in 0..5 {
            next = rate.take_turn(next, now).unwrap();
        }
        assert_eq!(rate.take_turn(next, now), Err(Duration::from_millis(200)));
        assert_eq!(rate.take_turn(next, now + 150 * MILLISECOND), Err(Duration::from_millis(50)));
        next = rate.take_turn(next, now + 200 * MILLISECOND).unwrap();
        assert_eq!(rate.take_turn(next, now + 200 * MILLISECOND), Err(Duration::from_millis(200)));

        let slow = Rate { requests: 1, per: Duration::from_secs(60) };
        let next = slow.take_turn(0, now).unwrap();
        assert_eq!(slow.take_turn(next, now), Err(Duration::from_secs(60)), "one at least goes at once");
    }

    #[test]
    fn a_clock_that_is_set_back_never_keeps_an_origin_from_being_asked() {
        let rate = Rate { requests: 1, per: Duration::from_secs(1) };
        let hour = 3_600_000 * MILLISECOND;
        let next = rate.take_turn(0, 2 * hour).unwrap();
        assert!(rate.take_turn(next, hour).is_ok());
    }

    #[test]
    fn a_worker_whose_time_is_a_little_behind_has_no_other_second_of_requests() {
        let rate = Rate { requests: 10, per: Duration::from_secs(1) };
        let now = 3_600_000 * MILLISECOND;
        let next = (0..10).fold(0, |next, _| rate.take_turn(next, now).unwrap());
        assert_eq!(rate.take_turn(next, now - 50 * MILLISECOND), Err(Duration::from_millis(150)));
    }
}
