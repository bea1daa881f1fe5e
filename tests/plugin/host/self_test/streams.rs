//! Responses that pass the filter or are held by it, and the callbacks that it gets for them.

use proxy_wasm::hostcalls;
use proxy_wasm::types::Action;

use super::super::{Envoy, Headers};
use super::{
    BODY, HOLD, REQUEST, Script, act_for, answer, header, not_found, note, only_violation, resume, seen, tell_root,
    write,
};

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
    let access_log = ["/a NotFound true", "8"];
    assert_eq!(
        seen(),
        [["/a NotFound true", "8"].as_slice(), &response_phase, &["log"], &access_log, &["done", "delete"]].concat()
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
        act_for(stream);
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
        act_for(stream);
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
        act_for(stream);
        resume();
    };
    let mut envoy = Script { response_body, told_of, ..HOLD }.start();
    let client = envoy.get("/a");
    not_found(client);
    assert_eq!(seen()[..4], ["3", "2", "1", "0"]);
    assert_eq!(answer(client).body, b"aaabbc");
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
fn only_a_paused_stream_is_resumed() {
    let response_headers = |stream| {
        tell_root(stream);
        Action::Continue
    };
    let told_of = |stream| {
        act_for(stream);
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
fn an_answer_that_comes_after_its_client_left_is_dropped() {
    let mut envoy = Script { response_headers: |_| unreachable!(), ..Script::DO_NOTHING }.start();
    let client = envoy.get("/a");
    client.leaves();
    not_found(client);
    assert_eq!(client.answer(), None);
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
