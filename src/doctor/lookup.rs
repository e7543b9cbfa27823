//! Whether the zone is answered: by the server itself, and by the way that programs of this host ask.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::doctor::Finding;

/// What came back for the SOA of the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) rcode: u8,
    pub(super) authoritative: bool,
}

/// Asks `address` for the zone's SOA, over UDP.
///
/// # Errors
/// When nothing comes back.
pub(super) fn ask(address: SocketAddr, zone: &str) -> io::Result<Heard> {
    // On a wildcard it hears this machine's own address too.
    let (own, host): (IpAddr, IpAddr) = match address.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => (v4.into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(v6) if v6.is_unspecified() => (v6.into(), Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(v4) => (Ipv4Addr::UNSPECIFIED.into(), v4.into()),
        IpAddr::V6(v6) => (Ipv6Addr::UNSPECIFIED.into(), v6.into()),
    };
    let socket = UdpSocket::bind((own, 0))?;
    socket.connect((host, address.port()))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let query = query(zone);
    socket.send(&query)?;
    let mut reply = [0; 1_500];
    // From who was asked alone: the socket is connected.
    let length = socket.recv(&mut reply)?;
    heard(&query, &reply[..length])
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "what came back is no reply"))
}

fn query(zone: &str) -> Vec<u8> {
    let id = std::process::id().to_be_bytes();
    let mut query = vec![id[2], id[3], 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in zone.split('.') {
        // A zone of the configuration is a legal name.
        query.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        query.extend(label.bytes());
    }
    query.extend([0, 0, SOA, 0, 1]);
    query
}

fn heard(query: &[u8], reply: &[u8]) -> Option<Heard> {
    let [id0, id1, high, low, ..] = *reply else { return None };
    let ours = query[..2] == [id0, id1] && high & 0x80 != 0;
    ours.then_some(Heard { rcode: low & 15, authoritative: high & 4 != 0 })
}

/// What the addresses of the configuration say of the zone.
pub(super) fn direct(zone: &str, asked: &[(SocketAddr, io::Result<Heard>)]) -> Finding {
    let check = "zone";
    let mut well = Vec::new();
    for (address, heard) in asked {
        match heard {
            Ok(Heard { rcode: 0, authoritative: true }) => well.push(address.to_string()),
            Ok(Heard { rcode, .. }) => {
                return Finding::fail(
                    check,
                    format!("{address} answers, and not for {zone} (code {rcode})"),
                    "that is another server, or another server.zone",
                );
            }
            Err(error) => {
                return Finding::warn(
                    check,
                    format!("no answer from {address}: {error}"),
                    "start the server: systemctl start signpost, or signpost serve",
                );
            }
        }
    }
    Finding::ok(check, format!("{} answers for {zone}", well.join(", ")))
}

/// The addresses of `name` as getaddrinfo(3) finds them.
///
/// # Errors
/// When it finds none, or not in time.
pub(super) fn through_system(name: &str) -> Result<Vec<IpAddr>, String> {
    let (answer, heard) = mpsc::sync_channel(1);
    let host = name.to_owned();
    // It knows no timeout but its own, which may be half a minute: then the thread is left behind.
    let asking = thread::Builder::new().spawn(move || {
        let found = (host.as_str(), 0).to_socket_addrs();
        let found = found.map(|all| all.map(|address| address.ip()).collect::<Vec<_>>());
        answer.send(found.map_err(|error| error.to_string())).ok();
    });
    asking.map_err(|error| error.to_string())?;
    heard.recv_timeout(SYSTEM_PATIENCE).unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

/// Whether programs of this host find `name`, which is at `expected`.
///
/// | the server answers | the system finds | |
/// |---|---|---|
/// | yes | it | ok |
/// | yes | something else | fail: somebody else answers |
/// | yes | nothing | fail: the way is missing |
/// | no | something | ok: so somebody answers |
/// | no | nothing | warn: that was to be expected |
pub(super) fn system(
    name: &str,
    expected: &[IpAddr],
    answers: bool,
    found: &Result<Vec<IpAddr>, String>,
    way: String,
) -> Finding {
    let check = "system's resolver";
    match (found, answers) {
        (Ok(found), false) => Finding::ok(check, format!("{name} is {}", listed(found))),
        (Ok(found), true) if found.iter().any(|ip| expected.contains(ip)) => {
            Finding::ok(check, format!("{name} is {}", listed(found)))
        }
        (Ok(found), true) => Finding::fail(
            check,
            format!("{name} is {}, and should be {}", listed(found), listed(expected)),
            "another server or /etc/hosts answers for it",
        ),
        (Err(error), true) => Finding::fail(check, format!("{name} is not found: {error}"), way),
        (Err(error), false) => Finding::warn(
            check,
            format!("{name} is not found, and no server answers here: {error}"),
            "start the server, and look again",
        ),
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    let mut texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.dedup();
    texts.join(", ")
}

const SOA: u8 = 6;
const PATIENCE: Duration = Duration::from_secs(2);
/// What glibc takes for two attempts, and a little more.
const SYSTEM_PATIENCE: Duration = Duration::from_secs(12);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn what_the_server_says_is_judged() {
        let address: SocketAddr = "127.0.0.1:53".parse().unwrap();
        let heard = |rcode, authoritative| Ok(Heard { rcode, authoritative });
        for (heard, state) in [
            (heard(0, true), State::Ok),
            (heard(0, false), State::Fail),
            (heard(5, false), State::Fail),
            (Err(ErrorKind::ConnectionRefused.into()), State::Warn),
        ] {
            assert_eq!(direct("service.local", &[(address, heard)]).state, state);
        }
    }

    #[test]
    fn what_the_system_finds_is_judged() {
        let [ours, other] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let nothing = Err("not known".to_owned());
        for (answers, found, state) in [
            (true, Ok(vec![ours]), State::Ok),
            (true, Ok(vec![other]), State::Fail),
            (true, nothing.clone(), State::Fail),
            (false, Ok(vec![other]), State::Ok),
            (false, nothing, State::Warn),
        ] {
            let finding = system("ns1.service.local", &[ours], answers, &found, "do".to_owned());
            assert_eq!(finding.state, state, "{finding:?}");
        }
    }

    #[test]
    fn only_a_reply_to_the_question_counts() {
        let query = query("service.local");
        let mut reply = query.clone();
        assert_eq!(heard(&query, &reply), None);
        reply[2..4].copy_from_slice(&[0x84, 3]);
        assert_eq!(heard(&query, &reply), Some(Heard { rcode: 3, authoritative: true }));
        reply[0] ^= 1;
        assert_eq!(heard(&query, &reply), None);
        assert_eq!(heard(&query, &reply[..3]), None);
    }
}
