//! Objects that end where the first range does: no total that an origin makes of the range cuts an object, and each byte of an
//! honest one crosses once.

use super::*;

const GET: &str = "GET first /one/a.txt";
const HEAD: &str = "HEAD first /one/a.txt";
const PUT: &str = "PUT signer /my-bucket/one/a.txt";

/// A fill whose first range has so many bytes, with parts of so many.
fn world(first_range: u64, part_size: u64) -> World {
    let mut config = Config::parse(CONFIG.as_bytes(), &|_| None).unwrap();
    (config.limits.first_range, config.limits.part_size) = (1, part_size);
    let mut fill = Fill::new(&config, request("one/a.txt", config.rules[0].mirror.clone().unwrap(), false), 7);
    fill.expect(first_range);
    World::start(fill)
}

/// Answers the first range so: `asked` bytes of an object that is said to have as many.
fn echo(world: &mut World, status: u16, asked: usize, validator: (&str, &str)) {
    let range = format!("bytes 0-{}/{asked}", asked - 1);
    let length = asked.to_string();
    let framing = if status == 206 { ("content-range", range.as_str()) } else { ("content-length", length.as_str()) };
    let call = world.answer(GET, status, &[framing, validator], &"a".repeat(asked));
    assert!(call.request.headers.contains(&("range", format!("bytes=0-{}", asked - 1))));
}

#[test]
fn an_object_that_ends_where_the_range_does_crosses_once() {
    for (first_range, part_size) in [(8, 8), (5, 8), (65_537, 6 << 20), (6 << 20, 6 << 20)] {
        for status in [206, 200] {
            let mut world = world(first_range, part_size);
            let asked = usize::try_from(first_range).unwrap();
            echo(&mut world, status, asked, ("etag", "\"e\""));
            assert_eq!(world.fill.memory(), first_range, "no more is held meanwhile");
            world.answer(HEAD, 200, &[("content-length", &asked.to_string()), ("etag", "\"e\"")], "");
            let put = world.answer(PUT, 200, &[], "");
            assert_eq!(put.request.body.len(), asked);
            assert_eq!(world.outcome(), Outcome::Stored, "{first_range} of {part_size}, {status}");
        }
    }
}

#[test]
fn an_object_is_asked_for_without_a_range_unless_a_head_confirms_its_length() {
    let (e, length) = (("etag", "\"e\""), ("content-length", "8"));
    for (status, headers) in [
        (200, &[("content-length", "9"), e][..]),
        (200, &[("content-length", "0"), e]),
        (200, &[e]),
        (200, &[length, ("etag", "\"f\"")]),
        (200, &[length]),
        (200, &[length, e, ("content-encoding", "gzip")]),
        (206, &[length, e]),
        (302, &[length, e]),
        (403, &[length, e]),
        (404, &[length, e]),
        (405, &[length, e]),
        (503, &[length, e]),
    ] {
        for first in [206, 200] {
            let mut world = world(8, 8);
            echo(&mut world, first, 8, e);
            world.answer(HEAD, status, headers, "");
            is_asked_whole(&mut world);
        }
    }
    let mut world = world(8, 8);
    echo(&mut world, 206, 8, e);
    world.fail(HEAD);
    is_asked_whole(&mut world);
}

#[test]
fn no_head_is_asked_for_where_nothing_would_show_that_it_is_about_the_same_version() {
    for validator in [("etag", "W/\"e\""), ("etag", ""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")] {
        let mut world = world(8, 8);
        echo(&mut world, 206, 8, validator);
        is_asked_whole(&mut world);
    }
}

/// Expects a request without a range, whose answer is what is stored.
fn is_asked_whole(world: &mut World) {
    let call = world.answer(GET, 200, &[("content-length", "12"), ("etag", "\"e\"")], &"a".repeat(12));
    assert!(call.request.headers.iter().all(|(name, _)| *name != "range"));
    assert_eq!(world.answer(PUT, 200, &[], "").request.body.len(), 12);
    assert_eq!(world.outcome(), Outcome::Stored);
}
