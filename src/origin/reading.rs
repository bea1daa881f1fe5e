//! The one table about an origin's answers: statuses, ranges, lengths and ends.
//!
//! An object is stored only when its end is proven. An answer to a range that cannot be used as one is no failure: the
//! same is asked once more without `Range`.
//!
//! | status | asked for a range | asked for everything |
//! | --- | --- | --- |
//! | 206, exactly from the byte asked for, no further, length as said | **range**; all of the object if its total says so | failure |
//! | the same, total is the length asked for and just that came | **range**, in doubt | |
//! | the same, far shorter than asked | unusable | |
//! | any other 206: no or an unknown range, `multipart/byteranges`, another length | unusable | failure |
//! | 200 with `Content-Range` | unusable: it may be a part (gateways, IIS ARR) | **whole** if it names all that came |
//! | 200, end proven | **whole**, in doubt if it has the length asked for | **whole** |
//! | 200, another length than announced | failure | failure |
//! | 200, end not proven | unframed; unusable if it has the length asked for | unframed |
//! | 408, 425, 429 | busy | busy |
//! | 504 | timeout: Envoy says it, too | timeout |
//! | 503 of Envoy itself | timeout or failure of the connection | likewise |
//! | 501, 505 | unusable | failure |
//! | another 5xx | failure, which may be a refusal of ranges | failure |
//! | 3xx, 401, 402, 407, 451 | refused | refused |
//! | another status | unusable: a plain GET may be allowed | refused |
//!
//! In doubt is an answer whose length may be that of the range alone: some gateways cut, and make up such a total. A HEAD tells
//! (`fill/rest.rs`).
//!
//! An answer that means that there is no object, by the origin's `missing`, is none of these.
//!
//! The end of a 200 is proven by `Content-Length`, by the last chunk, by END_STREAM where the origin is asked by HTTP/2
//! alone, and by a digest that what came has.

use crate::http::{ContentRange, Response, digits};

/// Bytes that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A range, both ends inclusive.
    Range {
        /// Offset of its first byte.
        first: u64,
        /// Offset of its last byte.
        last: u64,
    },
    /// Everything, without a `Range`.
    Whole,
}

/// The meaning of an answer to a GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// 408, 425, 429: the origin may give it later.
    Busy,
    /// A failure, or an answer that contradicts itself; the text says which.
    Failed(&'static str),
    /// Bytes of the object from the first one that was asked for, perhaps not to the last one.
    Range(ContentRange),
    /// Asking again does not help.
    Refused(u16),
    /// No answer in time.
    TimedOut,
    /// It proves no end.
    Unframed,
    /// It is no answer to a range.
    Unusable,
    /// All of the object.
    Whole,
}

/// The smallest share of the asked range that is used, as its inverse. A range may be shorter than asked for (RFC 9110, 15.3.7),
/// but then an object takes more requests.
const SHORTEST: u64 = 128;

/// The beginning of the body of the 503 that Envoy makes where an origin gave no headers (`Filter::onUpstreamReset`, `router.cc`).
const ENVOYS: &str = "upstream connect error or disconnect/reset before headers";

/// The text for a 5xx of the origin's own.
pub const FAILED: &str = "5xx";

/// Reads an answer. `ends` says that the transport, or a digest, proves an end where no header does.
pub fn read(response: &Response, asked: Asked, ends: bool) -> Reading {
    match (response.status, asked) {
        (206, Asked::Range { first, last }) => partial(response, first, last),
        (206, Asked::Whole) => Reading::Failed("206 to a request without a range"),
        (200, Asked::Range { .. }) if response.headers.contains("content-range") => Reading::Unusable,
        (200, Asked::Whole) if response.headers.contains("content-range") && !names_all(response) => {
            Reading::Failed("200 with a part of the object")
        }
        (200, Asked::Range { first, last }) => match whole(response, ends) {
            Reading::Unframed if length(response) == last.saturating_sub(first).saturating_add(1) => Reading::Unusable,
            reading => reading,
        },
        (200, Asked::Whole) => whole(response, ends),
        (408 | 425 | 429, _) => Reading::Busy,
        // Envoy answers in the origin's place when the time of a call is over.
        (504, _) => Reading::TimedOut,
        (0, _) => Reading::Failed("no status"),
        (503, _) if response.body.starts_with(ENVOYS.as_bytes()) => {
            match response.body.ends_with(b"connection timeout") {
                true => Reading::TimedOut,
                false => Reading::Failed("no connection"),
            }
        }
        (501 | 505, Asked::Range { .. }) => Reading::Unusable,
        (500..=599, _) => Reading::Failed(FAILED),
        // A redirect, or a request for credentials, is about the object and not about the range.
        (300..=399 | 401 | 402 | 407 | 451, _) | (_, Asked::Whole) => Reading::Refused(response.status),
        (_, Asked::Range { .. }) => Reading::Unusable,
    }
}

