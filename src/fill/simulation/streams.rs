//! Clients' streams beside a fill, in virtual time: calls take their time, and streams bring their pieces in theirs.

use super::*;
use crate::config::{Limits, Pin};
use crate::object::metadata::Metadata;
use crate::origin::Version;

const PART: u64 = 600;
const TOTAL: u64 = 6000;
const MS: Duration = Duration::from_millis(1);

/// A client's stream.
#[derive(Clone, Copy, Debug)]
struct Stream {
    begins: Duration,
    first: u64,
    /// The byte at which it comes to its end, early or not.
    end: u64,
    /// The last byte that it was to bring.
    last: u64,
    /// Bytes of a piece, and the time between two.
    piece: u64,
    every: Duration,
    /// At its end it falls silent, and is not closed.
    stalls: bool,
    /// It reads what was replaced.
    is_of_another_version: bool,
}

/// A stream of everything, at so many bytes a second.
fn stream(rate: u64) -> Stream {
    Stream {
        begins: 100 * MS,
        first: 0,
        end: TOTAL,
        last: TOTAL - 1,
        piece: (rate / 100).max(1),
        every: 10 * MS,
        stalls: false,
        is_of_another_version: false,
    }
}

/// The times that calls take.
#[derive(Clone, Copy, Debug)]
struct Pace {
    origin: Duration,
    store: Duration,
}

const FAST: Pace = Pace { origin: Duration::from_millis(50), store: Duration::from_millis(100) };

enum Event {
    Call(Call),
    Deadline,
    Piece(usize),
}

/// A fill of parts of [`PART`] bytes, and the streams beside it.
struct Timed {
    world: World,
    pace: Pace,
    streams: Vec<Stream>,
    /// The place of each stream, and the time of its next piece; `None` when it has ended.
    places: Vec<(u64, Option<Duration>)>,
    /// Calls under way, with the times of their ends.
    ends: Vec<(Duration, CallId)>,
    offered: bool,
    log: Vec<(Duration, String)>,
}

impl Timed {
    fn new(pace: Pace, streams: &[Stream]) -> Self {
        Self::with(World::new(usize::try_from(TOTAL).unwrap(), 3, &[]), pace, streams)
    }

    fn with(mut world: World, pace: Pace, streams: &[Stream]) -> Self {
        let limits = Limits { part_size: PART, ..Limits::default() };
        world.fill = World::fill(Overwrite::Conditional, 1, limits, 3);
        let places = streams.iter().map(|stream| (stream.first, Some(stream.begins))).collect();
        Self { world, pace, streams: streams.to_vec(), places, ends: Vec::new(), offered: false, log: Vec::new() }
    }

    /// Runs the fill to its end.
    fn run(&mut self) -> Outcome {
        let mut outcome = self.input(Input::Start);
        for _ in 0..20_000 {
            if let Some(outcome) = outcome {
                assert!(self.world.under_way.is_empty(), "nothing comes after the end");
                return outcome;
            }
            let event = self.next().expect("the fill awaits something");
            outcome = match event {
                Event::Call(call) => {
                    let answer = self.world.answer(call);
                    self.input(answer)
                }
                Event::Deadline => {
                    self.world.timer = None;
                    self.input(Input::Deadline)
                }
                Event::Piece(number) => self.bring(number),
            };
        }
        panic!("the fill does not end: {:?}", self.log)
    }

    fn input(&mut self, input: Input) -> Option<Outcome> {
        let before = self.world.calls.len();
        let outcome = self.world.input(input, 3 * PART);
        let (now, known) = (self.world.clock, self.ends.clone());
        self.log.extend(self.world.calls[before..].iter().map(|call| (now, call.clone())));
        for call in &self.world.under_way {
            if !known.iter().any(|(_, id)| *id == call.id) {
                let time = if call.to.cluster == "store" { self.pace.store } else { self.pace.origin };
                self.ends.push((now + time, call.id));
            }
        }
        if !self.offered && self.world.calls.iter().any(|call| call == "CREATE") {
            self.offered = true;
            self.world.fill.expect_stream(now);
        }
        outcome
    }

    /// Goes to the time of the next event.
    fn next(&mut self) -> Option<Event> {
        let call = self.ends.iter().min().copied();
        let piece = self.places.iter().enumerate().filter_map(|(number, (_, at))| Some(((*at)?, number))).min();
        let times = [call.map(|(at, _)| at), self.world.timer, piece.map(|(at, _)| at)];
        let at = times.into_iter().flatten().min()?;
        self.world.clock = at;
        if call.is_some_and(|(end, _)| end == at) {
            let (_, id) = call.unwrap();
            self.ends.retain(|(_, known)| *known != id);
            let under_way = self.world.under_way.iter().position(|call| call.id == id).unwrap();
            return Some(Event::Call(self.world.under_way.swap_remove(under_way)));
        }
        if self.world.timer == Some(at) {
            return Some(Event::Deadline);
        }
        piece.map(|(_, number)| Event::Piece(number))
    }

