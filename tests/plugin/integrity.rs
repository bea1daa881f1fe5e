//! Objects that match their origin's announced digest, and objects that do not.

use serde_json::json;

use crate::host::{Call, Envoy};
use crate::multipart::{CREATE, CREATED, GET, UPLOAD, object, put_part, upload_is_aborted};
use crate::steps::{OBJECT, PATH, answer, envoy_with, expect_call, is, miss, result, store_says};

/// The MD5 of [`OBJECT`].
const MD5: &str = "XUFAKrxLKna5cZ2REBfFkg==";
/// The MD5 of the object of three parts.
const LARGE_MD5: &str = "P6Jq6eCnqoNXVb7l7YD/lQ==";
/// The MD5 of nothing.
const OTHER_MD5: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";

/// Makes the origin give the object, or the range that a call asks for, and announce this digest for all of it.
fn give(envoy: &mut Envoy, call: Call, object: &[u8], md5: &str) {
    let range = call.header("range").and_then(|range| range.strip_prefix("bytes=")).expect("a range");
    let (first, last) = range.split_once('-').expect("two ends");
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let last = last.min(object.len() - 1);
    let content_range = format!("bytes {first}-{last}/{}", object.len());
    let digest = format!("md5=:{md5}:");
    envoy.respond(
        call,
        206,
        &[("content-range", &content_range), ("etag", "\"e\""), ("repr-digest", &digest)],
        &object[first..=last],
    );
}

#[test]
fn an_object_is_stored_if_it_is_what_its_origin_announced() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    miss(client);
    let get = expect_call(&mut envoy, GET);
    give(&mut envoy, get, OBJECT, MD5);
    store_says(&mut envoy, 200);
    assert_eq!(result(client), is(302, "stored"));
    envoy.assert_idle();
}

#[test]
fn a_corrupt_object_is_neither_stored_nor_served() {
    for mode in ["redirect", "serve"] {
        let mut envoy = envoy_with(json!({"rules": [{"response": mode}]}));
        let client = envoy.get(PATH);
        miss(client);
        let get = expect_call(&mut envoy, GET);
        give(&mut envoy, get, OBJECT, OTHER_MD5);
        assert_eq!(result(client), is(502, "corrupt"));
        let answer = answer(client);
        assert_eq!(answer.header("retry-after"), Some("5"));
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.contains("<Code>OriginCorrupt</Code>") && !body.contains("hello"), "{body}");
        assert!(envoy.logs().iter().any(|line| line.contains("it contradicts repr-digest")), "{:?}", envoy.logs());
        assert_eq!(envoy.metric("mirror_on_miss_fills_total.outcome.corrupt"), 1);
        envoy.assert_idle();

        // The failure is forgotten soon: the origin may have mended the object.
        envoy.advance(std::time::Duration::from_secs(1));
        let client = envoy.get(PATH);
        miss(client);
        let get = expect_call(&mut envoy, GET);
        give(&mut envoy, get, OBJECT, MD5);
        store_says(&mut envoy, 200);
        assert!([is(302, "stored"), is(200, "served")].contains(&result(client)));
    }
}

#[test]
fn the_next_origin_is_asked_for_what_the_first_one_spoiled() {
    let origins = json!({"origin": null, "origins": {
        "first": {"cluster": "origin", "authority": "first.test"},
        "second": {"cluster": "backup", "authority": "second.test"}},
        "rules": [{"origins": ["first", "second"]}]});
    let mut envoy = envoy_with(origins);
    let client = envoy.get(PATH);
    miss(client);
    let get = expect_call(&mut envoy, GET);
    give(&mut envoy, get, OBJECT, OTHER_MD5);
    let get = expect_call(&mut envoy, "GET backup /img/a.jpg");
    give(&mut envoy, get, OBJECT, MD5);
    store_says(&mut envoy, 200);
    assert_eq!(result(client), is(302, "stored"));
    envoy.assert_idle();
}

/// Fetches all parts, the last one first, and stores them.
fn transfer(envoy: &mut Envoy, md5: &str) {
    let object = object();
    let first = expect_call(envoy, GET);
    give(envoy, first, &object, md5);
    let create = expect_call(envoy, CREATE);
    envoy.respond(create, 200, &[], CREATED);
    let (second, third) = (expect_call(envoy, GET), expect_call(envoy, GET));
    for (number, get) in [(3, third), (2, second)] {
        give(envoy, get, &object, md5);
        let put = expect_call(envoy, &put_part(number));
        envoy.respond(put, 200, &[("etag", "\"e\"")], "");
    }
    let put = expect_call(envoy, &put_part(1));
    envoy.respond(put, 200, &[("etag", "\"e\"")], "");
}

#[test]
fn an_object_of_several_parts_is_completed_if_it_is_what_its_origin_announced() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    miss(client);
    transfer(&mut envoy, LARGE_MD5);
    let complete = expect_call(&mut envoy, &format!("POST signer {UPLOAD}"));
    envoy.respond(complete, 200, &[], "<CompleteMultipartUploadResult/>");
    assert_eq!(result(client), is(302, "stored"));
    envoy.assert_idle();
}

#[test]
fn the_upload_of_a_corrupt_object_is_aborted() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get(PATH);
    miss(client);
    transfer(&mut envoy, OTHER_MD5);
    assert!(envoy.try_call(&format!("POST signer {UPLOAD}")).is_none(), "it is completed");
    upload_is_aborted(&mut envoy);
    assert_eq!(result(client), is(502, "corrupt"));
    envoy.assert_idle();
}
