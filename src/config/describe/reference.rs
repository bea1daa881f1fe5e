//! What is said about each field, and what it is without being said: for the JSON Schema and the documentation.

use self::Default::{Json, Needed, Words};

/// What a field is where a configuration does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// This value, as JSON.
    Json(&'static str),
    /// It must be there.
    Needed,
    /// Something that cannot be written down as a value.
    Words(&'static str),
}

/// A field's default and description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// JSON path, as [`Field::path`](super::fields::Field::path).
    pub path: &'static str,
    /// What it is without being said.
    pub default: Default,
    /// What it is about.
    pub text: &'static str,
}

/// What is said about the field at a path; about `origin`, which is short for one of `origins`, the same as there.
pub fn entry(path: &str) -> Option<&'static Entry> {
    let named = path.strip_prefix("$.origin.").map(|field| format!("$.origins.NAME.{field}"));
    let path = named.as_deref().unwrap_or(path);
    ENTRIES.iter().find(|entry| entry.path == path)
}

const fn entry_of(path: &'static str, default: Default, text: &'static str) -> Entry {
    Entry { path, default, text }
}

/// Every field but those of `origin`, in the order of the documentation.
pub const ENTRIES: [Entry; 55] = [
    entry_of("$.bucket", Needed, "Where objects are stored, as the signer reaches it."),
    entry_of("$.bucket.cluster", Needed, "Envoy's name of the signer's cluster."),
    entry_of("$.bucket.authority", Needed, "The store's `host[:port]`, which is signed."),
    entry_of(
        "$.bucket.path_prefix",
        Json(r#""/""#),
        "What stands before a key at the store: `/BUCKET`, or nothing for a virtual-hosted bucket.",
    ),
    entry_of(
        "$.bucket.exposed",
        Json(r#""root""#),
        "What clients write: `/KEY`, or `/BUCKET/KEY` as S3 SDKs in path style do.",
    ),
    entry_of(
        "$.bucket.storage_class",
        Words("the bucket's own"),
        "The class that objects are stored in (`x-amz-storage-class`).",
    ),
    entry_of(
        "$.bucket.if_none_match",
        Json("true"),
        "What keeps a fill from overwriting an object: `If-None-Match: *`; the header that a store has in its place; or, \
         with `false`, a HEAD just before, which leaves a moment in which another writer's object is overwritten.",
    ),
    entry_of(
        "$.origin",
        Words("none"),
        "The only origin: short for `origins` with one entry, named `origin`. Either this or `origins`.",
    ),
    entry_of("$.origins", Words("none"), "The origins by name. With several, each rule says which it asks."),
    entry_of("$.origins.NAME", Words("none"), "Where objects come from."),
    entry_of("$.origins.NAME.cluster", Needed, "Envoy's name of the origin's cluster."),
    entry_of("$.origins.NAME.authority", Needed, "The `host[:port]` that it is asked for."),
    entry_of("$.origins.NAME.path_prefix", Json(r#""/""#), "What stands before a key at the origin."),
    entry_of(
        "$.origins.NAME.public_url",
        Words("none"),
        "Where clients can fetch from it themselves, for what the bucket cannot take or does not have yet.",
    ),
    entry_of("$.origins.NAME.timeout", Json(r#""20s""#), "Bound on one request to it, to the last byte of the answer."),
    entry_of("$.origins.NAME.headers", Json("{}"), "Sent with each request to it, and to no other host."),
    entry_of(
        "$.origins.NAME.headers.NAME",
        Words("none"),
        "The header's value; `{\"env\": \"NAME\"}` is a secret in the environment of the VM (`vm_config.environment_variables`).",
    ),
    entry_of(
        "$.origins.NAME.redirects",
        Words("none is followed"),
        "Which of its redirects are followed: those to its own authority, and to these hosts.",
    ),
    entry_of("$.origins.NAME.redirects.follow", Json("3"), "How many in a row."),
    entry_of("$.origins.NAME.redirects.hosts", Json("{}"), "Other hosts that it may redirect to, as `host[:port]`."),
    entry_of(
        "$.origins.NAME.redirects.hosts.NAME",
        Words("none"),
        "Envoy's name of the cluster that is asked for this host.",
    ),
    entry_of(
        "$.origins.NAME.pin",
        Json(r#""strong""#),
        "What joins the parts of an object, beside its length. `strong`: a strong ETag, else a `Last-Modified` at least a second \
         older than the answer's `Date`. `etag`: any equal ETag. `last_modified`: that alone, for nodes that differ in their \
         ETags. `length`: nothing else, so that a change that keeps the length goes unseen.",
    ),
    entry_of(
        "$.origins.NAME.http2",
        Json("false"),
        "`true`: its cluster speaks nothing but HTTP/2 or HTTP/3, where an answer without `Content-Length` has a proven end.",
    ),
    entry_of(
        "$.origins.NAME.user_agent",
        Words("`mirror-on-miss/VERSION`"),
        "The `User-Agent` of requests to it; one in `headers`, or of a client by `request_headers`, goes before.",
    ),
    entry_of(
        "$.rules",
        Json("[{}]"),
        "Tried in order; the first that is for a request decides. Needed with several origins.",
    ),
    entry_of(
        "$.rules[]",
        Words("none"),
        "Which requests it is for (`prefix`, `suffixes`, `methods`), and how these are mirrored.",
    ),
    entry_of("$.rules[].prefix", Json(r#""/""#), "What the decoded key begins with, behind a slash."),
    entry_of("$.rules[].suffixes", Words("every key"), "What the decoded key ends with, one of them."),
    entry_of("$.rules[].methods", Words("both"), "The methods that the rule is for."),
    entry_of(
        "$.rules[].mirror",
        Json("true"),
        "`false`: the bucket's answers stay as they are, and no later rule is asked. Only `prefix`, `suffixes` and `methods` may \
         stand beside it.",
    ),
    entry_of(
        "$.rules[].origins",
        Words("the only one"),
        "Names, in order: the next one is asked when one fails with 5xx, reset or timeout. When all say 404, the next rule that is \
         for the request is asked.",
    ),
    entry_of(
        "$.rules[].strip_prefix",
        Json(r#""/""#),
        "What keys begin with that the origins do not know: segments that `prefix` begins with.",
    ),
    entry_of("$.rules[].add_prefix", Json(r#""/""#), "What the origins have in its place, behind their `path_prefix`."),
    entry_of(
        "$.rules[].query",
        Words("none"),
        "Names of query parameters that the origins get. A key has no query: whoever fills it first decides for all.",
    ),
    entry_of(
        "$.rules[].request_headers",
        Words("none"),
        "Names of request headers that the origins get. Here too, whoever fills a key first decides for all.",
    ),
    entry_of(
        "$.rules[].content_types",
        Words("every type"),
        "Media types that may be stored. What is of another type is not, and the next origin is asked.",
    ),
    entry_of("$.rules[].cache_control", Words("the origin's"), "Stored as the object's `Cache-Control`."),
    entry_of(
        "$.rules[].guess_types",
        Json("false"),
        "`true`: an origin's `application/octet-stream` is replaced by what the extension says, unless a browser would run that \
         (HTML, SVG, scripts, XML), or the origin says `nosniff`.",
    ),
    entry_of(
        "$.rules[].response",
        Json(r#""redirect""#),
        "`redirect`: a 302 to the same URL when the object is stored. `serve`: a 200 with the object at once, which is stored \
         meanwhile, if it fits one part. `origin`: a 302 to `public_url` at once; the bucket is filled meanwhile.",
    ),
    entry_of(
        "$.rules[].on_403",
        Json(r#""check""#),
        "A 403 that may be a miss: `check` asks the bucket with the signer's HEAD, `miss` takes it for one, `ignore` does not.",
    ),
    entry_of(
        "$.rules[].on_head",
        Json(r#""fill""#),
        "A HEAD that misses: `fill` does what a GET does, `origin` answers with the origin's headers and stores nothing, `off` leaves \
         the bucket's answer.",
    ),
    entry_of(
        "$.rules[].too_large",
        Json(r#""origin""#),
        "An object that cannot be stored: 302 to `public_url`, or 502; 502 also without a `public_url`.",
    ),
    entry_of(
        "$.rules[].observe",
        Json("false"),
        "`true`: misses are counted as `observed`, nothing is fetched, and the bucket's answers stay as they are.",
    ),
    entry_of(
        "$.location",
        Words("a path"),
        "What `Location` begins with: a URL, or `absolute` for the request's own scheme and host, which Envoy's internal redirects need.",
    ),
    entry_of(
        "$.wait",
        Json(r#""25s""#),
        "How long a client waits for a fill at most. Keep it below Envoy's `stream_idle_timeout`.",
    ),
    entry_of("$.negative_ttl", Json(r#""10s""#), "How long an origin's 404 is remembered, by all workers."),
    entry_of("$.loop_window", Json(r#""5s""#), "How long a key that was stored is not filled again."),
    entry_of("$.limits", Json("{}"), "What one worker holds at most."),
    entry_of(
        "$.limits.part_size",
        Json(r#""6MiB""#),
        "Asked of the origin at once, and so the largest object that is stored with one PUT.",
    ),
    entry_of("$.limits.parts_in_flight", Json("3"), "Parts of one object that are fetched and stored at once."),
    entry_of(
        "$.limits.memory",
        Json(r#""128MiB""#),
        "Bytes of objects that a worker's module holds; not below `part_size`.",
    ),
    entry_of("$.limits.fills", Json("64"), "Fills that run at once."),
    entry_of("$.limits.queue", Json("256"), "Fills that wait for room in `fills` or `memory`."),
    entry_of("$.limits.waiters", Json("10000"), "Clients that wait for fills."),
    entry_of("$.limits.max_object_size", Json(r#""50000GiB""#), "Larger objects are not mirrored."),
];
