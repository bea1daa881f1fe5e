//! Headers that are stored with an object.

use super::http_date::{self, HttpDate};
use super::key::Key;
use super::{content_disposition, content_type};
use crate::http::Headers;

/// Headers that are stored with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Headers of the representation, which every reader gets, and the origin's date, which is not stored.
    representation: Vec<(&'static str, String)>,
    /// User metadata of the origin, by its names at the bucket, without the prefix.
    user: Vec<(String, String)>,
    /// Some of that user metadata does not fit, and is left out.
    pub left_out: bool,
    /// Where the object comes from, as S3 user metadata.
    provenance: Vec<(&'static str, String)>,
}

/// A header of an origin that is stored as user metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMetadata {
    /// The header's name, in lower case.
    pub header: String,
    /// The name of the metadata. Without it, `header` is the start of names, and the rest of each is that of its metadata.
    pub name: Option<String>,
}

impl KeptMetadata {
    /// Returns the name that a header gets as metadata. `None` if it is another header.
    fn name_for(&self, header: &str) -> Option<String> {
        match &self.name {
            Some(name) => (self.header == header).then(|| name.clone()),
            // The signer refuses names with a `_`, because some stores read it as `-`. Azure's names have no `-`.
            None => header.strip_prefix(&self.header).map(|rest| rest.replace('_', "-")),
        }
    }
}

/// The starts of the names of user metadata at S3, Google Cloud Storage and Azure.
pub const ORIGINS_PREFIXES: [&str; 3] = [PREFIX, "x-goog-meta-", "x-ms-meta-"];

const PREFIX: &str = "x-amz-meta-";

/// The start of the names by which this filter says where an object comes from.
const OWN: &str = "mirror-";

pub const LAST_MODIFIED: &str = "last-modified";

/// Tells if user metadata of this name may be stored. With `snowball-auto-extract` MinIO unpacks an archive over objects that
/// are there; the signer refuses it.
pub fn is_user_name(name: &str) -> bool {
    let usual = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    !name.is_empty() && name.bytes().all(usual) && !name.starts_with(OWN) && name != "snowball-auto-extract"
}

