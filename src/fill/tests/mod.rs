//! Scenarios of a fill: what it asks, what it is told, and how it ends, one line each.

mod calls;
mod echo;
mod golden;
mod property;
mod rules;
mod store;
mod thin;

use super::retry::{ATTEMPTS, BACKOFF};
use super::*;
use crate::http::{Headers, Method};
use std::collections::VecDeque;

const CONFIG: &str = r#"{
    "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/my-bucket"},
    "origins": {"first": {"cluster": "first", "authority": "first.example.com", "timeout": "3s", "headers": {"x-token": "t"}},
                "second": {"cluster": "second", "authority": "second.example.com"}},
    "rules": [{"prefix": "/one/", "origins": ["first"]}, {"origins": ["first", "second"]}]
}"#;

/// The order of a plain GET.
pub fn request(key: &str, mirror: Rc<Mirror>, check: bool) -> FillRequest {
    let (key, origin_key) = (Key::from_path(key.as_bytes()).unwrap(), key.to_owned());
    let fill_key =
        FillKey { key, origin_key, forbidden: check, unavailable: false, head: false, forwarded: Forwarded::default() };
    FillRequest { fill_key: Rc::new(fill_key), mirror, then: Vec::new(), check, part: false, store: true }
}

/// More than any fill of these scenarios wants.
const SPARE: u64 = 1 << 30;

/// A fill and the world that answers it.
struct World {
    fill: Fill,
    pending: VecDeque<Action>,
    spare: u64,
    /// The time since it began.
    spent: Duration,
    warnings: Vec<Warning>,
    /// The objects that clients may be passed to.
    passed: Vec<Rc<PassedObject>>,
    /// The clusters of origins that gave a whole object where a part was asked for.
    unranged: Vec<String>,
    /// Bytes that were said to be stored.
    stored: u64,
}

impl World {
    fn new(check: bool) -> Self {
        Self::with_key("one/a.txt", check)
    }

    fn with_key(key: &str, check: bool) -> Self {
        let config = Config::parse(CONFIG.as_bytes(), &|_| None).unwrap();
        let rule = config.rules.iter().find(|rule| key.starts_with(&rule.prefix)).unwrap();
        let mirror = rule.mirror.clone().unwrap();
        Self::of(&config, request(key, mirror, check))
    }

    fn of(config: &Config, request: FillRequest) -> Self {
        Self::start(Fill::new(config, request, 7))
    }

    fn start(fill: Fill) -> Self {
        let mut world = Self {
            fill,
            pending: VecDeque::new(),
            spare: SPARE,
            spent: Duration::ZERO,
            warnings: Vec::new(),
            passed: Vec::new(),
            unranged: Vec::new(),
            stored: 0,
        };
        world.input(Input::Start);
        world
    }

    fn input(&mut self, input: Input) {
        let actions = self.fill.handle(input, self.spare, self.spent);
        for action in actions {
            match action {
                Action::Progress { bytes, .. } => self.stored += bytes,
                Action::Pass(object) => self.passed.push(object),
                Action::Unranged(cluster) => self.unranged.push(cluster),
                Action::Warn(warning) => self.warnings.push(warning),
                action => self.pending.push_back(action),
            }
        }
        let to_do = self.pending.iter().filter(|action| !matches!(action, Action::Meanwhile(_))).count();
        assert!(to_do <= 1, "one thing at a time: {:?}", self.pending);
    }

    /// The call that the fill awaits.
    fn call(&mut self) -> Call {
        match self.pending.pop_front() {
            Some(Action::Call(call)) => call,
            other => panic!("expected a call, got {other:?}"),
        }
    }

    /// Expects a call as `METHOD cluster path` and answers it.
    fn answer(&mut self, expected: &str, status: u16, headers: &[(&str, &str)], body: &str) -> Call {
        let call = self.expect(expected);
        self.respond(call.id, status, headers, body);
        call
    }

    fn respond(&mut self, call: CallId, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let response = Response { status, headers: Headers::new(headers), body: body.into() };
        self.input(Input::Response { call, response });
    }

    fn fail(&mut self, expected: &str) {
        let call = self.expect(expected);
        self.input(Input::Failed { call: call.id });
    }

    fn expect(&mut self, expected: &str) -> Call {
        let call = self.call();
        let Request { method, path, .. } = &call.request;
        assert_eq!(format!("{} {} {path}", method.as_str(), call.to.cluster), expected);
        call
    }

