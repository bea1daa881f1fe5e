//! The order of the floors: the folders that each folder may import, and the names that the core may not use.
//!
//! Only `src/plugin` knows proxy-wasm, and only `src/bin` knows files and the environment. The core is a function of
//! its arguments. Without that, its scenarios could not run in virtual time.

#![allow(clippy::panic, clippy::expect_used, reason = "a test that meets the unexpected has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// A name that must not be used, and the alternative.
type Ban = (&'static str, &'static str);

/// Bans in all of `src`.
const EVERYWHERE: &[Ban] = &[("unsafe", "the module parses what strangers send")];

/// The core's bans that do not hold for the command: it reads files and secrets of the environment, `warm` asks for
/// many keys at once, and `probe` writes keys that nobody has written before.
const FOR_THE_COMMAND: [&str; 6] = ["Instant::now", "Mutex", "SystemTime", "std::env", "std::fs", "std::thread"];

/// Bans everywhere but in the adapter.
const IN_THE_CORE: &[Ban] = &[
    ("getrandom", "random numbers are arguments"),
    ("HashMap", "its order is random; use BTreeMap"),
    ("HashSet", "its order is random; use BTreeSet"),
    ("Instant::now", "time is an argument"),
    ("lazy_static", "there are no globals: workers come and go"),
    ("Mutex", "a worker has one thread"),
    ("proxy_wasm", "host calls belong to src/plugin"),
    ("rand", "random numbers are arguments"),
    ("RandomState", "random numbers are arguments"),
    ("Rc<RefCell", "state has one owner; what contexts share, the adapter shares"),
    ("static mut", "there are no globals: workers come and go"),
    ("std::env", "the environment is an argument"),
    ("std::fs", "there are no files in a proxy"),
    ("std::thread", "a worker has one thread"),
    ("SystemTime", "time is an argument"),
    ("thread_local", "there are no globals: workers come and go"),
];

/// The folders and files of `src`, from the top floor down. Each may import only those below it.
///
/// `origin` and `s3` share a floor, so neither knows the other. The same holds for `plugin` and `explain`.
/// docs/architecture.md has the same list.
const FLOORS: [&[&str]; 12] = [
    &["lib", "bin"],
    &["plugin", "explain"],
    &["worker"],
    &["single_flight"],
    &["fill"],
    &["origin", "s3"],
    &["request"],
    &["config"],
    &["object"],
    &["metrics"],
    &["http"],
    &["sorted_map"],
];

#[test]
fn no_folder_imports_one_that_stands_above_it_or_beside_it() {
    let mut found = Vec::new();
    for path in sources() {
        let own = floor_name(&path);
        let own_floor = floor(&own).unwrap_or_else(|| panic!("{} has no floor", path.display()));
        let text = fs::read_to_string(root().join(&path)).expect("a source file");
        for (line, number) in text.lines().zip(1..) {
            for import in imports(code(line)) {
                let below = floor(&import).is_some_and(|floor| floor > own_floor);
                if import != own && !below {
                    found.push(format!("{}:{number}: {own} imports {import}", path.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    assert_eq!(imports("use crate::fill::Outcome; let x = crate::http::digits(y);"), ["fill", "http"]);
    assert_eq!(imports("use mirror_on_miss::explain::explain;"), ["explain"]);
    assert_eq!(imports("use crate::{origin::Version, request::target};"), ["origin", "request"]);
    assert!(imports("use super::leases; mycrate::fill::x()").is_empty());
}

/// Returns the folder or file below `src` that a source belongs to, without its extension.
fn floor_name(path: &Path) -> String {
    let first = path.components().nth(1).expect("a path below src");
    Path::new(first.as_os_str()).with_extension("").display().to_string()
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

/// Names this crate's folders that a line of code imports.
fn imports(code: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for root in ["crate::", "mirror_on_miss::"] {
        for (at, _) in code.match_indices(root) {
            if code.get(..at).unwrap_or_default().ends_with(is_name) {
                continue;
            }
            let rest = code.get(at..).and_then(|rest| rest.strip_prefix(root)).unwrap_or_default();
            let first = |text: &str| text.trim().split(|c| !is_name(c)).next().unwrap_or_default().to_owned();
            match rest.strip_prefix('{') {
                Some(list) => found.extend(list.split(',').map(first)),
                None => found.push(first(rest)),
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn only_the_adapter_knows_its_host() {
    let mut found = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(root().join(&path)).expect("a source file");
        let is_adapter = path.starts_with("src/plugin");
        let is_command = path.starts_with("src/bin");
        // Tests may start at a real time, but not talk to a host.
        let is_tests = path.ends_with("tests.rs") || path.iter().any(|name| name == "tests");
        let banned = IN_THE_CORE.iter().filter(|(name, _)| match (is_adapter, is_command, is_tests) {
            (true, ..) => false,
            (_, true, _) => !FOR_THE_COMMAND.contains(name),
            (.., true) => *name == "proxy_wasm",
            _ => true,
        });
        found.extend(violations(&path, &text, EVERYWHERE.iter().chain(banned)));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_check_finds_what_it_looks_for() {
    let text = "\
        //! proxy_wasm in a comment, and https://x.test/std::env in a string\n\
        let brand = \"https://x.test/\"; // Instant::now()\n\
        let now = std::time::Instant::now(); use proxy_wasm::hostcalls;\n\
        proxy_wasm::main! {{\n\
            proxy_wasm::set_root_context(plugin::root_context);\n\
        }}\n\
        use rand::Rng;\n";
    let found = violations(Path::new("src/a.rs"), text, IN_THE_CORE);
    assert_eq!(
        found,
        [
            "src/a.rs:3: Instant::now: time is an argument",
            "src/a.rs:3: proxy_wasm: host calls belong to src/plugin",
            "src/a.rs:7: rand: random numbers are arguments",
        ]
    );
}

/// Lists every banned name in the code of a file, as `path:line: name: reason`.
fn violations<'a>(path: &Path, text: &str, bans: impl IntoIterator<Item = &'a Ban> + Clone) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_entry_point = false;
    for (line, number) in text.lines().zip(1..) {
        // The SDK's macro that makes the module's entry point has its place in lib.rs.
        in_entry_point |= line.contains("proxy_wasm::main! {{");
        if in_entry_point {
            in_entry_point = line.trim() != "}}";
            continue;
        }
        let code = code(line);
        for (name, reason) in bans.clone() {
            if names(code, name) {
                found.push(format!("{}:{number}: {name}: {reason}", path.display()));
            }
        }
    }
    found
}

/// Returns a line without its comment; `//` after a colon is part of a URL.
fn code(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line.get(..*at).unwrap_or_default().ends_with(':'));
    line.get(..comment.map_or(line.len(), |(at, _)| at)).unwrap_or_default()
}

/// Tells if the code has this name, and not only as a part of a longer one.
fn names(code: &str, name: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default();
        let after = code.get(at..).and_then(|rest| rest.strip_prefix(name)).unwrap_or_default();
        !before.ends_with(continues) && !after.starts_with(continues)
    })
}

/// Lists every Rust file under `src`, relative to the repository.
fn sources() -> Vec<PathBuf> {
    let mut folders = vec![root().join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root()).expect("a path in the repository").to_owned());
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "there are no sources");
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
