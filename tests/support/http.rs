//! A client of the side-port: JSON in and out, and raw bytes for what no client would send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Calls one side-port. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub(crate) struct Http {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    agent: ureq::Agent,
    token: Option<String>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// The media type.
    pub(crate) media_type: String,
    /// The body: JSON, else text.
    pub(crate) body: Value,
}

impl Http {
    /// A client with connections of its own.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self { address, agent: config.into(), token: None }
    }

    /// The same side-port over connections of its own.
    pub(crate) fn apart(&self) -> Self {
        Self::new(self.address)
    }

    /// The same side-port, shown this token with every call.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Makes a call; `None` when no reply came.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Reply> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string()).unwrap())
            }
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut response = response.ok()?;
        let status = response.status().as_u16();
        let media_type = response.headers().get("content-type");
        let media_type = media_type.map_or("", |value| value.to_str().unwrap()).to_owned();
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string().ok()?;
        let body = if media_type.ends_with("json") {
            serde_json::from_str(&text).expect("what is called JSON is JSON")
        } else {
            Value::String(text)
        };
        Some(Reply { status, media_type, body })
    }

    /// A call that must get a reply.
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None).unwrap_or_else(|| panic!("GET {path}: no reply"))
    }

    /// A call that may get none.
    pub(crate) fn try_get(&self, path: &str) -> Option<Reply> {
        self.call("GET", path, None)
    }

    /// A call that must get a reply.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Reply {
        self.call("PUT", path, Some(body)).unwrap_or_else(|| panic!("PUT {path}: no reply"))
    }

    /// A call that must get a reply.
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Reply {
        self.call("PATCH", path, Some(body)).unwrap_or_else(|| panic!("PATCH {path}: no reply"))
    }

    /// A call that must get a reply.
    pub(crate) fn post(&self, path: &str, body: Option<&Value>) -> Reply {
        self.call("POST", path, body).unwrap_or_else(|| panic!("POST {path}: no reply"))
    }

    /// A call that must get a reply.
    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None).unwrap_or_else(|| panic!("DELETE {path}: no reply"))
    }

    /// Registers an instance; it must succeed. The revision.
    pub(crate) fn register(&self, service: &str, id: &str, body: &Value) -> u64 {
        let reply = self.put(&format!("/v1/services/{service}/instances/{id}"), body);
        assert!(reply.status == 200 || reply.status == 201, "register {service}/{id}: {reply:?}");
        reply.body["revision"].as_u64().unwrap()
    }

    /// Sets the settings of a service; it must succeed.
    pub(crate) fn set(&self, service: &str, settings: &Value) {
        let reply = self.put(&format!("/v1/services/{service}"), settings);
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// Registers many instances in one call; it must succeed. Each has its `service`.
    pub(crate) fn batch(&self, instances: &[Value]) {
        for part in instances.chunks(5_000) {
            let reply = self.post("/v1/batch", Some(&serde_json::json!({ "register": part })));
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }

    /// The registry's revision.
    pub(crate) fn revision(&self) -> u64 {
        self.get("/v1/services").body["revision"].as_u64().unwrap()
    }

    /// The sum of a metric over its labels that contain `label`; `None` when it has none.
    pub(crate) fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let metrics = self.get("/metrics").body;
        let values = metrics.as_str().unwrap().lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (own, labels) = series.split_once('{').unwrap_or((series, ""));
            (own == name && labels.contains(label)).then(|| value.parse::<f64>().unwrap())
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// Sends bytes as they are and returns all that comes back; says that no more will come when the
    /// reply has begun: a server may take who says so before for gone.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        // A server may have refused what it read before it was sent all of it.
        drop(stream.write_all(bytes));
        let mut reply = vec![0];
        let begun = stream.read(&mut reply).unwrap_or(0);
        reply.truncate(begun);
        drop(stream.shutdown(std::net::Shutdown::Write));
        drop(stream.read_to_end(&mut reply));
        String::from_utf8_lossy(&reply).into_owned()
    }
}

impl Reply {
    /// The status, and of a problem its kind and the field at fault.
    pub(crate) fn problem(&self) -> (u16, &str, Option<&str>) {
        assert_eq!(self.media_type, "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], self.status, "{self:?}");
        for text in ["title", "detail"] {
            assert!(self.body[text].as_str().is_some_and(|t| !t.is_empty()), "{self:?}");
        }
        let kind = self.body["type"].as_str().unwrap().strip_prefix("urn:signpost:");
        (self.status, kind.unwrap(), self.body["field"].as_str())
    }

    /// Takes the milliseconds at `pointer` out of the body, so that the rest can be compared.
    pub(crate) fn take_ms(&mut self, pointer: &str) -> u64 {
        let found = self.body.pointer_mut(pointer).map(Value::take);
        found.and_then(|value| value.as_u64()).unwrap_or_else(|| panic!("{pointer}: {self:?}"))
    }
}
