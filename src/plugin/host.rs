//! The host calls that need care, because some of the SDK's functions can panic.
//!
//! The SDK (0.2.5, `hostcalls.rs`) panics on every status that it does not list. The functions here call it only
//! where Envoy (`source/extensions/common/wasm/context.cc`) answers with a listed one.

use crate::fill::Call;
use crate::http::{Headers, Response};
use crate::request::metadata::{self, StreamMetadata};
use crate::request::passing::RangeRequest;
use crate::request::precondition::{self, Precondition};
use crate::request::trace::Trace;
use crate::single_flight::leases::{SETS, SharedHost};
use crate::single_flight::permits::PERMIT_SETS;
use crate::worker::{DeniedResponse, MAX_BUFFERED};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};
use std::cell::Cell;
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Sends a call of a fill. `None` if it could not be sent: there is no such cluster, or none of its hosts can be
/// reached.
///
/// The root must be the effective context: Envoy cancels a stream's calls with the stream.
pub fn send(call: &Call) -> Option<u32> {
    let request = &call.request;
    let others = [request.headers.len(), request.metadata.len(), call.to.headers.len()];
    let mut headers = Vec::with_capacity(others.iter().sum::<usize>().saturating_add(3));
    headers.push((":method", request.method.as_str()));
    headers.push((":path", request.path.as_str()));
    headers.push((":authority", call.to.authority.as_str()));
    headers.extend(request.headers.iter().map(|(name, value)| (*name, value.as_str())));
    headers.extend(request.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    headers.extend(call.to.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let body = (!request.body.is_empty()).then_some(request.body.as_slice());
    hostcalls::dispatch_http_call(&call.to.cluster, headers, body, Vec::new(), call.timeout).ok()
}

/// Reads the response to a call. Its body has room for so many bytes `before` it. `status_alone` leaves the other headers out.
/// `None` if the call failed: then there are no headers, and reading one panics in the SDK.
pub fn response(num_headers: usize, body_size: usize, before: usize, status_alone: bool) -> Option<Response> {
    const STATUS: &str = ":status";
    if num_headers == 0 {
        return None;
    }
    let headers = if status_alone {
        let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, STATUS).ok().flatten();
        vec![(STATUS.to_owned(), status.unwrap_or_default())]
    } else {
        hostcalls::get_map_bytes(MapType::HttpCallResponseHeaders).ok()?
    };
    let headers = Headers::new(headers);
    let body = match (body_size, before) {
        (0, _) => Vec::new(),
        (size, 0) => call_body(0, size)?,
        (size, before) => {
            let mut body = Vec::with_capacity(size.saturating_add(before));
            while body.len() < size {
                let piece = call_body(body.len(), PIECE.min(size.saturating_sub(body.len())))?;
                if piece.is_empty() {
                    return None;
                }
                body.extend_from_slice(&piece);
            }
            body
        }
    };
    Some(Response { status: headers.status(), headers, body })
}

/// Bytes that are read at once where the host's own place for them is not the body's.
const PIECE: usize = 256 * 1024;

fn call_body(from: usize, length: usize) -> Option<Vec<u8>> {
    Some(hostcalls::get_buffer(BufferType::HttpCallResponseBody, from, length).ok()?.unwrap_or_default())
}

/// Reads the headers of the effective stream's response.
pub fn response_headers() -> Headers {
    Headers::new(hostcalls::get_map_bytes(MapType::HttpResponseHeaders).unwrap_or_default())
}

/// Runs a function as a stream, if that stream is still there. Afterwards the root is the effective context again;
/// the root's calls outlive the stream.
pub fn as_stream(stream_id: u32, root_id: u32, run: impl FnOnce()) {
    step_into(stream_id, run);
    step_back(root_id);
}

/// Runs a function as a stream, if that stream is still there. It stays the effective context until another one is, or until the
/// callback is over (`SaveRestoreContext` in proxy-wasm-cpp-host).
pub fn step_into(stream_id: u32, run: impl FnOnce()) {
    if hostcalls::set_effective_context(stream_id).is_ok() {
        run();
    }
}

/// Makes the root the effective context.
pub fn step_back(root_id: u32) {
    let _ = hostcalls::set_effective_context(root_id);
}

/// Reads the buffered body of the effective stream. Call it only in a body callback or after one.
fn response_body(max_size: usize) -> Option<Vec<u8>> {
    hostcalls::get_buffer(BufferType::HttpResponseBody, 0, max_size).ok().flatten()
}

/// Reads so many bytes from a place on, of the piece of a body that a callback is about.
pub fn response_piece(from: usize, length: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpResponseBody, from, length).ok().flatten().unwrap_or_default()
}

