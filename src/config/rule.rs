//! Rules: which of them serves a request, and where the origin has its object.

use super::origin::Origin;
use crate::http::Method;
use crate::object::content_type;
use crate::object::key::Spellings;
use crate::object::metadata::KeptMetadata;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use std::fmt::Write;
use std::rc::Rc;

/// A choice of requests, and the way in which they are mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The start of the key, decoded; empty for every key.
    pub prefix: String,
    /// The ends of the key, one of which it must have; empty for every key.
    pub suffixes: Vec<String>,
    /// The methods; empty for all.
    pub methods: Vec<Method>,
    /// `None` leaves the bucket's answers as they are.
    pub mirror: Option<Rc<Mirror>>,
}

impl Rule {
    /// Tells if the rule matches a request, by this spelling of its key.
    pub fn is_for(&self, method: Method, key: &str) -> bool {
        key.starts_with(&self.prefix)
            && (self.suffixes.is_empty() || self.suffixes.iter().any(|suffix| key.ends_with(suffix)))
            && (self.methods.is_empty() || self.methods.contains(&method))
    }
}

/// Finds the first rule that matches: by the spelling that decides, unless that of the other spelling mirrors nothing.
pub fn deciding<'a>(rules: &'a [Rule], method: Method, spellings: Spellings<'_>) -> Option<&'a Rule> {
    let rule_for = |spelling| rules.iter().find(|rule| rule.is_for(method, spelling));
    rule_for(spellings.other).filter(|rule| rule.mirror.is_none()).or_else(|| rule_for(spellings.deciding))
}

/// Returns the deciding rule's way of mirroring. `None` if the object is not mirrored.
pub fn mirror_for<'a>(rules: &'a [Rule], method: Method, spellings: Spellings<'_>) -> Option<&'a Rc<Mirror>> {
    let mirror = deciding(rules, method, spellings)?.mirror.as_ref()?;
    let off = method == Method::Head && mirror.on_head == OnHead::Off;
    (!off).then_some(mirror)
}

/// Lists everything that is tried for an object, in order. When the origins of one rule say that they do not have the
/// object, the next rule's are asked. The list ends at a rule that mirrors nothing and matches one of the key's spellings.
pub fn chain(rules: &[Rule], method: Method, spellings: Spellings<'_>) -> Vec<Rc<Mirror>> {
    let mut chain = Vec::new();
    for rule in rules {
        let decides = rule.is_for(method, spellings.deciding);
        match &rule.mirror {
            Some(mirror) if decides && mirror.observe => break,
            Some(mirror) if decides => chain.push(mirror.clone()),
            None if decides || rule.is_for(method, spellings.other) => break,
            Some(_) | None => {}
        }
    }
    chain
}

/// A rule's way of filling the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// Origins in order: when one is unavailable, the next is asked. Never empty.
    pub origins: Vec<Rc<Origin>>,
    /// The start of the keys that the origins do not know: whole segments, decoded, with a leading slash.
    pub strip_prefix: String,
    /// The start that the origins have in its place; of the same form.
    pub add_prefix: String,
    /// Names of query parameters that the origins get.
    pub query: Vec<String>,
    /// Names of request headers that the origins get, in lower case.
    pub request_headers: Vec<String>,
    /// Media types that may be stored, `type/subtype` or `type/*`, in lower case; empty for all.
    pub content_types: Vec<String>,
    /// The value that is stored in place of the origin's `Cache-Control`.
    pub cache_control: Option<String>,
    /// The user metadata of the origins that is stored.
    pub metadata: Vec<KeptMetadata>,
    /// The fate of an object that its origin lets no cache store.
    pub private: Private,
    /// An origin's `application/octet-stream` is replaced by what the key's extension says.
    pub guess_types: bool,
    /// The answer to a client when the object can be had.
    pub response: ResponseMode,
    /// The meaning of a 403.
    pub on_403: On403,
    /// The effect of a HEAD.
    pub on_head: OnHead,
    /// The answer to a client when the object cannot be stored.
    pub too_large: TooLarge,
    /// The answer to a client whose time is over.
    pub on_wait: OnWait,
    /// The answer to a client while the bucket fails.
    pub on_5xx: On5xx,
    /// A miss is only counted; nothing is fetched.
    pub observe: bool,
    /// The object is handed out, and never stored.
    pub unstored: bool,
}

impl Mirror {
    /// Returns the URL at which a client may fetch the object directly: below the `public_url` of the first origin
    /// that has one.
    pub fn public_location(&self, key: &str, query: Option<&str>) -> Option<String> {
        self.public_location_of(0, key, query)
    }

