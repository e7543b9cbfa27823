//! The data of SVCB and HTTPS records (RFC 9460) that bind to an instance: ServiceMode, always.
//!
//! Only what is known is claimed: port and addresses of the instance, and the protocols that its
//! metadata names under `alpn`. Called by the writer of a service's answers.

use std::net::IpAddr;

use crate::model::Instance;
use crate::resolve::Srv;

/// The parameters of the binding to `instance`, by ascending key (RFC 9460 section 2.2).
/// `default_port` is the one that clients take without being told.
pub(super) fn parameters(instance: &Instance, record: &Srv, default_port: Option<u16>) -> Vec<u8> {
    let mut wire = Vec::with_capacity(64);
    if let Some(protocols) = instance.metadata.value(ALPN_METADATA).and_then(alpn) {
        push(&mut wire, ALPN, &protocols);
    }
    if default_port != Some(record.port) {
        push(&mut wire, PORT, &record.port.to_be_bytes());
    }
    let addresses = || instance.addresses.iter().map(|address| address.ip());
    let v4 = addresses().filter_map(|ip| match ip {
        IpAddr::V4(v4) => Some(v4.octets()),
        IpAddr::V6(_) => None,
    });
    let v6 = addresses().filter_map(|ip| match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some(v6.octets()),
    });
    push(&mut wire, IPV4_HINT, &v4.flatten().collect::<Vec<_>>());
    push(&mut wire, IPV6_HINT, &v6.flatten().collect::<Vec<_>>());
    wire
}

/// Protocols as `alpn` lists them: `h2,http/1.1`. `None` when the text is no such list, so that a
/// binding never claims what nobody meant.
fn alpn(text: &str) -> Option<Vec<u8>> {
    let mut wire = Vec::with_capacity(text.len() + 1);
    for protocol in text.split(',').map(str::trim) {
        // RFC 7301 section 3.1: 1-255 bytes; all registered ones are printable.
        let length = u8::try_from(protocol.len()).ok().filter(|length| *length > 0)?;
        if !protocol.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        wire.push(length);
        wire.extend_from_slice(protocol.as_bytes());
    }
    Some(wire)
}

/// Adds a parameter; one without a value is left out.
fn push(wire: &mut Vec<u8>, key: u16, value: &[u8]) {
    let Some(length) = u16::try_from(value.len()).ok().filter(|length| *length > 0) else { return };
    wire.extend(key.to_be_bytes());
    wire.extend(length.to_be_bytes());
    wire.extend_from_slice(value);
}

/// The metadata that names an instance's protocols, for these records only: TXT has it when the
/// service's `txt` says so.
const ALPN_METADATA: &str = "alpn";
/// The port of HTTPS that nobody needs to be told (RFC 9460 section 9.1).
pub(super) const HTTPS_PORT: u16 = 443;
const ALPN: u16 = 1;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(json: &str, default_port: Option<u16>) -> Vec<u8> {
        let instance: Instance = serde_json::from_str(json).unwrap();
        let record = Srv { priority: 1, weight: 256, port: 443, instance: 0, far: false };
        parameters(&instance, &record, default_port)
    }

    #[test]
    fn parameters_are_sorted_by_key() {
        let json = r#"{"id":"a","addresses":["2001:db8::1","10.0.0.2","10.0.0.1"],
            "metadata":{"alpn":"h2, http/1.1"}}"#;

        let expected: [&[u8]; 5] = [
            b"\x00\x01\x00\x0c\x02h2\x08http/1.1",
            b"\x00\x03\x00\x02\x01\xbb",
            b"\x00\x04\x00\x08\x0a\x00\x00\x02\x0a\x00\x00\x01",
            b"\x00\x06\x00\x10\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\x00\x00\x00\x01",
        ];
        assert_eq!(binding(json, None), expected.concat());
    }

    #[test]
    fn what_is_not_known_is_not_claimed() {
        for alpn in ["", "h2,,h3", "h 2", "caf\u{e9}"] {
            let json =
                format!(r#"{{"id":"a","addresses":["10.0.0.1"],"metadata":{{"alpn":"{alpn}"}}}}"#);
            let hint = b"\x00\x04\x00\x04\x0a\x00\x00\x01";
            assert_eq!(binding(&json, Some(443)), hint, "{alpn:?}");
        }
    }
}
