//! The meaning of the store's answers: to a HEAD, for each of its questions, and to the writes before it.

use super::rules::{configured, denied, denied_path};
use super::*;
use serde_json::{Value, json};

const GET: &str = "GET first /a.jpg";
const HEAD: &str = "HEAD signer /my-bucket/a.jpg";
const PUT: &str = "PUT signer /my-bucket/a.jpg";
const CREATE: &str = "POST signer /my-bucket/a.jpg?uploads=";
const PART: &str = "PUT signer /my-bucket/a.jpg?partNumber=1&uploadId=u";
const COMPLETE: &str = "POST signer /my-bucket/a.jpg?uploadId=u";
const ABORT: &str = "DELETE signer /my-bucket/a.jpg?uploadId=u";

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code></Error>";
const OF_ENVOY: &str = "upstream connect error or disconnect/reset before headers";

/// Parts of two bytes, so that "hello" has three.
fn config(bucket: Value, rule: Value) -> Config {
    let mut rule = rule;
    rule["origins"] = json!(["first"]);
    configured(bucket, json!({}), json!([rule]))
}

/// A fill of an object that the bucket said 404 of.
fn missing(bucket: Value) -> World {
    denied(&config(bucket, json!({})), "GET", Denial::NotFound, false)
}

/// A fill of an object that the bucket said 403 of.
fn forbidden(bucket: Value, rule: Value) -> World {
    let check = rule["on_403"] != "miss";
    denied(&config(bucket, rule), "GET", Denial::Forbidden, check)
}

/// The same up to the write.
fn written(bucket: Value) -> World {
    let mut world = missing(bucket);
    world.answer(GET, 206, HELLO, "hello");
    world
}

/// A fill of one part after the other, up to the completion.
fn uploaded(bucket: Value) -> World {
    let mut config = config(bucket, json!({}));
    (config.limits.part_size, config.limits.parts_in_flight) = (4, 1);
    let mut world = denied(&config, "GET", Denial::NotFound, false);
    upload(&mut world);
    world
}

fn upload(world: &mut World) {
    created(world);
    world.answer(PART, 200, &[("etag", "\"1\"")], "");
    world.answer(GET, 206, &[("content-range", "bytes 4-4/5"), ("etag", "\"e\"")], "o");
    world.answer("PUT signer /my-bucket/a.jpg?partNumber=2&uploadId=u", 200, &[("etag", "\"2\"")], "");
}

fn created(world: &mut World) {
    world.answer(GET, 206, &[("content-range", "bytes 0-3/5"), ("etag", "\"e\"")], "hell");
    world.answer(CREATE, 200, &[], "<UploadId>u</UploadId>");
}

/// The end, and whether it hands the object out.
fn not_stored(world: &mut World) -> (u16, bool) {
    match world.outcome() {
        Outcome::NotStored { object, status } => (status, object.is_some()),
        other => panic!("{other:?}"),
    }
}

/// Settings of the store: a condition, a header of its own, and none.
fn settings() -> [Value; 3] {
    [json!({}), json!({"if_none_match": "x-oss-forbid-overwrite"}), json!({"if_none_match": false})]
}

// A 403 of the bucket.

#[test]
fn the_writers_head_decides_what_a_403_of_the_bucket_is() {
    let mut world = forbidden(json!({}), json!({}));
    world.answer(HEAD, 200, &[], "");
    assert_eq!((world.outcome(), world.warnings.as_slice()), (Outcome::Forbidden, &[][..]));

    for (status, warnings) in [(404, &[][..]), (403, &[Warning::CannotList])] {
        let mut world = forbidden(json!({}), json!({}));
        world.answer(HEAD, status, &[], "");
        world.answer(GET, 206, HELLO, "hello");
        let put = world.answer(PUT, 200, &[], "");
        assert!(put.request.headers.contains(&("if-none-match", "*".to_owned())));
        assert_eq!((world.outcome(), world.warnings.as_slice()), (Outcome::Stored, warnings), "{status}");
    }
}

#[test]
fn a_403_of_a_key_that_the_store_cannot_hold_stands() {
    let long = format!("/{}", "a".repeat(1025));
    for (path, outcome) in [(long.as_str(), Outcome::Forbidden), ("/a", Outcome::BucketUnavailable)] {
        let config = config(json!({}), json!({}));
        let mut world = denied_path(&config, "GET", path.as_bytes(), Denial::Forbidden, true);
        let call = world.call();
        world.respond(call.id, 400, &[], "");
        assert_eq!(world.outcome(), outcome);
    }
}

