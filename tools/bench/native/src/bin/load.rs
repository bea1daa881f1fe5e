//! A load generator. It makes calls one after the other, on a given number of connections to each server.
//!
//! `--call CALL --first 0 --connections 16`, and either `--requests N` or `--seconds N`. A call is
//! `GET http://HOST:PORT/x/{n}`, or `PUT http://HOST:PORT/x/{n} BYTES`, with header fields on lines of their own if it has any.
//! With several `--call`, each client makes all of them for each number, one after the other. `{n}`, in the path and
//! in fields, counts from `--first`. `--follow` follows redirects, and counts the last answer as the one answer.
//!
//! The result is one line of JSON. Its `ms` are the times of each call, for each number whose calls were all
//! answered.

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
    body: Vec<u8>,
}

#[derive(Default)]
struct Tally {
    /// Counts of the numbers, by the statuses of their calls: `404 200`.
    statuses: BTreeMap<String, u64>,
    /// The times of each call.
    times: Vec<Vec<Duration>>,
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

impl Call {
    fn parse(text: &str, servers: &mut Vec<String>) -> Self {
        let (line, fields) = text.split_once('\n').unwrap_or((text, ""));
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let url = words.next().and_then(|url| url.strip_prefix("http://")).expect("METHOD http://HOST:PORT/PATH");
        let (address, path) = url.split_once('/').expect("a path");
        let length = words.next().map(|word| word.parse().expect("BYTES"));
        let known = servers.iter().position(|server| server == address);
        let server = known.unwrap_or_else(|| {
            servers.push(address.to_owned());
            servers.len() - 1
        });
        let (hosts, mut fields): (Vec<_>, Vec<_>) = fields.lines().partition(|field| field.starts_with("host: "));
        let host = hosts.first().and_then(|field| field.strip_prefix("host: ")).unwrap_or(address);
        let length_field = length.map(|length: usize| format!("content-length: {length}"));
        fields.extend(length_field.as_deref());
        Self {
            server,
            method,
            path: format!("/{path}"),
            host: host.to_owned(),
            fields: fields.iter().map(|field| format!("{field}\r\n")).collect(),
            body: vec![b'x'; length.unwrap_or_default()],
        }
    }

    /// Makes the request for a number, or for the target of its redirect.
    fn request(&self, path: &str, number: &str) -> Vec<u8> {
        let Self { method, host, fields, body, .. } = self;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n").replace("{n}", number);
        [head.as_bytes(), body].concat()
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
        let (mut statuses, mut times) = (Vec::new(), Vec::new());
        for call in &plan.calls {
            let connection = &mut connections[call.server];
            let asked = Instant::now();
            let status = match connection {
                Ok(connection) => exchange(connection, plan, call, &number.to_string(), &mut tally.bytes),
                Err(_) => Err(io::ErrorKind::NotConnected.into()),
            };
            times.push(asked.elapsed());
            let Ok(status) = status else {
                *connection = connect(plan, &plan.servers[call.server]);
                statuses.push("failed".to_owned());
                break;
            };
            statuses.push(status);
        }
        if statuses.last().is_some_and(|status| status != "failed") {
            for (all, time) in tally.times.iter_mut().zip(times) {
                all.push(time);
            }
        }
        *tally.statuses.entry(statuses.join(" ")).or_default() += 1;
    }
}

fn connect(plan: &Plan, server: &str) -> io::Result<Connection> {
    Connection::new(TcpStream::connect(server)?, plan.buffer)
}

/// Returns the status of the answer, after those that redirected.
fn exchange(
    connection: &mut Connection,
    plan: &Plan,
    call: &Call,
    number: &str,
    bytes: &mut u64,
) -> io::Result<String> {
    let mut path = call.path.clone();
    loop {
        connection.send(&call.request(&path, number))?;
        let head = connection.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        *bytes += connection.body(&head)?;
        if head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            *connection = connect(plan, &plan.servers[call.server])?;
        }
        let Some(location) = head.header("location").filter(|_| plan.follow) else {
            return Ok(head.word(1).to_owned());
        };
        let origin = format!("http://{}", call.host);
        path = location.strip_prefix(&origin).unwrap_or(location).to_owned();
    }
}

impl Tally {
    fn new(plan: &Plan) -> Self {
        Self { times: vec![Vec::new(); plan.calls.len()], ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        for (all, times) in self.times.iter_mut().zip(other.times) {
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
        let times: Vec<_> = self.times.iter().map(ms).collect();
        let statuses: Vec<_> = self.statuses.iter().map(|(status, count)| format!(r#""{status}": {count}"#)).collect();
        let (seconds, bytes) = (took.as_secs_f64(), self.bytes);
        let (statuses, times) = (statuses.join(", "), times.join(", "));
        println!(r#"{{"seconds": {seconds}, "bytes": {bytes}, "statuses": {{{statuses}}}, "ms": [{times}]}}"#);
    }
}
