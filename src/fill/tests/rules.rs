//! The words of a rule beside its origins: chains, redirects, types, answers meanwhile, HEAD, stores that overwrite.

use super::*;
use crate::config::{Bucket, Pin};
use crate::origin::Version;
use crate::request::target::Target;
use serde_json::{Value, json};

const HTML: &[(&str, &str)] = &[("content-length", "5"), ("content-type", "text/html; charset=utf-8")];
const GET_A: &str = "GET first /a.jpg";
const PUT_A: &str = "PUT signer /my-bucket/a.jpg";

pub fn configured(bucket: Value, origin: Value, rules: Value) -> Config {
    let mut config = json!({
        "bucket": {"cluster": "signer", "authority": "s3.test", "path_prefix": "/my-bucket"},
        "origins": {"first": {"cluster": "first", "authority": "first.test", "public_url": "https://first.test",
                              "headers": {"x-token": "t"}},
                    "second": {"cluster": "second", "authority": "second.test"}},
        "rules": rules});
    for (name, value) in bucket.as_object().unwrap() {
        config["bucket"][name] = value.clone();
    }
    for (name, value) in origin.as_object().unwrap() {
        config["origins"]["first"][name] = value.clone();
    }
    Config::parse(config.to_string().as_bytes(), &|_| None).unwrap()
}

/// A fill after a 404 of the bucket, or after a 403 that is to be checked.
fn world_of(config: &Config, method: &str, check: bool) -> World {
    denied(config, method, if check { Denial::Forbidden } else { Denial::NotFound }, check)
}

/// A fill after this denial, as the rule has it.
pub fn denied(config: &Config, method: &str, denial: Denial, check: bool) -> World {
    denied_path(config, method, b"/a.jpg?v=1&w=2", denial, check)
}

pub fn denied_path(config: &Config, method: &str, path: &[u8], denial: Denial, check: bool) -> World {
    let target = Target::parse(method.as_bytes(), path, &Bucket::default()).unwrap();
    let mirror = config.rules[0].mirror.as_ref().unwrap();
    World::of(config, FillRequest::new(&config.rules, mirror, &target, &[], denial, check))
}

fn world(rules: Value) -> World {
    world_of(&configured(json!({}), json!({}), rules), "GET", false)
}

/// The answer of waiting clients meanwhile. It stands behind the call that goes on.
fn meanwhile(world: &mut World) -> Outcome {
    match world.pending.remove(1) {
        Some(Action::Meanwhile(outcome)) => outcome,
        other => panic!("expected an answer meanwhile, got {other:?}"),
    }
}

#[test]
fn the_origins_of_the_next_rule_are_asked_when_those_of_one_do_not_have_the_object() {
    let rules = json!([{"prefix": "/a", "origins": ["first"], "query": ["v"]},
                       {"origins": ["second"], "add_prefix": "/old", "query": ["w"], "cache_control": "no-cache"}]);
    let mut both = world(rules.clone());
    both.answer("GET first /a.jpg?v=1", 404, &[], "");
    both.answer("GET second /old/a.jpg?w=2", 206, HELLO, "hello");
    let put = both.answer(PUT_A, 200, &[], "");
    assert!(put.request.headers.contains(&("cache-control", "no-cache".to_owned())));
    assert!(put.request.headers.contains(&("x-amz-meta-mirror-url", "//second.test/old/a.jpg".to_owned())));
    assert_eq!(both.outcome(), Outcome::Stored);

    let mut none = world(rules.clone());
    none.answer("GET first /a.jpg?v=1", 410, &[], "");
    none.answer("GET second /old/a.jpg?w=2", 404, &[], "");
    assert_eq!(none.outcome(), Outcome::NotFound);

    let mut refused = world(rules);
    refused.answer("GET first /a.jpg?v=1", 401, &[], "");
    assert_eq!(refused.outcome(), Outcome::OriginRefused { status: 401 });
}

