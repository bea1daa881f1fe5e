//! Shares of fills, memory and queue.

use super::*;
use crate::fill::Call;
use crate::http::Method;

const MIB: u64 = 1024 * 1024;

/// A worker with a rule for each of these lists of origins; keys begin with the rule's number. Its fills ask for a part first.
fn rules(rules: &[&[&str]], limits: serde_json::Value) -> World {
    let mut config = config(rules, limits);
    config.limits.first_range = config.limits.part_size;
    World::configured(1, Rc::new(FakeSharedHost::new()), config, 0)
}

/// Likewise, with first ranges that follow the room.
fn distant(rules: &[&[&str]], limits: serde_json::Value) -> World {
    World::configured(1, Rc::new(FakeSharedHost::new()), config(rules, limits), 0)
}

fn config(rules: &[&[&str]], limits: serde_json::Value) -> Config {
    let origin = |name: &&str| ((*name).to_owned(), serde_json::json!({"cluster": name, "authority": "o.test"}));
    let origins: serde_json::Map<_, _> = rules.concat().iter().map(origin).collect();
    let rules: Vec<_> = rules
        .iter()
        .enumerate()
        .map(|(at, origins)| serde_json::json!({"prefix": format!("/{at}"), "origins": origins}))
        .collect();
    let config = serde_json::json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
        "origins": origins, "rules": rules, "limits": limits});
    Config::parse(config.to_string().as_bytes(), &|_| None).unwrap()
}

/// Bytes that a call asks for.
fn range_length(call: &Call) -> u64 {
    let (_, value) = call.request.headers.iter().find(|(name, _)| *name == "range").unwrap();
    let (first, last) = value.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    last.parse::<u64>().unwrap() + 1 - first.parse::<u64>().unwrap()
}

impl World {
    /// Takes all calls that were asked for.
    fn calls(&mut self) -> Vec<(Ticket, Call)> {
        let (mut calls, mut others) = (Vec::new(), VecDeque::new());
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Call { ticket, call } => calls.push((ticket, call)),
                other => others.push_back(other),
            }
        }
        self.effects = others;
        calls
    }

    /// Answers all calls that were asked for: origins with the first part of an object of so many bytes, the store with
    /// an upload. Leaves the calls for later parts alone, and says how many those are.
    fn begin_large(&mut self, total: u64) -> usize {
        let part = self.flights.config.limits.part_size;
        let range = format!("bytes 0-{}/{total}", part - 1);
        let mut later = 0;
        loop {
            let calls = self.calls();
            if calls.is_empty() {
                return later;
            }
            for (ticket, call) in calls {
                let first =
                    call.request.headers.iter().any(|(name, value)| *name == "range" && value.starts_with("bytes=0-"));
                if ticket.to_store && call.request.method == Method::Post {
                    self.respond(ticket, 200, &[], b"<UploadId>u</UploadId>".to_vec());
                } else if first && call.request.method == Method::Get && range_length(&call) == part {
                    let body = vec![0; usize::try_from(part).unwrap()];
                    self.respond(ticket, 206, &[("content-range", &range), ("etag", "\"e\"")], body);
                } else {
                    later += 1;
                }
            }
        }
    }

    /// Bytes that fills and clients hold.
    fn held(&self) -> u64 {
        self.flights.admission.held()
    }

    fn assert_begins_at_once(&mut self, key: &str) {
        assert!(self.effects.is_empty(), "{:?}", self.effects);
        self.join_rule(9_999, key);
        assert_eq!(self.call().1, format!("GET /{key}"));
    }
}

#[test]
fn queued_fills_whose_clients_have_left_make_room_for_others_at_once_and_give_up_their_leases() {
    let mut world = rules(&[&["o"]], serde_json::json!({"fills": 21}));
    for stream in 0..277 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    assert_eq!(world.calls().len(), 21);
    world.join_rule(300, "0/x");
    assert_eq!(world.answered(), (vec![300], "fills"));
    for stream in 0..277 {
        world.leave(stream, &format!("0/{stream}"));
    }
    for stream in 301..557 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    assert!(world.effects.is_empty(), "all 256 places are free");
    let mut other = World::worker(
        2,
        world.shared.clone(),
        &serde_json::json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
        "origin": {"cluster": "o", "authority": "o.test"}}),
    );
    other.join(1, "0/276");
    assert_eq!(other.call().1, "GET /0/276");
    other.join(2, "0/3");
    assert!(other.effects.is_empty(), "what has begun goes on");
}

