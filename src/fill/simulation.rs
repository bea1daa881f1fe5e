//! Multipart fills in a simulated world: an origin and a store that keep what they are told, answers in any order, and
//! a fault at every step.

mod streams;

use super::*;
use crate::config::{Limits, Overwrite};
use crate::http::{Headers, Method};
use std::collections::BTreeMap;

const PART: u64 = 4;

/// A way in which a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It comes back without a response, and was not done.
    Lost,
    /// It comes back without a response, but was done.
    LostAnswer,
    /// It is answered with this status, and was not done.
    Status(u16),
}

/// Which calls a fault strikes: those whose name begins so, from the first on, so many of them.
#[derive(Clone, Copy, Debug)]
struct Strike {
    calls: &'static str,
    fault: Fault,
    times: u32,
}

struct World {
    fill: Fill,
    random: Random,
    content: Vec<u8>,
    etag: &'static str,
    /// The longest range that the origin gives.
    cap: usize,
    /// The origin answers 412 to its own ETag.
    denies_itself: bool,
    /// The digest that the origin announces of the whole object, whatever that is.
    digest: Option<String>,
    /// The origin redirects to URLs that it signs, each good for so many requests.
    signed_for: Option<usize>,
    /// The requests that each of these was asked for.
    signed: Vec<usize>,
    /// Replaces the origin's object when so many calls were made.
    replaced_after: Option<u32>,
    object: Option<Vec<u8>>,
    /// The store has a directory of the key's name, which is no object, and cannot hold one.
    is_directory: bool,
    /// Another writer stores the object when so many calls were made.
    rival_after: Option<u32>,
    /// An object that is stored ends the uploads of its key, as at Garage.
    ends_uploads: bool,
    uploads: BTreeMap<String, BTreeMap<u64, Vec<u8>>>,
    created: u32,
    strikes: Vec<Strike>,
    under_way: Vec<Call>,
    /// The time since the fill began, and that for which it waits.
    clock: Duration,
    timer: Option<Duration>,
    calls: Vec<String>,
    warnings: Vec<Warning>,
    most_memory: u64,
    most_under_way: usize,
    progress: u64,
}

impl World {
    fn new(length: usize, seed: u64, strikes: &[Strike]) -> Self {
        Self::with(Overwrite::Conditional, length, seed, strikes)
    }

    fn with(overwrite: Overwrite, length: usize, seed: u64, strikes: &[Strike]) -> Self {
        Self::with_origins(1, overwrite, length, seed, strikes)
    }

    fn with_origins(origins: usize, overwrite: Overwrite, length: usize, seed: u64, strikes: &[Strike]) -> Self {
        let limits = Limits { part_size: PART, ..Limits::default() };
        Self {
            fill: Self::fill(overwrite, origins, limits, seed),
            random: Random(seed),
            content: (0..length).map(|n| b'a' + u8::try_from(n % 26).unwrap()).collect(),
            etag: "\"one\"",
            cap: usize::MAX,
            denies_itself: false,
            signed_for: None,
            signed: Vec::new(),
            digest: None,
            replaced_after: None,
            object: None,
            is_directory: false,
            rival_after: None,
            ends_uploads: false,
            uploads: BTreeMap::new(),
            created: 0,
            strikes: strikes.to_vec(),
            under_way: Vec::new(),
            clock: Duration::ZERO,
            timer: None,
            calls: Vec::new(),
            warnings: Vec::new(),
            most_memory: 0,
            most_under_way: 0,
            progress: 0,
        }
    }

