//! One origin that behaves in any way that can be told from the right one, and an object that changes at any moment: what
//! is stored is always exactly one version of it, and the fill always ends.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The behaviour of an origin. Each request may be answered in another way.
#[derive(Clone, Debug)]
struct Behaviour {
    ranges: Vec<Ranges>,
    framing: Framing,
    etag: Etag,
    /// It sends `Last-Modified`, and a `Date`.
    dates: (bool, bool),
    /// It may send the bytes in another coding, under the same ETag.
    coded: bool,
    /// It answers 412 to its own ETag.
    denies_itself: bool,
    /// Of 16 answers so many are failures.
    failures: u64,
    /// Of 16 answers so many come from an object that has changed just before.
    changes: u64,
}

#[derive(Clone, Copy, Debug)]
enum Ranges {
    Capped(u64),
    /// A gateway that cuts, and says 200 with or without `Content-Range`, or a 206 whose total is what it sends.
    GatewayOf200,
    GatewayOf200AsAsked,
    GatewayOf206,
    Ignored,
    Known,
    Multipart,
    Refused(u16),
    Shifted,
    UnknownTotal,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Chunked,
    ContentLength,
    EndOfConnection,
}

#[derive(Clone, Copy, Debug)]
enum Etag {
    Joined,
    None,
    /// Another at each of two nodes.
    OfNode,
    Strong,
    Weak,
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    let ranges = prop_oneof![
        6 => Just(Ranges::Known),
        3 => (1_u64..9).prop_map(Ranges::Capped),
        1 => Just(Ranges::GatewayOf200),
        1 => Just(Ranges::GatewayOf200AsAsked),
        1 => Just(Ranges::GatewayOf206),
        1 => Just(Ranges::Ignored),
        1 => Just(Ranges::Multipart),
        1 => Just(Ranges::Shifted),
        1 => Just(Ranges::UnknownTotal),
        2 => prop::sample::select(vec![400, 403, 405, 416, 501, 503]).prop_map(Ranges::Refused),
    ];
    let framing = prop_oneof![4 => Just(Framing::ContentLength), 1 => Just(Framing::Chunked), 1 => Just(Framing::EndOfConnection)];
    let etag = prop_oneof![
        4 => Just(Etag::Strong),
        1 => Just(Etag::Joined),
        2 => Just(Etag::None),
        1 => Just(Etag::OfNode),
        1 => Just(Etag::Weak),
    ];
    let dates = (any::<bool>(), any::<bool>());
    let odds = (any::<bool>(), any::<bool>(), 0_u64..5, 0_u64..5);
    (prop::collection::vec(ranges, 1..3), framing, etag, dates, odds).prop_map(
        |(ranges, framing, etag, dates, (coded, denies_itself, failures, changes))| Behaviour {
            ranges,
            framing,
            etag,
            dates,
            coded,
            denies_itself,
            failures,
            changes,
        },
    )
}

const PART: u64 = 8;
/// The bytes that Envoy takes in one answer here, and that a worker may hold.
const MOST: u64 = 64;
const MOST_STEPS: u32 = 20_000;

