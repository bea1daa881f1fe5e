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
}

impl Object {
    /// Returns the number of bytes.
    pub fn length(&self) -> u64 {
        u64::try_from(self.body.len()).unwrap_or(u64::MAX)
    }
}
