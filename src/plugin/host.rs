//! The host calls that need care: which of the SDK's functions can panic, and when.
//!
//! The SDK (0.2.5, `hostcalls.rs`) panics on every status that it does not list. What stands here is called only
//! where Envoy (`source/extensions/common/wasm/context.cc`) answers with a listed one.

use crate::fill::Call;
use crate::http::{Headers, Response};
use crate::request::trace::{self, Trace};
use crate::single_flight::leases::{SETS, SharedHost};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::time::{Duration, UNIX_EPOCH};

/// Sends a call of a fill. `None` if it could not even be sent: there is no such cluster, or none of its hosts can be
/// reached.
///
/// To be called with the root as the effective context: Envoy cancels a stream's calls with the stream.
pub fn send(call: &Call) -> Option<u32> {
    let request = &call.request;
    let mut headers = vec![
        (":method", request.method.as_str()),
        (":path", request.path.as_str()),
        (":authority", call.to.authority.as_str()),
    ];
    headers.extend(request.headers.iter().map(|(name, value)| (*name, value.as_str())));
    headers.extend(call.to.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let body = (!request.body.is_empty()).then_some(request.body.as_slice());
    hostcalls::dispatch_http_call(&call.to.cluster, headers, body, Vec::new(), call.timeout).ok()
}

/// The response to a call. `None` if it failed: then there are no headers, and reading one panics in the SDK.
pub fn response(num_headers: usize, body_size: usize) -> Option<Response> {
    if num_headers == 0 {
        return None;
    }
    let headers = Headers::new(hostcalls::get_map_bytes(MapType::HttpCallResponseHeaders).ok()?);
    let body = match body_size {
        0 => Vec::new(),
        size => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok()?.unwrap_or_default(),
    };
    Some(Response { status: headers.status(), headers, body })
}

/// Runs something as a stream, if that is still there. Afterwards `root_id` is the effective context again, whose
/// calls outlive the stream.
pub fn as_stream(stream_id: u32, root_id: u32, run: impl FnOnce()) {
    if hostcalls::set_effective_context(stream_id).is_ok() {
        run();
    }
    let _ = hostcalls::set_effective_context(root_id);
}

/// What is buffered of the body of the stream that is in effect. To be called only after a body callback, or in one.
pub fn response_body(max_size: usize) -> Option<Vec<u8>> {
    hostcalls::get_buffer(BufferType::HttpResponseBody, 0, max_size).ok().flatten()
}

/// Puts something in its place. Same condition.
pub fn replace_response_body(body: &[u8]) {
    // Envoy's `Buffer::copyFrom` replaces everything if the length is not below what there is.
    let everything = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    let _ = hostcalls::set_buffer(BufferType::HttpResponseBody, 0, everything, body);
}

/// Adds to a counter. `amount` must be above 0: Envoy takes no other for one.
pub fn add_to_counter(id: u32, amount: u64) {
    let _ = hostcalls::increment_metric(id, i64::try_from(amount).unwrap_or(i64::MAX));
}

/// Adds to a gauge, or takes from it (`Context::incrementMetric`).
pub fn add_to_gauge(id: u32, change: isize) {
    let _ = hostcalls::increment_metric(id, i64::try_from(change).unwrap_or(0));
}

/// Gives a histogram a time, in milliseconds.
pub fn record(id: u32, time: Duration) {
    let _ = hostcalls::record_metric(id, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
}

/// Puts a message into a queue, which brings `on_queue_ready` to the root that has it. `false` if there is none.
pub fn enqueue(queue: u32, message: Option<&[u8]>) -> bool {
    hostcalls::enqueue_shared_queue(queue, message).is_ok()
}

/// The root gets a tick after this time and again each time it has passed; never for `None`.
pub fn tick_after(period: Option<Duration>) {
    // 0 would mean never.
    const SHORTEST: Duration = Duration::from_millis(1);
    let _ = hostcalls::set_tick_period(period.map(|period| period.max(SHORTEST)).unwrap_or_default());
}

/// When the request of the stream that is in effect came, in nanoseconds since 1970.
pub fn request_time() -> Option<u64> {
    let time = hostcalls::get_property(vec!["request", "time"]).ok().flatten()?;
    Some(u64::from_le_bytes(time.try_into().ok()?))
}

/// Whether the response of the stream that is in effect came from its upstream, and was not made by Envoy: by a filter
/// behind this one, as RBAC, or by the router.
pub fn is_upstreams() -> bool {
    let details = hostcalls::get_property(vec!["response", "code_details"]).ok().flatten();
    // `ResponseCodeDetails::ViaUpstream` in Envoy's `stream_info.h`.
    details.is_none_or(|details| details == b"via_upstream")
}

/// What the stream that is in effect carries from its request to the calls of its fill.
pub fn trace() -> Trace {
    Trace::find(|name| {
        let path = vec!["metadata", "filter_metadata", trace::NAMESPACE, name];
        hostcalls::get_property(path).ok().flatten()
    })
}

/// The table in Envoy's shared data, and the workers' queues.
pub struct EnvoySharedHost;

impl EnvoySharedHost {
    /// Creates the sets that nobody has created yet. Envoy has no such call, so of two workers that come at the same
    /// time one may empty what the other has written, which costs a fetch.
    pub fn create() {
        for set in 0..SETS {
            let name = Self::name(set);
            if matches!(hostcalls::get_shared_data(&name), Ok((None, _))) {
                let _ = hostcalls::set_shared_data(&name, Some(&[EMPTY]), None);
            }
        }
    }

    fn name(set: u32) -> String {
        format!("mirror-on-miss/{set}")
    }
}

/// What a set begins with: Envoy takes an empty value for none.
const EMPTY: u8 = 0;

impl SharedHost for EnvoySharedHost {
    fn nanos(&self) -> u64 {
        let now = hostcalls::get_current_time().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
        now.and_then(|now| u64::try_from(now.as_nanos()).ok()).unwrap_or(0)
    }

    fn read(&self, set: u32) -> Option<(Vec<u8>, u32)> {
        match hostcalls::get_shared_data(&Self::name(set)) {
            Ok((Some(content), Some(version))) => Some((content, version)),
            _ => None,
        }
    }

    fn write(&self, set: u32, content: &[u8], version: u32) -> bool {
        hostcalls::set_shared_data(&Self::name(set), Some(content), Some(version)).is_ok()
    }

    fn post(&self, queue: u32, message: &[u8]) {
        // A queue that is gone is that of a worker that is gone.
        enqueue(queue, Some(message));
    }
}

/// A number that is the same for the same configuration.
pub fn fingerprint(configuration: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(configuration);
    hasher.finish()
}

/// A number that differs between workers, from the hash keys that the standard library draws (WASI `random_get`).
pub fn random() -> u64 {
    RandomState::new().hash_one(())
}
