//! Tokens of a master file to record data in wire form.
//!
//! Types with names, addresses and text are read here; the rest by hickory, one record at a time,
//! behind a fence: its parser has been known to panic on hostile text.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::rr::{Name as HickoryName, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use hickory_proto::serialize::txt::Parser;

use crate::dns::name::{Name, NameTextError};
use crate::dns::rtype;
use crate::dns::zones::text::Token;
use crate::fence::contain;

/// The number of a type's name: `A`, `TYPE65280` (RFC 3597).
///
/// # Errors
/// When nobody knows the type, or it cannot be in a zone.
pub(crate) fn type_number(word: &str) -> Result<u16, RdataError> {
    let upper = word.to_ascii_uppercase();
    let number = match upper.strip_prefix("TYPE").and_then(|number| number.parse().ok()) {
        Some(number) => number,
        None => RecordType::from_str(&upper)
            .map(u16::from)
            .map_err(|_| RdataError::UnknownType(word.to_owned()))?,
    };
    match number {
        // Reserved, transfer, signature and question types (RFC 6895 section 3.1); DNAME would
        // need answers that are not in the zone; hickory's ANAME has no number of its own.
        0 | DNAME | rtype::OPT | 128..=255 | ANAME => Err(RdataError::Unsupported(word.to_owned())),
        number => Ok(number),
    }
}

/// Reads the data of a record of this type.
///
/// # Errors
/// When the tokens are not what the type takes.
pub(crate) fn read(
    rtype: u16,
    tokens: &[Token],
    origin: Option<&Name>,
) -> Result<Vec<u8>, RdataError> {
    if tokens.first().and_then(Token::word) == Some("\\#") {
        return generic(rtype, &tokens[1..]);
    }
    let mut fields = Fields { tokens: tokens.iter(), origin, data: Vec::new() };
    match rtype {
        rtype::A => fields.address::<Ipv4Addr>(|a| a.octets().to_vec())?,
        rtype::AAAA => fields.address::<Ipv6Addr>(|a| a.octets().to_vec())?,
        rtype::NS | rtype::CNAME | rtype::PTR => fields.name()?,
        rtype::MX => {
            fields.u16()?;
            fields.name()?;
        }
        rtype::SRV => {
            for _ in 0..3 {
                fields.u16()?;
            }
            fields.name()?;
        }
        rtype::SOA => {
            fields.name()?;
            fields.name()?;
            fields.u32()?;
            for _ in 0..4 {
                fields.seconds()?;
            }
        }
        rtype::TXT => fields.strings()?,
        HINFO => {
            fields.string()?;
            fields.string()?;
        }
        NAPTR => {
            fields.u16()?;
            fields.u16()?;
            for _ in 0..3 {
                fields.string()?;
            }
            fields.name()?;
        }
        CAA => {
            fields.u8()?;
            fields.string()?;
            // RFC 8659 section 4.1: the value is what is left, without a length of its own.
            let value = fields.bytes()?;
            fields.data.extend(value);
        }
        rtype::DS | CDS => {
            fields.u16()?;
            fields.u8()?;
            fields.u8()?;
            fields.hex()?;
        }
        _ => return by_hickory(rtype, tokens, origin),
    }
    if fields.tokens.next().is_some() {
        return Err(RdataError::Surplus);
    }
    Ok(fields.data)
}

