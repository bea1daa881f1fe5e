//! Objects of several parts: the calls, byte by byte, and the end when something is wrong.

use std::time::Duration;

use serde_json::{Value, json};

use crate::host::{Call, Client, Envoy, Headers};
use crate::steps::{LONG, PATH, answer, envoy_with, expect_call, is, miss, next_call, result};

const MIB: usize = 1024 * 1024;
const PART: usize = 6 * MIB;
/// Two parts and a half.
const LENGTH: usize = 16 * MIB;

pub const HEAD: &str = "HEAD signer /assets/img/a.jpg";
pub const GET: &str = "GET origin /img/a.jpg";
pub const CREATE: &str = "POST signer /assets/img/a.jpg?uploads=";
pub const UPLOAD: &str = "/assets/img/a.jpg?uploadId=a-._~%2B%2F%3D";
pub const CREATED: &str = "<?xml version=\"1.0\"?><InitiateMultipartUploadResult><Bucket>assets</Bucket>\
                       <UploadId>a-._~+/=</UploadId></InitiateMultipartUploadResult>";

/// Makes bytes that show where they belong: the pattern's length divides no part's.
pub fn object() -> Vec<u8> {
    let pattern: Vec<u8> = (0..251).collect();
    let mut object = pattern.repeat(LENGTH / pattern.len() + 1);
    object.truncate(LENGTH);
    object
}

pub fn put_part(number: usize) -> String {
    format!("PUT signer /assets/img/a.jpg?partNumber={number}&uploadId=a-._~%2B%2F%3D")
}

/// Makes the origin give the range that a call asks for, of the version with this entity tag.
fn give(envoy: &mut Envoy, call: Call, object: &[u8], etag: &str) {
    let range = call.header("range").and_then(|range| range.strip_prefix("bytes=")).expect("a range");
    let (first, last) = range.split_once('-').expect("two ends");
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let last = last.min(object.len() - 1);
    let content_range = format!("bytes {first}-{last}/{}", object.len());
    let headers = [("content-range", content_range.as_str()), ("content-type", "image/jpeg"), ("etag", etag)];
    envoy.respond(call, 206, &headers, &object[first..=last]);
}

/// Makes a client, and a fill up to the creation of its upload.
fn begun(envoy: &mut Envoy) -> Client {
    let client = envoy.get(PATH);
    miss(client);
    begin(envoy, "\"v1\"");
    client
}

fn begin(envoy: &mut Envoy, etag: &str) {
    let first = expect_call(envoy, GET);
    assert_eq!(first.header("range"), Some("bytes=0-6291455"));
    give(envoy, first, &object(), etag);
    let create = expect_call(envoy, CREATE);
    envoy.respond(create, 200, &[], CREATED);
}

/// Fetches and stores all parts.
fn transfer(envoy: &mut Envoy) {
    let object = object();
    for number in 1..=3 {
        if number > 1 {
            let get = expect_call(envoy, GET);
            give(envoy, get, &object, "\"v1\"");
        }
        let put = expect_call(envoy, &put_part(number));
        envoy.respond(put, 200, &[("etag", &format!("\"{number}\""))], "");
    }
}

pub fn upload_is_aborted(envoy: &mut Envoy) {
    let abort = expect_call(envoy, &format!("DELETE signer {UPLOAD}"));
    assert!(abort.body.is_empty());
    envoy.respond(abort, 204, &[], "");
}

/// Envoy keeps the answer to a call until its callback is over, and would have the part twice.
#[test]
fn a_large_body_is_sent_after_the_callback_that_brought_it_and_a_small_one_in_it() {
    for (length, waits) in [(MIB - 1, false), (MIB, true)] {
        let mut envoy = envoy_with(json!({}));
        miss(envoy.get(PATH));
        let get = expect_call(&mut envoy, GET);
        envoy.hold_queues();
        give(&mut envoy, get, &object()[..length], "\"v1\"");
        let at_once = envoy.try_next_call();
        assert_eq!(at_once.is_none(), waits, "{length}");
        envoy.deliver_queues();
        let put = at_once.unwrap_or_else(|| next_call(&mut envoy));
        assert_eq!((put.method(), put.body.len()), ("PUT", length));
        envoy.respond(put, 200, &[], "");
        envoy.assert_idle();
    }
}

