//! The command `probe`: finds out what a store does with the requests of a fill, and which settings fit it.
//!
//! It writes below a prefix of its own and removes what it wrote.

mod conditions;
mod keys;
mod kinds;
mod store;

use conditions::Conditions;
use std::cell::RefCell;
use store::{Answer, Request, Store, variable};

/// What the user asked for.
pub struct Options {
    /// The URL of the store.
    pub store: String,
    pub bucket: String,
    /// The beginning of all keys that are written.
    pub prefix: Option<String>,
    /// The bucket is in the host.
    pub virtual_hosted: bool,
}

/// The findings so far.
#[derive(Default)]
struct Report {
    text: String,
    /// The store will not do.
    failed: bool,
}

/// The store will not do.
const FAILED: u8 = 1;

/// Probes the store. The error says why it cannot be asked.
pub fn run(options: &Options) -> Result<(u8, String), String> {
    let kind = match variable("STORE_KIND") {
        None => None,
        Some(name) => Some(kinds::named(&name)?),
    };
    let virtual_hosted = options.virtual_hosted || kind.is_some_and(|kind| kind.style == "virtual");
    let store = Store::new(options, virtual_hosted)?;
    let probe = Probe { store, prefix: prefix(options), written: RefCell::default() };
    let mut report = Report::default();
    if !probe.access(&mut report)? {
        return Ok(report.end());
    }
    let conditions = probe.written(&mut report);
    probe.remove(&mut report);
    let conditions = conditions?;
    if !report.failed {
        let style = if virtual_hosted { "virtual" } else { "path" };
        report.settings(conditions, style, kind);
    }
    Ok(report.end())
}

/// A store that is being probed.
struct Probe {
    store: Store,
    /// The beginning of each key, without the slash at its end.
    prefix: String,
    /// Every key that was written.
    written: RefCell<Vec<String>>,
}

impl Probe {
    /// Asks without writing. Tells if there is a bucket that takes the credential.
    fn access(&self, report: &mut Report) -> Result<bool, String> {
        let missing = format!("{}/missing", self.prefix);
        let get = Request { method: "GET", key: &missing, ..Request::default() };
        let answer = self.store.send(get)?;
        match (answer.status, answer.code()) {
            (404, None | Some("NoSuchKey")) => {
                report.good("a missing key is 404: this credential may list. For a reader like it `on_403` may be `ignore`")
            }
            (403, None | Some("AccessDenied")) => report.note(
                "a missing key is 403: this credential may not list the bucket, or the bucket is not its own. Give the \
                 writer s3:ListBucket",
            ),
            (404, _) => report.bad(&format!("{}: there is no such bucket at this store", answer.shown())),
            (403, _) => report.bad(&format!("{}: the store does not take this credential", answer.shown())),
            (301 | 307 | 400, _) => report.bad(&format!(
                "{}: another region (AWS_REGION) or address than this bucket's, or its bucket is in the host (--virtual)",
                answer.shown()
            )),
            _ => report.bad(&format!("{}: neither 404 nor 403 for a missing key", answer.shown())),
        }
        if report.failed {
            return Ok(false);
        }
        let missing_by_get = answer.status;
        let head = Request { method: "HEAD", ..get };
        let answer = self.store.send(head)?;
        if answer.status == missing_by_get {
            report.good(&format!("HEAD says the same: {}", answer.status));
        } else {
            report.note(&format!("HEAD says {} where GET says {missing_by_get}", answer.status));
        }
        let (get, head) = (self.store.send_wrongly_signed(get)?, self.store.send_wrongly_signed(head)?);
        match (get.status, head.status) {
            (400..=403, 400..=403) if get.code() == Some("AccessDenied") => report.note(
                "a wrong key is 403 AccessDenied, as a missing object may be: a wrong reader's key looks like misses",
            ),
            (400..=403, 400..=403) => report.good(&format!("a wrong key is {}, HEAD {}", get.shown(), head.status)),
            _ => report.bad(&format!(
                "a wrong key is {}, HEAD {}: the store checks no signatures",
                get.shown(),
                head.status
            )),
        }
        Ok(true)
    }

