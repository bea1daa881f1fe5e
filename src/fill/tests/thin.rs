//! Thin lines, in virtual time: calls of several fills share a line, and end when their time is over.

use super::*;
use std::collections::BTreeSet;

const MIB: u64 = 1024 * 1024;

/// Megabits a second, in bytes.
const MBIT: f64 = 1_000_000.0 / 8.0;

/// Fills of one worker, with what is between them and their servers.
struct Lines {
    fills: Vec<Fill>,
    spare: u64,
    /// The length of each object.
    total: u64,
    /// Bytes a second from the origin, and to the store.
    rates: [f64; 2],
    now: f64,
    under_way: Vec<UnderWay>,
    /// The fills that wait, and until when.
    waits: Vec<(usize, f64)>,
    ends: Vec<Outcome>,
    /// Parts that the store has, by fill.
    stored: BTreeSet<(usize, String)>,
    sent: u64,
    most_stored_at_once: usize,
}

struct UnderWay {
    fill: usize,
    call: Call,
    left: f64,
    /// 0 from the origin, 1 to the store.
    line: usize,
    due: f64,
}

impl Lines {
    fn run(fills: usize, total: u64, rates: [f64; 2], limits: serde_json::Value) -> Self {
        Self::run_with(64 * MIB, fills, total, rates, limits)
    }

    /// With so many spare bytes for each.
    fn run_with(spare: u64, fills: usize, total: u64, rates: [f64; 2], limits: serde_json::Value) -> Self {
        let config = serde_json::json!({
            "bucket": {"cluster": "store", "authority": "s3", "path_prefix": "/b"},
            "origin": {"cluster": "origin", "authority": "o"}, "limits": limits});
        let config = Config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
        let mirror = config.rules[0].mirror.clone().unwrap();
        let mut lines = Self {
            fills: Vec::new(),
            spare,
            total,
            rates,
            now: 0.0,
            under_way: Vec::new(),
            waits: Vec::new(),
            ends: Vec::new(),
            stored: BTreeSet::new(),
            sent: 0,
            most_stored_at_once: 0,
        };
        for fill in 0..fills {
            let mut machine = Fill::new(&config, request(&format!("k{fill}"), mirror.clone(), false), fill as u64);
            if rates[0] < rates[1] {
                // Where the origin is known to be slow.
                machine.expect(config.limits.first_range);
            }
            lines.fills.push(machine);
            lines.give(fill, Input::Start);
        }
        for _ in 0..10_000 {
            if lines.under_way.is_empty() && lines.waits.is_empty() {
                return lines;
            }
            lines.step();
        }
        panic!("they do not end");
    }

    fn give(&mut self, fill: usize, input: Input) {
        let actions = self.fills[fill].handle(input, self.spare, Duration::from_secs_f64(self.now));
        for action in actions {
            match action {
                Action::Call(call) => {
                    let line = usize::from(call.to.cluster == "store");
                    let bytes = if line == 0 { self.range(&call).1 } else { call.request.body.len() as u64 };
                    self.sent += if line == 1 { bytes } else { 0 };
                    let due = self.now + call.timeout.as_secs_f64();
                    self.under_way.push(UnderWay { fill, call, left: bytes as f64, line, due });
                }
                Action::Wait(wait) => self.waits.push((fill, self.now + wait.as_secs_f64())),
                Action::Done(outcome) => self.ends.push(outcome),
                _ => {}
            }
        }
        let stored = self.under_way.iter().filter(|under_way| under_way.line == 1).count();
        self.most_stored_at_once = self.most_stored_at_once.max(stored);
    }

    /// The first byte of a call's range, and its length.
    fn range(&self, call: &Call) -> (u64, u64) {
        let (_, value) = call.request.headers.iter().find(|(name, _)| *name == "range").unwrap();
        let (first, last) = value.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
        (first, last.min(self.total - 1) + 1 - first)
    }

    /// Goes on to the next end of a call, or of its time, or of a wait.
    fn step(&mut self) {
        let share = |line: usize| {
            let calls = self.under_way.iter().filter(|under_way| under_way.line == line && under_way.left > 0.0);
            self.rates[line] / calls.count().max(1) as f64
        };
        let shares = [share(0), share(1)];
        let ends = |of: &UnderWay| (self.now + of.left / shares[of.line]).min(of.due);
        let calls = self.under_way.iter().map(ends);
        let next = calls.chain(self.waits.iter().map(|(_, until)| *until)).fold(f64::INFINITY, f64::min);
        let passed = next - self.now;
        self.now = next;
        for under_way in &mut self.under_way {
            under_way.left = (under_way.left - passed * shares[under_way.line]).max(0.0);
        }
        if let Some(at) = self.waits.iter().position(|(_, until)| *until <= next) {
            let (fill, _) = self.waits.remove(at);
            return self.give(fill, Input::Deadline);
        }
        let ended = |of: &UnderWay| of.left < 1.0 || of.due <= next;
        let at = self.under_way.iter().position(ended).unwrap();
        let UnderWay { fill, call, left, .. } = self.under_way.remove(at);
        let response = if left < 1.0 { self.answer(fill, &call) } else { Response::timed_out() };
        self.give(fill, Input::Response { call: call.id, response });
    }

