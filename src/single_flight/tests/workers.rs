//! Two workers that share a table.

use super::*;

fn two_workers_config() -> serde_json::Value {
    serde_json::json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
        "origin": {"cluster": "origin", "authority": "files.example.com"},
        "limits": {"fills": 1, "queue": 1}})
}

/// Two workers of one Envoy. What one posts reaches the other when the test says so.
fn two_workers() -> (World, World) {
    let config = two_workers_config();
    let shared = Rc::new(FakeSharedHost::new());
    (World::worker(1, shared.clone(), &config), World::worker(2, shared, &config))
}

impl World {
    fn hear(&mut self) {
        for message in self.shared.messages(self.flights.leases.queue()) {
            let effects = self.flights.receive(message, self.now, &*self.shared);
            self.keep(effects);
        }
    }

    /// Fetches and stores for the one waiter, and has it answered.
    fn fill(&mut self, waiters: usize) {
        let (get, _) = self.call();
        self.finish(get, 200);
        let (put, _) = self.call();
        self.finish(put, 200);
        assert_eq!(self.ended(), ("stored", waiters));
    }
}

#[test]
fn streams_of_two_workers_wait_for_one_fill() {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    two.join(7, "a");
    two.join(8, "a");
    assert!(two.effects.is_empty(), "it follows");
    one.hear();
    one.fill(1);
    assert_eq!(one.answered(), (vec![1], "stored"));
    two.hear();
    assert_eq!(two.answered(), (vec![7, 8], "stored"));
    one.assert_empty();
    two.assert_empty();
}

#[test]
fn a_question_that_comes_too_late_is_answered_by_the_table() {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    two.join(7, "a");
    one.fill(1);
    assert_eq!(one.answered(), (vec![1], "stored"));
    one.hear();
    two.hear();
    assert_eq!(two.answered(), (vec![7], "stored"));
    two.assert_empty();
}

#[test]
fn a_follower_fills_itself_when_the_object_cannot_be_told() {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    two.join(7, "a");
    one.hear();
    let (get, _) = one.call();
    one.finish(get, 200);
    let (put, _) = one.call();
    one.finish(put, 403);
    assert_eq!((one.ended(), one.answered()), (("not_stored", 1), (vec![1], "not_stored")));
    two.hear();
    two.fill(1);
    assert_eq!(two.answered(), (vec![7], "stored"));
    two.assert_empty();
}

#[test]
fn failures_of_the_origin_are_told_and_not_repeated() {
    let (mut one, mut two) = two_workers();
    for (stream, key) in [(1, "a"), (2, "b")] {
        one.join(stream, key);
        two.join(stream + 6, key);
    }
    one.hear();
    let (get, _) = one.call();
    one.finish(get, 401);
    assert_eq!((one.ended(), one.answered()), (("origin_refused", 1), (vec![1], "origin_refused")));
    two.hear();
    assert_eq!(two.answered(), (vec![7], "origin_refused"));
    assert!(two.effects.is_empty(), "nothing is told of b yet");
    let (get, _) = one.call();
    one.finish(get, 404);
    two.hear();
    assert_eq!(two.answered(), (vec![8], "not_found"));
    two.assert_empty();
}

#[test]
fn a_dead_owner_is_waited_for_until_its_lease_is_over() {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    one.call();
    two.join(7, "a");
    drop(one);
    assert_eq!(two.pass_to_deadline(), LEASE);
    two.fill(1);
    assert_eq!(two.answered(), (vec![7], "stored"));
    two.assert_empty();
}

#[test]
fn a_living_owner_is_followed_for_as_long_as_it_renews_its_lease() {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    let (get, _) = one.call();
    two.join(7, "a");
    one.hear();
    one.now += RENEW_AFTER;
    one.shared.pass(RENEW_AFTER);
    let effects = one.flights.tick(one.now, &*one.shared);
    assert!(effects.is_empty());
    two.now += LEASE;
    two.shared.pass(LEASE - RENEW_AFTER);
    let effects = two.flights.tick(two.now, &*two.shared);
    assert!(effects.is_empty(), "the lease was renewed");
    assert!(two.flights.next_deadline() > Some(two.now), "and the table is not asked until it is over");
    one.hear();
    one.finish(get, 404);
    assert_eq!((one.ended(), one.answered()), (("not_found", 1), (vec![1], "not_found")));
    assert_eq!(two.shared.posted.borrow().len(), 1, "it asked twice, and is told once");
    two.hear();
    assert_eq!(two.answered(), (vec![7], "not_found"));
    two.assert_empty();
}

#[test]
fn a_queue_full_of_another_workers_streams_still_fills() {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    one.join(2, "b");
    two.join(7, "b");
    one.hear();
    one.leave(2, "b");
    one.fill(1);
    assert_eq!(one.answered(), (vec![1], "stored"));
    one.fill(0);
    two.hear();
    assert_eq!(two.answered(), (vec![7], "stored"));
    one.assert_empty();
    two.assert_empty();
}

