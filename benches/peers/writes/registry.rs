//! signpost as a registry: what is sent to its side-port.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};

use crate::clock::now;
use crate::data::{Data, ZONE};
use crate::process::{Plan, Process, free_address, path};
use crate::servers::BINARY;
use crate::writes::caller::Caller;
use crate::writes::work::Work;

/// A running signpost without declared services.
pub(crate) struct Registry {
    pub(crate) process: Process,
    pub(crate) dns: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Registry {
    /// Starts it with this kind of store and waits until it is ready; `more` goes into its
    /// registry.toml.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(store: &str, more: &str) -> io::Result<Self> {
        let (dns, http) = (free_address()?, free_address()?);
        let mut process = Process::start(&[], |folder| {
            let file = folder.join("registry.toml");
            fs::write(
                &file,
                format!(
                    "[server]\nzone = \"{ZONE}\"\n[dns]\nlisten = [\"{dns}\"]\n\
                     [http]\nlisten = [\"{http}\"]\n[store]\nkind = \"{store}\"\n{more}"
                ),
            )?;
            let arguments = vec!["serve".to_owned(), "--config".to_owned(), path(&file)];
            Ok(Plan { program: BINARY.to_owned(), arguments })
        })?;
        wait(&mut process, http)?;
        Ok(Self { process, dns, http })
    }

    /// Registers all of `data`.
    ///
    /// # Errors
    /// When a registration fails.
    pub(crate) async fn fill(&self, data: Data) -> io::Result<()> {
        let mut caller = Caller::http1(self.http).await?;
        for batch in data.batches() {
            caller.call(post("/v1/batch", batch.into())).await?;
        }
        Ok(())
    }

    /// Ends it, starts it again with what it has stored, and tells how long it took to be ready.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn restart(&mut self) -> io::Result<Duration> {
        self.process.restart()?;
        let start = now();
        wait(&mut self.process, self.http)?;
        Ok(start.elapsed())
    }
}

/// Waits until it is ready.
fn wait(process: &mut Process, http: SocketAddr) -> io::Result<()> {
    process.wait(|| ureq::get(format!("http://{http}/readyz")).call().is_ok())
}

/// The fields of an instance that is another one each turn.
pub(crate) fn body(address: Ipv4Addr, turn: u64) -> String {
    let weight = turn % 65_535 + 1;
    format!(r#"{{"addresses":["{address}"],"port":8080,"weight":{weight},"ttl":"1h"}}"#)
}

/// Registers what the heartbeats of `work` are for.
///
/// # Errors
/// When a registration fails.
pub(crate) async fn prepare(server: SocketAddr, work: Work, connections: usize) -> io::Result<()> {
    let count = match work {
        Work::Put | Work::Registration => return Ok(()),
        Work::Heartbeat => connections,
        Work::Bulk => work.size(),
    };
    let mut caller = Caller::http1(server).await?;
    let instances: Vec<String> = (0..count)
        .map(|i| {
            format!(
                r#"{{"service":"h{}","id":"c{i}","addresses":["10.0.0.1"],"ttl":"1h"}}"#,
                i % 1_000
            )
        })
        .collect();
    let batch = format!(r#"{{"register":[{}]}}"#, instances.join(","));
    caller.call(post("/v1/batch", batch.into())).await.map(drop)
}

/// The request of each connection and turn.
pub(crate) fn requests(work: Work) -> impl Fn(usize, u64) -> Request<Full<Bytes>> + Send + Sync {
    let bulk = if work == Work::Bulk { heartbeats(work.size()) } else { Bytes::new() };
    move |connection, turn| match work {
        Work::Put | Work::Registration => registration(connection, turn),
        Work::Heartbeat => {
            let path = format!("/v1/services/h{connection}/instances/c{connection}/heartbeat");
            json(Request::put(path), Bytes::new())
        }
        Work::Bulk => post("/v1/heartbeats", bulk.clone()),
    }
}

/// A new instance in one of 1,000 services, in later rounds a change of it.
pub(crate) fn registration(connection: usize, turn: u64) -> Request<Full<Bytes>> {
    put(&format!("s{}", turn % 1_000), &format!("c{connection}"), body(ADDRESS, turn))
}

/// Registers an instance.
pub(crate) fn put(service: &str, id: &str, body: String) -> Request<Full<Bytes>> {
    json(Request::put(format!("/v1/services/{service}/instances/{id}")), body.into())
}

/// A request with a body of JSON.
pub(crate) fn post(path: &str, body: Bytes) -> Request<Full<Bytes>> {
    json(Request::post(path), body)
}

fn heartbeats(count: usize) -> Bytes {
    let items = (0..count).map(|i| format!(r#"{{"service":"h{}","id":"c{i}"}}"#, i % 1_000));
    format!("[{}]", items.collect::<Vec<_>>().join(",")).into()
}

fn json(request: hyper::http::request::Builder, body: Bytes) -> Request<Full<Bytes>> {
    let request = request.header(HOST, "localhost").header(CONTENT_TYPE, "application/json");
    request.body(Full::new(body)).expect("a legal request")
}

/// Of every instance: which it is makes no difference to what a write costs.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
