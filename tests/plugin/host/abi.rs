//! The `proxy_*` functions that proxy-wasm 0.2.5 imports (its `hostcalls.rs`), over this thread's host.
//!
//! Safety: the only caller is the SDK. It passes pointers to slices, and pointers to results that live as long as the
//! call. It takes over the memory that [`give`] allocates with `Vec::from_raw_parts(data, size, size)`.

#![allow(unsafe_code, reason = "the ABI is made of raw pointers")]

use std::ffi::{c_char, c_int, c_long, c_void};
use std::time::Duration;

use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status, StreamType};

use super::headers::Headers;
use super::host;
use super::stream::LocalReply;
use super::vm::{self, Deferred};

type Out<T> = *mut T;

// Logs, time, configuration.

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_log(level: LogLevel, message: *const u8, size: usize) -> Status {
    let message = unsafe { text(message, size) };
    host(|host| host.logs.push((level, message)));
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_log_level(level: Out<LogLevel>) -> Status {
    unsafe { level.write(LogLevel::Trace) };
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_current_time_nanoseconds(time: Out<u64>) -> Status {
    let now = host(|host| host.clock.time_of_day());
    unsafe { time.write(now.as_nanos().try_into().expect("a time before the year 2554")) };
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_tick_period_milliseconds(period: u32) -> Status {
    host(|host| host.clock.set_period(Duration::from_millis(period.into())));
    Status::Ok
}

// Headers and bodies.

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_pairs(map: MapType, data: Out<*mut u8>, size: Out<usize>) -> Status {
    let headers = host(|host| host.all_headers(map));
    let bytes = if headers.len() == 0 { Vec::new() } else { headers.to_wire() };
    unsafe { give(bytes, data, size) };
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_header_map_pairs(map: MapType, data: *const u8, size: usize) -> Status {
    let headers = Headers::from_wire(&unsafe { bytes(data, size) });
    status(host(|host| host.change_headers(map, |known| *known = headers)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_value(
    map: MapType,
    name: *const u8,
    name_size: usize,
    value: Out<*mut u8>,
    value_size: Out<usize>,
) -> Status {
    let name = unsafe { text(name, name_size) };
    unsafe { answer(host(|host| host.header(map, &name)), value, value_size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_add_header_map_value(
    map: MapType,
    name: *const u8,
    name_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    let (name, value) = unsafe { (text(name, name_size), bytes(value, value_size)) };
    status(host(|host| host.change_headers(map, |headers| headers.add(&name, &value))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_replace_header_map_value(
    map: MapType,
    name: *const u8,
    name_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    let (name, value) = unsafe { (text(name, name_size), bytes(value, value_size)) };
    status(host(|host| host.change_headers(map, |headers| headers.set(&name, &value))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_remove_header_map_value(map: MapType, name: *const u8, name_size: usize) -> Status {
    let name = unsafe { text(name, name_size) };
    status(host(|host| host.change_headers(map, |headers| headers.remove(&name))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_buffer_bytes(
    buffer: BufferType,
    start: usize,
    max_size: usize,
    data: Out<*mut u8>,
    size: Out<usize>,
) -> Status {
    unsafe { answer(host(|host| host.buffer(buffer, start, max_size)), data, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_buffer_bytes(
    buffer: BufferType,
    start: usize,
    size: usize,
    data: *const u8,
    data_size: usize,
) -> Status {
    let data = unsafe { bytes(data, data_size) };
    status(host(|host| host.change_buffer(buffer, start, size, &data)))
}

// Streams.

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_continue_stream(direction: StreamType) -> Status {
    defer_for_stream(|stream| Deferred::Continue { stream, direction })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_close_stream(_direction: StreamType) -> Status {
    defer_for_stream(|stream| Deferred::Close { stream })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_send_local_response(
    status: u32,
    _details: *const u8,
    _details_size: usize,
    body: *const u8,
    body_size: usize,
    headers: *const u8,
    headers_size: usize,
    _grpc_status: i32,
) -> Status {
    let status = u16::try_from(status).expect("an HTTP status");
    let (headers, body) = unsafe { (Headers::from_wire(&bytes(headers, headers_size)), bytes(body, body_size)) };
    host(|host| host.vm.stop_iteration());
    defer_for_stream(|stream| Deferred::Reply { stream, reply: LocalReply { status, headers, body } })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_effective_context(context: u32) -> Status {
    status(host(|host| host.set_effective_context(context)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_done() -> Status {
    Status::Ok
}

// Calls.

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_http_call(
    cluster: *const u8,
    cluster_size: usize,
    headers: *const u8,
    headers_size: usize,
    body: *const u8,
    body_size: usize,
    _trailers: *const u8,
    _trailers_size: usize,
    timeout: u32,
    token: Out<u32>,
) -> Status {
    let cluster = unsafe { text(cluster, cluster_size) };
    let headers = Headers::from_wire(&unsafe { bytes(headers, headers_size) });
    let body = unsafe { bytes(body, body_size) };
    let dispatched = host(|host| host.dispatch(cluster, headers, body, Duration::from_millis(timeout.into())));
    status(dispatched.map(|dispatched| unsafe { token.write(dispatched) }))
}

// Properties.

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    value: Out<*mut u8>,
    value_size: Out<usize>,
) -> Status {
    let path = unsafe { bytes(path, path_size) };
    unsafe { answer(host(|host| host.property(&path)), value, value_size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_property(
    path: *const u8,
    path_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    let (path, value) = unsafe { (bytes(path, path_size), bytes(value, value_size)) };
    status(host(|host| host.set_property(path, value)))
}

// Shared data and queues.

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_shared_data(
    key: *const u8,
    key_size: usize,
    value: Out<*mut u8>,
    value_size: Out<usize>,
    cas: Out<u32>,
) -> Status {
    let key = unsafe { text(key, key_size) };
    let found = host(|host| host.shared_data.get(&key));
    let found = found.map(|(bytes, known)| {
        unsafe { cas.write(known) };
        bytes
    });
    unsafe { answer(found, value, value_size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_shared_data(
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
    cas: u32,
) -> Status {
    let (key, value) = unsafe { (text(key, key_size), bytes(value, value_size)) };
    status(host(|host| host.shared_data.set(key, value, cas)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_register_shared_queue(name: *const u8, name_size: usize, token: Out<u32>) -> Status {
    let name = unsafe { text(name, name_size) };
    unsafe { token.write(host(|host| host.queues.register(name))) };
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_resolve_shared_queue(
    _vm_id: *const u8,
    _vm_id_size: usize,
    name: *const u8,
    name_size: usize,
    token: Out<u32>,
) -> Status {
    let name = unsafe { text(name, name_size) };
    let resolved = host(|host| host.queues.resolve(&name)).ok_or(Status::NotFound);
    status(resolved.map(|resolved| unsafe { token.write(resolved) }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_enqueue_shared_queue(queue: u32, item: *const u8, item_size: usize) -> Status {
    let item = unsafe { bytes(item, item_size) };
    status(host(|host| host.queues.enqueue(queue, item)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_dequeue_shared_queue(queue: u32, item: Out<*mut u8>, item_size: Out<usize>) -> Status {
    unsafe { answer(host(|host| host.queues.dequeue(queue)), item, item_size) }
}

// Metrics.

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_define_metric(kind: MetricType, name: *const u8, name_size: usize, id: Out<u32>) -> Status {
    let name = unsafe { text(name, name_size) };
    unsafe { id.write(host(|host| host.metrics.define(kind, name))) };
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_increment_metric(id: u32, offset: i64) -> Status {
    status(host(|host| host.metrics.increment(id, offset)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_record_metric(id: u32, value: u64) -> Status {
    status(host(|host| host.metrics.record(id, value)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_metric(id: u32, value: Out<u64>) -> Status {
    status(host(|host| host.metrics.get(id)).map(|known| unsafe { value.write(known) }))
}

// Functions that this filter does not use. The SDK names them, so they must be there to link; a call fails the test.

macro_rules! not_part_of_this_host {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> Status {
            panic!(concat!(stringify!($name), " is not part of this host"))
        }
    )*};
}

not_part_of_this_host! {
    proxy_call_foreign_function proxy_get_status proxy_grpc_call proxy_grpc_cancel proxy_grpc_close proxy_grpc_send
    proxy_grpc_stream
}

// The time, where the module does not ask the host for it.

/// The time of day, which people and NTP set; every other clock goes on at its own pace.
const CLOCK_REALTIME: c_int = 0;

/// `struct timespec` of 64-bit Unixes.
#[repr(C)]
struct TimeSpec {
    seconds: i64,
    nanoseconds: c_long,
}

/// Replaces libc's function for the whole test process. The module may ask the standard library for the time, which
/// asks WASI in Envoy, and libc here. The module gets virtual time, everything else the real one.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut TimeSpec) -> c_int {
    if vm::is_running() {
        let now = host(|host| if clock == CLOCK_REALTIME { host.clock.time_of_day() } else { host.clock.now });
        let seconds = now.as_secs().try_into().expect("a time of this age of the world");
        unsafe { time.write(TimeSpec { seconds, nanoseconds: now.subsec_nanos().into() }) };
        return 0;
    }
    type ClockGetTime = unsafe extern "C" fn(c_int, *mut TimeSpec) -> c_int;
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // `RTLD_NEXT`: the definition after this one.
    let libc: ClockGetTime = unsafe { std::mem::transmute(dlsym(-1_isize as *mut c_void, c"clock_gettime".as_ptr())) };
    unsafe { libc(clock, time) }
}

// Both sides of the boundary.

/// Defers an action that must not happen while the module runs. On a context that is no stream it does nothing,
/// without an error.
fn defer_for_stream(deferred: impl FnOnce(u32) -> Deferred) -> Status {
    host(|host| {
        let context = host.context();
        if host.streams.contains_key(&context) {
            host.vm.defer(deferred(context));
        }
    });
    Status::Ok
}

fn status(result: Result<(), Status>) -> Status {
    result.err().unwrap_or(Status::Ok)
}

unsafe fn bytes(data: *const u8, size: usize) -> Vec<u8> {
    // An absent body is a null pointer, which is no slice.
    if size == 0 { Vec::new() } else { unsafe { std::slice::from_raw_parts(data, size) }.to_vec() }
}

unsafe fn text(data: *const u8, size: usize) -> String {
    String::from_utf8(unsafe { bytes(data, size) }).expect("the SDK passes names as str")
}

unsafe fn answer(result: Result<Vec<u8>, Status>, data: Out<*mut u8>, size: Out<usize>) -> Status {
    status(result.map(|bytes| unsafe { give(bytes, data, size) }))
}

/// Gives memory to the module. No bytes are a null pointer. (`WasmBase::copyToPointerSize`)
unsafe fn give(bytes: Vec<u8>, data: Out<*mut u8>, size: Out<usize>) {
    unsafe {
        size.write(bytes.len());
        data.write(if bytes.is_empty() {
            std::ptr::null_mut()
        } else {
            Box::into_raw(bytes.into_boxed_slice()).cast()
        });
    }
}
