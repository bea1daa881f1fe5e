//! The parser of the rules.

use super::addresses::{KeyPrefix, Segments};
use super::headers::{RequestHeader, UserMetadata};
use super::parser::Parser;
use super::reader::{Fields, Kind};
use super::values::{Boolean, Choice, FieldValue, MediaRange, Text};
use crate::config::origin::Origin;
use crate::config::rule::{Mirror, On5xx, On403, OnHead, OnWait, Private, ResponseMode, Rule, TooLarge};
use crate::http::Method;
use serde_json::Value;
use std::rc::Rc;

impl<'a> Parser<'a> {
    /// Reads the rules. Without any, every key is mirrored from the only origin.
    pub fn rules(&self, root: &mut Fields<'a>, origins: &[Rc<Origin>]) -> Vec<Rule> {
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

    fn rule(&self, mut fields: Fields<'a>, origins: &[Rc<Origin>]) -> Rule {
        let prefix = fields.optional("prefix", KeyPrefix).unwrap_or_default();
        let suffixes = fields.each("suffixes", Text);
        let methods = fields.each("methods", METHOD);
        let mirrors = fields.optional("mirror", Boolean) != Some(false);
        let mirror = mirrors.then(|| Rc::new(self.mirror(&mut fields, &prefix, origins)));
        fields.finish();
        Rule { prefix, suffixes, methods, mirror }
    }

    fn mirror(&self, fields: &mut Fields<'a>, prefix: &str, origins: &[Rc<Origin>]) -> Mirror {
        let mirror = Mirror {
            origins: self.rule_origins(fields, origins),
            strip_prefix: self.strip_prefix(fields, prefix),
            add_prefix: fields.optional("add_prefix", Segments).unwrap_or_default(),
            query: fields.each("query", Text),
            request_headers: fields.each("request_headers", RequestHeader),
            content_types: fields.each("content_types", MediaRange),
            cache_control: fields.optional("cache_control", FieldValue),
            metadata: fields.optional("metadata", UserMetadata).unwrap_or_default(),
            private: fields.optional("private", PRIVATE).unwrap_or_default(),
            guess_types: fields.optional("guess_types", Boolean).unwrap_or_default(),
            response: fields.optional("response", RESPONSE).unwrap_or_default(),
            on_403: fields.optional("on_403", ON_403).unwrap_or_default(),
            on_head: fields.optional("on_head", ON_HEAD).unwrap_or_default(),
            too_large: fields.optional("too_large", TOO_LARGE).unwrap_or_default(),
            on_wait: fields.optional("on_wait", ON_WAIT).unwrap_or_default(),
            on_5xx: fields.optional("on_5xx", ON_5XX).unwrap_or_default(),
            observe: fields.optional("observe", Boolean).unwrap_or_default(),
            unstored: fields.optional("store", Boolean) == Some(false),
        };
        if mirror.response == ResponseMode::Origin && mirror.origins.iter().all(|origin| origin.public_url.is_none()) {
            let path = fields.path_of("response");
            self.problems.add(&path, "\"origin\" needs a public_url at one of the rule's origins");
        }
        mirror
    }

    /// Reads the origins that a rule names. A rule without names has the only origin.
    fn rule_origins(&self, fields: &mut Fields<'a>, origins: &[Rc<Origin>]) -> Vec<Rc<Origin>> {
        let path = fields.path_of("origins");
        let known = origins.iter().map(|origin| origin.name.as_str()).collect::<Vec<_>>().join(", ");
        let Some(names) = fields.list("origins") else {
            if origins.len() > 1 {
                self.problems.add(&path, format!("is missing; expected a list of: {known}"));
            }
            return origins.to_vec();
        };
        if names.is_empty() {
            self.problems.add(&path, format!("is empty; expected a list of: {known}"));
        }
        let origin = OriginName { origins, allowed: format!("the name of an origin: {known}") };
        names.into_iter().filter_map(|(path, name)| self.problems.read(&path, &name, &origin)).collect()
    }

    /// Reads `strip_prefix`. It must be a start that every key of the rule has.
    fn strip_prefix(&self, fields: &mut Fields<'a>, prefix: &str) -> String {
        let strip_prefix = fields.optional("strip_prefix", Segments).unwrap_or_default();
        let rest = strip_prefix.strip_prefix('/').map(|segments| prefix.strip_prefix(segments));
        if rest.is_some_and(|rest| !rest.is_some_and(|rest| rest.starts_with('/'))) {
            let path = fields.path_of("strip_prefix");
            self.problems.add(&path, "is not what the rule's prefix begins with, up to a slash");
        }
        strip_prefix
    }
}

/// The name of one of the origins.
struct OriginName<'a> {
    origins: &'a [Rc<Origin>],
    allowed: String,
}

impl Kind for OriginName<'_> {
    type Read = Rc<Origin>;

    fn read(&self, value: &Value) -> Option<Rc<Origin>> {
        let name = value.as_str()?;
        self.origins.iter().find(|origin| origin.name == name).cloned()
    }

    fn allowed(&self) -> &str {
        &self.allowed
    }

    fn schema(&self) -> Value {
        Text.schema()
    }
}

const METHOD: Choice<Method> =
    Choice { of: &[("GET", Method::Get), ("HEAD", Method::Head)], allowed: "\"GET\" or \"HEAD\"" };

const RESPONSE: Choice<ResponseMode> = Choice {
    of: &[("redirect", ResponseMode::Redirect), ("serve", ResponseMode::Serve), ("origin", ResponseMode::Origin)],
    allowed: "\"redirect\", \"serve\" or \"origin\"",
};

const ON_403: Choice<On403> = Choice {
    of: &[("check", On403::Check), ("miss", On403::Miss), ("ignore", On403::Ignore)],
    allowed: "\"check\", \"miss\" or \"ignore\"",
};

const ON_HEAD: Choice<OnHead> = Choice {
    of: &[("fill", OnHead::Fill), ("origin", OnHead::Origin), ("off", OnHead::Off)],
    allowed: "\"fill\", \"origin\" (its headers, and nothing is stored) or \"off\"",
};

const PRIVATE: Choice<Private> =
    Choice { of: &[("store", Private::Store), ("skip", Private::Skip)], allowed: "\"store\" or \"skip\"" };

const TOO_LARGE: Choice<TooLarge> = Choice {
    of: &[("origin", TooLarge::Origin), ("error", TooLarge::Error)],
    allowed: "\"origin\" (redirect to its public_url) or \"error\"",
};

const ON_5XX: Choice<On5xx> = Choice {
    of: &[("pass", On5xx::Pass), ("origin", On5xx::Origin)],
    allowed: "\"pass\" (the bucket's answer) or \"origin\" (its object, and nothing is stored)",
};

const ON_WAIT: Choice<OnWait> = Choice {
    of: &[("origin", OnWait::Origin), ("busy", OnWait::Busy)],
    allowed: "\"origin\" (its public_url, else through the edge) or \"busy\" (503)",
};
