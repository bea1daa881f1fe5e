//! Clients that are passed to origins.

use super::*;
use crate::single_flight::permits::Permit;
use serde_json::{Value, json};

const MIB: usize = 1 << 20;
const TOTAL: usize = 20 * MIB;

fn config(rule: &Value, limits: &Value) -> Value {
    let mut config = json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
        "origins": {
            "origin": {"cluster": "origin", "authority": "files.example.com"},
            "public": {"cluster": "public", "authority": "files.example.com", "public_url": "https://old.example.com"}
        },
        "wait": "25s",
        "stream": {"marker": "m=s"},
        "limits": limits,
        "rules": [rule]});
    if config["rules"][0].get("origins").is_none() {
        config["rules"][0]["origins"] = json!(["origin"]);
    }
    config
}

fn served() -> World {
    World::worker(1, Rc::new(FakeSharedHost::new()), &config(&json!({"response": "serve"}), &json!({})))
}

impl World {
    /// The origin gives the beginning of a large object.
    fn begin(&mut self) {
        let (get, request) = self.call();
        assert_eq!(request, "GET /a");
        self.give(get, 0, TOTAL);
    }

    fn give(&mut self, ticket: Ticket, first: usize, total: usize) {
        let length = (64 * 1024).min(total - first);
        let range = format!("bytes {first}-{}/{total}", first + length - 1);
        let headers = [("etag", "\"1\""), ("content-range", &range), ("content-length", &length.to_string())];
        self.respond(ticket, 206, &headers, vec![0; length]);
    }

    fn permit(&self) -> Option<Permit> {
        self.flights.leases.permit(&*self.shared, self.flights.leases.hash(&fill_key("a")))
    }

    fn open(&mut self, stream: u32) -> bool {
        self.flights.open_stream(StreamId(stream), &fill_key("a"), &*self.shared).is_some()
    }

    fn join_marked(&mut self, stream: u32) {
        let (mirror, trace) = (self.mirror.clone(), Trace::default());
        let request =
            FillRequest { fill_key: fill_key("a"), mirror, then: Vec::new(), check: false, part: false, store: true };
        let asked = || self.shared.nanos();
        let join = Join { may_pass: false, ..join(stream, &asked, &request, &trace) };
        let effects = self.flights.join(join, self.now, &*self.shared);
        self.keep(effects);
    }
}

#[test]
fn all_who_wait_for_a_large_object_are_passed_when_its_beginning_is_there() {
    let mut world = served();
    world.join(1, "a");
    world.join(2, "a");
    world.join_marked(3);
    world.begin();
    assert_eq!(world.answered(), (vec![1, 2], "streamed"), "a marked one waits");
    assert_eq!(world.call().1, "POST /b/a?uploads=");
    world.join(4, "a");
    assert_eq!(world.answered(), (vec![4], "streamed"), "and those who come later");
    world.join_marked(5);
    assert!(world.effects.is_empty() && world.open(6));
    assert_eq!(world.flights.waiters(), 2);
}

#[test]
fn clients_that_are_let_go_at_once_open_no_more_streams_than_the_limits_let() {
    let config = config(&json!({"response": "serve"}), &json!({"streams": 3, "streams_per_key": 2}));
    let mut world = World::worker(1, Rc::new(FakeSharedHost::new()), &config);
    let mut calls = Vec::new();
    for (stream, key) in [(1, "a"), (2, "a"), (3, "a"), (11, "b"), (12, "b")] {
        world.join(stream, key);
        calls.extend(world.effects.drain(..).filter_map(|effect| match effect {
            Effect::Call { ticket, .. } => Some(ticket),
            _ => None,
        }));
    }
    let mut passed = Vec::new();
    for call in calls {
        world.give(call, 0, TOTAL);
        passed.extend(world.effects.drain(..).filter_map(|effect| match effect {
            Effect::Answer { streams, .. } => Some(streams),
            _ => None,
        }));
    }
    let streams = |numbers: &[u32]| numbers.iter().copied().map(StreamId).collect::<Vec<_>>();
    assert_eq!(passed, [streams(&[1, 2]), streams(&[11, 12])], "four, before any of them has come back");
    let shared = world.shared.clone();
    let mut opens = |stream, key| world.flights.open_stream(StreamId(stream), &fill_key(key), &*shared).is_some();
    assert_eq!([opens(1, "a"), opens(2, "a"), opens(3, "a")], [true, true, false], "two of a key");
    assert_eq!(
        [opens(11, "b"), opens(12, "b")],
        [true, false],
        "three in all; the last one asks the bucket, and waits"
    );
}