/// A version of the object, in one coding.
type Representation = (Vec<u8>, Option<&'static str>);

/// The coding of an upload, and its parts.
type Upload = (Option<String>, BTreeMap<u64, Vec<u8>>);

struct Scene {
    behaviour: Behaviour,
    random: Random,
    /// Milliseconds.
    now: u64,
    /// When the object was changed for the last time.
    changed: u64,
    /// Number of changes.
    version: u64,
    length: u64,
    /// Everything that anybody could have had.
    versions: Vec<Representation>,
    /// Codings of what is stored, and its bytes.
    uploads: BTreeMap<String, Upload>,
    stored: Option<(Vec<u8>, Option<String>)>,
    requests: u32,
}

impl Scene {
    fn new(behaviour: Behaviour, length: u64, seed: u64) -> Self {
        let mut scene = Self {
            behaviour,
            random: Random(seed),
            now: 500,
            changed: 0,
            version: 0,
            length,
            versions: Vec::new(),
            uploads: BTreeMap::new(),
            stored: None,
            requests: 0,
        };
        scene.remember();
        scene
    }

    fn pick(&mut self, of: u64) -> u64 {
        self.random.next() % of
    }

    /// Replaces the object, mostly by one of the same length.
    fn change(&mut self) {
        self.version += 1;
        self.changed = self.now;
        if self.pick(4) == 0 {
            self.length = self.pick(3 * MOST / 2);
        }
        self.remember();
    }

    fn bytes(&self, coded: bool) -> Vec<u8> {
        let salt = self.version * 7 + if coded { 100 } else { 0 };
        (0..self.length).map(|at| u8::try_from((at * 3 + salt) % 251).unwrap()).collect()
    }

    fn remember(&mut self) {
        self.versions.push((self.bytes(false), None));
        self.versions.push((self.bytes(true), Some("gzip")));
    }

    /// Runs a fill to its end, with calls coming back in any order and time passing.
    fn run(&mut self) -> Outcome {
        let config = r#"{"bucket": {"cluster": "store", "authority": "s3", "path_prefix": "/b"},
                         "origin": {"cluster": "origin", "authority": "o"}}"#;
        let mut config = Config::parse(config.as_bytes(), &|_| None).unwrap();
        config.limits.part_size = PART;
        config.limits.memory = MOST;
        let mirror = config.rules[0].mirror.clone().unwrap();
        let mut fill = Fill::new(&config, request("k", mirror, false), self.random.next());
        let mut inputs = vec![Input::Start];
        let mut under_way: Vec<Call> = Vec::new();
        let mut waits = 0_u64;
        for _ in 0..MOST_STEPS {
            let input = match inputs.pop() {
                Some(input) => input,
                None => {
                    let choices = under_way.len() as u64 + waits;
                    assert!(choices > 0, "the fill awaits nothing");
                    let choice = usize::try_from(self.pick(choices)).unwrap();
                    self.now += [0, 0, 10, 600, 1500][usize::try_from(self.pick(5)).unwrap()];
                    if choice < under_way.len() {
                        let call = under_way.swap_remove(choice);
                        let id = call.id;
                        match self.answer(&call) {
                            Some(response) => Input::Response { call: id, response },
                            None => Input::Failed { call: id },
                        }
                    } else {
                        waits -= 1;
                        Input::Deadline
                    }
                }
            };
            let actions = fill.handle(input, MOST, Duration::ZERO);
            for action in actions {
                match action {
                    Action::Call(call) => under_way.push(call),
                    Action::Done(outcome) => {
                        assert!(under_way.is_empty() && waits == 0, "nothing comes after the end");
                        return outcome;
                    }
                    Action::Wait(_) => waits += 1,
                    Action::Meanwhile(_)
                    | Action::Pass(_)
                    | Action::Progress { .. }
                    | Action::Unranged(_)
                    | Action::Warn(_) => {}
                }
            }
        }
        panic!("the fill does not end")
    }

    fn answer(&mut self, call: &Call) -> Option<Response> {
        if call.to.cluster == "store" {
            return Some(self.store(call));
        }
        self.requests += 1;
        if self.pick(16) < self.behaviour.changes {
            self.change();
        }
        if self.pick(16) < self.behaviour.failures {
            let failures = [None, Some(503), Some(504), Some(429), Some(404), Some(408)];
            let failure = failures[usize::try_from(self.pick(6)).unwrap()]?;
            return Some(response(failure, &[("retry-after", "3".to_owned())], Vec::new()));
        }
        self.origin(call)
    }

    fn origin(&mut self, call: &Call) -> Option<Response> {
        let header = |name: &str| call.request.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        let coded = self.behaviour.coded && self.pick(3) == 0;
        let bytes = self.bytes(coded);
        let mut headers = self.validators();
        if coded {
            headers.push(("content-encoding", "gzip".to_owned()));
        }
        if let Some(etag) = header("if-match") {
            let own = headers.iter().any(|(name, value)| *name == "etag" && *value == etag);
            if !own || self.behaviour.denies_itself {
                return Some(response(412, &[], Vec::new()));
            }
        }
        if call.request.method == Method::Head {
            headers.push(("content-length", bytes.len().to_string()));
            return Some(response(200, &headers, Vec::new()));
        }
        let Some((first, last)) = header("range").map(|range| {
            let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            (first.parse::<u64>().unwrap(), last.parse::<u64>().unwrap())
        }) else {
            return self.framed(200, headers, bytes);
        };
        let total = self.length;
        let at = self.pick(self.behaviour.ranges.len() as u64);
        let ranges = self.behaviour.ranges[usize::try_from(at).unwrap()];
        if let Ranges::Refused(status) = ranges {
            return Some(response(status, &[], b"no ranges".to_vec()));
        }
        if matches!(ranges, Ranges::Ignored) {
            return self.framed(200, headers, bytes);
        }
        if first >= total {
            return Some(response(416, &[("content-range", format!("bytes */{total}"))], Vec::new()));
        }
        let mut end = (last + 1).min(total);
        let mut first = first;
        if let Ranges::Capped(most) = ranges {
            end = end.min(first + most);
        }
        if matches!(ranges, Ranges::Shifted) && end < total {
            (first, end) = (first + 1, end + 1);
        }
        let slice = bytes[usize::try_from(first).unwrap()..usize::try_from(end).unwrap()].to_vec();
        let named = |total: String| ("content-range", format!("bytes {first}-{}/{total}", end - 1));
        let (status, range) = match ranges {
            Ranges::GatewayOf200 => (200, Some(named(total.to_string()))),
            // It sends what was asked for, or all there is.
            Ranges::GatewayOf200AsAsked if first == 0 => (200, None),
            // One that knows no total makes one up of what it sends.
            Ranges::GatewayOf206 if first == 0 && end == last + 1 => (206, Some(named(end.to_string()))),
            Ranges::UnknownTotal => (206, Some(named("*".to_owned()))),
            Ranges::Multipart => (206, Some(("content-type", "multipart/byteranges; boundary=a".to_owned()))),
            _ => (206, Some(named(total.to_string()))),
        };
        headers.extend(range);
        self.framed(status, headers, slice)
    }

    /// An answer with its end, or one that is cut: where nothing frames it, that comes as an answer.
    fn framed(&mut self, status: u16, mut headers: Vec<(&'static str, String)>, mut body: Vec<u8>) -> Option<Response> {
        if body.len() as u64 > MOST {
            return None;
        }
        let cut = self.pick(16) == 0;
        match self.behaviour.framing {
            Framing::ContentLength | Framing::Chunked if cut => return None,
            Framing::ContentLength => headers.push(("content-length", body.len().to_string())),
            Framing::Chunked => headers.push(("transfer-encoding", "chunked".to_owned())),
            Framing::EndOfConnection if cut => {
                let left = self.pick(body.len() as u64 + 1);
                body.truncate(usize::try_from(left).unwrap());
            }
            Framing::EndOfConnection => {}
        }
        Some(response(status, &headers, body))
    }

    fn validators(&mut self) -> Vec<(&'static str, String)> {
        let version = self.version;
        let node = self.pick(2);
        let etag = match self.behaviour.etag {
            Etag::None => None,
            Etag::Joined => Some("\"a\",\"a\"".to_owned()),
            Etag::OfNode => Some(format!("\"{node}-{version}\"")),
            Etag::Strong => Some(format!("\"{version}\"")),
            // It stays although the bytes change.
            Etag::Weak => Some("W/\"a\"".to_owned()),
        };
        let date = |millis: u64| {
            let seconds = millis / 1000;
            format!("Sun, 06 Nov 1994 {:02}:{:02}:{:02} GMT", seconds / 3600, seconds / 60 % 60, seconds % 60)
        };
        let (changed, answered) = self.behaviour.dates;
        let changed = changed.then(|| ("last-modified", date(self.changed)));
        let answered = answered.then(|| ("date", date(self.now)));
        etag.map(|etag| ("etag", etag)).into_iter().chain(changed).chain(answered).collect()
    }

    fn store(&mut self, call: &Call) -> Response {
        let Request { method, path, body, headers, .. } = &call.request;
        let coding = headers.iter().find(|(name, _)| *name == "content-encoding").map(|(_, value)| value.clone());
        let query = path.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let upload = query.split_once("uploadId=").map(|(_, id)| id.to_owned()).unwrap_or_default();
        match method {
            Method::Put if query.is_empty() => {
                self.stored = Some((body.to_vec(), coding));
                response(200, &[], Vec::new())
            }
            Method::Post if query == "uploads=" => {
                let id = format!("u{}", self.uploads.len());
                self.uploads.insert(id.clone(), (coding, BTreeMap::new()));
                response(200, &[], format!("<R><UploadId>{id}</UploadId></R>").into_bytes())
            }
            Method::Put => {
                let number = query.strip_prefix("partNumber=").unwrap().split_once('&').unwrap().0.parse().unwrap();
                let (_, parts) = self.uploads.get_mut(&upload).unwrap();
                parts.insert(number, body.to_vec());
                assert!(body.len() as u64 == PART || number == parts.len() as u64 || !body.is_empty());
                response(200, &[("etag", "\"p\"".to_owned())], Vec::new())
            }
            Method::Post => {
                let (coding, parts) = self.uploads.get(&upload).cloned().unwrap();
                self.stored = Some((parts.into_values().flatten().collect(), coding));
                response(200, &[], b"<CompleteMultipartUploadResult/>".to_vec())
            }
            Method::Delete => response(204, &[], Vec::new()),
            Method::Head => response(if self.stored.is_some() { 200 } else { 404 }, &[], Vec::new()),
            Method::Get => panic!("no fill reads the store"),
        }
    }

    /// Tells if the stored object is one version.
    fn is_one_version(&self) -> bool {
        let Some((bytes, coding)) = &self.stored else { return true };
        self.versions.iter().any(|(known, coded)| known == bytes && *coded == coding.as_deref())
    }
}

fn response(status: u16, headers: &[(&str, String)], body: Vec<u8>) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect();
    Response { status, headers: Headers::new(headers), body }
}

