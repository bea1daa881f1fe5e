//! Where an object is asked for: at an origin, or where that redirects to.

use crate::config::rule::Mirror;
use crate::config::{Origin, OtherRedirects};
use crate::http::{Headers, Upstream};
use crate::object::key::{Key, has_dot_segment};
use crate::object::metadata::KeptMetadata;
use crate::request::forwarded::Forwarded;
use percent_encoding::percent_decode_str;
use std::rc::Rc;
use url::Url;

/// Where an object is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The server that is asked.
    pub upstream: Rc<Upstream>,
    /// The path, with the query if there is one, but for `parameters`.
    path: String,
    /// Parameters of the origin's own, encoded. They may be credentials, so only [`target`](Self::target) has them.
    parameters: Vec<String>,
    /// The origin itself.
    pub origin: Rc<Origin>,
    /// The origin's URL of the object without scheme and query, whatever it redirects to.
    pub url: String,
    /// An answer without a length has a proven end.
    pub http2: bool,
    /// A stated type that says nothing is replaced by what the key's extension says.
    pub guess_types: bool,
    /// The user metadata that is stored.
    pub metadata: Vec<KeptMetadata>,
    /// The most redirects that may still be followed.
    follow: u32,
    /// It is the origin itself, and no host that it redirects to.
    own: bool,
}

/// A redirect of an origin to another path of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRedirect {
    /// The key as the origin knows it, decoded.
    pub key: String,
    /// The query, if the redirect has one.
    pub query: Option<String>,
}

/// The place that an origin redirects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Envoy's name of the cluster.
    pub cluster: String,
    pub authority: String,
    /// The path, with the query if there is one.
    pub path: String,
    /// It gets the origin's own headers and parameters.
    pub is_own: bool,
}

impl Endpoint {
    /// Returns the place to which this one has moved from another, if it has.
    pub fn moved(&self, from: &Self) -> Option<Moved> {
        let Upstream { cluster, authority, headers } = Upstream::clone(&self.upstream);
        let is_own = headers == from.upstream.headers && self.parameters == from.parameters;
        let moved = Moved { cluster, authority, path: self.path.clone(), is_own };
        let stays = is_own && moved.path == from.path && moved.authority == from.upstream.authority;
        (!stays).then_some(moved)
    }

    /// Moves to that place.
    pub fn moved_to(mut self, moved: &Moved) -> Self {
        let upstream = Rc::make_mut(&mut self.upstream);
        upstream.cluster.clone_from(&moved.cluster);
        upstream.authority.clone_from(&moved.authority);
        upstream.headers.retain(|_| moved.is_own);
        self.parameters.retain(|_| moved.is_own);
        self.path.clone_from(&moved.path);
        self
    }

    /// Builds the endpoint at an origin of a rule, for the key as origins know it. The client's headers and parameters go there
    /// only as far as the rule lists them.
    pub fn at(origin: &Rc<Origin>, mirror: &Mirror, key: &str, forwarded: &Forwarded) -> Self {
        let mut upstream = origin.upstream.clone();
        for (name, value) in &forwarded.headers {
            let own = upstream.headers.iter().any(|(own, _)| own == name);
            if !own && mirror.request_headers.contains(name) {
                Rc::make_mut(&mut upstream).headers.push((name.clone(), value.clone()));
            }
        }
        let own = |parameter: &&String| !origin.parameters.iter().any(|own| name_of(own) == name_of(parameter));
        let query: Vec<_> = forwarded.query.iter().filter(own).cloned().collect();
        let path = mirror.path(origin, key, &[]);
        let url = ["//", upstream.authority.as_str(), path.as_str()].concat();
        Self {
            upstream,
            path: if query.is_empty() { path } else { mirror.path(origin, key, &query) },
            parameters: origin.parameters.clone(),
            origin: origin.clone(),
            url,
            http2: origin.http2,
            guess_types: mirror.guess_types,
            metadata: mirror.metadata.clone(),
            follow: origin.redirects.follow,
            own: true,
        }
    }

    /// Returns the path without the origin's own parameters, which may be credentials.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the path and the whole query, for a request. Nothing else may have it.
    pub fn target(&self) -> String {
        let mut target = self.path.clone();
        let (_, query) = self.path.split_once('?').unwrap_or_default();
        for parameter in &self.parameters {
            // An origin that redirects to itself may have written it into `Location`.
            if !query.split('&').any(|there| name_of(there) == name_of(parameter)) {
                target.push(if target.contains('?') { '&' } else { '?' });
                target.push_str(parameter);
            }
        }
        target
    }

