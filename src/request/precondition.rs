//! The condition under which a client wants an object.
//!
//! Only the bucket can judge a condition on its own validators. An object that is handed out by the module has the entity tag
//! of a stream, or none (RFC 9110, 13.1). As the request's id, the condition comes as metadata of the stream, so it costs a
//! hit no call into the module.

use crate::request::passing::{TAG, is_listed};

/// The condition of a request, as far as it keeps the module from handing an object out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// `If-Match` with entity tags, the first of which is the bucket's.
    Match,
    /// None that an object fails which the bucket does not have.
    #[default]
    None,
    /// `If-None-Match: *`: the client has the object, in whatever version.
    NoneMatch,
    /// `If-None-Match` with these tags.
    NoneOf(Box<str>),
    /// `If-Match` with these tags, the first of which is that of a stream, which the bucket does not know.
    Stream(Box<str>),
    /// `If-Unmodified-Since`.
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

    /// Judges an object by its entity tag, if it has one: `Some(412)`, `Some(304)`, or `None` where the client gets it.
    pub fn refuses(&self, tag: Option<&str>) -> Option<u16> {
        let is_in = |tags: &str, weakly| tag.is_some_and(|tag| is_listed(tag, tags, weakly));
        match self {
            Self::Match => Some(412),
            Self::NoneMatch => Some(304),
            Self::NoneOf(tags) => is_in(tags, true).then_some(304),
            Self::Stream(tags) => (!is_in(tags, false)).then_some(412),
            Self::None | Self::Unmodified => None,
        }
    }

    /// Tells if the client may be passed to the origin.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::None | Self::NoneOf(_) | Self::Stream(_))
    }

    /// Tells if the client waits for the bucket's answer, though the object is at hand before. `is_served` says that clients get
    /// that object itself, with its entity tag.
    pub fn is_for_bucket(&self, is_served: bool) -> bool {
        match self {
            Self::None | Self::NoneOf(_) => false,
            Self::Stream(_) => !is_served,
            Self::Match | Self::NoneMatch | Self::Unmodified => true,
        }
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
        assert_eq!(Precondition::read(Some(b"\xFF")), Precondition::Match);
        for is_served in [false, true] {
            let is_for_bucket = |metadata: &[u8]| Precondition::read(Some(metadata)).is_for_bucket(is_served);
            assert!(is_for_bucket(b"unmodified") && is_for_bucket(b"\"a\"") && is_for_bucket(b"none *"));
            assert!(!is_for_bucket(b"") && !is_for_bucket(b"none \"a\""));
            assert_eq!(is_for_bucket(b"\"mirror-1\""), !is_served, "what is served has such a tag");
        }
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
            ("none *", Some(304)),
            ("\"a\"", Some(412)),
        ] {
            let refuses = |tag| Precondition::read(Some(metadata.as_bytes())).refuses(tag);
            assert_eq!(refuses(Some("\"mirror-1\"")), expected, "{metadata}");
        }
    }

    #[test]
    fn an_object_without_a_tag_is_no_version_that_a_client_has() {
        for (metadata, expected) in
            [("\"mirror-1\"", Some(412)), ("none \"mirror-1\"", None), ("none ,", None), ("*", None), ("", None)]
        {
            assert_eq!(Precondition::read(Some(metadata.as_bytes())).refuses(None), expected, "{metadata}");
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
