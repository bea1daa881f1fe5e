//! The repetition of calls.
//!
//! **This is the only table of retries in the project.**
//!
//! | call | safe to repeat | made at most | repeated after |
//! | --- | --- | --- | --- |
//! | HEAD of an object at the store | yes | 3 times | no answer, 408, 425, 429, 5xx |
//! | PUT of an object | yes, by `If-None-Match: *`, or by the HEAD before each attempt | 3 times | likewise, and 409 |
//! | PUT of a part | yes: it replaces itself | 3 times | likewise |
//! | POST that creates an upload | no: each creates another | 3 times | 409, 425, 429, and a 503 with S3's error document |
//! | POST that completes an upload | as a PUT of an object | 3 times | as a PUT, but not 409; a 200 without a result |
//! | DELETE of an upload | yes | 8 times | everything but 2xx and 404 |
//! | GET at an origin, for the beginning | yes | 3 times within `wait` | no answer, 408, 425, 429, 5xx but 504; then the next origin |
//! | the same without a range | yes | 3 times within `wait` | likewise; once where a 5xx may have been a refusal of ranges |
//! | HEAD at an origin, for its length | yes | once | its failure is that of the GET before it |
//! | GET at an origin, for the rest of a small object | yes | once | whatever is not all of it: the beginning is asked for again, after a wait |
//! | GET at an origin, for a later part | yes, by its validator | 3 times | no answer, 408, 425, 429, 5xx, timeout |
//! | the same, answered 412 | yes | once more | it has no precondition then |
//! | the same, refused where the origin redirected to | yes | once more at the origin | 400, 401, 403; again when a part has come since |
//!
//! A 409 to a completion means a new upload, once in a fill: AWS asks for one
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>). Before the second attempt a fill
//! waits 100 to 200 ms, and before each further one twice as long. `wait` counts from the fill's first call: after it the
//! clients that began the fill are gone, and whoever asks next begins another.

use super::{Action, Job};
use crate::s3::Refusal;
use std::time::Duration;

/// The most attempts at a call, unless the table says otherwise.
pub const ATTEMPTS: u32 = 3;
/// The longest wait before a second attempt. It doubles before each further one. AWS's SDKs begin as short.
pub const BACKOFF: Duration = Duration::from_millis(200);

/// Aborting an upload. Eight attempts take half a minute at a store that refuses at once.
pub const ABORT: Policy = Policy { attempts: 8, after: After::Anything };
/// Creating an upload.
pub const CREATE: Policy = Policy { attempts: ATTEMPTS, after: After::NothingDone };
/// Everything else that the store is asked.
pub const STORE: Policy = Policy { attempts: ATTEMPTS, after: After::Passing };

/// The rule by which a call is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    attempts: u32,
    after: After,
}

/// The refusals after which a call is repeated.
#[derive(Clone, Copy, Debug)]
enum After {
    Anything,
    /// Those that may pass, of a call that was certainly not carried out.
    NothingDone,
    /// Those that may pass.
    Passing,
}

impl Policy {
    /// Tells if a call is repeated that was made so often, and refused so the last time.
    pub fn allows(self, made: u32, refusal: Refusal) -> bool {
        let repeats = match self.after {
            After::Anything => true,
            After::NothingDone => refusal.passing && refusal.undone,
            After::Passing => refusal.passing,
        };
        repeats && made < self.attempts
    }
}

/// The attempts at one operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempts {
    /// Their number.
    pub made: u32,
    /// The store may have carried out one of them without saying so.
    pub ambiguous: bool,
}

impl Attempts {
    /// One more.
    pub fn next(self) -> Self {
        Self { made: self.made.saturating_add(1), ..self }
    }

    /// The last one was refused.
    pub fn refused(self, refusal: Refusal) -> Self {
        Self { ambiguous: self.ambiguous || !refusal.undone, ..self }
    }
}

impl Job {
    /// Waits for the next attempt; `made` were made.
    pub fn back_off(&mut self, made: u32) -> Action {
        self.feed.watching = false;
        Action::Wait(self.random.jitter(longest_wait(made)))
    }

    /// Tells if an origin that was asked so often for the beginning is asked once more: while clients may wait for it.
    pub fn may_ask_again(&self, made: u32) -> bool {
        made < ATTEMPTS && self.spent.saturating_add(longest_wait(made)) <= self.wait
    }
}

/// Returns the longest wait after so many attempts.
fn longest_wait(made: u32) -> Duration {
    BACKOFF.saturating_mul(2_u32.saturating_pow(made.saturating_sub(1)))
}

/// Numbers that only have to differ between workers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A time between half of `longest` and all of it, so that fills that failed together do not come back together.
    fn jitter(&mut self, longest: Duration) -> Duration {
        let half = longest.checked_div(2).unwrap_or(longest);
        // The upper 10 bits: a step of 1024.
        let step = u32::try_from(self.next() >> 54).unwrap_or(0);
        half.saturating_add(half.saturating_mul(step).checked_div(1024).unwrap_or_default())
    }
}
