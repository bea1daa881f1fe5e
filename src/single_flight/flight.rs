//! One flight: a fill, or one that another worker makes, and the streams that wait for it.

use super::effect::StreamId;
use super::leases::KeyHash;
use crate::config::Limits;
use crate::fill::{Fill, Outcome};
use std::collections::VecDeque;
use std::time::Instant;

/// A fill, and the streams that wait for it.
#[derive(Debug)]
pub struct Flight {
    pub id: u64,
    pub hash: KeyHash,
    pub fill: Fill,
    pub phase: Phase,
    /// When this worker's lease is to be renewed, or another's is over.
    pub lease: Instant,
    /// Bytes that are stored, in how many parts, and when that was last told.
    pub stored: u64,
    pub parts: u64,
    pub logged: Instant,
    /// When the fill wants [`Input::Deadline`].
    pub timer: Option<Instant>,
    /// What those who come are answered with, while the fill goes on.
    pub meanwhile: Option<Outcome>,
    /// How many more may be given the object itself; nothing until it is at hand.
    pub copies: Option<usize>,
    /// Filled although nobody waits for it.
    pub background: bool,
    /// In the order of their deadlines, because all wait equally long.
    pub waiters: VecDeque<Waiter>,
    /// Queues of workers that want to be told how it ends.
    pub followers: Vec<u32>,
}

/// How far a flight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Another worker fills the key.
    Following,
    /// It waits for room.
    Queued,
    /// It runs since then.
    Running(Instant),
}

/// A stream that waits, and until when.
#[derive(Debug)]
pub struct Waiter {
    pub stream: StreamId,
    pub deadline: Instant,
}

impl Flight {
    /// Whether it is worth to be begun.
    pub fn is_wanted(&self) -> bool {
        self.background || !self.waiters.is_empty() || !self.followers.is_empty()
    }

    /// How many of so many streams are answered so. Envoy holds a copy of the object for each that is given it, until its
    /// client has read that, so they are not more than fit into the memory that fills may have; one always is.
    pub fn share(&mut self, outcome: &Outcome, streams: usize, limits: &Limits) -> usize {
        let Some(object) = outcome.object() else { return streams };
        let fit = limits.memory.checked_div(object.length()).map(|copies| usize::try_from(copies.max(1)));
        let copies = self.copies.get_or_insert(fit.and_then(Result::ok).unwrap_or(usize::MAX));
        let share = streams.min(*copies);
        *copies = copies.saturating_sub(share);
        share
    }

    /// Since when it runs.
    pub fn began(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running(began) => Some(began),
            Phase::Following | Phase::Queued => None,
        }
    }
}
