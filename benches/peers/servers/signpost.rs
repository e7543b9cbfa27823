//! signpost itself, with one algorithm for all services.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::data::{Data, Set, ZONE, line};
use crate::process::{Plan, path};

/// The binary that was built with this benchmark.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_signpost");

/// How it balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    RoundRobin,
    Random,
    WeightedRoundRobin,
    LeastConnections,
    ConsistentHash,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [
        Self::RoundRobin,
        Self::Random,
        Self::WeightedRoundRobin,
        Self::LeastConnections,
        Self::ConsistentHash,
    ];

    /// Its name in registry.toml.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::WeightedRoundRobin => "weighted_round_robin",
            Self::LeastConnections => "least_connections",
            Self::ConsistentHash => "consistent_hash",
        }
    }

    fn set(self) -> Set {
        if self == Self::ConsistentHash { Set::One } else { Set::All }
    }
}

/// Writes its registry.toml. Weights differ, so that algorithms that know weights have work to do.
pub(crate) fn plan(
    folder: &Path,
    dns: SocketAddr,
    http: SocketAddr,
    data: Data,
    algorithm: Algorithm,
) -> io::Result<Plan> {
    let set = algorithm.set();
    let answer = if set == Set::All { "all" } else { "auto" };
    let mut text = format!(
        "[server]\nzone = \"{ZONE}\"\n[dns]\nlisten = [\"{dns}\"]\n\
         [http]\nlisten = [\"{http}\"]\n[store]\nkind = \"memory\"\n\
         [defaults]\nbalance = \"{}\"\nanswer = \"{answer}\"\n",
        algorithm.name()
    );
    for service in 0..data.services {
        let name = Data::service(set.letter(), service);
        for i in 0..data.instances {
            let (address, weight) = (data.address(service, i), i + 1);
            line(&mut text, format_args!("[[services.{name}.instances]]"));
            line(
                &mut text,
                format_args!(
                    "id = \"i{i}\"\naddresses = [\"{address}\"]\nport = 8080\nweight = {weight}"
                ),
            );
        }
    }
    let file = folder.join("registry.toml");
    fs::write(&file, text)?;
    let arguments = vec!["serve".to_owned(), "--config".to_owned(), path(&file)];
    Ok(Plan { program: BINARY.to_owned(), arguments })
}

/// A report of load of every instance, as bodies for `/v1/heartbeats`: without reports
/// `least_connections` has nothing to compare.
pub(crate) fn loads(data: Data) -> Vec<String> {
    let services: Vec<usize> = (0..data.services).collect();
    let body = |services: &[usize]| {
        let heartbeats = services.iter().flat_map(|&service| {
            (0..data.instances).map(move |i| {
                let (name, connections) = (Data::service('s', service), (service + i) % 50);
                format!(
                    r#"{{"service":"{name}","id":"i{i}","load":{{"connections":{connections},"capacity":100}}}}"#
                )
            })
        });
        format!("[{}]", heartbeats.collect::<Vec<_>>().join(","))
    };
    services.chunks(1_000).map(body).collect()
}
