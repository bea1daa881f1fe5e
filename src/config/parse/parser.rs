//! The parser of a configuration, field by field.

use super::addresses::{Authority, BaseUrl, LocationBase, Marker, PathPrefix, Segment};
use super::environment::missing;
use super::headers::{HeaderName, HeaderValue, ValueSource};
use super::reader::{Fields, Kind, Problems};
use super::values::{Boolean, Choice, Count, FieldValue, Frequency, MediaRange, Size, Text, Time};
use crate::config::model::{
    Bucket, Config, DEFAULT_FAILURE_TTL, DEFAULT_LOOP_WINDOW, DEFAULT_NEGATIVE_TTL, DEFAULT_TIMEOUT, DEFAULT_WAIT,
    Deleted, Exposed, GIB, Keys, Limits, MAX_OBJECT_SIZE, MAX_PART_SIZE, MIN_PART_SIZE, Overwrite,
};
use crate::config::origin::{Missing, Origin, OtherRedirects, Pin, Redirects, USER_AGENT};
use crate::http::{Upstream, is_field_value};
use crate::object::key::RESERVED;
use percent_encoding::utf8_percent_encode;
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::Duration;

/// The parser of one configuration.
pub struct Parser<'a> {
    /// Looks up the VM's environment variables.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub problems: &'a Problems,
}

impl<'a> Parser<'a> {
    /// Reads all of it. A value that cannot be read is reported, and left out or left at its default.
    pub fn config(&self, value: Value) -> Option<Config> {
        let mut root = Fields::of(value, "$".to_owned(), self.problems);
        let bucket = root.required_object("bucket").map(|fields| self.bucket(fields));
        let origins = self.origins(&mut root);
        let rules = self.rules(&mut root, &origins);
        let location = root.optional("location", LocationBase);
        let wait = root.optional(
            "wait",
            Time { min: Duration::from_millis(1), max: HOUR, allowed: "a duration from \"1ms\" to \"1h\"" },
        );
        let failure_ttl = root.optional("failure_ttl", UP_TO_AN_HOUR).unwrap_or(DEFAULT_FAILURE_TTL);
        let negative_ttl = root.optional("negative_ttl", UP_TO_AN_HOUR).unwrap_or(DEFAULT_NEGATIVE_TTL);
        let loop_window = root.optional("loop_window", UP_TO_AN_HOUR).unwrap_or(DEFAULT_LOOP_WINDOW);
        let limits = match root.object("limits") {
            Some(fields) => self.limits(fields),
            None => Limits::default(),
        };
        let marker = root.object("stream").and_then(|mut fields| {
            let marker = fields.required("marker", Marker);
            fields.finish();
            marker
        });
        root.finish();
        Some(Config {
            bucket: Rc::new(bucket??),
            rules,
            location,
            wait: wait.unwrap_or(DEFAULT_WAIT),
            failure_ttl,
            negative_ttl,
            loop_window,
            limits,
            marker,
        })
    }

    fn bucket(&self, mut fields: Fields<'a>) -> Option<Bucket> {
        let cluster = fields.required("cluster", Text);
        let authority = fields.required("authority", Authority);
        let path_prefix = fields.optional("path_prefix", PathPrefix).unwrap_or_default();
        let exposed = fields.optional("exposed", EXPOSED).unwrap_or_default();
        let storage_class = fields.optional("storage_class", FieldValue);
        let put_headers = fields.object("put_headers").map(|fields| self.put_headers(fields)).unwrap_or_default();
        let overwrite = fields.optional("if_none_match", NoOverwrite).unwrap_or_default();
        let keys = fields.optional("keys", KEYS).unwrap_or_default();
        let index = fields.optional("index", Segment);
        let deleted = fields.optional("deleted", DELETED).unwrap_or_default();
        if exposed == Exposed::Path && path_prefix.is_empty() {
            self.problems.add(&fields.path_of("exposed"), "\"path\" needs a path_prefix, which is what clients write");
        }
        fields.finish();
        Some(Bucket {
            upstream: Rc::new(Upstream { cluster: cluster?, authority: authority?, headers: Vec::new() }),
            path_prefix,
            exposed,
            storage_class,
            put_headers,
            overwrite,
            keys,
            index,
            deleted,
        })
    }

