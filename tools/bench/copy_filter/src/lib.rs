//! A filter that fetches what the bucket lacks, stores it and answers 302, for the least cost of a miss in proxy-wasm.
//!
//! It is what `peers/copy.lua` is in Lua: it judges nothing, knows of no other client, counts nothing and logs nothing. Its
//! configuration has the authorities of the origin and of the bucket, a line each.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(85);

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Clone, Default)]
struct Root {
    origin: String,
    bucket: String,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = String::from_utf8(self.get_plugin_configuration().unwrap_or_default()).unwrap_or_default();
        let mut lines = configuration.lines().map(str::to_owned);
        (self.origin, self.bucket) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        true
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { root: self.clone(), path: String::new(), is_held: false, is_stored: false }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    root: Root,
    path: String,
    /// The bucket lacks the object.
    is_held: bool,
    /// The object was sent to the bucket.
    is_stored: bool,
}

impl Stream {
    fn store(&self, length: usize) {
        let object = self.get_http_call_response_body(0, length);
        let [content_type, date, tag] = ["content-type", "last-modified", "etag"]
            .map(|name| self.get_http_call_response_header(name).unwrap_or_default());
        let (url, path) = (format!("//{}{}", self.root.origin, self.path), format!("/mirror{}", self.path));
        let headers = vec![
            (":method", "PUT"),
            (":path", &path),
            (":authority", &self.root.bucket),
            ("content-type", &content_type),
            ("if-none-match", "*"),
            ("x-amz-meta-mirror-last-modified", &date),
            ("x-amz-meta-mirror-etag", &tag),
            ("x-amz-meta-mirror-url", &url),
        ];
        let _ = self.dispatch_http_call("signer", headers, object.as_deref(), Vec::new(), TIMEOUT);
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _token: u32, _headers: usize, body_size: usize, _trailers: usize) {
        if self.is_stored {
            self.send_http_response(302, vec![("location", &self.path)], None);
        } else {
            self.is_stored = true;
            self.store(body_size);
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _headers: usize, _end: bool) -> Action {
        self.path = self.get_http_request_header(":path").unwrap_or_default();
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end: bool) -> Action {
        if self.get_http_response_header(":status").as_deref() != Some("404") {
            return Action::Continue;
        }
        let headers = vec![(":method", "GET"), (":path", self.path.as_str()), (":authority", &self.root.origin)];
        let _ = self.dispatch_http_call("origin", headers, None, Vec::new(), TIMEOUT);
        self.is_held = true;
        Action::Pause
    }

    /// Holds the body of the bucket's answer, too. Where it went on, its headers would.
    fn on_http_response_body(&mut self, _size: usize, _end: bool) -> Action {
        if self.is_held { Action::Pause } else { Action::Continue }
    }
}
