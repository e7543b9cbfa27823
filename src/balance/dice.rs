//! Uniform draws from any generator, without division.

use rand::Rng;

use crate::balance::cast;

/// A number below `bound`, uniform but for one part in 2^32.
pub(super) fn below(rng: &mut impl Rng, bound: u32) -> u32 {
    high(rng.next_u64(), bound).0
}

/// Shuffles so that every permutation is as likely as any other.
#[inline]
pub(super) fn shuffle(rng: &mut impl Rng, items: &mut [u32]) {
    match items.len() {
        0 | 1 => {}
        2..=FEW => shuffle_few(rng.next_u64(), items),
        _ => shuffle_many(rng, items),
    }
}

#[inline]
fn shuffle_few(mut bits: u64, items: &mut [u32]) {
    for i in (1..items.len()).rev() {
        let (other, rest) = cast::halves(u128::from(bits) * u128::from(i as u64 + 1));
        bits = rest;
        items.swap(i, cast::index(other));
    }
}

fn shuffle_many(rng: &mut impl Rng, items: &mut [u32]) {
    let (mut bits, mut used) = (0, u64::MAX);
    for i in (1..items.len()).rev() {
        let bound = i as u64 + 1;
        // One draw is good for several swaps, as long as the permutations it chooses among are
        // few against 2^64.
        used = used.saturating_mul(bound);
        if used > 1 << 32 {
            (bits, used) = (rng.next_u64(), bound);
        }
        let (other, rest) = cast::halves(u128::from(bits) * u128::from(bound));
        bits = rest;
        items.swap(i, cast::index(other));
    }
}

/// One draw is good for all swaps of so many: 12! is below 2^32.
const FEW: usize = 12;

/// The fraction `bits` / 2^64 of `bound`, rounded down, and the fraction that is left over.
pub(super) fn high(bits: u64, bound: u32) -> (u32, u64) {
    let (whole, rest) = cast::halves(u128::from(bits) * u128::from(bound));
    (cast::unit(cast::index(whole)), rest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::balance::testing::{chi_square_is_plausible, rng};

    #[test]
    fn every_permutation_is_as_likely() {
        let mut rng = rng(1);
        let mut seen = BTreeMap::<[u32; 4], u64>::new();

        for _ in 0..240_000 {
            let mut items = [0, 1, 2, 3];
            shuffle(&mut rng, &mut items);
            *seen.entry(items).or_default() += 1;
        }

        assert_eq!(seen.len(), 24);
        chi_square_is_plausible(&seen.into_values().collect::<Vec<_>>(), &[1.0; 24]);
    }

    #[test]
    fn every_place_is_as_likely_in_a_long_shuffle() {
        let mut rng = rng(2);
        let mut first = vec![0; 50];
        let mut last = vec![0; 50];

        for _ in 0..50_000 {
            let mut items: Vec<u32> = (0..50).collect();
            shuffle(&mut rng, &mut items);
            first[items[0] as usize] += 1;
            last[items[49] as usize] += 1;
        }

        chi_square_is_plausible(&first, &[1.0; 50]);
        chi_square_is_plausible(&last, &[1.0; 50]);
    }

    #[test]
    fn draws_stay_below_their_bound() {
        assert_eq!(high(u64::MAX, 7).0, 6);
        assert_eq!(high(0, 7).0, 0);
        assert_eq!(high(1 << 63, 8).0, 4);
    }
}
