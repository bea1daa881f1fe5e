//! The command line.

use super::probe::Options as Probe;
use super::warm::Options;
use lexopt::prelude::*;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// The task of the command.
pub enum Command {
    Check(Check),
    Explain(Explain),
    /// Print this text.
    Print(&'static str),
    Probe(Probe),
    Warm(Options),
}

/// The arguments of `check`.
pub struct Check {
    /// The files' names; `-` for the standard input. Never empty.
    pub files: Vec<String>,
    /// Missing variables of the environment count as given.
    pub without_env: bool,
    /// The names of the shipped files count as real ones.
    pub with_examples: bool,
}

/// The arguments of `explain`.
pub struct Explain {
    /// The file's name; `-` for the standard input.
    pub file: String,
    pub request: Request,
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
Checks a configuration of mirror-on-miss, explains what happens to a request under it, asks a
store what it can do, and moves the objects that nobody asks for.

usage: mirror-on-miss check [--without-env] [--with-examples] FILE...
       mirror-on-miss explain [--without-env] [--json] FILE METHOD PATH
       mirror-on-miss probe [--prefix KEY] [--virtual] STORE BUCKET
       mirror-on-miss warm [OPTION...] URL [LIST]

check     prints every problem, one per line, or `ok`
explain   takes a request for an object that the bucket lacks, and prints the rule that
          decides, the requests to origins, the place in the store and the answer
probe     writes to the bucket below mirror-on-miss-probe/, removes it again, and prints what
          the store does with the writes of a fill, and the settings that fit
warm      asks the edge at URL for each key of LIST by HEAD, so that it fills the bucket

FILE      the plugin's configuration in JSON, or a YAML or JSON file that contains it:
          an Envoy configuration, the objects of a cluster, a compose file, Istio's
          WasmPlugin, Envoy Gateway's EnvoyExtensionPolicy; - is stdin. Where containers run
          start.sh, what it makes is read
PATH      path and query as the client sends them, or a whole URL

--without-env    does not report variables, {\"env\": \"NAME\"}, that nothing gives
--with-examples  does not report example names, such as files.example.com and my-bucket
--json           prints an object instead of text

Variables, {\"env\": \"NAME\"}, come from the file where it has them, else from the environment.
Secrets are never shown.
Exit code: 0 if all is well, 1 if the configuration has problems, 2 if it cannot be read.

  mirror-on-miss check --with-examples envoy/configuration/edge.yaml
  mirror-on-miss explain envoy/configuration/edge.yaml GET '/img/a%20b.jpg?v=2'
  mirror-on-miss explain --json plugin.json HEAD https://cdn.example.com/img/a.jpg
  kubectl kustomize envoy/kubernetes/base | mirror-on-miss check -

STORE     the S3 server, as https://HOST[:PORT]. The credential is yours, in AWS_ACCESS_KEY_ID,
          AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; also AWS_REGION (us-east-1), CA_FILE,
          and STORE_KIND, which is compared with what is found. curl 7.88 or later must be here

--prefix KEY     writes below that key
--virtual        the bucket is in the host: BUCKET.HOST

Exit code: 0 if the store will do, 1 if not, 2 if it cannot be asked.

  mirror-on-miss probe https://s3.eu-west-1.amazonaws.com my-bucket

URL       of the edge, over plain HTTP: run this beside it. In the transparent wiring with
          the bucket, http://127.0.0.1:10000/my-bucket/
LIST      keys, one a line, as `rclone lsf -R --files-only` prints them; or what
          `aws s3 ls --recursive` prints; or a sitemap; or the file of failures of an earlier
          run. Without LIST, or for -, stdin. A line that begins with / or http:// or https://
          is a path, encoded as in a URL; any other is a key as it is

--concurrency N  keys at once (16)
--rate N         keys begun in a second, at most
--failed FILE    what failed and why, one key a line (warm-failed.tsv)
--state FILE     what is done, so that the same command goes on after Ctrl-C (warm-state.json)
--patience S     seconds that one key may take, a large object for example (3600)

A key is moved when the bucket has it: 200 without x-mirror-on-miss. Nothing is followed.
Exit code: 0 if every key is moved, 1 if one failed, 2 if it cannot run, 130 after Ctrl-C.

  rclone lsf -R --files-only old:site | mirror-on-miss warm --rate 50 http://127.0.0.1:10000/
";

const VERSION: &str = concat!("mirror-on-miss ", env!("CARGO_PKG_VERSION"), "\n");

const COMMANDS: &str = "expected check, explain, probe or warm";

/// Reads the command line. The error is a message for the user.
pub fn read() -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_env();
    let command = match parser.next().map_err(wrong)? {
        Some(Short('h') | Long("help")) => return Ok(Command::Print(HELP)),
        Some(Short('V') | Long("version")) => return Ok(Command::Print(VERSION)),
        Some(Value(word)) => word.string().map_err(wrong)?,
        Some(other) => return Err(wrong(other.unexpected())),
        None => return Err(wrong(format!("no command; {COMMANDS}"))),
    };
    match command.as_str() {
        "check" | "explain" => file(&mut parser, &command),
        "probe" => probe(&mut parser),
        "warm" => warm(&mut parser),
        _ => Err(wrong(format!("no such command {command:?}; {COMMANDS}"))),
    }
}

/// Reads the arguments of a command that reads a configuration.
fn file(parser: &mut lexopt::Parser, command: &str) -> Result<Command, String> {
    let is_check = command == "check";
    let (mut words, mut without_env, mut with_examples, mut json) = (Vec::new(), false, false, false);
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Print(HELP)),
            Long("json") if is_check => return Err(wrong("--json is an option of explain")),
            Long("json") => json = true,
            Long("with-examples") if is_check => with_examples = true,
            Long("without-env") => without_env = true,
            Value(word) => words.push(word.string().map_err(wrong)?),
            other => return Err(wrong(other.unexpected())),
        }
    }
    if words.is_empty() {
        return Err(wrong("no FILE"));
    }
    if is_check {
        return Ok(Command::Check(Check { files: words, without_env, with_examples }));
    }
    let mut words = words.into_iter();
    let (Some(file), Some(method), Some(path)) = (words.next(), words.next(), words.next()) else {
        return Err(wrong("explain needs METHOD and PATH"));
    };
    match words.next() {
        Some(word) => Err(wrong(format!("unexpected argument {word:?}"))),
        None => Ok(Command::Explain(Explain { file, request: request_of(method, path)?, without_env, json })),
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

fn probe(parser: &mut lexopt::Parser) -> Result<Command, String> {
    let (mut words, mut prefix, mut virtual_hosted) = (Vec::new(), None, false);
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Print(HELP)),
            Long("prefix") => prefix = Some(parser.value().map_err(wrong)?.string().map_err(wrong)?),
            Long("virtual") => virtual_hosted = true,
            Value(word) => words.push(word.string().map_err(wrong)?),
            other => return Err(wrong(other.unexpected())),
        }
    }
    match <[String; 2]>::try_from(words) {
        Ok([store, bucket]) => Ok(Command::Probe(Probe { store, bucket, prefix, virtual_hosted })),
        Err(_) => Err(wrong("probe needs STORE and BUCKET")),
    }
}

