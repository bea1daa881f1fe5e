//! The description and the default of each field, for the JSON Schema and the documentation.

use self::Default::{Json, Needed, Words};

/// The value that a field has where a configuration leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// A JSON value.
    Json(&'static str),
    /// None: the field is required.
    Needed,
    /// A default that no JSON value expresses.
    Words(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// JSON path, as in [`Field::path`](super::fields::Field::path).
    pub path: &'static str,
    pub default: Default,
    /// Description in Markdown.
    pub text: &'static str,
}

/// Finds the description of the field at a path. `origin` is short for one of `origins` and shares their
/// descriptions.
pub fn entry(path: &str) -> Option<&'static Entry> {
    let named = path.strip_prefix("$.origin.").map(|field| format!("$.origins.NAME.{field}"));
    let path = named.as_deref().unwrap_or(path);
    ENTRIES.iter().find(|entry| entry.path == path)
}

const fn entry_of(path: &'static str, default: Default, text: &'static str) -> Entry {
    Entry { path, default, text }
}

/// Every field but those of `origin`, in the order of the documentation.
pub const ENTRIES: [Entry; 77] = [
    entry_of("$.bucket", Needed, "The bucket, as the signer reaches it."),
    entry_of("$.bucket.cluster", Needed, "Envoy's name of the signer's cluster."),
    entry_of("$.bucket.authority", Needed, "The store's `host[:port]`. The signer signs it."),
    entry_of(
        "$.bucket.path_prefix",
        Json(r#""/""#),
        "The path before each key at the store: `/BUCKET`, or nothing for a virtual-hosted bucket.",
    ),
    entry_of(
        "$.bucket.exposed",
        Json(r#""root""#),
        "What clients write: `/KEY`, or `/BUCKET/KEY` as S3 SDKs do in path style.",
    ),
    entry_of(
        "$.bucket.storage_class",
        Words("the bucket's own"),
        "The storage class of new objects (`x-amz-storage-class`).",
    ),
    entry_of(
        "$.bucket.put_headers",
        Json("{}"),
        "Headers that the bucket demands of whoever makes an object: on PutObject and CreateMultipartUpload. The signer has to \
         allow the same values.",
    ),
    entry_of("$.bucket.put_headers.NAME", Words("none"), "The header's value."),
    entry_of(
        "$.bucket.if_none_match",
        Json("true"),
        "What keeps a fill from overwriting an object. `true` is `If-None-Match: *`. A name is the header that a \
         store has in its place. `false` is a HEAD before each attempt at a write, and only its 404 lets the object be \
         written; an object that another writer stores between the two is overwritten.",
    ),
    entry_of(
        "$.bucket.keys",
        Json(r#""plain""#),
        "`plain`: an object is stored only under a key that all servers read alike; of other keys the client gets the \
         origin's object, which is not stored. `exact`: the store keeps all keys apart, byte for byte, as AWS does.",
    ),
    entry_of(
        "$.bucket.index",
        Words("none"),
        "The key that a path with a slash at the end stands for: with `index.html` the bucket is asked for `KEY/index.html`, \
         and an origin for `KEY/`. A path that lacks its slash is redirected to the page, where there is \
         no object of its name. Without it a path with a slash is not mirrored.",
    ),
    entry_of(
        "$.bucket.deleted",
        Json(r#""pass""#),
        "An object that the bucket says was deleted (`x-amz-delete-marker: true`): `pass` leaves the bucket's 404, `refill` \
         takes that for a miss.",
    ),
    entry_of(
        "$.origin",
        Words("none"),
        "The only origin. It is short for `origins` with one entry that is named `origin`. Give this or `origins`.",
    ),
    entry_of(
        "$.origins",
        Words("none"),
        "The origins by name. With several of them, each rule names those that it asks.",
    ),
    entry_of("$.origins.NAME", Words("none"), "A place that objects come from."),
    entry_of("$.origins.NAME.cluster", Needed, "Envoy's name of the origin's cluster."),
    entry_of(
        "$.origins.NAME.stream_cluster",
        Words("`cluster`"),
        "Envoy's name of the cluster that clients are passed through, see `stream`. With one of its own, slow clients take no \
         connection from fills.",
    ),
    entry_of("$.origins.NAME.authority", Needed, "The `host[:port]` that requests to it name."),
    entry_of("$.origins.NAME.path_prefix", Json(r#""/""#), "The path before each key at the origin."),
    entry_of(
        "$.origins.NAME.public_url",
        Words("none"),
        "The URL at which clients reach the origin themselves. They are sent there for objects that the bucket \
         cannot take or does not have yet.",
    ),
    entry_of(
        "$.origins.NAME.timeout",
        Json(r#""20s""#),
        "The longest time for one request to it, to the last byte of the answer. An origin that needs longer is asked for less at once.",
    ),
    entry_of("$.origins.NAME.headers", Json("{}"), "Headers of each request to it. No other host gets them."),
    entry_of(
        "$.origins.NAME.headers.NAME",
        Words("none"),
        "The header's value. `{\"env\": \"NAME\"}` takes a secret from the environment of the VM \
         (`vm_config.environment_variables`).",
    ),
    entry_of(
        "$.origins.NAME.parameters",
        Json("{}"),
        "Query parameters of each request to it. No other host gets them, and no log, answer or stored object has them. \
         `{\"env\": \"NAME\"}` takes them all from one variable, as `name=value&name=value`, encoded: a shared access signature of \
         Azure.",
    ),
    entry_of(
        "$.origins.NAME.parameters.NAME",
        Words("none"),
        "The parameter's value, not encoded. `{\"env\": \"NAME\"}` takes a secret, as in `headers`.",
    ),
    entry_of(
        "$.origins.NAME.missing",
        Json("[404, 410]"),
        "The answers that mean that the origin does not have the object, in the place of the default: statuses, or a status with \
         the type of its document. S3 says 403 to those who may not list the bucket. A site that says 200 to everything is \
         known by its `text/html`; 200 stands for 206, too. Such an answer is remembered for `negative_ttl`, and the next origin is asked.",
    ),
    entry_of(
        "$.origins.NAME.rate",
        Words("no bound"),
        "The most requests to the origin, and to where it redirects, on average, of all workers of one Envoy. A second's requests \
         may go out at once. The others wait, and new misses behind them: first in `limits.queue`, then they are 503 with `Retry-After`.",
    ),
    entry_of(
        "$.origins.NAME.redirects",
        Words("none is followed"),
        "The redirects of the origin that are followed: those to its own authority, and those to these hosts.",
    ),
    entry_of("$.origins.NAME.redirects.follow", Json("3"), "The most redirects in a row."),
    entry_of("$.origins.NAME.redirects.hosts", Json("{}"), "Other hosts that it may redirect to, as `host[:port]`."),
    entry_of(
        "$.origins.NAME.redirects.hosts.NAME",
        Words("none"),
        "Envoy's name of the cluster that is asked for this host.",
    ),
    entry_of(
        "$.origins.NAME.redirects.others",
        Json(r#""pass""#),
        "Redirects to another path of the origin's own that are not followed. `pass`: the client gets the redirect, to the same \
         object on this host. So is one that only adds a slash, where `bucket.index` is set. `refuse`: 502, as for redirects to other hosts.",
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
        "The rules in order. The first one that fits a request decides. Several origins need rules.",
    ),
    entry_of(
        "$.rules[]",
        Words("none"),
        "The requests that the rule fits (`prefix`, `suffixes`, `methods`), and how they are mirrored.",
    ),
    entry_of("$.rules[].prefix", Json(r#""/""#), "The beginning of the decoded key, with a slash before it."),
    entry_of("$.rules[].suffixes", Words("every key"), "Ends of the decoded key. One of them must match."),
    entry_of("$.rules[].methods", Words("both"), "The methods that the rule fits."),
    entry_of(
        "$.rules[].mirror",
        Json("true"),
        "`false` leaves the bucket's answers as they are, and ends the search for rules. Only `prefix`, \
         `suffixes` and `methods` may stand beside it.",
    ),
    entry_of(
        "$.rules[].origins",
        Words("the only one"),
        "Names of origins, in order. The next one is asked when one does not have the object (`missing`), fails (408, 425, 429, 5xx, reset, timeout), or \
         gives an object that cannot be taken. When none of them has it the next rule that fits the request is asked.",
    ),
    entry_of(
        "$.rules[].strip_prefix",
        Json(r#""/""#),
        "Segments at the beginning of keys that the origins do not have. `prefix` must begin with them.",
    ),
    entry_of(
        "$.rules[].add_prefix",
        Json(r#""/""#),
        "Segments that the origins have in their place, after their `path_prefix`.",
    ),
    entry_of(
        "$.rules[].query",
        Words("none"),
        "Names of query parameters that the origins get. A key has no query: the first client to fill a key \
         decides for all.",
    ),
    entry_of(
        "$.rules[].request_headers",
        Words("none"),
        "Names of request headers that the origins get. Here, too, the first client to fill a key decides for all.",
    ),
    entry_of(
        "$.rules[].content_types",
        Words("every type"),
        "Media types that may be stored. An object of another type is not stored, and the next origin is asked.",
    ),
    entry_of(
        "$.rules[].cache_control",
        Words("the origin's"),
        "The stored object's `Cache-Control`. It also removes the origin's `Expires`.",
    ),
    entry_of(
        "$.rules[].metadata",
        Words("none is kept"),
        "The user metadata of the origins that is stored. Names are those of `x-amz-meta-NAME`, `x-goog-meta-NAME` and \
         `x-ms-meta-NAME`, and `*` is all of these. An object maps any header of an origin to a name: \
         `{\"x-ms-meta-owned_by\": \"owner\"}`.",
    ),
    entry_of(
        "$.rules[].private",
        Json(r#""store""#),
        "An object whose origin says `Cache-Control: private` or `no-store`. `store`: it is stored like any other, with that \
         header, because the bucket takes the origin's place. `skip`: it is handed out if it fits one part, and never stored.",
    ),
    entry_of(
        "$.rules[].guess_types",
        Json("false"),
        "`true`: an origin's `application/octet-stream` is replaced by what the extension says, unless a browser would run that \
         (HTML, SVG, scripts, XML), or the origin says `nosniff`.",
    ),
    entry_of(
        "$.rules[].response",
        Json(r#""redirect""#),
        "`redirect`: a 302 to the same URL once the object is stored. `serve`: a 200 with the object, or a 206 with \
         the range that is asked for, as soon as the object has come, while it is being stored; with `stream` also if \
         it has several parts. `origin`: a 302 to `public_url` at once, while the bucket is filled.",
    ),
    entry_of(
        "$.rules[].on_403",
        Json(r#""check""#),
        "What a 403 that may be a miss leads to. `check` asks the bucket with the signer's HEAD. `miss` takes it \
         for a miss, and hands nothing out. `ignore` passes it on: right for a reader with `s3:ListBucket`, to which a \
         missing key is a 404.",
    ),
    entry_of(
        "$.rules[].on_head",
        Json(r#""fill""#),
        "What a HEAD that misses leads to. `fill` does what a GET does. `origin` answers with the origin's \
         headers and stores nothing. `off` leaves the bucket's answer.",
    ),
    entry_of(
        "$.rules[].too_large",
        Json(r#""origin""#),
        "The answer for an object that is too large to be stored. `origin` is a 302 to `public_url`. Without one the client \
         is passed to the origin, or gets a 502. `error` is always a 502.",
    ),
    entry_of(
        "$.rules[].on_wait",
        Json(r#""origin""#),
        "The answer when `wait` is over. `origin` is a 302 to `public_url`; without one the client of an object of several parts is \
         passed to the origin where `stream` allows it, else it gets a 503. `busy` is always a 503.",
    ),
    entry_of(
        "$.rules[].on_5xx",
        Json(r#""pass""#),
        "The answer while the bucket fails: with 500, 502, 503 or 504, or because it cannot be reached or is silent. `pass` is the \
         bucket's. `origin` is the origin's object, handed out or passed on, and nothing is stored; the bucket's answer stands where no \
         origin gives one. It needs Envoy's half, `ON_5XX=origin`.",
    ),
    entry_of(
        "$.rules[].store",
        Json("true"),
        "`false`: what the bucket lacks is handed out, or passed from the origin, at each request, and never stored. For files that \
         change under one name, such as the indexes of package repositories. An object that the bucket has already is served until it \
         is deleted there.",
    ),
    entry_of(
        "$.rules[].observe",
        Json("false"),
        "`true` counts misses as `observed`, names their keys in the log, fetches nothing, and leaves the bucket's answers as they are: \
         for traffic that nobody sees, and to rehearse the switch-off of an origin.",
    ),
    entry_of(
        "$.location",
        Words("a path"),
        "The form of `Location`. A URL is what it begins with. `distinct` is the path with the query `mirror-on-miss`, where the request \
         has no query: for clients that take a redirect to the same URL as a loop. `absolute` is for an edge that follows it itself, \
         which Envoy does only to a whole URL: that of the store, and only for a request that already names the store as its host.",
    ),
    entry_of(
        "$.wait",
        Json(r#""25s""#),
        "The longest time that a client waits for a fill. Keep it below Envoy's `stream_idle_timeout`.",
    ),
    entry_of(
        "$.failure_ttl",
        Json(r#""1s""#),
        "The time for which all workers remember that an object could not be had from its origins, so that a client's quick retries \
         do not ask them again.",
    ),
    entry_of("$.negative_ttl", Json(r#""10s""#), "The time for which all workers remember an origin's 404."),
    entry_of("$.loop_window", Json(r#""5s""#), "The time for which a key that was stored is not filled again."),
    entry_of("$.limits", Json("{}"), "What one worker holds at most. Origins and kinds of fills share it."),
    entry_of(
        "$.limits.part_size",
        Json(r#""6MiB""#),
        "Bytes that an origin is asked for at once. So it is also the largest object that is stored with one PUT.",
    ),
    entry_of(
        "$.limits.parts_in_flight",
        Json("3"),
        "The most parts of one object that are fetched and stored at once. Over a thin line there are fewer.",
    ),
    entry_of(
        "$.limits.min_rate",
        Json(r#""32KiB""#),
        "Bytes a second. A request that stores a part may take 20 s, and as much longer as the part takes at this rate.",
    ),
    entry_of(
        "$.limits.memory",
        Json(r#""128MiB""#),
        "The most bytes of objects that a worker holds: what fills hold or have asked for, and what clients were handed \
         and may not have read. It may not be below `part_size`. Half of it bounds the size of a part.",
    ),
    entry_of(
        "$.limits.fills",
        Json("512"),
        "The most fills that run at once, and half of them of each origin where there are several. Each reserves the bytes of its \
         first request before it begins: a part while few fills run, and at least 64 KiB while many do.",
    ),
    entry_of(
        "$.limits.queue",
        Json("256"),
        "The most fills that wait for room in `fills` or `memory`. A fill that no client waits for any more is not counted.",
    ),
    entry_of("$.limits.waiters", Json("10000"), "The most clients that wait for fills."),
    entry_of("$.limits.max_object_size", Json(r#""50000GiB""#), "Larger objects are not mirrored."),
    entry_of(
        "$.limits.streams",
        Json("64"),
        "The most clients that are passed to origins at once, see `stream`. The others wait for the object to be stored.",
    ),
    entry_of("$.limits.streams_per_key", Json("16"), "Those of them that read the same object."),
    entry_of(
        "$.stream",
        Words("none"),
        "Passes clients of large objects to the origin through this Envoy, while the object is stored. Only for an edge with the \
         routes that the shipped ones have.",
    ),
    entry_of(
        "$.stream.marker",
        Needed,
        "The parameter of the query by which these routes know such a request. It reaches neither the bucket nor an origin.",
    ),
];
