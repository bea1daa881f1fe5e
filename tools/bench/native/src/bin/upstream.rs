//! A bucket and an origin that cost next to nothing, so that the bench measures the proxy in front of them.
//!
//! `--bucket NAME` names the bucket. Three options slow the servers down. With `--put-slots N --put-ms N` the bucket
//! takes that many PUTs at once, each in that time. With `--origin-ms N` the origin waits before it answers. With
//! `--origin-rate N` it sends at most that many bytes of an answer in a second, with `--origin-line N` of all answers
//! together. `--address 127.0.0.1` is where all listen. The program prints its three ports as JSON and runs until it
//! is killed.
//!
//! The origin has every object whose path has a number in it; the first such segment is its length: `/4096/a`.
//! Answers below `/gated/` wait until the gate is open. The bucket keeps names and lengths, no bytes. It always has
//! every object below `hit/`. The third port knows `GET /counts`, `GET /open` and `GET /reset`.

use bench_native::{CHUNK, Connection, Head, STACK, number, option};
use socket2::{Domain, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The content, repeated as often as needed.
static CONTENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..CHUNK as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect());

/// Connections that are not accepted yet. Envoy opens thousands at once for a herd, and the 128 of the standard
/// library would let it wait until it gives up.
const BACKLOG: i32 = 4096;

#[derive(Default)]
struct State {
    bucket: String,
    objects: Mutex<HashMap<String, u64>>,
    uploads: Mutex<HashMap<u64, u64>>,
    gate: Gate,
    slots: Slots,
    origin_time: Duration,
    /// Bytes a second of one answer; 0 is no bound.
    origin_rate: u64,
    origin_line: Line,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    bucket_gets: AtomicU64,
    origin_gets: AtomicU64,
    /// Bytes of the content that the origin sent.
    origin_bytes: AtomicU64,
    puts: AtomicU64,
    parts: AtomicU64,
}

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

/// A line that all answers share, in bytes a second; 0 is no bound.
#[derive(Default)]
struct Line {
    rate: u64,
    free: Mutex<Option<Instant>>,
}

impl Line {
    /// Waits until the line has carried so many bytes, after all that came before them.
    fn carry(&self, bytes: u64) {
        let Some(micros) = (bytes * 1_000_000).checked_div(self.rate) else { return };
        let mut free = lock(&self.free);
        let now = Instant::now();
        let end = free.map_or(now, |free| free.max(now)) + Duration::from_micros(micros);
        *free = Some(end);
        drop(free);
        thread::sleep(end.duration_since(now));
    }
}

/// The bound on PUTs at once; no bound without slots.
#[derive(Default)]
struct Slots {
    all: u64,
    time: Duration,
    taken: Mutex<u64>,
    freed: Condvar,
}

impl Slots {
    fn pass(&self) {
        if self.all == 0 {
            return;
        }
        let taken = lock(&self.taken);
        let mut taken =
            self.freed.wait_while(taken, |taken| *taken >= self.all).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        drop(taken);
        thread::sleep(self.time);
        *lock(&self.taken) -= 1;
        self.freed.notify_one();
    }
}

fn main() -> io::Result<()> {
    let state = Arc::new(State {
        bucket: option("bucket").unwrap_or_else(|| "mirror".to_owned()),
        slots: Slots {
            all: number("put-slots", 0),
            time: Duration::from_millis(number("put-ms", 0)),
            ..Slots::default()
        },
        origin_time: Duration::from_millis(number("origin-ms", 0)),
        origin_rate: number("origin-rate", 0),
        origin_line: Line { rate: number("origin-line", 0), ..Line::default() },
        ..State::default()
    });
    LazyLock::force(&CONTENT);
    let address = option("address").map_or(Ipv4Addr::LOCALHOST.into(), |text| text.parse().expect("--address"));
    let bucket = serve(&state, address, bucket)?;
    let origin = serve(&state, address, origin)?;
    let control = serve(&state, address, control)?;
    println!(r#"{{"bucket": {bucket}, "origin": {origin}, "control": {control}}}"#);
    loop {
        thread::park();
    }
}

type Role = fn(&State, &mut Connection, &Head) -> io::Result<()>;

/// Listens on any free port, a thread for each connection. Returns the port.
fn serve(state: &Arc<State>, address: IpAddr, role: Role) -> io::Result<u16> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(address, 0).into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let port = listener.local_addr()?.port();
    let state = state.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = state.clone();
            let work = move || {
                // A connection that breaks is its client's affair.
                let _ = converse(&state, stream, role);
            };
            let _ = thread::Builder::new().stack_size(STACK).spawn(work);
        }
    });
    Ok(port)
}

