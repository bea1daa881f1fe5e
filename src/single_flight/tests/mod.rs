//! Flights in virtual time.

mod bound;
mod contention;
mod distant;
mod feeding;
mod passing;
mod shares;
mod turns;
mod workers;

use super::*;
use crate::config::rule::Mirror;
use crate::fill::Warning;
use crate::http::Headers;
use crate::object::key::Key;
use crate::request::forwarded::Forwarded;
use crate::single_flight::leases::tests::FakeSharedHost;
use std::collections::VecDeque;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn fill_key(key: &str) -> Rc<FillKey> {
    Rc::new(FillKey {
        key: Key::from_path(key.as_bytes()).unwrap(),
        origin_key: key.to_owned(),
        forbidden: false,
        unavailable: false,
        head: false,
        forwarded: Forwarded::default(),
    })
}

/// Flights in virtual time. Every effect is kept until a test looks for it.
struct World {
    flights: Flights,
    mirror: Rc<Mirror>,
    start: Instant,
    now: Instant,
    shared: Rc<FakeSharedHost>,
    effects: VecDeque<Effect>,
    warnings: Vec<String>,
    /// Only the bucket can answer the streams that come now.
    for_bucket: bool,
    /// The most bytes that they may be handed.
    most: u64,
}

/// A stream that wants all of an object, and may be passed to the origin.
fn join<'a>(stream: u32, asked: &'a dyn Fn() -> u64, request: &'a FillRequest, trace: &'a Trace) -> Join<'a> {
    let (may_pass, for_bucket, most) = (true, false, u64::MAX);
    Join { stream: StreamId(stream), asked, request, trace, may_pass, for_bucket, most }
}

impl World {
    fn new(fills: usize, queue: usize) -> Self {
        Self::with_memory(fills, queue, "128MiB")
    }

    fn with_memory(fills: usize, queue: usize, memory: &str) -> Self {
        let config = serde_json::json!({
            "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
            "origin": {"cluster": "origin", "authority": "files.example.com"},
            "wait": "25s",
            "limits": {"fills": fills, "queue": queue, "memory": memory}});
        Self::worker(1, Rc::new(FakeSharedHost::new()), &config)
    }

    /// Makes the worker with this queue.
    fn worker(me: u32, shared: Rc<FakeSharedHost>, config: &serde_json::Value) -> Self {
        Self::configured(me, shared, Config::parse(config.to_string().as_bytes(), &|_| None).unwrap(), 0)
    }

    /// Makes a worker with streams that this rule serves.
    fn configured(me: u32, shared: Rc<FakeSharedHost>, config: Config, rule: usize) -> Self {
        let config = Rc::new(config);
        let mirror = config.rules[rule].mirror.clone().unwrap();
        let start = Instant::now();
        let leases = Leases::new(&config, 0, me);
        let flights = Flights::new(config, leases, me.into());
        Self {
            flights,
            mirror,
            start,
            now: start,
            shared,
            effects: VecDeque::new(),
            warnings: Vec::new(),
            for_bucket: false,
            most: u64::MAX,
        }
    }

    fn join(&mut self, stream: u32, key: &str) {
        let mirror = self.mirror.clone();
        self.join_as(stream, key, mirror);
    }

    /// By the rule for this key.
    fn join_rule(&mut self, stream: u32, key: &str) {
        let rule = self.flights.config.rules.iter().find(|rule| key.starts_with(&rule.prefix)).unwrap();
        let mirror = rule.mirror.clone().unwrap();
        self.join_as(stream, key, mirror);
    }

    /// By all rules, one after the other.
    fn join_chain(&mut self, stream: u32, key: &str) {
        let mut chain: VecDeque<_> = self.flights.config.rules.iter().filter_map(|rule| rule.mirror.clone()).collect();
        let mirror = chain.pop_front().unwrap();
        self.join_with(stream, key, mirror, chain.into());
    }

    fn join_as(&mut self, stream: u32, key: &str, mirror: Rc<Mirror>) {
        self.join_with(stream, key, mirror, Vec::new());
    }

    fn join_with(&mut self, stream: u32, key: &str, mirror: Rc<Mirror>, then: Vec<Rc<Mirror>>) {
        self.join_fill(stream, fill_key(key), mirror, then);
    }