fn warm(parser: &mut lexopt::Parser) -> Result<Command, String> {
    let (mut words, mut options) = (Vec::new(), Options::default());
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Print(HELP)),
            Long("concurrency") => options.concurrency = number("--concurrency", parser)?,
            Long("failed") => options.failed = PathBuf::from(parser.value().map_err(wrong)?),
            Long("patience") => {
                options.patience = u64::try_from(number("--patience", parser)?.get()).unwrap_or(u64::MAX)
            }
            Long("rate") => options.rate = Some(number("--rate", parser)?),
            Long("state") => options.state = PathBuf::from(parser.value().map_err(wrong)?),
            Value(word) => words.push(word.string().map_err(wrong)?),
            other => return Err(wrong(other.unexpected())),
        }
    }
    let mut words = words.into_iter();
    options.url = words.next().ok_or_else(|| wrong("no URL"))?;
    options.list = words.next().unwrap_or("-".to_owned());
    match words.next() {
        Some(word) => Err(wrong(format!("unexpected argument {word:?}"))),
        None => Ok(Command::Warm(options)),
    }
}

fn number(option: &str, parser: &mut lexopt::Parser) -> Result<NonZeroUsize, String> {
    let text = parser.value().map_err(wrong)?.string().map_err(wrong)?;
    text.parse().map_err(|_| wrong(format!("{option} {text} is not allowed; allowed is a whole number above 0")))
}

fn wrong(what: impl std::fmt::Display) -> String {
    format!("{what}\nTry mirror-on-miss --help.")
}
