//! The media type of an object: what its origin states, else what its file name extension says.

use super::key::Key;
use crate::http::{Headers, is_field_value};

/// Stored where neither the origin nor the extension tells more. An origin that states it is believed.
pub const UNKNOWN: &str = "application/octet-stream";

/// The type that S3 gives an object which was stored without one. Nobody has stated it.
const OF_S3: &str = "binary/octet-stream";

/// The types of files that sites and archives are made of, by lower-case extension, sorted. They are mime-db's, but for those
/// that the tests name. `.ipa` and other downloads have no type of their own: they are [`UNKNOWN`].
const TYPES: [(&str, &str); 92] = [
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("cjs", "application/node"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("eot", "application/vnd.ms-fontobject"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("gz", "application/gzip"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar"),
    ("jar", "application/java-archive"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown"),
    ("mjs", "text/javascript"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("parquet", "application/vnd.apache.parquet"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("rar", "application/vnd.rar"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("srt", "application/x-subrip"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("ts", "video/mp2t"),
    ("tsv", "text/tab-separated-values"),
    ("ttc", "font/collection"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain"),
    ("usdz", "model/vnd.usdz+zip"),
    ("vtt", "text/vtt"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xml", "application/xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// Types that a browser runs, or that can hold something that it runs. A stranger who can choose the extension of a
/// path must not have the object become one of these (<https://mimesniff.spec.whatwg.org/#scriptable-mime-type>).
const ACTIVE: [&str; 11] = [
    "application/atom+xml",
    "application/dash+xml",
    "application/pdf",
    "application/rss+xml",
    "application/wasm",
    "application/xhtml+xml",
    "application/xml",
    "image/svg+xml",
    "text/css",
    "text/html",
    "text/javascript",
];

/// Returns the type that is stored. `guess` allows to replace `application/octet-stream` by what the extension says.
///
/// | the origin says | stored |
/// | --- | --- |
/// | nothing that can be read | what the extension says |
/// | `binary/octet-stream` | what the extension says, unless that is active |
/// | `application/octet-stream` | itself; with `guess` as above |
/// | another type | itself |
///
/// With `X-Content-Type-Options: nosniff` the extension never counts: the origin asks for that
/// (<https://fetch.spec.whatwg.org/#x-content-type-options-header>).
pub fn read(headers: &Headers, key: &Key, guess: bool) -> String {
    let stated = stated(headers);
    let essence = stated.as_deref().map(essence);
    let is = |known: &str| essence.is_some_and(|essence| essence.eq_ignore_ascii_case(known));
    // Of several values the first one counts, also of those that a proxy joined.
    let options = headers.text("x-content-type-options").and_then(|value| value.split(',').next());
    let nosniff = options.is_some_and(|value| value.trim().eq_ignore_ascii_case("nosniff"));
    let by_extension = guessed(key.as_str()).filter(|media_type| match stated {
        _ if nosniff => false,
        None => true,
        Some(_) => !ACTIVE.contains(media_type) && (is(OF_S3) || (guess && is(UNKNOWN))),
    });
    by_extension.map(str::to_owned).or(stated).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// Returns the type that an origin states, with its parameters: the first one that is valid.
pub fn stated(headers: &Headers) -> Option<String> {
    headers.values("content-type").find_map(first_valid)
}

/// Tells if a type is in a range in lower case, `type/subtype` or `type/*`.
pub fn is_in(range: &str, media_type: &str) -> bool {
    let essence = essence(media_type).to_ascii_lowercase();
    match range.strip_suffix('*') {
        Some(kind) => essence.starts_with(kind),
        None => essence == range,
    }
}

/// Returns a type without its parameters.
pub fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Reads the first valid one of the types that Envoy joined with commas, without parameters that cannot be read.
fn first_valid(value: &[u8]) -> Option<String> {
    pieces_of(value, b',').find_map(|part| {
        let pieces = || pieces_of(part, b';');
        pieces().next().and_then(readable).filter(|essence| is_media_type(essence))?;
        let kept = || pieces().filter_map(readable).collect::<Vec<_>>().join("; ");
        Some(readable(part).map(str::to_owned).unwrap_or_else(kept))
    })
}

fn readable(piece: &[u8]) -> Option<&str> {
    std::str::from_utf8(piece).ok().map(str::trim).filter(|text| is_field_value(text))
}

fn is_media_type(text: &str) -> bool {
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

/// Splits at separators that are not within quotes.
fn pieces_of(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    value.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == separator && !quoted
    })
}

/// Guesses the type of an object by the extension of its key.
fn guessed(key: &str) -> Option<&'static str> {
    let (_, name) = key.rsplit_once('/').unwrap_or(("", key));
    let (_, extension) = name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    let at = TYPES.binary_search_by(|(known, _)| (*known).cmp(extension.as_str())).ok()?;
    TYPES.get(at).map(|(_, media_type)| *media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_entry_is_found() {
        assert!(TYPES.is_sorted_by(|(a, _), (b, _)| a < b));
        for (extension, media_type) in TYPES {
            assert_eq!(guessed(&format!("a/b.{extension}")), Some(media_type));
        }
    }

    /// Types that mime-db does not have, or calls otherwise, each by its registration.
    const NOT_OF_MIME_DB: [(&str, &str); 5] = [
        ("flac", "https://www.rfc-editor.org/rfc/rfc9639#section-12.1"),
        ("m4v", "the files are those of .mp4, and browsers play that type: https://www.rfc-editor.org/rfc/rfc4337"),
        ("parquet", "https://www.iana.org/assignments/media-types/application/vnd.apache.parquet"),
        ("yaml", "https://www.rfc-editor.org/rfc/rfc9512"),
        ("zst", "https://www.rfc-editor.org/rfc/rfc8878#section-7.1"),
    ];

    #[test]
    fn the_types_are_those_of_mime_db_but_for_a_few() {
        let db: serde_json::Value = serde_json::from_str(include_str!("../../tests/mime-db.json")).unwrap();
        for (extension, media_type) in TYPES {
            let known =
                db["types"][extension].as_array().is_some_and(|types| types.iter().any(|known| known == media_type));
            let other = NOT_OF_MIME_DB.iter().any(|(known, _)| *known == extension);
            assert!(known != other, "{extension}: {media_type}, and mime-db says {}", db["types"][extension]);
        }
        for of_the_web in
            ["apk", "avif", "cjs", "m3u8", "m4s", "mjs", "mpd", "opus", "vtt", "wasm", "webmanifest", "xhtml"]
        {
            assert!(TYPES.iter().any(|(extension, _)| *extension == of_the_web), "{of_the_web}");
        }
        assert_eq!(guessed("a.opus"), Some("audio/ogg"), "it is Ogg with Opus in it (RFC 7845, 9)");
    }

    fn stored(values: &[&[u8]], key: &str, guess: bool) -> String {
        let headers = values.iter().map(|value| ("content-type".to_owned(), value.to_vec())).collect();
        read(&Headers::new(headers), &Key::from_path(key.as_bytes()).unwrap(), guess)
    }

    #[test]
    fn a_type_that_was_stated_is_never_replaced_by_one_that_a_browser_runs() {
        for extension in ["html", "htm", "xhtml", "svg", "js", "mjs", "xml", "rss", "pdf", "css", "wasm"] {
            let key = format!("a.{extension}");
            for guess in [false, true] {
                assert_eq!(stored(&[b"application/octet-stream"], &key, guess), UNKNOWN, "{key}");
                assert_eq!(stored(&[b"binary/octet-stream"], &key, guess), OF_S3, "{key}");
            }
            assert_ne!(stored(&[], &key, false), UNKNOWN, "{key}");
        }
    }

    #[test]
    fn a_stated_type_that_only_says_bytes_is_replaced_where_the_rule_says_so() {
        assert_eq!(stored(&[b"Application/Octet-Stream; charset=binary"], "a.jpg", true), "image/jpeg");
        assert_eq!(stored(&[b"application/octet-stream"], "a.jpg", false), UNKNOWN);
        assert_eq!(stored(&[b"binary/octet-stream"], "a.jpg", false), "image/jpeg");
        assert_eq!(stored(&[b"text/plain"], "a.jpg", true), "text/plain");
    }

    #[test]
    fn with_nosniff_the_extension_never_counts() {
        let headers = |media_type: Option<&str>| {
            let nosniff = ("x-content-type-options".to_owned(), b"NoSniff, nosniff".to_vec());
            let stated = media_type.map(|media_type| ("content-type".to_owned(), media_type.into()));
            Headers::new(stated.into_iter().chain([nosniff]).collect())
        };
        let key = Key::from_path(b"a.jpg").unwrap();
        for (stated, expected) in [(None, UNKNOWN), (Some(UNKNOWN), UNKNOWN), (Some(OF_S3), OF_S3)] {
            assert_eq!(read(&headers(stated), &key, true), expected);
        }
    }

    #[test]
    fn the_first_valid_one_of_several_types_counts_without_what_cannot_be_read() {
        for (values, expected) in [
            (&[&b"image/png,image/png"[..]][..], "image/png"),
            (&[b"image/png, text/html"], "image/png"),
            (&[b"image/png", b"text/html"], "image/png"),
            (&[b"*, image/png; a=\"b,c\""], "image/png; a=\"b,c\""),
            (&[b"png", b"image/png"], "image/png"),
            (&[b" text/html;charset=latin1 "], "text/html;charset=latin1"),
            (&[b"text/html; title=\"\xe4;\"; charset=utf-8"], "text/html; charset=utf-8"),
            (&[b"text/html; title=\xc3\xa4"], "text/html"),
            (&[b"\xe4"], "image/jpeg"),
            (&[b""], "image/jpeg"),
            (&[b"image"], "image/jpeg"),
        ] {
            assert_eq!(stored(values, "a.jpg", false), expected, "{values:?}");
        }
    }

    #[test]
    fn the_last_extension_counts_in_any_case() {
        assert_eq!(guessed("img/A.B.JPG"), Some("image/jpeg"));
        for unknown in ["a", "jpg", "a.jpg/b", "a.", "a.unknown", ""] {
            assert_eq!(guessed(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn a_type_needs_two_tokens() {
        for text in ["text/", "/html", "te xt/html", "text/ht ml", "text"] {
            assert!(!is_media_type(text), "{text}");
        }
        assert!(is_media_type("text/html"));
    }
}