    /// With a condition, or for a part: only the bucket can answer.
    fn join_for_bucket(&mut self, stream: u32, key: &str) {
        self.for_bucket = true;
        self.join(stream, key);
        self.for_bucket = false;
    }

    fn join_fill(&mut self, stream: u32, fill_key: Rc<FillKey>, mirror: Rc<Mirror>, then: Vec<Rc<Mirror>>) {
        let request = FillRequest { fill_key, mirror, then, check: false, part: false, store: true };
        let trace = Trace::default();
        let (may_pass, for_bucket, most) = (!self.for_bucket, self.for_bucket, self.most);
        let asked = || self.shared.nanos();
        let want = Join { may_pass, for_bucket, most, ..join(stream, &asked, &request, &trace) };
        let effects = self.flights.join(want, self.now, &*self.shared);
        self.keep(effects);
    }

    fn keep(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Progress(_) => {}
                Effect::Warn { what, .. } => self.warnings.push(what.into_owned()),
                effect => self.effects.push_back(effect),
            }
        }
    }

    fn leave(&mut self, stream: u32, key: &str) -> bool {
        self.flights.leave(StreamId(stream), Some(&fill_key(key)), self.now)
    }

    /// Takes the oldest call that was asked for, as `METHOD path`.
    fn call(&mut self) -> (Ticket, String) {
        match self.effects.pop_front() {
            Some(Effect::Call { ticket, call }) => {
                (ticket, format!("{} {}", call.request.method.as_str(), call.request.path))
            }
            other => panic!("expected a call, got {other:?}"),
        }
    }

    fn finish(&mut self, ticket: Ticket, status: u16) {
        self.respond(ticket, status, &[("content-length", "5")], b"hello".to_vec());
    }

    fn respond(&mut self, ticket: Ticket, status: u16, headers: &[(&str, &str)], body: Vec<u8>) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let length = body.len() as u64;
        let (body, unread) = if self.flights.may_read(&ticket, length) { (body, 0) } else { (Vec::new(), length) };
        let response = Response { status, headers: Headers::new(headers), body };
        let effects = self.flights.finish_call(ticket, Some(response), unread, self.now, &*self.shared);
        self.keep(effects);
    }

    fn fail(&mut self, ticket: Ticket) {
        let effects = self.flights.finish_call(ticket, None, 0, self.now, &*self.shared);
        self.keep(effects);
    }

    /// Lets time pass to the next deadline.
    fn tick(&mut self) {
        let next = self.flights.next_deadline().expect("a deadline");
        self.shared.pass(next.saturating_duration_since(self.now));
        self.now = next;
        let effects = self.flights.tick(self.now, &*self.shared);
        self.keep(effects);
    }

    /// Lets time pass until something happens. Returns the time since the start.
    fn pass_to_deadline(&mut self) -> Duration {
        while self.effects.is_empty() {
            self.tick();
        }
        self.now - self.start
    }

    fn ended(&mut self) -> (&'static str, usize) {
        match self.effects.pop_front() {
            Some(Effect::Ended(ended)) => (ended.outcome, ended.waiters),
            other => panic!("expected an end, got {other:?}"),
        }
    }

    fn answered(&mut self) -> (Vec<u32>, &'static str) {
        match self.effects.pop_front() {
            Some(Effect::Answer { streams, outcome, .. }) => {
                let why = if let Outcome::Busy(shortage) = outcome { shortage.label() } else { outcome.label() };
                (streams.iter().map(|s| s.0).collect(), why)
            }
            other => panic!("expected an answer, got {other:?}"),
        }
    }

    fn assert_empty(&mut self) {
        assert!(self.effects.is_empty(), "{:?}", self.effects);
        assert!(self.flights.flights.values().next().is_none() && self.flights.admission.next().is_none());
        assert_eq!(self.flights.next_deadline(), None);
    }
}

