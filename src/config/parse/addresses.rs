//! Kinds of values that are addresses: hosts, paths and URLs.

use super::reader::Kind;
use crate::config::model::Location;
use crate::http::is_authority;
use crate::object::key::Key;
use serde_json::{Value, json};
use url::Url;

/// `host` or `host:port`, as it is sent in a request.
pub struct Authority;

impl Kind for Authority {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        value.as_str().filter(|text| is_authority(text)).map(str::to_owned)
    }

    fn allowed(&self) -> &str {
        "\"host\" or \"host:port\", without a scheme or path"
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^[!\"$-.0->A-\\[\\]-~]+$"})
    }
}

/// The marker of a request that may be passed to an origin: one parameter of a query.
pub struct Marker;

impl Kind for Marker {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~=".contains(&byte);
        value.as_str().filter(|text| !text.is_empty() && text.bytes().all(is_plain)).map(str::to_owned)
    }

    fn allowed(&self) -> &str {
        "a parameter of a query: letters, digits, \"-\", \".\", \"_\", \"~\" and \"=\""
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^[A-Za-z0-9._~=-]+$"})
    }
}

/// A pattern for paths with a `.` or `..` segment.
const DOT_SEGMENT: &str = "(^|[/\\\\])\\.\\.?([/\\\\]|$)";

/// `/a/b`, in the encoding in which it is sent. A trailing slash is dropped, so `/` is the empty prefix.
pub struct PathPrefix;

impl Kind for PathPrefix {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        let text = value.as_str()?;
        let prefix = text.strip_suffix('/').unwrap_or(text);
        if prefix.is_empty() {
            return Some(String::new());
        }
        let segments = prefix.strip_prefix('/')?;
        let key = Key::from_path(segments.as_bytes()).ok()?;
        (key.encoded().to_string() == segments).then(|| prefix.to_owned())
    }

    fn allowed(&self) -> &str {
        "a path that begins with \"/\", percent-encoded, without dot segments"
    }

    fn schema(&self) -> Value {
        let pattern = "^(/([A-Za-z0-9._~/-]|%[0-9A-F]{2})+)?/?$";
        json!({"type": "string", "pattern": pattern, "not": {"pattern": DOT_SEGMENT}})
    }
}

/// The start of a rule's keys, decoded, without the leading slash of the configuration.
pub struct KeyPrefix;

impl Kind for KeyPrefix {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        value.as_str().and_then(|text| text.strip_prefix('/')).map(str::to_owned)
    }

    fn allowed(&self) -> &str {
        "a string that begins with \"/\""
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^/"})
    }
}

/// Whole segments of a key, decoded: `/a/b`. A trailing slash is dropped.
pub struct Segments;

impl Kind for Segments {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        let text = value.as_str()?;
        let prefix = text.strip_suffix('/').unwrap_or(text);
        match prefix.strip_prefix('/') {
            Some(segments) => Key::from_decoded(segments.to_owned()).ok().map(|_| prefix.to_owned()),
            None => (text == "/").then(String::new),
        }
    }

    fn allowed(&self) -> &str {
        "a path that begins with \"/\", not percent-encoded, without dot segments"
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^/[^\\u0000-\\u001f\\u007f]*$", "not": {"pattern": DOT_SEGMENT}})
    }
}

/// One segment of a key, decoded.
pub struct Segment;

impl Kind for Segment {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        let key = value.as_str().and_then(|text| Key::from_decoded(text.to_owned()).ok())?;
        (key.not_plain(0).is_none() && !key.as_str().contains('/')).then(|| key.as_str().to_owned())
    }

    fn allowed(&self) -> &str {
        "a name without slashes, not percent-encoded"
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^[^/\\\\\\u0000-\\u001f\\u007f]+$", "not": {"enum": [".", ".."]}})
    }
}

/// `http://` or `https://`, a host, perhaps a path. A trailing slash is dropped.
pub struct BaseUrl;

impl Kind for BaseUrl {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        let url = value.as_str().and_then(|text| Url::parse(text).ok())?;
        let usable = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        usable.then(|| url.as_str().trim_end_matches('/').to_owned())
    }

    fn allowed(&self) -> &str {
        "an absolute http:// or https:// URL without query and fragment"
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^https?://[^/?#@\\s]+(/[^?#\\s]*)?$"})
    }
}

/// `absolute`, or a base URL.
pub struct LocationBase;

impl Kind for LocationBase {
    type Read = Location;

    fn read(&self, value: &Value) -> Option<Location> {
        if value.as_str() == Some("absolute") {
            return Some(Location::Absolute);
        }
        BaseUrl.read(value).map(Location::Base)
    }

    fn allowed(&self) -> &str {
        "\"absolute\", or an absolute http:// or https:// URL without query and fragment"
    }

    fn schema(&self) -> Value {
        json!({"anyOf": [{"const": "absolute"}, BaseUrl.schema()]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_with_an_optional_port() {
        let accepted = ["files.example.com", "minio:9000", "127.0.0.1:1", "[::1]:9000", "files.example.com:443"];
        for text in accepted {
            assert_eq!(Authority.read(&json!(text)).as_deref(), Some(text));
        }
        for text in ["", "http://a", "a/b", "a:b", "user@a", "a b", "a?b", "a#b", "a\r\nb", "a\\b", "a:99999"] {
            assert_eq!(Authority.read(&json!(text)), None, "{text:?}");
        }
    }

    #[test]
    fn an_index_is_one_segment() {
        assert_eq!(Segment.read(&json!("index.html")).as_deref(), Some("index.html"));
        for wrong in ["", "/index.html", "a/b", "a/", "a\\b", ".", "..", "a\nb"] {
            assert_eq!(Segment.read(&json!(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn prefixes_and_base_urls_lose_their_trailing_slash() {
        assert_eq!(PathPrefix.read(&json!("/")).as_deref(), Some(""));
        assert_eq!(PathPrefix.read(&json!("/my-bucket/")).as_deref(), Some("/my-bucket"));
        assert_eq!(PathPrefix.read(&json!("/a%20b")).as_deref(), Some("/a%20b"));
        for wrong in ["a", "/a b", "/../a", "/a?b", "/%2e%2e"] {
            assert_eq!(PathPrefix.read(&json!(wrong)), None, "{wrong:?}");
        }
        assert_eq!(BaseUrl.read(&json!("https://a.example/v1/")).as_deref(), Some("https://a.example/v1"));
        assert_eq!(BaseUrl.read(&json!("https://a.example")).as_deref(), Some("https://a.example"));
        for wrong in ["a.example", "ftp://a.example/", "https://u:p@a.example/", "https://a.example/?q", "https:///"] {
            assert_eq!(BaseUrl.read(&json!(wrong)), None, "{wrong:?}");
        }
    }
}