    /// Returns the same for a client whose object was asked of the origin with this index: below that one's own
    /// `public_url`, if it has one.
    pub fn public_location_of(&self, origin: usize, key: &str, query: Option<&str>) -> Option<String> {
        let public_url = |origin: &'_ Rc<Origin>| origin.public_url.clone();
        let own = self.origins.get(origin).and_then(public_url);
        let base = &own.or_else(|| self.origins.iter().find_map(public_url))?;
        Some(self.url(base, key, query.into_iter().flat_map(|query| query.split('&'))))
    }

    /// Returns the path for a request to an origin, with those of the parameters `name=value` that it gets.
    pub fn path(&self, origin: &Origin, key: &str, parameters: &[String]) -> String {
        self.url(&origin.path_prefix, key, parameters.iter().map(String::as_str))
    }

    /// Finds the key that clients write for one that the origins know, decoded: the inverse of [`path`](Self::path).
    /// `None` if no key of the rule leads there.
    pub fn key_of(&self, at_origin: &str) -> Option<String> {
        let rest = match self.add_prefix.strip_prefix('/') {
            Some(added) => at_origin.strip_prefix(added)?.strip_prefix('/')?,
            None => at_origin,
        };
        Some(match self.strip_prefix.strip_prefix('/') {
            Some(stripped) => format!("{stripped}/{rest}"),
            None => rest.to_owned(),
        })
    }

    /// Tells if the origins get a parameter of a client's query. Names are compared percent-decoded.
    pub fn passes(&self, parameter: &str) -> bool {
        let name = url::form_urlencoded::parse(parameter.as_bytes()).next().map(|(name, _)| name).unwrap_or_default();
        self.query.iter().any(|allowed| *allowed == name)
    }

    /// Tells if an object of this type may be stored.
    pub fn accepts(&self, content_type: &str) -> bool {
        self.content_types.is_empty() || self.content_types.iter().any(|range| content_type::is_in(range, content_type))
    }

    fn url<'a>(&self, base: &str, key: &str, parameters: impl Iterator<Item = &'a str>) -> String {
        let segments = self.strip_prefix.strip_prefix('/').and_then(|stripped| key.strip_prefix(stripped));
        // The rest behind whole segments begins with a slash; a key itself does not.
        let rest = segments.and_then(|rest| rest.strip_prefix('/')).unwrap_or(key);
        let mut url = base.to_owned();
        url.extend(encoded(&self.add_prefix).chain(["/"]).chain(encoded(rest)));
        for (number, parameter) in parameters.filter(|parameter| self.passes(parameter)).enumerate() {
            let _ = write!(url, "{}{parameter}", if number == 0 { '?' } else { '&' });
        }
        url
    }
}

/// The characters that a path does not have as they are (RFC 3986, 3.3). A `+` is one: some servers take it for a space. The
/// bucket gets another encoding, AWS's, which encodes more: origins such as imgproxy read `%3A` as another path than `:`.
const NOT_IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// Encodes a decoded path for an origin.
fn encoded(path: &str) -> PercentEncode<'_> {
    utf8_percent_encode(path, NOT_IN_A_PATH)
}

/// The answer to a client when the object can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseMode {
    /// A 302 to the origin's `public_url` at once. The bucket is filled meanwhile.
    Origin,
    /// A 302 to the same URL, when the object is stored.
    #[default]
    Redirect,
    /// The object itself as soon as it is at hand. It is stored meanwhile. For an object of several parts the client is
    /// passed to the origin. Where no client may be, it is answered as with [`Redirect`](Self::Redirect).
    Serve,
}

/// The meaning of a 403 with the code `AccessDenied`, or without a code that can be read. S3 answers so for a missing
/// key when the reader may not list the bucket, and for an existing key that the reader may not read.
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

/// The effect of a HEAD of a missing object.
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

/// The fate of an object whose origin says `Cache-Control: private` or `no-store`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Private {
    /// It is handed out, and not stored.
    Skip,
    /// It is stored like any other: the bucket is no cache, it takes the origin's place.
    #[default]
    Store,
}

/// The answer to a client when the object is larger than may be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooLarge {
    /// A 502.
    Error,
    /// A 302 to `public_url` if there is one. Else the client is passed to the origin, if that may be, and gets a 502 if not.
    #[default]
    Origin,
}

/// The answer to a client while the bucket fails: with 500, 502, 503 or 504, or because it cannot be reached or is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum On5xx {
    /// The origin's object. Nothing is stored.
    Origin,
    /// The bucket's own.
    #[default]
    Pass,
}

/// The answer to a client whose time is over, while the fill goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnWait {
    /// A 503.
    Busy,
    /// A 302 to `public_url` if there is one. Else the client is passed to the origin, if that may be.
    #[default]
    Origin,
}