    /// Reads the named origins. `origin` is short for `origins` with one entry of that name.
    fn origins(&self, root: &mut Fields<'a>) -> Vec<Rc<Origin>> {
        let one = root.object("origin").map(|fields| self.origin("origin".to_owned(), fields));
        let several = root.object("origins").map(|fields| self.named_origins(fields));
        match (one, several) {
            (Some(one), several) => {
                if several.is_some() {
                    self.problems.add("$.origin", "cannot stand beside $.origins: give one of the two");
                }
                one.into_iter().map(Rc::new).collect()
            }
            (None, Some((several, named))) => {
                if named == 0 {
                    self.problems.add("$.origins", "is empty: name at least one origin");
                }
                several
            }
            (None, None) => {
                self.problems.add("$.origin", "is missing: give $.origin, or $.origins and $.rules");
                Vec::new()
            }
        }
    }

    /// Returns the origins that could be read, and the number of all.
    fn named_origins(&self, fields: Fields<'a>) -> (Vec<Rc<Origin>>, usize) {
        let entries = fields.entries(&Text);
        let named = entries.len();
        let origin = |(name, path, value)| self.origin(name, Fields::of(value, path, self.problems));
        (entries.into_iter().filter_map(origin).map(Rc::new).collect(), named)
    }

    fn origin(&self, name: String, mut fields: Fields<'a>) -> Option<Origin> {
        let cluster = fields.required("cluster", Text);
        let stream_cluster = fields.optional("stream_cluster", Text);
        let authority = fields.required("authority", Authority);
        let path_prefix = fields.optional("path_prefix", PathPrefix).unwrap_or_default();
        let public_url = fields.optional("public_url", BaseUrl);
        let timeout = fields.optional(
            "timeout",
            Time {
                min: Duration::from_millis(1),
                max: Duration::from_secs(600),
                allowed: "a duration from \"1ms\" to \"10m\"",
            },
        );
        let headers = fields.secret_object("headers").map(|fields| self.headers(fields)).unwrap_or_default();
        let parameters = fields.secret_object("parameters").map(|fields| self.parameters(fields)).unwrap_or_default();
        let missing = fields.each("missing", MissingAnswer);
        let rate = fields.optional("rate", Frequency);
        let redirects = fields.object("redirects").map(|fields| self.redirects(fields)).unwrap_or_default();
        let pin = fields.optional("pin", PIN).unwrap_or_default();
        let http2 = fields.optional("http2", Boolean).unwrap_or_default();
        let user_agent = fields.optional("user_agent", FieldValue).unwrap_or_else(|| USER_AGENT.to_owned());
        fields.finish();
        Some(Origin {
            name,
            upstream: Rc::new(Upstream { cluster: cluster?, authority: authority?, headers }),
            stream_cluster,
            path_prefix,
            public_url,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            parameters,
            missing: if missing.is_empty() { NOT_FOUND.map(of_status).to_vec() } else { missing },
            rate,
            redirects,
            pin,
            http2,
            user_agent,
        })
    }

    fn redirects(&self, mut fields: Fields<'a>) -> Redirects {
        let follow =
            fields.optional("follow", Count { min: 0, max: MAX_REDIRECTS, allowed: "a whole number from 0 to 3" });
        let hosts = fields.object("hosts").map(|fields| fields.entries(&Authority)).unwrap_or_default();
        let cluster = |(host, path, value): (String, String, Value)| {
            self.problems.read(&path, &value, &Text).map(|cluster| (host, cluster))
        };
        let hosts = hosts.into_iter().filter_map(cluster).collect();
        let others = fields.optional("others", OTHER_REDIRECTS).unwrap_or_default();
        fields.finish();
        Redirects { follow: follow.and_then(|n| u32::try_from(n).ok()).unwrap_or(MAX_REDIRECTS), hosts, others }
    }

    fn headers(&self, fields: Fields<'a>) -> Vec<(String, String)> {
        self.secrets(fields.entries(&HeaderName))
    }

    /// Reads values that may be secrets.
    fn secrets(&self, entries: Vec<(String, String, Value)>) -> Vec<(String, String)> {
        let mut secrets = Vec::new();
        for (name, path, value) in entries {
            let value = match self.problems.read(&path, &value, &HeaderValue) {
                Some(ValueSource::Env(variable)) => self.secret(&path, &variable),
                Some(ValueSource::Text(text)) => Some(text),
                None => None,
            };
            secrets.extend(value.map(|value| (name, value)));
        }
        secrets
    }

    /// Reads the parameters, by their names, or all of them from one variable, in which they are encoded already.
    fn parameters(&self, fields: Fields<'a>) -> Vec<String> {
        let entries = fields.entries(&Text);
        if let [(name, path, Value::String(variable))] = entries.as_slice()
            && name == "env"
        {
            let query = self.secret(path, variable).unwrap_or_default();
            // As the portal of a cloud shows a signature.
            let query = query.trim_start_matches('?');
            if query.contains([' ', '\t', '#']) {
                self.problems.add(path, format!("the environment variable {variable} is no encoded query"));
            }
            return query.split('&').filter(|parameter| !parameter.is_empty()).map(str::to_owned).collect();
        }
        let encoded = |text: String| utf8_percent_encode(&text, RESERVED).to_string();
        let parameter = |(name, value)| format!("{}={}", encoded(name), encoded(value));
        self.secrets(entries).into_iter().map(parameter).collect()
    }

