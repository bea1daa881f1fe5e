//! The page behind a path that lacks its slash.
//!
//! Where there is no object `dir`, but `dir/index.html` is one, S3's website hosting answers 302 to `dir/`
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/IndexDocumentSupport.html>). With `bucket.index` so does the filter,
//! and fills the page if it has to.

use super::{Held, Worker};
use crate::config::rule::mirror_for;
use crate::fill::{FillRequest, Outcome};
use crate::request::denial::Denial;
use crate::request::target::Target;
use crate::single_flight::Join;
use crate::single_flight::effect::{Effect, StreamId};
use crate::single_flight::leases::SharedHost;
use std::time::{Duration, Instant};

/// The longest time in which the object itself may be found missing, if its page is to be looked for. Looking for a page takes a
/// client's `wait` once more.
const PATIENCE: Duration = Duration::from_secs(5);

/// The facts of a denial that a look for its page needs.
#[derive(Debug)]
pub(super) struct PageLookup {
    /// The time of the client's request, on the shared host's clock.
    asked: u64,
    /// The last time at which the look may begin.
    until: Option<Instant>,
}

impl PageLookup {
    pub fn new(asked: u64, now: Instant) -> Self {
        Self { asked, until: now.checked_add(PATIENCE) }
    }
}

impl Worker {
    /// Has streams look for a page before they are told that there is no object.
    pub(super) fn with_pages(&mut self, effects: Vec<Effect>, now: Instant, shared: &dyn SharedHost) -> Vec<Effect> {
        if self.config.bucket.index.is_none() {
            return effects;
        }
        let mut all = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Answer { streams, source, outcome: outcome @ Outcome::NotFound } => {
                    let mut missing = Vec::new();
                    for stream in streams {
                        match self.look_for_page(stream, now, shared) {
                            Some(effects) => all.extend(effects),
                            None => missing.push(stream),
                        }
                    }
                    all.extend((!missing.is_empty()).then_some(Effect::Answer { streams: missing, source, outcome }));
                }
                other => all.push(other),
            }
        }
        all
    }

    /// Makes a stream wait for its page, once. `None` if there cannot be one.
    fn look_for_page(&mut self, stream: StreamId, now: Instant, shared: &dyn SharedHost) -> Option<Vec<Effect>> {
        let held = self.streams.get_mut(&stream)?;
        let lookup = held.lookup.take().filter(|lookup| lookup.until.is_some_and(|until| now <= until))?;
        let page = held.wanted.target.page(&self.config.bucket)?;
        let mirror = mirror_for(&self.config.rules, page.method, page.spellings()).filter(|mirror| !mirror.observe)?;
        // The signer's HEAD says if the bucket has it. Nobody has asked for it as a reader.
        let request =
            FillRequest::new(&self.config.rules, mirror, &page, &held.wanted.headers, Denial::Forbidden, true);
        held.fill_key = Some(request.fill_key.clone());
        held.page = Some(page);
        let (asked, trace): (&dyn Fn() -> u64, _) = (&|| lookup.asked, &held.trace);
        let join = Join { stream, asked, request: &request, trace, may_pass: false, for_bucket: true, most: u64::MAX };
        Some(self.flights.join(join, now, shared))
    }
}

impl Held {
    /// Returns the page that a stream has found.
    pub(super) fn found_page(&self, outcome: &Outcome) -> Option<&Target> {
        let found = matches!(
            outcome,
            Outcome::Exists
                | Outcome::Filling
                | Outcome::Forbidden
                | Outcome::Head { .. }
                | Outcome::Loop
                | Outcome::NotStored { .. }
                | Outcome::Origin
                | Outcome::Private(_)
                | Outcome::Served(_)
                | Outcome::Stored
                | Outcome::TooLarge
        );
        self.page.as_ref().filter(|_| found)
    }

    /// Returns the outcome that the client is told. A page that was found is there, however it came.
    pub(super) fn told<'a>(&self, outcome: &'a Outcome) -> &'a Outcome {
        match self.found_page(outcome) {
            Some(_) => &Outcome::Exists,
            None if self.found_no_page(outcome) => &Outcome::NotFound,
            None => outcome,
        }
    }

    /// Tells if a stream looked for a page in vain. An origin that shows no listing of a directory refuses to.
    fn found_no_page(&self, outcome: &Outcome) -> bool {
        self.page.is_some() && matches!(outcome, Outcome::NotFound | Outcome::OriginRefused { .. })
    }
}
