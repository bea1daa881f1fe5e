//! Requests and responses.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, MapType, Status};

use super::super::{Answer, Client, Envoy, Headers, host};
use super::{Script, header, note, seen, tell_root};

const REQUEST: MapType = MapType::HttpRequestHeaders;
const RESPONSE: MapType = MapType::HttpResponseHeaders;
const BODY: BufferType = BufferType::HttpResponseBody;

/// A filter that holds a response until the root has heard of its end.
const HOLD: Script = Script {
    response_headers: |_| Action::Pause,
    response_body: |stream, _, end_of_stream| {
        if end_of_stream {
            tell_root(stream);
        }
        Action::Pause
    },
    ..Script::DO_NOTHING
};

fn not_found(client: Client) {
    client.bucket_answers_in_chunks(404, &[("content-type", "application/xml")], &[b"aaa", b"bb", b"c"]);
}

fn resume() {
    hostcalls::resume_http_response().unwrap();
}

fn reply(status: u32, body: &str) {
    hostcalls::send_http_response(status, vec![("x-made", "here")], Some(body.as_bytes())).unwrap();
}

fn set(name: &str, value: &str) {
    hostcalls::set_map_value(RESPONSE, name, Some(value)).unwrap();
}

fn write(start: usize, size: usize, data: &[u8]) -> Result<(), Status> {
    host(|host| host.change_buffer(BODY, start, size, data))
}

fn answer(client: Client) -> Answer {
    client.answer().expect("a whole answer")
}

/// What the module did wrong, which a test that means it takes away.
fn only_violation(envoy: &mut Envoy) -> String {
    let violations = envoy.take_violations();
    assert_eq!(violations.len(), 1, "{violations:?}");
    violations.concat()
}

#[test]
fn request_headers_are_gone_in_the_response_phase() {
    fn look() {
        let property = hostcalls::get_property(vec!["request", "path"]).unwrap();
        note(format!("{} {} {}", header(REQUEST, ":path"), header(REQUEST, "x-none"), property.is_some()));
        note(hostcalls::get_map_bytes(REQUEST).unwrap().len());
    }
    let script = Script {
        request_headers: |_| {
            look();
            Action::Continue
        },
        log: look,
        ..Script::DO_NOTHING
    };
    let script = Script {
        response_headers: |_| {
            look();
            Action::Continue
        },
        ..script
    };
    let mut envoy = script.start();
    envoy.get("/a").bucket_answers(200, &[], "x");
    let response_phase = ["BadArgument BadArgument false", "0"];
    let access_log = ["/a NotFound true", "6"];
    assert_eq!(
        seen(),
        [["/a NotFound true", "6"].as_slice(), &response_phase, &["log"], &access_log, &["done", "delete"]].concat()
    );
}

#[test]
fn the_request_goes_on_as_the_filter_left_it() {
    let request_headers = |_| {
        hostcalls::set_map_value(REQUEST, ":path", Some("/b")).unwrap();
        Action::Continue
    };
    let mut envoy = Script { request_headers, ..Script::DO_NOTHING }.start();
    let client = envoy.request("HEAD", "/a").header("cookie", b"caf\xe9").send();
    assert_eq!(client.path_sent(), "/b");
    assert_eq!(client.request_sent().get("cookie"), Some(b"caf\xe9".as_slice()));
}

#[test]
fn a_paused_request_reaches_the_bucket_after_its_resume() {
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        note(header(REQUEST, ":path"));
        hostcalls::resume_http_request().unwrap();
    };
    let request_headers = |stream| {
        tell_root(stream);
        Action::Pause
    };
    let mut envoy = Script { request_headers, told_of, ..Script::DO_NOTHING }.start();
    envoy.get("/a").bucket_answers(200, &[], "x");
    assert_eq!(seen(), ["/a", "log", "done", "delete"]);
}

#[test]
fn a_body_that_passes_is_seen_frame_by_frame() {
    let response_body = |_, size, end| {
        note(format!("{size} {end}"));
        Action::Continue
    };
    let mut envoy = Script { response_body, ..Script::DO_NOTHING }.start();
    let client = envoy.get("/a");
    not_found(client);
    assert_eq!(seen()[..4], ["3 false", "2 false", "1 false", "0 true"]);
    assert_eq!(answer(client).body, b"aaabbc");
}

