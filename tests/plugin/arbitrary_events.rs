//! Random events in random order from clients, bucket, origin and store. The module does not panic, Envoy is not
//! misused, and every client is answered.
//!
//! A panic of the module ends the process before proptest could make the case smaller. So the case is printed as it
//! is, and cases are short.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use crate::host::{Call, Client, Envoy, Headers, set_last_words};
use crate::steps::{ACCESS_DENIED, LONG, NO_SUCH_KEY, configured};

/// An event that can happen to a worker.
#[derive(Clone, Debug)]
enum Event {
    /// A client sends a request.
    Request { method: Vec<u8>, path: Vec<u8> },
    /// The bucket begins to answer a client that waits for it. Chunks that are there come at once.
    BucketAnswers { client: Index, status: u16, headers: Vec<Header>, chunks: Vec<Vec<u8>>, end: bool },
    /// The bucket sends more of an answer that it has begun.
    BucketSends { client: Index, chunk: Vec<u8>, end: bool },
    /// A client goes away.
    Leaves { client: Index },
    /// One of the calls comes back.
    CallEnds { call: Index, end: CallEnd },
    /// Time passes.
    Passes { millis: u64 },
    /// The machine's clock is set.
    ClockIsSet { by_seconds: i64 },
    /// Another writer stores an object.
    AnotherStores { key: Index },
    /// The event loop keeps notifications about queues back, or delivers them again.
    HoldsQueues { yes: bool },
}

type Header = (&'static str, Vec<u8>);

/// The end of a call.
#[derive(Clone, Debug)]
enum CallEnd {
    Fails,
    Refused,
    Answered {
        status: Option<Vec<u8>>,
        headers: Vec<Header>,
        body: Vec<u8>,
    },
    /// The answer of a well-behaved upstream. Its object has this many parts of 5 MiB, and a last one of a byte.
    Obliging {
        parts: u64,
    },
}

const PART: u64 = 5 * 1024 * 1024;

fn method() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => select(vec!["GET", "HEAD"]).prop_map(Into::into), 1 => bytes(8)]
}

/// Makes one of few paths, so that clients meet in one fill; or any path.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let known = vec!["/a", "/a?v=1", "/%61", "/assets/b", "//evil.example/", "/a%20b", "/private/a", "/?list-type=2"];
    prop_oneof![
        6 => select(known).prop_map(Into::into),
        1 => bytes(40).prop_map(|mut path| {
            path.insert(0, b'/');
            path
        }),
        1 => bytes(40),
    ]
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=most)
}

fn headers() -> impl Strategy<Value = Vec<Header>> {
    let names = vec![
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-range",
        "content-type",
        "etag",
        "expires",
        "last-modified",
        "location",
        "transfer-encoding",
        "x-amz-request-id",
        "x-mirror-on-miss",
    ];
    let sensible =
        vec!["bytes 0-4/5", "bytes 0-4/99999999999", "bytes */0", "\"e\"", "W/\"e\"", "chunked", "text/css", ""];
    // Bytes that Envoy itself lets through from an upstream.
    let any = bytes(20).prop_map(|value| value.into_iter().filter(|byte| !matches!(byte, 0 | b'\r' | b'\n')).collect());
    let value = prop_oneof![select(sensible).prop_map(Into::into), any];
    vec((select(names), value), 0..6)
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    let documents =
        vec![NO_SUCH_KEY, ACCESS_DENIED, "<Error><Code>NoSuchBucket</Code>", "<UploadId>u</UploadId>", "hello", ""];
    prop_oneof![
        4 => select(documents).prop_map(Into::into),
        2 => bytes(60),
        1 => (0_usize..40_000).prop_map(|length| vec![b'x'; length]),
    ]
}

