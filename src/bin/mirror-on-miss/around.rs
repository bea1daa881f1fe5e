//! The problems between the plugin's configuration and Envoy's around it, and names that nobody has replaced.

use super::file::{Document, Found, StreamRoutes};
use super::yaml;
use mirror_on_miss::config::Config;
use mirror_on_miss::config::rule::On5xx;
use std::collections::BTreeMap;
use yaml_rust2::Yaml;

/// Lists what Envoy's configuration lacks of the things that the plugin's names, one problem a line.
pub fn problems(found: &Found, config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(known) = &found.around.clusters {
        for (place, cluster) in clusters(config).into_iter() {
            if !known.contains(&cluster) {
                let known = known.join(", ");
                problems.push(format!("{place}: there is no cluster {cluster:?}; allowed is one of {known}"));
            }
        }
    }
    for (setting, time) in &found.around.idle {
        if !time.is_zero() && *time <= config.wait {
            let wait = config.wait;
            problems.push(format!(
                "$.wait: {wait:?} is not below Envoy's {setting}, {time:?}, which ends requests that wait longer with 504"
            ));
        }
    }
    problems.extend(found.around.streams.as_ref().and_then(|routes| stream(config.marker.as_deref(), routes)));
    problems.extend(found.around.failures.and_then(|heard| failures(config, heard)));
    problems.into_iter().map(|problem| format!("{}: {problem}\n", found.at)).collect()
}

/// Tells if one half of streaming is there without the other: the plugin's marker, and the routes for it.
fn stream(marker: Option<&str>, routes: &StreamRoutes) -> Option<String> {
    let is_routed = |marker: &str| routes.to_origin && routes.markers.iter().any(|known| known == marker);
    match marker {
        Some(marker) if !is_routed(marker) => Some(format!(
            "$.stream.marker: the file lacks the routes for {marker:?}: one for paths that end in it, and one with cluster_header"
        )),
        None if routes.to_origin => {
            Some("$.stream: is not set, and the file has a route for it, with cluster_header".to_owned())
        }
        _ => None,
    }
}

/// Tells if one half of `on_5xx` is there without the other. `heard` says that Envoy's is.
fn failures(config: &Config, heard: bool) -> Option<String> {
    let mut mirrors = config.rules.iter().filter_map(|rule| rule.mirror.as_ref());
    match (mirrors.any(|mirror| mirror.on_5xx == On5xx::Origin), heard) {
        (true, false) => Some(
            "$.rules[].on_5xx: the filter does not hear of a bucket that fails; start.sh has that with ON_5XX=origin"
                .to_owned(),
        ),
        (false, true) => Some(
            "$.rules[].on_5xx: no rule says \"origin\", and the filter hears of a bucket that fails, to no end"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Lists the clusters that a configuration names, each with its place.
fn clusters(config: &Config) -> BTreeMap<String, String> {
    let mut named = BTreeMap::from([("$.bucket.cluster".to_owned(), config.bucket.upstream.cluster.clone())]);
    for origin in config.rules.iter().filter_map(|rule| rule.mirror.as_ref()).flat_map(|mirror| &mirror.origins) {
        let name = &origin.name;
        named.insert(format!("the cluster of origin {name:?}"), origin.upstream.cluster.clone());
        if let Some(cluster) = &origin.stream_cluster {
            named.insert(format!("the stream_cluster of origin {name:?}"), cluster.clone());
        }
        for (host, cluster) in &origin.redirects.hosts {
            named.insert(format!("redirects.hosts[{host:?}] of origin {name:?}"), cluster.clone());
        }
    }
    named
}

/// The name of the bucket in the shipped files.
const BUCKET: &str = "my-bucket";

/// Names that nobody can own: RFC 2606, section 3.
const RESERVED: [&str; 3] = ["example.com", "example.net", "example.org"];

/// Lists the names of a document that are examples, or stand for others in a template, each with its first place.
pub fn unreplaced(document: &Document) -> Vec<String> {
    let named = |name: &str| document.yaml[name].as_str();
    let object = named("kind").zip(document.yaml["metadata"]["name"].as_str());
    let at = match object {
        Some((kind, name)) => format!("{}: {kind} {name}", document.at),
        None => document.at.clone(),
    };
    let mut seen = BTreeMap::new();
    walk(&document.yaml, String::new(), &mut seen);
    let line = |(name, (why, place, count)): (String, (&str, String, usize))| {
        let more = if count > 1 { format!(", and {} more", count.saturating_sub(1)) } else { String::new() };
        format!("{at}: {name} {why}: {place}{more}\n")
    };
    seen.into_iter().map(line).collect()
}

type Seen = BTreeMap<String, (&'static str, String, usize)>;

fn walk(yaml: &Yaml, place: String, seen: &mut Seen) {
    match yaml {
        Yaml::Array(elements) => {
            for (number, element) in elements.iter().enumerate() {
                walk(element, format!("{place}[{number}]"), seen);
            }
        }
        Yaml::Hash(fields) => {
            let is_config_map =
                fields.get(&Yaml::String("kind".to_owned())).and_then(Yaml::as_str) == Some("ConfigMap");
            for (name, value) in fields {
                let name = yaml::scalar(name).unwrap_or_default();
                match value {
                    // Its files are templates of what runs.
                    Yaml::Hash(data) if is_config_map && name == "data" => {
                        for (name, value) in data.iter().filter(|(name, _)| !is_file(name)) {
                            walk(value, format!("data.{}", yaml::scalar(name).unwrap_or_default()), seen);
                        }
                    }
                    // Scripts, which have variables of their own.
                    _ if matches!(name.as_str(), "args" | "command") => {}
                    _ if place.is_empty() => walk(value, name, seen),
                    _ => walk(value, format!("{place}.{name}"), seen),
                }
            }
        }
        Yaml::String(text) => {
            for (name, why) in names(text) {
                let (_, _, count) = seen.entry(name).or_insert_with(|| (why, place.clone(), 0));
                *count = count.saturating_add(1);
            }
        }
        _ => {}
    }
}

fn is_file(name: &Yaml) -> bool {
    name.as_str().is_some_and(|name| name.contains('.'))
}

/// Finds the names of a text that must be replaced.
fn names(text: &str) -> Vec<(String, &'static str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let words = text.split(|c| !is_part(c));
    let below =
        |word: &str, end: &str| word.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let is_bucket = |word: &str| word.strip_prefix(BUCKET).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let is_example = |word: &&str| is_bucket(word) || RESERVED.iter().any(|end| below(word, end));
    let examples = words.filter(is_example).map(|word| (word.to_owned(), "is an example, and was not replaced"));
    examples
        .chain(placeholders(text).map(|name| (name, "stands for a name in a template, and was not replaced")))
        .collect()
}

/// Finds `{{ name }}`, `${NAME}` and `@NAME@`.
fn placeholders(text: &str) -> impl Iterator<Item = String> + '_ {
    let between = |open: &'static str, close: &'static str| {
        let mut rest = text;
        std::iter::from_fn(move || {
            let (_, behind) = rest.split_once(open)?;
            let (name, after) = behind.split_once(close)?;
            rest = after;
            Some((name, format!("{open}{name}{close}")))
        })
    };
    let is_upper = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let is_variable =
        |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !name.contains('\n');
    let helm = between("{{", "}}").filter(|(name, _)| !name.contains('\n'));
    let shell = between("${", "}").filter(move |(name, _)| is_variable(name));
    let start = between("@", "@").filter(move |(name, _)| is_upper(name));
    helm.chain(shell).chain(start).map(|(_, whole)| whole)
}