#[test]
fn an_object_of_three_parts_is_stored_byte_by_byte() {
    let mut envoy = envoy_with(json!({}));
    let object = object();
    let client = envoy.get(PATH);
    miss(client);
    let first = expect_call(&mut envoy, GET);
    give(&mut envoy, first, &object, "\"v1\"");

    let create = expect_call(&mut envoy, CREATE);
    let expected = Headers::default()
        .with(":method", "POST")
        .with(":path", "/assets/img/a.jpg?uploads=")
        .with(":authority", "s3.test")
        .with("content-length", "0")
        .with("content-type", "image/jpeg")
        .with("x-amz-meta-mirror-etag", "\"v1\"")
        .with("x-amz-meta-mirror-url", "//files.test/img/a.jpg");
    assert_eq!((create.headers.clone(), create.body.len()), (expected, 0));
    envoy.respond(create, 200, &[], CREATED);

    // While the first part is stored, the other two are fetched, of the same version.
    let put = expect_call(&mut envoy, &put_part(1));
    assert_eq!(put.header("content-length"), Some("6291456"));
    assert!(put.body == object[..PART]);
    let gets = [expect_call(&mut envoy, GET), expect_call(&mut envoy, GET)];
    assert!(envoy.try_next_call().is_none());
    for (get, range) in gets.iter().zip(["bytes=6291456-12582911", "bytes=12582912-16777215"]) {
        assert_eq!((get.header("range"), get.header("if-match")), (Some(range), Some("\"v1\"")));
        assert_eq!((get.authority(), get.header("accept-encoding")), ("files.test", Some("identity")));
    }
    envoy.respond(put, 200, &[("etag", "\"one&\"")], "");

    let [second, third] = gets;
    give(&mut envoy, third, &object, "\"v1\"");
    let put = expect_call(&mut envoy, &put_part(3));
    assert!(put.body == object[2 * PART..]);
    envoy.respond(put, 200, &[("etag", "\"three\"")], "");
    give(&mut envoy, second, &object, "\"v1\"");
    let put = expect_call(&mut envoy, &put_part(2));
    assert!(put.body == object[PART..2 * PART]);
    envoy.respond(put, 200, &[("etag", "\"two\"")], "");
    assert!(client.is_waiting());

    let complete = expect_call(&mut envoy, &format!("POST signer {UPLOAD}"));
    assert_eq!(
        (complete.header("if-none-match"), complete.header("x-amz-mp-object-size")),
        (Some("*"), Some("16777216"))
    );
    assert_eq!(
        String::from_utf8_lossy(&complete.body),
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"one&amp;\"</ETag></Part>\
         <Part><PartNumber>2</PartNumber><ETag>\"two\"</ETag></Part>\
         <Part><PartNumber>3</PartNumber><ETag>\"three\"</ETag></Part></CompleteMultipartUpload>"
    );
    envoy.respond(complete, 200, &[], "<CompleteMultipartUploadResult/>");
    assert_eq!(result(client), is(302, "stored"));
    assert_eq!(envoy.metric("mirror_on_miss_stored_bytes_total"), LENGTH as u64);
    assert_eq!(envoy.metric("mirror_on_miss_fills_total.outcome.stored"), 1);
    envoy.assert_idle();
    envoy.tick();
    assert_eq!(envoy.tick_period(), None);
}

#[test]
fn clients_wait_as_long_as_for_any_object_and_the_fill_goes_on_without_them() {
    let mut envoy = envoy_with(json!({"wait": "5s"}));
    let (patient, leaver) = (begun(&mut envoy), envoy.get(PATH));
    miss(leaver);
    leaver.leaves();
    envoy.advance(Duration::from_secs(5));
    assert_eq!(result(patient), is(503, "filling"));
    let late = envoy.get(PATH);
    miss(late);
    transfer(&mut envoy);
    let complete = expect_call(&mut envoy, &format!("POST signer {UPLOAD}"));
    envoy.respond(complete, 200, &[], "<CompleteMultipartUploadResult/>");
    assert_eq!(result(late), is(302, "stored"));
    envoy.assert_idle();
}