#[test]
fn an_object_is_not_missing_while_an_origin_that_failed_may_have_it() {
    let mut world = world(json!([{"prefix": "/a", "origins": ["first", "second"]}, {"origins": ["second"]}]));
    world.answer(GET_A, 504, &[], "");
    world.answer("GET second /a.jpg", 404, &[], "");
    assert_eq!(world.outcome(), Outcome::OriginTimeout);
}

#[test]
fn a_redirect_is_followed_without_the_origins_own_headers() {
    let config =
        configured(json!({}), json!({"redirects": {"hosts": {"cdn.test": "cdn"}}}), json!([{"origins": ["first"]}]));
    let mut world = world_of(&config, "GET", false);
    world.answer(GET_A, 302, &[("location", "https://cdn.test/x?sig=1")], "");
    let get = world.answer("GET cdn /x?sig=1", 206, HELLO, "hello");
    assert_eq!((get.to.authority.as_str(), get.to.headers.len()), ("cdn.test", 0));
    assert!(get.request.headers.iter().any(|(name, _)| *name == "range"));
    world.answer(PUT_A, 200, &[], "");
    assert_eq!(world.outcome(), Outcome::Stored);

    let mut busy = world_of(&config, "GET", false);
    busy.answer(GET_A, 302, &[("location", "https://cdn.test/x")], "");
    for _ in 1..ATTEMPTS {
        busy.answer("GET cdn /x", 429, &[], "");
        busy.wait();
    }
    busy.answer("GET cdn /x", 206, HELLO, "hello");
    busy.expect(PUT_A);

    let mut elsewhere = world_of(&config, "GET", false);
    elsewhere.answer(GET_A, 302, &[("location", "https://evil.test/")], "");
    assert_eq!(elsewhere.outcome(), Outcome::OriginRefused { status: 302 });

    let mut circle = world_of(&config, "GET", false);
    for _ in 0..4 {
        circle.answer(GET_A, 301, &[("location", "/a.jpg")], "");
    }
    assert_eq!(circle.outcome(), Outcome::OriginRefused { status: 301 });
}

#[test]
fn what_an_origin_says_of_an_object_that_it_does_not_have_is_a_setting() {
    let origin = json!({"missing": [403, {"status": 200, "content_type": "text/html"}]});
    let config = configured(json!({}), origin, json!([{"origins": ["first", "second"]}]));
    for method in ["GET", "HEAD"] {
        let rules = json!([{"origins": ["first", "second"], "on_head": "origin"}]);
        let config =
            configured(json!({}), json!({"missing": [403, {"status": 200, "content_type": "text/html"}]}), rules);
        for (status, headers, body) in [(403, &[][..], ""), (200, HTML, "login")] {
            let mut world = world_of(&config, method, false);
            world.answer(&format!("{method} first /a.jpg"), status, headers, body);
            world.answer(&format!("{method} second /a.jpg"), 410, &[], "");
            assert_eq!(world.outcome(), Outcome::NotFound, "{method} {status}");
        }
    }
    let mut ranged = world_of(&config, "GET", false);
    ranged.answer(GET_A, 206, &[("content-range", "bytes 0-4/5"), ("content-type", "text/html")], "login");
    ranged.answer("GET second /a.jpg", 206, HELLO, "hello");
    ranged.answer(PUT_A, 200, &[], "");
    assert_eq!(ranged.outcome(), Outcome::Stored);

    let mut refused = world_of(&config, "GET", false);
    refused.answer(GET_A, 404, &[], "");
    refused.answer(GET_A, 404, &[], "");
    assert_eq!(
        refused.outcome(),
        Outcome::OriginRefused { status: 404 },
        "the list stands in the place of the default"
    );
    assert!(Outcome::OriginRefused { status: 403 }.detail().ends_with("origins.NAME.missing"), "the setting is named");
}

