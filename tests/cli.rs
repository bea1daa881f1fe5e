//! Tests of the command `mirror-on-miss`, as a user runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets the unexpected has failed"
)]

use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const SECRET: &str = "s3cr3t";

/// Exit code, standard output and standard error.
type Ended = (i32, String, String);

/// Runs the command with a text on its standard input, and one secret in its environment.
fn run(arguments: &[&str], input: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror-on-miss"));
    command.args(arguments).env("GIVEN", format!("Bearer {SECRET}")).env_remove("MISSING");
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read it has ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ended = (output.status.code().unwrap(), text(output.stdout), text(output.stderr));
    assert!(!ended.1.contains(SECRET) && !ended.2.contains(SECRET), "a secret in {ended:?}");
    ended
}

fn long_form() -> Value {
    json!({
        "bucket": {"cluster": "signer", "authority": "s3.test", "path_prefix": "/assets",
                   "put_headers": {"x-amz-acl": "bucket-owner-full-control"}},
        "origins": {
            "legacy": {
                "cluster": "legacy", "authority": "files.test", "path_prefix": "/v1", "public_url": "https://files.test/v1",
                "headers": {"authorization": {"env": "GIVEN"}, "x-token": SECRET},
                "parameters": {"sig": SECRET, "sv": "1"},
                "redirects": {"follow": 2, "hosts": {"cdn.test": "cdn"}},
                "rate": "600/m",
                "missing": [403, {"status": 200, "content_type": "text/html"}],
            },
            "backup": {"cluster": "backup", "authority": "backup.test", "timeout": "5s"},
        },
        "rules": [
            {"prefix": "/img/", "suffixes": [".jpg"], "strip_prefix": "/img", "add_prefix": "/static",
             "origins": ["legacy", "backup"], "query": ["v"], "request_headers": ["accept-language"],
             "content_types": ["image/*"], "cache_control": "no-cache", "private": "skip", "on_403": "miss",
             "metadata": {"x-ms-meta-owned_by": "owner"}},
            {"prefix": "/private/", "mirror": false},
            {"prefix": "/seen/", "origins": ["backup"], "observe": true},
            {"prefix": "/img/", "origins": ["backup"], "on_head": "off", "too_large": "error"},
            {"prefix": "/head/", "origins": ["backup"], "on_head": "origin"},
            {"prefix": "/there/", "origins": ["legacy"], "response": "origin"},
            {"prefix": "/here/", "origins": ["legacy"], "response": "serve"},
        ],
    })
}

fn explained(method: &str, path: &str) -> Value {
    let (code, output, errors) = run(&["explain", "--json", "-", method, path], &long_form().to_string());
    assert_eq!((code, errors.as_str()), (0, ""));
    serde_json::from_str(&output).unwrap()
}

#[test]
fn a_right_configuration_is_ok() {
    assert_eq!(run(&["check", "-"], &long_form().to_string()), (0, "ok\n".to_owned(), String::new()));
}

