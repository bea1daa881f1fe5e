use super::*;
use crate::config::model::{DEFAULT_TIMEOUT, GIB, MIB};
use crate::config::rule::{Mirror, On5xx, On403, OnHead, OnWait, Private, ResponseMode, TooLarge};
use crate::http::Method;
use crate::object::key::Spellings;
use serde_json::{Value, json};
use std::time::Duration;

const SMALLEST: &str = r#"{"bucket": {"cluster": "signer", "authority": "s3.eu-west-1.amazonaws.com", "path_prefix": "/my-bucket"},
                           "origin": {"cluster": "origin", "authority": "files.example.com"}}"#;

fn parse(config: &Value) -> Result<Config, Vec<String>> {
    let env = |name: &str| (name == "LEGACY_TOKEN").then(|| "Bearer s3cr3t".to_owned());
    Config::parse(config.to_string().as_bytes(), &env).map_err(|all| all.iter().map(Problem::to_string).collect())
}

fn smallest() -> Value {
    serde_json::from_str(SMALLEST).unwrap()
}

/// Makes the smallest configuration, with one value set at a path of names.
fn with(path: &[&str], value: Value) -> Value {
    let mut config = smallest();
    let mut place = &mut config;
    for name in path {
        place = &mut place[name];
    }
    *place = value;
    config
}

#[test]
fn the_smallest_configuration_mirrors_everything_from_one_origin() {
    let config = parse(&smallest()).unwrap();
    assert_eq!(config.bucket.path_prefix, "/my-bucket");
    assert_eq!(config.bucket.exposed, Exposed::Root);
    assert_eq!(config.wait, Duration::from_secs(25));
    assert_eq!(config.limits, Limits::default());
    let [rule] = config.rules.as_slice() else { panic!("one rule") };
    let mirror = rule.mirror.as_ref().unwrap();
    assert_eq!((rule.prefix.as_str(), mirror.on_403, mirror.too_large), ("", On403::Check, TooLarge::Origin));
    assert_eq!(mirror.origins[0].upstream.authority, "files.example.com");
}

#[test]
fn the_long_form_is_read_field_by_field() {
    let config = parse(&json!({
        "bucket": {"cluster": "signer", "authority": "minio:9000", "path_prefix": "/assets", "exposed": "path"},
        "origins": {
            "legacy": {"cluster": "legacy", "authority": "files.example.com", "path_prefix": "/v1",
                       "public_url": "https://files.example.com/v1/", "timeout": "10s",
                       "headers": {"authorization": {"env": "LEGACY_TOKEN"}, "referer": "https://www.example.com/"}},
            "backup": {"cluster": "backup", "authority": "backup.example.com"}},
        "rules": [{"prefix": "/img/", "origins": ["legacy", "backup"], "on_403": "miss", "too_large": "error"},
                  {"prefix": "/private/", "mirror": false},
                  {"origins": ["backup"], "mirror": true}],
        "location": "https://cdn.example.com/",
        "wait": "5s", "failure_ttl": "2s", "negative_ttl": "0s", "loop_window": "1m",
        "limits": {"part_size": "16MiB", "parts_in_flight": 2, "memory": "32MiB", "fills": 8, "queue": 0, "waiters": 9, "max_object_size": "1GiB", "min_rate": "8KiB",
                   "streams": 8, "streams_per_key": 3},
        "stream": {"marker": "m=s"},
    }))
    .unwrap();
    assert_eq!(config.bucket.exposed, Exposed::Path);
    assert_eq!(config.location, Some(Location::Base("https://cdn.example.com".to_owned())));
    assert_eq!(config.wait, Duration::from_secs(5));
    assert_eq!((config.failure_ttl, config.negative_ttl), (Duration::from_secs(2), Duration::ZERO));
    assert_eq!(config.loop_window, Duration::from_secs(60));
    let limits = Limits {
        first_range: 65_537,
        part_size: 16 * MIB,
        fills: 8,
        queue: 0,
        waiters: 9,
        memory: 32 * MIB,
        parts_in_flight: 2,
        min_rate: 8 * 1024,
        max_object_size: GIB,
        streams: 8,
        streams_per_key: 3,
    };
    assert_eq!((config.limits, config.marker.as_deref()), (limits, Some("m=s")));
    let [images, private, rest] = config.rules.as_slice() else { panic!("three rules") };
    assert_eq!((images.prefix.as_str(), private.prefix.as_str(), rest.prefix.as_str()), ("img/", "private/", ""));
    assert_eq!(private.mirror, None);
    let images = images.mirror.as_ref().unwrap();
    assert_eq!((images.on_403, images.too_large), (On403::Miss, TooLarge::Error));
    assert_eq!(images.origins[0].public_url.as_deref(), Some("https://files.example.com/v1"));
    let [legacy, backup] = images.origins.as_slice() else { panic!("two origins") };
    assert_eq!((legacy.path_prefix.as_str(), legacy.timeout), ("/v1", Duration::from_secs(10)));
    assert_eq!(
        legacy.upstream.headers,
        [
            ("authorization".to_owned(), "Bearer s3cr3t".to_owned()),
            ("referer".to_owned(), "https://www.example.com/".to_owned())
        ]
    );
    assert_eq!((backup.name.as_str(), backup.timeout), ("backup", DEFAULT_TIMEOUT));
}

