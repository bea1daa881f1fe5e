//! The configuration's fields as a table in Markdown, for the documentation.

use super::fields::{Field, Shape, fields};
use super::reference::{Default, ENTRIES};

/// Writes two lines of heading, then one line for each field that takes a value.
pub fn table() -> String {
    let fields = fields();
    let rows = ENTRIES.iter().filter_map(|entry| {
        let field = fields.iter().find(|field| field.path == entry.path)?;
        let default = match entry.default {
            Default::Json(json) => format!("`{json}`"),
            Default::Needed => "required".to_owned(),
            Default::Words(words) => words.to_owned(),
        };
        let name = entry.path.strip_prefix("$.").unwrap_or(entry.path);
        let allowed = code(&allowed(field, &fields));
        Some(format!("| `{name}` | {allowed} | {default} | {} |\n", entry.text))
    });
    let heading = "| field | allowed | default | |\n| --- | --- | --- | --- |\n";
    std::iter::once(heading.to_owned()).chain(rows).collect()
}

fn allowed(field: &Field, fields: &[Field]) -> String {
    let element = format!("{}[]", field.path);
    match &field.shape {
        Shape::Entries { .. } => "an object".to_owned(),
        Shape::List => match fields.iter().find(|field| field.path == element).map(|field| &field.shape) {
            Some(Shape::Value { allowed, .. }) => format!("a list; each {}", allowed.trim_end_matches([':', ' '])),
            _ => "a list of objects".to_owned(),
        },
        Shape::Object => "an object".to_owned(),
        Shape::Value { allowed, .. } => allowed.clone(),
    }
}

/// Marks the values among the words as code.
fn code(allowed: &str) -> String {
    if let Some((before, json)) = allowed.split_once('{') {
        return match json.split_once('}') {
            Some((json, after)) => format!("{before}`{{{json}}}`{after}"),
            None => allowed.to_owned(),
        };
    }
    let pieces = allowed.split('"').enumerate();
    pieces.map(|(number, piece)| if number % 2 == 1 { format!("`{piece}`") } else { piece.to_owned() }).collect()
}