#[test]
fn a_body_that_pauses_is_seen_whole_each_time() {
    let response_body = |_, size, end| {
        note(format!("{size} {}", String::from_utf8(hostcalls::get_buffer(BODY, 0, 99).unwrap().unwrap()).unwrap()));
        if end { Action::Continue } else { Action::Pause }
    };
    let mut envoy = Script { response_body, ..Script::DO_NOTHING }.start();
    let client = envoy.get("/a");
    not_found(client);
    assert_eq!(seen()[..4], ["3 aaa", "5 aaabb", "6 aaabbc", "6 aaabbc"]);
    assert_eq!(answer(client).body, b"aaabbc");
}

#[test]
fn a_body_that_continues_takes_held_headers_along() {
    let mut envoy = Script { response_headers: |_| Action::Pause, ..Script::DO_NOTHING }.start();
    let client = envoy.get("/a");
    client.bucket_sends_headers(Headers::response(404), false);
    assert!(client.is_waiting());
    client.bucket_sends("aaa", false);
    assert!(!client.is_waiting());
    client.bucket_sends("bbb", true);
    assert_eq!(answer(client).body, b"aaabbb");
}

#[test]
fn a_pause_in_the_headers_holds_the_body_back_where_envoy_is_not_told_otherwise() {
    let response_headers = |stream| {
        tell_root(stream);
        Action::Pause
    };
    let response_body = |_, size, end| {
        note(format!("{size} {end}"));
        Action::Continue
    };
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        note(format!("{:?}", write(0, 99, b"too early")));
        resume();
    };
    let script = Script { response_headers, response_body, told_of, ..Script::DO_NOTHING };
    let mut envoy = script.start_in(Envoy::builder().pause_holds_body());
    envoy.hold_queues();
    let client = envoy.get("/a");
    not_found(client);
    assert_eq!(seen(), [] as [&str; 0]);
    envoy.deliver_queues();
    assert_eq!(seen()[..2], ["Err(BadArgument)", "6 true"]);
    assert_eq!(answer(client).body, b"aaabbc");
}

#[test]
fn the_root_answers_a_held_stream_in_place() {
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        hostcalls::set_map(RESPONSE, vec![(":status", "302"), ("location", "/a")]).unwrap();
        write(0, usize::MAX, b"moved").unwrap();
        resume();
        // A resume happens when the callback returns.
        set("content-length", "5");
    };
    let mut envoy = Script { told_of, ..HOLD }.start();
    let client = envoy.get("/a");
    not_found(client);
    let headers = Headers::response(302).with("location", "/a").with("content-length", "5");
    assert_eq!(answer(client), Answer { headers, body: b"moved".to_vec(), through_filters: true });
    envoy.assert_idle();
}

#[test]
fn a_resume_in_the_middle_of_a_body_loses_nothing() {
    let response_body = |stream, size, _| {
        note(size);
        if size == 3 {
            tell_root(stream);
            return Action::Pause;
        }
        Action::Continue
    };
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        resume();
    };
    let mut envoy = Script { response_body, told_of, ..HOLD }.start();
    let client = envoy.get("/a");
    not_found(client);
    assert_eq!(seen()[..4], ["3", "2", "1", "0"]);
    assert_eq!(answer(client).body, b"aaabbc");
}

#[test]
fn a_body_can_be_replaced_or_extended_but_not_patched() {
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        for (start, size) in [(1, 2), (0, 2), (6, 0), (0, 0)] {
            note(format!("{:?}", write(start, size, b"_")));
        }
        resume();
    };
    let mut envoy = Script { told_of, ..HOLD }.start();
    let client = envoy.get("/a");
    not_found(client);
    assert_eq!(seen()[..4], ["Err(BadArgument)", "Err(BadArgument)", "Ok(())", "Ok(())"]);
    assert_eq!(answer(client).body, b"_aaabbc_");
}