#[test]
fn a_miss_of_another_origin_begins_at_once_while_one_is_silent() {
    for limits in
        [serde_json::json!({}), serde_json::json!({"fills": 2, "queue": 2}), serde_json::json!({"memory": "12MiB"})]
    {
        let mut world = distant(&[&["silent"], &["healthy"]], limits);
        for stream in 0..600 {
            world.join_rule(stream, &format!("0/{stream}"));
        }
        assert!(world.calls().len() <= 256);
        while let Some(effect) = world.effects.pop_front() {
            assert!(matches!(effect, Effect::Answer { outcome: Outcome::Busy(_), .. }), "{effect:?}");
        }
        world.assert_begins_at_once("1/a");
        world.join_rule(10_000, "1/b");
        let refused = world.effects.iter().any(|effect| matches!(effect, Effect::Answer { .. }));
        assert!(!refused, "it may wait at least");
    }
}

#[test]
fn what_an_origin_left_to_the_next_one_counts_for_that() {
    let mut world = rules(&[&["refusing", "silent"], &["healthy"]], serde_json::json!({}));
    for stream in 0..280 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    let mut silent = 0;
    for _ in 0..1_000 {
        let Some(effect) = world.effects.pop_front() else { break };
        let Effect::Call { ticket, call } = effect else { continue };
        match call.to.cluster.as_str() {
            "refusing" => world.respond(ticket, 504, &[], Vec::new()),
            _ => silent += 1,
        }
    }
    assert!((5..=10).contains(&silent), "{silent} of them ask the silent one");
    assert_eq!(world.flights.running(), silent, "the others wait for room there, and hold nothing");
    world.effects.clear();
    world.assert_begins_at_once("1/a");
}

#[test]
fn a_fill_that_waits_for_room_at_the_next_origin_goes_on_there_when_there_is_some() {
    let mut world = rules(&[&["one"], &["two", "one"]], serde_json::json!({"fills": 4}));
    for (stream, key) in [(1, "0/a"), (2, "0/b"), (3, "1/c")] {
        world.join_rule(stream, key);
    }
    let calls = world.calls();
    world.respond(calls[2].0.clone(), 504, &[], Vec::new());
    assert!(world.effects.is_empty(), "one has two of four fills");
    world.finish(calls[0].0.clone(), 404);
    world.ended();
    world.answered();
    let (get, path) = world.call();
    assert_eq!(path, "GET /1/c");
    world.finish(get, 404);
    assert_eq!((world.ended(), world.answered()), (("origin_timeout", 1), (vec![3], "origin_timeout")));
}

#[test]
fn a_small_miss_begins_at_once_while_as_many_large_fills_run_as_may() {
    for origins in [&[&["o"] as &[&str]] as &[&[&str]], &[&["o"], &["other"]]] {
        let mut world = rules(origins, serde_json::json!({"part_size": "5MiB", "memory": "60MiB"}));
        for stream in 0..12 {
            world.join_rule(stream, &format!("0/{stream}"));
        }
        assert!(world.begin_large(2_048 * MIB) >= 4, "parts are on their way");
        assert!(world.held() <= 30 * MIB, "{}", world.held());
        assert!(world.flights.running() < 12, "some wait for room");
        world.assert_begins_at_once("0/small");
    }
}

#[test]
fn a_large_object_of_another_origin_begins_at_once_while_one_origin_has_its_share() {
    let mut world = rules(&[&["o"], &["other"]], serde_json::json!({"part_size": "5MiB", "memory": "60MiB"}));
    for stream in 0..12 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    assert_eq!(world.begin_large(2_048 * MIB), 4, "20 of 60 MiB");
    world.join_rule(20, "1/large");
    assert_eq!(world.begin_large(2_048 * MIB), 1, "and 5 for the other origin");
    world.assert_begins_at_once("1/small");
}

#[test]
fn a_large_fill_that_waited_goes_on_when_another_one_ends() {
    let mut world = rules(&[&["o"]], serde_json::json!({"fills": 2}));
    for stream in 1..=2 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    let [(one, _), (two, _)] = world.calls().try_into().unwrap();
    let ranges = [("content-range", "bytes 0-6291455/20000000"), ("etag", "\"e\"")];
    for get in [one, two] {
        world.respond(get, 206, &ranges, vec![0; 6_291_456]);
    }
    let [(create, _)] = world.calls().try_into().unwrap();
    assert_eq!(world.flights.running(), 1, "the other one waits, with nothing at hand");
    world.respond(create, 403, &[], Vec::new());
    assert_eq!((world.ended(), world.answered()), (("not_stored", 1), (vec![1], "not_stored")));
    assert_eq!(world.call().1, "GET /0/2", "its beginning is fetched once more");
    assert!(world.flights.admission.is_large(), "with its part of what large objects may have");
}

