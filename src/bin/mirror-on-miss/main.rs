//! The command `mirror-on-miss`: it reports the problems of a configuration, explains a request under it, probes a
//! store, and moves the objects that nobody asks for.

mod arguments;
mod around;
mod container;
mod explanation;
mod file;
mod probe;
mod signer;
mod warm;
mod yaml;

use arguments::{Check, Command, Explain, Request};
use file::Found;
use mirror_on_miss::config::Config;
use mirror_on_miss::explain::explain;
use std::io::Write;
use std::process::ExitCode;

/// The configuration has problems.
const PROBLEMS: u8 = 1;
/// The command was called wrongly, or the file cannot be read.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let done = arguments::read().and_then(|command| match command {
        Command::Check(arguments) => check(&arguments),
        Command::Explain(arguments) => explanation(&arguments),
        Command::Probe(options) => probe::run(&options),
        Command::Print(text) => Ok((0, text.to_owned())),
        Command::Warm(options) => warm::run(&options).map(|code| (code, String::new())),
    });
    let (code, output) = match done {
        Ok(done) => done,
        Err(message) => {
            eprintln!("mirror-on-miss: {message}");
            return ExitCode::from(UNUSABLE);
        }
    };
    // A reader that closes early, such as `head`, needs no complaint.
    let _ = std::io::stdout().lock().write_all(output.as_bytes());
    ExitCode::from(code)
}

/// Checks the files. Returns the exit code and the problems, or the reason for which a file cannot be checked.
fn check(arguments: &Check) -> Result<(u8, String), String> {
    let (mut problems, mut configs, mut documents) = (String::new(), Vec::new(), Vec::new());
    for name in &arguments.files {
        let file = file::read(name)?;
        hint(&file.hints);
        problems.extend(file.problems);
        for found in file.found {
            match parse(&found, arguments.without_env) {
                Ok(config) => {
                    problems.extend(around::problems(&found, &config));
                    configs.push((found, config));
                }
                Err(lines) => problems.extend(lines),
            }
        }
        if !arguments.with_examples {
            problems.extend(file.documents.iter().flat_map(around::unreplaced));
        }
        documents.extend(file.documents);
    }
    problems.extend(signer::problems(&configs, &documents));
    match problems.is_empty() {
        true => Ok((0, "ok\n".to_owned())),
        false => Ok((PROBLEMS, problems)),
    }
}

/// Explains the request under each configuration of the file.
fn explanation(arguments: &Explain) -> Result<(u8, String), String> {
    let file = file::read(&arguments.file)?;
    hint(&file.hints);
    let (mut configs, mut problems) = (Vec::new(), file.problems.concat());
    for found in &file.found {
        match parse(found, arguments.without_env) {
            Ok(config) => configs.push((found, config)),
            Err(lines) => problems.extend(lines),
        }
    }
    if !problems.is_empty() {
        return Ok((PROBLEMS, problems));
    }
    if configs.is_empty() {
        return Err(format!("{}: contains no plugin configuration", file.name));
    }
    let explained = configs.iter().map(|(found, config)| explained(found, config, &arguments.request, arguments.json));
    Ok((0, explained.collect()))
}

fn hint(hints: &[String]) {
    hints.iter().for_each(|hint| eprintln!("mirror-on-miss: {hint}"));
}

/// Reads a configuration, or its problems, one a line.
fn parse(found: &Found, without_env: bool) -> Result<Config, Vec<String>> {
    let known = |name: &str| found.env.get(name).cloned().or_else(|| std::env::var(name).ok());
    let env = |name: &str| known(name).or(without_env.then(|| "unknown".to_owned()));
    Config::parse(found.json.as_bytes(), &env)
        .map_err(|problems| problems.iter().map(|problem| format!("{}: {problem}\n", found.at)).collect())
}

fn explained(found: &Found, config: &Config, request: &Request, json: bool) -> String {
    let explanation = explain(config, &request.method, &request.path, request.base.as_deref());
    if json {
        return format!("{:#}\n", explanation::json(&explanation, config));
    }
    let text = explanation::text(&explanation, config);
    match (&found.plugin, &found.container) {
        (Some(plugin), Some(container)) => format!("plugin       {plugin}\nin           {container}\n{text}"),
        (Some(plugin), None) => format!("plugin       {plugin}\n{text}"),
        (None, _) => text,
    }
}
