//! Records as text: how people and JSON see what was written to the wire (RFC 1035 section 5.1).

use std::str::FromStr;

use hickory_proto::rr::rdata::SVCB;
use hickory_proto::rr::rdata::svcb::{SvcParamKey, SvcParamValue};
use hickory_proto::rr::{Name as WireName, RData, Record, RecordType};

use crate::dns::name::Name;

/// The data of a record as a zone file writes it.
pub(crate) fn data(record: &Record) -> String {
    match &record.data {
        RData::TXT(txt) => {
            txt.txt_data.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(" ")
        }
        RData::SVCB(binding) => self::binding(binding),
        RData::HTTPS(https) => binding(&https.0),
        data => data.to_string(),
    }
}

/// A name with its final dot; hickory's own text has octal escapes.
pub(crate) fn name(name: &WireName) -> String {
    let labels: Vec<&[u8]> = name.iter().collect();
    Name::join(&labels, Name::ROOT.wire()).map_or_else(|| name.to_string(), |name| name.to_string())
}

/// The number of a type, by its name in any case or as `TYPE65` (RFC 3597 section 5).
pub(crate) fn type_number(text: &str) -> Option<u16> {
    let upper = text.to_ascii_uppercase();
    match upper.strip_prefix("TYPE").map(u16::from_str) {
        Some(Ok(number)) => Some(number),
        Some(Err(_)) | None => RecordType::from_str(&upper).ok().map(u16::from),
    }
}

/// SVCB and HTTPS (RFC 9460 section 2.1); hickory's own lists end in a comma.
fn binding(binding: &SVCB) -> String {
    let mut text = format!("{} {}", binding.svc_priority, name(&binding.target_name));
    for (key, value) in &binding.svc_params {
        let key = parameter_name(*key);
        let value = match value {
            SvcParamValue::NoDefaultAlpn => {
                text += &format!(" {key}");
                continue;
            }
            SvcParamValue::Mandatory(keys) => list(keys.0.iter().map(|key| parameter_name(*key))),
            SvcParamValue::Alpn(protocols) => protocol_list(&protocols.0),
            SvcParamValue::Port(port) => port.to_string(),
            SvcParamValue::Ipv4Hint(hint) => list(hint.0.iter().map(ToString::to_string)),
            SvcParamValue::Ipv6Hint(hint) => list(hint.0.iter().map(ToString::to_string)),
            SvcParamValue::EchConfigList(ech) => ech.to_string(),
            SvcParamValue::Unknown(bytes) => quoted(&bytes.0),
        };
        text += &format!(" {key}={value}");
    }
    text
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

/// Protocols with what a list and a character-string would read otherwise escaped (RFC 9460
/// appendix A.1).
fn protocol_list(protocols: &[String]) -> String {
    let escaped = |protocol: &String| protocol.replace('\\', r"\\").replace(',', r"\,");
    let text = list(protocols.iter().map(escaped));
    let plain = |byte: u8| byte.is_ascii_graphic() && !br#""\();"#.contains(&byte);
    if text.bytes().all(plain) { text } else { quoted(text.as_bytes()) }
}

fn parameter_name(key: SvcParamKey) -> String {
    match key {
        SvcParamKey::Key(_) | SvcParamKey::Key65535 | SvcParamKey::Unknown(_) => {
            format!("key{}", u16::from(key))
        }
        SvcParamKey::Mandatory
        | SvcParamKey::Alpn
        | SvcParamKey::NoDefaultAlpn
        | SvcParamKey::Port
        | SvcParamKey::Ipv4Hint
        | SvcParamKey::EchConfigList
        | SvcParamKey::Ipv6Hint => key.to_string(),
    }
}

/// A character-string as a zone file writes it.
fn quoted(text: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for &byte in text {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', byte.into()]),
            b' '..=b'~' => quoted.push(byte.into()),
            _ => quoted += &format!("\\{byte:03}"),
        }
    }
    quoted + "\""
}