fn partial(response: &Response, first: u64, last: u64) -> Reading {
    let Some(range) = named(response) else { return Reading::Unusable };
    let wanted = last.saturating_sub(first).saturating_add(1);
    let fits = range.first == first && range.last <= last && range.length() == length(response);
    // The object's last byte ends every range, however short it is.
    let enough = range.length().saturating_mul(SHORTEST) >= wanted || range.last.saturating_add(1) == range.total;
    let usable = fits && enough && !contradicts(response);
    if usable { Reading::Range(range) } else { Reading::Unusable }
}

fn whole(response: &Response, ends: bool) -> Reading {
    if contradicts(response) {
        return Reading::Failed("length mismatch");
    }
    let framed = response.headers.contains("content-length") || response.headers.contains("transfer-encoding");
    if framed || ends { Reading::Whole } else { Reading::Unframed }
}

/// Tells if `Content-Range` says that exactly what came is the object.
fn names_all(response: &Response) -> bool {
    named(response)
        .is_some_and(|range| range.first == 0 && range.length() == range.total && range.total == length(response))
}

fn named(response: &Response) -> Option<ContentRange> {
    response.headers.only("content-range").and_then(ContentRange::parse)
}

/// Tells if the announced length is another than that of what came.
fn contradicts(response: &Response) -> bool {
    let announced = response.headers.text("content-length").and_then(digits);
    response.headers.contains("content-length") && announced != Some(length(response))
}

