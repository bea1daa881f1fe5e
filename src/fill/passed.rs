//! Objects that clients are passed to, at their origin.

use super::fetch::ActiveOrigin;
use super::{Action, Job};
use crate::object::metadata::Metadata;
use crate::origin::Version;
use crate::origin::endpoint::Moved;
use crate::request::passing::TAG;
use std::rc::Rc;

/// One version of an object at an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedObject {
    /// The headers with which it is served.
    pub metadata: Metadata,
    pub version: Version,
    /// The place that the origin redirects to.
    pub moved: Option<Moved>,
}

impl PassedObject {
    /// Returns its entity tag: the same from the first answer to the last, until the bucket has the object.
    pub fn tag(&self) -> String {
        format!("{TAG}{:016x}\"", self.version.hash())
    }

    /// Lists the headers with which it is served. `Last-Modified` is the origin's; the bucket will say another.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        self.headers_of(true)
    }

    /// Lists those that a client gets which has the object (RFC 9110, 15.4.5).
    pub fn headers_not_modified(&self) -> Vec<(&'static str, String)> {
        self.headers_of(false)
    }

    fn headers_of(&self, content: bool) -> Vec<(&'static str, String)> {
        let mut headers = vec![("etag", self.tag()), ("accept-ranges", "bytes".to_owned())];
        for (name, value) in self.metadata.served() {
            if content || matches!(name, "cache-control" | "expires") {
                headers.push((name, value.to_owned()));
            }
        }
        headers
    }
}

/// Lets clients be passed to an object whose beginning is at hand. `None` if none may be.
pub fn pass(job: &Job, source: &ActiveOrigin, metadata: &Metadata, version: &Version) -> Option<Action> {
    if !job.passes || job.withheld || !version.joins() {
        return None;
    }
    let (metadata, version) = (metadata.clone(), version.clone());
    Some(Action::Pass(Rc::new(PassedObject { metadata, version, moved: source.moved(job) })))
}
