//! One target of tests/fuzz under libFuzzer; the environment variable `TARGET` names it.

#![no_main]

mod machine;
mod readers;
mod targets;

use std::env;
use std::sync::OnceLock;

static TARGET: OnceLock<targets::Run> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let run = TARGET.get_or_init(|| {
        let name = env::var("TARGET").expect("TARGET names a target");
        let found = targets::TARGETS.iter().find(|(known, ..)| *known == name);
        found.unwrap_or_else(|| panic!("TARGET={name} is no target")).1
    });
    run(input);
});
