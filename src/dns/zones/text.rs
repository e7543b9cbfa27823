//! Master-file text to entries of tokens (RFC 1035 section 5.1): lines, comments, quotes, ( ).
//!
//! Ours rather than hickory's parser, which loses the line, reads `\DDD` as octal, takes quotes
//! inside ( ) for letters and refuses `@` in data. Knows nothing of records.

use crate::dns::name::{Name, NameTextError, unescape};

/// The tokens of one entry: a record, or a directive such as `$TTL`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The line that its first token is on, from 1.
    pub(crate) line: u32,
    /// Begins with a blank: the owner is that of the record before.
    pub(crate) same_owner: bool,
    /// At least one.
    pub(crate) tokens: Vec<Token>,
}

/// One token as written, escapes included, without the quotes around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: Vec<u8>,
    pub(crate) quoted: bool,
}

impl Token {
    /// The token as text when it is plain printable ASCII without quotes around it.
    pub(crate) fn word(&self) -> Option<&str> {
        let plain = !self.quoted && self.text.iter().all(u8::is_ascii_graphic);
        std::str::from_utf8(&self.text).ok().filter(|_| plain)
    }

    /// The bytes it stands for, escapes resolved.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, NameTextError> {
        let mut bytes = Vec::with_capacity(self.text.len());
        let mut rest = &self.text[..];
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            bytes.push(if first == b'\\' { unescape(&mut rest)? } else { first });
        }
        Ok(bytes)
    }

    /// The domain name it stands for, completed by `origin`.
    pub(crate) fn name(&self, origin: Option<&Name>) -> Result<Name, NameTextError> {
        let text = std::str::from_utf8(&self.text).map_err(|_| NameTextError::Character)?;
        match text {
            // Quotes take its meaning from it.
            "@" if self.quoted => Name::from_text("\\@", origin),
            _ => Name::from_text(text, origin),
        }
    }
}

/// Text that cannot be cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextError {
    #[error("a quoted string does not end on its line")]
    Quote,
    #[error("a '(' is never closed")]
    Open,
    #[error("a '(' within ( )")]
    Nested,
    #[error("a ')' without '('")]
    Close,
}

/// Cuts a file into entries. Ends after the first error, which comes with its line.
pub(crate) struct Entries<'t> {
    rest: &'t [u8],
    line: u32,
}

impl<'t> Entries<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Self {
        Self { rest: text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text), line: 1 }
    }

    /// Reads up to the end of one entry; `None` when nothing but blanks is left.
    fn entry(&mut self) -> Result<Option<Entry>, TextError> {
        let mut entry = Entry { line: self.line, same_owner: false, tokens: Vec::new() };
        let mut open = false;
        let mut line_start = true;
        while let Some((&first, after)) = self.rest.split_first() {
            if line_start && !open && entry.tokens.is_empty() {
                entry.same_owner = matches!(first, b' ' | b'\t');
            }
            line_start = false;
            match first {
                b'\n' => {
                    self.rest = after;
                    self.line += 1;
                    line_start = true;
                    if !open && !entry.tokens.is_empty() {
                        return Ok(Some(entry));
                    }
                }
                b' ' | b'\t' | b'\r' => self.rest = after,
                b';' => self.skip_comment(),
                b'(' if open => return Err(TextError::Nested),
                b')' if !open => return Err(TextError::Close),
                b'(' | b')' => {
                    self.rest = after;
                    open = first == b'(';
                }
                _ => {
                    if entry.tokens.is_empty() {
                        entry.line = self.line;
                    }
                    entry.tokens.push(self.token()?);
                }
            }
        }
        if open {
            self.line = entry.line;
            return Err(TextError::Open);
        }
        Ok((!entry.tokens.is_empty()).then_some(entry))
    }

    fn skip_comment(&mut self) {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
    }

    fn token(&mut self) -> Result<Token, TextError> {
        let quoted = self.rest.first() == Some(&b'"');
        let start = usize::from(quoted);
        let mut within = quoted;
        let mut end = start;
        loop {
            match self.rest.get(end) {
                None | Some(b'\n') if within => return Err(TextError::Quote),
                Some(b'"') if quoted => break,
                // Quotes inside a token, as in alpn="h2,h3" (RFC 9460), stay part of it.
                Some(b'"') => within = !within,
                Some(b'\\') if !matches!(self.rest.get(end + 1), None | Some(b'\n')) => end += 1,
                None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')') if !within => break,
                None | Some(_) => {}
            }
            end += 1;
        }
        let text = self.rest[start..end].to_vec();
        self.rest = &self.rest[end + usize::from(quoted)..];
        Ok(Token { text, quoted })
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, (u32, TextError)>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.entry() {
            Ok(entry) => entry.map(Ok),
            Err(error) => {
                self.rest = &[];
                Some(Err((self.line, error)))
            }
        }
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Entries as text: `line: tokens`, with `~` for an owner left out; errors as `line: error`.
    fn read(text: &str) -> Vec<String> {
        let token = |token: &Token| {
            let text = String::from_utf8_lossy(&token.text).into_owned();
            if token.quoted { format!("<{text}>") } else { text }
        };
        let entry = |entry: Entry| {
            let same = if entry.same_owner { "~ " } else { "" };
            let tokens: Vec<String> = entry.tokens.iter().map(token).collect();
            format!("{}: {same}{}", entry.line, tokens.join(" "))
        };
        Entries::new(text.as_bytes())
            .map(|read| read.map_or_else(|(line, error)| format!("{line}: {error}"), entry))
            .collect()
    }

    #[test]
    fn entries_are_lines_joined_by_parentheses() {
        let text = "\u{feff}$TTL 5 ; five\n\n; nothing\n\
                    @ IN SOA a b (1 ; serial\n\n  2) 3\n\tNS c;d\n  \n e";

        assert_eq!(read(text), ["1: $TTL 5", "4: @ IN SOA a b 1 2 3", "7: ~ NS c", "9: ~ e"]);
    }

    #[test]
    fn quotes_and_backslashes_take_the_meaning_from_what_follows() {
        let text = "a TXT \"x ; (\\\" y\" (\"z\"\n\"\") b\\;c\\ d\\(\nh alpn=\"h2 h3\" \\";

        let expected = ["1: a TXT <x ; (\\\" y> <z> <> b\\;c\\ d\\(", "3: h alpn=\"h2 h3\" \\"];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn broken_text_ends_with_its_line() {
        assert_eq!(read("a\nb \"c\nd"), ["1: a", "2: a quoted string does not end on its line"]);
        assert_eq!(read("a\nb (\nc\n"), ["1: a", "2: a '(' is never closed"]);
        assert_eq!(read("a ( (\n"), ["1: a '(' within ( )"]);
        assert_eq!(read("a )\n"), ["1: a ')' without '('"]);
    }

    #[test]
    fn escapes_are_decimal() {
        let token = Token { text: b"a\\032\\255\\;b".to_vec(), quoted: false };

        assert_eq!(token.bytes(), Ok(b"a \xff;b".to_vec()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn any_text_is_read_to_its_end(text in "[a-b\"\\\\();@$ \t\r\n0-9]{0,60}") {
            for entry in Entries::new(text.as_bytes()).flatten() {
                prop_assert!(!entry.tokens.is_empty());
            }
        }
    }
}
