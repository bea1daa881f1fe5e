//! A stream's context: it captures the request, recognises the denial, and holds the response for the root.

use super::root::{replace_headers, reply_directly};
use super::{WorkerHandle, host};
use crate::object::key::Key;
use crate::request::denial::Denial;
use crate::single_flight::effect::StreamId;
use crate::single_flight::feeding::PieceStep;
use crate::worker::streaming::{PassedStream, StreamFailure, StreamStep};
use crate::worker::{BodyStep, ClientRequest};
use log::warn;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};
use std::rc::Rc;
use std::time::Instant;

/// One request and its response.
pub struct Stream {
    id: StreamId,
    handle: Option<Rc<WorkerHandle>>,
    /// The facts of the request that a miss needs. The headers are gone in the response phase.
    client_request: Option<ClientRequest>,
    /// The time since which the worker knows of this stream. The end of its document mostly comes with the headers, so the root is
    /// woken up then without another look at the clock.
    held: Option<Instant>,
    /// It was passed to an origin.
    passed: Option<Box<PassedStream>>,
}

impl Stream {
    /// Makes a stream of a worker. Without a configured worker it passes everything.
    pub fn new(id: StreamId, handle: Option<Rc<WorkerHandle>>) -> Self {
        Self { id, handle, client_request: None, held: None, passed: None }
    }

    fn feed(&self, key: &Key, length: usize) -> Action {
        let Some(handle) = &self.handle else { return Action::Continue };
        let now = Instant::now();
        let shared = handle.clock.host(now);
        let step = handle.worker.borrow_mut().feed(self.id, length, &host::response_piece, now, &shared);
        if step != PieceStep::Pass {
            handle.wake_up.call(now);
        }
        if step == PieceStep::Reset {
            warn!("stream key=/{}: the object is not what the origin announced", key.encoded());
            let _ = hostcalls::reset_http_response();
            return Action::Pause;
        }
        Action::Continue
    }

    /// Reads this stream's denial for the root.
    fn read_denial(&self, handle: &WorkerHandle, has_document: bool) {
        let denied = host::denied(has_document);
        handle.read.borrow_mut().insert(self.id, denied);
    }

    fn header(map: MapType, name: &str) -> Option<Vec<u8>> {
        hostcalls::get_map_value_bytes(map, name).ok().flatten()
    }
}

impl Context for Stream {}

/// Runs in `proxy_on_delete`, which Envoy calls right after `proxy_on_done` (`Context::onDestroy`). So
/// `proxy_on_done` is not exported, and costs nothing.
impl Drop for Stream {
    fn drop(&mut self) {
        let Some(handle) = &self.handle else { return };
        if let Some(passed) = &self.passed {
            let now = Instant::now();
            handle.worker.borrow_mut().close_stream(self.id, now, &handle.clock.host(now));
            handle.wake_up.call(now);
            if host::is_broken_off() {
                warn!("stream key=/{}: the origin broke the transfer off", passed.key().encoded());
            }
        }
        if self.held.is_none() || handle.worker.borrow().has_nothing_of(self.id) {
            return;
        }
        let now = Instant::now();
        if handle.worker.borrow_mut().forget(self.id, now) {
            handle.wake_up.call(now);
        }
    }
}

