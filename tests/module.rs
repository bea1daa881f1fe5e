//! Tests of the built module as Envoy gets it: its imports, its exports, its size, and its start.
//!
//! `make wasm` builds it. The host here is a stub in an interpreter. `tests/plugin` and `tests/e2e` test the module's
//! behaviour.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wasmi::{
    Caller, Config, Engine, ExternType, Instance, Linker, Memory, Module, Store, TypedFunc, Val, WasmParams,
    WasmResults,
};

/// Envoy loads the module into every worker, and an operator into a ConfigMap of at most 1 MiB.
const MAX_SIZE: usize = 512_000;

/// The functions of Envoy that the SDK can call. They are proxy-wasm's own interface. It reaches the current request,
/// the clusters, the shared data, the queues, the metrics and the log of this Envoy, and nothing outside of it.
const ENV: &[&str] = &[
    "proxy_add_header_map_value",
    "proxy_close_stream",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_enqueue_shared_queue",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_get_status",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];

/// The functions of WASI that Rust's standard library calls. There are no files and no sockets among them. Envoy's
/// implementation of each is in `exports.cc` of proxy-wasm-cpp-host.
const WASI: &[&str] = &[
    // The monotonic and the wall clock.
    "clock_time_get",
    // `environment_variables` of `vm_config`, and nothing of Envoy's own environment.
    "environ_get",
    "environ_sizes_get",
    // Standard output and error, which are lines in Envoy's log.
    "fd_write",
    // The end of the VM after a panic. Envoy goes on.
    "proc_exit",
    // Keys of hash maps, and the jitter of retries.
    "random_get",
];

/// The callbacks that the filter uses. Envoy does without the others, and calls an exported one in vain.
const EXPORTS: &[&str] = &[
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_http_call_response",
    "proxy_on_memory_allocate",
    "proxy_on_queue_ready",
    "proxy_on_request_headers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

const SMALLEST_CONFIGURATION: &str = r#"{
    "bucket": {"cluster": "signer", "authority": "s3.eu-west-1.amazonaws.com", "path_prefix": "/my-bucket"},
    "origin": {"cluster": "origin", "authority": "files.example.com"}
}"#;

/// As in the shipped edges, with an origin, a bucket and the marker of streams.
const SHIPPED_CONFIGURATION: &str = r#"{
    "bucket": {"cluster": "signer", "authority": "s3.eu-west-1.amazonaws.com", "path_prefix": "/my-bucket"},
    "origin": {"cluster": "origin", "stream_cluster": "origin-streams", "authority": "files.example.com"},
    "stream": {"marker": "mirror-on-miss=stream"}
}"#;

#[test]
fn it_imports_what_is_listed_here_and_nothing_else() {
    let module = Running::module(&Engine::default());
    let imports: BTreeSet<_> =
        module.imports().map(|import| format!("{}.{}", import.module(), import.name())).collect();
    let listed = ENV.iter().map(|name| format!("env.{name}"));
    let listed: BTreeSet<_> = listed.chain(WASI.iter().map(|name| format!("wasi_snapshot_preview1.{name}"))).collect();
    assert_eq!(imports.difference(&listed).collect::<Vec<_>>(), [] as [&str; 0], "imported, but not listed");
    assert_eq!(listed.difference(&imports).collect::<Vec<_>>(), [] as [&str; 0], "listed, but not imported any more");
}

#[test]
fn it_exports_what_envoy_is_to_call_and_nothing_else() {
    let module = Running::module(&Engine::default());
    let exports: BTreeSet<_> = module.exports().map(|export| export.name()).collect();
    assert_eq!(exports, EXPORTS.iter().copied().collect());
}

#[test]
fn it_is_small() {
    let size = bytes().len();
    assert!(size <= MAX_SIZE, "the module has {size} bytes, {} too many", size - MAX_SIZE);
}

#[test]
fn it_accepts_the_smallest_configuration() {
    let mut running = Running::start(SMALLEST_CONFIGURATION);
    assert!(running.configure(), "{:#?}", running.logs());
}

#[test]
fn it_refuses_garbage_with_a_line_in_the_log() {
    for garbage in ["", "{}", "no JSON", "\u{0}", r#"{"bucket": 1}"#] {
        let mut running = Running::start(garbage);
        assert!(!running.configure(), "{garbage:?} was accepted");
        assert!(!running.logs().is_empty(), "{garbage:?} was refused without a word");
    }
}

