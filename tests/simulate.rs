//! What algorithms do to a fleet, by the simulator that `signpost simulate` is: who is better than
//! whom, not by how much. Seeds are fixed, so a test gives the same figures every time.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]
#![expect(clippy::print_stdout, reason = "figures that say how near a test is to failing")]

use std::process::{Command, Output};
use std::time::Duration;

use signpost::model::{
    AnswerMode, Balance, DurationText, MaxAnswers, RecordTtl, SlowStart, Weight,
};
use signpost::simulate::compare::{Job, Runner, Trial};
use signpost::simulate::outcome::Figures;
use signpost::simulate::plan::{
    CacheOrder, Caches, Clients, Fleet, Plan, Reports, Service, ServiceSpread, Stub,
};
use signpost::simulate::scenario::Scenario;

use AnswerMode::{All, Auto, Single, Subset};
use Balance::{ConsistentHash, LeastConnections, Random, RoundRobin, WeightedRoundRobin};

fn millis(millis: u64) -> DurationText {
    DurationText(Duration::from_millis(millis))
}

/// 20 servers of speed 1 at load 0.8, that take 20 ms for a request and report every second, asked
/// directly.
fn plan(requests: u64) -> Plan {
    Plan {
        fleet: Fleet {
            speeds: vec![1.0; 20],
            weights: vec![Weight::default(); 20],
            workers: 1,
            service_time: millis(20),
            service_spread: ServiceSpread::Exponential,
            capacity: None,
            reports: Reports { every: millis(1_000), loss: 0.0 },
            lease: millis(30_000),
        },
        clients: Clients { load: 0.8, requests, stub: Stub::First, connect_timeout: millis(1_000) },
        caches: Caches {
            resolvers: 0,
            zipf: 1.0,
            order: CacheOrder::Rotate,
            min_ttl: millis(0),
            extenders: 0.0,
        },
        name_servers: 1,
        scenario: Scenario::Steady,
    }
}

/// Half of the servers at speed 1 and half at 3, with weights to match.
fn mixed(plan: Plan) -> Plan {
    let speeds: Vec<f64> = (0..20).map(|i| if i < 10 { 1.0 } else { 3.0 }).collect();
    let weight = |i| Weight::new(if i < 10 { 1 } else { 3 }).unwrap();
    Plan { fleet: Fleet { speeds, weights: (0..20).map(weight).collect(), ..plan.fleet }, ..plan }
}

/// Behind this many caches.
fn cached(plan: Plan, resolvers: u32) -> Plan {
    Plan { caches: Caches { resolvers, ..plan.caches }, ..plan }
}

fn reporting(plan: Plan, every: u64) -> Plan {
    let reports = Reports { every: millis(every), loss: 0.0 };
    Plan { fleet: Fleet { reports, ..plan.fleet }, ..plan }
}

fn loaded(plan: Plan, load: f64) -> Plan {
    Plan { clients: Clients { load, ..plan.clients }, ..plan }
}

/// Reports count where an algorithm goes by them, and not in the weights of a schedule.
fn service(balance: Balance, ttl: u64) -> Service {
    Service {
        balance,
        weighted: true,
        reports: balance == LeastConnections,
        answer: Auto,
        max_answers: MaxAnswers::default(),
        ttl: RecordTtl::new(Duration::from_secs(ttl)).unwrap(),
        slow_start: SlowStart::default(),
    }
}

/// Weights from load alone.
fn dynamic(ttl: u64) -> Service {
    Service { weighted: false, reports: true, ..service(WeightedRoundRobin, ttl) }
}

fn at_most(max_answers: i64, service: Service) -> Service {
    Service { max_answers: MaxAnswers::new(max_answers).unwrap(), ..service }
}

fn trials<const N: usize>(plan: &Plan, seeds: &[u64], services: [Service; N]) -> [Trial; N] {
    let runner = Runner { seeds, threads: 2, progress: &|_| () };
    let trials = runner.trials(&services.map(|service| Job { plan, service }));
    for trial in &trials {
        let (mode, k) = trial.shape();
        println!(
            "{} {mode:?}({k}) p50 {:.0} p99 {:.0} ms, imbalance {:.2}, stale {}",
            trial.service.label(),
            median(trial, |f| f.p50_ms),
            trial.p99(),
            median(trial, |f| f.imbalance),
            median(trial, |f| f.stale),
        );
    }
    trials.try_into().unwrap()
}

fn median(trial: &Trial, figure: impl Fn(&Figures) -> f64) -> f64 {
    trial.figure(|figures| Some(figure(figures))).unwrap().median
}

