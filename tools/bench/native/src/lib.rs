//! HTTP/1.1 on a blocking connection, for the load and the upstreams.
//!
//! It has a thread for each connection and no dependency. The bench measures neither program, and both are faster
//! than Envoy.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// Bytes that are read, or made up, at once.
pub const CHUNK: usize = 256 << 10;

/// The stack of a thread: there may be ten thousand.
pub const STACK: usize = 128 << 10;

/// The first lines of a message.
pub struct Head {
    /// `GET /path HTTP/1.1`, or `HTTP/1.1 200 OK`.
    pub line: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Returns a word of the first line.
    pub fn word(&self, index: usize) -> &str {
        self.line.split(' ').nth(index).unwrap_or_default()
    }
}

/// One connection, kept open for one message after the other.
pub struct Connection {
    reader: BufReader<TcpStream>,
    /// Buffer for bodies.
    scratch: Vec<u8>,
    /// The time of the first byte of the last message's body.
    begun: Option<Instant>,
}

impl Connection {
    /// Takes a connection that is open.
    pub fn new(stream: TcpStream, buffer: usize) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::with_capacity(buffer, stream), scratch: vec![0; buffer], begun: None })
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads the next message's head. `None` at the end of the connection.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        self.begun = None;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut head = Head { line: line.trim_end().to_owned(), headers: Vec::new() };
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => head.headers.push((name.to_owned(), value.trim().to_owned())),
                None => return Ok(Some(head)),
            }
        }
    }

    /// Returns the time at which the body began that was read last, if it had a byte.
    pub fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// Reads a message's body and drops it. Returns its length.
    pub fn body(&mut self, head: &Head) -> io::Result<u64> {
        if head.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.chunks();
        }
        match head.header("content-length") {
            Some(length) => self.skip(length.parse().map_err(invalid)?),
            None => Ok(0),
        }
    }

    fn chunks(&mut self) -> io::Result<u64> {
        let mut total = 0;
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim_end(), 16).map_err(invalid)?;
            total += self.skip(size)?;
            self.reader.read_line(&mut line)?;
            if size == 0 {
                return Ok(total);
            }
        }
    }

    fn skip(&mut self, length: u64) -> io::Result<u64> {
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.scratch.len());
            let read = self.reader.read(&mut self.scratch[..most])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.begun.get_or_insert_with(Instant::now);
            left -= read as u64;
        }
        Ok(length)
    }
}

/// Returns the value of an argument `--name value`.
pub fn option(name: &str) -> Option<String> {
    options(name).next()
}

/// Returns the values of an argument that may be repeated.
pub fn options(name: &str) -> impl Iterator<Item = String> {
    let named = format!("--{name}");
    let values = std::env::args().skip(1);
    std::env::args().zip(values).filter(move |(argument, _)| *argument == named).map(|(_, value)| value)
}

/// Returns the value of an argument as a number.
pub fn number(name: &str, default: u64) -> u64 {
    option(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("--{name} {text} is no number")))
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
