//! HTTP messages as the core sees them: owned, with header values as bytes, and without a host type.

use std::rc::Rc;
use url::Url;

/// The content of a message. It is shared, because an object that is being stored may also have to be served, and is
/// too large for a copy.
pub type Body = Rc<Vec<u8>>;

/// The methods that a fill or a client's request can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Abort an upload.
    Delete,
    /// Fetch an object.
    Get,
    /// Ask for an object's headers.
    Head,
    /// Create or complete an upload.
    Post,
    /// Store an object, or a part of one.
    Put,
}

impl Method {
    /// Returns the method as it stands in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// A server that a fill sends requests to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Envoy's name of the cluster.
    pub cluster: String,
    /// The request's authority.
    pub authority: String,
    /// Headers of each request to it, beside the request's own.
    pub headers: Vec<(String, String)>,
}

/// A request of a fill. The authority is not part of it: it belongs to the [`Upstream`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// Path in its canonical encoding, with the query if there is one.
    pub path: String,
    /// Lower-case names; values are visible ASCII.
    pub headers: Vec<(&'static str, String)>,
    /// Headers with names that are not known beforehand, of the same form.
    pub metadata: Vec<(String, String)>,
    /// Empty for every method but PUT and POST.
    pub body: Body,
}

/// A complete response to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code; 0 where the host gave none that can be read.
    pub status: u16,
    /// All headers, pseudo-headers included.
    pub headers: Headers,
    /// The whole content.
    pub body: Vec<u8>,
}

impl Response {
    /// Makes the response that replaces an answer that did not come in time.
    pub fn timed_out() -> Self {
        Self { status: 504, headers: Headers::default(), body: Vec::new() }
    }
}

/// Response headers: lower-case names, values as the bytes that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// Makes headers from pairs. Names are expected in lower case, as Envoy gives them.
    pub fn new(pairs: Vec<(String, Vec<u8>)>) -> Self {
        Self(pairs)
    }

    /// Returns the first value of `name`, if it is visible ASCII (with inner spaces and tabs).
    ///
    /// Other bytes cannot be given to Envoy again (its ABI takes UTF-8), and S3 cannot store them (its header values
    /// are ASCII). So a header with such bytes counts as absent everywhere in this crate.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).and_then(|(_, value)| readable(value))
    }

    /// Iterates over the values of `name` that are visible ASCII, in their order.
    pub fn texts<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).filter_map(|(_, value)| readable(value))
    }

    /// Iterates over the headers that `known` finds by their names and whose values are visible ASCII, in their order.
    pub fn known<K>(&self, known: impl Fn(&str) -> Option<K>) -> impl Iterator<Item = (K, &str)> {
        self.0.iter().filter_map(move |(name, value)| Some((known(name)?, readable(value)?)))
    }

    /// Iterates over the names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the values of `name` as the bytes that came, without the whitespace around them.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.trim_ascii())
    }

    /// Returns the value of a header that came once. `None` where several came: no reader knows which one counts.
    pub fn only(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        let value = values.next().and_then(readable);
        value.filter(|_| values.next().is_none())
    }

    /// Tells if a header of this name came, readable or not.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// Returns the status code of `:status`, 0 if there is none.
    pub fn status(&self) -> u16 {
        self.text(":status").and_then(|s| s.parse().ok()).unwrap_or(0)
    }
}

fn readable(mut value: &[u8]) -> Option<&str> {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    std::str::from_utf8(value).ok().filter(|text| is_field_value(text))
}

/// Tells if a text can be sent as a header's value to any server: not empty, visible ASCII, spaces, tabs.
pub fn is_field_value(text: &str) -> bool {
    let is_visible = |b: u8| b == b'\t' || (b' '..=b'~').contains(&b);
    // Nearly all texts can, so a look at every byte costs less than a stop at the first that is wrong.
    !text.is_empty() && text.bytes().fold(true, |visible, b| visible & is_visible(b))
}

/// Tells if a text is `host` or `host:port` and nothing else.
pub fn is_authority(text: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{text}/")) else { return false };
    url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && !text.contains(['/', '\\', '@', '?', '#'])
        && is_field_value(text)
        && !text.contains([' ', '\t'])
}

/// `Content-Range: bytes FIRST-LAST/TOTAL` of a 206 (RFC 9110, 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte, inclusive, not below `first`.
    pub last: u64,
    /// Length of the whole representation, above `last`.
    pub total: u64,
}

impl ContentRange {
    /// Reads the header's value. `None` for another unit, for an unknown total (`*`) and for a value that contradicts
    /// itself.
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.split_once(' ')?;
        let (range, total) = rest.trim_start().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let parsed = Self { first: digits(first)?, last: digits(last)?, total: digits(total)? };
        let valid = unit.eq_ignore_ascii_case("bytes") && parsed.first <= parsed.last && parsed.last < parsed.total;
        valid.then_some(parsed)
    }

    /// Returns the number of bytes in the range.
    pub fn length(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// Reads `1*DIGIT`, as RFC 9110 writes lengths: without a sign, which Rust's own parser would take.
pub fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_range_is_read_only_when_it_is_consistent() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        for (value, expected) in [
            ("bytes 0-4/5", range(0, 4, 5)),
            ("Bytes 2-2/9", range(2, 2, 9)),
            ("bytes 0-5/5", None),
            ("bytes 4-3/9", None),
            ("bytes 0-4/*", None),
            ("bytes */5", None),
            ("bytes +0-4/5", None),
            ("items 0-4/5", None),
            ("bytes 0-18446744073709551616/18446744073709551617", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(value), expected, "{value:?}");
        }
    }

    #[test]
    fn header_values_that_are_not_visible_ascii_count_as_absent() {
        let headers = Headers::new(vec![
            ("content-type".into(), b" text/plain ".to_vec()),
            ("content-disposition".into(), b"attachment; filename=\"n\xe4me\"".to_vec()),
            ("x-empty".into(), Vec::new()),
        ]);
        assert_eq!(headers.text("content-type"), Some("text/plain"));
        assert_eq!(headers.text("content-disposition"), None);
        assert!(headers.contains("content-disposition"));
        assert_eq!(headers.text("x-empty"), None);
        assert_eq!(headers.text("etag"), None);
    }
}
