//! The configuration that a container runs: `start.sh` makes it of a shipped file and the container's variables.
//!
//! Containers are found in the objects of Kubernetes that run pods, with the `ConfigMap`s beside them, and in a compose
//! file. The script that runs here is the one that this command was built with, and never one from the file.

use super::file::Document;
use super::yaml::{self, field};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use yaml_rust2::Yaml;

/// The outcome of looking for containers.
pub struct Run {
    pub documents: Vec<Document>,
    pub hints: Vec<String>,
    pub problems: Vec<String>,
}

/// A container that runs `start.sh NAME`.
struct Container {
    /// Its place, for people.
    at: String,
    /// The name of a shipped configuration.
    name: String,
    variables: BTreeMap<String, String>,
}

pub const SCRIPT: &str = include_str!("../../../envoy/configuration/start.sh");

/// The shipped configurations, for a compose file that has none beside it.
const SHIPPED: [(&str, &str); 4] = [
    ("edge", include_str!("../../../envoy/configuration/edge.yaml")),
    ("front", include_str!("../../../envoy/configuration/front.yaml")),
    ("signer", include_str!("../../../envoy/configuration/signer.yaml")),
    ("transparent", include_str!("../../../envoy/configuration/transparent.yaml")),
];

/// The parts of an edge that `start.sh` puts in for an origin with credentials.
const PARTS: [(&str, &str); 4] = [
    ("origin-authorization", include_str!("../../../envoy/configuration/origin-authorization.yaml")),
    ("origin-gcs", include_str!("../../../envoy/configuration/origin-gcs.yaml")),
    ("origin-s3", include_str!("../../../envoy/configuration/origin-s3.yaml")),
    ("origin-sas", include_str!("../../../envoy/configuration/origin-sas.yaml")),
];

/// Replaces the shipped configurations of a file by what its containers make of them.
pub fn run(file: &str, beside: &Path, documents: Vec<Yaml>) -> Run {
    let mut run = Run { documents: Vec::new(), hints: Vec::new(), problems: Vec::new() };
    let pods: Vec<_> = documents.iter().flat_map(|document| in_pods(document, &documents)).collect();
    let services: Vec<_> = documents.iter().flat_map(in_compose).collect();
    if !pods.is_empty() {
        run.take(pods, |name| in_config_maps(&documents, &format!("{name}.yaml")));
        if in_config_maps(&documents, "start.sh").is_some_and(|script| script != SCRIPT) && !run.documents.is_empty() {
            run.hints.push(format!("{file}: has another start.sh than this command, which may make something else"));
        }
    } else if !services.is_empty() {
        let own = beside.join("configuration");
        run.take(services, |name| {
            std::fs::read_to_string(own.join(format!("{name}.yaml"))).ok().or_else(|| shipped(name))
        });
        run.hints.push(format!(
            "{file}: what runs now is shown by: docker compose --file {file} exec edge cat /tmp/edge.yaml"
        ));
    }
    let made = !run.documents.is_empty();
    let is_template = |yaml: &Yaml| made && yaml["kind"].as_str() == Some("ConfigMap") && has_shipped(yaml);
    let rest = documents.into_iter().filter(|yaml| !is_template(yaml) && yaml["services"].is_badvalue());
    run.documents.extend(rest.map(|yaml| Document { at: file.to_owned(), yaml }));
    for document in run.documents.iter_mut().filter(|document| document.at != file) {
        document.at = format!("{file}: {}", document.at);
    }
    run.problems.iter_mut().for_each(|problem| *problem = format!("{file}: {problem}\n"));
    run
}

impl Run {
    fn take(&mut self, containers: Vec<Container>, template: impl Fn(&str) -> Option<String>) {
        for container in containers {
            let Some(template) = template(&container.name) else { continue };
            match made(&container, &template) {
                Ok(text) => {
                    let at = |yaml| Document { at: container.at.clone(), yaml };
                    self.documents.extend(yaml::documents(&text).into_iter().map(at));
                }
                Err(message) => self.problems.push(format!("{}: {message}", container.at)),
            }
        }
    }
}

fn shipped(name: &str) -> Option<String> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| (*text).to_owned())
}

fn has_shipped(config_map: &Yaml) -> bool {
    config_map.as_hash().into_iter().flat_map(yaml::files).any(|(name, _)| name == "start.sh")
}

