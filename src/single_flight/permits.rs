//! Permits to be passed to an origin: a table beside that of the leases, which all workers see.
//!
//! A permit says that the bucket was found to lack an object, and where and in which version an origin has it. So a request with
//! the marker needs no token, and opens nothing that no client was sent to. A permit lasts [`PERMIT`]; it is renewed while the
//! fill goes on, and ends when the object is stored, or when nobody is to have it.

use super::leases::{KeyHash, Leases, SETS, SharedHost, TRIES, nanos};
use super::report::Place;
use crate::config::SKEW;
use crate::fill::PassedObject;
use crate::http::digits;
use crate::object::metadata::Metadata;
use crate::origin::Version;
use crate::origin::endpoint::Moved;
use std::rc::Rc;
use std::time::Duration;

/// Sets in the table. They stand behind those of the leases.
pub const PERMIT_SETS: u32 = 256;

/// Permits of a set. Without room for another one no client is passed.
const WAYS: usize = 4;

/// Bytes of the longest permit: the headers of an object are bounded by S3's 2 KB.
const MAX_BYTES: usize = 8 * 1024;

/// The time for which a permit holds without renewal: as long as it may take a client to follow a redirect, and to ask for the
/// next range.
pub const PERMIT: Duration = Duration::from_secs(30);

/// A permit: an object, and the place of its origin in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub place: Place,
    pub object: Rc<PassedObject>,
}

/// An entry of a set: `hash until length text`, in 16, 8 and 4 bytes, and the text's.
struct Entry {
    hash: KeyHash,
    until: u64,
    text: Vec<u8>,
}

impl Leases {
    /// Finds the permit of a key.
    pub fn permit(&self, shared: &dyn SharedHost, hash: KeyHash) -> Option<Permit> {
        let (content, _) = shared.read(set(hash))?;
        let entry = entries(&content, shared.nanos()).into_iter().find(|entry| entry.hash == hash)?;
        read(std::str::from_utf8(&entry.text).ok()?)
    }

    /// Writes the permit of a key. `false` if there is no room.
    pub fn grant(&self, shared: &dyn SharedHost, hash: KeyHash, permit: &Permit) -> bool {
        let Some(text) = write(permit) else { return false };
        change(shared, hash, &|others, until| {
            remove(others, hash);
            others.push(Entry { hash, until, text: text.clone().into_bytes() });
            others.len() <= WAYS
        })
    }

    /// Renews the permit of a key, if there is one.
    pub fn renew_permit(&self, shared: &dyn SharedHost, hash: KeyHash) {
        change(shared, hash, &|entries, until| match entries.iter_mut().find(|entry| entry.hash == hash) {
            Some(entry) => {
                entry.until = until;
                true
            }
            None => false,
        });
    }

    /// Ends the permit of a key, if there is one.
    pub fn revoke(&self, shared: &dyn SharedHost, hash: KeyHash) {
        change(shared, hash, &|entries, _| remove(entries, hash));
    }
}

/// Removes the entry of a key. Tells if there was one.
fn remove(entries: &mut Vec<Entry>, hash: KeyHash) -> bool {
    let at = entries.iter().position(|entry| entry.hash == hash);
    at.map(|at| entries.swap_remove(at)).is_some()
}

/// Changes the set of a key, if the change says so. It gets the time until which a permit holds from now on.
fn change(shared: &dyn SharedHost, hash: KeyHash, to: &dyn Fn(&mut Vec<Entry>, u64) -> bool) -> bool {
    for _ in 0..TRIES {
        let now = shared.nanos();
        let Some((content, version)) = shared.read(set(hash)) else { return false };
        let mut entries = entries(&content, now);
        if !to(&mut entries, now.saturating_add(nanos(PERMIT))) {
            return false;
        }
        let mut content = Vec::new();
        for Entry { hash, until, text } in entries {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            content.extend([&hash.0[..], &until.to_le_bytes(), &length.to_le_bytes(), &text].concat());
        }
        // Envoy takes an empty value for no value.
        content.extend(if content.is_empty() { Some(0) } else { None });
        if shared.write(set(hash), &content, version) {
            return true;
        }
    }
    false
}

/// Reads the permits of a set that still hold. One with so much more time left than any has was written before the
/// clock was set back.
fn entries(mut content: &[u8], now: u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((entry, rest)) = next(content) {
        content = rest;
        let left = entry.until.saturating_sub(now);
        if left > 0 && left <= nanos(PERMIT.saturating_add(SKEW)) && entries.len() < WAYS {
            entries.push(entry);
        }
    }
    entries
}

fn next(content: &[u8]) -> Option<(Entry, &[u8])> {
    let (hash, rest) = content.split_first_chunk()?;
    let (until, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((Entry { hash: KeyHash(*hash), until: u64::from_le_bytes(*until), text: text.to_vec() }, rest))
}

fn set(hash: KeyHash) -> u32 {
    let KeyHash([.., a, b, c, d]) = hash;
    SETS.saturating_add(u32::from_le_bytes([a, b, c, d]) % PERMIT_SETS)
}

/// Writes a permit as lines: the place, the version, where it has moved, and the headers. `None` if it has a line's end in it, or
/// is too long.
fn write(permit: &Permit) -> Option<String> {
    let Permit { place, object } = permit;
    let PassedObject { metadata, version, moved } = &**object;
    let [total, coding, validator] = version.lines();
    let (cluster, authority, path, is_own) = match moved {
        Some(Moved { cluster, authority, path, is_own }) => (&**cluster, &**authority, &**path, *is_own),
        None => ("", "", "", false),
    };
    let mut text = format!("{}\n{}\n{}", place.mirror, place.origin, u8::from(is_own));
    let mut lines = 2_usize;
    let mut add = |line: &str| {
        text.push('\n');
        text.push_str(line);
        lines = lines.saturating_add(1);
    };
    for line in [&*total, &coding, &validator, cluster, authority, path] {
        add(line);
    }
    for (name, value) in metadata.served() {
        add(name);
        add(value);
    }
    let is_plain = text.bytes().filter(|byte| *byte == b'\n').count() == lines && text.len() <= MAX_BYTES;
    is_plain.then_some(text)
}

fn read(text: &str) -> Option<Permit> {
    let mut lines = text.split('\n');
    let mut line = || lines.next();
    let mut index = || u8::try_from(digits(line()?)?).ok();
    let place = Place { mirror: index()?, origin: index()? };
    let is_own = line()? == "1";
    let version = Version::of_lines(line()?, line()?, line()?)?;
    let (cluster, authority, path) = (line()?.to_owned(), line()?.to_owned(), line()?.to_owned());
    let moved = (!cluster.is_empty()).then_some(Moved { cluster, authority, path, is_own });
    let metadata = Metadata::of_served(std::iter::from_fn(|| Some((lines.next()?, lines.next()?))));
    Some(Permit { place, object: Rc::new(PassedObject { metadata, version, moved }) })
}

#[cfg(test)]
mod tests;
