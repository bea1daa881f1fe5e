//! Tests of the plugin as Envoy drives it. The real adapter and the real SDK are linked natively against a host that
//! behaves like Envoy ([`host`]).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test that meets the unexpected has failed"
)]

mod answers;
mod arbitrary_events;
mod capacity;
mod configuration;
mod error_documents;
mod failures;
mod feeding;
mod gallery;
mod host;
mod integrity;
mod keys;
mod miss_and_hit;
mod multipart;
mod not_stored;
mod observability;
mod on_5xx;
mod remembered_outcomes;
#[path = "../gallery/rows.rs"]
mod rows;
mod rules;
mod served;
mod steps;
mod streaming;
mod waiting_clients;
