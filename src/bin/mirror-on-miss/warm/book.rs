//! What is done: counts, the file of failures, and the state from which an interrupted run goes on.

use super::ask::{End, Failure};
use super::list::FAILED;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The counts of a run and of those that it goes on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub moved: u64,
    pub failed: u64,
}

impl Counts {
    pub fn done(self) -> u64 {
        self.moved.saturating_add(self.failed)
    }
}

/// The place in the list from which a run goes on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Entries that were begun.
    pub begun: u64,
    /// Those of them that were not finished.
    pub open: Vec<u64>,
    /// The last entry that was begun, which tells the list from another one.
    pub last: String,
    pub counts: Counts,
}

/// The books of a run. Everything below `begun` is done, but for what is open.
pub struct Book {
    pub counts: Counts,
    /// Keys in a row for which the edge gave no answer.
    pub silent: usize,
    begun: u64,
    open: BTreeMap<u64, ()>,
    last: String,
    /// Names the edge and the list, in the state.
    url: String,
    list: String,
    state: PathBuf,
    failures: Failures,
}

impl Book {
    /// Opens the books of a run, or of an interrupted one. The error is for people.
    pub fn open(url: &str, list: &str, state: &Path, failed: &Path) -> Result<(Self, Resume), String> {
        let resume = resume(url, list, state)?;
        let failures =
            Failures::open(failed, resume.begun > 0).map_err(|error| format!("{}: {error}", failed.display()))?;
        let book = Self {
            counts: resume.counts,
            silent: 0,
            begun: resume.begun,
            open: resume.open.iter().map(|number| (*number, ())).collect(),
            last: resume.last.clone(),
            url: url.to_owned(),
            list: list.to_owned(),
            state: state.to_owned(),
            failures,
        };
        Ok((book, resume))
    }

    /// Notes that an entry is begun.
    pub fn begin(&mut self, number: u64, text: &str) {
        self.open.insert(number, ());
        if number >= self.begun {
            self.begun = number.saturating_add(1);
            text.clone_into(&mut self.last);
        }
    }

    /// Notes the end of an entry.
    pub fn end(&mut self, number: u64, text: &str, end: &End) -> io::Result<()> {
        match end {
            End::Moved => self.counts.moved = self.counts.moved.saturating_add(1),
            End::Failed(failure) => {
                self.failures.write(text, failure)?;
                self.counts.failed = self.counts.failed.saturating_add(1);
            }
        }
        self.silent = match end {
            End::Failed(Failure { status: 0, outcome, .. }) if outcome.is_empty() => self.silent.saturating_add(1),
            _ => 0,
        };
        self.open.remove(&number);
        Ok(())
    }

    /// Writes the state, whole or not at all.
    pub fn save(&mut self) -> io::Result<()> {
        self.failures.flush()?;
        let state = json!({
            "url": self.url, "list": self.list, "begun": self.begun, "open": self.open.keys().collect::<Vec<_>>(),
            "last": self.last, "moved": self.counts.moved, "failed": self.counts.failed,
        });
        let new = self.state.with_extension("new");
        fs::write(&new, format!("{state}\n"))?;
        fs::rename(new, &self.state)
    }

    /// Ends the books: there is nothing to go on from.
    pub fn close(&mut self) -> io::Result<()> {
        self.failures.flush()?;
        match fs::remove_file(&self.state) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Reads the state of an interrupted run.
fn resume(url: &str, list: &str, state: &Path) -> Result<Resume, String> {
    let text = match fs::read_to_string(state) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Resume::default()),
        Err(error) => return Err(format!("{}: {error}", state.display())),
    };
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let of = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or_default();
    if (of("url"), of("list")) != (url, list) {
        return Err(format!(
            "{}: is the state of another run; remove it to begin anew, or name another file with --state",
            state.display()
        ));
    }
    let open = value.get("open").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64).collect();
    let counts = Counts { moved: number("moved"), failed: number("failed") };
    Ok(Resume { begun: number("begun"), open, last: of("last").to_owned(), counts })
}

/// The file of failures, which appears with the first one.
struct Failures {
    path: PathBuf,
    file: Option<io::BufWriter<File>>,
}

impl Failures {
    /// Keeps what an interrupted run wrote, and removes what another one did.
    fn open(path: &Path, goes_on: bool) -> io::Result<Self> {
        if !goes_on && path.exists() && !is_list(path)? {
            return Err(io::Error::other("exists, and is no file of failures; name another one with --failed"));
        }
        let file = match goes_on && path.exists() {
            true => Some(io::BufWriter::new(OpenOptions::new().append(true).open(path)?)),
            false => None,
        };
        Ok(Self { path: path.to_owned(), file })
    }

    fn write(&mut self, text: &str, failure: &Failure) -> io::Result<()> {
        if self.file.is_none() {
            let mut file = io::BufWriter::new(File::create(&self.path)?);
            writeln!(file, "{FAILED}")?;
            self.file = Some(file);
        }
        let Failure { status, outcome, why } = failure;
        let why = why.replace(['\t', '\n'], " ");
        self.file.as_mut().map_or(Ok(()), |file| writeln!(file, "{text}\t{status}\t{outcome}\t{why}"))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

fn is_list(path: &Path) -> io::Result<bool> {
    Ok(fs::read_to_string(path)?.starts_with(FAILED))
}
