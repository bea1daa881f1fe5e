//! The configuration's JSON Schema (draft 2020-12), for editors and for programs that generate configurations.
//!
//! The schema accepts everything that the parser accepts. Some rules only the parser checks: bounds of sizes and
//! times; `memory` is not below `part_size`; a rule's origins are named; `strip_prefix` is a part of `prefix`;
//! `response: origin` has a `public_url`; secrets exist; hosts, URLs and paths are right in every detail.

use super::fields::{Field, Shape, fields};
use super::reference::{Default, entry};
use crate::config::parse::environment;
use serde_json::{Map, Value, json};

/// Makes the schema.
pub fn schema() -> Value {
    let fields = Fields(fields());
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of mirror-on-miss",
        "$defs": {"origin": fields.at("$.origins.NAME")},
    });
    merge(&mut schema, fields.at("$"));
    merge(&mut schema, between_fields());
    schema
}

/// Expresses the rules between fields that a schema can express.
fn between_fields() -> Value {
    let several_origins = json!({"required": ["origins"], "properties": {"origins": {"minProperties": 2}}});
    let mirrors = json!({"properties": {"mirror": {"const": true}}});
    let names_origins = json!({"if": mirrors, "then": {"required": ["origins"]}});
    json!({
        "oneOf": [{"required": ["origin"]}, {"required": ["origins"]}],
        "if": several_origins,
        "then": {"required": ["rules"], "properties": {"rules": {"items": names_origins}}},
    })
}

/// Expresses the rules between the fields of the object at a path.
fn between_fields_of(path: &str) -> Option<Value> {
    match path {
        "$.bucket" => Some(json!({
            "if": {"required": ["exposed"], "properties": {"exposed": {"const": "path"}}},
            "then": {"required": ["path_prefix"], "properties": {"path_prefix": {"minLength": 2}}},
        })),
        "$.origins" => Some(json!({"minProperties": 1})),
        "$.rules[]" => Some(json!({
            "if": {"required": ["mirror"], "properties": {"mirror": {"const": false}}},
            "then": {"propertyNames": {"enum": ["prefix", "suffixes", "methods", "mirror"]}},
        })),
        _ => None,
    }
}

/// All fields, for a search by path.
struct Fields(Vec<Field>);

impl Fields {
    /// Makes the schema of the value at a path.
    fn at(&self, path: &str) -> Value {
        let shape = self.0.iter().find(|field| field.path == path).map(|field| &field.shape);
        let mut schema = match shape {
            Some(Shape::Entries { names }) => json!({
                "type": "object",
                "propertyNames": names,
                "additionalProperties": self.described(&format!("{path}.NAME")),
            }),
            Some(Shape::List) => {
                json!({"type": "array", "items": self.described(&format!("{path}[]")), "minItems": 1})
            }
            Some(Shape::Object) => self.object(path),
            Some(Shape::Value { schema, .. }) if environment::takes_variable(path) => {
                json!({"anyOf": [schema, environment::schema()]})
            }
            Some(Shape::Value { schema, .. }) => schema.clone(),
            None => Value::Null,
        };
        if let Some(more) = between_fields_of(path) {
            merge(&mut schema, more);
        }
        schema
    }

    fn object(&self, path: &str) -> Value {
        let parts = self.0.iter().filter_map(|field| {
            let name = field.path.strip_prefix(path)?.strip_prefix('.')?;
            (!name.contains(['.', '['])).then_some((name, field))
        });
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for (name, field) in parts {
            properties.insert(name.to_owned(), self.described(&field.path));
            if field.required {
                required.push(name);
            }
        }
        let mut object = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !required.is_empty() {
            merge(&mut object, json!({"required": required}));
        }
        object
    }

    /// Makes the schema of a field, with its description.
    fn described(&self, path: &str) -> Value {
        let mut schema = match path {
            "$.origin" | "$.origins.NAME" => json!({"$ref": "#/$defs/origin"}),
            _ => self.at(path),
        };
        if let Some(entry) = entry(path) {
            merge(&mut schema, json!({"description": entry.text}));
            if let Default::Json(default) = entry.default {
                merge(&mut schema, json!({"default": serde_json::from_str::<Value>(default).ok()}));
            }
        }
        schema
    }
}

fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}