    /// Expects a call as often as it is repeated, and has it fail each time in one way: with a status, or without an answer.
    fn fail_each(&mut self, expected: &str, status: Option<u16>) {
        for attempt in 1..=ATTEMPTS {
            match status {
                Some(status) => drop(self.answer(expected, status, &[], "")),
                None => self.fail(expected),
            }
            if attempt < ATTEMPTS {
                self.wait();
            }
        }
    }

    fn wait(&mut self) -> Duration {
        match self.pending.pop_front() {
            Some(Action::Wait(wait)) => {
                self.input(Input::Deadline);
                wait
            }
            other => panic!("expected a wait, got {other:?}"),
        }
    }

    /// Fails a call at each of its attempts, with the waits between.
    fn fail_for_good(&mut self, expected: &str) {
        for _ in 1..ATTEMPTS {
            self.fail(expected);
            self.wait();
        }
        self.fail(expected);
    }

    fn outcome(&mut self) -> Outcome {
        match self.pending.pop_front() {
            Some(Action::Done(outcome)) => outcome,
            other => panic!("expected the end, got {other:?}"),
        }
    }
}

const GET: &str = "GET first /one/a.txt";
const PUT: &str = "PUT signer /my-bucket/one/a.txt";
const HEAD: &str = "HEAD signer /my-bucket/one/a.txt";
const HELLO: &[(&str, &str)] = &[("content-range", "bytes 0-4/5"), ("content-type", "text/plain"), ("etag", "\"e\"")];

#[test]
fn an_object_within_one_part_is_fetched_once_and_stored_once() {
    let mut world = World::new(false);
    let get = world.answer(GET, 206, HELLO, "hello");
    assert_eq!(get.timeout, Duration::from_secs(3));
    assert_eq!(get.to.authority, "first.example.com");
    assert_eq!(get.to.headers, [("x-token".to_owned(), "t".to_owned())]);
    let put = world.answer(PUT, 200, &[], "");
    assert_eq!(put.request.method, Method::Put);
    assert_eq!(put.to.authority, "s3.example.com");
    assert_eq!(*put.request.body, b"hello");
    let headers: Vec<(&str, &str)> = put.request.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(
        headers,
        [
            ("if-none-match", "*"),
            ("content-length", "5"),
            ("content-type", "text/plain"),
            ("x-amz-meta-mirror-etag", "\"e\""),
            ("x-amz-meta-mirror-url", "//first.example.com/one/a.txt"),
        ]
    );
    assert_eq!(world.outcome(), Outcome::Stored);
}

#[test]
fn an_object_of_an_origin_without_ranges_is_stored_whole() {
    let mut world = World::new(false);
    world.answer(GET, 200, &[("content-length", "5")], "hello");
    assert_eq!(*world.answer(PUT, 200, &[], "").request.body, b"hello");
    assert_eq!(world.outcome(), Outcome::Stored);
}

#[test]
fn an_empty_object_is_asked_for_again_without_a_range_and_stored_with_its_type() {
    let mut world = World::new(false);
    world.answer(GET, 416, &[("content-range", "bytes */0")], "");
    let get = world.answer(GET, 200, &[("content-length", "0"), ("content-type", "text/css")], "");
    assert!(get.request.headers.iter().all(|(name, _)| *name != "range"));
    let put = world.answer(PUT, 200, &[], "");
    assert!(put.request.headers.contains(&("content-length", "0".to_owned())));
    assert!(put.request.headers.contains(&("content-type", "text/css".to_owned())));
    assert_eq!(world.outcome(), Outcome::Stored);
}

#[test]
fn each_answer_of_the_only_origin_ends_in_its_own_outcome() {
    for (status, headers, body, outcome) in [
        (404, &[][..], "", Outcome::NotFound),
        (410, &[], "", Outcome::NotFound),
        (401, &[], "", Outcome::OriginRefused { status: 401 }),
        (302, &[("location", "https://login.test/")], "", Outcome::OriginRefused { status: 302 }),
        (504, &[], "", Outcome::OriginTimeout),
    ] {
        let mut world = World::new(false);
        world.answer(GET, status, headers, body);
        assert_eq!(world.outcome(), outcome, "{status} {headers:?}");
    }
    let mut unframed = World::new(false);
    unframed.answer(GET, 200, &[], "hello");
    assert_eq!(unframed.warnings, [Warning::EndNotProven]);
    assert!(
        Warning::EndNotProven.text(&Bucket::default(), &Default::default()).contains("http2"),
        "the setting is named"
    );
    assert_eq!(unframed.outcome(), Outcome::TooLarge);
}

