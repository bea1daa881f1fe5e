//! Origins, which objects come from.

use std::time::Duration;

/// A server that objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name in the configuration, for logs.
    pub name: String,
    /// Envoy's name of its cluster.
    pub cluster: String,
    /// Envoy's name of the cluster that clients are passed through.
    pub stream_cluster: Option<String>,
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

/// The redirects of an origin that are followed: those to itself, and those to these hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirects {
    /// The most redirects in a row.
    pub follow: u32,
    /// `host[:port]`, without the default port of the scheme, and Envoy's name of the cluster that is asked.
    pub hosts: Vec<(String, String)>,
}
