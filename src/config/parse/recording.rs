//! What a configuration may hold, from the parser itself: it is run without any JSON, as if every field stood there, and
//! what it asks for is written down.

use serde_json::Value;
use std::cell::RefCell;

/// A field of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// JSON path, from `$`; `[]` stands for any element of a list, `NAME` for a name that the user chooses.
    pub path: String,
    /// Whether it must be there.
    pub required: bool,
    /// What stands there.
    pub shape: Shape,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// An object whose names the user chooses.
    Entries {
        /// JSON Schema of the names.
        names: Value,
    },
    /// A list, of at least one element.
    List,
    /// An object whose fields are known.
    Object,
    /// A value that has no parts of its own.
    Value {
        /// What is allowed, in words.
        allowed: String,
        /// What is allowed, as a JSON Schema.
        schema: Value,
    },
}

/// What was asked for while a reading was recorded.
#[derive(Debug, Default)]
pub struct Recording {
    fields: RefCell<Vec<(String, Shape)>>,
    required: RefCell<Vec<String>>,
}

impl Recording {
    /// Something is read at a path. An object of chosen names is an object first.
    pub fn add(&self, path: &str, shape: Shape) {
        let mut fields = self.fields.borrow_mut();
        match fields.iter_mut().find(|(known, _)| known == path) {
            Some((_, known)) => *known = shape,
            None => fields.push((path.to_owned(), shape)),
        }
    }

    /// Something must stand at a path.
    pub fn require(&self, path: String) {
        self.required.borrow_mut().push(path);
    }

    /// The fields, in the order in which they were read.
    pub fn into_fields(self) -> Vec<Field> {
        let required = self.required.into_inner();
        let fields = self.fields.into_inner().into_iter();
        fields.map(|(path, shape)| Field { required: required.contains(&path), path, shape }).collect()
    }
}
