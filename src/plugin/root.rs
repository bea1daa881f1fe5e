//! The root context: it owns the worker's fills, makes their calls and answers the streams.

use super::host::{self, Clock, EnvoySharedHost};
use super::metrics::Metrics;
use super::stream::Stream;
use super::{WakeUp, WorkerHandle};
use crate::config::Config;
use crate::fill::{Call, Outcome};
use crate::metrics;
use crate::single_flight::effect::{Effect, Source, StreamId, Ticket};
use crate::single_flight::events::{FillEnded, Progress};
use crate::single_flight::leases::{Leases, SharedHost};
use crate::worker::reply::{LocalReply, OUTCOME_HEADER};
use crate::worker::streaming::STREAM_FAILED;
use crate::worker::{Delivery, DeniedResponse, Worker};
use log::{error, info, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, MapType};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::iter;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The most streams that one callback of the host answers.
///
/// Envoy continues them after the callback, one inside the other. A stream that continues ends, and its end is a
/// callback too (`proxy_on_delete`). After that callback Envoy continues the next one
/// (`WasmBase::doAfterVmCallActions`). 2,500 at once overflowed the stack of the VM (measured on 1.40).
const ANSWERS_AT_ONCE: usize = 32;

/// The length from which on a call's body is copied into Envoy after the callback.
///
/// A fill stores what it has just been given. Envoy keeps its answer until the callback is over (`Context::onHttpCallSuccess`,
/// `wasm/context.cc`), and would have each part twice.
const LARGE: usize = 1024 * 1024;

/// The longest time for which operators are not told. A line in Envoy's log takes 40 us and each metric 2 (measured on 1.40), for
/// which the client of the fill would wait.
const TELL_AFTER: Duration = Duration::from_millis(10);

/// An answer that a stream is about to get.
enum PendingAnswer {
    /// The answer of a fill that ended, or that goes on without this stream.
    Filled { stream: StreamId, source: Source, outcome: Rc<Outcome> },
    /// The bucket's own answer, for this reason.
    Released { stream: StreamId, reason: &'static str },
}

/// One worker's root context.
pub struct Root {
    id: u32,
    /// `None` until it is configured.
    handle: Option<Rc<WorkerHandle>>,
    /// Answers to streams. One callback gives no more than [`ANSWERS_AT_ONCE`] of them.
    answers: VecDeque<PendingAnswer>,
    /// Calls that are under way, by Envoy's tokens, with their start. There are as many as fills run.
    calls: Vec<(u32, Ticket, Instant)>,
    /// The time for which Envoy was asked for a tick: that of the first thing that is due, or an earlier one.
    tick: Option<Instant>,
    /// Calls that are sent when the root is called next.
    later: Vec<(Ticket, Call)>,
    metrics: Metrics,
    /// Fills that ended, whose lines are to be logged.
    ended: Vec<FillEnded>,
    /// The time at which operators are told.
    tell: Option<Instant>,
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self {
            id,
            handle: None,
            answers: VecDeque::new(),
            calls: Vec::new(),
            tick: None,
            later: Vec::new(),
            metrics: Metrics::default(),
            ended: Vec::new(),
            tell: None,
        }
    }

    /// Judges every stream whose error document can be read, then does everything that is due, and asks for the next
    /// call.
    fn catch_up(&mut self, handle: &WorkerHandle, now: Instant) {
        for (ticket, call) in std::mem::take(&mut self.later) {
            let steps = self.send(handle, ticket, &call, now);
            self.perform(handle, steps, now);
        }
        let shared = handle.clock.host(now);
        let readable = handle.worker.borrow_mut().readable(now);
        let mut read = handle.read.take();
        for (stream, has_document) in readable {
            let denied = read.remove(&stream).unwrap_or_else(|| self.read(stream, has_document));
            // A stream without a time counts as asked now. An object that was stored meanwhile then looks like one that cannot be
            // read.
            let asked = || host::asked(stream.0, self.id).unwrap_or_else(|| shared.nanos());
            let steps = handle.worker.borrow_mut().judge(stream, &denied, &asked, now, &shared);
            self.perform(handle, steps, now);
        }
        let steps = handle.worker.borrow_mut().tick(now, &shared);
        self.perform(handle, steps, now);
        self.finish(handle, now);
    }

    /// Takes a message out of the worker's queue. `false` if there is none.
    fn receive(&mut self, handle: &WorkerHandle, queue: u32, now: Instant) -> bool {
        let Ok(Some(message)) = self.dequeue_shared_queue(queue) else { return false };
        let steps = handle.worker.borrow_mut().receive(&message, now, &handle.clock.host(now));
        self.perform(handle, steps, now);
        true
    }

