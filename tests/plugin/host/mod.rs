//! A native proxy-wasm host that behaves like Envoy, so that the real adapter and the real SDK run in a plain test.
//!
//! The SDK imports `proxy_*` functions by symbol. [`abi`] defines every one of them over a [`Host`] that belongs to
//! the thread, and [`vm`] calls the SDK's `proxy_on_*` exports. The host follows Envoy's behaviour, not the ABI's
//! documentation. That behaviour was read in `source/extensions/common/wasm/context.cc`,
//! `source/common/http/filter_manager.cc` and proxy-wasm-cpp-host, and measured with a probe filter on Envoy 1.40.0.
//!
//! The host differs from Envoy in these points:
//!
//! * Misuse that Envoy leaves undefined is a *violation*: it is recorded, and the test fails when its [`Envoy`]
//!   drops. A second reply on a stream is one (Envoy 1.40 dies of a segmentation fault). So are a resume of a stream
//!   that is not paused or from inside that stream's own callback, response headers written after they were sent,
//!   header values with line breaks, and a `content-length` that is not the body's.
//! * A [`SECRET`] in a log line is a violation, and so is a [`CLIENT_SECRET`] in a call. Every client's request has a
//!   secret cookie and a secret `authorization`, and tests put others into queries and configurations.
//! * Time is virtual, also for the standard library in the module, and moves with [`Envoy::advance`].
//!   [`Envoy::set_clock`] sets the time of day alone. Events happen in the order in which the test makes them.
//! * One stream has one filter, this one. [`Answer::through_filters`] tells if later filters would see the answer.
//! * A body held by a pause in the headers (`StopAllIterationAndWatermark`) has no back-pressure: the test decides
//!   how much arrives. The module does not hear of content in requests, nothing has trailers, gRPC is refused.
//! * A panic of the module ends the test process: it cannot unwind out of an `extern "C"` export. Envoy would go on
//!   without that worker's VM.

mod abi;
mod calls;
mod client;
mod clock;
mod envoy;
mod filter_manager;
mod headers;
mod metrics;
mod secrets;
#[cfg(test)]
mod self_test;
mod shared;
mod stream;
mod view;
mod vm;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proxy_wasm::types::LogLevel;

use calls::Calls;
use clock::Clock;
use metrics::Metrics;
use shared::{Queues, SharedData};
use stream::Stream;
use vm::Vm;

pub use calls::Call;
pub use client::Client;
pub use envoy::{Envoy, set_last_words};
pub use headers::Headers;
pub use secrets::{CLIENT_SECRET, SECRET};
pub use stream::Answer;

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// One worker thread's state of one plugin.
struct Host {
    settings: Settings,
    vm: Vm,
    clock: Clock,
    streams: BTreeMap<u32, Stream>,
    calls: Calls,
    shared_data: SharedData,
    queues: Queues,
    metrics: Metrics,
    properties: BTreeMap<Vec<u8>, Vec<u8>>,
    logs: Vec<(LogLevel, String)>,
    violations: Vec<String>,
}

/// The operator's settings in Envoy's own configuration.
struct Settings {
    /// `allow_on_headers_stop_iteration`: a pause in the headers lets body callbacks through.
    allow_on_headers_stop_iteration: bool,
    /// `per_connection_buffer_limit_bytes`: above it, a body paused by the filter fails the stream with 500.
    buffer_limit: usize,
    /// Clusters that calls can name.
    clusters: Vec<String>,
    /// The clusters among them without a healthy host.
    clusters_without_hosts: Vec<String>,
}

impl Host {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            vm: Vm::default(),
            clock: Clock::default(),
            streams: BTreeMap::new(),
            calls: Calls::default(),
            shared_data: SharedData::default(),
            queues: Queues::default(),
            metrics: Metrics::default(),
            properties: BTreeMap::new(),
            logs: Vec::new(),
            violations: Vec::new(),
        }
    }

    fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    fn violation_on(&mut self, stream: u32, what: &str) {
        let what = format!("{}: {what}", self.stream(stream));
        self.violation(what);
    }

    fn stream(&mut self, id: u32) -> &mut Stream {
        self.streams.get_mut(&id).unwrap_or_else(|| panic!("no stream has the id {id}"))
    }
}

/// Runs `f` on this thread's host. No call into the VM may happen inside: the VM calls back into the host.
fn host<T>(f: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(|host| f(host.as_mut().expect("start an Envoy first: no host on this thread")))
}
