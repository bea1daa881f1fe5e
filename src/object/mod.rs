//! An object of the bucket: its key, its metadata and its bytes.

pub mod content_disposition;
pub mod content_type;
pub mod http_date;
pub mod integrity;
pub mod key;
pub mod metadata;

use crate::http::Body;
use http_date::HttpDate;
use metadata::Metadata;
use std::fmt::{self, Display, Formatter};

/// An object's content and metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub metadata: Metadata,
    pub body: Body,
    /// The entity tag that clients get before the bucket has it. `None` if nothing tells its versions apart.
    pub etag: Option<EntityTag>,
}

/// The entity tag of an object that the bucket does not have yet: a hash of what tells its versions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag(pub u64);

/// The headers with which clients get an object before the bucket has it.
#[derive(Clone, Debug)]
pub struct Representation<'a> {
    pub metadata: &'a Metadata,
    /// [`Object::etag`], as it is written.
    pub etag: Option<String>,
    /// Bytes, where they are known.
    pub length: Option<u64>,
}

impl Object {
    /// Returns the number of bytes.
    pub fn length(&self) -> u64 {
        u64::try_from(self.body.len()).unwrap_or(u64::MAX)
    }

    pub fn representation(&self) -> Representation<'_> {
        Representation {
            metadata: &self.metadata,
            etag: self.etag.map(|etag| etag.to_string()),
            length: Some(self.length()),
        }
    }
}

impl EntityTag {
    /// The beginning of each, with its quote. The edges take conditions with such a tag off before the bucket is asked, which has
    /// another tag for the same bytes.
    pub const BEGINNING: &str = "\"mirror-";
}

impl Display for EntityTag {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:016x}\"", Self::BEGINNING, self.0)
    }
}

impl Representation<'_> {
    /// Lists its headers, but for the length. `Last-Modified` is the origin's; the bucket will say another.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        self.headers_of(true)
    }

    /// Lists those that a client gets which has the object (RFC 9110, 15.4.5).
    pub fn headers_not_modified(&self) -> Vec<(&'static str, String)> {
        self.headers_of(false)
    }

    /// Returns the date of its last change.
    pub fn modified(&self) -> Option<HttpDate> {
        let date = |(name, value)| if name == metadata::LAST_MODIFIED { HttpDate::parse(value) } else { None };
        self.metadata.served().find_map(date)
    }

    fn headers_of(&self, content: bool) -> Vec<(&'static str, String)> {
        let mut headers = vec![("accept-ranges", "bytes".to_owned())];
        headers.extend(self.etag.clone().map(|etag| ("etag", etag)));
        for (name, value) in self.metadata.served() {
            if content || matches!(name, "cache-control" | "expires") {
                headers.push((name, value.to_owned()));
            }
        }
        headers
    }
}