#[test]
fn a_long_fill_is_told_of_every_ten_seconds() {
    let mut envoy = envoy_with(json!({}));
    begun(&mut envoy);
    let told =
        |envoy: &Envoy| envoy.logs().iter().filter(|line| line.contains(" stored=")).cloned().collect::<Vec<_>>();
    let put = expect_call(&mut envoy, &put_part(1));
    envoy.respond(put, 200, &[("etag", "\"1\"")], "");
    assert_eq!(told(&envoy), [""; 0]);

    let get = expect_call(&mut envoy, GET);
    give(&mut envoy, get, &object(), "\"v1\"");
    envoy.advance(Duration::from_secs(10));
    let put = expect_call(&mut envoy, &put_part(2));
    envoy.respond(put, 200, &[("etag", "\"2\"")], "");
    assert_eq!(told(&envoy), ["info: fill key=/img/a.jpg stored=12582912 of=16777216"]);
    envoy.advance(LONG);
}

#[test]
fn a_part_that_fails_for_a_moment_is_repeated() {
    let mut envoy = envoy_with(json!({}));
    let client = begun(&mut envoy);
    for fail in [|envoy: &mut Envoy, call| envoy.fail(call), |envoy: &mut Envoy, call| envoy.refuse(call)] {
        let put = expect_call(&mut envoy, &put_part(1));
        fail(&mut envoy, put);
        let get = expect_call(&mut envoy, GET);
        fail(&mut envoy, get);
    }
    transfer(&mut envoy);
    let complete = expect_call(&mut envoy, &format!("POST signer {UPLOAD}"));
    envoy.respond(complete, 200, &[], "<CompleteMultipartUploadResult/>");
    assert_eq!(result(client), is(302, "stored"));
    envoy.assert_idle();
}

/// Makes the store refuse the second part for good.
fn second_part_is_refused(envoy: &mut Envoy) {
    let put = expect_call(envoy, &put_part(1));
    envoy.respond(put, 200, &[("etag", "\"1\"")], "");
    let (second, third) = (expect_call(envoy, GET), expect_call(envoy, GET));
    give(envoy, second, &object(), "\"v1\"");
    let put = expect_call(envoy, &put_part(2));
    envoy.respond(put, 403, &[], "<Error><Code>AccessDenied</Code></Error>");
    assert!(envoy.try_next_call().is_none(), "a part is under way, which could come after the abortion");
    give(envoy, third, &object(), "\"v1\"");
}

#[test]
fn a_part_that_the_store_refuses_ends_in_an_abortion_and_in_no_object() {
    for (configuration, end, location) in [
        (json!({}), is(502, "not_stored"), None),
        (
            json!({"origin": {"public_url": "https://files.example.com"}}),
            is(302, "not_stored"),
            Some("https://files.example.com/img/a.jpg"),
        ),
    ] {
        let mut envoy = envoy_with(configuration);
        let client = begun(&mut envoy);
        second_part_is_refused(&mut envoy);
        assert!(client.is_waiting());
        upload_is_aborted(&mut envoy);
        assert_eq!((result(client), answer(client).header("location")), (end, location));
        envoy.assert_idle();
    }
}

#[test]
fn an_abortion_that_never_works_is_given_up_with_a_warning() {
    let mut envoy = envoy_with(json!({"wait": "1h"}));
    let client = begun(&mut envoy);
    second_part_is_refused(&mut envoy);
    for _ in 0..8 {
        let abort = expect_call(&mut envoy, &format!("DELETE signer {UPLOAD}"));
        envoy.refuse(abort);
    }
    assert_eq!(result(client), is(502, "not_stored"));
    let warning = "warn: fill key=/img/a.jpg: an upload could not be aborted: the bucket's lifecycle rule has to";
    assert!(envoy.logs().iter().any(|line| line == warning), "{:?}", envoy.logs());
    envoy.assert_idle();
}

