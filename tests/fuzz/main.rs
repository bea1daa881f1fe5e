//! Random inputs for everything that reads foreign bytes ([`readers`]), and for the machine as a whole ([`machine`]).
//!
//! `cargo test` tries as many inputs as a few seconds allow, the same ones each time. A target returns a number for
//! an input's result, and an input with a new result is mutated further ([`pool`]). The inputs in `corpus/` come
//! first. Put an input there that once made a target fail.
//!
//! `make fuzz` goes on for longer, with libFuzzer, which sees the code that an input reaches (`libfuzzer.rs`).

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
mod targets;

use pool::Pool;
use random::Random;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use targets::{Run, TARGETS};

/// The seed of a run of `cargo test`.
const SEED: u64 = 1;

#[test]
fn no_input_makes_anything_fail() {
    for (name, run, inputs) in TARGETS {
        Fuzzer::new(name, run, SEED).goes_on(inputs);
    }
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
