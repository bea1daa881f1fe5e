//! Keys that servers read differently, and paths that end in a slash.

use serde_json::json;

use crate::host::{Client, Envoy};
use crate::steps::{
    NO_SUCH_KEY, OBJECT, answer, denial, envoy_with, expect_call, is, miss, origin_gives_bytes, result,
};

/// A client whose key the bucket does not have.
fn missing(envoy: &mut Envoy, path: &str) -> Client {
    let client = envoy.get(path);
    miss(client);
    client
}

#[test]
fn no_spelling_of_a_prefix_gets_round_its_rule() {
    for keys in ["plain", "exact"] {
        let rules = json!([{"prefix": "/private/", "mirror": false}, {}]);
        let mut envoy = envoy_with(json!({"bucket": {"keys": keys}, "rules": rules}));
        for path in
            ["//private/s.txt", "/private//s.txt", "/%5Cprivate/s.txt", "/private\\s.txt", "/%2Fprivate%2fs.txt"]
        {
            let client = missing(&mut envoy, path);
            assert_eq!(result(client), is(404, "none"), "{path} {keys}");
            assert!(envoy.try_next_call().is_none(), "{path} {keys}");
        }
    }
}

#[test]
fn the_object_of_a_key_that_is_not_plain_is_handed_out_and_not_stored() {
    for (path, asked) in [
        ("//p/a.jpg", "/p/a.jpg"),
        ("/p//a.jpg", "/p/a.jpg"),
        ("/p%5Ca.jpg", "/p/a.jpg"),
        (&*format!("/{}", "k".repeat(1025)), &*format!("/{}", "k".repeat(1025))),
    ] {
        let mut envoy = envoy_with(json!({}));
        let client = missing(&mut envoy, path);
        let get = expect_call(&mut envoy, &format!("GET origin {asked}"));
        origin_gives_bytes(&mut envoy, get, OBJECT);
        assert_eq!((result(client), answer(client).body.as_slice()), (is(200, "not_stored"), OBJECT), "{path}");
        envoy.assert_idle();
    }
}

#[test]
fn a_head_of_a_key_that_is_not_plain_asks_the_origin_for_the_headers() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.request("HEAD", "//p/a.jpg").send();
    miss(client);
    let head = expect_call(&mut envoy, "HEAD origin /p/a.jpg");
    envoy.respond(head, 200, &[("content-type", "image/jpeg"), ("content-length", "5")], "");
    assert_eq!((result(client), answer(client).header("content-length")), (is(200, "head"), Some("5")));
    envoy.assert_idle();
}

#[test]
fn an_object_of_several_parts_under_a_key_that_is_not_plain_is_one_that_cannot_be_stored() {
    for (public_url, expected) in [(None, 502), (Some("https://old.test/v1"), 302)] {
        let mut envoy = envoy_with(json!({"origin": {"public_url": public_url}}));
        let client = missing(&mut envoy, "//p/a.jpg");
        let get = expect_call(&mut envoy, "GET origin /p/a.jpg");
        let part = vec![0; 6 * 1024 * 1024];
        let range = [("content-range", "bytes 0-6291455/6291456000"), ("etag", "\"e\"")];
        envoy.respond(get, 206, &range, part);
        assert_eq!(result(client), is(expected, "too_large"));
        let location = public_url.map(|_| "https://old.test/v1/p/a.jpg");
        assert_eq!(answer(client).header("location"), location);
        envoy.assert_idle();
    }
}

#[test]
fn a_client_that_is_sent_to_the_origin_at_once_has_nothing_fetched_that_is_not_stored() {
    let changes = json!({"origin": {"public_url": "https://old.test"}, "rules": [{"response": "origin"}]});
    let mut envoy = envoy_with(changes);
    let client = missing(&mut envoy, "/p//a.jpg");
    assert_eq!(
        (result(client), answer(client).header("location")),
        (is(302, "origin"), Some("https://old.test/p/a.jpg"))
    );
    envoy.assert_idle();
}

#[test]
fn a_store_of_exact_keys_gets_each_spelling_as_it_is() {
    let mut envoy = envoy_with(json!({"bucket": {"keys": "exact"}}));
    for path in ["//p/a.jpg", "/p//a.jpg", "/p%5Ca.jpg", "/p/"] {
        let client = missing(&mut envoy, path);
        let get = expect_call(&mut envoy, &format!("GET origin {path}"));
        origin_gives_bytes(&mut envoy, get, OBJECT);
        let put = expect_call(&mut envoy, &format!("PUT signer /assets{path}"));
        envoy.respond(put, 200, &[], "");
        assert_eq!(result(client), is(302, "stored"), "{path}");
    }
}

