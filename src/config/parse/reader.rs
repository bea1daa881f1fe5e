//! The reader of JSON: it makes types that cannot be wrong, and collects every problem on the way.
//!
//! The same reader runs without JSON, too, and records the fields that can be read: see [`Recording`].

use super::recording::{Recording, Shape};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::fmt;

/// One problem of a configuration: its place, the value that stands there, and the values that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON path, from `$`.
    pub path: String,
    /// The problem, with the value and the values that are allowed.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// A kind of value: its reader, and its allowed values in words and as a JSON Schema.
pub trait Kind {
    type Read;

    /// Reads a value. `None` if it is not allowed.
    fn read(&self, value: &Value) -> Option<Self::Read>;

    /// Names the allowed values, in words that follow "expected".
    fn allowed(&self) -> &str;

    /// Makes a JSON Schema that accepts everything that [`read`](Self::read) does.
    fn schema(&self) -> Value;

    /// Describes a value that is not allowed.
    fn refused(&self, value: &Value) -> String {
        refused(value, self.allowed())
    }
}

/// Every problem found so far. While a reading is recorded: every field that was asked for.
#[derive(Debug, Default)]
pub struct Problems {
    found: RefCell<Vec<Problem>>,
    recording: Option<Recording>,
}

impl Problems {
    /// Makes the one for a reading that is recorded.
    pub fn recorded() -> Self {
        Self { recording: Some(Recording::default()), ..Self::default() }
    }

    /// Adds a problem of the value at `path`.
    pub fn add(&self, path: &str, what: impl Into<String>) {
        self.found.borrow_mut().push(Problem { path: path.to_owned(), what: what.into() });
    }

    /// Reads the value at `path`.
    pub fn read<K: Kind>(&self, path: &str, value: &Value, kind: &K) -> Option<K::Read> {
        if let Some(recording) = self.recording() {
            recording.add(path, Shape::Value { allowed: kind.allowed().to_owned(), schema: kind.schema() });
            return None;
        }
        let read = kind.read(value);
        if read.is_none() {
            self.add(path, kind.refused(value));
        }
        read
    }

    /// Returns all problems, in the order in which they were found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.found.into_inner()
    }

    pub fn into_recording(self) -> Option<Recording> {
        self.recording
    }

    /// Returns `None` except while a reading is recorded. The module never records, so it contains no code for it.
    fn recording(&self) -> Option<&Recording> {
        if cfg!(target_arch = "wasm32") { None } else { self.recording.as_ref() }
    }
}

