//! Metrics as Envoy keeps them. Its counters, gauges and histograms belong to all workers together.

use super::host;
use crate::metrics::{self, CallRecord, Name};
use crate::single_flight::events::FillEnded;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{LogLevel, MetricType};
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The metrics of one root context. What is counted waits until Envoy is [told](Metrics::tell): a miss counts a dozen things, and
/// each is a look at all known names and a call of the host.
#[derive(Default)]
pub struct Metrics {
    /// Envoy's numbers for the metrics.
    known: Known,
    /// What is to be added to counters.
    counted: Vec<(Name, u64)>,
    /// Times that are to be recorded in histograms.
    timed: Vec<(Name, Duration)>,
    /// This root's share of [`GAUGES`], now and as Envoy was told.
    values: [usize; 3],
    shown: [usize; 3],
}

/// The gauges, and the sum that all roots of this VM add to them.
static GAUGES: [(&str, AtomicUsize); 3] = [
    (metrics::FILLS_IN_FLIGHT, AtomicUsize::new(0)),
    (metrics::STREAMS, AtomicUsize::new(0)),
    (metrics::WAITERS, AtomicUsize::new(0)),
];

/// The VM has panicked. If the panic was in a callback inside another one, Envoy continues the outer one.
static PANICKED: AtomicBool = AtomicBool::new(false);

impl Metrics {
    /// Defines the metrics that are shown from the start.
    pub fn define(&mut self) {
        for name in metrics::never() {
            self.known.id(MetricType::Counter, name);
        }
        for (name, _) in &GAUGES {
            self.known.id(MetricType::Gauge, *name);
        }
    }

    pub fn count(&mut self, metric: impl Into<Name>) {
        self.add(metric, 1);
    }

    /// Adds to a counter.
    pub fn add(&mut self, metric: impl Into<Name>, amount: u64) {
        if amount > 0 {
            self.counted.push((metric.into(), amount));
        }
    }

    /// Records a call that ended.
    pub fn called(&mut self, called: &CallRecord) {
        self.count(called.count());
        self.record(called.time(), called.took);
        self.add(metrics::FETCHED_BYTES, called.fetched);
    }

    /// Records a fill that ended.
    pub fn ended(&mut self, ended: &FillEnded) {
        self.count(metrics::fills(ended.outcome));
        self.record(metrics::FILL_TIME, ended.took);
        for reason in &ended.failures {
            self.count(metrics::origin_failures(reason));
        }
    }

    /// Sets the numbers of fills that run in this worker, of clients that are passed to origins, and of requests that wait.
    pub fn set(&mut self, values: [usize; 3]) {
        self.values = values;
    }

    /// Tells if there is something that Envoy has not been told.
    pub fn has_news(&self) -> bool {
        !(self.counted.is_empty() && self.timed.is_empty()) || self.values != self.shown
    }

    /// Tells Envoy of everything since the last time.
    pub fn tell(&mut self) {
        let mut sums: Vec<(u32, u64)> = Vec::new();
        for (metric, amount) in self.counted.drain(..) {
            let id = self.known.id(MetricType::Counter, metric);
            match sums.iter_mut().find(|(summed, _)| *summed == id) {
                Some((_, sum)) => *sum = sum.saturating_add(amount),
                None => sums.push((id, amount)),
            }
        }
        sums.into_iter().for_each(|(id, amount)| host::add_to_counter(id, amount));
        for (metric, took) in self.timed.drain(..) {
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            host::record(self.known.id(MetricType::Histogram, metric), milliseconds);
        }
        if PANICKED.load(Ordering::Relaxed) {
            return;
        }
        for ((name, all), (shown, value)) in GAUGES.iter().zip(self.shown.iter_mut().zip(self.values)) {
            let change = value.wrapping_sub(*shown);
            if change != 0 {
                all.fetch_add(change, Ordering::Relaxed);
                *shown = value;
                host::add_to_gauge(self.known.id(MetricType::Gauge, *name), change.cast_signed());
            }
        }
    }

    fn record(&mut self, metric: impl Into<Name>, took: Duration) {
        self.timed.push((metric.into(), took));
    }
}

/// A root that is replaced has no fills and no waiters any more.
impl Drop for Metrics {
    fn drop(&mut self) {
        self.set([0; 3]);
        self.tell();
    }
}

/// Metrics that are defined. A second definition of the same name gives another number, which Envoy keeps as long as
/// the VM lives (`Context::defineMetric` in `wasm/context.cc`).
#[derive(Default)]
struct Known(Vec<(Name, u32)>);

impl Known {
    fn id(&mut self, kind: MetricType, metric: impl Into<Name>) -> u32 {
        let metric = metric.into();
        if let Some((_, id)) = self.0.iter().find(|(known, _)| *known == metric) {
            return *id;
        }
        let id = hostcalls::define_metric(kind, &metric.to_string()).unwrap_or_default();
        self.0.push((metric, id));
        id
    }
}

/// Installs a panic hook that takes back the VM's share of the gauges: the VM's fills end with it. The hook replaces
/// the SDK's and logs as that one does.
pub fn take_back_on_panic() {
    panic::set_hook(Box::new(|info| {
        let _ = hostcalls::log(LogLevel::Critical, &info.to_string());
        if PANICKED.swap(true, Ordering::Relaxed) {
            return;
        }
        for (name, all) in &GAUGES {
            let id = Known::default().id(MetricType::Gauge, *name);
            host::add_to_gauge(id, all.load(Ordering::Relaxed).cast_signed().wrapping_neg());
        }
    }));
}
