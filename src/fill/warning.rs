//! Warnings about the bucket.

use crate::config::Bucket;
use crate::sorted_map::SortedMap;
use std::borrow::Cow;
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
    /// The store does not take an object.
    CannotWrite,
    /// Nothing proves the end of an origin's answer.
    EndNotProven,
    /// User metadata of an origin is more than a bucket takes.
    MetadataLeftOut,
    /// Nothing that an origin sends joins the parts of an object.
    NothingJoins,
}

/// The last refusal of a fill's store.
#[derive(Debug, Default)]
pub struct StoreRefusal {
    /// Its status; 0 if it gave none.
    pub status: u16,
    /// The last S3 error code that came; empty if none came.
    pub code: String,
}

impl Warning {
    /// The text for the log. `refusal` is that of [`CannotWrite`](Self::CannotWrite).
    pub fn text(self, bucket: &Bucket, refusal: &StoreRefusal) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::CannotWrite => return Cow::Owned(refusal.text(bucket)),
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
        })
    }
}

impl StoreRefusal {
    /// Names the credential, the bucket and the cure. Ceph and MinIO say 403 and 400 of a bucket that is over its quota.
    fn text(&self, bucket: &Bucket) -> String {
        let Self { status, code } = self;
        let cure = match status {
            _ if code.contains("Quota") => "the bucket is over its quota",
            401 | 403 => "give the signer's credential s3:PutObject there",
            404 => "there is no such bucket",
            400..=499 => "see STORE_KIND, and bucket.put_headers",
            _ => "it is full, read-only or down",
        };
        let Bucket { upstream, path_prefix, .. } = bucket;
        let authority = &upstream.authority;
        format!("the store takes no object of the signer's into {authority}{path_prefix}: {status} {code}: {cure}")
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
