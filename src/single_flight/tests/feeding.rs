//! Clients' streams, and the fills that take what they read.

use super::*;
use crate::fill::Call;
use crate::single_flight::feeding::PieceStep;
use serde_json::json;

const PART: u64 = 100;
const TOTAL: u64 = 350;

/// The byte of the object at a place.
fn byte(at: u64) -> u8 {
    u8::try_from(at % 251).unwrap()
}

fn bytes(first: u64, end: u64) -> Vec<u8> {
    (first..end).map(byte).collect()
}

/// A worker of one origin, whose parts have 100 bytes.
fn world() -> World {
    world_with(1 << 20)
}

/// Likewise, with so many bytes of memory.
fn world_with(memory: u64) -> World {
    let config = json!({
        "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
        "origin": {"cluster": "origin", "authority": "files.example.com"},
        "stream": {"marker": "m=s"},
        "rules": [{"response": "serve"}]});
    let mut config = Config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
    (config.limits.part_size, config.limits.first_range) = (PART, PART);
    config.limits.memory = memory;
    World::configured(1, Rc::new(FakeSharedHost::new()), config, 0)
}

/// A fill of an object in four parts, whose upload exists. The first part is on its way to the store.
fn begun() -> World {
    announcing(&[]).0
}

/// Likewise, with more headers of the origin's. Returns the call with the first part, too.
fn announcing(announced: &[(&str, &str)]) -> (World, Ticket) {
    let mut world = world();
    let put = uploading(&mut world, announced);
    (world, put)
}

/// Begins that fill.
fn uploading(world: &mut World, announced: &[(&str, &str)]) -> Ticket {
    world.join(1, "a");
    let (get, _) = world.call();
    let headers = [&[("etag", "\"1\""), ("content-range", "bytes 0-99/350"), ("content-length", "100")], announced];
    world.respond(get, 206, &headers.concat(), bytes(0, PART));
    assert_eq!(world.answered(), (vec![1], "streamed"));
    let (create, request) = world.call();
    assert_eq!(request, "POST /b/a?uploads=");
    world.respond(create, 200, &[], b"<UploadId>u</UploadId>".to_vec());
    let (put, request) = world.call();
    assert_eq!(request, "PUT /b/a?partNumber=1&uploadId=u");
    assert!(world.effects.is_empty(), "the client is expected to bring the others");
    put
}

impl World {
    /// Has a stream read this range of an object, to which it was passed.
    fn reads(&mut self, stream: u32, key: &str, range: (u64, u64)) {
        let shared = self.shared.clone();
        assert!(self.flights.open_stream(StreamId(stream), &fill_key(key), &*shared).is_some());
        self.flights.ask_range(StreamId(stream), range);
    }

    /// Has a stream bring the next bytes, which begin at this one.
    fn brings(&mut self, stream: u32, first: u64, length: usize) -> PieceStep {
        let read = |from: usize, length: usize| {
            let from = first + from as u64;
            bytes(from, from + length as u64)
        };
        let shared = self.shared.clone();
        self.flights.feed(StreamId(stream), length, &read, self.now, &*shared)
    }

    /// Does what is due now, and returns the calls that are made: the number of a part and its bytes, or the range that an origin
    /// is asked for.
    fn due(&mut self) -> Vec<(String, Vec<u8>)> {
        let effects = self.flights.tick(self.now, &*self.shared);
        self.keep(effects);
        let shown = |call: Call| {
            let range = call.request.headers.into_iter().find(|(name, _)| *name == "range").map(|(_, range)| range);
            let part =
                || call.request.path.trim_start_matches("/b/a?partNumber=").split('&').next().unwrap().to_owned();
            (range.unwrap_or_else(part), call.request.body.to_vec())
        };
        let calls = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Call { call, .. } => Some(shown(call)),
            _ => None,
        });
        calls.collect()
    }

    fn closes(&mut self, stream: u32) {
        self.flights.close_stream(StreamId(stream), self.now, &*self.shared.clone());
    }
}