    fn answer(&mut self, fill: usize, call: &Call) -> Response {
        let made = |status, headers: Vec<(&str, String)>, body| {
            let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
            Response { status, headers: Headers::new(headers), body }
        };
        let etag = || ("etag", "\"e\"".to_owned());
        if call.to.cluster == "origin" {
            let (first, length) = self.range(call);
            let range = format!("bytes {first}-{}/{}", first + length - 1, self.total);
            return made(206, vec![("content-range", range), etag()], vec![0; usize::try_from(length).unwrap()]);
        }
        let body: &[u8] = match call.request.method {
            Method::Post if call.request.path.ends_with("?uploads=") => b"<UploadId>u</UploadId>",
            Method::Post => b"<CompleteMultipartUploadResult/>",
            Method::Head => return made(404, Vec::new(), Vec::new()),
            _ => {
                self.stored.insert((fill, call.request.path.clone()));
                b""
            }
        };
        made(200, vec![etag()], body.to_vec())
    }

    /// Everything was stored, with that much more than its bytes sent to the store.
    fn assert_stored(&self, more: f64) {
        let bytes = self.total * self.fills.len() as u64;
        assert!(self.ends.iter().all(|end| *end == Outcome::Stored), "{:?}", self.ends);
        assert_eq!(self.ends.len(), self.fills.len());
        let parts = self.total.div_ceil(6 * MIB);
        assert_eq!(self.stored.len() as u64, parts * self.fills.len() as u64);
        let most = bytes as f64 * more + 100_000.0;
        assert!((self.sent as f64) < most, "{} bytes were sent for {bytes}", self.sent);
    }
}

#[test]
fn a_thin_uplink_stores_a_large_object_and_carries_each_byte_once() {
    for mbit in [1.0, 5.0, 50.0] {
        let lines = Lines::run(1, 40 * MIB, [1_000.0 * MBIT, mbit * MBIT], serde_json::json!({}));
        lines.assert_stored(1.0);
        let ideal = 40.0 * MIB as f64 / (mbit * MBIT);
        assert!(lines.now < ideal * 1.15 + 1.0, "{} s at {mbit} Mbit/s, which takes {ideal} s", lines.now);
    }
}

#[test]
fn ten_large_objects_share_a_thin_uplink() {
    // Admission gives each of ten one part, and a few of them three.
    for (fills, spare, more) in [(10, 0, 1.0), (3, 64 * MIB, 1.0), (10, 64 * MIB, 2.0)] {
        let lines = Lines::run_with(spare, fills, 40 * MIB, [1_000.0 * MBIT, 5.0 * MBIT], serde_json::json!({}));
        lines.assert_stored(more);
    }
}

#[test]
fn fewer_parts_are_on_their_way_over_a_thin_line_and_as_many_as_may_over_another() {
    let wide = Lines::run(1, 100 * MIB, [1_000.0 * MBIT, 100.0 * MBIT], serde_json::json!({"parts_in_flight": 16}));
    let thin = Lines::run(1, 100 * MIB, [1_000.0 * MBIT, 1.0 * MBIT], serde_json::json!({"parts_in_flight": 16}));
    assert!(wide.most_stored_at_once > 8, "{}", wide.most_stored_at_once);
    thin.assert_stored(2.1);
    wide.assert_stored(1.0);
}

#[test]
fn a_thin_line_from_the_origin_is_asked_for_less_at_once() {
    for (total, mbit) in [(40 * MIB, 1.0), (40 * MIB, 0.3), (5 * MIB, 1.0)] {
        let lines = Lines::run(1, total, [mbit * MBIT, 1_000.0 * MBIT], serde_json::json!({}));
        lines.assert_stored(1.0);
    }
}

#[test]
fn a_small_object_over_a_thin_uplink_is_stored_with_one_put() {
    Lines::run(1, 6 * MIB - 1, [1_000.0 * MBIT, MBIT], serde_json::json!({})).assert_stored(1.0);
}

#[test]
fn the_slowest_rate_is_a_setting() {
    let lines = Lines::run(1, 6 * MIB - 1, [1_000.0 * MBIT, MBIT], serde_json::json!({"min_rate": "1MiB"}));
    assert!(matches!(lines.ends[..], [Outcome::NotStored { status: 504, .. }]), "{:?}", lines.ends);
}
