//! An Envoy filter that makes an S3-compatible bucket fill itself from the origin it replaces.

pub mod plugin;

#[cfg(target_arch = "wasm32")]
proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Trace);
    proxy_wasm::set_root_context(plugin::root_context);
}}
