//! Calls into the module, and Envoy's actions around each of them.

#![allow(unsafe_code, reason = "the module's exports are symbols, declared by hand")]

use std::cell::Cell;
use std::collections::VecDeque;

use proxy_wasm::types::{Action, Status, StreamType};

use super::filter_manager;
use super::stream::LocalReply;
use super::{Host, host};

/// The most streams that may continue after one callback. Each continues inside the end of the one before: 2,500
/// overflow the stack of the VM (measured on Envoy 1.40).
const DEFERRED_AT_ONCE: usize = 500;

thread_local! {
    // Not part of the host: the SDK's dispatcher outlives it, and panics at an id that it knows.
    static LAST_CONTEXT: Cell<u32> = const { Cell::new(0) };
    /// The module is running. The panic hook reads this, because it must not touch the host.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// The VM of this worker, seen from outside.
#[derive(Default)]
pub struct Vm {
    /// The root context, 0 before it exists.
    pub root: u32,
    /// The plugin's configuration. Only `onConfigure` shows it. (`temp_plugin_`)
    pub configuration: Option<Vec<u8>>,
    current: u32,
    effective: u32,
    replied: bool,
    deferred: VecDeque<Deferred>,
}

/// A host function's action that must not happen while the module runs. (`addAfterVmCallAction`)
pub enum Deferred {
    Close { stream: u32 },
    Continue { stream: u32, direction: StreamType },
    ForgetCallResponse,
    Reply { stream: u32, reply: LocalReply },
}

/// The effect on a stream of its own callback.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Continue,
    Pause,
    /// `proxy_send_local_response` was called: the returned action counts for nothing. (`stopNextIteration`)
    Replied,
}

impl Vm {
    pub fn defer(&mut self, deferred: Deferred) {
        self.deferred.push_back(deferred);
    }

    /// Notes that the module asked for a local reply: the callback's own action will not count.
    pub fn stop_iteration(&mut self) {
        self.replied = true;
    }
}

impl Host {
    /// Returns the context that host functions act on. (`contextOrEffectiveContext`)
    pub fn context(&self) -> u32 {
        if self.exists(self.vm.effective) { self.vm.effective } else { self.vm.current }
    }

    /// Implements `proxy_set_effective_context`; it lasts until the callback returns.
    pub fn set_effective_context(&mut self, context: u32) -> Result<(), Status> {
        if !self.exists(context) {
            return Err(Status::BadArgument);
        }
        self.vm.effective = context;
        Ok(())
    }

    fn exists(&self, context: u32) -> bool {
        context != 0 && (context == self.vm.root || self.streams.get(&context).is_some_and(|s| !s.is_deleted))
    }
}

/// Returns an id that the module has not seen.
pub fn new_context_id() -> u32 {
    LAST_CONTEXT.set(LAST_CONTEXT.get() + 1);
    LAST_CONTEXT.get()
}

/// Tells if the module is running on this thread.
pub fn is_running() -> bool {
    RUNNING.get()
}

/// Calls an export on `context`, then carries out the deferred actions. (`SaveRestoreContext`,
/// `DeferAfterCallActions`)
pub fn enter<T>(context: u32, export: impl FnOnce() -> T) -> T {
    enter_noting_reply(context, export).0
}

/// Does as [`enter`], for the callbacks that decide if the stream goes on. Deferred actions happen before the
/// callback's result counts, as in Envoy.
pub fn ask(context: u32, export: impl FnOnce() -> Action) -> Verdict {
    match enter_noting_reply(context, export) {
        (_, true) => Verdict::Replied,
        (Action::Continue, false) => Verdict::Continue,
        _ => Verdict::Pause,
    }
}

fn enter_noting_reply<T>(context: u32, export: impl FnOnce() -> T) -> (T, bool) {
    host(|host| {
        host.vm.current = context;
        host.vm.effective = 0;
        host.vm.replied = false;
    });
    RUNNING.set(true);
    let result = export();
    RUNNING.set(false);
    let replied = host(|host| {
        host.vm.current = 0;
        host.vm.effective = 0;
        if host.vm.deferred.len() > DEFERRED_AT_ONCE {
            let count = std::mem::take(&mut host.vm.deferred).len();
            host.violation(format!("{count} streams go on after one callback: Envoy's VM overflows its stack"));
        }
        std::mem::take(&mut host.vm.replied)
    });
    while let Some(deferred) = host(|host| host.vm.deferred.pop_front()) {
        perform(deferred);
    }
    (result, replied)
}

fn perform(deferred: Deferred) {
    match deferred {
        Deferred::Close { stream } => filter_manager::reset(stream),
        Deferred::Continue { stream, direction: StreamType::HttpRequest } => filter_manager::continue_decoding(stream),
        Deferred::Continue { stream, .. } => filter_manager::continue_encoding(stream),
        Deferred::ForgetCallResponse => host(|host| host.calls.delivering = None),
        Deferred::Reply { stream, reply } => filter_manager::send_local_reply(stream, reply),
    }
}

/// The module's side of the ABI. (`dispatcher.rs` of proxy-wasm 0.2.5)
pub mod exports {
    use super::Action;

    unsafe extern "C" {
        pub safe fn proxy_on_configure(context: u32, size: usize) -> bool;
        pub safe fn proxy_on_context_create(context: u32, root: u32);
        pub safe fn proxy_on_delete(context: u32);
        pub safe fn proxy_on_done(context: u32) -> bool;
        pub safe fn proxy_on_http_call_response(root: u32, token: u32, headers: usize, body: usize, trailers: usize);
        pub safe fn proxy_on_log(context: u32);
        pub safe fn proxy_on_queue_ready(root: u32, queue: u32);
        pub safe fn proxy_on_request_headers(context: u32, headers: usize, end_of_stream: bool) -> Action;
        pub safe fn proxy_on_response_body(context: u32, size: usize, end_of_stream: bool) -> Action;
        pub safe fn proxy_on_response_headers(context: u32, headers: usize, end_of_stream: bool) -> Action;
        pub safe fn proxy_on_tick(root: u32);
        pub safe fn proxy_on_vm_start(root: u32, size: usize) -> bool;
    }
}
