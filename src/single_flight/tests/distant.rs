//! First ranges, which follow the room that there is.

use super::*;
use crate::fill::Call;

const MIB: u64 = 1024 * 1024;
const FIRST: u64 = 65_537;

/// A worker of one origin, or with another one beside it.
fn world(shared: bool, limits: serde_json::Value) -> World {
    let origin = |cluster: &str| serde_json::json!({"cluster": cluster, "authority": "o.test"});
    let mut rules = vec![serde_json::json!({"prefix": "/0", "origins": ["far"]})];
    rules.extend(shared.then(|| serde_json::json!({"origins": ["near"]})));
    let mut origins = serde_json::json!({"far": origin("far")});
    if shared {
        origins["near"] = origin("near");
    }
    let config = serde_json::json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
        "origins": origins, "rules": rules, "limits": limits});
    World::worker(1, Rc::new(FakeSharedHost::new()), &config)
}

fn range(call: &Call) -> Option<(u64, u64)> {
    let (_, value) = call.request.headers.iter().find(|(name, _)| *name == "range")?;
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

impl World {
    fn next_call(&mut self) -> (Ticket, Call) {
        match self.effects.pop_front() {
            Some(Effect::Call { ticket, call }) => (ticket, call),
            other => panic!("expected a call, got {other:?}"),
        }
    }

    /// Lets so many fills of objects of their own begin, and returns their first calls.
    fn begin_far(&mut self, fills: u32) -> Vec<(Ticket, Call)> {
        for stream in 0..fills {
            self.join_rule(stream, &format!("0/{stream}"));
        }
        let mut calls = Vec::new();
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Call { ticket, call } => calls.push((ticket, call)),
                other => assert!(matches!(other, Effect::Answer { outcome: Outcome::Busy(_), .. }), "{other:?}"),
            }
        }
        calls
    }

    /// Answers a call to the origin with what it asks for of an object of so many bytes.
    fn give_range(&mut self, ticket: Ticket, call: &Call, total: u64) {
        let (first, last) = range(call).unwrap();
        let last = last.min(total - 1);
        let content_range = format!("bytes {first}-{last}/{total}");
        let body = vec![b'x'; usize::try_from(last + 1 - first).unwrap()];
        self.respond(ticket, 206, &[("content-range", &content_range), ("etag", "\"e\"")], body);
    }
}

#[test]
fn hundreds_of_fills_of_one_origin_are_on_their_way_at_once_within_the_default_memory() {
    for (shared, at_once) in [(false, 350), (true, 200)] {
        let mut world = world(shared, serde_json::json!({}));
        let calls = world.begin_far(512);
        assert!(calls.len() >= at_once, "{} of them", calls.len());
        let bytes: u64 = calls.iter().map(|(_, call)| range(call).unwrap().1 + 1).sum();
        assert!(bytes <= world.flights.admission.held() && world.flights.admission.held() <= 128 * MIB);
        if shared {
            world.join_rule(1_000, "1/a");
            assert_eq!(world.next_call().1.request.path, "/1/a", "the other origin's has room at once");
        }
    }
}

#[test]
fn a_fill_asks_for_a_part_while_few_run_and_for_less_while_many_do() {
    let mut world = world(false, serde_json::json!({}));
    let lengths: Vec<u64> = world.begin_far(300).iter().map(|(_, call)| range(call).unwrap().1 + 1).collect();
    assert_eq!(lengths[..4], [6 * MIB; 4]);
    assert!(lengths.is_sorted_by(|earlier, later| earlier >= later), "{lengths:?}");
    assert_eq!(lengths.last(), Some(&FIRST));
}

#[test]
fn while_hundreds_of_small_objects_come_and_go_each_takes_one_call_to_the_origin() {
    let mut world = world(false, serde_json::json!({}));
    let mut calls: VecDeque<_> = world.begin_far(256).into();
    for stream in 256..2_000 {
        let (get, call) = calls.pop_front().unwrap();
        world.give_range(get, &call, 100_000.min(range(&call).unwrap().1));
        let (put, call) = world.next_call();
        assert_eq!(call.request.path, format!("/b/0/{}", stream - 256));
        world.finish(put, 200);
        world.effects.clear();
        world.join_rule(stream, &format!("0/{stream}"));
        calls.push_back(world.next_call());
        assert_eq!(world.flights.running(), 256);
    }
    let lengths = calls.iter().map(|(_, call)| range(call).unwrap().1 + 1);
    assert!(lengths.min().unwrap() > 128 * 1024, "a share of what 256 fills leave each other");
}

#[test]
fn the_rest_of_an_object_takes_a_second_call_and_its_parts_are_those_that_it_would_have_had() {
    for (total, then) in [(FIRST + 1, "PUT"), (6 * MIB, "PUT"), (6 * MIB + 1, "POST")] {
        let mut world = world(false, serde_json::json!({}));
        let (get, call) = world.begin_far(300).pop().unwrap();
        let path = call.request.path.clone();
        world.give_range(get, &call, total);
        let (next, call) = world.next_call();
        if then == "PUT" {
            assert_eq!(range(&call), Some((FIRST, total - 1)));
            world.give_range(next, &call, total);
            let (_, put) = world.next_call();
            assert_eq!((put.request.path, put.request.body.len() as u64), (format!("/b{path}"), total));
        } else {
            world.respond(next, 200, &[], b"<UploadId>u</UploadId>".to_vec());
            assert_eq!(range(&world.next_call().1), Some((FIRST, 6 * MIB - 1)), "the first part's rest");
        }
    }
}

