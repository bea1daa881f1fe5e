//! The reader of a file, which finds the plugin configurations in it.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Read;
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlLoader};

/// A configuration and its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The file, and the plugin in it if the file holds several things.
    pub at: String,
    /// The plugin's name, if the file is not the configuration itself.
    pub plugin: Option<String>,
    pub json: String,
    /// The variables that the file gives the plugin's VM.
    pub env: BTreeMap<String, String>,
}

/// The names of this plugin in the shipped files.
const OUR_NAMES: [&str; 2] = ["mirror_on_miss", "mirror-on-miss"];

/// Reads a file, or the standard input for `-`. Never empty.
pub fn read(file: &str) -> Result<Vec<Found>, String> {
    let (name, text) = match file {
        "-" => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            ("stdin", read.map(|_| text))
        }
        _ => (file, std::fs::read_to_string(file)),
    };
    found(name, text.map_err(|error| format!("{name}: {error}"))?)
}

fn found(name: &str, text: String) -> Result<Vec<Found>, String> {
    let itself = |text| vec![Found { at: name.to_owned(), plugin: None, json: text, env: BTreeMap::new() }];
    let is_json = serde_json::from_str::<Value>(&text).is_ok();
    let documents = match YamlLoader::load_from_str(&text) {
        Ok(documents) => documents,
        // A text that begins as JSON is meant as JSON. The configuration's parser reports its problems.
        Err(_) if is_json || text.trim_start().starts_with('{') => return Ok(itself(text)),
        Err(error) => return Err(format!("{name}: is neither JSON nor YAML: {error}")),
    };
    let mut plugins = Vec::new();
    for document in &documents {
        collect(document, &mut plugins);
    }
    if plugins.iter().any(Plugin::is_ours) {
        plugins.retain(Plugin::is_ours);
    }
    if plugins.is_empty() {
        let is_yaml =
            !is_json && matches!(documents.as_slice(), [Yaml::Hash(_), ..]) && !text.trim_start().starts_with('{');
        return if is_yaml { Err(format!("{name}: contains no plugin configuration")) } else { Ok(itself(text)) };
    }
    let found = |Plugin { name: plugin, json, env }| Found {
        at: format!("{name}: plugin {plugin}"),
        plugin: Some(plugin),
        json,
        env,
    };
    Ok(plugins.into_iter().map(found).collect())
}

/// A plugin's configuration in a larger file.
struct Plugin {
    name: String,
    json: String,
    env: BTreeMap<String, String>,
}

impl Plugin {
    fn is_ours(&self) -> bool {
        OUR_NAMES.iter().any(|name| self.name.contains(name))
    }
}

/// Collects every plugin configuration in a document: Envoy's `configuration` beside a `vm_config`, Istio's
/// `pluginConfig`, the `config` beside a `code` in Envoy Gateway's `EnvoyExtensionPolicy`; also in the files of a
/// `ConfigMap`.
fn collect(yaml: &Yaml, plugins: &mut Vec<Plugin>) {
    match yaml {
        Yaml::Array(elements) => elements.iter().for_each(|element| collect(element, plugins)),
        Yaml::Hash(fields) => {
            let configuration = field(fields, "configuration").filter(|_| field(fields, "vm_config").is_some());
            let pluggable = field(fields, "pluginConfig");
            let config = field(fields, "config").filter(|_| field(fields, "code").is_some());
            if let Some(json) = configuration.or(pluggable).or(config).and_then(text) {
                plugins.push(Plugin { name: name(fields), json, env: variables(fields) });
                return;
            }
            if field(fields, "kind").and_then(Yaml::as_str) == Some("ConfigMap") {
                let files = field(fields, "data").and_then(Yaml::as_hash).into_iter().flat_map(Hash::values);
                let documents = files.filter_map(|file| YamlLoader::load_from_str(file.as_str()?).ok());
                documents.flatten().for_each(|document| collect(&document, plugins));
            }
            fields.values().for_each(|value| collect(value, plugins));
        }
        _ => {}
    }
}

fn name(fields: &Hash) -> String {
    let mut named =
        ["name", "root_id", "rootID", "pluginName"].into_iter().filter_map(|name| field(fields, name)?.as_str());
    named.find(|name| !name.is_empty()).unwrap_or("without a name").to_owned()
}

/// Returns the variables of a plugin's VM that have a value in the file: Envoy's `key_values`, the `env` of Istio's
/// `WasmPlugin`.
fn variables(fields: &Hash) -> BTreeMap<String, String> {
    let part = |fields: &Hash, name: &str| field(fields, name).and_then(Yaml::as_hash).cloned();
    let envoy = part(fields, "vm_config").and_then(|vm| part(&vm, "environment_variables"));
    let pairs = envoy.and_then(|variables| part(&variables, "key_values")).unwrap_or_default();
    let pairs = pairs.iter().filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value.as_str()?.to_owned())));
    let istio = part(fields, "vmConfig").and_then(|vm| field(&vm, "env").and_then(Yaml::as_vec).cloned());
    let named = istio.unwrap_or_default();
    let named = named.iter().filter_map(|entry| {
        let text = |name: &str| Some(field(entry.as_hash()?, name)?.as_str()?.to_owned());
        Some((text("name")?, text("value")?))
    });
    pairs.chain(named).collect()
}

fn field<'a>(fields: &'a Hash, name: &str) -> Option<&'a Yaml> {
    fields.get(&Yaml::String(name.to_owned()))
}

/// Returns the configuration as text. It is a text itself, a protobuf `StringValue` or `Struct` (which wrap it as
/// `value`), or an object.
fn text(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::Hash(fields) => match field(fields, "value").filter(|_| field(fields, "@type").is_some()) {
            Some(value) => text(value),
            None => Some(json(yaml).to_string()),
        },
        Yaml::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn json(yaml: &Yaml) -> Value {
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