/// Fails unless each has a lower 99th percentile than the next, by this factor at least.
fn in_order(better: &[&Trial], factor: f64) {
    for pair in better.windows(2) {
        let (better, worse) = (pair[0].p99(), pair[1].p99());
        assert!(better * factor < worse, "{better} and {worse}");
    }
}

#[test]
fn asked_directly_fresh_loads_beat_turns_and_turns_beat_chance() {
    let fresh = reporting(plan(120_000), 100);
    let all = [LeastConnections, RoundRobin, WeightedRoundRobin, Random, ConsistentHash];
    let [least, turns, weighted, random, hash] =
        trials(&fresh, &[1, 2], all.map(|balance| service(balance, 0)));

    in_order(&[&least, &turns, &random, &hash], 1.2);
    // Equal weights are turns.
    in_order(&[&least, &weighted, &random], 1.2);
    // Old loads say nothing; what was handed out since makes turns of two choices.
    let old = reporting(plan(120_000), 10_000);
    let [stale] = trials(&old, &[1, 2], [service(LeastConnections, 0)]);
    in_order(&[&stale, &random], 1.2);
    assert!(stale.p99() < 1.25 * turns.p99());
}

#[test]
fn stale_loads_are_never_worse_than_chance() {
    for every in [20, 100, 1_000, 5_000, 10_000] {
        for spread in [ServiceSpread::Exponential, ServiceSpread::Lognormal] {
            let mut plan = reporting(plan(80_000), every);
            plan.fleet.service_spread = spread;
            println!("reports every {every} ms of a fleet that is {spread:?}:");
            let [least, random] =
                trials(&plan, &[1], [service(LeastConnections, 0), service(Random, 0)]);

            in_order(&[&least, &random], 1.1);
        }
    }
}

#[test]
fn a_mixed_fleet_needs_weights_and_load_finds_them() {
    let plan = loaded(mixed(plan(300_000)), 0.6);
    let [known, found, turns] =
        trials(&plan, &[1], [service(WeightedRoundRobin, 0), dynamic(0), service(RoundRobin, 0)]);

    in_order(&[&known, &turns], 10.0);
    in_order(&[&found, &turns], 10.0);
    assert!(found.p99() < 1.2 * known.p99());
    // Weights move in steps of 5 %: what is found is off by half a step on average.
    let spread = |trial: &Trial| median(trial, |figures| figures.utilisation_stdev);
    let bound = 1.1 * spread(&known).hypot(0.6 * 0.05 / 2.0);
    assert!(spread(&found) < bound, "{} over {bound}", spread(&found));
}

#[test]
fn behind_caches_spread_matters_more_than_the_algorithm() {
    let plan = cached(plan(100_000), 2000);
    let by_spread = |balance| {
        trials(&plan, &[1, 2], [20, 8, 4, 1].map(|most| at_most(most, service(balance, 5))))
    };
    let [turns, random, least] = [RoundRobin, Random, LeastConnections].map(by_spread);

    for [all, eight, four, one] in [&turns, &random, &least] {
        in_order(&[all, eight, four, one], 1.5);
    }
    // Idle capacity is worth something where few are answered, and nothing where all are.
    for k in 1..4 {
        in_order(&[&least[k], &turns[k]], 1.2);
        in_order(&[&least[k], &random[k]], 1.2);
    }
    assert!((least[0].p99() / turns[0].p99() - 1.0).abs() < 0.15);
}

#[test]
fn behind_caches_a_mixed_fleet_wants_as_wide_a_sample_as_its_weights_allow() {
    let plan = cached(mixed(plan(200_000)), 2000);
    let weighted = service(WeightedRoundRobin, 5);
    let services = [
        at_most(20, Service { answer: Subset, ..weighted }),
        at_most(8, weighted),
        at_most(4, weighted),
        at_most(1, weighted),
        Service { answer: All, ..weighted },
    ];
    let [widest, eight, four, one, all] = trials(&plan, &[1, 2], services);

    assert_eq!(widest.shape().1, 13);
    in_order(&[&widest, &eight], 1.1);
    in_order(&[&eight, &four, &one], 1.5);
    // A cache that turns a whole list has no use for weights.
    in_order(&[&one, &all], 1.5);
}

#[test]
fn srv_keeps_weights_through_any_cache() {
    for order in [CacheOrder::Rotate, CacheOrder::Freeze] {
        for stub in [Stub::Srv, Stub::SrvHaproxy] {
            let mut plan = cached(mixed(plan(60_000)), 2000);
            (plan.caches.order, plan.clients.stub) = (order, stub);
            let [srv] = trials(&plan, &[1], [service(WeightedRoundRobin, 30)]);

            assert!(off(&plan, &[srv]) < 0.005);
        }
    }
}