fn call_end() -> impl Strategy<Value = CallEnd> {
    let status = prop_oneof![
        8 => select(vec![200_u16, 204, 206, 301, 304, 403, 404, 409, 412, 416, 500, 503, 504])
            .prop_map(|status| Some(status.to_string().into_bytes())),
        1 => bytes(5).prop_map(Some),
        1 => Just(None),
    ];
    let answered =
        (status, headers(), document()).prop_map(|(status, headers, body)| CallEnd::Answered { status, headers, body });
    prop_oneof![
        1 => Just(CallEnd::Fails),
        1 => Just(CallEnd::Refused),
        4 => answered,
        8 => select(vec![0_u64, 0, 0, 1, 3]).prop_map(|parts| CallEnd::Obliging { parts }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let client = any::<Index>;
    let status = prop_oneof![6 => select(vec![403_u16, 404]), 1 => 200_u16..600];
    prop_oneof![
        4 => (method(), path()).prop_map(|(method, path)| Event::Request { method, path }),
        5 => (client(), status, headers(), vec(document(), 0..3), any::<bool>()).prop_map(
            |(client, status, headers, chunks, end)| Event::BucketAnswers { client, status, headers, chunks, end }
        ),
        2 => (client(), document(), any::<bool>())
            .prop_map(|(client, chunk, end)| Event::BucketSends { client, chunk, end }),
        1 => client().prop_map(|client| Event::Leaves { client }),
        8 => (any::<Index>(), call_end()).prop_map(|(call, end)| Event::CallEnds { call, end }),
        2 => select(vec![0_u64, 1, 60, 1_000, 5_000, 30_000]).prop_map(|millis| Event::Passes { millis }),
        1 => select(vec![-86_400_i64, -3_600, -1, 1, 3_600]).prop_map(|by_seconds| Event::ClockIsSet { by_seconds }),
        1 => any::<Index>().prop_map(|key| Event::AnotherStores { key }),
        1 => any::<bool>().prop_map(|yes| Event::HoldsQueues { yes }),
    ]
}

/// A worker, and everything that its environment has under way.
struct World {
    envoy: Envoy,
    asking: Vec<Client>,
    being_answered: Vec<Client>,
    all: Vec<Client>,
    calls: Vec<Call>,
    /// Paths at the store of which it has an object.
    stored: BTreeSet<String>,
}

impl World {
    fn new(shows_bodies: bool, buffer_limit: usize) -> Self {
        let builder = Envoy::builder().buffer_limit(buffer_limit);
        let builder = if shows_bodies { builder } else { builder.pause_holds_body() };
        let envoy = builder.start(&configured(json!({
            "origin": null,
            "origins": {"first": {"cluster": "origin", "authority": "files.test", "timeout": "7s"},
                        "second": {"cluster": "backup", "authority": "backup.test", "public_url": "https://b.example"}},
            "rules": [{"prefix": "/private/", "mirror": false}, {"origins": ["first", "second"]}],
            "limits": {"part_size": "5MiB", "memory": "20MiB", "fills": 2, "queue": 1},
        })));
        Self {
            envoy,
            asking: Vec::new(),
            being_answered: Vec::new(),
            all: Vec::new(),
            calls: Vec::new(),
            stored: BTreeSet::new(),
        }
    }

    /// Makes something happen, if it can happen to anything.
    fn happens(&mut self, event: Event) {
        match event {
            Event::Request { method, path } => {
                let client = self.envoy.request("GET", "/").header(":method", method).header(":path", path).send();
                self.asking.push(client);
                self.all.push(client);
            }
            Event::BucketAnswers { client, status, headers, chunks, end } => {
                if let Some(client) = taken(&mut self.asking, client) {
                    self.bucket_answers(client, status, headers, &chunks, end);
                }
            }
            Event::BucketSends { client, chunk, end } => {
                if let Some(client) = taken(&mut self.being_answered, client) {
                    self.bucket_sends(client, &chunk, end);
                }
            }
            Event::Leaves { client } => {
                if !self.all.is_empty() {
                    client.get(&self.all).leaves();
                }
            }
            Event::CallEnds { call, end } => {
                self.calls.extend(std::iter::from_fn(|| self.envoy.try_next_call()));
                self.calls.retain(|call| self.envoy.awaits(call));
                if let Some(call) = taken(&mut self.calls, call) {
                    self.call_ends(call, end);
                }
            }
            Event::ClockIsSet { by_seconds } => self.envoy.set_clock(by_seconds),
            Event::AnotherStores { key } => {
                self.stored.insert(format!("/assets{}", key.get(&["/a", "/assets/b", "/a%20b"])));
            }
            Event::Passes { millis } => self.envoy.advance(Duration::from_millis(millis)),
            Event::HoldsQueues { yes: true } => self.envoy.hold_queues(),
            Event::HoldsQueues { yes: false } => self.envoy.deliver_queues(),
        }
    }

    fn bucket_answers(&mut self, client: Client, status: u16, headers: Vec<Header>, chunks: &[Vec<u8>], end: bool) {
        let headers = headers.into_iter().fold(Headers::response(status), |all, (name, value)| all.with(name, value));
        let has_no_body = client.request_sent().get(":method") == Some(b"HEAD") || matches!(status, 204 | 304);
        let ends_here = has_no_body || (end && chunks.is_empty());
        client.bucket_sends_headers(headers, ends_here);
        if ends_here {
            return;
        }
        for chunk in chunks {
            client.bucket_sends(chunk, false);
        }
        self.bucket_sends(client, b"", end);
    }

    fn bucket_sends(&mut self, client: Client, chunk: &[u8], end: bool) {
        client.bucket_sends(chunk, end);
        if !end {
            self.being_answered.push(client);
        }
    }

    fn call_ends(&mut self, call: Call, end: CallEnd) {
        match end {
            CallEnd::Fails => self.envoy.fail(call),
            CallEnd::Refused => self.envoy.refuse(call),
            CallEnd::Answered { status, headers, body } => {
                let status = status.into_iter().fold(Headers::default(), |all, status| all.with(":status", status));
                let headers = headers.into_iter().fold(status, |all, (name, value)| all.with(name, value));
                self.envoy.respond_with(call, headers, body);
            }
            CallEnd::Obliging { parts } => self.oblige(call, parts),
        }
    }

    fn oblige(&mut self, call: Call, parts: u64) {
        if call.cluster == "signer" {
            return self.store_obliges(call);
        }
        let range = call.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        match (call.method(), range) {
            ("GET", Some((first, last))) => {
                let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
                // A fill has as many parts as its first answer said, and this answer cannot change that.
                let total = (parts * PART + 1).max(first + 1);
                let last = last.min(total - 1);
                let content_range = format!("bytes {first}-{last}/{total}");
                let body = vec![b'x'; usize::try_from(last - first + 1).unwrap()];
                self.envoy.respond(call, 206, &[("content-range", &content_range), ("etag", "\"e\"")], body);
            }
            ("GET", None) => self.envoy.respond(call, 200, &[("content-length", "1")], "x"),
            _ => self.envoy.respond(call, 404, &[], ""),
        }
    }

    /// Answers as a store that overwrites where the write has no condition, and only there.
    fn store_obliges(&mut self, call: Call) {
        let (name, query) = call.path().split_once('?').unwrap_or((call.path(), ""));
        let is_stored = self.stored.contains(name);
        let writes = (call.method() == "PUT" && query.is_empty()) || (call.method() == "POST" && query != "uploads=");
        if writes && is_stored && call.header("if-none-match").is_some() {
            return self.envoy.respond(call, 412, &[], "");
        }
        if writes {
            self.stored.insert(name.to_owned());
        }
        match call.method() {
            "HEAD" => self.envoy.respond(call, if is_stored { 200 } else { 404 }, &[], ""),
            "POST" => self.envoy.respond(call, 200, &[], "<UploadId>u</UploadId>"),
            _ => self.envoy.respond(call, 200, &[("etag", "\"e\"")], ""),
        }
    }

    /// Ends everything: the bucket finishes its answers, calls stay unanswered, and time passes.
    fn ends(mut self) {
        self.envoy.deliver_queues();
        for client in std::mem::take(&mut self.asking) {
            self.bucket_answers(client, 404, Vec::new(), &[NO_SUCH_KEY.into()], true);
        }
        self.envoy.advance(LONG);
        for client in &self.all {
            assert!(!client.is_waiting(), "{client:?} waits for ever");
        }
        for client in std::mem::take(&mut self.being_answered) {
            client.bucket_sends("", true);
        }
        for client in &self.all {
            assert!(client.was_reset() || client.answer().is_some(), "{client:?} never gets all of its answer");
        }
        self.envoy.assert_idle();
        assert_eq!(self.envoy.tick_period(), None, "nothing is left to be done");
        assert_eq!(self.envoy.take_violations(), [""; 0]);
        let broken = self.envoy.logs().into_iter().find(|line| line.contains("outcome=broken"));
        assert_eq!(broken, None, "a fill broke an invariant of its own");
    }
}

fn taken<T>(from: &mut Vec<T>, at: Index) -> Option<T> {
    if from.is_empty() { None } else { Some(from.swap_remove(at.index(from.len()))) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_happens_panics_or_leaves_a_client_waiting(
        shows_bodies in prop::bool::weighted(0.7),
        buffer_limit in select(vec![32 * 1024, 1024 * 1024]),
        events in vec(event(), 1..40),
    ) {
        set_last_words(format!("shows_bodies: {shows_bodies}, buffer_limit: {buffer_limit}, {events:#?}"));
        let mut world = World::new(shows_bodies, buffer_limit);
        for event in events {
            world.happens(event);
        }
        world.ends();
        set_last_words(String::new());
    }
}