    fn fill(overwrite: Overwrite, origins: usize, limits: Limits, seed: u64) -> Fill {
        let config = r#"{"bucket": {"cluster": "store", "authority": "s3", "path_prefix": "/b"},
                         "origins": {"first": {"cluster": "origin", "authority": "o",
                                               "redirects": {"hosts": {"cdn.test": "cdn"}}},
                                     "second": {"cluster": "origin", "authority": "o"}},
                         "rules": [{"origins": ["first"]}, {"origins": ["first", "second"]}]}"#;
        let mut config = Config::parse(config.as_bytes(), &|_| None).unwrap();
        (config.limits, Rc::make_mut(&mut config.bucket).overwrite) = (limits, overwrite);
        let mirror = config.rules[origins - 1].mirror.clone().unwrap();
        Fill::new(&config, super::tests::request("k", mirror, false), seed)
    }

    /// Runs the fill to its end, with the calls coming back in an order that the seed decides.
    fn run(&mut self, spare: u64) -> Outcome {
        let mut outcome = self.input(Input::Start, spare);
        for _ in 0..10_000 {
            if let Some(outcome) = outcome {
                assert!(self.under_way.is_empty() && self.timer.is_none(), "nothing comes after the end");
                return outcome;
            }
            let choices = self.under_way.len() + usize::from(self.timer.is_some());
            assert!(choices > 0, "the fill awaits nothing: {:?}", self.calls);
            let choice = usize::try_from(self.random.next() % choices as u64).unwrap();
            let input = if choice < self.under_way.len() {
                let call = self.under_way.swap_remove(choice);
                self.answer(call)
            } else {
                self.timer = None;
                Input::Deadline
            };
            outcome = self.input(input, spare);
        }
        panic!("the fill does not end: {:?}", self.calls)
    }

    fn input(&mut self, input: Input, spare: u64) -> Option<Outcome> {
        let spare = spare.saturating_sub(self.fill.memory());
        let actions = self.fill.handle(input, spare, self.clock);
        self.most_memory = self.most_memory.max(self.fill.memory());
        let waits = actions.iter().filter(|action| matches!(action, Action::Wait(_))).count();
        assert!(waits <= 1, "one wait at a time");
        let mut outcome = None;
        for action in actions {
            match action {
                Action::Call(call) => {
                    self.calls.push(name(&call));
                    self.under_way.push(call);
                }
                Action::Done(end) => assert!(outcome.replace(end).is_none(), "one end only"),
                Action::Progress { bytes, .. } => self.progress += bytes,
                Action::Meanwhile(_) | Action::Pass(_) | Action::Unranged(_) => {}
                Action::Wait(wait) => self.timer = Some(self.clock + wait),
                Action::Warn(warning) => self.warnings.push(warning),
            }
        }
        self.most_under_way = self.most_under_way.max(self.under_way.len());
        outcome
    }

    fn answer(&mut self, call: Call) -> Input {
        let id = call.id;
        if self.replaced_after.is_some_and(|after| self.calls.len() >= after as usize) {
            self.replaced_after = None;
            self.content = self.content.iter().map(u8::to_ascii_uppercase).collect();
            self.etag = "\"two\"";
        }
        if self.rival_after.is_some_and(|after| self.calls.len() >= after as usize) {
            self.rival_after = None;
            self.object.get_or_insert_with(|| THEIRS.to_vec());
            if self.ends_uploads {
                self.uploads.clear();
            }
        }
        let name = name(&call);
        let strike = self.strikes.iter_mut().find(|strike| strike.times > 0 && name.starts_with(strike.calls));
        let fault = strike.map(|strike| {
            strike.times -= 1;
            strike.fault
        });
        match fault {
            Some(Fault::Lost) => Input::Failed { call: id },
            Some(Fault::LostAnswer) => {
                self.done(&call);
                Input::Failed { call: id }
            }
            Some(Fault::Status(status)) => {
                Input::Response { call: id, response: response(status, Vec::new(), Vec::new()) }
            }
            None => Input::Response { call: id, response: self.done(&call) },
        }
    }

    fn done(&mut self, call: &Call) -> Response {
        match call.to.cluster.as_str() {
            "origin" if self.signed_for.is_some() => {
                self.signed.push(0);
                let location = format!("https://cdn.test/{}", self.signed.len() - 1);
                response(302, vec![("location", location)], Vec::new())
            }
            "origin" => self.origin(call),
            "cdn" => {
                let number: usize = call.request.path.trim_start_matches('/').parse().unwrap();
                self.signed[number] += 1;
                let is_over = self.signed_for.is_some_and(|good_for| self.signed[number] > good_for);
                if is_over { response(403, Vec::new(), Vec::new()) } else { self.origin(call) }
            }
            _ => self.store(call),
        }
    }

    fn origin(&self, call: &Call) -> Response {
        let header = |name: &str| call.request.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        if header("if-match").is_some_and(|etag| etag != self.etag || self.denies_itself) {
            return response(412, Vec::new(), Vec::new());
        }
        let total = self.content.len();
        if call.request.method == Method::Head {
            let headers = vec![("content-length", total.to_string()), ("etag", self.etag.into())];
            return response(200, headers, Vec::new());
        }
        let Some(range) = header("range") else {
            return response(200, vec![("content-length", total.to_string())], self.content.clone());
        };
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse::<usize>().unwrap().min(total - 1));
        let last = last.min(first.saturating_add(self.cap - 1));
        let range = format!("bytes {first}-{last}/{total}");
        let mut headers = vec![("content-range", range), ("etag", self.etag.into())];
        headers.extend(self.digest.clone().map(|digest| ("repr-digest", digest)));
        response(206, headers, self.content[first..=last].to_vec())
    }

    fn store(&mut self, call: &Call) -> Response {
        let Request { method, path, body, .. } = &call.request;
        let query = path.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let upload = query.split_once("uploadId=").map(|(_, id)| id.to_owned()).unwrap_or_default();
        let gone = || response(404, Vec::new(), b"<Error><Code>NoSuchUpload</Code></Error>".to_vec());
        match method {
            Method::Post if query == "uploads=" => {
                self.created += 1;
                let id = format!("u{}", self.created);
                self.uploads.insert(id.clone(), BTreeMap::new());
                response(200, Vec::new(), format!("<R><UploadId>{id}</UploadId></R>").into_bytes())
            }
            Method::Put if query.is_empty() => {
                if self.refuses(call) {
                    return response(412, Vec::new(), Vec::new());
                }
                self.object = Some(body.to_vec());
                response(200, Vec::new(), Vec::new())
            }
            Method::Put => {
                let number: u64 =
                    query.strip_prefix("partNumber=").unwrap().split_once('&').unwrap().0.parse().unwrap();
                let Some(parts) = self.uploads.get_mut(&upload) else { return gone() };
                parts.insert(number, body.to_vec());
                response(200, vec![("etag", format!("\"{upload}-{number}\""))], Vec::new())
            }
            Method::Post => {
                if self.refuses(call) {
                    return response(412, Vec::new(), Vec::new());
                }
                let Some(parts) = self.uploads.remove(&upload) else { return gone() };
                let document = String::from_utf8(body.to_vec()).unwrap();
                for number in 1..=parts.len() {
                    let part =
                        format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{upload}-{number}\"</ETag></Part>");
                    assert!(document.contains(&part), "{document}");
                }
                self.object = Some(parts.into_values().flatten().collect());
                response(200, Vec::new(), b"<CompleteMultipartUploadResult/>".to_vec())
            }
            Method::Delete => match self.uploads.remove(&upload) {
                Some(_) => response(204, Vec::new(), Vec::new()),
                None => gone(),
            },
            Method::Head => response(if self.object.is_some() { 200 } else { 404 }, Vec::new(), Vec::new()),
            Method::Get => panic!("no fill reads the store"),
        }
    }
}

