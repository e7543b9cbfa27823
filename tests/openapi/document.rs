//! The document as programs read it.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::http::{Http, Reply};
use crate::support::needs;

/// The document, and what was seen that it has to describe.
pub(crate) struct Document {
    pub(crate) json: Value,
    cases: Vec<Value>,
}

impl Document {
    pub(crate) fn of(http: &Http) -> Self {
        let reply = http.get("/openapi.json");
        assert_eq!((reply.status, &*reply.media_type), (200, "application/json"), "{reply:?}");
        Self { json: reply.body, cases: Vec::new() }
    }

    /// Each operation, with its path and method.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.json["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
    }

    /// The operation of that name, with its path and method.
    pub(crate) fn operation(&self, name: &str) -> (&str, &str, &Value) {
        let mut operations = self.operations();
        operations.find(|(_, _, operation)| operation["operationId"] == name).unwrap()
    }

    /// What is said of a reply of `operation` with that status.
    pub(crate) fn response(&self, operation: &Value, status: u16) -> Value {
        let response = &operation["responses"][status.to_string()];
        match response["$ref"].as_str() {
            Some(reference) => self.json.pointer(&reference[1..]).unwrap().clone(),
            None => response.clone(),
        }
    }

    /// Notes a reply, whose status and media type must be described.
    pub(crate) fn saw(&mut self, operation: &Value, reply: &Reply) {
        let what = format!("{} {}", operation["operationId"], reply.status);
        let response = self.response(operation, reply.status);
        assert!(response.is_object(), "{what} is not described: {reply:?}");
        if reply.status == 204 {
            return;
        }
        let media_type = reply.media_type.split(';').next().unwrap();
        let content = &response["content"][media_type];
        assert!(content.is_object(), "{what}: {media_type} is not described");
        if content["schema"].is_object() {
            self.hold(&what, &content["schema"], &reply.body);
        }
    }

    /// Notes a value that must be what `schema` describes.
    pub(crate) fn hold(&mut self, what: &str, schema: &Value, value: &Value) {
        self.cases.push(json!({ "what": what, "schema": schema, "value": value }));
    }

    /// Fails when anything that was noted is not as described.
    pub(crate) fn judge(self) {
        let python = needs::tools().join("bin/python3");
        if !needs::works(&[python.to_str().unwrap(), "-c", "import jsonschema_rs"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, self.json.to_string()).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi/validate.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let cases = Value::Array(self.cases).to_string();
        child.stdin.take().unwrap().write_all(cases.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "not as described:\n{said}");
    }
}
