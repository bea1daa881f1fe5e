//! An origin: where objects come from.

use std::time::Duration;

/// Where objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name in the configuration, for logs.
    pub name: String,
    /// Envoy's name of its cluster.
    pub cluster: String,
    /// The `host[:port]` that it is asked for.
    pub authority: String,
    /// What stands before the key in its paths.
    pub path_prefix: String,
    /// Where clients reach it themselves, without a trailing slash.
    pub public_url: Option<String>,
    /// Bound on one request to it, from sending to the last byte of the answer.
    pub timeout: Duration,
    /// Sent with each request to it; lower-case names.
    pub headers: Vec<(String, String)>,
    /// Which of its redirects are followed; none without it.
    pub redirects: Option<Redirects>,
}

/// Which redirects of an origin are followed: those to itself, and those to these hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirects {
    /// How many in a row.
    pub follow: u32,
    /// `host[:port]`, without the port that the scheme has by default, and Envoy's name of the cluster that is asked.
    pub hosts: Vec<(String, String)>,
}
