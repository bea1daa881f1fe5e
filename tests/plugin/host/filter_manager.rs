//! The way of a request and its response through the filter: Envoy's filter manager, for a chain of one filter.
//!
//! Names in brackets are those of `source/common/http/filter_manager.cc`, from which the order of events comes.

use super::headers::Headers;
use super::stream::{Answer, End, Iteration, LocalReply, Stream};
use super::vm::{self, Verdict, exports};
use super::{Host, host};

/// Takes the headers of a request. (`decodeHeaders`)
pub fn open(request: Headers, end_of_stream: bool) -> u32 {
    let id = vm::new_context_id();
    let count = request.len();
    let root = host(|host| {
        let began = host.clock.now;
        host.streams.insert(id, Stream { began, request, request_is_visible: true, ..Stream::default() });
        host.vm.root
    });
    vm::enter(id, || exports::proxy_on_context_create(id, root));
    let verdict = vm::ask(id, || exports::proxy_on_request_headers(id, count, end_of_stream));
    host(|host| {
        let stream = host.stream(id);
        stream.request_is_held = verdict == Verdict::Pause;
        stream.request_is_visible &= verdict != Verdict::Continue;
    });
    id
}

/// Implements `proxy_continue_stream` for a request. (`continueDecoding`)
pub fn continue_decoding(id: u32) {
    host(|host| {
        let stream = host.stream(id);
        stream.request_is_visible = false;
        if !std::mem::take(&mut stream.request_is_held) {
            host.violation_on(id, "the request was resumed, but it is not paused");
        }
    });
}

/// Takes response headers. Envoy asks an upstream for nothing more when its client is gone. (`encodeHeaders`)
pub fn encode_headers(id: u32, headers: Headers, end_of_stream: bool) {
    if has_ended(id) {
        return;
    }
    let count = headers.len();
    host(|host| {
        let stream = host.stream(id);
        assert!(!stream.request_is_held, "{stream} is paused in its request: nothing went upstream");
        assert!(stream.response.is_none(), "{stream} has a response already");
        stream.response = Some(headers);
        stream.response_is_visible = true;
        stream.upstream_is_complete = end_of_stream;
        stream.in_callback = true;
    });
    let verdict = vm::ask(id, || exports::proxy_on_response_headers(id, count, end_of_stream));
    let passes = host(|host| {
        let lets_body_through = host.settings.allow_on_headers_stop_iteration;
        let stream = host.stream(id);
        stream.in_callback = false;
        stream.iteration = match verdict {
            Verdict::Continue => Iteration::Continue,
            Verdict::Pause if lets_body_through => Iteration::StopSingle,
            Verdict::Pause | Verdict::Replied => Iteration::StopAll,
        };
        stream.response_is_visible = verdict != Verdict::Continue;
        verdict == Verdict::Continue && stream.is_waiting()
    });
    if passes {
        send_headers(id, end_of_stream);
    }
}

/// Takes a frame of the body. (`encodeData`)
pub fn encode_data(id: u32, data: Vec<u8>, end_of_stream: bool) {
    if has_ended(id) {
        return;
    }
    let reaches_filter = host(|host| {
        let stream = host.stream(id);
        assert!(stream.response.is_some(), "a body before the headers");
        stream.upstream_is_complete |= end_of_stream;
        if stream.iteration == Iteration::StopAll {
            stream.held.get_or_insert_default().extend(data);
            return None;
        }
        Some(data)
    });
    if let Some(data) = reaches_filter {
        filter_data(id, data, end_of_stream);
    }
}

/// Implements `proxy_continue_stream` for a response. (`continueEncoding`)
pub fn continue_encoding(id: u32) {
    let misuse = host(|host| match host.stream(id) {
        Stream { end: Some(_), .. } => Some("the response was resumed, but it has ended"),
        Stream { in_callback: true, .. } => Some("the response was resumed in its own callback: the action decides"),
        Stream { iteration: Iteration::Continue, .. } => Some("the response was resumed, but it is not paused"),
        _ => None,
    });
    match misuse {
        Some(misuse) => host(|host| host.violation_on(id, misuse)),
        None => go_on(id),
    }
}

/// Releases the held headers and data. (`commonContinue`)
fn go_on(id: u32) {
    let (held, starts_here, headers_are_due, complete) = host(|host| {
        let stream = host.stream(id);
        let starts_here = stream.iteration == Iteration::StopAll;
        stream.iteration = Iteration::Continue;
        stream.holds_body = false;
        (stream.held.take(), starts_here, stream.sent.is_none(), stream.upstream_is_complete)
    });
    if headers_are_due {
        send_headers(id, complete && held.is_none());
    }
    match held {
        _ if has_ended(id) => {}
        Some(data) if starts_here => filter_data(id, data, complete),
        Some(data) => send_data(id, &data, complete),
        None => {}
    }
}