#[test]
fn every_field_of_a_rule_a_bucket_and_an_origin_is_read() {
    let config = parse(&json!({
        "bucket": {"cluster": "signer", "authority": "s3.test", "storage_class": "STANDARD_IA", "if_none_match": false,
                   "put_headers": {"x-amz-acl": "bucket-owner-full-control"}},
        "origin": {"cluster": "origin", "authority": "files.test", "public_url": "https://files.test",
                   "missing": [403, {"status": 200, "content_type": "Text/*"}],
                   "redirects": {"follow": 1, "hosts": {"cdn.test": "cdn"}, "others": "refuse"}},
        "rules": [{"prefix": "/img/", "suffixes": [".jpg"], "methods": ["HEAD"], "strip_prefix": "/img/", "add_prefix": "/static/",
                   "query": ["v"], "request_headers": ["accept-language"], "content_types": ["Image/*", "text/css"],
                   "cache_control": "no-cache", "response": "origin", "on_403": "ignore", "on_head": "origin",
                   "too_large": "error", "private": "skip", "observe": true},
                  {}],
    }))
    .unwrap();
    assert_eq!(config.bucket.storage_class.as_deref(), Some("STANDARD_IA"));
    assert_eq!(config.bucket.overwrite, Overwrite::HeadFirst);
    assert_eq!(config.bucket.put_headers, [("x-amz-acl", "bucket-owner-full-control".to_owned())]);
    let [images, rest] = config.rules.as_slice() else { panic!("two rules") };
    assert_eq!(
        (images.suffixes.as_slice(), images.methods.as_slice()),
        (&[".jpg".to_owned()][..], &[Method::Head][..])
    );
    let origins = config.rules[1].mirror.as_ref().unwrap().origins.clone();
    let hosts = vec![("cdn.test".to_owned(), "cdn".to_owned())];
    assert_eq!(origins[0].redirects, Redirects { follow: 1, hosts, others: OtherRedirects::Refuse });
    let missing =
        |status, content_type: Option<&str>| Missing { status, content_type: content_type.map(str::to_owned) };
    assert_eq!(origins[0].missing, [missing(403, None), missing(200, Some("text/*"))]);
    let mirror = Mirror {
        origins: origins.clone(),
        strip_prefix: "/img".to_owned(),
        add_prefix: "/static".to_owned(),
        query: vec!["v".to_owned()],
        request_headers: vec!["accept-language".to_owned()],
        content_types: vec!["image/*".to_owned(), "text/css".to_owned()],
        cache_control: Some("no-cache".to_owned()),
        metadata: Vec::new(),
        private: Private::Skip,
        guess_types: false,
        response: ResponseMode::Origin,
        on_403: On403::Ignore,
        on_head: OnHead::Origin,
        too_large: TooLarge::Error,
        on_wait: OnWait::Origin,
        on_5xx: On5xx::Pass,
        observe: true,
        unstored: false,
    };
    assert_eq!(**images.mirror.as_ref().unwrap(), mirror);
    assert_eq!(**rest.mirror.as_ref().unwrap(), Mirror { origins, ..Mirror::default() });
}

