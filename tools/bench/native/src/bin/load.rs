//! A load generator. It makes calls one after the other, on a given number of connections to each server.
//!
//! `--call CALL --first 0 --connections 16`, and either `--requests N` or `--seconds N`. A call is
//! `GET http://HOST:PORT/x/{n}`, or `PUT http://HOST:PORT/x/{n} BYTES`, with header fields on lines of their own if it has any.
//! With several `--call`, each client makes all of them for each number, one after the other. `{n}`, in the path and
//! in fields, counts from `--first`. `--follow` follows redirects, and counts the last answer as the one answer.
//! `{size}`, also in place of BYTES, is the number's own size: the lines of the file `--sizes`, again and again.
//!
//! The result is one line of JSON. Its `ms` are the times of each call, for each number whose calls were all
//! answered. Its `first_ms` are the times until the first byte of the last answer's body.

use bench_native::{CHUNK, Connection, STACK, number, option, options};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

struct Plan {
    servers: Vec<String>,
    calls: Vec<Call>,
    next: AtomicU64,
    end: u64,
    time: Option<Duration>,
    follow: bool,
    sizes: Vec<usize>,
    buffer: usize,
    ready: Barrier,
}

struct Call {
    /// Index of its server.
    server: usize,
    method: String,
    path: String,
    host: String,
    /// Everything but the host, as it is sent.
    fields: String,
    body: Body,
}

/// The length of a body.
#[derive(Clone, Copy)]
enum Body {
    Fixed(usize),
    None,
    /// The size of the number.
    Sized,
}

/// One number, and the size that goes with it.
struct Number {
    name: String,
    size: usize,
}

/// The times of one answered call.
struct Answer {
    status: String,
    first: Duration,
    all: Duration,
}

#[derive(Default)]
struct Tally {
    /// Counts of the numbers, by the statuses of their calls: `404 200`.
    statuses: BTreeMap<String, u64>,
    /// The times of each call.
    times: Vec<Vec<Duration>>,
    /// Those until the first byte.
    first: Vec<Vec<Duration>>,
    bytes: u64,
}

fn main() -> io::Result<()> {
    let connections = number("connections", 1);
    let first = number("first", 0);
    let mut servers = Vec::new();
    let calls: Vec<_> = options("call").map(|text| Call::parse(&text, &mut servers)).collect();
    assert!(!calls.is_empty(), "--call");
    let plan = Arc::new(Plan {
        servers,
        calls,
        next: AtomicU64::new(first),
        end: option("requests").map_or(u64::MAX, |_| first.saturating_add(number("requests", 0))),
        time: option("seconds").map(|text| Duration::from_secs_f64(text.parse().expect("--seconds"))),
        follow: std::env::args().any(|argument| argument == "--follow"),
        sizes: option("sizes").map(sizes).transpose()?.unwrap_or_default(),
        buffer: if connections > 100 { 16 << 10 } else { CHUNK },
        ready: Barrier::new(usize::try_from(connections).expect("--connections") + 1),
    });
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let plan = plan.clone();
            thread::Builder::new().stack_size(STACK).spawn(move || work(&plan)).expect("a thread")
        })
        .collect();
    plan.ready.wait();
    let start = Instant::now();
    let mut total = Tally::new(&plan);
    for thread in threads {
        total.add(thread.join().expect("a tally"));
    }
    total.report(start.elapsed());
    Ok(())
}

fn sizes(path: String) -> io::Result<Vec<usize>> {
    Ok(std::fs::read_to_string(path)?.lines().map(|line| line.parse().expect("--sizes: a number in a line")).collect())
}

impl Plan {
    fn number(&self, number: u64) -> Number {
        let places = u64::try_from(self.sizes.len()).unwrap_or(u64::MAX).max(1);
        let place = usize::try_from(number % places).unwrap_or_default();
        Number { name: number.to_string(), size: self.sizes.get(place).copied().unwrap_or_default() }
    }
}

impl Call {
    fn parse(text: &str, servers: &mut Vec<String>) -> Self {
        let (line, fields) = text.split_once('\n').unwrap_or((text, ""));
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let url = words.next().and_then(|url| url.strip_prefix("http://")).expect("METHOD http://HOST:PORT/PATH");
        let (address, path) = url.split_once('/').expect("a path");
        let body = match words.next() {
            None => Body::None,
            Some("{size}") => Body::Sized,
            Some(word) => Body::Fixed(word.parse().expect("BYTES")),
        };
        let known = servers.iter().position(|server| server == address);
        let server = known.unwrap_or_else(|| {
            servers.push(address.to_owned());
            servers.len() - 1
        });
        let (hosts, fields): (Vec<_>, Vec<_>) = fields.lines().partition(|field| field.starts_with("host: "));
        let host = hosts.first().and_then(|field| field.strip_prefix("host: ")).unwrap_or(address);
        Self {
            server,
            method,
            path: format!("/{path}"),
            host: host.to_owned(),
            fields: fields.iter().map(|field| format!("{field}\r\n")).collect(),
            body,
        }
    }