fn in_config_maps(documents: &[Yaml], file: &str) -> Option<String> {
    let maps = documents.iter().filter(|yaml| yaml["kind"].as_str() == Some("ConfigMap")).filter_map(Yaml::as_hash);
    maps.flat_map(yaml::files).find(|(name, _)| *name == file).map(|(_, text)| text.to_owned())
}

/// Finds the containers of an object that runs pods.
fn in_pods(object: &Yaml, all: &[Yaml]) -> Vec<Container> {
    let pod = &object["spec"]["template"]["spec"];
    let lists = ["initContainers", "containers"].into_iter().filter_map(|list| pod[list].as_vec()).flatten();
    let container = |container: &Yaml| {
        let words = ["command", "args"].into_iter().filter_map(|part| container[part].as_vec()).flatten();
        let words: Vec<_> = words.filter_map(Yaml::as_str).collect();
        let name = started(&words)?;
        let (kind, own) = (object["kind"].as_str()?, object["metadata"]["name"].as_str()?);
        let sources = container["envFrom"].as_vec().into_iter().flatten();
        let maps = sources.filter_map(|source| source["configMapRef"]["name"].as_str());
        let mut variables: BTreeMap<_, _> = maps.flat_map(|map| data(all, map)).collect();
        variables.extend(yaml::named_values(container["env"].as_vec().map(Vec::as_slice).unwrap_or_default()));
        let at = format!("{kind} {own}, container {}", container["name"].as_str().unwrap_or_default());
        Some(Container { at, name, variables })
    };
    lists.filter_map(container).collect()
}

/// Returns the argument of `start.sh` in a command.
fn started(words: &[&str]) -> Option<String> {
    let script = words.iter().position(|word| word.ends_with("start.sh"))?;
    words.get(script.saturating_add(1)).map(|name| (*name).to_owned())
}

fn data(all: &[Yaml], name: &str) -> Vec<(String, String)> {
    let is_it =
        |yaml: &&Yaml| yaml["kind"].as_str() == Some("ConfigMap") && yaml["metadata"]["name"].as_str() == Some(name);
    let map = all.iter().find(is_it).and_then(|yaml| yaml["data"].as_hash());
    let pairs = map.into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((yaml::scalar(name)?, yaml::scalar(value)?))).collect()
}

/// Finds the services of a compose file whose command is the name of a shipped configuration.
fn in_compose(file: &Yaml) -> Vec<Container> {
    let services = file["services"].as_hash().into_iter().flatten();
    let container = |(service, it): (&Yaml, &Yaml)| {
        let (service, merged) = (service.as_str()?, it["<<"].as_hash());
        let own = |name: &str| match &it[name] {
            Yaml::BadValue => merged.and_then(|fields| field(fields, name)).unwrap_or(&Yaml::BadValue),
            own => own,
        };
        let name = substituted(own("command").as_vec()?.first()?.as_str()?);
        shipped(&name)?;
        let environment = own("environment");
        let shared = environment["<<"].as_hash().into_iter().flatten();
        let variables = shared.chain(environment.as_hash().into_iter().flatten());
        let pair = |(name, value): (&Yaml, &Yaml)| Some((yaml::scalar(name)?, substituted(&yaml::scalar(value)?)));
        Some(Container { at: format!("service {service}"), name, variables: variables.filter_map(pair).collect() })
    };
    services.filter_map(container).collect()
}

/// Replaces `${NAME:-default}`, `${NAME-}` and `${NAME}` by the variables of this process.
fn substituted(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let Some((inner, after)) = rest.split_once('}') else { return text.to_owned() };
    let (name, default) = inner.split_once(":-").unwrap_or((inner.trim_end_matches('-'), ""));
    let value = std::env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or(default.to_owned());
    format!("{before}{value}{}", substituted(after))
}

/// Runs the script with a container's variables.
fn made(container: &Container, template: &str) -> Result<String, String> {
    let directory = Directory::new().map_err(|error| format!("cannot write to the temporary directory: {error}"))?;
    let script = directory.0.join("start.sh");
    let write = |name: &str, text: &str| std::fs::write(directory.0.join(format!("{name}.yaml")), text);
    let written = std::fs::write(&script, SCRIPT)
        .and_then(|()| PARTS.iter().try_for_each(|(name, text)| write(name, text)))
        .and_then(|()| write(&container.name, template));
    written.map_err(|error| format!("cannot write to the temporary directory: {error}"))?;
    let mut command = Command::new("sh");
    command.arg(&script).args(["print", &container.name]).env_clear().envs(&container.variables);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.output().map_err(|error| format!("cannot run sh: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// A temporary directory, which is removed in the end.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("mirror-on-miss-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