#[test]
fn a_path_that_ends_in_a_slash_is_not_mirrored_without_an_index() {
    let mut envoy = envoy_with(json!({}));
    for path in ["/dir/", "/dir%2F", "/dir//", "/dir%5C"] {
        let client = missing(&mut envoy, path);
        assert_eq!((result(client), answer(client).body), (is(404, "none"), NO_SUCH_KEY.into()), "{path}");
        assert!(envoy.try_next_call().is_none(), "{path}");
    }
}

#[test]
fn a_page_is_read_and_stored_as_its_index_and_its_client_keeps_the_path() {
    let mut envoy = envoy_with(json!({"bucket": {"index": "index.html"}}));
    for (path, key, asked) in [
        ("/", "/index.html", "/"),
        ("/dir/", "/dir/index.html", "/dir/"),
        ("/dir%2fa%2f", "/dir/a/index.html", "/dir/a/"),
    ] {
        let client = envoy.get(path);
        assert_eq!(client.path_sent(), key);
        miss(client);
        let get = expect_call(&mut envoy, &format!("GET origin {asked}"));
        origin_gives_bytes(&mut envoy, get, OBJECT);
        let put = expect_call(&mut envoy, &format!("PUT signer /assets{key}"));
        envoy.respond(put, 200, &[], "");
        assert_eq!((result(client), answer(client).header("location")), (is(302, "stored"), Some(asked)), "{path}");
    }
}

#[test]
fn a_page_that_no_rule_mirrors_is_read_as_its_index_too() {
    let rules = json!([{"prefix": "/dir/", "mirror": false}, {}]);
    let mut envoy = envoy_with(json!({"bucket": {"index": "index.html"}, "rules": rules}));
    let client = envoy.get("/dir/");
    assert_eq!(client.path_sent(), "/dir/index.html");
    miss(client);
    assert_eq!(result(client), is(404, "none"));
    assert!(envoy.try_next_call().is_none());
}

#[test]
fn an_index_that_the_origin_does_not_have_is_another_object_than_the_page() {
    let mut envoy = envoy_with(json!({"bucket": {"index": "index.html"}}));
    let index = missing(&mut envoy, "/dir/index.html");
    let get = expect_call(&mut envoy, "GET origin /dir/index.html");
    envoy.respond(get, 404, &[], "");
    let page = expect_call(&mut envoy, "HEAD signer /assets/dir/index.html/index.html");
    envoy.respond(page, 404, &[], "");
    let page = expect_call(&mut envoy, "GET origin /dir/index.html/");
    envoy.respond(page, 404, &[], "");
    assert_eq!(result(index), is(404, "not_found"));
    missing(&mut envoy, "/dir/");
    expect_call(&mut envoy, "GET origin /dir/");
    envoy.advance(crate::steps::LONG);
}

#[test]
fn a_path_that_lacks_its_slash_leads_to_its_page() {
    for (head, origin, location) in [
        (200, None, Some("/dir/?v=1")),
        (404, Some(200), Some("/dir/?v=1")),
        (404, Some(404), None),
        (404, Some(403), None),
    ] {
        let mut envoy = envoy_with(json!({"bucket": {"index": "index.html"}}));
        let client = missing(&mut envoy, "/dir?v=1");
        let get = expect_call(&mut envoy, "GET origin /dir");
        envoy.respond(get, 404, &[], "");
        let looked = expect_call(&mut envoy, "HEAD signer /assets/dir/index.html");
        envoy.respond(looked, head, &[], "");
        if let Some(status) = origin {
            let get = expect_call(&mut envoy, "GET origin /dir/");
            match status {
                200 => {
                    origin_gives_bytes(&mut envoy, get, OBJECT);
                    let put = expect_call(&mut envoy, "PUT signer /assets/dir/index.html");
                    envoy.respond(put, 200, &[], "");
                }
                status => envoy.respond(get, status, &[], ""),
            }
            if status == 403 {
                // Some servers refuse ranges so.
                let whole = expect_call(&mut envoy, "GET origin /dir/");
                envoy.respond(whole, 403, &[], "");
            }
        }
        let outcome = if location.is_some() { is(302, "exists") } else { is(404, "not_found") };
        assert_eq!((result(client), answer(client).header("location")), (outcome, location), "{head} {origin:?}");
        envoy.assert_idle();
    }
}

