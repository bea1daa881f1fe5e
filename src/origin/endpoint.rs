//! Where an object is asked for: at an origin, or where that redirects to.

use crate::config::rule::Mirror;
use crate::config::{Origin, Redirects};
use crate::http::{Headers, Upstream};
use crate::request::forwarded::Forwarded;
use std::time::Duration;
use url::Url;

/// Where an object is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Who is asked.
    pub upstream: Upstream,
    /// The path, with the query if there is one.
    pub path: String,
    /// Bound on one request.
    pub timeout: Duration,
    /// The origin's URL of the object without scheme and query, whatever it redirects to.
    pub url: String,
    redirects: Option<Redirects>,
}

impl Endpoint {
    /// Builds the endpoint at an origin of a rule, for the key as origins know it. The client's headers and parameters go there
    /// only as far as the rule lists them.
    pub fn at(origin: &Origin, mirror: &Mirror, key: &str, forwarded: &Forwarded) -> Self {
        let mut headers = origin.headers.clone();
        for (name, value) in &forwarded.headers {
            let own = headers.iter().any(|(own, _)| own == name);
            if !own && mirror.request_headers.contains(name) {
                headers.push((name.clone(), value.clone()));
            }
        }
        let (cluster, authority) = (origin.cluster.clone(), origin.authority.clone());
        let url = format!("//{authority}{}", mirror.path(origin, key, &[]));
        Self {
            upstream: Upstream { cluster, authority, headers },
            path: mirror.path(origin, key, &forwarded.query),
            timeout: origin.timeout,
            url,
            redirects: origin.redirects.clone(),
        }
    }

    /// Where an answer of this place redirects to, if that may be followed: to itself, or to a listed host. Another host
    /// gets none of the origin's headers, which may be credentials.
    pub fn redirected(&self, status: u16, headers: &Headers) -> Option<Self> {
        let mut redirects = self.redirects.clone()?;
        redirects.follow = redirects.follow.checked_sub(1)?;
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let Upstream { cluster, authority, headers: own } = &self.upstream;
        // Whether the origin is asked by TLS is its cluster's business; either scheme resolves a reference alike.
        let base = Url::parse(&format!("http://{authority}{}", self.path)).ok()?;
        let to = base.join(headers.text("location")?).ok()?;
        if !matches!(to.scheme(), "http" | "https") || !to.username().is_empty() || to.password().is_some() {
            return None;
        }
        let upstream = if to.host_str() == base.host_str() && to.port() == base.port() {
            Upstream { cluster: cluster.clone(), authority: authority.clone(), headers: own.clone() }
        } else {
            let host = to.host_str()?;
            let authority = to.port().map(|port| format!("{host}:{port}")).unwrap_or(host.to_owned());
            let (_, cluster) = redirects.hosts.iter().find(|(host, _)| host.eq_ignore_ascii_case(&authority))?;
            Upstream { cluster: cluster.clone(), authority, headers: Vec::new() }
        };
        let path = match to.query() {
            Some(query) => format!("{}?{query}", to.path()),
            None => to.path().to_owned(),
        };
        Some(Self { upstream, path, timeout: self.timeout, url: self.url.clone(), redirects: Some(redirects) })
    }
}

#[cfg(test)]
mod tests;