fn converse(state: &State, stream: TcpStream, role: Role) -> io::Result<()> {
    let mut connection = Connection::new(stream, 64 << 10)?;
    while let Some(head) = connection.head()? {
        if head.header("expect").is_some() {
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        role(state, &mut connection, &head)?;
    }
    Ok(())
}

fn bucket(state: &State, connection: &mut Connection, head: &Head) -> io::Result<()> {
    let length = connection.body(head)?;
    let (path, query) = head.word(1).split_once('?').unwrap_or((head.word(1), ""));
    let key = path.trim_start_matches('/').strip_prefix(&state.bucket).map(|key| key.trim_start_matches('/'));
    let Some(key) = key else { return answer(connection, head, 404, "", no_such_key()) };
    let upload = query.split('&').find_map(|field| field.strip_prefix("uploadId=")?.parse().ok());
    match (head.word(0), upload) {
        ("PUT", Some(upload)) => {
            state.counts.parts.fetch_add(1, Ordering::Relaxed);
            *lock(&state.uploads).entry(upload).or_default() += length;
            answer(connection, head, 200, "etag: \"1\"\r\n", &[])
        }
        ("PUT", None) => {
            state.slots.pass();
            store(state, connection, head, key, length, &[])
        }
        ("POST", Some(upload)) => {
            let length = lock(&state.uploads).remove(&upload).unwrap_or(0);
            let done = "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>";
            store(state, connection, head, key, length, done.as_bytes())
        }
        ("POST", None) => {
            static NEXT: AtomicU64 = AtomicU64::new(1);
            let upload = NEXT.fetch_add(1, Ordering::Relaxed);
            let begun =
                format!("<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>");
            answer(connection, head, 200, "", begun.as_bytes())
        }
        ("DELETE", _) => {
            lock(&state.uploads).remove(&upload.unwrap_or(0));
            answer(connection, head, 204, "", &[])
        }
        _ => {
            state.counts.bucket_gets.fetch_add(1, Ordering::Relaxed);
            let known = lock(&state.objects).get(key).copied();
            match known.or_else(|| key.strip_prefix("hit/").and_then(size_of)) {
                Some(size) => object(connection, head, size, None),
                None => answer(connection, head, 404, "", no_such_key()),
            }
        }
    }
}

fn store(
    state: &State,
    connection: &mut Connection,
    head: &Head,
    key: &str,
    length: u64,
    done: &[u8],
) -> io::Result<()> {
    let mut objects = lock(&state.objects);
    if head.header("if-none-match").is_some() && objects.contains_key(key) {
        drop(objects);
        return answer(connection, head, 412, "", b"<Error><Code>PreconditionFailed</Code></Error>");
    }
    objects.insert(key.to_owned(), length);
    drop(objects);
    state.counts.puts.fetch_add(1, Ordering::Relaxed);
    answer(connection, head, 200, "etag: \"1\"\r\n", done)
}

fn origin(state: &State, connection: &mut Connection, head: &Head) -> io::Result<()> {
    connection.body(head)?;
    state.counts.origin_gets.fetch_add(1, Ordering::Relaxed);
    thread::sleep(state.origin_time);
    let path = head.word(1);
    if path.starts_with("/gated/") {
        let open = lock(&state.gate.open);
        drop(state.gate.changed.wait_while(open, |open| !*open));
    }
    match size_of(path) {
        Some(size) => object(connection, head, size, Some(state)),
        None => answer(connection, head, 404, "", &[]),
    }
}

fn control(state: &State, connection: &mut Connection, head: &Head) -> io::Result<()> {
    let Counts { bucket_gets, origin_gets, origin_bytes, puts, parts } = &state.counts;
    let counts = [
        ("bucket_gets", bucket_gets),
        ("origin_gets", origin_gets),
        ("origin_bytes", origin_bytes),
        ("puts", puts),
        ("parts", parts),
    ];
    let said = counts.map(|(name, count)| format!(r#""{name}": {}"#, count.load(Ordering::Relaxed))).join(", ");
    match head.word(1) {
        "/open" => {
            *lock(&state.gate.open) = true;
            state.gate.changed.notify_all();
        }
        "/reset" => {
            *lock(&state.gate.open) = false;
            lock(&state.objects).clear();
            for (_, count) in counts {
                count.store(0, Ordering::Relaxed);
            }
        }
        _ => {}
    }
    answer(connection, head, 200, "", format!("{{{said}}}").as_bytes())
}

/// Reads the object's length from its path.
fn size_of(path: &str) -> Option<u64> {
    path.split('/').find_map(|segment| segment.parse().ok())
}

/// Sends the whole object, or the range that was asked for; an origin as slowly as it is told.
fn object(connection: &mut Connection, head: &Head, size: u64, origin: Option<&State>) -> io::Result<()> {
    let known = "etag: \"1\"\r\nlast-modified: Tue, 14 Nov 2023 22:13:20 GMT\r\ncontent-type: image/jpeg\r\n";
    let range = head.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let (status, start, end, range) = match range {
        None => (200, 0, size, String::new()),
        Some((start, end)) => {
            let start = start.parse().unwrap_or(0).min(size);
            let end = end.parse::<u64>().map_or(size, |end| end.saturating_add(1)).min(size);
            (206, start, end, format!("content-range: bytes {start}-{}/{size}\r\n", end.saturating_sub(1)))
        }
    };
    let mut left = end.saturating_sub(start);
    let lines = format!("HTTP/1.1 {status} OK\r\n{known}{range}content-length: {left}\r\n\r\n");
    if head.word(0) == "HEAD" {
        return connection.send(lines.as_bytes());
    }
    let piece = |left: u64| &CONTENT[..usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK)];
    // Head and beginning in one piece: Envoy then reads them in one, as from a fast server.
    let first = piece(left.min(16 << 10));
    if let Some(origin) = origin {
        origin.origin_line.carry(first.len() as u64);
    }
    connection.send(&[lines.as_bytes(), first].concat())?;
    sent(origin, first);
    left -= first.len() as u64;
    while left > 0 {
        let next = piece(left);
        if let Some(origin) = origin {
            if let Some(micros) = (next.len() as u64 * 1_000_000).checked_div(origin.origin_rate) {
                thread::sleep(Duration::from_micros(micros));
            }
            origin.origin_line.carry(next.len() as u64);
        }
        connection.send(next)?;
        sent(origin, next);
        left -= next.len() as u64;
    }
    Ok(())
}

fn sent(origin: Option<&State>, piece: &[u8]) {
    if let Some(origin) = origin {
        origin.counts.origin_bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
}

fn answer(connection: &mut Connection, head: &Head, status: u16, headers: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let lines = format!(
        "HTTP/1.1 {status} Status\r\n{headers}content-type: application/xml\r\ncontent-length: {length}\r\n\r\n"
    );
    let body = if head.word(0) == "HEAD" { &[] } else { body };
    connection.send(&[lines.as_bytes(), body].concat())
}

fn no_such_key() -> &'static [u8] {
    b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchKey</Code><Message>None.</Message></Error>"
}

fn lock<Content>(mutex: &Mutex<Content>) -> MutexGuard<'_, Content> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
