//! A side-port over a registry whose store is a switch, and a client that hides nothing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use signpost::http::{
    Access, App, BadQuestion, Hooks, Hosts, Listener, Metrics, ProfileError, ProfileRequest,
    ReloadError, ReloadReply, ResolveRequest, bind, serve,
};
use signpost::model::{
    CommitError, Declared, DeclaredService, HealthPolicy, Image, Instance, Limits, Revision,
    ServiceName, Share,
};
use signpost::registry::{Names, PersistRequest, Policy, Registry};
use signpost::resolve::Resolution;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

/// What a test may turn before the server starts.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) declared: Declared,
}

impl Setup {
    /// Declares a service with static instances, each given as JSON.
    pub(crate) fn declare(mut self, service: &str, instances: &[Value]) -> Self {
        let instances: Vec<Instance> =
            instances.iter().map(|i| serde_json::from_value(i.clone()).unwrap()).collect();
        let declared = DeclaredService { instances, ..DeclaredService::default() };
        self.declared.services.insert(ServiceName::new(service).unwrap(), declared);
        self
    }
}

/// A running side-port. Stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) limits: Arc<ArcSwap<Limits>>,
    /// What the store says to the next commits; `None`: that all is well.
    pub(crate) store: Arc<Mutex<Option<CommitError>>>,
    pub(crate) ready: Arc<AtomicBool>,
    /// What the next reload says.
    pub(crate) reload: Arc<Mutex<Result<ReloadReply, ReloadError>>>,
    stop: watch::Sender<bool>,
    ended: Option<std::sync::mpsc::Receiver<()>>,
    // Last, so that everything else has ended before.
    runtime: Option<Runtime>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let limits = Arc::new(ArcSwap::from_pointee(setup.limits.clone()));
        let policy = Policy {
            declared: Arc::new(setup.declared),
            limits: setup.limits,
            forget_after: Duration::from_secs(600),
            reverse: Vec::new(),
            health: HealthPolicy::default(),
            protect: Share::default(),
        };
        let (persist, requests) = mpsc::channel(1);
        let store = Arc::new(Mutex::new(None));
        runtime.spawn(persist_all(requests, Arc::clone(&store)));
        let names = Names { zone_length: "service.local".len(), server: "ns1".into() };
        let image = Image { revision: Revision(100), ..Image::default() };
        let (registry, engine) = Registry::new(image, policy, names, persist);
        let engine_runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let engine_runtime = engine_runtime.unwrap();
        std::thread::spawn(move || engine_runtime.block_on(engine.run()));

        let ready = Arc::new(AtomicBool::new(true));
        let unchanged = ReloadReply {
            revision: Revision(1),
            changed: false,
            needs_restart: vec!["dns.listen".into()],
        };
        let reload = Arc::new(Mutex::new(Ok(unchanged)));
        let (is_ready, reloads) = (Arc::clone(&ready), Arc::clone(&reload));
        let metrics = Arc::new(Metrics::new());
        let mut shown = prometheus_client::registry::Registry::default();
        metrics.register(&mut shown);
        let hooks = Hooks {
            resolve: Box::new(resolve),
            reload: Box::new(move |_author| {
                let result = reloads.lock().unwrap().clone();
                Box::pin(async move { result })
            }),
            metrics: Box::new(move || {
                let mut text = String::new();
                prometheus_client::encoding::text::encode(&mut text, &shown).unwrap();
                text
            }),
            hidden: Box::new(|service, id| {
                (service.as_str() == "hidden").then(|| format!("{id}.{service} is hidden"))
            }),
            ready: Box::new(move || is_ready.load(Ordering::Relaxed)),
            profiler: Some(Box::new(|request| Box::pin(async move { profile(request) }))),
            zone: "service.local".to_owned(),
        };
        let (stop, stopped) = watch::channel(false);
        let access = Access { hosts: hosts(), ..Access::default() };
        let limited = Arc::clone(&limits);
        let app = App::new(registry, limited, access.into(), hooks, metrics, stopped);
        let listener = {
            let _in_runtime = runtime.enter();
            bind("127.0.0.1:0".parse().unwrap()).unwrap()
        };
        let address = listener.local_addr().unwrap();
        let (end, ended) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            serve(Listener::Plain(listener), app).await;
            // The test may have ended without waiting.
            end.send(()).ok();
        });
        let (ended, runtime) = (Some(ended), Some(runtime));
        Self { address, limits, store, ready, reload, stop, ended, runtime }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    /// One request on a connection of its own.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Reply {
        self.connect().call(method, path, body)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call("GET", path, "")
    }

    /// Registers an instance and returns the reply's JSON.
    pub(crate) fn register(&self, service: &str, id: &str, body: &str) -> Value {
        let path = format!("/v1/services/{service}/instances/{id}");
        let reply = self.call("PUT", &path, body);
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        reply.json()
    }

    /// Tells the server to go down, and returns when it has.
    pub(crate) fn stop(&mut self) {
        self.begin_stop();
        self.ended.take().unwrap().recv_timeout(PATIENCE).unwrap();
    }

    pub(crate) fn begin_stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// The name by which requests here call the server.
