//! The explanation of a request: the rule that serves it, the requests that it leads to, and the client's answer.
//! Nothing of it is done.

use crate::config::rule::{self, Mirror, OnHead, Private, ResponseMode, Rule, chain};
use crate::config::{Bucket, Config, Location, Missing, Origin, Rate, Redirects};
use crate::http::{Method, Upstream};
use crate::object::key::Key;
use crate::object::metadata::KeptMetadata;
use crate::origin::endpoint::Endpoint;
use crate::request::forwarded::Forwarded;
use crate::request::target::{Target, TargetError};
use crate::s3;
use std::rc::Rc;
use std::time::Duration;

/// The result of a request when the bucket does not have the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// The object is fetched.
    Mirrored(Box<Mirrored>),
    /// The bucket's answer stays as it is.
    Untouched {
        /// The object, if there is one.
        target: Option<Target>,
        why: Why,
    },
}

/// The reason for which the bucket's answer stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// This rule says `mirror: false`.
    MirrorsNothing(usize),
    /// No rule matches.
    NoRule,
    /// Its path ends in a slash, and `bucket.index` is not set.
    NoIndex,
    /// The request is not for an object.
    TargetError(TargetError),
    /// This rule says `observe: true`: the miss is counted.
    Observed(usize),
    /// This rule says `on_head: off`.
    OnHeadOff(usize),
}

/// The way in which a missing object is mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    pub target: Target,
    /// The deciding rule, by its place in the list.
    pub rule: usize,
    /// The settings of that rule.
    pub mirror: Rc<Mirror>,
    /// The requests for the object, in order.
    pub fetches: Vec<Fetch>,
    /// The client gets the origin's headers alone.
    pub only_headers: bool,
    /// The request that stores it; `None` if it is not stored.
    pub store: Option<Store>,
    /// The client's new location. With [`ResponseMode::Serve`] it is used only if the object does not fit one part.
    /// `None` if the client gets the origin's headers, or an object that is not stored.
    pub location: Option<String>,
    /// The location at which the client may fetch the object directly.
    pub public_location: Option<String>,
}

/// A request to an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The rule that leads to it, by its place in the list.
    pub rule: usize,
    /// The origin's name.
    pub origin: String,
    /// Envoy's name of the cluster.
    pub cluster: String,
    pub authority: String,
    /// Path and query, but for the origin's own parameters.
    pub path: String,
    /// Names of the parameters that the configuration adds. Their values may be secrets.
    pub parameters: Vec<String>,
    /// Names of the headers that the configuration adds. Their values may be secrets.
    pub headers: Vec<String>,
    /// Names of the client's headers that it carries.
    pub request_headers: Vec<String>,
    /// Media types that are stored; empty for all.
    pub content_types: Vec<String>,
    /// The value that is stored in place of the origin's `Cache-Control`.
    pub cache_control: Option<String>,
    /// The user metadata that is stored.
    pub metadata: Vec<KeptMetadata>,
    /// The fate of an object that its origin lets no cache store.
    pub private: Private,
    pub timeout: Duration,
    /// The answers that mean that it does not have the object.
    pub missing: Vec<Missing>,
    /// The most requests to it.
    pub rate: Option<Rate>,
    /// The redirects that are followed, and the fate of the others.
    pub redirects: Redirects,
}

/// The request that stores the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Envoy's name of the signer's cluster.
    pub cluster: String,
    /// The store's authority.
    pub authority: String,
    /// The object's path there.
    pub path: String,
    /// Names of the headers that the configuration adds.
    pub headers: Vec<&'static str>,
}

/// Explains a request. `own_base` is its own scheme and authority, if these are known; only the scheme counts.
pub fn explain(config: &Config, method: &str, path_and_query: &str, own_base: Option<&str>) -> Explanation {
    let target = match Target::read(method.as_bytes(), path_and_query.as_bytes(), &config.bucket) {
        Ok(target) => target,
        Err(why) => return Explanation::Untouched { target: None, why: Why::TargetError(why) },
    };
    match deciding(&config.rules, &target) {
        Ok((rule, mirror)) => Explanation::Mirrored(Box::new(mirrored(config, target, rule, mirror, own_base))),
        Err(why) => Explanation::Untouched { target: Some(target), why },
    }
}