#[test]
fn what_a_stream_reads_is_stored_at_the_next_tick_and_not_asked_for() {
    let mut world = begun();
    world.reads(1, "a", (0, TOTAL - 1));
    world.flights.answer_stream(StreamId(1));
    assert_eq!(world.brings(1, 0, 150), PieceStep::Pass, "half of a part");
    assert_eq!(world.brings(1, 150, 149), PieceStep::PassAndTick, "the second part is whole");
    assert!(world.effects.is_empty(), "no call is made in a stream's callback");
    assert_eq!(world.due(), [("2".to_owned(), bytes(100, 200))]);
    assert_eq!(world.due(), [], "once");
    assert_eq!(world.brings(1, 299, 51), PieceStep::PassAndTick);
    assert_eq!(world.due(), [("3".to_owned(), bytes(200, 300))], "for the fourth part there is no room");
    world.closes(1);
    assert_eq!(world.flights.streams(), 0);
}

#[test]
fn one_piece_may_bring_several_parts() {
    let mut world = begun();
    world.reads(1, "a", (0, TOTAL - 1));
    world.flights.answer_stream(StreamId(1));
    assert_eq!(world.brings(1, 0, 350), PieceStep::PassAndTick);
    assert_eq!(world.due(), [("2".to_owned(), bytes(100, 200)), ("3".to_owned(), bytes(200, 300))]);
}

#[test]
fn a_stream_of_a_range_brings_its_bytes_to_their_place() {
    let mut world = begun();
    world.reads(1, "a", (180, 320));
    world.flights.answer_stream(StreamId(1));
    assert_eq!(world.brings(1, 180, 20), PieceStep::PassAndTick);
    assert_eq!(world.due(), [("bytes=100-199".to_owned(), Vec::new())], "which it does not bring as a whole");
    assert_eq!(world.brings(1, 200, 100), PieceStep::PassAndTick);
    assert_eq!(world.due(), [("3".to_owned(), bytes(200, 300))]);
}

#[test]
fn a_stream_whose_answer_is_not_known_to_be_of_the_object_brings_nothing() {
    let mut world = begun();
    world.reads(1, "a", (0, TOTAL - 1));
    assert_eq!(world.brings(1, 0, 350), PieceStep::Pass);
    assert_eq!(world.brings(2, 0, 350), PieceStep::Pass, "nor does one that was never passed");
    world.flights.answer_stream(StreamId(2));
    world.flights.ask_range(StreamId(2), (0, 10));
    assert_eq!(world.due(), []);
}

#[test]
fn a_stream_that_is_gone_has_the_fill_ask_for_the_rest() {
    let mut world = begun();
    world.reads(1, "a", (0, TOTAL - 1));
    world.reads(2, "a", (0, TOTAL - 1));
    world.flights.answer_stream(StreamId(1));
    world.brings(1, 0, 150);
    world.closes(2);
    assert_eq!(world.due(), [], "another one may go");
    world.closes(3);
    assert_eq!((world.due().len(), world.flights.streams()), (0, 1));
    world.closes(1);
    let due: Vec<_> = world.due().into_iter().map(|(range, _)| range).collect();
    assert_eq!(due, ["bytes=150-199", "bytes=200-299"]);
}