#[test]
fn a_403_of_an_object_that_was_deleted_on_purpose_stands_unless_the_operator_says_otherwise() {
    for (deleted, refilled) in [("pass", false), ("refill", true)] {
        let mut world = forbidden(json!({"deleted": deleted}), json!({}));
        world.answer(HEAD, 404, &[("x-amz-delete-marker", "true")], "");
        if refilled {
            world.answer(GET, 206, HELLO, "hello");
            world.answer(PUT, 200, &[], "");
        }
        assert_eq!(world.outcome(), if refilled { Outcome::Stored } else { Outcome::Forbidden }, "{deleted}");
    }
}

#[test]
fn an_object_that_may_have_been_stored_since_the_403_is_the_buckets_to_judge_again() {
    let stored = ("last-modified", "Thu, 26 Nov 2026 18:50:00 GMT");
    for (date, outcome) in [
        ("Thu, 26 Nov 2026 18:50:00 GMT", Outcome::Exists),
        ("Thu, 26 Nov 2026 19:05:00 GMT", Outcome::Exists),
        ("Thu, 26 Nov 2026 19:05:01 GMT", Outcome::Forbidden),
        ("now", Outcome::Forbidden),
    ] {
        let mut world = forbidden(json!({}), json!({}));
        world.answer(HEAD, 200, &[("date", date), stored], "");
        assert_eq!(world.outcome(), outcome, "{date}");
    }
}

#[test]
fn a_head_that_fails_is_repeated_before_the_bucket_counts_as_unavailable() {
    let mut world = forbidden(json!({}), json!({}));
    world.fail_for_good(HEAD);
    assert_eq!(world.outcome(), Outcome::BucketUnavailable);

    for passing in [429, 500, 503, 504] {
        let mut world = forbidden(json!({}), json!({}));
        for _ in 1..ATTEMPTS {
            world.answer(HEAD, passing, &[], "");
            world.wait();
        }
        world.answer(HEAD, 404, &[], "");
        world.expect(GET);
    }
    for lasting in [0, 301, 400] {
        let mut world = forbidden(json!({}), json!({}));
        world.answer(HEAD, lasting, &[], "");
        assert_eq!(world.outcome(), Outcome::BucketUnavailable, "{lasting}");
    }
}

#[test]
fn no_byte_is_handed_out_while_nobody_knows_that_the_client_may_have_it() {
    for (rule, head) in [
        (json!({}), Some(403)),
        (json!({"response": "serve"}), Some(403)),
        (json!({"response": "origin"}), Some(403)),
        (json!({"on_403": "miss", "response": "serve"}), Some(403)),
        (json!({"on_403": "miss"}), None),
    ] {
        for (put, answers) in [(403, &[][..]), (500, &[404]), (412, &[404])] {
            let mut world = forbidden(json!({}), rule.clone());
            if let Some(head) = head {
                world.answer(HEAD, head, &[], "");
            }
            world.answer(GET, 206, HELLO, "hello");
            for _ in 1..if put == 500 { ATTEMPTS } else { 1 } {
                world.answer(PUT, put, &[], "");
                world.wait();
            }
            world.answer(PUT, put, &[], "");
            for status in answers {
                world.answer(HEAD, *status, &[], "");
            }
            assert_eq!(not_stored(&mut world), (put, false), "{rule} {put}");
        }
    }
}

#[test]
fn a_head_that_finds_nothing_lets_the_object_be_handed_out() {
    for rule in [json!({"response": "serve"}), json!({"on_403": "miss", "response": "serve"})] {
        let mut world = forbidden(json!({}), rule);
        world.answer(HEAD, 404, &[], "");
        let get = world.expect(GET);
        world.respond(get.id, 206, HELLO, "hello");
        assert!(matches!(world.pending.remove(1), Some(Action::Meanwhile(Outcome::Served(_)))));
        world.answer(PUT, 403, &[], "");
        assert_eq!(not_stored(&mut world), (403, true));
    }
}

#[test]
fn the_origins_headers_are_told_only_of_what_the_store_is_known_not_to_have() {
    for on_403 in ["check", "miss"] {
        let config = config(json!({}), json!({"on_head": "origin", "on_403": on_403}));
        for (status, ending) in [(200, "forbidden"), (403, "forbidden"), (404, "head")] {
            let mut world = denied(&config, "HEAD", Denial::Forbidden, on_403 == "check");
            world.answer(HEAD, status, &[], "");
            if status == 404 {
                world.answer("HEAD first /a.jpg", 200, &[("content-length", "5")], "");
            }
            assert_eq!(world.outcome().label(), ending, "{on_403} {status}");
        }
    }
}

