//! Names of headers in a configuration, and their values.

use super::environment;
use super::reader::Kind;
use super::values::FieldValue;
use crate::object::metadata::{KeptMetadata, ORIGINS_PREFIXES, is_user_name};
use serde_json::{Value, json};

/// The name of a header that a configuration may set on requests to an origin.
pub struct HeaderName;

/// The name of a client's header that origins may get. It is never a credential, and never one of Envoy's own headers
/// about the request.
pub struct RequestHeader;

/// A header's value. It may be a secret, so no problem repeats it.
pub struct HeaderValue;

/// The user metadata of origins that is stored: a list of names, or a mapping from headers to names.
pub struct UserMetadata;

/// The source of a header's value.
pub enum ValueSource {
    /// The VM's environment variable of this name.
    Env(String),
    /// The configuration.
    Text(String),
}

impl Kind for HeaderName {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        value.as_str().filter(|name| is_sendable(name)).map(str::to_owned)
    }

    fn allowed(&self) -> &str {
        "a lower-case header name that a fill does not set itself"
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": TOKEN, "not": {"enum": RESERVED}})
    }
}

impl Kind for RequestHeader {
    type Read = String;

    fn read(&self, value: &Value) -> Option<String> {
        let name = HeaderName.read(value)?;
        let kept = CREDENTIALS.contains(&name.as_str()) || ENVOYS.iter().any(|prefix| name.starts_with(prefix));
        (!kept).then_some(name)
    }

    fn allowed(&self) -> &str {
        "a lower-case header name that is neither a credential (authorization, cookie), nor Envoy's \
         (x-envoy-*, x-forwarded-*), nor one that a fill sets itself"
    }

    fn schema(&self) -> Value {
        let [envoy, forwarded] = ENVOYS.map(|prefix| json!({"pattern": format!("^{prefix}")}));
        let not = json!({"anyOf": [{"enum": RESERVED}, {"enum": CREDENTIALS}, envoy, forwarded]});
        json!({"type": "string", "pattern": TOKEN, "not": not})
    }
}

impl Kind for HeaderValue {
    type Read = ValueSource;

    fn read(&self, value: &Value) -> Option<ValueSource> {
        if value.is_string() {
            return FieldValue.read(value).map(ValueSource::Text);
        }
        let only = value.as_object().filter(|fields| fields.len() == 1)?;
        only.get("env").and_then(Value::as_str).map(|name| ValueSource::Env(name.to_owned()))
    }

    fn allowed(&self) -> &str {
        "a string of visible ASCII, or {\"env\": \"NAME\"} for a secret"
    }

    fn schema(&self) -> Value {
        json!({"anyOf": [FieldValue.schema(), environment::schema()]})
    }

    fn refused(&self, _: &Value) -> String {
        format!("expected {}", self.allowed())
    }
}

impl Kind for UserMetadata {
    type Read = Vec<KeptMetadata>;

    fn read(&self, value: &Value) -> Option<Vec<KeptMetadata>> {
        let mut kept = Vec::new();
        match value {
            Value::Array(names) => {
                for name in names {
                    let name = name.as_str()?;
                    for prefix in ORIGINS_PREFIXES {
                        match name {
                            "*" => kept.push(KeptMetadata { header: prefix.to_owned(), name: None }),
                            name => kept.push(named([prefix, name].concat(), name)?),
                        }
                    }
                }
            }
            Value::Object(mapping) => {
                for (header, name) in mapping {
                    kept.push(named(header.clone(), name.as_str()?)?);
                }
            }
            _ => {}
        }
        (!kept.is_empty()).then_some(kept)
    }

    fn allowed(&self) -> &str {
        "a list of names (\"*\" for all), or an object with headers of the origin and their names as metadata; names of a-z, \
         0-9, \".\" and \"-\", not mirror-*"
    }

    fn schema(&self) -> Value {
        let reserved = json!({"pattern": "^(mirror-.*|snowball-auto-extract)$"});
        let name = json!({"type": "string", "pattern": "^[a-z0-9.-]+$", "not": reserved});
        json!({"anyOf": [
            {"type": "array", "items": {"anyOf": [{"const": "*"}, name]}, "minItems": 1},
            {"type": "object", "propertyNames": HeaderName.schema(), "additionalProperties": name, "minProperties": 1},
        ]})
    }
}

/// An RFC 9110 token in lower case.
const TOKEN: &str = "^[a-z0-9!#$%&'*+.^_`|~-]+$";

/// Headers that frame a message, and headers that the fill sets itself, such as `range`.
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

/// `None` if there can be no such header, or no such metadata.
fn named(header: String, name: &str) -> Option<KeptMetadata> {
    (is_sendable(&header) && is_user_name(name)).then(|| KeptMetadata { header, name: Some(name.to_owned()) })
}

const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// Prefixes of Envoy's own headers, and of its headers about the client.
const ENVOYS: [&str; 2] = ["x-envoy-", "x-forwarded-"];

fn is_sendable(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token) && !RESERVED.contains(&name)
}
