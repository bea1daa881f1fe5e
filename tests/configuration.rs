//! Tests of each field of the configuration, alone and together with others, and of the mapping from requests to
//! origins and bucket.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that meets the unexpected has failed"
)]

use mirror_on_miss::config::Config;
use mirror_on_miss::config::describe::fields::{Shape, fields};
use mirror_on_miss::config::rule::Mirror;
use mirror_on_miss::explain::{Explanation, explain};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Debug;
use url::Url;

fn parsed(config: &Value) -> Config {
    let env = |name: &str| Some(format!("the secret {name}"));
    Config::parse(config.to_string().as_bytes(), &env).unwrap_or_else(|problems| panic!("{config}: {problems:?}"))
}

fn shown(what: impl Debug) -> String {
    format!("{what:?}")
}

fn mirror(config: &Config) -> &Mirror {
    config.rules[0].mirror.as_ref().expect("a rule that mirrors")
}

/// A reader of a field's effect in a configuration.
type Seen = fn(&Config) -> String;

/// Lists every field that takes a value, with a value that is not its default, its reader in the [`Config`], and the
/// expected reading.
fn alone() -> Vec<(&'static str, Value, Seen, &'static str)> {
    vec![
        ("$.bucket.cluster", json!("c"), |c| shown(&c.bucket.upstream.cluster), r#""c""#),
        ("$.bucket.authority", json!("a:1"), |c| shown(&c.bucket.upstream.authority), r#""a:1""#),
        ("$.bucket.path_prefix", json!("/b/"), |c| shown(&c.bucket.path_prefix), r#""/b""#),
        ("$.bucket.exposed", json!("path"), |c| shown(c.bucket.exposed), "Path"),
        ("$.bucket.storage_class", json!("GLACIER_IR"), |c| shown(&c.bucket.storage_class), r#"Some("GLACIER_IR")"#),
        (
            "$.bucket.put_headers.NAME",
            json!("private"),
            |c| shown(&c.bucket.put_headers),
            r#"[("x-amz-acl", "private")]"#,
        ),
        ("$.bucket.if_none_match", json!(false), |c| shown(c.bucket.overwrite), "HeadFirst"),
        ("$.bucket.keys", json!("exact"), |c| shown(c.bucket.keys), "Exact"),
        ("$.bucket.index", json!("index.html"), |c| shown(&c.bucket.index), r#"Some("index.html")"#),
        ("$.bucket.deleted", json!("refill"), |c| shown(c.bucket.deleted), "Refill"),
        ("$.origins.NAME.cluster", json!("c"), |c| shown(&mirror(c).origins[0].upstream.cluster), r#""c""#),
        ("$.origins.NAME.stream_cluster", json!("c"), |c| shown(&mirror(c).origins[0].stream_cluster), r#"Some("c")"#),
        ("$.origins.NAME.authority", json!("a:1"), |c| shown(&mirror(c).origins[0].upstream.authority), r#""a:1""#),
        ("$.origins.NAME.path_prefix", json!("/v1"), |c| shown(&mirror(c).origins[0].path_prefix), r#""/v1""#),
        (
            "$.origins.NAME.public_url",
            json!("https://a.test/"),
            |c| shown(&mirror(c).origins[0].public_url),
            r#"Some("https://a.test")"#,
        ),
        ("$.origins.NAME.timeout", json!("1.5s"), |c| shown(mirror(c).origins[0].timeout), "1.5s"),
        (
            "$.origins.NAME.headers.NAME",
            json!({"env": "TOKEN"}),
            |c| shown(&mirror(c).origins[0].upstream.headers),
            r#"[("name", "the secret TOKEN")]"#,
        ),
        (
            "$.origins.NAME.parameters.NAME",
            json!({"env": "TOKEN"}),
            |c| shown(&mirror(c).origins[0].parameters),
            r#"["name=the%20secret%20TOKEN"]"#,
        ),
        (
            "$.origins.NAME.rate",
            json!("600/m"),
            |c| shown(mirror(c).origins[0].rate),
            "Some(Rate { requests: 600, per: 60s })",
        ),
        ("$.origins.NAME.redirects.follow", json!(1), |c| shown(mirror(c).origins[0].redirects.follow), "1"),
        (
            "$.origins.NAME.redirects.hosts.NAME",
            json!("cdn"),
            |c| shown(&mirror(c).origins[0].redirects.hosts),
            r#"[("name", "cdn")]"#,
        ),
        (
            "$.origins.NAME.redirects.others",
            json!("refuse"),
            |c| shown(mirror(c).origins[0].redirects.others),
            "Refuse",
        ),
        (
            "$.origins.NAME.missing[]",
            json!(403),
            |c| shown(&mirror(c).origins[0].missing),
            "[Missing { status: 403, content_type: None }]",
        ),
        ("$.origins.NAME.pin", json!("length"), |c| shown(mirror(c).origins[0].pin), "Length"),
        ("$.origins.NAME.http2", json!(true), |c| shown(mirror(c).origins[0].http2), "true"),
        ("$.origins.NAME.user_agent", json!("a/1"), |c| shown(&mirror(c).origins[0].user_agent), r#""a/1""#),
        ("$.rules[].prefix", json!("/a b/"), |c| shown(&c.rules[0].prefix), r#""a b/""#),
        ("$.rules[].suffixes[]", json!(".jpg"), |c| shown(&c.rules[0].suffixes), r#"[".jpg"]"#),
        ("$.rules[].methods[]", json!("HEAD"), |c| shown(&c.rules[0].methods), "[Head]"),
        ("$.rules[].mirror", json!(false), |c| shown(&c.rules[0].mirror), "None"),
        ("$.rules[].origins[]", json!("name"), |c| shown(&mirror(c).origins[0].name), r#""name""#),
        ("$.rules[].strip_prefix", json!("/"), |c| shown(&mirror(c).strip_prefix), r#""""#),
        ("$.rules[].add_prefix", json!("/a b/"), |c| shown(&mirror(c).add_prefix), r#""/a b""#),
        ("$.rules[].query[]", json!("v"), |c| shown(&mirror(c).query), r#"["v"]"#),
        ("$.rules[].request_headers[]", json!("accept"), |c| shown(&mirror(c).request_headers), r#"["accept"]"#),
        ("$.rules[].content_types[]", json!("Image/*"), |c| shown(&mirror(c).content_types), r#"["image/*"]"#),
        ("$.rules[].cache_control", json!("no-cache"), |c| shown(&mirror(c).cache_control), r#"Some("no-cache")"#),
        (
            "$.rules[].metadata",
            json!({"x-a": "a"}),
            |c| shown(mirror(c).metadata.iter().map(|kept| (&kept.header, &kept.name)).collect::<Vec<_>>()),
            r#"[("x-a", Some("a"))]"#,
        ),
        ("$.rules[].private", json!("skip"), |c| shown(mirror(c).private), "Skip"),
        ("$.rules[].guess_types", json!(true), |c| shown(mirror(c).guess_types), "true"),
        ("$.rules[].response", json!("serve"), |c| shown(mirror(c).response), "Serve"),
        ("$.rules[].on_403", json!("ignore"), |c| shown(mirror(c).on_403), "Ignore"),
        ("$.rules[].on_head", json!("origin"), |c| shown(mirror(c).on_head), "Origin"),
        ("$.rules[].too_large", json!("error"), |c| shown(mirror(c).too_large), "Error"),
        ("$.rules[].on_wait", json!("busy"), |c| shown(mirror(c).on_wait), "Busy"),
        ("$.rules[].on_5xx", json!("origin"), |c| shown(mirror(c).on_5xx), "Origin"),
        ("$.rules[].store", json!(false), |c| shown(mirror(c).unstored), "true"),
        ("$.rules[].observe", json!(true), |c| shown(mirror(c).observe), "true"),
        ("$.location", json!("absolute"), |c| shown(&c.location), "Some(Absolute)"),
        ("$.wait", json!("1m"), |c| shown(c.wait), "60s"),
        ("$.failure_ttl", json!("2s"), |c| shown(c.failure_ttl), "2s"),
        ("$.negative_ttl", json!("0s"), |c| shown(c.negative_ttl), "0ns"),
        ("$.loop_window", json!("250ms"), |c| shown(c.loop_window), "250ms"),
        ("$.limits.part_size", json!("5MiB"), |c| shown(c.limits.part_size), "5242880"),
        ("$.limits.min_rate", json!("7KiB"), |c| shown(c.limits.min_rate), "7168"),
        ("$.limits.parts_in_flight", json!(5), |c| shown(c.limits.parts_in_flight), "5"),
        ("$.limits.memory", json!("64MiB"), |c| shown(c.limits.memory), "67108864"),
        ("$.limits.fills", json!(5), |c| shown(c.limits.fills), "5"),
        ("$.limits.queue", json!(5), |c| shown(c.limits.queue), "5"),
        ("$.limits.waiters", json!(5), |c| shown(c.limits.waiters), "5"),
        ("$.limits.max_object_size", json!("1.5KiB"), |c| shown(c.limits.max_object_size), "1536"),
        ("$.limits.streams", json!(5), |c| shown(c.limits.streams), "5"),
        ("$.limits.streams_per_key", json!(5), |c| shown(c.limits.streams_per_key), "5"),
        ("$.stream.marker", json!("m=s"), |c| shown(&c.marker), r#"Some("m=s")"#),
    ]
}

#[test]
fn each_field_alone_is_found_in_the_configuration() {
    for (path, value, seen, expected) in alone() {
        let mut config = json!({
            "bucket": {"cluster": "signer", "authority": "s3.test", "path_prefix": "/assets"},
            "origins": {"name": {"cluster": "origin", "authority": "files.test"}},
            "rules": [{}],
        });
        let before = seen(&parsed(&config));
        put(&mut config, path, value);
        assert_eq!(seen(&parsed(&config)), expected, "{path}");
        let has_one_value = ["$.rules[].origins[]", "$.rules[].strip_prefix"].contains(&path);
        assert!(has_one_value || before != expected, "{path}: {expected} is what it is without being said");
    }
}

#[test]
fn no_field_is_forgotten() {
    let tried: Vec<_> = alone().into_iter().map(|(path, ..)| path).collect();
    for field in fields() {
        let is_value = matches!(field.shape, Shape::Value { .. }) && !field.path.starts_with("$.origin.");
        assert!(!is_value || tried.contains(&field.path.as_str()), "{} is not tried alone", field.path);
    }
}

/// Puts a value at a path; a name that the user chooses is `name`, or one of those that may be chosen.
fn put(config: &mut Value, path: &str, value: Value) {
    let path = path.replace("put_headers.NAME", "put_headers.x-amz-acl");
    let names = path.strip_prefix("$.").unwrap().replace("[]", ".[]").replace("NAME", "name");
    let mut place = config;
    for name in names.split('.') {
        if name == "[]" {
            if !place.is_array() {
                *place = json!([null]);
            }
            place = &mut place[0];
        } else {
            place = &mut place[name];
        }
    }
    *place = value;
}

/// Makes a configuration of three origins and these rules, with `more` fields.
fn with_rules(rules: Value, more: Value) -> Config {
    let mut config = json!({
        "bucket": {"cluster": "signer", "authority": "s3.test", "path_prefix": "/assets"},
        "origins": {
            "a": {"cluster": "a", "authority": "a.test", "path_prefix": "/v1", "headers": {"accept": "*/*"}},
            "b": {"cluster": "b", "authority": "b.test", "public_url": "https://b.test/v2"},
            "c": {"cluster": "c", "authority": "c.test"},
        },
        "rules": rules,
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    parsed(&config)
}

/// Describes a request's result in a line: the requests to origins, the place in the store, and the client's answer.
fn told(config: &Config, method: &str, path: &str) -> String {
    match explain(config, method, path, Some("http://own.test")) {
        Explanation::Untouched { why, .. } => format!("{why:?}"),
        Explanation::Mirrored(mirrored) => {
            let fetch = mirrored.fetches.iter().map(|fetch| format!("{}{}", fetch.authority, fetch.path));
            let fetch = fetch.collect::<Vec<_>>().join(", ");
            let store = mirrored.store.map_or("nothing".to_owned(), |store| store.path);
            format!("{fetch} -> {store} -> {}", mirrored.location.as_deref().unwrap_or("headers"))
        }
    }
}

#[test]
fn fields_that_touch_one_another_do_so_as_documented() {
    let none = json!({});
    for (what, rules, more, request, expected) in [
        (
            "path_prefix, strip_prefix and add_prefix",
            json!([{"prefix": "/img/", "strip_prefix": "/img", "add_prefix": "/st atic", "origins": ["a", "b"]}]),
            &none,
            "GET /img/x/y%20z",
            "a.test/v1/st%20atic/x/y%20z, b.test/st%20atic/x/y%20z -> /assets/img/x/y%20z -> /img/x/y%20z",
        ),
        (
            "a prefix that goes on behind what is stripped",
            json!([{"prefix": "/img/big", "strip_prefix": "/img", "origins": ["c"]}]),
            &none,
            "GET /img/big.jpg",
            "c.test/big.jpg -> /assets/img/big.jpg -> /img/big.jpg",
        ),
        (
            "a key that is nothing but what is stripped",
            json!([{"prefix": "/img/", "strip_prefix": "/img", "add_prefix": "/s", "origins": ["c"]}]),
            &json!({"bucket": {"cluster": "s", "authority": "s3.test", "path_prefix": "/assets", "index": "index.html"}}),
            "GET /img/",
            "c.test/s/ -> /assets/img/index.html -> /img/",
        ),
        (
            "keys and mirror: false",
            json!([{"prefix": "/private/", "mirror": false}, {"origins": ["c"]}]),
            &none,
            "GET //private/x",
            "MirrorsNothing(0)",
        ),
        (
            "exact keys and mirror: false",
            json!([{"prefix": "/private/", "mirror": false}, {"origins": ["c"]}]),
            &json!({"bucket": {"cluster": "s", "authority": "s3.test", "path_prefix": "/assets", "keys": "exact"}}),
            "GET //private/x",
            "MirrorsNothing(0)",
        ),
        (
            "a key that is not plain, and the rule of its plain reading",
            json!([{"prefix": "/i/", "strip_prefix": "/i", "origins": ["a"]}, {"origins": ["c"]}]),
            &none,
            "GET /i%5C/x",
            "a.test/v1/x, c.test/i/x -> nothing -> headers",
        ),
        ("a path that ends in a slash, without an index", json!([{"origins": ["c"]}]), &none, "GET /blog/", "NoIndex"),
        (
            "location: absolute and an index",
            json!([{"origins": ["c"]}]),
            &json!({"bucket": {"cluster": "s", "authority": "s3.test", "path_prefix": "/assets", "exposed": "path", "index": "i"},
                    "location": "absolute"}),
            "GET /assets/",
            "c.test/ -> /assets/i -> http://s3.test/assets/i",
        ),
        (
            "prefix and suffixes",
            json!([{"prefix": "/img/", "suffixes": [".jpg", ".png"], "origins": ["a"]}, {"origins": ["c"]}]),
            &none,
            "GET /img/x.gif",
            "c.test/img/x.gif -> /assets/img/x.gif -> /img/x.gif",
        ),
        (
            "a rule that fits after one that fits",
            json!([{"suffixes": [".jpg"], "origins": ["a"]}, {"prefix": "/no/", "mirror": false}, {"origins": ["c", "b"]}]),
            &none,
            "GET /x.jpg",
            "a.test/v1/x.jpg, c.test/x.jpg, b.test/x.jpg -> /assets/x.jpg -> /x.jpg",
        ),
        (
            "mirror: false before",
            json!([{"prefix": "/x", "mirror": false}, {"origins": ["c"]}]),
            &none,
            "GET /x",
            "MirrorsNothing(0)",
        ),
        (
            "mirror: false behind",
            json!([{"origins": ["a"]}, {"prefix": "/x", "mirror": false}, {"origins": ["c"]}]),
            &none,
            "GET /x",
            "a.test/v1/x -> /assets/x -> /x",
        ),
        ("observe before", json!([{"observe": true, "origins": ["c"]}]), &none, "GET /x", "Observed(0)"),
        (
            "observe behind",
            json!([{"origins": ["a"]}, {"observe": true, "origins": ["b"]}, {"origins": ["c"]}]),
            &none,
            "GET /x",
            "a.test/v1/x -> /assets/x -> /x",
        ),
        (
            "observe and on_head: off",
            json!([{"observe": true, "on_head": "off", "origins": ["c"]}]),
            &none,
            "HEAD /x",
            "OnHeadOff(0)",
        ),
        (
            "methods and rules behind",
            json!([{"methods": ["HEAD"], "on_head": "origin", "origins": ["a"]}, {"origins": ["c"]}]),
            &none,
            "HEAD /x",
            "a.test/v1/x, c.test/x -> nothing -> headers",
        ),
        (
            "methods that are not the request's",
            json!([{"methods": ["HEAD"], "mirror": false}, {"origins": ["c"]}]),
            &none,
            "GET /x",
            "c.test/x -> /assets/x -> /x",
        ),
        ("no rule that fits", json!([{"methods": ["GET"], "origins": ["c"]}]), &none, "HEAD /x", "NoRule"),
        (
            "on_head and response",
            json!([{"on_head": "origin", "response": "origin", "origins": ["b"]}]),
            &none,
            "HEAD /x",
            "b.test/x -> nothing -> headers",
        ),
        (
            "response: origin and the second origin's public_url",
            json!([{"response": "origin", "prefix": "/i/", "strip_prefix": "/i", "query": ["v"], "origins": ["a", "b"]}]),
            &none,
            "GET /i/x?v=1&w=2",
            "a.test/v1/x?v=1, b.test/x?v=1 -> /assets/i/x -> https://b.test/v2/x?v=1",
        ),
        (
            "the query of each rule",
            json!([{"query": ["v"], "origins": ["a"]}, {"query": ["w"], "origins": ["b"]}, {"origins": ["c"]}]),
            &none,
            "GET /x?w=2&v=1&%76=3&other",
            "a.test/v1/x?v=1&%76=3, b.test/x?w=2, c.test/x -> /assets/x -> /x?w=2&v=1&%76=3&other",
        ),
        (
            "exposed: path and location: absolute",
            json!([{"origins": ["a"]}]),
            &json!({"bucket": {"cluster": "s", "authority": "s3.test", "path_prefix": "/assets", "exposed": "path"},
                    "location": "absolute"}),
            "GET /assets/x?v",
            "a.test/v1/x -> /assets/x -> http://s3.test/assets/x?v",
        ),
        (
            "a location of its own and a key with a slash in front",
            json!([{"origins": ["a"]}]),
            &json!({"location": "https://cdn.test/base/",
                    "bucket": {"cluster": "s", "authority": "s3.test", "path_prefix": "/assets", "keys": "exact"}}),
            "GET //x",
            "a.test/v1//x -> /assets//x -> https://cdn.test/base//x",
        ),
        (
            "no path_prefix: a virtual-hosted bucket",
            json!([{"origins": ["c"]}]),
            &json!({"bucket": {"cluster": "s", "authority": "assets.s3.test"}}),
            "GET /x",
            "c.test/x -> /x -> /x",
        ),
    ] {
        let (method, path) = request.split_once(' ').unwrap();
        assert_eq!(told(&with_rules(rules, more.clone()), method, path), expected, "{what}");
    }
}

#[test]
fn a_header_of_the_configuration_stands_before_one_of_the_client() {
    let config = with_rules(json!([{"request_headers": ["accept", "accept-language"], "origins": ["a"]}]), json!({}));
    let Explanation::Mirrored(mirrored) = explain(&config, "GET", "/x", None) else { panic!("it is mirrored") };
    assert_eq!(mirrored.fetches[0].headers, ["accept"]);
}

/// Makes whole segments, as in a prefix.
fn segments() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b c", "%41", "..a", "ä", "a+b?", "\\"]);
    prop::collection::vec(segment, 0..3).prop_map(|segments| segments.iter().map(|s| format!("/{s}")).collect())
}

/// Makes bytes of a path behind its first slash, with many that are special somewhere.
fn key_bytes() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(b"/.%\\?#;:@+ ~a\xc3\xa4".to_vec());
    prop::collection::vec(prop_oneof![3 => special, 1 => any::<u8>()], 0..24)
}

/// Spells the bytes as a path. `choices` decide which bytes are percent-encoded without need.
fn spelled(bytes: &[u8], choices: &[u8]) -> String {
    let spell = |(at, byte): (usize, &u8)| match choices.get(at % choices.len().max(1)).copied().unwrap_or_default() % 3
    {
        0 if byte.is_ascii_graphic() && !b"%?#".contains(byte) => char::from(*byte).to_string(),
        1 => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().enumerate().map(spell).collect()
}

proptest! {
    #[test]
    fn every_request_has_an_explanation(method in "GET|HEAD|PUT|\\PC{0,4}", path in "\\PC{0,40}") {
        let config = with_rules(json!([{"prefix": "/a/", "strip_prefix": "/a", "origins": ["a"]}, {"origins": ["b"]}]), json!({}));
        explain(&config, &method, &path, None);
    }

    #[test]
    fn a_path_leads_to_the_same_however_it_is_encoded_and_never_out_of_its_prefix(
        bytes in key_bytes(),
        choices in prop::collection::vec(any::<u8>(), 1..24),
        others in prop::collection::vec(any::<u8>(), 1..24),
        (stripped, added) in (segments(), segments()),
    ) {
        let rule = json!({
            "prefix": format!("{stripped}/"), "strip_prefix": format!("{stripped}/"), "add_prefix": format!("{added}/"),
            "origins": ["a", "b"],
        });
        let bucket = json!({"cluster": "s", "authority": "s3.test", "path_prefix": "/assets", "keys": "exact"});
        let config = with_rules(json!([rule]), json!({"bucket": bucket}));
        let key = [stripped.trim_start_matches('/').as_bytes(), if stripped.is_empty() { b"" } else { b"/" }, &bytes].concat();
        let explained = |choices: &[u8]| explain(&config, "GET", &format!("/{}", spelled(&key, choices)), None);
        prop_assert_eq!(explained(&choices), explained(&others));

        let Explanation::Mirrored(mirrored) = explained(&choices) else { return Ok(()) };
        prop_assert_eq!(mirrored.target.key.as_str().as_bytes(), key.as_slice());
        let under = |url: &str, prefix: &str| {
            // A usual reader takes dot segments away.
            let read = Url::parse(url).unwrap();
            read.as_str() == url && read.path().starts_with(&format!("{prefix}/")) && read.query().is_none()
        };
        let added = Url::parse(&format!("http://a.test{}", encoded(&added))).unwrap().path().trim_end_matches('/').to_owned();
        for (fetch, path_prefix) in mirrored.fetches.iter().zip(["/v1", ""]) {
            let url = format!("http://{}{}", fetch.authority, fetch.path);
            prop_assert!(under(&url, &format!("{path_prefix}{added}")), "{url}");
        }
        let store = mirrored.store.unwrap();
        prop_assert!(under(&format!("http://{}{}", store.authority, store.path), "/assets"), "{}", store.path);
        let public = mirrored.public_location.unwrap();
        prop_assert!(under(&public, &format!("/v2{added}")), "{public}");
    }
}

/// Percent-encodes every byte but letters, digits and slashes, except those that AWS leaves bare.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'/' | b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