#[test]
fn every_problem_of_a_configuration_is_a_line_with_file_and_path() {
    let mut config = long_form();
    config["wait"] = json!("soon");
    config["rules"][0]["origins"][1] = json!("nobody");
    config["origins"]["legacy"]["headers"]["x-other"] = json!({"env": "MISSING"});
    let (code, output, errors) = run(&["check", "-"], &config.to_string());
    let places: Vec<_> =
        output.lines().map(|line| line.splitn(3, ": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!((code, errors.as_str()), (1, ""));
    let expected =
        ["stdin $.origins.legacy.headers.x-other", "stdin $.rules[0].origins[1]", "stdin $.wait"].map(str::to_owned);
    assert_eq!(places, expected, "{output}");
    let explained = run(&["explain", "-", "GET", "/a"], &config.to_string());
    assert_eq!((explained.0, explained.1), (1, output), "explain says the same");
}

#[test]
fn without_the_environment_missing_secrets_are_taken_as_given() {
    let mut config = long_form();
    config["origins"]["legacy"]["headers"]["x-other"] = json!({"env": "MISSING"});
    assert_eq!(run(&["check", "-"], &config.to_string()).0, 1);
    assert_eq!(run(&["check", "--without-env", "-"], &config.to_string()).1, "ok\n");
}

#[test]
fn what_cannot_be_read_is_said_with_file_and_position() {
    let (code, output, _) = run(&["check", "-"], "{\n  \"bucket\": }");
    assert_eq!(code, 1);
    assert!(output.starts_with("stdin: $: is not JSON: ") && output.contains("line 2 column 13"), "{output}");
    let (code, _, errors) = run(&["check", "-"], "a: [");
    assert_eq!(code, 2);
    assert!(
        errors.starts_with("mirror-on-miss: stdin: is neither JSON nor YAML: ") && errors.contains("line"),
        "{errors}"
    );
    let (code, _, errors) = run(&["check", "no-such-file.json"], "");
    assert!(code == 2 && errors.starts_with("mirror-on-miss: no-such-file.json: "), "{errors}");
    let (code, _, errors) = run(&["check", "-"], "name: value");
    assert!(code == 2 && errors.contains("contains no plugin configuration"), "{errors}");
}

#[test]
fn the_plugin_is_found_in_the_files_of_those_who_run_it() {
    let plugin = json!({
        "bucket": {"cluster": "signer", "authority": "s3.test"},
        "origin": {"cluster": "origin", "authority": "files.test"},
        "waits": 1,
    });
    let text = plugin.to_string();
    let string_value = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text});
    let structure = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": plugin});
    let other = json!({"name": "other", "configuration": "{}", "vm_config": {}});
    for file in [
        json!({"a": [other, {"config": {"name": "mirror_on_miss", "configuration": string_value, "vm_config": {}}}]}),
        json!({"config": {"root_id": "mirror_on_miss", "configuration": structure, "vm_config": {}}}),
        json!({"kind": "ConfigMap", "data": {"signer.yaml": "a: b", "not.yaml": "a: [", "edge.yaml":
               format!("config:\n  name: mirror_on_miss\n  vm_config: {{}}\n  configuration:\n    '@type': a\n    value: |\n      {text}\n")}}),
        json!({"kind": "WasmPlugin", "spec": {"pluginName": "mirror_on_miss", "pluginConfig": plugin}}),
        json!({"kind": "EnvoyExtensionPolicy",
               "spec": {"wasm": [{"name": "mirror_on_miss", "code": {"type": "Image"}, "config": plugin}]}}),
    ] {
        let (code, output, _) = run(&["check", "-"], &file.to_string());
        let place = "stdin: plugin mirror_on_miss: $.waits: is not a field";
        assert!(code == 1 && output.starts_with(place) && output.lines().count() == 1, "{file}: {output}");
    }
}

#[test]
fn the_shipped_configuration_is_ok() {
    for file in [
        "configuration/edge.yaml",
        "configuration/transparent.yaml",
        "kubernetes/overlays/envoy-gateway/module-file/patches.yaml",
        "kubernetes/overlays/envoy-gateway/plugin.yaml",
        "kubernetes/overlays/istio/filter.yaml",
        "kubernetes/overlays/istio-sidecar/filter.yaml",
    ] {
        let ended = run(&["check", "--without-env", "--with-examples", &format!("envoy/{file}")], "");
        assert_eq!(ended, (0, "ok\n".to_owned(), String::new()), "{file}");
    }
    let (code, output, _) = run(&["explain", "envoy/configuration/edge.yaml", "GET", "/img/a%20b.jpg"], "");
    assert_eq!(code, 0);
    assert!(output.contains("GET /img/a%20b.jpg at files.example.com"), "{output}");
}

