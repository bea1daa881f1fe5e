//! The rules of a configuration.

use super::Origin;
use super::parser::{Parser, is_sendable_name};
use super::reader::{Fields, refused};
use super::values;
use crate::http::Method;
use crate::rules::{Mirror, On403, OnHead, Response, Rule, TooLarge};
use serde_json::Value;
use std::rc::Rc;

impl<'a> Parser<'a> {
    /// The rules; without any, every key is mirrored from the only origin.
    pub fn rules(&self, root: &mut Fields<'a>, origins: &[Origin]) -> Vec<Rule> {
        let Some(rules) = root.list("rules") else {
            if origins.len() > 1 {
                self.problems.add("$.rules", "is missing: with several origins, rules say which one serves what");
            }
            let mirror = Mirror { origins: origins.to_vec(), ..Mirror::default() };
            let everything = Rule {
                prefix: String::new(),
                suffixes: Vec::new(),
                methods: Vec::new(),
                mirror: Some(Rc::new(mirror)),
            };
            return vec![everything];
        };
        if rules.is_empty() {
            self.problems.add("$.rules", "is empty: leave it out, or give at least one rule");
        }
        rules.into_iter().map(|(path, value)| self.rule(Fields::of(value, path, self.problems), origins)).collect()
    }

    fn rule(&self, mut fields: Fields<'a>, origins: &[Origin]) -> Rule {
        let prefix = fields.optional("prefix", values::key_prefix).unwrap_or_default();
        let suffixes = self.each(&mut fields, "suffixes", values::text);
        let methods = self.each(&mut fields, "methods", |v| match v.as_str() {
            Some("GET") => Ok(Method::Get),
            Some("HEAD") => Ok(Method::Head),
            _ => Err("\"GET\" or \"HEAD\""),
        });
        let mirrors = fields.optional("mirror", values::boolean) != Some(false);
        let mirror = mirrors.then(|| Rc::new(self.mirror(&mut fields, &prefix, origins)));
        fields.finish();
        Rule { prefix, suffixes, methods, mirror }
    }

    fn mirror(&self, fields: &mut Fields<'a>, prefix: &str, origins: &[Origin]) -> Mirror {
        let mirror = Mirror {
            origins: self.rule_origins(fields, origins),
            strip_prefix: self.strip_prefix(fields, prefix),
            add_prefix: fields.optional("add_prefix", values::segments).unwrap_or_default(),
            query: self.each(fields, "query", values::text),
            request_headers: self.each(fields, "request_headers", request_header),
            content_types: self.each(fields, "content_types", values::media_range),
            cache_control: fields.optional("cache_control", values::field_value),
            response: self.choice(fields, "response", |name| match name {
                "origin" => Ok(Response::Origin),
                "redirect" => Ok(Response::Redirect),
                "serve" => Ok(Response::Serve),
                _ => Err("\"redirect\", \"serve\" or \"origin\""),
            }),
            on_403: self.choice(fields, "on_403", |name| match name {
                "check" => Ok(On403::Check),
                "ignore" => Ok(On403::Ignore),
                "miss" => Ok(On403::Miss),
                _ => Err("\"check\", \"miss\" or \"ignore\""),
            }),
            on_head: self.choice(fields, "on_head", |name| match name {
                "fill" => Ok(OnHead::Fill),
                "off" => Ok(OnHead::Off),
                "origin" => Ok(OnHead::Origin),
                _ => Err("\"fill\", \"origin\" (its headers, and nothing is stored) or \"off\""),
            }),
            too_large: self.choice(fields, "too_large", |name| match name {
                "error" => Ok(TooLarge::Error),
                "origin" => Ok(TooLarge::Origin),
                _ => Err("\"origin\" (redirect to its public_url) or \"error\""),
            }),
            observe: fields.optional("observe", values::boolean).unwrap_or_default(),
        };
        if mirror.response == Response::Origin && mirror.origins.iter().all(|origin| origin.public_url.is_none()) {
            let path = fields.path_of("response");
            self.problems.add(&path, "\"origin\" needs a public_url at one of the rule's origins");
        }
        mirror
    }

    /// The origins that a rule names; the only one there is if it names none.
    fn rule_origins(&self, fields: &mut Fields<'a>, origins: &[Origin]) -> Vec<Origin> {
        let path = fields.path_of("origins");
        let known: Vec<&str> = origins.iter().map(|origin| origin.name.as_str()).collect();
        let Some(names) = fields.list("origins") else {
            if origins.len() > 1 {
                self.problems.add(&path, format!("is missing; expected a list of: {}", known.join(", ")));
            }
            return origins.to_vec();
        };
        if names.is_empty() {
            self.problems.add(&path, format!("is empty; expected a list of: {}", known.join(", ")));
        }
        let mut chosen = Vec::new();
        for (path, name) in names {
            match origins.iter().find(|origin| name.as_str() == Some(&origin.name)) {
                Some(origin) => chosen.push(origin.clone()),
                None => {
                    self.problems.add(&path, refused(&name, &format!("the name of an origin: {}", known.join(", "))))
                }
            }
        }
        chosen
    }

    /// Only what every key of the rule begins with can be taken off each of them.
    fn strip_prefix(&self, fields: &mut Fields<'a>, prefix: &str) -> String {
        let strip_prefix = fields.optional("strip_prefix", values::segments).unwrap_or_default();
        let rest = strip_prefix.strip_prefix('/').map(|segments| prefix.strip_prefix(segments));
        if rest.is_some_and(|rest| !rest.is_some_and(|rest| rest.starts_with('/'))) {
            let path = fields.path_of("strip_prefix");
            self.problems.add(&path, "is not what the rule's prefix begins with, up to a slash");
        }
        strip_prefix
    }

    /// The elements of a list, as `parse` reads them; empty without one.
    fn each<T>(
        &self,
        fields: &mut Fields<'a>,
        name: &'static str,
        parse: impl Fn(&Value) -> Result<T, &'static str>,
    ) -> Vec<T> {
        let Some(values) = fields.list(name) else { return Vec::new() };
        if values.is_empty() {
            self.problems.add(&fields.path_of(name), "is empty: leave it out, or give at least one");
        }
        let read = |(path, value): (String, Value)| {
            parse(&value).map_err(|allowed| self.problems.add(&path, refused(&value, allowed))).ok()
        };
        values.into_iter().filter_map(read).collect()
    }

    /// One of several names.
    fn choice<T: Default>(
        &self,
        fields: &mut Fields<'a>,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> T {
        fields.optional(name, |v| parse(v.as_str().unwrap_or_default())).unwrap_or_default()
    }
}

/// A header of a client's request that origins may get. Credentials never, nor what Envoy says of the request.
fn request_header(value: &Value) -> Result<String, &'static str> {
    const ALLOWED: &str = "a lower-case header name that is neither a credential (authorization, cookie), nor Envoy's \
                           (x-envoy-*, x-forwarded-*), nor one that a fill sets itself";
    const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
    let name = value.as_str().filter(|name| is_sendable_name(name)).ok_or(ALLOWED)?;
    let kept = CREDENTIALS.contains(&name) || name.starts_with("x-envoy-") || name.starts_with("x-forwarded-");
    (!kept).then(|| name.to_owned()).ok_or(ALLOWED)
}