/// Reads a duration in seconds: `300`, `1h30m`.
pub(crate) fn seconds(word: &str) -> Option<u32> {
    let (mut total, mut number) = (0_u32, None::<u32>);
    for byte in word.bytes() {
        let unit = match byte.to_ascii_lowercase() {
            b'0'..=b'9' => {
                let digit = u32::from(byte - b'0');
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    if word.is_empty() {
        return None;
    }
    // RFC 2181 section 8: 31 bits.
    total.checked_add(number.unwrap_or(0)).filter(|seconds| i32::try_from(*seconds).is_ok())
}

/// Why tokens are not the data of their type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RdataError {
    #[error("the record type {0:?} is unknown")]
    UnknownType(String),
    #[error("records of type {0} cannot be served from a zone file")]
    Unsupported(String),
    #[error("the data ends too early")]
    Missing,
    #[error("there is more data than the type takes")]
    Surplus,
    #[error("{0:?} is not {1}")]
    Field(String, &'static str),
    #[error("{0:?} is not a domain name: {1}")]
    Name(String, NameTextError),
    #[error("a string is longer than 255 bytes")]
    LongString,
    #[error("the data is longer than 65535 bytes")]
    LongData,
    #[error("{0:?} holds a bad escape")]
    Escape(String),
    #[error("the data does not fit the type")]
    Generic,
    #[error("{0}")]
    Parser(String),
}

struct Fields<'t> {
    tokens: std::slice::Iter<'t, Token>,
    origin: Option<&'t Name>,
    data: Vec<u8>,
}

impl Fields<'_> {
    fn word(&mut self, what: &'static str) -> Result<&str, RdataError> {
        let token = self.tokens.next().ok_or(RdataError::Missing)?;
        token.word().ok_or_else(|| RdataError::Field(shown(token), what))
    }

    fn parse<T: FromStr>(&mut self, what: &'static str) -> Result<T, RdataError> {
        let word = self.word(what)?;
        word.parse().map_err(|_| RdataError::Field(word.to_owned(), what))
    }

    fn u8(&mut self) -> Result<(), RdataError> {
        let number: u8 = self.parse("a number from 0 to 255")?;
        self.data.push(number);
        Ok(())
    }

    fn u16(&mut self) -> Result<(), RdataError> {
        let number: u16 = self.parse("a number from 0 to 65535")?;
        self.data.extend(number.to_be_bytes());
        Ok(())
    }

    fn u32(&mut self) -> Result<(), RdataError> {
        let number: u32 = self.parse("a number of 32 bits")?;
        self.data.extend(number.to_be_bytes());
        Ok(())
    }

    fn seconds(&mut self) -> Result<(), RdataError> {
        let word = self.word("a duration")?;
        let seconds =
            seconds(word).ok_or_else(|| RdataError::Field(word.to_owned(), "a duration"))?;
        self.data.extend(seconds.to_be_bytes());
        Ok(())
    }

    fn address<A: FromStr>(&mut self, octets: fn(A) -> Vec<u8>) -> Result<(), RdataError> {
        let address = self.parse("an address of the type's family")?;
        self.data.extend(octets(address));
        Ok(())
    }

    fn name(&mut self) -> Result<(), RdataError> {
        let token = self.tokens.next().ok_or(RdataError::Missing)?;
        let name =
            token.name(self.origin).map_err(|error| RdataError::Name(shown(token), error))?;
        self.data.extend(name.wire());
        Ok(())
    }

    /// The bytes of one token.
    fn bytes(&mut self) -> Result<Vec<u8>, RdataError> {
        let token = self.tokens.next().ok_or(RdataError::Missing)?;
        token.bytes().map_err(|_| RdataError::Escape(shown(token)))
    }

    /// A character-string (RFC 1035 section 3.3).
    fn string(&mut self) -> Result<(), RdataError> {
        let bytes = self.bytes()?;
        let length = u8::try_from(bytes.len()).map_err(|_| RdataError::LongString)?;
        self.data.push(length);
        self.data.extend(bytes);
        Ok(())
    }

    /// All that is left, in hexadecimal, which may be cut by blanks.
    fn hex(&mut self) -> Result<(), RdataError> {
        if self.tokens.len() == 0 {
            return Err(RdataError::Missing);
        }
        self.data.extend(hex(self.tokens.as_slice())?);
        self.tokens = [].iter();
        Ok(())
    }

    fn strings(&mut self) -> Result<(), RdataError> {
        if self.tokens.len() == 0 {
            return Err(RdataError::Missing);
        }
        while self.tokens.len() > 0 {
            self.string()?;
        }
        if u16::try_from(self.data.len()).is_err() {
            return Err(RdataError::LongData);
        }
        Ok(())
    }
}

/// RFC 3597 section 5: `\# 4 0a000001`, for any type.
fn generic(rtype: u16, tokens: &[Token]) -> Result<Vec<u8>, RdataError> {
    let (length, hex) = tokens.split_first().ok_or(RdataError::Missing)?;
    let what = "a number from 0 to 65535";
    let length: u16 = length
        .word()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| RdataError::Field(shown(length), what))?;
    let data = self::hex(hex)?;
    if data.len() != usize::from(length) || !is_whole(rtype, &data) {
        return Err(RdataError::Generic);
    }
    Ok(data)
}