/// Of servers that are known to be of two speeds, those that are idle are better still.
#[test]
fn behind_caches_idle_capacity_is_worth_more_than_true_weights() {
    let plan = cached(loaded(mixed(plan(200_000)), 0.7), 2000);
    for ttl in [5, 30] {
        let widest = |balance| at_most(16, Service { answer: Subset, ..service(balance, ttl) });
        let [idle, known] =
            trials(&plan, &[1, 2], [LeastConnections, WeightedRoundRobin].map(widest));

        in_order(&[&idle, &known], 1.1);
    }
}

/// Behind caches all that was reported is 500 services old on average before the next report comes.
#[test]
fn behind_caches_stale_loads_are_no_worse_than_chance() {
    for (ttl, k) in [(1, 1), (1, 4), (5, 4), (5, 8)] {
        let plan = cached(reporting(plan(100_000), 10_000), 2000);
        let services = [LeastConnections, Random].map(|balance| at_most(k, service(balance, ttl)));
        let [least, random] = trials(&plan, &[1, 2], services);

        // What two seeds tell apart.
        assert!(least.p99() < 1.15 * random.p99(), "{} and {}", least.p99(), random.p99());
    }
}

#[test]
fn under_a_long_ttl_only_spread_helps() {
    let plan = cached(plan(100_000), 2000);
    let turns = service(RoundRobin, 30);
    let [all, eight, one] = trials(&plan, &[1, 2], [at_most(20, turns), turns, at_most(1, turns)]);

    in_order(&[&all, &eight, &one], 2.0);
}

#[test]
fn weights_from_load_settle_and_do_not_swing() {
    for ttl in [0, 5, 30] {
        let plan = cached(loaded(mixed(plan(600_000)), 0.6), 2000);
        let [found] = trials(&plan, &[1], [at_most(13, dynamic(ttl))]);

        let weights = &found.outcomes[0].weights;
        let mean = |weights: &[u32]| f64::from(weights.iter().sum::<u32>()) / 10.0;
        let ratio = mean(&weights[..10]) / mean(&weights[10..]);
        assert!((0.3..0.37).contains(&ratio), "ttl {ttl}: {ratio}");
        let swing = median(&found, |figures| figures.weight_swing);
        println!("ttl {ttl}: swing {swing}");
        // A factor of 1.2, and a step of 5 %.
        assert!(swing < 1.26, "ttl {ttl}: {swing}");
    }
}

/// How far the share of any server is off its weight's, over all runs.
fn off(plan: &Plan, trials: &[Trial]) -> f64 {
    let outcomes: Vec<_> = trials.iter().flat_map(|trial| &trial.outcomes).collect();
    let weights = plan.fleet.weights.iter().map(|weight| f64::from(weight.get()));
    let all: f64 = weights.clone().sum();
    let share = |i: usize| {
        outcomes.iter().map(|outcome| outcome.shares[i]).sum::<f64>() / outcomes.len() as f64
    };
    weights.enumerate().map(|(i, weight)| (share(i) - weight / all).abs()).fold(0.0, f64::max)
}

#[test]
fn a_sample_has_the_shares_of_its_weights_under_every_cache() {
    for (resolvers, order) in [
        (0, CacheOrder::Freeze),
        (2000, CacheOrder::Rotate),
        (2000, CacheOrder::Shuffle),
        (2000, CacheOrder::Freeze),
    ] {
        for balance in [Random, WeightedRoundRobin] {
            let mut plan = loaded(mixed(cached(plan(20_000), resolvers)), 0.3);
            // Few requests last long: it is the number of answers that counts.
            plan.fleet.service_time = millis(400);
            plan.caches.order = order;
            let runs = trials(&plan, &[1, 2, 3, 4, 5, 6], [service(balance, 5)]);

            let off = off(&plan, &runs);
            println!("{resolvers} {order:?}: off by {off}");
            assert!(off < 0.01, "{resolvers} {order:?} {balance:?}: {off}");
        }
    }
}

