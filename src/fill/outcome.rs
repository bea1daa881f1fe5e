//! The ends of fills.

use super::PassedObject;
use crate::object::{EntityTag, Object, metadata::Metadata};
use std::rc::Rc;

/// The end of a fill, or of waiting for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The fill broke an invariant of its own; the text says which. The bucket's answer is passed on.
    Broken(&'static str),
    /// The bucket could not be asked whether it has the object.
    BucketUnavailable,
    /// Too many fills run and wait already.
    Busy(Shortage),
    /// The object is not what its origin announced; the text names the header that says so.
    Corrupt(&'static str),
    /// Somebody else stored the object first.
    Exists,
    /// The client waited for as long as it may; the fill goes on.
    Filling,
    /// The bucket has the object: the client may not read it.
    Forbidden,
    /// The origin's answer to a HEAD of the object.
    Head {
        /// Its headers.
        metadata: Metadata,
        /// Its length in bytes, where the origin said it.
        length: Option<u64>,
        /// [`Object::etag`].
        etag: Option<EntityTag>,
    },
    /// The object was stored a moment ago, and the bucket denies it again.
    Loop,
    /// The origin says that there is no such object.
    NotFound,
    /// The store did not take the object.
    NotStored {
        /// All of it, if it is at hand and may be handed out: the client gets it instead.
        object: Option<Object>,
        /// The store's last status, 0 where it gave none. [`NOT_ASKED`] if there was no request.
        status: u16,
    },
    /// The client may fetch the object from the origin itself, while the bucket is filled.
    Origin,
    /// The origin failed, and asks to be left alone for some seconds: 1 to 60.
    OriginBusy { seconds: u8 },
    /// The origin redirects to another object of its own.
    OriginRedirect {
        /// The origin's status.
        status: u16,
        /// That object's key, as clients write it, decoded.
        key: String,
        /// Its query, as far as the origin gets it from clients. `None` keeps the client's.
        query: Option<String>,
    },
    /// The origin's answer will not change by asking again.
    OriginRefused {
        /// The origin's status.
        status: u16,
    },
    /// No answer of the origin in time.
    OriginTimeout,
    /// The origin failed; the text says how.
    OriginUnavailable(&'static str),
    /// The client is passed to the object at its origin.
    Passed(Rc<PassedObject>),
    /// The origin lets no cache store the object. This is all of it, if it is at hand and may be handed out.
    Private(Option<Object>),
    /// The object is at hand, and is being stored.
    Served(Object),
    /// The object is in the bucket now.
    Stored,
    /// The object is larger than may be stored, or its end cannot be told from a cut.
    TooLarge,
    /// The origin gave a type that the rule does not store.
    WrongType,
}

/// The place-holder for the status of a store that was not asked, because it cannot hold the key.
pub const NOT_ASKED: u16 = u16::MAX;

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// As many fills run and wait as may.
    Fills,
    /// The fills that run hold as many bytes as they may, and as many wait as may.
    Memory,
    /// An origin's fills, or those of large objects, have their share, and as many wait as may.
    Share,
    /// As many streams wait as may.
    Waiters,
}

impl Shortage {
    /// The limit's name in the configuration, or `share`; also in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fills => "fills",
            Self::Memory => "memory",
            Self::Share => "share",
            Self::Waiters => "waiters",
        }
    }
}

impl Outcome {
    /// The outcome's name: in `x-mirror-on-miss`, in metrics and in log lines.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Broken(_) => "broken",
            Self::BucketUnavailable => "bucket_unavailable",
            Self::Busy(_) => "busy",
            Self::Corrupt(_) => "corrupt",
            Self::Exists => "exists",
            Self::Filling => "filling",
            Self::Forbidden => "forbidden",
            Self::Head { .. } => "head",
            Self::Loop => "loop",
            Self::NotFound => "not_found",
            Self::NotStored { .. } => "not_stored",
            Self::Origin => "origin",
            Self::OriginBusy { .. } => "origin_unavailable",
            Self::OriginRedirect { .. } => "origin_redirect",
            Self::OriginRefused { .. } => "origin_refused",
            Self::OriginTimeout => "origin_timeout",
            Self::OriginUnavailable(_) => "origin_unavailable",
            Self::Passed(_) => "streamed",
            Self::Private(_) => "private",
            Self::Served(_) => "served",
            Self::Stored => "stored",
            Self::TooLarge => "too_large",
            Self::WrongType => "wrong_type",
        }
    }

    /// The object itself, where that is what a client gets.
    pub fn object(&self) -> Option<&Object> {
        match self {
            Self::Served(object) | Self::Private(Some(object)) | Self::NotStored { object: Some(object), .. } => {
                Some(object)
            }
            _ => None,
        }
    }

    /// Tells if the origins failed to give the object, so that asking them again at once is of no use.
    pub fn is_failure_of_origin(&self) -> bool {
        matches!(
            self,
            Self::Corrupt(_)
                | Self::OriginBusy { .. }
                | Self::OriginRefused { .. }
                | Self::OriginTimeout
                | Self::OriginUnavailable(_)
                | Self::TooLarge
                | Self::WrongType
        )
    }

    /// The same outcome for a client that gets no copy of the object.
    pub fn without_object(&self) -> Self {
        match self {
            Self::NotStored { status, .. } => Self::NotStored { object: None, status: *status },
            Self::Served(_) => Self::Busy(Shortage::Memory),
            Self::Private(_) => Self::Private(None),
            other => other.clone(),
        }
    }

    /// The text that a log line adds to the name.
    pub fn detail(&self) -> String {
        match self {
            Self::Broken(why) | Self::OriginUnavailable(why) => (*why).to_owned(),
            Self::Corrupt(header) => format!("it contradicts {header}"),
            Self::Busy(shortage) => shortage.label().to_owned(),
            Self::NotStored { status: NOT_ASKED, .. } => "a key that the bucket cannot hold".to_owned(),
            Self::NotStored { status, .. } => format!("the store answered {status}"),
            Self::OriginBusy { seconds } => format!("the origin asks to be left alone for {seconds} s"),
            Self::OriginRedirect { status, .. } => format!("the origin answered {status}"),
            Self::OriginRefused { status } => {
                let setting = match status {
                    300..=399 => "; see origins.NAME.redirects",
                    // S3 says so of a missing object to those who may not list the bucket.
                    403 => "; see origins.NAME.missing",
                    _ => "",
                };
                format!("the origin answered {status}{setting}")
            }
            _ => String::new(),
        }
    }
}
