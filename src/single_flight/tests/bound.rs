//! Whatever happens in whatever order, what is held stays within the limits, and in the end nothing is left.

use super::*;
use crate::config::rule::mirror_for;
use crate::fill::Call;
use crate::http::Method;
use crate::object::key::Spellings;
use proptest::prelude::*;
use std::collections::BTreeMap;

const PART: u64 = 8;
const MEMORY: u64 = 96;
const FILLS: usize = 9;

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    /// A stream wants one of so many keys of a rule, and at most so many bytes. Perhaps only the bucket can answer it.
    Joins { rule: u8, key: u8, for_bucket: bool, most: u64 },
    /// One of the calls that are under way is answered.
    Answered { call: u8, with: Answer },
    /// A stream leaves that waits or was answered.
    Leaves { stream: u8 },
    /// So many seconds pass.
    Passes { seconds: u64 },
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    /// As is proper, with an object of so many bytes.
    Proper(u64),
    /// With all of an object of so many bytes.
    Whole(u64),
    Failed,
    Status(u16),
}

fn event() -> impl Strategy<Value = Event> {
    let length = prop_oneof![0..=PART, 0..200_u64];
    let answer = prop_oneof![
        6 => length.clone().prop_map(Answer::Proper),
        2 => length.prop_map(Answer::Whole),
        1 => Just(Answer::Failed),
        2 => prop_oneof![Just(403), Just(404), Just(412), Just(500), Just(503), Just(504)].prop_map(Answer::Status),
    ];
    prop_oneof![
        4 => (0..4_u8, 0..16_u8, any::<u8>(), prop_oneof![2 => Just(u64::MAX), 1 => 0..PART])
            .prop_map(|(rule, key, one, most)| Event::Joins { rule, key, for_bucket: one < 64, most }),
        8 => (any::<u8>(), answer).prop_map(|(call, with)| Event::Answered { call, with }),
        2 => any::<u8>().prop_map(|stream| Event::Leaves { stream }),
        1 => prop_oneof![Just(0), Just(1), Just(5), Just(26), Just(700)].prop_map(|seconds| Event::Passes { seconds }),
    ]
}

/// A worker, and what is seen of it from outside.
struct Seen {
    world: World,
    calls: Vec<(Ticket, Call)>,
    /// Streams that are there, with their keys.
    streams: BTreeMap<u32, String>,
    /// The most bytes of each.
    most: BTreeMap<u32, u64>,
    /// Bytes of the objects that streams were given.
    copies: BTreeMap<u32, u64>,
    next: u32,
}