#[test]
fn a_large_fill_that_nobody_waits_for_does_not_wait_for_room() {
    let mut world = rules(&[&["o"]], serde_json::json!({"fills": 2}));
    for stream in 1..=2 {
        world.join_rule(stream, &format!("0/{stream}"));
        world.leave(stream, &format!("0/{stream}"));
    }
    let later = world.begin_large(2_048 * MIB);
    assert_eq!((later, world.flights.running()), (3, 1));
    assert_eq!(world.ended(), ("busy", 0));
    assert!(world.flights.admission.next().is_none());
}

#[test]
fn first_parts_of_the_only_origin_make_room_for_a_large_object_that_waits() {
    let mut world = rules(&[&["o"]], serde_json::json!({"part_size": "5MiB", "memory": "30MiB"}));
    for stream in 0..8 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    let mut gets = world.calls();
    assert_eq!(gets.len(), 6, "all of the memory");
    for _ in 0..2 {
        let ranges = [("content-range", "bytes 0-5242879/2000000000"), ("etag", "\"e\"")];
        world.respond(gets.remove(0).0, 206, &ranges, vec![0; 5_242_880]);
    }
    assert_eq!(world.calls().len(), 1, "one large object begins, and the other one waits");
    assert_eq!(world.held(), 25 * MIB, "and no small one takes its room");
    world.finish(gets.remove(0).0, 404);
    world.ended();
    world.answered();
    assert!(world.effects.is_empty());
    world.finish(gets.remove(0).0, 404);
    world.ended();
    world.answered();
    assert_eq!(world.call().1, "GET /0/1");
}

#[test]
fn windows_do_not_widen_while_a_large_object_waits() {
    let mut world = rules(&[&["o"]], serde_json::json!({"fills": 4, "part_size": "5MiB"}));
    for stream in 1..=3 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    assert_eq!(world.begin_large(2_048 * MIB), 2, "one each of the three parts that there is memory for");
    assert_eq!(world.flights.running(), 2);
}

#[test]
fn bodies_leave_a_part_free() {
    let mut world = rules(&[&["o"]], serde_json::json!({}));
    let mut config = (*world.flights.config).clone();
    (config.limits.part_size, config.limits.memory) = (10, 20);
    world = World::configured(1, world.shared, config, 0);
    world.join_rule(1, "0/a");
    world.join_rule(2, "0/b");
    let (get, _) = world.call();
    world.calls();
    world.finish(get, 200);
    let (put, _) = world.call();
    world.finish(put, 403);
    world.ended();
    let Some(Effect::Answer { outcome, .. }) = world.effects.pop_front() else { panic!("an answer") };
    assert_eq!(outcome, Outcome::NotStored { object: None, status: 403 });
}

#[test]
fn parts_of_huge_objects_stay_within_the_memory() {
    let mut world = rules(&[&["o"]], serde_json::json!({}));
    let mut config = (*world.flights.config).clone();
    (config.limits.part_size, config.limits.memory) = (1024, 4 * MIB);
    world = World::configured(1, world.shared, config, 0);
    for stream in 0..21 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    // 10,000 parts of 1 KiB do not suffice, so they have a MiB each.
    let parts = world.begin_large(10_000 * 1024 + 1);
    assert_eq!(parts, 2);
    assert!(world.held() <= 4 * MIB, "{}", world.held());
    world.assert_begins_at_once("0/small");
}

