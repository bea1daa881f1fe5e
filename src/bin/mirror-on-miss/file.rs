//! The reader of a file, which finds the plugin configurations in it and what stands around them.

use super::container;
use super::yaml::{self, field, json};
use mirror_on_miss::worker::streaming::CLUSTER_HEADER;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlLoader};

/// A file.
pub struct File {
    /// Its name, `stdin` for the standard input.
    pub name: String,
    /// What is in it, as containers will run it.
    pub documents: Vec<Document>,
    /// The plugin configurations. Empty if the file is an Envoy configuration without one, as the signer's is.
    pub found: Vec<Found>,
    /// Words on what was read in place of what stands there, and problems of containers.
    pub hints: Vec<String>,
    pub problems: Vec<String>,
}

/// A document of a file, or a file that a container makes of it.
#[derive(Clone)]
pub struct Document {
    pub at: String,
    pub yaml: Yaml,
}

/// A configuration and its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The file, and the plugin in it if the file holds several things.
    pub at: String,
    /// The plugin's name, if the file is not the configuration itself.
    pub plugin: Option<String>,
    /// The container that runs it, if the file says how it is run.
    pub container: Option<String>,
    pub json: String,
    /// The variables that the file gives the plugin's VM.
    pub env: BTreeMap<String, String>,
    pub around: Around,
}

/// What Envoy's configuration says around a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The names of all clusters; `None` where others may come by discovery, or the file has none.
    pub clusters: Option<Vec<String>>,
    /// The times after which Envoy gives a silent request up, each with the setting's place.
    pub idle: Vec<(String, Duration)>,
    /// The routes for streams; `None` where the file has no routes.
    pub streams: Option<StreamRoutes>,
    /// The filter hears of a bucket that fails; `None` where the file does not choose what the filter hears of.
    pub failures: Option<bool>,
}

/// Envoy's half of streaming.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRoutes {
    /// The ends of paths by which routes know a request.
    pub markers: Vec<String>,
    /// A route takes its cluster from a header, as only that to an origin does.
    pub to_origin: bool,
}

/// The names of this plugin in the shipped files.
const OUR_NAMES: [&str; 2] = ["mirror_on_miss", "mirror-on-miss"];

/// Envoy's default of `stream_idle_timeout`.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Reads a file, or the standard input for `-`. The error says why there is nothing to look at.
pub fn read(file: &str) -> Result<File, String> {
    let path = Path::new(file);
    if path.is_dir() {
        return Err(format!("{file}: is a directory; {}", of_directory(file)));
    }
    let (name, text) = match file {
        "-" => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            ("stdin", read.map(|_| text))
        }
        _ => (file, std::fs::read_to_string(file)),
    };
    parsed(name, path.parent().unwrap_or(Path::new("")), text.map_err(|error| format!("{name}: {error}"))?)
}

