//! The bucket's error documents: in pieces, too long, late, never, or none at all; in Envoys that show them to the
//! filter and in those that do not.

use std::time::Duration;

use serde_json::json;

use crate::host::{Client, Envoy, Headers};
use crate::steps::{
    LONG, NO_SUCH_KEY, PATH, answer, configured, envoy_with, expect_call, fails_each_time, is, miss, next_call,
    origin_gives, result, store_says,
};

/// The bound on a document in `src/worker`.
const LONGEST: usize = mirror_on_miss::worker::MAX_BUFFERED;
const READ_TIMEOUT: Duration = mirror_on_miss::worker::READ_TIMEOUT;

fn origin_has_none(envoy: &mut Envoy) {
    let get = expect_call(envoy, &format!("GET origin {PATH}"));
    envoy.respond(get, 404, &[], "gone");
}

/// Makes a document with this code that is this long.
fn document(code: &str, length: usize) -> Vec<u8> {
    let mut document = format!("<Error><Code>{code}</Code><Message>").into_bytes();
    document.resize(length, b'x');
    document
}

/// Makes the bucket answer 404 and send nothing yet.
fn begins(client: Client) {
    client.bucket_sends_headers(Headers::response(404).with("server", "S3"), false);
}

#[test]
fn a_document_in_pieces_is_read_as_one() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    let pieces: Vec<&[u8]> = b"<Error><Code>NoSuchBucket</Code></Error>".chunks(3).collect();
    client.bucket_answers_in_chunks(404, &[], &pieces);
    assert_eq!((result(client), answer(client).body), (is(404, "none"), pieces.concat()));
    assert!(envoy.try_next_call().is_none());
}

#[test]
fn nothing_is_decided_before_the_end_of_a_document() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    begins(client);
    client.bucket_sends(NO_SUCH_KEY, false);
    assert!(envoy.try_next_call().is_none());
    client.bucket_sends("", true);
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
    assert_eq!((result(client), answer(client).body), (is(302, "stored"), Vec::new()));
}

#[test]
fn the_longest_document_that_is_kept_is_passed_on_whole() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    let document = document("NoSuchKey", LONGEST);
    client.bucket_answers_in_chunks(404, &[], &document.chunks(4096).collect::<Vec<_>>());
    origin_has_none(&mut envoy);
    assert_eq!((result(client), answer(client).body), (is(404, "not_found"), document));
}

#[test]
fn a_longer_document_is_dropped_as_it_comes_and_replaced_by_s3s() {
    for frame in [1, 4096, LONGEST + 1, 32 * 1024] {
        // Envoy's advice for edges. A megabyte, held, would be answered with 500.
        let mut envoy = Envoy::builder().buffer_limit(32 * 1024).start(&configured(json!({})));
        let client = envoy.get(PATH);
        let length = if frame == 1 { LONGEST + 10 } else { 1024 * 1024 };
        let document = document("NoSuchKey", length);
        client.bucket_answers_in_chunks(404, &[], &document.chunks(frame).collect::<Vec<_>>());
        origin_has_none(&mut envoy);
        let answer = answer(client);
        assert_eq!((answer.status(), answer.header("x-mirror-on-miss")), (404, Some("not_found")), "{frame}");
        assert!(answer.body.starts_with(b"<?xml") && answer.body.ends_with(b"<Key>img/a.jpg</Key></Error>"));
        assert!(answer.through_filters);
    }
}

#[test]
fn a_longer_document_of_a_403_that_is_passed_on_is_replaced_by_s3s() {
    let mut envoy = envoy_with(json!({"rules": [{"on_403": "ignore"}]}));
    let client = envoy.get(PATH);
    client.bucket_answers(403, &[("server", "S3")], document("AccessDenied", LONGEST + 1));
    let answer = answer(client);
    assert_eq!((answer.status(), answer.header("server")), (403, None));
    assert!(String::from_utf8(answer.body).unwrap().contains("<Code>AccessDenied</Code>"));
}

#[test]
fn a_document_that_does_not_begin_is_not_waited_for() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    begins(client);
    envoy.advance(READ_TIMEOUT - Duration::from_millis(1));
    assert!(envoy.try_next_call().is_none());
    envoy.advance(Duration::from_millis(1));
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
    assert_eq!((result(client), answer(client).body), (is(302, "stored"), Vec::new()), "whole, before the document is");
    assert_eq!(answer(client).header("server"), None);
}

#[test]
fn a_denial_whose_document_does_not_begin_is_said_again() {
    let mut envoy = envoy_with(json!({"rules": [{"on_403": "ignore"}]}));
    let client = envoy.get(PATH);
    client.bucket_sends_headers(Headers::response(403).with("content-length", "100"), false);
    envoy.advance(READ_TIMEOUT);
    assert_eq!(result(client), is(403, "forbidden"));
    assert!(String::from_utf8(answer(client).body).unwrap().contains("<Code>AccessDenied</Code>"));
}