/// Replaces the buffered body. The same condition holds.
pub fn replace_response_body(body: &[u8]) {
    // Envoy's `Buffer::copyFrom` replaces everything if the length is not below that of the buffer.
    let everything = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    let _ = hostcalls::set_buffer(BufferType::HttpResponseBody, 0, everything, body);
}

/// Adds to a counter. `amount` must be above 0: Envoy adds no 0.
pub fn add_to_counter(id: u32, amount: u64) {
    let _ = hostcalls::increment_metric(id, i64::try_from(amount).unwrap_or(i64::MAX));
}

/// Adds to a gauge, or takes from it (`Context::incrementMetric`).
pub fn add_to_gauge(id: u32, change: isize) {
    let _ = hostcalls::increment_metric(id, i64::try_from(change).unwrap_or(0));
}

/// Records a time in a histogram.
pub fn record(id: u32, milliseconds: u64) {
    let _ = hostcalls::record_metric(id, milliseconds);
}

/// Puts a message into a queue. Its root gets `on_queue_ready`. `false` if there is no such queue.
pub fn enqueue(queue: u32, message: Option<&[u8]>) -> bool {
    hostcalls::enqueue_shared_queue(queue, message).is_ok()
}

/// Sets the period after which the root is called, again and again. `None` ends that.
pub fn tick_after(period: Option<Duration>) {
    // 0 would mean never.
    const SHORTEST: Duration = Duration::from_millis(1);
    let _ = hostcalls::set_tick_period(period.map(|period| period.max(SHORTEST)).unwrap_or_default());
}

/// Returns the time of a stream's request, in nanoseconds since 1970.
pub fn asked(stream_id: u32, root_id: u32) -> Option<u64> {
    let mut asked = None;
    as_stream(stream_id, root_id, || asked = request_time());
    asked
}

fn request_time() -> Option<u64> {
    let time = hostcalls::get_property(vec!["request", "time"]).ok().flatten()?;
    Some(u64::from_le_bytes(time.try_into().ok()?))
}

/// Reads the denial of the effective stream.
pub fn denied(has_document: bool) -> DeniedResponse {
    let metadata = metadata();
    let look_up = |name: &str| metadata.get(name).map(<[u8]>::to_vec);
    DeniedResponse {
        details: code_details(),
        document: if has_document { response_body(MAX_BUFFERED) } else { None },
        precondition: Precondition::read(metadata.get(precondition::NAME)),
        range: RangeRequest::read(&look_up),
        trace: Trace::find(look_up),
    }
}

/// Reads what made the response of the effective stream: its upstream, or Envoy itself, in the router or in a filter behind
/// this one.
fn code_details() -> Option<Vec<u8>> {
    hostcalls::get_property(vec!["response", "code_details"]).ok().flatten()
}

/// Tells if the upstream of the effective stream broke its response off, and not the client.
pub fn is_broken_off() -> bool {
    let details = code_details();
    // `ResponseCodeDetails::UpstreamResetAfterResponseStarted` in the router, with the reason behind it.
    details.is_some_and(|details| details.starts_with(b"upstream_reset_after_response_started"))
}

/// Reads what Envoy's `header_to_metadata` filter kept of the effective stream's request.
fn metadata() -> StreamMetadata {
    let path = vec!["metadata", "filter_metadata", metadata::NAMESPACE];
    StreamMetadata::new(hostcalls::get_property(path).ok().flatten().unwrap_or_default())
}

