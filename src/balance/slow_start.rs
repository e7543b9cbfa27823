//! Slow start: the weight of a new instance grows with its age to what it is meant to be.
//!
//! Of its weight it has max(0.1, age / window), in steps, since each is a new view of the service.
//! Pure; the registry knows who is new.

use std::time::Duration;

use crate::balance::cast;
use crate::model::Millis;

/// A factor of 1.
pub const WHOLE: u16 = 1000;

/// What of its weight, in thousandths, an instance has that is new since `since`.
#[must_use]
pub fn factor(since: Millis, now: Millis, window: Duration) -> u16 {
    let age = step_at(now, window).since(since);
    if age >= window {
        return WHOLE;
    }
    let part = age.as_millis() * u128::from(WHOLE) / window.as_millis().max(1);
    u16::try_from(part).unwrap_or(WHOLE).clamp(LEAST, WHOLE)
}

/// When factors change next. All that grow within one window grow at the same times, so that a
/// service is built at most 20 times in a window, however many of its instances are new.
#[must_use]
pub fn next_step(now: Millis, window: Duration) -> Millis {
    step_at(now, window) + step(window)
}

/// `weights` times their `factors`, in whole numbers; only their ratios count. What is over 0 stays
/// over 0.
pub fn scale(weights: &mut [u32], factors: &[u16]) {
    let most = weights.iter().copied().max().unwrap_or(0);
    // Small weights need room for the thousandths; large ones have it.
    let unit = if most <= u32::MAX / u32::from(WHOLE) { 1 } else { u64::from(WHOLE) };
    for (weight, factor) in weights.iter_mut().zip(factors) {
        let least = u64::from(*weight > 0);
        let scaled = (u64::from(*weight) * u64::from(*factor) / unit).max(least);
        *weight = cast::unit(cast::index(scaled));
    }
}

fn step_at(now: Millis, window: Duration) -> Millis {
    let step = u64::try_from(step(window).as_millis()).unwrap_or(u64::MAX);
    Millis(now.0 - now.0 % step)
}

/// A twentieth of the window, but no less than weights are looked at.
fn step(window: Duration) -> Duration {
    (window / 20).max(SHORTEST)
}

/// In thousandths.
const LEAST: u16 = 100;
const SHORTEST: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    #[test]
    fn a_weight_grows_in_steps_of_a_twentieth_and_ends_at_the_whole() {
        let since = Millis(60_000);
        let at = |age: u64| factor(since, Millis(60_000 + age), WINDOW);

        assert_eq!([0, 1_499, 3_000, 4_499, 4_500].map(at), [100, 100, 100, 100, 150]);
        assert_eq!([15_000, 29_999, 30_000, 90_000].map(at), [500, 950, 1000, 1000]);
    }

    #[test]
    fn weights_keep_their_ratios() {
        let mut weights = [3, 1, 1, 0];
        scale(&mut weights, &[1000, 1000, 150, 500]);
        assert_eq!(weights, [3000, 1000, 150, 0]);

        let mut large = [u32::MAX, 1_000_000, 1];
        scale(&mut large, &[1000, 250, 100]);
        assert_eq!(large, [u32::MAX, 250_000, 1]);
    }

    proptest! {
        /// The Envoy formula less a step, never more than the target, never less than before.
        #[test]
        fn a_factor_is_the_formula_but_for_a_step(
            since in 0..10_000_000_u64,
            window in 1..3_600_000_u64,
            ages in prop::collection::vec(0..7_200_000_u64, 2),
        ) {
            let window = Duration::from_millis(window);
            let at = |age: u64| f64::from(factor(Millis(since), Millis(since + age), window));
            let ages = [ages[0].min(ages[1]), ages[0].max(ages[1])];
            for age in ages {
                let formula = |age: f64| (age / window.as_secs_f64() / 1000.0).clamp(0.1, 1.0);
                let step = step(window).as_secs_f64() * 1000.0;
                let (least, most) = (formula(age as f64 - step), formula(age as f64));
                prop_assert!(at(age) >= least * 1000.0 - 1.0 && at(age) <= most * 1000.0 + 1e-6);
            }
            prop_assert!(at(ages[0]) <= at(ages[1]));
        }

        #[test]
        fn between_two_steps_nothing_moves(
            since in 0..100_000_u64,
            now in 100_000..200_000_u64,
            window in 1..600_000_u64,
        ) {
            let window = Duration::from_millis(window);
            let next = next_step(Millis(now), window);
            let (now, last) = (Millis(now), Millis(next.0 - 1));
            prop_assert!(next > now);
            prop_assert_eq!(factor(Millis(since), now, window), factor(Millis(since), last, window));
        }
    }
}
