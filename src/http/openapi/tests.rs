//! That the document is of this side-port, and in itself as it should be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::http::route::{Need, Route};

/// Where everybody has to say who they are.
fn published() -> Published {
    Published::new(Authentication { required: true, ..Authentication::default() })
}

fn json() -> Value {
    serde_json::from_slice(&published().document).unwrap()
}

/// Each operation of the document, with its path and method.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

#[test]
fn every_path_is_described_and_none_that_does_not_exist() {
    let document = json();

    let described: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let profiles = cfg!(feature = "pprof");
    let routes = Route::ALL.iter().filter(|route| profiles || **route != Route::Profile);
    assert_eq!(described, routes.map(|route| route.path()).collect());
}

#[test]
fn what_a_call_needs_is_what_the_table_of_routes_says() {
    let document = json();

    for (path, method, operation) in operations(&document) {
        let expected = match Route::of(path).need(method == "get") {
            Need::Nothing | Need::Public => serde_json::json!([]),
            Need::Read => serde_json::json!([{ "token": ["read"] }]),
            Need::Register => serde_json::json!([{ "token": ["register"] }]),
            Need::Admin | Need::Proof => serde_json::json!([{ "token": ["admin"] }]),
        };
        assert_eq!(operation["security"], expected, "{method} {path}");
    }
}

#[test]
fn where_nobody_has_to_say_who_they_are_a_token_may_be_left_out_but_to_make_others() {
    let published = Published::new(Authentication::default());
    let document: Value = serde_json::from_slice(&published.document).unwrap();

    let paths = &document["paths"];
    let security = |path: &str, method: &str| paths[path][method]["security"].clone();
    assert_eq!(security("/v1/services", "get"), serde_json::json!([{}, { "token": ["read"] }]));
    assert_eq!(security("/v1/batch", "post"), serde_json::json!([{}, { "token": ["register"] }]));
    assert_eq!(security("/v1/tokens", "post"), serde_json::json!([{ "token": ["admin"] }]));
}

#[test]
fn every_reference_leads_somewhere() {
    let document = json();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);

    assert!(references.len() > 40, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.insert(reference.clone());
            }
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[test]
fn no_two_schemas_have_one_name() {
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    for (name, schema) in calls().into_iter().flat_map(|call| call.schemas) {
        let schema = serde_json::to_value(schema).unwrap();
        let before = seen.insert(name.clone(), schema.clone());
        assert!(before.is_none_or(|before| before == schema), "{name}");
    }
}

#[test]
fn names_of_operations_are_unique() {
    let document = json();
    let operations = operations(&document);

    let names: BTreeSet<&str> =
        operations.iter().map(|(_, _, o)| o["operationId"].as_str().unwrap()).collect();

    assert_eq!(names.len(), operations.len());
}

#[test]
fn the_policy_of_the_page_allows_its_own_style_and_nothing_else() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    let hash = ring::digest::digest(&ring::digest::SHA256, page::STYLE.as_bytes());

    let own = format!("style-src 'sha256-{}';", STANDARD.encode(hash));
    assert!(POLICY.starts_with(&format!("default-src 'none'; {own}")), "{own}");
    let page = published().page;
    let page = std::str::from_utf8(&page).unwrap();
    assert!(page.contains(&format!("<style>{}</style>", page::STYLE)));
    for foreign in ["<script", "style=", "src=", "href=\"http", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn the_page_has_every_call_and_every_schema_and_each_link_leads_somewhere() {
    let document = json();
    let page = published().page;
    let page = std::str::from_utf8(&page).unwrap();

    for (_, _, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(page.contains(&format!("<article id=\"{id}\">")), "{id}");
    }
    for target in page.split("href=\"#").skip(1) {
        let target = target.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
    }
}