#[test]
fn an_upload_that_cannot_be_created_leaves_nothing_to_abort() {
    // The 503 is Envoy's own, and may hide an upload.
    for answered in [Some((403, "")), Some((200, "<html>no id</html>")), Some((503, "reset reason: x")), None] {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.get(PATH);
        miss(client);
        let first = expect_call(&mut envoy, GET);
        give(&mut envoy, first, &object(), "\"v1\"");
        let create = expect_call(&mut envoy, CREATE);
        match answered {
            Some((status, body)) => envoy.respond(create, status, &[], body),
            None => envoy.fail(create),
        }
        assert_eq!(result(client), is(502, "not_stored"));
        envoy.assert_idle();
    }
}

#[test]
fn a_wait_that_is_given_up_with_its_part_does_not_end_the_abortion() {
    let mut envoy = envoy_with(json!({}));
    let client = begun(&mut envoy);
    let put = expect_call(&mut envoy, &put_part(1));
    envoy.respond(put, 503, &[], "");
    // The store is to be asked again within 100 ms, but the origin will not give the second part.
    let (second, third) = (envoy.next_call(), envoy.next_call());
    envoy.respond(second, 403, &[], "");
    envoy.fail(third);
    let abort = expect_call(&mut envoy, &format!("DELETE signer {UPLOAD}"));
    envoy.advance(Duration::from_secs(1));
    assert!(client.is_waiting(), "the upload is still there");
    envoy.refuse(abort);
    upload_is_aborted(&mut envoy);
    assert_eq!(result(client), is(502, "origin_refused"));
    envoy.assert_idle();
}

/// Makes the origin give another version when it is asked for the second part.
fn object_changes(envoy: &mut Envoy, status: u16) {
    let put = expect_call(envoy, &put_part(1));
    let (second, third) = (expect_call(envoy, GET), expect_call(envoy, GET));
    envoy.respond(second, status, &[("content-length", "0")], "");
    if status == 412 {
        // The origin may deny its own validator.
        let again = expect_call(envoy, GET);
        assert_eq!(again.header("if-match"), None);
        envoy.respond(again, status, &[("content-length", "0")], "");
    }
    envoy.respond(put, 200, &[("etag", "\"1\"")], "");
    envoy.fail(third);
    upload_is_aborted(envoy);
}

#[test]
fn an_object_that_changes_is_begun_again_once() {
    for status in [412, 200, 404] {
        let mut envoy = envoy_with(json!({}));
        let client = begun(&mut envoy);
        object_changes(&mut envoy, status);
        begin(&mut envoy, "\"v2\"");
        let (second, third) = (expect_call(&mut envoy, GET), expect_call(&mut envoy, GET));
        for get in [second, third] {
            assert_eq!(get.header("if-match"), Some("\"v2\""));
            give(&mut envoy, get, &object(), "\"v2\"");
        }
        for number in 1..=3 {
            let put = expect_call(&mut envoy, &put_part(number));
            envoy.respond(put, 200, &[("etag", "\"e\"")], "");
        }
        let complete = expect_call(&mut envoy, &format!("POST signer {UPLOAD}"));
        envoy.respond(complete, 200, &[], "<CompleteMultipartUploadResult/>");
        assert_eq!(result(client), is(302, "stored"));
        envoy.assert_idle();
    }
}

#[test]
fn an_object_that_changes_twice_is_no_object() {
    let mut envoy = envoy_with(json!({}));
    let client = begun(&mut envoy);
    object_changes(&mut envoy, 412);
    begin(&mut envoy, "\"v2\"");
    object_changes(&mut envoy, 412);
    assert_eq!(result(client), is(502, "origin_unavailable"));
    envoy.assert_idle();
}