impl World {
    /// Tells if the condition of a write fails. A write without one overwrites, as at any store.
    fn refuses(&self, call: &Call) -> bool {
        let conditions = ["if-none-match", "x-oss-forbid-overwrite"];
        let conditional = call.request.headers.iter().any(|(name, _)| conditions.contains(name));
        conditional && (self.object.is_some() || self.is_directory)
    }
}

fn response(status: u16, headers: Vec<(&str, String)>, body: Vec<u8>) -> Response {
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    Response { status, headers: Headers::new(headers), body }
}

/// `GET 4-7`, `CREATE`, `PART 2`, `COMPLETE`, `ABORT`, `HEAD`, `PUT`.
fn name(call: &Call) -> String {
    let Request { method, path, headers, .. } = &call.request;
    let query = path.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let range = headers.iter().find(|(name, _)| *name == "range").map(|(_, range)| range.replace("bytes=", ""));
    match method {
        Method::Get => format!("GET {}", range.unwrap_or_default()),
        Method::Head => "HEAD".to_owned(),
        Method::Post if query == "uploads=" => "CREATE".to_owned(),
        Method::Post => "COMPLETE".to_owned(),
        Method::Put if query.is_empty() => "PUT".to_owned(),
        Method::Put => format!("PART {}", query.trim_start_matches("partNumber=").split('&').next().unwrap()),
        Method::Delete => "ABORT".to_owned(),
    }
}

const PLENTY: u64 = 1000;
/// The object of another writer.
const THEIRS: &[u8] = b"theirs";

#[test]
fn objects_of_every_length_arrive_whole_in_whatever_order_the_answers_come() {
    for length in [5, 7, 8, 9, 12, 13, 40, 41] {
        for seed in 0..50 {
            let mut world = World::new(length, seed, &[]);
            assert_eq!(world.run(PLENTY), Outcome::Stored, "{length} {seed}");
            assert_eq!(world.object.as_ref(), Some(&world.content), "{length} {seed}");
            assert!(world.uploads.is_empty());
            assert_eq!(world.progress, length as u64);
        }
    }
}