#[test]
fn many_streams_wait_for_one_fill() {
    let mut world = World::new(4, 4);
    for stream in 1..=50 {
        world.join(stream, "a");
    }
    let (get, request) = world.call();
    assert_eq!(request, "GET /a");
    assert!(world.effects.is_empty(), "the others only wait");
    world.finish(get, 200);
    let (put, request) = world.call();
    assert_eq!(request, "PUT /b/a");
    world.finish(put, 200);
    assert_eq!(world.ended(), ("stored", 50));
    assert_eq!(world.answered(), ((1..=50).collect(), "stored"));
    world.assert_empty();
}

#[test]
fn different_keys_fill_at_once_and_a_key_can_be_filled_again() {
    let mut world = World::new(4, 4);
    world.join(1, "a");
    world.join(2, "b");
    let ((a, _), (b, _)) = (world.call(), world.call());
    world.finish(b, 404);
    assert_eq!((world.ended(), world.answered()), (("not_found", 1), (vec![2], "not_found")));
    world.finish(a, 504);
    assert_eq!((world.ended(), world.answered()), (("origin_timeout", 1), (vec![1], "origin_timeout")));
    world.join(3, "a");
    assert_eq!(world.answered(), (vec![3], "origin_timeout"), "the failure is remembered");
    world.shared.pass(SECOND);
    world.join(3, "a");
    let (a, _) = world.call();
    world.finish(a, 404);
    assert_eq!((world.ended(), world.answered()), (("not_found", 1), (vec![3], "not_found")));
    world.assert_empty();
}

#[test]
fn client_gone_fill_still_completes() {
    let mut world = World::new(4, 4);
    world.join(1, "a");
    let (get, _) = world.call();
    world.leave(1, "a");
    world.finish(get, 200);
    let (put, _) = world.call();
    world.finish(put, 200);
    assert_eq!(world.ended(), ("stored", 0));
    world.assert_empty();
}

#[test]
fn who_waited_long_enough_is_answered_and_the_fill_goes_on() {
    let mut world = World::new(4, 4);
    world.join(1, "a");
    let (get, _) = world.call();
    world.now += SECOND;
    world.join(2, "a");
    assert_eq!(world.pass_to_deadline(), 25 * SECOND);
    assert_eq!(world.answered(), (vec![1], "filling"));
    world.finish(get, 200);
    let (put, _) = world.call();
    assert_eq!(world.pass_to_deadline(), 26 * SECOND);
    assert_eq!(world.answered(), (vec![2], "filling"));
    world.finish(put, 200);
    assert_eq!(world.ended(), ("stored", 0));
    world.assert_empty();
}

#[test]
fn a_failed_put_is_sent_again_when_its_time_has_come() {
    let mut world = World::new(4, 4);
    world.join(1, "a");
    let (get, _) = world.call();
    world.finish(get, 200);
    let (put, _) = world.call();
    world.finish(put, 503);
    assert!(world.effects.is_empty());
    let waited = world.pass_to_deadline();
    assert!((Duration::from_millis(100)..=Duration::from_millis(200)).contains(&waited), "{waited:?}");
    let (put, request) = world.call();
    assert_eq!(request, "PUT /b/a");
    world.finish(put, 200);
    assert_eq!((world.ended(), world.answered()), (("stored", 1), (vec![1], "stored")));
    world.assert_empty();
}

#[test]
fn a_failing_origin_is_asked_again_within_the_time_that_clients_wait() {
    let mut world = World::new(4, 4);
    world.join(1, "a");
    for _ in 0..2 {
        while !matches!(world.effects.front(), Some(Effect::Call { .. })) {
            world.tick();
        }
        let (get, _) = world.call();
        world.now += 13 * SECOND;
        world.finish(get, 429);
    }
    assert_eq!(world.ended(), ("origin_unavailable", 1), "26 of 25 seconds are over, so a third attempt is not made");
    assert_eq!(world.answered(), (vec![1], "origin_unavailable"));
    world.assert_empty();
}

