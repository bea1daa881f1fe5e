//! Virtual time and the plugin's timer.

use std::time::Duration;

/// 2026-01-01T00:00:00Z, at which every test begins.
const START: Duration = Duration::from_secs(1_767_225_600);

/// The worker's clock and the one timer that a plugin has.
pub struct Clock {
    /// Since the Unix epoch, if nobody sets the clock: the time that timers and `CLOCK_MONOTONIC` go by.
    pub now: Duration,
    set_by: i64,
    period: Duration,
    next_tick: Option<Duration>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { now: START, set_by: 0, period: Duration::ZERO, next_tick: None }
    }
}

impl Clock {
    /// Returns the time of day, since the Unix epoch.
    pub fn time_of_day(&self) -> Duration {
        let by = Duration::from_secs(self.set_by.unsigned_abs());
        if self.set_by < 0 { self.now.saturating_sub(by) } else { self.now + by }
    }

    /// Sets the time of day, by so many seconds.
    pub fn set(&mut self, by_seconds: i64) {
        self.set_by += by_seconds;
    }

    /// Returns the period in force; zero is none.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns the time at which the timer fires next.
    pub fn next_tick(&self) -> Option<Duration> {
        self.next_tick
    }

    /// Implements `proxy_set_tick_period_milliseconds`. It starts the timer anew, even with the same period: a plugin
    /// that sets it on every event never ticks. (`Wasm::setTimerPeriod`)
    pub fn set_period(&mut self, period: Duration) {
        self.period = period;
        self.rearm();
    }

    /// Starts the next period now; Envoy does it after each tick.
    pub fn rearm(&mut self) {
        self.next_tick = (!self.period.is_zero()).then(|| self.now + self.period);
    }
}
