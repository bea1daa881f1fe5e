//! `Content-Disposition` (RFC 6266), which keeps a browser from showing what must be downloaded.
//!
//! Servers write names in raw UTF-8 or Latin-1, which S3 does not take. A name that is not ASCII becomes `filename*`
//! (RFC 8187). Without the header a page that must be downloaded would be shown on the site's own host.

use crate::http::{Headers, is_field_value};
use std::fmt::Write;

/// Returns the value that is stored: the first one that says `attachment`, else the first one. Some servers send several, and
/// proxies join them with a comma.
pub fn read(headers: &Headers) -> Option<String> {
    let values = || headers.values("content-disposition").filter(|value| !value.is_empty());
    let first = values().next()?;
    let joined = || values().flat_map(|value| split(value, b',')).map(<[u8]>::trim_ascii);
    let value = if downloads(first) { first } else { joined().find(|value| downloads(value)).unwrap_or(first) };
    if let Some(readable) = std::str::from_utf8(value).ok().filter(|value| is_field_value(value)) {
        return Some(readable.to_owned());
    }
    let mut pieces = split(value, b';').into_iter();
    let disposition = disposition_type(pieces.next().unwrap_or_default());
    let parameters: Vec<(Vec<u8>, &[u8])> = pieces.filter_map(parameter).collect();
    let named = |wanted: &[u8]| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
    let encoded = named(b"filename*").and_then(|name| std::str::from_utf8(name).ok()).filter(|name| name.is_ascii());
    if let Some(encoded) = encoded.filter(|name| is_field_value(name)) {
        return Some(format!("{disposition}; filename*={encoded}"));
    }
    let Some(raw) = named(b"filename") else { return Some(disposition) };
    Some(format!("{disposition}; filename*=UTF-8''{}", encode(&text(raw))))
}

/// Returns the header without its parameters.
pub fn bare(value: &str) -> String {
    disposition_type(value.split(';').next().unwrap_or_default().as_bytes())
}

/// Tells if a value says `attachment`.
fn downloads(value: &[u8]) -> bool {
    let written = value.split(|byte| *byte == b';').next().unwrap_or_default();
    written.trim_ascii().eq_ignore_ascii_case(b"attachment")
}

/// Reads the type. One that cannot be read counts as `attachment`, as unknown ones do (RFC 6266, 4.2).
fn disposition_type(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
    let is_token = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if is_token { text.to_owned() } else { "attachment".to_owned() }
}

/// Splits at separators that are not within quotes.
fn split(value: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let pieces = value.split(|byte| {
        let ends = *byte == separator && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        ends
    });
    pieces.collect()
}

/// Reads the name in lower case, and the value without its quotes.
fn parameter(piece: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut halves = piece.splitn(2, |byte| *byte == b'=');
    let name = halves.next()?.trim_ascii().to_ascii_lowercase();
    let value = halves.next()?.trim_ascii();
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    Some((name, value.strip_suffix(b"\"").unwrap_or(value)))
}

/// Decodes UTF-8 if it is that, else Latin-1, without escapes and control characters.
fn text(raw: &[u8]) -> String {
    let text = match std::str::from_utf8(raw) {
        Ok(text) => text.to_owned(),
        Err(_) => raw.iter().map(|byte| char::from(*byte)).collect(),
    };
    text.chars().filter(|c| *c != '\\' && !c.is_control()).collect()
}

/// Encodes a name as RFC 8187 says (3.2.1): `attr-char` as it is, the rest as octets of UTF-8.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(value: &[u8]) -> Option<String> {
        read(&Headers::new(vec![("content-disposition".into(), value.to_vec())]))
    }

    #[test]
    fn a_name_in_raw_bytes_is_kept_as_an_encoded_one_and_so_is_the_type() {
        for (value, expected) in [
            (
                &b"attachment; filename=\"r\xc3\xa9sum\xc3\xa9.html\""[..],
                "attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.html",
            ),
            (b"attachment; filename=\"r\xe9sum\xe9.html\"", "attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.html"),
            (b"Attachment;FileName=\xe4.html;size=3", "Attachment; filename*=UTF-8''%C3%A4.html"),
            (b"attachment; filename=\"\xe4; \\\"b\\\".txt\"", "attachment; filename*=UTF-8''%C3%A4%3B%20%22b%22.txt"),
            (b"attachment; filename=\"\xe4\"; filename*=UTF-8''b%C3%A4r", "attachment; filename*=UTF-8''b%C3%A4r"),
            (b"attachment; filename=\"\xe4\"; filename*=\xe4", "attachment; filename*=UTF-8''%C3%A4"),
            (b"inline; filename=\"\xe4\"", "inline; filename*=UTF-8''%C3%A4"),
            (b"attachment; x=\xe4", "attachment"),
            (b"\xe4; filename=a.html", "attachment; filename*=UTF-8''a.html"),
            (b"\xe4", "attachment"),
            (b"attachment; filename=\"\xe4\r\n\0b\"", "attachment; filename*=UTF-8''%C3%A4b"),
            (b"attachment; filename=\"a\0b\"", "attachment; filename*=UTF-8''ab"),
        ] {
            assert_eq!(stored(value).as_deref(), Some(expected), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_value_in_ascii_stays_as_it_is() {
        for value in ["inline", "attachment; filename=\"a, b.txt\"", "attachment; filename*=UTF-8''b%C3%A4r.pdf"] {
            assert_eq!(stored(value.as_bytes()).as_deref(), Some(value));
        }
        assert_eq!(stored(b" "), None);
        assert_eq!(read(&Headers::default()), None);
    }

    #[test]
    fn attachment_wins_wherever_it_stands_among_several() {
        for (values, expected) in [
            (&["inline", "attachment; filename=\"a.html\""][..], "attachment; filename=\"a.html\""),
            (&["inline; filename=\"a, b.html\", Attachment ; filename=c"], "Attachment ; filename=c"),
            (&["inline, attachment"], "attachment"),
            (&["inline, attachment; filename=\"\u{e4}\""], "attachment; filename*=UTF-8''%C3%A4"),
            (&["attachment; filename=a, b.html", "inline"], "attachment; filename=a, b.html"),
            (&["inline; filename=\"x, attachment\""], "inline; filename=\"x, attachment\""),
            (&["inline; filename=a, attachment.txt", "inline"], "inline; filename=a, attachment.txt"),
            (&["", "inline"], "inline"),
        ] {
            let fields = values.iter().map(|value| ("content-disposition".to_owned(), value.as_bytes().to_vec()));
            assert_eq!(read(&Headers::new(fields.collect())).as_deref(), Some(expected), "{values:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_stored_as_visible_ascii(value in proptest::collection::vec(0_u8.., 1..40)) {
            if let Some(stored) = stored(&value) {
                proptest::prop_assert!(crate::http::is_field_value(&stored), "{stored:?}");
            }
        }
    }

    #[test]
    fn a_backslash_escapes_a_quote_within_quotes_only() {
        let escaped = stored(b"attachment; filename=\"\xe4\\\"; b.txt\"");
        assert_eq!(escaped.as_deref(), Some("attachment; filename*=UTF-8''%C3%A4%22%3B%20b.txt"));
        let outside = "inline; x=\\\"b, attachment; y=";
        assert_eq!(stored(outside.as_bytes()).as_deref(), Some(outside));
    }
}
