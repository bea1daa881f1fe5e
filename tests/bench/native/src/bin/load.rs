//! Asks one server for objects, from as many connections as it is told, each as soon as it has its last answer.
//!
//! `--address HOST:PORT --host NAME --path /x/{n} --first 0 --connections 16`, and either `--requests N` or `--seconds N`.
//! `{n}` counts from `--first`. `--follow` follows redirects, and counts what they lead to as one answer. `--put BYTES`
//! stores objects instead. One line of JSON tells what came of it.

use bench_native::{CHUNK, Connection, STACK, number, option};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

struct Plan {
    address: String,
    host: String,
    path: String,
    next: AtomicU64,
    end: u64,
    time: Option<Duration>,
    follow: bool,
    put: Option<Vec<u8>>,
    buffer: usize,
    ready: Barrier,
}

#[derive(Default)]
struct Tally {
    statuses: BTreeMap<String, u64>,
    nanos: Vec<u64>,
    bytes: u64,
}

fn main() -> io::Result<()> {
    let connections = number("connections", 1);
    let address = option("address").expect("--address");
    let first = number("first", 0);
    let plan = Arc::new(Plan {
        host: option("host").unwrap_or_else(|| address.clone()),
        address,
        path: option("path").expect("--path"),
        next: AtomicU64::new(first),
        end: option("requests").map_or(u64::MAX, |_| first.saturating_add(number("requests", 0))),
        time: option("seconds").map(|text| Duration::from_secs_f64(text.parse().expect("--seconds"))),
        follow: std::env::args().any(|argument| argument == "--follow"),
        put: option("put").map(|_| vec![b'x'; usize::try_from(number("put", 0)).expect("--put")]),
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
    let mut total = Tally::default();
    for thread in threads {
        let tally = thread.join().expect("a tally");
        total.bytes += tally.bytes;
        total.nanos.extend(tally.nanos);
        for (status, count) in tally.statuses {
            *total.statuses.entry(status).or_default() += count;
        }
    }
    report(total, start.elapsed());
    Ok(())
}

/// One connection's share of the requests.
fn work(plan: &Plan) -> Tally {
    let mut tally = Tally::default();
    let mut connection = connect(plan);
    plan.ready.wait();
    let start = Instant::now();
    loop {
        let number = plan.next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.end || plan.time.is_some_and(|time| start.elapsed() >= time) {
            return tally;
        }
        let path = plan.path.replace("{n}", &number.to_string());
        let asked = Instant::now();
        let status = match &mut connection {
            Ok(connection) => exchange(connection, plan, &path, &mut tally.bytes),
            Err(_) => Err(io::ErrorKind::NotConnected.into()),
        };
        match status {
            Ok(status) => {
                tally.nanos.push(u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX));
                *tally.statuses.entry(status).or_default() += 1;
            }
            Err(_) => {
                *tally.statuses.entry("failed".to_owned()).or_default() += 1;
                connection = connect(plan);
            }
        }
    }
}

fn connect(plan: &Plan) -> io::Result<Connection> {
    Connection::new(TcpStream::connect(&plan.address)?, plan.buffer)
}

/// The status of the answer, after those that sent us elsewhere.
fn exchange(connection: &mut Connection, plan: &Plan, path: &str, bytes: &mut u64) -> io::Result<String> {
    let host = &plan.host;
    let request = match &plan.put {
        None => format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes(),
        Some(body) => {
            let length = body.len();
            let fields = format!("host: {host}\r\nif-none-match: *\r\ncontent-length: {length}\r\n");
            [format!("PUT {path} HTTP/1.1\r\n{fields}\r\n").as_bytes(), body].concat()
        }
    };
    connection.send(&request)?;
    let head = connection.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    *bytes += connection.body(&head)?;
    if head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        *connection = connect(plan)?;
    }
    match head.header("location").filter(|_| plan.follow) {
        Some(location) => {
            let origin = format!("http://{host}");
            let path = location.strip_prefix(&origin).unwrap_or(location).to_owned();
            exchange(connection, plan, &path, bytes)
        }
        None => Ok(head.word(1).to_owned()),
    }
}

fn report(total: Tally, took: Duration) {
    let mut nanos = total.nanos;
    nanos.sort_unstable();
    let at = |percent: usize| nanos.get((nanos.len() * percent / 100).min(nanos.len().saturating_sub(1))).copied();
    let ms = |percent| at(percent).unwrap_or(0) as f64 / 1e6;
    let statuses: Vec<_> = total.statuses.iter().map(|(status, count)| format!(r#""{status}": {count}"#)).collect();
    let (requests, seconds, bytes, statuses) = (nanos.len(), took.as_secs_f64(), total.bytes, statuses.join(", "));
    let (p50, p99, max) = (ms(50), ms(99), ms(100));
    print!(r#"{{"requests": {requests}, "seconds": {seconds}, "bytes": {bytes}, "statuses": {{{statuses}}}"#);
    println!(r#", "ms": {{"p50": {p50}, "p99": {p99}, "max": {max}}}}}"#);
}
