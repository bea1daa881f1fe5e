//! Tests of rules by the requests that they match.

use super::target::Target;
use crate::config::rule::{Mirror, chain, mirror_for};
use crate::config::{Bucket, Config, Keys};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::rc::Rc;

fn config(rules: Value) -> Config {
    let config = json!({
        "bucket": {"cluster": "signer", "authority": "s3.test"},
        "origins": {"one": {"cluster": "one", "authority": "one.test", "path_prefix": "/v1", "public_url": "https://one.test/v1"},
                    "two": {"cluster": "two", "authority": "two.test"}},
        "rules": rules});
    Config::parse(config.to_string().as_bytes(), &|_| None).unwrap()
}

fn target(method: &str, path: &str) -> Target {
    Target::parse(method.as_bytes(), path.as_bytes(), &Bucket::default()).unwrap()
}

/// Names the origins that are asked for a request, in order; empty if it is not mirrored.
fn origins(config: &Config, method: &str, path: &str) -> Vec<String> {
    let target = target(method, path);
    let chain = match mirror_for(&config.rules, target.method, target.spellings()) {
        Some(_) => chain(&config.rules, target.method, target.spellings()),
        None => Vec::new(),
    };
    chain.iter().flat_map(|mirror| &mirror.origins).map(|origin| origin.name.clone()).collect()
}

fn mirror(rule: Value) -> Rc<Mirror> {
    config(json!([rule])).rules[0].mirror.clone().unwrap()
}

#[test]
fn the_first_rule_that_matches_serves_a_request_and_the_next_ones_follow_it() {
    let config = config(json!([
        {"prefix": "/img/", "suffixes": [".jpg", ".png"], "origins": ["one"]},
        {"prefix": "/private/", "mirror": false},
        {"prefix": "/seen/", "origins": ["one"], "observe": true},
        {"prefix": "/head/", "origins": ["one"], "on_head": "off"},
        {"prefix": "/get/", "methods": ["GET"], "origins": ["one"]},
        {"origins": ["two"]},
    ]));
    for (method, path, expected) in [
        ("GET", "/img/a.jpg", &["one", "two"][..]),
        ("GET", "/img/a.b.png", &["one", "two"]),
        ("GET", "/img/a.jpg/b", &["two"]),
        ("GET", "/im%67/a.jp%67", &["one", "two"]),
        ("GET", "/IMG/a.jpg", &["two"]),
        ("GET", "/private/a", &[]),
        ("HEAD", "/private/a", &[]),
        ("GET", "/private", &["two"]),
        ("HEAD", "/head/a", &[]),
        ("GET", "/head/a", &["one", "two"]),
        ("GET", "/get/a", &["one", "two"]),
        ("HEAD", "/get/a", &["two"]),
    ] {
        assert_eq!(origins(&config, method, path), expected, "{method} {path}");
    }
}

#[test]
fn what_follows_ends_at_the_first_rule_that_mirrors_nothing() {
    for end in [json!({"mirror": false}), json!({"origins": ["two"], "observe": true})] {
        let config = config(json!([{"prefix": "/a/", "origins": ["one"]}, end, {"origins": ["two"]}]));
        assert_eq!(origins(&config, "GET", "/a/b"), ["one"]);
    }
}

#[test]
fn a_prefix_of_keys_is_replaced_at_the_origin() {
    for (rule, path, expected) in [
        (
            json!({"prefix": "/img/", "strip_prefix": "/img", "add_prefix": "/static"}),
            "/img/a/b.jpg",
            "/v1/static/a/b.jpg",
        ),
        (json!({"prefix": "/img/", "strip_prefix": "/img/"}), "/img/a.jpg", "/v1/a.jpg"),
        (json!({"prefix": "/img/2024/", "strip_prefix": "/img"}), "/img/2024/a.jpg", "/v1/2024/a.jpg"),
        (json!({"add_prefix": "/st\u{e4}tic files/"}), "/a+b", "/v1/st%C3%A4tic%20files/a%2Bb"),
        (json!({"prefix": "/img/", "strip_prefix": "/img", "add_prefix": "/s"}), "/img//a", "/v1/s/a"),
        (json!({"prefix": "/img/", "strip_prefix": "/img", "add_prefix": "/s"}), "/img/img/a", "/v1/s/img/a"),
        (json!({"prefix": "/img/", "strip_prefix": "/img", "add_prefix": "/s"}), "/img/", "/v1/s/"),
        (json!({"strip_prefix": "/", "add_prefix": "/"}), "/a", "/v1/a"),
    ] {
        let mut rule = rule;
        rule["origins"] = json!(["one"]);
        let mirror = mirror(rule.clone());
        let target = target("GET", path);
        assert_eq!(mirror.path(&mirror.origins[0], target.origin_key(), &[]), expected, "{rule}");
        let public = mirror.public_location(target.origin_key(), target.query()).unwrap();
        assert_eq!(public, format!("https://one.test{expected}"), "{rule}");
    }
}

