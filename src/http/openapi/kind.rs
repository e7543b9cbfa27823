//! What a schema of the document allows, in a line for people.

use maud::{Markup, html};
use serde_json::Value;

/// What `schema` allows.
pub(super) fn of(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"].as_str() {
        return link(name.rsplit('/').next().unwrap_or(name));
    }
    for (keyword, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        if let Some(parts) = schema[keyword].as_array() {
            return html! {
                @for (i, part) in parts.iter().enumerate() { @if i > 0 { (between) } (of(part)) }
            };
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        return html! {
            @for (i, value) in values.iter().enumerate() {
                @if i > 0 { " | " } code { (value.as_str().unwrap_or_default()) }
            }
        };
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    html! {
        @for (i, name) in types.iter().enumerate() {
            @if i > 0 { " or " }
            @match *name {
                "array" => { "list of " (of(&schema["items"])) }
                "object" if schema["additionalProperties"].is_object() => {
                    "object of " (of(&schema["additionalProperties"]))
                }
                other => (other)
            }
        }
        (limits(schema))
    }
}

/// What is said of a property, also where it may be null.
pub(super) fn description(property: &Value) -> &str {
    let own = property["description"].as_str();
    own.or_else(|| property["oneOf"][0]["description"].as_str()).unwrap_or_default()
}

/// A link to the schema of that name.
pub(super) fn link(name: &str) -> Markup {
    html! { a href={ "#schema-" (name) } { (name) } }
}

fn limits(schema: &Value) -> Markup {
    let range = |low: &str, high: &str, unit: &str| {
        let text = match (&schema[low], &schema[high]) {
            (Value::Null, Value::Null) => return None,
            (low, Value::Null) => format!("{low} or more{unit}"),
            (Value::Null, high) => format!("at most {high}{unit}"),
            (low, high) => format!("{low}-{high}{unit}"),
        };
        Some(text)
    };
    let limits = [
        range("minimum", "maximum", ""),
        range("minLength", "maxLength", " characters"),
        range("minItems", "maxItems", " entries"),
        range("minProperties", "maxProperties", " entries"),
        schema["format"].as_str().filter(|format| !format.contains("int")).map(str::to_owned),
    ];
    html! {
        @for limit in limits.into_iter().flatten() { ", " (limit) }
        @if let Some(pattern) = schema["pattern"].as_str() { " " code.pattern { (pattern) } }
    }
}
