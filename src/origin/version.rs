//! Versions of an object. Only parts of one version are joined.

use crate::config::Pin;
use crate::http::{Headers, digits};
use crate::object::EntityTag;
use crate::object::http_date::HttpDate;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The version of an object that an answer has a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Length of the whole object.
    pub total: u64,
    /// The validator that other parts must have, too. `None` where nothing joins them.
    validator: Option<Validator>,
    /// Codings of the bytes: another coding makes other bytes (RFC 9110, 8.8.3.3).
    coding: String,
}

/// A header that is equal in all parts of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Validator {
    /// `Last-Modified`, which in each answer is older than that by a second at least. A change in the same second would keep
    /// it (RFC 9110, 8.8.2.2).
    Date(String),
    /// `Last-Modified`, because the operator says so.
    LastModified(String),
    /// Nothing but the length, because the operator says so.
    Length,
    /// A strong ETag.
    StrongEtag(String),
    /// An ETag that may be weak, because the operator says so.
    Etag(String),
}

impl Version {
    /// Reads the version from the headers of an answer.
    pub fn of(headers: &Headers, total: u64, pin: Pin) -> Self {
        let last_modified = || headers.only("last-modified").map(|date| Validator::LastModified(date.to_owned()));
        let validator = match pin {
            Pin::Etag => headers.only("etag").map(|etag| Validator::Etag(etag.to_owned())).or_else(|| strong(headers)),
            Pin::LastModified => last_modified(),
            Pin::Length => Some(Validator::Length),
            Pin::Strong => strong(headers),
        };
        Self { total, validator, coding: coding(headers) }
    }

    /// Returns the entity tag that clients get: another for another version, and the same in all workers. `None` where nothing
    /// tells versions apart.
    pub fn tag(&self) -> Option<EntityTag> {
        let (kind, value) = self.validator.as_ref()?.written();
        let mut hasher = DefaultHasher::new();
        (self.total, &self.coding, kind, value).hash(&mut hasher);
        Some(EntityTag(hasher.finish()))
    }

    /// Writes it as three lines: its length, its codings, and the validator behind a digit for its kind.
    pub fn lines(&self) -> [String; 3] {
        let (kind, value) = self.validator.as_ref().map(Validator::written).unwrap_or_default();
        [self.total.to_string(), self.coding.clone(), [kind, value].concat()]
    }

    /// Reads these lines. `None` for any others.
    pub fn of_lines(total: &str, coding: &str, validator: &str) -> Option<Self> {
        let (kind, value) = validator.split_at_checked(1)?;
        let value = value.to_owned();
        let validator = match kind {
            "0" => Validator::Date(value),
            "1" => Validator::LastModified(value),
            "2" => Validator::Length,
            "3" => Validator::StrongEtag(value),
            "4" => Validator::Etag(value),
            _ => return None,
        };
        Some(Self { total: digits(total)?, validator: Some(validator), coding: coding.to_owned() })
    }

    /// Tells if parts of it can be joined.
    pub fn joins(&self) -> bool {
        self.validator.is_some()
    }

    /// Tells if an answer with these headers is of this version.
    pub fn has(&self, headers: &Headers, total: u64) -> bool {
        let same = match &self.validator {
            Some(Validator::StrongEtag(etag) | Validator::Etag(etag)) => headers.only("etag") == Some(etag),
            Some(Validator::Date(date)) => headers.only("last-modified") == Some(date) && is_old(headers),
            Some(Validator::LastModified(date)) => headers.only("last-modified") == Some(date),
            Some(Validator::Length) => true,
            None => false,
        };
        same && total == self.total && coding(headers) == self.coding
    }

    /// Returns the header that makes the origin refuse a part of another version: `If-Match` with a strong ETag (RFC 9110,
    /// 13.1.1), or `If-Unmodified-Since`.
    pub fn precondition(&self) -> Option<(&'static str, String)> {
        match self.validator.as_ref()? {
            Validator::StrongEtag(etag) => Some(("if-match", etag.clone())),
            Validator::Etag(etag) => is_strong(etag).then(|| ("if-match", etag.clone())),
            Validator::Date(date) | Validator::LastModified(date) => Some(("if-unmodified-since", date.clone())),
            Validator::Length => None,
        }
    }
}