#[test]
fn fills_beyond_the_limit_wait_in_order_and_beyond_the_queue_are_refused() {
    let mut world = World::new(1, 2);
    for (stream, key) in [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "b")] {
        world.join(stream, key);
    }
    let (a, _) = world.call();
    assert_eq!(world.answered(), (vec![4], "fills"));
    assert!(world.effects.is_empty(), "b waits for a, with two streams");
    world.finish(a, 404);
    assert_eq!((world.ended(), world.answered()), (("not_found", 1), (vec![1], "not_found")));
    let (b, request) = world.call();
    assert_eq!(request, "GET /b");
    world.finish(b, 404);
    assert_eq!((world.ended(), world.answered()), (("not_found", 2), (vec![2, 5], "not_found")));
    let (c, _) = world.call();
    world.finish(c, 404);
    assert_eq!((world.ended(), world.answered()), (("not_found", 1), (vec![3], "not_found")));
    world.assert_empty();
}

#[test]
fn a_fill_that_nobody_waits_for_any_more_never_begins() {
    let mut world = World::new(1, 8);
    world.join(1, "a");
    world.join(2, "b");
    world.join(3, "c");
    world.leave(2, "b");
    let (a, _) = world.call();
    world.finish(a, 404);
    assert_eq!((world.ended(), world.answered()), (("not_found", 1), (vec![1], "not_found")));
    let (c, request) = world.call();
    assert_eq!(request, "GET /c");
    world.finish(c, 404);
    assert_eq!((world.ended(), world.answered()), (("not_found", 1), (vec![3], "not_found")));
    world.assert_empty();
}

#[test]
fn an_answer_that_is_cut_when_its_time_is_over_timed_out() {
    for (waited, outcome) in [(17, "GET"), (18, "origin_timeout")] {
        let mut world = World::new(4, 4);
        world.join(1, "a");
        let (get, _) = world.call();
        world.now += waited * SECOND;
        world.fail(get);
        world.pass_to_deadline();
        let got = match world.effects.pop_front() {
            Some(Effect::Call { call, .. }) => call.request.method.as_str(),
            Some(Effect::Ended(ended)) => ended.outcome,
            other => panic!("{other:?}"),
        };
        assert_eq!(got, outcome, "{waited}");
    }
}

#[test]
fn a_call_is_counted_by_its_server_its_end_and_the_bytes_that_an_origin_gave() {
    let mut world = World::new(4, 4);
    world.join(1, "a");
    let (get, _) = world.call();
    let sent = world.now;
    let seen = |ticket: &Ticket, response: Option<&Response>, seconds| {
        let record = ticket.called(response, sent, sent + seconds * SECOND);
        (record.to, record.result, record.took, record.fetched)
    };
    let hello = Response { status: 200, headers: Headers::default(), body: b"hello".to_vec() };
    assert_eq!(seen(&get, Some(&hello), 1), ("origin", "2xx", SECOND, 5));
    assert_eq!(seen(&get, Some(&hello), 18), ("origin", "2xx", 18 * SECOND, 5), "late, but all of it");
    assert_eq!(seen(&get, None, 17), ("origin", "failed", 17 * SECOND, 0));
    assert_eq!(seen(&get, None, 18), ("origin", "timeout", 18 * SECOND, 0));
    world.finish(get, 200);
    let (put, _) = world.call();
    assert_eq!(seen(&put, Some(&hello), 1), ("store", "2xx", SECOND, 0));
}

#[test]
fn a_call_that_comes_back_twice_changes_nothing() {
    let mut world = World::new(4, 4);
    world.join(1, "a");
    let (get, _) = world.call();
    world.finish(get.clone(), 404);
    assert_eq!((world.ended(), world.answered()), (("not_found", 1), (vec![1], "not_found")));
    world.finish(get.clone(), 200);
    world.fail(get);
    world.assert_empty();
}

#[test]
fn fills_that_would_hold_more_than_the_memory_wait_although_more_might_run() {
    let mut world = World::with_memory(64, 1, "12MiB");
    let mut config = (*world.flights.config).clone();
    config.limits.first_range = config.limits.part_size;
    world = World::configured(1, world.shared, config, 0);
    for (stream, key) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        world.join(stream, key);
    }
    let ((a, _), (b, _)) = (world.call(), world.call());
    assert_eq!(world.answered(), (vec![4], "memory"));
    assert!(world.effects.is_empty(), "c waits for the memory that a and b may need");
    world.finish(a, 200);
    let (put, request) = world.call();
    assert_eq!(request, "PUT /b/a");
    assert!(world.effects.is_empty(), "a holds 5 bytes now, which is too much beside two parts");
    world.finish(put, 200);
    assert_eq!((world.ended(), world.answered()), (("stored", 1), (vec![1], "stored")));
    let (c, request) = world.call();
    assert_eq!(request, "GET /c");
    for (fill, stream) in [(b, 2), (c, 3)] {
        world.finish(fill, 404);
        assert_eq!((world.ended(), world.answered()), (("not_found", 1), (vec![stream], "not_found")));
    }
    world.assert_empty();
}

