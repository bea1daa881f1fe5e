//! Warnings about the bucket.

use crate::sorted_map::SortedMap;
use std::time::{Duration, Instant};

/// Something that an operator must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// An upload is left at the store.
    CannotAbort,
    /// The store says that it has an object, and has none. SeaweedFS does so where it has a directory of that name.
    CannotHold,
    /// The store does not tell its writer what it has.
    CannotList,
    /// Nothing proves the end of an origin's answer.
    EndNotProven,
    /// User metadata of an origin is more than a bucket takes.
    MetadataLeftOut,
    /// Nothing that an origin sends joins the parts of an object.
    NothingJoins,
}

impl Warning {
    /// The text for the log.
    pub fn text(self) -> &'static str {
        match self {
            Self::CannotAbort => "an upload could not be aborted: the bucket's lifecycle rule has to",
            Self::CannotHold => "the store says that the object exists, and has none: it cannot hold this key",
            Self::CannotList => {
                "the writer is denied a HEAD of the object: without s3:ListBucket nobody can tell a missing object from a \
                 forbidden one"
            }
            Self::EndNotProven => "nothing proves the end of the origin's answer: see origins.NAME.http2",
            Self::MetadataLeftOut => {
                "user metadata of the origin is left out: a value over 256 bytes or not in visible ASCII, a name that no \
                 signer takes, over 64 of them or over 2 KB in all"
            }
            Self::NothingJoins => "nothing that the origin sends joins the parts of the object: see origins.NAME.pin",
        }
    }
}

/// The time between two equal warnings of a worker.
const EVERY: Duration = Duration::from_secs(60);

/// The warnings that a worker gave, each with its last time.
#[derive(Debug, Default)]
pub struct Warnings(SortedMap<Warning, Instant>);

impl Warnings {
    /// Tells if a warning is to be given at `now`. It is, unless it was given in the last minute.
    pub fn admits(&mut self, warning: Warning, now: Instant) -> bool {
        let recent = self.0.get(&warning).is_some_and(|last| now.saturating_duration_since(*last) < EVERY);
        if !recent {
            self.0.insert(warning, now);
        }
        !recent
    }
}
