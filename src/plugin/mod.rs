//! The adapter between the core and proxy-wasm.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

struct Root;
impl Context for Root {}
impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }
}

struct Stream;
impl Context for Stream {}
impl HttpContext for Stream {}

/// The root context of one worker's VM, as the SDK asks for it.
pub fn root_context(_context_id: u32) -> Box<dyn RootContext> {
    Box::new(Root)
}
