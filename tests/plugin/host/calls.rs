//! Calls that the module makes (`Context::httpCall`, `onHttpCallSuccess`, `onHttpCallFailure`).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use proxy_wasm::types::Status;

use super::headers::Headers;
use super::vm::{self, Deferred, exports};
use super::{Host, host, secrets};

/// The largest response to a call; a larger one arrives as a failure. (`http.async_response_buffer_limit`)
pub const RESPONSE_LIMIT: usize = 33_554_432;

/// The step between tokens. Envoy keeps the type of the call in the low bits. (`kCalloutIncrement`)
const TOKEN_STEP: u32 = 4;

thread_local! {
    // Not part of the host: the SDK's dispatcher outlives it, and panics at a token that it knows.
    static LAST_TOKEN: Cell<u32> = const { Cell::new(0) };
}

/// A call as Envoy sends it. It is answered once: [`super::Envoy::respond`] and its kin consume it.
#[derive(Debug)]
pub struct Call {
    pub cluster: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    /// `None`: the call may take for ever.
    pub timeout: Option<Duration>,
    pub(super) token: u32,
}

impl Call {
    pub fn method(&self) -> &str {
        self.header(":method").unwrap_or_default()
    }

    pub fn authority(&self) -> &str {
        self.header(":authority").unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.header(":path").unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.text(name)
    }
}

/// The end of a call.
pub enum Outcome {
    /// An answer of the upstream, or one that Envoy made in its place.
    Response { headers: Headers, body: Vec<u8> },
    /// The connection broke in the middle of the answer, or the answer is over [`RESPONSE_LIMIT`].
    Failure,
}

impl Outcome {
    /// Makes the outcome of a call when its connection is refused (measured).
    pub fn refused() -> Self {
        Self::made_by_envoy(
            503,
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
        )
    }

    /// Makes the outcome of a call when its timeout passes (measured).
    pub fn timed_out() -> Self {
        Self::made_by_envoy(504, "upstream request timeout")
    }

    fn made_by_envoy(status: u16, body: &str) -> Self {
        let headers =
            Headers::response(status).with("content-length", body.len().to_string()).with("content-type", "text/plain");
        Self::Response { headers, body: body.into() }
    }
}

/// Calls of the plugin. All belong to the root context, whichever context made them.
#[derive(Default)]
pub struct Calls {
    outstanding: BTreeMap<u32, Outstanding>,
    /// The response being delivered, which `HttpCallResponseHeaders` and `HttpCallResponseBody` show.
    pub delivering: Option<(Headers, Vec<u8>)>,
    /// Bytes of the longest body that was read.
    pub longest_read: Cell<usize>,
}

struct Outstanding {
    /// `None` once a test holds it.
    call: Option<Call>,
    deadline: Option<Duration>,
    described: String,
}

impl Calls {
    /// Takes the oldest call that no test holds yet.
    pub fn take_next(&mut self) -> Option<Call> {
        self.outstanding.values_mut().find_map(|outstanding| outstanding.call.take())
    }

    /// Takes the oldest call of this description that no test holds yet.
    pub fn take(&mut self, described: &str) -> Option<Call> {
        let fits = |outstanding: &&mut Outstanding| outstanding.call.is_some() && outstanding.described == described;
        self.outstanding.values_mut().find(fits)?.call.take()
    }

    /// Describes the calls that wait for an answer, as `GET cluster /path`.
    pub fn described(&self) -> Vec<&str> {
        self.outstanding.values().map(|outstanding| outstanding.described.as_str()).collect()
    }

    /// Tells if the call has no answer yet.
    pub fn await_answer(&self, call: &Call) -> bool {
        self.outstanding.contains_key(&call.token)
    }

    /// Finds the call whose timeout comes first.
    pub fn next_timeout(&self) -> Option<(Duration, u32)> {
        self.outstanding.iter().filter_map(|(token, call)| Some((call.deadline?, *token))).min()
    }
}

impl Host {
    /// Implements `proxy_http_call`. Returns the token under which the answer comes.
    pub fn dispatch(
        &mut self,
        cluster: String,
        mut headers: Headers,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<u32, Status> {
        if !self.settings.clusters.contains(&cluster) {
            return Err(Status::BadArgument);
        }
        if [":method", ":path", ":authority"].iter().any(|name| headers.get(name).is_none()) {
            return Err(Status::BadArgument);
        }
        if let Some(name) = headers.unsendable() {
            self.violation(format!("a call to {cluster} has a line break or NUL in {name}"));
        }
        if let Some(name) = secrets::passed_on(&headers) {
            self.violation(format!("a call to {cluster} has a client's secret in {name}"));
        }
        if !body.is_empty() {
            headers.set("content-length", body.len().to_string().as_bytes());
        }
        let token = LAST_TOKEN.get() + TOKEN_STEP;
        LAST_TOKEN.set(token);
        if self.settings.clusters_without_hosts.contains(&cluster) {
            // The router refuses at once, and Envoy treats that as a call that never began (measured).
            return Err(Status::InternalFailure);
        }
        let timeout = (!timeout.is_zero()).then_some(timeout);
        let call = Call { cluster, headers, body, timeout, token };
        let outstanding = Outstanding {
            deadline: timeout.map(|timeout| self.clock.now + timeout),
            described: format!("{} {} {}", call.method(), call.cluster, call.path()),
            call: Some(call),
        };
        self.calls.outstanding.insert(token, outstanding);
        Ok(token)
    }
}

/// Delivers the end of a call to the module.
pub fn deliver(token: u32, outcome: Outcome) {
    let (headers, size) = host(|host| {
        host.calls.outstanding.remove(&token).expect("this call was answered already, or its timeout has passed");
        host.calls.delivering = match outcome {
            Outcome::Response { headers, body } if body.len() <= RESPONSE_LIMIT => Some((headers, body)),
            Outcome::Response { .. } | Outcome::Failure => None,
        };
        host.vm.defer(Deferred::ForgetCallResponse);
        host.calls.delivering.as_ref().map_or((0, 0), |(headers, body)| (headers.len(), body.len()))
    });
    let root = host(|host| host.vm.root);
    vm::enter(root, || exports::proxy_on_http_call_response(root, token, headers, size, 0));
}
