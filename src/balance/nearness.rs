//! How the traffic of clients at one place is shared between instances near and far.
//!
//! The rule of Envoy's priorities, by localities: what is nearest takes all that it is able to, and
//! what it is not spills over to what comes next. A level is taken to be built for 1.4 times its
//! load, so that it keeps its clients until over 28 % of it is missing. Pure; the registry weighs
//! instances by it when a pool is built.

use crate::balance::cast;
use crate::model::Locality;

/// How near an instance is to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// In the same zone.
    Zone,
    /// In the same region.
    Region,
    /// Elsewhere, or nobody knows where.
    Far,
}

impl Nearness {
    /// Of an instance at `instance` to a client at `client`.
    ///
    /// | zone | region | |
    /// |---|---|---|
    /// | the same | the same, or the instance has none | zone |
    /// | the same | another | far |
    /// | another, or none | the same | region |
    /// | another, or none | another, or none | far |
    #[must_use]
    pub fn of(client: &Locality, instance: Option<&Locality>) -> Self {
        let Some(instance) = instance else { return Self::Far };
        let same_region = instance.region.is_some() && instance.region == client.region;
        let same_zone = instance.zone.is_some() && instance.zone == client.zone;
        if same_zone && (same_region || instance.region.is_none()) {
            Self::Zone
        } else if same_region {
            Self::Region
        } else {
            Self::Far
        }
    }
}

/// The instances of one nearness, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// The static weight of those that should be there.
    pub enabled: u64,
    /// The static weight of those that may be answered.
    pub usable: u64,
    /// Whether any of them has a weight in force.
    pub open: bool,
}

/// What part of the traffic each level gets, nearest first, in millionths. Where all of them are
/// short, the parts add up to less, and only their ratios matter.
///
/// | level | part |
/// |---|---|
/// | the nearest | min(all, 1.4 usable / enabled) |
/// | each other | min(what is left, 1.4 usable / enabled) |
/// | one with nobody, or nobody with a weight | none |
#[must_use]
pub fn parts(levels: [Level; LEVELS]) -> [u32; LEVELS] {
    let mut left = u64::from(ALL);
    levels.map(|Level { enabled, usable, open }| {
        let able = usable * ABLE / enabled.max(usable).max(1);
        // What can take anything at all takes something, or there might be nobody.
        let able = if open && usable > 0 { able.max(1) } else { 0 };
        let part = able.min(left);
        left -= part;
        u32::try_from(part).unwrap_or(ALL)
    })
}

/// Weights such that each level has its part of their sum, and within a level they relate as they
/// did. Those of a level without a part are 0; others stay over 0. Unless they must be `fine`, where
/// one level has it all they are what they were.
#[must_use]
pub fn weigh(
    members: impl Iterator<Item = (Nearness, u32)> + Clone,
    parts: [u32; LEVELS],
    fine: bool,
) -> Vec<u32> {
    let mut sums = [0_u64; LEVELS];
    for (nearness, weight) in members.clone() {
        sums[nearness as usize] += u64::from(weight);
    }
    let alone = !fine && parts.iter().filter(|part| **part > 0).count() <= 1;
    let factor = |nearness: Nearness| match (parts[nearness as usize], sums[nearness as usize]) {
        (0, _) | (_, 0) => 0.0,
        (_, _) if alone => 1.0,
        (part, sum) => f64::from(part) / sum as f64,
    };
    let exact = |(nearness, weight): (Nearness, u32)| f64::from(weight) * factor(nearness);
    let most = members.clone().map(exact).fold(0.0, f64::max);
    let scale = if alone || most == 0.0 { 1.0 } else { f64::from(FINE) / most };
    let whole = |exact: f64| match exact * scale {
        0.0 => 0,
        scaled => u32::try_from(cast::whole(scaled.round())).unwrap_or(u32::MAX).max(1),
    };
    members.map(|member| whole(exact(member))).collect()
}

