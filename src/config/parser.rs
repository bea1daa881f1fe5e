//! From JSON to a [`Config`], field by field.

use super::reader::{Fields, Problems, refused};
use super::{
    Bucket, Config, DEFAULT_LOOP_WINDOW, DEFAULT_NEGATIVE_TTL, DEFAULT_TIMEOUT, DEFAULT_WAIT, Exposed, GIB, Limits,
    MAX_OBJECT_SIZE, MAX_PART_SIZE, MIN_PART_SIZE, Origin, Overwrite, Redirects, values,
};
use serde_json::Value;
use std::time::Duration;

/// Reads one configuration.
pub struct Parser<'a> {
    /// Looks up the VM's environment variables.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Everything that is wrong.
    pub problems: &'a Problems,
}

impl<'a> Parser<'a> {
    /// All of it. What could not be read is reported, and left out or at its default.
    pub fn config(&self, value: Value) -> Option<Config> {
        let mut root = Fields::of(value, "$".to_owned(), self.problems);
        let bucket = root.object("bucket").map(|fields| self.bucket(fields));
        if bucket.is_none() {
            self.problems.add("$.bucket", "is missing");
        }
        let origins = self.origins(&mut root);
        let rules = self.rules(&mut root, &origins);
        let location = root.optional("location", values::location);
        let wait = root.optional("wait", |v| {
            values::duration(
                v,
                Duration::from_millis(1),
                Duration::from_secs(3600),
                "a duration from \"1ms\" to \"1h\"",
            )
        });
        let up_to_an_hour = |v: &Value| {
            values::duration(v, Duration::ZERO, Duration::from_secs(3600), "a duration from \"0s\" to \"1h\"")
        };
        let negative_ttl = root.optional("negative_ttl", up_to_an_hour).unwrap_or(DEFAULT_NEGATIVE_TTL);
        let loop_window = root.optional("loop_window", up_to_an_hour).unwrap_or(DEFAULT_LOOP_WINDOW);
        let limits = match root.object("limits") {
            Some(fields) => self.limits(fields),
            None => Limits::default(),
        };
        root.finish();
        Some(Config {
            bucket: bucket??,
            rules,
            location,
            wait: wait.unwrap_or(DEFAULT_WAIT),
            negative_ttl,
            loop_window,
            limits,
        })
    }

    fn bucket(&self, mut fields: Fields<'a>) -> Option<Bucket> {
        let cluster = fields.required("cluster", values::text);
        let authority = fields.required("authority", values::authority);
        let path_prefix = fields.optional("path_prefix", values::path_prefix).unwrap_or_default();
        let exposed = fields.optional("exposed", |v| match v.as_str() {
            Some("path") => Ok(Exposed::Path),
            Some("root") => Ok(Exposed::Root),
            _ => Err("\"root\" (clients write /KEY) or \"path\" (clients write /BUCKET/KEY)"),
        });
        let exposed = exposed.unwrap_or(Exposed::Root);
        let storage_class = fields.optional("storage_class", values::field_value);
        let overwrite = fields.optional("if_none_match", overwrite).unwrap_or_default();
        if exposed == Exposed::Path && path_prefix.is_empty() {
            self.problems.add(&fields.path_of("exposed"), "\"path\" needs a path_prefix, which is what clients write");
        }
        fields.finish();
        Some(Bucket { cluster: cluster?, authority: authority?, path_prefix, exposed, storage_class, overwrite })
    }

    /// The named origins; `origin` is short for `origins` with one entry of that name.
    fn origins(&self, root: &mut Fields<'a>) -> Vec<Origin> {
        match (root.object("origin"), root.object("origins")) {
            (Some(_), Some(_)) => {
                self.problems.add("$.origin", "cannot stand beside $.origins: give one of the two");
                Vec::new()
            }
            (Some(fields), None) => self.origin("origin".to_owned(), fields).into_iter().collect(),
            (None, Some(fields)) => {
                let entries = fields.entries();
                if entries.is_empty() {
                    self.problems.add("$.origins", "is empty: name at least one origin");
                }
                let origin = |(name, path, value)| self.origin(name, Fields::of(value, path, self.problems));
                entries.into_iter().filter_map(origin).collect()
            }
            (None, None) => {
                self.problems.add("$.origin", "is missing: give $.origin, or $.origins and $.rules");
                Vec::new()
            }
        }
    }

    fn origin(&self, name: String, mut fields: Fields<'a>) -> Option<Origin> {
        let cluster = fields.required("cluster", values::text);
        let authority = fields.required("authority", values::authority);
        let path_prefix = fields.optional("path_prefix", values::path_prefix).unwrap_or_default();
        let public_url = fields.optional("public_url", values::base_url);
        let timeout = fields.optional("timeout", |v| {
            values::duration(
                v,
                Duration::from_millis(1),
                Duration::from_secs(600),
                "a duration from \"1ms\" to \"10m\"",
            )
        });
        let headers = fields.secret_object("headers").map(|fields| self.headers(fields)).unwrap_or_default();
        let redirects = fields.object("redirects").map(|fields| self.redirects(fields));
        fields.finish();
        Some(Origin {
            name,
            cluster: cluster?,
            authority: authority?,
            path_prefix,
            public_url,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            headers,
            redirects,
        })
    }

