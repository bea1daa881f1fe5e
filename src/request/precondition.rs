//! The condition under which a client wants an object.
//!
//! Only the bucket can judge a condition: it knows the validators that clients have. An object that is handed out by the
//! module has none (RFC 9110, 13.1). As the request's id, the condition comes as metadata of the stream, so it costs a
//! hit no call into the module.

use crate::request::passing::{TAG, is_listed};

/// The condition of a request, as far as it keeps the module from handing an object out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// `If-Match` with entity tags, none of which an object without a validator has.
    Match,
    /// None that an object without a validator fails.
    #[default]
    None,
    /// `If-None-Match: *`: the client has the object, in whatever version.
    NoneMatch,
    /// `If-None-Match` with these tags, none of which an object without a validator has.
    NoneOf(Box<str>),
    /// `If-Match` with these tags, the first of which is that of a stream, which the bucket does not know.
    Stream(Box<str>),
    /// `If-Unmodified-Since`, which an object without a date has to ignore.
    Unmodified,
}

/// The name of the metadata, which `header_to_metadata` in `envoy/configuration/edge.yaml` writes.
pub const NAME: &str = "precondition";

impl Precondition {
    /// Reads the metadata: the value of `If-Match`, or `unmodified`, or `none ` and the value of `If-None-Match`. No entity
    /// tag begins with either word.
    pub fn read(metadata: Option<&[u8]>) -> Self {
        match metadata {
            None | Some(b"" | b"*") => Self::None,
            Some(b"unmodified") => Self::Unmodified,
            Some(b"none *") => Self::NoneMatch,
            Some(value) => match std::str::from_utf8(value) {
                Ok(tags) if tags.starts_with(TAG) => Self::Stream(tags.into()),
                Ok(value) => value.strip_prefix("none ").map(|tags| Self::NoneOf(tags.into())).unwrap_or(Self::Match),
                Err(_) => Self::Match,
            },
        }
    }

    /// Judges a stream's object by its entity tag: `Some(412)`, `Some(304)`, or `None` where the client gets it.
    pub fn refuses(&self, tag: &str) -> Option<u16> {
        match self {
            Self::NoneOf(tags) if is_listed(tag, tags, true) => Some(304),
            Self::Stream(tags) if !is_listed(tag, tags, false) => Some(412),
            _ => None,
        }
    }

    /// Tells if the client may be passed to the origin.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::None | Self::NoneOf(_) | Self::Stream(_))
    }

    /// Tells if the client waits for the bucket's answer, though the object is at hand before.
    pub fn is_for_bucket(&self) -> bool {
        !matches!(self, Self::None | Self::NoneOf(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_a_cold_object_may_fail_is_for_the_bucket() {
        for (metadata, expected) in [
            ("\"a\"", Precondition::Match),
            ("W/\"a\", \"b\"", Precondition::Match),
            ("nonsense", Precondition::Match),
            ("*", Precondition::None),
            ("", Precondition::None),
            ("unmodified", Precondition::Unmodified),
            ("none *", Precondition::NoneMatch),
            ("none \"a\"", Precondition::NoneOf("\"a\"".into())),
            ("none W/\"*\"", Precondition::NoneOf("W/\"*\"".into())),
            ("\"mirror-0123\"", Precondition::Stream("\"mirror-0123\"".into())),
        ] {
            assert_eq!(Precondition::read(Some(metadata.as_bytes())), expected, "{metadata}");
        }
        assert_eq!(Precondition::read(None), Precondition::None);
        assert!(!Precondition::None.is_for_bucket() && Precondition::Unmodified.is_for_bucket());
        assert!(!Precondition::NoneOf("\"a\"".into()).is_for_bucket());
        assert_eq!(Precondition::read(Some(b"\xFF")), Precondition::Match);
    }

    #[test]
    fn the_tag_of_a_stream_decides_about_its_object() {
        for (metadata, expected) in [
            ("", None),
            ("*", None),
            ("\"mirror-1\"", None),
            ("\"mirror-2\"", Some(412)),
            ("\"mirror-2\", \"mirror-1\"", None),
            ("none \"mirror-1\"", Some(304)),
            ("none \"a\", W/\"mirror-1\"", Some(304)),
            ("none \"mirror-2\"", None),
        ] {
            assert_eq!(Precondition::read(Some(metadata.as_bytes())).refuses("\"mirror-1\""), expected, "{metadata}");
        }
    }

    #[test]
    fn a_condition_that_a_stream_can_judge_may_pass() {
        for (metadata, may_pass) in [
            (None, true),
            (Some("none \"a\""), true),
            (Some("\"mirror-0\""), true),
            (Some("\"a\""), false),
            (Some("none *"), false),
            (Some("unmodified"), false),
        ] {
            assert_eq!(Precondition::read(metadata.map(str::as_bytes)).may_pass(), may_pass, "{metadata:?}");
        }
    }
}
