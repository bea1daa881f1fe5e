//! The plugin's reading of its configuration, and its log lines about that.

use proptest::prelude::*;
use serde_json::json;

use crate::host::{Envoy, SECRET};
use crate::steps::{
    LONG, NO_SUCH_KEY, PATH, answer, configured, denial, envoy_with, expect_call, fails_each_time, is, miss, result,
};

#[test]
fn every_problem_is_logged_at_once() {
    let configuration = configured(json!({
        "bucket": {"cluster": null, "exposed": "both"},
        "origin": {"timeout": "soon", "public_url": "files.test"},
        "rules": [{"on_403": "maybe"}],
        "limits": {"fills": 0},
        "negative": 1,
    }));
    let logs = Envoy::try_start(configuration).unwrap_err();
    let places: Vec<&str> = logs
        .iter()
        .filter_map(|line| line.strip_prefix("error: configuration: ")?.split_once(": "))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        places,
        [
            "$.bucket.cluster",
            "$.bucket.exposed",
            "$.origin.public_url",
            "$.origin.timeout",
            "$.rules[0].on_403",
            "$.limits.fills",
            "$.negative"
        ]
    );
    assert_eq!(places.len(), logs.len(), "and nothing else is: {logs:?}");
}

#[test]
fn a_refused_secret_is_not_logged() {
    // The host looks for it in every line.
    for headers in [
        json!({"Authorization": format!("Bearer {SECRET}")}),
        json!({"authorization": [format!("Bearer {SECRET}")]}),
        json!({"authorization": format!("Bearer\n{SECRET}")}),
        json!({"authorization": {"env": "NO_SUCH_VARIABLE", "else": SECRET}}),
        json!({"authorization": {"value": SECRET}}),
    ] {
        let logs = Envoy::try_start(configured(json!({"origin": {"headers": headers}}))).unwrap_err();
        assert!(logs.iter().all(|line| line.starts_with("error: configuration: $.origin.headers.")), "{logs:?}");
    }
}

#[test]
fn secrets_are_sent_to_the_origin_they_are_for_and_to_nobody_else() {
    let secret = format!("Bearer {SECRET}");
    let path = std::env::var("PATH").unwrap();
    let mut envoy = envoy_with(json!({
        "origin": {"headers": {"authorization": &secret, "x-of-the-environment": {"env": "PATH"}},
                   "parameters": {"sig": SECRET, "sv": "1"}},
        "rules": [{"metadata": ["*"]}],
    }));
    let client = envoy.get(PATH);
    denial(client);
    let head = expect_call(&mut envoy, "HEAD signer /assets/img/a.jpg");
    assert_eq!(head.headers.len(), 3, "{:?}", head.headers);
    envoy.respond(head, 404, &[], "");
    let get = expect_call(&mut envoy, &format!("GET origin /img/a.jpg?sig={SECRET}&sv=1"));
    assert_eq!(get.header("authorization"), Some(secret.as_str()));
    assert_eq!(get.header("x-of-the-environment"), Some(path.as_str()));
    envoy.respond(get, 200, &[("content-length", "0"), ("x-ms-meta-owned_by", "a")], "");
    let put = expect_call(&mut envoy, "PUT signer /assets/img/a.jpg");
    assert_eq!((put.header("authorization"), put.header("x-of-the-environment")), (None, None));
    assert_eq!(put.header("x-amz-meta-mirror-url"), Some("//files.test/img/a.jpg"));
    assert_eq!(put.header("x-amz-meta-owned-by"), Some("a"));
    envoy.respond(put, 403, &[], "");
    let answer = answer(client);
    assert_eq!(answer.header("authorization"), None);
    assert!(!format!("{answer:?}").contains(SECRET));
}

#[test]
fn what_an_origin_says_is_not_logged() {
    for (status, content_range) in [(401, ""), (500, ""), (206, "bytes 9-8/s3cr3t")] {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.get(&format!("{PATH}?x-amz-signature={SECRET}"));
        miss(client);
        let headers = [("content-range", content_range), ("location", "/?s3cr3t"), ("www-authenticate", SECRET)];
        fails_each_time(&mut envoy, client, |envoy, get| envoy.respond(get, status, &headers, SECRET));
        let ended = |line: &String| line.starts_with("info: fill key=/img/a.jpg outcome=origin_");
        assert!(envoy.logs().iter().any(ended), "{:?}", envoy.logs());
    }
}

#[test]
fn a_plugin_whose_configuration_was_refused_lets_everything_pass() {
    let mut envoy = Envoy::builder().start_refused("{}");
    for method in ["GET", "HEAD", "PUT"] {
        let client = envoy.request(method, "/a%62?x").send();
        assert_eq!(client.path_sent(), "/a%62?x");
        client.bucket_answers(404, &[], if method == "HEAD" { "" } else { NO_SUCH_KEY });
        assert_eq!(result(client), is(404, "none"));
    }
    envoy.advance(LONG);
    assert!(envoy.try_next_call().is_none());
    envoy.assert_idle();
}

#[test]
fn a_path_style_bucket_is_exposed_as_it_is() {
    let mut envoy = envoy_with(json!({"bucket": {"exposed": "path"}}));
    let (inside, outside) = (envoy.get("/assets/img/a.jpg?v"), envoy.get(PATH));
    miss(inside);
    miss(outside);
    assert_eq!(result(outside), is(404, "none"));
    let get = expect_call(&mut envoy, "GET origin /img/a.jpg");
    envoy.respond(get, 200, &[("content-length", "1")], "x");
    let put = expect_call(&mut envoy, "PUT signer /assets/img/a.jpg");
    envoy.respond(put, 200, &[], "");
    assert_eq!(answer(inside).header("location"), Some("/assets/img/a.jpg?v"));
}

/// Makes JSON that has the shape of a configuration here and there.
fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        "\\PC{0,12}|[0-9]{1,30}(ms|s|m|h|B|KiB|TiB)|/.{0,8}|https?://.{0,12}".prop_map(|value| json!(value)),
        prop::sample::select(vec!["signer", "origin", "s3.test", "a", "check", "path"]).prop_map(|value| json!(value)),
    ];
    let name = prop::sample::select(vec![
        "bucket",
        "origin",
        "origins",
        "rules",
        "location",
        "wait",
        "limits",
        "cluster",
        "authority",
        "path_prefix",
        "exposed",
        "public_url",
        "timeout",
        "headers",
        "env",
        "prefix",
        "mirror",
        "on_403",
        "too_large",
        "part_size",
        "fills",
        "queue",
        "memory",
        "parts_in_flight",
        "max_object_size",
        "a",
        "\u{e9}\n",
    ]);
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| json!(values)),
            prop::collection::hash_map(name.clone(), inner, 0..6).prop_map(|fields| json!(fields)),
        ]
    })
}

proptest! {
    #[test]
    fn no_configuration_panics_and_none_is_refused_without_a_reason(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            any_value().prop_map(|value| value.to_string().into_bytes()),
            any_value().prop_map(|value| configured(value).into_bytes()),
        ],
    ) {
        if let Err(logs) = Envoy::try_start(&bytes) {
            prop_assert!(!logs.is_empty() && logs.iter().all(|line| line.starts_with("error: configuration: $")), "{:?}", logs);
        }
    }
}