#[test]
fn a_small_object_is_fetched_with_a_second_request_and_served() {
    let mut world = served();
    world.join(1, "a");
    let (get, _) = world.call();
    world.give(get, 0, 65_537);
    let (rest, _) = world.call();
    world.give(rest, 65_536, 65_537);
    assert_eq!(world.call().1, "PUT /b/a");
    assert_eq!(world.answered(), (vec![1], "served"));
    assert_eq!(world.permit(), None);
}

#[test]
fn a_permit_is_renewed_while_the_fill_runs_and_ends_when_the_object_is_stored() {
    let mut world = served();
    world.join(1, "a");
    world.begin();
    for _ in 0..10 {
        world.tick();
    }
    assert!(world.permit().is_some(), "50 s later");
    let effects = &mut Vec::new();
    world.flights.end(&fill_key("a"), Outcome::Stored, world.now, &*world.shared.clone(), effects);
    assert_eq!(world.permit(), None);
    assert!(!world.open(2));
}

#[test]
fn a_permit_outlives_a_fill_that_could_not_store_and_no_other_end() {
    for (outcome, outlives) in [
        (Outcome::NotStored { object: None, status: 503 }, true),
        (Outcome::Busy(Shortage::Share), true),
        (Outcome::OriginTimeout, true),
        (Outcome::Exists, false),
        (Outcome::Forbidden, false),
        (Outcome::Corrupt("digest"), false),
        (Outcome::NotFound, false),
        (Outcome::OriginRefused { status: 401 }, false),
    ] {
        let mut world = served();
        world.join(1, "a");
        world.begin();
        world.flights.end(&fill_key("a"), outcome.clone(), world.now, &*world.shared.clone(), &mut Vec::new());
        assert_eq!(world.permit().is_some(), outlives, "{outcome:?}");
        world.shared.pass(Duration::from_secs(31));
        assert_eq!(world.permit(), None);
    }
}

#[test]
fn limits_bound_the_streams_and_the_others_wait() {
    let limits = json!({"streams": 3, "streams_per_key": 2});
    let mut world = World::worker(1, Rc::new(FakeSharedHost::new()), &config(&json!({"response": "serve"}), &limits));
    for stream in 1..=3 {
        world.join(stream, "a");
    }
    world.begin();
    assert_eq!(world.answered(), (vec![1, 2], "streamed"));
    world.call();
    assert!(world.open(1) && world.open(2) && !world.open(3));
    world.join(4, "a");
    assert!(world.effects.is_empty(), "it waits");
    world.flights.close_stream(StreamId(1), world.now, &*world.shared.clone());
    world.join(5, "a");
    assert_eq!(world.answered(), (vec![5], "streamed"));
}

#[test]
fn where_the_table_is_full_nobody_is_passed() {
    let mut world = served();
    world.join(1, "a");
    world.shared.lost_races.set(99);
    world.begin();
    assert_eq!(world.call().1, "POST /b/a?uploads=", "and the client waits");
    assert_eq!(world.flights.waiters(), 1);
}