fn strong(headers: &Headers) -> Option<Validator> {
    let etag = headers.only("etag").filter(|etag| is_strong(etag)).map(|etag| Validator::StrongEtag(etag.to_owned()));
    let date = || {
        let date = headers.only("last-modified").filter(|_| is_old(headers));
        date.map(|date| Validator::Date(date.to_owned()))
    };
    etag.or_else(date)
}

impl Validator {
    /// Returns the digit for its kind, and its value.
    fn written(&self) -> (&'static str, &str) {
        match self {
            Self::Date(date) => ("0", date),
            Self::LastModified(date) => ("1", date),
            Self::Length => ("2", ""),
            Self::StrongEtag(etag) => ("3", etag),
            Self::Etag(etag) => ("4", etag),
        }
    }
}

/// Tells if it is one ETag that tells versions apart: not a weak one, and not the empty one, which is the same for all. Envoy
/// joins two with a comma.
fn is_strong(etag: &str) -> bool {
    let opaque = etag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    opaque.is_some_and(|opaque| !opaque.is_empty() && !opaque.contains('"'))
}

/// Tells if the object was changed for the last time at least a second before the answer.
fn is_old(headers: &Headers) -> bool {
    let date = |name| headers.only(name).and_then(HttpDate::parse);
    matches!((date("last-modified"), date("date")), (Some(changed), Some(answered)) if changed < answered)
}