fn parsed(name: &str, beside: &Path, text: String) -> Result<File, String> {
    let itself = |text| File {
        name: name.to_owned(),
        documents: Vec::new(),
        found: vec![Found {
            at: name.to_owned(),
            plugin: None,
            container: None,
            json: text,
            env: BTreeMap::new(),
            around: Around::default(),
        }],
        hints: Vec::new(),
        problems: Vec::new(),
    };
    let is_json = serde_json::from_str::<Value>(&text).is_ok();
    let documents = match YamlLoader::load_from_str(&text) {
        Ok(documents) => documents,
        // A text that begins as JSON is meant as JSON. The configuration's parser reports its problems.
        Err(_) if is_json || (text.trim_start().starts_with('{') && !text.contains("{{")) => return Ok(itself(text)),
        Err(_) if text.contains("{{") => return Err(format!("{name}: {OF_CHART}")),
        Err(error) => return Err(format!("{name}: is neither JSON nor YAML: {error}")),
    };
    if documents.iter().any(is_kustomization) {
        let directory = if beside.as_os_str().is_empty() { "." } else { &beside.display().to_string() };
        return Err(format!("{name}: {}", of_kustomization(directory)));
    }
    let container::Run { documents, hints, problems } = container::run(name, beside, documents);
    let mut plugins = Vec::new();
    for Document { at, yaml } in &documents {
        collect(yaml, &Around::default(), at, &mut plugins);
    }
    if plugins.iter().any(Plugin::is_ours) {
        plugins.retain(Plugin::is_ours);
    }
    if plugins.is_empty() {
        let is_envoy = documents.iter().any(|document| has(&document.yaml, "static_resources"));
        let is_yaml = !is_json
            && matches!(documents.first(), Some(Document { yaml: Yaml::Hash(_), .. }))
            && !text.trim_start().starts_with('{');
        match (is_envoy, is_yaml && problems.is_empty()) {
            (false, false) if problems.is_empty() => return Ok(itself(text)),
            (false, true) => return Err(format!("{name}: contains no plugin configuration")),
            _ => {}
        }
    }
    let found = |Plugin { at, name: plugin, json, env, around }| Found {
        container: at.strip_prefix(name).and_then(|at| at.strip_prefix(": ")).map(str::to_owned),
        at: format!("{at}: plugin {plugin}"),
        plugin: Some(plugin),
        json,
        env,
        around,
    };
    let found = plugins.into_iter().map(found).collect();
    Ok(File { name: name.to_owned(), documents, found, hints, problems })
}

const OF_CHART: &str = "is a template of a Helm chart; check what it makes: \
                        helm template DIRECTORY --values VALUES | mirror-on-miss check -";

fn of_kustomization(directory: &str) -> String {
    format!("is a kustomization; check what it makes: kubectl kustomize {directory} | mirror-on-miss check -")
}

fn of_directory(directory: &str) -> String {
    let has = |file: &str| Path::new(directory).join(file).exists();
    match (has("kustomization.yaml"), has("Chart.yaml")) {
        (true, _) => of_kustomization(directory),
        (_, true) => format!("{OF_CHART}, with {directory} for DIRECTORY"),
        _ => "name the files".to_owned(),
    }
}

fn is_kustomization(yaml: &Yaml) -> bool {
    let group = yaml["apiVersion"].as_str().unwrap_or_default();
    group.starts_with("kustomize.config.k8s.io/")
}

fn has(yaml: &Yaml, name: &str) -> bool {
    yaml.as_hash().is_some_and(|fields| field(fields, name).is_some())
}

/// A plugin's configuration in a larger file.
struct Plugin {
    at: String,
    name: String,
    json: String,
    env: BTreeMap<String, String>,
    around: Around,
}

impl Plugin {
    fn is_ours(&self) -> bool {
        OUR_NAMES.iter().any(|name| self.name.contains(name))
    }
}

/// Collects every plugin configuration in a document: Envoy's `configuration` beside a `vm_config`, Istio's
/// `pluginConfig`, the `config` beside a `code` in Envoy Gateway's `EnvoyExtensionPolicy`; also in the files of a
/// `ConfigMap`.
fn collect(yaml: &Yaml, around: &Around, at: &str, plugins: &mut Vec<Plugin>) {
    match yaml {
        Yaml::Array(elements) => elements.iter().for_each(|element| collect(element, around, at, plugins)),
        Yaml::Hash(fields) => {
            let configuration = field(fields, "configuration").filter(|_| field(fields, "vm_config").is_some());
            let pluggable = field(fields, "pluginConfig");
            let config = field(fields, "config").filter(|_| field(fields, "code").is_some());
            if let Some(json) = configuration.or(pluggable).or(config).and_then(text) {
                let (name, env) = (name(fields), variables(fields));
                plugins.push(Plugin { at: at.to_owned(), name, json, env, around: around.clone() });
                return;
            }
            if field(fields, "kind").and_then(Yaml::as_str) == Some("ConfigMap") {
                for document in yaml::files(fields).into_iter().flat_map(|(_, text)| yaml::documents(text)) {
                    collect(&document, &Around::default(), at, plugins);
                }
            }
            let around = &around.within(fields);
            fields.values().for_each(|value| collect(value, around, at, plugins));
        }
        _ => {}
    }
}

