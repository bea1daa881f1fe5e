//! One to sixteen workers that race for one table.
//!
//! Where a worker writes to the table, others that have something to do may overtake it, and others these. So what one does falls
//! between another's read and its write, at each place where it can. Time is virtual, and a seed chooses the order.
//!
//! `cargo test contention -- --nocapture` prints the table of docs/performance-appendix.md.

use super::*;
use crate::fill::Call;
use crate::http::Method;
use crate::single_flight::leases::SETS;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const WORKERS: [usize; 5] = [1, 2, 4, 8, 16];
const SEEDS: u64 = 8;
const MILLISECOND: Duration = Duration::from_millis(1);

/// The time by which each client has its answer: `wait`, and the shortest tick.
const WAIT: Duration = Duration::from_millis(25_001);

/// The workers, their clients, and all that they share.
struct Crowd {
    start: Instant,
    now: Cell<Instant>,
    random: Cell<u64>,
    workers: Vec<RefCell<Flights>>,
    mirror: Rc<Mirror>,
    /// What each worker has to do now, and is told later.
    todo: RefCell<Vec<VecDeque<Event>>>,
    later: RefCell<BTreeMap<(Instant, u32), (usize, Event)>>,
    /// The number of what is told next.
    next: Cell<u32>,
    /// The bucket takes no object.
    refuses: Cell<bool>,
    /// The worker that is dead, if one is.
    dead: Cell<Option<usize>>,
    table: RefCell<BTreeMap<u32, (Vec<u8>, u32)>>,
    /// Fetches of each key, and keys that are stored.
    fetched: RefCell<BTreeMap<String, u32>>,
    stored: RefCell<BTreeSet<String>>,
    /// Clients that wait, with their worker and the time since which they do.
    waiting: RefCell<BTreeMap<u32, (usize, Instant)>>,
    counts: RefCell<Counts>,
    /// Races that each worker has lost in a row, in what it does now.
    lost_in_a_row: RefCell<Vec<u32>>,
}

/// Something that happens to a worker.
enum Event {
    Answered(Ticket, Box<Call>),
    Dies,
    Hears(Vec<u8>),
    Joins { stream: u32, key: String },
    Ticks,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    asked: u32,
    fetched: u32,
    /// Writes to the table, and those of them that another worker came before.
    writes: u32,
    lost: u32,
    /// The most of these in a row, of one worker in what it does.
    most_lost: u32,
    messages: u32,
}

/// The table and the queues, as one worker sees them.
struct Shared<'a> {
    crowd: &'a Crowd,
    me: usize,
}

impl SharedHost for Shared<'_> {
    fn nanos(&self) -> u64 {
        1 << 60 | u64::try_from((self.crowd.now.get() - self.crowd.start).as_nanos()).unwrap()
    }

    fn read(&self, set: u32) -> Option<(Vec<u8>, u32)> {
        Some(self.crowd.table.borrow().get(&set).cloned().unwrap_or((Vec::new(), 1)))
    }

    fn write(&self, set: u32, content: &[u8], version: u32) -> bool {
        let crowd = self.crowd;
        crowd.overtake();
        let mut table = crowd.table.borrow_mut();
        let current = table.get(&set).map_or(1, |(_, version)| *version);
        let has_won = current == version;
        if has_won {
            table.insert(set, (content.to_vec(), version + 1));
        }
        crowd.count_write(self.me, has_won);
        has_won
    }

    fn post(&self, queue: u32, message: &[u8]) {
        self.crowd.counts.borrow_mut().messages += 1;
        self.crowd.todo.borrow_mut()[queue as usize].push_back(Event::Hears(message.to_vec()));
    }
}

