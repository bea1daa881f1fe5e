//! Settings from the VM's environment: `{"env": "NAME"}` in the place of `location`, or of a value of `bucket` or of an
//! origin.
//!
//! Where the objects of a platform describe one site, each of them has a field for a variable. None of them can write
//! into the JSON of another one.

use super::reader::{Kind, Problem, Problems, REFUSED};
use super::values::Text;
use serde_json::{Value, json};

/// Objects whose values are read elsewhere: a header's value may be a secret, which no problem shows.
const APART: [&str; 2] = ["headers", "parameters"];

/// The settings that are variables, by their paths.
#[derive(Default)]
pub struct Variables {
    set: Vec<(String, String)>,
    unset: Vec<(String, String)>,
}

/// Puts the environment's values into `bucket`, `origin`, `origins` and `location`.
pub fn resolve(root: &mut Value, env: &dyn Fn(&str) -> Option<String>, problems: &Problems) -> Variables {
    let mut variables = Variables::default();
    if let Some(value) = root.get_mut("location") {
        variables.look_up(value, "$.location".to_owned(), env);
    }
    for name in ["bucket", "origin"] {
        variables.look_up_settings(root.get_mut(name), &format!("$.{name}"), env);
    }
    if let Some(Value::Object(origins)) = root.get_mut("origins") {
        for (name, origin) in origins {
            variables.look_up_settings(Some(origin), &format!("$.origins.{name}"), env);
        }
    }
    for (path, variable) in &variables.unset {
        problems.add(path, missing(variable));
    }
    variables
}

impl Variables {
    fn look_up_settings(&mut self, of: Option<&mut Value>, path: &str, env: &dyn Fn(&str) -> Option<String>) {
        if let Some(Value::Object(settings)) = of {
            for (name, value) in settings.iter_mut().filter(|(name, _)| !APART.contains(&name.as_str())) {
                self.look_up(value, format!("{path}.{name}"), env);
            }
        }
    }

    fn look_up(&mut self, value: &mut Value, path: String, env: &dyn Fn(&str) -> Option<String>) {
        if let Some(variable) = variable(value) {
            *value = match env(&variable).as_deref() {
                Some("true") => Value::Bool(true),
                Some("false") => Value::Bool(false),
                Some(text) => Value::from(text),
                None => Value::Null,
            };
            let known = if value.is_null() { &mut self.unset } else { &mut self.set };
            known.push((path, variable));
        } else if let Value::Object(fields) = value {
            for (field, value) in fields {
                self.look_up(value, format!("{path}.{field}"), env);
            }
        }
    }

    /// Leaves one problem of each value that could not be looked up: the first one. Of a value that was, a problem names
    /// the variable alone: a secret in the wrong place must not reach the log.
    pub fn explain(&self, problems: &mut Vec<Problem>) {
        let mut reported: Vec<String> = Vec::new();
        problems.retain_mut(|problem| {
            let at = |(path, _): &&(String, String)| *path == problem.path;
            if let Some((_, variable)) = self.set.iter().find(at)
                && let Some((_, expected)) = problem.what.rsplit_once(REFUSED)
            {
                problem.what = format!("the value of the environment variable {variable}{REFUSED}{expected}");
            }
            let again = reported.contains(&problem.path);
            if self.unset.iter().any(|(path, _)| *path == problem.path) {
                reported.push(problem.path.clone());
            }
            !again
        });
    }
}

/// Describes a variable that is not there.
pub fn missing(variable: &str) -> String {
    format!("the VM has no environment variable {variable}: list it in vm_config.environment_variables")
}

/// Tells if `{"env": "NAME"}` may stand at a path, of which `NAME` may be a part as in a recording.
pub fn takes_variable(path: &str) -> bool {
    let inner = ["$.bucket.", "$.origin.", "$.origins.NAME."].iter().any(|settings| path.starts_with(settings));
    (inner || path == "$.location") && !path.split('.').any(|name| APART.contains(&name))
}

/// Makes the JSON Schema of `{"env": "NAME"}`.
pub fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {"env": Text.schema()},
        "required": ["env"],
        "additionalProperties": false,
    })
}

fn variable(value: &Value) -> Option<String> {
    let only = value.as_object().filter(|fields| fields.len() == 1)?;
    only.get("env").and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::config::model::{Location, Overwrite};
    use serde_json::json;

    fn parse(text: &serde_json::Value) -> Result<Config, Vec<String>> {
        let env = |name: &str| match name {
            "BUCKET" => Some("/files"),
            "CLUSTER" => Some("outbound|443||s3.eu-west-1.amazonaws.com"),
            "CONDITION" => Some("false"),
            "HOST" => Some("old.example.com"),
            "URL" => Some("https://files.example.net"),
            "SECRET" => Some("s3cr3t is not allowed; s3cr3t"),
            _ => None,
        };
        Config::parse(text.to_string().as_bytes(), &|name| env(name).map(str::to_owned))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_value_of_the_bucket_and_of_an_origin_may_be_a_variable() {
        let read = |name: &str| json!({"env": name});
        let config = parse(&json!({
            "bucket": {"cluster": read("CLUSTER"), "authority": read("HOST"), "path_prefix": read("BUCKET"),
                       "if_none_match": read("CONDITION")},
            "origins": {"old": {"cluster": read("CLUSTER"), "authority": read("HOST"), "path_prefix": read("BUCKET"),
                                "redirects": {"hosts": {"b.example": read("CLUSTER")}}}},
            "location": read("URL"),
        }))
        .unwrap();
        assert_eq!(config.bucket.upstream.cluster, "outbound|443||s3.eu-west-1.amazonaws.com");
        assert_eq!(
            (config.bucket.upstream.authority.as_str(), config.bucket.path_prefix.as_str()),
            ("old.example.com", "/files")
        );
        assert_eq!(config.bucket.overwrite, Overwrite::HeadFirst);
        assert_eq!(config.location, Some(Location::Base("https://files.example.net".to_owned())));
    }

    #[test]
    fn a_variable_that_is_not_there_is_one_problem_at_its_own_path() {
        let problems = parse(&json!({
            "bucket": {"cluster": "signer", "authority": {"env": "NONE"}},
            "origin": {"cluster": "origin", "authority": "a.example", "path_prefix": {"env": "NONE"}},
        }))
        .unwrap_err();
        let what = "the VM has no environment variable NONE: list it in vm_config.environment_variables";
        assert_eq!(problems, [format!("$.bucket.authority: {what}"), format!("$.origin.path_prefix: {what}")]);
    }

    #[test]
    fn a_variable_s_value_is_judged_as_any_other() {
        let problems = parse(&json!({
            "bucket": {"cluster": "signer", "authority": {"env": "BUCKET"}},
            "origin": {"cluster": "origin", "authority": "a.example", "headers": {"env": "a"}},
        }))
        .unwrap_err();
        let what = "the value of the environment variable BUCKET is not allowed; \
                    expected \"host\" or \"host:port\", without a scheme or path";
        assert_eq!(problems, [format!("$.bucket.authority: {what}")]);
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_in_no_problem() {
        for text in [
            json!({"bucket": {"cluster": "signer", "authority": {"env": "SECRET"}}, "origin": {}}),
            json!({"bucket": {"env": "SECRET"}, "origins": {"a": {"env": "SECRET"}}, "location": {"env": "SECRET"}}),
            json!({"bucket": {}, "origins": {"a": {"headers": {"env": "SECRET"}, "timeout": {"env": "SECRET"}}}}),
        ] {
            let problems = parse(&text).unwrap_err().join("\n");
            assert!(!problems.contains("s3cr3t"), "{problems}");
        }
    }
}