/// Returns the number of bytes that came.
pub fn length(response: &Response) -> u64 {
    u64::try_from(response.body.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Headers;

    fn answer(status: u16, headers: &[(&str, &str)], length: usize) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Response { status, headers: Headers::new(headers), body: vec![0; length] }
    }

    /// As an answer to the first 4 bytes.
    fn first(status: u16, headers: &[(&str, &str)], length: usize) -> Reading {
        read(&answer(status, headers, length), Asked::Range { first: 0, last: 3 }, false)
    }

    fn all(status: u16, headers: &[(&str, &str)], length: usize) -> Reading {
        read(&answer(status, headers, length), Asked::Whole, false)
    }

    fn range(first: u64, last: u64, total: u64) -> Reading {
        Reading::Range(ContentRange { first, last, total })
    }

    #[test]
    fn a_206_counts_from_the_byte_asked_for_and_no_further() {
        for (value, length, expected) in [
            ("bytes 0-3/9", 4, range(0, 3, 9)),
            ("bytes 0-1/2", 2, range(0, 1, 2)),
            ("bytes 0-3/4", 4, range(0, 3, 4)),
            ("bytes 0-2/9", 3, range(0, 2, 9)),
            ("bytes 0-0/9", 1, range(0, 0, 9)),
            ("bytes 0-3/*", 4, Reading::Unusable),
            ("bytes 1-4/9", 4, Reading::Unusable),
            ("bytes 0-4/9", 5, Reading::Unusable),
            ("bytes 0-3/9", 3, Reading::Unusable),
            ("bytes 0-3/9", 5, Reading::Unusable),
            ("items 0-3/9", 4, Reading::Unusable),
        ] {
            assert_eq!(first(206, &[("content-range", value)], length), expected, "{value} {length}");
        }
        assert_eq!(first(206, &[], 4), Reading::Unusable);
        assert_eq!(first(206, &[("content-type", "multipart/byteranges; boundary=a")], 4), Reading::Unusable);
        for contradiction in ["5", "+4"] {
            let headers = [("content-range", "bytes 0-3/9"), ("content-length", contradiction)];
            assert_eq!(first(206, &headers, 4), Reading::Unusable);
        }
        let twice = [("content-range", "bytes 0-3/9"), ("content-range", "bytes 0-3/4")];
        assert_eq!(first(206, &twice, 4), Reading::Unusable);
        assert!(matches!(all(206, &[("content-range", "bytes 0-3/4")], 4), Reading::Failed(_)));
    }

    #[test]
    fn a_206_that_is_far_too_short_is_no_use_unless_the_object_ends_there() {
        let asked = Asked::Range { first: 0, last: 1023 };
        for (value, length, usable) in
            [("bytes 0-7/9999", 8, true), ("bytes 0-6/9999", 7, false), ("bytes 0-6/7", 7, true)]
        {
            let reading = read(&answer(206, &[("content-range", value)], length), asked, false);
            assert_eq!(matches!(reading, Reading::Range(_)), usable, "{value}");
        }
    }

    #[test]
    fn what_a_gateway_makes_of_a_part_is_never_taken_for_the_whole() {
        for named in ["bytes 0-2/9", "bytes 0-2/3"] {
            assert_eq!(first(200, &[("content-length", "3"), ("content-range", named)], 3), Reading::Unusable);
        }
        assert!(matches!(
            all(200, &[("content-length", "3"), ("content-range", "bytes 0-2/9")], 3),
            Reading::Failed(_)
        ));
        assert_eq!(all(200, &[("content-length", "3"), ("content-range", "bytes 0-2/3")], 3), Reading::Whole);
        for named in ["bytes 0-8/9", "bytes 0-3/9", "bytes 5-8/9"] {
            let answer = all(200, &[("transfer-encoding", "chunked"), ("content-range", named)], 4);
            assert_eq!(answer, Reading::Failed("200 with a part of the object"), "{named}");
        }
        assert_eq!(all(200, &[("content-length", "4")], 4), Reading::Whole);
    }

    #[test]
    fn a_200_counts_only_if_its_end_is_proven() {
        for read in [first, all] {
            assert_eq!(read(200, &[("content-length", "9")], 9), Reading::Whole);
            assert_eq!(read(200, &[("transfer-encoding", "chunked")], 0), Reading::Whole);
            assert_eq!(read(200, &[("content-length", "5")], 3), Reading::Failed("length mismatch"));
            assert_eq!(read(200, &[], 9), Reading::Unframed);
        }
        assert_eq!(read(&answer(200, &[], 9), Asked::Whole, true), Reading::Whole);
        assert_eq!(
            read(&answer(200, &[("content-length", "8")], 9), Asked::Whole, true),
            Reading::Failed("length mismatch")
        );
    }

    #[test]
    fn a_refusal_of_ranges_is_no_refusal_of_the_object() {
        for status in [301, 304, 401, 407, 451] {
            assert_eq!(first(status, &[], 0), Reading::Refused(status), "{status}");
        }
        for status in [201, 204, 400, 403, 404, 405, 406, 410, 416] {
            assert_eq!(first(status, &[], 0), Reading::Unusable, "{status}");
            assert_eq!(all(status, &[], 0), Reading::Refused(status));
        }
        for status in [501, 505] {
            assert_eq!(first(status, &[], 0), Reading::Unusable, "{status}");
            assert_eq!(all(status, &[], 0), Reading::Failed(FAILED));
        }
    }

    #[test]
    fn a_503_of_envoy_itself_is_told_from_one_of_the_origin() {
        for (body, expected) in [
            (
                "upstream connect error or disconnect/reset before headers. reset reason: connection timeout",
                Reading::TimedOut,
            ),
            (
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
                Reading::Failed("no connection"),
            ),
            ("busy", Reading::Failed(FAILED)),
        ] {
            let response = Response { body: body.into(), ..answer(503, &[], 0) };
            for asked in [Asked::Whole, Asked::Range { first: 0, last: 3 }] {
                assert_eq!(read(&response, asked, false), expected, "{body}");
            }
        }
    }

    #[test]
    fn every_other_status_has_one_meaning() {
        for read in [first, all] {
            assert_eq!([408, 425, 429].map(|status| read(status, &[], 0)), [Reading::Busy; 3]);
            assert_eq!([500, 502, 503, 599].map(|status| read(status, &[], 0)), [Reading::Failed(FAILED); 4]);
            assert_eq!(read(504, &[], 0), Reading::TimedOut);
            assert_eq!(read(0, &[], 0), Reading::Failed("no status"));
        }
    }
}