#[test]
fn a_redirect_to_another_object_of_the_origin_is_the_clients_to_follow() {
    let passed = |key: &str, query: Option<&str>| Outcome::OriginRedirect {
        status: 301,
        key: key.to_owned(),
        query: query.map(str::to_owned),
    };
    let redirected = |bucket: Value, origin: Value, rule: Value, from: &str, location: &str| {
        let config = configured(bucket, origin, json!([rule]));
        let mut world = world_of(&config, "GET", false);
        world.answer(from, 301, &[("location", location)], "");
        world
    };
    let plain = json!({"origins": ["first"]});
    let listed = json!({"origins": ["first"], "query": ["v"]});
    let moved = json!({"origins": ["first"], "prefix": "/", "add_prefix": "/old"});
    let index = json!({"index": "index.html"});
    for (bucket, origin, rule, from, location, expected) in [
        (json!({}), json!({}), &plain, GET_A, "/b%20c", passed("b c", None)),
        (json!({}), json!({}), &plain, GET_A, "http://first.test/b?token=s", passed("b", Some(""))),
        (json!({}), json!({}), &listed, "GET first /a.jpg?v=1", "/b?token=s&v=2", passed("b", Some("v=2"))),
        (json!({}), json!({}), &moved, "GET first /old/a.jpg", "/old/b", passed("b", None)),
        (json!({}), json!({}), &moved, "GET first /old/a.jpg", "/new/b", Outcome::OriginRefused { status: 301 }),
        (json!({}), json!({}), &plain, GET_A, "/a.jpg", Outcome::OriginRefused { status: 301 }),
        (json!({}), json!({}), &plain, GET_A, "https://first.test/a.jpg", Outcome::OriginRefused { status: 301 }),
        (json!({}), json!({}), &plain, GET_A, "https://other.test/b", Outcome::OriginRefused { status: 301 }),
        (index.clone(), json!({"redirects": {}}), &plain, GET_A, "/a.jpg/", passed("a.jpg/", None)),
        (
            index.clone(),
            json!({"redirects": {}}),
            &moved,
            "GET first /old/a.jpg",
            "/old/%61.jpg/",
            passed("a.jpg/", None),
        ),
        (json!({}), json!({"redirects": {"follow": 0}}), &plain, GET_A, "/b", passed("b", None)),
        (
            json!({}),
            json!({"redirects": {"others": "refuse", "follow": 0}}),
            &plain,
            GET_A,
            "/b",
            Outcome::OriginRefused { status: 301 },
        ),
        (json!({}), json!({"missing": [301]}), &plain, GET_A, "/b", Outcome::NotFound),
    ] {
        let mut world = redirected(bucket, origin, rule.clone(), from, location);
        assert_eq!(world.outcome(), expected, "{location}");
    }

    assert!(
        Outcome::OriginRefused { status: 301 }.detail().ends_with("origins.NAME.redirects"),
        "the setting is named"
    );

    // What only adds a slash is followed where there are no pages, and where it is not to be passed on.
    for (bucket, redirects, location) in [
        (json!({}), json!({}), "/a.jpg/"),
        (index.clone(), json!({"others": "refuse"}), "/a.jpg/"),
        (index, json!({}), "/b/"),
    ] {
        let mut world = redirected(bucket, json!({"redirects": redirects}), plain.clone(), GET_A, location);
        world.expect(&format!("GET first {location}"));
    }

    // Nobody knows if the client may have the object, and so not if it may have another one's name.
    let config = configured(json!({}), json!({}), json!([plain]));
    let mut unknown = denied(&config, "GET", Denial::Forbidden, false);
    unknown.answer(GET_A, 301, &[("location", "/b")], "");
    assert_eq!(unknown.outcome(), Outcome::OriginRefused { status: 301 });
}

