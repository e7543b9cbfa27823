//! The instances that may be answered now, and the shaper: how many of them and in what order.

use rand::Rng;

use crate::balance::cast;
use crate::balance::consistent_hash::Rendezvous;
use crate::balance::dice;
use crate::balance::gauges::Gauges;
use crate::balance::least_connections::LeastConnections;
use crate::balance::meter::LazyMeter;
use crate::balance::owners::{Owners, lasting, seat};
use crate::balance::random::Random;
use crate::balance::rate::Estimate;
use crate::balance::room::Room;
use crate::balance::round_robin::RoundRobin;
use crate::balance::traffic::Stream;
use crate::balance::units::Units;
use crate::balance::weighted_round_robin::WeightedRoundRobin;
use crate::balance::weights::equal;
use crate::model::{AnswerMode, Balance, Millis};

/// One instance of a pool, as the selector sees it.
#[derive(Debug, Clone, Copy)]
pub struct Member<'m> {
    /// Its id.
    pub id: &'m str,
    /// The weight in force; 0 takes nothing unless all are 0.
    pub weight: u32,
    /// The static weight.
    pub base: u16,
    /// What is known of its load.
    pub meter: &'m LazyMeter,
    /// The unit it belongs to: an index into [`PoolSpec::records`].
    pub unit: u32,
}

/// What a pool is made of. A unit is the instances that share an address, usually one: they are
/// one record with their weights summed.
#[derive(Debug, Clone)]
pub struct PoolSpec<'m> {
    /// The instances; every unit has at least one.
    pub members: Vec<Member<'m>>,
    /// How many records of the type each unit brings, 1-8.
    pub records: Vec<u8>,
    /// The algorithm.
    pub balance: Balance,
    /// How many are answered.
    pub answer: AnswerMode,
    /// Whether answers may be cached: the record ttl is over 0.
    pub cached: bool,
    /// The most records of a `subset`, `sticky_subset` or `ordered` answer.
    pub max_answers: u16,
}

/// What a selector is asked with.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// [`client_hash`](crate::balance::hash::client_hash) of the client's prefix, where it makes a
    /// difference who asks or where a pool [counts](Pool::counts) it.
    pub client: u64,
    /// The time.
    pub now: Millis,
    /// How many records fit the message.
    pub fit: usize,
    /// Only explain: move no counter, hand nothing out.
    pub peek: bool,
}

/// The instances that may be answered now, ready to be picked from.
#[derive(Debug)]
pub struct Pool {
    units: usize,
    mode: AnswerMode,
    cached: bool,
    k: usize,
    room: Room,
    selector: Selector,
    shape: Shape,
    /// The queries for its answers, where they are counted.
    stream: Option<Stream>,
}

#[derive(Debug)]
enum Selector {
    RoundRobin(RoundRobin),
    Random(Random),
    WeightedRoundRobin(WeightedRoundRobin),
    LeastConnections(Box<(LeastConnections, Gauges)>),
    ConsistentHash(Box<Owners>),
}

/// What an answer is of the algorithm.
#[derive(Debug)]
enum Shape {
    /// Its next choice.
    One,
    /// A sample in proportion to weight, shuffled.
    Sample,
    /// The first of its order.
    Front,
    /// Those that rank first for the client.
    Sticky(Rendezvous),
}

/// Which counter an order takes its turn from. Clients ask for addresses and for SRV in step: with
/// one counter for both, addresses would see every other turn only.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// Address answers.
    Answers,
    /// Orders of every unit.
    Orders,
}