/// The time of day, which is read from Envoy ten times a second at most, and goes on by the time of callbacks in between. A miss needs
/// it twice, and a call of the host costs up to 3 us (measured on 1.40).
pub struct Clock {
    /// When it was read, and what it said, in nanoseconds since 1970.
    read: Cell<(Instant, u64)>,
}

impl Clock {
    const FOR: Duration = Duration::from_millis(100);

    pub fn new(now: Instant) -> Self {
        Self { read: Cell::new((now, Self::time_of_day())) }
    }

    /// Returns the host at this time.
    pub fn host(&self, now: Instant) -> EnvoySharedHost {
        let (at, nanos) = self.read.get();
        let since = now.saturating_duration_since(at);
        if since < Self::FOR {
            return EnvoySharedHost {
                nanos: nanos.saturating_add(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
            };
        }
        let nanos = Self::time_of_day();
        self.read.set((now, nanos));
        EnvoySharedHost { nanos }
    }

    fn time_of_day() -> u64 {
        let now = hostcalls::get_current_time().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
        now.and_then(|now| u64::try_from(now.as_nanos()).ok()).unwrap_or(0)
    }
}

/// The lease table in Envoy's shared data, and the workers' queues.
pub struct EnvoySharedHost {
    /// The time of the callback.
    nanos: u64,
}

impl EnvoySharedHost {
    /// Creates the sets that do not exist yet. Envoy has no call for that. If two workers come at the same time, one
    /// may empty a set that the other has written, which costs a fetch.
    pub fn create() {
        for set in 0..SETS.saturating_add(PERMIT_SETS) {
            let name = SetName::new(set);
            if matches!(hostcalls::get_shared_data(name.as_str()), Ok((None, _))) {
                let _ = hostcalls::set_shared_data(name.as_str(), Some(&[EMPTY]), None);
            }
        }
    }
}

/// The key of a set in Envoy's shared data: a prefix, and the set's number in four hexadecimal digits. It needs no allocation, and a
/// miss makes several.
struct SetName([u8; 19]);

impl SetName {
    fn new(set: u32) -> Self {
        let mut name = *b"mirror-on-miss/0000";
        for (to, shift) in name.iter_mut().rev().zip([0, 4, 8, 12]) {
            *to = char::from_digit((set >> shift) & 0xf, 16).map_or(b'0', |digit| digit as u8);
        }
        Self(name)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The first byte of a set: Envoy takes an empty value for no value.
const EMPTY: u8 = 0;

impl SharedHost for EnvoySharedHost {
    fn nanos(&self) -> u64 {
        self.nanos
    }

    fn read(&self, set: u32) -> Option<(Vec<u8>, u32)> {
        match hostcalls::get_shared_data(SetName::new(set).as_str()) {
            Ok((Some(content), Some(version))) => Some((content, version)),
            _ => None,
        }
    }

    fn write(&self, set: u32, content: &[u8], version: u32) -> bool {
        hostcalls::set_shared_data(SetName::new(set).as_str(), Some(content), Some(version)).is_ok()
    }

    fn post(&self, queue: u32, message: &[u8]) {
        // A queue is gone only when its worker is gone.
        enqueue(queue, Some(message));
    }
}

/// Returns a number that is the same for the same configuration.
pub fn fingerprint(configuration: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(configuration);
    hasher.finish()
}

/// Returns a number that differs between workers, from the hash keys that the standard library draws (WASI
/// `random_get`).
pub fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_set_has_a_name_of_its_own() {
        let names: BTreeSet<_> = (0..SETS + PERMIT_SETS).map(|set| SetName::new(set).as_str().to_owned()).collect();
        assert_eq!(names.len(), (SETS + PERMIT_SETS) as usize);
        assert_eq!(SetName::new(SETS + 0xab).as_str(), "mirror-on-miss/10ab");
    }
}
