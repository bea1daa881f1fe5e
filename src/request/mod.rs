//! The client's request, and the bucket's denial of it.

pub mod denial;
pub mod forwarded;
pub mod metadata;
pub mod passing;
pub mod precondition;
pub mod reading;
pub mod target;
pub mod trace;

#[cfg(test)]
mod tests;