#[test]
fn a_body_counts_until_its_stream_is_gone() {
    for response in ["serve", "redirect"] {
        let mut world = responding(response, 64, 64);
        let mut config = (*world.flights.config).clone();
        (config.limits.part_size, config.limits.memory) = (5, 30);
        world = World::configured(1, world.shared, config, 0);
        for stream in 1..=5 {
            world.join(stream, "a");
        }
        // An answer of exactly the length that was asked for may be a part. So it is asked for without a range.
        for _ in 0..2 {
            let (get, _) = world.call();
            world.finish(get, 200);
        }
        let (put, _) = world.call();
        let mut with_copies = Vec::new();
        if response == "serve" {
            with_copies.extend(world.answered().0);
            assert_eq!(with_copies, [1, 2], "10 of 30 bytes, beside the 5 of the fill");
        }
        world.join(10, "a");
        assert!(world.effects.is_empty(), "who comes now waits too");
        world.finish(put, 403);
        world.ended();
        let (without, outcome) = world.answered();
        assert_eq!((without, outcome), (vec![4, 5, 10], "not_stored"));
        let (more, outcome) = world.answered();
        with_copies.extend(more);
        assert_eq!((&with_copies[..], outcome), (&[1, 2, 3][..], "not_stored"));
        assert_eq!(world.held(), 15);

        for (stream, key) in [(6, "b"), (7, "c"), (8, "d"), (9, "e")] {
            world.join(stream, key);
        }
        assert_eq!(world.calls().len(), 3, "what the absent clients have leaves room for three");
        assert!(world.leave(with_copies[0], "a"), "there is room for a fill that waits");
        world.tick();
        assert_eq!(world.call().1, "GET /e");
    }
}

#[test]
fn of_a_body_only_what_a_stream_is_handed_counts() {
    for (response, before) in [("serve", 5), ("redirect", 0)] {
        let mut world = responding(response, 64, 64);
        let mut config = (*world.flights.config).clone();
        (config.limits.part_size, config.limits.memory) = (6, 30);
        world = World::configured(1, world.shared, config, 0);
        for (stream, most) in [(1, 1), (2, u64::MAX), (3, 0), (4, 2), (5, 9)] {
            world.most = most;
            world.join(stream, "a");
        }
        let (get, _) = world.call();
        world.finish(get, 200);
        let (put, _) = world.call();
        if response == "serve" {
            assert_eq!(
                world.answered(),
                (vec![1, 2, 3, 4], "served"),
                "and not the one that wants more than there is room for"
            );
            assert_eq!(world.held(), before + 1 + 5 + 2);
        }
        world.finish(put, 403);
        world.ended();
        if response == "redirect" {
            assert_eq!(world.answered(), (vec![1, 2, 3, 4, 5], "not_stored"));
            assert_eq!(world.held(), 1 + 5 + 2 + 5);
        }
    }
}

#[test]
fn behind_a_stream_without_room_others_are_handed_what_there_is_room_for() {
    let mut world = responding("redirect", 64, 64);
    let mut config = (*world.flights.config).clone();
    (config.limits.part_size, config.limits.memory) = (6, 9);
    world = World::configured(1, world.shared, config, 0);
    for (stream, most) in [(1, u64::MAX), (2, 0), (3, 2)] {
        world.most = most;
        world.join(stream, "a");
    }
    let (get, _) = world.call();
    world.finish(get, 200);
    let (put, _) = world.call();
    world.finish(put, 403);
    world.ended();
    let mut answers = Vec::new();
    while let Some(Effect::Answer { streams, outcome, .. }) = world.effects.pop_front() {
        answers.push((streams.iter().map(|stream| stream.0).collect::<Vec<_>>(), outcome.object().is_some()));
    }
    assert_eq!(answers, [(vec![1], false), (vec![2, 3], true)]);
}

/// A worker of one origin, with 40 bytes of memory, and parts of 10.
fn tiny() -> World {
    let mut config = config(&[&["o"]], serde_json::json!({}));
    (config.limits.first_range, config.limits.part_size, config.limits.memory) = (10, 10, 40);
    World::configured(1, Rc::new(FakeSharedHost::new()), config, 0)
}

#[test]
fn an_object_that_comes_whole_without_room_for_it_is_fetched_again_when_there_is() {
    for length in [15, 20] {
        assert_comes_again(length);
    }
}

fn assert_comes_again(length: usize) {
    let mut world = tiny();
    for stream in 1..=4 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    let mut calls = world.calls();
    assert_eq!(calls.len(), 4);
    let may_read = [0, 10, 11, 15].map(|length| world.flights.may_read(&calls[0].0, length));
    assert_eq!(may_read, [true, true, false, false], "nor is it copied from Envoy without room");
    let whole = |world: &mut World, get| {
        world.respond(get, 200, &[("content-length", &length.to_string())], vec![b'x'; length]);
    };
    whole(&mut world, calls.remove(0).0);
    assert!(world.effects.is_empty(), "{length} bytes do not fit beside three times 10");
    for (ticket, _) in calls {
        world.finish(ticket, 404);
    }
    let (get, path) = world
        .effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Call { ticket, call } => Some((ticket.clone(), call.request.path.clone())),
            _ => None,
        })
        .unwrap();
    assert_eq!((path.as_str(), world.held()), ("/0/1", 20), "it is expected to be whole again");
    world.effects.clear();
    whole(&mut world, get);
    assert_eq!(world.call().1, "PUT /b/0/1");
}

