//! Calls to upstreams.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, MapType, Status};

use super::super::{Client, Envoy, Headers, host};
use super::{Script, act_for, header, note, seen, tell_root};

/// A filter whose root makes one call for each stream and notes its end.
const CALLER: Script = Script {
    request_headers: |stream| {
        tell_root(stream);
        Action::Continue
    },
    told_of: |_| note(format!("{:?}", call("origin", &GET, None))),
    call_response: |headers, body| {
        let map = MapType::HttpCallResponseHeaders;
        let buffer = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, 99).unwrap();
        let pairs = hostcalls::get_map_bytes(map).unwrap().len();
        note(format!("{headers} {body} {pairs} {} {:?}", header(map, ":status"), buffer.map(String::from_utf8)));
    },
    ..Script::DO_NOTHING
};

const GET: [(&str, &str); 3] = [(":method", "GET"), (":path", "/p"), (":authority", "o")];

fn call(cluster: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Result<(), Status> {
    hostcalls::dispatch_http_call(cluster, headers.to_vec(), body, vec![], Duration::from_secs(20)).map(|_| ())
}

/// Makes an Envoy in which the root has made its call.
fn calling() -> (Envoy, Client) {
    let mut envoy = CALLER.start();
    let client = envoy.get("/a");
    assert_eq!(seen(), ["Ok(())"]);
    (envoy, client)
}

#[test]
fn a_call_is_sent_as_the_module_made_it() {
    let told_of = |_| {
        call("signer", &[(":method", "PUT"), (":path", "/p"), (":authority", "s"), ("x-a", "1")], Some(b"body"))
            .unwrap();
    };
    let mut envoy = Script { told_of, ..CALLER }.start();
    envoy.get("/a");
    let call = envoy.next_call();
    assert_eq!((call.cluster.as_str(), call.method(), call.authority(), call.path()), ("signer", "PUT", "s", "/p"));
    assert_eq!(
        (call.header("x-a"), call.header("content-length"), call.body.as_slice()),
        (Some("1"), Some("4"), b"body".as_slice())
    );
    assert_eq!(call.timeout, Some(Duration::from_secs(20)));
    assert!(envoy.try_next_call().is_none());
}

#[test]
fn an_answer_comes_with_headers_and_body() {
    let (mut envoy, _) = calling();
    let call = envoy.next_call();
    envoy.respond_with(call, Headers::response(200).with("x-latin", b"caf\xe9"), "hello");
    assert_eq!(seen(), [r#"3 5 3 200 Some(Ok("hello"))"#]);
    envoy.assert_idle();
}

#[test]
fn an_answer_without_a_body_has_none() {
    let (mut envoy, _) = calling();
    let call = envoy.next_call();
    envoy.respond(call, 404, &[("content-length", "0")], "");
    assert_eq!(seen(), ["3 0 3 404 None"]);
}

#[test]
fn an_answer_that_breaks_off_has_no_headers() {
    let (mut envoy, _) = calling();
    let call = envoy.next_call();
    envoy.fail(call);
    assert_eq!(seen(), ["0 0 0 BadArgument None"]);
}

#[test]
fn an_answer_over_32_mib_is_a_failure() {
    let (mut envoy, _) = calling();
    let call = envoy.next_call();
    envoy.respond(call, 200, &[], vec![0; 33_554_433]);
    assert_eq!(seen(), ["0 0 0 BadArgument None"]);
}

#[test]
fn envoy_answers_for_an_upstream_that_refuses_or_is_silent() {
    let (mut envoy, _) = calling();
    let call = envoy.next_call();
    envoy.refuse(call);
    assert!(seen()[0].starts_with("3 98 3 503"));

    envoy.get("/b");
    let call = envoy.next_call();
    envoy.time_out(call);
    assert_eq!(seen()[1], r#"3 24 3 504 Some(Ok("upstream request timeout"))"#);
}

#[test]
fn a_call_times_out_when_its_time_has_passed() {
    let (mut envoy, _) = calling();
    envoy.advance(Duration::from_millis(19_999));
    assert_eq!(seen(), [] as [&str; 0]);
    envoy.advance(Duration::from_millis(1));
    assert!(seen()[0].starts_with("3 24 3 504"));
    envoy.assert_idle();
}

#[test]
fn a_call_of_the_root_outlives_the_client() {
    let (mut envoy, client) = calling();
    client.leaves();
    assert_eq!(seen(), ["log", "done", "delete"]);
    let call = envoy.next_call();
    envoy.respond(call, 200, &[], "x");
    assert_eq!(seen().len(), 1);
}

#[test]
fn a_call_made_on_behalf_of_a_stream_comes_back_to_the_root() {
    let told_of = |stream| {
        act_for(stream);
        call("origin", &GET, None).unwrap();
    };
    let mut envoy = Script { told_of, ..CALLER }.start();
    envoy.get("/a").leaves();
    let call = envoy.next_call();
    envoy.respond(call, 204, &[], "");
    assert_eq!(seen().last().unwrap(), "2 0 2 204 None");
}

#[test]
fn a_call_that_cannot_be_sent_is_refused_at_once() {
    let told_of = |_| {
        note(format!("{:?}", call("unheard-of", &GET, None)));
        note(format!("{:?}", call("hostless", &GET, None)));
        note(format!("{:?}", call("upstream", &GET[1..], None)));
        let mut many = GET.to_vec();
        many.resize(1025, ("x-many", "v"));
        note(format!("{:?}", call("upstream", &many, None)));
    };
    let builder = Envoy::builder().clusters(&["upstream"]).cluster_without_hosts("hostless");
    let mut envoy = Script { told_of, ..CALLER }.start_in(builder);
    envoy.get("/a");
    assert_eq!(seen(), ["Err(BadArgument)", "Err(InternalFailure)", "Err(BadArgument)", "Err(BadArgument)"]);
    envoy.assert_idle();
}

#[test]
fn a_call_must_not_have_line_breaks() {
    let told_of = |_| call("origin", &[(":method", "GET"), (":path", "/\r\nx: y"), (":authority", "o")], None).unwrap();
    let mut envoy = Script { told_of, ..CALLER }.start();
    envoy.get("/a");
    assert_eq!(envoy.take_violations(), ["a call to origin has a line break or NUL in :path"]);
}

#[test]
fn tokens_grow_in_steps() {
    let told_of = |_| {
        let token = || hostcalls::dispatch_http_call("origin", GET.to_vec(), None, vec![], Duration::ZERO).unwrap();
        note(token().abs_diff(token()));
    };
    let mut envoy = Script { told_of, ..CALLER }.start();
    envoy.get("/a");
    assert_eq!(seen(), ["4"]);
    assert_eq!(envoy.next_call().timeout, None);
    assert_eq!(host(|host| host.calls.described().len()), 2);
}