    fn redirects(&self, mut fields: Fields<'a>) -> Redirects {
        let follow = fields.optional("follow", |v| values::count(v, 0, 3, "a whole number from 0 to 3"));
        let hosts = fields.object("hosts").map(Fields::entries).unwrap_or_default();
        let hosts = hosts.into_iter().filter_map(|(name, path, cluster)| {
            if values::authority(&Value::String(name.clone())).is_err() {
                self.problems.add(&path, "is not allowed; expected a \"host\" or \"host:port\" as the field's name");
            }
            match values::text(&cluster) {
                Ok(cluster) => Some((name, cluster)),
                Err(allowed) => {
                    self.problems.add(&path, refused(&cluster, allowed));
                    None
                }
            }
        });
        let hosts = hosts.collect();
        fields.finish();
        Redirects { follow: follow.and_then(|n| u32::try_from(n).ok()).unwrap_or(MAX_REDIRECTS), hosts }
    }

    /// Header values may be secrets, so none is ever repeated in a problem.
    fn headers(&self, fields: Fields<'a>) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for (name, path, value) in fields.entries() {
            if !is_sendable_name(&name) {
                self.problems
                    .add(&path, "is not allowed; expected a lower-case header name that a fill does not set itself");
            }
            match self.header_value(&value) {
                Ok(value) => headers.push((name, value)),
                Err(what) => self.problems.add(&path, what),
            }
        }
        headers
    }

    fn header_value(&self, value: &Value) -> Result<String, String> {
        const ALLOWED: &str = "expected a string of visible ASCII, or {\"env\": \"NAME\"} for a secret";
        if value.is_string() {
            return values::field_value(value).map_err(|_| ALLOWED.to_owned());
        }
        let only_env = value.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.get("env"));
        let name = only_env.and_then(Value::as_str).ok_or(ALLOWED)?;
        let secret = (self.env)(name).ok_or_else(|| {
            format!("the VM has no environment variable {name}: list it in vm_config.environment_variables")
        })?;
        values::field_value(&Value::String(secret))
            .map_err(|_| format!("the environment variable {name} is empty or not visible ASCII"))
    }

    fn limits(&self, mut fields: Fields<'a>) -> Limits {
        let default = Limits::default();
        let part_size = fields
            .optional("part_size", |v| {
                values::size(v, MIN_PART_SIZE, MAX_PART_SIZE, "a size from \"5MiB\" to \"32MiB\"")
            })
            .unwrap_or(default.part_size);
        let parts_in_flight =
            fields.optional("parts_in_flight", |v| values::count(v, 1, 16, "a whole number from 1 to 16"));
        let memory = fields
            .optional("memory", |v| values::size(v, MIN_PART_SIZE, GIB, "a size from \"5MiB\" to \"1GiB\""))
            .unwrap_or(default.memory);
        if memory < part_size {
            self.problems.add(&fields.path_of("memory"), "is less than part_size, so that no object could be fetched");
        }
        let fills = fields.optional("fills", |v| values::count(v, 1, 10_000, "a whole number from 1 to 10000"));
        let queue = fields.optional("queue", |v| values::count(v, 0, 100_000, "a whole number from 0 to 100000"));
        let waiters =
            fields.optional("waiters", |v| values::count(v, 1, 1_000_000, "a whole number from 1 to 1000000"));
        let max_object_size = fields
            .optional("max_object_size", |v| values::size(v, 1, MAX_OBJECT_SIZE, "a size from \"1B\" to \"48.8TiB\""));
        fields.finish();
        Limits {
            part_size,
            fills: fills.unwrap_or(default.fills),
            queue: queue.unwrap_or(default.queue),
            waiters: waiters.unwrap_or(default.waiters),
            memory,
            parts_in_flight: parts_in_flight.unwrap_or(default.parts_in_flight),
            max_object_size: max_object_size.unwrap_or(default.max_object_size),
        }
    }
}

/// As many as may be followed, and are if nothing else is said. Each one costs a client that waits another round trip.
const MAX_REDIRECTS: u32 = 3;

/// Headers with which stores that do not know `If-None-Match` refuse to overwrite:
/// <https://www.alibabacloud.com/help/en/oss/developer-reference/putobject>,
/// <https://www.tencentcloud.com/document/product/436/7749>, <https://docs.byteplus.com/en/docs/tos/docs-putobject>.
const FORBID_OVERWRITE: [&str; 3] = ["x-cos-forbid-overwrite", "x-oss-forbid-overwrite", "x-tos-forbid-overwrite"];

fn overwrite(value: &Value) -> Result<Overwrite, &'static str> {
    const ALLOWED: &str = "true, false (for stores without conditional writes), or the header that forbids to overwrite: \
                           \"x-cos-forbid-overwrite\", \"x-oss-forbid-overwrite\" or \"x-tos-forbid-overwrite\"";
    match value {
        Value::Bool(true) => Ok(Overwrite::Conditional),
        Value::Bool(false) => Ok(Overwrite::HeadFirst),
        Value::String(name) => {
            let known = FORBID_OVERWRITE.into_iter().find(|known| known == name);
            known.map(Overwrite::Forbidden).ok_or(ALLOWED)
        }
        _ => Err(ALLOWED),
    }
}

/// Whether a configuration may set this header on requests to an origin: an RFC 9110 token in lower case that neither
/// frames the message nor is the fill's own, as `range` is.
pub fn is_sendable_name(name: &str) -> bool {
    const RESERVED: [&str; 14] = [
        "accept-encoding",
        "connection",
        "content-length",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "range",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token) && !RESERVED.contains(&name)
}
