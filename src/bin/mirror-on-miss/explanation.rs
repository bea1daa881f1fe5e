//! An explanation as text for people and as JSON for programs.

use mirror_on_miss::config::rule::{On5xx, On403, OnWait, Private, ResponseMode, TooLarge};
use mirror_on_miss::config::{Config, Location, OtherRedirects, Rate, Redirects};
use mirror_on_miss::explain::{Explanation, Fetch, Mirrored, Store, Why};
use mirror_on_miss::object::key::{KeyError, NotPlain};
use mirror_on_miss::object::metadata::KeptMetadata;
use mirror_on_miss::request::target::{Target, TargetError};
use serde_json::{Value, json};
use std::fmt::Write;

/// Writes the explanation as lines of `name  text`.
pub fn text(explanation: &Explanation, config: &Config) -> String {
    let mut lines = Lines(String::new());
    match explanation {
        Explanation::Untouched { target, why } => {
            if let Some(target) = target {
                lines.object(target);
            }
            if let Some(rule) = rule_of(*why) {
                lines.rule(rule, config);
            }
            lines.add("untouched", because(*why));
        }
        Explanation::Mirrored(mirrored) => lines.mirrored(mirrored, config),
    }
    lines.0
}

struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, what: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name:<12} {what}");
    }

    fn object(&mut self, target: &Target) {
        self.add("key", target.key.as_str());
        if let Some(reading) = target.reading.plain() {
            self.add("read as", reading);
        }
        if let Some(index) = target.reading.index() {
            self.add("page", format!("the path ends in a slash, so the key ends in bucket.index, {index}"));
        }
        self.add("bucket", format!("{} {}", target.method.as_str(), target.path_of_bucket()));
    }

    fn rule(&mut self, number: usize, config: &Config) {
        let prefix = config.rules.get(number).map(|rule| rule.prefix.as_str()).unwrap_or_default();
        self.add("rule", format!("$.rules[{number}], prefix /{prefix}"));
    }

    fn mirrored(&mut self, mirrored: &Mirrored, config: &Config) {
        self.object(&mirrored.target);
        self.rule(mirrored.rule, config);
        self.add("on 403", on_403(mirrored.mirror.on_403).1);
        self.add("on 5xx", on_5xx(mirrored.mirror.on_5xx).1);
        for (number, fetch) in (1..).zip(&mirrored.fetches) {
            self.fetch(number, fetch, !mirrored.only_headers);
        }
        match &mirrored.store {
            Some(Store { cluster, authority, path, headers }) => {
                self.add("store", format!("PUT {path} at {authority}, cluster {cluster}"));
                if !headers.is_empty() {
                    self.add("", format!("with {}", headers.join(", ")));
                }
            }
            None => self.add("store", unstored(mirrored)),
        }
        for line in answers(mirrored, config) {
            self.add("answer", line);
        }
    }

    fn fetch(&mut self, number: u32, fetch: &Fetch, whole: bool) {
        let Fetch { rule, origin, cluster, authority, path, timeout, .. } = fetch;
        let method = if whole { "GET" } else { "HEAD" };
        self.add(
            &format!("fetch {number}"),
            format!("{method} {path} at {authority}, origin {origin}, cluster {cluster}, $.rules[{rule}], within {timeout:?}"),
        );
        if !fetch.headers.is_empty() {
            self.add("", format!("with {}", fetch.headers.join(", ")));
        }
        if !fetch.parameters.is_empty() {
            self.add("", format!("with the parameters {}", fetch.parameters.join(", ")));
        }
        if !fetch.request_headers.is_empty() {
            self.add("", format!("with the client's {}", fetch.request_headers.join(", ")));
        }
        if !fetch.content_types.is_empty() {
            self.add("", format!("accepts only {}", fetch.content_types.join(", ")));
        }
        if let Some(cache_control) = &fetch.cache_control {
            self.add("", format!("stored with cache-control {cache_control}"));
        }
        if !fetch.metadata.is_empty() {
            self.add("", format!("stored with its {}", kept(&fetch.metadata).collect::<Vec<_>>().join(", ")));
        }
        if fetch.private == Private::Skip {
            self.add("", "handed out and not stored if it says private or no-store");
        }
        let missing = fetch.missing.iter().map(|missing| match &missing.content_type {
            Some(media_type) => format!("{} with {media_type}", missing.status),
            None => missing.status.to_string(),
        });
        self.add("", format!("not there if it says {}", missing.collect::<Vec<_>>().join(", ")));
        if let Some(Rate { requests, per }) = fetch.rate {
            self.add("", format!("at most {requests} requests in {per:?}"));
        }
        let Redirects { follow, hosts, others } = &fetch.redirects;
        if *follow > 0 {
            let hosts = hosts.iter().map(|(host, cluster)| format!("{host} (cluster {cluster})"));
            let hosts: Vec<_> = std::iter::once("itself".to_owned()).chain(hosts).collect();
            self.add("", format!("follows up to {follow} redirects, to {}", hosts.join(", ")));
        }
        if *others == OtherRedirects::Pass {
            self.add("", "redirects of its own that are not followed go to the client, as paths of this host");
        }
    }
}