impl Pool {
    /// Computes all that can be computed before a query comes.
    pub fn new(spec: PoolSpec<'_>, rng: &mut impl Rng) -> Self {
        let PoolSpec { members, records, balance, answer, cached, max_answers } = spec;
        let n = records.len();
        let units = Units::of(&members, n);
        let max_answers = usize::from(max_answers.max(1));
        let mode = mode(answer, balance, cached, n <= max_answers && alike(balance, &units));
        let widest = match balance {
            Balance::RoundRobin => units.live(),
            Balance::Random
            | Balance::WeightedRoundRobin
            | Balance::LeastConnections
            | Balance::ConsistentHash => units.widest_sample(),
        };
        let room = Room::of(records);
        let within = |most: usize| room.fitting(most, max_answers);
        let k = match mode {
            AnswerMode::Auto | AnswerMode::All => n,
            AnswerMode::Single => n.min(1),
            AnswerMode::Ordered => within(n),
            AnswerMode::Subset | AnswerMode::StickySubset => within(widest),
        };
        let shape = match mode {
            AnswerMode::Single => Shape::One,
            AnswerMode::Subset if k == 1 => Shape::One,
            AnswerMode::Subset => Shape::Sample,
            AnswerMode::Auto | AnswerMode::All | AnswerMode::Ordered => Shape::Front,
            AnswerMode::StickySubset => {
                let seats = members.iter().map(|m| seat(m, lasting(m, balance)));
                Shape::Sticky(Rendezvous::new(seats, n))
            }
        };
        let sampled = matches!(shape, Shape::Sample);
        let selector = match balance {
            Balance::RoundRobin => Selector::RoundRobin(RoundRobin::new(&units, rng)),
            Balance::Random => Selector::Random(Random::new(&units, sampled, rng)),
            Balance::WeightedRoundRobin => {
                Selector::WeightedRoundRobin(WeightedRoundRobin::new(&units, sampled, rng))
            }
            Balance::LeastConnections => {
                let one = matches!(shape, Shape::One);
                let sampled = sampled || (cached && one);
                let gauges = Gauges::new(&members, n, |member| lasting(member, balance));
                let selector = LeastConnections::new(&units, &gauges, cached, sampled, k, rng);
                Selector::LeastConnections(Box::new((selector, gauges)))
            }
            Balance::ConsistentHash => {
                Selector::ConsistentHash(Box::new(Owners::new(&members, n, balance)))
            }
        };
        Self { units: n, mode, cached, k, room, selector, shape, stream: None }
    }

    /// With its queries counted in `stream`, where it makes a difference: where caches keep answers
    /// of a part of the units, and where keys that are too much for one go to the first `replicas` of
    /// their owners.
    #[must_use]
    pub fn counting(mut self, stream: Stream, replicas: u16) -> Self {
        let in_part = match self.shape {
            Shape::One | Shape::Sample | Shape::Sticky(_) => self.units > 1,
            Shape::Front => false,
        };
        match &mut self.selector {
            _ if self.units == 0 => {}
            Selector::ConsistentHash(owners) => owners.spread(stream, replicas),
            Selector::RoundRobin(_)
            | Selector::Random(_)
            | Selector::WeightedRoundRobin(_)
            | Selector::LeastConnections(_) => {
                self.stream = Some(stream).filter(|_| in_part && self.cached);
            }
        }
        self
    }

    /// Whether it counts who asks: then [`Ask::client`] must be told.
    #[must_use]
    #[inline]
    pub fn counts(&self) -> bool {
        self.stream.is_some()
    }

    /// How many units an answer would have to hold for no cache to send too many requests to too few
    /// at once, when units are busy for this part of the time on average. `None` when nothing is
    /// known, or when no cache sends many.
    #[must_use]
    pub fn k_needed(&self, utilisation: f64, now: Millis) -> Option<usize> {
        let concentration = self.stream.as_ref()?.concentration(now);
        let n = self.units as f64;
        // An answer that serves fewer requests than there are units hits none of them hard.
        (concentration.later >= n).then(|| needed(concentration.share, self.units, utilisation))
    }

    /// How answers are chosen: never `Auto`.
    #[must_use]
    pub fn mode(&self) -> AnswerMode {
        self.mode
    }