fn has_range(call: &Call) -> bool {
    call.request.headers.iter().any(|(name, _)| *name == "range")
}

#[test]
fn what_is_no_answer_to_a_range_is_asked_for_once_more_without_one() {
    for (status, headers, body) in [
        (400, &[][..], ""),
        (403, &[], ""),
        (405, &[], ""),
        (416, &[], ""),
        (501, &[], ""),
        (200, &[("content-range", "bytes 0-2/5"), ("content-length", "3")], "hel"),
        (206, &[("content-range", "bytes 0-2/*")], "hel"),
        (206, &[("content-range", "bytes 0-4/5")], "hell"),
        (206, &[("content-type", "multipart/byteranges; boundary=a")], "--a"),
        (206, &[], "hello"),
    ] {
        let mut world = World::new(false);
        assert!(has_range(&world.answer(GET, status, headers, body)));
        let plain = world.answer(GET, 200, &[("content-length", "5")], "hello");
        assert!(!has_range(&plain), "{status} {headers:?}");
        assert_eq!(*world.answer(PUT, 200, &[], "").request.body, b"hello");
        assert_eq!(world.outcome(), Outcome::Stored);

        let mut refused = World::new(false);
        refused.answer(GET, status, headers, body);
        refused.answer(GET, 403, &[], "");
        assert_eq!(refused.outcome(), Outcome::OriginRefused { status: 403 });
    }
}

#[test]
fn a_request_without_a_range_is_repeated_as_often_as_any() {
    let mut world = World::new(false);
    world.answer(GET, 403, &[], "");
    for _ in 1..ATTEMPTS {
        assert!(!has_range(&world.answer(GET, 429, &[], "")));
        world.wait();
    }
    world.answer(GET, 200, &[("content-length", "5")], "hello");
    world.answer(PUT, 200, &[], "");
    assert_eq!(world.outcome(), Outcome::Stored);
}

#[test]
fn an_answer_of_exactly_the_length_that_was_asked_for_is_not_taken_for_the_whole() {
    const PART: usize = 6 * 1024 * 1024;
    let (cut, all) = ("a".repeat(PART), "a".repeat(PART + 1));
    for (status, headers) in [
        (200, [("content-length", "6291456"), ("etag", "\"e\"")]),
        (206, [("content-range", "bytes 0-6291455/6291456"), ("etag", "\"e\"")]),
    ] {
        let mut world = World::new(false);
        world.answer(GET, status, &headers, &cut);
        world.answer("HEAD first /one/a.txt", 200, &[("content-length", "6291457"), ("etag", "\"e\"")], "");
        assert!(!has_range(&world.answer(GET, 200, &[("content-length", "6291457")], &all)));
        assert_eq!(world.answer(PUT, 200, &[], "").request.body.len(), PART + 1);
        assert_eq!(world.outcome(), Outcome::Stored);
    }
}

#[test]
fn a_503_that_stays_is_asked_for_once_without_a_range_and_then_is_the_origins_failure() {
    let mut refusing = World::new(false);
    refusing.fail_each(GET, Some(503));
    assert!(!has_range(&refusing.answer(GET, 200, &[("content-length", "5")], "hello")));
    refusing.answer(PUT, 200, &[], "");
    assert_eq!(refusing.outcome(), Outcome::Stored);

    for last in [Some(503), Some(403), None] {
        let mut failing = World::new(false);
        failing.fail_each(GET, Some(503));
        match last {
            Some(status) => drop(failing.answer(GET, status, &[], "")),
            None => failing.fail(GET),
        }
        assert_eq!(failing.outcome(), Outcome::OriginUnavailable("5xx"), "{last:?}");
    }
}

#[test]
fn an_origin_is_asked_again_for_as_long_as_clients_wait_and_no_longer() {
    for (spent, attempts) in [(0, 3), (24_600, 3), (24_601, 2), (24_800, 2), (24_801, 1), (60_000, 1)] {
        let mut world = World::with_key("b", false);
        world.spent = Duration::from_millis(spent);
        for attempt in 1..=attempts {
            world.answer("GET first /b", 429, &[], "");
            if attempt < attempts {
                world.wait();
            }
        }
        world.answer("GET second /b", 206, HELLO, "hello");
        world.answer("PUT signer /my-bucket/b", 200, &[], "");
        assert_eq!(world.outcome(), Outcome::Stored, "{spent}");
    }
}

