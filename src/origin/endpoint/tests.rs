use super::*;
use crate::config::Config;
use crate::http::Headers;
use serde_json::json;

fn endpoint(path: &str, redirects: serde_json::Value) -> Endpoint {
    let mut config = json!({
        "bucket": {"cluster": "signer", "authority": "s3.test"},
        "origin": {"cluster": "origin", "authority": "files.test", "path_prefix": "/v1", "headers": {"authorization": "secret"}}});
    if !redirects.is_null() {
        config["origin"]["redirects"] = redirects;
    }
    let config = Config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
    let mirror = config.rules[0].mirror.clone().unwrap();
    Endpoint::at(&mirror.origins[0], &mirror, path, &Forwarded::default())
}

fn redirected(endpoint: &Endpoint, status: u16, location: &str) -> Option<Endpoint> {
    endpoint.redirected(status, &to(location))
}

fn to(location: &str) -> Headers {
    Headers::new(vec![("location".into(), location.into())])
}

/// `CLUSTER AUTHORITY PATH`, and `!` if the origin's own headers go there.
fn shown(endpoint: Endpoint) -> String {
    let target = endpoint.target();
    let Upstream { cluster, authority, headers } = Upstream::clone(&endpoint.upstream);
    format!("{cluster} {authority} {target}{}", if headers.is_empty() { "" } else { " !" })
}

#[test]
fn a_redirect_leads_to_the_origin_itself_or_to_a_listed_host_and_only_the_origin_gets_its_headers() {
    let redirects = json!({"hosts": {"cdn.test": "cdn", "cdn.test:8443": "cdn-8443"}});
    for (location, expected) in [
        ("/v1/b?x=1", Some("origin files.test /v1/b?x=1 !")),
        ("/v2/b?x=1", Some("origin files.test /v2/b?x=1")),
        ("/v1", Some("origin files.test /v1 !")),
        ("/v10/b", Some("origin files.test /v10/b")),
        ("../../../etc/passwd", Some("origin files.test /etc/passwd")),
        ("/v1/%2e%2e/b", Some("origin files.test /b")),
        ("/v1/..%2Fb", Some("origin files.test /v1/..%2Fb")),
        ("/v1/.%2e%5cb", Some("origin files.test /v1/.%2e%5cb")),
        ("/v1/..;x=1/b", Some("origin files.test /v1/..;x=1/b")),
        ("/v1/%252e%252e/b", Some("origin files.test /v1/%252e%252e/b")),
        ("/v1/a..;x/100%25", Some("origin files.test /v1/a..;x/100%25 !")),
        ("b", Some("origin files.test /v1/a/b !")),
        ("../b/./c", Some("origin files.test /v1/b/c !")),
        ("//files.test/v1/b", Some("origin files.test /v1/b !")),
        ("https://files.test/v1/b#part", Some("origin files.test /v1/b !")),
        ("https://FILES.test:443/v1/b", Some("origin files.test /v1/b !")),
        ("https://cdn.test/b?sig=%2B", Some("cdn cdn.test /b?sig=%2B")),
        ("http://CDN.test", Some("cdn cdn.test /")),
        ("https://cdn.test:8443/b", Some("cdn-8443 cdn.test:8443 /b")),
        ("https://files.test:8443/b", None),
        ("https://other.test/b", None),
        ("//other.test/b", None),
        ("https://cdn.test@other.test/b", None),
        ("https://user@cdn.test/b", None),
        ("https://:secret@files.test/b", None),
        ("https://127.0.0.1/b", None),
        ("file:///etc/passwd", None),
        ("javascript:alert(1)", None),
        ("https://", None),
        ("http://[::1", None),
    ] {
        let followed = redirected(&endpoint("a/x", redirects.clone()), 302, location).map(shown);
        assert_eq!(followed.as_deref(), expected, "{location}");
    }
}