    /// How many units an answer holds.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// How many units there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.units
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units == 0
    }

    /// For how many records there must be room so that no [`Pool::pick`] has more than fit: in mode
    /// `All` for all of them, else for those of the unit that has most.
    #[must_use]
    #[inline]
    pub fn least_room(&self) -> usize {
        match self.mode {
            AnswerMode::All => self.room.all(),
            AnswerMode::Auto
            | AnswerMode::Subset
            | AnswerMode::StickySubset
            | AnswerMode::Ordered
            | AnswerMode::Single => self.room.widest(),
        }
    }

    /// The units of an address answer, in its order: at most k, and so few that their records
    /// fit, but at least one. In mode `All` every unit: truncation is the caller's matter.
    /// `out` is cleared first.
    #[inline(always)]
    pub fn pick(&self, ask: &Ask, rng: &mut impl Rng, out: &mut Vec<u32>) {
        out.clear();
        if self.units == 0 {
            // Not even a counter is touched: pools without units may be shared.
            return;
        }
        let fit = if self.mode == AnswerMode::All { usize::MAX } else { ask.fit };
        let k = self.room.fitting(self.k, fit);
        match &self.shape {
            Shape::One => {
                let behind = self.asked_by(ask);
                out.extend(self.one(ask, behind, rng));
            }
            Shape::Sample => {
                let behind = self.asked_by(ask);
                self.sample(k, ask, behind, rng, out);
            }
            Shape::Front => self.front(k, Lane::Answers, ask, rng, out),
            Shape::Sticky(ranks) => {
                self.asked_by(ask);
                ranks.top(ask.client, k, out);
                if !matches!(self.selector, Selector::ConsistentHash(_)) {
                    dice::shuffle(rng, out);
                }
            }
        }
    }

    /// Every unit, in the algorithm's order: SRV. `out` is cleared first.
    pub fn order(&self, ask: &Ask, rng: &mut impl Rng, out: &mut Vec<u32>) {
        out.clear();
        if self.units == 0 {
            return;
        }
        self.front(self.units, Lane::Orders, ask, rng, out);
    }

    /// Who owns a key, where the algorithm itself goes by that.
    #[must_use]
    pub fn owners(&self) -> Option<&Owners> {
        match &self.selector {
            Selector::ConsistentHash(owners) => Some(owners),
            Selector::RoundRobin(_)
            | Selector::Random(_)
            | Selector::WeightedRoundRobin(_)
            | Selector::LeastConnections(_) => None,
        }
    }

    /// Counts a query, and says what is known of those behind the client.
    #[inline]
    fn asked_by(&self, ask: &Ask) -> Estimate {
        match &self.stream {
            Some(stream) if !ask.peek => stream.note(ask.client, ask.now),
            Some(_) | None => Estimate::default(),
        }
    }

    fn one(&self, ask: &Ask, behind: Estimate, rng: &mut impl Rng) -> Option<u32> {
        match &self.selector {
            Selector::RoundRobin(turns) => turns.one(ask),
            Selector::Random(random) => random.one(rng),
            Selector::WeightedRoundRobin(turns) => turns.one(ask),
            Selector::LeastConnections(least) => least.0.one(&least.1, ask, behind, rng),
            Selector::ConsistentHash(owners) => owners.owner(ask.client, ask),
        }
    }

    fn sample(
        &self,
        k: usize,
        ask: &Ask,
        behind: Estimate,
        rng: &mut impl Rng,
        out: &mut Vec<u32>,
    ) {
        match &self.selector {
            Selector::RoundRobin(turns) => turns.sample(k, ask, rng, out),
            Selector::Random(random) => random.sample(k, rng, out),
            Selector::WeightedRoundRobin(turns) => turns.sample(k, ask, rng, out),
            Selector::LeastConnections(least) => least.0.sample(k, &least.1, ask, behind, rng, out),
            Selector::ConsistentHash(owners) => owners.rank(ask.client, k, ask, out),
        }
    }

    #[inline]
    fn front(&self, k: usize, lane: Lane, ask: &Ask, rng: &mut impl Rng, out: &mut Vec<u32>) {
        match &self.selector {
            Selector::RoundRobin(turns) => turns.front(k, lane, ask, rng, out),
            Selector::Random(random) => random.front(k, rng, out),
            Selector::WeightedRoundRobin(turns) => turns.front(k, lane, ask, rng, out),
            Selector::LeastConnections(least) => least.0.front(k, &least.1, ask, rng, out),
            Selector::ConsistentHash(owners) => owners.rank(ask.client, k, ask, out),
        }
    }
}

/// How many of `n` units an answer has to hold where one cache has this share of all requests and
/// units are busy for `utilisation` of the time: so many that they can bear what it sends them, and
/// twice that for the tail (measured in small simulations).
fn needed(share: f64, n: usize, utilisation: f64) -> usize {
    let busy = utilisation.clamp(0.0, 1.0);
    let others = busy * (1.0 - share);
    let bearing = (share * n as f64 * busy / (1.0 - others).max(f64::MIN_POSITIVE)).ceil();
    cast::index(cast::whole(bearing * 2.0)).min(n)
}

