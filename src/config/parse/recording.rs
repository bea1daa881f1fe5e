//! The fields that a configuration may hold, recorded from the parser itself. The parser runs without JSON as if
//! every field were there; the recording keeps the fields that it asks for.

use serde_json::Value;
use std::cell::RefCell;

/// A field of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// JSON path, from `$`; `[]` stands for any element of a list, `NAME` for a name that the user chooses.
    pub path: String,
    pub required: bool,
    pub shape: Shape,
}

/// The form of the value at a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// An object with names that the user chooses.
    Entries {
        /// JSON Schema of the names.
        names: Value,
    },
    /// A list of at least one element.
    List,
    /// An object with known fields.
    Object,
    /// A value without parts of its own.
    Value {
        /// The allowed values, in words.
        allowed: String,
        /// The allowed values, as a JSON Schema.
        schema: Value,
    },
}

/// The fields that were asked for while a reading was recorded.
#[derive(Debug, Default)]
pub struct Recording {
    fields: RefCell<Vec<(String, Shape)>>,
    required: RefCell<Vec<String>>,
}

impl Recording {
    /// Records a read at a path. An object of chosen names is an object first.
    pub fn add(&self, path: &str, shape: Shape) {
        let mut fields = self.fields.borrow_mut();
        match fields.iter_mut().find(|(known, _)| known == path) {
            Some((_, known)) => *known = shape,
            None => fields.push((path.to_owned(), shape)),
        }
    }

    /// Records that the field at a path is required.
    pub fn require(&self, path: String) {
        self.required.borrow_mut().push(path);
    }

    /// Returns the fields, in the order in which they were read.
    pub fn into_fields(self) -> Vec<Field> {
        let required = self.required.into_inner();
        let fields = self.fields.into_inner().into_iter();
        fields.map(|(path, shape)| Field { required: required.contains(&path), path, shape }).collect()
    }
}