#[test]
fn an_object_arrives_whole_though_the_urls_that_its_origin_signs_expire_again_and_again() {
    for good_for in 3..=5 {
        for seed in 0..100 {
            let mut world = World::new(41, seed, &[]);
            world.signed_for = Some(good_for);
            assert_eq!(world.run(PLENTY), Outcome::Stored, "{good_for} {seed}: {:?}", world.calls);
            assert_eq!(world.object.as_ref(), Some(&world.content), "{good_for} {seed}");
            assert!(world.uploads.is_empty() && world.signed.len() > 2, "{:?}", world.signed);
        }
    }
}

#[test]
fn each_byte_is_asked_for_once_and_the_first_range_is_the_first_part() {
    let mut world = World::new(13, 1, &[]);
    world.run(PLENTY);
    let mut calls = world.calls.clone();
    assert_eq!(calls[..3], ["GET 0-3", "CREATE", "PART 1"]);
    assert_eq!(calls.last().unwrap(), "COMPLETE");
    calls.sort();
    assert_eq!(
        calls,
        ["COMPLETE", "CREATE", "GET 0-3", "GET 12-12", "GET 4-7", "GET 8-11", "PART 1", "PART 2", "PART 3", "PART 4"]
    );
}

#[test]
fn each_byte_of_an_object_of_just_one_part_crosses_once() {
    let mut world = World::new(4, 1, &[]);
    assert_eq!(world.run(PLENTY), Outcome::Stored);
    assert_eq!(world.calls, ["GET 0-3", "HEAD", "PUT"]);
    assert_eq!(world.object.as_ref(), Some(&world.content));
    assert_eq!(world.most_memory, PART);
}

#[test]
fn the_window_holds_three_parts_and_less_where_memory_is_short() {
    for (spare, parts) in [(PLENTY, 3), (3 * PART, 3), (3 * PART - 1, 2), (PART, 1), (0, 1)] {
        for seed in 0..20 {
            let mut world = World::new(60, seed, &[]);
            assert_eq!(world.run(spare), Outcome::Stored);
            assert_eq!((world.most_memory, world.most_under_way as u64), (parts * PART, parts), "{spare}");
        }
    }
}

#[test]
fn a_fault_at_any_step_leaves_no_upload_and_either_the_whole_object_or_none() {
    const FAULTS: [Fault; 6] = [
        Fault::Lost,
        Fault::LostAnswer,
        Fault::Status(503),
        Fault::Status(504),
        Fault::Status(403),
        Fault::Status(409),
    ];
    for calls in ["GET 0-3", "GET 4-7", "GET 12-12", "CREATE", "PART 1", "PART 2", "PART 4", "COMPLETE"] {
        for fault in FAULTS {
            for times in [1, 2, 3, 100] {
                for seed in 0..10 {
                    let strike = Strike { calls, fault, times };
                    let mut world = World::new(13, seed, &[strike]);
                    let outcome = world.run(PLENTY);
                    let context = format!("{strike:?} {seed}: {outcome:?} {:?}", world.calls);
                    // Nobody was told the name of an upload whose creation was not answered.
                    let nameless = calls == "CREATE" && fault == Fault::LostAnswer;
                    assert_eq!(world.uploads.len(), usize::from(nameless), "{context}");
                    assert!(world.object.is_none() || world.object.as_ref() == Some(&world.content), "{context}");
                    assert!(outcome != Outcome::Stored || world.object.is_some(), "{context}");
                    assert!(!matches!(outcome, Outcome::Broken(_)), "{context}");
                    assert_eq!(world.warnings, [], "{context}");
                }
            }
        }
    }
}

#[test]
fn a_wait_that_is_given_up_disturbs_nothing_that_follows() {
    let busy = Strike { calls: "PART 1", fault: Fault::Status(503), times: 1 };
    for fault in [Fault::Status(403), Fault::Status(412), Fault::Lost] {
        for seed in 0..200 {
            let broken = Strike { calls: "GET 4-7", fault, times: 1 };
            let mut world = World::new(13, seed, &[busy, broken]);
            let outcome = world.run(PLENTY);
            assert!(!matches!(outcome, Outcome::Broken(_)), "{fault:?} {seed}: {:?}", world.calls);
            assert!(world.uploads.is_empty(), "{fault:?} {seed}: {:?}", world.calls);
        }
    }
}