#[test]
fn it_holds_a_miss_and_no_hit() {
    const CONTINUE: u32 = 0;
    const PAUSE: u32 = 1;
    let mut running = Running::start(SMALLEST_CONFIGURATION);
    assert!(running.configure());
    for (stream, status, action) in [(2, "200", CONTINUE), (3, "404", PAUSE)] {
        running.call::<_, ()>("proxy_on_context_create", (stream, Running::ROOT));
        running.host().headers = vec![(":method", "GET"), (":path", "/img/a.jpg")];
        assert_eq!(running.call::<_, u32>("proxy_on_request_headers", (stream, 2, 1)), CONTINUE);
        running.host().headers = vec![(":status", status)];
        assert_eq!(running.call::<_, u32>("proxy_on_response_headers", (stream, 1, 0)), action, "{status}");
    }
}

/// Nearly all requests are hits, so a hit must cost little.
#[test]
fn a_hit_costs_three_host_calls_and_few_instructions() {
    // The interpreter's units: 10 % above the measured ones.
    const MAX_FUEL: u64 = 14_000;
    let (asked, spent) = cost(Running::hit);
    let looks_up = |name| format!("proxy_get_header_map_value {name}");
    assert_eq!(asked, [":method", ":path", ":status"].map(looks_up));
    assert!(spent <= MAX_FUEL, "{spent} instead of {MAX_FUEL}");
}

#[test]
fn a_query_costs_a_hit_one_host_call_more() {
    let (asked, _) = cost(Running::hit_with_query);
    let looks_up = |name| format!("proxy_get_header_map_value {name}");
    let replaces = "proxy_replace_header_map_value".to_owned();
    assert_eq!(asked, [looks_up(":method"), looks_up(":path"), replaces, looks_up(":status")]);
}

/// Only its client pays for a miss. Envoy's two calls cost the rest. What operators are told comes later, for all misses at once.
#[test]
fn a_small_miss_costs_a_known_number_of_host_calls_and_instructions() {
    const HOST_CALLS: usize = 29;
    const MAX_FUEL: u64 = 360_000;
    let (asked, spent) = cost(Running::miss);
    let count = |name: &str| asked.iter().filter(|asked| *asked == name).count();
    assert_eq!(count("proxy_http_call"), 2, "{asked:#?}");
    assert_eq!(count("proxy_get_header_map_pairs"), 1, "of the store's answer the status is read: {asked:#?}");
    assert_eq!(asked.len(), HOST_CALLS, "{asked:#?}");
    assert!(spent <= MAX_FUEL, "{spent} instead of {MAX_FUEL}");
}

/// An event of one fill must not look at all fills: a worker runs `limits.fills` of them.
#[test]
fn a_small_miss_costs_little_more_among_hundreds_of_fills() {
    const OTHERS: u32 = 500;
    // With less memory some of them would wait for room.
    const CONFIGURATION: &str = r#"{
        "bucket": {"cluster": "signer", "authority": "s3.eu-west-1.amazonaws.com", "path_prefix": "/my-bucket"},
        "origin": {"cluster": "origin", "authority": "files.example.com"},
        "limits": {"memory": "1GiB"}
    }"#;
    let [alone, among_others] = [0, OTHERS].map(|others| {
        let mut running = Running::start(CONFIGURATION);
        assert!(running.configure());
        (0..others).for_each(|other| running.begin_miss(1_000 + other));
        running.miss(1_998);
        let before = running.fuel();
        running.miss(1_999);
        before.saturating_sub(running.fuel())
    });
    // Measured: 25 % more, for nine comparisons each time that a key is looked up. All keys are equally long.
    let most = alone * 13 / 10;
    assert!(among_others <= most, "{among_others}, and {alone} alone");
}