#[test]
fn a_request_is_explained_from_its_rule_to_its_answer() {
    let explained = explained("GET", "/img/%61%20b.jpg?v=1&w=2");
    assert_eq!(explained["key"], "img/a b.jpg");
    assert_eq!(explained["bucket"], "/img/a%20b.jpg");
    assert_eq!(explained["rule"], json!({"index": 0, "prefix": "/img/"}));
    assert_eq!(explained["on_403"], "miss");
    assert_eq!(
        explained["store"],
        json!({"cluster": "signer", "authority": "s3.test", "path": "/assets/img/a%20b.jpg", "headers": ["x-amz-acl"]})
    );
    assert_eq!(
        (&explained["response"], &explained["location"]),
        (&json!("redirect"), &json!("/img/a%20b.jpg?v=1&w=2"))
    );
    assert_eq!(explained["public_location"], "https://files.test/v1/static/a%20b.jpg?v=1");
    let urls = explained["fetch"].as_array().unwrap().iter();
    let urls: Vec<_> = urls
        .map(|fetch| {
            format!("{} {} {}{}", fetch["rule"], fetch["cluster"], fetch["authority"], fetch["path"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        urls,
        [
            "0 legacy files.test/v1/static/a%20b.jpg?v=1",
            "0 backup backup.test/static/a%20b.jpg?v=1",
            "3 backup backup.test/img/a%20b.jpg",
        ]
    );
    let first = &explained["fetch"][0];
    assert_eq!(first["headers"], json!(["authorization", "x-token"]));
    assert_eq!(first["request_headers"], json!(["accept-language"]));
    assert_eq!(first["parameters"], json!(["sig", "sv"]));
    assert_eq!(first["metadata"], json!(["x-ms-meta-owned_by as x-amz-meta-owner"]));
    assert_eq!(first["redirects"], json!({"follow": 2, "hosts": {"cdn.test": "cdn"}, "others": "pass"}));
    assert_eq!(first["rate"], json!({"requests": 600, "seconds": 60}));
    assert_eq!((&first["private"], &explained["fetch"][2]["private"]), (&json!("skip"), &json!("store")));
    assert_eq!(first["missing"], json!([403, {"status": 200, "content_type": "text/html"}]));
    assert_eq!((&first["content_types"], &first["cache_control"]), (&json!(["image/*"]), &json!("no-cache")));
    assert_eq!((&first["timeout_ms"], &explained["fetch"][1]["timeout_ms"]), (&json!(20_000), &json!(5_000)));
}

#[test]
fn the_same_is_said_in_words() {
    let (code, output, _) = run(&["explain", "-", "GET", "/img/a.jpg?v=1"], &long_form().to_string());
    assert_eq!(code, 0);
    for line in [
        "key          img/a.jpg",
        "bucket       GET /img/a.jpg",
        "rule         $.rules[0], prefix /img/",
        "on 403       miss: the same as a 404",
        "fetch 1      GET /v1/static/a.jpg?v=1 at files.test, origin legacy, cluster legacy, $.rules[0], within 20s",
        "             with authorization, x-token",
        "             with the parameters sig, sv",
        "             with the client's accept-language",
        "             stored with its x-ms-meta-owned_by as x-amz-meta-owner",
        "             accepts only image/*",
        "             stored with cache-control no-cache",
        "             handed out and not stored if it says private or no-store",
        "             not there if it says 403, 200 with text/html",
        "             at most 600 requests in 60s",
        "             follows up to 2 redirects, to itself, cdn.test (cluster cdn)",
        "             redirects of its own that are not followed go to the client, as paths of this host",
        "fetch 3      GET /img/a.jpg at backup.test, origin backup, cluster backup, $.rules[3], within 5s",
        "store        PUT /assets/img/a.jpg at s3.test, cluster signer",
        "             with x-amz-acl",
        "answer       302 to /img/a.jpg?v=1, once it is stored",
        "answer       302 to https://files.test/v1/static/a.jpg?v=1 if it cannot be stored",
    ] {
        assert!(output.lines().any(|found| found == line), "no {line:?} in:\n{output}");
    }
}

#[test]
fn what_is_left_alone_is_explained_by_its_reason() {
    for (method, path, rule, why) in [
        ("PUT", "/img/a.jpg", None, "only GET and HEAD"),
        ("GET", "/img/a.jpg?versionId=1", None, "uploadId or versionId"),
        ("GET", "/", None, "key is empty"),
        ("GET", "/img/../a", None, "dot segment"),
        ("GET", "/img/%zz", None, "hexadecimal"),
        ("GET", "/img/%00", None, "control characters"),
        ("GET", "/img/%ff", None, "UTF-8"),
        ("GET", "/a#b", None, "#"),
        ("GET", "a", None, "does not begin"),
        ("GET", "/other", None, "no rule"),
        ("GET", "/private/a", Some(1), "mirror: false"),
        ("GET", "/img/", None, "bucket.index"),
        ("GET", "//private/a", Some(1), "mirror: false"),
        ("GET", "/seen/a", Some(2), "observe: true"),
        ("HEAD", "/img/a.png", Some(3), "on_head: off"),
    ] {
        let explained = explained(method, path);
        let untouched = explained["untouched"].as_str().unwrap_or_default();
        assert!(untouched.contains(why), "{method} {path}: {explained}");
        assert_eq!(explained["rule"]["index"].as_u64(), rule, "{method} {path}: {explained}");
        assert_eq!(explained["fetch"], Value::Null);
    }
}

#[test]
fn what_becomes_of_a_path_and_why_its_object_is_not_stored_is_told() {
    let read = explained("GET", "//img%5Ca.jpg");
    assert_eq!((&read["key"], &read["plain_reading"]), (&json!("/img\\a.jpg"), &json!("img/a.jpg")));
    assert_eq!((&read["store"], &read["response"]), (&Value::Null, &json!("not_stored")));
    assert_eq!((&read["rule"]["index"], &read["fetch"][0]["path"]), (&json!(0), &json!("/v1/static/a.jpg")));
    let mut config = long_form();
    config["bucket"]["index"] = json!("index.html");
    for (path, lines) in [
        (
            "/img//a.jpg",
            &[
                "key          img//a.jpg",
                "read as      img/a.jpg",
                "store        nothing: the key has an empty segment, which some servers leave out",
                "answer       200 with the object, if it fits one part",
            ][..],
        ),
        (
            "/here/",
            &[
                "key          here/index.html",
                "page         the path ends in a slash, so the key ends in bucket.index, index.html",
                "bucket       GET /here/index.html",
                "fetch 1      GET /v1/here/ at files.test, origin legacy, cluster legacy, $.rules[6], within 20s",
                "store        PUT /assets/here/index.html at s3.test, cluster signer",
                "answer       200 with the object, or 302 to /here/ if it has several parts",
            ],
        ),
    ] {
        let (code, output, _) = run(&["explain", "-", "GET", path], &config.to_string());
        assert_eq!(code, 0);
        for line in lines {
            assert!(output.lines().any(|found| found == *line), "no {line:?} in:\n{output}");
        }
    }
}

#[test]
fn each_way_to_respond_is_told() {
    let head = explained("HEAD", "/head/a");
    assert_eq!((&head["response"], &head["store"], &head["location"]), (&json!("head"), &Value::Null, &Value::Null));
    let get = explained("GET", "/head/a");
    assert_eq!((&get["response"], &get["location"]), (&json!("redirect"), &json!("/head/a")));
    assert_eq!(get["store"]["path"], "/assets/head/a");
    let there = explained("GET", "/there/a");
    assert_eq!((&there["response"], &there["location"]), (&json!("origin"), &json!("https://files.test/v1/there/a")));
    let here = explained("GET", "/here/a");
    assert_eq!((&here["response"], &here["location"]), (&json!("serve"), &json!("/here/a")));
    let too_large = run(&["explain", "-", "GET", "/img/a.png"], &long_form().to_string()).1;
    assert!(too_large.contains("502 if it cannot be stored"), "{too_large}");
}

#[test]
fn where_clients_are_passed_to_the_origin_that_is_told() {
    let config = |rule: Value| {
        let mut config = json!({
            "bucket": {"cluster": "signer", "authority": "s3.test"},
            "origin": {"cluster": "origin", "authority": "files.test"},
            "stream": {"marker": "mirror-on-miss=stream"},
        });
        config["rules"] = json!([rule]);
        config.to_string()
    };
    let late = "passed to the origin after 25s if it has several parts, else 503";
    for (rule, expected) in [
        (
            json!({}),
            &["302 to /a, once it is stored", "passed to the origin, else 502, if it cannot be stored", late][..],
        ),
        (json!({"too_large": "error"}), &["302 to /a, once it is stored", "502 if it cannot be stored", late]),
        (
            json!({"too_large": "error", "on_wait": "busy"}),
            &["302 to /a, once it is stored", "502 if it cannot be stored", "503 after 25s, while it is being stored"],
        ),
        (json!({"store": false}), &["200 with the object; passed to the origin if it has several parts", late]),
    ] {
        let read = run(&["explain", "--json", "-", "GET", "/a"], &config(rule.clone())).1;
        let response = serde_json::from_str::<Value>(&read).unwrap()["response"].clone();
        let on_wait = serde_json::from_str::<Value>(&read).unwrap()["on_wait"].clone();
        assert_eq!(on_wait, rule.get("on_wait").cloned().unwrap_or(json!("origin")));
        assert_eq!(response, if rule["store"] == json!(false) { "serve" } else { "redirect" });
        let output = run(&["explain", "-", "GET", "/a"], &config(rule)).1;
        let answers: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("answer       ")).collect();
        assert_eq!(answers, expected, "{output}");
    }
}

#[test]
fn an_absolute_location_is_that_of_the_store_by_the_scheme_of_the_request() {
    let mut config = long_form();
    config["location"] = json!("absolute");
    let location = |path: &str| run(&["explain", "-", "GET", path], &config.to_string()).1;
    let followed = "once it is stored; the edge follows it itself";
    assert!(
        location("https://cdn.test/img/a.jpg?v").contains(&format!("302 to https://s3.test/img/a.jpg?v, {followed}"))
    );
    assert!(location("/img/a.jpg").contains(&format!("302 to http://s3.test/img/a.jpg, {followed}")));
}

#[test]
fn a_distinct_location_is_explained() {
    let mut config = long_form();
    config["location"] = json!("distinct");
    let (_, explained, _) = run(&["explain", "-", "GET", "/img/a.jpg"], &config.to_string());
    assert!(explained.contains("302 to /img/a.jpg?mirror-on-miss, once it is stored"), "{explained}");
}

#[test]
fn a_wrong_call_is_explained_and_help_has_examples() {
    for (arguments, what) in [
        (&[][..], "expected check, explain, probe or warm"),
        (&["frobnicate"], "\"frobnicate\""),
        (&["check"], "no FILE"),
        (&["explain", "-", "GET", "/a", "more"], "unexpected argument \"more\""),
        (&["explain", "--with-examples", "-", "GET", "/a"], "--with-examples"),
        (&["warm"], "no URL"),
        (&["warm", "--rate", "0", "http://127.0.0.1:1/"], "--rate 0 is not allowed"),
        (&["warm", "http://127.0.0.1:1/", "a", "b"], "unexpected argument \"b\""),
        (&["check", "--json", "-"], "--json is an option of explain"),
        (&["check", "--colour", "-"], "--colour"),
        (&["explain", "-", "GET"], "explain needs METHOD and PATH"),
        (&["explain", "-", "GET", "https://cdn.test"], "a URL needs a path"),
    ] {
        let (code, output, errors) = run(arguments, "");
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
        assert!(errors.contains(what) && errors.contains("--help"), "{arguments:?}: {errors}");
    }
    let (code, help, _) = run(&["--help"], "");
    assert!(code == 0 && help.contains("mirror-on-miss check --with-examples envoy/configuration/edge.yaml"), "{help}");
    let version = concat!("mirror-on-miss ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&["--version"], "").1, version);
}

#[test]
fn variables_come_from_the_file_that_has_them() {
    let plugin = r#"
        config:
          name: mirror_on_miss
          configuration:
            "@type": type.googleapis.com/google.protobuf.StringValue
            value: |
              {"bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": {"env": "BUCKET"}},
               "origin": {"cluster": "origin", "authority": {"env": "ORIGIN"}}}
          vm_config:
            environment_variables: {key_values: {BUCKET: /files, ORIGIN: old.example.com}}
    "#;
    assert_eq!(run(&["check", "--with-examples", "-"], plugin).1, "ok\n");
    let (_, output, _) = run(&["explain", "-", "GET", "/a.jpg"], plugin);
    assert!(output.contains("GET /a.jpg at old.example.com"), "{output}");
    let wasm_plugin = r#"
        kind: WasmPlugin
        spec:
          pluginName: mirror_on_miss
          vmConfig: {env: [{name: ORIGIN, value: old.example.com}]}
          pluginConfig:
            bucket: {cluster: signer, authority: s3.example.com}
            origin: {cluster: origin, authority: {env: ORIGIN}}
    "#;
    assert_eq!(run(&["check", "--with-examples", "-"], wasm_plugin).1, "ok\n");
}
