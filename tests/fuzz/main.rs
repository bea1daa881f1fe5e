//! A fuzzer with random inputs for everything that reads foreign bytes ([`readers`]), and for the machine as a whole
//! ([`machine`]).
//!
//! Fuzzers that see which code an input reaches need a nightly compiler. This one runs on stable: a target returns a
//! number for an input's result, and an input with a new result is mutated further ([`pool`]). The inputs in
//! `corpus/` are always tried first. Put an input there that once made a target fail.
//!
//! `cargo test` tries as many inputs as a few seconds allow, the same ones each time. `make fuzz` goes on for
//! `SECONDS`, from another seed each time (or from `SEED`).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that meets the unexpected has failed"
)]

mod machine;
mod pool;
mod random;
mod readers;

use pool::Pool;
use random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs};

/// A target. It fails on a result that no input may have; otherwise it returns a number for the result.
type Run = fn(&[u8]) -> u64;

/// Every target, by the name of its part of the corpus, with the number of inputs that `cargo test` gives it.
const TARGETS: [(&str, Run, u64); 11] = [
    ("announced", readers::announced, 20_000),
    ("config", readers::config, 10_000),
    ("content-range", readers::content_range, 20_000),
    ("error-document", readers::error_document, 20_000),
    ("key", readers::key, 20_000),
    ("machine", machine::run, 10_000),
    ("message", readers::message, 20_000),
    ("origin-answer", readers::origin_answer, 20_000),
    ("own-base", readers::own_base, 20_000),
    ("store-answer", readers::store_answer, 20_000),
    ("target", readers::target, 20_000),
];

/// The seed of a run of `cargo test`.
const SEED: u64 = 1;

/// Inputs of one target in a row, before the next one's turn.
const TURN: u64 = 1_000;

const REPORT_EVERY: Duration = Duration::from_secs(10);

#[test]
fn no_input_makes_anything_fail() {
    let seconds = env::var("FUZZ_SECONDS").ok().map(|seconds| seconds.parse().expect("FUZZ_SECONDS is a number"));
    match seconds {
        Some(seconds) => for_long(Duration::from_secs(seconds)),
        None => TARGETS.iter().for_each(|(name, run, inputs)| {
            let mut fuzzer = Fuzzer::new(name, *run, SEED);
            fuzzer.goes_on(*inputs);
        }),
    }
}

fn for_long(time: Duration) {
    let seed = match env::var("SEED") {
        Ok(seed) => seed.parse().expect("SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
    };
    println!("seed {seed}");
    let (start, mut told) = (Instant::now(), Instant::now());
    let mut fuzzers: Vec<Fuzzer> = TARGETS.iter().map(|(name, run, _)| Fuzzer::new(name, *run, seed)).collect();
    while start.elapsed() < time {
        fuzzers.iter_mut().for_each(|fuzzer| fuzzer.goes_on(TURN));
        if told.elapsed() >= REPORT_EVERY {
            told = Instant::now();
            tell(&fuzzers, start.elapsed());
        }
    }
    tell(&fuzzers, start.elapsed());
}

fn tell(fuzzers: &[Fuzzer], elapsed: Duration) {
    let inputs: u64 = fuzzers.iter().map(|fuzzer| fuzzer.inputs).sum();
    let rate = inputs / elapsed.as_secs().max(1);
    let kept: Vec<_> = fuzzers.iter().map(|fuzzer| format!("{} {}", fuzzer.name, fuzzer.pool.len())).collect();
    println!("{inputs} inputs in {} s, {rate} a second, no failure; kept: {}", elapsed.as_secs(), kept.join(", "));
}

/// One target, and the inputs that have been tried on it.
struct Fuzzer {
    name: &'static str,
    run: Run,
    seed: u64,
    random: Random,
    pool: Pool,
    inputs: u64,
}

impl Fuzzer {
    /// Makes a fuzzer that tries the corpus first.
    fn new(name: &'static str, run: Run, seed: u64) -> Self {
        let mut fuzzer = Self { name, run, seed, random: Random(seed), pool: Pool::default(), inputs: 0 };
        let corpus = pool::corpus(name);
        assert!(!corpus.is_empty(), "corpus/{name} is empty");
        for input in corpus {
            fuzzer.tries(input);
        }
        fuzzer
    }

    fn goes_on(&mut self, inputs: u64) {
        for _ in 0..inputs {
            let input = self.pool.next(&mut self.random);
            self.tries(input);
        }
    }

    fn tries(&mut self, input: Vec<u8>) {
        self.inputs += 1;
        match catch_unwind(AssertUnwindSafe(|| (self.run)(&input))) {
            Ok(what) => self.pool.keep(input, what),
            Err(panic) => {
                let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(format!("failed-{}", self.name));
                fs::write(&file, &input).expect("a file for the input");
                eprintln!(
                    "{} failed on input {} from seed {}: {}",
                    self.name,
                    self.inputs,
                    self.seed,
                    input.escape_ascii()
                );
                eprintln!("replay: mv {} tests/fuzz/corpus/{}/", file.display(), self.name);
                resume_unwind(panic);
            }
        }
    }
}