    /// Has a stream bring its next piece, as the worker does.
    fn bring(&mut self, number: usize) -> Option<Outcome> {
        let (stream, id) = (self.streams[number], u32::try_from(number).unwrap());
        let (next, at) = self.places[number];
        if next == stream.end {
            self.places[number].1 = None;
            return if stream.stalls { None } else { self.input(Input::Left(id)) };
        }
        let length = stream.piece.min(stream.end - next);
        self.places[number] = (next + length, at.map(|at| at + stream.every));
        let etag = if stream.is_of_another_version { "\"zero\"" } else { "\"one\"" };
        let headers = Headers::new(vec![("etag".to_owned(), etag.as_bytes().to_vec())]);
        let version = Version::of(&headers, TOTAL, Pin::Strong);
        let object = Rc::new(PassedObject { metadata: Metadata::default(), version, moved: None });
        let mut reader = Reader { stream: id, object, next, last: stream.last };
        let byte = |at: u64| {
            let byte = b'a' + u8::try_from(at % 26).unwrap();
            if stream.is_of_another_version { b'#' } else { byte }
        };
        let end = next + length;
        while reader.next < end {
            let wanted = self.world.fill.wants(&reader, end - reader.next);
            let (first, until) = wanted.unwrap_or((end, end));
            assert!(reader.next <= first && first <= until && until <= end && wanted.is_none_or(|_| first < until));
            assert!(wanted.is_none() || !stream.is_of_another_version, "nothing is copied in vain");
            let bytes = (first..until).map(byte).collect();
            let chunk = Chunk { reader: reader.clone(), length: until - reader.next, first, bytes };
            reader.next = until;
            if let Some(outcome) = self.input(Input::Chunk(chunk)) {
                return Some(outcome);
            }
        }
        None
    }

    fn stored(&mut self) {
        assert_eq!(self.run(), Outcome::Stored, "{:?}", self.log);
        assert_eq!(self.world.object.as_ref(), Some(&self.world.content), "{:?}", self.log);
        assert!(self.world.uploads.is_empty() && self.world.most_memory <= 3 * PART);
    }

    /// The ranges that the fill asked for.
    fn ranges(&self) -> Vec<&str> {
        self.log.iter().filter_map(|(_, call)| call.strip_prefix("GET ")).collect()
    }

    fn read(&self) -> u64 {
        let length = |range: &str| {
            let (first, last) = range.split_once('-').unwrap();
            last.parse::<u64>().unwrap() - first.parse::<u64>().unwrap() + 1
        };
        self.ranges().into_iter().map(length).sum()
    }

    fn asked_at(&self, range: &str) -> Duration {
        self.log.iter().find(|(_, call)| call == &format!("GET {range}")).map(|(at, _)| *at).unwrap()
    }
}

#[test]
fn a_stream_that_the_store_keeps_up_with_is_all_that_is_read() {
    for rate in [600, 1200, 2400, 4000] {
        let mut timed = Timed::new(FAST, &[stream(rate)]);
        timed.stored();
        assert_eq!(timed.ranges(), ["0-599"], "{rate}");
        let stream_ends = Duration::from_millis(100 + TOTAL * 1000 / rate);
        assert!(timed.world.clock <= stream_ends + 4 * FAST.store, "{rate}: {:?}", timed.world.clock);
    }
}

#[test]
fn a_stream_brings_the_rest_of_the_first_part_while_the_upload_is_created() {
    let mut timed = Timed::new(Pace { store: 300 * MS, ..FAST }, &[stream(1000)]);
    timed.world.cap = 100;
    timed.stored();
    assert_eq!(timed.ranges(), ["0-599"], "which was answered with 100 bytes");
}

#[test]
fn what_comes_faster_than_the_store_takes_is_asked_for_later() {
    let mut timed = Timed::new(Pace { store: 1000 * MS, ..FAST }, &[stream(3000)]);
    timed.stored();
    assert!(timed.read() < TOTAL - PART && timed.read() > PART, "{:?}", timed.ranges());
    // After that no part is left that it brings as a whole.
    let ends = 100 * MS + 1800 * MS;
    let is_late = |(at, call): &(Duration, String)| !call.starts_with("GET ") || call == "GET 0-599" || *at >= ends;
    assert!(timed.log.iter().all(is_late), "{:?}", timed.log);
}

#[test]
fn a_stream_of_a_slow_client_is_not_waited_for() {
    for rate in [1, 20, 90] {
        let mut timed = Timed::new(FAST, &[Stream { piece: 1, every: 1000 * MS / rate, ..stream(0) }]);
        timed.stored();
        assert!(timed.world.clock < Duration::from_secs(15), "{rate}: {:?}", timed.world.clock);
    }
}

#[test]
fn what_a_stream_does_not_bring_any_more_is_asked_for_at_once_or_after_a_second() {
    for (stalls, least, most) in [(false, 10 * MS, 20 * MS), (true, 880 * MS, 1260 * MS)] {
        let mut timed = Timed::new(FAST, &[Stream { end: 2000, stalls, ..stream(1000) }]);
        timed.stored();
        let ended = 100 * MS + 1990 * MS;
        let waited = timed.asked_at("2000-2399") - ended;
        assert!(least <= waited && waited <= most, "{waited:?}");
        assert_eq!(timed.read(), PART + TOTAL - 2000, "{:?}", timed.ranges());
    }
}

