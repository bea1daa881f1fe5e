//! The readings of a client's path: the key that it names, and what the bucket, rules and origins make of it.

use crate::config::{Bucket, Keys};
use crate::object::key::{Encoded, Key, KeyError, NotPlain, Spellings};
use std::borrow::Cow;

/// The meaning of a path that names a [`Key`], to the bucket, to rules and to origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The plain reading of the key, if that is another.
    plain: Option<String>,
    /// The index that was put behind a path that ends in a slash.
    index: Option<String>,
    /// The reason why the object cannot be stored under the key; `None` where it can.
    not_plain: Option<NotPlain>,
}

impl Reading {
    /// Reads a path without its leading slash, which is empty for a request of the bucket's root.
    pub fn of(path: &[u8], bucket: &Bucket) -> Result<(Key, Self), KeyError> {
        let is_page = path.is_empty() || path.ends_with(b"/") || path.ends_with(b"%2F") || path.ends_with(b"%2f");
        let index = bucket.index.clone().filter(|_| is_page);
        let key = match &index {
            Some(index) => Key::from_path(&[path, Encoded::of(index).to_string().as_bytes()].concat())?,
            None => Key::from_path(path)?,
        };
        let plain = match key.plain_reading() {
            Cow::Borrowed(_) => None,
            Cow::Owned(plain) => Some(plain),
        };
        let not_plain = match bucket.keys {
            Keys::Exact => None,
            Keys::Plain => key.not_plain(bucket.prefix_bytes()),
        };
        Ok((key, Self { plain, index, not_plain }))
    }

    /// Returns the reason why an object of this key is not stored; `None` if it is stored.
    pub fn not_plain(&self) -> Option<NotPlain> {
        self.not_plain
    }

    /// Tells if origins are asked for the object at all. A key that ends in a slash is a page, which has a key of its own
    /// only where `bucket.index` names one.
    pub fn is_mirrored(&self) -> bool {
        self.not_plain != Some(NotPlain::TrailingSlash)
    }

    /// Returns the index that the key ends with, and the path does not.
    pub fn index(&self) -> Option<&str> {
        self.index.as_deref()
    }

    /// Returns the plain reading of the key, if that is another.
    pub fn plain(&self) -> Option<&str> {
        self.plain.as_deref()
    }

    /// Returns the spellings that rules are matched against. A store of exact keys keeps all readings apart, so there the key
    /// decides.
    pub fn spellings<'a>(&'a self, key: &'a Key) -> Spellings<'a> {
        let key = key.as_str();
        let plain = self.plain.as_deref().unwrap_or(key);
        if self.not_plain.is_some() {
            Spellings { deciding: plain, other: key }
        } else {
            Spellings { deciding: key, other: plain }
        }
    }

    /// Returns the key as origins know it, decoded: the spelling that decides, without the index.
    pub fn origin_key<'a>(&'a self, key: &'a Key) -> &'a str {
        self.without_index(self.spellings(key).deciding)
    }

    /// Returns the client's own path, decoded.
    pub fn asked<'a>(&self, key: &'a Key) -> &'a str {
        self.without_index(key.as_str())
    }

    fn without_index<'a>(&self, key: &'a str) -> &'a str {
        self.index.as_deref().and_then(|index| key.strip_suffix(index)).unwrap_or(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, bucket: &Bucket) -> (Key, Reading) {
        Reading::of(path.as_bytes(), bucket).unwrap()
    }

    #[test]
    fn a_key_that_is_not_plain_is_asked_of_origins_in_its_plain_reading_and_not_stored() {
        for (path, origin_key, why) in [
            ("p/a.jpg", "p/a.jpg", None),
            ("/p//a.jpg", "p/a.jpg", Some(NotPlain::EmptySegment)),
            ("p%5Ca.jpg", "p/a.jpg", Some(NotPlain::Backslash)),
        ] {
            let (key, reading) = read(path, &Bucket::default());
            assert_eq!((reading.origin_key(&key), reading.not_plain()), (origin_key, why), "{path}");
            assert_eq!(reading.spellings(&key), Spellings { deciding: origin_key, other: key.as_str() });
            assert!(reading.is_mirrored());
        }
    }

    #[test]
    fn a_store_of_exact_keys_has_each_spelling_for_itself() {
        let exact = Bucket { keys: Keys::Exact, ..Bucket::default() };
        for (path, key) in [("/p//a.jpg", "/p//a.jpg"), ("p%5Ca.jpg", "p\\a.jpg"), ("p/", "p/")] {
            let (read, reading) = read(path, &exact);
            assert_eq!((reading.origin_key(&read), reading.not_plain(), reading.is_mirrored()), (key, None, true));
            assert_eq!(reading.spellings(&read).deciding, key);
        }
        let (key, reading) = read("/p//a.jpg", &exact);
        assert_eq!(reading.spellings(&key).other, "p/a.jpg", "which a rule can still keep from origins");
    }

    #[test]
    fn a_page_is_stored_as_its_index_and_asked_of_origins_without() {
        let bucket = Bucket { index: Some("index.html".into()), ..Bucket::default() };
        for (path, key, origin_key, stored) in [
            ("", "index.html", "", true),
            ("blog/", "blog/index.html", "blog/", true),
            ("blog%2f", "blog/index.html", "blog/", true),
            ("blog/index.html", "blog/index.html", "blog/index.html", true),
            ("blog", "blog", "blog", true),
            ("blog//", "blog//index.html", "blog/", false),
            ("/", "/index.html", "", false),
        ] {
            let (read, reading) = read(path, &bucket);
            let got = (read.as_str(), reading.origin_key(&read), reading.not_plain().is_none());
            assert_eq!(got, (key, origin_key, stored), "{path:?}");
        }
    }

    #[test]
    fn without_an_index_what_ends_in_a_slash_is_not_mirrored() {
        for path in ["blog/", "blog%2F", "blog//", "blog\\", "//"] {
            assert!(!read(path, &Bucket::default()).1.is_mirrored(), "{path}");
        }
        assert_eq!(Reading::of(b"", &Bucket::default()), Err(KeyError::Empty));
    }

    #[test]
    fn a_prefix_behind_the_buckets_name_counts_as_a_part_of_the_key() {
        let key = "k".repeat(1020);
        for (path_prefix, stored) in [("/a-long-bucket", true), ("/b/abc", true), ("/b/%C3%A4%C3%A4", false)] {
            let bucket = Bucket { path_prefix: path_prefix.into(), ..Bucket::default() };
            assert_eq!(read(&key, &bucket).1.not_plain().is_none(), stored, "{path_prefix}");
        }
    }
}