    fn put_headers(&self, fields: Fields<'a>) -> Vec<(&'static str, String)> {
        let header = |(name, path, value): (String, String, Value)| {
            let value = self.problems.read(&path, &value, &FieldValue)?;
            PUT_HEADERS.into_iter().find(|known| *known == name).map(|name| (name, value))
        };
        fields.entries(&PutHeader).into_iter().filter_map(header).collect()
    }

    fn secret(&self, path: &str, variable: &str) -> Option<String> {
        let what = match (self.env)(variable) {
            Some(secret) if is_field_value(&secret) => return Some(secret),
            Some(_) => format!("the environment variable {variable} is empty or not visible ASCII"),
            None => missing(variable),
        };
        self.problems.add(path, what);
        None
    }

    fn limits(&self, mut fields: Fields<'a>) -> Limits {
        let default = Limits::default();
        let part_size = Size { min: MIN_PART_SIZE, max: MAX_PART_SIZE, allowed: "a size from \"5MiB\" to \"32MiB\"" };
        let part_size = fields.optional("part_size", part_size).unwrap_or(default.part_size);
        let parts_in_flight = Count { min: 1, max: 16, allowed: "a whole number from 1 to 16" };
        let parts_in_flight = fields.optional("parts_in_flight", parts_in_flight);
        let min_rate = Size { min: 1024, max: GIB, allowed: "a size from \"1KiB\" to \"1GiB\"" };
        let min_rate = fields.optional("min_rate", min_rate).unwrap_or(default.min_rate);
        let memory = Size { min: MIN_PART_SIZE, max: GIB, allowed: "a size from \"5MiB\" to \"1GiB\"" };
        let memory = fields.optional("memory", memory).unwrap_or(default.memory);
        if memory < part_size {
            self.problems.add(&fields.path_of("memory"), "is less than part_size, so that no object could be fetched");
        }
        let fills = fields.optional("fills", Count { min: 1, max: 10_000, allowed: "a whole number from 1 to 10000" });
        let queue =
            fields.optional("queue", Count { min: 0, max: 100_000, allowed: "a whole number from 0 to 100000" });
        let waiters =
            fields.optional("waiters", Count { min: 1, max: 1_000_000, allowed: "a whole number from 1 to 1000000" });
        let max_object_size = Size { min: 1, max: MAX_OBJECT_SIZE, allowed: "a size from \"1B\" to \"48.8TiB\"" };
        let max_object_size = fields.optional("max_object_size", max_object_size);
        let streams = Count { min: 0, max: 10_000, allowed: "a whole number from 0 to 10000" };
        let streams = fields.optional("streams", streams);
        let per_key = Count { min: 0, max: 10_000, allowed: "a whole number from 0 to 10000" };
        let streams_per_key = fields.optional("streams_per_key", per_key);
        fields.finish();
        Limits {
            first_range: default.first_range,
            part_size,
            fills: fills.unwrap_or(default.fills),
            queue: queue.unwrap_or(default.queue),
            waiters: waiters.unwrap_or(default.waiters),
            memory,
            parts_in_flight: parts_in_flight.unwrap_or(default.parts_in_flight),
            min_rate,
            max_object_size: max_object_size.unwrap_or(default.max_object_size),
            streams: streams.unwrap_or(default.streams),
            streams_per_key: streams_per_key.unwrap_or(default.streams_per_key),
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

const UP_TO_AN_HOUR: Time = Time { min: Duration::ZERO, max: HOUR, allowed: "a duration from \"0s\" to \"1h\"" };

const DELETED: Choice<Deleted> =
    Choice { of: &[("pass", Deleted::Pass), ("refill", Deleted::Refill)], allowed: "\"pass\" or \"refill\"" };

const KEYS: Choice<Keys> =
    Choice { of: &[("plain", Keys::Plain), ("exact", Keys::Exact)], allowed: "\"plain\" or \"exact\"" };

const EXPOSED: Choice<Exposed> = Choice {
    of: &[("root", Exposed::Root), ("path", Exposed::Path)],
    allowed: "\"root\" (clients write /KEY) or \"path\" (clients write /BUCKET/KEY)",
};

const OTHER_REDIRECTS: Choice<OtherRedirects> = Choice {
    of: &[("pass", OtherRedirects::Pass), ("refuse", OtherRedirects::Refuse)],
    allowed: "\"pass\" or \"refuse\"",
};

const PIN: Choice<Pin> = Choice {
    of: &[("strong", Pin::Strong), ("etag", Pin::Etag), ("last_modified", Pin::LastModified), ("length", Pin::Length)],
    allowed: "\"strong\", \"etag\", \"last_modified\" or \"length\"",
};

/// The most redirects that may be followed, and the default. Each one costs a waiting client another round trip.
const MAX_REDIRECTS: u32 = 3;

/// The statuses that mean that there is no object, unless the configuration says otherwise (RFC 9110, 15.5.5 and 15.5.11).
const NOT_FOUND: [u16; 2] = [404, 410];

/// The statuses that may mean so. Envoy says 503 and 504 itself where an origin does not answer.
const MAY_BE_MISSING: std::ops::RangeInclusive<u16> = 300..=502;

fn of_status(status: u16) -> Missing {
    Missing { status, content_type: None }
}

/// A status, or a status with a media type.
struct MissingAnswer;

impl Kind for MissingAnswer {
    type Read = Missing;

    fn read(&self, value: &Value) -> Option<Missing> {
        let status = |value: &Value| value.as_u64().and_then(|status| u16::try_from(status).ok());
        let Some(fields) = value.as_object() else {
            return status(value).filter(|status| MAY_BE_MISSING.contains(status)).map(of_status);
        };
        let content_type = Some(MediaRange.read(fields.get("content_type")?)?);
        let status = fields.get("status").and_then(status)?;
        let known = fields.len() == 2 && (status == 200 || MAY_BE_MISSING.contains(&status));
        known.then_some(Missing { status, content_type })
    }

    fn allowed(&self) -> &str {
        "a status from 300 to 502, or {\"status\": 200, \"content_type\": \"text/html\"} with 200 or such a status"
    }

    fn schema(&self) -> Value {
        let (min, max) = (MAY_BE_MISSING.start(), MAY_BE_MISSING.end());
        let status = json!({"type": "integer", "minimum": min, "maximum": max});
        let properties = json!({"status": {"anyOf": [{"const": 200}, status]}, "content_type": MediaRange.schema()});
        let required = ["status", "content_type"];
        json!({"anyOf": [status, {
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        }]})
    }
}

/// Headers with which stores that do not know `If-None-Match` refuse to overwrite:
/// <https://www.alibabacloud.com/help/en/oss/developer-reference/putobject>,
/// <https://www.tencentcloud.com/document/product/436/7749>, <https://docs.byteplus.com/en/docs/tos/docs-putobject>.
const FORBID_OVERWRITE: [&str; 3] = ["x-cos-forbid-overwrite", "x-oss-forbid-overwrite", "x-tos-forbid-overwrite"];

/// Headers with which an object is made as its bucket demands it. S3 takes each of them for PutObject
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>) and for CreateMultipartUpload
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>). A part has what its upload has.
const PUT_HEADERS: [&str; 7] = [
    "x-amz-acl",
    "x-amz-expected-bucket-owner",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-context",
    "x-amz-tagging",
];

/// The name of one of these headers.
struct PutHeader;

impl Kind for PutHeader {
    type Read = ();