/// The memory of a VM never shrinks, so a copy of a part would be held for good.
#[test]
fn an_object_that_comes_in_two_ranges_is_in_memory_once() {
    const MIB: usize = 1 << 20;
    const LENGTH: usize = 6 * MIB;
    const FIRST: usize = 64 * 1024 + 1;
    const CONFIGURATION: &str = r#"{
        "bucket": {"cluster": "signer", "authority": "s3.eu-west-1.amazonaws.com", "path_prefix": "/my-bucket"},
        "origin": {"cluster": "origin", "authority": "files.example.com"},
        "stream": {"marker": "mirror-on-miss"},
        "rules": [{"response": "serve"}]
    }"#;
    let mut running = Running::start(CONFIGURATION);
    assert!(running.configure());
    running.miss(2);
    let before = running.memory();
    running.begin_miss(3);
    for (first, end) in [(0, FIRST), (FIRST, LENGTH)] {
        let range = format!("bytes {first}-{}/{LENGTH}", end - 1).leak();
        let headers =
            vec![(":status", "206"), ("content-range", range), ("etag", "\"5f4dcc3b5aa765d61d8327deb882cf99\"")];
        running.host().asked.clear();
        running.call_came(headers, vec![7; end - first]);
        running.call::<_, ()>("proxy_on_queue_ready", (Running::ROOT, 0));
        assert_eq!(running.host().asked.iter().filter(|asked| *asked == "proxy_http_call").count(), 1);
    }
    let grown = running.memory() - before;
    assert!(grown < LENGTH + MIB, "{grown} bytes for {LENGTH}");
}

/// Returns a request's calls to its host, and its number of instructions.
fn cost(request: fn(&mut Running, u32)) -> (Vec<String>, u64) {
    let mut running = Running::start(SHIPPED_CONFIGURATION);
    assert!(running.configure());
    // The first request defines metrics and grows lists that are kept.
    request(&mut running, 2);
    running.host().asked.clear();
    let before = running.fuel();
    request(&mut running, 3);
    let spent = before.saturating_sub(running.fuel());
    (std::mem::take(&mut running.host().asked), spent)
}

fn bytes() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mirror_on_miss.wasm");
    std::fs::read(path).unwrap_or_else(|_| panic!("there is no target/mirror_on_miss.wasm: run `make wasm`"))
}

/// The module in an interpreter, initialised, with a root context.
struct Running {
    store: Store<Stub>,
    instance: Instance,
}

/// The part of a host that a start needs. Every other function succeeds and does nothing.
#[derive(Default)]
struct Stub {
    configuration: &'static str,
    /// The headers of every map that the module reads.
    headers: Vec<(&'static str, &'static str)>,
    /// The body of every response that the module reads.
    body: Vec<u8>,
    /// The entries of shared data that were written.
    shared: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The token of the last call that was sent.
    token: u32,
    logs: Vec<String>,
    /// The functions that the module called, with the name of a header that was looked up.
    asked: Vec<String>,
}

impl Running {
    const ROOT: u32 = 1;

    fn module(engine: &Engine) -> Module {
        Module::new(engine, bytes()).expect("the module is WebAssembly")
    }

