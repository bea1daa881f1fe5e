//! The tests' interface: an Envoy with one worker, its clients, its bucket, and the far ends of its calls.

use std::cell::Cell;
use std::io::Write;
use std::marker::PhantomData;
use std::sync::Once;
use std::time::Duration;

use proxy_wasm::types::{LogLevel, NewRootContext};

use super::calls::{self, Call, Outcome};
use super::client::{Client, Request, as_router_passes_them};
use super::filter_manager;
use super::headers::Headers;
use super::vm::{self, exports};
use super::{CLIENT_SECRET, HOST, Host, Settings, host, secrets};

thread_local! {
    static LAST_WORDS: Cell<String> = const { Cell::new(String::new()) };
}

/// Envoy's default `per_connection_buffer_limit_bytes`.
const BUFFER_LIMIT: usize = 1024 * 1024;

/// One worker of Envoy with the filter in its chain. It belongs to the thread of the test, as a VM does in Envoy.
///
/// When it drops, it deletes every stream and the root context. The test fails if there was a violation.
#[derive(Debug)]
pub struct Envoy {
    /// The host is the thread's: another thread has another one.
    not_send: PhantomData<*const ()>,
}

impl Envoy {
    /// Starts the filter with a configuration that it must accept.
    pub fn start(configuration: &str) -> Self {
        Self::builder().start(configuration)
    }

    /// Starts the filter with a configuration that it may refuse. The error is its log lines.
    pub fn try_start(configuration: impl AsRef<[u8]>) -> Result<Self, Vec<String>> {
        Self::builder().try_start(configuration)
    }

    /// Makes a builder of an Envoy other than the one that `envoy/configuration/edge.yaml` describes.
    pub fn builder() -> Builder {
        Builder {
            settings: Settings {
                allow_on_headers_stop_iteration: true,
                buffer_limit: BUFFER_LIMIT,
                clusters: ["backup", "origin", "signer"].map(String::from).to_vec(),
                clusters_without_hosts: Vec::new(),
            },
            root: mirror_on_miss::plugin::root_context,
        }
    }

    /// Makes a request of a client, with secrets of its own; [`Request::send`] sends it.
    pub fn request(&mut self, method: &str, path: &str) -> Request {
        let headers = Headers::request(method, "cdn.example.com", path)
            .with("x-forwarded-proto", "https")
            .with("x-request-id", "6b1f4c1e-8c2f-4f6e-9b57-0d2f3b7f6a11")
            .with("authorization", format!("Bearer {CLIENT_SECRET}"))
            .with("cookie", format!("session={CLIENT_SECRET}"));
        Request { headers, has_content: false }
    }

    /// Sends a plain GET. See [`Envoy::request`].
    pub fn get(&mut self, path: &str) -> Client {
        self.request("GET", path).send()
    }

    /// Takes the oldest call that the test has not taken yet. It must be there.
    pub fn next_call(&mut self) -> Call {
        self.try_next_call().expect("the module has made no call that waits here")
    }

    pub fn try_next_call(&mut self) -> Option<Call> {
        host(|host| host.calls.take_next())
    }

    /// Takes the oldest call that the test has not taken yet with this description, such as `GET origin /path`.
    pub fn try_call(&mut self, described: &str) -> Option<Call> {
        host(|host| host.calls.take(described))
    }

    /// Makes the upstream answer a call.
    pub fn respond(&mut self, call: Call, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        self.respond_with(call, Headers::response(status).with_all(headers), body);
    }

    /// Does as [`Envoy::respond`], for headers that are not UTF-8.
    pub fn respond_with(&mut self, call: Call, headers: Headers, body: impl AsRef<[u8]>) {
        let headers = as_router_passes_them(headers);
        end(call, Outcome::Response { headers, body: body.as_ref().to_vec() });
    }

    /// Breaks the answer to a call off. The module gets a response without headers.
    pub fn fail(&mut self, call: Call) {
        end(call, Outcome::Failure);
    }

    /// Makes the upstream of a call refuse the connection. The module gets a 503.
    pub fn refuse(&mut self, call: Call) {
        end(call, Outcome::refused());
    }

    /// Lets the timeout of a call pass. The module gets a 504.
    pub fn time_out(&mut self, call: Call) {
        end(call, Outcome::timed_out());
    }

    /// Lets time pass. Timers fire and calls time out on the way, in order.
    pub fn advance(&mut self, by: Duration) {
        let until = host(|host| host.clock.now) + by;
        while let Some((at, due)) = host(|host| host.next_due()).filter(|(at, _)| *at <= until) {
            host(|host| host.clock.now = at);
            match due {
                Due::Tick => tick(),
                Due::Timeout { token } => calls::deliver(token, Outcome::timed_out()),
            }
            settle();
        }
        host(|host| host.clock.now = until);
    }

    /// Sets the machine's clock, forward or back. Timers and timeouts go on as before.
    pub fn set_clock(&mut self, by_seconds: i64) {
        host(|host| host.clock.set(by_seconds));
    }