#[test]
fn the_dead_are_asked_for_until_their_lease_is_over_and_no_longer() {
    let seeds: Vec<u64> = (1..=20).collect();
    let mut plan = cached(plan(14_000), 2000);
    plan.scenario = Scenario::Kill;
    plan.fleet.service_time = millis(100);
    plan.fleet.lease = millis(6_000);
    // It dies anywhere between two renewals, two seconds apart.
    let (rate, found_out) = (plan.rate() / 20.0, 5.0);
    let single = |ttl| Service { answer: Single, ..service(Random, ttl) };
    let mean = |trial: &Trial| {
        trial.outcomes.iter().map(|outcome| outcome.figures.stale).sum::<f64>() / 20.0
    };

    for ttl in [0, 1, 5] {
        let [trial] = trials(&plan, &seeds, [single(ttl)]);
        let bound = 1.25 * rate * (found_out + ttl as f64 / 2.0);
        assert!(mean(&trial) < bound, "ttl {ttl}: {} over {bound}", mean(&trial));
        // The ttl of an answer ends with the lease; a second is the least there is.
        let gone = (plan.seconds() * 0.4 + 6.0 + 1.0).ceil();
        for outcome in &trial.outcomes {
            let later = outcome.watched.iter().enumerate().filter(|(i, _)| *i as f64 >= gone);
            assert_eq!(later.map(|(_, share)| share).sum::<f64>(), 0.0);
        }
    }

    // Caches that keep answers for longer than they are told ask for the dead for longer.
    plan.caches.min_ttl = millis(30_000);
    let [kept] = trials(&plan, &seeds, [single(5)]);
    plan.caches.min_ttl = millis(0);
    let [told] = trials(&plan, &seeds, [single(5)]);
    assert!(mean(&kept) > 1.5 * mean(&told), "{} and {}", mean(&kept), mean(&told));
}

#[test]
fn who_cannot_reach_the_registry_is_missed_only_if_its_lease_is_short() {
    let mut plan = cached(loaded(plan(60_000), 0.4), 200);
    plan.scenario = Scenario::Partition;
    plan.fleet.service_time = millis(100);
    let watched = |trial: &Trial, from: f64, to: f64| {
        let seconds = &trial.outcomes[0].watched;
        let at = |second: f64| whole(plan.seconds() * 0.4 + second);
        seconds[at(from)..at(to)].iter().sum::<f64>() / (to - from)
    };
    for (lease, expected) in [(15, 0.0), (90, 0.5)] {
        let mut plan = plan.clone();
        plan.fleet.lease = millis(lease * 1_000);
        let [trial] = trials(&plan, &[1], [service(RoundRobin, 5)]);

        // From when every lease is over and forgotten, to when they are back.
        let gone = watched(&trial, 22.0, 30.0);
        assert!((gone - expected).abs() < 0.03, "lease {lease}: {gone}");
        let back = watched(&trial, 40.0, 60.0);
        assert!((back - 0.5).abs() < 0.03, "lease {lease}: {back}");
        assert_eq!(median(&trial, |f| f.stale), 0.0, "they are there all the time");
    }
}

#[test]
fn who_is_drained_is_missed_by_nobody_whose_cache_obeys() {
    let mut plan = cached(plan(60_000), 200);
    plan.scenario = Scenario::ScaleIn;
    plan.fleet.service_time = millis(100);
    // Those who stay can carry it.
    let [obeyed] = trials(&plan, &[1], [service(RoundRobin, 5)]);
    assert_eq!(median(&obeyed, |f| f.stale), 0.0);
    assert_eq!(obeyed.figure(|f| f.stale_s), None);

    plan.caches.min_ttl = millis(30_000);
    let [kept] = trials(&plan, &[1], [service(RoundRobin, 5)]);
    assert!(median(&kept, |f| f.stale) > 100.0);
    let stale = kept.figure(|f| f.stale_s).unwrap().median;
    assert!((15.0..=31.0).contains(&stale), "{stale}");
}

#[test]
fn churn_moves_only_what_it_must_of_a_hash() {
    let mut plan = cached(plan(100_000), 400);
    plan.caches.zipf = 0.0;
    plan.fleet.service_time = millis(100);
    let moves = |plan: &Plan| {
        let services = [service(ConsistentHash, 5), service(Random, 5)];
        trials(plan, &[1], services).map(|trial| median(&trial, |f| f.moves))
    };
    let [steady, _] = moves(&plan);
    assert_eq!(steady, 0.0);

    plan.scenario = Scenario::Churn;
    let [hash, random] = moves(&plan);

    // A tenth of the keys moves away a minute, and as many to those that are new.
    let minutes = plan.seconds() * 0.6 / 60.0;
    let requests = 100_000.0 * (1.0 - 0.4 * 0.6);
    let bound = 400.0 * 0.2 * minutes / requests;
    assert!(hash > 0.5 * bound && hash < 1.5 * bound, "{hash}, {bound}");
    assert!(random > 0.8);
}

