//! Reading JSON into types that cannot be wrong, and collecting every problem on the way.

use serde_json::{Map, Value};
use std::cell::RefCell;
use std::fmt;

/// One thing that is wrong with a configuration: where, what stands there, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON path, from `$`.
    pub path: String,
    /// What is wrong, with the value and what is allowed in its place.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Every problem found so far.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Records that something is wrong at `path`.
    pub fn add(&self, path: &str, what: impl Into<String>) {
        self.0.borrow_mut().push(Problem { path: path.to_owned(), what: what.into() });
    }

    /// All problems, in the order in which they were found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// The fields of one JSON object. Each is taken once, by name; what is left at the end is unknown.
#[derive(Debug)]
pub struct Fields<'a> {
    path: String,
    fields: Map<String, Value>,
    taken: Vec<&'static str>,
    /// Not an object at all, which was reported; nothing else about it is worth saying.
    broken: bool,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, or none and a problem if it is not an object.
    pub fn of(value: Value, path: String, problems: &'a Problems) -> Self {
        let (fields, broken) = match value {
            Value::Object(fields) => (fields, false),
            other => {
                problems.add(&path, refused(&other, "a JSON object"));
                (Map::new(), true)
            }
        };
        Self { path, fields, taken: Vec::new(), broken, problems }
    }

    /// The value of an optional field, as `parse` reads it. `parse` fails with the text of what is allowed.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&Value) -> Result<T, &'static str>,
    ) -> Option<T> {
        let value = self.take(name)?;
        parse(&value).map_err(|allowed| self.problems.add(&self.path_of(name), refused(&value, allowed))).ok()
    }

    /// The value of a field that must be there.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&Value) -> Result<T, &'static str>,
    ) -> Option<T> {
        if !self.has(name) {
            self.taken.push(name);
            if !self.broken {
                self.problems.add(&self.path_of(name), "is missing");
            }
            return None;
        }
        self.optional(name, parse)
    }

    /// An optional field that is an object itself.
    pub fn object(&mut self, name: &'static str) -> Option<Fields<'a>> {
        let value = self.take(name)?;
        Some(Fields::of(value, self.path_of(name), self.problems))
    }

    /// The same for a field whose value must not be shown, whatever it is.
    pub fn secret_object(&mut self, name: &'static str) -> Option<Fields<'a>> {
        let value = self.take(name)?;
        if !value.is_object() {
            self.problems.add(&self.path_of(name), "is not allowed; expected a JSON object");
            return None;
        }
        Some(Fields::of(value, self.path_of(name), self.problems))
    }

    /// An optional field that is a list, its elements with their paths.
    pub fn list(&mut self, name: &'static str) -> Option<Vec<(String, Value)>> {
        let path = self.path_of(name);
        match self.take(name)? {
            Value::Array(values) => {
                Some(values.into_iter().enumerate().map(|(i, value)| (format!("{path}[{i}]"), value)).collect())
            }
            other => {
                self.problems.add(&path, refused(&other, "a JSON array"));
                None
            }
        }
    }

    /// All fields with their names and paths, for an object whose names the user chooses.
    pub fn entries(mut self) -> Vec<(String, String, Value)> {
        let fields = std::mem::take(&mut self.fields);
        fields.into_iter().map(|(name, value)| (name.clone(), format!("{}.{name}", self.path), value)).collect()
    }

    /// Whether the field stands there and was not taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Where one of its fields stands, or would stand.
    pub fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// Reports every field that nobody took.
    pub fn finish(self) {
        for name in self.fields.keys() {
            let mut allowed = self.taken.clone();
            allowed.sort_unstable();
            self.problems.add(&self.path_of(name), format!("is not a field; allowed here: {}", allowed.join(", ")));
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.taken.push(name);
        self.fields.remove(name)
    }
}

/// `VALUE is not allowed; expected ALLOWED`, with a value too long for a log line cut short. A value that may hold a
/// secret is not shown: objects and lists, which may be headers, and what has an `@`, which may be `user:password@host`.
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
    format!("{shown}{cut} is not allowed; expected {allowed}")
}