#[test]
fn an_origin_that_is_busy_is_asked_three_times_and_its_retry_after_reaches_the_client() {
    for status in [408, 425, 429, 500, 503] {
        let mut world = World::new(false);
        world.answer(GET, status, &[], "");
        let first = world.wait();
        assert!((BACKOFF / 2..=BACKOFF).contains(&first), "{first:?}");
        world.answer(GET, status, &[], "");
        world.wait();
        world.answer(GET, 206, HELLO, "hello");
        world.answer(PUT, 200, &[], "");
        assert_eq!(world.outcome(), Outcome::Stored, "{status}");
    }
    let mut world = World::new(false);
    for attempt in 1..=3 {
        world.answer(GET, 429, &[("retry-after", "7")], "");
        if attempt < 3 {
            world.wait();
        }
    }
    let outcome = world.outcome();
    assert_eq!((outcome.label(), &outcome), ("origin_unavailable", &Outcome::OriginBusy { seconds: 7 }));
}

#[test]
fn a_cut_answer_is_a_failure_unless_the_origin_gives_no_ranges_and_the_object_is_too_large() {
    const HEAD: &str = "HEAD first /one/a.txt";
    let cut = Outcome::OriginUnavailable("reset or cut short");
    let (large, fitting) = (("content-length", "33554433"), ("content-length", "33554432"));
    for (head, outcome) in [
        (Some(&[large][..]), Outcome::TooLarge),
        (Some(&[large, ("accept-ranges", "bytes")]), cut.clone()),
        (Some(&[fitting]), cut.clone()),
        (None, cut.clone()),
    ] {
        let mut world = World::new(false);
        world.fail_each(GET, None);
        match head {
            Some(headers) => drop(world.answer(HEAD, 200, headers, "")),
            None => world.fail(HEAD),
        }
        assert_eq!(world.outcome(), outcome, "{head:?}");
    }
    let mut once = World::new(false);
    once.fail(GET);
    once.wait();
    once.answer(GET, 206, HELLO, "hello");
    once.answer(PUT, 200, &[], "");
    assert_eq!(once.outcome(), Outcome::Stored, "one reset costs nothing");

    let mut refusing = World::new(false);
    refusing.answer(GET, 403, &[], "");
    refusing.fail(GET);
    refusing.answer(HEAD, 200, &[large, ("accept-ranges", "bytes")], "");
    assert_eq!(refusing.outcome(), Outcome::TooLarge, "it gave no range before");
}

#[test]
fn the_next_origin_is_asked_when_one_does_not_have_the_object_or_is_unavailable() {
    const FIRST: &str = "GET first /b";
    const SECOND: &str = "GET second /b";
    for status in [404, 410, 504] {
        let mut world = World::with_key("b", false);
        world.answer(FIRST, status, &[], "");
        world.answer(SECOND, 206, HELLO, "hello");
        world.answer("PUT signer /my-bucket/b", 200, &[], "");
        assert_eq!(world.outcome(), Outcome::Stored);
    }
    for status in [429, 500, 503] {
        let mut world = World::with_key("b", false);
        world.fail_each(FIRST, Some(status));
        if status != 429 {
            world.answer(FIRST, status, &[], "");
        }
        world.answer(SECOND, 206, HELLO, "hello");
        world.answer("PUT signer /my-bucket/b", 200, &[], "");
        assert_eq!(world.outcome(), Outcome::Stored);
    }
    let mut world = World::with_key("b", false);
    world.fail_each(FIRST, None);
    world.fail("HEAD first /b");
    world.answer(SECOND, 404, &[], "");
    assert_eq!(world.outcome(), Outcome::OriginUnavailable("reset or cut short"), "the first may have it");

    for (first, second, outcome) in
        [(404, 404, Outcome::NotFound), (404, 504, Outcome::OriginTimeout), (504, 404, Outcome::OriginTimeout)]
    {
        let mut world = World::with_key("b", false);
        world.answer(FIRST, first, &[], "");
        world.answer(SECOND, second, &[], "");
        assert_eq!(world.outcome(), outcome);
    }
    let mut world = World::with_key("b", false);
    world.answer(FIRST, 401, &[], "");
    assert_eq!(world.outcome(), Outcome::OriginRefused { status: 401 });
}

