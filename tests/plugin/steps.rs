//! The steps of every scenario: a bucket that denies, an origin that gives, a store that takes.

use mirror_on_miss::config::Pin;
use mirror_on_miss::http::Headers;
use mirror_on_miss::origin::Version;
use serde_json::{Value, json};

use crate::host::{Answer, Call, Client, Envoy};

/// The path of clients' requests where it does not matter.
pub const PATH: &str = "/img/a.jpg";

/// The origin's object at that path.
pub const OBJECT: &[u8] = b"hello";

/// Enough time for every fill to end and for every client to be answered.
pub const LONG: std::time::Duration = std::time::Duration::from_secs(3600);

/// The bucket's error documents.
pub const NO_SUCH_KEY: &str =
    "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>";
pub const ACCESS_DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

/// Headers of the bucket, none of which a made answer may have.
pub const BUCKET_HEADERS: [(&str, &str); 5] = [
    ("content-type", "application/xml"),
    ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ("server", "AmazonS3"),
    ("x-amz-id-2", "Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7"),
    ("x-amz-request-id", "17B2"),
];

/// Returns the smallest configuration.
pub fn configuration() -> Value {
    json!({
        "bucket": {"cluster": "signer", "authority": "s3.test", "path_prefix": "/assets"},
        "origin": {"cluster": "origin", "authority": "files.test"},
    })
}

/// Makes an Envoy with the smallest configuration, in which `changes` replace or add fields.
pub fn envoy_with(changes: Value) -> Envoy {
    Envoy::start(&configured(changes))
}

/// Returns the smallest configuration, in which `changes` replace or add fields; null removes one.
pub fn configured(changes: Value) -> String {
    let mut configuration = configuration();
    merge(&mut configuration, changes);
    configuration.to_string()
}

/// Merges JSON as RFC 7396 does.
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
            target.retain(|_, value| !value.is_null());
        }
        (target, patch) => *target = patch,
    }
}

/// Sets the metadata that Envoy's `header_to_metadata` filter keeps of every request.
pub fn kept(envoy: &mut Envoy, name: &str, value: impl AsRef<[u8]>) {
    envoy.set_property(&["metadata", "filter_metadata", "mirror_on_miss", name], value);
}

/// Makes the bucket answer that there is no such object.
pub fn miss(client: Client) {
    deny(client, 404, NO_SUCH_KEY);
}

/// Makes the bucket deny the object, perhaps because there is none.
pub fn denial(client: Client) {
    deny(client, 403, ACCESS_DENIED);
}

/// Makes the bucket deny. HEAD has no document.
pub fn deny(client: Client, status: u16, document: &str) {
    let is_head = client.request_sent().text(":method") == Some("HEAD");
    client.bucket_answers(status, &BUCKET_HEADERS, if is_head { "" } else { document });
}

/// Takes the next call, after the time that a fill waits before it repeats one.
pub fn next_call(envoy: &mut Envoy) -> Call {
    in_time(envoy, Envoy::try_next_call).expect("the module makes a call")
}

/// Takes the call of this description, such as `GET origin /path`; after the same time.
pub fn expect_call(envoy: &mut Envoy, expected: &str) -> Call {
    in_time(envoy, |envoy| envoy.try_call(expected)).unwrap_or_else(|| panic!("the module does not {expected}"))
}

fn in_time<T>(envoy: &mut Envoy, find: impl Fn(&mut Envoy) -> Option<T>) -> Option<T> {
    // Longer than any fill waits. Ticks in between renew its lease.
    (0..8).find_map(|_| {
        find(envoy).or_else(|| {
            envoy.tick();
            find(envoy)
        })
    })
}

/// Makes a request for an object fail, as often as the module repeats it before the client is answered.
pub fn fails_each_time(envoy: &mut Envoy, client: Client, fail: impl Fn(&mut Envoy, Call)) {
    while client.is_waiting() {
        let call = next_call(envoy);
        assert_eq!(call.cluster, "origin");
        fail(envoy, call);
    }
}

/// Makes the origin give [`OBJECT`].
pub fn origin_gives(envoy: &mut Envoy) {
    let call = expect_call(envoy, &format!("GET origin {PATH}"));
    origin_gives_bytes(envoy, call, OBJECT);
}

/// Returns the tag that clients get of a version with this ETag of the origin's and of this length.
pub fn tag(etag: &str, length: usize) -> String {
    let headers = Headers::new(vec![("etag".to_owned(), etag.as_bytes().to_vec())]);
    let tag = Version::of(&headers, length as u64, Pin::Strong).tag();
    tag.expect("a strong ETag tells versions apart").to_string()
}

/// Makes the origin answer a call with a small object, no longer than the range that is asked for.
pub fn origin_gives_bytes(envoy: &mut Envoy, call: Call, bytes: &[u8]) {
    let length = bytes.len().to_string();
    envoy.respond(call, 200, &[("content-type", "image/jpeg"), ("content-length", &length)], bytes);
}

/// Makes the store answer a PUT of [`OBJECT`].
pub fn store_says(envoy: &mut Envoy, status: u16) {
    let call = expect_call(envoy, &format!("PUT signer /assets{PATH}"));
    assert_eq!(call.body, OBJECT);
    envoy.respond(call, status, &[("x-amz-request-id", "17B3")], "");
}

/// Returns a whole answer.
pub fn answer(client: Client) -> Answer {
    client.answer().unwrap_or_else(|| panic!("no whole answer: {client:?}"))
}

/// Returns status and outcome of a whole answer.
pub fn result(client: Client) -> (u16, String) {
    let answer = answer(client);
    (answer.status(), answer.header("x-mirror-on-miss").unwrap_or("none").to_owned())
}

/// Makes the expected value for [`result`].
pub fn is(status: u16, outcome: &str) -> (u16, String) {
    (status, outcome.to_owned())
}
