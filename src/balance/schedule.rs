//! The smooth weighted schedule, computed once per pool: {5, 1, 1} is a a b a c a a.
//!
//! It is nginx's: every unit gains its weight each turn, the richest is picked and pays the sum
//! of all. Over a period every unit comes exactly as often as its weight says.

use rand::Rng;

use crate::balance::cast;
use crate::balance::dice;
use crate::balance::units::Units;

/// The longest period, unless there are more units than half of it.
const LONGEST: usize = 4096;

/// Who comes in which slot. Read cyclically; empty only when there are no units.
#[derive(Debug)]
pub(super) struct Schedule(Box<[u32]>);

impl Schedule {
    /// Units of the same weight take their turns in random order.
    pub(super) fn new(units: &Units, rng: &mut impl Rng) -> Self {
        let mut order: Vec<u32> = units.indices(true).collect();
        dice::shuffle(rng, &mut order);
        let slots = slots(units, &order);
        order.sort_by_key(|unit| std::cmp::Reverse(slots[*unit as usize]));
        let mut classes: Vec<Class<'_>> = order
            .chunk_by(|a, b| slots[*a as usize] == slots[*b as usize])
            .map(|units| Class { units, next: 0, credit: 0, slots: slots[units[0] as usize] })
            .collect();
        let period: i64 = order.iter().map(|unit| slots[*unit as usize]).sum();
        Self((0..period).filter_map(|_| turn(&mut classes, period)).collect())
    }

    /// Who comes in a slot; any number is one. `None` when there are no units.
    pub(super) fn at(&self, slot: u64) -> Option<u32> {
        let period = self.0.len() as u64;
        let slot = slot.checked_rem(period)?;
        self.0.get(cast::index(slot)).copied()
    }
}

/// Units with the same number of slots. They differ only in how often they were picked so far,
/// so the one that waited longest is the richest, and one credit per class is enough: the turn of
/// a schedule costs its distinct weights, at most 90 in 4096 slots.
struct Class<'a> {
    units: &'a [u32],
    next: usize,
    /// Of the unit that is next.
    credit: i64,
    slots: i64,
}

