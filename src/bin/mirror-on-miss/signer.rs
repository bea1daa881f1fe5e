//! The problems between the plugin's configuration and the signer's: the same bucket, store and condition must stand in
//! both, or nothing is ever stored.

use super::file::{Document, Found};
use mirror_on_miss::config::{Config, Overwrite};
use yaml_rust2::Yaml;

/// The facts of a signer that the plugin must agree with.
struct Signer {
    at: String,
    /// The start of the paths that it signs.
    prefix: Option<String>,
    /// The host that it signs for.
    host: Option<String>,
    /// The header that it demands of a PUT, if it demands one.
    condition: Option<String>,
}

/// The name of the shipped signer's listener, and of its route for a PUT.
const LISTENER: &str = "signer";
const PUT: &str = "put-object";

/// Lists where the configurations and the signers of all files differ, one problem a line.
pub fn problems(configs: &[(Found, Config)], documents: &[Document]) -> Vec<String> {
    let signers: Vec<_> = documents.iter().filter_map(signer).collect();
    let pairs = configs.iter().flat_map(|(found, config)| signers.iter().map(move |signer| (found, config, signer)));
    pairs.flat_map(|(found, config, signer)| differences(found, config, signer)).collect()
}

fn differences(found: &Found, config: &Config, signer: &Signer) -> Vec<String> {
    let mut lines = Vec::new();
    let mut differ = |field: &str, own: &str, theirs: &str| {
        lines.push(format!("{}: {field} is {own}, and {} {theirs}: nothing would be stored\n", found.at, signer.at));
    };
    let bucket = &config.bucket;
    let prefix = format!("{}/", bucket.path_prefix);
    if let Some(theirs) = signer.prefix.as_ref().filter(|theirs| **theirs != prefix) {
        differ("$.bucket.path_prefix", &format!("{:?}", bucket.path_prefix), &format!("signs only below {theirs:?}"));
    }
    if let Some(theirs) = signer.host.as_ref().filter(|theirs| **theirs != bucket.upstream.authority) {
        differ("$.bucket.authority", &format!("{:?}", bucket.upstream.authority), &format!("signs for {theirs:?}"));
    }
    let own = match bucket.overwrite {
        Overwrite::Conditional => Some("if-none-match"),
        Overwrite::Forbidden(header) => Some(header),
        Overwrite::HeadFirst => None,
    };
    if let Some(theirs) = signer.condition.as_deref().filter(|theirs| Some(*theirs) != own) {
        differ("$.bucket.if_none_match", own.unwrap_or("false"), &format!("demands {theirs} of a PUT"));
    }
    lines
}

fn signer(document: &Document) -> Option<Signer> {
    let listeners = document.yaml["static_resources"]["listeners"].as_vec()?;
    let listener = listeners.iter().find(|listener| listener["name"].as_str() == Some(LISTENER))?;
    let prefix = find(listener, &|yaml| yaml["not_rule"]["url_path"]["path"]["prefix"].as_str().map(str::to_owned));
    let put = find(listener, &|yaml| (yaml["name"].as_str() == Some(PUT)).then(|| yaml["match"]["headers"].clone()))?;
    let names = put.as_vec()?.iter().filter_map(|header| header["name"].as_str());
    let condition = names.filter(|name| !name.starts_with(':')).map(str::to_owned).next();
    let host = find(listener, &|yaml| yaml["host_rewrite_literal"].as_str().map(str::to_owned));
    Some(Signer { at: document.at.clone(), prefix, host, condition })
}

/// Finds the first object of a tree that a function has an answer for.
fn find<T>(yaml: &Yaml, wanted: &dyn Fn(&Yaml) -> Option<T>) -> Option<T> {
    match yaml {
        Yaml::Array(elements) => elements.iter().find_map(|element| find(element, wanted)),
        Yaml::Hash(fields) => wanted(yaml).or_else(|| fields.values().find_map(|value| find(value, wanted))),
        _ => None,
    }
}
