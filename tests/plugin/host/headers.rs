//! Header maps as Envoy keeps them.

use std::fmt;

/// Headers that Envoy keeps in a slot of their own: a second value is joined to the first with a comma instead of
/// becoming a second header. (`HeaderMapImpl::addCopy`; measured on Envoy 1.40, `:status` becomes `404,200`.) This is
/// the part of Envoy's list that this filter can meet.
const SINGLE: [&str; 8] =
    [":authority", ":method", ":path", ":status", "cache-control", "content-length", "content-type", "location"];

/// Envoy treats a module's longer list as an empty one. (`PROXY_WASM_HOST_PAIRS_MAX_COUNT`; measured)
const WIRE_MAX_COUNT: usize = 1024;

/// The same for a list's size on the wire. (`PROXY_WASM_HOST_PAIRS_MAX_BYTES`)
const WIRE_MAX_BYTES: usize = 1024 * 1024;

/// An ordered list of headers: names in lower case, values as bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// Makes request headers with the pseudo headers that Envoy demands.
    pub fn request(method: &str, authority: &str, path: &str) -> Self {
        Self::default()
            .with(":method", method)
            .with(":scheme", "https")
            .with(":authority", authority)
            .with(":path", path)
    }

    /// Makes response headers that hold `:status` only.
    pub fn response(status: u16) -> Self {
        Self::default().with(":status", status.to_string())
    }

    /// Adds a header.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.add(name, value.as_ref());
        self
    }

    /// Adds these headers.
    pub fn with_all(self, headers: &[(&str, &str)]) -> Self {
        headers.iter().fold(self, |all, (name, value)| all.with(name, value))
    }

    /// Returns the first value of `name`; proxy-wasm's getter of one header gives no more.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns every value of `name`, in order.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// Returns the first value of `name` as a text; panics on one that is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)
            .map(|value| std::str::from_utf8(value).unwrap_or_else(|_| panic!("{name} is not UTF-8: {self:?}")))
    }

    /// Returns `:status`, where it is the three digits that Envoy can send.
    pub fn status(&self) -> Option<u16> {
        let digits = self.get(":status").filter(|digits| digits.len() == 3)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Iterates over the headers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Returns the number of headers, which callbacks get as `num_headers`.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a value to those that are there.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let name = name.to_ascii_lowercase();
        let single = SINGLE.contains(&name.as_str());
        match self.0.iter_mut().find(|(known, _)| single && *known == name) {
            Some((_, joined)) => {
                joined.push(b',');
                joined.extend_from_slice(value);
            }
            None => self.0.push((name, value.to_vec())),
        }
    }

    /// Makes `value` the only value. It takes the place of a header with its own slot and goes last otherwise
    /// (measured).
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let name = name.to_ascii_lowercase();
        match self.0.iter_mut().find(|(known, _)| *known == name && SINGLE.contains(&name.as_str())) {
            Some((_, known)) => *known = value.to_vec(),
            None => {
                self.remove(&name);
                self.add(&name, value);
            }
        }
    }

    /// Removes every value of `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Finds the first header whose name or value would break the framing of HTTP/1: Envoy does not check the headers
    /// that a module sets.
    pub fn unsendable(&self) -> Option<&str> {
        let breaks = |bytes: &[u8]| bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        self.iter().find(|(name, value)| breaks(name.as_bytes()) || breaks(value)).map(|(name, _)| name)
    }

    /// Writes headers as the ABI carries them: their number, the two lengths of each, then names and values with a
    /// NUL after each.
    pub fn to_wire(&self) -> Vec<u8> {
        let number = |number: usize| u32::try_from(number).expect("headers under 4 GiB").to_le_bytes();
        let mut wire = number(self.len()).to_vec();
        for (name, value) in self.iter() {
            wire.extend([number(name.len()), number(value.len())].concat());
        }
        for (name, value) in self.iter() {
            wire.extend([name.as_bytes(), &[0], value, &[0]].concat());
        }
        wire
    }

    /// Reads what [`Headers::to_wire`] writes, within the limits of `PairsUtil::toPairs`.
    pub fn from_wire(wire: &[u8]) -> Self {
        let number = |at: usize| u32::from_le_bytes(wire[at..at + 4].try_into().expect("four bytes")) as usize;
        if wire.len() < 4 || wire.len() > WIRE_MAX_BYTES || number(0) > WIRE_MAX_COUNT {
            return Self::default();
        }
        let mut rest = &wire[4 + number(0) * 8..];
        let mut take = |size: usize| {
            let (part, after) = rest.split_at(size);
            rest = &after[1..];
            part
        };
        let pair = |index: usize| {
            let name = take(number(4 + index * 8));
            (std::str::from_utf8(name).expect("the SDK passes names as str"), take(number(8 + index * 8)))
        };
        (0..number(0)).map(pair).collect()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Self {
        pairs.into_iter().fold(Self::default(), |all, (name, value)| all.with(name.as_ref(), value))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value)))).finish()
    }
}
