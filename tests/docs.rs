//! The generated parts of the documentation: the JSON Schema and the table of fields, both from the parser itself.
//!
//! `make docs` runs this with `WRITE_DOCS=1`, which writes the parts instead of comparing them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected has failed"
)]

#[path = "gallery/page.rs"]
mod page;
#[path = "gallery/rows.rs"]
mod rows;

use mirror_on_miss::config::Config;
use mirror_on_miss::config::describe::fields::{Shape, fields};
use mirror_on_miss::config::describe::reference::{Default, ENTRIES, entry};
use mirror_on_miss::config::describe::schema::schema;
use mirror_on_miss::config::describe::table::table;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- What follows is written by `make docs`. -->\n";
const END: &str = "<!-- Here it ends. -->\n";

#[test]
fn the_shipped_schema_is_that_of_the_parser() {
    is_up_to_date("docs/configuration.schema.json", |_| format!("{:#}\n", schema()));
}

#[test]
fn the_documented_fields_are_those_of_the_parser() {
    is_up_to_date("docs/configuration.md", |text| between_marks(text, &table()));
}

#[test]
fn the_documented_origins_are_those_of_the_gallery() {
    is_up_to_date("docs/origins.md", |text| between_marks(text, &page::tables()));
}

#[test]
fn every_example_is_a_configuration() {
    for (file, examples) in [("README.md", 1), ("docs/configuration.md", 8)] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let blocks = text.split("```json\n").skip(1).map(|rest| rest.split_once("```").expect("the end of a block").0);
        for block in blocks.clone() {
            let parsed = Config::parse(block.as_bytes(), &|_| Some("secret".to_owned()));
            assert!(parsed.is_ok(), "{file}: {block}\n{parsed:?}");
        }
        assert_eq!(blocks.count(), examples, "{file}");
    }
}

#[test]
fn every_field_is_described_and_nothing_else_is() {
    let fields = fields();
    for field in &fields {
        let described = field.path == "$" || field.path.ends_with("[]") || entry(&field.path).is_some();
        assert!(described, "{} is not in src/config/describe/reference.rs", field.path);
        let needed = entry(&field.path).is_some_and(|entry| entry.default == Default::Needed);
        assert_eq!(field.required, needed, "{}", field.path);
    }
    for entry in ENTRIES {
        assert!(fields.iter().any(|field| field.path == entry.path), "{} is no field", entry.path);
    }
}

#[test]
fn one_origin_has_the_fields_of_each_of_several() {
    let fields_of = |parent: &str| -> Vec<(String, Shape)> {
        let own = |path: &str| path.strip_prefix(parent).filter(|rest| rest.starts_with('.')).map(str::to_owned);
        fields().into_iter().filter_map(|field| Some((own(&field.path)?, field.shape))).collect()
    };
    assert_eq!(fields_of("$.origin"), fields_of("$.origins.NAME"));
}

#[test]
fn every_default_is_what_the_field_is_without_being_said() {
    let mut checked = 0;
    for entry in ENTRIES {
        let Default::Json(default) = entry.default else { continue };
        let (without, with) = (configured(entry.path, None), configured(entry.path, Some(default)));
        assert_ne!(without, with, "{}", entry.path);
        let (without, with) = (parsed(&without), parsed(&with));
        assert_eq!(without, with, "{}", entry.path);
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

/// Makes a configuration with everything around the field, and the field with this value, or without it.
fn configured(path: &str, value: Option<&str>) -> Value {
    let mut config = json!({
        "bucket": {"cluster": "signer", "authority": "s3.test"},
        "origins": {"NAME": {"cluster": "origin", "authority": "files.test"}},
        "rules": [{}],
    });
    let mut place = &mut config;
    let mut names = path.strip_prefix("$.").unwrap().split('.').peekable();
    while let Some(name) = names.next() {
        if names.peek().is_some() {
            let (name, is_list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
            place = place.as_object_mut().unwrap().entry(name).or_insert_with(|| json!({}));
            if is_list {
                place = &mut place[0];
            }
            continue;
        }
        let fields = place.as_object_mut().unwrap();
        fields.remove(name);
        if let Some(value) = value {
            fields.insert(name.to_owned(), serde_json::from_str(value).expect("a default in JSON"));
        }
    }
    config
}

fn parsed(config: &Value) -> Config {
    Config::parse(config.to_string().as_bytes(), &|_| None).unwrap_or_else(|problems| panic!("{config}: {problems:?}"))
}

/// Puts what is generated between the two marks of a page.
fn between_marks(page: &str, generated: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the line before what is generated");
    let (_, after) = rest.split_once(END).expect("the line behind it");
    format!("{before}{BEGIN}\n{generated}\n{END}{after}")
}

fn is_up_to_date(file: &str, written: impl FnOnce(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let expected = written(&text);
    if std::env::var_os("WRITE_DOCS").is_some() {
        fs::write(&path, expected).expect("a file that can be written");
    } else {
        assert!(text == expected, "{file} is not up to date: run make docs");
    }
}