#[test]
fn a_document_that_stalls_does_not_hold_its_client() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    begins(client);
    client.bucket_sends("<Error><Code>NoSu", false);
    envoy.advance(READ_TIMEOUT);
    origin_gives(&mut envoy);
    store_says(&mut envoy, 200);
    assert_eq!((result(client), answer(client).body), (is(302, "stored"), Vec::new()), "whole, before the document is");
}

#[test]
fn a_late_document_is_not_waited_for_by_an_answer_with_a_body() {
    for document in [&[][..], &["<Error>"]] {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.get(PATH);
        begins(client);
        envoy.advance(READ_TIMEOUT);
        let get = next_call(&mut envoy);
        for piece in document {
            client.bucket_sends(piece, false);
        }
        envoy.time_out(get);
        let answer = answer(client);
        assert_eq!((answer.status(), answer.through_filters), (504, false));
        assert!(answer.body.starts_with(b"<?xml") && answer.body.ends_with(b"</Error>"));
    }
}

#[test]
fn a_document_that_arrives_while_the_fill_runs_is_passed_on_whole() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    begins(client);
    client.bucket_sends(&NO_SUCH_KEY[..9], false);
    envoy.advance(READ_TIMEOUT);
    client.bucket_sends(&NO_SUCH_KEY[9..], true);
    origin_has_none(&mut envoy);
    assert_eq!((result(client), answer(client).body), (is(404, "not_found"), NO_SUCH_KEY.into()));
    envoy.assert_idle();
}

#[test]
fn a_404_without_a_body_is_judged_at_once() {
    for headers in [&[][..], &[("content-length", "0")]] {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.get(PATH);
        client.bucket_answers(404, headers, "");
        origin_gives(&mut envoy);
        store_says(&mut envoy, 200);
        assert_eq!(result(client), is(302, "stored"));
        assert!(answer(client).through_filters);
        envoy.assert_idle();
    }
}

#[test]
fn a_404_whose_body_turns_out_empty_is_judged_at_its_end() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    begins(client);
    assert!(envoy.try_next_call().is_none());
    client.bucket_sends("", true);
    let get = next_call(&mut envoy);
    envoy.time_out(get);
    let answer = answer(client);
    assert_eq!((answer.status(), answer.through_filters), (504, true));
    assert!(answer.body.ends_with(b"</Error>"));
}

#[test]
fn where_a_pause_holds_the_body_back_a_denial_is_judged_by_its_status() {
    // Istio and Envoy Gateway. The document is there, but no filter sees it before the headers have gone on.
    for pieces in [&[NO_SUCH_KEY.as_bytes()][..], &[b"<Error>", b"<Code>NoSuchBucket</Code>", b"</Error>"]] {
        let mut envoy = Envoy::builder().pause_holds_body().start(&configured(json!({})));
        let client = envoy.get(PATH);
        client.bucket_answers_in_chunks(404, &[], pieces);
        assert!(envoy.try_next_call().is_none());
        envoy.advance(READ_TIMEOUT);
        origin_gives(&mut envoy);
        store_says(&mut envoy, 200);
        assert_eq!((result(client), answer(client).body), (is(302, "stored"), Vec::new()));
        envoy.assert_idle();
    }
}

#[test]
fn where_a_pause_holds_the_body_back_it_is_replaced() {
    let mut envoy = Envoy::builder().pause_holds_body().start(&configured(json!({})));
    let (failed, missing) = (envoy.get("/failed"), envoy.get(PATH));
    miss(failed);
    miss(missing);
    envoy.advance(READ_TIMEOUT);
    let get = next_call(&mut envoy);
    envoy.refuse(get);
    origin_has_none(&mut envoy);
    fails_each_time(&mut envoy, failed, Envoy::refuse);
    let failed = answer(failed);
    assert_eq!((failed.status(), failed.through_filters), (502, false));
    assert!(failed.body.ends_with(b"<Resource>/failed</Resource></Error>"));
    assert_eq!(result(missing), is(404, "not_found"));
    assert!(answer(missing).body.starts_with(b"<?xml"), "S3's words, and not the bucket's");
    envoy.assert_idle();
}

#[test]
fn a_document_that_never_ends_keeps_no_client_and_no_timer() {
    for builder in [Envoy::builder(), Envoy::builder().pause_holds_body()] {
        let mut envoy = builder.start(&configured(json!({})));
        let client = envoy.get(PATH);
        begins(client);
        envoy.advance(LONG);
        assert!(!client.is_waiting());
        assert_eq!(envoy.tick_period(), None);
        client.leaves();
        envoy.assert_idle();
    }
}