#[test]
fn the_new_start_slowly_where_that_is_asked_for() {
    let mut plan = plan(100_000);
    plan.scenario = Scenario::ScaleOut;
    plan.fleet.service_time = millis(100);
    let slow_start = SlowStart::new(Duration::from_secs(60)).unwrap();
    let fault = whole(plan.seconds() * 0.4);

    for balance in [RoundRobin, WeightedRoundRobin, Random, LeastConnections] {
        let usual = service(balance, 0);
        let [at_once, slowly] = trials(&plan, &[1], [usual, Service { slow_start, ..usual }]);

        let share = |trial: &Trial, from: usize, to: usize| {
            let seconds = &trial.outcomes[0].watched[fault + from..fault + to];
            seconds.iter().sum::<f64>() / (to - from) as f64
        };
        assert!((share(&at_once, 3, 30) - 0.5).abs() < 0.05, "{balance:?}");
        assert!(share(&slowly, 3, 10) < 0.25, "{balance:?}");
        assert!((share(&slowly, 65, 90) - 0.5).abs() < 0.05, "{balance:?}");
    }
}

#[test]
fn clients_that_sort_addresses_themselves_undo_weights_and_turns_alike() {
    let mut plan = loaded(plan(40_000), 0.3);
    plan.clients.stub = Stub::Nearest;
    plan.fleet.service_time = millis(100);
    let turns = service(RoundRobin, 0);
    let [whole, one] = trials(
        &plan,
        &[1],
        [Service { answer: All, ..turns }, Service { answer: Single, ..turns }],
    );

    assert!(median(&whole, |f| f.jain) < 0.8);
    assert!(median(&one, |f| f.jain) > 0.999);
}

#[test]
fn an_answer_is_as_large_as_its_records() {
    let plan = plan(5_000);
    let [eight, one] = trials(
        &plan,
        &[1],
        [service(RoundRobin, 0), Service { answer: Single, ..service(RoundRobin, 0) }],
    );

    // As dig shows them for web.service.local.
    assert_eq!(median(&eight, |f| f.answer_bytes), 12.0 + 23.0 + 11.0 + 8.0 * 16.0);
    assert_eq!(median(&one, |f| f.answer_bytes), 62.0);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let plan = cached(plan(5_000), 20);
    let once = || trials(&plan, &[7], [service(LeastConnections, 5), dynamic(1)]);

    assert_eq!(once(), once());
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of a run")]
fn whole(seconds: f64) -> usize {
    seconds as usize
}

fn signpost(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signpost"));
    command.arg("simulate").args(line.split_whitespace()).output().unwrap()
}

#[test]
fn flags_that_make_no_sense_are_refused_with_their_range() {
    for (line, flag, range) in [
        ("--servers 0", "--servers", "1..=2000"),
        ("--load 3", "--load", "0.01-1.5"),
        ("--speed 1:200", "--speed", "0.01-100"),
        ("--speed 1,2", "--speed", "--servers 20 wants as many"),
        ("--weights fast", "--weights", "from 1 to 65535"),
        ("--ttl 2h", "--ttl", "0s-1h"),
        ("--reports 10ms", "--reports", "50ms-10m"),
        ("--max-answers 0", "--max-answers", "1..=4096"),
        ("--algorithm best", "--algorithm", "least_connections"),
        ("--scenario kill --requests 2000", "--requests", "--requests 144000 or more"),
        ("--scenario hot_resolver --resolvers 0", "--resolvers", "2 or more"),
        ("--servers 1 --load 0.01 --requests 20000000", "--requests", "or less"),
    ] {
        let output = signpost(line);

        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{line}: {said}");
        assert!(said.contains(flag) && said.contains(range), "{line}: {said}");
    }
}

#[test]
fn the_command_draws_and_says_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "--scenario slow --servers 4 --resolvers 10 --requests 20000 --seeds 2 -o json --plot {}",
        folder.path().display()
    );

    let (once, again) = (signpost(&line), signpost(&line));

    assert!(once == again && once.stderr.is_empty(), "{once:?}");
    let said: serde_json::Value = serde_json::from_slice(&once.stdout).unwrap();
    assert_eq!(said["trials"].as_array().unwrap().len(), 6);
    assert!(said["advice"]["service"]["balance"].is_string());
    assert!(!said["advice"]["reasons"].as_array().unwrap().is_empty());
    for name in ["p99-by-ttl.svg", "imbalance.svg", "response.svg"] {
        let svg = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(svg.starts_with("<svg") && svg.matches("<polyline").count() >= 6, "{name}");
    }
}
