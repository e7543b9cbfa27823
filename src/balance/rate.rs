//! How often the clients behind one resolver ask, estimated from the few queries that come through.
//!
//! A resolver that caches asks once in the life of an answer, however many clients it has. What
//! tells is the time from the end of that life to the next query: short where many wait, long where
//! few do. On average it is one over their rate, since requests come at random.

/// The times between the queries of one client, as far back as it matters.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Gaps {
    /// How many there were, up to [`Gaps::MEMORY`].
    pub(super) count: u8,
    /// Their moving average, in seconds.
    pub(super) mean: f32,
    /// The shortest in seconds, which slowly forgets: about how long an answer is kept there.
    pub(super) shortest: f32,
}

/// What is known of those behind a client.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Estimate {
    /// Their requests per second; 0 when nothing is known.
    pub(super) rate: f32,
    /// For how many seconds they use one answer; 0 when nobody keeps it.
    pub(super) kept: f32,
}

impl Estimate {
    /// How many requests follow the one that was asked for, with the same answer.
    pub(super) fn later(self) -> f32 {
        self.rate * self.kept
    }

    /// How many requests per second come without asking.
    pub(super) fn unseen(self) -> f32 {
        let later = self.later();
        self.rate * later / (1.0 + later)
    }
}

impl Gaps {
    /// With one more gap of so many seconds.
    pub(super) fn after(self, gap: f32) -> Self {
        let count = (self.count + 1).min(Self::MEMORY);
        if count == 1 {
            return Self { count, mean: gap, shortest: gap };
        }
        // A silent night is one gap, and not the end of what is known.
        let bounded = if self.count < FEW { gap } else { gap.min(self.mean * LONGEST) };
        let mean = self.mean + (bounded - self.mean) / f32::from(count);
        let shortest = self.shortest + (mean - self.shortest) * FORGETS;
        Self { count, mean, shortest: shortest.min(gap) }
    }

    /// For how many seconds an answer is kept.
    ///
    /// | the shortest gap | kept |
    /// |---|---|
    /// | under half of the TTL: several caches, or none | 0: each query is for itself |
    /// | up to a second over it: caches count whole seconds, and some ask early | the shortest gap |
    /// | longer: few clients | the TTL and a second |
    fn kept(self, record_ttl: f32) -> f32 {
        if self.shortest < record_ttl / 2.0 { 0.0 } else { self.shortest.min(record_ttl + 1.0) }
    }

    /// The mean time from the end of an answer's life to the next query, in seconds.
    pub(super) fn idle(self, record_ttl: f32) -> f32 {
        let (kept, count) = (self.kept(record_ttl), f32::from(self.count));
        let over = self.mean - kept;
        // The shortest of few is too long by one part in so many.
        let learned = kept == self.shortest && self.count > 1;
        let fair = if learned { over * count / (count - 1.0) } else { over };
        fair.max(RESOLUTION)
    }

    /// What it says of the client, with the mean rate of the fleet as its prior; 0 when that is not
    /// known. `None` when it is too little to say anything.
    pub(super) fn estimate(self, record_ttl: f32, fleet: f32) -> Option<Estimate> {
        if self.count < FEW {
            return None;
        }
        let count = f32::from(self.count);
        let (mut seen, mut waited) = (count, count * self.idle(record_ttl));
        if fleet > 0.0 {
            seen += PRIOR;
            waited += PRIOR / fleet;
        }
        Some(Estimate { rate: seen / waited, kept: self.kept(record_ttl) })
    }

    /// How many gaps are remembered.
    pub(super) const MEMORY: u8 = 32;
}

/// From how many gaps on they say something.
const FEW: u8 = 3;

/// How many times the mean a gap counts at most.
const LONGEST: f32 = 8.0;

/// How far the shortest gap goes to the mean with each query: a single odd query is forgotten.
const FORGETS: f32 = 1.0 / 32.0;

/// The shortest time to wait that can be told from none, in seconds. It bounds the rate.
const RESOLUTION: f32 = 0.001;

/// How many queries the prior counts as. Resolvers differ by orders of magnitude: it is weak.
const PRIOR: f32 = 1.0 / 16.0;

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::balance::cast;
    use crate::balance::exponential::exponential;
    use crate::balance::testing::rng;

    const TTL: f32 = 5.0;

    /// What is estimated after `count` gaps of a resolver that keeps an answer for `kept` seconds
    /// and has `rate` requests per second.
    fn estimated(count: usize, kept: f64, rate: f64, rng: &mut SmallRng) -> Estimate {
        let gap = |_| cast::single(kept + exponential(rng.random()) / rate);
        let gaps = (0..count).map(gap).fold(Gaps::default(), Gaps::after);
        gaps.estimate(TTL, 0.0).unwrap()
    }

    /// The median of the relative error of the rate in 400 runs.
    fn median_error(count: usize, kept: f64, rate: f64) -> f64 {
        let mut rng = rng(1);
        let error = |_| (f64::from(estimated(count, kept, rate, &mut rng).rate) / rate - 1.0).abs();
        let mut errors: Vec<f64> = (0..400).map(error).collect();
        errors.sort_by(f64::total_cmp);
        errors[errors.len() / 2]
    }

    #[test]
    fn the_rate_behind_a_cache_is_estimated() {
        for kept in [4.5, 5.0, 5.7] {
            for rate in [0.05, 0.5, 5.0, 100.0] {
                let errors = [5, 20, 400].map(|count| median_error(count, kept, rate));
                println!("kept {kept} rate {rate}: {errors:.2?}");

                // The maximum likelihood of a known TTL is off by 33 %, 14 % and, of 32, 12 %.
                assert!(errors[0] < 0.5 && errors[1] < 0.25 && errors[2] < 0.25, "{kept} {rate}");
            }
        }
    }

    #[test]
    fn an_answer_stands_for_all_who_use_it() {
        let mut rng = rng(2);
        let mut later = |kept, rate| {
            let estimate = estimated(32, kept, rate, &mut rng);
            (estimate.later(), estimate.unseen())
        };

        let (many, unseen) = later(5.0, 40.0);
        assert!(
            (100.0..400.0).contains(&many) && (20.0..80.0).contains(&unseen),
            "{many}, {unseen}"
        );
        let (few, _) = later(5.0, 0.01);
        assert!(few < 0.1, "{few}");
        // Who keeps nothing is asked for each request, however many they are.
        let (none, unseen) = later(0.0, 200.0);
        assert!(none < 0.5 && unseen < 60.0, "{none}, {unseen}");
    }

    #[test]
    fn a_night_and_an_odd_query_are_forgotten() {
        let busy = |gaps: Gaps| (0..200).fold(gaps, |gaps, _| gaps.after(5.05));
        let rate = |gaps: Gaps| gaps.estimate(TTL, 0.0).unwrap().rate;
        let steady = busy(Gaps::default());

        assert!(rate(steady.after(30_000.0)) > 0.5, "{}", rate(steady.after(30_000.0)));
        assert!(rate(busy(steady.after(0.01))) > 5.0, "{}", rate(busy(steady.after(0.01))));
    }

    #[test]
    fn the_mean_of_the_fleet_tempers_what_few_queries_say() {
        let lucky = (0..3).fold(Gaps::default(), |gaps, _| gaps.after(5.0));
        let bold = lucky.estimate(TTL, 0.0).unwrap().rate;
        assert!(bold > 900.0, "{bold}");
        let tempered = lucky.estimate(TTL, 0.1).unwrap().rate;
        assert!((4.0..6.0).contains(&tempered), "{tempered}");
        assert_eq!(Gaps::default().after(5.0).estimate(TTL, 0.1), None);
    }
}
