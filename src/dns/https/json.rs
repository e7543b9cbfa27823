//! `application/dns-json`, for people: a question by name and type, a reply as JSON, in the form
//! that Google and Cloudflare have.

use std::borrow::Cow;
use std::net::IpAddr;

use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use serde::Serialize;

use crate::dns::name::Name;
use crate::dns::{present, rtype};

/// The first parameter of that name in a query string, decoded (RFC 3986 section 2.1).
///
/// # Errors
/// What is wrong with its value.
pub(super) fn parameter<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let Some((_, value)) = pairs.find(|(key, _)| *key == name) else { return Ok(None) };
    if !value.contains('%') {
        return Ok(Some(Cow::Borrowed(value)));
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut parts = value.split('%');
    bytes.extend(parts.next().unwrap_or("").bytes());
    for part in parts {
        let digits = part.get(..2).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| format!("{name}= has a % without two hex digits"))?);
        bytes.extend(part.bytes().skip(2));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}= is not text"))?;
    Ok(Some(Cow::Owned(text)))
}

/// The query for a name (the final dot may be left out) and a type (default: A) by name or number,
/// with the client subnet to answer for, if one is given.
///
/// # Errors
/// What is wrong with which parameter.
pub(super) fn packet(
    name: &str,
    rtype: Option<&str>,
    subnet: Option<&str>,
) -> Result<Vec<u8>, String> {
    let name = Name::from_text(name, Some(&Name::ROOT));
    let name = name.map_err(|error| format!("name= is not a domain name: {error}"))?;
    let rtype = match rtype {
        None | Some("") => rtype::A,
        Some(text) => {
            text.parse().ok().or_else(|| present::type_number(text)).ok_or_else(|| {
                format!("type={text} is not a record type, e.g. A, SRV, 33, TYPE65")
            })?
        }
    };
    let option = subnet.map(subnet_option).transpose()?.unwrap_or_default();

    // A question with RD, and room for EDNS.
    let mut packet = vec![0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    packet.extend(name.wire());
    packet.extend(rtype.to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
    packet.push(0);
    packet.extend(rtype::OPT.to_be_bytes());
    packet.extend(u16::MAX.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(length(&option));
    packet.extend(option);
    Ok(packet)
}

/// The option of RFC 7871 section 6 for `address` or `address/length`.
fn subnet_option(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("edns_client_subnet={text} is not a network, e.g. 192.0.2.0/24");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let (family, octets) = match address.parse().map_err(|_| wrong())? {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let prefix = usize::from(prefix.unwrap_or(u8::MAX)).min(8 * octets.len());
    let mut octets = octets[..prefix.div_ceil(8)].to_vec();
    if let (Some(last), 1..) = (octets.last_mut(), prefix % 8) {
        *last &= 0xff << (8 - prefix % 8);
    }
    let prefix = u8::try_from(prefix).map_err(|_| wrong())?;
    let option = [&[0, family, prefix, 0], &octets[..]].concat();
    Ok([&CLIENT_SUBNET.to_be_bytes()[..], &length(&option), &option].concat())
}

/// `reply` as JSON; `None` when it cannot be read.
pub(super) fn reply(reply: &[u8]) -> Option<Vec<u8>> {
    let message = Message::from_vec(reply).ok()?;
    let flags = &message.metadata;
    let questions = message.queries.iter().map(|query| Question {
        name: present::name(query.name()),
        rtype: query.query_type().into(),
    });
    let json = Json {
        status: flags.response_code.into(),
        tc: flags.truncation,
        rd: flags.recursion_desired,
        ra: flags.recursion_available,
        ad: flags.authentic_data,
        cd: flags.checking_disabled,
        question: questions.collect(),
        answer: answers(&message.answers),
        authority: answers(&message.authorities),
        additional: answers(&message.additionals),
    };
    serde_json::to_vec(&json).ok()
}

#[derive(Serialize)]
struct Json {
    #[serde(rename = "Status")]
    status: u16,
    #[serde(rename = "TC")]
    tc: bool,
    #[serde(rename = "RD")]
    rd: bool,
    #[serde(rename = "RA")]
    ra: bool,
    #[serde(rename = "AD")]
    ad: bool,
    #[serde(rename = "CD")]
    cd: bool,
    #[serde(rename = "Question")]
    question: Vec<Question>,
    #[serde(rename = "Answer", skip_serializing_if = "Vec::is_empty")]
    answer: Vec<Answer>,
    #[serde(rename = "Authority", skip_serializing_if = "Vec::is_empty")]
    authority: Vec<Answer>,
    #[serde(rename = "Additional", skip_serializing_if = "Vec::is_empty")]
    additional: Vec<Answer>,
}

#[derive(Serialize)]
struct Question {
    name: String,
    #[serde(rename = "type")]
    rtype: u16,
}

#[derive(Serialize)]
struct Answer {
    name: String,
    #[serde(rename = "type")]
    rtype: u16,
    #[serde(rename = "TTL")]
    ttl: u32,
    data: String,
}

fn answers(records: &[Record]) -> Vec<Answer> {
    let answer = |record: &Record| Answer {
        name: present::name(&record.name),
        rtype: record.record_type().into(),
        ttl: record.ttl,
        data: present::data(record),
    };
    records.iter().map(answer).collect()
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}

const CLASS_IN: u16 = 1;
/// RFC 7871 section 6.
const CLIENT_SUBNET: u16 = 8;
