//! The plugin's configuration. The parser takes JSON and returns a [`Config`] that cannot be wrong, or every problem
//! at once.

#[cfg(not(target_arch = "wasm32"))]
pub mod describe;
pub mod model;
pub mod origin;
pub mod parse;
pub mod rule;

pub use model::{Bucket, Config, Deleted, Exposed, Keys, Limits, Location, MAX_PART_SIZE, Overwrite};
pub use origin::{Missing, Origin, OtherRedirects, Pin, Rate, Redirects, SKEW};
pub use parse::Problem;

#[cfg(test)]
mod tests;