impl HttpContext for Stream {
    /// Passes the request to an origin, if it is marked and has a permit. One with content is not passed: an origin would get
    /// that.
    ///
    /// Else rewrites the path to the canonical encoding of its key. The bucket is then asked, and the signature made, for the
    /// key that will be stored, in every spelling of the client's. The query is dropped.
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        let Some(handle) = &self.handle else { return Action::Continue };
        let header = |name: &str| Self::header(MapType::HttpRequestHeaders, name);
        self.client_request = handle.worker.borrow().capture(&header);
        if let Some(request) = self.client_request.as_ref().filter(|request| request.is_marked() && end_of_stream) {
            let now = Instant::now();
            let shared = handle.clock.host(now);
            let step = handle.worker.borrow_mut().open_stream(self.id, request, &header, now, &shared);
            match step {
                StreamStep::Answer(reply) => {
                    reply_directly(&reply);
                    return Action::Pause;
                }
                StreamStep::AskBucket => {}
                StreamStep::Pass(passed, headers) => {
                    self.client_request = None;
                    self.passed = Some(passed);
                    handle.wake_up.call(now);
                    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    let _ = hostcalls::set_map(MapType::HttpRequestHeaders, headers);
                    return Action::Continue;
                }
            }
        }
        let path = self
            .client_request
            .as_ref()
            .and_then(|client_request| handle.worker.borrow().path_of_bucket(client_request));
        if let Some(path) = path {
            let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, ":path", Some(&path));
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        if let Some(passed) = &self.passed {
            return match passed.answered(&host::response_headers()) {
                Ok(answer) => {
                    replace_headers(&answer);
                    if let Some(handle) = &self.handle {
                        handle.worker.borrow_mut().answer_stream(self.id);
                    }
                    Action::Continue
                }
                Err(StreamFailure { reply, is_of_object }) => {
                    if let Some(handle) = &self.handle {
                        let now = Instant::now();
                        if is_of_object {
                            handle.worker.borrow_mut().fail_stream(self.id, &handle.clock.host(now));
                        }
                        handle.failed_streams.set(handle.failed_streams.get().saturating_add(1));
                        handle.wake_up.call(now);
                    }
                    warn!("stream key=/{}: the origin fails, or gives another version", passed.key().encoded());
                    reply_directly(&reply);
                    Action::Pause
                }
            };
        }
        let (Some(handle), Some(client_request)) = (&self.handle, self.client_request.take()) else {
            return Action::Continue;
        };
        let header = |name: &str| Self::header(MapType::HttpResponseHeaders, name);
        let status = header(":status");
        let Some(denial) = status.and_then(|status| Denial::of(&status, header)) else { return Action::Continue };
        let Some(mirrored) = handle.worker.borrow().mirrored_request(client_request, denial) else {
            return Action::Continue;
        };
        let now = Instant::now();
        if !handle.wake_up.call(now) {
            return Action::Continue;
        }
        handle.worker.borrow_mut().hold(self.id, mirrored, denial, end_of_stream, now);
        if end_of_stream {
            self.read_denial(handle, false);
        }
        self.held = Some(now);
        Action::Pause
    }

    /// Lets a fill have what a stream brings, as it passes.
    ///
    /// Leaves an error document to the root, which reads it once all of it is there. It may begin a fill, and only the
    /// root's calls outlive the stream.
    fn on_http_response_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        if let Some(passed) = &self.passed {
            return self.feed(passed.key(), body_size);
        }
        let (Some(handle), Some(since)) = (&self.handle, self.held) else { return Action::Continue };
        let step = handle.worker.borrow_mut().body(self.id, body_size, end_of_stream);
        match step {
            BodyStep::Drop => host::replace_response_body(&[]),
            BodyStep::Keep => {}
            BodyStep::Pass => return Action::Continue,
        }
        if end_of_stream {
            self.read_denial(handle, step == BodyStep::Keep);
            handle.wake_up.call(since);
        }
        Action::Pause
    }

    /// Removes those of an origin from the answer to a client that was passed to it: no trailer is on the list of what clients
    /// get. Those of the bucket end the document that is held.
    fn on_http_response_trailers(&mut self, _num_trailers: usize) -> Action {
        if self.passed.is_some() {
            let _ = hostcalls::set_map(MapType::HttpResponseTrailers, Vec::new());
        }
        let (Some(handle), Some(since)) = (&self.handle, self.held) else { return Action::Continue };
        if !handle.worker.borrow_mut().trailers(self.id) {
            return Action::Continue;
        }
        handle.wake_up.call(since);
        Action::Pause
    }
}