    /// Writes, and reports what came of it.
    fn written(&self, report: &mut Report) -> Result<Conditions, String> {
        let conditions = self.conditions(report)?;
        if !report.failed {
            self.keys(report)?;
        }
        Ok(conditions)
    }

    /// Returns the key of that name below the prefix.
    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    fn put(&self, name: &str, headers: &[&str], body: &[u8]) -> Result<Answer, String> {
        let (key, headers) = (self.key(name), [&["content-type: text/plain"][..], headers].concat());
        let put = Request { method: "PUT", key: &key, headers: &headers, body: Some(body), ..Request::default() };
        let sent = self.store.send(put);
        // Even one without an answer may have been carried out.
        if !sent.as_ref().is_ok_and(|answer| (400..=499).contains(&answer.status)) {
            self.written.borrow_mut().push(key.clone());
        }
        sent
    }

    fn get(&self, name: &str) -> Result<Answer, String> {
        self.store.send(Request { method: "GET", key: &self.key(name), ..Request::default() })
    }

    /// Removes every key that was written, the last one first: some stores keep directories.
    fn remove(&self, report: &mut Report) {
        let mut left = Vec::new();
        for key in self.written.take().into_iter().rev() {
            let sent = self.store.send(Request { method: "DELETE", key: &key, ..Request::default() });
            // A key that the store cannot hold is none that it kept.
            if !sent.is_ok_and(|answer| answer.is_done() || matches!(answer.status, 400 | 404)) {
                left.push(key);
            }
        }
        left.sort();
        left.dedup();
        if !left.is_empty() {
            report.note(&format!("not removed, because this credential may not delete: {}", left.join(" ")));
        }
    }
}

impl Report {
    fn good(&mut self, finding: &str) {
        self.line("ok", finding);
    }

    fn note(&mut self, finding: &str) {
        self.line("note", finding);
    }

    fn bad(&mut self, finding: &str) {
        self.failed = true;
        self.line("FAILED", finding);
    }

    fn line(&mut self, mark: &str, finding: &str) {
        self.text.push_str(&format!("{mark:<8}{finding}\n"));
    }

    /// Reports the settings that fit, and compares them with those of a kind.
    fn settings(&mut self, conditions: Conditions, style: &str, kind: Option<kinds::Kind>) {
        let condition = conditions.setting();
        let names: Vec<_> = kinds::all().filter(|kind| kind.condition == condition && kind.style == style).collect();
        let names: Vec<_> = names.iter().map(|kind| kind.name).collect();
        self.line("set", &format!("IF_NONE_MATCH={condition} ADDRESSING_STYLE={style}"));
        if !names.is_empty() {
            self.line("", &format!("STORE_KIND means the same for {}", names.join(", ")));
        }
        if let Some(kind) = kind.filter(|kind| kind.condition != condition) {
            let told = format!("STORE_KIND={} means IF_NONE_MATCH={}", kind.name, kind.condition);
            match kind.condition {
                // A HEAD before each write works everywhere.
                "false" => self
                    .note(&format!("{told}. It works here, too, and overwrites what is stored between HEAD and write")),
                _ => self.bad(&format!("{told}, which this store does not honour")),
            }
        }
    }

    fn end(mut self) -> (u8, String) {
        let (code, verdict) =
            if self.failed { (FAILED, "this store will not do as it is") } else { (0, "this store will do") };
        self.text.push_str(verdict);
        self.text.push('\n');
        (code, self.text)
    }
}

/// Returns the prefix of all keys: the given one, or one that nobody has used before.
fn prefix(options: &Options) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let own = format!("mirror-on-miss-probe/{}-{}", since.as_millis(), std::process::id());
    match options.prefix.as_deref().map(|prefix| prefix.trim_matches('/')) {
        None | Some("") => own,
        Some(prefix) => format!("{prefix}/{own}"),
    }
}