/// Returns the codings in one way of writing them.
fn coding(headers: &Headers) -> String {
    let values = headers.texts("content-encoding");
    let codings = values.flat_map(|value| value.split(',')).map(|coding| coding.trim().to_ascii_lowercase());
    codings.filter(|coding| !coding.is_empty() && coding != "identity").collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUNDAY: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    const SAME_SECOND: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    const NEXT_SECOND: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:38 GMT");
    const LATER: (&str, &str) = ("date", "Mon, 07 Nov 1994 08:49:38 GMT");

    fn headers(headers: &[(&str, &str)]) -> Headers {
        Headers::new(headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect())
    }

    fn joined(pin: Pin, first: &[(&str, &str)], later: &[(&str, &str)]) -> bool {
        let version = Version::of(&headers(first), 9, pin);
        let joined = version.has(&headers(later), 9);
        assert!(version.joins() || !joined);
        assert!(!version.has(&headers(later), 8), "the length always counts");
        joined
    }

    #[test]
    fn an_equal_strong_etag_joins_whatever_the_date_is() {
        let etag = ("etag", "\"a\"");
        assert!(joined(Pin::Strong, &[etag, SUNDAY], &[etag, ("last-modified", "Mon, 07 Nov 1994 08:49:37 GMT")]));
        assert!(joined(Pin::Strong, &[etag], &[etag]));
        assert!(!joined(Pin::Strong, &[etag, SUNDAY, LATER], &[("etag", "\"b\""), SUNDAY, LATER]));
        assert!(!joined(Pin::Strong, &[etag, SUNDAY, LATER], &[SUNDAY, LATER]));
    }

    #[test]
    fn a_weak_a_joined_an_empty_or_an_unquoted_etag_never_joins() {
        for etag in ["W/\"a\"", "\"a\",\"a\"", "a", "\"a", "\"\"", ""] {
            assert!(!joined(Pin::Strong, &[("etag", etag)], &[("etag", etag)]), "{etag}");
        }
        let twice = [("etag", "\"a\""), ("etag", "\"a\"")];
        assert!(!joined(Pin::Strong, &twice, &twice));
    }

    #[test]
    fn a_date_joins_if_in_each_answer_it_is_older_than_that_by_a_second() {
        assert!(joined(Pin::Strong, &[SUNDAY, NEXT_SECOND], &[SUNDAY, LATER]));
        assert!(joined(Pin::Strong, &[SUNDAY, LATER, ("etag", "W/\"a\"")], &[SUNDAY, LATER]));
        assert!(!joined(Pin::Strong, &[SUNDAY, SAME_SECOND], &[SUNDAY, LATER]));
        assert!(!joined(Pin::Strong, &[SUNDAY, NEXT_SECOND], &[SUNDAY, SAME_SECOND]));
        assert!(!joined(Pin::Strong, &[SUNDAY], &[SUNDAY]));
        assert!(!joined(
            Pin::Strong,
            &[("last-modified", "yesterday"), LATER],
            &[("last-modified", "yesterday"), LATER]
        ));
        let twice = [SUNDAY, SUNDAY, LATER];
        assert!(!joined(Pin::Strong, &twice, &twice));
    }

    #[test]
    fn an_operator_may_say_that_less_is_enough() {
        let nodes = [[("etag", "\"a\""), SUNDAY], [("etag", "\"b\""), SUNDAY]];
        assert!(joined(Pin::LastModified, &nodes[0], &nodes[1]));
        assert!(!joined(Pin::LastModified, &nodes[0], &[("etag", "\"a\"")]));
        assert!(joined(Pin::Length, &nodes[0], &[]));
        assert!(joined(Pin::Etag, &[("etag", "W/\"a\"")], &[("etag", "W/\"a\"")]));
        assert!(!joined(Pin::Etag, &[("etag", "W/\"a\"")], &[("etag", "W/\"b\"")]));
        assert!(joined(Pin::Etag, &[SUNDAY, LATER], &[SUNDAY, LATER]));
    }

    #[test]
    fn another_coding_is_another_version() {
        for pin in [Pin::Strong, Pin::Etag, Pin::LastModified, Pin::Length] {
            let version = Version::of(&headers(&[("etag", "\"a\""), SUNDAY]), 9, pin);
            let with = |coding: &str| headers(&[("etag", "\"a\""), SUNDAY, ("content-encoding", coding)]);
            assert!(version.has(&with("Identity"), 9));
            assert!(!version.has(&with("gzip"), 9), "{pin:?}");
        }
    }

    #[test]
    fn a_later_part_is_asked_for_under_the_validator_that_joins() {
        let etag = ("etag", "\"a\"");
        for (pin, sent, expected) in [
            (Pin::Strong, &[etag, SUNDAY, LATER][..], Some(("if-match", "\"a\""))),
            (Pin::Strong, &[("etag", "W/\"a\""), SUNDAY, LATER], Some(("if-unmodified-since", SUNDAY.1))),
            (Pin::Strong, &[("etag", "W/\"a\"")], None),
            (Pin::Etag, &[("etag", "W/\"a\"")], None),
            (Pin::Etag, &[etag], Some(("if-match", "\"a\""))),
            (Pin::LastModified, &[etag, SUNDAY], Some(("if-unmodified-since", SUNDAY.1))),
            (Pin::Length, &[etag, SUNDAY], None),
        ] {
            let precondition = Version::of(&headers(sent), 9, pin).precondition();
            assert_eq!(
                precondition.as_ref().map(|(name, value)| (*name, value.as_str())),
                expected,
                "{pin:?} {sent:?}"
            );
        }
    }

    #[test]
    fn each_version_has_an_entity_tag_of_its_own_if_it_can_be_told_from_others() {
        let tag = |etag: &str, total| Version::of(&headers(&[("etag", etag)]), total, Pin::Strong).tag();
        assert_eq!(tag("\"a\"", 9), tag("\"a\"", 9));
        assert_ne!(tag("\"a\"", 9), tag("\"b\"", 9));
        assert_ne!(tag("\"a\"", 9), tag("\"a\"", 10));
        assert!(tag("\"a\"", 9).is_some_and(|tag| tag.to_string().len() == "\"mirror-0123456789abcdef\"".len()));
        assert_eq!(tag("W/\"a\"", 9), None);
    }
}