/// The fields of one JSON object. The parser takes each once, by name; a field that is left at the end is unknown.
#[derive(Debug)]
pub struct Fields<'a> {
    path: String,
    fields: Map<String, Value>,
    /// Sorted.
    taken: Vec<&'static str>,
    /// The value is not an object, which was reported. Nothing else about it is worth a problem.
    broken: bool,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// Opens the fields of `value`. A value that is not an object has none, and is a problem.
    pub fn of(value: Value, path: String, problems: &'a Problems) -> Self {
        let (fields, broken) = match value {
            Value::Object(fields) => (fields, false),
            other => {
                match problems.recording() {
                    Some(recording) => recording.add(&path, Shape::Object),
                    None => problems.add(&path, refused(&other, "a JSON object")),
                }
                (Map::new(), true)
            }
        };
        Self { path, fields, taken: Vec::new(), broken, problems }
    }

    /// Reads an optional field.
    pub fn optional<K: Kind>(&mut self, name: &'static str, kind: K) -> Option<K::Read> {
        let value = self.take(name)?;
        self.problems.read(&self.path_of(name), &value, &kind)
    }

    /// Reads a field that is required.
    pub fn required<K: Kind>(&mut self, name: &'static str, kind: K) -> Option<K::Read> {
        self.demand(name);
        self.optional(name, kind)
    }

    /// Opens an optional field that is an object itself.
    pub fn object(&mut self, name: &'static str) -> Option<Fields<'a>> {
        let value = self.take(name)?;
        Some(Fields::of(value, self.path_of(name), self.problems))
    }

    /// Opens a required field that is an object itself.
    pub fn required_object(&mut self, name: &'static str) -> Option<Fields<'a>> {
        self.demand(name);
        self.object(name)
    }

    /// Opens an optional object whose value must not be shown, of any type.
    pub fn secret_object(&mut self, name: &'static str) -> Option<Fields<'a>> {
        let value = self.take(name)?;
        if !value.is_object() && self.problems.recording().is_none() {
            self.problems.add(&self.path_of(name), "is not allowed; expected a JSON object");
            return None;
        }
        Some(Fields::of(value, self.path_of(name), self.problems))
    }

    /// Opens an optional list. Returns its elements with their paths.
    pub fn list(&mut self, name: &'static str) -> Option<Vec<(String, Value)>> {
        let path = self.path_of(name);
        let value = self.take(name)?;
        if let Some(recording) = self.problems.recording() {
            recording.add(&path, Shape::List);
            return Some(vec![(format!("{path}[]"), value)]);
        }
        match value {
            Value::Array(values) => {
                Some(values.into_iter().enumerate().map(|(i, value)| (format!("{path}[{i}]"), value)).collect())
            }
            other => {
                self.problems.add(&path, refused(&other, "a JSON array"));
                None
            }
        }
    }

    /// Reads the elements of an optional list; none without one.
    pub fn each<K: Kind>(&mut self, name: &'static str, kind: K) -> Vec<K::Read> {
        let Some(values) = self.list(name) else { return Vec::new() };
        if values.is_empty() {
            self.problems.add(&self.path_of(name), "is empty: leave it out, or give at least one");
        }
        values.into_iter().filter_map(|(path, value)| self.problems.read(&path, &value, &kind)).collect()
    }

    /// Returns all fields with their names and paths, for an object with names of the user's choice that are of a
    /// kind.
    pub fn entries<K: Kind>(self, names: &K) -> Vec<(String, String, Value)> {
        if let Some(recording) = self.problems.recording() {
            recording.add(&self.path, Shape::Entries { names: names.schema() });
            return vec![("NAME".to_owned(), self.path_of("NAME"), Value::Null)];
        }
        let problems = self.problems;
        let entries = self.into_entries();
        for (name, path, _) in &entries {
            if names.read(&Value::String(name.clone())).is_none() {
                problems.add(path, format!("is not allowed; expected {}", names.allowed()));
            }
        }
        entries
    }

    fn into_entries(mut self) -> Vec<(String, String, Value)> {
        let fields = std::mem::take(&mut self.fields);
        fields.into_iter().map(|(name, value)| (name.clone(), format!("{}.{name}", self.path), value)).collect()
    }

    /// Tells if the field is there and was not taken yet.
    fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Returns the path of one of its fields, even of one that is absent.
    pub fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// Reports every field that was not taken.
    pub fn finish(self) {
        for name in self.fields.keys() {
            let allowed = self.taken.join(", ");
            self.problems.add(&self.path_of(name), format!("is not a field; allowed here: {allowed}"));
        }
    }

    /// Takes a field. While a reading is recorded, every field is there.
    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.note(name);
        self.fields.remove(name).or_else(|| self.problems.recording().map(|_| Value::Null))
    }

    fn demand(&self, name: &'static str) {
        let path = self.path_of(name);
        match self.problems.recording() {
            Some(recording) => recording.require(path),
            None if self.broken || self.has(name) => {}
            None => self.problems.add(&path, "is missing"),
        }
    }

    fn note(&mut self, name: &'static str) {
        let at = self.taken.partition_point(|known| *known < name);
        self.taken.insert(at, name);
    }
}

/// The words of a refusal between the value and what is allowed.
pub const REFUSED: &str = " is not allowed; expected ";

/// Writes `VALUE is not allowed; expected ALLOWED`. A value too long for a log line is cut short. A value that may
/// hold a secret is not shown: objects and lists, which may be headers, and a text with an `@`, which may be
/// `user:password@host`.
pub fn refused(value: &Value, allowed: &str) -> String {
    const SHOWN: usize = 80;
    let text = match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.contains('@') => "a string with \"@\"".to_owned(),
        other => other.to_string(),
    };
    let shown: String = text.chars().take(SHOWN).collect();
    let cut = if shown.len() < text.len() { "..." } else { "" };
    format!("{shown}{cut}{REFUSED}{allowed}")
}