fn hosts() -> ArcSwap<Hosts> {
    ArcSwap::from_pointee(Hosts::new(&[], vec!["x".to_owned()]))
}

async fn persist_all(
    mut requests: mpsc::Receiver<PersistRequest>,
    store: Arc<Mutex<Option<CommitError>>>,
) {
    while let Some(PersistRequest { done, .. }) = requests.recv().await {
        let failure = store.lock().unwrap().clone();
        done.send(failure.map_or(Ok(()), Err)).ok();
    }
}

/// Tells what was asked for in place of a profile; at 1 Hz somebody else takes one.
fn profile(request: ProfileRequest) -> Result<Vec<u8>, ProfileError> {
    if request.hz == 1 { Err(ProfileError::Busy) } else { Ok(format!("{request:?}").into()) }
}

fn resolve(request: ResolveRequest) -> Result<Resolution, BadQuestion> {
    if request.qtype == "NONSENSE" {
        return Err(BadQuestion { field: "type", reason: "no such type".into() });
    }
    let echo = format!("{} {} {:?}", request.name, request.qtype, request.client);
    Ok(Resolution { rcode: echo, aa: true, ttl: 5, ..Resolution::default() })
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &str) -> Reply {
        self.send(method, path, body);
        self.reply(method == "HEAD")
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n");
        if !body.is_empty() {
            let length = body.len();
            head += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        }
        self.write(&format!("{head}\r\n{body}"));
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The status and headers of a reply.
    pub(crate) fn head(&mut self) -> (u16, BTreeMap<String, String>) {
        let status = self.line();
        let status = status.split(' ').nth(1).unwrap_or_else(|| panic!("{status:?}"));
        let status = status.parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            let twin = headers.insert(name.to_ascii_lowercase(), value.to_owned());
            assert_eq!(twin, None, "{name} is there twice");
        }
        (status, headers)
    }

    pub(crate) fn reply(&mut self, head_only: bool) -> Reply {
        let (status, headers) = self.head();
        let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; if head_only { 0 } else { length }];
        self.stream.read_exact(&mut body).unwrap();
        Reply { status, headers, body: String::from_utf8(body).unwrap() }
    }

    /// The next chunk of a chunked body; empty at its end.
    pub(crate) fn chunk(&mut self) -> String {
        let length = usize::from_str_radix(&self.line(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        self.stream.read_exact(&mut chunk).unwrap();
        chunk.truncate(length);
        String::from_utf8(chunk).unwrap()
    }

    /// Whether the server has closed the connection, and everything was read.
    pub(crate) fn closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Status, type without its prefix, and field of a problem.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String, Option<String>) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status, "{self:?}");
        assert!(json["title"].is_string() && json["detail"].is_string(), "{self:?}");
        let name = json["type"].as_str().unwrap().strip_prefix("urn:signpost:").unwrap();
        (self.status, name.to_owned(), json["field"].as_str().map(str::to_owned))
    }

    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, name: &str, field: Option<&str>) {
        let expected = (status, name.to_owned(), field.map(str::to_owned));
        assert_eq!(self.problem(), expected, "{self:?}");
    }
}

/// A minimal registration.
pub(crate) const PLAIN: &str = r#"{"addresses":["10.0.0.1"],"port":8080}"#;
pub(crate) const WEB_1: &str = "/v1/services/web/instances/web-1";
/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
