//! Scenarios of a fill: what it asks, what it is told, and how it ends, one line each.

mod rules;
mod store;

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
    let fill_key = FillKey { key, origin_key, forbidden: check, head: false, forwarded: Forwarded::default() };
    FillRequest { fill_key: Rc::new(fill_key), mirror, then: Vec::new(), check, store: true }
}

/// A fill and the world that answers it.
struct World {
    fill: Option<Fill>,
    pending: VecDeque<Action>,
    warnings: Vec<Warning>,
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
        let fill = Fill::new(config, request, 7);
        let mut world = Self { fill: Some(fill), pending: VecDeque::new(), warnings: Vec::new() };
        world.input(Input::Start);
        world
    }

    fn input(&mut self, input: Input) {
        let (fill, actions) = self.fill.take().unwrap().handle(input, 0);
        self.fill = Some(fill);
        for action in actions {
            match action {
                Action::Progress { .. } | Action::Unranged(_) => {}
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
        (302, &[("location", "/login")], "", Outcome::OriginRefused { status: 302 }),
        (500, &[], "", Outcome::OriginUnavailable("5xx")),
        (504, &[], "", Outcome::OriginTimeout),
        (206, &[("content-range", "bytes 0-4/5")], "hell", Outcome::OriginUnavailable("length mismatch")),
        (200, &[("content-length", "6")], "hello", Outcome::OriginUnavailable("length mismatch")),
        (200, &[], "hello", Outcome::TooLarge),
    ] {
        let mut world = World::new(false);
        world.answer(GET, status, headers, body);
        assert_eq!(world.outcome(), outcome, "{status} {headers:?}");
    }
}

#[test]
fn a_cut_answer_is_told_from_one_that_envoy_cut_because_it_was_too_large() {
    const HEAD: &str = "HEAD first /one/a.txt";
    for (length, outcome) in [
        (Some("33554433"), Outcome::TooLarge),
        (Some("33554432"), Outcome::OriginUnavailable("reset or cut short")),
        (None, Outcome::OriginUnavailable("reset or cut short")),
    ] {
        let mut world = World::new(false);
        world.fail(GET);
        match length {
            Some(length) => drop(world.answer(HEAD, 200, &[("content-length", length)], "")),
            None => world.fail(HEAD),
        }
        assert_eq!(world.outcome(), outcome);
    }
}

#[test]
fn the_next_origin_is_asked_when_one_is_unavailable_and_only_then() {
    const FIRST: &str = "GET first /b";
    const SECOND: &str = "GET second /b";
    for status in [500, 503, 504] {
        let mut world = World::with_key("b", false);
        world.answer(FIRST, status, &[], "");
        world.answer(SECOND, 206, HELLO, "hello");
        world.answer("PUT signer /my-bucket/b", 200, &[], "");
        assert_eq!(world.outcome(), Outcome::Stored);
    }
    let mut world = World::with_key("b", false);
    world.fail(FIRST);
    world.fail("HEAD first /b");
    world.answer(SECOND, 404, &[], "");
    assert_eq!(world.outcome(), Outcome::OriginUnavailable("reset or cut short"), "the first may have it");

    for (status, outcome) in [(404, Outcome::NotFound), (403, Outcome::OriginRefused { status: 403 })] {
        let mut world = World::with_key("b", false);
        world.answer(FIRST, status, &[], "");
        assert_eq!(world.outcome(), outcome);
    }
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
