//! etcd, and its calls by hand: gRPC is a message with its length in an HTTP/2 request.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, TE};

use crate::process::{Plan, Process, free_address, path};
use crate::writes::caller::Caller;
use crate::writes::registry::{ADDRESS, body};

/// Where Debian puts it.
pub(crate) const PROGRAM: &str = "/usr/bin/etcd";

/// A cluster of one, with an empty store.
pub(crate) struct Etcd {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Etcd {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start() -> io::Result<Self> {
        let (address, peers) = (free_address()?, free_address()?);
        let (client_url, peer_url) = (format!("http://{address}"), format!("http://{peers}"));
        let mut process = Process::start(&[], |folder| {
            let options = [
                ("data-dir", path(&folder.join("data"))),
                ("listen-client-urls", client_url.clone()),
                ("advertise-client-urls", client_url),
                ("listen-peer-urls", peer_url.clone()),
                ("initial-advertise-peer-urls", peer_url.clone()),
                ("initial-cluster", format!("default={peer_url}")),
            ];
            let arguments = options.map(|(key, value)| format!("--{key}={value}")).to_vec();
            Ok(Plan { program: PROGRAM.to_owned(), arguments })
        })?;
        process.wait(|| {
            // A server without a leader says "false" here.
            let health = ureq::get(format!("http://{address}/health")).call();
            let body = health.and_then(|mut health| health.body_mut().read_to_string());
            body.is_ok_and(|body| body.contains("\"true\""))
        })?;
        Ok(Self { process, address })
    }
}

/// Leases that outlast the benchmark.
///
/// # Errors
/// When etcd grants none.
pub(crate) async fn grant(server: SocketAddr, count: usize) -> io::Result<Vec<u64>> {
    let mut caller = Caller::http2(server).await?;
    let mut leases = Vec::with_capacity(count);
    for _ in 0..count {
        let mut message = Vec::new();
        number(&mut message, 1, LEASE.as_secs());
        let reply = caller.call(request("/etcdserverpb.Lease/LeaseGrant", &message)).await?;
        let lease = reply.get(5..).and_then(|message| field(message, 2));
        leases.push(lease.ok_or_else(|| io::Error::other("no lease in the reply"))?);
    }
    Ok(leases)
}

/// Puts an instance: the same as a registration writes.
pub(crate) fn put(lease: u64, connection: usize, turn: u64) -> Request<Full<Bytes>> {
    let key = format!("/services/s{}/c{connection}", turn % 1_000);
    let mut message = Vec::with_capacity(128);
    bytes(&mut message, 1, key.as_bytes());
    bytes(&mut message, 2, body(ADDRESS, turn).as_bytes());
    number(&mut message, 3, lease);
    request("/etcdserverpb.KV/Put", &message)
}

fn request(path: &str, message: &[u8]) -> Request<Full<Bytes>> {
    let length = u32::try_from(message.len()).expect("a small message");
    // Not compressed; the length; the message.
    let framed = [&[0][..], &length.to_be_bytes(), message].concat();
    Request::post(format!("http://etcd{path}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::from(framed))
        .expect("a legal request")
}

/// Writes a number as protobuf does: field and type, then seven bits a byte, lowest first.
fn number(message: &mut Vec<u8>, field: u8, value: u64) {
    message.push(field << 3);
    varint(message, value);
}

/// Writes bytes as protobuf does.
fn bytes(message: &mut Vec<u8>, field: u8, value: &[u8]) {
    message.push(field << 3 | 2);
    varint(message, value.len() as u64);
    message.extend(value);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return message.push(low);
        }
        message.push(low | 0x80);
    }
}

/// The number in a field of a message of numbers and bytes.
fn field(mut message: &[u8], wanted: u64) -> Option<u64> {
    while !message.is_empty() {
        let tag = read_varint(&mut message)?;
        let value = read_varint(&mut message)?;
        match tag & 7 {
            0 if tag >> 3 == wanted => return Some(value),
            0 => {}
            2 => message = message.get(usize::try_from(value).ok()?..)?,
            _ => return None,
        }
    }
    None
}

fn read_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

const LEASE: Duration = Duration::from_secs(3_600);
