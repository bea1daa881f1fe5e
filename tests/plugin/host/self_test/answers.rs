//! Answers of the filter: in place of the bucket's, or as local replies.

use std::cell::RefCell;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, MapType};

use super::super::{Answer, Envoy, Headers};
use super::{
    BODY, HOLD, REQUEST, Script, act_for, answer, header, not_found, note, only_violation, resume, seen, tell_root,
    write,
};

const RESPONSE: MapType = MapType::HttpResponseHeaders;

fn reply(status: u32, body: &str) {
    hostcalls::send_http_response(status, vec![("x-made", "here")], Some(body.as_bytes())).unwrap();
}

fn set(name: &str, value: &str) {
    hostcalls::set_map_value(RESPONSE, name, Some(value)).unwrap();
}

#[test]
fn the_root_answers_a_held_stream_in_place() {
    let told_of = |stream| {
        act_for(stream);
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
fn a_body_can_be_replaced_or_extended_but_not_patched() {
    let told_of = |stream| {
        act_for(stream);
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
        act_for(stream);
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
fn a_held_body_must_not_be_made_larger_than_the_buffer_limit() {
    let told_of = |stream| {
        act_for(stream);
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
        act_for(stream);
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
        act_for(stream);
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
fn headers_that_were_sent_do_not_change() {
    let response_body = |_, size, _| {
        if size == 2 {
            set("x-late", "1");
        }
        Action::Continue
    };
    let mut envoy = Script { response_headers: |_| Action::Pause, response_body, ..Script::DO_NOTHING }.start();
    let client = envoy.get("/a");
    not_found(client);
    assert_eq!(only_violation(&mut envoy), "GET /a: response headers changed after they were sent");
    assert_eq!(answer(client).header("x-late"), None);
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
fn only_so_many_streams_go_on_after_one_callback() {
    thread_local! {
        static HELD: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    }
    let told_of = |stream| HELD.with_borrow_mut(|held| held.push(stream));
    let tick = || {
        for stream in HELD.take() {
            act_for(stream);
            resume();
        }
    };
    let configure = || {
        hostcalls::set_tick_period(Duration::from_secs(1)).unwrap();
        true
    };
    for (streams, violations) in [(500, 0), (501, 1)] {
        let mut envoy = Script { told_of, tick, configure, ..HOLD }.start();
        for _ in 0..streams {
            not_found(envoy.get("/a"));
        }
        envoy.tick();
        assert_eq!(envoy.take_violations().len(), violations, "{streams}");
    }
}