#[test]
fn a_passing_fault_of_a_part_or_of_the_completion_is_outlasted() {
    for calls in ["GET 4-7", "PART 1", "PART 3", "COMPLETE"] {
        for fault in [Fault::Lost, Fault::LostAnswer, Fault::Status(503)] {
            let mut world = World::new(13, 3, &[Strike { calls, fault, times: 2 }]);
            assert_eq!(world.run(PLENTY), Outcome::Stored, "{calls} {fault:?}: {:?}", world.calls);
        }
    }
}

#[test]
fn an_abortion_is_repeated_until_the_upload_is_gone_and_its_failure_is_told() {
    let broken = Strike { calls: "PART 2", fault: Fault::Status(403), times: 100 };
    for (fault, times, left) in [(Fault::Lost, 5, 0), (Fault::Status(503), 7, 0), (Fault::Status(503), 100, 1)] {
        let mut world = World::new(13, 3, &[broken, Strike { calls: "ABORT", fault, times }]);
        assert_eq!(world.run(PLENTY), Outcome::NotStored { object: None, status: 403 });
        let warnings = if left == 0 { &[][..] } else { &[Warning::CannotAbort] };
        assert_eq!((world.uploads.len(), world.warnings.as_slice()), (left, warnings), "{fault:?} {times}");
    }
}

#[test]
fn an_object_that_changes_under_the_fill_is_never_stored_mixed() {
    for after in 1..12 {
        for seed in 0..50 {
            let mut world = World::new(13, seed, &[]);
            world.replaced_after = Some(after);
            let before = world.content.clone();
            assert_eq!(world.run(PLENTY), Outcome::Stored, "{after} {seed}: {:?}", world.calls);
            let object = world.object.clone().unwrap();
            assert!(object == before || object == world.content, "{after} {seed}: {}", object.escape_ascii());
            assert!(world.uploads.is_empty());
        }
    }
}

/// `Repr-Digest` of the first so many letters of the alphabet.
const DIGESTS: [(usize, &str); 3] = [
    (5, "sha-256=:NrvlDtloQdEEQ7y2cNZVTwo0t2G+Z+ycSorSwMRMpCw=:"),
    (12, "sha-256=:1oLtTKTZicE07JTxVR4exYDdbVpuzenz015uSnF/veQ=:"),
    (13, "sha-256=:/xAwTxryNgbt4eLYq83JTCKQR6YUWNgJ2LvVPt4fZZg=:"),
];

#[test]
fn parts_are_compared_with_what_was_announced_in_whatever_order_they_come() {
    for (length, digest) in DIGESTS {
        for seed in 0..50 {
            for strikes in [&[][..], &[Strike { calls: "PART 1", fault: Fault::Status(503), times: 2 }]] {
                let mut world = World::new(length, seed, strikes);
                world.digest = Some(digest.to_owned());
                assert_eq!(world.run(PLENTY), Outcome::Stored, "{length} {seed}: {:?}", world.calls);
                assert_eq!(world.object.as_ref(), Some(&world.content), "{length} {seed}");
                assert!(world.most_memory <= 3 * PART);
            }
        }
    }
}

#[test]
fn parts_that_contradict_what_was_announced_are_never_completed() {
    for (length, _) in DIGESTS {
        for (spare, seed) in [PLENTY, 0].into_iter().flat_map(|spare| (0..50).map(move |seed| (spare, seed))) {
            let mut world = World::new(length, seed, &[]);
            world.digest = Some("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:".to_owned());
            assert_eq!(world.run(spare), Outcome::Corrupt("repr-digest"), "{length} {seed}: {:?}", world.calls);
            assert!(world.object.is_none() && world.uploads.is_empty(), "{length} {seed}: {:?}", world.calls);
            assert!(!world.calls.contains(&"COMPLETE".to_owned()), "{length} {seed}: {:?}", world.calls);
        }
    }
}

