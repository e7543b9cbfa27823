//! What an instance takes of the memory, so that no change makes it more unseen. `benches/scale.rs`
//! measures a million; this holds a smaller number to a bound with room to spare.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use serde_json::{Value, json};
use support::server::Server;

const INSTANCES: u64 = 50_000;

/// Bytes of memory that the server has in use.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

fn instance(number: u64) -> Value {
    let (service, id) = (format!("service-{}", number / 10), format!("instance-{}", number % 10));
    let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap());
    json!({ "service": service, "id": id, "addresses": [address], "port": 8080, "ttl": "24h" })
}

#[test]
fn an_instance_takes_no_more_memory_than_it_may() {
    let mut server = Server::start("");
    let empty = resident(&server);
    let instances: Vec<Value> = (0..INSTANCES).map(instance).collect();
    instances.chunks(10_000).for_each(|chunk| server.http.batch(chunk));

    // As a start leaves it: what a burst of writes took for a while is no figure.
    server.restart();

    let each = (resident(&server) - empty).saturating_sub(STORE_CACHE) / INSTANCES;
    assert!(each < MOST, "{each} bytes an instance");
}

/// What the store may keep of its file, however many instances there are.
const STORE_CACHE: u64 = 16 * 1_024 * 1_024;

/// Bytes an instance. It took 766 when this was written.
const MOST: u64 = 720;
