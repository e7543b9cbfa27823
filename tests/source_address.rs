//! A reply leaves from the address that the query was sent to, also where the server listens on
//! all addresses at once.
//!
//! Clients connect their sockets, so that the system drops what comes from anywhere else.

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::net::UdpSocket;
use std::process::Command;

use support::dns::{Dns, Query};
use support::needs;
use support::server::Server;

const WEB: &str = "[server]\naddresses = [\"10.0.0.2\"]\n\
    [[services.web.instances]]\nid = \"web-1\"\naddresses = [\"10.0.0.1\"]\nport = 80\n";

#[test]
fn a_wildcard_socket_answers_from_the_address_that_was_asked() {
    let server = Server::builder(WEB).dns("0.0.0.0:0").start();
    let printed = server.printed();
    let port = printed.split_once("0.0.0.0:").unwrap().1.split(' ').next().unwrap();
    let port: u16 = port.parse().unwrap();
    let query = Query::new("web.service.local", "A");

    for last in [1, 2, 77] {
        let dns = Dns { address: ([127, 0, 0, last], port).into() };
        // By routes, a reply to a client at 127.0.0.1 leaves from 127.0.0.1.
        let packet = query.packet(u16::from(last));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(support::SOON)).unwrap();
        client.connect(dns.address).unwrap();
        for _ in 0..3 {
            client.send(&packet).unwrap();
            let mut reply = [0; 512];
            let length = client.recv(&mut reply).expect("a reply comes from where it was asked");
            assert_eq!(reply[..2], packet[..2]);
            assert!(length > packet.len());
        }
        assert_eq!(dns.query(&query).only(), "10.0.0.1");
        assert_eq!(dns.tcp(&query).only(), "10.0.0.1");
    }
    assert_eq!(server.http.metric("signpost_dns_dropped_total", ""), Some(0.0));
}

#[test]
fn the_second_address_of_an_interface_answers_for_itself() {
    let Some(network) = needs::networks() else { return };
    if !needs::works(needs::DIG) {
        return;
    }
    let asked = "10.9.0.1 10.9.0.2 fd09::1 fd09::2 fe80::9%here 127.0.0.1 127.0.0.2 ::1";
    let script = format!(
        r#"
        set -e
        ip link set lo up
        ip link add here type veth peer name there
        ip address add 10.9.0.1/24 dev here
        ip address add 10.9.0.2/24 dev here
        ip address add fd09::1/64 dev here nodad
        ip address add fd09::2/64 dev here nodad
        ip address add fe80::9/64 dev here nodad
        ip link set here up
        ip link set there up
        {signpost} serve --config registry.toml --dns 0.0.0.0:53 --dns '[::]:53' >/dev/null 2>&1 &
        # The server is there when it answers on the first address.
        until dig +short +tries=1 +time=1 @10.9.0.1 web.service.local >/dev/null; do :; done
        for server in {asked}; do
            # dig says so when a reply comes from elsewhere, and waits for another.
            echo "$server $(dig +short +tries=1 +time=5 "@$server" web.service.local 2>&1)"
        done
        "#,
        signpost = env!("CARGO_BIN_EXE_signpost"),
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("registry.toml"), WEB).unwrap();

    let output = Command::new(network[0])
        .args(&network[1..])
        .args(["bash", "-c", &script])
        .current_dir(folder.path())
        .output()
        .unwrap();

    let errors = String::from_utf8(output.stderr).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let said: Vec<&str> = said.lines().collect();
    let expected: Vec<String> =
        asked.split(' ').map(|server| format!("{server} 10.0.0.1")).collect();
    assert_eq!(said, expected, "{errors}");
}
