//! Origins, which objects come from.

use std::time::Duration;

/// A server that objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name in the configuration, for logs.
    pub name: String,
    /// Envoy's name of its cluster.
    pub cluster: String,
    /// The `host[:port]` of requests to it.
    pub authority: String,
    /// The path in front of the key.
    pub path_prefix: String,
    /// The URL at which clients reach it directly, without a trailing slash.
    pub public_url: Option<String>,
    /// Bound on one request to it, from sending to the last byte of the answer.
    pub timeout: Duration,
    /// Headers of each request to it; lower-case names.
    pub headers: Vec<(String, String)>,
    /// The redirects that are followed; none without it.
    pub redirects: Option<Redirects>,
}

/// The redirects of an origin that are followed: those to itself, and those to these hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirects {
    /// The most redirects in a row.
    pub follow: u32,
    /// `host[:port]`, without the default port of the scheme, and Envoy's name of the cluster that is asked.
    pub hosts: Vec<(String, String)>,
}
