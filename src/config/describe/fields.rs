//! Every field that a configuration may have, as the parser asks for it.

pub use crate::config::parse::recording::{Field, Shape};

use crate::config::parse::parser::Parser;
use crate::config::parse::reader::Problems;
use crate::config::parse::recording::Recording;
use serde_json::Value;

/// Lists every field of the configuration, in the order in which the parser reads them.
pub fn fields() -> Vec<Field> {
    let problems = Problems::recorded();
    let _ = Parser { env: &|_| None, problems: &problems }.config(Value::Null);
    problems.into_recording().map(Recording::into_fields).unwrap_or_default()
}