    fn start(configuration: &'static str) -> Self {
        let engine = Engine::new(Config::default().consume_fuel(true));
        let module = Self::module(&engine);
        let mut store = Store::new(&engine, Stub { configuration, ..Stub::default() });
        store.set_fuel(u64::MAX).expect("it is consumed");
        let mut linker = Linker::new(&engine);
        for import in module.imports() {
            let ExternType::Func(of) = import.ty() else { panic!("{} is no function", import.name()) };
            let name = import.name().to_owned();
            let answer = move |mut caller: Caller<'_, Stub>, parameters: &[Val], results: &mut [Val]| {
                let parameters: Vec<_> =
                    parameters.iter().map(|value| value.i32().unwrap_or_default() as u32).collect();
                let status = answer(&mut caller, &name, &parameters);
                results.iter_mut().for_each(|result| *result = Val::I32(status));
                Ok(())
            };
            linker.func_new(import.module(), import.name(), of.clone(), answer).expect("an import is defined once");
        }
        let instance = linker.instantiate_and_start(&mut store, &module).expect("the module can be instantiated");
        let mut running = Self { store, instance };
        running.call::<_, ()>("_initialize", ());
        running.call::<_, ()>("proxy_on_context_create", (Self::ROOT, 0));
        assert_eq!(running.call::<_, u32>("proxy_on_vm_start", (Self::ROOT, 0)), 1);
        running
    }

    fn configure(&mut self) -> bool {
        let size = self.host().configuration.len() as u32;
        self.call::<_, u32>("proxy_on_configure", (Self::ROOT, size)) == 1
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, parameters: P) -> R {
        let function: TypedFunc<P, R> = self.instance.get_typed_func(&self.store, export).expect(export);
        let called = function.call(&mut self.store, parameters);
        called.unwrap_or_else(|trap| panic!("{export}: {trap}: {:#?}", self.logs()))
    }

    /// Plays a small object that the bucket has, in two pieces.
    fn hit(&mut self, stream: u32) {
        self.hit_of(stream, "/img/2026/11/a-picture_of_the-harbour.jpg");
    }

    fn hit_with_query(&mut self, stream: u32) {
        self.hit_of(stream, "/img/2026/11/a-picture_of_the-harbour.jpg?v=1");
    }

    fn hit_of(&mut self, stream: u32, path: &'static str) {
        self.call::<_, ()>("proxy_on_context_create", (stream, Self::ROOT));
        self.host().headers = vec![(":method", "GET"), (":path", path)];
        assert_eq!(self.call::<_, u32>("proxy_on_request_headers", (stream, 2, 1)), 0);
        self.host().headers = vec![(":status", "200")];
        assert_eq!(self.call::<_, u32>("proxy_on_response_headers", (stream, 1, 0)), 0);
        assert_eq!(self.call::<_, u32>("proxy_on_response_body", (stream, 4096, 0)), 0);
        assert_eq!(self.call::<_, u32>("proxy_on_response_body", (stream, 0, 1)), 0);
        self.call::<_, ()>("proxy_on_delete", stream);
    }

    /// Plays a small object that the bucket lacks, until the origin is asked.
    fn begin_miss(&mut self, stream: u32) {
        self.call::<_, ()>("proxy_on_context_create", (stream, Self::ROOT));
        let path = format!("/img/2026/11/a-picture_of_the-harbour-{stream}.jpg");
        self.host().headers = vec![(":method", "GET"), (":path", path.leak())];
        assert_eq!(self.call::<_, u32>("proxy_on_request_headers", (stream, 2, 1)), 0);
        self.host().headers = vec![(":status", "404"), ("content-type", "application/xml")];
        assert_eq!(self.call::<_, u32>("proxy_on_response_headers", (stream, 2, 0)), 1);
        self.host().body = b"<Error><Code>NoSuchKey</Code><Key>a-picture_of_the-harbour.jpg</Key></Error>".to_vec();
        let size = self.host().body.len() as u32;
        assert_eq!(self.call::<_, u32>("proxy_on_response_body", (stream, size, 1)), 1);
        self.call::<_, ()>("proxy_on_queue_ready", (Self::ROOT, 0));
    }

    /// Plays a small object that the bucket lacks, and now gets.
    fn miss(&mut self, stream: u32) {
        self.begin_miss(stream);
        let object = vec![
            (":status", "206"),
            ("content-length", "4096"),
            ("content-range", "bytes 0-4095/4096"),
            ("content-type", "image/jpeg"),
            ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT"),
            ("etag", "\"5f4dcc3b5aa765d61d8327deb882cf99\""),
        ];
        self.call_came(object, vec![7; 4096]);
        self.call_came(vec![(":status", "200"), ("etag", "\"5f4dcc3b5aa765d61d8327deb882cf99\"")], Vec::new());
        self.call::<_, ()>("proxy_on_delete", stream);
    }

    fn call_came(&mut self, headers: Vec<(&'static str, &'static str)>, body: Vec<u8>) {
        let (count, size, token) = (headers.len() as u32, body.len() as u32, self.host().token);
        (self.host().headers, self.host().body) = (headers, body);
        self.call::<_, ()>("proxy_on_http_call_response", (Self::ROOT, token, count, size, 0));
    }

    /// Returns the size of the module's memory.
    fn memory(&self) -> usize {
        self.instance.get_memory(&self.store, "memory").expect("memory is exported").data_size(&self.store)
    }

    fn fuel(&self) -> u64 {
        self.store.get_fuel().expect("it is consumed")
    }

    fn host(&mut self) -> &mut Stub {
        self.store.data_mut()
    }

    fn logs(&self) -> &[String] {
        &self.store.data().logs
    }
}

