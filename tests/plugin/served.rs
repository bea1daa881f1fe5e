//! Objects that are handed out of memory: their ranges, their entity tag, and the conditions that name it.

use serde_json::{Value, json};

use crate::host::{Client, Envoy};
use crate::steps::{
    OBJECT, PATH, answer, envoy_with, expect_call, is, kept, miss, origin_gives_bytes, result, store_says, tag,
};

const ETAG: &str = "\"e\"";
const KIB: usize = 1024;

fn serving(marker: bool) -> Value {
    let rules = json!([{"response": "serve"}]);
    if marker { json!({"rules": rules, "stream": {"marker": "m=s"}}) } else { json!({"rules": rules}) }
}

/// Makes an origin give a versioned object to a client that the bucket denied it.
fn given(envoy: &mut Envoy, object: &[u8]) -> Client {
    let client = envoy.get(PATH);
    miss(client);
    let call = expect_call(envoy, &format!("GET origin {PATH}"));
    envoy.respond(call, 200, &[("content-length", &object.len().to_string()), ("etag", ETAG)], object);
    client
}

#[test]
fn a_range_is_given_whatever_the_size_and_the_whole_is_stored() {
    for (length, first, last, in_place) in
        [(5, 1, 2, true), (40 * KIB, 0, 16 * KIB - 1, true), (40 * KIB, 10, 16 * KIB + 10, false)]
    {
        let mut envoy = envoy_with(serving(false));
        kept(&mut envoy, "range", format!("bytes={first}-{last}"));
        let object: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let answer = answer(given(&mut envoy, &object));
        assert_eq!((answer.status(), answer.through_filters), (206, in_place), "{length}");
        assert_eq!(answer.header("content-range"), Some(format!("bytes {first}-{last}/{length}").as_str()));
        assert_eq!(answer.header("content-length"), Some((last - first + 1).to_string().as_str()));
        assert_eq!(answer.header("etag"), Some(tag(ETAG, length).as_str()));
        assert!(answer.body == object[first..=last]);
        let put = expect_call(&mut envoy, &format!("PUT signer /assets{PATH}"));
        assert!(put.body == object && put.headers.get("range").is_none());
    }
}

#[test]
fn there_is_room_for_many_ranges_of_an_object_where_there_is_none_for_another_copy_of_it() {
    let object = vec![b'x'; 4096 * KIB];
    for (range, outcome) in [("bytes=0-9", is(206, "served")), ("bytes=0-", is(302, "stored"))] {
        let mut envoy =
            envoy_with(json!({"rules": [{"response": "serve"}], "limits": {"part_size": "5MiB", "memory": "10MiB"}}));
        kept(&mut envoy, "range", range);
        let clients: Vec<Client> = (0..20).map(|_| envoy.get(PATH)).collect();
        clients.iter().for_each(|client| miss(*client));
        let call = expect_call(&mut envoy, &format!("GET origin {PATH}"));
        envoy.respond(call, 200, &[("content-length", &object.len().to_string()), ("etag", ETAG)], &object[..]);
        let put = expect_call(&mut envoy, &format!("PUT signer /assets{PATH}"));
        envoy.respond(put, 200, &[], "");
        assert_eq!(clients.iter().map(|client| result(*client)).collect::<Vec<_>>(), vec![outcome; 20], "{range}");
    }
}

#[test]
fn heads_are_answered_of_an_object_that_is_not_stored_however_many_they_are() {
    let object = vec![b'x'; 4096 * KIB];
    for (method, answered) in [("HEAD", 20), ("GET", 1)] {
        let mut envoy = envoy_with(json!({"limits": {"part_size": "5MiB", "memory": "10MiB"}}));
        let clients: Vec<Client> = (0..20).map(|_| envoy.request(method, PATH).send()).collect();
        clients.iter().for_each(|client| miss(*client));
        let call = expect_call(&mut envoy, &format!("GET origin {PATH}"));
        envoy.respond(call, 200, &[("content-length", &object.len().to_string()), ("etag", ETAG)], &object[..]);
        let put = expect_call(&mut envoy, &format!("PUT signer /assets{PATH}"));
        envoy.respond(put, 403, &[], "");
        let given = clients.iter().filter(|client| result(**client) == is(200, "not_stored")).count();
        assert_eq!(given, answered, "{method}");
    }
}