    fn read(&self, value: &Value) -> Option<()> {
        value.as_str().filter(|name| PUT_HEADERS.contains(name)).map(|_| ())
    }

    fn allowed(&self) -> &str {
        "x-amz-acl, x-amz-expected-bucket-owner, x-amz-tagging, x-amz-server-side-encryption, or that with -aws-kms-key-id, \
         -bucket-key-enabled or -context"
    }

    fn schema(&self) -> Value {
        json!({"enum": PUT_HEADERS})
    }
}

/// The means that keeps a fill from overwriting an object.
struct NoOverwrite;

impl Kind for NoOverwrite {
    type Read = Overwrite;

    fn read(&self, value: &Value) -> Option<Overwrite> {
        match value {
            Value::Bool(true) => Some(Overwrite::Conditional),
            Value::Bool(false) => Some(Overwrite::HeadFirst),
            Value::String(name) => FORBID_OVERWRITE.into_iter().find(|known| known == name).map(Overwrite::Forbidden),
            _ => None,
        }
    }

    fn allowed(&self) -> &str {
        "true, false (for stores without conditional writes), or the header that forbids to overwrite: \
         \"x-cos-forbid-overwrite\", \"x-oss-forbid-overwrite\" or \"x-tos-forbid-overwrite\""
    }

    fn schema(&self) -> Value {
        let [cos, oss, tos] = FORBID_OVERWRITE;
        json!({"enum": [true, false, cos, oss, tos]})
    }
}