#[test]
fn what_no_cache_may_store_is_handed_out_where_the_rule_says_so() {
    let private = |cache_control: &str, rule: &str, total: usize| {
        let rule = json!([{"origins": ["first"], "private": rule, "cache_control": "max-age=9"}]);
        let mut world = world_of(&configured(json!({}), json!({}), rule), "GET", false);
        let body = "a".repeat(total.min(1 << 16));
        let range = format!("bytes 0-{}/{total}", body.len() - 1);
        let headers = [("content-range", range.as_str()), ("cache-control", cache_control), ("etag", "\"e\"")];
        world.answer(GET_A, 206, &headers, &body);
        world
    };
    for cache_control in ["private", "no-cache, No-Store", "max-age=0,private=\"set-cookie\""] {
        match private(cache_control, "skip", 5).outcome() {
            Outcome::Private(Some(object)) => {
                assert_eq!(**object.body, *b"aaaaa");
                let served: Vec<_> = object.metadata.served().collect();
                assert!(served.contains(&("cache-control", "max-age=9")), "the rule's, as on a HEAD");
            }
            other => panic!("{cache_control}: {other:?}"),
        }
        assert_eq!(private(cache_control, "skip", 1 << 20).outcome(), Outcome::Private(None));
        private(cache_control, "store", 5).expect(PUT_A);
    }
    for cache_control in ["public", "no-cache", "x-private", "max-age=9"] {
        private(cache_control, "skip", 5).expect(PUT_A);
    }
}

