//! Who listens where: the tables of the kernel in /proc/net, and whose the sockets are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::doctor::Finding;

/// A socket that takes datagrams, or connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) inode: u64,
}

/// The process that a socket belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pid: u32,
    pub(super) name: String,
}

/// The listening sockets of a table (proc(5), /proc/net/udp and the like).
pub(super) fn listening(table: &str) -> Vec<Listening> {
    table.lines().skip(1).filter_map(row).collect()
}

fn row(line: &str) -> Option<Listening> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // A socket of UDP is in state 7 when it is bound alone, of TCP in state 10 when it listens.
    if !["07", "0A"].contains(fields.get(3)?) {
        return None;
    }
    // Words of 32 bits, each as it is in memory.
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = match <[u8; 4]>::try_from(&bytes[..]) {
        Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[..]).ok()?)),
    };
    Some(Listening { address: (ip, port).into(), inode: fields.get(9)?.parse().ok()? })
}

/// Who has port 53 of this host.
pub(super) fn port_53(sockets: &[Listening], owners: &BTreeMap<u64, Owner>) -> Finding {
    let mut held: Vec<String> = sockets
        .iter()
        .filter(|socket| socket.address.port() == 53)
        .map(|socket| format!("{} by {}", socket.address.ip(), shown(owners.get(&socket.inode))))
        .collect();
    held.sort();
    held.dedup();
    match &held[..] {
        [] => Finding::ok("port 53", "nobody listens"),
        held => Finding::ok("port 53", held.join(", ")),
    }
}

/// Whether the addresses of the configuration are signpost's, or free.
pub(super) fn addresses(
    wanted: &[SocketAddr],
    sockets: &[Listening],
    owners: &BTreeMap<u64, Owner>,
) -> Finding {
    let check = "addresses";
    let mut ours = 0;
    for address in wanted {
        for socket in sockets.iter().filter(|socket| overlap(socket.address, *address)) {
            match owners.get(&socket.inode) {
                Some(owner) if owner.name == "signpost" => ours += 1,
                // systemd keeps the sockets of signpost.socket.
                Some(owner) if owner.pid == 1 && socket.address == *address => ours += 1,
                Some(owner) => {
                    let (pid, port) = (owner.pid, address.port());
                    return Finding::fail(
                        check,
                        format!("{address} is taken: {} by {}", socket.address, shown(Some(owner))),
                        format!(
                            "stop process {pid}, or choose another address than port {port} there"
                        ),
                    );
                }
                None => {
                    return Finding::warn(
                        check,
                        format!("{} has a socket whose owner cannot be seen", socket.address),
                        "run this as root, or as the user of the server",
                    );
                }
            }
        }
    }
    let list = wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Finding::ok(check, format!("{list}: {}", if ours > 0 { "signpost's" } else { "free" }))
}

fn shown(owner: Option<&Owner>) -> String {
    owner.map_or_else(|| "somebody".to_owned(), |owner| format!("{} ({})", owner.name, owner.pid))
}

/// Whether both cannot be bound at a time. IPv6 sockets of signpost take no IPv4, but others may.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let every = |address: SocketAddr| address.ip().is_unspecified();
    one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || every(one) || every(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    const UDP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n 1064: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 17 2 0000000000000000 0\n 1065: 0100007F:1F75 0100007F:9999 01 00000000:00000000 00:00000000 00000000   101        0 18 2 0000000000000000 0\n";
    const TCP6: &str = "  sl  local_address rem_address st\n   0: 00000000000000000000000001000000:1F75 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 19 1\n";

    fn owners(name: &str) -> BTreeMap<u64, Owner> {
        [17, 19].map(|inode| (inode, Owner { pid: 42, name: name.to_owned() })).into()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_tables_of_the_kernel_are_read() {
        let udp = listening(UDP);
        assert_eq!(udp, [Listening { address: "127.0.0.53:53".parse().unwrap(), inode: 17 }]);
        let tcp = listening(TCP6);
        assert_eq!(tcp, [Listening { address: "[::1]:8053".parse().unwrap(), inode: 19 }]);
        assert_eq!(listening("nonsense\nx y z\n"), []);

        let held = port_53(&udp, &owners("systemd-resolve"));
        assert_eq!(held.found, "127.0.0.53 by systemd-resolve (42)");
        assert_eq!(port_53(&tcp, &BTreeMap::new()).found, "nobody listens");
    }

    #[test]
    fn an_address_of_somebody_else_is_named_with_who_has_it() {
        let sockets = [Listening { address: "0.0.0.0:8053".parse().unwrap(), inode: 17 }];
        let wanted = ["127.0.0.1:8053".parse().unwrap(), "127.0.0.1:8054".parse().unwrap()];

        let taken = addresses(&wanted, &sockets, &owners("dnsmasq"));
        assert_eq!(taken.state, State::Fail);
        assert_eq!(taken.found, "127.0.0.1:8053 is taken: 0.0.0.0:8053 by dnsmasq (42)");
        assert_eq!(addresses(&wanted, &sockets, &owners("signpost")).state, State::Ok);
        assert_eq!(addresses(&wanted, &sockets, &BTreeMap::new()).state, State::Warn);
        let free = addresses(&wanted, &[], &BTreeMap::new());
        assert_eq!(free.found, "127.0.0.1:8053, 127.0.0.1:8054: free");
    }
}