#[test]
fn an_object_whose_rest_has_no_room_lets_go_what_came_and_is_asked_for_whole_when_there_is() {
    for (total, last) in [(3 * MIB, 3 * MIB), (5 * MIB, 5 * MIB - 1)] {
        let mut world = world(false, serde_json::json!({"fills": 64, "part_size": "5MiB", "memory": "8MiB"}));
        let mut calls = world.begin_far(60);
        let held = world.flights.admission.held();
        let (get, call) = calls.pop().unwrap();
        let (path, first) = (call.request.path.clone(), range(&call).unwrap().1 + 1);
        world.give_range(get, &call, total);
        assert!(world.effects.is_empty(), "there is no room for it");
        assert_eq!(world.flights.admission.held(), held - first, "it holds nothing meanwhile");
        let mut again = None;
        for (get, _) in calls {
            world.finish(get, 404);
            let found = world.effects.drain(..).find_map(|effect| match effect {
                Effect::Call { ticket, call } if call.request.path == path => Some((ticket, call)),
                _ => None,
            });
            again = again.or(found);
        }
        let (get, call) = again.unwrap();
        assert_eq!(range(&call), Some((0, last)), "with the byte behind it, and at most a part");
        world.give_range(get, &call, last);
        assert_eq!(world.next_call().1.request.body.len() as u64, last);
    }
}

#[test]
fn an_object_that_nothing_joins_is_asked_for_in_one_answer() {
    let mut world = world(false, serde_json::json!({}));
    let (get, call) = world.begin_far(300).pop().unwrap();
    let first = range(&call).unwrap().1 + 1;
    let body = vec![b'x'; usize::try_from(first).unwrap()];
    world.respond(get, 206, &[("content-range", &format!("bytes 0-{}/100000", first - 1))], body);
    let (get, call) = world.next_call();
    assert_eq!(range(&call), None);
    world.respond(get, 200, &[("content-length", "100000")], vec![b'x'; 100_000]);
    assert_eq!(world.next_call().1.request.body.len(), 100_000);
}

#[test]
fn an_origin_that_ignores_ranges_may_give_more_than_was_asked_for_where_there_is_room() {
    let mut world = world(false, serde_json::json!({}));
    let (get, _) = world.begin_far(300).pop().unwrap();
    world.respond(get, 200, &[("content-length", "300000")], vec![b'x'; 300_000]);
    assert_eq!(world.next_call().1.request.body.len(), 300_000);
    let origin = world.flights.admission.origin("far");
    assert!(!world.flights.admission.is_unranged(origin, world.now), "it fits a part");
}

#[test]
fn where_the_rest_does_not_come_whole_all_of_it_is_asked_for_after_a_wait() {
    let short = format!("bytes {FIRST}-{}/{}", 2 * FIRST - 1, 2 * MIB);
    let short = [("content-range", &*short), ("etag", "\"e\"")];
    for (status, headers, length) in [(412, &[] as &[_], 0), (206, &short, FIRST), (200, &short[1..], 2 * MIB)] {
        let mut world = world(false, serde_json::json!({}));
        let (get, call) = world.begin_far(300).pop().unwrap();
        world.give_range(get, &call, 2 * MIB);
        let (get, _) = world.next_call();
        let held = world.flights.admission.held();
        world.respond(get, status, headers, vec![b'x'; usize::try_from(length).unwrap()]);
        assert!(world.effects.is_empty(), "not at once: {status}");
        assert_eq!(world.flights.admission.held(), held);
        world.pass_to_deadline();
        let (get, call) = world.next_call();
        assert_eq!(range(&call), Some((0, 2 * MIB)), "and the byte behind it, which another version may have");
        world.give_range(get, &call, 2 * MIB);
        assert_eq!(world.next_call().1.request.body.len() as u64, 2 * MIB);
    }
}

#[test]
fn an_origin_that_gave_no_first_range_in_time_is_asked_for_little_first_for_ten_minutes() {
    let mut world = world(true, serde_json::json!({}));
    for (wait, key, first) in
        [(0, "0/a", 6 * MIB), (20, "0/b", FIRST), (0, "1/c", 6 * MIB), (599, "0/d", FIRST), (1, "0/e", 6 * MIB)]
    {
        world.now += Duration::from_secs(wait);
        world.join_rule(1, key);
        let (get, call) = world.next_call();
        assert_eq!(range(&call).unwrap().1 + 1, first, "{key}");
        if key == "0/a" {
            world.now += Duration::from_secs(20);
            world.fail(get);
            world.now -= Duration::from_secs(20);
        } else {
            world.finish(get, 404);
        }
        world.effects.clear();
    }
}
