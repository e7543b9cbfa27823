//! What attackers send to the side-port, by raw sockets to the real server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as the tests do")]

mod guarded;
mod http2;
mod limits;
mod load;
mod logs;
mod names;
mod raw;
mod slow;
mod smuggling;
#[cfg(test)]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;
mod watchers;

const WEB: &str =
    "[[services.web.instances]]\nid = \"web-1\"\naddresses = [\"10.0.0.1\"]\nport = 80\n";

/// Resident memory, in KiB.
fn resident(server: &support::server::Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