    /// Gives some of the pending answers, and asks for the next call when it is due. It is the end of a callback, which the root may
    /// leave as a stream.
    fn finish(&mut self, handle: &WorkerHandle, now: Instant) {
        for answer in self.answers.drain(..ANSWERS_AT_ONCE.min(self.answers.len())) {
            match answer {
                PendingAnswer::Filled { stream, source, outcome } => {
                    if let Outcome::Busy(shortage) = *outcome {
                        self.metrics.count(metrics::refusals(shortage.label()));
                    }
                    self.metrics.count(metrics::requests(handle.worker.borrow().label_for(stream, &outcome)));
                    let delivery = handle.worker.borrow_mut().deliver(stream, &source, &outcome);
                    deliver(stream, delivery);
                }
                PendingAnswer::Released { stream, reason } => {
                    self.metrics.count(metrics::requests(reason));
                    let delivery = handle.worker.borrow_mut().release(stream, reason);
                    deliver(stream, delivery);
                }
            }
        }
        if !self.answers.is_empty() {
            handle.wake_up.call(now);
        }
        // The outcome that their answers name.
        self.metrics.add(metrics::requests(STREAM_FAILED), handle.failed_streams.take());
        let worker = handle.worker.borrow();
        self.metrics.set([worker.fills(), worker.streams(), worker.waiters()]);
        if self.tell.is_none() && (self.metrics.has_news() || !self.ended.is_empty()) {
            self.tell = now.checked_add(TELL_AFTER);
        }
        let next = worker.next_deadline().into_iter().chain(self.tell).min();
        // One that comes too early asks for the next one, and costs less than the two host calls by which each fill moved it.
        if next.is_some_and(|next| self.tick.is_none_or(|tick| next < tick)) {
            host::step_back(self.id);
            self.tick_at(next, now);
        }
    }

    /// Tells operators what has happened: counts it, and logs the ends of fills.
    fn tell(&mut self) {
        self.tell = None;
        self.metrics.tell();
        self.ended.drain(..).for_each(|ended| info!("{ended}"));
    }

    /// Asks for a tick then, or for none.
    fn tick_at(&mut self, next: Option<Instant>, now: Instant) {
        self.tick = next;
        host::tick_after(next.map(|next| next.saturating_duration_since(now)));
    }

    /// Reads the denial of a stream whose document came to no end in time, or ended in trailers.
    fn read(&self, stream: StreamId, has_document: bool) -> DeniedResponse {
        let mut denied = DeniedResponse::default();
        host::as_stream(stream.0, self.id, || denied = host::denied(has_document));
        denied
    }

    /// Carries out the effects of the core. A call that cannot be sent counts as a call that came back, so it may
    /// lead to more effects.
    fn perform(&mut self, handle: &WorkerHandle, steps: Vec<Effect>, now: Instant) {
        let mut steps = VecDeque::from(steps);
        while let Some(step) = steps.pop_front() {
            match step {
                Effect::Call { ticket, call } => {
                    if call.request.body.len() >= LARGE && handle.wake_up.call(now) {
                        self.later.push((ticket, call));
                    } else {
                        steps.extend(self.send(handle, ticket, &call, now));
                    }
                }
                Effect::Answer { streams, source, outcome } => {
                    let outcome = Rc::new(outcome);
                    let answer =
                        |stream| PendingAnswer::Filled { stream, source: source.clone(), outcome: outcome.clone() };
                    self.answers.extend(streams.into_iter().map(answer));
                }
                Effect::Ended(ended) => {
                    self.metrics.ended(&ended);
                    self.ended.push(ended);
                }
                Effect::Observed(key) => info!("observed key=/{}", key.encoded()),
                Effect::Progress(progress) => {
                    self.metrics.add(metrics::STORED_BYTES, progress.bytes);
                    if progress.log {
                        let Progress { fill_key, stored, total, .. } = progress;
                        info!("fill key=/{} stored={stored} of={total}", fill_key.key.encoded());
                    }
                }
                Effect::Warn { key: Some(key), what } => {
                    self.metrics.count(metrics::WARNINGS);
                    warn!("fill key=/{}: {what}", key.encoded());
                }
                Effect::Warn { key: None, what } => warn!("{what}"),
                Effect::Release(stream, reason) => self.answers.push_back(PendingAnswer::Released { stream, reason }),
            }
        }
    }

