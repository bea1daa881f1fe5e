//! The adapter between the core and proxy-wasm. A callback takes from the host, calls one function of the core, and
//! gives the result to the host.
//!
//! The root context of a worker owns its fills and makes every call, so a client that goes away stops nothing
//! (`root`). A stream's context only reports the client's request and the bucket's answer (`stream`).

mod host;
mod metrics;
mod root;
mod stream;

use crate::single_flight::effect::StreamId;
use crate::sorted_map::SortedMap;
use crate::worker::{DeniedResponse, Worker};
use host::Clock;
pub use metrics::take_back_on_panic;
use proxy_wasm::traits::RootContext;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Makes the root context of one worker's VM, as the SDK asks for it.
pub fn root_context(context_id: u32) -> Box<dyn RootContext> {
    Box::new(root::Root::new(context_id))
}

/// The worker, as its contexts share it. Callbacks never nest, and no borrow outlives one call of the core.
struct WorkerHandle {
    worker: RefCell<Worker>,
    /// The denials that streams have read for the root, which would have to step into each of them to do so.
    read: RefCell<SortedMap<StreamId, DeniedResponse>>,
    /// Streams whose origin did not give the object, which the root has yet to count.
    failed_streams: Cell<u64>,
    wake_up: WakeUp,
    clock: Clock,
}

/// The longest time that a message may be under way. A message takes longer only if its worker is stuck, or if Envoy
/// lost it.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// The root's own queue. A message in it brings [`RootContext::on_queue_ready`] at once, not with a tick.
struct WakeUp {
    queue: u32,
    /// The time since which a message is under way.
    expected: Cell<Option<Instant>>,
}

impl WakeUp {
    fn new(queue: u32) -> Self {
        Self { queue, expected: Cell::new(None) }
    }

    /// Asks for a call of the root right after this callback. `false` if that cannot be done.
    ///
    /// After [`LOST_AFTER`] the next caller sends another message. A lost message thus delays its own clients only,
    /// and not every later client of this worker.
    fn call(&self, now: Instant) -> bool {
        let is_expected = |since| now.saturating_duration_since(since) < LOST_AFTER;
        if self.expected.get().is_some_and(is_expected) {
            return true;
        }
        self.expected.set(host::enqueue(self.queue, None).then_some(now));
        self.expected.get().is_some()
    }

    /// Notes that the root was called.
    fn came(&self) {
        self.expected.set(None);
    }
}
