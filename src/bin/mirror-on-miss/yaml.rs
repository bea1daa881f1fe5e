//! Values of a YAML file.

use serde_json::{Map, Value};
use std::time::Duration;
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlLoader};

pub fn field<'a>(fields: &'a Hash, name: &str) -> Option<&'a Yaml> {
    fields.get(&Yaml::String(name.to_owned()))
}

/// Returns the documents of a text, none if it is no YAML.
pub fn documents(text: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(text).unwrap_or_default()
}

/// Returns the entries of a `ConfigMap` that are files: their names have an extension.
pub fn files(config_map: &Hash) -> Vec<(&str, &str)> {
    let data = field(config_map, "data").and_then(Yaml::as_hash).into_iter().flatten();
    let entries = data.filter_map(|(name, text)| Some((name.as_str()?, text.as_str()?)));
    entries.filter(|(name, _)| name.contains('.')).collect()
}

/// Returns the pairs of a list of `{name, value}`.
pub fn named_values(entries: &[Yaml]) -> Vec<(String, String)> {
    let pair = |entry: &Yaml| Some((entry["name"].as_str()?.to_owned(), scalar(&entry["value"])?));
    entries.iter().filter_map(pair).collect()
}

/// Returns a text, a number or a boolean as it is written in a variable.
pub fn scalar(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::Boolean(value) => Some(value.to_string()),
        Yaml::Integer(value) => Some(value.to_string()),
        Yaml::Real(text) | Yaml::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// Returns a duration as protobuf writes it in JSON, `60s` or `0.25s`.
pub fn duration(yaml: &Yaml) -> Option<Duration> {
    let seconds = yaml.as_str()?.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

pub fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Array(elements) => elements.iter().map(json).collect(),
        Yaml::Boolean(value) => Value::Bool(*value),
        Yaml::Hash(fields) => {
            let name = |name: &Yaml| match json(name) {
                Value::String(name) => name,
                other => other.to_string(),
            };
            Value::Object(fields.iter().map(|(key, value)| (name(key), json(value))).collect::<Map<_, _>>())
        }
        Yaml::Integer(value) => Value::from(*value),
        Yaml::Real(text) => text.parse::<f64>().map(Value::from).unwrap_or_default(),
        Yaml::String(text) => Value::String(text.clone()),
        Yaml::Alias(_) | Yaml::BadValue | Yaml::Null => Value::Null,
    }
}