/// Answers one call of the module to its host.
fn answer(caller: &mut Caller<'_, Stub>, name: &str, parameters: &[u32]) -> i32 {
    const OK: i32 = 0;
    const NOT_FOUND: i32 = 1;
    const EMPTY: i32 = 7;
    const PLUGIN_CONFIGURATION: u32 = 7;
    let looked_up = match (name, parameters) {
        ("proxy_get_header_map_value", &[_, name, size, ..]) => read(caller, name, size),
        _ => Vec::new(),
    };
    let asked = format!("{name} {}", String::from_utf8_lossy(&looked_up));
    caller.data_mut().asked.push(asked.trim_end().to_owned());
    match (name, parameters) {
        ("proxy_log", &[_, text, size]) => {
            let line = String::from_utf8_lossy(&read(caller, text, size)).into_owned();
            caller.data_mut().logs.push(line);
            OK
        }
        ("proxy_get_buffer_bytes", &[buffer, start, length, data, size]) => {
            let stub = caller.data();
            let all = if buffer == PLUGIN_CONFIGURATION { stub.configuration.as_bytes() } else { &stub.body };
            let bytes: Vec<u8> = all.iter().skip(start as usize).take(length as usize).copied().collect();
            give(caller, &bytes, data, size);
            OK
        }
        ("proxy_get_header_map_pairs", &[_, data, size]) => {
            let pairs = serialized(&caller.data().headers);
            give(caller, &pairs, data, size);
            OK
        }
        ("proxy_get_property", _) => NOT_FOUND,
        ("proxy_get_shared_data", &[name, name_size, data, size, version]) => {
            let name = read(caller, name, name_size);
            let Some(value) = caller.data().shared.get(&name).cloned() else { return NOT_FOUND };
            give(caller, &value, data, size);
            write(caller, version, &1_u32.to_le_bytes());
            OK
        }
        ("proxy_set_shared_data", &[name, name_size, value, value_size, _]) => {
            let (name, value) = (read(caller, name, name_size), read(caller, value, value_size));
            caller.data_mut().shared.insert(name, value);
            OK
        }
        ("proxy_dequeue_shared_queue", _) => EMPTY,
        ("proxy_http_call", &[.., token]) => {
            let sent = caller.data().token.wrapping_add(1);
            caller.data_mut().token = sent;
            write(caller, token, &sent.to_le_bytes());
            OK
        }
        ("proxy_get_header_map_value", &[_, name, name_size, data, size]) => {
            let name = read(caller, name, name_size);
            let found = caller.data().headers.iter().find(|(known, _)| known.as_bytes() == name).copied();
            let Some((_, value)) = found else { return NOT_FOUND };
            give(caller, value.as_bytes(), data, size);
            OK
        }
        ("environ_sizes_get", &[count, size]) => {
            write(caller, count, &[0; 4]);
            write(caller, size, &[0; 4]);
            OK
        }
        ("clock_time_get", &[.., time]) => {
            write(caller, time, &[0; 8]);
            OK
        }
        ("random_get", &[data, size]) => {
            // Any bytes do: they are the keys of hash maps.
            write(caller, data, &vec![7; size as usize]);
            OK
        }
        _ => OK,
    }
}

/// Writes a map as proxy-wasm passes it: the number of headers, the lengths of each, then names and values with an
/// end of zero.
fn serialized(headers: &[(&str, &str)]) -> Vec<u8> {
    let length = |text: &str| (text.len() as u32).to_le_bytes();
    let lengths = headers.iter().flat_map(|(name, value)| [length(name), length(value)].concat());
    let texts = headers.iter().flat_map(|(name, value)| [name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    (headers.len() as u32).to_le_bytes().into_iter().chain(lengths).chain(texts).collect()
}

/// Puts bytes into memory that the module allocates, as Envoy does.
fn give(caller: &mut Caller<'_, Stub>, bytes: &[u8], data: u32, size: u32) {
    let length = bytes.len() as u32;
    let allocate = caller.get_export("proxy_on_memory_allocate").and_then(wasmi::Extern::into_func);
    let allocate = allocate.expect("proxy_on_memory_allocate").typed::<u32, u32>(&*caller).expect("its type");
    let at = if bytes.is_empty() { 0 } else { allocate.call(&mut *caller, length).expect("memory") };
    write(caller, at, bytes);
    write(caller, data, &at.to_le_bytes());
    write(caller, size, &length.to_le_bytes());
}

fn read(caller: &Caller<'_, Stub>, at: u32, size: u32) -> Vec<u8> {
    let mut bytes = vec![0; size as usize];
    memory(caller).read(caller, at as usize, &mut bytes).expect("a pointer into the module's memory");
    bytes
}

fn write(caller: &mut Caller<'_, Stub>, at: u32, bytes: &[u8]) {
    memory(caller).write(caller, at as usize, bytes).expect("a pointer into the module's memory");
}

fn memory(caller: &Caller<'_, Stub>) -> Memory {
    caller.get_export("memory").and_then(wasmi::Extern::into_memory).expect("memory is exported")
}