#[test]
fn a_port_in_the_authority_is_the_one_that_the_scheme_has() {
    for (authority, location, is_same) in [
        ("files.test:443", "https://files.test/b", true),
        ("files.test:443", "//files.test/b", true),
        ("files.test:443", "b", true),
        ("files.test:443", "http://files.test/b", false),
        ("files.test:80", "http://files.test/b", true),
        ("files.test:80", "b", true),
        ("files.test:80", "https://files.test/b", false),
        ("files.test", "https://files.test:443/b", true),
        ("files.test", "http://files.test:8080/b", false),
        ("[::1]:9000", "http://[::1]:9000/b", true),
        ("[::1]", "b", true),
    ] {
        let mut at = endpoint("a", json!({}));
        Rc::make_mut(&mut at.upstream).authority = authority.to_owned();
        assert_eq!(redirected(&at, 302, location).is_some(), is_same, "{authority} {location}");
    }
}

#[test]
fn only_redirects_are_followed_and_none_unless_so_configured() {
    for status in [301, 302, 303, 307, 308] {
        assert!(redirected(&endpoint("a", json!({})), status, "/b").is_some(), "{status}");
        assert_eq!(redirected(&endpoint("a", json!(null)), status, "/b"), None, "{status}");
        assert_eq!(redirected(&endpoint("a", json!({"follow": 0})), status, "/b"), None, "{status}");
    }
    for status in [200, 206, 300, 304, 305, 306, 404, 500] {
        assert_eq!(redirected(&endpoint("a", json!({})), status, "/b"), None, "{status}");
    }
    assert_eq!(endpoint("a", json!({})).redirected(302, &Headers::default()), None);
}

#[test]
fn a_circle_ends_after_as_many_redirects_as_may_be_followed() {
    let mut at = endpoint("a", json!({"follow": 2}));
    for _ in 0..2 {
        at = redirected(&at, 302, "/v1/a").unwrap();
    }
    assert_eq!(redirected(&at, 302, "/v1/a"), None);
}

#[test]
fn the_url_that_is_kept_with_the_object_is_the_origins_and_holds_no_query() {
    let at =
        redirected(&endpoint("a b", json!({"hosts": {"cdn.test": "cdn"}})), 302, "https://cdn.test/x?token=s").unwrap();
    assert_eq!(at.url, "//files.test/v1/a%20b");
}

