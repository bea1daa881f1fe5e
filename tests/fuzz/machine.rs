//! A simulation of two workers that share a table. A script of bytes drives clients, buckets, origins and stores,
//! which do anything in any order, in virtual time.
//!
//! The bytes decide the next event and its content. In every case each client that stays is answered exactly once and
//! in time, no fill breaks an invariant, and nothing is left in the end.

mod shared_host;
mod upstreams;

use crate::readers::{response, trace};
use mirror_on_miss::config::Config;
use mirror_on_miss::config::rule::Mirror;
use mirror_on_miss::fill::{Call, Outcome};
use mirror_on_miss::http::{ContentRange, Headers, Method, Response};
use mirror_on_miss::request::denial::Denial;
use mirror_on_miss::request::passing::RangeRequest;
use mirror_on_miss::request::precondition::Precondition;
use mirror_on_miss::request::trace::Trace;
use mirror_on_miss::single_flight::effect::{Effect, StreamId, Ticket};
use mirror_on_miss::single_flight::leases::{Leases, SharedHost};
use mirror_on_miss::worker::{Delivery, DeniedResponse, READ_TIMEOUT, Worker};
use shared_host::Table;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};
use upstreams::Upstreams;

const CONFIG: &str = r#"{"bucket": {"cluster": "signer", "authority": "s3.test", "path_prefix": "/b"},
    "origins": {"one": {"cluster": "one", "authority": "one.test"},
                "two": {"cluster": "two", "authority": "two.test", "public_url": "https://two.test", "redirects": {}}},
    "rules": [{"prefix": "/a", "origins": ["one"], "on_403": "check"},
              {"prefix": "/c", "origins": ["two"], "response": "serve", "on_head": "origin"},
              {"prefix": "/d", "origins": ["two"], "response": "origin", "content_types": ["application/*"]},
              {"origins": ["one", "two"], "on_403": "miss"}],
    "wait": "25s", "limits": {"fills": 2, "queue": 2, "waiters": 6}}"#;

const PATHS: [&[u8]; 5] = [b"/a", b"/b", b"/c", b"/d", b"/e"];
const DOCUMENTS: [&[u8]; 4] = [
    b"<Error><Code>NoSuchKey</Code></Error>",
    b"<Error><Code>AccessDenied</Code></Error>",
    b"<Error><Code>NoSuchBucket</Code></Error>",
    b"",
];
const RANGES: [&str; 8] =
    ["bytes=0-0", "bytes=1-2", "bytes=3-", "bytes=-2", "bytes=-0", "bytes=99-", "bytes=0-1,2-3", "items=0-1"];
const STATUSES: [u16; 16] = [200, 204, 206, 301, 304, 403, 404, 408, 409, 412, 416, 429, 500, 503, 504, 0];

/// Bytes of a part, and of all objects that a worker holds: small, so that many steps fit a script.
const PART: u64 = 8;
const MEMORY: u64 = 32;

/// Times that pass at once, in milliseconds.
const WAITS: [u64; 8] = [0, 1, 100, 900, 1_000, 5_000, 10_000, 26_000];

/// Seconds by which the clock is set at once.
const CLOCK_CHANGES: [i64; 6] = [-86_400, -3_600, -1, 1, 60, 3_600];

/// Longer than any wait for an answer that never comes.
const LONG: Duration = Duration::from_secs(600);

/// A fill's attempts to have a store abort an upload (`src/fill/retry.rs`).
const ABORTIONS: u32 = 8;

/// Far above any script's need: a simulation that gets here goes in circles.
const MOST_STEPS: u32 = 20_000;

/// Plays a script, and returns a number for its result.
pub fn run(script: &[u8]) -> u64 {
    let mut world = World::new();
    let mut bytes = Bytes(script.iter().copied().collect());
    while let Some(what) = bytes.0.pop_front() {
        world.happens(what, &mut bytes);
    }
    world.ends();
    trace(world.seen)
}

/// The rest of a script; 0 from its end on.
struct Bytes(VecDeque<u8>);

impl Bytes {
    fn byte(&mut self) -> u8 {
        self.0.pop_front().unwrap_or(0)
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()].clone()
    }

    /// Returns a number below `end`, which is above 0.
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    fn one_in(&mut self, number: u8) -> bool {
        self.byte().is_multiple_of(number)
    }

    fn some(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        self.0.drain(..length).collect()
    }
}

