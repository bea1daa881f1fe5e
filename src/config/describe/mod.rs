//! Descriptions of the configuration's fields for people and editors: a reference, a table of it, and a JSON Schema.

pub mod fields;
pub mod reference;
pub mod schema;
pub mod table;