impl Seen {
    /// A worker whose first ranges have so many bytes at least.
    fn new(first_range: u64) -> Self {
        let origin = |name: &str| serde_json::json!({"cluster": name, "authority": "o.test", "timeout": "20s"});
        let config = serde_json::json!({
            "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
            "origins": {"a": origin("a"), "b": origin("b"), "c": origin("c")},
            "rules": [{"prefix": "/0", "origins": ["a"]}, {"prefix": "/1", "origins": ["b", "c"]},
                      {"prefix": "/2", "origins": ["c", "a"], "response": "serve"}, {"origins": ["b"], "response": "serve"}],
            "limits": {"fills": FILLS, "queue": 12}});
        let mut config = Config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
        (config.limits.first_range, config.limits.part_size, config.limits.memory) = (first_range, PART, MEMORY);
        let world = World::configured(1, Rc::new(FakeSharedHost::new()), config, 0);
        Self {
            world,
            calls: Vec::new(),
            streams: BTreeMap::new(),
            most: BTreeMap::new(),
            copies: BTreeMap::new(),
            next: 0,
        }
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Joins { rule, key, for_bucket, most } => {
                let (stream, key) = (self.next, format!("{rule}/{key}"));
                self.next += 1;
                let mirror = mirror_for(
                    &self.world.flights.config.rules,
                    Method::Get,
                    Spellings { deciding: &key, other: &key },
                )
                .cloned();
                self.streams.insert(stream, key.clone());
                (self.world.for_bucket, self.world.most) = (*for_bucket, *most);
                self.most.insert(stream, *most);
                self.world.join_as(stream, &key, mirror.unwrap());
            }
            Event::Answered { call, with } if !self.calls.is_empty() => {
                let (ticket, call) = self.calls.remove(usize::from(*call) % self.calls.len());
                self.answer(ticket, &call, *with);
            }
            Event::Leaves { stream } if !self.streams.is_empty() => {
                let at = usize::from(*stream) % self.streams.len();
                let stream = *self.streams.keys().nth(at).unwrap();
                self.leaves(stream);
            }
            Event::Passes { seconds } => {
                self.world.now += Duration::from_secs(*seconds);
                self.world.shared.pass(Duration::from_secs(*seconds));
                self.tick();
            }
            Event::Answered { .. } | Event::Leaves { .. } => {}
        }
        self.look();
    }

    fn leaves(&mut self, stream: u32) {
        let key = self.streams.remove(&stream).unwrap();
        self.copies.remove(&stream);
        if self.world.leave(stream, &key) {
            self.tick();
        }
    }

    fn tick(&mut self) {
        let effects = self.world.flights.tick(self.world.now, &*self.world.shared);
        self.world.keep(effects);
    }

    fn answer(&mut self, ticket: Ticket, call: &Call, with: Answer) {
        let etag = ("etag", "\"e\"");
        let world = &mut self.world;
        match (with, call.request.method) {
            (Answer::Failed, _) => world.fail(ticket),
            (Answer::Status(status), _) => world.respond(ticket, status, &[], Vec::new()),
            (Answer::Proper(total), Method::Get) => match range(call) {
                Some((first, last)) => {
                    let total = total.max(first + 1);
                    let last = last.min(total - 1);
                    let body = vec![b'x'; usize::try_from(last + 1 - first).unwrap()];
                    let content_range = format!("bytes {first}-{last}/{total}");
                    world.respond(ticket, 206, &[("content-range", &content_range), etag], body);
                }
                None => world.respond(ticket, 200, &[("content-length", "1"), etag], b"x".to_vec()),
            },
            (Answer::Whole(total), Method::Get) => {
                let body = vec![b'x'; usize::try_from(total).unwrap()];
                world.respond(ticket, 200, &[("content-length", &total.to_string()), etag], body);
            }
            (_, Method::Head) => world.respond(ticket, 404, &[], Vec::new()),
            (_, Method::Post) if call.request.path.ends_with("?uploads=") => {
                world.respond(ticket, 200, &[], b"<UploadId>u</UploadId>".to_vec());
            }
            (_, Method::Post | Method::Put) => world.respond(ticket, 200, &[etag], Vec::new()),
            (_, Method::Delete) => world.respond(ticket, 204, &[], Vec::new()),
        }
    }

    /// Takes what was asked for, and compares what is held with the limits.
    fn look(&mut self) {
        while let Some(effect) = self.world.effects.pop_front() {
            match effect {
                Effect::Call { ticket, call } => self.calls.push((ticket, call)),
                Effect::Answer { streams, outcome, .. } => {
                    let object = outcome.object().map(|object| object.length());
                    for (stream, length) in streams.into_iter().filter_map(|stream| Some((stream.0, object?))) {
                        let length = length.min(self.most[&stream]);
                        assert!(self.copies.insert(stream, length).is_none(), "{stream} is answered twice");
                    }
                }
                Effect::Ended(ended) => assert_ne!(ended.outcome, "broken", "{ended:?}"),
                Effect::Observed(_) | Effect::Progress(_) | Effect::Release(..) | Effect::Warn { .. } => {}
            }
        }
        let asked = |call: &Call| range(call).map(|(first, last)| last + 1 - first).unwrap_or_default();
        let fetched: u64 = self.calls.iter().map(|(_, call)| asked(call)).sum();
        let sent: usize = self.calls.iter().map(|(_, call)| call.request.body.len()).sum();
        // The document that completes an upload is none of the object.
        let documents = self.calls.iter().filter(|(_, call)| call.request.method == Method::Post);
        let documents: usize = documents.map(|(_, call)| call.request.body.len()).sum();
        let copied: u64 = self.copies.values().sum();
        let seen = fetched + (sent - documents) as u64 + copied;
        let admission = &self.world.flights.admission;
        assert!(seen <= MEMORY, "{seen} bytes are on their way or with clients");
        assert!(seen <= admission.held(), "{seen} bytes, of which {} count", admission.held());
        assert!(admission.held() <= MEMORY, "{} bytes count", admission.held());
        assert!(admission.running() <= FILLS);
        assert!(admission.most_of_an_origin() <= FILLS / 2, "{} fills of an origin", admission.most_of_an_origin());
        for flight in self.world.flights.flights.values() {
            let Some(hold) = flight.hold() else { continue };
            assert!(flight.fill.memory().min(admission.most()) <= hold.bytes, "{flight:?}");
        }
    }

    /// Everybody answers as is proper, and all clients leave.
    fn ends(&mut self) {
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            self.leaves(stream);
            self.look();
        }
        for _ in 0..10_000 {
            if let Some((ticket, call)) = self.calls.pop() {
                self.answer(ticket, &call, Answer::Proper(PART));
            } else if self.world.flights.next_deadline().is_some() {
                self.world.tick();
            } else {
                break;
            }
            self.look();
        }
        self.happens(&Event::Passes { seconds: 1 });
        assert_eq!(self.world.flights.admission.held(), 0);
        assert_eq!((self.world.flights.running(), self.world.flights.waiters()), (0, 0));
        self.world.assert_empty();
    }
}

fn range(call: &Call) -> Option<(u64, u64)> {
    let (_, value) = call.request.headers.iter().find(|(name, _)| *name == "range")?;
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

proptest! {
    #[test]
    fn what_is_held_stays_within_the_limits_whatever_happens(
        first_range in 1..=PART,
        events in proptest::collection::vec(event(), 0..120),
    ) {
        let mut seen = Seen::new(first_range);
        for event in &events {
            seen.happens(event);
        }
        seen.ends();
    }
}