/// Describes the client's answers.
fn answers(mirrored: &Mirrored, config: &Config) -> Vec<String> {
    if mirrored.only_headers {
        return vec!["200 with the origin's headers".to_owned()];
    }
    let followed = if config.location == Some(Location::Absolute) { "; the edge follows it itself" } else { "" };
    let passes = config.marker.is_some();
    let found = match (mirrored.mirror.response, &mirrored.location) {
        (_, None) if passes => "200 with the object; passed to the origin if it has several parts".to_owned(),
        (_, None) => "200 with the object, if it fits one part".to_owned(),
        (ResponseMode::Origin, Some(location)) => format!("302 to {location} at once"),
        (ResponseMode::Redirect, Some(location)) => format!("302 to {location}, once it is stored{followed}"),
        (ResponseMode::Serve, Some(_)) if passes => {
            format!("200 with the object; passed to the origin, while it is stored, if it has several parts{followed}")
        }
        (ResponseMode::Serve, Some(location)) => {
            format!("200 with the object, or 302 to {location} if it has several parts{followed}")
        }
    };
    let late = match (&mirrored.public_location, mirrored.mirror.on_wait) {
        (Some(location), OnWait::Origin) => {
            format!("302 to {location} after {:?}, while it is being stored", config.wait)
        }
        (None, OnWait::Origin) if passes => {
            format!("passed to the origin after {:?} if it has several parts, else 503", config.wait)
        }
        _ => format!("503 after {:?}, while it is being stored", config.wait),
    };
    let cannot = if mirrored.store.is_some() { "cannot be stored" } else { "has more than one part" };
    let too_large = match (&mirrored.public_location, mirrored.mirror.too_large) {
        _ if passes && mirrored.mirror.unstored => return vec![found, late],
        (Some(location), TooLarge::Origin) => format!("302 to {location} if it {cannot}"),
        (None, TooLarge::Origin) if passes && mirrored.store.is_none() => return vec![found, late],
        (None, TooLarge::Origin) if passes => "passed to the origin, else 502, if it cannot be stored".to_owned(),
        _ => format!("502 if it {cannot}"),
    };
    if mirrored.mirror.response == ResponseMode::Origin { vec![found, too_large] } else { vec![found, too_large, late] }
}

/// Writes the explanation as an object. `untouched` is there if the bucket's answer stays as it is.
pub fn json(explanation: &Explanation, config: &Config) -> Value {
    let prefix = |rule: usize| config.rules.get(rule).map(|rule| format!("/{}", rule.prefix));
    match explanation {
        Explanation::Untouched { target, why } => json!({
            "key": target.as_ref().map(|target| target.key.as_str()),
            "plain_reading": target.as_ref().and_then(|target| target.reading.plain()),
            "bucket": target.as_ref().map(Target::path_of_bucket),
            "rule": rule_of(*why).map(|rule| json!({"index": rule, "prefix": prefix(rule)})),
            "untouched": because(*why),
        }),
        Explanation::Mirrored(mirrored) => json!({
            "key": mirrored.target.key.as_str(),
            "plain_reading": mirrored.target.reading.plain(),
            "index": mirrored.target.reading.index(),
            "not_stored": mirrored.target.reading.not_plain().map(because_not_plain),
            "bucket": mirrored.target.path_of_bucket(),
            "rule": {"index": mirrored.rule, "prefix": prefix(mirrored.rule)},
            "on_403": on_403(mirrored.mirror.on_403).0,
            "on_5xx": on_5xx(mirrored.mirror.on_5xx).0,
            "on_wait": if mirrored.mirror.on_wait == OnWait::Origin { "origin" } else { "busy" },
            "fetch": mirrored.fetches.iter().map(fetch).collect::<Vec<_>>(),
            "store": mirrored.store.as_ref().map(|Store { cluster, authority, path, headers }| {
                json!({"cluster": cluster, "authority": authority, "path": path, "headers": headers})
            }),
            "response": match mirrored.mirror.response {
                _ if mirrored.only_headers => "head",
                ResponseMode::Origin => "origin",
                _ if mirrored.mirror.unstored => "serve",
                _ if mirrored.store.is_none() => "not_stored",
                ResponseMode::Redirect => "redirect",
                ResponseMode::Serve => "serve",
            },
            "location": mirrored.location,
            "public_location": mirrored.public_location,
        }),
    }
}

