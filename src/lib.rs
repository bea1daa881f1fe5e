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
//! A pure core and a thin adapter. The core has no host call, no clock, no randomness and no global: time and random
//! numbers are arguments, and what it wants done it returns. [`plugin`] is the only module that knows proxy-wasm.
//!
//! A request's way: [`target`] (is it for an object?) → [`miss`] (was it denied because the object is missing?) →
//! [`worker`] (holds the stream) → [`flight`] (one fill per key, in one worker of all by way of [`slots`]) → [`fill`]
//! (what is asked of [`origin`] and [`s3`], planned by [`plan`], compared by [`integrity`]) → [`reply`] (what the client
//! gets). [`explain`] tells this way without going it, for the command `mirror-on-miss`.

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
