//! The condition under which a client wants an object.
//!
//! Only the bucket can judge a condition on its own validators. An object that is handed out by the module has the entity tag
//! of a stream, or none (RFC 9110, 13.1). As the request's id, the condition comes as metadata of the stream, so it costs a
//! hit no call into the module.

use crate::object::http_date::HttpDate;
use crate::request::passing::{is_listed, names_ours};

/// The condition of a request, as far as it keeps the module from handing an object out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// `If-Match` with entity tags of the bucket's.
    Match,
    /// None that an object fails which the bucket does not have.
    #[default]
    None,
    /// `If-None-Match: *`: the client has the object, in whatever version.
    NoneMatch,
    /// `If-None-Match` with these tags.
    NoneOf(Box<str>),
    /// `If-Match` with these tags, one of which is that of a stream, which the bucket does not know.
    Stream(Box<str>),
    /// `If-Unmodified-Since`. Without a date if the edge does not tell it, or if it is none: then only the bucket can judge.
    Unmodified(Option<HttpDate>),
}

/// The name of the metadata, which `header_to_metadata` in `envoy/configuration/edge.yaml` writes.
pub const NAME: &str = "precondition";

impl Precondition {
    /// Reads the metadata: the value of `If-Match`, or `unmodified ` and the value of `If-Unmodified-Since`, or `none ` and that
    /// of `If-None-Match`. No entity tag begins with either word.
    pub fn read(metadata: Option<&[u8]>) -> Self {
        match metadata {
            None | Some(b"" | b"*") => Self::None,
            // An older edge tells no date.
            Some(b"unmodified") => Self::Unmodified(None),
            Some(b"none *") => Self::NoneMatch,
            Some(value) => match std::str::from_utf8(value) {
                Ok(value) => match value.split_once(' ') {
                    Some(("none", tags)) => Self::NoneOf(tags.into()),
                    Some(("unmodified", date)) => Self::Unmodified(HttpDate::parse(date)),
                    _ if names_ours(value) => Self::Stream(value.into()),
                    _ => Self::Match,
                },
                Err(_) => Self::Match,
            },
        }
    }

    /// Judges an object by its entity tag and its date, if it has them: `Some(412)`, `Some(304)`, or `None` where the client
    /// gets it. An object without a date fails no condition on that (RFC 9110, 13.1.4).
    pub fn refuses(&self, tag: Option<&str>, modified: Option<HttpDate>) -> Option<u16> {
        let is_in = |tags: &str, weakly| tag.is_some_and(|tag| is_listed(tag, tags, weakly));
        match self {
            Self::Match => Some(412),
            Self::NoneMatch => Some(304),
            Self::NoneOf(tags) => is_in(tags, true).then_some(304),
            Self::Stream(tags) => (!is_in(tags, false)).then_some(412),
            Self::Unmodified(date) => date.zip(modified).filter(|(date, modified)| date < modified).map(|_| 412),
            Self::None => None,
        }
    }

    /// Tells if the client may be passed to the origin.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unmodified(Some(_))) || self.may_replace_bucket()
    }

    /// Tells if the origin may answer in the place of a bucket that fails. A date says nothing there: the client may have it from
    /// another object, which the bucket has.
    pub fn may_replace_bucket(&self) -> bool {
        matches!(self, Self::None | Self::NoneOf(_) | Self::Stream(_))
    }

    /// Tells if the client waits for the bucket's answer, though the object is at hand before. `is_served` says that clients get
    /// that object itself, with its entity tag and its date.
    pub fn is_for_bucket(&self, is_served: bool) -> bool {
        match self {
            Self::None | Self::NoneOf(_) => false,
            Self::Stream(_) | Self::Unmodified(Some(_)) => !is_served,
            Self::Match | Self::NoneMatch | Self::Unmodified(None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATES: [&str; 3] =
        ["Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"];

    #[test]
    fn a_condition_that_a_cold_object_may_fail_is_for_the_bucket() {
        for (metadata, expected) in [
            ("\"a\"", Precondition::Match),
            ("W/\"a\", \"b\"", Precondition::Match),
            ("nonsense", Precondition::Match),
            ("none", Precondition::Match),
            ("*", Precondition::None),
            ("", Precondition::None),
            ("unmodified", Precondition::Unmodified(None)),
            ("unmodified yesterday", Precondition::Unmodified(None)),
            ("unmodified Sun, 06 Nov 1994 08:49:37 GMT", Precondition::Unmodified(HttpDate::parse(DATES[1]))),
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
            assert_eq!(is_for_bucket(format!("unmodified {}", DATES[1]).as_bytes()), !is_served, "and a date");
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
            ("mirror-1", None),
            ("mirror-2", Some(412)),
            ("\"a\", \"mirror-1\"", None),
            ("\"a\", W/\"mirror-1\"", Some(412)),
        ] {
            let refuses = |tag| Precondition::read(Some(metadata.as_bytes())).refuses(tag, None);
            assert_eq!(refuses(Some("\"mirror-1\"")), expected, "{metadata}");
        }
    }

    #[test]
    fn an_object_that_was_changed_later_is_refused() {
        let [before, then, after] = DATES.map(HttpDate::parse);
        for (modified, expected) in [(before, None), (then, None), (after, Some(412)), (None, None)] {
            assert_eq!(Precondition::Unmodified(then).refuses(Some("\"mirror-1\""), modified), expected);
            assert_eq!(Precondition::Unmodified(None).refuses(None, modified), None);
        }
    }

    #[test]
    fn an_object_without_a_tag_is_no_version_that_a_client_has() {
        for (metadata, expected) in
            [("\"mirror-1\"", Some(412)), ("none \"mirror-1\"", None), ("none ,", None), ("*", None), ("", None)]
        {
            assert_eq!(Precondition::read(Some(metadata.as_bytes())).refuses(None, None), expected, "{metadata}");
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
            (Some("unmodified Sun, 06 Nov 1994 08:49:37 GMT"), true),
        ] {
            let precondition = Precondition::read(metadata.map(str::as_bytes));
            assert_eq!(precondition.may_pass(), may_pass, "{metadata:?}");
            let by_date = matches!(precondition, Precondition::Unmodified(_));
            assert_eq!(precondition.may_replace_bucket(), may_pass && !by_date, "{metadata:?}");
        }
    }
}
