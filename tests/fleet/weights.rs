//! Weights that follow what instances can do: loads become even, and a dead instance is forgotten.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::clients::{Clients, Sent};
use crate::instance::Instance;
use crate::plot::{Plot, sparkline};
use crate::reports::{Reports, Sample, utilisation};
use crate::support::server::{Server, free_instances};
use crate::support::{needs, now};

/// What a request takes of the first six, and of the six that are three times as fast.
const SLOW: Duration = Duration::from_millis(39);
const FAST: Duration = Duration::from_millis(13);

/// Requests a second: 45 % of what all can do, and 90 % of what a slow one can where each has as
/// much as any other.
const RATE: f64 = 0.45 * 6.0 * (1.0 / 0.039 + 1.0 / 0.013);

const LEASE: Duration = Duration::from_secs(5);

/// Who dies.
const VICTIM: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_become_even_and_the_dead_are_forgotten() {
    let ttl = Duration::from_secs(1);
    let server = Server::start("");
    // One address an answer: turns are exact, so that what is seen are the weights and not luck.
    let settings = json!({ "balance": "weighted_round_robin", "ttl": "1s", "answer": "single" });
    server.http.set("web", &settings);
    let addresses = free_instances(12);
    let mut instances = Vec::new();
    for (i, address) in addresses.iter().enumerate() {
        instances.push(Instance::start(*address, if i < 6 { SLOW } else { FAST }).await);
        let body = json!({ "addresses": [address.ip()], "port": address.port(), "ttl": "5s" });
        server.http.register("web", &format!("i-{i}"), &body);
    }

    // It has to be even after three times the reaction time of weights, 10 s, and of clients, ttl.
    let start = now();
    let even = start + 3 * (Duration::from_secs(10) + ttl);
    let death = even + Duration::from_secs(12);
    let forgotten = death + LEASE + ttl;
    let end = forgotten + Duration::from_secs(2);
    let reports = Reports::start(server.http.apart(), &instances);
    let clients = Clients::start(server.dns.address, addresses[0].port(), RATE, end);
    tokio::time::sleep_until(death.into()).await;
    reports.silence(VICTIM);
    instances[VICTIM].kill();
    let death = now();
    let sent = clients.finish().await;
    let samples = reports.finish();

    show(&samples, start, &[even, death, forgotten]);
    let first = utilisations(&samples, start, start + Duration::from_secs(9));
    assert!(mean(&first[..6]) > 2.0 * mean(&first[6..]), "uneven at first: {first:.2?}");
    let later = utilisations(&samples, even, death);
    let off: Vec<f64> = later.iter().map(|of| 100.0 * (of / mean(&later) - 1.0)).collect();
    needs::note(&format!("utilisation off the mean in %: {off:+.1?}"));
    assert!(off.iter().all(|off| off.abs() <= 10.0), "{off:+.1?} % off the mean: {later:.3?}");
    is_forgotten(&sent, addresses[VICTIM].ip(), death, death + LEASE + ttl);
}

fn utilisations(samples: &[Vec<Sample>], from: Instant, to: Instant) -> Vec<f64> {
    samples.iter().map(|samples| utilisation(samples, from, to)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Nobody fails but on the dead one; nobody is sent there once its lease and a ttl are over.
fn is_forgotten(sent: &[Sent], dead: IpAddr, death: Instant, over: Instant) {
    let to_dead = |what: &str, from: Instant, to: Instant| {
        let within = || sent.iter().filter(|sent| (from..to).contains(&sent.at));
        let (all, dead) = (within().count(), within().filter(|sent| sent.to == dead).count());
        needs::note(&format!("{what}: {dead} of {all} requests are sent to it"));
        (all, dead)
    };
    let second = Duration::from_secs(1);
    let (all, before) = to_dead("before one dies", death - 10 * second, death);
    assert!(before * 20 > all, "it had its share before: {before} of {all}");
    let (_, leased) = to_dead("until its lease is over", death, over);
    assert!(leased > 0, "its lease outlives it");
    let (all, after) = to_dead("then", over, over + 3600 * second);
    assert!(after == 0 && all > 100, "{after} of {all} are sent to an instance that is gone");
    let failed = sent.iter().filter(|sent| !sent.answered && sent.to != dead).count();
    assert_eq!(failed, 0, "all others are answered");
}

/// Shows how busy both kinds were over time, past the harness, and draws it into a file.
fn show(samples: &[Vec<Sample>], start: Instant, marks: &[Instant]) {
    let seconds = |moment: Instant| moment.saturating_duration_since(start).as_secs_f64();
    let lines: Vec<Vec<(f64, f64)>> = samples
        .iter()
        .map(|samples| {
            let over_three =
                |four: &[Sample]| (seconds(four[3].at), utilisation(four, four[0].at, four[3].at));
            samples.windows(4).map(over_three).collect()
        })
        .collect();
    let kind = |lines: &[Vec<(f64, f64)>]| -> Vec<f64> {
        let at = |i: usize| lines.iter().filter_map(|line| Some(line.get(i)?.1)).collect();
        let most = lines.iter().map(Vec::len).max().unwrap();
        (0..most).map(|i| mean(&at(i) as &Vec<f64>)).collect()
    };
    needs::note(&format!("utilisation of 6 slow {}", sparkline(&kind(&lines[..6]))));
    needs::note(&format!("utilisation of 6 fast {}", sparkline(&kind(&lines[6..]))));
    let marks: Vec<f64> = marks.iter().map(|mark| seconds(*mark)).collect();
    let path = Plot { lines: &lines, slow: 6, marks: &marks }.save("fleet.svg");
    needs::note(&format!("drawn in {}", path.display()));
}
