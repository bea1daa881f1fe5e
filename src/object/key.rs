//! Object keys: one decoding, one canonical encoding.
//!
//! The client's path, the request to the origin, the signature and the stored object must agree on the key, however the
//! client spelled it. So a path is percent-decoded exactly once. A path that two parties could read differently is
//! refused. From then on the key is written in one encoding only.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// The most bytes of a key that a bucket can hold: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>.
pub const MAX_KEY_BYTES: usize = 1024;

/// The most bytes of a key that is read at all: the longest request line that every server should take (RFC 9112, 3).
pub const MAX_NAME_BYTES: usize = 8000;

/// The ASCII that AWS's `UriEncode` escapes: all but RFC 3986's unreserved characters.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The ASCII that it escapes in a key.
const RESERVED_IN_A_KEY: &AsciiSet = &RESERVED.remove(b'/');

/// The key of an object: 1 to [`MAX_NAME_BYTES`] bytes of UTF-8 without control characters and without `.` or `..`
/// segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    decoded: String,
}

/// An order to find keys by: their lengths, then eight bytes at a time from the end on. In WebAssembly a comparison of strings takes
/// each byte by itself, and keys of a site begin alike.
impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let word = |bytes: &[u8; 8]| u64::from_be_bytes(*bytes);
        let (rest, words) = self.decoded.as_bytes().as_rchunks::<8>();
        let (other_rest, other_words) = other.decoded.as_bytes().as_rchunks::<8>();
        if self.decoded.len() != other.decoded.len() {
            return self.decoded.len().cmp(&other.decoded.len());
        }
        for (own, other) in words.iter().zip(other_words).rev() {
            if own != other {
                return word(own).cmp(&word(other));
            }
        }
        rest.cmp(other_rest)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Why a path is no [`Key`]. Requests for such paths are passed through untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// A control character, or DEL: no two servers agree on these.
    Control,
    /// A `.` or `..` segment, split at `/` or `\`, also one with a parameter: whoever normalises the path reads another key.
    DotSegment,
    /// Nothing behind the bucket: a listing, not an object.
    Empty,
    /// `%` without two hexadecimal digits.
    Escape,
    /// More than [`MAX_NAME_BYTES`].
    TooLong,
    /// Decodes to something that is not UTF-8, which S3 demands.
    Utf8,
}

/// The reason why two servers may read a [`Key`] differently, or why no bucket holds it.
///
/// SeaweedFS stores `a//b` and `a\b` under `a/b`, MinIO refuses both, and SeaweedFS makes a directory of `a/`
/// (measured on 4.48 and RELEASE.2025-09-07). nginx as an origin merges slashes, IIS takes `\` for `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPlain {
    /// A backslash.
    Backslash,
    /// An empty segment: a slash at the beginning, or two in a row.
    EmptySegment,
    /// More than [`MAX_KEY_BYTES`], with the prefix of the bucket.
    TooLong,
    /// A slash, or a backslash, at the end.
    TrailingSlash,
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
        if decoded.len() > MAX_NAME_BYTES {
            return Err(KeyError::TooLong);
        }
        if decoded.bytes().any(|b| b.is_ascii_control()) {
            return Err(KeyError::Control);
        }
        if has_dot_segment(&decoded) {
            return Err(KeyError::DotSegment);
        }
        Ok(Self { decoded })
    }

    /// The key itself, as S3 stores it.
    pub fn as_str(&self) -> &str {
        &self.decoded
    }

    /// Finds the reason why the key is not plain; `None` for a plain key, which all servers read alike. `prefix` counts the
    /// bytes that the bucket puts before it.
    pub fn not_plain(&self, prefix: usize) -> Option<NotPlain> {
        if self.decoded.ends_with(['/', '\\']) {
            return Some(NotPlain::TrailingSlash);
        }
        if self.decoded.contains('\\') {
            return Some(NotPlain::Backslash);
        }
        if self.decoded.split('/').any(str::is_empty) {
            return Some(NotPlain::EmptySegment);
        }
        (self.decoded.len().saturating_add(prefix) > MAX_KEY_BYTES).then_some(NotPlain::TooLong)
    }

    /// Returns the plain reading: `\` as `/`, without empty segments. A slash at the end stays. It is empty for a key of
    /// slashes. It is owned if it is another than the key.
    pub fn plain_reading(&self) -> Cow<'_, str> {
        let bytes = self.decoded.as_bytes();
        if !(bytes.starts_with(b"/") || bytes.contains(&b'\\') || bytes.windows(2).any(|pair| pair == b"//")) {
            return Cow::Borrowed(&self.decoded);
        }
        let mut reading = String::with_capacity(self.decoded.len());
        for character in self.decoded.chars().map(|character| if character == '\\' { '/' } else { character }) {
            if character != '/' || !(reading.is_empty() || reading.ends_with('/')) {
                reading.push(character);
            }
        }
        Cow::Owned(reading)
    }

    /// The canonical encoding, without a leading slash: AWS's `UriEncode` with `/` left bare
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>).
    pub fn encoded(&self) -> Encoded<'_> {
        Encoded(&self.decoded)
    }
}