#[test]
fn a_client_whose_time_is_over_is_passed_in_the_place_of_a_503() {
    for (rule, expected) in
        [(json!({}), "streamed"), (json!({"on_wait": "busy"}), "filling"), (json!({"origins": ["public"]}), "filling")]
    {
        let mut world = World::worker(1, Rc::new(FakeSharedHost::new()), &config(&rule, &json!({})));
        world.join(1, "a");
        world.join_marked(2);
        let (get, _) = world.call();
        world.give(get, 0, TOTAL);
        assert_eq!(world.call().1, "POST /b/a?uploads=");
        assert_eq!(world.pass_to_deadline(), Duration::from_secs(25));
        let answers = [world.answered(), world.effects.pop_front().map(|_| (vec![2], "filling")).unwrap_or_default()];
        if expected == "streamed" {
            assert_eq!(answers, [(vec![1], "streamed"), (vec![2], "filling")], "{rule}");
        } else {
            assert_eq!(answers[0], (vec![1, 2], "filling"), "{rule}");
        }
    }
}

#[test]
fn an_object_that_cannot_be_stored_is_passed_unless_the_rule_says_otherwise() {
    for (rule, expected) in [
        (json!({}), "streamed"),
        (json!({"too_large": "error"}), "too_large"),
        (json!({"origins": ["public"]}), "too_large"),
    ] {
        let config = config(&rule, &json!({"max_object_size": "1MiB"}));
        let mut world = World::worker(1, Rc::new(FakeSharedHost::new()), &config);
        world.join(1, "a");
        let (get, _) = world.call();
        world.give(get, 0, TOTAL);
        assert_eq!(world.ended().0, "too_large");
        assert_eq!(world.answered(), (vec![1], expected), "{rule}");
        world.join(2, "a");
        assert_eq!(world.answered(), (vec![2], expected), "and so is the next, though the failure is remembered");
    }
}

#[test]
fn a_large_object_that_the_store_refuses_is_passed_to_who_waited_for_it_to_be_stored() {
    let mut world = World::worker(1, Rc::new(FakeSharedHost::new()), &config(&json!({}), &json!({})));
    world.join(1, "a");
    world.begin();
    let (create, request) = world.call();
    assert_eq!(request, "POST /b/a?uploads=");
    assert!(world.effects.is_empty(), "it waits");
    world.respond(create, 403, &[], Vec::new());
    assert_eq!(world.ended(), ("not_stored", 1));
    assert_eq!(world.answered(), (vec![1], "streamed"));
}

#[test]
fn nobody_is_passed_where_the_bucket_may_have_the_object_or_the_origins_versions_cannot_be_told_apart() {
    let weak: &[(&str, &str)] = &[("etag", "W/\"1\"")];
    let strong: &[(&str, &str)] = &[("etag", "\"1\"")];
    for (forbidden, etag, passed) in [(false, strong, true), (true, strong, false), (false, weak, false)] {
        let mut world = served();
        let forbidden = Rc::new(FillKey { forbidden, ..(*fill_key("a")).clone() });
        world.join_fill(1, forbidden, world.mirror.clone(), Vec::new());
        let (get, request) = world.call();
        assert_eq!(request, "GET /a");
        let range = [("content-range", "bytes 0-65536/20971520"), ("content-length", "65537")];
        world.respond(get, 206, &[&range, etag].concat(), vec![0; 65_537]);
        let answered = world.effects.iter().any(|effect| matches!(effect, Effect::Answer { .. }));
        assert_eq!((answered, world.permit().is_some()), (passed, passed), "{etag:?}");
    }
}

#[test]
fn what_is_not_stored_is_asked_of_the_origin_each_time() {
    let mut world = World::worker(1, Rc::new(FakeSharedHost::new()), &config(&json!({"store": false}), &json!({})));
    let join = |world: &mut World, stream| {
        let (mirror, trace) = (world.mirror.clone(), Trace::default());
        let request =
            FillRequest { fill_key: fill_key("a"), mirror, then: Vec::new(), check: false, part: false, store: false };
        let asked = || world.shared.nanos();
        let join = join(stream, &asked, &request, &trace);
        let effects = world.flights.join(join, world.now, &*world.shared);
        world.keep(effects);
    };
    for stream in [1, 2] {
        join(&mut world, stream);
        let (get, request) = world.call();
        assert_eq!(request, "GET /a");
        world.give(get, 0, TOTAL);
        assert_eq!(world.answered(), (vec![stream], "streamed"));
        assert_eq!(world.ended().0, "too_large");
    }
    join(&mut world, 3);
    let (get, _) = world.call();
    world.finish(get, 200);
    assert_eq!(world.ended().0, "served");
    assert_eq!(world.answered(), (vec![3], "served"));
    world.assert_empty();
}

