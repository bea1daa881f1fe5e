//! Envoy's state of one request and its response.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::headers::Headers;

/// The client's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub headers: Headers,
    pub body: Vec<u8>,
    /// The filters after this one (CORS, say) saw it. A reply sent while a response is held goes past them.
    pub through_filters: bool,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.headers.status().unwrap_or_else(|| panic!("an answer without a status: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.text(name)
    }
}

/// A reply that does not come from upstream. (`sendLocalReply`)
pub struct LocalReply {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl LocalReply {
    /// Makes the response. (`Utility::prepareLocalReply`)
    pub fn into_response(self) -> (Headers, Vec<u8>) {
        let mut headers = Headers::response(self.status);
        for (name, value) in self.headers.iter() {
            headers.add(name, value);
        }
        if self.body.is_empty() {
            headers.remove("content-length");
            headers.remove("content-type");
        } else {
            headers.set("content-length", self.body.len().to_string().as_bytes());
            if headers.get("content-type").is_none() {
                headers.set("content-type", b"text/plain");
            }
        }
        (headers, self.body)
    }
}

/// The state of the response's way through the filter. (`IterationState`)
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Iteration {
    #[default]
    Continue,
    /// Headers or data are held here; the filter still gets data.
    StopSingle,
    /// Everything is held before the filter.
    StopAll,
}

/// The state of one stream.
#[derive(Default)]
pub struct Stream {
    /// The time of the request, since the Unix epoch.
    pub began: Duration,
    /// The request as the filter left it.
    pub request: Headers,
    pub filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub request_is_visible: bool,
    pub request_is_held: bool,

    pub response: Option<Headers>,
    pub response_is_visible: bool,
    pub iteration: Iteration,
    pub in_callback: bool,
    /// The data frame of the current callback. (`response_body_buffer_`)
    pub frame: Option<Vec<u8>>,
    /// Data held by the filter. The flag tells that the filter sees them in place of the frame.
    /// (`buffered_response_data_`, `buffering_response_body_`)
    pub held: Option<Vec<u8>>,
    pub holds_body: bool,
    pub upstream_is_complete: bool,

    pub replied: bool,
    pub sent: Option<Answer>,
    pub end: Option<End>,
    pub is_logging: bool,
    pub is_deleted: bool,
}

/// The end of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Answered,
    /// The client went away, or Envoy cut the connection.
    Reset,
}

impl Stream {
    pub fn visible_request(&self) -> Option<&Headers> {
        (self.request_is_visible || self.is_logging).then_some(&self.request)
    }

    pub fn writable_request(&mut self) -> Option<&mut Headers> {
        self.request_is_visible.then_some(&mut self.request)
    }

    /// Returns the response headers, where they can be read: from the callback that gets them until it continues, and
    /// to the end of the stream if it paused; and when the access log is written.
    pub fn visible_response(&self) -> Option<&Headers> {
        self.response.as_ref().filter(|_| self.response_is_visible || self.is_logging)
    }

    pub fn writable_response(&mut self) -> Option<&mut Headers> {
        self.response.as_mut().filter(|_| self.response_is_visible)
    }

    /// Returns the data that a body callback sees: the new frame, or everything held if the one before paused.
    pub fn visible_body(&self) -> Option<&[u8]> {
        if self.holds_body { self.held.as_deref() } else { self.frame.as_deref() }
    }

    pub fn writable_body(&mut self) -> Option<&mut Vec<u8>> {
        if self.holds_body { self.held.as_mut() } else { self.frame.as_mut() }
    }

    /// Tells if the body is held and has more than `limit` bytes, which Envoy will not hold.
    pub fn holds_more_than(&self, limit: usize) -> bool {
        self.holds_body && self.held.as_ref().is_some_and(|held| held.len() > limit)
    }

    /// Tells if nothing has reached the client, and it still waits.
    pub fn is_waiting(&self) -> bool {
        self.sent.is_none() && self.end.is_none()
    }

    /// Tells if the filter has paused it.
    pub fn is_held(&self) -> bool {
        self.end.is_none() && (self.request_is_held || self.iteration != Iteration::Continue)
    }

    pub fn headers_were_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// Returns the whole answer, once it is there.
    pub fn answer(&self) -> Option<Answer> {
        self.sent.clone().filter(|_| self.end == Some(End::Answered))
    }

    pub fn was_reset(&self) -> bool {
        self.end == Some(End::Reset)
    }

    pub fn has_no_body(&self) -> bool {
        let status = self.sent.as_ref().and_then(|sent| sent.headers.status());
        self.is_head() || matches!(status, Some(204 | 304))
    }

    pub fn is_head(&self) -> bool {
        self.request.get(":method") == Some(b"HEAD")
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name| String::from_utf8_lossy(self.request.get(name).unwrap_or_default()).into_owned();
        write!(f, "{} {}", part(":method"), part(":path"))
    }
}
