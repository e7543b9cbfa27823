//! A server with six instances of three weights, unbound before it, and what shares are to be.

use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::spread::web;
use crate::unbound::Unbound;

/// How many lookups shares are counted over.
pub(crate) const LOOKUPS: usize = 20_000;

/// The weights of i-0, i-1, ..., and what they are of 12.
pub(crate) const WEIGHTS: [u32; 6] = [1, 1, 2, 2, 3, 3];

/// Whom a client asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Via {
    Direct,
    Unbound,
}

pub(crate) const VIAS: [Via; 2] = [Via::Direct, Via::Unbound];

/// The server and what is before it.
pub(crate) struct Stand {
    pub(crate) server: Server,
    pub(crate) unbound: Unbound,
}

impl Stand {
    /// With a service `web` of these settings and weights.
    pub(crate) fn start(settings: &Value, weights: &[u32]) -> Option<Self> {
        Self::before(web(settings, weights), false)
    }

    /// The same of a server that runs; whether unbound tells it for which client it asks.
    pub(crate) fn before(server: Server, tells_clients: bool) -> Option<Self> {
        let unbound = Unbound::before(&server, tells_clients)?;
        Some(Self { server, unbound })
    }

    /// Reports loads that leave each instance idle capacity in proportion to [`WEIGHTS`]. So many
    /// connections, and such long ones, that what comes meanwhile does not matter.
    pub(crate) fn report_loads(&self) {
        for (i, idle) in WEIGHTS.iter().enumerate() {
            let idle = f64::from(*idle) * 1e9;
            let load =
                json!({ "capacity": 6e9, "connections": 6e9 - idle, "latency_ms": 1_000_000 });
            let path = format!("/v1/services/web/instances/i-{i}/heartbeat");
            assert_eq!(self.server.http.put(&path, &json!({ "load": load })).status, 200);
        }
    }
}

/// Asserts that each instance has its share of `picks` by weight, within 2 % of all, and prints it.
pub(crate) fn assert_shares(what: &str, picks: [usize; 6], weights: [u32; 6]) {
    let (all, total) = (picks.iter().sum::<usize>(), weights.iter().sum::<u32>());
    let share = |i: usize| picks[i] as f64 / all as f64;
    let due = |i: usize| f64::from(weights[i]) / f64::from(total);
    let shares: Vec<String> = (0..6).map(|i| format!("{:.2}", 100.0 * share(i))).collect();
    println!("{what}: {} % of {all}", shares.join(" "));
    for i in 0..6 {
        let off = share(i) - due(i);
        assert!(off.abs() <= 0.02, "{what}: i-{i} has {:.4} for {:.4}", share(i), due(i));
    }
}