#[test]
fn a_stream_that_meets_another_version_ends_the_permit() {
    let mut world = served();
    world.join(1, "a");
    world.begin();
    assert!(world.open(2));
    world.flights.fail_stream(StreamId(2), &*world.shared.clone());
    assert!(!world.open(3));
}

#[test]
fn a_403_of_the_bucket_is_no_matter_for_another_clients_permit() {
    let mut world = served();
    world.join(1, "a");
    world.begin();
    world.answered();
    world.call();
    let denied = Rc::new(FillKey { forbidden: true, ..FillKey::clone(&fill_key("a")) });
    let (mirror, trace) = (world.mirror.clone(), Trace::default());
    let request = FillRequest { fill_key: denied, mirror, then: Vec::new(), check: true, part: false, store: true };
    let asked = || world.shared.nanos();
    let join = join(2, &asked, &request, &trace);
    let effects = world.flights.join(join, world.now, &*world.shared);
    world.keep(effects);
    assert_eq!(world.call().1, "HEAD /b/a", "its own HEAD decides");
    assert!(world.effects.is_empty());
}

#[test]
fn clients_of_other_workers_are_passed_too() {
    let shared = Rc::new(FakeSharedHost::new());
    let config = config(&json!({"response": "serve"}), &json!({}));
    let mut one = World::worker(1, shared.clone(), &config);
    let mut two = World::worker(2, shared.clone(), &config);
    one.join(1, "a");
    two.join(2, "a");
    for message in shared.messages(1) {
        one.flights.receive(message, one.now, &*shared);
    }
    one.begin();
    for message in shared.messages(2) {
        let effects = two.flights.receive(message, two.now, &*shared);
        two.keep(effects);
    }
    assert_eq!(two.answered(), (vec![2], "streamed"), "one that waits");
    two.join(3, "a");
    assert_eq!(two.answered(), (vec![3], "streamed"), "and one that comes");
    assert!(two.open(3));
}

#[test]
fn a_client_that_got_a_403_is_not_passed_to_what_another_worker_fills() {
    for rule in [json!({"response": "serve"}), json!({})] {
        let shared = Rc::new(FakeSharedHost::new());
        let config = config(&rule, &json!({}));
        let mut one = World::worker(1, shared.clone(), &config);
        let mut two = World::worker(2, shared.clone(), &config);
        one.join(1, "a");
        let denied = Rc::new(FillKey { forbidden: true, ..FillKey::clone(&fill_key("a")) });
        two.join_fill(2, denied, two.mirror.clone(), Vec::new());
        for seconds in 0..25 {
            for message in shared.messages(1) {
                one.flights.receive(message, one.now, &*shared);
            }
            if seconds == 0 {
                one.begin();
            }
            for message in shared.messages(2) {
                let effects = two.flights.receive(message, two.now, &*shared);
                two.keep(effects);
            }
            assert!(two.effects.is_empty() && one.permit().is_some(), "{rule} {seconds}");
            shared.pass(SECOND);
            for world in [&mut one, &mut two] {
                world.now += SECOND;
                let effects = world.flights.tick(world.now, &*shared);
                world.keep(effects);
            }
        }
        assert_eq!(two.answered(), (vec![2], "filling"), "{rule}");
    }
}

#[test]
fn without_a_marker_nobody_is_passed() {
    let mut config = config(&json!({"response": "serve"}), &json!({}));
    config.as_object_mut().unwrap().remove("stream");
    let mut world = World::worker(1, Rc::new(FakeSharedHost::new()), &config);
    world.join(1, "a");
    world.begin();
    assert_eq!(world.call().1, "POST /b/a?uploads=");
    assert_eq!(world.permit(), None);
    world.pass_to_deadline();
    assert_eq!(world.answered(), (vec![1], "filling"));
}
