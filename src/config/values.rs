//! The kinds of values that a configuration holds. Each reader fails with the text of what is allowed.

use super::Location;
use crate::http::{digits, is_field_value};
use crate::key::Key;
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// Any text but the empty one.
pub fn text(value: &Value) -> Result<String, &'static str> {
    const ALLOWED: &str = "a non-empty string";
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned).ok_or(ALLOWED)
}

/// Text that can be sent as a header's value.
pub fn field_value(value: &Value) -> Result<String, &'static str> {
    const ALLOWED: &str = "a non-empty string of visible ASCII characters";
    value.as_str().filter(|text| is_field_value(text)).map(str::to_owned).ok_or(ALLOWED)
}

/// `true` or `false`.
pub fn boolean(value: &Value) -> Result<bool, &'static str> {
    value.as_bool().ok_or("true or false")
}

/// A whole number within bounds.
pub fn count(value: &Value, min: u32, max: u32, allowed: &'static str) -> Result<usize, &'static str> {
    let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (min..=max).contains(n));
    number.and_then(|n| usize::try_from(n).ok()).ok_or(allowed)
}

/// A duration with its unit: `250ms`, `10s`, `5m`, `1.5h`; within bounds.
pub fn duration(value: &Value, min: Duration, max: Duration, allowed: &'static str) -> Result<Duration, &'static str> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let millis = value.as_str().and_then(|text| with_unit(text, &UNITS));
    millis.map(Duration::from_millis).filter(|duration| (min..=max).contains(duration)).ok_or(allowed)
}

/// A number of bytes with its unit: `512B`, `64KiB`, `8MiB`, `5GiB`, `48.8TiB`; within bounds.
pub fn size(value: &Value, min: u64, max: u64, allowed: &'static str) -> Result<u64, &'static str> {
    const UNITS: [(&str, u64); 5] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];
    let bytes = value.as_str().and_then(|text| with_unit(text, &UNITS));
    bytes.filter(|bytes| (min..=max).contains(bytes)).ok_or(allowed)
}

/// The first of `units` that the text ends with, times the number in front of it, which may have up to three decimals.
/// Rounded down. In integers, because reading floats would add 15 kB of tables to the module.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || decimals.is_empty() || decimals.len() > 3 {
        return None;
    }
    let thousandths = digits(&format!("{decimals:0<3}"))?;
    let fraction = thousandths.checked_mul(unit)?.checked_div(1000)?;
    digits(whole)?.checked_mul(unit)?.checked_add(fraction)
}

/// `host` or `host:port`, as it is sent in a request.
pub fn authority(value: &Value) -> Result<String, &'static str> {
    const ALLOWED: &str = "\"host\" or \"host:port\", without a scheme or path";
    value.as_str().filter(|text| is_authority(text)).map(str::to_owned).ok_or(ALLOWED)
}

/// Whether a text is `host` or `host:port` and nothing else.
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

/// `/a/b`, in the encoding in which it is sent; a trailing slash is dropped, so that `/` is the empty prefix.
pub fn path_prefix(value: &Value) -> Result<String, &'static str> {
    const ALLOWED: &str = "a path that begins with \"/\", percent-encoded, without dot segments";
    let text = value.as_str().ok_or(ALLOWED)?;
    let prefix = text.strip_suffix('/').unwrap_or(text);
    if prefix.is_empty() {
        return Ok(String::new());
    }
    let segments = prefix.strip_prefix('/').ok_or(ALLOWED)?;
    let key = Key::from_path(segments.as_bytes()).map_err(|_| ALLOWED)?;
    (key.encoded().to_string() == segments).then(|| prefix.to_owned()).ok_or(ALLOWED)
}

/// The start of a rule's keys, decoded, without the leading slash that it is written with.
pub fn key_prefix(value: &Value) -> Result<String, &'static str> {
    const ALLOWED: &str = "a string that begins with \"/\"";
    value.as_str().and_then(|text| text.strip_prefix('/')).map(str::to_owned).ok_or(ALLOWED)
}

/// Whole segments of a key, decoded: `/a/b`. A trailing slash is dropped.
pub fn segments(value: &Value) -> Result<String, &'static str> {
    const ALLOWED: &str = "a path that begins with \"/\", not percent-encoded, without dot segments";
    let text = value.as_str().ok_or(ALLOWED)?;
    let prefix = text.strip_suffix('/').unwrap_or(text);
    let key = prefix.strip_prefix('/').map(|segments| Key::from_decoded(segments.to_owned()));
    match key {
        Some(Ok(_)) => Ok(prefix.to_owned()),
        None if text == "/" => Ok(String::new()),
        _ => Err(ALLOWED),
    }
}

