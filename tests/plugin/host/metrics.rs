//! Counters, gauges and histograms (`Context::defineMetric` and its kin).

use std::collections::BTreeMap;

use proxy_wasm::types::{MetricType, Status};

/// The step between metric ids, which carry their type in the low bits. (`kMetricIdIncrement` of proxy-wasm-cpp-host)
const ID_STEP: u32 = 4;

/// The plugin's metrics. Every definition has an id of its own, and those of one name share a value.
#[derive(Default)]
pub struct Metrics {
    defined: BTreeMap<u32, (MetricType, String)>,
    values: BTreeMap<String, u64>,
    recorded: BTreeMap<String, Vec<u64>>,
}

impl Metrics {
    pub fn define(&mut self, kind: MetricType, name: String) -> u32 {
        let count = self.defined.values().filter(|(known, _)| *known == kind).count();
        let id = (u32::try_from(count).expect("few metrics") + 1) * ID_STEP + kind as u32;
        self.defined.insert(id, (kind, name));
        id
    }

    /// Adds to a counter or a gauge. A counter takes positive offsets only.
    pub fn increment(&mut self, id: u32, offset: i64) -> Result<(), Status> {
        match self.defined.get(&id) {
            Some((MetricType::Counter, _)) if offset <= 0 => Err(Status::BadArgument),
            Some((MetricType::Counter | MetricType::Gauge, name)) => {
                let value = self.values.entry(name.clone()).or_default();
                *value = value.wrapping_add_signed(offset);
                Ok(())
            }
            Some(_) => Err(Status::BadArgument),
            None => Err(Status::NotFound),
        }
    }

    /// Adds to a counter, sets a gauge, appends to a histogram.
    pub fn record(&mut self, id: u32, value: u64) -> Result<(), Status> {
        match self.defined.get(&id).ok_or(Status::NotFound)? {
            (MetricType::Counter, name) => *self.values.entry(name.clone()).or_default() += value,
            (MetricType::Gauge, name) => *self.values.entry(name.clone()).or_default() = value,
            (_, name) => self.recorded.entry(name.clone()).or_default().push(value),
        }
        Ok(())
    }

    pub fn get(&self, id: u32) -> Result<u64, Status> {
        match self.defined.get(&id).ok_or(Status::NotFound)? {
            (MetricType::Counter | MetricType::Gauge, name) => Ok(self.value(name)),
            _ => Err(Status::BadArgument),
        }
    }

    /// Returns a counter or a gauge by name; zero where nothing was counted.
    pub fn value(&self, name: &str) -> u64 {
        self.values.get(name).copied().unwrap_or_default()
    }

    /// Names every definition, repeated ones too.
    pub fn defined(&self) -> Vec<String> {
        self.defined.values().map(|(_, name)| name.clone()).collect()
    }

    /// Names the filter's gauges that are not 0: they stay so in Envoy when the filter's root context is gone.
    pub fn left(&self) -> Vec<String> {
        let gauges = self.defined.values().filter(|(kind, _)| *kind == MetricType::Gauge);
        let left = gauges.map(|(_, name)| name).filter(|name| name.starts_with("mirror_on_miss_"));
        left.filter(|name| self.value(name) != 0).map(|name| format!("{name} stays at {}", self.value(name))).collect()
    }

    /// Returns the values that a histogram was given.
    pub fn samples(&self, name: &str) -> &[u64] {
        self.recorded.get(name).map_or(&[], Vec::as_slice)
    }
}
