//! Which rule serves a request, and where at an origin its object is.

use super::origin::Origin;
use crate::http::Method;
use crate::object::key::{Encoded, Key};
use std::fmt::Write;
use std::rc::Rc;

/// Which requests are mirrored, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What the key begins with, decoded; empty for every key.
    pub prefix: String,
    /// What the key ends with, one of them; empty for every key.
    pub suffixes: Vec<String>,
    /// The methods that it is for; empty for all.
    pub methods: Vec<Method>,
    /// `None` leaves the bucket's answers as they are.
    pub mirror: Option<Rc<Mirror>>,
}

impl Rule {
    /// Whether it is for a request.
    pub fn is_for(&self, method: Method, key: &Key) -> bool {
        key.as_str().starts_with(&self.prefix)
            && (self.suffixes.is_empty() || self.suffixes.iter().any(|suffix| key.as_str().ends_with(suffix)))
            && (self.methods.is_empty() || self.methods.contains(&method))
    }
}

/// How an object is mirrored: by the first rule that is for it. `None` if it is not.
pub fn mirror_for<'a>(rules: &'a [Rule], method: Method, key: &Key) -> Option<&'a Rc<Mirror>> {
    let mirror = rules.iter().find(|rule| rule.is_for(method, key))?.mirror.as_ref()?;
    let off = method == Method::Head && mirror.on_head == OnHead::Off;
    (!off).then_some(mirror)
}

/// Everything that is tried for an object, in order: when the origins of one say that they do not have it, the next is
/// asked. Ends where a rule mirrors nothing.
pub fn chain(rules: &[Rule], method: Method, key: &Key) -> Vec<Rc<Mirror>> {
    let matching = rules.iter().filter(|rule| rule.is_for(method, key));
    let mirrors = matching.map_while(|rule| rule.mirror.as_ref().filter(|mirror| !mirror.observe));
    mirrors.cloned().collect()
}

/// How a rule fills the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// Asked in order: the next one when one is unavailable. Never empty.
    pub origins: Vec<Origin>,
    /// What the keys begin with that the origins do not know: whole segments, decoded, with a leading slash.
    pub strip_prefix: String,
    /// What the origins have in its place; of the same form.
    pub add_prefix: String,
    /// Names of query parameters that the origins get.
    pub query: Vec<String>,
    /// Names of request headers that the origins get, in lower case.
    pub request_headers: Vec<String>,
    /// Media types that may be stored, `type/subtype` or `type/*`, in lower case; empty for all.
    pub content_types: Vec<String>,
    /// Stored in the place of the origin's `Cache-Control`.
    pub cache_control: Option<String>,
    /// An origin's `application/octet-stream` is replaced by what the key's extension says.
    pub guess_types: bool,
    /// What a client gets whose object can be had.
    pub response: ResponseMode,
    /// What a 403 means.
    pub on_403: On403,
    /// What a HEAD leads to.
    pub on_head: OnHead,
    /// What a client gets whose object cannot be stored.
    pub too_large: TooLarge,
    /// Nothing is fetched, only counted.
    pub observe: bool,
}

impl Mirror {
    /// Where a client may fetch an object itself: at the `public_url` of the first origin that has one.
    pub fn public_location(&self, key: &Key, query: Option<&str>) -> Option<String> {
        let base = self.origins.iter().find_map(|origin| origin.public_url.as_deref())?;
        Some(self.url(base, key, query.into_iter().flat_map(|query| query.split('&'))))
    }

    /// The path that an origin is asked for, with those of the parameters `name=value` that it gets.
    pub fn path(&self, origin: &Origin, key: &Key, parameters: &[String]) -> String {
        self.url(&origin.path_prefix, key, parameters.iter().map(String::as_str))
    }

    /// Whether a parameter of a client's query is one that the origins get. Names are compared percent-decoded.
    pub fn passes(&self, parameter: &str) -> bool {
        let name = url::form_urlencoded::parse(parameter.as_bytes()).next().map(|(name, _)| name).unwrap_or_default();
        self.query.iter().any(|allowed| *allowed == name)
    }

    /// Whether an object of this type may be stored.
    pub fn accepts(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let matches = |allowed: &String| match allowed.strip_suffix('*') {
            Some(range) => essence.starts_with(range),
            None => essence == *allowed,
        };
        self.content_types.is_empty() || self.content_types.iter().any(matches)
    }

    fn url<'a>(&self, base: &str, key: &Key, parameters: impl Iterator<Item = &'a str>) -> String {
        let segments = self.strip_prefix.strip_prefix('/').and_then(|stripped| key.as_str().strip_prefix(stripped));
        // What is left behind whole segments begins with a slash; a key itself does not.
        let rest = segments.and_then(|rest| rest.strip_prefix('/')).unwrap_or(key.as_str());
        let mut url = format!("{base}{}/{}", Encoded::of(&self.add_prefix), Encoded::of(rest));
        for (number, parameter) in parameters.filter(|parameter| self.passes(parameter)).enumerate() {
            let _ = write!(url, "{}{parameter}", if number == 0 { '?' } else { '&' });
        }
        url
    }
}

/// What a client gets whose object can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseMode {
    /// A 302 to the origin's `public_url` at once; the bucket is filled meanwhile.
    Origin,
    /// A 302 to the same URL, when the object is stored.
    #[default]
    Redirect,
    /// The object itself as soon as it is at hand, which is stored meanwhile. Objects of several parts as with
    /// [`Redirect`](Self::Redirect).
    Serve,
}

/// What a 403 with the code `AccessDenied`, or with none that can be read, is taken for. S3 says it for a missing key
/// when the reader may not list the bucket, and for an existing one that the reader may not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum On403 {
    /// Ask the bucket with the writer's HEAD.
    #[default]
    Check,
    /// It is never a miss.
    Ignore,
    /// It is always a miss.
    Miss,
}

/// What a HEAD of a missing object leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnHead {
    /// The same as a GET.
    #[default]
    Fill,
    /// The bucket's answer stays as it is.
    Off,
    /// The origin's headers; nothing is stored.
    Origin,
}

/// What a client gets whose object is larger than may be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooLarge {
    /// A 502.
    Error,
    /// A 302 to `public_url` if there is one, else a 502.
    #[default]
    Origin,
}
