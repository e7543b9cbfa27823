//! One line of the log. ASCII without control characters, whatever clients sent: it can be shown on
//! any terminal. No secret: a token is told by its id, a check's headers by their names.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Value, json};

use crate::model::{Actor, InstanceId, Label, Revision, ServiceName, Settings, Token, rfc3339};
use crate::registry::{Deed, Entry, Reason, Shown, Trigger};

/// What is in the log besides changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A server began to serve at this revision.
    Start(Revision),
    /// It ended, with everything stored, at this revision.
    Stop(Revision),
    /// The data folder was made what a snapshot holds, which is this revision from now on.
    Restore(Revision),
    /// This many changes are not in the log: there was no room for them, or they could not be written.
    Gap(u64),
}

/// The line of `mark`.
#[must_use]
pub fn mark(mark: Mark, at: Duration) -> Vec<u8> {
    let (what, revision, lost) = match mark {
        Mark::Start(revision) => ("start", Some(revision), None),
        Mark::Stop(revision) => ("stop", Some(revision), None),
        Mark::Restore(revision) => ("restore", Some(revision), None),
        Mark::Gap(lost) => ("gap", None, Some(lost)),
    };
    let mut line = Vec::new();
    Line { revision, lost, ..Line::new(what, at) }.write(&mut line);
    line
}

/// The line of `entry`.
#[must_use]
pub fn line(entry: &Entry, at: Duration) -> Vec<u8> {
    let mut line = Vec::new();
    write(entry, at, &mut line);
    line
}

/// Appends the line of `entry` to `out`.
pub(super) fn write(entry: &Entry, at: Duration, out: &mut Vec<u8>) {
    let line = Line {
        revision: entry.revision,
        trigger: Some(entry.trigger),
        identity: match &entry.author.actor {
            Actor::Anyone => None,
            Actor::Admin(name) | Actor::Client(name) => Some(name),
        },
        address: entry.author.address,
        ..Line::new("reload", at)
    };
    let line = match &entry.deed {
        Deed::Put { service, before, after } => {
            let id = &after.view.instance.id;
            let (before, after) = differing(before.as_ref().map(instance), Some(instance(after)));
            Line { what: "put", service: Some(service), id: Some(id), before, after, ..line }
        }
        Deed::Remove { service, before, reason } => Line {
            what: "remove",
            service: Some(service),
            id: Some(&before.view.instance.id),
            reason: Some(*reason),
            before: Some(instance(before)),
            after: Some(Value::Null),
            ..line
        },
        Deed::Service { service, before, after } => {
            let (before, after) =
                differing(before.as_deref().map(settings), after.as_deref().map(settings));
            Line { what: "service", service: Some(service), before, after, ..line }
        }
        Deed::Token { before, after } => Line {
            what: "token",
            before: Some(before.as_deref().map_or(Value::Null, token)),
            after: Some(after.as_deref().map_or(Value::Null, token)),
            ..line
        },
        Deed::Reload => line,
    };
    line.write(out);
}

/// What a line holds, in this order.
#[derive(Serialize)]
struct Line<'l> {
    time: String,
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<Trigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'l Label>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'l ServiceName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'l InstanceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
}

impl Line<'_> {
    fn new(what: &'static str, at: Duration) -> Self {
        Self {
            time: rfc3339(at),
            what,
            revision: None,
            trigger: None,
            identity: None,
            address: None,
            service: None,
            id: None,
            reason: None,
            before: None,
            after: None,
            lost: None,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let serialized = self.serialize(&mut Serializer::with_formatter(&mut *out, Ascii));
        serialized.expect("its keys are texts, and memory takes all");
        out.push(b'\n');
    }
}

fn instance(Shown { view, owner }: &Shown) -> Value {
    let mut value = json!(view.instance);
    let Value::Object(fields) = &mut value else { return value };
    fields.extend([
        ("source".to_owned(), json!(view.source)),
        ("owner".to_owned(), json!(owner)),
        ("generation".to_owned(), json!(view.generation)),
        ("usable".to_owned(), json!(view.usable())),
        ("reasons".to_owned(), json!(view.reasons())),
    ]);
    hide_headers(&mut value);
    value
}

fn settings(settings: &Settings) -> Value {
    let mut value = json!(settings);
    hide_headers(&mut value);
    value
}

