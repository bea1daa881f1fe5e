//! An object of the bucket: its key, its metadata and its bytes.

pub mod content_disposition;
pub mod content_type;
pub mod http_date;
pub mod integrity;
pub mod key;
pub mod metadata;

use crate::http::Body;
use metadata::Metadata;

/// An object's content and metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub metadata: Metadata,
    pub body: Body,
    /// The entity tag that clients get before the bucket has it. `None` if nothing tells its versions apart.
    pub etag: Option<String>,
}

/// The headers with which clients get an object before the bucket has it.
#[derive(Clone, Debug)]
pub struct Representation<'a> {
    pub metadata: &'a Metadata,
    /// [`Object::etag`].
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
        Representation { metadata: &self.metadata, etag: self.etag.clone(), length: Some(self.length()) }
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