#[test]
fn an_object_that_nothing_joins_comes_in_one_answer_or_not_at_all() {
    const PART: usize = 6 * 1024 * 1024;
    let beginning = "a".repeat(PART);
    let weak = ("etag", "W/\"e\"");
    let mut world = World::new(false);
    world.answer(GET, 206, &[("content-range", "bytes 0-6291455/6291457"), weak], &beginning);
    assert!(!has_range(&world.answer(GET, 200, &[("content-length", "6291457"), weak], &"b".repeat(PART + 1))));
    assert_eq!(world.answer(PUT, 200, &[], "").request.body.len(), PART + 1);
    assert_eq!(world.outcome(), Outcome::Stored);

    let mut large = World::with_key("b", false);
    large.answer("GET first /b", 206, &[("content-range", "bytes 0-6291455/33554433"), weak], &beginning);
    assert_eq!(large.warnings, [Warning::NothingJoins]);
    assert!(
        Warning::NothingJoins.text(&Bucket::default(), &Default::default()).contains("pin"),
        "the setting is named"
    );
    large.answer("GET second /b", 206, HELLO, "hello");
    large.answer("PUT signer /my-bucket/b", 200, &[], "");
    assert_eq!(large.outcome(), Outcome::Stored, "another origin may send more");
}

#[test]
fn a_whole_object_is_asked_for_with_the_room_that_it_needs() {
    let mut world = World::new(false);
    world.spare = 1;
    world.answer(GET, 403, &[], "");
    assert_eq!(world.fill.memory(), MAX_PART_SIZE, "admission holds the call back");
    assert!(!has_range(&world.answer(GET, 200, &[("content-length", "5")], "hello")));
    world.answer(PUT, 200, &[], "");
    assert_eq!(world.outcome(), Outcome::Stored);
}

#[test]
fn an_object_that_its_origin_announced_otherwise_is_not_stored_and_the_next_origin_is_asked() {
    const OF_HELLO: &str = "XUFAKrxLKna5cZ2REBfFkg==";
    const OF_NOTHING: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";
    const RANGE: (&str, &str) = ("content-range", "bytes 0-4/5");
    for (status, framing) in [(206, RANGE), (200, ("content-length", "5"))] {
        let mut world = World::new(false);
        world.answer(GET, status, &[framing, ("content-md5", OF_HELLO)], "hello");
        world.answer(PUT, 200, &[], "");
        assert_eq!(world.outcome(), Outcome::Stored);

        let mut world = World::new(false);
        world.answer(GET, status, &[framing, ("content-md5", OF_NOTHING)], "hello");
        assert_eq!(world.outcome(), Outcome::Corrupt("content-md5"));
        assert_eq!(Outcome::Corrupt("content-md5").detail(), "it contradicts content-md5");
    }
    let mut world = World::with_key("b", false);
    world.answer("GET first /b", 206, &[RANGE, ("content-md5", OF_NOTHING)], "hello");
    world.answer("GET second /b", 206, &[RANGE, ("content-md5", OF_HELLO)], "hello");
    world.answer("PUT signer /my-bucket/b", 200, &[], "");
    assert_eq!(world.outcome(), Outcome::Stored);
}

#[test]
fn a_busy_store_is_asked_three_times_with_growing_waits_and_then_the_body_is_at_hand() {
    let mut world = World::new(false);
    world.answer(GET, 206, HELLO, "hello");
    world.answer(PUT, 503, &[], "");
    let first = world.wait();
    world.answer(PUT, 409, &[], "");
    let second = world.wait();
    assert!((BACKOFF / 2..=BACKOFF).contains(&first), "{first:?}");
    assert!((BACKOFF..=BACKOFF * 2).contains(&second), "{second:?}");
    world.answer(PUT, 500, &[], "");
    world.answer(HEAD, 404, &[], "");
    match world.outcome() {
        Outcome::NotStored { object: Some(object), status } => {
            assert_eq!((&**object.body, status), (&b"hello"[..], 500))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_that_rejects_is_not_asked_again() {
    for rejected in [400, 403, 404] {
        let mut world = World::new(false);
        world.answer(GET, 206, HELLO, "hello");
        world.answer(PUT, rejected, &[], "");
        assert!(matches!(world.outcome(), Outcome::NotStored { status, .. } if status == rejected));
    }
}

#[test]
fn an_input_that_nobody_awaits_ends_the_fill_and_never_panics() {
    let mut world = World::new(false);
    let call = world.call();
    world.input(Input::Deadline);
    assert!(matches!(world.outcome(), Outcome::Broken(_)));
    world.input(Input::Failed { call: call.id });
    world.input(Input::Start);
    assert!(world.pending.is_empty(), "nothing comes after the end");

    let mut world = World::new(false);
    world.call();
    world.input(Input::Failed { call: CallId(99) });
    assert!(matches!(world.outcome(), Outcome::Broken(_)));
}