#[test]
fn a_client_that_does_not_come_is_waited_for_a_second() {
    let mut timed = Timed::new(FAST, &[]);
    timed.stored();
    let waited = timed.asked_at("600-1199");
    assert!(waited >= 1050 * MS && waited <= 1300 * MS, "{waited:?}");
    assert_eq!(timed.read(), TOTAL);
}

#[test]
fn nothing_of_another_version_is_taken() {
    let mut timed = Timed::new(FAST, &[Stream { is_of_another_version: true, ..stream(1000) }]);
    timed.stored();
    assert_eq!(timed.read(), TOTAL);
}

#[test]
fn a_stream_of_a_range_brings_the_parts_that_are_in_it() {
    let mut timed = Timed::new(FAST, &[Stream { first: 2500, ..stream(1200) }]);
    timed.stored();
    let mut ranges = timed.ranges();
    ranges.sort_unstable();
    assert_eq!(ranges, ["0-599", "1200-1799", "1800-2399", "2400-2999", "600-1199"], "{:?}", timed.log);
    let mut timed = Timed::new(FAST, &[Stream { begins: 200 * MS, first: 600, last: 1300, end: 1301, ..stream(1200) }]);
    timed.stored();
    assert_eq!(timed.read(), TOTAL - PART, "{:?}", timed.ranges());
}

#[test]
fn streams_of_several_clients_bring_what_is_asked_for_once() {
    let late = Stream { begins: 700 * MS, ..stream(1200) };
    let ending = Stream { end: 3000, ..stream(1200) };
    let mut timed = Timed::new(FAST, &[ending, late]);
    timed.stored();
    assert_eq!(timed.ranges(), ["0-599"], "the second stream comes behind the first: {:?}", timed.log);
    let halves = [Stream { end: 3000, last: 2999, ..stream(1200) }, Stream { first: 3000, ..stream(1200) }];
    let mut timed = Timed::new(FAST, &halves);
    timed.stored();
    assert!(timed.read() <= TOTAL / 2, "there is no room for two parts of each: {:?}", timed.log);
    assert!(timed.world.clock < Duration::from_secs(4), "side by side");
}

#[test]
fn whatever_streams_bring_and_whatever_fails_the_object_is_one_whole_version_or_none() {
    const FAULTS: [Fault; 4] = [Fault::Lost, Fault::LostAnswer, Fault::Status(503), Fault::Status(403)];
    const DIGEST: &str = "sha-256=:V0yPWjP6TAoih3VrkmX1FR3uwiEqtzA7im16Hi9asnE=:";
    for seed in 0..2000 {
        let mut random = Random(seed);
        let mut pick = |most: u64| random.next() % most;
        let streams: Vec<Stream> = (0..pick(5))
            .map(|_| {
                let first = pick(2) * pick(TOTAL);
                let last = if pick(3) == 0 { first + pick(TOTAL - first) } else { TOTAL - 1 };
                let end = if pick(3) == 0 { first + pick(last - first + 1) } else { last + 1 };
                Stream {
                    begins: Duration::from_millis(pick(3000)),
                    first,
                    end,
                    last,
                    piece: 1 + pick(700),
                    every: Duration::from_millis(1 + pick(300)),
                    stalls: pick(2) == 0,
                    is_of_another_version: pick(4) == 0,
                }
            })
            .collect();
        let calls = ["GET", "PART", "CREATE", "COMPLETE", "GET 600", "PART 3"][usize::try_from(pick(6)).unwrap()];
        let fault = FAULTS[usize::try_from(pick(4)).unwrap()];
        let strikes = [Strike { calls, fault, times: u32::try_from(pick(4)).unwrap() }];
        let pace = Pace {
            origin: (1 + u32::try_from(pick(400)).unwrap()) * MS,
            store: (1 + u32::try_from(pick(900)).unwrap()) * MS,
        };
        let mut world = World::new(usize::try_from(TOTAL).unwrap(), seed, &strikes);
        world.digest = (pick(3) == 0).then(|| DIGEST.to_owned());
        world.replaced_after = (pick(3) == 0).then(|| u32::try_from(pick(20)).unwrap());
        world.cap = if pick(3) == 0 { 100 } else { usize::MAX };
        let before = world.content.clone();
        let mut timed = Timed::with(world, pace, &streams);
        let outcome = timed.run();
        let world = &timed.world;
        let context = format!("{seed}: {outcome:?} {:?}", timed.log);
        assert!(!matches!(outcome, Outcome::Broken(_)), "{context}");
        let whole = world.object.as_ref().is_none_or(|object| *object == before || *object == world.content);
        assert!(whole && (outcome != Outcome::Stored || world.object.is_some()), "{context}");
        let nameless = calls == "CREATE" && fault == Fault::LostAnswer;
        assert!(world.uploads.is_empty() || nameless, "{context}");
        let asked_whole = world.calls.iter().any(|call| call == "GET ");
        assert!(world.most_memory <= 3 * PART || asked_whole, "{context}");
    }
}
