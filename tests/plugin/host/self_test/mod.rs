//! Tests of the host: it behaves as Envoy was measured to. A sample filter does as each test scripts.

mod answers;
mod calls;
mod streams;
mod worker;

use std::cell::{Cell, RefCell};

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, MapType, Status};

use super::envoy::Builder;
use super::{Answer, Client, Envoy, host};

const BODY: BufferType = BufferType::HttpResponseBody;
const REQUEST: MapType = MapType::HttpRequestHeaders;

thread_local! {
    static SCRIPT: Cell<Script> = const { Cell::new(Script::DO_NOTHING) };
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The sample filter's actions in its callbacks. They are plain functions, because the SDK makes contexts from one,
/// too.
#[derive(Clone, Copy)]
struct Script {
    configure: fn() -> bool,
    request_headers: fn(stream: u32) -> Action,
    response_headers: fn(stream: u32) -> Action,
    response_body: fn(stream: u32, size: usize, end_of_stream: bool) -> Action,
    log: fn(),
    /// The root was told of a stream, through the worker's queue.
    told_of: fn(stream: u32),
    call_response: fn(headers: usize, body: usize),
    tick: fn(),
}

impl Script {
    const DO_NOTHING: Self = Self {
        configure: || true,
        request_headers: |_| Action::Continue,
        response_headers: |_| Action::Continue,
        response_body: |_, _, _| Action::Continue,
        log: || {},
        told_of: |_| {},
        call_response: |_, _| {},
        tick: || {},
    };

    /// Starts an Envoy with this filter.
    fn start(self) -> Envoy {
        self.start_in(Envoy::builder())
    }

    fn start_in(self, builder: Builder) -> Envoy {
        SCRIPT.set(self);
        builder.root_context(root_context).start("")
    }
}

/// A filter that holds a response until the root was told of its end.
const HOLD: Script = Script {
    response_headers: |_| Action::Pause,
    response_body: |stream, _, end_of_stream| {
        if end_of_stream {
            tell_root(stream);
        }
        Action::Pause
    },
    ..Script::DO_NOTHING
};

/// Notes an observation of a callback, for [`seen`].
fn note(what: impl ToString) {
    SEEN.with_borrow_mut(|seen| seen.push(what.to_string()));
}

/// Takes the notes since the last call.
fn seen() -> Vec<String> {
    SEEN.take()
}

/// Tells the root of a stream, as a stream of the real filter does.
fn tell_root(stream: u32) {
    let queue = hostcalls::resolve_shared_queue("", "streams").unwrap().unwrap();
    hostcalls::enqueue_shared_queue(queue, Some(&stream.to_le_bytes())).unwrap();
}

/// Makes the root act for a stream that is there.
fn act_for(stream: u32) {
    hostcalls::set_effective_context(stream).unwrap();
}

fn resume() {
    hostcalls::resume_http_response().unwrap();
}

/// Calls the ABI's getter. The SDK's would panic where there is no map.
fn header(map: MapType, name: &str) -> String {
    match host(|host| host.header(map, name)) {
        Ok(value) => String::from_utf8_lossy(&value).into_owned(),
        Err(status) => format!("{status:?}"),
    }
}

/// Calls the ABI's setter. The SDK's would panic at `BadArgument`.
fn write(start: usize, size: usize, data: &[u8]) -> Result<(), Status> {
    host(|host| host.change_buffer(BODY, start, size, data))
}

/// Makes the bucket answer `aaabbc` in three pieces.
fn not_found(client: Client) {
    client.bucket_answers_in_chunks(404, &[("content-type", "application/xml")], &[b"aaa", b"bb", b"c"]);
}

fn answer(client: Client) -> Answer {
    client.answer().expect("a whole answer")
}

/// Takes the module's one violation, for a test that expects it.
fn only_violation(envoy: &mut Envoy) -> String {
    let violations = envoy.take_violations();
    assert_eq!(violations.len(), 1, "{violations:?}");
    violations.concat()
}

fn root_context(_: u32) -> Box<dyn RootContext> {
    Box::new(Root)
}

struct Root;

impl Context for Root {
    fn on_http_call_response(&mut self, _: u32, headers: usize, body: usize, _: usize) {
        (SCRIPT.get().call_response)(headers, body);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        self.register_shared_queue("streams");
        (SCRIPT.get().configure)()
    }

    fn on_queue_ready(&mut self, queue: u32) {
        while let Some(item) = self.dequeue_shared_queue(queue).unwrap() {
            (SCRIPT.get().told_of)(u32::from_le_bytes(item.try_into().unwrap()));
        }
    }

    fn on_tick(&mut self) {
        (SCRIPT.get().tick)();
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream(context_id)))
    }
}

struct Stream(u32);

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        note("done");
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        (SCRIPT.get().request_headers)(self.0)
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        (SCRIPT.get().response_headers)(self.0)
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        (SCRIPT.get().response_body)(self.0, size, end_of_stream)
    }

    fn on_log(&mut self) {
        note("log");
        (SCRIPT.get().log)();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        note("delete");
    }
}