#[test]
fn parts_ahead_of_a_late_one_wait_in_the_window_to_be_compared() {
    let late = Strike { calls: "GET 4-7", fault: Fault::Status(503), times: 2 };
    let any = Some("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:".to_owned());
    for (digest, most) in [(None, 8), (any, 2)] {
        let ahead = (0..100).map(|seed| {
            let mut world = World::new(40, seed, &[late]);
            world.digest = digest.clone();
            world.run(PLENTY);
            assert!(world.most_memory <= 3 * PART);
            let came = world.calls.iter().rposition(|call| call == "GET 4-7").unwrap();
            let others = |call: &&String| call.starts_with("GET ") && !matches!(call.as_str(), "GET 0-3" | "GET 4-7");
            world.calls[..came].iter().filter(others).count()
        });
        assert_eq!(ahead.max(), Some(most), "{digest:?}");
    }
}

#[test]
fn an_object_that_changes_twice_fails_cleanly() {
    let changed = Strike { calls: "GET 4-7", fault: Fault::Status(416), times: 2 };
    let mut world = World::new(13, 3, &[changed]);
    assert_eq!(world.run(PLENTY), Outcome::OriginUnavailable("the object changed twice while it was fetched"));
    assert!(world.uploads.is_empty() && world.object.is_none());
    assert_eq!(world.created, 2, "it began once again");
}

#[test]
fn an_object_that_changes_twice_is_asked_of_the_next_origin_which_may_begin_again_once_too() {
    for (times, created) in [(2, 3), (3, 4)] {
        let changed = Strike { calls: "GET 4-7", fault: Fault::Status(416), times };
        let mut world = World::with_origins(2, Overwrite::Conditional, 13, 3, &[changed]);
        assert_eq!(world.run(PLENTY), Outcome::Stored, "{times}: {:?}", world.calls);
        assert_eq!((world.created, world.uploads.len()), (created, 0), "{times}");
    }
}

#[test]
fn an_origin_that_gives_short_ranges_is_asked_for_more_of_them_and_the_parts_stay_as_long() {
    for (cap, length) in [(1, 13), (2, 13), (3, 13), (3, 5), (4, 13), (3, 40)] {
        for seed in 0..20 {
            let mut world = World::new(length, seed, &[]);
            world.cap = cap;
            assert_eq!(world.run(PLENTY), Outcome::Stored, "{cap} {length}: {:?}", world.calls);
            assert_eq!(world.object.as_ref(), Some(&world.content), "{cap} {length}");
            let parts = world.calls.iter().filter(|call| call.starts_with("PART")).count();
            assert_eq!(parts, length.div_ceil(4), "{cap} {length}: {:?}", world.calls);
            let ranges = world.calls.iter().filter_map(|call| call.strip_prefix("GET ")?.split_once('-'));
            let lengths =
                ranges.map(|(first, last)| last.parse::<usize>().unwrap() + 1 - first.parse::<usize>().unwrap());
            assert!(lengths.skip(1).all(|length| length <= cap), "{cap} {length}: {:?}", world.calls);
            assert!(world.most_memory <= 3 * PART);
        }
    }
}

#[test]
fn an_origin_that_denies_its_own_etag_is_asked_without_it_and_its_validators_still_count() {
    for seed in 0..20 {
        let mut world = World::new(41, seed, &[]);
        world.denies_itself = true;
        assert_eq!(world.run(PLENTY), Outcome::Stored, "{:?}", world.calls);
        assert_eq!((world.object.as_ref(), world.created), (Some(&world.content), 1));
    }
    for after in 4..12 {
        let mut world = World::new(41, 3, &[]);
        world.denies_itself = true;
        world.replaced_after = Some(after);
        let before = world.content.clone();
        assert_eq!(world.run(PLENTY), Outcome::Stored, "{after}: {:?}", world.calls);
        let object = world.object.clone().unwrap();
        assert!(object == before || object == world.content, "{after}: {}", object.escape_ascii());
    }
}

#[test]
fn a_busy_origin_is_outlasted_in_a_later_part_too() {
    for status in [408, 425, 429, 500, 503, 504] {
        let mut world = World::new(13, 3, &[Strike { calls: "GET 4-7", fault: Fault::Status(status), times: 2 }]);
        assert_eq!(world.run(PLENTY), Outcome::Stored, "{status}: {:?}", world.calls);
    }
}

#[test]
fn an_object_that_somebody_else_stored_meanwhile_stays_and_the_upload_goes() {
    let mut world = World::new(13, 3, &[]);
    world.object = Some(b"theirs".to_vec());
    assert_eq!(world.run(PLENTY), Outcome::Exists);
    assert_eq!(world.object.as_deref(), Some(&b"theirs"[..]));
    assert!(world.uploads.is_empty());
}

