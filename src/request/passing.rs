//! The client's side of what the module hands out or passes on: the marker of a stream, and the bytes that the client wants.

use crate::http::digits;
use crate::object::EntityTag;

/// The bytes that a client wants of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of them.
    All,
    /// It depends on a validator of the bucket.
    AskBucket,
    /// None: the client has them.
    NotModified,
    /// None: the client holds another version.
    OtherVersion,
    /// These, both ends inclusive.
    Range(u64, u64),
    /// None: the object has no such bytes.
    Unsatisfiable,
}

/// The range of a GET.
///
/// A stream reads it from the request. A miss may be answered from memory, when the request's headers are gone. So `range` and
/// `if-range` come as metadata of the stream then, as the request's condition does. Without them every range gets all of the
/// object, as HTTP allows (RFC 9110, 14.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRequest {
    range: String,
    /// That of `If-Range`; empty without one.
    validator: String,
}

impl RangeRequest {
    /// Reads the headers, or the metadata of the same names. `None` if no range is asked for.
    pub fn read(look_up: &dyn Fn(&str) -> Option<Vec<u8>>) -> Option<Self> {
        let range = text(look_up, "range");
        (!range.is_empty()).then(|| Self { range, validator: text(look_up, "if-range") })
    }

    /// Returns the bytes of an object of this length. `tag` is its entity tag, which `If-Range` has to name. A date names no
    /// version here. A range that is none, or several, may be ignored (RFC 9110, 14.2).
    pub fn wanted(&self, tag: Option<&str>, total: u64) -> Wanted {
        let is_of_version = self.validator.is_empty() || tag == Some(self.validator.as_str());
        if is_of_version { in_range(&self.range, total) } else { Wanted::All }
    }

    /// Returns the most bytes that it may be of an object of any length and version.
    pub fn most(&self) -> u64 {
        match in_range(&self.range, u64::MAX) {
            Wanted::Range(first, last) if self.validator.is_empty() => last.saturating_sub(first).saturating_add(1),
            _ => u64::MAX,
        }
    }
}

/// Takes the marker off a path and query. `None` if it is not the last parameter.
pub fn without_marker<'a>(path_and_query: &'a [u8], marker: &str) -> Option<&'a [u8]> {
    let (separator, rest) = path_and_query.strip_suffix(marker.as_bytes())?.split_last()?;
    let is_parameter = match separator {
        b'?' => !rest.contains(&b'?'),
        b'&' => rest.contains(&b'?'),
        _ => false,
    };
    is_parameter.then_some(rest)
}

/// Puts the marker behind a location.
pub fn with_marker(location: &str, marker: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}{marker}")
}

/// Looks up a header that is text; empty without one. It is called often, and small.
#[inline(never)]
pub fn text(header: &dyn Fn(&str) -> Option<Vec<u8>>, name: &str) -> String {
    header(name).and_then(|value| String::from_utf8(value).ok()).unwrap_or_default()
}

/// Tells if an entity tag is in a list of them. A weak one counts for `If-None-Match` alone (RFC 9110, 13.1.2). AWS's SDK for Java
/// v1 leaves the quotes out.
#[inline(never)]
pub fn is_listed(tag: &str, tags: &str, weakly: bool) -> bool {
    tags.split(',').map(str::trim).any(|known| {
        let strong = if weakly { known.strip_prefix("W/").unwrap_or(known) } else { known };
        strong.trim_matches('"') == tag.trim_matches('"')
    })
}

/// Tells if a list of entity tags has one that only clients of the module have.
pub fn names_ours(tags: &str) -> bool {
    let ours = EntityTag::BEGINNING.trim_start_matches('"');
    tags.split(',').any(|known| known.trim().trim_start_matches('"').starts_with(ours))
}

