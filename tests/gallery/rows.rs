//! The gallery of origins: one table of what origins do, `origins.json`. Each row runs natively and through the real Envoy, and
//! stands in `docs/origins.md`.

use serde_json::{Value, json};

/// Reads the table: groups of rows that have something in common.
pub fn groups() -> Vec<Value> {
    let groups: Value = serde_json::from_str(include_str!("origins.json")).expect("a table in JSON");
    groups.as_array().expect("groups").clone()
}

pub fn rows(group: &Value) -> &[Value] {
    group["rows"].as_array().expect("rows")
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Returns the settings of a row's origins, in order.
pub fn origins(row: &Value) -> Vec<Value> {
    row["origins"].as_array().cloned().unwrap_or_else(|| vec![json!({})])
}
