//! Exponential variates from hashed or random bits, the same to the last bit on every machine.
//!
//! Both weighted orders rest on one fact: of exponential variates divided by their weights, each
//! is the smallest in proportion to its weight (Efraimidis and Spirakis; weighted rendezvous).

use std::f64::consts::LN_2;

/// The exponential variate -ln(u), where u is the fraction that `bits` are of 2^64. Always over 0.
///
/// Written out since the `ln` of platforms differs in the last bit, and owners must not.
pub(super) fn exponential(bits: u64) -> f64 {
    let scaled = odd(bits).to_bits();
    let mut exponent = ((scaled >> 52) as f64) - 1023.0 - 53.0;
    let mut mantissa = f64::from_bits(scaled & MANTISSA | ONE);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    // ln m = 2 atanh((m - 1) / (m + 1)): a series that is right to 1e-10 after six terms for these
    // m, summed in pairs so that no term waits for the one before.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let pair = |i: usize| SERIES[i] + SERIES[i + 1] * z;
    let series = pair(0) + z * z * (pair(2) + z * z * pair(4));
    -(exponent * LN_2 + 2.0 * s * series)
}

/// A number that [`exponential`] of the same bits does not fall below, at a tenth of its cost.
pub(super) fn floor(bits: u64) -> f64 {
    1.0 - odd(bits) / SCALE
}

/// u x 2^53: odd, so never 0 and never 1, and exact.
fn odd(bits: u64) -> f64 {
    ((bits >> 12) << 1 | 1) as f64
}

const SCALE: f64 = 9_007_199_254_740_992.0;
const MANTISSA: u64 = (1 << 52) - 1;
const ONE: u64 = 1023 << 52;
const SERIES: [f64; 6] = [1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0];

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::balance::testing::rng;

    #[test]
    fn agrees_with_the_logarithm() {
        let mut rng = rng(1);
        let edges =
            [0, 1, u64::MAX, u64::MAX - 4096, 1 << 63, (1 << 63) - 1, 0xb504_f333_f9de_6484];

        for bits in (0..10_000).map(|_| rng.next_u64()).chain(edges) {
            let expected = -(odd(bits) / SCALE).ln();

            assert!(exponential(bits) > 0.0);
            assert!((exponential(bits) / expected - 1.0).abs() < 1e-9, "{bits:x}");
            assert!(floor(bits) <= exponential(bits) * (1.0 + 1e-9), "{bits:x}");
        }
    }

    #[test]
    fn values_are_the_same_in_every_release() {
        let values =
            [0, 1 << 62, 0x0123_4567_89ab_cdef, u64::MAX].map(|bits| exponential(bits).to_bits());

        assert_eq!(
            values,
            [
                0x4042_5e4f_7b27_37fa,
                0x3ff6_2e42_fefa_39ed,
                0x4015_aa16_394d_4834,
                0x3ca0_0000_0000_0000
            ]
        );
    }
}
