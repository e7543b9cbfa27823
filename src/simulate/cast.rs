//! Conversions between the seconds of a simulation, its counts, and whole numbers.

use std::time::Duration;

use crate::model::Millis;

/// The whole part of what is not negative.
#[expect(clippy::cast_possible_truncation, reason = "a float's cast saturates")]
pub(super) const fn index(number: f64) -> usize {
    number as usize
}

/// An index as it is kept in answers.
#[expect(clippy::cast_possible_truncation, reason = "no simulation has 2^32 of anything it counts")]
pub(super) const fn small(index: usize) -> u32 {
    index as u32
}

/// The nearest number of half the digits.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
pub(super) const fn single(number: f64) -> f32 {
    number as f32
}

/// A point in simulated time as `balance` counts it.
pub(super) fn millis(seconds: f64) -> Millis {
    Millis(index(seconds * 1000.0) as u64)
}

/// A number below `bound` from 64 random bits.
pub(super) fn below(bits: u64, bound: usize) -> usize {
    let high = (u128::from(bits) * bound as u128) >> 64;
    usize::try_from(high).unwrap_or(0)
}

/// Seconds.
pub(super) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
