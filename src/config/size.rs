//! Sizes as text: "512KiB", "1MiB".

use std::str::FromStr;

use serde::Deserialize;

/// A number of bytes, 1KiB-1GiB, that reads as a whole number and one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Size(usize);

impl Size {
    /// How many bytes.
    pub(super) fn bytes(self) -> usize {
        self.0
    }
}

/// A number of bytes of everything of its kind, 1KiB-1TiB, that reads the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TotalSize(usize);

impl TotalSize {
    /// How many bytes.
    pub(super) fn bytes(self) -> usize {
        self.0
    }
}

const UNITS: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SizeError {
    /// Not a number and a unit.
    #[error("{0:?} is not a size, write a whole number and a unit (B, KiB, MiB, GiB)")]
    Syntax(String),
    /// Too little to hold a request, or more than a server should read or hold.
    #[error("{0} is out of range, 1KiB-{1} is allowed")]
    Range(String, &'static str),
}

impl FromStr for Size {
    type Err = SizeError;
    fn from_str(text: &str) -> Result<Self, SizeError> {
        bytes(text, 1 << 30, "1GiB").map(Self)
    }
}

impl TryFrom<String> for Size {
    type Error = SizeError;
    fn try_from(text: String) -> Result<Self, SizeError> {
        text.parse()
    }
}

impl TryFrom<String> for TotalSize {
    type Error = SizeError;
    fn try_from(text: String) -> Result<Self, SizeError> {
        bytes(&text, 1 << 40, "1TiB").map(Self)
    }
}

/// What `text` says, up to `max`, which is `named`.
fn bytes(text: &str, max: u64, named: &'static str) -> Result<usize, SizeError> {
    let syntax = || SizeError::Syntax(text.to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(syntax());
    }
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(syntax)?;
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit));
    let legal = bytes.filter(|bytes| (1 << 10..=max).contains(bytes));
    let legal = legal.and_then(|bytes| usize::try_from(bytes).ok());
    legal.ok_or_else(|| SizeError::Range(text.to_owned(), named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        for (text, bytes) in
            [("1MiB", 1_048_576), ("512KiB", 524_288), ("1GiB", 1 << 30), ("2048B", 2048)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "1", "MiB", "1 MiB", "1MB", "1mib", "-1KiB", "1.5MiB"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::Syntax(text.into())));
        }
        for text in ["0B", "1023B", "2GiB", "99999999999999999999GiB"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::Range(text.into(), "1GiB")));
        }
    }

    #[test]
    fn a_total_may_be_larger() {
        let total = |text: &str| TotalSize::try_from(text.to_owned()).map(TotalSize::bytes);

        assert_eq!(total("2GiB"), Ok(2 << 30));
        assert_eq!(total("1TiB"), Ok(1 << 40));
        assert_eq!(total("1025GiB"), Err(SizeError::Range("1025GiB".into(), "1TiB")));
    }
}
