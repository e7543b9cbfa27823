//! The way out: a reply becomes a table or the server's own JSON, and goes to stdout in one piece.
//!
//! A reader that went away (`signpost ls | head -1`) is no failure: what was asked is done.

use std::io::{self, ErrorKind, Write};

use serde::de::DeserializeOwned;

use crate::cli::args::OutputFormat;
use crate::cli::client::Reply;
use crate::cli::error::ClientError;
use crate::cli::table::Layout;

impl OutputFormat {
    /// Shows `reply`: as `table` renders it, or unchanged but for white space.
    ///
    /// # Errors
    /// When the reply is not a `T`, or stdout does not take it.
    pub(super) fn show<T: DeserializeOwned>(
        self,
        reply: &Reply,
        table: impl FnOnce(&T, Layout) -> String,
    ) -> Result<(), ClientError> {
        let text = match self {
            Self::Table => table(&reply.decode()?, Layout::of_stdout()),
            Self::Json => {
                // Not read into a `Value`: that would sort the keys.
                reply.decode::<serde::de::IgnoredAny>()?;
                indented(&reply.body)
            }
        };
        print(&text)
    }
}

/// Writes `text` to stdout.
///
/// # Errors
/// When stdout does not take it, other than for want of a reader.
pub(super) fn print(text: &str) -> Result<(), ClientError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ClientError::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes `text` to stderr, if that can be done: there is nowhere to tell it that it cannot.
pub(super) fn print_error(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// `text` with its control characters escaped: what a server says must not steer a terminal.
pub(super) fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut printable = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// Valid JSON with every element on a line of its own, and nothing else changed.
fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    let mut just_opened = false;
    for character in json.chars() {
        if in_string {
            text.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        if character.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(character, ']' | '}');
        if closes {
            depth -= 1;
        }
        // An empty list or object stays on its line.
        if just_opened != closes {
            new_line(&mut text, depth);
        }
        just_opened = false;
        text.push(character);
        match character {
            '[' | '{' => {
                depth += 1;
                just_opened = true;
            }
            ',' => new_line(&mut text, depth),
            ':' => text.push(' '),
            '"' => in_string = true,
            _ => {}
        }
    }
    text.push('\n');
    text
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_order_its_numbers_and_its_strings() {
        let json =
            r#"{"z":1.50,"a":[],"o":{ },"l":["x, {\"y\": \\",18446744073709551616],"n":null}"#;

        assert_eq!(
            indented(json),
            r#"{
  "z": 1.50,
  "a": [],
  "o": {},
  "l": [
    "x, {\"y\": \\",
    18446744073709551616
  ],
  "n": null
}
"#
        );
    }

    #[test]
    fn indented_json_is_what_serde_makes_of_it() {
        let json = r#"[{"a":{"b":[1,[2,[]],{"c":{}}]}},"",[[]],true]"#;
        let value: serde_json::Value = serde_json::from_str(json).unwrap();

        let expected = serde_json::to_string_pretty(&value).unwrap() + "\n";
        assert_eq!(indented(json), expected);
        assert_eq!(indented(&expected), expected);
    }

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(printable("a\tb\u{1b}[0m\u{9b}\u{e9}"), "a\\tb\\u{1b}[0m\\u{9b}\u{e9}");
    }
}
