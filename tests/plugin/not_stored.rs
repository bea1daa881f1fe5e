//! Objects that the store does not take are served, at any size, and never through a buffer that is too small.

use serde_json::json;

use crate::host::{Answer, Envoy, Headers};
use crate::steps::{PATH, answer, configured, envoy_with, expect_call, is, miss, origin_gives_bytes, result};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Makes bytes that show where they belong.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at % 251) as u8).collect()
}

/// Makes the origin give an object of this length, and the store refuse it.
fn not_stored(envoy: &mut Envoy, object: &[u8]) {
    let get = expect_call(envoy, &format!("GET origin {PATH}"));
    origin_gives_bytes(envoy, get, object);
    let put = expect_call(envoy, &format!("PUT signer /assets{PATH}"));
    assert!(put.body == object, "the object is what was sent to the store");
    envoy.respond(put, 403, &[], "<Error><Code>AccessDenied</Code></Error>");
}

#[test]
fn objects_of_any_size_are_served_in_full_under_any_buffer_limit() {
    for (length, in_place) in
        [(0, true), (16 * KIB, true), (16 * KIB + 1, false), (2 * MIB, false), (6 * MIB + 1, false)]
    {
        for buffer_limit in [32 * KIB, MIB] {
            let mut envoy = Envoy::builder().buffer_limit(buffer_limit).start(&configured(json!({})));
            let client = envoy.get(PATH);
            miss(client);
            let object = bytes(length);
            not_stored(&mut envoy, &object);
            let answer = answer(client);
            let case = format!("{length} bytes, buffer of {buffer_limit}");
            assert_eq!((answer.status(), answer.header("x-mirror-on-miss")), (200, Some("not_stored")), "{case}");
            assert!(answer.body == object, "{case}: {} bytes came", answer.body.len());
            assert_eq!(answer.header("content-length"), Some(length.to_string().as_str()), "{case}");
            assert_eq!(answer.header("content-type"), Some("image/jpeg"), "{case}");
            // Envoy's CORS filter does not see an answer that is too large to be put in place.
            assert_eq!(answer.through_filters, in_place, "{case}");
            envoy.assert_idle();
        }
    }
}

#[test]
fn an_object_is_served_in_full_where_the_bucket_sent_no_body() {
    for length in [0, 5, 16 * KIB + 1] {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.get(PATH);
        client.bucket_answers(404, &[], "");
        let object = bytes(length);
        not_stored(&mut envoy, &object);
        let answer = answer(client);
        assert_eq!((answer.status(), answer.through_filters), (200, length == 0));
        assert!(answer.body == object);
    }
}

#[test]
fn an_object_is_served_in_full_where_a_pause_holds_the_body_back() {
    for length in [0, 5, 16 * KIB, 16 * KIB + 1, 6 * MIB + 1] {
        let mut envoy = Envoy::builder().pause_holds_body().buffer_limit(32 * KIB).start(&configured(json!({})));
        let client = envoy.get(PATH);
        miss(client);
        envoy.advance(mirror_on_miss::worker::READ_TIMEOUT);
        let object = bytes(length);
        not_stored(&mut envoy, &object);
        assert_eq!(result(client), is(200, "not_stored"));
        assert!(answer(client).body == object);
        envoy.assert_idle();
    }
}

#[test]
fn a_head_gets_the_headers_of_the_object_alone() {
    for length in [0, 16 * KIB + 1, 6 * MIB + 1] {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.request("HEAD", PATH).send();
        miss(client);
        not_stored(&mut envoy, &bytes(length));
        let headers = Headers::response(200)
            .with("accept-ranges", "bytes")
            .with("content-type", "image/jpeg")
            .with("x-mirror-on-miss", "not_stored")
            .with("content-length", length.to_string());
        assert_eq!(answer(client), Answer { headers, body: Vec::new(), through_filters: true });
    }
}

#[test]
fn every_client_that_waited_gets_the_whole_object() {
    let mut envoy = Envoy::builder().buffer_limit(32 * KIB).start(&configured(json!({})));
    let clients = [envoy.get(PATH), envoy.get(PATH), envoy.get(PATH)];
    clients.into_iter().for_each(miss);
    let object = bytes(2 * MIB);
    not_stored(&mut envoy, &object);
    for client in clients {
        assert!(answer(client).body == object);
    }
}

#[test]
fn an_empty_object_is_asked_for_once_more_without_a_range_and_stored() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    miss(client);
    let get = expect_call(&mut envoy, &format!("GET origin {PATH}"));
    envoy.respond(get, 416, &[("content-range", "bytes */0")], "");
    let get = expect_call(&mut envoy, &format!("GET origin {PATH}"));
    assert_eq!(get.header("range"), None);
    envoy.respond(get, 200, &[("content-length", "0"), ("content-type", "text/css")], "");
    let put = expect_call(&mut envoy, &format!("PUT signer /assets{PATH}"));
    assert_eq!((put.header("content-length"), put.header("content-type")), (Some("0"), Some("text/css")));
    envoy.respond(put, 200, &[], "");
    assert_eq!(result(client), is(302, "stored"));
    assert_eq!(envoy.metric("mirror_on_miss_stored_bytes_total"), 0);
}
