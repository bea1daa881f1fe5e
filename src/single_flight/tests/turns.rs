//! Origins with a rate.

use super::*;

fn world(me: u32, shared: &Rc<FakeSharedHost>, rate: &str, fills: usize, queue: usize) -> World {
    let config = serde_json::json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
        "origin": {"cluster": "origin", "authority": "files.example.com", "rate": rate},
        "limits": {"fills": fills, "queue": queue}});
    World::worker(me, shared.clone(), &config)
}

#[test]
fn calls_beyond_an_origins_rate_wait_for_their_turn_in_order() {
    let shared = Rc::new(FakeSharedHost::new());
    let mut world = world(1, &shared, "2/s", 10, 10);
    for (stream, key) in (1..).zip(["a", "b", "c", "d"]) {
        world.join(stream, key);
    }
    let (first, second) = (world.call(), world.call());
    assert_eq!((first.1.as_str(), second.1.as_str()), ("GET /a", "GET /b"));
    assert!(world.effects.is_empty(), "a second's requests went at once");
    assert_eq!(world.pass_to_deadline(), Duration::from_millis(500));
    assert_eq!(world.call().1, "GET /c");

    // Requests to the store are none of the origin's. The oldest fill goes first, also with a repeated one.
    world.finish(first.0, 200);
    assert_eq!(world.call().1, "PUT /b/a");
    world.fail(second.0);
    assert_eq!(world.pass_to_deadline(), Duration::from_millis(1000));
    assert_eq!(world.call().1, "GET /b");
    assert_eq!(world.pass_to_deadline(), Duration::from_millis(1500));
    assert_eq!(world.call().1, "GET /d");
}

#[test]
fn workers_share_a_rate() {
    let shared = Rc::new(FakeSharedHost::new());
    let mut first = world(1, &shared, "60/m", 10, 10);
    let mut second = world(2, &shared, "60/m", 10, 10);
    first.join(1, "a");
    assert_eq!(first.call().1, "GET /a");
    second.join(1, "b");
    assert!(second.effects.is_empty());
    assert_eq!(second.pass_to_deadline(), SECOND);
    assert_eq!(second.call().1, "GET /b");
}

#[test]
fn what_waits_for_a_turn_holds_its_share_so_that_more_is_refused() {
    let shared = Rc::new(FakeSharedHost::new());
    let mut world = world(1, &shared, "1/m", 2, 1);
    for (stream, key) in (1..).zip(["a", "b", "c", "d"]) {
        world.join(stream, key);
    }
    assert_eq!(world.call().1, "GET /a");
    assert_eq!(world.answered(), (vec![4], "fills"), "two run, one waits in the queue");
    assert_eq!(world.pass_to_deadline(), 25 * SECOND);
    assert_eq!(world.answered(), (vec![1], "filling"));
}