    /// Lets time pass up to the next tick. Nothing happens where the module has set no period.
    pub fn tick(&mut self) {
        if let Some(at) = host(|host| host.clock.next_tick()) {
            let now = host(|host| host.clock.now);
            self.advance(at - now);
        }
    }

    /// Returns the period of ticks that the module has set.
    pub fn tick_period(&self) -> Option<Duration> {
        host(|host| Some(host.clock.period()).filter(|period| !period.is_zero()))
    }

    /// Keeps notifications about shared queues in the event loop until [`Envoy::deliver_queues`]. In a real worker
    /// other events can come between an item and its notification.
    pub fn hold_queues(&mut self) {
        host(|host| host.queues.hold());
    }

    /// Ends [`Envoy::hold_queues`].
    pub fn deliver_queues(&mut self) {
        host(|host| host.queues.release());
        settle();
    }

    /// Loses the notifications that [`Envoy::hold_queues`] keeps back. The real Envoy is not known to do so.
    pub fn lose_queues(&mut self) {
        host(|host| host.queues.lose());
    }

    /// Sets the answer to `get_property(path)` where Envoy has none of its own.
    pub fn set_property(&mut self, path: &[&str], value: impl AsRef<[u8]>) {
        host(|host| host.properties.insert(path.join("\0").into_bytes(), value.as_ref().to_vec()));
    }

    /// Returns a counter or a gauge by the module's name for it; zero where it was never touched.
    pub fn metric(&self, name: &str) -> u64 {
        told();
        host(|host| host.metrics.value(name))
    }

    /// Returns the length of the longest body of an answer to a call that the plugin has read.
    pub fn longest_read(&self) -> usize {
        host(|host| host.calls.longest_read.get())
    }

    /// Returns the values that a histogram was given.
    pub fn samples(&self, name: &str) -> Vec<u64> {
        told();
        host(|host| host.metrics.samples(name).to_vec())
    }

    /// Names all metrics, each as often as the module has defined it: Envoy keeps every definition.
    pub fn defined_metrics(&self) -> Vec<String> {
        told();
        host(|host| host.metrics.defined())
    }

    /// Returns the value of a key in shared data.
    pub fn shared_data(&self, key: &str) -> Option<Vec<u8>> {
        host(|host| host.shared_data.get(key)).ok().map(|(value, _)| value)
    }

    /// Returns every log line so far, as `warn: text`.
    pub fn logs(&self) -> Vec<String> {
        told();
        host(|host| host.log_lines())
    }

    /// Tells if a call that the test has taken can still be answered: its timeout has not passed.
    pub fn awaits(&self, call: &Call) -> bool {
        host(|host| host.calls.await_answer(call))
    }

    /// Takes the violations so far, for a test that expects them.
    pub fn take_violations(&mut self) -> Vec<String> {
        host(|host| std::mem::take(&mut host.violations))
    }

    /// Checks that nothing is under way: no call, no stream that the filter holds, no notification in the event loop, and no item
    /// in a queue, not even one whose notification was lost.
    pub fn assert_idle(&self) {
        told();
        host(|host| {
            assert!(host.queues.are_empty(), "queues hold items");
            assert_eq!(host.calls.described(), Vec::<&str>::new(), "calls wait for an answer");
            let held = host.streams.values().filter(|stream| stream.is_held());
            assert_eq!(held.map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "streams are held");
            assert!(host.queues.is_idle(), "the event loop holds notifications about queues");
        });
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let streams: Vec<u32> = host(|host| host.streams.keys().copied().collect());
        streams.into_iter().for_each(filter_manager::reset);
        let root = host(|host| host.vm.root);
        vm::enter(root, || exports::proxy_on_done(root));
        vm::enter(root, || exports::proxy_on_delete(root));
        let mut violations = self.take_violations();
        violations.extend(host(|host| host.metrics.left()));
        violations
            .extend(secrets::told(&host(|host| host.log_lines())).map(|line| format!("a secret in the log: {line}")));
        HOST.set(None);
        if !std::thread::panicking() {
            assert_eq!(violations, Vec::<String>::new(), "the module misused Envoy");
        } else if !violations.is_empty() {
            eprintln!("before it panicked, the module misused Envoy: {violations:#?}");
        }
    }
}

/// Sets the text that is printed if the module panics on this thread. Such a panic ends the process before a test can
/// print anything.
pub fn set_last_words(words: String) {
    LAST_WORDS.set(words);
}

/// A builder of an [`Envoy`].
pub struct Builder {
    settings: Settings,
    root: NewRootContext,
}

impl Builder {
    /// Leaves out `allow_on_headers_stop_iteration`, as Istio and Envoy Gateway do: a pause in the headers then holds
    /// the body back too.
    pub fn pause_holds_body(mut self) -> Self {
        self.settings.allow_on_headers_stop_iteration = false;
        self
    }