#[test]
fn more_streams_than_may_wait_are_refused() {
    let config = serde_json::json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
        "origin": {"cluster": "origin", "authority": "files.example.com"},
        "limits": {"waiters": 2}});
    let mut world = World::worker(1, Rc::new(FakeSharedHost::new()), &config);
    for stream in 1..=3 {
        world.join(stream, "a");
    }
    let (get, _) = world.call();
    assert_eq!(world.answered(), (vec![3], "waiters"));
    world.leave(2, "a");
    world.join(4, "a");
    world.finish(get, 404);
    assert_eq!((world.ended(), world.answered()), (("not_found", 2), (vec![1, 4], "not_found")));
    world.assert_empty();
    assert_eq!(world.flights.waiters, 0);
}

fn responding(response: &str, fills: usize, queue: usize) -> World {
    let config = serde_json::json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
        "origin": {"cluster": "origin", "authority": "files.example.com", "public_url": "https://files.example.com"},
        "rules": [{"response": response, "on_head": "origin"}],
        "limits": {"fills": fills, "queue": queue}});
    World::worker(1, Rc::new(FakeSharedHost::new()), &config)
}

#[test]
fn who_is_sent_to_the_origin_waits_for_nothing_and_the_fill_goes_on_without_anybody() {
    let mut world = responding("origin", 1, 1);
    world.join(1, "a");
    assert_eq!(world.answered(), (vec![1], "origin"));
    let (get, path) = world.call();
    assert_eq!(path, "GET /a");
    world.join(2, "a");
    assert_eq!(world.answered(), (vec![2], "origin"));
    world.join(3, "b");
    assert_eq!(world.answered(), (vec![3], "origin"), "queued");
    world.join(4, "c");
    assert_eq!(world.answered(), (vec![4], "origin"), "there is no room, and nothing to wait for");
    world.finish(get, 404);
    assert_eq!(world.ended(), ("not_found", 0));
    assert_eq!(world.call().1, "GET /b", "the queued one begins without a waiter");
    world.join(5, "a");
    assert_eq!(world.answered(), (vec![5], "not_found"));
}

#[test]
fn who_is_sent_to_the_origin_is_sent_there_though_a_failure_is_remembered_or_another_worker_fills() {
    let mut world = responding("origin", 1, 1);
    world.join(1, "a");
    assert_eq!(world.answered(), (vec![1], "origin"));
    let (get, _) = world.call();
    let config = world.flights.config.clone();
    let mut other = World::configured(2, world.shared.clone(), (*config).clone(), 0);
    other.join(1, "a");
    assert_eq!(other.answered(), (vec![1], "origin"));
    other.assert_empty();
    assert_eq!(world.shared.messages(1), [], "and it follows nothing");
    world.finish(get, 504);
    assert_eq!(world.ended(), ("origin_timeout", 0));
    world.join(2, "a");
    assert_eq!(world.answered(), (vec![2], "origin"));
    world.assert_empty();
}

#[test]
fn who_comes_while_an_object_is_being_stored_is_served_too() {
    let mut world = responding("serve", 1, 1);
    world.join(1, "a");
    world.join(2, "a");
    let (get, _) = world.call();
    world.finish(get, 200);
    let (put, path) = world.call();
    assert_eq!(path, "PUT /b/a");
    assert_eq!(world.answered(), (vec![1, 2], "served"));
    world.join(3, "a");
    assert_eq!(world.answered(), (vec![3], "served"));
    world.finish(put, 200);
    assert_eq!(world.ended(), ("stored", 0));
    world.assert_empty();
}