#[test]
fn only_listed_parameters_reach_the_origin_as_the_client_wrote_them() {
    let mirror = mirror(json!({"origins": ["one"], "query": ["v", "ä"]}));
    for (query, expected) in [
        ("", "/v1/a"),
        ("?", "/v1/a"),
        ("?w=1", "/v1/a"),
        ("?v", "/v1/a?v"),
        ("?w=1&v=2&token=s", "/v1/a?v=2"),
        ("?v=2&v=1", "/v1/a?v=2&v=1"),
        ("?%76=%20+&%C3%A4=1", "/v1/a?%76=%20+&%C3%A4=1"),
        ("?V=1", "/v1/a"),
    ] {
        let target = target("GET", &format!("/a{query}"));
        let public = mirror.public_location(target.origin_key(), target.query()).unwrap();
        assert_eq!(public, format!("https://one.test{expected}"), "{query}");
    }
}

#[test]
fn a_type_is_accepted_by_its_essence_alone() {
    let mirror = mirror(json!({"origins": ["one"], "content_types": ["image/*", "Application/PDF"]}));
    for accepted in ["image/png", "IMAGE/SVG+xml; charset=utf-8", "application/pdf", " application/pdf ;x"] {
        assert!(mirror.accepts(accepted), "{accepted}");
    }
    for refused in ["text/html", "imagex/png", "application/pdfx", "", "image", "text/html; x=image/png"] {
        assert!(!mirror.accepts(refused), "{refused}");
    }
    assert!(Mirror::default().accepts("text/html"));
}

/// Generates names with everything in them that some server reads in its own way.
fn spelling() -> impl Strategy<Value = String> {
    "(private|p|a|/|//|\\\\|%2F|%2f|%5C|%70|\\.|%2E|\\.\\.){0,8}"
}

/// Lists the readings of a path that some server has: `\` as `/` or as itself, slashes merged or not.
fn readings(path: &str) -> Vec<String> {
    let decoded = percent_decode(path);
    let slashed = decoded.replace('\\', "/");
    let merged = |path: &str| path.split('/').filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("/");
    let both = [merged(&decoded), merged(&slashed)]
        .map(|reading| if decoded.ends_with(['/', '\\']) { format!("{reading}/") } else { reading });
    both.into_iter().chain([decoded.trim_start_matches('/').to_owned(), slashed]).collect()
}

fn percent_decode(path: &str) -> String {
    let bytes = path.replace("%2F", "/").replace("%2f", "/").replace("%5C", "\\");
    bytes.replace("%70", "p").replace("%2E", ".")
}

proptest! {
    #[test]
    fn no_spelling_that_some_server_reads_under_a_prefix_without_mirror_is_mirrored(
        path in spelling(),
        exact in any::<bool>(),
        index in any::<bool>(),
    ) {
        let config = config(json!([{"prefix": "/private/", "mirror": false}, {"origins": ["one"]}]));
        let keys = if exact { Keys::Exact } else { Keys::Plain };
        let bucket = Bucket { keys, index: index.then(|| "i".to_owned()), ..Bucket::default() };
        for path in [path.clone(), format!("private{path}"), format!("private/{path}"), format!("//private//{path}")] {
            let Some(target) = Target::parse(b"GET", format!("/{path}").as_bytes(), &bucket) else { continue };
            let mirrored = target.reading.is_mirrored() && mirror_for(&config.rules, target.method, target.spellings()).is_some();
            let private = readings(&path).iter().any(|reading| reading.starts_with("private/"));
            prop_assert!(!(mirrored && private), "{}", path);
        }
    }

    #[test]
    fn nothing_is_stored_under_another_key_than_the_one_that_is_asked_for_and_of_origins_too(path in spelling()) {
        let Some(target) = Target::parse(b"GET", format!("/{path}").as_bytes(), &Bucket::default()) else { return Ok(()) };
        let stored = target.reading.not_plain().is_none();
        let key = target.key.as_str();
        prop_assert_eq!(key, percent_decode(&path));
        prop_assert!(!stored || readings(&path).iter().all(|reading| reading == key), "{}", path);
        prop_assert!(!stored || target.origin_key() == key);
        prop_assert!(target.origin_key() == target.key.plain_reading());
    }

    /// In every spelling of a client's, the origin is asked below the prefixes of its rule, and for the same path.
    #[test]
    fn the_way_from_a_key_to_the_origin_is_total_stable_and_never_leaves_its_prefix(
        rest in "(\\PC|%[0-9a-fA-F]{2}|[/.+%\\\\]){0,24}",
        strip in any::<bool>(),
    ) {
        let mirror = mirror(json!({
            "prefix": "/img/", "origins": ["one"], "add_prefix": "/static", "strip_prefix": if strip { "/img" } else { "/" }}));
        let path = format!("/img/{rest}");
        let parsed = Target::parse(b"GET", path.as_bytes(), &Bucket::default());
        let Some(target) = parsed.filter(|target| target.key.as_str().starts_with("img/")) else { return Ok(()) };
        let asked = mirror.path(&mirror.origins[0], target.origin_key(), &[]);
        let prefix = if strip { "/v1/static/" } else { "/v1/static/img/" };
        prop_assert!(asked.starts_with(prefix), "{}", asked);
        let segments: Vec<&str> = asked.split('/').collect();
        prop_assert!(!segments.contains(&".") && !segments.contains(&".."), "{}", asked);
        prop_assert!(asked.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b)), "{}", asked);
        let again = Target::parse(b"GET", target.path().as_bytes(), &Bucket::default()).unwrap();
        prop_assert_eq!(mirror.path(&mirror.origins[0], again.origin_key(), &[]), asked);
    }
}