/// Finds the rule that mirrors the object, and its settings.
fn deciding<'a>(rules: &'a [Rule], target: &Target) -> Result<(usize, &'a Rc<Mirror>), Why> {
    if !target.reading.is_mirrored() {
        return Err(Why::NoIndex);
    }
    let rule = rule::deciding(rules, target.method, target.spellings()).ok_or(Why::NoRule)?;
    let number = rules.iter().position(|other| std::ptr::eq(other, rule)).unwrap_or_default();
    let mirror = rule.mirror.as_ref().ok_or(Why::MirrorsNothing(number))?;
    if target.method == Method::Head && mirror.on_head == OnHead::Off {
        return Err(Why::OnHeadOff(number));
    }
    if mirror.observe { Err(Why::Observed(number)) } else { Ok((number, mirror)) }
}

fn mirrored(config: &Config, target: Target, rule: usize, mirror: &Rc<Mirror>, own_base: Option<&str>) -> Mirrored {
    let unstored = target.reading.not_plain().is_some() || mirror.unstored;
    let only_headers = target.method == Method::Head && (unstored || mirror.on_head == OnHead::Origin);
    let public_location = mirror.public_location(target.origin_key(), target.query());
    let scheme = own_base.and_then(|base| base.split(':').next()).unwrap_or("http");
    let stored_at = match &config.location {
        Some(Location::Absolute) => {
            target.location_at_store(&format!("{scheme}://{}", config.bucket.upstream.authority))
        }
        Some(Location::Base(base)) => target.location(Some(base)),
        Some(Location::Distinct) => target.distinct_location(),
        None => target.location(None),
    };
    let location = match mirror.response {
        _ if only_headers => None,
        ResponseMode::Origin => public_location.clone(),
        _ if unstored => None,
        ResponseMode::Redirect | ResponseMode::Serve => Some(stored_at),
    };
    Mirrored {
        rule,
        mirror: mirror.clone(),
        fetches: fetches(&config.rules, &target),
        only_headers,
        store: (!only_headers && !unstored).then(|| store(config, &target.key)),
        location,
        public_location,
        target,
    }
}

fn fetches(rules: &[Rule], target: &Target) -> Vec<Fetch> {
    let chain = chain(rules, target.method, target.spellings());
    let forwarded = Forwarded::of(target.query(), &[], &chain);
    let number_of = |mirror: &Rc<Mirror>| {
        let is_its = |rule: &Rule| rule.mirror.as_ref().is_some_and(|own| Rc::ptr_eq(own, mirror));
        rules.iter().position(is_its).unwrap_or_default()
    };
    let pairs = chain.iter().flat_map(|mirror| mirror.origins.iter().map(move |origin| (mirror, origin)));
    pairs.map(|(mirror, origin)| fetch(number_of(mirror), mirror, origin, target.origin_key(), &forwarded)).collect()
}

fn fetch(rule: usize, mirror: &Mirror, origin: &Rc<Origin>, key: &str, forwarded: &Forwarded) -> Fetch {
    let endpoint = Endpoint::at(origin, mirror, key, forwarded);
    let names = origin.parameters.iter().map(|parameter| parameter.split('=').next().unwrap_or_default().to_owned());
    let (parameters, path) = (names.collect(), endpoint.path().to_owned());
    let upstream = endpoint.upstream;
    Fetch {
        rule,
        origin: origin.name.clone(),
        cluster: upstream.cluster.clone(),
        authority: upstream.authority.clone(),
        path,
        parameters,
        headers: upstream.headers.iter().map(|(name, _)| name.clone()).collect(),
        request_headers: mirror.request_headers.clone(),
        content_types: mirror.content_types.clone(),
        cache_control: mirror.cache_control.clone(),
        metadata: mirror.metadata.clone(),
        private: mirror.private,
        timeout: origin.timeout,
        missing: origin.missing.clone(),
        rate: origin.rate,
        redirects: origin.redirects.clone(),
    }
}

fn store(config: &Config, key: &Key) -> Store {
    let path = s3::head_object(&config.bucket, key).path;
    let Bucket { upstream, put_headers, .. } = &*config.bucket;
    let Upstream { cluster, authority, .. } = Upstream::clone(upstream);
    Store { cluster, authority, path, headers: put_headers.iter().map(|(name, _)| *name).collect() }
}
