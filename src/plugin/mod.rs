//! The adapter between the core and proxy-wasm: takes from the host, calls one function of the core, gives to the
//! host.
//!
//! The root context of a worker owns its fills and makes every call, so that a client that goes away stops nothing
//! ([`root`]). A stream's context only says what its client asked for and what the bucket answered ([`stream`]).

mod host;
mod meters;
mod root;
mod stream;

use crate::worker::Worker;
pub use meters::take_back_on_panic;
use proxy_wasm::traits::RootContext;
use std::cell::{Cell, RefCell};

/// The root context of one worker's VM, as the SDK asks for it.
pub fn root_context(context_id: u32) -> Box<dyn RootContext> {
    Box::new(root::Root::new(context_id))
}

/// What the contexts of one worker share. Callbacks never nest, and no borrow outlives one call of the core.
struct Shared {
    worker: RefCell<Worker>,
    wake_up: WakeUp,
}

/// The root's own queue: an enqueued message brings [`RootContext::on_queue_ready`] at once, not with a tick.
struct WakeUp {
    queue: u32,
    /// That will come already.
    expected: Cell<bool>,
}

impl WakeUp {
    fn new(queue: u32) -> Self {
        Self { queue, expected: Cell::new(false) }
    }

    /// Has the root come as soon as this callback is over. `false` if that cannot be done.
    fn call(&self) -> bool {
        if !self.expected.get() {
            self.expected.set(host::enqueue(self.queue, None));
        }
        self.expected.get()
    }

    /// The root has come.
    fn came(&self) {
        self.expected.set(false);
    }
}
