//! The parser: JSON in, a [`Config`] or every problem out.

mod addresses;
pub mod environment;
mod headers;
pub mod parser;
pub mod reader;
pub mod recording;
mod rules;
mod values;

pub use reader::Problem;

use super::model::Config;
use parser::Parser;
use reader::Problems;
use serde_json::Value;

impl Config {
    /// Reads the plugin's configuration. `env` looks up the VM's environment variables.
    pub fn parse(json: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let problems = Problems::default();
        let mut value = match serde_json::from_slice::<Value>(json) {
            Ok(value) => value,
            Err(error) => {
                problems.add("$", format!("is not JSON: {error}"));
                return Err(problems.into_vec());
            }
        };
        let variables = environment::resolve(&mut value, env, &problems);
        let config = Parser { env, problems: &problems }.config(value);
        let mut problems = problems.into_vec();
        variables.explain(&mut problems);
        config.filter(|_| problems.is_empty()).ok_or(problems)
    }
}