/// How many kinds of nearness there are.
pub const LEVELS: usize = 3;
/// All traffic, in millionths.
pub const ALL: u32 = 1_000_000;
/// What an unhurt level is able to take.
const ABLE: u64 = 1_400_000;
/// The largest weight where levels share: fine enough for the smallest part.
pub const FINE: u32 = 1 << 24;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::model::Label;

    fn locality(region: &str, zone: &str) -> Locality {
        let label = |text: &str| (!text.is_empty()).then(|| Label::new(text).unwrap());
        Locality { region: label(region), zone: label(zone) }
    }

    /// A level with so many enabled, and of these so many usable.
    fn level(enabled: u64, usable: u64) -> Level {
        Level { enabled, usable, open: usable > 0 }
    }

    #[test]
    fn a_zone_counts_in_its_region() {
        use Nearness::{Far, Region, Zone};
        for (client, instance, nearness) in [
            (("eu", "a"), ("eu", "a"), Zone),
            (("eu", "a"), ("", "a"), Zone),
            (("eu", "a"), ("us", "a"), Far),
            (("eu", "a"), ("eu", "b"), Region),
            (("eu", "a"), ("eu", ""), Region),
            (("eu", ""), ("eu", "a"), Region),
            (("eu", "a"), ("us", "c"), Far),
            (("eu", "a"), ("", "c"), Far),
            (("eu", ""), ("", "a"), Far),
            (("eu", "a"), ("", ""), Far),
        ] {
            let (client, of) = (locality(client.0, client.1), locality(instance.0, instance.1));

            assert_eq!(Nearness::of(&client, Some(&of)), nearness, "{client:?} {of:?}");
            assert_eq!(Nearness::of(&client, None), Far);
        }
    }

    #[test]
    fn what_is_short_spills_over_to_what_comes_next() {
        for (levels, expected) in [
            ([level(10, 10), level(10, 10), level(10, 10)], [ALL, 0, 0]),
            // 72 % is as good as all of them.
            ([level(7, 5), level(10, 10), level(0, 0)], [ALL, 0, 0]),
            ([level(10, 5), level(10, 10), level(10, 10)], [700_000, 300_000, 0]),
            ([level(10, 5), level(10, 1), level(10, 10)], [700_000, 140_000, 160_000]),
            ([level(10, 1), level(0, 0), level(10, 10)], [140_000, 0, 860_000]),
            ([level(10, 0), level(0, 0), level(10, 10)], [0, 0, ALL]),
            ([level(0, 0), level(0, 0), level(10, 2)], [0, 0, 280_000]),
            // All are short, in equal parts.
            ([level(10, 2), level(0, 0), level(10, 2)], [280_000, 0, 280_000]),
        ] {
            assert_eq!(parts(levels), expected, "{levels:?}");
        }
    }

    #[test]
    fn who_has_no_weight_in_force_takes_nothing() {
        let full = Level { open: false, ..level(10, 10) };

        assert_eq!(parts([full, level(10, 10), level(10, 10)]), [0, ALL, 0]);
    }

    #[test]
    fn one_level_that_has_it_all_keeps_its_weights() {
        use Nearness::{Far, Region, Zone};
        let members = [(Zone, 3), (Far, 7), (Zone, 1), (Region, 5)];

        assert_eq!(weigh(members.into_iter(), [ALL, 0, 0], false), [3, 0, 1, 0]);
        assert_eq!(weigh(members.into_iter(), [0, ALL, 0], false), [0, 0, 0, 5]);
        assert_eq!(weigh(members.into_iter(), [0, 0, 280_000], false), [0, 7, 0, 0]);
    }

    fn counts() -> impl Strategy<Value = (u64, u64)> {
        (0..200_u64).prop_flat_map(|enabled| (Just(enabled), 0..=enabled))
    }

    fn nearness() -> impl Strategy<Value = Nearness> {
        prop::sample::select(vec![Nearness::Zone, Nearness::Region, Nearness::Far])
    }

    proptest! {
        #[test]
        fn parts_are_a_law(counts in [counts(), counts(), counts()]) {
            let levels = counts.map(|(enabled, usable)| level(enabled, usable));
            let shared = parts(levels);
            let sum: u32 = shared.iter().sum();

            prop_assert!(sum <= ALL);
            let able = |level: &Level| level.usable * 7 >= level.enabled * 5 && level.usable > 0;
            if levels.iter().any(able) {
                prop_assert_eq!(sum, ALL, "one of them is able to take all");
            }
            if able(&levels[0]) {
                prop_assert_eq!(shared, [ALL, 0, 0], "what is near and well takes all");
            }
            for (part, level) in shared.iter().zip(levels) {
                prop_assert!(level.usable > 0 || *part == 0);
            }
            // One more that is well takes nothing from its level, and gives nothing to those after.
            for at in 0..LEVELS {
                let mut more = levels;
                if more[at].usable < more[at].enabled {
                    more[at].usable += 1;
                    more[at].open = true;
                    let more = parts(more);
                    prop_assert!(more[at] >= shared[at]);
                    prop_assert!(more[..at] == shared[..at]);
                    prop_assert!(more[at + 1..].iter().zip(&shared[at + 1..]).all(|(a, b)| a <= b));
                }
            }
        }

        #[test]
        fn weights_have_the_parts(
            members in vec((nearness(), 0..=65_535_u32), 1..300),
            counts in [counts(), counts(), counts()],
        ) {
            let mut levels = counts.map(|(enabled, usable)| level(enabled, usable));
            for (at, level) in levels.iter_mut().enumerate() {
                level.open = members.iter().any(|(n, weight)| *n as usize == at && *weight > 0);
            }
            let parts = parts(levels);
            let weighed = weigh(members.iter().copied(), parts, false);

            let total: f64 = weighed.iter().map(|w| f64::from(*w)).sum();
            let all: f64 = parts.iter().map(|part| f64::from(*part)).sum();
            for (at, part) in parts.into_iter().enumerate() {
                let of = || members.iter().zip(&weighed).filter(|((n, _), _)| *n as usize == at);
                let sum: f64 = of().map(|(_, w)| f64::from(*w)).sum();
                if part > 0 {
                    let share = f64::from(part) / all;
                    prop_assert!((sum / total - share).abs() < 1e-3, "{} for {share}", sum / total);
                }
                for ((_, before), after) in of() {
                    prop_assert_eq!(*after > 0, *before > 0 && part > 0);
                }
            }
        }
    }
}