#[test]
fn parameters_are_encoded_one_by_one_or_taken_as_a_whole_from_one_variable() {
    let env = |name: &str| match name {
        "SAS" => Some("?sv=2024-11-04&sr=c&sig=a%2Bb%3D".to_owned()),
        "SIGNATURE" => Some("a+b=".to_owned()),
        "BROKEN" => Some("sig=s3cr3t of mine".to_owned()),
        _ => None,
    };
    let parameters = |parameters: serde_json::Value| {
        let config = json!({"bucket": {"cluster": "signer", "authority": "s3.test"},
                            "origin": {"cluster": "origin", "authority": "a.test", "parameters": parameters}});
        let config = Config::parse(config.to_string().as_bytes(), &env).map_err(|problems| problems[0].to_string())?;
        Ok::<_, String>(config.rules[0].mirror.as_ref().unwrap().origins[0].parameters.clone())
    };
    assert_eq!(parameters(json!({"env": "SAS"})).unwrap(), ["sv=2024-11-04", "sr=c", "sig=a%2Bb%3D"]);
    let one_by_one = json!({"sig": {"env": "SIGNATURE"}, "sv": "2024-11-04", "a b": "ü".escape_unicode().to_string()});
    assert_eq!(parameters(one_by_one).unwrap(), ["a%20b=%5Cu%7Bfc%7D", "sig=a%2Bb%3D", "sv=2024-11-04"]);
    // Beside another one, `env` is a name like any other.
    assert_eq!(parameters(json!({"env": "SAS", "v": "1"})).unwrap(), ["env=SAS", "v=1"]);
    for (wrong, place) in [
        (json!({"env": "NONE"}), "$.origin.parameters.env: the VM has no"),
        (json!({"env": "BROKEN"}), "$.origin.parameters.env: the environment variable BROKEN is no encoded query"),
        (json!({"sig": {"env": "NONE"}}), "$.origin.parameters.sig: the VM has no"),
        (json!({"sig": 1}), "$.origin.parameters.sig: expected"),
        (json!("s3cr3t"), "$.origin.parameters: is not allowed; expected a JSON object"),
    ] {
        let problem = parameters(wrong).unwrap_err();
        assert!(problem.starts_with(place) && !problem.contains("s3cr3t"), "{problem}");
    }
}

#[test]
fn user_metadata_is_kept_by_a_list_or_a_mapping() {
    let kept = |metadata: serde_json::Value| {
        let config = json!({"bucket": {"cluster": "signer", "authority": "s3.test"},
                            "origin": {"cluster": "origin", "authority": "a.test"}, "rules": [{"metadata": metadata}]});
        let config = Config::parse(config.to_string().as_bytes(), &|_| None).ok()?;
        let kept = config.rules[0].mirror.as_ref().unwrap().metadata.clone();
        Some(kept.into_iter().map(|kept| (kept.header, kept.name)).collect::<Vec<_>>())
    };
    let named = |header: &str| (header.to_owned(), Some("owner".to_owned()));
    let owner = ["x-amz-meta-owner", "x-goog-meta-owner", "x-ms-meta-owner"].map(named);
    assert_eq!(kept(json!(["owner"])).unwrap(), owner);
    let all = ["x-amz-meta-", "x-goog-meta-", "x-ms-meta-"].map(|prefix| (prefix.to_owned(), None));
    assert_eq!(kept(json!(["*"])).unwrap(), all);
    assert_eq!(kept(json!({"x-ms-meta-owned_by": "owner"})).unwrap(), [named("x-ms-meta-owned_by")]);
    for wrong in [
        json!([]),
        json!({}),
        json!("*"),
        json!(["Owner"]),
        json!(["owned_by"]),
        json!(["mirror-url"]),
        json!([""]),
        json!(["snowball-auto-extract"]),
        json!({"X-A": "a"}),
        json!({"x-a": "*"}),
        json!({"x-a": "mirror-etag"}),
        json!({"range": "range"}),
        json!([1]),
    ] {
        assert_eq!(kept(wrong.clone()), None, "{wrong}");
    }
}

