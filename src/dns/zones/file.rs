//! One master file to its records: directives, owners, TTLs and classes (RFC 1035 section 5).

use crate::dns::name::{Name, NameTextError};
use crate::dns::rtype;
use crate::dns::zones::rdata::{self, RdataError, seconds};
use crate::dns::zones::text::{Entries, Entry, TextError, Token};

/// What a file holds, in its order, not yet checked against each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// The first `$ORIGIN`, in lower case.
    pub(crate) origin: Option<Name>,
    pub(crate) records: Vec<FileRecord>,
}

/// A record and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileRecord {
    pub(crate) line: u32,
    /// In lower case.
    pub(crate) owner: Name,
    pub(crate) rtype: u16,
    pub(crate) ttl: u32,
    pub(crate) rdata: Vec<u8>,
}

/// Reads the text of a file.
///
/// # Errors
/// The first entry that cannot be read, with its line.
pub(crate) fn read(text: &[u8]) -> Result<File, (u32, EntryError)> {
    let mut reader = Reader::default();
    for entry in Entries::new(text) {
        let entry = entry.map_err(|(line, error)| (line, error.into()))?;
        reader.entry(&entry).map_err(|error| (entry.line, error))?;
    }
    Ok(reader.file)
}

/// Why an entry of a master file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryError {
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Rdata(#[from] RdataError),
    #[error("{0:?} is not a domain name: {1}")]
    Name(String, NameTextError),
    #[error("{0} is not supported, list the files one by one")]
    Include(String),
    #[error("{0} is not a directive this server knows, only $ORIGIN and $TTL are")]
    Directive(String),
    #[error("{0} takes one value")]
    DirectiveValue(String),
    #[error("the first record has no owner")]
    NoOwner,
    #[error("the record has no type")]
    NoType,
    #[error("the record has no TTL, and there is no $TTL and no record before to take it from")]
    NoTtl,
    #[error("only records of class IN are served, not {0}")]
    Class(String),
}

#[derive(Default)]
struct Reader {
    file: File,
    origin: Option<Name>,
    owner: Option<Name>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
}

impl Reader {
    fn entry(&mut self, entry: &Entry) -> Result<(), EntryError> {
        let (first, rest) = entry.tokens.split_first().ok_or(EntryError::NoType)?;
        let directive = first.word().filter(|word| word.starts_with('$') && !entry.same_owner);
        if let Some(directive) = directive {
            return self.directive(&directive.to_ascii_uppercase(), rest);
        }
        if entry.same_owner {
            return self.record(entry.line, &entry.tokens);
        }
        self.owner = Some(name(first, self.origin.as_ref())?.folded());
        self.record(entry.line, rest)
    }

    fn directive(&mut self, directive: &str, values: &[Token]) -> Result<(), EntryError> {
        let value = match values {
            [value] => Ok(value),
            _ => Err(EntryError::DirectiveValue(directive.to_owned())),
        };
        match directive {
            "$ORIGIN" => {
                let origin = name(value?, self.origin.as_ref())?;
                self.origin = Some(origin);
                self.file.origin.get_or_insert_with(|| origin.folded());
                Ok(())
            }
            "$TTL" => {
                self.default_ttl = Some(value?.word().and_then(seconds).ok_or_else(|| {
                    EntryError::DirectiveValue(format!("{directive} (a duration)"))
                })?);
                Ok(())
            }
            "$INCLUDE" => Err(EntryError::Include(directive.to_owned())),
            _ => Err(EntryError::Directive(directive.to_owned())),
        }
    }

    /// The rest of a record after its owner: TTL and class in any order, type, data.
    fn record(&mut self, line: u32, tokens: &[Token]) -> Result<(), EntryError> {
        let owner = self.owner.ok_or(EntryError::NoOwner)?;
        let mut ttl = None;
        let mut tokens = tokens.iter();
        let rtype = loop {
            let word = tokens.next().and_then(Token::word).ok_or(EntryError::NoType)?;
            match word.to_ascii_uppercase().as_str() {
                "IN" => {}
                "CH" | "HS" | "CS" | "NONE" => return Err(EntryError::Class(word.to_owned())),
                class if class.starts_with("CLASS") => {
                    return Err(EntryError::Class(word.to_owned()));
                }
                _ => match seconds(word) {
                    Some(seconds) => ttl = Some(seconds),
                    None => break rdata::type_number(word)?,
                },
            }
        };
        let rdata = rdata::read(rtype, tokens.as_slice(), self.origin.as_ref())?;
        // RFC 2308 section 4 gives $TTL; RFC 1035 the last stated one, or the SOA's minimum.
        self.last_ttl = ttl.or(self.last_ttl);
        let minimum = || soa_minimum(&rdata).filter(|_| rtype == rtype::SOA);
        let ttl = ttl.or(self.default_ttl).or(self.last_ttl).or_else(minimum);
        let ttl = ttl.ok_or(EntryError::NoTtl)?;
        self.last_ttl.get_or_insert(ttl);
        self.file.records.push(FileRecord { line, owner, rtype, ttl, rdata });
        Ok(())
    }
}

