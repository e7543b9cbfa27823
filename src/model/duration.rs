//! Durations as text: "5s", "250ms", "2m", "24h". The same form in TOML and JSON.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration that reads and prints as a whole number and one unit (ms, s, m, h, d).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DurationText(pub Duration);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a duration, write a whole number and a unit: \"250ms\", \"5s\", \"2m\", \"1h\""
)]
pub struct DurationError(String);

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for DurationText {
    type Err = DurationError;
    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| error())?;
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        let millis = number.checked_mul(*millis).ok_or_else(error)?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl TryFrom<String> for DurationText {
    type Error = DurationError;
    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<DurationText> for String {
    fn from(duration: DurationText) -> Self {
        duration.to_string()
    }
}

impl fmt::Display for DurationText {
    /// The largest of h, m, s, ms that divides it, so that "90s" stays "90s" and "120s" is "2m".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let divides = |(_, unit): &&(&str, u64)| millis.is_multiple_of(u128::from(*unit));
        let (name, unit) = UNITS[..4].iter().rev().find(divides).unwrap_or(&UNITS[0]);
        write!(f, "{}{name}", millis / u128::from(*unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_agree() {
        for (text, millis) in
            [("0s", 0), ("250ms", 250), ("5s", 5_000), ("2m", 120_000), ("24h", 86_400_000)]
        {
            let duration: DurationText = text.parse().unwrap();

            assert_eq!(duration.0, Duration::from_millis(millis));
            assert_eq!(duration.to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "1h30m", "99999999999999999999s"] {
            assert!(text.parse::<DurationText>().is_err(), "{text}");
        }
    }
}
