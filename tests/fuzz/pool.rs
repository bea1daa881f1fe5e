//! Inputs that led to a new result, and their mutations.

use crate::random::Random;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Inputs that are kept; beyond that a new one replaces another.
const MOST_KEPT: usize = 2_000;

/// Bytes of an input. A short input takes fewer steps, so it is tried more often.
const MOST_BYTES: usize = 2_000;

/// Mutations of one input at a time.
const MOST_MUTATIONS: usize = 6;

/// Numbers and bytes that are a bound in some format.
const TELLING: [&[u8]; 20] = [
    b"0",
    b"-1",
    b"+1",
    b"65536",
    b"4294967296",
    b"18446744073709551615",
    b"18446744073709551616",
    b"%",
    b"%2F",
    b"%2e%2E",
    b"%00",
    b"..",
    b"//",
    b"\\",
    b"?",
    b"\n",
    b"\0",
    b"\x7f",
    b"\xff",
    "\u{FFFE}".as_bytes(),
];

/// The inputs that are mutated.
#[derive(Default)]
pub struct Pool {
    kept: Vec<Vec<u8>>,
    known: BTreeSet<u64>,
    replaced: usize,
}

impl Pool {
    /// Keeps an input if no other has led to the same result.
    pub fn keep(&mut self, input: Vec<u8>, what: u64) {
        if !self.known.insert(what) {
            return;
        }
        if self.kept.len() < MOST_KEPT {
            self.kept.push(input);
        } else {
            self.replaced = (self.replaced + 1) % MOST_KEPT;
            self.kept[self.replaced] = input;
        }
    }

    /// Makes an input that most likely has not been tried yet.
    pub fn next(&self, random: &mut Random) -> Vec<u8> {
        let mut input = self.kept[random.below(self.kept.len())].clone();
        for _ in 0..=random.below(MOST_MUTATIONS) {
            self.mutate(&mut input, random);
        }
        input.truncate(MOST_BYTES);
        input
    }

    fn mutate(&self, input: &mut Vec<u8>, random: &mut Random) {
        let (from, to) = span(input.len(), random);
        match random.below(8) {
            0 if !input.is_empty() => {
                let at = random.below(input.len());
                input[at] ^= 1 << random.below(8);
            }
            1 if !input.is_empty() => {
                let at = random.below(input.len());
                input[at] = random.byte();
            }
            2 => drop(input.drain(from..to)),
            3 => {
                let again = input[from..to].to_vec();
                drop(input.splice(from..from, again));
            }
            4 => {
                let telling = TELLING[random.below(TELLING.len())];
                drop(input.splice(from..to, telling.iter().copied()));
            }
            5 => {
                let other = &self.kept[random.below(self.kept.len())];
                let (other_from, other_to) = span(other.len(), random);
                drop(input.splice(from..to, other[other_from..other_to].iter().copied()));
            }
            6 => {
                let any: Vec<u8> = (0..random.below(9)).map(|_| random.byte()).collect();
                drop(input.splice(from..from, any));
            }
            _ => input.truncate(to),
        }
    }
}

/// Picks a span of some bytes; short spans more often than long ones.
fn span(length: usize, random: &mut Random) -> (usize, usize) {
    let from = random.below(length + 1);
    let most = (length - from).min([2, 8, 64, MOST_BYTES][random.below(4)]);
    (from, from + random.below(most + 1))
}

/// Reads the inputs that the repository keeps for a target.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(directory).expect("a corpus").map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}