/// `type/subtype` or `type/*`, without parameters; in lower case.
pub fn media_range(value: &Value) -> Result<String, &'static str> {
    const ALLOWED: &str = "a media type without parameters, as \"image/png\" or \"image/*\"";
    let text = value.as_str().ok_or(ALLOWED)?.to_ascii_lowercase();
    let (kind, subtype) = text.split_once('/').ok_or(ALLOWED)?;
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b))
    };
    (token(kind) && (subtype == "*" || token(subtype))).then_some(text.clone()).ok_or(ALLOWED)
}

/// `http://` or `https://`, a host, perhaps a path; a trailing slash is dropped.
pub fn base_url(value: &Value) -> Result<String, &'static str> {
    const ALLOWED: &str = "an absolute http:// or https:// URL without query and fragment";
    let url = value.as_str().and_then(|text| Url::parse(text).ok()).ok_or(ALLOWED)?;
    let usable = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    usable.then(|| url.as_str().trim_end_matches('/').to_owned()).ok_or(ALLOWED)
}

/// `absolute`, or a base URL.
pub fn location(value: &Value) -> Result<Location, &'static str> {
    if value.as_str() == Some("absolute") {
        return Ok(Location::Absolute);
    }
    base_url(value)
        .map(Location::Base)
        .map_err(|_| "\"absolute\", or an absolute http:// or https:// URL without query and fragment")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_need_a_unit_and_stay_within_their_bounds() {
        let read = |text: &str| duration(&json!(text), Duration::from_millis(1), Duration::from_secs(3600), "x").ok();
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(read("10s"), Some(Duration::from_secs(10)));
        assert_eq!(read("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(read("1h"), Some(Duration::from_secs(3600)));
        for wrong in [
            "",
            "10",
            "s",
            "-1s",
            "+1s",
            "1e3s",
            "infs",
            "NaNs",
            "1 s",
            "2h",
            "0s",
            ".5s",
            "5.s",
            "1.2.3s",
            "1.0001s",
            "99999999999999999999s",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn sizes_are_binary_and_need_a_unit() {
        let read = |text: &str| size(&json!(text), 1, u64::MAX, "x").ok();
        assert_eq!(read("512B"), Some(512));
        assert_eq!(read("64KiB"), Some(65_536));
        assert_eq!(read("8MiB"), Some(8_388_608));
        assert_eq!(read("48.8TiB"), Some(53_656_167_435_468));
        for wrong in ["8", "8MB", "8 MiB", "-8MiB", "MiB", "0B"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_authority_is_a_host_with_an_optional_port() {
        let accepted = ["files.example.com", "minio:9000", "127.0.0.1:1", "[::1]:9000", "files.example.com:443"];
        for text in accepted {
            assert_eq!(authority(&json!(text)).as_deref(), Ok(text));
        }
        for text in ["", "http://a", "a/b", "a:b", "user@a", "a b", "a?b", "a#b", "a\r\nb", "a\\b", "a:99999"] {
            assert!(authority(&json!(text)).is_err(), "{text:?}");
        }
    }

    #[test]
    fn prefixes_and_base_urls_lose_their_trailing_slash() {
        assert_eq!(path_prefix(&json!("/")).as_deref(), Ok(""));
        assert_eq!(path_prefix(&json!("/my-bucket/")).as_deref(), Ok("/my-bucket"));
        assert_eq!(path_prefix(&json!("/a%20b")).as_deref(), Ok("/a%20b"));
        for wrong in ["a", "/a b", "/../a", "/a?b", "/%2e%2e"] {
            assert!(path_prefix(&json!(wrong)).is_err(), "{wrong:?}");
        }
        assert_eq!(base_url(&json!("https://a.example/v1/")).as_deref(), Ok("https://a.example/v1"));
        assert_eq!(base_url(&json!("https://a.example")).as_deref(), Ok("https://a.example"));
        for wrong in ["a.example", "ftp://a.example/", "https://u:p@a.example/", "https://a.example/?q", "https:///"] {
            assert!(base_url(&json!(wrong)).is_err(), "{wrong:?}");
        }
    }
}
