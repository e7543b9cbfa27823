//! Which settings the simulations speak for, and why, in words.
//!
//! What was asked for stays unless something else is clearly better: a difference that the next
//! seed turns around is no reason to change anything.

use std::time::Duration;

use serde::Serialize;

use crate::model::{AnswerMode, Balance, DurationText, MaxAnswers, RecordTtl};
use crate::simulate::compare::{Job, Runner, Trial};
use crate::simulate::plan::{EXTENDED, Plan, Service};

/// What to set, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// What to set.
    pub service: Service,
    /// Why, a sentence or two each.
    pub reasons: Vec<String>,
    /// Each algorithm at other TTLs.
    pub by_ttl: Vec<Trial>,
    /// What is advised at other TTLs, where that is none of these.
    pub advised_by_ttl: Vec<Trial>,
    /// The algorithm with other numbers of instances in an answer.
    pub by_max_answers: Vec<Trial>,
}

/// Weighs `trials`, the algorithms as they were asked for, and simulates half as many requests of
/// what else could be set.
#[must_use]
pub fn advise(plan: &Plan, trials: &[Trial], runner: &Runner<'_>) -> Option<Advice> {
    let shorter = shorter(plan);
    let asked: Vec<Service> = trials.iter().map(|trial| trial.service).collect();
    let by_ttl = sweep(&shorter, runner, asked.iter().flat_map(|s| at_each_ttl(&shorter, *s)));
    let best = best(trials)?;
    let mut service = best.service;
    let mut reasons = vec![of_algorithms(best, trials)];
    reasons.extend(of_weights(&service));

    let by_max_answers = if plan.clients.stub.srv() || best.shape().0 == AnswerMode::Single {
        Vec::new()
    } else {
        sweep(&shorter, runner, at_each_max_answers(service, plan.fleet.speeds.len()))
    };
    let spread = |service: &Service| i64::from(service.max_answers.get());
    if let Some((chosen, others)) = choose(&by_max_answers, &service, |service| -spread(service)) {
        service.max_answers = chosen.service.max_answers;
        reasons.push(of_spread(plan, chosen, &others));
    }
    // What looked clever may only have made up for answers that hold too few.
    if service != best.service {
        let as_wide = |asked: &Service| Service { max_answers: service.max_answers, ..*asked };
        let simpler = asked.iter().filter(|asked| simplicity(asked) < simplicity(&service));
        let wide: Vec<Service> = simpler.chain([&service]).map(as_wide).collect();
        let trials = sweep(&shorter, runner, wide);
        if let Some(simplest) = self::best(&trials).filter(|trial| trial.service != service) {
            let needless = of_weights(&service);
            reasons.retain(|reason| Some(reason) != needless.as_ref());
            reasons.push(of_simpler(simplest, &trials));
            service = simplest.service;
            reasons.extend(of_weights(&service));
        }
    }
    if plan.clients.stub.srv() {
        reasons.push(SRV.to_owned());
    }

    let services = at_each_ttl(&shorter, service);
    let advised_by_ttl = if service == best.service {
        Vec::new()
    } else {
        sweep(&shorter, runner, services.iter().copied())
    };
    let at_ttls = by_ttl.iter().chain(&advised_by_ttl);
    let at_ttls = at_ttls.filter(|trial| services.contains(&trial.service));
    let seconds = |service: &Service| i64::try_from(service.ttl.get().as_secs()).unwrap_or(0);
    // Many a cache keeps what says 0 for seconds: nothing should depend on it unasked.
    let lasting = |trial: &&Trial| trial.service.ttl > RecordTtl::ZERO;
    let unasked = service.ttl > RecordTtl::ZERO && plan.caches.resolvers > 0;
    let (at_some, at_none): (Vec<Trial>, Vec<Trial>) =
        at_ttls.cloned().partition(|trial| !unasked || lasting(&trial));
    if let Some((chosen, mut others)) = choose(&at_some, &service, seconds) {
        others.extend(&at_none);
        service.ttl = chosen.service.ttl;
        reasons.push(of_ttl(plan, chosen, &others));
    }
    reasons.push(of_death(plan));
    Some(Advice { service, reasons, by_ttl, advised_by_ttl, by_max_answers })
}

/// How many simulations [`advise`] makes of one seed, at most, and how many requests each has.
#[must_use]
pub fn work(plan: &Plan, services: usize) -> (usize, u64) {
    (
        services * (TTLS.len() + 2) + MAX_ANSWERS.len() + TTLS.len() + 2,
        shorter(plan).clients.requests,
    )
}

fn shorter(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let least = plan.scenario.least_seconds(&plan) * plan.rate();
    let least = Duration::from_secs_f64(least).as_secs() + 1;
    plan.clients.requests = (plan.clients.requests / 2).max(least).min(plan.clients.requests);
    plan
}