    /// Sets another `per_connection_buffer_limit_bytes`.
    pub fn buffer_limit(mut self, bytes: usize) -> Self {
        self.settings.buffer_limit = bytes;
        self
    }

    /// Sets these clusters, in place of `backup`, `origin` and `signer`.
    pub fn clusters(mut self, names: &[&str]) -> Self {
        self.settings.clusters = names.iter().map(ToString::to_string).collect();
        self
    }

    /// Adds a cluster without a healthy host: Envoy refuses calls to it at once.
    pub fn cluster_without_hosts(mut self, name: &str) -> Self {
        self.settings.clusters.push(name.into());
        self.settings.clusters_without_hosts.push(name.into());
        self
    }

    /// Sets another filter than this project's.
    pub fn root_context(mut self, root: NewRootContext) -> Self {
        self.root = root;
        self
    }

    /// See [`Envoy::start`].
    pub fn start(self, configuration: &str) -> Envoy {
        self.try_start(configuration).unwrap_or_else(|logs| panic!("the configuration was refused: {logs:#?}"))
    }

    /// Starts the filter with a configuration that it refuses, and shows it streams all the same. Envoy does not.
    pub fn start_refused(self, configuration: &str) -> Envoy {
        let (envoy, accepted) = self.configure(configuration.as_bytes());
        assert!(!accepted, "the configuration was accepted");
        envoy
    }

    /// See [`Envoy::try_start`].
    pub fn try_start(self, configuration: impl AsRef<[u8]>) -> Result<Envoy, Vec<String>> {
        let (envoy, accepted) = self.configure(configuration.as_ref());
        if accepted { Ok(envoy) } else { Err(envoy.logs()) }
    }

    /// Starts the filter, and tells if it takes its configuration.
    fn configure(self, configuration: &[u8]) -> (Envoy, bool) {
        let running = HOST.replace(Some(Host::new(self.settings)));
        assert!(running.is_none(), "an Envoy runs on this thread already");
        report_panics_of_the_module();
        proxy_wasm::set_root_context(self.root);

        let size = configuration.len();
        let root = vm::new_context_id();
        host(|host| host.vm.root = root);
        vm::enter(root, || exports::proxy_on_context_create(root, 0));
        let envoy = Envoy { not_send: PhantomData };
        let started = vm::enter(root, || exports::proxy_on_vm_start(root, 0));
        host(|host| host.vm.configuration = Some(configuration.to_vec()));
        let accepted = started && vm::enter(root, || exports::proxy_on_configure(root, size));
        host(|host| host.vm.configuration = None);
        settle();
        (envoy, accepted)
    }
}

enum Due {
    Tick,
    Timeout { token: u32 },
}

impl Host {
    /// Finds the next event that happens by itself.
    fn next_due(&self) -> Option<(Duration, Due)> {
        let tick = self.clock.next_tick().map(|at| (at, Due::Tick));
        let timeout = self.calls.next_timeout().map(|(at, token)| (at, Due::Timeout { token }));
        tick.into_iter().chain(timeout).min_by_key(|(at, _)| *at)
    }

    fn log_lines(&self) -> Vec<String> {
        let line = |(level, text): &(LogLevel, String)| format!("{level:?}: {text}").to_lowercase();
        self.logs.iter().map(line).collect()
    }
}

/// Ticks, then starts the next period. (`Wasm::tickHandler`)
fn tick() {
    let root = host(|host| host.vm.root);
    vm::enter(root, || exports::proxy_on_tick(root));
    host(|host| host.clock.rearm());
}

/// Lets the module tell what operators are to see, for which it has set a tick.
fn told() {
    const SOON: Duration = Duration::from_millis(10);
    if host(|host| host.clock.next_tick().is_some_and(|at| at <= host.clock.now + SOON)) {
        tick();
        settle();
    }
}

fn end(call: Call, outcome: Outcome) {
    calls::deliver(call.token, outcome);
    settle();
}

/// Runs the event loop until there is nothing to do at once.
pub fn settle() {
    let root = host(|host| host.vm.root);
    while let Some(queue) = host(|host| host.queues.take_posted()) {
        vm::enter(root, || exports::proxy_on_queue_ready(root, queue));
    }
}

/// Prints a panic of the module at once: it aborts the process, and the output that libtest has captured is lost.
fn report_panics_of_the_module() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        // This call sets a hook too, for the module in Envoy.
        proxy_wasm::set_log_level(LogLevel::Trace);
        std::panic::set_hook(Box::new(move |panic| {
            if vm::is_running() {
                let test = std::thread::current();
                let test = test.name().unwrap_or("a test");
                let last_words = LAST_WORDS.take();
                let _ = writeln!(
                    std::io::stderr(),
                    "{test}: the module panicked, which costs Envoy its VM: {panic}\n{last_words}"
                );
            } else {
                hook(panic);
            }
        }));
    });
}
