//! Records as text: how people and JSON see what was written to the wire (RFC 1035 section 5.1).

use std::str::FromStr;

use hickory_proto::rr::{Name as WireName, RData, Record, RecordType};

use crate::dns::name::Name;

/// The data of a record as a zone file writes it.
pub(crate) fn data(record: &Record) -> String {
    match &record.data {
        RData::TXT(txt) => {
            txt.txt_data.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(" ")
        }
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
