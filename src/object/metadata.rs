//! Headers that are stored with an object.

use super::key::Key;
use super::{content_disposition, content_type, http_date};
use crate::http::Headers;

/// Headers that are stored with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Headers of the representation, which every reader gets.
    representation: Vec<(&'static str, String)>,
    /// Where the object comes from, as S3 user metadata.
    provenance: Vec<(&'static str, String)>,
}

/// Taken over from the origin.
const REPRESENTATION: [&str; 5] =
    ["content-encoding", "content-disposition", "content-language", "cache-control", "expires"];

/// Codings that say nothing about the object. `aws-chunked` is how an upload was framed; stores that keep it give it to
/// readers (<https://github.com/noobaa/noobaa-core/issues/9138>), and S3 would take our PUT to be framed so.
const NO_CODINGS: [&str; 2] = ["aws-chunked", "identity"];

/// Bytes of names and values that S3 takes as system metadata, and as many again, without the prefix `x-amz-meta-`, as
/// user metadata: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>.
const MAX_METADATA: usize = 2048;

/// OpenStack Swift refuses an object with a longer value of user metadata
/// (<https://docs.openstack.org/swift/latest/api/object_api_v1_overview.html>). Where an object comes from is never worth
/// the object.
const MAX_PROVENANCE: usize = 256;

impl Metadata {
    /// The headers of an origin's answer that are kept. `url` is the origin's own of the object. `guess_types` allows to
    /// replace a type that says nothing by what the key's extension says.
    pub fn new(headers: &Headers, url: &str, key: &Key, guess_types: bool) -> Self {
        let content_type = ("content-type", Some(content_type::read(headers, key, guess_types)));
        let representation = REPRESENTATION.map(|name| (name, represented(headers, name)));
        let provenance = [
            ("x-amz-meta-mirror-last-modified", headers.only("last-modified").map(http_date::first).map(str::to_owned)),
            ("x-amz-meta-mirror-etag", headers.only("etag").filter(|etag| !etag.contains("\",")).map(str::to_owned)),
            ("x-amz-meta-mirror-url", Some(url.to_owned())),
        ];
        let provenance = provenance.map(|(name, value)| (name, value.filter(|value| value.len() <= MAX_PROVENANCE)));
        let representation = [content_type].into_iter().chain(representation);
        Self { representation: fitting(representation.collect()), provenance: fitting(provenance.to_vec()) }
    }

    /// Makes the metadata with which an object is served of what [`served`](Self::served) gave.
    pub fn of_served<'n, 'v>(served: impl Iterator<Item = (&'n str, &'v str)>) -> Self {
        let mut representation = Vec::new();
        for (name, value) in served {
            let known = REPRESENTATION.iter().chain(&["content-type"]).find(|known| **known == name);
            representation.extend(known.map(|known| (*known, value.to_owned())));
        }
        Self { representation, provenance: Vec::new() }
    }

    /// The media type.
    pub fn content_type(&self) -> &str {
        self.served().find(|(name, _)| *name == "content-type").map(|(_, value)| value).unwrap_or(content_type::UNKNOWN)
    }

    /// Replaces the origin's caching with the operator's.
    pub fn set_cache_control(&mut self, value: &str) {
        self.representation.retain(|(name, _)| *name != "cache-control" && *name != "expires");
        self.representation.push(("cache-control", value.to_owned()));
    }

    /// All headers that a PUT carries.
    pub fn stored(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.representation.iter().chain(&self.provenance).map(|(name, value)| (*name, value.as_str()))
    }

    /// The headers with which the object itself is served.
    pub fn served(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.representation.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// Returns the value of a header of the representation. Several lists of one name are one list (RFC 9110, 5.3).
fn represented(headers: &Headers, name: &str) -> Option<String> {
    match name {
        "content-disposition" => return content_disposition::read(headers),
        "expires" => return headers.text(name).map(|expires| http_date::first(expires).to_owned()),
        _ => {}
    }
    let mut list = Vec::new();
    for (_, value) in headers.readable().filter(|(known, _)| *known == name) {
        let says =
            |item: &&str| name != "content-encoding" || !NO_CODINGS.iter().any(|no| item.eq_ignore_ascii_case(no));
        list.extend(value.split(',').map(str::trim).filter(says));
    }
    (!list.is_empty()).then(|| list.join(", "))
}

/// Keeps the headers that are there and that S3 takes. A name or a parameter that is too long costs itself, and never the type, or that
/// the object is to be downloaded.
fn fitting(headers: Vec<(&'static str, Option<String>)>) -> Vec<(&'static str, String)> {
    let mut left = MAX_METADATA;
    let mut kept = Vec::new();
    for (name, value) in headers {
        let Some(value) = value else { continue };
        let short = match name {
            "content-disposition" => Some(content_disposition::bare(&value)),
            "content-type" => Some(content_type::essence(&value).to_owned()),
            _ => None,
        };
        for value in std::iter::once(value).chain(short) {
            if let Some(rest) = left.checked_sub(name.len().saturating_add(value.len())) {
                left = rest;
                kept.push((name, value));
                break;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_caching_replaces_all_of_the_origins() {
        let headers = Headers::new(vec![
            ("cache-control".into(), b"max-age=60".to_vec()),
            ("expires".into(), b"Sun, 22 Nov 2026 10:00:00 GMT".to_vec()),
        ]);
        let mut metadata = Metadata::new(&headers, "//a/b", &Key::from_path(b"b").unwrap(), false);
        metadata.set_cache_control("no-cache");
        let caching: Vec<_> =
            metadata.stored().filter(|(name, _)| ["cache-control", "expires"].contains(name)).collect();
        assert_eq!(caching, [("cache-control", "no-cache")]);
    }
}
