//! The progress of a run: a bar on a terminal, and a line now and then elsewhere.

use super::book::Counts;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

pub struct Progress {
    /// `None` where nobody sees it move.
    bar: Option<ProgressBar>,
    total: Option<u64>,
    begun: Instant,
    /// The keys that were done when the run began.
    before: u64,
    shown: Instant,
}

/// The time between two lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

const OF_A_LIST: &str = "{bar:32} {human_pos} of {human_len} keys, {msg}, {elapsed} gone, {eta} left";
const OF_A_STREAM: &str = "{spinner} {human_pos} keys, {msg}, {elapsed} gone";

impl Progress {
    pub fn new(total: Option<usize>, counts: Counts) -> Self {
        let total = total.and_then(|total| u64::try_from(total).ok());
        let bar = stderr().is_terminal().then(|| {
            let template = if total.is_some() { OF_A_LIST } else { OF_A_STREAM };
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            bar.with_style(ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()))
        });
        let now = Instant::now();
        let before = counts.done();
        if let Some(bar) = &bar {
            bar.set_position(before);
            bar.reset_eta();
        }
        Self { bar, total, begun: now, before, shown: now }
    }

    pub fn show(&mut self, counts: Counts) {
        let done = counts.done();
        let new = done.saturating_sub(self.before);
        let a_second = new.checked_div(self.begun.elapsed().as_secs().max(1)).unwrap_or_default();
        let state = format!("{} failed, {} a second", grouped(counts.failed), grouped(a_second));
        if let Some(bar) = &self.bar {
            bar.set_message(state);
            bar.set_position(done);
        } else if self.shown.elapsed() >= LINE_EVERY {
            self.shown = Instant::now();
            let of = self.total.map(|total| format!(" of {}", grouped(total))).unwrap_or_default();
            eprintln!("{}{of} keys, {state}", grouped(done));
        }
    }

    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Writes a number with a comma before each three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
