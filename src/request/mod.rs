//! What a client asked for, and how the bucket denied it.

pub mod denial;
pub mod forwarded;
pub mod reading;
pub mod target;
pub mod trace;

#[cfg(test)]
mod tests;