proptest! {
    #[test]
    fn what_is_stored_is_always_one_version_and_every_fill_ends(
        behaviour in behaviour(),
        length in 0..3 * MOST / 2,
        seed in any::<u64>(),
    ) {
        let mut scene = Scene::new(behaviour, length, seed);
        let outcome = scene.run();
        prop_assert!(!matches!(outcome, Outcome::Broken(_)), "{outcome:?}");
        prop_assert!(scene.is_one_version(), "{:?} is none of {:?}", scene.stored, scene.versions);
        prop_assert_eq!(outcome == Outcome::Stored, scene.stored.is_some(), "{:?}", outcome);
        prop_assert!(scene.requests < 1_000, "{} requests", scene.requests);
    }
}

/// The property above means little if nothing is ever stored.
#[test]
fn each_kind_of_origin_that_can_prove_a_version_is_stored_from() {
    use Ranges::{
        Capped, GatewayOf200, GatewayOf200AsAsked, GatewayOf206, Ignored, Known, Multipart, Refused, UnknownTotal,
    };
    let calm = |ranges: Ranges, etag: Etag, dates: (bool, bool)| Behaviour {
        ranges: vec![ranges],
        framing: Framing::ContentLength,
        etag,
        dates,
        coded: false,
        denies_itself: true,
        failures: 0,
        changes: 0,
    };
    for (ranges, etag, dates, longest) in [
        (Known, Etag::Strong, (false, false), 96),
        (Known, Etag::None, (true, true), 96),
        (Known, Etag::Weak, (false, false), MOST),
        (Known, Etag::OfNode, (true, true), 8),
        (Capped(3), Etag::Strong, (false, false), 96),
        (GatewayOf200, Etag::None, (false, false), MOST),
        (GatewayOf200AsAsked, Etag::None, (false, false), MOST),
        (GatewayOf206, Etag::None, (false, false), MOST),
        (Ignored, Etag::None, (false, false), MOST),
        (Multipart, Etag::None, (false, false), MOST),
        (UnknownTotal, Etag::None, (false, false), MOST),
        (Refused(403), Etag::None, (false, false), MOST),
        (Refused(503), Etag::None, (false, false), MOST),
    ] {
        for length in 0..=longest {
            let stored = (0..20).any(|seed| {
                let mut scene = Scene::new(calm(ranges, etag, dates), length, seed);
                scene.now = 5_000;
                let outcome = scene.run();
                assert!(scene.is_one_version());
                outcome == Outcome::Stored
            });
            assert!(stored, "{ranges:?} {etag:?} {dates:?}: {length}");
        }
    }
}