impl Crowd {
    fn new(workers: usize, seed: u64) -> Self {
        let config = serde_json::json!({
            "bucket": {"cluster": "signer", "authority": "s3.example.com", "path_prefix": "/b"},
            "origin": {"cluster": "origin", "authority": "files.example.com"}});
        let config = Rc::new(Config::parse(config.to_string().as_bytes(), &|_| None).unwrap());
        let start = Instant::now();
        let flights = |me: usize| Flights::new(config.clone(), Leases::new(&config, 0, me as u32), me as u64);
        Self {
            start,
            now: Cell::new(start),
            random: Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            workers: (0..workers).map(|me| RefCell::new(flights(me))).collect(),
            mirror: config.rules[0].mirror.clone().unwrap(),
            todo: RefCell::new((0..workers).map(|_| VecDeque::new()).collect()),
            later: RefCell::default(),
            next: Cell::default(),
            refuses: Cell::default(),
            dead: Cell::default(),
            table: RefCell::default(),
            fetched: RefCell::default(),
            stored: RefCell::default(),
            waiting: RefCell::default(),
            counts: RefCell::default(),
            lost_in_a_row: RefCell::new(vec![0; workers]),
        }
    }

    /// Has a client of each of these workers ask for each of these keys, all after the same time and in any order.
    fn ask(&self, workers: Range<usize>, keys: &[String], after: Duration) {
        let mut clients: Vec<_> = workers.flat_map(|worker| keys.iter().map(move |key| (worker, key))).collect();
        while !clients.is_empty() {
            let (worker, key) = clients.swap_remove(self.draw(clients.len()));
            let stream = self.next.get();
            self.after(after, worker, Event::Joins { stream, key: key.clone() });
        }
    }

    fn after(&self, time: Duration, worker: usize, event: Event) {
        let number = self.next.replace(self.next.get() + 1);
        self.later.borrow_mut().insert((self.now.get() + time, number), (worker, event));
    }

    /// Plays it to its end.
    fn play(&self) {
        let mut ticked: Vec<Option<Instant>> = vec![None; self.workers.len()];
        for _ in 0..1_000_000 {
            let now = self.now.get();
            while let Some((worker, event)) = self.take_due(now) {
                self.todo.borrow_mut()[worker].push_back(event);
            }
            let mut next = self.later.borrow().keys().next().map(|(at, _)| *at);
            for (worker, flights) in self.workers.iter().enumerate() {
                if self.dead.get() == Some(worker) {
                    continue;
                }
                let Some(deadline) = flights.borrow().next_deadline() else { continue };
                let at = ticked[worker].map_or(deadline, |last| deadline.max(last + MILLISECOND));
                if at <= now {
                    ticked[worker] = Some(now);
                    self.todo.borrow_mut()[worker].push_back(Event::Ticks);
                } else {
                    advance_to(&mut next, at);
                }
            }
            if self.some_worker_does_something() {
                continue;
            }
            match next {
                Some(next) => self.now.set(next),
                None => return,
            }
        }
        panic!("it never ends");
    }