#[test]
fn an_object_that_was_not_read_for_want_of_room_is_fetched_again_though_there_is_room_a_moment_later() {
    let mut world = tiny();
    world.join_rule(1, "0/read");
    let (get, _) = world.call();
    world.respond(get, 200, &[("content-length", "9")], vec![b'x'; 9]);
    let (put, _) = world.call();
    world.now += SECOND;
    world.finish(put, 403);
    world.now -= SECOND;
    world.effects.clear();
    assert!(!world.leave(1, "0/read") && world.held() == 9, "its client still reads");
    for stream in 2..=4 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    let mut calls = world.calls();
    assert_eq!((calls.len(), world.held()), (3, 39));
    world.now += SECOND;
    let whole = [("content-length", "15")];
    world.respond(calls.remove(0).0, 200, &whole, vec![b'x'; 15]);
    let (get, request) = world.call();
    assert_eq!((request.as_str(), world.held()), ("GET /0/2", 40));
    world.respond(get, 200, &whole, vec![b'x'; 15]);
    let [(_, put)] = &world.calls()[..] else { panic!("a call") };
    assert_eq!((put.request.path.as_str(), put.request.body.len()), ("/b/0/2", 15));
}

#[test]
fn an_object_that_would_fit_the_memory_alone_is_not_too_large() {
    for (length, outcome) in [(21, "memory"), (40, "memory"), (41, "too_large")] {
        let mut world = tiny();
        for stream in 1..=3 {
            world.join_rule(stream, &format!("0/{stream}"));
        }
        let (get, _) = world.calls().remove(0);
        world.respond(get, 200, &[("content-length", &length.to_string())], vec![0; length]);
        world.ended();
        assert_eq!(world.answered(), (vec![1], outcome), "{length}");
    }
}

#[test]
fn a_fill_that_asks_for_everything_waits_in_the_queue_and_goes_on_as_soon_as_there_is_room() {
    let mut world = rules(&[&["o"]], serde_json::json!({"memory": "64MiB"}));
    for stream in 1..=10 {
        world.join_rule(stream, &format!("0/{stream}"));
    }
    let mut calls = world.calls();
    assert_eq!((calls.len(), world.held()), (10, 60 * MIB));
    world.respond(calls.remove(0).0, 403, &[], Vec::new());
    assert!(world.effects.is_empty(), "32 MiB are not free");
    assert_eq!((world.held(), world.flights.running()), (54 * MIB, 9), "it holds nothing meanwhile");
    assert!(world.flights.flights.values().all(|flight| flight.timer.is_none()), "and looks for nothing itself");
    for (ticket, _) in calls.drain(..3) {
        world.finish(ticket, 404);
    }
    assert_eq!((world.calls().len(), world.held()), (0, 36 * MIB));
    world.finish(calls.remove(0).0, 404);
    let [(_, call)] = &world.calls()[..] else { panic!("it goes on") };
    assert_eq!((call.request.path.as_str(), world.held()), ("/0/1", 62 * MIB));
    assert!(call.request.headers.iter().all(|(name, _)| *name != "range"));
}

