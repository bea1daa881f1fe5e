//! The plugin's configuration: JSON in, a [`Config`] that cannot be wrong out, or every problem at once.

mod reader;
mod values;

pub use reader::Problem;
pub use values::is_authority;

use crate::key::Key;
use reader::{Fields, Problems, refused};
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

/// Everything that the operator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where objects are stored.
    pub bucket: Bucket,
    /// Tried in order; the first whose prefix matches serves the request. Never empty.
    pub rules: Vec<Rule>,
    /// What `Location` begins with. Without it `Location` is a path.
    pub location: Option<Location>,
    /// How long a client waits for a fill before it is answered without one.
    pub wait: Duration,
    /// How long an origin's 404 is remembered.
    pub negative_ttl: Duration,
    /// How long a key that was stored is not filled again.
    pub loop_window: Duration,
    /// What one worker holds at most.
    pub limits: Limits,
}

/// The bucket, as the signer reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Envoy's name of the signer's cluster.
    pub cluster: String,
    /// The store's `host[:port]`, which is signed.
    pub authority: String,
    /// What stands before a key at the store: `/BUCKET`, or nothing for a virtual-hosted bucket.
    pub path_prefix: String,
    /// What clients write.
    pub exposed: Exposed,
}

/// What a client's path looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// `/BUCKET/KEY`: the store's path style, which S3 SDKs use.
    Path,
    /// `/KEY`: sites, CDNs and virtual-hosted S3.
    Root,
}

/// What `Location` begins with, so that it is a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// The request's own scheme and authority. Envoy follows internal redirects only to these.
    Absolute,
    /// This URL: the recipe's `service_endpoint`.
    Base(String),
}

/// Which requests are mirrored, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What the key begins with, decoded; empty for every key.
    pub prefix: String,
    /// `None` leaves the bucket's answers as they are.
    pub mirror: Option<Rc<Mirror>>,
}

/// How a rule fills the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Asked in order: the next one when one is unavailable. Never empty.
    pub origins: Vec<Origin>,
    /// What a 403 means.
    pub on_403: On403,
    /// What a client gets whose object cannot be stored.
    pub too_large: TooLarge,
}

impl Mirror {
    /// Where a client may fetch an object itself: the `public_url` of the first origin that has one.
    pub fn public_url(&self) -> Option<&str> {
        self.origins.iter().find_map(|origin| origin.public_url.as_deref())
    }
}

/// What a 403 with the code `AccessDenied`, or with none that can be read, is taken for. S3 says it for a missing key
/// when the reader may not list the bucket, and for an existing one that the reader may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On403 {
    /// Ask the bucket with the writer's HEAD.
    Check,
    /// It is never a miss.
    Ignore,
    /// It is always a miss.
    Miss,
}

/// What a client gets whose object is larger than may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLarge {
    /// A 502.
    Error,
    /// A 302 to `public_url` if there is one, else a 502.
    Origin,
}

/// Where objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name in the configuration, for logs.
    pub name: String,
    /// Envoy's name of its cluster.
    pub cluster: String,
    /// The `host[:port]` that it is asked for.
    pub authority: String,
    /// What stands before the key in its paths.
    pub path_prefix: String,
    /// Where clients reach it themselves, without a trailing slash.
    pub public_url: Option<String>,
    /// Bound on one request to it, from sending to the last byte of the answer.
    pub timeout: Duration,
    /// Sent with each request to it; lower-case names.
    pub headers: Vec<(String, String)>,
}

/// What one worker holds at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes asked of the origin at once, and so of an object that is stored with a single PUT.
    pub part_size: u64,
    /// Fills that run at once.
    pub fills: usize,
    /// Fills that wait for one of those to end.
    pub queue: usize,
    /// Streams that wait for fills.
    pub waiters: usize,
    /// Bytes of objects that all fills together hold. Envoy holds up to as many again, on their way in and out.
    pub memory: u64,
    /// Parts of one object that are fetched and stored at once.
    pub parts_in_flight: usize,
    /// Larger objects are not mirrored.
    pub max_object_size: u64,
}

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;

/// S3's smallest part but the last: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
const MIN_PART_SIZE: u64 = 5 * MIB;
/// Envoy refuses a larger answer to a call: `http.async_response_buffer_limit` in `async_client_impl.cc`.
pub const MAX_PART_SIZE: u64 = 32 * MIB;
/// 10,000 parts of 5 GiB, S3's largest object.
const MAX_OBJECT_SIZE: u64 = 50_000 * GIB;