    fn take_due(&self, now: Instant) -> Option<(usize, Event)> {
        let mut later = self.later.borrow_mut();
        later.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove())
    }

    /// Lets others do something, half of the times.
    fn overtake(&self) {
        while self.draw(2) == 0 && self.some_worker_does_something() {}
    }

    /// Has one of the workers that are free do the next thing that it has to. `false` if there is none.
    fn some_worker_does_something(&self) -> bool {
        let has_work = |worker: &usize| !self.todo.borrow()[*worker].is_empty();
        let is_free = |worker: &usize| self.workers[*worker].try_borrow_mut().is_ok();
        let ready: Vec<usize> = (0..self.workers.len()).filter(has_work).filter(is_free).collect();
        let Some(worker) = ready.get(self.draw(ready.len().max(1))).copied() else { return false };
        let event = self.todo.borrow_mut()[worker].pop_front().unwrap();
        self.happens(worker, event);
        true
    }

    fn happens(&self, worker: usize, event: Event) {
        if self.dead.get() == Some(worker) {
            return;
        }
        self.lost_in_a_row.borrow_mut()[worker] = 0;
        let (shared, now) = (Shared { crowd: self, me: worker }, self.now.get());
        let mut flights = self.workers[worker].borrow_mut();
        let effects = match event {
            Event::Answered(ticket, call) => {
                let response = self.response(&call);
                flights.finish_call(ticket, Some(response), 0, now, &shared)
            }
            Event::Dies => {
                self.dead.set(Some(worker));
                self.waiting.borrow_mut().retain(|_, (of, _)| *of != worker);
                return;
            }
            Event::Hears(message) => flights.receive(Message::decode(&message).unwrap(), now, &shared),
            Event::Joins { stream, key } => {
                self.counts.borrow_mut().asked += 1;
                assert!(self.waiting.borrow_mut().insert(stream, (worker, now)).is_none());
                let request = FillRequest {
                    fill_key: fill_key(&key),
                    mirror: self.mirror.clone(),
                    then: Vec::new(),
                    check: false,
                    part: false,
                    store: true,
                };
                flights.join(join(stream, &|| shared.nanos(), &request, &Trace::default()), now, &shared)
            }
            Event::Ticks => flights.tick(now, &shared),
        };
        for effect in effects {
            self.perform(worker, effect);
        }
    }

    fn perform(&self, worker: usize, effect: Effect) {
        match effect {
            Effect::Answer { streams, outcome, .. } => {
                for stream in streams {
                    let (_, since) = self.waiting.borrow_mut().remove(&stream.0).expect("a client that waits");
                    assert!(self.now.get() - since <= WAIT);
                    let is_stored = matches!(outcome, Outcome::Stored | Outcome::Exists);
                    assert_eq!(is_stored, !self.refuses.get(), "{outcome:?}");
                }
            }
            Effect::Call { ticket, call } => {
                if call.request.method == Method::Get {
                    let key = call.request.path.trim_start_matches('/').to_owned();
                    *self.fetched.borrow_mut().entry(key).or_default() += 1;
                }
                let milliseconds = self.draw(200) as u32;
                self.after(MILLISECOND * milliseconds, worker, Event::Answered(ticket, Box::new(call)));
            }
            _ => {}
        }
    }

    /// The answer of an origin, or of a bucket that takes an object once.
    fn response(&self, call: &Call) -> Response {
        let status = match call.request.method {
            Method::Put if self.refuses.get() => 403,
            Method::Put if !self.stored.borrow_mut().insert(call.request.path.clone()) => 412,
            _ => 200,
        };
        let headers = Headers::new(vec![("content-length".to_owned(), b"5".to_vec())]);
        Response { status, headers, body: b"hello".to_vec() }
    }

    fn count_write(&self, worker: usize, has_won: bool) {
        let (mut counts, mut in_a_row) = (self.counts.borrow_mut(), self.lost_in_a_row.borrow_mut());
        let lost = &mut in_a_row[worker];
        *lost = if has_won { 0 } else { *lost + 1 };
        counts.writes += 1;
        counts.lost += u32::from(!has_won);
        counts.most_lost = counts.most_lost.max(*lost);
    }

    fn draw(&self, below: usize) -> usize {
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        (random >> 33) as usize % below
    }
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("key-{number}")).collect()
}

/// Keys whose facts stand in one set.
fn keys_of_one_set(count: usize) -> Vec<String> {
    let crowd = Crowd::new(1, 1);
    let flights = crowd.workers[0].borrow();
    let is_there = |key: &String| {
        let [a, b, c, d, ..] = flights.leases.hash(&fill_key(key)).0;
        u32::from_le_bytes([a, b, c, d]) % SETS == 0
    };
    (0..SETS as usize * 100).map(|number| format!("key-{number}")).filter(is_there).take(count).collect()
}

/// Sets a situation up, and returns the fetches that each key may cost.
type Situation = fn(&Crowd) -> u32;

/// A client of each worker wants the same object at once.
fn one_object(crowd: &Crowd) -> u32 {
    crowd.ask(0..crowd.workers.len(), &keys(1), Duration::ZERO);
    1
}

/// A client of each worker wants each of 64 objects at once.
fn many_objects(crowd: &Crowd) -> u32 {
    crowd.ask(0..crowd.workers.len(), &keys(64), Duration::ZERO);
    1
}

