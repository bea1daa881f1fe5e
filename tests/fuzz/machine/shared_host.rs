//! A shared host in memory: the table and the queues.

use mirror_on_miss::single_flight::leases::{SETS, SharedHost};
use mirror_on_miss::single_flight::permits::PERMIT_SETS;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

/// The time at which every script begins, far enough from zero for a clock that is set back by days.
const START_NANOS: u64 = 1_767_225_600_000_000_000;

/// The table and queues that two workers share. A set that was never written is empty.
pub struct Table {
    nanos: Cell<u64>,
    sets: RefCell<BTreeMap<u32, (Vec<u8>, u32)>>,
    queues: RefCell<Vec<(u32, Vec<u8>)>>,
}

impl Default for Table {
    fn default() -> Self {
        let (sets, queues) = (RefCell::default(), RefCell::default());
        Self { nanos: Cell::new(START_NANOS), sets, queues }
    }
}

impl Table {
    pub fn pass(&self, time: Duration) {
        self.nanos.set(self.nanos.get() + u64::try_from(time.as_nanos()).unwrap());
    }

    /// Sets the clock, forward or back.
    pub fn set_clock(&self, by_seconds: i64) {
        let by = by_seconds.unsigned_abs() * 1_000_000_000;
        let now = self.nanos.get();
        self.nanos.set(if by_seconds < 0 { now.saturating_sub(by) } else { now + by });
    }

    /// Takes the messages that a queue holds. Messages for other queues are lost.
    pub fn take(&self, queue: u32) -> Vec<Vec<u8>> {
        let (mine, others) = self.queues.take().into_iter().partition::<Vec<_>, _>(|(to, _)| *to == queue);
        self.queues.replace(others);
        mine.into_iter().map(|(_, message)| message).collect()
    }

    /// Tells if no queue holds a message.
    pub fn is_quiet(&self) -> bool {
        !self.queues.borrow().iter().any(|(to, _)| matches!(to, 1 | 2))
    }

    /// Overwrites a set that is in use with any content.
    pub fn spoil(&self, set: usize, content: &[u8]) {
        let mut sets = self.sets.borrow_mut();
        let used = sets.len().max(1);
        if let Some((place, version)) = sets.values_mut().nth(set % used) {
            (*place, *version) = (content.to_vec(), *version + 1);
        }
    }
}

impl SharedHost for Table {
    fn nanos(&self) -> u64 {
        self.nanos.get()
    }

    fn read(&self, set: u32) -> Option<(Vec<u8>, u32)> {
        assert!(set < SETS + PERMIT_SETS);
        Some(self.sets.borrow().get(&set).cloned().unwrap_or((Vec::new(), 1)))
    }

    fn write(&self, set: u32, content: &[u8], version: u32) -> bool {
        let mut sets = self.sets.borrow_mut();
        let place = sets.entry(set).or_insert((Vec::new(), 1));
        if place.1 != version {
            return false;
        }
        *place = (content.to_vec(), version + 1);
        true
    }

    fn post(&self, queue: u32, message: &[u8]) {
        self.queues.borrow_mut().push((queue, message.to_vec()));
    }
}