/// Tells if user metadata may have this value. An empty one says nothing. Such headers are signed, and Envoy takes tabs
/// between spaces for spaces to be joined (`Utility::canonicalizeHeaders`), where AWS joins spaces alone.
fn is_user_value(value: &str) -> bool {
    (1..=MAX_VALUE).contains(&value.len()) && !value.contains('\t')
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
/// (<https://docs.openstack.org/swift/latest/api/object_api_v1_overview.html>). Metadata is never worth the object.
const MAX_VALUE: usize = 256;

/// Envoy refuses a request of more than 100 headers (`max_headers_count`). The others take fewer than 36.
const MAX_USER: usize = 64;

impl Metadata {
    /// The headers of an origin's answer that are kept. `url` is the origin's own of the object. `guess_types` allows to
    /// replace a type that says nothing by what the key's extension says. `kept` lists the user metadata.
    pub fn new(headers: &Headers, url: &str, key: &Key, guess_types: bool, kept: &[KeptMetadata]) -> Self {
        let content_type = ("content-type", Some(content_type::read(headers, key, guess_types)));
        let representation = REPRESENTATION.map(|name| (name, represented(headers, name)));
        let modified = headers.only(LAST_MODIFIED).map(http_date::first);
        let date = modified.filter(|date| HttpDate::parse(date).is_some()).map(str::to_owned);
        let provenance = [
            ("x-amz-meta-mirror-last-modified", modified.map(str::to_owned)),
            ("x-amz-meta-mirror-etag", headers.only("etag").filter(|etag| !etag.contains("\",")).map(str::to_owned)),
            ("x-amz-meta-mirror-url", Some(url.to_owned())),
        ];
        let provenance = provenance.map(|(name, value)| (name, value.filter(|value| is_user_value(value))));
        let representation = [content_type].into_iter().chain(representation).chain([(LAST_MODIFIED, date)]);
        let mut left = MAX_METADATA;
        let (user, left_out) = user_metadata(headers, kept, &mut left);
        Self {
            representation: fitting(representation, MAX_METADATA),
            user,
            left_out,
            provenance: fitting(provenance.into_iter(), left),
        }
    }

    /// Makes the metadata with which an object is served of what [`served`](Self::served) gave.
    pub fn of_served<'n, 'v>(served: impl Iterator<Item = (&'n str, &'v str)>) -> Self {
        let mut representation = Vec::new();
        for (name, value) in served {
            let known = REPRESENTATION.iter().chain(&["content-type", LAST_MODIFIED]).find(|known| **known == name);
            representation.extend(known.map(|known| (*known, value.to_owned())));
        }
        Self { representation, ..Self::default() }
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

    /// The headers that a PUT carries, beside those [of the user](Self::of_user).
    pub fn stored(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let stored = self.representation.iter().filter(|(name, _)| *name != LAST_MODIFIED);
        stored.chain(&self.provenance).map(|(name, value)| (*name, value.as_str()))
    }

    /// The headers of the origin's user metadata, which a PUT carries, too.
    pub fn of_user(&self) -> Vec<(String, String)> {
        self.user.iter().map(|(name, value)| (format!("{PREFIX}{name}"), value.clone())).collect()
    }

    /// The headers with which the object itself is served. `Last-Modified` is the origin's until the bucket has one of its own:
    /// `aws s3 cp`, minio-go and Hadoop's S3A take no object without.
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
    for value in headers.texts(name) {
        let says =
            |item: &&str| name != "content-encoding" || !NO_CODINGS.iter().any(|no| item.eq_ignore_ascii_case(no));
        list.extend(value.split(',').map(str::trim).filter(says));
    }
    (!list.is_empty()).then(|| list.join(", "))
}

/// Lists the user metadata that is kept, by its names at the bucket, and takes its bytes from those that are left. Tells if some
/// is left out. Of two that get one name, the first counts.
fn user_metadata(headers: &Headers, kept: &[KeptMetadata], left: &mut usize) -> (Vec<(String, String)>, bool) {
    let (mut user, mut left_out) = (Vec::<(String, String)>::new(), false);
    for header in headers.names() {
        for kept in kept {
            let Some(name) = kept.name_for(header) else { continue };
            // What an origin of this kind says of where it has an object is another object's.
            if name.starts_with(OWN) || user.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let value = headers.text(header).filter(|value| is_user_value(value) && is_user_name(&name));
            let rest = value.and_then(|value| left.checked_sub(name.len().saturating_add(value.len())));
            match (value, rest) {
                (Some(value), Some(rest)) if user.len() < MAX_USER => {
                    *left = rest;
                    user.push((name, value.to_owned()));
                }
                _ => left_out = true,
            }
        }
    }
    (user, left_out)
}

/// Keeps the headers that are there and that S3 takes, within the bytes that are left. A name or a parameter that is too long
/// costs itself. It never costs the type, or the word that the object is to be downloaded.
fn fitting(
    headers: impl Iterator<Item = (&'static str, Option<String>)>,
    mut left: usize,
) -> Vec<(&'static str, String)> {
    let mut kept = Vec::new();
    for (name, value) in headers {
        let Some(value) = value else { continue };
        let fits = |value: &String| left.checked_sub(name.len().saturating_add(value.len()));
        let short = || match name {
            "content-disposition" => Some(content_disposition::bare(&value)),
            "content-type" => Some(content_type::essence(&value).to_owned()),
            _ => None,
        };
        let short = if fits(&value).is_some() { None } else { short() };
        let value = short.unwrap_or(value);
        if let Some(rest) = fits(&value) {
            left = rest;
            kept.push((name, value));
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
        let mut metadata = Metadata::new(&headers, "//a/b", &Key::from_path(b"b").unwrap(), false, &[]);
        metadata.set_cache_control("no-cache");
        let caching: Vec<_> =
            metadata.stored().filter(|(name, _)| ["cache-control", "expires"].contains(name)).collect();
        assert_eq!(caching, [("cache-control", "no-cache")]);
    }

    #[test]
    fn clients_get_the_origins_date_and_the_bucket_keeps_it_as_provenance_alone() {
        const DATE: &str = "Sun, 22 Nov 2026 10:00:00 GMT";
        for (sent, served) in [(DATE, Some(DATE)), ("yesterday", None)] {
            let metadata = read(&[header(LAST_MODIFIED, sent.as_bytes())], &[]);
            let date = |(name, value)| (name == LAST_MODIFIED).then_some(value);
            assert_eq!(metadata.served().find_map(date), served);
            assert_eq!(metadata.stored().find_map(date), None);
            let provenance = |(name, value)| (name == "x-amz-meta-mirror-last-modified").then_some(value);
            assert_eq!(metadata.stored().find_map(provenance), Some(sent));
        }
    }

    fn kept(pairs: &[(&str, Option<&str>)]) -> Vec<KeptMetadata> {
        let kept = |(header, name): &(&str, Option<&str>)| KeptMetadata {
            header: (*header).to_owned(),
            name: name.map(str::to_owned),
        };
        pairs.iter().map(kept).collect()
    }

    fn read(headers: &[(String, Vec<u8>)], kept: &[KeptMetadata]) -> Metadata {
        Metadata::new(&Headers::new(headers.to_vec()), "//a/b", &Key::from_path(b"b").unwrap(), false, kept)
    }

    fn header(name: &str, value: &[u8]) -> (String, Vec<u8>) {
        (name.to_owned(), value.to_vec())
    }

    fn user(metadata: &Metadata) -> Vec<String> {
        metadata.of_user().into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn user_metadata_is_kept_as_it_is_listed_and_nothing_else_is() {
        let sent = [
            header("x-amz-meta-owner", b"a"),
            header("x-ms-meta-owned_by", b"b"),
            header("x-goog-meta-colour", b"c"),
            header("x-amz-meta-mirror-url", b"//elsewhere"),
            header("x-legacy-id", b"7"),
            header("x-amz-meta-owner", b"second"),
        ];
        assert_eq!(user(&read(&sent, &[])), [""; 0]);
        let listed = kept(&[("x-amz-meta-owner", Some("owner")), ("x-ms-meta-owner", Some("owner"))]);
        assert_eq!(user(&read(&sent, &listed)), ["x-amz-meta-owner: a"]);
        let mapped = kept(&[("x-legacy-id", Some("id")), ("x-ms-meta-owned_by", Some("owner"))]);
        assert_eq!(user(&read(&sent, &mapped)), ["x-amz-meta-owner: b", "x-amz-meta-id: 7"]);
        let all = kept(&[("x-amz-meta-", None), ("x-goog-meta-", None), ("x-ms-meta-", None)]);
        let metadata = read(&sent, &all);
        assert_eq!(user(&metadata), ["x-amz-meta-owner: a", "x-amz-meta-owned-by: b", "x-amz-meta-colour: c"]);
        assert!(!metadata.left_out, "what another mirror said of its own origin is no loss");
    }

    #[test]
    fn user_metadata_that_a_bucket_would_refuse_is_left_out_and_seen() {
        let all = kept(&[("x-amz-meta-", None)]);
        let long = "v".repeat(256);
        for (name, value) in [
            ("x-amz-meta-long", [long.as_bytes(), b"v"].concat()),
            ("x-amz-meta-raw", "ü".as_bytes().to_vec()),
            ("x-amz-meta-tab", b"a \t b".to_vec()),
            ("x-amz-meta-", b"v".to_vec()),
            ("x-amz-meta-a~b", b"v".to_vec()),
            ("x-amz-meta-snowball-auto-extract", b"true".to_vec()),
        ] {
            let metadata = read(&[header(name, &value), header("x-amz-meta-a", b"b")], &all);
            assert_eq!((user(&metadata), metadata.left_out), (vec!["x-amz-meta-a: b".to_owned()], true), "{name}");
        }
        let fits = read(&[header("x-amz-meta-fits", long.as_bytes())], &all);
        assert_eq!((fits.of_user().len(), fits.left_out), (1, false));

        let many: Vec<_> = (0..100).map(|n| header(&format!("x-amz-meta-{n}"), b"v")).collect();
        let metadata = read(&many, &all);
        assert_eq!((metadata.of_user().len(), metadata.left_out), (MAX_USER, true));

        let much: Vec<_> = (0..9).map(|n| header(&format!("x-amz-meta-{n}"), long.as_bytes())).collect();
        let metadata = read(&much, &all);
        assert_eq!((metadata.of_user().len(), metadata.left_out), (7, true));
        let bytes = |(name, value): (&str, &str)| match name.strip_prefix(PREFIX) {
            Some(name) => name.len() + value.len(),
            None => 0,
        };
        let of_user: usize = metadata.of_user().iter().map(|(name, value)| bytes((name, value))).sum();
        assert!(
            of_user + metadata.stored().map(bytes).sum::<usize>() <= MAX_METADATA,
            "with what says where it is from"
        );
    }

    #[test]
    fn what_was_served_is_served_again() {
        let served = [("content-type", "text/css"), ("content-encoding", "gzip"), ("etag", "\"a\"")];
        let metadata = Metadata::of_served(served.into_iter());
        assert_eq!(metadata.content_type(), "text/css");
        assert_eq!(metadata.served().collect::<Vec<_>>(), served[..2]);
    }
}
