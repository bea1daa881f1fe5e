//! Object keys: one decoding, one canonical encoding.
//!
//! What the client asked, what the origin is asked, what is signed and what is stored must agree on the key, however
//! the client spelled it. So a path is percent-decoded exactly once, refused if two parties could read it
//! differently, and from then on written in one encoding only.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use std::fmt;

/// S3's limit: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>.
pub const MAX_KEY_BYTES: usize = 1024;

/// The ASCII that AWS's `UriEncode` escapes: all but RFC 3986's unreserved characters.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The ASCII that it escapes in a key.
const RESERVED_IN_A_KEY: &AsciiSet = &RESERVED.remove(b'/');

/// The key of an object that can be mirrored: 1 to [`MAX_KEY_BYTES`] bytes of UTF-8 without control characters and
/// without `.` or `..` segments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    decoded: String,
}

/// Why a path is no [`Key`]. Requests for such paths are passed through untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// A control character, or DEL: no two servers agree on these.
    Control,
    /// A `.` or `..` segment, split at `/` or `\`: whoever normalises the path reads another key.
    DotSegment,
    /// Nothing behind the bucket: a listing, not an object.
    Empty,
    /// `%` without two hexadecimal digits.
    Escape,
    /// More than [`MAX_KEY_BYTES`].
    TooLong,
    /// Decodes to something that is not UTF-8, which S3 demands.
    Utf8,
}

impl Key {
    /// Decodes a path without its leading slash. `+` is a plus, not a space: the path is not a form.
    pub fn from_path(path: &[u8]) -> Result<Self, KeyError> {
        if has_broken_escape(path) {
            return Err(KeyError::Escape);
        }
        let decoded = percent_decode(path).decode_utf8().map_err(|_| KeyError::Utf8)?;
        Self::from_decoded(decoded.into_owned())
    }

    /// The key that is written so, without any encoding.
    pub fn from_decoded(decoded: String) -> Result<Self, KeyError> {
        if decoded.is_empty() {
            return Err(KeyError::Empty);
        }
        if decoded.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong);
        }
        if decoded.chars().any(|c| c.is_ascii_control()) {
            return Err(KeyError::Control);
        }
        if decoded.split(['/', '\\']).any(|segment| segment == "." || segment == "..") {
            return Err(KeyError::DotSegment);
        }
        Ok(Self { decoded })
    }

    /// The key itself, as S3 stores it.
    pub fn as_str(&self) -> &str {
        &self.decoded
    }

    /// The canonical encoding, without a leading slash: AWS's `UriEncode` with `/` left bare
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>).
    pub fn encoded(&self) -> Encoded<'_> {
        Encoded(&self.decoded)
    }
}

/// [`Key::encoded`], written where it is needed.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a>(&'a str);

impl<'a> Encoded<'a> {
    /// A part of a key.
    pub fn of(decoded: &'a str) -> Self {
        Self(decoded)
    }
}

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        utf8_percent_encode(self.0, RESERVED_IN_A_KEY).fmt(f)
    }
}

/// Whether the canonical encoding has this byte as it is.
pub fn is_bare(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/')
}

/// Whether a `%` stands without two hexadecimal digits behind it, which [`percent_decode`] would leave as it is.
fn has_broken_escape(path: &[u8]) -> bool {
    let is_escape = |rest: &[u8]| matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    path.split(|byte| *byte == b'%').skip(1).any(|rest| !is_escape(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(path: &[u8]) -> Result<String, KeyError> {
        Key::from_path(path).map(|key| key.encoded().to_string())
    }

    #[test]
    fn every_spelling_of_a_key_has_one_encoding() {
        for (spellings, canonical) in [
            (&["img/a.jpg", "%69mg/a%2Ejpg", "img%2Fa.jpg", "img%2fa.jpg"][..], "img/a.jpg"),
            (&["a b", "a%20b"], "a%20b"),
            (&["a+b", "a%2Bb", "a%2bb"], "a%2Bb"),
            (&["100%25", "100%25"], "100%25"),
            (&["%252F", "%25%32F"], "%252F"),
            (&["ä", "%C3%A4", "%c3%a4", "%c3%A4"], "%C3%A4"),
            (&["a//b", "a%2F/b"], "a//b"),
            (&["/a", "%2Fa"], "/a"),
            (&["'\"<>", "%27%22%3C%3E"], "%27%22%3C%3E"),
            (
                &["a@b:c;d=e&f,g!h*(i)", "a%40b%3Ac%3Bd%3De%26f%2Cg%21h%2A%28i%29"],
                "a%40b%3Ac%3Bd%3De%26f%2Cg%21h%2A%28i%29",
            ),
            (&["~.-_", "%7E%2E%2D%5F"], "~.-_"),
            (&[".hidden", "%2ehidden"], ".hidden"),
            (&["a..b/...", "a..b/%2e.."], "a..b/..."),
            (&["a\\b", "a%5Cb"], "a%5Cb"),
        ] {
            for spelling in spellings {
                assert_eq!(encoded(spelling.as_bytes()).as_deref(), Ok(canonical), "{spelling:?}");
            }
        }
    }

    #[test]
    fn paths_that_two_parties_could_read_differently_are_no_keys() {
        for (path, why) in [
            (&b""[..], KeyError::Empty),
            (b".", KeyError::DotSegment),
            (b"a/../b", KeyError::DotSegment),
            (b"a/%2e%2e/b", KeyError::DotSegment),
            (b"a%2f..%2fb", KeyError::DotSegment),
            (b"..\\b", KeyError::DotSegment),
            (b"a/.", KeyError::DotSegment),
            (b"a%00b", KeyError::Control),
            (b"a%0d%0aLocation:x", KeyError::Control),
            (b"a\x7f", KeyError::Control),
            (b"100%", KeyError::Escape),
            (b"a%2", KeyError::Escape),
            (b"a%zz", KeyError::Escape),
            (b"a%+1", KeyError::Escape),
            (b"a%E4", KeyError::Utf8),
            (b"a\xff", KeyError::Utf8),
        ] {
            assert_eq!(encoded(path), Err(why), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn the_limit_of_1024_bytes_counts_decoded_bytes() {
        let longest = "%C3%A4".repeat(MAX_KEY_BYTES / 2);
        assert_eq!(encoded(longest.as_bytes()), Ok(longest.clone()));
        assert_eq!(encoded(format!("{longest}a").as_bytes()), Err(KeyError::TooLong));
    }

    #[test]
    fn what_is_bare_is_what_the_encoding_leaves() {
        for byte in 0..=u8::MAX {
            let written = percent_encoding::percent_encode(&[byte], RESERVED_IN_A_KEY).to_string();
            assert_eq!(is_bare(byte), written.as_bytes() == [byte], "{byte}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_encoding_decodes_to_the_same_key(path in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(key) = Key::from_path(&path) {
                let canonical = key.encoded().to_string();
                prop_assert_eq!(Key::from_path(canonical.as_bytes()), Ok(key));
            }
        }
    }
}