/// The bytes that hexadecimal digits stand for.
fn hex(tokens: &[Token]) -> Result<Vec<u8>, RdataError> {
    let digits: Vec<u8> = tokens.iter().flat_map(|token| &token.text).copied().collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = digits.chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    let data: Option<Vec<u8>> = pairs.collect();
    let first = tokens.first().map(shown).unwrap_or_default();
    data.ok_or(RdataError::Field(first, "hexadecimal"))
}

/// Whether data of a type that the server looks into is what it will find there.
fn is_whole(rtype: u16, data: &[u8]) -> bool {
    let name_at = |at: usize| Some(at + Name::read(data.get(at..)?)?.wire().len());
    let end = match rtype {
        rtype::A => Some(4),
        rtype::AAAA => Some(16),
        rtype::NS | rtype::CNAME | rtype::PTR => name_at(0),
        rtype::MX => name_at(2),
        rtype::SRV => name_at(6),
        rtype::SOA => name_at(0).and_then(name_at).map(|end| end + 20),
        _ => return true,
    };
    end == Some(data.len())
}

/// Has hickory read one record of a type that this module does not know.
fn by_hickory(rtype: u16, tokens: &[Token], origin: Option<&Name>) -> Result<Vec<u8>, RdataError> {
    let name_field = match rtype {
        rtype::SVCB | rtype::HTTPS => Some(1),
        _ => None,
    };
    let mut line = format!(". 0 IN {}", RecordType::from(rtype));
    for (index, token) in tokens.iter().enumerate() {
        line.push(' ');
        if Some(index) == name_field {
            // hickory neither completes every name nor reads decimal escapes.
            let name = token.name(origin).map_err(|e| RdataError::Name(shown(token), e))?;
            line.push_str(&plain(name.to_string())?);
        } else if token.quoted || token.text.starts_with(b"@") || token.text.starts_with(b"$") {
            let text = plain(String::from_utf8_lossy(&token.text).into_owned())?;
            line.push_str(&format!("\"{text}\""));
        } else {
            line.push_str(&plain(String::from_utf8_lossy(&token.text).into_owned())?);
        }
    }
    line.push('\n');
    let read = contain(|| {
        let parser = Parser::new(line, None, Some(HickoryName::root()));
        let (_, sets) = parser.parse().map_err(|error| error.to_string())?;
        let set = sets.values().next().ok_or("no record")?;
        let record = set.records_without_rrsigs().next().ok_or("no record")?;
        record.data.to_bytes().map_err(|error| error.to_string())
    });
    match read {
        Ok(read) => read.map_err(RdataError::Parser),
        Err(_) => Err(RdataError::Parser("the data cannot be parsed".to_owned())),
    }
}

/// Lets through what hickory reads as it is meant.
fn plain(text: String) -> Result<String, RdataError> {
    if text.contains('\\') || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(RdataError::Field(text, "plain ASCII without escapes"));
    }
    Ok(text)
}

fn shown(token: &Token) -> String {
    String::from_utf8_lossy(&token.text).into_owned()
}