#[test]
fn a_redirect_to_a_page_differs_from_its_path_by_the_slash_alone() {
    let mut envoy = envoy_with(json!({"bucket": {"index": "index.html"}, "location": "distinct"}));
    let client = missing(&mut envoy, "/dir");
    let get = expect_call(&mut envoy, "GET origin /dir");
    envoy.respond(get, 404, &[], "");
    let looked = expect_call(&mut envoy, "HEAD signer /assets/dir/index.html");
    envoy.respond(looked, 200, &[], "");
    assert_eq!(answer(client).header("location"), Some("/dir/"));
}

#[test]
fn a_page_is_looked_for_only_where_there_may_be_one() {
    for (config, path) in [
        (json!({}), "/dir"),
        (json!({"bucket": {"index": "index.html"}}), "/dir/"),
        (json!({"bucket": {"index": "index.html"}, "rules": [{"prefix": "/dir/", "mirror": false}, {}]}), "/dir"),
    ] {
        let mut envoy = envoy_with(config);
        let client = missing(&mut envoy, path);
        let get = expect_call(&mut envoy, &format!("GET origin {path}"));
        envoy.respond(get, 404, &[], "");
        assert_eq!(result(client).0, 404, "{path}");
        envoy.assert_idle();
    }
}

#[test]
fn an_object_that_the_bucket_says_was_deleted_stays_so() {
    for method in ["GET", "HEAD"] {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.request(method, "/a.jpg").send();
        let document = if method == "GET" { NO_SUCH_KEY } else { "" };
        client.bucket_answers(404, &[("x-amz-delete-marker", "true"), ("server", "AmazonS3")], document);
        assert_eq!(
            (result(client), answer(client).header("server")),
            (is(404, "deleted"), Some("AmazonS3")),
            "{method}"
        );
        assert_eq!(envoy.metric("mirror_on_miss_requests_total.outcome.deleted"), 1);
        envoy.assert_idle();
    }
    let mut envoy = envoy_with(json!({"bucket": {"deleted": "refill"}}));
    let client = envoy.get("/a.jpg");
    client.bucket_answers(404, &[("x-amz-delete-marker", "true")], NO_SUCH_KEY);
    expect_call(&mut envoy, "GET origin /a.jpg");
    envoy.advance(crate::steps::LONG);
}

#[test]
fn the_object_of_a_key_that_the_bucket_cannot_hold_is_handed_out_and_not_stored() {
    for (path, code) in [("/p//a.jpg", "XMinioInvalidObjectName"), ("/p/a.jpg", "KeyTooLongError")] {
        let mut envoy = envoy_with(json!({}));
        let client = envoy.get(path);
        client.bucket_answers(400, &[], format!("<Error><Code>{code}</Code></Error>"));
        let get = expect_call(&mut envoy, "GET origin /p/a.jpg");
        origin_gives_bytes(&mut envoy, get, OBJECT);
        assert_eq!((result(client), answer(client).body.as_slice()), (is(200, "not_stored"), OBJECT), "{path}");
        envoy.assert_idle();
    }
}

#[test]
fn any_other_400_is_the_buckets_own() {
    let mut envoy = envoy_with(json!({}));
    let client = envoy.get("/p//a.jpg");
    client.bucket_answers(400, &[], "<Error><Code>InvalidArgument</Code></Error>");
    assert_eq!(result(client), is(400, "none"));
    assert_eq!(envoy.metric("mirror_on_miss_requests_total.outcome.bad_request"), 1);
    envoy.assert_idle();
}

/// Promise: nobody gets what the bucket denies.
#[test]
fn after_a_403_the_object_of_a_key_that_is_not_plain_is_handed_out_only_if_the_signer_says_that_there_is_none() {
    for on_403 in ["check", "miss"] {
        for (head, handed_out) in [(404, true), (200, false), (403, false)] {
            let mut envoy = envoy_with(json!({"rules": [{"on_403": on_403}]}));
            let client = envoy.get("/p//a.jpg");
            denial(client);
            let call = expect_call(&mut envoy, "HEAD signer /assets/p//a.jpg");
            envoy.respond(call, head, &[], "");
            if handed_out {
                let get = expect_call(&mut envoy, "GET origin /p/a.jpg");
                origin_gives_bytes(&mut envoy, get, OBJECT);
            }
            let expected = if handed_out { is(200, "not_stored") } else { is(403, "none") };
            assert_eq!(result(client), expected, "{on_403} {head}");
            envoy.assert_idle();
        }
    }
}