fn sweep(
    plan: &Plan,
    runner: &Runner<'_>,
    services: impl IntoIterator<Item = Service>,
) -> Vec<Trial> {
    let jobs: Vec<Job<'_>> = services.into_iter().map(|service| Job { plan, service }).collect();
    runner.trials(&jobs)
}

fn at_each_ttl(plan: &Plan, service: Service) -> Vec<Service> {
    let mut ttls: Vec<u64> = TTLS.into();
    // A TTL shows what it does when it has passed a few times.
    ttls.retain(|ttl| *ttl as f64 * 8.0 <= plan.seconds());
    ttls.push(service.ttl.get().as_secs());
    ttls.sort_unstable();
    ttls.dedup();
    let ttl = |seconds| RecordTtl::new(Duration::from_secs(seconds)).ok();
    ttls.into_iter().filter_map(ttl).map(|ttl| Service { ttl, ..service }).collect()
}

fn at_each_max_answers(service: Service, servers: usize) -> Vec<Service> {
    let asked = i64::from(service.max_answers.get());
    let mut sizes: Vec<i64> = MAX_ANSWERS.into();
    sizes.retain(|size| usize::try_from(*size).is_ok_and(|size| size < servers));
    sizes.extend(i64::try_from(servers).ok().filter(|servers| *servers <= MOST));
    sizes.push(asked);
    sizes.sort_unstable();
    sizes.dedup();
    let size = |size| MaxAnswers::new(size).ok();
    let with = |max_answers| Service { max_answers, ..service };
    sizes.into_iter().filter_map(size).map(with).collect()
}

/// The simplest of those that are as good as the best.
fn best(trials: &[Trial]) -> Option<&Trial> {
    let good = good(trials);
    good.into_iter().min_by_key(|trial| simplicity(&trial.service))
}

/// The less, the simpler.
fn simplicity(service: &Service) -> Option<usize> {
    SIMPLEST.iter().position(|label| *label == service.label())
}

/// What was asked for when it is as good as the best, else the good one that `preferred` puts
/// highest; and the others.
fn choose<'t>(
    trials: &'t [Trial],
    asked: &Service,
    preferred: impl Fn(&Service) -> i64,
) -> Option<(&'t Trial, Vec<&'t Trial>)> {
    let good = good(trials);
    let as_asked = good.iter().find(|trial| trial.service == *asked);
    let other = || good.iter().max_by_key(|trial| preferred(&trial.service));
    let chosen = *as_asked.or_else(other)?;
    Some((chosen, trials.iter().filter(|trial| trial.service != chosen.service).collect()))
}

/// Those of which no more requests fail than must, and whose 99th percentile is near the least.
fn good(trials: &[Trial]) -> Vec<&Trial> {
    let least = |of: fn(&Trial) -> f64, among: &[&Trial]| {
        among.iter().map(|trial| of(trial)).fold(f64::INFINITY, f64::min)
    };
    let all: Vec<&Trial> = trials.iter().collect();
    let errors = least(Trial::errors, &all) + MORE_ERRORS;
    let mut good: Vec<&Trial> = all.into_iter().filter(|t| t.errors() <= errors).collect();
    let p99 = least(Trial::p99, &good) * NEAR;
    good.retain(|trial| trial.p99() <= p99);
    good
}

fn of_algorithms(best: &Trial, trials: &[Trial]) -> String {
    let chosen = best.service.label();
    let mut others: Vec<&Trial> = trials.iter().filter(|trial| *trial != best).collect();
    if others.is_empty() {
        return format!(
            "{chosen} is the only algorithm that was simulated: p99 {}.",
            ms(best.p99())
        );
    }
    others.sort_by(|a, b| a.p99().total_cmp(&b.p99()));
    let other = |trial: &&Trial| format!("{} {}", trial.service.label(), ms(trial.p99()));
    let others: Vec<String> = others.iter().map(other).collect();
    format!(
        "{chosen} has a p99 of {}; of what is as good, within {:.0} %, it is the simplest. The \
         others: {}.",
        ms(best.p99()),
        (NEAR - 1.0) * 100.0,
        others.join(", ")
    )
}

fn of_simpler(simplest: &Trial, trials: &[Trial]) -> String {
    let (label, most) = (simplest.service.label(), simplest.service.max_answers.get());
    let others = trials.iter().filter(|trial| *trial != simplest);
    let others: Vec<String> =
        others.map(|trial| format!("{} {}", trial.service.label(), ms(trial.p99()))).collect();
    format!(
        "With max_answers {most} {label} is as good and simpler: p99 {}; {}.",
        ms(simplest.p99()),
        others.join(", ")
    )
}