#[test]
fn the_headers_of_a_head_are_those_that_a_get_would_store() {
    let rules = json!([{"origins": ["first", "second"], "on_head": "origin", "cache_control": "max-age=9",
                        "content_types": ["image/*"]}]);
    let mut world = world_of(&configured(json!({}), json!({}), rules), "HEAD", false);
    world.answer("HEAD first /a.jpg", 200, HTML, "");
    world.answer("HEAD second /a.jpg", 200, &[("content-length", "5"), ("cache-control", "private")], "");
    match world.outcome() {
        Outcome::Head { metadata, .. } => {
            assert_eq!(
                metadata.served().find(|(name, _)| *name == "cache-control"),
                Some(("cache-control", "max-age=9"))
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_of_another_type_than_the_rule_stores_is_asked_of_the_next_origin_and_never_stored() {
    let mut login = world(json!([{"origins": ["first", "second"], "content_types": ["image/*"]}]));
    login.answer(GET_A, 200, HTML, "login");
    login.answer("GET second /a.jpg", 206, &[("content-range", "bytes 0-4/5")], "hello");
    let put = login.answer(PUT_A, 200, &[], "");
    assert!(put.request.headers.contains(&("content-type", "image/jpeg".to_owned())), "by its extension");
    assert_eq!(login.outcome(), Outcome::Stored);

    let mut only = world(json!([{"origins": ["first"], "content_types": ["image/*"]}]));
    only.answer(GET_A, 200, HTML, "login");
    assert_eq!(only.outcome(), Outcome::WrongType);
}

#[test]
fn clients_are_served_as_soon_as_an_object_is_whole_and_the_fill_goes_on() {
    let mut whole = world(json!([{"origins": ["first"], "response": "serve"}]));
    let call = whole.expect(GET_A);
    whole.respond(call.id, 206, HELLO, "hello");
    match meanwhile(&mut whole) {
        Outcome::Served(object) => assert_eq!(**object.body, *b"hello"),
        other => panic!("{other:?}"),
    }
    whole.answer(PUT_A, 403, &[], "");
    assert!(matches!(whole.outcome(), Outcome::NotStored { status: 403, .. }));

    let mut parts = world(json!([{"origins": ["first"], "response": "serve"}]));
    let range = [("content-range", "bytes 0-6291455/6291457"), ("etag", "\"e\"")];
    parts.answer(GET_A, 206, &range, &"a".repeat(6 * 1024 * 1024));
    parts.expect("POST signer /my-bucket/a.jpg?uploads=");
}

#[test]
fn clients_are_sent_to_the_origin_as_soon_as_the_bucket_is_known_not_to_have_the_object() {
    let config = configured(json!({}), json!({}), json!([{"origins": ["first"], "response": "origin"}]));
    let mut missing = world_of(&config, "GET", true);
    let head = missing.expect("HEAD signer /my-bucket/a.jpg");
    missing.respond(head.id, 404, &[], "");
    assert_eq!(meanwhile(&mut missing), Outcome::Origin);
    missing.answer(GET_A, 206, HELLO, "hello");
    missing.answer(PUT_A, 200, &[], "");
    assert_eq!(missing.outcome(), Outcome::Stored);

    let mut private = world_of(&config, "GET", true);
    private.answer("HEAD signer /my-bucket/a.jpg", 200, &[], "");
    assert_eq!(private.outcome(), Outcome::Forbidden);
}

#[test]
fn a_head_may_be_answered_from_the_origins_headers_and_stores_nothing() {
    let redirects = json!({"redirects": {}});
    let config = configured(json!({}), redirects, json!([{"origins": ["first", "second"], "on_head": "origin"}]));
    let mut world = world_of(&config, "HEAD", false);
    world.answer("HEAD first /a.jpg", 301, &[("location", "/b")], "");
    world.fail_each("HEAD first /b", None);
    let head = world.answer("HEAD second /a.jpg", 200, &[("content-length", "7"), ("etag", "\"e\"")], "");
    assert!(head.request.headers.iter().all(|(name, _)| *name != "range"));
    match world.outcome() {
        Outcome::Head { metadata, length, etag } => {
            assert_eq!((metadata.content_type(), length), ("image/jpeg", Some(7)));
            let headers = Headers::new(vec![("etag".into(), b"\"e\"".to_vec())]);
            assert_eq!(etag, Version::of(&headers, 7, Pin::Strong).tag(), "as a GET of the same version has it");
        }
        other => panic!("{other:?}"),
    }
    let mut missing = world_of(&config, "HEAD", false);
    missing.answer("HEAD first /a.jpg", 404, &[], "");
    missing.answer("HEAD second /a.jpg", 404, &[], "");
    assert_eq!(missing.outcome(), Outcome::NotFound);

    let mut get = world_of(&config, "GET", false);
    get.expect(GET_A);
}

#[test]
fn a_header_of_the_stores_own_forbids_to_overwrite_and_its_refusal_is_understood() {
    let bucket = json!({"if_none_match": "x-oss-forbid-overwrite", "storage_class": "IA"});
    let config = configured(bucket, json!({}), json!([{"origins": ["first"]}]));
    let exists = "<Error><Code>FileAlreadyExists</Code></Error>";
    let mut world = world_of(&config, "GET", false);
    world.answer(GET_A, 206, HELLO, "hello");
    let put = world.answer(PUT_A, 409, &[], exists);
    assert!(put.request.headers.contains(&("x-oss-forbid-overwrite", "true".to_owned())));
    assert!(put.request.headers.contains(&("x-amz-storage-class", "IA".to_owned())));
    assert!(put.request.headers.iter().all(|(name, _)| *name != "if-none-match"));
    world.answer("HEAD signer /my-bucket/a.jpg", 200, &[], "");
    assert_eq!(world.outcome(), Outcome::Exists);
}

/// A fill of an object in three parts, whose origin redirects to a URL that it signed. The first part is stored.
fn signed(limits: u8) -> World {
    let redirects = json!({"redirects": {"hosts": {"cdn.test": "cdn"}}});
    let mut config = configured(json!({}), redirects, json!([{"origins": ["first"]}]));
    (config.limits.part_size, config.limits.parts_in_flight) = (5, limits.into());
    let mut world = world_of(&config, "GET", false);
    world.answer(GET_A, 302, &[("location", "https://cdn.test/x?sig=1")], "");
    let first = [("content-range", "bytes 0-4/15"), ("etag", "\"e\"")];
    world.answer("GET cdn /x?sig=1", 206, &first, "aaaaa");
    world.answer("POST signer /my-bucket/a.jpg?uploads=", 200, &[], "<UploadId>u</UploadId>");
    world
}

fn stores_part(world: &mut World, number: u64) {
    let part = format!("PUT signer /my-bucket/a.jpg?partNumber={number}&uploadId=u");
    world.answer(&part, 200, &[("etag", "\"p\"")], "");
}

#[test]
fn a_signed_url_is_asked_for_each_part_while_it_is_good() {
    let mut world = signed(1);
    stores_part(&mut world, 1);
    for (number, range) in [(2, "bytes 5-9/15"), (3, "bytes 10-14/15")] {
        world.answer("GET cdn /x?sig=1", 206, &[("content-range", range), ("etag", "\"e\"")], "bbbbb");
        stores_part(&mut world, number);
    }
    world.expect("POST signer /my-bucket/a.jpg?uploadId=u");
}

#[test]
fn a_signed_url_that_expires_is_asked_of_the_origin_again_and_each_part_may_have_another() {
    let mut world = signed(1);
    stores_part(&mut world, 1);
    for (number, range) in [(2, "bytes 5-9/15"), (3, "bytes 10-14/15")] {
        let expired = world.answer(&format!("GET cdn /x?sig={}", number - 1), 403, &[], "");
        let at_origin = world.answer(GET_A, 302, &[("location", &format!("https://cdn.test/x?sig={number}"))], "");
        assert!(at_origin.to.headers.iter().any(|(name, _)| name == "x-token") && expired.to.headers.is_empty());
        let renewed = world.answer(
            &format!("GET cdn /x?sig={number}"),
            206,
            &[("content-range", range), ("etag", "\"e\"")],
            "bbbbb",
        );
        let ranges = [expired, at_origin, renewed]
            .map(|call| call.request.headers.into_iter().find(|(name, _)| *name == "range").map(|(_, value)| value));
        assert!(ranges[0].is_some() && ranges[0] == ranges[1] && ranges[1] == ranges[2], "{ranges:?}");
        stores_part(&mut world, number);
    }
    world.expect("POST signer /my-bucket/a.jpg?uploadId=u");
}

#[test]
fn clients_are_passed_to_the_place_that_the_origin_redirects_to() {
    let redirects = json!({"redirects": {"hosts": {"cdn.test": "cdn"}}});
    let mut config = configured(json!({}), redirects, json!([{"origins": ["first"]}]));
    (config.limits.part_size, config.marker) = (5, Some("m=s".to_owned()));
    let first = [("content-range", "bytes 0-4/15"), ("etag", "\"e\"")];
    let mut own = world_of(&config, "GET", false);
    own.answer(GET_A, 206, &first, "aaaaa");
    let mut elsewhere = world_of(&config, "GET", false);
    elsewhere.answer(GET_A, 302, &[("location", "https://cdn.test/x?sig=1")], "");
    elsewhere.answer("GET cdn /x?sig=1", 206, &first, "aaaaa");
    let moved = |world: &World| {
        let [passed] = &world.passed[..] else { panic!("{:?}", world.passed) };
        passed.moved.as_ref().map(|moved| (moved.cluster.clone(), moved.path.clone()))
    };
    assert_eq!(moved(&own), None);
    assert_eq!(moved(&elsewhere), Some(("cdn".to_owned(), "/x?sig=1".to_owned())));
}

#[test]
fn a_renewed_url_that_is_refused_too_ends_the_fill() {
    for at_origin in [403, 302] {
        let mut world = signed(1);
        stores_part(&mut world, 1);
        world.answer("GET cdn /x?sig=1", 403, &[], "");
        world.answer(GET_A, at_origin, &[("location", "https://cdn.test/x?sig=2")], "");
        if at_origin == 302 {
            world.answer("GET cdn /x?sig=2", 403, &[], "");
        }
        world.answer("DELETE signer /my-bucket/a.jpg?uploadId=u", 204, &[], "");
        assert_eq!(world.outcome(), Outcome::OriginRefused { status: 403 });
    }
}

#[test]
fn a_renewed_url_with_another_version_has_the_fill_begin_again() {
    let mut world = signed(1);
    stores_part(&mut world, 1);
    world.answer("GET cdn /x?sig=1", 403, &[], "");
    world.answer(GET_A, 302, &[("location", "https://cdn.test/x?sig=2")], "");
    world.answer("GET cdn /x?sig=2", 206, &[("content-range", "bytes 5-9/15"), ("etag", "\"other\"")], "bbbbb");
    world.answer("DELETE signer /my-bucket/a.jpg?uploadId=u", 204, &[], "");
    world.expect(GET_A);
}
