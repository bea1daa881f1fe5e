//! The condition under which a client wants an object.
//!
//! Only the bucket can judge a condition on its own validators. An object that is handed out by the module has the entity tag
//! of a stream, or none (RFC 9110, 13.1). As the request's id, the condition comes as metadata of the stream, so it costs a
//! hit no call into the module. The metadata has one condition. A client that is passed to an origin has sent its headers anew,
//! so all of them are judged, in the order of RFC 9110, 13.2.2.

use crate::object::http_date::HttpDate;
use crate::request::passing::{RangeRequest, Wanted, is_listed, names_ours};

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
            None => Self::None,
            // An older edge tells no date.
            Some(b"unmodified") => Self::Unmodified(None),
            Some(value) => match std::str::from_utf8(value) {
                Ok(value) => match value.split_once(' ') {
                    Some(("none", tags)) => Self::none_match(tags),
                    Some(("unmodified", date)) => Self::Unmodified(HttpDate::parse(date)),
                    _ => Self::matching(value),
                },
                Err(_) => Self::Match,
            },
        }
    }

    /// Reads `If-Match`.
    fn matching(tags: &str) -> Self {
        match tags {
            "" | "*" => Self::None,
            _ if names_ours(tags) => Self::Stream(tags.into()),
            _ => Self::Match,
        }
    }

    /// Reads `If-None-Match`.
    fn none_match(tags: &str) -> Self {
        match tags {
            "" => Self::None,
            "*" => Self::NoneMatch,
            _ => Self::NoneOf(tags.into()),
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

/// Reads the conditions and the range of a GET. `header` looks up its headers; `tag` is the entity tag of the stream, and
/// `modified` the date of its object.
pub fn wanted(header: &dyn Fn(&str) -> Option<Vec<u8>>, tag: &str, modified: Option<HttpDate>, total: u64) -> Wanted {
    let text = |name: &str| condition(header, name);
    let (tags, since) = (text("if-match"), text("if-unmodified-since"));
    let first = match (tags.as_str(), since.as_str()) {
        ("", "") => Precondition::None,
        ("", since) => Precondition::Unmodified(HttpDate::parse(since)),
        (tags, _) => Precondition::matching(tags),
    };
    for precondition in [first, Precondition::none_match(&text("if-none-match"))] {
        if precondition.is_for_bucket(true) {
            return Wanted::AskBucket;
        }
        match precondition.refuses(Some(tag), modified) {
            Some(304) => return Wanted::NotModified,
            Some(_) => return Wanted::OtherVersion,
            None => {}
        }
    }
    RangeRequest::read(header).map(|range| range.wanted(Some(tag), total)).unwrap_or(Wanted::All)
}

/// Looks up a condition; empty without one. What is no text is none that an object of ours meets.
#[inline(never)]
fn condition(header: &dyn Fn(&str) -> Option<Vec<u8>>, name: &str) -> String {
    match header(name).map(String::from_utf8) {
        None => String::new(),
        Some(Ok(text)) => text,
        Some(Err(_)) => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "\"mirror-0123\"";

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

    type Headers<'a> = &'a [(&'a str, &'a str)];

    fn value<'a>(headers: Headers<'a>, name: &str) -> Option<&'a str> {
        headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// What a stream answers.
    fn want(headers: Headers<'_>, modified: Option<HttpDate>) -> Wanted {
        let header = |name: &str| value(headers, name).map(|value| value.as_bytes().to_vec());
        wanted(&header, OURS, modified, 10)
    }

    /// What is answered of memory. The metadata are as the edges write them: of several rules for one key the last one counts.
    fn given(headers: Headers<'_>, modified: Option<HttpDate>) -> Wanted {
        let rules = [("if-none-match", "none "), ("if-unmodified-since", "unmodified "), ("if-match", "")];
        let told = rules.iter().filter_map(|(name, word)| Some(format!("{word}{}", value(headers, name)?))).next_back();
        let precondition = Precondition::read(told.as_deref().map(str::as_bytes));
        let header = |name: &str| value(headers, name).map(|value| value.as_bytes().to_vec());
        match precondition.refuses(Some(OURS), modified) {
            _ if precondition.is_for_bucket(true) => Wanted::AskBucket,
            Some(304) => Wanted::NotModified,
            Some(_) => Wanted::OtherVersion,
            None => RangeRequest::read(&header).map_or(Wanted::All, |range| range.wanted(Some(OURS), 10)),
        }
    }

    #[test]
    fn a_stream_and_an_object_at_hand_judge_alike_what_clients_send() {
        const BUCKETS: &str = "\"9b2cf5\"";
        const OTHER: &str = "\"mirror-4567\"";
        let [before, then, after] = DATES;
        let range = ("range", "bytes=2-3");
        let table: &[(Headers<'_>, Wanted)] = &[
            (&[], Wanted::All),
            // One condition.
            (&[("if-match", OURS)], Wanted::All),
            (&[("if-match", "*")], Wanted::All),
            (&[("if-match", "")], Wanted::All),
            (&[("if-match", "\"x\", \"mirror-0123\"")], Wanted::All),
            (&[("if-match", "mirror-0123")], Wanted::All),
            (&[("if-match", "W/\"mirror-0123\"")], Wanted::AskBucket),
            (&[("if-match", "\"x\", \"mirror-4567\"")], Wanted::OtherVersion),
            (&[("if-match", "mirror-4567")], Wanted::OtherVersion),
            (&[("if-match", OTHER)], Wanted::OtherVersion),
            (&[("if-match", BUCKETS)], Wanted::AskBucket),
            (&[("if-unmodified-since", before)], Wanted::OtherVersion),
            (&[("if-unmodified-since", then)], Wanted::All),
            (&[("if-unmodified-since", after)], Wanted::All),
            (&[("if-unmodified-since", "yesterday")], Wanted::AskBucket),
            (&[("if-none-match", "*")], Wanted::AskBucket),
            (&[("if-none-match", "")], Wanted::All),
            (&[("if-none-match", BUCKETS)], Wanted::All),
            (&[("if-none-match", OTHER)], Wanted::All),
            (&[("if-none-match", OURS)], Wanted::NotModified),
            (&[("if-none-match", "\"x\", W/\"mirror-0123\"")], Wanted::NotModified),
            (&[("if-modified-since", then)], Wanted::All),
            // Browsers: the date does not count.
            (&[("if-none-match", OURS), ("if-modified-since", before)], Wanted::NotModified),
            (&[("if-none-match", BUCKETS), ("if-modified-since", after)], Wanted::All),
            // SDKs: likewise.
            (&[("if-match", OURS), ("if-unmodified-since", before)], Wanted::All),
            (&[("if-match", OTHER), ("if-unmodified-since", after)], Wanted::OtherVersion),
            (&[("if-match", BUCKETS), ("if-unmodified-since", after)], Wanted::AskBucket),
            (&[("if-match", "*"), ("if-unmodified-since", before)], Wanted::All),
            // Downloads that go on.
            (&[range], Wanted::Range(2, 3)),
            (&[range, ("if-range", OURS)], Wanted::Range(2, 3)),
            (&[range, ("if-range", OTHER)], Wanted::All),
            (&[range, ("if-range", "W/\"mirror-0123\"")], Wanted::All),
            (&[range, ("if-range", then)], Wanted::All),
            (&[range, ("if-match", OURS)], Wanted::Range(2, 3)),
            (&[range, ("if-match", OTHER)], Wanted::OtherVersion),
            (&[range, ("if-unmodified-since", then)], Wanted::Range(2, 3)),
            (&[range, ("if-unmodified-since", before)], Wanted::OtherVersion),
            (&[range, ("if-none-match", OURS)], Wanted::NotModified),
            // A range without a byte is the last thing that counts.
            (&[("range", "bytes=10-"), ("if-match", OTHER)], Wanted::OtherVersion),
            (&[("range", "bytes=10-"), ("if-none-match", OURS)], Wanted::NotModified),
            (&[("range", "bytes=10-")], Wanted::Unsatisfiable),
        ];
        for (headers, expected) in table {
            let modified = HttpDate::parse(then);
            assert_eq!(want(headers, modified), *expected, "a stream: {headers:?}");
            assert_eq!(given(headers, modified), *expected, "of memory: {headers:?}");
        }
        // Without a date of the object's own nothing is judged by one (RFC 9110, 13.1.4).
        for (headers, expected) in [
            (&[("if-unmodified-since", before)], Wanted::All),
            (&[("if-unmodified-since", "yesterday")], Wanted::AskBucket),
        ] {
            assert_eq!([want(headers, None), given(headers, None)], [expected; 2], "{headers:?}");
        }
    }

    #[test]
    fn a_tag_that_is_no_text_is_none_of_a_stream() {
        let want = |name: &str| wanted(&|known| (known == name).then(|| b"\"\xE9\"".to_vec()), OURS, None, 10);
        assert_eq!(want("if-match"), Wanted::AskBucket);
        assert_eq!(want("if-unmodified-since"), Wanted::AskBucket);
        assert_eq!(want("if-none-match"), Wanted::All);
    }

    #[test]
    fn a_stream_judges_several_conditions_in_the_order_of_http() {
        let [before, then, _] = DATES;
        for (headers, expected) in [
            ([("if-match", OURS), ("if-none-match", OURS)], Wanted::NotModified),
            ([("if-match", "\"mirror-4567\""), ("if-none-match", "*")], Wanted::OtherVersion),
            ([("if-match", OURS), ("if-none-match", "*")], Wanted::AskBucket),
            ([("if-unmodified-since", then), ("if-none-match", OURS)], Wanted::NotModified),
            ([("if-unmodified-since", before), ("if-none-match", OURS)], Wanted::OtherVersion),
        ] {
            assert_eq!(want(&headers, HttpDate::parse(then)), expected, "{headers:?}");
        }
    }
}