/// Measured with three parts in flight: a 1 GiB fill took no longer than with 8 MiB, and 62 to 65 MiB resident, not 77 to 95.
const DEFAULT_PART_SIZE: u64 = 6 * MIB;
const DEFAULT_MEMORY: u64 = 128 * MIB;
const DEFAULT_PARTS_IN_FLIGHT: usize = 3;
const DEFAULT_FILLS: usize = 64;
const DEFAULT_QUEUE: usize = 256;
/// About 1 kB each, in the module.
const DEFAULT_WAITERS: usize = 10_000;
/// Below the patience of browsers and of S3 SDKs (60 s), above what a part takes at 4 Mbit/s.
const DEFAULT_WAIT: Duration = Duration::from_secs(25);
/// Below [`DEFAULT_WAIT`], so that a silent origin is a 504 and not a fill that goes on.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

const DEFAULT_NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// Above the second that a browser's redirects take, below an operator's patience with a bucket that was emptied.
const DEFAULT_LOOP_WINDOW: Duration = Duration::from_secs(5);

const _: () = assert!(MAX_OBJECT_SIZE < 49 * TIB);

impl Config {
    /// Reads the plugin's configuration. `env` looks up the VM's environment variables, for secrets.
    pub fn parse(json: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let problems = Problems::default();
        let value = match serde_json::from_slice::<Value>(json) {
            Ok(value) => value,
            Err(error) => {
                problems.add("$", format!("is not JSON: {error}"));
                return Err(problems.into_vec());
            }
        };
        let config = Parser { env, problems: &problems }.config(value);
        let problems = problems.into_vec();
        config.filter(|_| problems.is_empty()).ok_or(problems)
    }
}

impl Config {
    /// How a key is mirrored: by the first rule whose prefix it has. `None` if it is not.
    pub fn mirror_for(&self, key: &Key) -> Option<&Rc<Mirror>> {
        self.rules.iter().find(|rule| key.as_str().starts_with(&rule.prefix))?.mirror.as_ref()
    }
}

struct Parser<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: &'a Problems,
}

impl<'a> Parser<'a> {
    fn config(&self, value: Value) -> Option<Config> {
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
        if exposed == Exposed::Path && path_prefix.is_empty() {
            self.problems.add(&fields.path_of("exposed"), "\"path\" needs a path_prefix, which is what clients write");
        }
        fields.finish();
        Some(Bucket { cluster: cluster?, authority: authority?, path_prefix, exposed })
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
        fields.finish();
        Some(Origin {
            name,
            cluster: cluster?,
            authority: authority?,
            path_prefix,
            public_url,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            headers,
        })
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

    /// The rules; without any, every key is mirrored from the only origin.
    fn rules(&self, root: &mut Fields<'a>, origins: &[Origin]) -> Vec<Rule> {
        let Some(rules) = root.list("rules") else {
            if origins.len() > 1 {
                self.problems.add("$.rules", "is missing: with several origins, rules say which one serves what");
            }
            let mirror = Mirror { origins: origins.to_vec(), on_403: On403::Check, too_large: TooLarge::Origin };
            return vec![Rule { prefix: String::new(), mirror: Some(Rc::new(mirror)) }];
        };
        if rules.is_empty() {
            self.problems.add("$.rules", "is empty: leave it out, or give at least one rule");
        }
        rules.into_iter().map(|(path, value)| self.rule(Fields::of(value, path, self.problems), origins)).collect()
    }

    fn rule(&self, mut fields: Fields<'a>, origins: &[Origin]) -> Rule {
        let prefix = fields.optional("prefix", values::key_prefix).unwrap_or_default();
        if fields.optional("mirror", values::boolean) == Some(false) {
            fields.finish();
            return Rule { prefix, mirror: None };
        }
        let on_403 = fields.optional("on_403", |v| match v.as_str() {
            Some("check") => Ok(On403::Check),
            Some("ignore") => Ok(On403::Ignore),
            Some("miss") => Ok(On403::Miss),
            _ => Err("\"check\", \"miss\" or \"ignore\""),
        });
        let too_large = fields.optional("too_large", |v| match v.as_str() {
            Some("error") => Ok(TooLarge::Error),
            Some("origin") => Ok(TooLarge::Origin),
            _ => Err("\"origin\" (redirect to its public_url) or \"error\""),
        });
        let mirror = Mirror {
            origins: self.rule_origins(&mut fields, origins),
            on_403: on_403.unwrap_or(On403::Check),
            too_large: too_large.unwrap_or(TooLarge::Origin),
        };
        fields.finish();
        Rule { prefix, mirror: Some(Rc::new(mirror)) }
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            part_size: DEFAULT_PART_SIZE,
            fills: DEFAULT_FILLS,
            queue: DEFAULT_QUEUE,
            waiters: DEFAULT_WAITERS,
            memory: DEFAULT_MEMORY,
            parts_in_flight: DEFAULT_PARTS_IN_FLIGHT,
            max_object_size: MAX_OBJECT_SIZE,
        }
    }
}

/// Whether a configuration may set this header on requests to an origin: an RFC 9110 token in lower case that neither
/// frames the message nor is the fill's own, as `range` is.
fn is_sendable_name(name: &str) -> bool {
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

#[cfg(test)]
mod tests;