/// Shows data to the filter. (`Context::encodeData`, `commonHandleAfterDataCallback`)
fn filter_data(id: u32, data: Vec<u8>, end_of_stream: bool) {
    let size = host(|host| {
        let stream = host.stream(id);
        if stream.holds_body {
            stream.held.get_or_insert_default().extend(data);
        } else {
            stream.frame = Some(data);
        }
        stream.visible_body().unwrap_or_default().len()
    });
    if fails_for_size(id) {
        return;
    }
    host(|host| host.stream(id).in_callback = true);
    let verdict = vm::ask(id, || exports::proxy_on_response_body(id, size, end_of_stream));
    let passing = host(|host| {
        let stream = host.stream(id);
        stream.in_callback = false;
        stream.holds_body = verdict == Verdict::Pause;
        let frame = stream.frame.take().unwrap_or_default();
        match verdict {
            _ if stream.end.is_some() => return Passing::Nothing,
            Verdict::Continue if stream.iteration == Iteration::Continue => return Passing::Frame(frame),
            Verdict::Continue | Verdict::Pause => stream.held.get_or_insert_default().extend(frame),
            Verdict::Replied => {}
        }
        stream.iteration = Iteration::StopSingle;
        if verdict == Verdict::Continue { Passing::AllThatIsHeld } else { Passing::Nothing }
    });
    match passing {
        Passing::AllThatIsHeld => go_on(id),
        Passing::Frame(frame) => send_data(id, &frame, end_of_stream),
        Passing::Nothing => drop(fails_for_size(id)),
    }
}

/// The data that go on to the client after a body callback.
enum Passing {
    AllThatIsHeld,
    Frame(Vec<u8>),
    Nothing,
}

/// Fails the stream if its held body is over the buffer limit. (`responseDataTooLarge`)
fn fails_for_size(id: u32) -> bool {
    let too_much = host(|host| {
        let limit = host.settings.buffer_limit;
        let stream = host.stream(id);
        stream.end.is_none() && stream.holds_more_than(limit)
    });
    if too_much {
        let body = b"Internal Server Error".to_vec();
        send_reply_of_envoy(id, LocalReply { status: 500, headers: Headers::default(), body });
    }
    too_much
}

/// Implements `proxy_send_local_response`. (`DownstreamFilterManager::sendLocalReply`)
pub fn send_local_reply(id: u32, reply: LocalReply) {
    let (second, response_began) = host(|host| {
        let stream = host.stream(id);
        (std::mem::replace(&mut stream.replied, true) || stream.end.is_some(), stream.response.is_some())
    });
    if second {
        host(|host| host.violation_on(id, "a second reply: Envoy 1.40 dies of a segmentation fault"));
    } else if response_began {
        send_reply_of_envoy(id, reply);
    } else {
        let (headers, body) = reply.into_response();
        encode_headers(id, headers, body.is_empty());
        if !body.is_empty() {
            encode_data(id, body, true);
        }
    }
}

/// Answers past the filters, or cuts the connection when the headers are on their way. (`sendDirectLocalReply`)
fn send_reply_of_envoy(id: u32, reply: LocalReply) {
    if host(|host| host.stream(id).headers_were_sent()) {
        host(|host| host.violation_on(id, "a reply after the response headers were sent: Envoy resets the stream"));
        return reset(id);
    }
    let (headers, body) = reply.into_response();
    host(|host| {
        let stream = host.stream(id);
        let body = if stream.is_head() { Vec::new() } else { body };
        stream.response = Some(headers.clone());
        stream.sent = Some(Answer { headers, body, through_filters: false });
    });
    finish(id, End::Answered);
}

/// Ends a stream when the client goes away, or the connection is cut.
pub fn reset(id: u32) {
    if !has_ended(id) {
        finish(id, End::Reset);
    }
}

fn has_ended(id: u32) -> bool {
    host(|host| host.stream(id).end.is_some())
}

/// Passes the headers to the filters after this one.
fn send_headers(id: u32, end_of_stream: bool) {
    let sendable = host(|host| {
        let stream = host.stream(id);
        let headers = stream.response.clone().unwrap_or_default();
        if let Some(name) = headers.unsendable() {
            host.violation_on(id, &format!("the answer has a line break or NUL in {name}"));
        }
        headers.status().is_some().then_some(headers)
    });
    let Some(headers) = sendable else {
        // (`HeaderUtility::checkRequiredResponseHeaders`)
        let body = b"missing required header: :status".to_vec();
        return send_reply_of_envoy(id, LocalReply { status: 502, headers: Headers::default(), body });
    };
    host(|host| host.stream(id).sent = Some(Answer { headers, body: Vec::new(), through_filters: true }));
    if end_of_stream {
        finish(id, End::Answered);
    }
}

/// Passes a frame to the filters after this one.
fn send_data(id: u32, data: &[u8], end_of_stream: bool) {
    host(|host| {
        if let Some(sent) = &mut host.stream(id).sent {
            sent.body.extend_from_slice(data);
        }
    });
    if end_of_stream {
        finish(id, End::Answered);
    }
}

/// Writes the access log, then has the module forget the stream, in this order (measured).
fn finish(id: u32, end: End) {
    host(|host| {
        if end == End::Answered {
            host.check_length(id);
        }
        let stream = host.stream(id);
        stream.end = Some(end);
        stream.is_logging = true;
    });
    vm::enter(id, || exports::proxy_on_log(id));
    host(|host| host.stream(id).is_logging = false);
    vm::enter(id, || exports::proxy_on_done(id));
    vm::enter(id, || exports::proxy_on_delete(id));
    host(|host| host.stream(id).is_deleted = true);
}

impl Host {
    /// Checks the length of a body against `content-length`; Envoy does not (measured). A client of HTTP/1 waits for
    /// ever for missing bytes, or takes surplus ones for the next response.
    fn check_length(&mut self, id: u32) {
        let stream = self.stream(id);
        let Some(Answer { headers, body, .. }) = stream.sent.as_ref().filter(|_| !stream.has_no_body()) else { return };
        let Some(announced) = headers.get("content-length") else { return };
        let announced = String::from_utf8_lossy(announced);
        if announced != body.len().to_string() {
            let what = format!("the answer announces {announced} bytes and has {}", body.len());
            self.violation_on(id, &what);
        }
    }
}
