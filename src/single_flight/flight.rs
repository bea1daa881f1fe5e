//! One flight: a fill, or one that another worker makes, and the streams that wait for it.

use super::admission::Hold;
use super::effect::StreamId;
use super::leases::KeyHash;
use crate::fill::{Action, Fill, FillRequest, Outcome};
use std::collections::VecDeque;
use std::time::Instant;

/// A fill, and the streams that wait for it.
#[derive(Debug)]
pub struct Flight {
    pub id: u64,
    pub hash: KeyHash,
    pub request: FillRequest,
    pub fill: Fill,
    pub phase: Phase,
    /// When it began.
    pub began: Option<Instant>,
    /// The least that it is to be given room for when it begins again, because it was found to need so much.
    pub needs: Option<Needs>,
    /// Calls to an origin that are made when there is room for their answers.
    pub parked: Vec<Action>,
    /// When this worker's lease is to be renewed, or another's is over.
    pub lease: Instant,
    /// Bytes that are stored, in how many parts, and when that was last told.
    pub stored: u64,
    pub parts: u64,
    pub logged: Instant,
    /// When the fill wants [`Input::Deadline`](crate::fill::Input::Deadline).
    pub timer: Option<Instant>,
    /// What those who come are answered with, while the fill goes on.
    pub meanwhile: Option<Outcome>,
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
    /// The worker with this queue fills the key.
    Following(u32),
    /// It waits for room for so much.
    Queued(Hold),
    /// It runs, and holds so much.
    Running(Hold),
}

/// What a fill was found to need, for which there was no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A share of large objects, of so many bytes.
    Large(u64),
    /// All of an object in one answer.
    Whole,
}

/// A stream that waits, and until when.
#[derive(Debug)]
pub struct Waiter {
    pub stream: StreamId,
    pub deadline: Instant,
}

impl Flight {
    /// Whether anybody is there for whom it is to be begun.
    pub fn is_wanted(&self) -> bool {
        self.background || !self.waiters.is_empty() || !self.followers.is_empty()
    }

    /// Whether it waits, for room or for another worker, and for nobody.
    pub fn is_abandoned(&self) -> bool {
        !matches!(self.phase, Phase::Running(_)) && !self.is_wanted()
    }

    /// What it holds.
    pub fn hold(&self) -> Option<Hold> {
        match self.phase {
            Phase::Running(hold) => Some(hold),
            Phase::Following(_) | Phase::Queued(_) => None,
        }
    }

    /// The streams that wait, in the order in which they came.
    pub fn streams(&self) -> Vec<StreamId> {
        self.waiters.iter().map(|waiter| waiter.stream).collect()
    }

    /// Whether another worker fills the key.
    pub fn follows(&self) -> bool {
        matches!(self.phase, Phase::Following(_))
    }
}