#[test]
fn what_forbids_to_overwrite_is_a_condition_a_header_or_nothing() {
    for (value, overwrite) in [
        (json!(true), Overwrite::Conditional),
        (json!(false), Overwrite::HeadFirst),
        (json!("x-oss-forbid-overwrite"), Overwrite::Forbidden("x-oss-forbid-overwrite")),
    ] {
        assert_eq!(parse(&with(&["bucket", "if_none_match"], value)).unwrap().bucket.overwrite, overwrite);
    }
}

#[test]
fn a_location_is_a_path_unless_it_is_absolute_or_has_a_base() {
    assert_eq!(parse(&smallest()).unwrap().location, None);
    assert_eq!(parse(&with(&["location"], json!("absolute"))).unwrap().location, Some(Location::Absolute));
    assert_eq!(parse(&with(&["location"], json!("distinct"))).unwrap().location, Some(Location::Distinct));
    let problems = parse(&with(&["location"], json!("relative"))).unwrap_err();
    assert!(
        problems[0].starts_with("$.location: \"relative\" is not allowed; expected \"absolute\", \"distinct\", or "),
        "{problems:?}"
    );
}

#[test]
fn every_problem_is_reported_at_once_with_its_path_the_value_and_what_is_allowed() {
    let problems = parse(&json!({
        "bucket": {"cluster": "", "authority": "http://minio:9000/", "exposed": "both", "versioning": true},
        "origin": {"authority": "files.example.com", "timeout": 10, "headers": {"Range": "bytes=0-1", "x-token": {"env": "NONE"}}},
        "wait": "soon",
        "limits": {"part_size": "1MiB", "fills": 0},
        "negative": 1,
    }))
    .unwrap_err();
    assert_eq!(
        problems,
        [
            "$.bucket.cluster: \"\" is not allowed; expected a non-empty string",
            "$.bucket.authority: \"http://minio:9000/\" is not allowed; expected \"host\" or \"host:port\", without a scheme or path",
            "$.bucket.exposed: \"both\" is not allowed; expected \"root\" (clients write /KEY) or \"path\" (clients write /BUCKET/KEY)",
            "$.bucket.versioning: is not a field; allowed here: authority, cluster, deleted, exposed, if_none_match, index, keys, path_prefix, put_headers, storage_class",
            "$.origin.cluster: is missing",
            "$.origin.timeout: 10 is not allowed; expected a duration from \"1ms\" to \"10m\"",
            "$.origin.headers.Range: is not allowed; expected a lower-case header name that a fill does not set itself",
            "$.origin.headers.x-token: the VM has no environment variable NONE: list it in vm_config.environment_variables",
            "$.wait: \"soon\" is not allowed; expected a duration from \"1ms\" to \"1h\"",
            "$.limits.part_size: \"1MiB\" is not allowed; expected a size from \"5MiB\" to \"32MiB\"",
            "$.limits.fills: 0 is not allowed; expected a whole number from 1 to 10000",
            "$.negative: is not a field; allowed here: bucket, failure_ttl, limits, location, loop_window, negative_ttl, origin, origins, rules, stream, wait",
        ]
    );
}

