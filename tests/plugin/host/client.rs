//! A client with its request, and the bucket that answers it.

use super::envoy::settle;
use super::filter_manager;
use super::headers::Headers;
use super::host;
use super::stream::Answer;

/// A request before it is sent.
pub struct Request {
    pub(super) headers: Headers,
    pub(super) has_content: bool,
}

impl Request {
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.set(name, value.as_ref());
        self
    }

    /// Lets content follow the headers.
    pub fn with_content(self) -> Self {
        Self { has_content: true, ..self }
    }

    /// Sends it through the filter to the bucket.
    pub fn send(self) -> Client {
        let stream = filter_manager::open(self.headers, !self.has_content);
        settle();
        Client { stream }
    }
}

/// A client that has sent a request, and the bucket that answers it.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    stream: u32,
}

impl Client {
    /// Returns the request as the bucket gets it.
    pub fn request_sent(&self) -> Headers {
        host(|host| host.stream(self.stream).request.clone())
    }

    /// Returns `:path` as the bucket gets it.
    pub fn path_sent(&self) -> String {
        self.request_sent().text(":path").unwrap_or_default().into()
    }

    /// Makes the bucket answer, with its body in one piece. An empty body is no body.
    pub fn bucket_answers(&self, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let chunks = Some(body.as_ref()).filter(|body| !body.is_empty());
        self.bucket_answers_in_chunks(status, headers, chunks.as_slice());
    }

    /// Makes the bucket answer, with its body in pieces. As with HTTP/1, the end comes on its own after the last one.
    pub fn bucket_answers_in_chunks(&self, status: u16, headers: &[(&str, &str)], chunks: &[&[u8]]) {
        let headers = Headers::response(status).with_all(headers);
        if chunks.is_empty() {
            return self.bucket_sends_headers(headers, true);
        }
        self.bucket_sends_headers(headers, false);
        for chunk in chunks {
            self.bucket_sends(chunk, false);
        }
        self.bucket_sends(b"", true);
    }

    /// Makes the bucket send the headers of an answer.
    pub fn bucket_sends_headers(&self, headers: Headers, end_of_stream: bool) {
        filter_manager::encode_headers(self.stream, as_router_passes_them(headers), end_of_stream);
        settle();
    }

    /// Makes the bucket send a piece of the body.
    pub fn bucket_sends(&self, chunk: impl AsRef<[u8]>, end_of_stream: bool) {
        filter_manager::encode_data(self.stream, chunk.as_ref().to_vec(), end_of_stream);
        settle();
    }

    /// Returns the client's answer, once all of it has come.
    pub fn answer(&self) -> Option<Answer> {
        host(|host| host.stream(self.stream).answer())
    }

    /// Tells if the client still waits for the first byte.
    pub fn is_waiting(&self) -> bool {
        host(|host| host.stream(self.stream).is_waiting())
    }

    /// Tells if Envoy or the client cut the connection.
    pub fn was_reset(&self) -> bool {
        host(|host| host.stream(self.stream).was_reset())
    }

    /// Makes the client go away before it has its answer.
    pub fn leaves(&self) {
        filter_manager::reset(self.stream);
        settle();
    }

    /// Returns the module's value in the stream's filter state, which access logs show.
    pub fn filter_state(&self, name: &str) -> Option<Vec<u8>> {
        host(|host| host.stream(self.stream).filter_state.get(name.as_bytes()).cloned())
    }
}

/// Adds the header that Envoy's router adds to every answer of an upstream (measured).
pub fn as_router_passes_them(headers: Headers) -> Headers {
    headers.with("x-envoy-upstream-service-time", "0")
}