const HINFO: u16 = 13;
const NAPTR: u16 = 35;
const DNAME: u16 = 39;
const CDS: u16 = 59;
const CAA: u16 = 257;
const ANAME: u16 = 65305;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::zones::text::Entries;

    fn rdata(text: &str) -> Result<Vec<u8>, RdataError> {
        let entry = Entries::new(text.as_bytes()).next().unwrap().unwrap();
        let origin = Name::from_text("x.", None).unwrap();
        let rtype = type_number(entry.tokens[0].word().unwrap())?;
        read(rtype, &entry.tokens[1..], Some(&origin))
    }

    #[test]
    fn data_of_each_type_is_encoded() {
        let table: [(&str, &[u8]); 25] = [
            ("A 10.0.0.1", &[10, 0, 0, 1]),
            ("AAAA ::1", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            ("cname WWW", b"\x03WWW\x01x\x00"),
            ("NS @", b"\x01x\x00"),
            ("PTR My\\032Printer\\.1.y.", b"\x0cMy Printer.1\x01y\x00"),
            ("MX 10 m", b"\x00\x0a\x01m\x01x\x00"),
            ("SRV 1 2 258 .", b"\x00\x01\x00\x02\x01\x02\x00"),
            (
                "SOA n h (1 2s 1m 1h 1h1m1)",
                b"\x01n\x01x\0\x01h\x01x\0\0\0\0\x01\0\0\0\x02\0\0\0\x3c\0\0\x0e\x10\0\0\x0e\x4d",
            ),
            ("TXT a \"b c\" \"\" \\255\\\"", b"\x01a\x03b c\x00\x02\xff\""),
            ("CAA 0 issue \"ca.example; a=b\"", b"\x00\x05issueca.example; a=b"),
            ("CAA 128 Issue \"\\\"\\059\"", b"\x80\x05Issue\";"),
            ("CAA 0 issue \"\"", b"\x00\x05issue"),
            ("HINFO \"a b\" \\255", b"\x03a b\x01\xff"),
            (
                "NAPTR 1 2 u \"E2U+sip\" \"!^.*$!sip:\\\\1@x!\" .",
                b"\x00\x01\x00\x02\x01u\x07E2U+sip\x0f!^.*$!sip:\\1@x!\x00",
            ),
            ("DS 258 8 2 0a 0B", &[1, 2, 8, 2, 10, 11]),
            ("CDS 0 0 0 00", &[0, 0, 0, 0, 0]),
            ("OPENPGPKEY AQID", &[1, 2, 3]),
            ("CSYNC 1 3 A NS", &[0, 0, 0, 1, 0, 3, 0, 1, 0x60]),
            ("SMIMEA 3 0 0 0aff", &[3, 0, 0, 10, 255]),
            ("SSHFP 1 1 0a0B", &[1, 1, 10, 11]),
            ("TLSA 3 1 1 00ff", &[3, 1, 1, 0, 255]),
            (
                "HTTPS 1 . alpn=h2 port=443",
                b"\x00\x01\x00\x00\x01\x00\x03\x02h2\x00\x03\x00\x02\x01\xbb",
            ),
            ("SVCB 0 web", b"\x00\x00\x03web\x01x\x00"),
            ("TYPE65280 \\# 3 0a 0Bff", &[10, 11, 255]),
            ("TYPE1 \\# 4 0a000001", &[10, 0, 0, 1]),
        ];
        for (text, expected) in table {
            assert_eq!(rdata(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn wrong_data_is_refused_with_the_reason() {
        for (text, expected) in [
            ("BOGUS 1", "the record type \"BOGUS\" is unknown"),
            ("ANY 1", "records of type ANY cannot be served from a zone file"),
            ("DNAME x.", "records of type DNAME cannot be served from a zone file"),
            ("A", "the data ends too early"),
            ("A 10.0.0.1 2", "there is more data than the type takes"),
            ("A ::1", "\"::1\" is not an address of the type's family"),
            ("MX 70000 m", "\"70000\" is not a number from 0 to 65535"),
            ("NS a..b", "\"a..b\" is not a domain name: a label is empty"),
            ("TXT", "the data ends too early"),
            ("TXT a\\999", "\"a\\\\999\" holds a bad escape"),
            ("TYPE1 \\# 5 0a00000102", "the data does not fit the type"),
            ("TYPE2 \\# 1 01", "the data does not fit the type"),
            ("TYPE9 \\# 1 0g", "\"0g\" is not hexadecimal"),
            ("SSHFP 1", "SSHFP fingerprint type field missing"),
            ("DS 1 2 3 4", "\"4\" is not hexadecimal"),
            ("DS 1 2 3", "the data ends too early"),
            ("CAA 256 issue x", "\"256\" is not a number from 0 to 255"),
            ("HINFO a", "the data ends too early"),
            ("OPENPGPKEY \"\\\"\"", "\"\\\\\\\"\" is not plain ASCII without escapes"),
        ] {
            assert_eq!(rdata(text).map_err(|error| error.to_string()), Err(expected.to_owned()));
        }
    }

    #[test]
    fn long_strings_are_refused_at_256_bytes() {
        assert!(rdata(&format!("TXT {}", "a".repeat(255))).is_ok());
        assert_eq!(rdata(&format!("TXT {}", "a".repeat(256))), Err(RdataError::LongString));
    }

    #[test]
    fn durations_have_units() {
        for (word, expected) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("300", Some(300)),
            ("1w2d3h4m5s", Some(604_800 + 172_800 + 10_800 + 245)),
            ("1H", Some(3600)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", None),
            ("", None),
            ("h", None),
            ("1x", None),
            ("A", None),
        ] {
            assert_eq!(seconds(word), expected, "{word}");
        }
    }
}