#[test]
fn what_a_client_carries_reaches_an_origin_only_as_far_as_its_rule_lists_it() {
    let config = json!({
        "bucket": {"cluster": "signer", "authority": "s3.test"},
        "origin": {"cluster": "origin", "authority": "files.test", "headers": {"x-static": "ours"}},
        "rules": [{"prefix": "/a", "query": ["v"], "request_headers": ["accept-language", "x-static"]},
                  {"query": ["w"]}]});
    let config = Config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
    let mirrors: Vec<_> = config.rules.iter().map(|rule| rule.mirror.clone().unwrap()).collect();
    let sent = ["accept-language", "cookie", "x-static"].map(|name| (name.to_owned(), format!("{name}'s")));
    let forwarded = Forwarded::of(Some("u=0&v=1&w=2"), &sent, &mirrors);
    assert_eq!(forwarded.query, ["v=1", "w=2"]);
    assert_eq!(forwarded.headers.len(), 2, "{forwarded:?}");

    let at = |rule: usize| Endpoint::at(&mirrors[rule].origins[0], &mirrors[rule], "a", &forwarded);
    assert_eq!((at(0).path(), at(1).path()), ("/a?v=1", "/a?w=2"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(at(0).upstream.headers, [pair("x-static", "ours"), pair("accept-language", "accept-language's")]);
    assert_eq!(at(1).upstream.headers, [pair("x-static", "ours")]);
}

fn with_parameters(path: &str, client: &str) -> Endpoint {
    let config = json!({
        "bucket": {"cluster": "signer", "authority": "s3.test"},
        "origin": {"cluster": "origin", "authority": "files.test", "path_prefix": "/v1", "parameters": {"sig": "s/", "sv": "1"},
                   "redirects": {"hosts": {"cdn.test": "cdn"}}},
        "rules": [{"query": ["sig", "v"]}]});
    let config = Config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
    let mirrors: Vec<_> = config.rules.iter().map(|rule| rule.mirror.clone().unwrap()).collect();
    let forwarded = Forwarded::of(Some(client), &[], &mirrors);
    Endpoint::at(&mirrors[0].origins[0], &mirrors[0], path, &forwarded)
}

#[test]
fn parameters_of_the_origin_go_out_with_each_request_and_no_client_replaces_one() {
    let plain = with_parameters("a", "");
    assert_eq!(
        (plain.target().as_str(), plain.path(), plain.url.as_str()),
        ("/v1/a?sig=s%2F&sv=1", "/v1/a", "//files.test/v1/a")
    );
    assert_eq!(with_parameters("a", "v=2&sig=mine").target(), "/v1/a?v=2&sig=s%2F&sv=1");
}

#[test]
fn a_redirect_takes_the_parameters_along_within_the_origin_alone() {
    for (location, expected) in [
        ("/v1/b", "/v1/b?sig=s%2F&sv=1"),
        ("/v1/b?x=1", "/v1/b?x=1&sig=s%2F&sv=1"),
        // What the origin wrote into it itself is not written twice.
        ("/v1/b?sv=1&sig=s%2F", "/v1/b?sv=1&sig=s%2F"),
        ("#", "/v1/a?sig=s%2F&sv=1"),
        ("/v2/b", "/v2/b"),
        ("/v1/..%2Fb", "/v1/..%2Fb"),
        ("https://cdn.test/v1/b", "/v1/b"),
        ("//cdn.test", "/"),
    ] {
        let followed = redirected(&with_parameters("a", ""), 302, location).unwrap();
        assert_eq!(followed.target(), expected, "{location}");
        // Whom a path of somebody else's sends back gets nothing any more.
        let back = redirected(&followed, 302, "//files.test/v1/c").map(|back| back.target());
        let expected = match followed.upstream.authority.as_str() {
            "cdn.test" => None,
            _ if followed.target().contains("sig=") => Some("/v1/c?sig=s%2F&sv=1"),
            _ => Some("/v1/c"),
        };
        assert_eq!(back.as_deref(), expected, "{location}, and back");
    }
}

#[test]
fn a_stream_takes_the_parameters_to_the_origin_alone() {
    for (location, expected) in
        [("/v1/b", "/v1/b?sig=s%2F&sv=1"), ("/v2/b", "/v2/b"), ("https://cdn.test/v1/b", "/v1/b")]
    {
        let from = with_parameters("a", "");
        let moved = redirected(&from, 302, location).unwrap().moved(&from).unwrap();
        assert!(!moved.path.contains("sig="), "{location}");
        assert_eq!(from.moved_to(&moved).target(), expected, "{location}");
    }
}

#[test]
fn no_client_is_passed_a_parameter_of_the_origin() {
    let mut at = with_parameters("docs", "");
    at.follow = 0;
    for (location, query) in [
        ("/v1/docs/?sig=s%2F&x=1&sv=1&y", Some("x=1&y")),
        ("/v1/docs/?sv=1&sig=another", None),
        ("/v1/docs/?x=1", Some("x=1")),
        ("/v1/docs/", None),
    ] {
        let passed = at.own_redirect(302, &to(location)).unwrap();
        assert_eq!((passed.key.as_str(), passed.query.as_deref()), ("docs/", query), "{location}");
    }
}

#[test]
fn a_stream_gets_the_origins_own_parameters_where_the_origin_itself_is_and_nowhere_else() {
    let config = json!({
        "bucket": {"cluster": "signer", "authority": "s3.test"},
        "origin": {
            "cluster": "origin", "authority": "files.test", "path_prefix": "/v1", "parameters": {"sig": "secret"},
            "redirects": {"hosts": {"cdn.test": "cdn"}}}});
    let config = Config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
    let mirror = config.rules[0].mirror.clone().unwrap();
    let at = Endpoint::at(&mirror.origins[0], &mirror, "a", &Forwarded::default());
    for (location, expected) in [
        ("https://cdn.test/b?x=1", "cdn cdn.test /b?x=1"),
        ("/v2/b", "origin files.test /v2/b"),
        ("/v1/b", "origin files.test /v1/b?sig=secret"),
    ] {
        let to = redirected(&at, 302, location).unwrap();
        let moved = to.moved(&at).unwrap();
        assert_eq!(shown(at.clone().moved_to(&moved)), expected);
        assert_eq!(shown(to), expected);
    }
}

#[test]
fn a_redirect_that_is_not_followed_is_passed_on_as_a_key_of_the_origin_and_never_as_a_host() {
    let redirects = json!({"follow": 0, "hosts": {"cdn.test": "cdn"}});
    let passed = |at: &Endpoint, status, location: &str| {
        at.own_redirect(status, &to(location))
            .map(|OwnRedirect { key, query }| (key, query.unwrap_or("none".to_owned())))
    };
    for (location, expected) in [
        ("/v1/docs/", Some(("docs/", "none"))),
        ("docs/?x=1&y", Some(("docs/", "x=1&y"))),
        ("docs/?", Some(("docs/", ""))),
        ("https://files.test/v1/docs/#part", Some(("docs/", "none"))),
        ("/v1/a%20b%C3%A4", Some(("a b\u{e4}", "none"))),
        ("/v1/%2F/evil.test", Some(("//evil.test", "none"))),
        ("/v2/docs/", None),
        ("/v1", None),
        ("/v1/", None),
        ("/v1/a%00", None),
        ("/v1/..%2Fsecret", None),
        ("/v1/%252e%252e/secret", None),
        ("/v1/a%zz", None),
        ("//other.test/v1/docs/", None),
        ("https://cdn.test/v1/docs/", None),
        ("https://files.test:8443/v1/docs/", None),
        ("https://user@files.test/v1/docs/", None),
        ("javascript:alert(1)", None),
        ("", None),
    ] {
        let expected = expected.map(|(key, query)| (key.to_owned(), query.to_owned()));
        assert_eq!(passed(&endpoint("docs", redirects.clone()), 301, location), expected, "{location}");
    }
    let refuses = json!({"follow": 0, "others": "refuse"});
    assert_eq!(passed(&endpoint("docs", refuses), 301, "/v1/docs/"), None);
    for status in [200, 300, 304, 404] {
        assert_eq!(passed(&endpoint("docs", json!(null)), status, "/v1/docs/"), None, "{status}");
    }
    let at_cdn =
        redirected(&endpoint("docs", json!({"hosts": {"cdn.test": "cdn"}})), 302, "https://cdn.test/v1/x").unwrap();
    assert_eq!(passed(&at_cdn, 302, "/v1/docs/"), None, "a path of another host is none of ours");
}

#[test]
fn what_means_that_there_is_no_object_is_a_setting_of_the_origin() {
    let lacks = |missing: serde_json::Value, status, media_type: &str| {
        let config = json!({
            "bucket": {"cluster": "signer", "authority": "s3.test"},
            "origin": {"cluster": "origin", "authority": "files.test", "missing": missing}});
        let config = Config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
        let mirror = config.rules[0].mirror.clone().unwrap();
        let at = Endpoint::at(&mirror.origins[0], &mirror, "a", &Forwarded::default());
        at.lacks(status, &Headers::new(vec![("content-type".into(), media_type.into())]))
    };
    let html = json!([404, {"status": 200, "content_type": "text/html"}]);
    for (missing, status, media_type, expected) in [
        (json!([404, 410]), 404, "text/html", true),
        (json!([404, 410]), 403, "text/html", false),
        (json!([403]), 403, "", true),
        (json!([403]), 404, "", false),
        (json!([302]), 302, "", true),
        (html.clone(), 200, "Text/HTML; charset=utf-8", true),
        (html.clone(), 206, "text/html", true),
        (html.clone(), 200, "text/html, text/html", true),
        (html.clone(), 200, "image/png", false),
        (html.clone(), 200, "", false),
        (html, 404, "image/png", true),
        (json!([{"status": 404, "content_type": "text/*"}]), 404, "image/png", false),
    ] {
        assert_eq!(lacks(missing.clone(), status, media_type), expected, "{missing} {status} {media_type}");
    }
}

#[test]
fn only_another_place_is_one_to_move_to() {
    let at = endpoint("a", json!({"hosts": {"cdn.test": "cdn"}}));
    assert_eq!(at.moved(&at), None);
    for location in ["/v1/b", "/v2/a", "https://cdn.test/v1/a"] {
        let to = redirected(&at, 302, location).unwrap();
        assert!(to.moved(&at).is_some(), "{location}");
    }
}

#[test]
fn a_listed_host_is_not_held_to_speak_http2_because_the_origin_does() {
    let mut at = endpoint("a", json!({"hosts": {"cdn.test": "cdn"}}));
    at.http2 = true;
    assert!(redirected(&at, 302, "/v1/b").unwrap().http2);
    assert!(!redirected(&at, 302, "https://cdn.test/b").unwrap().http2);
}