#[test]
fn somebody_who_completes_the_object_first_is_a_success_and_the_upload_is_aborted() {
    for (status, body) in [(412, ""), (200, "<Error><Code>PreconditionFailed</Code></Error>")] {
        let mut envoy = envoy_with(json!({}));
        let client = begun(&mut envoy);
        transfer(&mut envoy);
        let complete = expect_call(&mut envoy, &format!("POST signer {UPLOAD}"));
        envoy.respond(complete, status, &[], body);
        let head = expect_call(&mut envoy, HEAD);
        envoy.respond(head, 200, &[], "");
        upload_is_aborted(&mut envoy);
        assert_eq!(result(client), is(302, "exists"));
        envoy.assert_idle();
    }
}

#[test]
fn a_completion_in_conflict_is_asked_about_and_then_begun_anew() {
    let mut envoy = envoy_with(json!({}));
    let client = begun(&mut envoy);
    transfer(&mut envoy);
    let complete = expect_call(&mut envoy, &format!("POST signer {UPLOAD}"));
    envoy.respond(complete, 409, &[], "<Error><Code>ConditionalRequestConflict</Code></Error>");
    let head = expect_call(&mut envoy, HEAD);
    envoy.respond(head, 404, &[], "");
    upload_is_aborted(&mut envoy);
    begin(&mut envoy, "\"v1\"");
    transfer(&mut envoy);
    let complete = expect_call(&mut envoy, &format!("POST signer {UPLOAD}"));
    envoy.respond(complete, 200, &[], "<CompleteMultipartUploadResult/>");
    assert_eq!(result(client), is(302, "stored"));
    envoy.assert_idle();
}

#[test]
fn an_upload_that_is_gone_after_a_lost_answer_was_completed_if_the_object_is_there() {
    for (status, end) in [(200, is(302, "stored")), (404, is(502, "not_stored"))] {
        let mut envoy = envoy_with(json!({}));
        let client = begun(&mut envoy);
        transfer(&mut envoy);
        let complete = expect_call(&mut envoy, &format!("POST signer {UPLOAD}"));
        envoy.fail(complete);
        let again = expect_call(&mut envoy, &format!("POST signer {UPLOAD}"));
        envoy.respond(again, 404, &[], "<Error><Code>NoSuchUpload</Code></Error>");
        let head = expect_call(&mut envoy, HEAD);
        envoy.respond(head, status, &[], "");
        upload_is_aborted(&mut envoy);
        assert_eq!(result(client), end);
        envoy.assert_idle();
    }
}

/// Returns the number of calls at once, with these limits, after an upload was created.
fn under_way(limits: Value) -> usize {
    let mut envoy = envoy_with(json!({"limits": limits}));
    begun(&mut envoy);
    let calls = std::iter::from_fn(|| envoy.try_next_call()).count();
    envoy.advance(LONG);
    calls
}

#[test]
fn the_window_is_as_wide_as_parts_in_flight_and_memory_allow() {
    assert_eq!(under_way(json!({})), 3);
    assert_eq!(under_way(json!({"parts_in_flight": 1})), 1);
    assert_eq!(under_way(json!({"parts_in_flight": 16})), 3, "there are no more");
    assert_eq!(under_way(json!({"memory": "24MiB"})), 2, "large objects have half of it");
    assert_eq!(under_way(json!({"memory": "23MiB"})), 1);
    assert_eq!(under_way(json!({"memory": "6MiB"})), 1);
}

#[test]
fn a_store_that_never_answers_again_ends_every_fill_all_the_same() {
    let mut envoy = envoy_with(json!({}));
    let client = begun(&mut envoy);
    envoy.advance(LONG);
    assert_eq!(result(client), is(503, "filling"));
    assert!(
        envoy.logs().iter().any(|line| line.contains("outcome=origin_timeout") || line.contains("outcome=not_stored"))
    );
    assert_eq!(envoy.tick_period(), None);
    envoy.assert_idle();
    miss(envoy.get(PATH));
    assert_eq!(next_call(&mut envoy).header("range"), Some("bytes=0-6291455"), "the key can be filled again");
    envoy.advance(LONG);
}
