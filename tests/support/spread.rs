//! One service with instances by number, and how often each of them is answered.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::dns::{Dns, Query};
use super::server::Server;

pub(crate) const NAME: &str = "web.service.local";

/// A server with one service of these settings, and an instance for each weight: `i-0` at
/// 10.0.0.0 and 2001:db8::, `i-1` at 10.0.0.1 and 2001:db8::1, ...
pub(crate) fn web(settings: &Value, weights: &[u32]) -> Server {
    let server = Server::start("");
    server.http.set("web", settings);
    register(&server, weights);
    server
}

pub(crate) fn register(server: &Server, weights: &[u32]) {
    let one = |(i, weight): (usize, &u32)| {
        json!({
            "service": "web", "id": format!("i-{i}"), "ttl": null, "port": 80, "weight": weight,
            "addresses": [format!("10.0.0.{i}"), format!("2001:db8::{i:x}")],
        })
    };
    let items: Vec<Value> = weights.iter().enumerate().map(one).collect();
    server.http.batch(&items);
}

/// Which instances an answer holds, in its order.
pub(crate) fn ask(dns: &Dns, query: &Query) -> Vec<usize> {
    let reply = dns.query(query);
    let number = |data: &str| {
        let last = data.rsplit(['.', ':']).next().unwrap();
        if data.contains("::") {
            usize::from_str_radix(last, 16).unwrap_or(0)
        } else {
            last.parse().unwrap()
        }
    };
    reply.data().into_iter().map(number).collect()
}

pub(crate) fn ask_a(dns: &Dns) -> Vec<usize> {
    ask(dns, &Query::new(NAME, "A"))
}

/// Which instances an SRV answer holds, in its order.
pub(crate) fn ask_srv(dns: &Dns, query: &Query) -> Vec<usize> {
    let reply = dns.query(query);
    let number = |data: &str| data.split("i-").nth(1).unwrap().split('.').next().unwrap().parse();
    reply.data().into_iter().map(|data| number(data).unwrap()).collect()
}

/// Whether `found` of `draws` is within five standard deviations of the probability `p`.
pub(crate) fn plausible(found: usize, draws: usize, p: f64) -> bool {
    let (found, draws) = (found as f64, draws as f64);
    let deviation = (draws * p * (1.0 - p)).sqrt();
    // Counts are whole; for tiny expectations one more is nothing.
    (found - draws * p).abs() <= 5.0 * deviation + 1.0
}

/// Asserts that each instance has its share by weight.
pub(crate) fn assert_shares(
    what: &str,
    counts: &BTreeMap<usize, usize>,
    draws: usize,
    weights: &[u32],
) {
    let sum: u32 = weights.iter().sum();
    for (i, weight) in weights.iter().enumerate() {
        let found = counts.get(&i).copied().unwrap_or(0);
        let share = f64::from(*weight) / f64::from(sum);
        assert!(plausible(found, draws, share), "{what}: i-{i} has {found} of {draws}: {counts:?}");
    }
}

pub(crate) fn count(picks: impl IntoIterator<Item = usize>) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for pick in picks {
        *counts.entry(pick).or_default() += 1;
    }
    counts
}
