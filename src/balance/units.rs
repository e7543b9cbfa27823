//! The weights of a pool's units in force, brought into a form that the selectors share.

use crate::balance::pool::Member;

/// The weight of each unit in the smallest whole numbers. Their sum fits u32, and some are over 0
/// unless there are no units: when all are 0 their static weights stand in.
#[derive(Debug, Clone)]
pub(super) struct Units {
    weights: Box<[u32]>,
    total: u32,
    most: u32,
    live: usize,
}

impl Units {
    /// Sums the members' weights for each of `count` units.
    pub(super) fn of(members: &[Member<'_>], count: usize) -> Self {
        let mut sums = vec![0_u64; count];
        for member in members {
            sums[member.unit as usize] += u64::from(member.weight);
        }
        if sums.iter().all(|&sum| sum == 0) {
            for member in members {
                sums[member.unit as usize] += u64::from(member.base.max(1));
            }
        }
        Self::reduced(&sums)
    }

    /// Divides by the greatest common divisor, and by a power of two where the sum is too large;
    /// what is over 0 stays over 0.
    pub(super) fn reduced(sums: &[u64]) -> Self {
        let divisor = sums.iter().copied().fold(0, gcd).max(1);
        let mut weights: Vec<u64> = sums.iter().map(|sum| sum / divisor).collect();
        while weights.iter().sum::<u64>() > u64::from(u32::MAX) {
            for weight in weights.iter_mut().filter(|weight| **weight > 1) {
                *weight /= 2;
            }
        }
        let weights: Box<[u32]> =
            weights.into_iter().map(|weight| u32::try_from(weight).unwrap_or(u32::MAX)).collect();
        Self {
            total: weights.iter().sum(),
            most: weights.iter().copied().max().unwrap_or(0),
            live: weights.iter().filter(|weight| **weight > 0).count(),
            weights,
        }
    }

    /// Each unit's weight.
    pub(super) fn weights(&self) -> &[u32] {
        &self.weights
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// How many units there are.
    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }

    /// How many units have a weight over 0.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Whether all units that have a weight have the same.
    pub(super) fn even(&self) -> bool {
        self.most as usize * self.live == self.total as usize
    }

    /// The units with a weight over 0, or those without.
    pub(super) fn indices(&self, live: bool) -> impl Iterator<Item = u32> + '_ {
        (0_u32..)
            .zip(&self.weights)
            .filter(move |(_, weight)| (**weight > 0) == live)
            .map(|(u, _)| u)
    }

    /// The most units that a sample in exact proportion to weight can hold.
    pub(super) fn widest_sample(&self) -> usize {
        self.total.checked_div(self.most).unwrap_or(0) as usize
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(sums: &[u64]) -> Vec<u32> {
        Units::reduced(sums).weights().to_vec()
    }

    #[test]
    fn weights_are_the_smallest_whole_numbers() {
        assert_eq!(weights(&[1000, 3000, 0]), [1, 3, 0]);
        assert_eq!(weights(&[7, 7]), [1, 1]);
        assert_eq!(weights(&[]), [0; 0]);
    }

    #[test]
    fn a_sum_over_32_bits_is_halved_until_it_fits() {
        assert_eq!(weights(&[1 << 33, 3 << 32, 1]), [1 << 30, 3 << 29, 1]);
    }

    #[test]
    fn the_widest_sample_is_what_the_heaviest_allows() {
        assert_eq!(Units::reduced(&[5, 1, 1]).widest_sample(), 1);
        assert_eq!(Units::reduced(&[2, 1, 1]).widest_sample(), 2);
        assert_eq!(Units::reduced(&[4, 4, 4, 0]).widest_sample(), 3);
        assert_eq!(Units::reduced(&[]).widest_sample(), 0);
    }
}