/// The settings against overwriting.
const OVERWRITES: [Overwrite; 3] =
    [Overwrite::Conditional, Overwrite::Forbidden("x-oss-forbid-overwrite"), Overwrite::HeadFirst];

#[test]
fn an_object_that_is_there_is_never_overwritten_whatever_fails() {
    for overwrite in OVERWRITES {
        for (length, write) in [(3, "PUT"), (13, "COMPLETE")] {
            for calls in ["HEAD", write] {
                for fault in [Fault::Lost, Fault::Status(503), Fault::Status(403), Fault::Status(409)] {
                    for (times, seed) in
                        [1, 2, 3, 100].into_iter().flat_map(|times| (0..5).map(move |seed| (times, seed)))
                    {
                        let mut world = World::with(overwrite, length, seed, &[Strike { calls, fault, times }]);
                        world.object = Some(THEIRS.to_vec());
                        let outcome = world.run(PLENTY);
                        let context = format!("{overwrite:?} {calls} {fault:?} {times}: {outcome:?} {:?}", world.calls);
                        assert_eq!(world.object.as_deref(), Some(THEIRS), "{context}");
                        assert!(world.uploads.is_empty(), "{context}");
                        let told = matches!(outcome, Outcome::Exists | Outcome::Stored | Outcome::NotStored { .. });
                        assert!(told, "{context}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_rival_at_any_moment_leaves_one_whole_object() {
    let faults = [Fault::Lost, Fault::LostAnswer].map(|fault| (0..=3).map(move |times| (fault, times)));
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    for overwrite in OVERWRITES {
        for (length, calls) in [(3, "PUT"), (13, "COMPLETE")] {
            for (after, ends_uploads) in (0..14).flat_map(|after| [(after, false), (after, true)]) {
                for ((fault, times), seed) in faults.iter().flat_map(|fault| (0..5).map(move |seed| (*fault, seed))) {
                    let mut world = World::with(overwrite, length, seed, &[Strike { calls, fault, times }]);
                    (world.rival_after, world.ends_uploads) = (Some(after), ends_uploads);
                    let outcome = world.run(PLENTY);
                    let context = format!("{overwrite:?} {after} {fault:?} {times}: {outcome:?} {:?}", world.calls);
                    let ours = world.object.as_ref() == Some(&world.content);
                    let theirs = world.object.as_deref() == Some(THEIRS);
                    match outcome {
                        Outcome::Exists => assert!(theirs, "{context}"),
                        Outcome::Stored => assert!(ours || theirs, "{context}"),
                        _ => assert!(world.object.is_none(), "{context}"),
                    }
                    assert!(world.uploads.is_empty(), "{context}");
                }
            }
        }
    }
}

#[test]
fn a_store_that_cannot_hold_the_key_is_not_believed() {
    for overwrite in [Overwrite::Conditional, Overwrite::Forbidden("x-oss-forbid-overwrite")] {
        for length in [3, 13] {
            let mut world = World::with(overwrite, length, 3, &[]);
            world.is_directory = true;
            assert!(matches!(world.run(PLENTY), Outcome::NotStored { status: 412, .. }), "{:?}", world.calls);
            assert_eq!((world.warnings.as_slice(), world.uploads.len()), (&[Warning::CannotHold][..], 0));
        }
    }
}

#[test]
fn a_completion_in_conflict_begins_one_more_upload_and_no_third() {
    for (times, stored) in [(1, true), (2, false), (100, false)] {
        for seed in 0..20 {
            let mut world = World::new(13, seed, &[Strike { calls: "COMPLETE", fault: Fault::Status(409), times }]);
            let outcome = world.run(PLENTY);
            let context = format!("{times} {seed}: {outcome:?} {:?}", world.calls);
            assert_eq!((outcome == Outcome::Stored, world.created), (stored, 2), "{context}");
            assert_eq!((world.object.is_some(), world.uploads.len()), (stored, 0), "{context}");
        }
    }
}

#[test]
fn a_completion_whose_answer_was_lost_is_proved_before_it_is_reported() {
    let mut world = World::new(13, 3, &[Strike { calls: "COMPLETE", fault: Fault::LostAnswer, times: 1 }]);
    // This store forgets the upload, and does not compare: the second completion finds nothing.
    assert_eq!(world.run(PLENTY), Outcome::Stored);
    assert_eq!(world.object.as_ref(), Some(&world.content));
}
