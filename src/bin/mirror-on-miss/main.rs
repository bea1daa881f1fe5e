//! The command `mirror-on-miss`: it reports the problems of a configuration, and explains a request under it.

mod arguments;
mod explanation;
mod file;

use arguments::{Arguments, Command, Request};
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
    let (code, output) = match run() {
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

/// Runs the command. Returns the exit code and the output, or the reason for which it cannot run.
fn run() -> Result<(u8, String), String> {
    let arguments = match arguments::read()? {
        Command::Print(text) => return Ok((0, text.to_owned())),
        Command::Run(arguments) => arguments,
    };
    let (mut configs, mut problems) = (Vec::new(), String::new());
    for found in file::read(&arguments.file)? {
        match parse(&found, &arguments) {
            Ok(config) => configs.push((found, config)),
            Err(lines) => problems.extend(lines),
        }
    }
    if !problems.is_empty() {
        return Ok((PROBLEMS, problems));
    }
    Ok((
        0,
        match &arguments.request {
            Some(request) => {
                configs.iter().map(|(found, config)| explained(found, config, request, &arguments)).collect()
            }
            None => "ok\n".to_owned(),
        },
    ))
}

/// Reads a configuration, or its problems, one a line.
fn parse(found: &Found, arguments: &Arguments) -> Result<Config, Vec<String>> {
    let known = |name: &str| found.env.get(name).cloned().or_else(|| std::env::var(name).ok());
    let env = |name: &str| known(name).or(arguments.without_env.then(|| "unknown".to_owned()));
    Config::parse(found.json.as_bytes(), &env)
        .map_err(|problems| problems.iter().map(|problem| format!("{}: {problem}\n", found.at)).collect())
}

fn explained(found: &Found, config: &Config, request: &Request, arguments: &Arguments) -> String {
    let explanation = explain(config, &request.method, &request.path, request.base.as_deref());
    if arguments.json {
        return format!("{:#}\n", explanation::json(&explanation, config));
    }
    let text = explanation::text(&explanation, config);
    match &found.plugin {
        Some(plugin) => format!("plugin       {plugin}\n{text}"),
        None => text,
    }
}
