//! The condition under which a client wants an object.
//!
//! Only the bucket can judge a condition: it knows the validators that clients have. An object that is handed out by the
//! module has none (RFC 9110, 13.1). As the request's id, the condition comes as metadata of the stream, so it costs a
//! hit no call into the module.

use crate::request::passing::TAG;

/// The condition of a request, as far as it keeps the module from handing an object out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// `If-Match` with entity tags, none of which an object without a validator has.
    Match,
    /// None that an object without a validator fails.
    #[default]
    None,
    /// `If-None-Match: *`: the client has the object, in whatever version.
    NoneMatch,
    /// `If-Match` with the tag of a stream, which the bucket does not know.
    Stream,
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
            Some(value) if value.starts_with(b"none ") => Self::None,
            Some(tag) if tag.starts_with(TAG.as_bytes()) => Self::Stream,
            Some(_) => Self::Match,
        }
    }

    /// Tells if the client may be passed to the origin.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::None | Self::Stream)
    }

    /// Tells if the client waits for the bucket's answer, though the object is at hand before.
    pub fn is_for_bucket(self) -> bool {
        self != Self::None
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
            ("none \"a\"", Precondition::None),
            ("none W/\"*\"", Precondition::None),
            ("\"mirror-0123\"", Precondition::Stream),
        ] {
            assert_eq!(Precondition::read(Some(metadata.as_bytes())), expected, "{metadata}");
        }
        assert_eq!(Precondition::read(None), Precondition::None);
        assert!(!Precondition::None.is_for_bucket() && Precondition::Unmodified.is_for_bucket());
    }
}