/// A worker as its adapter knows it.
struct Side {
    worker: Worker,
    queue: u32,
    calls: Vec<(Ticket, Call)>,
    /// Streams that are held, with the time by which they have been answered.
    held: BTreeMap<StreamId, Instant>,
    /// The denials of held streams that were not judged yet.
    denied: BTreeMap<StreamId, (DeniedResponse, u64)>,
    /// Streams that the bucket said 403 to, with their paths.
    forbidden: BTreeMap<StreamId, &'static [u8]>,
}

/// A multipart upload, as far as the store has answered.
#[derive(Default)]
struct Upload {
    is_over: bool,
    abortions: u32,
}

struct World {
    now: Instant,
    wait: Duration,
    table: Table,
    sides: [Side; 2],
    streams: u32,
    uploads: BTreeMap<String, Upload>,
    upstreams: Upstreams,
    /// Paths at the store of which a HEAD with the writer's credential has said 404.
    missing: BTreeSet<String>,
    /// The results of this script: outcomes, and kinds of calls.
    seen: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let mut config = Config::parse(CONFIG.as_bytes(), &|_| None).unwrap();
        (config.limits.part_size, config.limits.memory) = (PART, MEMORY);
        let config = Rc::new(config);
        let side = |queue: u32| Side {
            worker: Worker::new(config.clone(), Leases::new(&config, 0, queue), queue.into()),
            queue,
            calls: Vec::new(),
            held: BTreeMap::new(),
            denied: BTreeMap::new(),
            forbidden: BTreeMap::new(),
        };
        Self {
            now: Instant::now(),
            wait: config.wait,
            table: Table::default(),
            sides: [side(1), side(2)],
            streams: 0,
            uploads: BTreeMap::new(),
            upstreams: Upstreams::default(),
            missing: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    fn happens(&mut self, what: u8, bytes: &mut Bytes) {
        let at = usize::from(what >> 7);
        match what % 12 {
            0..=2 => self.denied(at, bytes),
            3..=6 if !self.sides[at].calls.is_empty() => {
                let number = bytes.below(self.sides[at].calls.len());
                let (ticket, call) = self.sides[at].calls.swap_remove(number);
                let response = self.answer(&call, bytes);
                self.finish(at, ticket, response);
            }
            7 => self.body(at, bytes),
            8 => {
                let passes = bytes.of(&WAITS);
                self.pass(Duration::from_millis(passes));
            }
            9 => self.hear(at),
            10 if bytes.one_in(4) => {
                let message = bytes.some();
                self.perform_heard(at, &message);
            }
            10 => self.table.spoil(bytes.byte().into(), &bytes.some()),
            11 if bytes.one_in(4) => self.others(bytes),
            11 => self.leaves(at, bytes),
            _ => {}
        }
    }

    /// Makes a bucket deny a client an object, with all of its document, some of it or none of it.
    fn denied(&mut self, at: usize, bytes: &mut Bytes) {
        self.streams += 1;
        let (stream, side) = (StreamId(self.streams), &mut self.sides[at]);
        let method: &[u8] = bytes.of(&[b"GET", b"GET", b"HEAD"]);
        let path: &[u8] = bytes.of(&PATHS);
        let header = |name: &str| match name {
            ":method" => Some(method.to_vec()),
            ":path" => Some(path.to_vec()),
            _ => None,
        };
        let denial = bytes.of(&[Denial::NotFound, Denial::NotFound, Denial::Forbidden]);
        let captured = side.worker.capture(&header).unwrap();
        let wanted = side.worker.mirrored_request(captured, denial).unwrap();
        let end = method == b"HEAD" || bytes.one_in(8);
        side.worker.hold(stream, wanted, denial, end, self.now);
        side.held.insert(stream, self.now + READ_TIMEOUT + self.wait);
        if denial == Denial::Forbidden {
            side.forbidden.insert(stream, path);
        }
        let mut denied = DeniedResponse {
            details: bytes.one_in(16).then(|| b"rbac_access_denied".to_vec()),
            document: None,
            precondition: bytes.of(&[
                Precondition::None,
                Precondition::None,
                Precondition::Match,
                Precondition::Unmodified(None),
            ]),
            range: bytes
                .one_in(4)
                .then(|| bytes.of(&RANGES))
                .and_then(|range| RangeRequest::read(&|name| (name == "range").then(|| range.as_bytes().to_vec()))),
            trace: Trace::default(),
        };
        if !end && !bytes.one_in(4) {
            let document = bytes.of(&DOCUMENTS);
            side.worker.body(stream, document.len(), true);
            denied.document = Some(document.to_vec());
        }
        side.denied.insert(stream, (denied, self.table.nanos()));
        self.catch_up(at);
    }

    /// Sends more of a document.
    fn body(&mut self, at: usize, bytes: &mut Bytes) {
        let Some(stream) = self.some_stream(at, bytes) else { return };
        let (size, end) = (bytes.of(&[1, 100, 20_000]), bytes.one_in(2));
        let side = &mut self.sides[at];
        if bytes.one_in(8) {
            side.worker.trailers(stream);
        } else {
            side.worker.body(stream, size, end);
        }
        self.catch_up(at);
    }

    fn leaves(&mut self, at: usize, bytes: &mut Bytes) {
        let Some(stream) = self.some_stream(at, bytes) else { return };
        self.sides[at].held.remove(&stream);
        if self.sides[at].worker.forget(stream, self.now) {
            self.catch_up(at);
        }
    }

    fn some_stream(&self, at: usize, bytes: &mut Bytes) -> Option<StreamId> {
        let held = &self.sides[at].held;
        if held.is_empty() { None } else { held.keys().nth(bytes.below(held.len())).copied() }
    }

    /// The origin's object changes, another writer stores one, or the machine's clock is set.
    fn others(&mut self, bytes: &mut Bytes) {
        let path = String::from_utf8_lossy(bytes.of(&PATHS));
        match bytes.byte() % 3 {
            0 => self.upstreams.origin.changes(&path, u64::from(bytes.byte()) % 40),
            1 => self.upstreams.store.another_stores(&path),
            _ => self.table.set_clock(bytes.of(&CLOCK_CHANGES)),
        }
    }

    /// Makes the response to a call, and the effect on the store.
    fn answer(&mut self, call: &Call, bytes: &mut Bytes) -> Option<Response> {
        let kind = bytes.byte() % 8;
        let response = match kind {
            0 => {
                // An answer that is lost leaves it open if the store did it.
                if upstreams::is_store(call) && bytes.one_in(2) {
                    self.upstreams.answer(call, 0);
                }
                None
            }
            1 => Some(response(&bytes.some())),
            2 => Some(Response { status: bytes.of(&STATUSES), headers: Headers::default(), body: Vec::new() }),
            _ => Some(self.upstreams.answer(call, u64::from(bytes.byte()) % 40)),
        };
        if kind < 3 && response.is_some() && !upstreams::is_store(call) {
            self.upstreams.origin.lies(call);
        }
        if let Some(response) = &response {
            self.note(call, response);
        }
        response
    }

    /// Keeps the record of uploads, and of missing objects.
    fn note(&mut self, call: &Call, response: &Response) {
        let path = &call.request.path;
        if (call.request.method, call.to.cluster.as_str(), response.status) == (Method::Head, "signer", 404) {
            self.missing.insert(path.clone());
        }
        let done = (200..=299).contains(&response.status);
        if call.request.method == Method::Post && path.ends_with("?uploads=") {
            if let Ok(upload) = mirror_on_miss::s3::read_create_multipart_upload(response) {
                self.uploads.insert(format!("{upload:?}"), Upload::default());
            }
            return;
        }
        let Some((_, id)) = path.split_once("uploadId=") else { return };
        let id = percent_decoded(id);
        let Some(upload) = self.uploads.get_mut(&format!("UploadId({id:?})")) else { return };
        match call.request.method {
            Method::Delete => upload.is_over |= done || response.status == 404,
            // The machine itself detects an error inside a success: it goes on to ask.
            Method::Post => {
                let complete = mirror_on_miss::s3::read_complete_multipart_upload(response);
                upload.is_over |= matches!(
                    complete,
                    mirror_on_miss::s3::WriteResult::Stored | mirror_on_miss::s3::WriteResult::NoSuchUpload
                );
            }
            _ => {}
        }
    }

    fn finish(&mut self, at: usize, ticket: Ticket, response: Option<Response>) {
        let steps = self.sides[at].worker.finish_call(ticket, response, 0, self.now, &self.table);
        self.perform(at, steps);
        self.checks(at);
    }

    /// Makes a worker take the messages of its queue.
    fn hear(&mut self, at: usize) {
        for message in self.table.take(self.sides[at].queue) {
            self.perform_heard(at, &message);
        }
    }

    fn perform_heard(&mut self, at: usize, message: &[u8]) {
        let steps = self.sides[at].worker.receive(message, self.now, &self.table);
        self.perform(at, steps);
        self.catch_up(at);
    }

    /// Does as the adapter does whenever its root is called.
    fn catch_up(&mut self, at: usize) {
        for (stream, has_document) in self.sides[at].worker.readable(self.now) {
            let (mut denied, asked) = self.sides[at].denied.remove(&stream).expect("a stream is judged once");
            denied.document = denied.document.filter(|_| has_document);
            let steps = self.sides[at].worker.judge(stream, &denied, &|| asked, self.now, &self.table);
            self.perform(at, steps);
        }
        let steps = self.sides[at].worker.tick(self.now, &self.table);
        self.perform(at, steps);
        self.checks(at);
    }

    fn perform(&mut self, at: usize, steps: Vec<Effect>) {
        for step in steps {
            match step {
                Effect::Call { ticket, call } => self.calls(at, ticket, call),
                Effect::Answer { streams, source, outcome } => {
                    for stream in streams {
                        self.may_have(at, stream, &outcome);
                        let delivery = self.answered(at, stream, |worker| worker.deliver(stream, &source, &outcome));
                        gives_what_it_says(&delivery, &outcome);
                    }
                    self.saw(&source.mirror, &outcome);
                }
                Effect::Ended(ended) => assert_ne!(ended.outcome, "broken", "{ended:?}"),
                Effect::Progress(progress) => {
                    // An empty object is stored, too.
                    let told = progress.stored > 0 || progress.total == 0;
                    assert!(progress.bytes <= progress.total && told, "{progress:?}");
                }
                Effect::Release(stream, why) => {
                    self.answered(at, stream, |worker| worker.release(stream, why));
                    self.seen.insert(why.to_owned());
                }
                Effect::Observed(_) | Effect::Warn { .. } => {}
            }
        }
    }

    /// Checks that no client is handed an object that the bucket denied, unless the store is known not to have it.
    fn may_have(&self, at: usize, stream: StreamId, outcome: &Outcome) {
        let handed_out = outcome.object().is_some() || matches!(outcome, Outcome::Head { .. } | Outcome::Passed(_));
        if let Some(path) = self.sides[at].forbidden.get(&stream).filter(|_| handed_out) {
            let path = format!("/b{}", String::from_utf8_lossy(path));
            assert!(self.missing.contains(&path), "{stream:?} is handed {path}, which the bucket denied: {outcome:?}");
        }
    }

    fn calls(&mut self, at: usize, ticket: Ticket, call: Call) {
        let request = &call.request;
        let writes =
            request.method == Method::Put || (request.method == Method::Post && !request.path.ends_with("?uploads="));
        let conditional = request.headers.iter().any(|header| *header == ("if-none-match", "*".to_owned()));
        assert!(!writes || request.path.contains("partNumber=") || conditional, "{request:?} would overwrite");
        assert!(request.path.bytes().all(|byte| byte.is_ascii_graphic()), "{request:?}");
        if let Some((_, id)) = request.path.split_once("?uploadId=") {
            let upload = self.uploads.get_mut(&format!("UploadId({:?})", percent_decoded(id)));
            let upload = upload.expect("an upload that the store has told of");
            assert!(!upload.is_over || request.method == Method::Delete, "{request:?} after the upload's end");
            upload.abortions += u32::from(request.method == Method::Delete);
        }
        let kind = request.path.split_once('?').map_or("", |(_, query)| &query[..6.min(query.len())]);
        self.seen.insert(format!("{} {} {kind}", request.method.as_str(), call.to.cluster));
        self.sides[at].calls.push((ticket, call));
    }

    fn saw(&mut self, mirror: &Mirror, outcome: &Outcome) {
        assert_ne!(outcome.label(), "broken", "{outcome:?}");
        self.seen.insert(format!("{} {}", outcome.label(), mirror.origins.len()));
    }

    /// Checks that a stream is answered exactly once, and in time.
    fn answered(&mut self, at: usize, stream: StreamId, deliver: impl FnOnce(&mut Worker) -> Delivery) -> Delivery {
        let side = &mut self.sides[at];
        let until = side.held.remove(&stream).unwrap_or_else(|| panic!("{stream:?} is not held"));
        assert!(self.now <= until, "{stream:?} is answered too late");
        deliver(&mut side.worker)
    }

    /// Checks the invariants that hold at all times.
    fn checks(&self, at: usize) {
        let side = &self.sides[at];
        let late = side.held.iter().find(|(_, until)| **until < self.now);
        assert!(late.is_none(), "{late:?} waits too long");
        assert!(side.worker.fills() <= 2, "{} fills", side.worker.fills());
        assert!(side.calls.len() <= 2 * 3, "{} calls", side.calls.len());
        let content = |call: &Call| match call.request.method {
            Method::Get => upstreams::range(call).map(|(first, last)| last + 1 - first).unwrap_or(0),
            Method::Put => call.request.body.len() as u64,
            _ => 0,
        };
        let held: u64 = side.calls.iter().map(|(_, call)| content(call)).sum();
        assert!(held <= MEMORY, "{held} bytes are on their way");
    }

    /// Lets time pass. Both workers do everything when it is due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MOST_STEPS {
            let next = |side: &Side| side.worker.next_deadline();
            let due = self.sides.iter().filter_map(next).min().filter(|due| *due <= end);
            let to = due.unwrap_or(end).max(self.now);
            self.table.pass(to - self.now);
            self.now = to;
            (0..2).for_each(|at| self.catch_up(at));
            if due.is_none() {
                return;
            }
        }
        panic!("there is always something due");
    }

    /// Ends the script: every call is answered properly, and time passes.
    fn ends(&mut self) {
        for _ in 0..MOST_STEPS {
            let Some(at) = (0..2).find(|at| !self.sides[*at].calls.is_empty()) else {
                (0..2).for_each(|at| self.hear(at));
                if self.is_idle() {
                    return self.leaves_nothing();
                }
                self.pass(LONG);
                continue;
            };
            let (ticket, call) = self.sides[at].calls.remove(0);
            let response = self.upstreams.answer(&call, PART);
            self.note(&call, &response);
            self.finish(at, ticket, Some(response));
        }
        panic!("it does not end");
    }

    fn is_idle(&self) -> bool {
        self.sides.iter().all(|side| side.worker.next_deadline().is_none() && side.calls.is_empty())
            && self.table.is_quiet()
    }

    fn leaves_nothing(&self) {
        self.upstreams.assert_whole();
        for side in &self.sides {
            assert!(side.held.is_empty(), "{:?} wait for ever", side.held);
            assert_eq!(side.worker.fills(), 0);
        }
        for (id, upload) in &self.uploads {
            assert!(upload.is_over || upload.abortions >= ABORTIONS, "the upload {id} is left");
        }
    }
}

/// Checks that a part of an object has the bytes that its `Content-Range` says.
fn gives_what_it_says(delivery: &Delivery, outcome: &Outcome) {
    let (Delivery::Direct(made) | Delivery::InPlace(made, _)) = delivery else { return };
    let (Some(object), 206) = (outcome.object(), made.status) else { return };
    let header = |name| made.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let range = header("content-range").and_then(ContentRange::parse).expect("a readable range");
    let body = made.body.as_ref().expect("a part");
    assert_eq!(object.body[range.first as usize..=range.last as usize], body[..]);
    assert_eq!((range.total, range.length()), (object.body.len() as u64, body.len() as u64));
    assert_eq!(header("content-length"), Some(body.len().to_string().as_str()));
}

fn percent_decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        decoded.push(char::from(u8::from_str_radix(&piece[..2], 16).unwrap()));
        decoded.push_str(&piece[2..]);
    }
    decoded
}
