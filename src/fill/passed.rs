//! Objects that clients are passed to, at their origin.

use super::fetch::ActiveOrigin;
use super::{Action, Job};
use crate::object::Representation;
use crate::object::metadata::Metadata;
use crate::origin::Version;
use crate::origin::endpoint::Moved;
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
    /// Returns its headers. The entity tag is the same from the first answer to the last, until the bucket has the object.
    pub fn representation(&self) -> Representation<'_> {
        let Self { metadata, version, .. } = self;
        Representation { metadata, etag: version.tag().map(|tag| tag.to_string()), length: Some(version.total) }
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