impl Around {
    /// Adds what an object of Envoy's says to everything in it.
    fn within(&self, fields: &Hash) -> Self {
        let mut around = self.clone();
        if let Some(resources) = field(fields, "static_resources") {
            let names = resources["clusters"].as_vec().into_iter().flatten().filter_map(|it| it["name"].as_str());
            let discovered = field(fields, "dynamic_resources").is_some();
            around.clusters = (!discovered).then(|| names.map(str::to_owned).collect());
            let mut streams = StreamRoutes::default();
            streams.collect(resources);
            around.streams = (!discovered).then_some(streams);
            around.failures = hears_of_failures(resources).filter(|_| !discovered);
        }
        if field(fields, "http_filters").is_some() && field(fields, "stat_prefix").is_some() {
            let set = field(fields, "stream_idle_timeout").and_then(yaml::duration);
            around.idle = vec![("stream_idle_timeout".to_owned(), set.unwrap_or(STREAM_IDLE_TIMEOUT))];
            if let Some(routes) = field(fields, "route_config") {
                around.idle.extend(idle_timeouts(routes));
            }
        }
        around
    }
}

impl StreamRoutes {
    fn collect(&mut self, yaml: &Yaml) {
        match yaml {
            Yaml::Array(elements) => elements.iter().for_each(|element| self.collect(element)),
            Yaml::Hash(fields) => {
                self.to_origin |= field(fields, "cluster_header").and_then(Yaml::as_str) == Some(CLUSTER_HEADER);
                let is_path = field(fields, "name").and_then(Yaml::as_str) == Some(":path");
                let suffix = field(fields, "string_match").and_then(|matched| matched["suffix"].as_str());
                self.markers.extend(suffix.filter(|_| is_path).map(str::to_owned));
                fields.values().for_each(|value| self.collect(value));
            }
            _ => {}
        }
    }
}

/// Tells if 503 is among the statuses by which a file chooses: those that a matcher passes to the filter, or those that are tried
/// again at the filter. `None` without such statuses.
fn hears_of_failures(yaml: &Yaml) -> Option<bool> {
    match yaml {
        Yaml::Array(elements) => elements.iter().filter_map(hears_of_failures).max(),
        Yaml::Hash(fields) => {
            let exact = field(fields, "value_match").and_then(|matched| matched["exact"].as_str());
            let matched = exact.and_then(|exact| match exact {
                "5xx" | "503" => Some(true),
                "403" | "404" => Some(false),
                _ => None,
            });
            let retried = field(fields, "retriable_status_codes").and_then(Yaml::as_vec);
            let retried = retried.map(|statuses| statuses.contains(&Yaml::Integer(503)));
            fields.values().filter_map(hears_of_failures).chain(matched).chain(retried).max()
        }
        _ => None,
    }
}

/// Lists the `idle_timeout` of each route that has one.
fn idle_timeouts(yaml: &Yaml) -> Vec<(String, Duration)> {
    match yaml {
        Yaml::Array(elements) => elements.iter().flat_map(idle_timeouts).collect(),
        Yaml::Hash(fields) => {
            // Nobody waits for a fill on a route to an origin.
            let waits = |route: &&Yaml| route["cluster_header"].as_str() != Some(CLUSTER_HEADER);
            let own = field(fields, "route").filter(waits).and_then(|route| yaml::duration(&route["idle_timeout"]));
            let name = field(fields, "name").and_then(Yaml::as_str).unwrap_or("without a name");
            let own = own.map(|time| (format!("idle_timeout of the route {name}"), time));
            own.into_iter().chain(fields.values().flat_map(idle_timeouts)).collect()
        }
        _ => Vec::new(),
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
    pairs.chain(yaml::named_values(istio.as_deref().unwrap_or_default())).collect()
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