fn of_weights(service: &Service) -> Option<String> {
    match service.balance {
        Balance::WeightedRoundRobin if service.reports => Some(
            "Its weights come from the load that instances report: leave their own weights at 1, \
             since the two are multiplied."
                .to_owned(),
        ),
        Balance::LeastConnections => {
            Some("Instances have to report their connections with each heartbeat.".to_owned())
        }
        Balance::ConsistentHash => {
            Some("It keeps clients with their instances, at the price of even load.".to_owned())
        }
        Balance::RoundRobin | Balance::Random | Balance::WeightedRoundRobin => None,
    }
}

fn of_spread(plan: &Plan, chosen: &Trial, others: &[&Trial]) -> String {
    let (_, k) = chosen.shape();
    let worst = others.iter().max_by(|a, b| a.p99().total_cmp(&b.p99()));
    let worst = worst
        .filter(|worst| worst.p99() > chosen.p99() * NEAR)
        .map(|worst| format!("; with {} p99 would be {}", worst.shape().1, ms(worst.p99())));
    let mut said = format!(
        "With max_answers {} an answer of {} holds {k} instances: p99 {}{}.",
        chosen.service.max_answers.get(),
        chosen.service.label(),
        ms(chosen.p99()),
        worst.unwrap_or_default()
    );
    if let Some((share, needed)) = needed(plan).filter(|_| chosen.service.ttl > RecordTtl::ZERO) {
        said += &format!(
            " Behind caches their number matters more than the algorithm: the largest resolver \
             carries {:.1} % of the requests and wants {needed:.1} instances to spread them over, \
             s n u / (1 - u (1 - s)), and twice as many for the tail.",
            share * 100.0
        );
        let wanted = usize::from(chosen.service.max_answers.get()).min(plan.fleet.speeds.len());
        if (k as f64) < needed && k < wanted {
            said += " It does not get them: weights allow no more in a sample.";
        }
    }
    said
}

/// The share of the largest resolver, and how many instances its answers want.
fn needed(plan: &Plan) -> Option<(f64, f64)> {
    let share = plan.shares().into_iter().reduce(f64::max)?;
    let (n, load) = (plan.fleet.speeds.len() as f64, plan.clients.load.min(0.99));
    Some((share, share * n * load / (1.0 - load * (1.0 - share))))
}

fn of_ttl(plan: &Plan, chosen: &Trial, others: &[&Trial]) -> String {
    let ttl = DurationText(chosen.service.ttl.get());
    let queries = |trial: &Trial| trial.figure(|f| Some(f.dns_qps)).map_or(0.0, |s| s.median);
    let mut said =
        format!("ttl {ttl}: {:.0} queries per second, p99 {}", queries(chosen), ms(chosen.p99()));
    let neighbour = |longer: bool| {
        let side = others.iter().filter(|t| (t.service.ttl > chosen.service.ttl) == longer);
        let near = |t: &&&Trial| t.service.ttl.get().abs_diff(chosen.service.ttl.get());
        side.min_by_key(near)
    };
    for other in [neighbour(false), neighbour(true)].into_iter().flatten() {
        let ttl = DurationText(other.service.ttl.get());
        said += &format!("; at {ttl} {:.0} and {}", queries(other), ms(other.p99()));
    }
    said += ".";
    if plan.caches.resolvers == 0 {
        said += " Nobody caches here: it only says whether answers are made for caches.";
    }
    said
}

fn of_death(plan: &Plan) -> String {
    let lease = plan.fleet.lease;
    let floor = plan.caches.min_ttl.0.as_secs_f64();
    let extended = if plan.caches.extenders > 0.0 { floor.max(EXTENDED) } else { floor };
    let longer = if plan.caches.resolvers > 0 && extended > 0.0 {
        format!(", and resolvers that keep answers for {extended:.0}s do so for as much longer")
    } else {
        String::new()
    };
    format!(
        "Who dies without a word is asked for until its lease of {lease} is over: no TTL goes beyond \
         that{longer}. A shorter lease finds out sooner."
    )
}

/// Milliseconds for people.
#[must_use]
pub fn ms(ms: f64) -> String {
    if ms < 10_000.0 { format!("{ms:.0}ms") } else { format!("{:.1}s", ms / 1000.0) }
}

const SRV: &str = "Clients that ask for SRV get every instance with its weight, whatever max_answers \
                   says.";

/// Figures within this factor are alike.
const NEAR: f64 = 1.15;
/// And shares of failed requests within this.
const MORE_ERRORS: f64 = 0.001;
/// The simplest first.
const SIMPLEST: [&str; 6] = [
    "round_robin",
    "weighted_round_robin",
    "random",
    "weighted_round_robin+load",
    "least_connections",
    "consistent_hash",
];
const TTLS: [u64; 5] = [0, 1, 5, 15, 60];
const MAX_ANSWERS: [i64; 5] = [1, 2, 4, 8, 16];
/// As many A records as an answer of 1232 bytes has room for.
const MOST: i64 = 74;