#[test]
fn each_wrong_value_is_one_problem_at_its_own_path() {
    for (config, path) in [
        (with(&["bucket"], Value::Null), "$.bucket"),
        (with(&["bucket", "path_prefix"], json!("my-bucket")), "$.bucket.path_prefix"),
        (with(&["bucket", "path_prefix"], json!("/a/../b")), "$.bucket.path_prefix"),
        (with(&["origin", "public_url"], json!("files.example.com")), "$.origin.public_url"),
        (with(&["origin", "headers"], json!({"x-a": "b\r\nc: d"})), "$.origin.headers.x-a"),
        (with(&["origin", "headers"], json!({"host": "a"})), "$.origin.headers.host"),
        (with(&["origin", "headers"], json!([])), "$.origin.headers"),
        (with(&["origins"], json!({})), "$.origin"),
        (with(&["rules"], json!([])), "$.rules"),
        (with(&["rules"], json!({})), "$.rules"),
        (with(&["rules"], json!([{"prefix": "img/"}])), "$.rules[0].prefix"),
        (with(&["rules"], json!([{}, {"origins": ["other"]}])), "$.rules[1].origins[0]"),
        (with(&["rules"], json!([{"origins": []}])), "$.rules[0].origins"),
        (with(&["rules"], json!([{"mirror": false, "on_403": "miss"}])), "$.rules[0].on_403"),
        (with(&["rules"], json!([{"on_403": "maybe"}])), "$.rules[0].on_403"),
        (with(&["bucket", "if_none_match"], json!("if-none-match")), "$.bucket.if_none_match"),
        (with(&["bucket", "storage_class"], json!("")), "$.bucket.storage_class"),
        (with(&["origin", "redirects"], json!({"follow": 4})), "$.origin.redirects.follow"),
        (with(&["origin", "redirects"], json!({"hosts": {"https://a": "a"}})), "$.origin.redirects.hosts.https://a"),
        (with(&["origin", "redirects"], json!({"hosts": {"a.test": ""}})), "$.origin.redirects.hosts.a.test"),
        (with(&["rules"], json!([{"suffixes": []}])), "$.rules[0].suffixes"),
        (with(&["rules"], json!([{"suffixes": [""]}])), "$.rules[0].suffixes[0]"),
        (with(&["rules"], json!([{"methods": ["PUT"]}])), "$.rules[0].methods[0]"),
        (with(&["rules"], json!([{"prefix": "/img/", "strip_prefix": "/im"}])), "$.rules[0].strip_prefix"),
        (with(&["rules"], json!([{"prefix": "/img", "strip_prefix": "/img"}])), "$.rules[0].strip_prefix"),
        (with(&["rules"], json!([{"strip_prefix": "/img"}])), "$.rules[0].strip_prefix"),
        (with(&["rules"], json!([{"add_prefix": "/a/../b"}])), "$.rules[0].add_prefix"),
        (with(&["rules"], json!([{"add_prefix": "a"}])), "$.rules[0].add_prefix"),
        (with(&["rules"], json!([{"request_headers": ["cookie"]}])), "$.rules[0].request_headers[0]"),
        (with(&["rules"], json!([{"request_headers": ["x-envoy-original-path"]}])), "$.rules[0].request_headers[0]"),
        (with(&["rules"], json!([{"request_headers": ["range"]}])), "$.rules[0].request_headers[0]"),
        (with(&["rules"], json!([{"content_types": ["image"]}])), "$.rules[0].content_types[0]"),
        (with(&["rules"], json!([{"content_types": ["image/png; q=1"]}])), "$.rules[0].content_types[0]"),
        (with(&["rules"], json!([{"content_types": ["*/*"]}])), "$.rules[0].content_types[0]"),
        (with(&["rules"], json!([{"cache_control": "a\r\nb: c"}])), "$.rules[0].cache_control"),
        (with(&["rules"], json!([{"response": "proxy"}])), "$.rules[0].response"),
        (with(&["rules"], json!([{"response": "origin"}])), "$.rules[0].response"),
        (with(&["rules"], json!([{"on_head": true}])), "$.rules[0].on_head"),
        (with(&["rules"], json!([{"observe": "yes"}])), "$.rules[0].observe"),
        (with(&["location"], json!("/cdn")), "$.location"),
        (with(&["limits", "queue"], json!(-1)), "$.limits.queue"),
        (with(&["limits", "parts_in_flight"], json!(17)), "$.limits.parts_in_flight"),
        (with(&["limits"], json!({"memory": "5MiB"})), "$.limits.memory"),
        (with(&["limits", "max_object_size"], json!("49TiB")), "$.limits.max_object_size"),
    ] {
        let problems = parse(&config).unwrap_err();
        assert_eq!(problems.len(), 1, "{config}: {problems:?}");
        assert!(problems[0].starts_with(&format!("{path}: ")), "{config}: {problems:?}");
    }
}