/// What an answer is.
///
/// | answer | algorithm | ttl | small and alike | mode |
/// |---|---|---|---|---|
/// | auto | consistent_hash | | | single |
/// | auto | other | 0 | | ordered |
/// | auto | other | over 0 | yes | all |
/// | auto | other | over 0 | no | subset |
/// | any other | | | | as set |
fn mode(answer: AnswerMode, balance: Balance, cached: bool, small_and_alike: bool) -> AnswerMode {
    match answer {
        AnswerMode::Auto if balance == Balance::ConsistentHash => AnswerMode::Single,
        AnswerMode::Auto if !cached => AnswerMode::Ordered,
        AnswerMode::Auto if small_and_alike => AnswerMode::All,
        AnswerMode::Auto => AnswerMode::Subset,
        AnswerMode::All
        | AnswerMode::Subset
        | AnswerMode::StickySubset
        | AnswerMode::Ordered
        | AnswerMode::Single => answer,
    }
}

/// Whether weights make no difference.
fn alike(balance: Balance, units: &Units) -> bool {
    balance == Balance::RoundRobin || equal(units.weights())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::balance::testing::{ANSWERS, BALANCES, Stand, ask, pool, rng, spec};
    use crate::balance::traffic::{Asked, Traffic};

    fn resolved(spec: PoolSpec<'_>) -> (AnswerMode, usize) {
        let pool = Pool::new(spec, &mut rng(1));
        (pool.mode(), pool.k())
    }

    #[test]
    fn auto_is_resolved_by_algorithm_ttl_and_weights() {
        use AnswerMode::{All, Auto, Ordered, Single, Subset};
        use Balance::{ConsistentHash, LeastConnections, Random, RoundRobin, WeightedRoundRobin};
        for (balance, weights, direct, cached) in [
            (ConsistentHash, &[1; 3][..], (Single, 1), (Single, 1)),
            (RoundRobin, &[1, 2, 3], (Ordered, 3), (All, 3)),
            (RoundRobin, &[1; 9], (Ordered, 8), (Subset, 8)),
            (Random, &[10, 11, 10], (Ordered, 3), (All, 3)),
            (Random, &[1, 2, 3], (Ordered, 3), (Subset, 2)),
            (WeightedRoundRobin, &[1, 2, 3], (Ordered, 3), (Subset, 2)),
            (WeightedRoundRobin, &[1; 20], (Ordered, 8), (Subset, 8)),
            (LeastConnections, &[4, 4, 0], (Ordered, 3), (Subset, 2)),
            (LeastConnections, &[99, 1], (Ordered, 2), (Subset, 1)),
        ] {
            let uncached = PoolSpec { cached: false, ..spec(balance, Auto, weights) };

            assert_eq!(resolved(uncached), direct, "{balance:?} {weights:?}");
            assert_eq!(resolved(spec(balance, Auto, weights)), cached, "{balance:?} {weights:?}");
        }
    }

    #[test]
    fn records_of_several_addresses_lower_k() {
        let mut subset = spec(Balance::RoundRobin, AnswerMode::Subset, &[1; 10]);
        subset.records = vec![1, 3, 1, 1, 1, 2, 1, 1, 1, 1];
        assert_eq!(resolved(subset.clone()), (AnswerMode::Subset, 5));

        // All is all, and never less than one.
        subset.answer = AnswerMode::All;
        assert_eq!(resolved(subset.clone()), (AnswerMode::All, 10));
        (subset.answer, subset.max_answers) = (AnswerMode::Ordered, 2);
        assert_eq!(resolved(subset), (AnswerMode::Ordered, 1));
    }

    #[test]
    fn an_answer_is_chosen_to_fit_the_message() {
        let mut subset = spec(Balance::Random, AnswerMode::Subset, &[1; 10]);
        subset.records = vec![2; 10];
        subset.max_answers = 16;
        let pool = Pool::new(subset, &mut rng(1));
        let mut out = Vec::new();
        let mut sizes = |fit| {
            pool.pick(&Ask { fit, ..ask() }, &mut rng(2), &mut out);
            out.len()
        };

        assert_eq!([0, 1, 2, 3, 4, 15, 16, 99].map(&mut sizes), [1, 1, 1, 1, 2, 7, 8, 8]);
    }

    #[test]
    fn nobody_is_picked_from_an_empty_pool() {
        for balance in BALANCES {
            for answer in ANSWERS {
                let pool = pool(balance, answer, &[]);
                let mut out = vec![7];

                pool.pick(&ask(), &mut rng(1), &mut out);
                assert_eq!(out, [0; 0]);
                pool.order(&ask(), &mut rng(1), &mut out);
                assert_eq!((out.len(), pool.owners.owner(1, &ask()), pool.k()), (0, None, 0));
                assert!(pool.is_empty());
            }
        }
    }

    #[test]
    fn an_answer_needs_as_many_as_can_bear_what_one_cache_sends() {
        // The shares for which a small simulation found 6.6 and 8.1, at 80 % of 20.
        assert_eq!([0.122, 0.17, 0.0].map(|share| needed(share, 20, 0.8)), [14, 18, 0]);
        assert_eq!(needed(1.0, 20, 0.8), 20);
        assert_eq!(needed(0.3, 20, 7.0), 20);
    }

    #[test]
    fn pools_that_caches_keep_a_part_of_count_who_asks() {
        use AnswerMode::{All, Ordered, Single, StickySubset, Subset};
        use Balance::{ConsistentHash, LeastConnections, RoundRobin};
        let traffic = || Arc::new(Traffic::new(Duration::from_secs(5), 1));
        let counts = |spec| {
            let pool = Pool::new(spec, &mut rng(1));
            pool.counting(Stream::new(&traffic(), Asked::V4), 1).counts()
        };
        for (balance, answer, expected) in [
            (RoundRobin, Subset, true),
            (LeastConnections, Single, true),
            (RoundRobin, StickySubset, true),
            (LeastConnections, All, false),
            (RoundRobin, Ordered, false),
            (ConsistentHash, Single, false),
        ] {
            let cached = spec(balance, answer, &[1; 20]);
            assert_eq!(counts(cached.clone()), expected, "{balance:?} {answer:?}");
            assert!(!counts(PoolSpec { cached: false, ..cached }));
        }
        assert!(!counts(spec(RoundRobin, Single, &[1])) && !counts(spec(RoundRobin, Single, &[])));
    }

    #[test]
    fn a_heavy_client_makes_more_instances_needed_and_explaining_does_not() {
        let traffic = Arc::new(Traffic::new(Duration::from_secs(5), 1));
        let mut spec = spec(Balance::RoundRobin, AnswerMode::Subset, &[1; 20]);
        spec.max_answers = 4;
        let pool = Pool::new(spec, &mut rng(1)).counting(Stream::new(&traffic, Asked::V4), 1);
        let (mut rng, mut out) = (rng(2), Vec::new());
        let mut asked = |client, now, peek| {
            pool.pick(&Ask { client, now: Millis(now), peek, ..ask() }, &mut rng, &mut out);
        };
        (0..40).for_each(|i| asked(7, i * 5_020, true));
        assert_eq!(pool.k_needed(0.8, Millis(200_800)), None);

        // 50 requests a second behind one, and as many of clients that keep nothing.
        for i in 0..10_000 {
            asked(1_000_000 + i, i * 20, false);
            if i % 251 == 0 {
                asked(7, i * 20, false);
            }
        }

        // About half of all: 20 x 0.5 x 0.8 / 0.6 is 14, and twice that is more than there are.
        assert_eq!(pool.k_needed(0.8, Millis(200_000)), Some(20));
        let idle = pool.k_needed(0.1, Millis(200_000)).unwrap();
        assert!((2..=4).contains(&idle), "{idle}");
    }

    #[test]
    fn keys_stay_when_weights_follow_the_load() {
        let mut dynamic = spec(Balance::WeightedRoundRobin, AnswerMode::Auto, &[1, 1, 2, 2]);
        let before = Stand::new(dynamic.clone(), 1);
        for (member, weight) in dynamic.members.iter_mut().zip([900, 1100, 2500, 1700]) {
            member.weight = weight;
        }
        let after = Stand::new(dynamic, 1);

        for key in 0..1_000 {
            assert_eq!(before.owners.owner(key, &ask()), after.owners.owner(key, &ask()));
        }
    }

    #[test]
    fn sticky_sets_of_round_robin_do_not_look_at_weights() {
        let pool = pool(Balance::RoundRobin, AnswerMode::StickySubset, &[1000; 20]);
        let even = self::pool(Balance::RoundRobin, AnswerMode::StickySubset, &{
            let mut weights = [1; 20];
            weights[3] = 500;
            weights
        });

        for client in 0..100 {
            let set = |pool: &Pool| {
                let mut out = Vec::new();
                pool.pick(&Ask { client, ..ask() }, &mut rng(client), &mut out);
                out.sort_unstable();
                out
            };
            assert_eq!(set(&pool), set(&even));
        }
    }
}
