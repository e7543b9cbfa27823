//! Conversions between number types whose range is known where they are called.

/// A number below the length of a slice as its index.
#[expect(clippy::cast_possible_truncation, reason = "below the length of a slice in memory")]
pub(super) const fn index(number: u64) -> usize {
    number as usize
}

/// An index or a count of units as the pools keep it.
#[expect(clippy::cast_possible_truncation, reason = "no pool comes near 2^32 instances")]
pub(super) const fn unit(index: usize) -> u32 {
    index as u32
}

/// The whole part; 0 for what is negative, the largest number for what is too large.
#[expect(clippy::cast_possible_truncation, reason = "a float's cast saturates")]
pub(super) const fn whole(number: f64) -> u64 {
    number as u64
}

/// The nearest number of half the digits.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
pub(super) const fn single(number: f64) -> f32 {
    number as f32
}

/// The high and the low half.
#[expect(clippy::cast_possible_truncation, reason = "halves of 128 bits are 64 bits")]
pub(super) const fn halves(wide: u128) -> (u64, u64) {
    ((wide >> 64) as u64, wide as u64)
}