#[test]
fn what_contradicts_the_origin_resets_all_streams_of_the_object_and_no_other() {
    let of_another = ("repr-digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
    let (mut world, put) = announcing(&[of_another]);
    world.respond(put, 200, &[("etag", "\"p\"")], Vec::new());
    world.join(9, "other");
    let (get, _) = world.call();
    let beginning = [("etag", "\"1\""), ("content-range", "bytes 0-99/350"), ("content-length", "100")];
    world.respond(get, 206, &beginning, bytes(0, PART));
    world.effects.clear();
    for (stream, key) in [(1, "a"), (2, "a"), (3, "other")] {
        world.reads(stream, key, (0, TOTAL - 1));
        world.flights.answer_stream(StreamId(stream));
    }
    let mut steps = Vec::new();
    for (first, length) in [(0, 200), (200, 100), (300, 50)] {
        steps.push(world.brings(1, first, length));
    }
    assert_eq!(steps, [PieceStep::PassAndTick, PieceStep::PassAndTick, PieceStep::Reset], "at its last piece");
    assert_eq!(world.brings(2, 0, 10), PieceStep::Reset);
    assert_ne!(world.brings(3, 0, 10), PieceStep::Reset);
}

#[test]
fn what_streams_of_two_objects_bring_is_stored_with_each_ones_own() {
    let mut world = begun();
    world.join(9, "other");
    let (get, _) = world.call();
    let beginning = [("etag", "\"1\""), ("content-range", "bytes 0-99/350"), ("content-length", "100")];
    world.respond(get, 206, &beginning, bytes(0, PART));
    world.answered();
    let (create, _) = world.call();
    world.respond(create, 200, &[], b"<UploadId>v</UploadId>".to_vec());
    world.effects.clear();
    for (stream, key) in [(1, "a"), (3, "other")] {
        world.reads(stream, key, (0, TOTAL - 1));
        world.flights.answer_stream(StreamId(stream));
        assert_eq!(world.brings(stream, 0, 200), PieceStep::PassAndTick);
        let effects = world.flights.tick(world.now, &*world.shared);
        world.keep(effects);
        let (_, request) = world.call();
        assert!(request.starts_with(&format!("PUT /b/{key}?partNumber=2&")), "{request}");
    }
}

#[test]
fn where_nobody_was_there_to_be_passed_the_fill_asks_for_the_other_parts_at_once() {
    let mut world = world();
    world.join(1, "a");
    let (get, _) = world.call();
    world.leave(1, "a");
    let beginning = [("etag", "\"1\""), ("content-range", "bytes 0-99/350"), ("content-length", "100")];
    world.respond(get, 206, &beginning, bytes(0, PART));
    let (create, _) = world.call();
    world.respond(create, 200, &[], b"<UploadId>u</UploadId>".to_vec());
    let due: Vec<_> = world.due().into_iter().map(|(what, _)| what).collect();
    assert_eq!(due, ["1", "bytes=100-199", "bytes=200-299"]);
}

#[test]
fn a_watch_over_streams_does_not_end_a_fill_that_has_begun_again_and_waits_for_room() {
    let beginning = [("etag", "\"1\""), ("content-range", "bytes 0-99/350"), ("content-length", "100")];
    let mut world = world_with(600);
    let put = uploading(&mut world, &[]);
    world.for_bucket = true;
    world.join(2, "a");
    world.for_bucket = false;
    world.reads(1, "a", (0, TOTAL - 1));
    world.flights.answer_stream(StreamId(1));
    world.brings(1, 0, 150);
    world.closes(1);
    let effects = world.flights.tick(world.now, &*world.shared);
    world.keep(effects);
    // The object has changed.
    while let Some(Effect::Call { .. }) = world.effects.front() {
        let (get, request) = world.call();
        assert_eq!(request, "GET /a");
        world.respond(get, 200, &[], Vec::new());
    }
    world.respond(put, 200, &[("etag", "\"p\"")], Vec::new());
    let (abort, request) = world.call();
    assert_eq!(request, "DELETE /b/a?uploadId=u");
    world.join(9, "other");
    let (get, _) = world.call();
    world.respond(get, 206, &beginning, bytes(0, PART));
    world.answered();
    let (create, _) = world.call();
    world.respond(create, 200, &[], b"<UploadId>v</UploadId>".to_vec());
    let (_, request) = world.call();
    assert_eq!(request, "PUT /b/other?partNumber=1&uploadId=v");
    world.respond(abort, 204, &[], Vec::new());
    let (again, request) = world.call();
    assert_eq!(request, "GET /a");
    world.respond(again, 206, &beginning, bytes(0, PART));
    assert!(world.effects.is_empty(), "another large object has the room");
    while world.now - world.start < Duration::from_secs(1) {
        world.tick();
    }
    let is_ended = |effect: &Effect| matches!(effect, Effect::Ended(_));
    assert!(!world.effects.iter().any(is_ended), "{:?}", world.effects);
}