#[test]
fn a_response_without_a_body_cannot_be_given_one() {
    let response_headers = |stream| {
        tell_root(stream);
        Action::Pause
    };
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        note(format!("{:?} {:?}", write(0, 0, b"body"), hostcalls::get_buffer(BODY, 0, 99).unwrap()));
        resume();
    };
    let mut envoy = Script { response_headers, told_of, ..Script::DO_NOTHING }.start();
    let client = envoy.get("/a");
    client.bucket_answers(404, &[("content-length", "0")], "");
    assert_eq!(seen()[0], "Err(BadArgument) None");
    assert_eq!(answer(client).body, b"");
}

#[test]
fn a_paused_body_over_the_buffer_limit_is_answered_500() {
    let mut envoy = HOLD.start_in(Envoy::builder().buffer_limit(5));
    let client = envoy.get("/a");
    not_found(client);
    assert_eq!((answer(client).status(), answer(client).body.as_slice()), (500, b"Internal Server Error".as_slice()));
    assert_eq!(seen(), ["log", "done", "delete"]);
}

#[test]
fn a_held_body_must_not_be_made_larger_than_the_buffer_limit() {
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        write(0, 99, b"0123456789").unwrap();
        reply(200, "");
    };
    let mut envoy = Script { told_of, ..HOLD }.start_in(Envoy::builder().buffer_limit(9));
    not_found(envoy.get("/a"));
    assert!(only_violation(&mut envoy).contains("larger than the buffer limit"));
}

#[test]
fn a_reply_to_a_held_response_goes_past_the_other_filters() {
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        reply(503, "busy");
    };
    let mut envoy = Script { told_of, ..HOLD }.start();
    let client = envoy.get("/a");
    not_found(client);
    let headers =
        Headers::response(503).with("x-made", "here").with("content-length", "4").with("content-type", "text/plain");
    assert_eq!(answer(client), Answer { headers, body: b"busy".to_vec(), through_filters: false });
}

#[test]
fn a_reply_to_head_has_no_body() {
    let response_headers = |_| {
        reply(503, "busy");
        Action::Continue
    };
    let mut envoy = Script { response_headers, ..Script::DO_NOTHING }.start();
    let client = envoy.request("HEAD", "/a").send();
    client.bucket_answers(404, &[], "");
    assert_eq!((answer(client).header("content-length"), answer(client).body.as_slice()), (Some("4"), b"".as_slice()));
}

#[test]
fn a_reply_to_a_request_passes_the_response_callbacks() {
    let request_headers = |_| {
        reply(418, "teapot");
        Action::Continue
    };
    let response_headers = |_| {
        note(header(REQUEST, ":path"));
        Action::Continue
    };
    let mut envoy = Script { request_headers, response_headers, ..Script::DO_NOTHING }.start();
    let client = envoy.get("/a");
    assert_eq!(seen()[0], "/a");
    assert!(answer(client).through_filters);
    assert_eq!(answer(client).status(), 418);
}

#[test]
fn a_stream_is_replied_to_once() {
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        reply(503, "");
        reply(504, "");
    };
    let mut envoy = Script { told_of, ..HOLD }.start();
    let client = envoy.get("/a");
    not_found(client);
    assert!(only_violation(&mut envoy).starts_with("GET /a: a second reply"));
    assert_eq!(answer(client).status(), 503);
}

#[test]
fn a_reply_after_the_headers_resets_the_stream() {
    let response_body = |_, _, _| {
        reply(503, "");
        Action::Continue
    };
    let mut envoy = Script { response_body, ..Script::DO_NOTHING }.start();
    let client = envoy.get("/a");
    not_found(client);
    assert!(only_violation(&mut envoy).contains("after the response headers were sent"));
    assert!(client.was_reset());
}

#[test]
fn only_a_paused_stream_is_resumed() {
    let response_headers = |stream| {
        tell_root(stream);
        Action::Continue
    };
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        resume();
    };
    let mut envoy = Script { response_headers, told_of, ..Script::DO_NOTHING }.start();
    not_found(envoy.get("/a"));
    assert_eq!(only_violation(&mut envoy), "GET /a: the response was resumed, but it is not paused");
}