    /// Tells if an answer means that there is no such object.
    pub fn lacks(&self, status: u16, headers: &Headers) -> bool {
        self.origin.missing.iter().any(|missing| missing.is(status, headers))
    }

    /// Follows a redirect of this endpoint, if that is allowed: to the endpoint itself, or to a listed host.
    /// Another host gets none of the origin's headers and parameters, which may be credentials. Nor does a path outside of the
    /// origin's `path_prefix`, which may be somebody else's.
    pub fn redirected(&self, status: u16, headers: &Headers) -> Option<Self> {
        let follow = self.follow.checked_sub(1)?;
        let to = self.target_of(status, headers)?;
        let mut own = self.own;
        let mut parameters = Vec::new();
        let (upstream, http2) = if self.is_at(&to) {
            let mut upstream = self.upstream.clone();
            if self.owns(to.path()) {
                parameters.clone_from(&self.parameters);
            } else {
                Rc::make_mut(&mut upstream).headers.clear();
            }
            (upstream, self.http2)
        } else {
            own = false;
            let host = to.host_str()?;
            let authority = to.port().map(|port| format!("{host}:{port}")).unwrap_or(host.to_owned());
            let (_, cluster) =
                self.origin.redirects.hosts.iter().find(|(host, _)| host.eq_ignore_ascii_case(&authority))?;
            (Rc::new(Upstream { cluster: cluster.clone(), authority, headers: Vec::new() }), false)
        };
        let path = match to.query() {
            Some(query) => format!("{}?{query}", to.path()),
            None => to.path().to_owned(),
        };
        Some(Self { upstream, path, parameters, http2, follow, own, ..self.clone() })
    }

    /// Reads a redirect that is not followed, if clients may get it: one to a path of the origin's own.
    pub fn own_redirect(&self, status: u16, headers: &Headers) -> Option<OwnRedirect> {
        let to = self.target_of(status, headers)?;
        let passes =
            self.origin.redirects.others == OtherRedirects::Pass && self.own && self.is_at(&to) && self.owns(to.path());
        let path = to.path().strip_prefix(self.origin.path_prefix.as_str())?.strip_prefix('/').filter(|_| passes)?;
        let key = Key::from_path(path.as_bytes()).ok()?;
        Some(OwnRedirect { key: key.as_str().to_owned(), query: to.query().and_then(|query| self.public(query)) })
    }

    /// Takes the origin's own parameters, which it may have written into `Location`, off a query.
    fn public(&self, query: &str) -> Option<String> {
        let names = |own: &String, there: &str| name_of(own) == name_of(there);
        let rest = query.split('&').filter(|there| !self.parameters.iter().any(|own| names(own, there)));
        let rest: Vec<_> = rest.collect();
        (!rest.is_empty()).then(|| rest.join("&"))
    }

    /// Resolves the `Location` of a redirect. `None` for another answer, and for a URL that no client may follow blindly.
    fn target_of(&self, status: u16, headers: &Headers) -> Option<Url> {
        if !matches!(status, 301 | 302 | 303 | 307 | 308) || self.lacks(status, headers) {
            return None;
        }
        let to = self.base()?.join(headers.text("location")?).ok()?;
        let plain = matches!(to.scheme(), "http" | "https") && to.username().is_empty() && to.password().is_none();
        plain.then_some(to)
    }

    /// Returns the URL against which a reference is resolved. The cluster decides between HTTP and HTTPS; the port may tell.
    fn base(&self) -> Option<Url> {
        let scheme = if self.port() == Some(443) { "https" } else { "http" };
        Url::parse(&format!("{scheme}://{}{}", self.upstream.authority, self.path)).ok()
    }

    fn port(&self) -> Option<u16> {
        self.upstream.authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
    }

    /// Tells if a URL is of this host and port. An authority without a port has the scheme's own, in either scheme.
    fn is_at(&self, url: &Url) -> bool {
        let same_port = match self.port() {
            Some(port) => url.port_or_known_default() == Some(port),
            None => url.port().is_none(),
        };
        same_port && self.base().is_some_and(|base| base.host_str() == url.host_str())
    }

    /// Tells if every server reads a path as one below the origin's prefix.
    fn owns(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.origin.path_prefix.as_str());
        // Some servers, or a proxy before them, decode twice.
        let twice = path.replace("%25", "%");
        let decoded = percent_decode_str(&twice).decode_utf8_lossy();
        !has_dot_segment(&decoded) && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Returns the name of a parameter `name=value`, as it is written.
fn name_of(parameter: &str) -> &str {
    parameter.split('=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
