//! First places behind caches: the law that samples are made for, and the one that orders break.

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::balance::dice;
use crate::balance::pool::Pool;
use crate::balance::testing::{ask, chi_square_sigmas, pool, rng, spec};
use crate::model::{AnswerMode, Balance};

/// What stands between the server and those who take the first address.
#[derive(Debug, Clone, Copy)]
enum Cache {
    /// Nothing: every client has an answer of its own.
    None,
    /// unbound and BIND: starts at (id + seconds) modulo the number of records.
    Rotate,
    /// One that shuffles for each client.
    Shuffle,
    /// One that hands out what it was given, in that order, until it is over.
    Freeze,
}

const CACHES: [Cache; 4] = [Cache::None, Cache::Rotate, Cache::Shuffle, Cache::Freeze];

const ANSWERS: u32 = 5_000;

/// How often each unit was first for a client.
struct Firsts {
    seen: Vec<u64>,
    /// How many clients there were, and the sum of the squares of how many each answer had.
    clients: f64,
    squares: f64,
}

impl Cache {
    /// Who is first for the next client of a kept answer.
    fn first(self, answer: &mut [u32], rng: &mut SmallRng) -> u32 {
        match self {
            Self::None | Self::Freeze => answer[0],
            Self::Rotate => answer[usize::from(rng.random::<u16>()) % answer.len()],
            Self::Shuffle => {
                dice::shuffle(rng, answer);
                answer[0]
            }
        }
    }

    /// Clients of 1 to 40 lookups each ask for an answer and keep it.
    fn serve(self, pool: &Pool) -> Firsts {
        let (mut rng, mut answer) = (rng(20), Vec::new());
        let mut firsts = Firsts { seen: vec![0; pool.len()], clients: 0.0, squares: 0.0 };
        for _ in 0..ANSWERS {
            pool.pick(&ask(), &mut rng, &mut answer);
            let clients = match self {
                Self::None => 1,
                Self::Rotate | Self::Shuffle | Self::Freeze => rng.random_range(1..=40),
            };
            for _ in 0..clients {
                firsts.seen[self.first(&mut answer, &mut rng) as usize] += 1;
            }
            firsts.clients += f64::from(clients);
            firsts.squares += f64::from(clients * clients);
        }
        firsts
    }

    /// The deviation of a share `p` of first place, where answers of `k` are drawn independently:
    /// that of being in the sets, and that of being first among the clients of a set.
    fn deviation(self, p: f64, k: usize, firsts: &Firsts) -> f64 {
        let k = k as f64;
        let squares = firsts.squares / firsts.clients.powi(2);
        match self {
            Self::None | Self::Freeze => (p * (1.0 - p) * squares).sqrt(),
            Self::Rotate | Self::Shuffle => {
                let included = k * p;
                let sets = included * (1.0 - included) / (k * k) * squares;
                let places = p * (1.0 - 1.0 / k) / firsts.clients;
                (sets.max(0.0) + places).sqrt()
            }
        }
    }
}

#[test]
fn samples_keep_their_shares_behind_every_cache() {
    let mixed = [1, 2, 3, 1, 2, 3, 1, 2, 3, 5, 5, 5];
    for balance in [Balance::Random, Balance::WeightedRoundRobin, Balance::LeastConnections] {
        for weights in [&[1, 2][..], &[45, 60, 60], &mixed, &[1; 20]] {
            let pool = pool(balance, AnswerMode::Subset, weights);
            for cache in CACHES {
                keeps_shares(&pool, cache, weights);
            }
        }
    }
}

#[test]
fn round_robin_is_fair_behind_every_cache_and_looks_at_no_weights() {
    let mut spec = spec(Balance::RoundRobin, AnswerMode::Subset, &[7; 20]);
    // 4 divides 20: turns begin at five places only, and the shuffle has everyone first.
    spec.max_answers = 4;
    spec.members[3].weight = 900;
    let pool = Pool::new(spec, &mut rng(21));

    for cache in CACHES {
        keeps_shares(&pool, cache, &[1; 20]);
    }
}

#[test]
fn one_answer_keeps_its_shares_behind_caches_too() {
    for balance in [Balance::Random, Balance::WeightedRoundRobin, Balance::LeastConnections] {
        let pool = pool(balance, AnswerMode::Single, &[1, 2, 4, 3]);
        for cache in CACHES {
            keeps_shares(&pool, cache, &[1, 2, 4, 3]);
        }
    }
}

/// Why `auto` orders nothing that is cached: behind a cache that rotates, an order of all by weight
/// gives everybody the same.
#[test]
fn an_order_by_weight_is_lost_where_a_cache_rotates() {
    for balance in [Balance::Random, Balance::WeightedRoundRobin, Balance::LeastConnections] {
        let pool = pool(balance, AnswerMode::Ordered, &[1, 2, 3, 4]);

        let (rotated, frozen) = (Cache::Rotate.serve(&pool), Cache::Freeze.serve(&pool));

        let uniform = chi_square_sigmas(&rotated.seen, &[1.0; 4]);
        assert!(uniform < 4.5, "{balance:?}: {:?}", rotated.seen);
        for (seen, weight) in frozen.seen.iter().zip([1.0, 2.0, 3.0, 4.0]) {
            let share = *seen as f64 / frozen.clients;
            let deviation = Cache::Freeze.deviation(weight / 10.0, 4, &frozen);
            assert!((share - weight / 10.0).abs() < 4.0 * deviation, "{balance:?}: {share}");
        }
    }
}

fn keeps_shares(pool: &Pool, cache: Cache, weights: &[u32]) {
    let firsts = cache.serve(pool);
    let total = f64::from(weights.iter().sum::<u32>());
    for (seen, weight) in firsts.seen.iter().zip(weights) {
        let (share, p) = (*seen as f64 / firsts.clients, f64::from(*weight) / total);
        let off = (share - p).abs() / cache.deviation(p, pool.k(), &firsts);
        assert!(off <= 4.0, "{cache:?} {weights:?}: {share:.4} for {p:.4}, {off:.1} deviations");
    }
}