    /// Makes the request for a number, or for the target of its redirect.
    fn request(&self, path: &str, number: &Number) -> Vec<u8> {
        let Self { method, host, fields, .. } = self;
        let length = match self.body {
            Body::Fixed(length) => Some(length),
            Body::None => None,
            Body::Sized => Some(number.size),
        };
        let length_field = length.map(|length| format!("content-length: {length}\r\n")).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{fields}{length_field}\r\n");
        let head = head.replace("{n}", &number.name).replace("{size}", &number.size.to_string());
        [head.as_bytes(), &vec![b'x'; length.unwrap_or_default()]].concat()
    }
}

/// Works on one client's share of the numbers.
fn work(plan: &Plan) -> Tally {
    let mut tally = Tally::new(plan);
    let mut connections: Vec<_> = plan.servers.iter().map(|server| connect(plan, server)).collect();
    plan.ready.wait();
    let start = Instant::now();
    loop {
        let number = plan.next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.end || plan.time.is_some_and(|time| start.elapsed() >= time) {
            return tally;
        }
        let number = plan.number(number);
        let (mut statuses, mut answers) = (Vec::new(), Vec::new());
        for call in &plan.calls {
            let connection = &mut connections[call.server];
            let answer = match connection {
                Ok(connection) => exchange(connection, plan, call, &number, &mut tally.bytes),
                Err(_) => Err(io::ErrorKind::NotConnected.into()),
            };
            let Ok(answer) = answer else {
                *connection = connect(plan, &plan.servers[call.server]);
                statuses.push("failed".to_owned());
                break;
            };
            statuses.push(answer.status.clone());
            answers.push(answer);
        }
        if answers.len() == plan.calls.len() {
            for ((all, first), answer) in tally.times.iter_mut().zip(&mut tally.first).zip(answers) {
                all.push(answer.all);
                first.push(answer.first);
            }
        }
        *tally.statuses.entry(statuses.join(" ")).or_default() += 1;
    }
}

fn connect(plan: &Plan, server: &str) -> io::Result<Connection> {
    Connection::new(TcpStream::connect(server)?, plan.buffer)
}

/// Returns the answer, after those that redirected.
fn exchange(
    connection: &mut Connection,
    plan: &Plan,
    call: &Call,
    number: &Number,
    bytes: &mut u64,
) -> io::Result<Answer> {
    let asked = Instant::now();
    let mut path = call.path.clone();
    loop {
        connection.send(&call.request(&path, number))?;
        let head = connection.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        *bytes += connection.body(&head)?;
        let all = asked.elapsed();
        let first = connection.begun().map_or(all, |begun| begun.duration_since(asked));
        if head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            *connection = connect(plan, &plan.servers[call.server])?;
        }
        let Some(location) = head.header("location").filter(|_| plan.follow) else {
            return Ok(Answer { status: head.word(1).to_owned(), first, all });
        };
        let origin = format!("http://{}", call.host);
        path = location.strip_prefix(&origin).unwrap_or(location).to_owned();
    }
}

impl Tally {
    fn new(plan: &Plan) -> Self {
        let none = vec![Vec::new(); plan.calls.len()];
        Self { times: none.clone(), first: none, ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        for (all, times) in self.times.iter_mut().zip(other.times).chain(self.first.iter_mut().zip(other.first)) {
            all.extend(times);
        }
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
    }

    fn report(&self, took: Duration) {
        let ms = |times: &Vec<Duration>| {
            let each: Vec<_> = times.iter().map(|time| format!("{}", time.as_secs_f64() * 1e3)).collect();
            format!("[{}]", each.join(", "))
        };
        let all = |calls: &[Vec<Duration>]| calls.iter().map(ms).collect::<Vec<_>>().join(", ");
        let statuses: Vec<_> = self.statuses.iter().map(|(status, count)| format!(r#""{status}": {count}"#)).collect();
        let (seconds, bytes) = (took.as_secs_f64(), self.bytes);
        let (statuses, times, first) = (statuses.join(", "), all(&self.times), all(&self.first));
        println!(
            r#"{{"seconds": {seconds}, "bytes": {bytes}, "statuses": {{{statuses}}}, "ms": [{times}], "first_ms": [{first}]}}"#
        );
    }
}
