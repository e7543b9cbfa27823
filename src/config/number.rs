//! Whole numbers of a range, as most keys of numbers are.

use serde::Deserialize;

/// A whole number from `LEAST` to `MOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Number<const LEAST: u32, const MOST: u32>(u32);

impl<const LEAST: u32, const MOST: u32> Number<LEAST, MOST> {
    /// As it is.
    pub(super) fn get(self) -> u32 {
        self.0
    }

    /// As how many of something.
    pub(super) fn count(self) -> usize {
        self.0 as usize
    }
}

impl<const LEAST: u32, const MOST: u32> TryFrom<i64> for Number<LEAST, MOST> {
    type Error = String;
    fn try_from(number: i64) -> Result<Self, String> {
        let within = u32::try_from(number).ok().filter(|n| (LEAST..=MOST).contains(n));
        within
            .map(Self)
            .ok_or_else(|| format!("{number} is out of range, {LEAST}-{MOST} is allowed"))
    }
}
