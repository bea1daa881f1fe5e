//! The algorithms of digests: their written form and their computation.

use super::crc::{self, Crc};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;

/// An algorithm for a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

/// Names in `Digest` (RFC 3230), `Repr-Digest` (RFC 9530) and `x-goog-hash`, compared without case:
/// <https://www.iana.org/assignments/http-digest-hash-alg>.
const NAMES: [(&str, Algorithm); 5] = [
    ("crc32c", Algorithm::Crc32c),
    ("md5", Algorithm::Md5),
    ("sha", Algorithm::Sha1),
    ("sha-256", Algorithm::Sha256),
    ("sha-512", Algorithm::Sha512),
];

impl Algorithm {
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim();
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, algorithm)| *algorithm)
    }

    /// Returns the number of bytes in a digest.
    fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Tells if a text can be a digest of this algorithm, in base64 (RFC 4648, 4) or in hexadecimal.
    pub fn can_read(self, text: &str) -> bool {
        let digits = text.trim_end_matches('=');
        let base64 = digits.bytes().all(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/'));
        let hexadecimal = text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let bytes = self.length();
        // Six bits a digit, filled up to four digits.
        let filled = text.len() == digits.len().next_multiple_of(4);
        (base64 && filled && digits.len() == bytes.saturating_mul(8).div_ceil(6))
            || (hexadecimal && text.len() == bytes.saturating_mul(2))
    }
}

/// Tells if a text is this digest, in base64 or in hexadecimal.
pub fn is_written(digest: &[u8], text: &str) -> bool {
    text == base64(digest) || text.eq_ignore_ascii_case(&hexadecimal(digest))
}

fn base64(digest: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in digest.chunks(3) {
        let bits = three.iter().chain([&0, &0]).take(3).fold(0, |bits: usize, byte| (bits << 8) | usize::from(*byte));
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS.get((bits >> shift) % 64).filter(|_| at <= three.len());
            text.push(digit.map_or('=', |digit| char::from(*digit)));
        }
    }
    text
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A digest of the bytes so far.
pub enum Running {
    Crc(Crc),
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Running {
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => Self::Crc(Crc::new(crc::CRC32)),
            Algorithm::Crc32c => Self::Crc(Crc::new(crc::CRC32C)),
            Algorithm::Crc64Nvme => Self::Crc(Crc::new(crc::CRC64_NVME)),
            Algorithm::Md5 => Self::Md5(Md5::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(running) => running.update(bytes),
            Self::Md5(running) => running.update(bytes),
            Self::Sha1(running) => running.update(bytes),
            Self::Sha256(running) => running.update(bytes),
            Self::Sha512(running) => running.update(bytes),
        }
    }

    pub fn value(self) -> Vec<u8> {
        match self {
            Self::Crc(running) => running.value(),
            Self::Md5(running) => running.finalize().to_vec(),
            Self::Sha1(running) => running.finalize().to_vec(),
            Self::Sha256(running) => running.finalize().to_vec(),
            Self::Sha512(running) => running.finalize().to_vec(),
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}
