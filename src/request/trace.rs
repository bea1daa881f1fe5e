//! The headers that tie the calls of a fill to the request that began it.
//!
//! Nothing of a client's request reaches an origin unless the operator allows it. Envoy's configuration allows it
//! here: a `header_to_metadata` filter in front of this one keeps a header as metadata of the stream. That filter
//! runs natively, so a hit costs no call into the module, and the metadata is there when a miss is judged.

use std::rc::Rc;

/// The headers that can be carried. The metadata have the same names.
pub const HEADERS: [&str; 2] = ["traceparent", REQUEST_ID];

const REQUEST_ID: &str = "x-request-id";

/// Bytes of a value. A `traceparent` has 55 (<https://www.w3.org/TR/trace-context/>), a UUID 36.
const MAX_VALUE: usize = 128;

/// Headers that the calls of a fill carry beside their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace(Rc<Vec<(&'static str, String)>>);

impl Trace {
    /// Looks for each of [`HEADERS`]. A value counts as absent if it is too long, or has a byte that is not visible
    /// ASCII.
    pub fn find(look_up: impl Fn(&str) -> Option<Vec<u8>>) -> Self {
        let mut found = Vec::new();
        for name in HEADERS {
            let value = look_up(name).unwrap_or_default();
            if (1..=MAX_VALUE).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic) {
                found.extend(String::from_utf8(value).ok().map(|value| (name, value)));
            }
        }
        Self(Rc::new(found))
    }

    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.0
    }

    /// Returns the request's id for logs; empty if it has none.
    pub fn request_id(&self) -> &str {
        self.0.last().filter(|(name, _)| *name == REQUEST_ID).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(id: &[u8]) -> Trace {
        Trace::find(|name| (name == "x-request-id").then(|| id.to_vec()))
    }

    #[test]
    fn what_the_metadata_has_is_carried() {
        let found = Trace::find(|name| Some(format!("of-{name}").into_bytes()));
        let expected = HEADERS.map(|name| (name, format!("of-{name}")));
        assert_eq!((found.headers(), found.request_id()), (&expected[..], "of-x-request-id"));
        assert_eq!(Trace::find(|_| None), Trace::default());
        assert_eq!(Trace::default().request_id(), "");
    }

    #[test]
    fn a_value_that_could_break_a_header_or_a_line_is_not_carried() {
        for value in
            [&b""[..], b"a b", b"a\tb", b"a\r\nset-cookie: x", b"a\0", b"\xff", "\u{e4}".as_bytes(), &[b'a'; 129]]
        {
            assert_eq!(trace(value), Trace::default(), "{}", value.escape_ascii());
        }
        assert_eq!(trace(&[b'a'; 128]).headers().len(), 1);
    }
}