/// The spellings of one key that rules are matched against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spellings<'a> {
    /// The spelling whose rule decides.
    pub deciding: &'a str,
    /// The other spelling. Its rule can only keep the bucket's answer as it is.
    pub other: &'a str,
}

impl Spellings<'_> {
    /// Returns both spellings of a key that has only one.
    pub fn same(key: &str) -> Spellings<'_> {
        Spellings { deciding: key, other: key }
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

    /// Returns it behind other texts. Each miss does so a few times, and the machinery of [`fmt`] costs more than the encoding.
    pub fn behind(self, texts: [&str; 2]) -> String {
        let mut whole = texts.concat();
        whole.reserve(self.0.len());
        whole.extend(utf8_percent_encode(self.0, RESERVED_IN_A_KEY));
        whole
    }
}

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        utf8_percent_encode(self.0, RESERVED_IN_A_KEY).fmt(f)
    }
}

/// Tells if some server leaves a segment of a path out, or walks up at it. Servlet containers drop what stands behind a semicolon
/// before they look: `..;x` is `..` to them (Jakarta Servlet 6.0, 3.5.2).
pub fn has_dot_segment(path: &str) -> bool {
    let mut segments = path.as_bytes().split(|byte| matches!(byte, b'/' | b'\\'));
    segments.any(|segment| matches!(segment, b"." | b".." | [b'.', b';', ..] | [b'.', b'.', b';', ..]))
}

/// Tells if the canonical encoding has this byte as it is.
pub fn is_bare(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/')
}

/// Tells if a `%` stands without two hexadecimal digits behind it, which [`percent_decode`] would leave as it is.
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
            (b"..;/b", KeyError::DotSegment),
            (b"a/%2e%2E%3bx=1/b", KeyError::DotSegment),
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
    fn limits_count_decoded_bytes() {
        let longest = "%C3%A4".repeat(MAX_NAME_BYTES / 2);
        assert_eq!(encoded(longest.as_bytes()), Ok(longest.clone()));
        assert_eq!(encoded(format!("{longest}a").as_bytes()), Err(KeyError::TooLong));
        let not_plain = |path: &str, prefix| Key::from_path(path.as_bytes()).unwrap().not_plain(prefix);
        let longest = "%C3%A4".repeat(MAX_KEY_BYTES / 2);
        assert_eq!(not_plain(&longest, 0), None);
        assert_eq!(not_plain(&format!("{longest}a"), 0), Some(NotPlain::TooLong));
        assert_eq!(not_plain(&longest, 1), Some(NotPlain::TooLong), "with what the bucket puts before it");
    }

    #[test]
    fn a_key_that_servers_read_differently_is_not_plain_and_has_one_plain_reading() {
        use NotPlain::{Backslash, EmptySegment, TrailingSlash};
        for (path, why, reading) in [
            ("p/a.jpg", None, "p/a.jpg"),
            ("...", None, "..."),
            ("/p/a.jpg", Some(EmptySegment), "p/a.jpg"),
            ("p//a.jpg", Some(EmptySegment), "p/a.jpg"),
            ("%2F%2Fp/%2Fa.jpg", Some(EmptySegment), "p/a.jpg"),
            ("p\\a.jpg", Some(Backslash), "p/a.jpg"),
            ("%5Cp%5C/a.jpg", Some(Backslash), "p/a.jpg"),
            ("p/", Some(TrailingSlash), "p/"),
            ("p//", Some(TrailingSlash), "p/"),
            ("p\\", Some(TrailingSlash), "p/"),
            ("//", Some(TrailingSlash), ""),
        ] {
            let key = Key::from_path(path.as_bytes()).unwrap();
            assert_eq!((key.not_plain(0), key.plain_reading().as_ref()), (why, reading), "{path}");
        }
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
        fn a_plain_reading_is_its_own_and_that_of_a_plain_key_is_the_key(path in "[ab/\\\\.]{1,12}") {
            if let Ok(key) = Key::from_path(path.as_bytes()) {
                let reading = key.plain_reading();
                prop_assert_eq!(key.not_plain(0).is_none(), reading == key.as_str() && !reading.ends_with('/'));
                if let Ok(read) = Key::from_decoded(reading.to_string()) {
                    prop_assert_eq!(read.plain_reading(), reading);
                }
            }
        }

        #[test]
        fn three_keys_have_one_order(same in "[ab]{0,20}", rests in proptest::collection::vec("[ab]{1,20}", 3)) {
            let key = |rest: &String| Key::from_decoded(format!("{same}{rest}")).unwrap();
            let mut keys: Vec<Key> = rests.iter().map(key).collect();
            keys.sort();
            for (one, other) in [(0, 1), (1, 2), (0, 2)] {
                prop_assert_eq!(keys[one] == keys[other], keys[one].cmp(&keys[other]).is_eq());
                prop_assert_eq!(keys[one].cmp(&keys[other]).reverse(), keys[other].cmp(&keys[one]));
                prop_assert!(keys[one] <= keys[other]);
            }
        }

        #[test]
        fn the_canonical_encoding_decodes_to_the_same_key(path in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(key) = Key::from_path(&path) {
                let canonical = key.encoded().to_string();
                prop_assert_eq!(Key::from_path(canonical.as_bytes()), Ok(key));
            }
        }
    }
}
