//! Settings from the VM's environment: `{"env": "NAME"}` in the place of `location`, or of a value of `bucket` or of an
//! origin.
//!
//! Where the objects of a platform describe one site, each of them has a field for a variable. None of them can write
//! into the JSON of another one.

use super::reader::{Kind, Problem, Problems};
use super::values::Text;
use serde_json::{Value, json};

/// Objects whose values are read elsewhere: a header's value may be a secret, which no problem shows.
const APART: [&str; 2] = ["headers", "parameters"];

/// The values that could not be looked up, by their paths.
pub struct Unset(Vec<String>);

/// Puts the environment's values into `bucket`, `origin`, `origins` and `location`.
pub fn resolve(root: &mut Value, env: &dyn Fn(&str) -> Option<String>, problems: &Problems) -> Unset {
    let mut unset = Vec::new();
    if let Some(value) = root.get_mut("location") {
        look_up(value, "$.location".to_owned(), env, &mut unset);
    }
    for name in ["bucket", "origin", "origins"] {
        if let Some(Value::Object(fields)) = root.get_mut(name) {
            for (field, value) in fields {
                look_up(value, format!("$.{name}.{field}"), env, &mut unset);
            }
        }
    }
    for (path, variable) in &unset {
        problems.add(path, missing(variable));
    }
    Unset(unset.into_iter().map(|(path, _)| path).collect())
}

impl Unset {
    /// Leaves one problem of each value that could not be looked up: the first one.
    pub fn once(&self, problems: &mut Vec<Problem>) {
        let mut reported: Vec<String> = Vec::new();
        problems.retain(|problem| {
            let again = reported.contains(&problem.path);
            if self.0.contains(&problem.path) {
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

fn look_up(value: &mut Value, path: String, env: &dyn Fn(&str) -> Option<String>, unset: &mut Vec<(String, String)>) {
    if is_apart(&path) {
        return;
    }
    if let Some(variable) = variable(value) {
        *value = match env(&variable).as_deref() {
            Some("true") => Value::Bool(true),
            Some("false") => Value::Bool(false),
            Some(text) => Value::from(text),
            None => {
                unset.push((path, variable));
                Value::Null
            }
        };
    } else if let Value::Object(fields) = value {
        for (field, value) in fields {
            look_up(value, format!("{path}.{field}"), env, unset);
        }
    }
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

/// Tells if the object at a path has values that are read elsewhere. An origin may have its name.
fn is_apart(path: &str) -> bool {
    let mut names = path.split('.').skip(1);
    let of_origin = if names.next() == Some("origins") { names.nth(1) } else { names.next() };
    of_origin.is_some_and(|name| APART.contains(&name))
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
        assert_eq!(config.bucket.cluster, "outbound|443||s3.eu-west-1.amazonaws.com");
        assert_eq!(
            (config.bucket.authority.as_str(), config.bucket.path_prefix.as_str()),
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
        let what = "\"/files\" is not allowed; expected \"host\" or \"host:port\", without a scheme or path";
        assert_eq!(problems, [format!("$.bucket.authority: {what}")]);
    }
}
