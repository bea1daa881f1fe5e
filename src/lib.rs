//! An Envoy filter that makes an S3-compatible bucket fill itself from the origin it replaces.
//!
//! ```text
//! client ──GET /img/a.jpg──► Envoy (edge) ──► bucket            200: untouched
//!                              │   ◄── 404 NoSuchKey / 403 AccessDenied ──┘
//!                              │  this filter holds the response
//!                              ├─ GET origin /img/a.jpg  (one request for many waiting clients)
//!                              ├─ PUT /bucket/img/a.jpg ──► signer (SigV4) ──► bucket
//!                              ▼
//! client ◄── 302 Location: /img/a.jpg ── then GET again ──► 200 from the bucket
//! ```
//!
//! The core is pure and the adapter thin. The core has no host call, no clock, no randomness and no global: time and
//! random numbers are arguments, and the core returns its effects. [`plugin`] is the only module that knows proxy-wasm.
//!
//! A request passes these modules in order:
//!
//! - [`request::target`] reads the object's key from the request.
//! - [`request::denial`] tells a miss from the bucket's other denials.
//! - [`worker`] holds the stream.
//! - [`single_flight`] runs one fill per key, in one worker of all, by way of the table in [`single_flight::leases`].
//! - [`fill`] asks the [`origin`] and the store ([`s3`]), and compares the digests ([`object::integrity`]).
//! - [`worker::reply`] makes the client's answer.
//!
//! [`explain`] describes this way without going it, for the command `mirror-on-miss`.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod config;
#[cfg(not(target_arch = "wasm32"))]
pub mod explain;
pub mod fill;
pub mod http;
pub mod metrics;
pub mod object;
pub mod origin;
pub mod plugin;
pub mod request;
pub mod s3;
pub mod single_flight;
pub mod sorted_map;
pub mod worker;

#[cfg(target_arch = "wasm32")]
mod module {
    //! The module's entry point.

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
        crate::plugin::take_back_on_panic();
        proxy_wasm::set_root_context(crate::plugin::root_context);
    }}
}