#[test]
fn a_store_that_would_overwrite_is_not_written_to_while_nobody_knows_what_it_has() {
    for rule in [json!({}), json!({"on_403": "miss"}), json!({"response": "serve"}), json!({"response": "origin"})] {
        let mut world = forbidden(json!({"if_none_match": false}), rule);
        world.answer(HEAD, 403, &[], "");
        assert_eq!((world.outcome(), world.warnings.as_slice()), (Outcome::Forbidden, &[Warning::CannotList][..]));
    }
}

// What is not stored.

#[test]
fn an_object_that_is_not_stored_is_handed_out_and_told_from_one_that_could_not_be() {
    let long = format!("/{}", "a".repeat(1025));
    for (rule, path, denial, served) in [
        (json!({"store": false}), "/a", Denial::NotFound, true),
        (json!({"store": false}), "/a", Denial::Forbidden, true),
        (json!({"on_5xx": "origin"}), "/a", Denial::Unavailable, true),
        (json!({}), "/a", Denial::BadRequest, false),
        (json!({}), &long, Denial::NotFound, false),
        (json!({}), &long, Denial::Forbidden, false),
    ] {
        let config = config(json!({}), rule.clone());
        let mut world = denied_path(&config, "GET", path.as_bytes(), denial, denial == Denial::Forbidden);
        if denial == Denial::Forbidden {
            let head = world.call();
            world.respond(head.id, 404, &[], "");
        }
        let get = world.call();
        world.respond(get.id, 206, HELLO, "hello");
        let object = match world.outcome() {
            Outcome::Served(object) if served => object,
            Outcome::NotStored { object: Some(object), status: NOT_ASKED } if !served => object,
            other => panic!("{rule} {denial:?}: {other:?}"),
        };
        assert_eq!(**object.body, *b"hello");
    }
}

// A write that the store refuses because an object is there.

#[test]
fn an_object_that_somebody_else_stored_first_is_believed_when_a_head_finds_it() {
    for (bucket, status, body) in [
        (json!({}), 412, ""),
        (json!({}), 304, ""),
        (json!({"if_none_match": "x-oss-forbid-overwrite"}), 409, "<Error><Code>FileAlreadyExists</Code></Error>"),
    ] {
        // A HEAD that is forbidden says nothing against it, and the bucket decides who may read it.
        for (found, warnings) in [(200, &[][..]), (403, &[Warning::CannotList])] {
            let mut put = written(bucket.clone());
            put.answer(PUT, status, &[], body);
            put.answer(HEAD, found, &[], "");
            assert_eq!((put.outcome(), put.warnings.as_slice()), (Outcome::Exists, warnings), "{status} {found}");

            let mut complete = uploaded(bucket.clone());
            complete.answer(COMPLETE, status, &[], body);
            complete.answer(HEAD, found, &[], "");
            complete.answer(ABORT, 204, &[], "");
            assert_eq!((complete.outcome(), complete.warnings.as_slice()), (Outcome::Exists, warnings));
        }
    }
}

#[test]
fn a_store_that_takes_no_object_is_warned_of_with_credential_bucket_and_cure() {
    for (status, code, cure) in [
        (403, "AccessDenied", "give the signer's credential s3:PutObject there"),
        (403, "QuotaExceeded", "the bucket is over its quota"),
        (400, "XMinioAdminBucketQuotaExceeded", "the bucket is over its quota"),
        (404, "NoSuchBucket", "there is no such bucket"),
        (400, "InvalidRequest", "see STORE_KIND, and bucket.put_headers"),
        (507, "XMinioStorageFull", "it is full, read-only or down"),
        (503, "SlowDownWrite", "it is full, read-only or down"),
    ] {
        let body = format!("<Error><Code>{code}</Code></Error>");
        let attempts = if status >= 500 { ATTEMPTS } else { 1 };
        let mut put = written(json!({}));
        for attempt in 1..=attempts {
            put.answer(PUT, status, &[], &body);
            if attempt < attempts {
                put.wait();
            }
        }
        if status == 507 {
            // It may have been carried out.
            put.answer(HEAD, 404, &[], "");
        }
        let outcome = put.outcome();
        let mut fill = put.fill;
        assert_eq!(fill.warning_at_end(&outcome), Some(Warning::CannotWrite), "{status} {code}");
        let text = fill.text(Warning::CannotWrite);
        let place = "the store takes no object of the signer's into s3.test/my-bucket: ";
        assert_eq!(text, format!("{place}{status} {code}: {cure}"));
    }
}