/// They want four objects whose leases fill one set.
fn one_set(crowd: &Crowd) -> u32 {
    crowd.ask(0..crowd.workers.len(), &keys_of_one_set(4), Duration::ZERO);
    1
}

/// The worker that fills 16 objects dies, and clients of all others wait for them. So all others see these leases end at once.
fn dead_worker(crowd: &Crowd) -> u32 {
    crowd.ask(0..1, &keys(16), Duration::ZERO);
    crowd.after(Duration::ZERO, 0, Event::Dies);
    crowd.ask(1..crowd.workers.len(), &keys(16), MILLISECOND);
    if crowd.workers.len() == 1 { 1 } else { 2 }
}

/// What a worker fetched and cannot store is told to nobody, so each worker fetches it, one after the other.
fn bucket_refuses(crowd: &Crowd) -> u32 {
    crowd.refuses.set(true);
    crowd.ask(0..crowd.workers.len(), &keys(4), Duration::ZERO);
    crowd.workers.len() as u32
}

/// Plays a situation with each seed. The counts are those of all.
fn played(situation: Situation, workers: usize) -> Counts {
    let mut all = Counts::default();
    for seed in 1..=SEEDS {
        let crowd = Crowd::new(workers, seed);
        let fetches = situation(&crowd);
        crowd.play();
        assert!(crowd.waiting.borrow().is_empty(), "{workers} workers, seed {seed}: clients wait for ever");
        let fetched = crowd.fetched.borrow();
        assert!(fetched.values().all(|times| *times <= fetches), "{workers} workers, seed {seed}: {fetched:?}");
        let counts = *crowd.counts.borrow();
        all.asked += counts.asked;
        all.fetched += fetched.values().sum::<u32>();
        all.writes += counts.writes;
        all.lost += counts.lost;
        all.messages += counts.messages;
        all.most_lost = all.most_lost.max(counts.most_lost);
    }
    all
}

#[test]
fn each_object_is_fetched_once_and_few_races_are_lost_however_many_workers_there_are() {
    let situations: [(&str, Situation); 5] = [
        ("one object", one_object),
        ("64 objects", many_objects),
        ("four objects of one set", one_set),
        ("16 objects, whose worker dies", dead_worker),
        ("four objects, the bucket refuses writes", bucket_refuses),
    ];
    println!(
        "| situation | workers | clients | fetches | writes to the table | of them lost | lost by one change | messages |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, situation) in situations {
        for workers in WORKERS {
            let Counts { asked, fetched, writes, lost, most_lost, messages } = played(situation, workers);
            println!("| {name} | {workers} | {asked} | {fetched} | {writes} | {lost} | {most_lost} | {messages} |");
            assert!(most_lost < leases::TRIES, "{name}, {workers} workers: a change is given up");
            assert!(writes <= 2 * (writes - lost), "{name}, {workers} workers: more than two attempts for each change");
            let rounds = if name.ends_with("writes") { workers as u32 } else { 1 };
            assert!(messages <= 3 * asked * rounds, "{name}, {workers} workers: {messages} messages");
        }
    }
}

/// Each worker runs as many fills as it may, all of different keys. A key without a slot has no lease, and is filled by each worker
/// that is asked for it.
#[test]
fn nearly_all_fills_of_sixteen_workers_have_a_lease() {
    println!("| workers | fills | without a lease |");
    println!("| --- | --- | --- |");
    for workers in WORKERS {
        let crowd = Crowd::new(workers + 1, 1);
        let fills = workers * crowd.workers[0].borrow().config.limits.fills;
        let claim = |me: usize, number: usize| {
            let flights = crowd.workers[me].borrow();
            let hash = flights.leases.hash(&fill_key(&format!("key-{number}")));
            flights.leases.claim(&Shared { crowd: &crowd, me }, hash, &|| 0)
        };
        (0..fills).for_each(|number| drop(claim(number % workers, number)));
        let without = (0..fills).filter(|number| claim(workers, *number) == Claim::Lead).count();
        println!("| {workers} | {fills} | {without} |");
        assert!(without <= fills / 20, "{without} of {fills} with {workers} workers");
    }
}