/// The last field of SOA data.
pub(crate) fn soa_minimum(rdata: &[u8]) -> Option<u32> {
    rdata.last_chunk().copied().map(u32::from_be_bytes)
}

fn name(token: &Token, origin: Option<&Name>) -> Result<Name, EntryError> {
    token
        .name(origin)
        .map_err(|error| EntryError::Name(String::from_utf8_lossy(&token.text).into_owned(), error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(line: u32, owner: &str, rtype: u16, ttl: u32, rdata: &[u8]) -> FileRecord {
        let owner = Name::from_text(owner, None).unwrap();
        FileRecord { line, owner, rtype, ttl, rdata: rdata.to_vec() }
    }

    #[test]
    fn owners_ttls_and_origins_carry_on() {
        let text = "$ORIGIN Example.org.\n\
                    A 1h IN A 10.0.0.1\n\
                    \tIN 5 A 10.0.0.2\n\
                    $TTL 60\n\
                    \tTXT x\n\
                    b in a 10.0.0.3\n\
                    $ORIGIN sub\n\
                    @ 7 CNAME c\n";

        let file = read(text.as_bytes()).unwrap();

        let expected = vec![
            record(2, "a.example.org.", rtype::A, 3600, &[10, 0, 0, 1]),
            record(3, "a.example.org.", rtype::A, 5, &[10, 0, 0, 2]),
            record(5, "a.example.org.", rtype::TXT, 60, b"\x01x"),
            record(6, "b.example.org.", rtype::A, 60, &[10, 0, 0, 3]),
            record(8, "sub.example.org.", rtype::CNAME, 7, b"\x01c\x03sub\x07Example\x03org\x00"),
        ];
        let origin = Name::from_text("example.org.", None).ok();
        assert_eq!(file, File { origin, records: expected });
    }

    #[test]
    fn without_ttl_the_minimum_of_the_soa_counts() {
        let file = read(b"x. SOA a. b. 1 2 3 4 9\nx. NS a.\n").unwrap();

        let ttls: Vec<u32> = file.records.iter().map(|record| record.ttl).collect();
        assert_eq!(ttls, [9, 9]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line, expected) in [
            ("\n\nx. 5 A 1", 3, "\"1\" is not an address of the type's family"),
            (
                "a 5 A 10.0.0.1",
                1,
                "\"a\" is not a domain name: the name is relative and no $ORIGIN was given; end it with a dot",
            ),
            (" 5 A 10.0.0.1", 1, "the first record has no owner"),
            ("a.", 1, "the record has no type"),
            ("a. IN 5", 1, "the record has no type"),
            (
                "a. A 10.0.0.1",
                1,
                "the record has no TTL, and there is no $TTL and no record before to take it from",
            ),
            ("a. CH TXT x", 1, "only records of class IN are served, not CH"),
            ("$INCLUDE x", 1, "$INCLUDE is not supported, list the files one by one"),
            (
                "$GENERATE 1-2 a",
                1,
                "$GENERATE is not a directive this server knows, only $ORIGIN and $TTL are",
            ),
            ("$ORIGIN", 1, "$ORIGIN takes one value"),
            ("$TTL x", 1, "$TTL (a duration) takes one value"),
            ("a. 5 TXT (\nb", 1, "a '(' is never closed"),
        ] {
            let error = read(text.as_bytes()).map_err(|(line, error)| (line, error.to_string()));
            assert_eq!(error, Err((line, expected.to_owned())), "{text}");
        }
    }
    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn hostile_text_is_an_error_at_worst(
            lines in proptest::collection::vec((any_type(), any_data()), 1..4),
        ) {
            let lines: Vec<String> =
                lines.iter().map(|(rtype, data)| format!("a.b. 5 {rtype} {data}\n")).collect();
            let text = lines.concat();
            if let Err((_, error)) = read(text.as_bytes()) {
                // A panic inside the parser of the rarer types would be told like this.
                prop_assert!(!error.to_string().contains("cannot be parsed"), "{}", text);
            }
        }
    }

    fn any_type() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "A",
            "AAAA",
            "NS",
            "MX",
            "SRV",
            "SOA",
            "TXT",
            "CAA",
            "CERT",
            "CSYNC",
            "HINFO",
            "HTTPS",
            "NAPTR",
            "OPENPGPKEY",
            "SMIMEA",
            "SSHFP",
            "SVCB",
            "TLSA",
            "TYPE999",
            "\\#",
        ])
    }

    fn any_data() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            "[0-9]{1,5}",
            "[a-z.]{1,8}",
            "[ -~]{0,8}",
            "\\PC{0,4}",
            "(alpn|port|ipv4hint|ipv6hint|mandatory|ech|key[0-9]{1,5})=[a-z0-9,.:\"]{0,8}",
            Just("\\#".to_owned()),
            Just("\"\"".to_owned()),
        ];
        proptest::collection::vec(token, 0..8).prop_map(|tokens| tokens.join(" "))
    }
}