#[test]
fn a_stream_that_only_the_bucket_can_answer_waits_for_the_end_of_the_fill() {
    let mut world = responding("serve", 1, 1);
    world.join_for_bucket(1, "a");
    world.join(2, "a");
    world.join_for_bucket(3, "a");
    let (get, _) = world.call();
    world.finish(get, 200);
    let (put, _) = world.call();
    assert_eq!(world.answered(), (vec![2], "served"));
    world.join_for_bucket(4, "a");
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    assert_eq!(world.flights.waiters(), 3);
    world.finish(put, 200);
    assert_eq!(world.ended(), ("stored", 3));
    assert_eq!(world.answered(), (vec![1, 3, 4], "stored"));
    world.assert_empty();
}

#[test]
fn a_stream_that_only_the_bucket_can_answer_is_not_sent_to_the_origin() {
    let mut world = responding("origin", 1, 1);
    world.join_for_bucket(1, "a");
    let (get, _) = world.call();
    world.join(2, "a");
    assert_eq!(world.answered(), (vec![2], "origin"));
    world.finish(get, 200);
    let (put, _) = world.call();
    world.finish(put, 200);
    assert_eq!(world.ended(), ("stored", 1));
    assert_eq!(world.answered(), (vec![1], "stored"));
    world.assert_empty();
}

#[test]
fn a_fill_goes_on_for_a_client_that_was_sent_to_the_origin_though_the_one_that_waited_has_left() {
    let mut world = responding("origin", 1, 1);
    world.join(1, "a");
    assert_eq!(world.answered(), (vec![1], "origin"));
    let (get, _) = world.call();
    world.join_for_bucket(2, "b");
    world.join(3, "b");
    assert_eq!(world.answered(), (vec![3], "origin"));
    assert!(!world.leave(2, "b"));
    world.finish(get, 404);
    assert_eq!(world.ended(), ("not_found", 0));
    assert_eq!(world.call().1, "GET /b");
}

#[test]
fn a_head_that_only_asks_the_origin_is_no_fill_of_its_key() {
    let mut world = responding("redirect", 2, 2);
    world.join(1, "a");
    assert_eq!(world.call().1, "GET /a");
    let request = FillRequest {
        fill_key: Rc::new(FillKey { head: true, ..(*fill_key("a")).clone() }),
        mirror: world.mirror.clone(),
        then: Vec::new(),
        check: false,
        part: false,
        store: true,
    };
    let trace = Trace::default();
    let asked = || world.shared.nanos();
    let want = join(2, &asked, &request, &trace);
    let effects = world.flights.join(want, world.now, &*world.shared);
    world.keep(effects);
    let (head, path) = world.call();
    assert_eq!(path, "HEAD /a");
    world.finish(head, 200);
    assert_eq!(world.ended(), ("head", 1));
    assert_eq!(world.answered(), (vec![2], "head"));
    assert_eq!(world.flights.running(), 1);
}

#[test]
fn a_store_that_takes_nothing_is_warned_of_once_a_minute() {
    let mut world = World::new(8, 0);
    for (stream, key, minute) in [(1, "a", 1), (2, "b", 1), (3, "c", 2)] {
        world.now = world.start + Duration::from_secs(60 * (minute - 1));
        world.join(stream, key);
        let (get, _) = world.call();
        world.finish(get, 200);
        let (put, _) = world.call();
        world.respond(put, 403, &[], b"<Error><Code>AccessDenied</Code></Error>".to_vec());
        assert_eq!((world.ended().0, world.answered().1), ("not_stored", "not_stored"));
        assert_eq!(world.warnings.len() as u64, minute, "{:?}", world.warnings);
    }
    assert!(world.warnings[0].contains("into s3.example.com/b: 403 AccessDenied: give the signer's credential"));
}

#[test]
fn each_warning_is_given_once_a_minute() {
    let (mut warnings, begin) = (Warnings::default(), Instant::now());
    let mut admits = |warning, seconds| warnings.admits(warning, begin + Duration::from_secs(seconds));
    let admitted = [0, 0, 59, 60, 119, 120].map(|at| admits(Warning::CannotList, at));
    assert_eq!(admitted, [true, false, false, true, false, true]);
    assert!(admits(Warning::CannotHold, 120), "another one has times of its own");
}