#[test]
fn an_edge_that_keeps_no_range_gives_the_whole_object() {
    let mut envoy = envoy_with(serving(false));
    let client = envoy.request("GET", PATH).header("range", "bytes=1-2").send();
    miss(client);
    let call = expect_call(&mut envoy, &format!("GET origin {PATH}"));
    origin_gives_bytes(&mut envoy, call, OBJECT);
    assert_eq!((result(client), answer(client).body), (is(200, "served"), OBJECT.to_vec()));
}

#[test]
fn a_range_past_the_end_is_416_with_the_length() {
    let mut envoy = envoy_with(serving(false));
    kept(&mut envoy, "range", "bytes=5-");
    kept(&mut envoy, "x-request-id", "0f9e6c1c");
    let client = given(&mut envoy, OBJECT);
    assert_eq!(result(client), is(416, "served"));
    let answer = answer(client);
    assert_eq!(answer.header("content-range"), Some("bytes */5"));
    assert_eq!(answer.header("x-amz-request-id"), Some("0f9e6c1c"));
    let document = String::from_utf8(answer.body).unwrap();
    assert!(document.contains("<Code>InvalidRange</Code>") && document.contains("<RequestId>0f9e6c1c<"), "{document}");
    store_says(&mut envoy, 200);
    envoy.assert_idle();
}

#[test]
fn one_tag_holds_from_what_was_served_to_what_follows() {
    let ours = tag(ETAG, OBJECT.len());
    for (name, value, status) in [
        ("precondition", ours.clone(), 206),
        ("precondition", "\"mirror-0123\"".to_owned(), 412),
        ("precondition", format!("none {ours}"), 304),
        ("if-range", ours.clone(), 206),
        ("if-range", "\"mirror-0123\"".to_owned(), 200),
        ("if-range", format!("W/{ours}"), 200),
    ] {
        for marker in [false, true] {
            let mut envoy = envoy_with(serving(marker));
            assert_eq!(answer(given(&mut envoy, OBJECT)).header("etag"), Some(ours.as_str()));
            kept(&mut envoy, "range", "bytes=1-2");
            kept(&mut envoy, name, &value);
            let next = envoy.get(PATH);
            miss(next);
            assert_eq!(result(next), is(status, "served"), "{name}: {value}: before it is stored");
            let tagged = answer(next).header("etag") == Some(ours.as_str());
            assert_eq!(tagged, status != 412);
        }
    }
}

#[test]
fn a_date_is_judged_by_the_one_that_the_object_is_given_with() {
    const DATES: [&str; 3] =
        ["Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"];
    for (condition, status) in [(DATES[0], 412), (DATES[1], 200), (DATES[2], 200)] {
        let mut envoy = envoy_with(serving(false));
        kept(&mut envoy, "precondition", format!("unmodified {condition}"));
        let client = envoy.get(PATH);
        miss(client);
        let call = expect_call(&mut envoy, &format!("GET origin {PATH}"));
        envoy.respond(call, 200, &[("content-length", "5"), ("last-modified", DATES[1])], OBJECT);
        assert_eq!(result(client), is(status, "served"), "{condition}");
    }
}

#[test]
fn an_older_edge_that_tells_no_date_has_the_bucket_judge_it() {
    let mut envoy = envoy_with(serving(false));
    kept(&mut envoy, "precondition", "unmodified");
    let client = given(&mut envoy, OBJECT);
    assert!(client.is_waiting());
    store_says(&mut envoy, 200);
    assert_eq!(result(client), is(302, "stored"));
}

#[test]
fn a_client_with_another_version_waits_for_the_bucket_where_nothing_is_served() {
    let mut envoy = envoy_with(json!({}));
    kept(&mut envoy, "precondition", "\"mirror-0123\"");
    let client = given(&mut envoy, OBJECT);
    store_says(&mut envoy, 200);
    assert_eq!(result(client), is(302, "stored"));
}