/// What is told of something that was `before` and is `after`: where there are both, only what is not
/// the same. A status that changes is not to cost a line of all metadata.
fn differing(before: Option<Value>, after: Option<Value>) -> (Option<Value>, Option<Value>) {
    let (mut before, mut after) = (before.unwrap_or_default(), after.unwrap_or_default());
    if let (Value::Object(old), Value::Object(new)) = (&mut before, &mut after) {
        old.retain(|key, value| match new.get(key) {
            Some(same) if same == value => {
                new.remove(key);
                false
            }
            Some(_) | None => true,
        });
    }
    (Some(before), Some(after))
}

fn token(token: &Token) -> Value {
    let time = |seconds| rfc3339(Duration::from_secs(seconds));
    json!({
        "id": token.id(),
        "name": token.identity.name,
        "scopes": token.identity.scopes,
        "services": token.identity.services,
        "networks": token.identity.networks,
        "created_at": time(token.created),
        "expires_at": token.expires.map(time),
    })
}

/// Headers of checks may be credentials.
fn hide_headers(of: &mut Value) {
    let checks = of.get_mut("checks").and_then(Value::as_array_mut);
    let headers = checks.into_iter().flatten().filter_map(|check| check.get_mut("headers"));
    for header in headers.filter_map(Value::as_object_mut).flat_map(|map| map.values_mut()) {
        *header = json!("(hidden)");
    }
}

/// As compact as can be, with an escape for everything that is not ASCII: what turns text around
/// (U+202E), ends lines (U+2028), or is invisible, is seen to be there.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for plain in fragment.split_inclusive(|c: char| !c.is_ascii() || c == DELETE) {
            let special = plain.chars().next_back().filter(|c| !c.is_ascii() || *c == DELETE);
            let length = special.map_or(0, char::len_utf8);
            out.write_all(&plain.as_bytes()[..plain.len() - length])?;
            for unit in special.iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec()) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

const DELETE: char = '\x7f';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ascii(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        text.serialize(&mut Serializer::with_formatter(&mut out, Ascii)).unwrap();
        out
    }

    #[test]
    fn what_could_fool_a_reader_is_escaped() {
        let text = "a\n\u{1b}[31m\u{202e}\u{2028}\u{e9}\u{1f600}\u{7f}z";

        let line = String::from_utf8(ascii(text)).unwrap();

        assert_eq!(line, r#""a\n\u001b[31m\u202e\u2028\u00e9\ud83d\ude00\u007fz""#);
    }

    proptest! {
        #[test]
        fn every_text_is_printable_and_can_be_read_back(text in any::<String>()) {
            let line = ascii(&text);

            prop_assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)));
            prop_assert_eq!(serde_json::from_slice::<String>(&line).unwrap(), text);
        }
    }

    #[test]
    fn marks_say_no_more_than_they_know() {
        let line = |of| String::from_utf8(mark(of, Duration::from_millis(1_500))).unwrap();

        assert_eq!(
            line(Mark::Start(Revision(7))),
            "{\"time\":\"1970-01-01T00:00:01.500Z\",\"what\":\"start\",\"revision\":7}\n"
        );
        assert_eq!(
            line(Mark::Gap(3)),
            "{\"time\":\"1970-01-01T00:00:01.500Z\",\"what\":\"gap\",\"lost\":3}\n"
        );
    }

    #[test]
    fn only_what_differs_is_told_of_what_was_there_before() {
        let before = Some(json!({ "weight": 1, "status": "passing", "gone": true }));
        let after = Some(json!({ "weight": 1, "status": "critical", "new": true }));

        let told = differing(before.clone(), after);

        let old = json!({ "status": "passing", "gone": true });
        let new = json!({ "status": "critical", "new": true });
        assert_eq!(told, (Some(old), Some(new)));
        assert_eq!(differing(None, before.clone()), (Some(Value::Null), before));
    }

    #[test]
    fn the_headers_of_checks_keep_their_names_alone() {
        let mut value =
            json!({"checks": [{"kind": "http", "headers": {"authorization": "x"}}, {}]});

        hide_headers(&mut value);

        let hidden = json!({"checks": [
            {"kind": "http", "headers": {"authorization": "(hidden)"}}, {}
        ]});
        assert_eq!(value, hidden);
    }
}
