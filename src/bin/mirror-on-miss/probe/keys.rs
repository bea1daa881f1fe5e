//! Keys that stores read differently.

use super::{Probe, Report};

/// A key, and another one for which some stores take it.
struct Odd {
    name: &'static str,
    /// `None` where the object itself shows it.
    taken_for: Option<&'static str>,
    what: &'static str,
}

const ODD: [Odd; 5] = [
    Odd { name: "joined//key", taken_for: Some("joined/key"), what: "an empty segment" },
    Odd { name: "back\\slash", taken_for: Some("back/slash"), what: "a backslash" },
    Odd { name: "directory/", taken_for: None, what: "a slash at its end" },
    Odd { name: "plain/below", taken_for: None, what: "another key before its slash" },
    Odd { name: LONG, taken_for: None, what: "a segment of 300 bytes" },
];

/// Stands for a segment that many file systems cannot hold.
const LONG: &str = "long";

/// Returns the name as it is written.
fn expanded(name: &str) -> String {
    if name == LONG { "l".repeat(300) } else { name.to_owned() }
}

impl Probe {
    /// Finds out which keys the store keeps apart.
    pub fn keys(&self, report: &mut Report) -> Result<(), String> {
        let mut exact = true;
        for odd in ODD {
            let name = expanded(odd.name);
            let body = odd.name.as_bytes();
            let put = self.put(&name, &[], body)?;
            if !put.is_done() {
                exact = false;
                report.note(&format!("a key with {} is {}: it cannot be stored", odd.what, put.shown()));
                continue;
            }
            let kept = self.get(&name)?;
            let taken = match odd.taken_for {
                Some(other) => self.get(other)?.is_done(),
                None => false,
            };
            // 403: a credential that may not read.
            if taken || (kept.status != 403 && kept.body != body) {
                exact = false;
                report.note(&format!("a key with {} is taken for another one", odd.what));
            }
        }
        match exact {
            true => {
                report.good("every byte of a key counts: `bucket.keys` may be `exact`, where the origin is as strict")
            }
            false => report.note("keep `bucket.keys` at `plain`"),
        }
        Ok(())
    }
}