fn fetch(fetch: &Fetch) -> Value {
    let Redirects { follow, hosts, others } = &fetch.redirects;
    let hosts = hosts.iter().map(|(host, cluster)| (host.clone(), Value::from(cluster.as_str())));
    let missing = fetch.missing.iter().map(|missing| match &missing.content_type {
        Some(media_type) => json!({"status": missing.status, "content_type": media_type}),
        None => json!(missing.status),
    });
    json!({
        "rule": fetch.rule,
        "origin": fetch.origin,
        "cluster": fetch.cluster,
        "authority": fetch.authority,
        "path": fetch.path,
        "parameters": fetch.parameters,
        "headers": fetch.headers,
        "request_headers": fetch.request_headers,
        "content_types": fetch.content_types,
        "cache_control": fetch.cache_control,
        "metadata": kept(&fetch.metadata).collect::<Vec<_>>(),
        "private": if fetch.private == Private::Skip { "skip" } else { "store" },
        "timeout_ms": u64::try_from(fetch.timeout.as_millis()).ok(),
        "rate": fetch.rate.map(|Rate { requests, per }| json!({"requests": requests, "seconds": per.as_secs()})),
        "missing": missing.collect::<Vec<_>>(),
        "redirects": {
            "follow": follow,
            "hosts": hosts.collect::<serde_json::Map<_, _>>(),
            "others": if *others == OtherRedirects::Pass { "pass" } else { "refuse" },
        },
    })
}

/// Names the headers of an origin that are stored as user metadata, with the names that they get.
fn kept(metadata: &[KeptMetadata]) -> impl Iterator<Item = String> {
    metadata.iter().map(|KeptMetadata { header, name }| match name {
        Some(name) => format!("{header} as x-amz-meta-{name}"),
        None => format!("{header}* as x-amz-meta-*"),
    })
}

fn rule_of(why: Why) -> Option<usize> {
    match why {
        Why::MirrorsNothing(rule) | Why::Observed(rule) | Why::OnHeadOff(rule) => Some(rule),
        Why::NoIndex | Why::NoRule | Why::TargetError(_) => None,
    }
}

fn because(why: Why) -> &'static str {
    match why {
        Why::MirrorsNothing(_) => "the rule says mirror: false",
        Why::NoIndex => "the path ends in a slash, and bucket.index does not say what that stands for",
        Why::NoRule => "no rule is for it",
        Why::Observed(_) => "the rule says observe: true; it is counted",
        Why::OnHeadOff(_) => "it is a HEAD, and the rule says on_head: off",
        Why::TargetError(no_target) => match no_target {
            TargetError::Fragment => "a request must not contain a #",
            TargetError::Method => "only GET and HEAD are mirrored",
            TargetError::Outside => "the path does not begin with /, or not with /BUCKET/ where clients write that",
            TargetError::SubResource => {
                "the query names uploadId or versionId, so the request is not for the object itself"
            }
            TargetError::Key(not_a_key) => match not_a_key {
                KeyError::Control => "the key has control characters",
                KeyError::DotSegment => "the key has a dot segment",
                KeyError::Empty => "the key is empty",
                KeyError::Escape => "the path has a % without two hexadecimal digits",
                KeyError::TooLong => "the key is longer than 8,000 bytes",
                KeyError::Utf8 => "the key is not UTF-8",
            },
        },
    }
}

/// Says why nothing is stored.
fn unstored(mirrored: &Mirrored) -> String {
    match mirrored.target.reading.not_plain() {
        Some(why) => format!("nothing: {}", because_not_plain(why)),
        None if mirrored.mirror.unstored => {
            "nothing: the rule says store: false; what the bucket has already is served until it is deleted".to_owned()
        }
        None => "nothing".to_owned(),
    }
}

fn because_not_plain(not_plain: NotPlain) -> &'static str {
    match not_plain {
        NotPlain::Backslash => "the key has a backslash, which some servers take for a slash",
        NotPlain::EmptySegment => "the key has an empty segment, which some servers leave out",
        NotPlain::TooLong => "the key is longer than the 1,024 bytes that a bucket can hold",
        NotPlain::TrailingSlash => "the key ends in a slash",
    }
}

fn on_5xx(on_5xx: On5xx) -> (&'static str, &'static str) {
    match on_5xx {
        On5xx::Origin => ("origin", "origin: while the bucket fails the origin serves, and nothing is stored"),
        On5xx::Pass => ("pass", "pass: the bucket's failure stays as it is"),
    }
}

fn on_403(on_403: On403) -> (&'static str, &'static str) {
    match on_403 {
        On403::Check => ("check", "check: a HEAD with the signer's credential decides if it is a miss"),
        On403::Ignore => ("ignore", "ignore: the bucket's answer stays as it is"),
        On403::Miss => ("miss", "miss: the same as a 404"),
    }
}