#[test]
fn a_miss_that_finds_no_room_leaves_the_key_to_others() {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    one.join(2, "b");
    one.join(3, "c");
    one.call();
    assert_eq!(one.answered(), (vec![3], "fills"));
    two.join(7, "c");
    assert_eq!(two.call().1, "GET /c");
}

#[test]
fn a_key_that_was_stored_or_missing_a_moment_ago_is_not_filled_again() {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    one.fill(1);
    assert_eq!(one.answered(), (vec![1], "stored"));
    one.shared.pass(SECOND);
    for world in [&mut one, &mut two] {
        world.join(5, "a");
        assert_eq!(world.answered(), (vec![5], "loop"));
        world.assert_empty();
    }
    one.join(1, "b");
    let (get, _) = one.call();
    one.finish(get, 404);
    assert_eq!((one.ended(), one.answered()), (("not_found", 1), (vec![1], "not_found")));
    two.join(7, "b");
    assert_eq!(two.answered(), (vec![7], "not_found"));
    two.assert_empty();
}

#[test]
fn a_follower_that_takes_over_a_lease_is_refused_where_the_queue_is_full() {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    one.call();
    two.join(7, "a");
    two.join(8, "b");
    two.join(9, "c");
    two.call();
    drop(one);
    while two.effects.is_empty() {
        two.tick();
    }
    assert_eq!(two.answered(), (vec![7], "fills"), "b runs and c is queued, so there is no place for a");
    let (_, mut three) = (two.tick(), World::worker(3, two.shared.clone(), &two_workers_config()));
    three.join(5, "a");
    assert_eq!(three.call().1, "GET /a", "and its lease is given up");
}

#[test]
fn a_queued_fill_is_gone_when_the_streams_of_the_other_worker_leave_too() {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    one.join(2, "b");
    two.join(7, "b");
    one.hear();
    one.call();
    one.leave(2, "b");
    one.join(3, "c");
    assert_eq!(one.answered(), (vec![3], "fills"), "b waits for the other worker's stream");
    assert!(two.leave(7, "b"), "there is something to do");
    two.tick();
    two.assert_empty();
    one.hear();
    one.join(4, "c");
    assert!(one.effects.is_empty(), "c has b's place");
    two.join(8, "b");
    assert_eq!(two.call().1, "GET /b", "and b's lease is given up");
}

#[test]
fn a_follower_is_sent_to_the_rule_and_the_origin_that_the_other_worker_asked() {
    let origin = |name: &str| serde_json::json!({"cluster": name, "authority": "o.test", "public_url": format!("https://{name}.test")});
    let config = serde_json::json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
        "origins": {"one": origin("one"), "two": origin("two"), "three": origin("three")},
        "rules": [{"origins": ["one"]}, {"origins": ["two", "three"]}],
        "limits": {"max_object_size": "10B"}});
    let shared = Rc::new(FakeSharedHost::new());
    let (mut one, mut two) = (World::worker(1, shared.clone(), &config), World::worker(2, shared, &config));
    one.join_chain(1, "a");
    two.join_chain(7, "a");
    one.hear();
    for status in [404, 504] {
        let (get, _) = one.call();
        one.finish(get, status);
    }
    let (get, _) = one.call();
    one.respond(get, 200, &[("content-length", "11")], vec![0; 11]);
    assert_eq!(one.ended(), ("too_large", 1));
    two.hear();
    for world in [&mut one, &mut two] {
        let Some(Effect::Answer { source, .. }) = world.effects.pop_front() else { panic!("an answer") };
        let location = source.mirror.public_location_of(source.origin, "a", None);
        assert_eq!(location.as_deref(), Some("https://three.test/a"));
    }
}

/// Makes two workers: the first one fills, and of the second one a stream with a 404 and one with a 403 follow.
fn one_fills_and_two_streams_of_another_follow() -> (World, World) {
    let (mut one, mut two) = two_workers();
    one.join(1, "a");
    two.join(7, "a");
    let forbidden = Rc::new(FillKey { forbidden: true, ..(*fill_key("a")).clone() });
    two.join_fill(8, forbidden, two.mirror.clone(), Vec::new());
    (one, two)
}

#[test]
fn streams_that_the_bucket_denied_otherwise_follow_the_same_fill() {
    let (mut one, mut two) = one_fills_and_two_streams_of_another_follow();
    assert!(two.effects.is_empty(), "both follow");
    one.hear();
    one.fill(1);
    assert_eq!(one.answered(), (vec![1], "stored"));
    two.hear();
    assert_eq!([two.answered(), two.answered()], [(vec![7], "stored"), (vec![8], "stored")]);
    two.assert_empty();
}

#[test]
fn while_a_stream_that_the_bucket_denied_otherwise_still_follows_the_other_worker_is_not_told_to_forget_it() {
    let (mut one, mut two) = one_fills_and_two_streams_of_another_follow();
    assert!(two.leave(7, "a"), "its own flight is over");
    let effects = two.flights.tick(two.now, &*two.shared);
    two.keep(effects);
    one.hear();
    one.fill(1);
    two.hear();
    assert_eq!(two.answered(), (vec![8], "stored"));
    two.assert_empty();
}