fn in_range(range: &str, total: u64) -> Wanted {
    let range = range.split_once('=').filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let Some((first, last)) = range.and_then(|(_, range)| range.trim().split_once('-')) else { return Wanted::All };
    let end = total.saturating_sub(1);
    let (first, last) = match (first, last) {
        ("", last) => match digits(last).filter(|_| !last.is_empty()) {
            Some(length) => (total.saturating_sub(length), if length == 0 { None } else { Some(end) }),
            None => return Wanted::All,
        },
        (first, last) => match (digits(first), last.is_empty(), digits(last)) {
            (Some(first), true, _) => (first, Some(end)),
            (Some(first), false, Some(last)) if first <= last => (first, Some(last.min(end))),
            _ => return Wanted::All,
        },
    };
    match last {
        Some(last) if first <= last && first < total => Wanted::Range(first, last),
        _ => Wanted::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "\"mirror-0123\"";

    fn want(range: &str, if_range: &str, total: u64) -> Wanted {
        let header = |name: &str| Some(if name == "range" { range } else { if_range }.as_bytes().to_vec());
        RangeRequest::read(&header).unwrap().wanted(Some(OURS), total)
    }

    #[test]
    fn the_marker_is_the_last_parameter_of_the_query_or_none() {
        for (path, rest) in [
            ("/a?m=s", Some("/a")),
            ("/a?v=1&m=s", Some("/a?v=1")),
            ("/a?&m=s", Some("/a?")),
            ("/a?m=s&m=s", Some("/a?m=s")),
            ("/a", None),
            ("/m=s", None),
            ("m=s", None),
            ("/a&m=s", None),
            ("/a?xm=s", None),
            ("/a?v=1?m=s", None),
            ("/a?m=s&v=1", None),
            ("/a?m%3Ds", None),
        ] {
            assert_eq!(without_marker(path.as_bytes(), "m=s"), rest.map(str::as_bytes), "{path}");
        }
        for location in ["/a", "/a?v=1", "/a?", "http://store/b/a?x"] {
            let marked = with_marker(location, "m=s");
            assert_eq!(without_marker(marked.as_bytes(), "m=s"), Some(location.as_bytes()));
        }
    }

    #[test]
    fn one_range_is_passed_on_within_the_object() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Range(0, 0)),
            ("Bytes=2-", Wanted::Range(2, 9)),
            ("bytes=2-99", Wanted::Range(2, 9)),
            ("bytes=-3", Wanted::Range(7, 9)),
            ("bytes=-99", Wanted::Range(0, 9)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=3-2", Wanted::All),
            ("bytes=0-1,4-5", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("items=0-1", Wanted::All),
            ("0-1", Wanted::All),
        ] {
            assert_eq!(want(range, "", 10), expected, "{range}");
        }
    }

    #[test]
    fn no_client_takes_more_bytes_than_its_range_may_have() {
        for (range, if_range, most) in [
            ("bytes=0-0", "", 1),
            ("bytes=2-4", "", 3),
            ("bytes=-3", "", 3),
            ("bytes=-0", "", u64::MAX),
            ("bytes=9-", "", u64::MAX - 9),
            ("bytes=0-", "", u64::MAX),
            ("bytes=0-18446744073709551615", "", u64::MAX),
            ("bytes=-18446744073709551615", "", u64::MAX),
            ("bytes=0-1,4-5", "", u64::MAX),
            ("bytes=3-2", "", u64::MAX),
            ("items=0-1", "", u64::MAX),
            ("bytes=0-0", "\"x\"", u64::MAX),
            ("bytes=0-0", OURS, u64::MAX),
        ] {
            let header = |name: &str| Some(if name == "range" { range } else { if_range }.as_bytes().to_vec());
            let asked = RangeRequest::read(&header).unwrap();
            assert_eq!(asked.most(), most, "{range} {if_range}");
            for total in [0, 1, 3, 10, 11] {
                let handed = match asked.wanted(Some(OURS), total) {
                    Wanted::Range(first, last) => last - first + 1,
                    Wanted::Unsatisfiable => 0,
                    _ => total,
                };
                assert!(handed <= most.min(total), "{range} of {total}");
            }
        }
    }

    #[test]
    fn a_range_counts_if_the_client_holds_this_version() {
        for (if_range, expected) in
            [(OURS, Wanted::Range(2, 3)), ("\"x\"", Wanted::All), ("Sun, 06 Nov 1994 08:49:37 GMT", Wanted::All)]
        {
            assert_eq!(want("bytes=2-3", if_range, 10), expected, "{if_range}");
        }
    }

    #[test]
    fn an_empty_object_has_no_first_byte_to_ask_for() {
        assert_eq!(want("bytes=0-", "", 0), Wanted::Unsatisfiable);
    }
}