#[test]
fn only_a_store_that_was_asked_is_warned_of() {
    let mut fill = written(json!({})).fill;
    for (outcome, warning) in [
        (Outcome::Stored, None),
        (Outcome::NotStored { object: None, status: 412 }, None),
        (Outcome::NotStored { object: None, status: NOT_ASKED }, None),
        (Outcome::NotStored { object: None, status: 0 }, Some(Warning::CannotWrite)),
    ] {
        assert_eq!(fill.warning_at_end(&outcome), warning, "{outcome:?}");
    }
}

#[test]
fn a_store_that_refuses_for_an_object_that_it_does_not_have_cannot_hold_the_key() {
    let mut put = written(json!({}));
    put.answer(PUT, 412, &[], "");
    put.answer(HEAD, 404, &[], "");
    assert_eq!((not_stored(&mut put), put.warnings.as_slice()), ((412, true), &[Warning::CannotHold][..]));

    let mut complete = uploaded(json!({}));
    complete.answer(COMPLETE, 412, &[], "");
    complete.answer(HEAD, 404, &[], "");
    complete.answer(ABORT, 204, &[], "");
    assert_eq!((not_stored(&mut complete), complete.warnings.as_slice()), ((412, false), &[Warning::CannotHold][..]));

    let mut unasked = written(json!({}));
    unasked.answer(PUT, 412, &[], "");
    unasked.fail_for_good(HEAD);
    assert_eq!((not_stored(&mut unasked), unasked.warnings.as_slice()), ((412, true), &[][..]));
}

#[test]
fn a_write_that_may_have_succeeded_makes_a_412_its_own_success() {
    for (first, body, outcome) in [
        (503, OF_ENVOY, Outcome::Stored),
        (500, SLOW_DOWN, Outcome::Stored),
        (503, SLOW_DOWN, Outcome::Exists),
        (429, "", Outcome::Exists),
    ] {
        let mut put = written(json!({}));
        put.answer(PUT, first, &[], body);
        put.wait();
        put.answer(PUT, 412, &[], "");
        put.answer(HEAD, 200, &[], "");
        assert_eq!(put.outcome(), outcome, "{first} {body}");

        let mut complete = uploaded(json!({}));
        complete.answer(COMPLETE, first, &[], body);
        complete.wait();
        complete.answer(COMPLETE, 412, &[], "");
        complete.answer(HEAD, 200, &[], "");
        complete.answer(ABORT, 204, &[], "");
        assert_eq!(complete.outcome(), outcome, "{first} {body}");
    }
    // Another write was under way: nothing was done.
    let mut conflict = written(json!({}));
    conflict.answer(PUT, 409, &[], "");
    conflict.wait();
    conflict.answer(PUT, 412, &[], "");
    conflict.answer(HEAD, 200, &[], "");
    assert_eq!(conflict.outcome(), Outcome::Exists);
}

// A store that would overwrite.

#[test]
fn a_store_that_would_overwrite_is_asked_before_each_attempt_and_only_a_404_means_absent() {
    let setting = json!({"if_none_match": false});
    for (found, warnings) in [(200, &[][..]), (403, &[Warning::CannotList])] {
        let mut put = written(setting.clone());
        put.answer(HEAD, found, &[], "");
        match found {
            200 => assert_eq!(put.outcome(), Outcome::Exists),
            _ => assert_eq!(not_stored(&mut put), (403, true)),
        }
        assert_eq!(put.warnings, warnings);

        let mut complete = uploaded(setting.clone());
        complete.answer(HEAD, found, &[], "");
        complete.answer(ABORT, 204, &[], "");
        match found {
            200 => assert_eq!(complete.outcome(), Outcome::Exists),
            _ => assert_eq!(not_stored(&mut complete), (403, false)),
        }
    }
    let mut unasked = written(setting.clone());
    unasked.fail_for_good(HEAD);
    assert_eq!(not_stored(&mut unasked), (0, true));

    for (first, again) in [(503, 404), (503, 200), (409, 200), (429, 403)] {
        let mut put = written(setting.clone());
        put.answer(HEAD, 404, &[], "");
        let unconditional = put.answer(PUT, first, &[], "");
        assert!(unconditional.request.headers.iter().all(|(name, _)| *name != "if-none-match"));
        put.wait();
        put.answer(HEAD, again, &[], "");
        match (first, again) {
            (_, 404) => {
                put.answer(PUT, 200, &[], "");
                assert_eq!(put.outcome(), Outcome::Stored);
            }
            // The 503 may have been a success.
            (503, _) => assert_eq!(put.outcome(), Outcome::Stored),
            (409, _) => assert_eq!(put.outcome(), Outcome::Exists),
            _ => assert_eq!(not_stored(&mut put), (403, true)),
        }
    }
    let mut complete = uploaded(setting);
    complete.answer(HEAD, 404, &[], "");
    complete.answer(COMPLETE, 503, &[], SLOW_DOWN);
    complete.wait();
    complete.answer(HEAD, 200, &[], "");
    complete.answer(ABORT, 204, &[], "");
    assert_eq!(complete.outcome(), Outcome::Exists);
}

