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
