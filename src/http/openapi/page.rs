//! The document as a page for people: HTML of the same JSON that programs get, without scripts and
//! without anything from elsewhere. Everything that is text is escaped.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use crate::http::openapi::kind;
use crate::http::problem::ProblemKind;

/// The page of `document`.
pub(super) fn render(document: &Value) -> String {
    let tags = tags(document);
    let info = &document["info"];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "signpost: calls of the side-port" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (text(&info["title"])) " " small { (text(&info["version"])) } }
                    p { (prose(text(&info["description"]))) }
                    p {
                        "For programs: " a href="/openapi.json" { "/openapi.json" } ". Where "
                        code { "auth.required" } " is set, the calls below need a token with the "
                        "scope that stands beside them: " code { "Authorization: Bearer TOKEN" } "."
                    }
                }
                nav { (contents(&tags)) }
                main {
                    @for (tag, calls) in &tags {
                        section {
                            h2 id=(anchor(tag)) { (tag) }
                            @for call in calls { (described(call)) }
                        }
                    }
                    (problems())
                    (schemas(document))
                }
            }
        }
    };
    page.into_string()
}

/// A call: its path, its method, and what the document says of it.
struct Call<'d> {
    path: &'d str,
    method: &'d str,
    operation: &'d Value,
}

/// The headings of the document, and the calls under each by path.
fn tags(document: &Value) -> Vec<(&str, Vec<Call<'_>>)> {
    let calls_of = |tag: &str| {
        let calls = fields(&document["paths"]).flat_map(|(path, methods)| {
            fields(methods).map(move |(method, operation)| Call { path, method, operation })
        });
        calls.filter(|call| text(&call.operation["tags"][0]) == tag).collect()
    };
    let tags = items(&document["tags"]).iter().map(|tag| text(&tag["name"]));
    tags.map(|tag| (tag, calls_of(tag))).collect()
}