    /// Sends a call. Returns the effects of a call that cannot be sent.
    fn send(&mut self, handle: &WorkerHandle, ticket: Ticket, call: &Call, now: Instant) -> Vec<Effect> {
        if let Some(token) = host::send(call) {
            self.calls.push((token, ticket, now));
            return Vec::new();
        }
        warn!("no request can be sent to the cluster {}", call.to.cluster);
        self.metrics.called(&ticket.called(None, now, now));
        handle.worker.borrow_mut().finish_call(ticket, None, 0, now, &handle.clock.host(now))
    }
}

fn deliver(stream: StreamId, delivery: Delivery) {
    host::step_into(stream.0, || {
        match delivery {
            Delivery::Direct(made) => {
                reply_directly(&made);
                return;
            }
            Delivery::InPlace(made, body) => {
                replace_headers(&made);
                if let Some(body) = body {
                    host::replace_response_body(&body);
                }
            }
            Delivery::Tagged(outcome) => {
                let _ = hostcalls::set_map_value(MapType::HttpResponseHeaders, OUTCOME_HEADER, Some(outcome));
            }
            Delivery::Untouched => {}
        }
        let _ = hostcalls::resume_http_response();
    });
}

pub fn replace_headers(made: &LocalReply) {
    let status = made.status.to_string();
    let headers = made.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let headers = iter::once((":status", status.as_str())).chain(headers).collect();
    let _ = hostcalls::set_map(MapType::HttpResponseHeaders, headers);
}

pub fn reply_directly(made: &LocalReply) {
    let headers = made.headers.iter().filter(|(name, _)| *name != "content-length");
    let headers = headers.map(|(name, value)| (*name, value.as_str())).collect();
    let body = made.body.as_ref().map(|body| body.as_slice());
    let _ = hostcalls::send_http_response(made.status.into(), headers, body);
}

impl Drop for Root {
    fn drop(&mut self) {
        self.tell();
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token_id: u32, num_headers: usize, body_size: usize, _num_trailers: usize) {
        let Some(handle) = self.handle.clone() else { return };
        let Some(at) = self.calls.iter().position(|(token, ..)| *token == token_id) else { return };
        let (_, ticket, sent) = self.calls.swap_remove(at);
        let now = Instant::now();
        let length = u64::try_from(body_size).unwrap_or(u64::MAX);
        // The module's memory never shrinks, so what there is no room for stays in Envoy's.
        let (body_size, unread) = match handle.worker.borrow().may_read(&ticket, length) {
            true => (body_size, 0),
            false => (0, length),
        };
        let response = host::response(num_headers, body_size, ticket.before(), ticket.reads_status_alone());
        self.metrics.called(&ticket.called(response.as_ref(), sent, now));
        let shared = handle.clock.host(now);
        let steps = handle.worker.borrow_mut().finish_call(ticket, response, unread, now, &shared);
        self.perform(&handle, steps, now);
        self.finish(&handle, now);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _plugin_configuration_size: usize) -> bool {
        let json = self.get_plugin_configuration().unwrap_or_default();
        match Config::parse(&json, &|name| std::env::var(name).ok()) {
            Ok(config) => {
                let seed = host::random();
                let queue = self.register_shared_queue(&format!("mirror-on-miss {seed:016x}"));
                EnvoySharedHost::create();
                let leases = Leases::new(&config, host::fingerprint(&json), queue);
                let worker = RefCell::new(Worker::new(Rc::new(config), leases, seed));
                self.metrics.define();
                let (wake_up, clock) = (WakeUp::new(queue), Clock::new(Instant::now()));
                let (failed_streams, read) = (Cell::new(0), RefCell::default());
                self.handle = Some(Rc::new(WorkerHandle { worker, read, failed_streams, wake_up, clock }));
                true
            }
            Err(problems) => {
                for problem in &problems {
                    error!("configuration: {problem}");
                }
                false
            }
        }
    }

    fn on_queue_ready(&mut self, queue_id: u32) {
        let Some(handle) = self.handle.clone() else { return };
        handle.wake_up.came();
        let now = Instant::now();
        self.receive(&handle, queue_id, now);
        self.catch_up(&handle, now);
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        // Envoy goes on with it, at the same interval.
        self.tick_at(None, now);
        self.tell();
        if let Some(handle) = self.handle.clone() {
            // Each message brings a call of its own. This is for one whose call was lost.
            while self.receive(&handle, handle.wake_up.queue, now) {}
            self.catch_up(&handle, now);
        }
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(StreamId(context_id), self.handle.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