// Writes that end in doubt.

/// Answers the question before a write, at a store that is asked one.
fn may_write(world: &mut World, setting: &Value) {
    if setting["if_none_match"] == false {
        world.answer(HEAD, 404, &[], "");
    }
}

/// The end of an attempt: this status and body, or no answer.
type End = Option<(u16, &'static str)>;

fn attempt(world: &mut World, call: &str, end: End) {
    match end {
        Some((status, body)) => drop(world.answer(call, status, &[], body)),
        None => world.fail(call),
    }
}

#[test]
fn a_write_that_ends_in_doubt_is_proven_before_it_is_called_not_stored() {
    for setting in settings() {
        for end in [None, Some((500, "")), Some((503, OF_ENVOY)), Some((504, "")), Some((408, ""))] {
            let status = end.map(|(status, _)| status).unwrap_or(0);
            for (found, stored) in [(200, true), (404, false), (403, false)] {
                let mut put = written(setting.clone());
                let mut complete = uploaded(setting.clone());
                for (world, call) in [(&mut put, PUT), (&mut complete, COMPLETE)] {
                    for made in 1..=ATTEMPTS {
                        may_write(world, &setting);
                        attempt(world, call, end);
                        if made < ATTEMPTS {
                            world.wait();
                        }
                    }
                    world.answer(HEAD, found, &[], "");
                }
                complete.answer(ABORT, 404, &[], "");
                if stored {
                    assert_eq!([put.outcome(), complete.outcome()], [Outcome::Stored, Outcome::Stored], "{end:?}");
                    assert_eq!(put.stored, 5, "{end:?}");
                } else {
                    assert_eq!(not_stored(&mut put), (status, true), "{setting} {end:?} {found}");
                    assert_eq!(not_stored(&mut complete), (status, false), "{setting} {end:?} {found}");
                }
            }
        }
    }
    // A 200 without a result may still have been one.
    let mut complete = uploaded(json!({}));
    for made in 1..=ATTEMPTS {
        complete.answer(COMPLETE, 200, &[], "<Error><Code>InternalError</Code></Error>");
        if made < ATTEMPTS {
            complete.wait();
        }
    }
    complete.answer(HEAD, 200, &[], "");
    complete.answer(ABORT, 404, &[], "");
    assert_eq!(complete.outcome(), Outcome::Stored);
    // A rejection settles nothing about the attempt before it.
    let mut put = written(json!({}));
    put.fail(PUT);
    put.wait();
    put.answer(PUT, 403, &[], "");
    put.answer(HEAD, 200, &[], "");
    assert_eq!(put.outcome(), Outcome::Stored);
}

#[test]
fn a_write_that_was_certainly_not_done_needs_no_proof() {
    for end in [(503, SLOW_DOWN), (409, ""), (429, "")] {
        let mut put = written(json!({}));
        for made in 1..=ATTEMPTS {
            put.answer(PUT, end.0, &[], end.1);
            if made < ATTEMPTS {
                put.wait();
            }
        }
        assert_eq!(not_stored(&mut put), (end.0, true));
    }
}

#[test]
fn an_upload_that_is_gone_is_a_success_where_the_object_is_there() {
    for (first, found, outcome) in [
        (None, 200, Some(Outcome::Exists)),
        (Some(503), 200, Some(Outcome::Stored)),
        (None, 404, None),
        (None, 403, None),
    ] {
        let mut world = uploaded(json!({}));
        if let Some(status) = first {
            world.answer(COMPLETE, status, &[], "");
            world.wait();
        }
        world.answer(COMPLETE, 404, &[], "<Error><Code>NoSuchUpload</Code></Error>");
        world.answer(HEAD, found, &[], "");
        world.answer(ABORT, 404, &[], "");
        match outcome {
            Some(outcome) => assert_eq!(world.outcome(), outcome),
            None => assert_eq!(not_stored(&mut world), (404, false)),
        }
    }
}

#[test]
fn an_upload_that_is_gone_while_its_parts_are_stored_is_a_success_where_the_object_is_there() {
    for (found, outcome) in [(200, Outcome::Exists), (404, Outcome::NotStored { object: None, status: 404 })] {
        let mut config = config(json!({}), json!({}));
        (config.limits.part_size, config.limits.parts_in_flight) = (4, 1);
        let mut world = denied(&config, "GET", Denial::NotFound, false);
        created(&mut world);
        world.answer(PART, 404, &[], "<Error><Code>NoSuchUpload</Code></Error>");
        world.answer(HEAD, found, &[], "");
        world.answer(ABORT, 404, &[], "");
        assert_eq!(world.outcome(), outcome);
    }
}

#[test]
fn a_completion_in_conflict_is_asked_about_and_then_begun_anew_once() {
    const CONFLICT: &str = "<Error><Code>ConditionalRequestConflict</Code></Error>";
    for (status, found) in [(409, 200), (200, 200)] {
        let mut exists = uploaded(json!({}));
        exists.answer(COMPLETE, status, &[], CONFLICT);
        exists.answer(HEAD, found, &[], "");
        exists.answer(ABORT, 204, &[], "");
        assert_eq!(exists.outcome(), Outcome::Exists, "{status}");
    }
    for found in [404, 403] {
        let mut again = uploaded(json!({}));
        again.answer(COMPLETE, 409, &[], CONFLICT);
        again.answer(HEAD, found, &[], "");
        again.answer(ABORT, 204, &[], "");
        upload(&mut again);
        again.answer(COMPLETE, 409, &[], CONFLICT);
        again.answer(HEAD, found, &[], "");
        again.answer(ABORT, 204, &[], "");
        assert_eq!(not_stored(&mut again), (409, false), "{found}");
    }
    let mut unasked = uploaded(json!({}));
    unasked.answer(COMPLETE, 409, &[], CONFLICT);
    unasked.fail_for_good(HEAD);
    unasked.answer(ABORT, 204, &[], "");
    assert_eq!(not_stored(&mut unasked), (409, false));
}

#[test]
fn an_upload_is_created_again_only_where_certainly_none_was() {
    let begun = || {
        let mut config = config(json!({}), json!({}));
        config.limits.part_size = 4;
        let mut world = denied(&config, "GET", Denial::NotFound, false);
        world.answer(GET, 206, &[("content-range", "bytes 0-3/5"), ("etag", "\"e\"")], "hell");
        world
    };
    for (status, body) in [(503, OF_ENVOY), (503, ""), (500, SLOW_DOWN), (504, ""), (200, "<html>"), (403, "")] {
        let mut world = begun();
        world.answer(CREATE, status, &[], body);
        assert_eq!(not_stored(&mut world), (status, false), "{status} {body}");
    }
    let mut unanswered = begun();
    unanswered.fail(CREATE);
    assert_eq!(not_stored(&mut unanswered), (0, false));

    for (status, body) in [(503, SLOW_DOWN), (409, ""), (429, "")] {
        let mut world = begun();
        for made in 1..=ATTEMPTS {
            world.answer(CREATE, status, &[], body);
            if made < ATTEMPTS {
                world.wait();
            }
        }
        assert_eq!(not_stored(&mut world), (status, false), "{status}");
    }
}

#[test]
fn an_input_that_nobody_awaits_ends_the_fill_without_its_upload() {
    let mut completing = uploaded(json!({}));
    completing.expect(COMPLETE);
    let mut repeating = uploaded(json!({}));
    repeating.answer(COMPLETE, 503, &[], "");
    repeating.pending.clear();
    let mut asking = uploaded(json!({}));
    asking.answer(COMPLETE, 412, &[], "");
    asking.expect(HEAD);
    let mut answered = uploaded(json!({}));
    answered.expect(COMPLETE);
    let call = CallId(99);
    let response =
        Response { status: 200, headers: Headers::default(), body: b"<CompleteMultipartUploadResult/>".to_vec() };
    for (mut world, input) in [
        (completing, Input::Failed { call }),
        (repeating, Input::Failed { call }),
        (asking, Input::Failed { call }),
        (answered, Input::Response { call, response }),
    ] {
        world.input(input);
        world.answer(ABORT, 204, &[], "");
        assert!(matches!(world.outcome(), Outcome::Broken(_)));
    }
    for input in [Input::Deadline, Input::Start, Input::Failed { call: CallId(99) }] {
        let mut config = config(json!({}), json!({}));
        (config.limits.part_size, config.limits.parts_in_flight) = (4, 1);
        let mut world = denied(&config, "GET", Denial::NotFound, false);
        created(&mut world);
        let part = world.expect(PART);
        world.input(input);
        assert!(world.pending.is_empty(), "a part that arrives after the abort would be kept");
        world.respond(part.id, 200, &[("etag", "\"1\"")], "");
        world.answer(ABORT, 204, &[], "");
        assert!(matches!(world.outcome(), Outcome::Broken(_)));
    }
}

#[test]
fn what_one_origin_contradicts_is_not_held_against_the_streams_of_the_next() {
    let mut config = configured(json!({}), json!({}), json!([{"origins": ["first", "second"]}]));
    (config.limits.part_size, config.limits.parts_in_flight) = (4, 1);
    let mut world = denied(&config, "GET", Denial::NotFound, false);
    let of_another = ("repr-digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
    world.answer(GET, 206, &[("content-range", "bytes 0-3/5"), ("etag", "\"e\""), of_another], "hell");
    world.answer(CREATE, 200, &[], "<UploadId>u</UploadId>");
    world.answer(PART, 200, &[("etag", "\"1\"")], "");
    let is_corrupt = |world: &World| world.fill.is_corrupt();
    assert!(!is_corrupt(&world), "not all of it is known");
    world.answer(GET, 206, &[("content-range", "bytes 4-4/5"), ("etag", "\"e\"")], "o");
    assert!(is_corrupt(&world));
    world.answer("PUT signer /my-bucket/a.jpg?partNumber=2&uploadId=u", 200, &[("etag", "\"2\"")], "");
    world.answer(ABORT, 204, &[], "");
    world.expect("GET second /a.jpg");
    assert!(!is_corrupt(&world));
}

#[test]
fn an_origin_that_says_412_without_a_precondition_has_another_version() {
    let mut config = config(json!({}), json!({}));
    (config.limits.part_size, config.limits.parts_in_flight) = (4, 1);
    let mut world = denied(&config, "GET", Denial::NotFound, false);
    for _ in 0..2 {
        created(&mut world);
        world.answer(PART, 200, &[("etag", "\"1\"")], "");
        for conditional in [true, false] {
            let get = world.answer(GET, 412, &[], "");
            assert_eq!(get.request.headers.iter().any(|(name, _)| *name == "if-match"), conditional);
        }
        world.answer(ABORT, 204, &[], "");
    }
    assert_eq!(world.outcome(), Outcome::OriginUnavailable("the object changed twice while it was fetched"));
}

#[test]
fn a_part_that_does_not_come_in_time_is_asked_for_in_quarters_and_at_last_in_the_smallest_range() {
    let mut config = config(json!({}), json!({}));
    (config.limits.part_size, config.limits.parts_in_flight) = (1 << 20, 1);
    let mut world = denied(&config, "GET", Denial::NotFound, false);
    let first = [("content-range", "bytes 0-1048575/2097152"), ("etag", "\"e\"")];
    world.answer(GET, 206, &first, &"a".repeat(1 << 20));
    world.answer(CREATE, 200, &[], "<UploadId>u</UploadId>");
    world.answer(PART, 200, &[("etag", "\"1\"")], "");
    let mut ranges = Vec::new();
    for attempt in 1..=ATTEMPTS {
        let get = world.answer(GET, 504, &[], "");
        ranges.extend(get.request.headers.into_iter().find(|(name, _)| *name == "range").map(|(_, range)| range));
        if attempt < ATTEMPTS {
            world.wait();
        }
    }
    assert_eq!(ranges, ["bytes=1048576-2097151", "bytes=1048576-1310719", "bytes=1048576-1114112"]);
    world.answer(ABORT, 204, &[], "");
    assert_eq!(world.outcome(), Outcome::OriginTimeout);
}

#[test]
fn only_an_upload_counts_as_a_large_object() {
    let put = written(json!({}));
    assert!(!put.fill.is_multipart());
    let complete = uploaded(json!({}));
    assert!(complete.fill.is_multipart());
}

#[test]
fn user_metadata_and_what_the_bucket_demands_go_with_the_put_or_with_the_upload_and_not_with_its_parts() {
    let bucket = json!({"put_headers": {"x-amz-server-side-encryption": "aws:kms", "x-amz-tagging": "a=b"}});
    let mut config = config(bucket, json!({"metadata": ["owner"]}));
    let demanded = [("x-amz-server-side-encryption", "aws:kms".to_owned()), ("x-amz-tagging", "a=b".to_owned())];
    let carried = |call: &Call| {
        let all = demanded.iter().all(|header| call.request.headers.contains(header));
        let none = demanded.iter().all(|(name, _)| !call.request.headers.iter().any(|(known, _)| known == name));
        assert!(all || none);
        (all, call.request.metadata.clone())
    };
    let owner = vec![("x-amz-meta-owner".to_owned(), "a".to_owned())];
    let sent = [("x-amz-meta-owner", "a"), ("etag", "\"e\""), ("content-range", "bytes 0-4/5")];

    let mut small = denied(&config, "GET", Denial::NotFound, false);
    small.answer(GET, 206, &sent, "hello");
    let put = small.answer(PUT, 200, &[], "");
    assert_eq!(carried(&put), (true, owner.clone()));
    assert_eq!((small.outcome(), small.warnings.as_slice()), (Outcome::Stored, &[][..]));

    let mut left_out = denied(&config, "GET", Denial::NotFound, false);
    left_out.answer(GET, 206, &[("x-amz-meta-owner", &"v".repeat(257)), ("content-range", "bytes 0-4/5")], "hello");
    assert_eq!(left_out.warnings, [Warning::MetadataLeftOut]);
    assert_eq!(carried(&left_out.answer(PUT, 200, &[], "")), (true, Vec::new()));
    assert_eq!(left_out.outcome(), Outcome::Stored);

    (config.limits.part_size, config.limits.parts_in_flight) = (4, 1);
    let mut large = denied(&config, "GET", Denial::NotFound, false);
    let first = [sent[0], sent[1], ("content-range", "bytes 0-3/5")];
    large.answer(GET, 206, &first, "hell");
    let create = large.answer(CREATE, 200, &[], "<UploadId>u</UploadId>");
    assert_eq!(carried(&create), (true, owner));
    let part = large.expect(PART);
    assert_eq!(carried(&part), (false, Vec::new()));
}

/// A fill that has the first bytes of an object, which are so many, and awaits the next ones.
fn begun(total: usize) -> (World, CallId, usize) {
    let mut config = config(json!({}), json!({}));
    (config.limits.part_size, config.limits.parts_in_flight) = (1 << 20, 1);
    let mut fill = Fill::new(&config, request("a.jpg", config.rules[0].mirror.clone().unwrap(), false), 7);
    let came = config.limits.first_range as usize;
    fill.expect(config.limits.first_range);
    let mut world = World::start(fill);
    let range = format!("bytes 0-{}/{total}", came - 1);
    world.answer(GET, 206, &[("content-range", &range), ("etag", "\"e\"")], &"a".repeat(came));
    if total > 1 << 20 {
        world.answer(CREATE, 200, &[], "<UploadId>u</UploadId>");
    }
    let next = world.expect(GET);
    assert_eq!(next.before, came, "the answer is to have room for them");
    (world, next.id, came)
}

#[test]
fn bytes_that_come_with_room_for_those_before_them_are_stored_from_where_they_are() {
    for (total, put, of) in [(1 << 19, PUT, 1 << 19), (1 << 21, PART, 1 << 20)] {
        let (mut world, call, came) = begun(total);
        let mut body = Vec::with_capacity(of);
        body.resize(of - came, b'b');
        let place = body.as_ptr();
        let range = format!("bytes {came}-{}/{total}", of - 1);
        let headers = vec![("content-range".to_owned(), range.into()), ("etag".to_owned(), b"\"e\"".to_vec())];
        let response = Response { status: 206, headers: Headers::new(headers), body };
        world.input(Input::Response { call, response });
        let stored = world.expect(put).request.body;
        let (first, rest) = stored.split_at(came);
        assert!(first.iter().all(|byte| *byte == b'a') && rest.iter().all(|byte| *byte == b'b'));
        assert_eq!((stored.len(), stored.as_ptr()), (of, place), "{put}");
    }
}
