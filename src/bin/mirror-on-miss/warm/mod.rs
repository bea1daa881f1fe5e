//! The task `warm`: it asks the edge for each key of a list, so that the bucket has what no client asks for.
//!
//! It asks by HEAD, which costs no byte of an object on its way here, and follows nothing. Threads wait for the edge;
//! the list is read as they come back, so the memory does not grow with it.

mod ask;
mod book;
mod list;
mod progress;

use ask::{End, Failure};
use book::{Book, Counts, Resume};
use list::{Entries, Entry};
use progress::{Progress, grouped};
use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use ureq::Agent;

/// The arguments of `warm`.
pub struct Options {
    /// The edge, with the path in front of each key.
    pub url: String,
    /// The list's file, `-` for the standard input.
    pub list: String,
    /// Keys at once.
    pub concurrency: NonZeroUsize,
    /// Keys that are begun in a second, at most.
    pub rate: Option<NonZeroUsize>,
    pub failed: PathBuf,
    pub state: PathBuf,
    /// Seconds that a key may take.
    pub patience: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: String::new(),
            list: "-".to_owned(),
            // Below the fills that one worker of an edge runs at once, 21 by default, so that clients find room.
            concurrency: NonZeroUsize::MIN.saturating_add(15),
            rate: None,
            failed: PathBuf::from("warm-failed.tsv"),
            state: PathBuf::from("warm-state.json"),
            patience: 3600,
        }
    }
}

/// At least one key failed.
const FAILED: u8 = 1;
/// As shells say it of a command that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// The time between two looks at the counts, and two savings of the state.
const TICK: Duration = Duration::from_secs(1);

/// An event for the thread that watches.
enum Event {
    /// A thread has found the end of the list, or an error that ends the run.
    Ended(Result<(), String>),
    Interrupted,
}

/// Everything that the threads share.
struct Shared {
    base: String,
    patience: Duration,
    concurrency: usize,
    client: Agent,
    feed: Mutex<Feed>,
    book: Mutex<Book>,
}

/// The entries that are not begun.
struct Feed {
    again: VecDeque<(u64, Entry)>,
    entries: Entries,
    next: u64,
    /// The time between two keys.
    interval: Option<Duration>,
    /// The earliest time of the next one.
    due: Instant,
}

/// Moves the keys. Returns the exit code, or the reason for which it cannot run.
pub fn run(options: &Options) -> Result<u8, String> {
    let base = base(&options.url)?;
    let unreadable = |error: io::Error| format!("{}: {error}", options.list);
    let total = match options.list.as_str() {
        "-" => None,
        list => Some(list::open(list).map_err(unreadable)?.count()),
    };
    let (book, resume) = Book::open(&options.url, &options.list, &options.state, &options.failed)?;
    let goes_on = resume.begun > 0;
    let feed = Feed::open(options, resume)?;
    let concurrency = options.concurrency.get();
    let shared = Arc::new(Shared {
        base,
        patience: Duration::from_secs(options.patience),
        concurrency,
        client: ask::client(concurrency),
        feed: Mutex::new(feed),
        book: Mutex::new(book),
    });

    let (sender, events) = mpsc::channel();
    let interrupt = sender.clone();
    ctrlc::set_handler(move || drop(interrupt.send(Event::Interrupted))).map_err(|error| error.to_string())?;
    let mut progress = Progress::new(total, locked(&shared.book).counts);
    if goes_on {
        progress.say("going on from where the last run ended");
    }
    for _ in 0..concurrency {
        spawn(shared.clone(), sender.clone())?;
    }
    let mut running = concurrency;
    while running > 0 {
        match events.recv_timeout(TICK) {
            Ok(Event::Ended(Ok(()))) => running = running.saturating_sub(1),
            Ok(Event::Ended(Err(message))) => {
                locked(&shared.book).save().map_err(|error| format!("{}: {error}", options.state.display()))?;
                progress.end();
                return Err(message);
            }
            // Requests that are under way fill the bucket all the same, and are asked for again the next time.
            Ok(Event::Interrupted) => {
                let mut book = locked(&shared.book);
                book.save().map_err(|error| format!("{}: {error}", options.state.display()))?;
                progress.end();
                say(&format!("stopped after {}; the same command goes on from here", summary(book.counts, options)));
                return Ok(INTERRUPTED);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let mut book = locked(&shared.book);
                book.save().map_err(|error| format!("{}: {error}", options.state.display()))?;
                progress.show(book.counts);
            }
        }
    }
    let mut book = locked(&shared.book);
    book.close().map_err(|error| format!("{}: {error}", options.state.display()))?;
    progress.end();
    println!("{}", summary(book.counts, options));
    Ok(if book.counts.failed > 0 { FAILED } else { 0 })
}

