//! The gallery of origins as tables in Markdown.

use crate::rows::{groups, origins, rows, text};
use serde_json::{Map, Value};

/// Writes a heading, a sentence and a table for each group.
pub fn tables() -> String {
    let group = |group: Value| {
        let rows: String = rows(&group).iter().map(row).collect();
        let head =
            "| origin | what it does | setting | client | stored | requests |\n| --- | --- | --- | --- | --- | --- |\n";
        format!("## {}\n\n{}\n\n{head}{rows}", text(&group["group"]), text(&group["text"]))
    };
    groups().into_iter().map(group).collect::<Vec<_>>().join("\n")
}

fn row(row: &Value) -> String {
    let name = text(&row["name"]);
    let name = row["source"].as_str().map(|source| format!("[{name}]({source})")).unwrap_or(name);
    let stored = match &row["stored"] {
        Value::Bool(true) => "yes",
        Value::Bool(false) => "no",
        _ => "the new version",
    };
    let client = format!("{} `{}`", row["client"]["status"], text(&row["client"]["outcome"]));
    let asked = row["asked"].as_u64().map(|asked| asked.to_string()).unwrap_or_default();
    format!("| {name} | {} | {} | {client} | {stored} | {asked} |\n", text(&row["does"]), settings(row))
}

/// Lists the settings of the row's origins and of its rule, as they stand in a configuration.
fn settings(row: &Value) -> String {
    let own = |settings: &Value| settings.as_object().cloned().unwrap_or_default();
    let origins: Vec<_> = origins(row).iter().map(own).collect();
    let shown = |settings: Map<String, Value>| {
        // A cluster is Envoy's.
        let settings = settings.into_iter().filter(|(name, _)| name != "cluster");
        settings.map(|(name, value)| format!("`{}`", spaced(&name, &value))).collect::<Vec<_>>()
    };
    let several = origins.len() > 1;
    let mut all: Vec<_> = origins.into_iter().flat_map(shown).chain(shown(own(&row["rule"]))).collect();
    if several {
        all.insert(0, "two origins".to_owned());
    }
    all.join(", ")
}

/// Writes a field with spaces, as people do.
fn spaced(name: &str, value: &Value) -> String {
    format!("{name}: {}", value.to_string().replace("\":", "\": ").replace(",\"", ", \"").replace(",{", ", {"))
}
