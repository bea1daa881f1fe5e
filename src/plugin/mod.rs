//! The adapter between the core and proxy-wasm: takes from the host, calls one function of the core, gives to the
//! host.
//!
//! The root context of a worker owns its fills and makes every call, so that a client that goes away stops nothing
//! ([`root`]). A stream's context only says what its client asked for and what the bucket answered ([`stream`]).

mod host;
mod metrics;
mod root;
mod stream;

use crate::worker::Worker;
pub use metrics::take_back_on_panic;
use proxy_wasm::traits::RootContext;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// The root context of one worker's VM, as the SDK asks for it.
pub fn root_context(context_id: u32) -> Box<dyn RootContext> {
    Box::new(root::Root::new(context_id))
}

/// What the contexts of one worker share. Callbacks never nest, and no borrow outlives one call of the core.
struct WorkerHandle {
    worker: RefCell<Worker>,
    wake_up: WakeUp,
}

/// How long a message may take to come. Only a worker that is stuck takes longer, or a message that Envoy lost.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// The root's own queue: an enqueued message brings [`RootContext::on_queue_ready`] at once, not with a tick.
struct WakeUp {
    queue: u32,
    /// Since when a message is under way.
    expected: Cell<Option<Instant>>,
}

impl WakeUp {
    fn new(queue: u32) -> Self {
        Self { queue, expected: Cell::new(None) }
    }

    /// Has the root come as soon as this callback is over. `false` if that cannot be done.
    ///
    /// Who comes after [`LOST_AFTER`] sends another message, so that one which is lost costs its own clients, not all
    /// that come to this worker from then on.
    fn call(&self, now: Instant) -> bool {
        let is_expected = |since| now.saturating_duration_since(since) < LOST_AFTER;
        if self.expected.get().is_some_and(is_expected) {
            return true;
        }
        self.expected.set(host::enqueue(self.queue, None).then_some(now));
        self.expected.get().is_some()
    }

    /// The root has come.
    fn came(&self) {
        self.expected.set(None);
    }
}