#[test]
fn a_secret_never_stands_in_a_problem() {
    for (config, path) in [
        (with(&["origin", "headers"], json!({"authorization": ["Bearer s3cr3t"]})), "$.origin.headers.authorization"),
        (with(&["origin", "headers"], json!({"x": "s3cr3t\u{e4}"})), "$.origin.headers.x"),
        (with(&["origin", "headers"], json!("authorization: Bearer s3cr3t")), "$.origin.headers"),
        (with(&["origin", "headers"], json!(["authorization: Bearer s3cr3t"])), "$.origin.headers"),
        (with(&["origin", "authority"], json!("user:s3cr3t@files.test")), "$.origin.authority"),
        (with(&["origin", "public_url"], json!("https://user:s3cr3t@files.test")), "$.origin.public_url"),
        (with(&["location"], json!("https://user:s3cr3t@files.test")), "$.location"),
    ] {
        let problems = parse(&config).unwrap_err().join("\n");
        assert!(problems.starts_with(&format!("{path}: ")), "{problems}");
        assert!(!problems.contains("s3cr3t"), "{problems}");
    }
}

#[test]
fn what_is_not_json_is_said_so() {
    for garbage in [&b""[..], b"{", b"\xff\xfe", b"{\"bucket\": }"] {
        let problems = Config::parse(garbage, &|_| None).unwrap_err();
        assert!(problems[0].to_string().starts_with("$: is not JSON: "), "{problems:?}");
    }
    assert_eq!(parse(&json!([])).unwrap_err()[0], "$: a list is not allowed; expected a JSON object");
}

#[test]
fn a_secret_that_cannot_be_a_header_is_a_problem() {
    let config = with(&["origin", "headers"], json!({"x-token": {"env": "TOKEN"}}));
    for wrong in ["", "s3cr3t\r\nx-evil: 1", "s3cr\u{e9}t"] {
        let problems = Config::parse(config.to_string().as_bytes(), &|_| Some(wrong.to_owned())).unwrap_err();
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["$.origin.headers.x-token: the environment variable TOKEN is empty or not visible ASCII"],
            "{wrong:?}"
        );
    }
}

#[test]
fn a_rule_that_mirrors_nothing_ends_what_is_tried_for_either_spelling_of_a_key() {
    let rules = json!([{"prefix": "/a/"}, {"prefix": "/a/b/", "mirror": false}, {"prefix": "/"}]);
    let config = parse(&with(&["rules"], rules)).unwrap();
    for (deciding, other, tried) in
        [("a/b/c", "a/b/c", 1), ("a/b/c", "a/x", 1), ("a/x", "a/b/c", 1), ("a/x", "a/x", 2), ("x", "x", 1)]
    {
        let chain = rule::chain(&config.rules, Method::Get, Spellings { deciding, other });
        assert_eq!(chain.len(), tried, "{deciding} {other}");
    }
}