fn contents(tags: &[(&str, Vec<Call<'_>>)]) -> Markup {
    html! {
        h2 { "Contents" }
        @for (tag, calls) in tags {
            h3 { a href={ "#" (anchor(tag)) } { (tag) } }
            ul {
                @for call in calls {
                    li { a href={ "#" (text(&call.operation["operationId"])) } {
                        (text(&call.operation["summary"]))
                    } }
                }
            }
        }
        h3 { a href="#problems" { "Problems" } }
        h3 { a href="#schemas" { "Schemas" } }
    }
}

fn described(call: &Call<'_>) -> Markup {
    let operation = call.operation;
    let parameters = items(&operation["parameters"]);
    html! {
        article id=(text(&operation["operationId"])) {
            h3 { (text(&operation["summary"])) }
            p.call {
                b class={ "method " (call.method) } { (call.method.to_uppercase()) } " "
                code { (call.path) } " " (scope(operation))
            }
            p { (prose(text(&operation["description"]))) }
            @if !parameters.is_empty() {
                div.wide { table {
                    tr { th { "Parameter" } th { "in" } th { "is" } th { } }
                    @for parameter in parameters {
                        tr {
                            td { code { (text(&parameter["name"])) } @if parameter["required"] == true { "*" } }
                            td { (text(&parameter["in"])) }
                            td { (kind::of(&parameter["schema"])) }
                            td { (prose(text(&parameter["description"]))) }
                        }
                    }
                } }
            }
            @for (media_type, content) in fields(&operation["requestBody"]["content"]).take(1) {
                p { "Body: " (kind::of(&content["schema"])) ", " code { (media_type) }
                    @if operation["requestBody"]["required"] != true { ", optional" } }
            }
            pre { (curl(call)) }
            (replies(operation))
        }
    }
}

fn scope(operation: &Value) -> Markup {
    let scope = items(&operation["security"]).last().map_or("", |last| text(&last["token"][0]));
    html! {
        @if scope.is_empty() { span.scope { "no token" } } @else { span.scope { "scope " (scope) } }
    }
}

fn replies(operation: &Value) -> Markup {
    let (good, refused): (Vec<_>, Vec<_>) =
        fields(&operation["responses"]).partition(|(status, _)| status.starts_with('2'));
    let statuses: Vec<&str> = refused.iter().map(|(status, _)| *status).collect();
    html! {
        @for (status, response) in good {
            p { b { (status) } " " (prose(text(&response["description"])))
                @for (media_type, content) in fields(&response["content"]) {
                    " " @if media_type == "application/json" { (kind::of(&content["schema"])) }
                    @else { code { (media_type) } }
                }
            }
            @for (_, content) in fields(&response["content"]).take(1) {
                details { summary { "Example" } pre { (pretty(&content["example"])) } }
            }
        }
        details {
            summary { "Refused with " (statuses.join(", ")) }
            @for (status, response) in refused {
                @if response["$ref"].is_null() {
                    p { b { (status) } " " (prose(text(&response["description"]))) }
                }
            }
            p { "And what " a href="#problems" { "any call" } " may be refused with." }
        }
    }
}

/// The example of a call, as a command.
fn curl(call: &Call<'_>) -> String {
    let (mut path, mut query) = (call.path.to_owned(), String::new());
    for parameter in items(&call.operation["parameters"]) {
        let (name, value) = (text(&parameter["name"]), text(&parameter["example"]));
        match text(&parameter["in"]) {
            "path" => path = path.replace(&format!("{{{name}}}"), value),
            "query" => {
                query.push(if query.is_empty() { '?' } else { '&' });
                query.push_str(&format!("{name}={value}"));
            }
            _ => {}
        }
    }
    let method = match call.method {
        "get" => String::new(),
        method => format!("-X {} ", method.to_uppercase()),
    };
    let endless = if text(&call.operation["operationId"]) == "watch" { "-N " } else { "" };
    let token = match items(&call.operation["security"]).is_empty() {
        true => "",
        false => " \\\n  -H \"Authorization: Bearer $SIGNPOST_TOKEN\"",
    };
    let body = fields(&call.operation["requestBody"]["content"]).next();
    let body = body.map(|(_, content)| format!(" \\\n  --json '{}'", pretty(&content["example"])));
    format!("curl {endless}{method}'{SERVER}{path}{query}'{token}{}", body.unwrap_or_default())
}

fn problems() -> Markup {
    html! {
        section {
            h2 id="problems" { "Problems" }
            p { "Errors are " code { "application/problem+json" } " (RFC 9457): "
                (kind::link("Problem")) ". " code { "type" } " is one of these." }
            div.wide { table {
                tr { th { "type" } th { "status" } th { "title" } }
                @for kind in ProblemKind::ALL {
                    tr { td { code { (kind.urn()) } } td { (kind.status().as_u16()) }
                         td { (kind.title()) } }
                }
            } }
        }
    }
}

fn schemas(document: &Value) -> Markup {
    html! {
        section {
            h2 id="schemas" { "Schemas" }
            @for (name, schema) in fields(&document["components"]["schemas"]) {
                article id={ "schema-" (name) } {
                    h3 { (name) }
                    p { (prose(text(&schema["description"]))) }
                    @if fields(&schema["properties"]).next().is_none() { p { (kind::of(schema)) } }
                    @else { (properties(schema)) }
                }
            }
        }
    }
}

fn properties(schema: &Value) -> Markup {
    let required: Vec<&str> = items(&schema["required"]).iter().map(text).collect();
    html! {
        div.wide { table {
            @for (name, property) in fields(&schema["properties"]) {
                tr {
                    td { code { (name) } @if required.contains(&name) { "*" } }
                    td { (kind::of(property)) }
                    td { (prose(kind::description(property))) }
                }
            }
        } }
    }
}

/// Text in which what stands between backticks is code.
fn prose(text: &str) -> Markup {
    html! {
        @for (i, part) in text.split('`').enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn pretty(example: &Value) -> String {
    match example {
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    }
}

fn anchor(tag: &str) -> String {
    tag.to_lowercase().replace(' ', "-")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// Where examples call.
const SERVER: &str = "http://127.0.0.1:8054";
/// The only style there is; the policy of the page names it by its hash.
pub(super) const STYLE: &str = include_str!("page.css");
