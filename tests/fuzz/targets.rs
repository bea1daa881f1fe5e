//! The targets: one function for each, with its share of `cargo test`.

use crate::{machine, readers};

/// A target. It fails on a result that no input may have. The number it returns tells different results apart.
pub type Run = fn(&[u8]) -> u64;

/// The name of the target's folder in `corpus/`, its function, and the number of inputs that `cargo test` gives it.
pub const TARGETS: [(&str, Run, u64); 11] = [
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