/// Reads the URL of the edge. Returns it without a slash at its end.
fn base(url: &str) -> Result<String, String> {
    if url.starts_with("https://") {
        return Err(format!("{url}: warm speaks plain HTTP; run it beside the edge, at a listener on loopback"));
    }
    let is_allowed =
        url.strip_prefix("http://").is_some_and(|rest| !rest.is_empty() && !rest.contains(['?', '#', '@']));
    match is_allowed {
        true => Ok(url.trim_end_matches('/').to_owned()),
        false => Err(format!("{url} is not allowed as URL; allowed is http://HOST[:PORT]/[PATH]")),
    }
}

impl Feed {
    /// Opens the list, behind what is done.
    fn open(options: &Options, resume: Resume) -> Result<Self, String> {
        let unreadable = |error: io::Error| format!("{}: {error}", options.list);
        let mut entries = list::open(&options.list).map_err(unreadable)?;
        let (mut again, mut last) = (VecDeque::new(), String::new());
        for number in 0..resume.begun {
            let Some(entry) = entries.next().transpose().map_err(unreadable)? else { break };
            entry.text().clone_into(&mut last);
            if resume.open.contains(&number) {
                again.push_back((number, entry));
            }
        }
        if last != resume.last {
            return Err(format!(
                "{}: is not the list of the interrupted run; remove {} to begin anew",
                options.list,
                options.state.display()
            ));
        }
        let second = Duration::from_secs(1);
        let interval = options
            .rate
            .map(|rate| second.checked_div(u32::try_from(rate.get()).unwrap_or(u32::MAX)).unwrap_or_default());
        Ok(Self { again, entries, next: resume.begun, interval, due: Instant::now() })
    }

    /// Takes the next entry, in its time.
    fn take(&mut self) -> io::Result<Option<(u64, Entry)>> {
        let taken = match self.again.pop_front() {
            Some(taken) => taken,
            None => {
                let Some(entry) = self.entries.next().transpose()? else { return Ok(None) };
                let number = self.next;
                self.next = number.saturating_add(1);
                (number, entry)
            }
        };
        if let Some(interval) = self.interval {
            let now = Instant::now();
            thread::sleep(self.due.saturating_duration_since(now));
            self.due = self.due.max(now).checked_add(interval).unwrap_or(now);
        }
        Ok(Some(taken))
    }
}

/// Starts a thread that asks for keys until the list ends.
fn spawn(shared: Arc<Shared>, events: Sender<Event>) -> Result<(), String> {
    let work = move || {
        let ended = shared.work();
        // Nobody listens after Ctrl-C.
        let _ = events.send(Event::Ended(ended));
    };
    let started = thread::Builder::new().name("warm".to_owned()).stack_size(256 * 1024).spawn(work);
    started.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
}

impl Shared {
    fn work(&self) -> Result<(), String> {
        loop {
            let (number, entry) = {
                let mut feed = locked(&self.feed);
                let Some((number, entry)) = feed.take().map_err(|error| format!("the list: {error}"))? else {
                    return Ok(());
                };
                // Noted before the next one is taken, so that what is begun has no gap.
                locked(&self.book).begin(number, entry.text());
                (number, entry)
            };
            let end = match &entry {
                Entry::Path(path) => ask::ask(&self.client, &format!("{}{path}", self.base), self.patience),
                Entry::Unreadable(_) => {
                    let why = "a line that names no key".to_owned();
                    End::Failed(Failure { status: 0, outcome: "unreadable".to_owned(), why })
                }
            };
            let mut book = locked(&self.book);
            book.end(number, entry.text(), &end).map_err(|error| format!("the file of failures: {error}"))?;
            if book.silent >= self.concurrency {
                return Err(format!("{} gives no answer; the same command goes on when it does", self.base));
            }
        }
    }
}

/// Locks what a thread that panicked may have held: counts are whole at any time.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn summary(counts: Counts, options: &Options) -> String {
    let (done, moved) = (grouped(counts.done()), grouped(counts.moved));
    let failed = match counts.failed {
        0 => "0 failed".to_owned(),
        failed => format!("{} failed, see {}", grouped(failed), options.failed.display()),
    };
    let keys = if counts.done() == 1 { "key" } else { "keys" };
    format!("{done} {keys}: {moved} in the bucket, {failed}")
}

fn say(text: &str) {
    eprintln!("mirror-on-miss: {text}");
}
