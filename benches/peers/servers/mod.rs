//! The servers that are compared: how each is told to serve the same data, with one thread.

mod gdnsd;
mod knot;
mod nsd;
mod power_dns;
mod signpost;

use std::io;
use std::net::SocketAddr;

pub(crate) use signpost::{Algorithm, BINARY};

use crate::data::{Data, Set};
use crate::probe::Probe;
use crate::process::{Process, free_address};

/// A server in a certain configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Server {
    Nsd,
    Knot,
    /// Its zone file alone.
    Gdnsd,
    /// Its plugin that chooses by weight.
    GdnsdWeighted,
    PowerDns,
    Signpost(Algorithm),
}

/// One that answers.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) dns: SocketAddr,
}

impl Server {
    /// All, in the order in which they take turns.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Nsd, Self::Knot, Self::Gdnsd, Self::GdnsdWeighted, Self::PowerDns];
        all.extend(Algorithm::ALL.map(Self::Signpost));
        all
    }

    /// What the table and `--only` call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nsd => "NSD",
            Self::Knot => "Knot",
            Self::Gdnsd => "gdnsd",
            Self::GdnsdWeighted => "gdnsd weighted",
            Self::PowerDns => "PowerDNS Lua",
            Self::Signpost(algorithm) => algorithm.name(),
        }
    }

    /// Whether it is what signpost is compared with: a server of static records, or gdnsd.
    pub(crate) fn is_peer(self) -> bool {
        match self {
            Self::Nsd | Self::Knot | Self::Gdnsd | Self::GdnsdWeighted => true,
            Self::PowerDns | Self::Signpost(_) => false,
        }
    }

    /// What it is asked.
    pub(crate) fn sets(self) -> &'static [Set] {
        match self {
            Self::Nsd | Self::Knot => &[Set::All, Set::One, Set::Srv],
            // It gives no addresses with SRV.
            Self::Gdnsd => &[Set::All, Set::One],
            Self::GdnsdWeighted => &[Set::All],
            // `pickwrandom` picks one.
            Self::PowerDns => &[Set::One],
            Self::Signpost(Algorithm::RoundRobin) => &[Set::All, Set::Srv],
            Self::Signpost(Algorithm::ConsistentHash) => &[Set::One],
            Self::Signpost(_) => &[Set::All],
        }
    }

    /// Whether valgrind can run it: not what makes its code as it goes.
    pub(crate) fn runs_in_valgrind(self) -> bool {
        self != Self::PowerDns
    }

    /// The program, and the package of Debian that has it.
    pub(crate) fn program(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Nsd => ("/usr/sbin/nsd", &["nsd"]),
            Self::Knot => ("/usr/sbin/knotd", &["knot"]),
            Self::Gdnsd | Self::GdnsdWeighted => ("/usr/sbin/gdnsd", &["gdnsd"]),
            Self::PowerDns => ("/usr/sbin/pdns_server", &["pdns-server", "pdns-backend-bind"]),
            Self::Signpost(_) => (BINARY, &[]),
        }
    }

    /// Starts it behind the words of `wrapper`, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start, or answers something else.
    pub(crate) fn start(self, data: Data, wrapper: &[&str]) -> io::Result<Running> {
        let (dns, http) = (free_address()?, free_address()?);
        let mut process = Process::start(wrapper, |folder| match self {
            Self::Nsd => nsd::plan(folder, dns, &data.zone_file()),
            Self::Knot => knot::plan(folder, dns, data),
            Self::Gdnsd => gdnsd::plan(folder, dns, data, false),
            Self::GdnsdWeighted => gdnsd::plan(folder, dns, data, true),
            Self::PowerDns => power_dns::plan(folder, dns, data),
            Self::Signpost(algorithm) => signpost::plan(folder, dns, http, data, algorithm),
        })?;
        for &set in self.sets() {
            let probe = Probe::new(dns, data.questions(set))?;
            process.wait(|| probe.answered())?;
        }
        if self == Self::Signpost(Algorithm::LeastConnections) {
            for body in signpost::loads(data) {
                let url = format!("http://{http}/v1/heartbeats");
                let request = ureq::post(url).header("content-type", "application/json");
                request.send(&body).map_err(io::Error::other)?;
            }
        }
        Ok(Running { process, dns })
    }
}

/// NSD with the addresses of `data` and nothing else.
///
/// # Errors
/// When it does not start.
pub(crate) fn nsd_with_addresses(data: Data) -> io::Result<Running> {
    let dns = free_address()?;
    let mut process = Process::start(&[], |folder| nsd::plan(folder, dns, &data.address_file()))?;
    let probe = Probe::new(dns, data.questions(Set::All))?;
    process.wait(|| probe.answered())?;
    Ok(Running { process, dns })
}
