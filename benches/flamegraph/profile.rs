//! Reads a profile: pprof's message (github.com/google/pprof, proto/profile.proto), as far as stacks
//! and their counts go. `tests/profile.rs` reads with it too.

use std::collections::HashMap;

/// One stack, and how often it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stack {
    /// The functions, the outermost first.
    pub(crate) frames: Vec<Function>,
    /// The thread that was seen with it.
    pub(crate) thread: String,
    /// In how many samples.
    pub(crate) samples: u64,
}

/// A function as the compiler has named it: an inlined one may have no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Where its source was; empty when that is not known.
    pub(crate) file: String,
}

/// The stacks of a profile; `None` when `bytes` are no such message.
pub(crate) fn stacks(bytes: &[u8]) -> Option<Vec<Stack>> {
    let profile = Message::parse(bytes)?;
    let strings: Option<Vec<String>> =
        profile.all(6).map(|text| String::from_utf8(text?.to_vec()).ok()).collect();
    let strings = strings?;
    let text = |index: u64| strings.get(usize::try_from(index).ok()?).cloned();
    let mut functions = HashMap::new();
    for function in profile.all(5) {
        let function = Message::parse(function?)?;
        let (name, file) = (text(function.number(2)?)?, text(function.number(4)?)?);
        functions.insert(function.number(1)?, Function { name, file });
    }
    let mut locations = HashMap::new();
    for location in profile.all(4) {
        let location = Message::parse(location?)?;
        // Of inlined functions one each, the innermost first.
        let line = |line: Option<&[u8]>| functions.get(&Message::parse(line?)?.number(1)?).cloned();
        let lines: Option<Vec<Function>> = location.all(4).map(line).collect();
        locations.insert(location.number(1)?, lines?);
    }
    let stack = |sample: Option<&[u8]>| {
        let sample = Message::parse(sample?)?;
        let mut frames = Vec::new();
        for location in sample.numbers(1)? {
            frames.extend(locations.get(&location)?.iter().cloned());
        }
        frames.reverse();
        let thread = match sample.all(3).next() {
            Some(label) => text(Message::parse(label?)?.number(2)?)?,
            None => String::new(),
        };
        Some(Stack { frames, thread, samples: *sample.numbers(2)?.first()? })
    };
    profile.all(2).map(stack).collect()
}

/// The fields of a message with their numbers, in order.
struct Message<'m>(Vec<(u64, Value<'m>)>);

/// A field as it is on the wire.
#[derive(Clone, Copy)]
enum Value<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

impl<'m> Message<'m> {
    fn parse(mut bytes: &'m [u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let value = match key & 7 {
                0 => Value::Number(varint(&mut bytes)?),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).ok()?;
                    let (value, rest) = bytes.split_at_checked(length)?;
                    bytes = rest;
                    Value::Bytes(value)
                }
                // A profile has no others.
                _ => return None,
            };
            fields.push((key >> 3, value));
        }
        Some(Self(fields))
    }

    fn fields(&self, wanted: u64) -> impl Iterator<Item = Value<'m>> {
        self.0.iter().filter(move |(number, _)| *number == wanted).map(|(_, value)| *value)
    }

    /// All fields of a number as bytes; `None` for one that is a number.
    fn all(&self, wanted: u64) -> impl Iterator<Item = Option<&'m [u8]>> {
        self.fields(wanted).map(|value| match value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Number(_) => None,
        })
    }

    /// The number in the field; 0 when it is left out, as the encoding has it.
    fn number(&self, wanted: u64) -> Option<u64> {
        Some(self.numbers(wanted)?.first().copied().unwrap_or(0))
    }

    /// The numbers in all fields of a number, packed or not.
    fn numbers(&self, wanted: u64) -> Option<Vec<u64>> {
        let mut numbers = Vec::new();
        for value in self.fields(wanted) {
            match value {
                Value::Number(number) => numbers.push(number),
                Value::Bytes(mut packed) => {
                    while !packed.is_empty() {
                        numbers.push(varint(&mut packed)?);
                    }
                }
            }
        }
        Some(numbers)
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
