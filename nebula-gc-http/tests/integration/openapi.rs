//! Is the committed description that of the running routes, and does it hold together?

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

fn document() -> Value {
    serde_json::to_value(nebula_gc_http::api::openapi()).unwrap()
}

/// `UPDATE_OPENAPI=1 cargo test -p nebula-gc-http openapi` writes the file.
#[test]
fn the_committed_file_is_that_of_the_routes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let current = nebula_gc_http::api::openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    let differs = committed.lines().zip(current.lines()).position(|(a, b)| a != b);
    assert!(committed == current, "openapi.json differs from line {differs:?}: UPDATE_OPENAPI=1");
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut references = vec![];
    walk(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

/// Else clients made from the description have two types for one thing, which don't mix.
#[test]
fn lists_name_their_items() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let pages =
        schemas.iter().filter_map(|(name, schema)| Some((name.strip_prefix("Page_")?, schema)));
    let mut seen = 0;
    for (name, page) in pages {
        let reference = format!("#/components/schemas/{name}");
        assert_eq!(page["properties"]["items"]["items"]["$ref"], reference);
        seen += 1;
    }
    assert!(seen > 5, "{seen}");
}

/// Else clients made from the description call it by its place in the list.
#[test]
fn every_value_of_an_enum_has_a_name() {
    fn walk(value: &Value) {
        if let Some(values) = value.get("enum").and_then(Value::as_array) {
            let names = value.get("x-enum-varnames").and_then(Value::as_array).unwrap_or(values);
            assert_eq!(names.len(), values.len(), "{value}");
            let begins = |name: &Value| {
                name.as_str().unwrap().starts_with(|first: char| first.is_ascii_alphabetic())
            };
            assert!(names.iter().all(begins), "{value}");
        }
        match value {
            Value::Object(map) => map.values().for_each(walk),
            Value::Array(items) => items.iter().for_each(walk),
            _ => {}
        }
    }
    walk(&document());
}

#[test]
fn every_operation_says_what_it_is_and_how_it_refuses() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} stands twice");
            assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{id}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            for (status, response) in responses {
                assert!(response["description"].is_string());
                let is_problem = status.starts_with('4') || status.starts_with('5');
                let content = response["content"]["application/problem+json"].is_object();
                assert_eq!(content, is_problem, "{method} {path} {status}");
            }
            for status in ["401", "403", "500", "503"] {
                assert!(responses.contains_key(status), "{method} {path}: {status}");
            }
        }
    }
}
