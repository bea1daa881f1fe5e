//! The command line.

use lexopt::prelude::*;

/// The task of the command.
pub enum Command {
    /// Print this text.
    Print(&'static str),
    /// Read a file.
    Run(Arguments),
}

/// The arguments of a task.
pub struct Arguments {
    /// The file's name; `-` for the standard input.
    pub file: String,
    /// The request to be explained. Without one the file is checked.
    pub request: Option<Request>,
    /// Missing variables of the environment count as given.
    pub without_env: bool,
    /// The answer is JSON.
    pub json: bool,
}

/// A request to be explained.
pub struct Request {
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its scheme and authority, where the whole URL is known.
    pub base: Option<String>,
}

const HELP: &str = "\
Checks a configuration of mirror-on-miss, and explains what happens to a request under it.

usage: mirror-on-miss check [--without-env] FILE
       mirror-on-miss explain [--without-env] [--json] FILE METHOD PATH

check     prints every problem, one per line, or `ok`
explain   takes a request for an object that the bucket lacks, and prints the rule that
          decides, the requests to origins, the place in the store and the answer

FILE      the plugin's configuration in JSON, or a YAML or JSON file that contains it:
          an Envoy configuration, a ConfigMap with one, Istio's WasmPlugin, Envoy Gateway's
          EnvoyExtensionPolicy; - is stdin
PATH      path and query as the client sends them, or a whole URL

--without-env   does not report variables, {\"env\": \"NAME\"}, that nothing gives
--json          prints an object instead of text

Variables, {\"env\": \"NAME\"}, come from the file where it has them, else from the environment.
Secrets are never shown.
Exit code: 0 if all is well, 1 if the configuration has problems, 2 if it cannot be read.

  mirror-on-miss check envoy/configuration/edge.yaml
  mirror-on-miss explain envoy/configuration/edge.yaml GET '/img/a%20b.jpg?v=2'
  mirror-on-miss explain --json plugin.json HEAD https://cdn.example.com/img/a.jpg
  kubectl kustomize envoy/kubernetes/base | mirror-on-miss check --without-env -
";

const VERSION: &str = concat!("mirror-on-miss ", env!("CARGO_PKG_VERSION"), "\n");

/// Reads the command line. The error is a message for the user.
pub fn read() -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_env();
    let (mut words, mut without_env, mut json) = (Vec::new(), false, false);
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Print(HELP)),
            Short('V') | Long("version") => return Ok(Command::Print(VERSION)),
            Long("without-env") => without_env = true,
            Long("json") => json = true,
            Value(word) => words.push(word.string().map_err(wrong)?),
            other => return Err(wrong(other.unexpected())),
        }
    }
    let mut words = words.into_iter();
    let request = match words.next().as_deref() {
        Some("check") if json => return Err(wrong("--json is an option of explain")),
        Some("check") => None,
        Some("explain") => Some(()),
        Some(other) => return Err(wrong(format!("no such command {other:?}; expected check or explain"))),
        None => return Err(wrong("no command; expected check or explain")),
    };
    let file = words.next().ok_or_else(|| wrong("no FILE"))?;
    let request = match request {
        Some(()) => {
            let (Some(method), Some(path)) = (words.next(), words.next()) else {
                return Err(wrong("explain needs METHOD and PATH"));
            };
            Some(request_of(method, path)?)
        }
        None => None,
    };
    match words.next() {
        Some(word) => Err(wrong(format!("unexpected argument {word:?}"))),
        None => Ok(Command::Run(Arguments { file, request, without_env, json })),
    }
}

/// Reads a request. A path may be a whole URL, whose path is kept as it is written.
fn request_of(method: String, path: String) -> Result<Request, String> {
    let scheme = ["http://", "https://"].into_iter().find(|scheme| path.starts_with(scheme));
    let Some((scheme, rest)) = scheme.and_then(|scheme| Some((scheme, path.strip_prefix(scheme)?))) else {
        return Ok(Request { method, path, base: None });
    };
    let (authority, path) = rest.split_once('/').ok_or_else(|| wrong("a URL needs a path"))?;
    Ok(Request { method, path: format!("/{path}"), base: Some(format!("{scheme}{authority}")) })
}

fn wrong(what: impl std::fmt::Display) -> String {
    format!("{what}\nTry mirror-on-miss --help.")
}