#[test]
fn an_object_that_is_larger_than_the_memory_is_too_large() {
    for (length, outcome) in [(40, "PUT"), (41, "too_large")] {
        let mut world = rules(&[&["o"]], serde_json::json!({}));
        let mut config = (*world.flights.config).clone();
        (config.limits.part_size, config.limits.memory) = (10, 40);
        world = World::configured(1, world.shared, config, 0);
        world.join_rule(1, "0/a");
        let (get, _) = world.call();
        world.respond(get, 200, &[("content-length", &length.to_string())], vec![0; length]);
        match world.effects.pop_front() {
            Some(Effect::Call { .. }) => assert_eq!(outcome, "PUT"),
            Some(Effect::Ended(ended)) => assert_eq!(ended.outcome, outcome),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_origin_that_ignores_ranges_gets_room_for_whole_objects_for_ten_minutes() {
    let mut world = rules(&[&["o"], &["other"]], serde_json::json!({"memory": "64MiB"}));
    world.join_rule(1, "0/a");
    let (get, _) = world.call();
    world.respond(get, 200, &[("content-length", "7340032")], vec![0; 7_340_032]);
    let (put, _) = world.call();
    world.finish(put, 200);
    assert_eq!((world.ended(), world.answered()), (("stored", 1), (vec![1], "stored")));
    for (wait, key, expected) in [(0, "0/b", 32), (0, "1/c", 6), (599, "0/d", 32), (1, "0/e", 6)] {
        world.now += Duration::from_secs(wait);
        world.join_rule(2, key);
        assert_eq!(world.held(), expected * MIB, "{key}");
        let (get, _) = world.call();
        world.finish(get, 404);
        world.effects.clear();
    }
}

#[test]
fn streams_of_one_origin_wait_only_in_half_of_the_places() {
    let (one, two) = (&[&["o"] as &[&str]] as &[&[&str]], &[&["o"] as &[&str], &["other"]] as &[&[&str]]);
    for (origins, waiters, of_one, of_both) in [(one, 10, 10, 10), (two, 10, 5, 7), (two, 11, 5, 8)] {
        let mut world = rules(origins, serde_json::json!({"waiters": waiters}));
        for stream in 0..20 {
            world.join_rule(stream, "0/a");
        }
        assert_eq!(world.flights.waiters(), of_one, "of {waiters}");
        world.effects.clear();
        if origins.len() > 1 {
            world.assert_begins_at_once("1/a");
            for stream in 20..30 {
                world.join_rule(stream, "1/a");
            }
        }
        assert_eq!(world.flights.waiters(), of_both, "of {waiters}");
    }
}

#[test]
fn fills_of_one_origin_wait_only_in_half_of_the_places() {
    for (queue, of_one) in [(4, 2), (5, 2), (6, 3)] {
        let mut world = rules(&[&["o"], &["other"]], serde_json::json!({"fills": 2, "queue": queue}));
        for stream in 0..20 {
            world.join_rule(stream, &format!("0/{stream}"));
        }
        assert_eq!((world.calls().len(), world.flights.waiters()), (1, 1 + of_one), "of {queue}");
    }
}

#[test]
fn what_a_fill_may_hold_beyond_its_share_leaves_room_for_those_that_wait_and_for_other_origins() {
    let one: &[&[&str]] = &[&["o"]];
    let two: &[&[&str]] = &[&["o"], &["other"]];
    // (origins, is it large, does a large one wait, bytes)
    for (origins, large, waits, spare) in [
        (one, false, false, 70),
        (one, false, true, 30),
        (two, false, false, 30),
        (one, true, false, 25),
        (two, true, false, 10),
        (one, true, true, 0),
        (two, true, true, 0),
    ] {
        let mut config = config(origins, serde_json::json!({}));
        (config.limits.part_size, config.limits.memory) = (10, 100);
        let mut admission = Admission::new(&config);
        let origin = admission.origin("o");
        let held = [Hold { origin, large: false, bytes: 10 }, Hold { origin, large: true, bytes: 20 }];
        for hold in held {
            admission.replace(None, Some(hold));
        }
        if waits {
            admission.enqueue(1, &fill_key("a"), Hold { origin, large: true, bytes: 90 });
        }
        assert_eq!(admission.spare(held[usize::from(large)]), spare, "{origins:?}, {large}, {waits}");
    }
}

#[test]
fn a_body_counts_for_as_long_as_a_slow_client_reads_though_its_stream_is_gone() {
    let mut world = rules(&[&["o"]], serde_json::json!({"part_size": "5MiB", "memory": "10MiB"}));
    world.join_rule(1, "0/a");
    let (get, _) = world.call();
    let length = MIB.to_string();
    world.respond(get, 200, &[("content-length", &length)], vec![0; usize::try_from(MIB).unwrap()]);
    let (put, _) = world.call();
    world.finish(put, 403);
    world.effects.clear();
    assert!(!world.leave(1, "0/a"), "the stream is gone, and the body in the connection's buffer");
    assert_eq!((world.held(), world.flights.next_deadline()), (MIB, None), "and nothing waits for its room");
    for (stream, key) in [(2, "0/b"), (3, "0/c")] {
        world.join_rule(stream, key);
    }
    world.call();
    assert_eq!(world.pass_to_deadline(), 4 * SECOND, "at 256 KiB a second");
    assert_eq!(world.call().1, "GET /0/c");
}