#[test]
fn a_resume_inside_the_callback_that_pauses_is_lost() {
    let response_headers = |_| {
        resume();
        Action::Pause
    };
    let mut envoy = Script { response_headers, ..Script::DO_NOTHING }.start();
    envoy.get("/a").bucket_answers(404, &[], "");
    assert!(only_violation(&mut envoy).contains("in its own callback"));
}

#[test]
fn headers_that_were_sent_do_not_change() {
    let response_body = |stream, _, _| {
        tell_root(stream);
        Action::Pause
    };
    let told_of = |stream| {
        hostcalls::set_effective_context(stream).unwrap();
        set("x-late", "1");
    };
    let script = Script { response_headers: |_| Action::Pause, response_body: |_, _, _| Action::Continue, ..HOLD };
    let mut envoy = Script { log: || {}, told_of, ..script }.start();
    let client = envoy.get("/a");
    client.bucket_sends_headers(Headers::response(404), false);
    client.bucket_sends("a", false);
    super::SCRIPT.set(Script { response_body, told_of, ..Script::DO_NOTHING });
    client.bucket_sends("b", false);
    assert!(only_violation(&mut envoy).contains("changed after they were sent"));
}

#[test]
fn an_answer_must_have_a_status_and_no_line_breaks() {
    let response_headers = |_| {
        hostcalls::set_map(RESPONSE, vec![("x", "a\r\nb")]).unwrap();
        Action::Continue
    };
    let mut envoy = Script { response_headers, ..Script::DO_NOTHING }.start();
    let client = envoy.get("/a");
    client.bucket_answers(200, &[], "");
    assert_eq!(answer(client).body, b"missing required header: :status");
    assert_eq!(answer(client).status(), 502);
    assert_eq!(only_violation(&mut envoy), "GET /a: the answer has a line break or NUL in x");
}

#[test]
fn an_answer_is_as_long_as_it_says() {
    let response_headers = |_| {
        set("content-length", "7");
        Action::Continue
    };
    let mut envoy = Script { response_headers, ..Script::DO_NOTHING }.start();
    envoy.get("/a").bucket_answers(200, &[], "123456");
    assert_eq!(only_violation(&mut envoy), "GET /a: the answer announces 7 bytes and has 6");
}

#[test]
fn a_stream_that_is_gone_cannot_be_acted_on() {
    let told_of = |stream| note(format!("{:?}", hostcalls::set_effective_context(stream)));
    let mut envoy = Script { told_of, ..HOLD }.start();
    envoy.hold_queues();
    let client = envoy.get("/a");
    not_found(client);
    client.leaves();
    envoy.deliver_queues();
    assert_eq!(seen(), ["log", "done", "delete", "Err(BadArgument)"]);
    assert!(client.was_reset() && !client.is_waiting());
    envoy.assert_idle();
}

#[test]
fn a_stream_that_the_filter_closes_is_reset() {
    let response_headers = |_| {
        hostcalls::reset_http_response().unwrap();
        Action::Continue
    };
    let mut envoy = Script { response_headers, ..Script::DO_NOTHING }.start();
    let client = envoy.get("/a");
    not_found(client);
    assert!(client.was_reset());
    assert_eq!(client.answer(), None);
}

#[test]
fn filter_state_is_the_streams_own() {
    let request_headers = |_| {
        hostcalls::set_property(vec!["outcome"], Some(b"stored")).unwrap();
        note(hostcalls::get_property(vec!["outcome"]).unwrap().is_some());
        Action::Continue
    };
    let mut envoy = Script { request_headers, ..Script::DO_NOTHING }.start();
    assert_eq!(envoy.get("/a").filter_state("outcome"), Some(b"stored".to_vec()));
    assert_eq!(seen(), ["true"]);
}

#[test]
fn a_second_value_of_a_single_header_is_joined() {
    let mut headers = Headers::response(404).with("X-A", "1").with("x-a", "2").with("location", "/a");
    headers.add("location", b"/b");
    headers.add(":status", b"200");
    assert_eq!(headers.text("location"), Some("/a,/b"));
    assert_eq!(headers.status(), None);
    assert_eq!(headers.all("X-a"), [b"1", b"2"]);
    headers.set("x-a", b"3");
    assert_eq!(headers.all("x-a"), [b"3"]);
}
