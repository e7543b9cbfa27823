//! `dig`, as a user calls it.

use std::net::SocketAddr;
use std::process::Command;

/// Runs `dig @server` with `line`; what it prints without comments and empty lines, with single
/// spaces.
pub(crate) fn dig(server: SocketAddr, line: &str) -> Vec<String> {
    let text = run(server, line);
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Runs `dig @server` with `line`; the lines that begin with `;;` and contain `part`.
pub(crate) fn dig_comments(server: SocketAddr, line: &str, part: &str) -> Vec<String> {
    let text = run(server, line);
    text.lines()
        .filter(|line| line.starts_with(';') && line.contains(part))
        .map(str::to_owned)
        .collect()
}

fn run(server: SocketAddr, line: &str) -> String {
    let output = Command::new("dig")
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string()])
        .args(line.split_whitespace())
        .output()
        .expect("dig (Debian: bind9-dnsutils) can be started");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "dig {line}: {text}");
    text
}