fn turn(classes: &mut [Class<'_>], period: i64) -> Option<u32> {
    let mut richest = classes.first().map(|class| class.credit + class.slots)?;
    let mut chosen = 0;
    for (i, class) in classes.iter_mut().enumerate() {
        class.credit += class.slots;
        if class.credit > richest {
            (richest, chosen) = (class.credit, i);
        }
    }
    let class = &mut classes[chosen];
    let unit = class.units[class.next];
    class.next += 1;
    if class.next == class.units.len() {
        class.next = 0;
        class.credit -= period;
    }
    Some(unit)
}

/// How many slots each unit gets: its weight, or when the period would be too long the nearest
/// whole numbers in proportion (largest remainders), at least 1 for each of `live`.
fn slots(units: &Units, live: &[u32]) -> Vec<i64> {
    let exact = units.weights().iter().map(|&weight| i64::from(weight));
    if units.total() as usize <= LONGEST {
        return exact.collect();
    }
    let mut slots = vec![0; units.len()];
    let mut left = LONGEST.max(2 * live.len()) as u64;
    let mut weight = u64::from(units.total());
    let of = |unit: u32| u64::from(units.weights()[unit as usize]);
    // The lightest first: who would get less than one slot gets one, at the cost of the others.
    let mut rest = live.to_vec();
    rest.sort_by_key(|unit| std::cmp::Reverse(of(*unit)));
    while let Some(&unit) = rest.last()
        && of(unit) * left < weight
    {
        slots[unit as usize] = 1;
        left -= 1;
        weight -= of(unit);
        rest.pop();
    }
    let remainder = |unit: &u32| of(*unit) * left % weight;
    let mut spare = left;
    for &unit in &rest {
        let whole = of(unit) * left / weight;
        slots[unit as usize] = whole.cast_signed();
        spare -= whole;
    }
    rest.sort_by_key(|unit| std::cmp::Reverse(remainder(unit)));
    for &unit in rest.iter().take(cast::index(spare)) {
        slots[unit as usize] += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::balance::testing::rng;

    fn schedule(weights: &[u64]) -> Box<[u32]> {
        Schedule::new(&Units::reduced(weights), &mut rng(1)).0
    }

    /// nginx's algorithm as it is written down: for each slot, every unit.
    fn by_the_book(weights: &[i64]) -> Vec<u32> {
        let total: i64 = weights.iter().sum();
        let mut credits = vec![0; weights.len()];
        let turn = |_| {
            credits.iter_mut().zip(weights).for_each(|(credit, weight)| *credit += weight);
            let richest = (0..credits.len()).rev().max_by_key(|i| credits[*i]).unwrap();
            credits[richest] -= total;
            cast::unit(richest)
        };
        (0..total).map(turn).collect()
    }

    #[test]
    fn five_one_one_is_a_a_b_a_c_a_a() {
        let slots = schedule(&[5, 1, 1]);

        let (b, c) = (slots[2], slots[4]);
        assert_eq!(*slots, [0, 0, b, 0, c, 0, 0]);
        assert_eq!(b + c, 3);
    }

    #[test]
    fn it_is_what_the_definition_gives() {
        for weights in [&[9, 7, 4, 2, 1][..], &[30, 20, 11, 3], &[100, 1], &[10, 9, 8, 7, 6, 5]] {
            let book: Vec<i64> = weights.iter().map(|weight| weight.to_owned() as i64).collect();

            assert_eq!(*schedule(weights), by_the_book(&book));
        }
    }

    #[test]
    fn every_period_is_exact_and_every_stretch_of_it_close() {
        let mut rng = rng(5);
        for _ in 0..200 {
            let n = rng.random_range(3..=64);
            let weights: Vec<u64> = (0..n).map(|_| rng.random_range(1..=30)).collect();
            let units = Units::reduced(&weights);
            let slots = Schedule::new(&units, &mut rng).0;
            assert_eq!(slots.len(), units.total() as usize);

            let mut counts = vec![0; n];
            slots.iter().for_each(|unit| counts[*unit as usize] += 1);
            assert_eq!(counts, units.weights(), "exact over a period");
            let (prefix, window) = deviations(&slots, &units);
            assert!(prefix <= 1.2, "{weights:?}: prefix {prefix}");
            assert!(window < 2.0, "{weights:?}: window {window}");
        }
    }

    /// How far counts are from what the weights say at worst: since the beginning, and in any
    /// stretch.
    fn deviations(slots: &[u32], units: &Units) -> (f64, f64) {
        let (mut prefix, mut window) = (0.0_f64, 0.0_f64);
        for (unit, &weight) in (0_u32..).zip(units.weights()) {
            let (mut count, mut low, mut high) = (0.0, 0.0_f64, 0.0_f64);
            for (turn, chosen) in (1_u32..).zip(slots) {
                count += f64::from(u8::from(*chosen == unit));
                let off = count - f64::from(turn) * f64::from(weight) / f64::from(units.total());
                (low, high) = (low.min(off), high.max(off));
            }
            prefix = prefix.max(high).max(-low);
            window = window.max(high - low);
        }
        (prefix, window)
    }

    /// The same as nginx's, to the last digit. EDF is at 1.43 and 1.71 for the first, and chance at
    /// 54 and 71.
    #[test]
    fn it_is_as_smooth_as_nginx_s() {
        for (weights, expected) in [
            (&[5, 1, 1][..], (0.572, 1.143, 4)),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], (0.825, 1.645, 2)),
            (&[1_000, 1, 1, 1, 1, 1, 1, 1, 1, 1], (0.905, 1.785, 200)),
        ] {
            let slots: Vec<u32> = schedule(weights).iter().copied().cycle().take(20_000).collect();

            let (prefix, window) = deviations(&slots, &Units::reduced(weights));
            let run = slots.chunk_by(|a, b| a == b).map(<[u32]>::len).max().unwrap();
            println!("{weights:?}: {prefix:.3} {window:.3} {run}");
            assert!(prefix <= expected.0, "{weights:?}: prefix {prefix}");
            assert!(window <= expected.1, "{weights:?}: window {window}");
            assert!(run <= expected.2, "{weights:?}: run {run}");
        }
    }

    #[test]
    fn a_long_period_is_rounded_and_nobody_left_out() {
        let weights: Vec<u64> = (0..1000).map(|i| i * i * 61 + 1).collect();
        let slots = schedule(&weights);
        let mut counts = vec![0_u64; weights.len()];
        slots.iter().for_each(|unit| counts[*unit as usize] += 1);

        let total: u64 = weights.iter().sum();
        assert_eq!(slots.len(), LONGEST);
        assert!(counts.iter().all(|count| *count >= 1));
        for (count, weight) in counts.iter().zip(&weights) {
            let ideal = *weight as f64 / total as f64 * LONGEST as f64;
            assert!((*count as f64 - ideal).abs() < 1.0 + 0.05 * ideal, "{count} for {ideal}");
        }
    }

    #[test]
    fn rounding_goes_to_the_largest_remainders() {
        let units = Units::reduced(&[5000, 3001, 1]);
        let live: Vec<u32> = units.indices(true).collect();

        // 4095 slots are left for 8001: 2559.06 and 1535.94.
        assert_eq!(slots(&units, &live), [2559, 1536, 1]);
    }
}
