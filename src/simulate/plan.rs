//! What is simulated, as numbers: a fleet, its clients, what lies between them, and how the
//! service is balanced.
//!
//! Any value is legal here; the command line refuses what makes no sense.

use serde::Serialize;

use crate::model::{AnswerMode, Balance, DurationText, MaxAnswers, RecordTtl, SlowStart, Weight};
use crate::simulate::cast;
use crate::simulate::scenario::Scenario;

/// Everything that is the same whatever the service's settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The servers.
    pub fleet: Fleet,
    /// Those who ask for them.
    pub clients: Clients,
    /// What keeps answers for them.
    pub caches: Caches,
    /// How many signposts answer, each with turns of its own.
    pub name_servers: u32,
    /// What goes wrong.
    pub scenario: Scenario,
}

/// The servers of a service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fleet {
    /// How fast each is: a request takes the service time over this.
    pub speeds: Vec<f64>,
    /// The static weight of each.
    pub weights: Vec<Weight>,
    /// How many requests each serves at a time; the others wait in line.
    pub workers: u32,
    /// The mean time that a request takes at speed 1.
    pub service_time: DurationText,
    /// How these times are spread.
    pub service_spread: ServiceSpread,
    /// How many requests each takes at a time, waiting ones too; more are refused. None: any number.
    pub capacity: Option<u32>,
    /// Load reports.
    pub reports: Reports,
    /// The lease of a registration, renewed three times as often.
    pub lease: DurationText,
}

/// Load reports, as heartbeats carry them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reports {
    /// The time between two of them, give or take a tenth. Zero: there are none.
    pub every: DurationText,
    /// The share that is lost.
    pub loss: f64,
}

/// Those who ask.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Clients {
    /// Work that arrives per second over what the fleet can do per second.
    pub load: f64,
    /// How many requests arrive, at random times.
    pub requests: u64,
    /// What a client makes of an answer.
    pub stub: Stub,
    /// How long a client waits for a connection before it tries the next record.
    pub connect_timeout: DurationText,
}

/// What lies between the clients and the name servers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Caches {
    /// How many caching resolvers there are. 0: every client asks each time.
    pub resolvers: u32,
    /// How unevenly clients are spread over them: the i-th has a share of i^-zipf.
    pub zipf: f64,
    /// What they do to the order of an answer.
    pub order: CacheOrder,
    /// The shortest time that they keep an answer.
    pub min_ttl: DurationText,
    /// The share of them that keeps an answer for at least [`EXTENDED`] seconds.
    pub extenders: f64,
}

/// How long a resolver that extends TTLs keeps an answer at least, in seconds.
pub const EXTENDED: f64 = 30.0;

/// How service times are spread around their mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceSpread {
    /// All alike.
    Fixed,
    /// Exponential.
    Exponential,
    /// Lognormal with a sigma of 1.2: few are very long.
    Lognormal,
    /// One in ten takes ten times as long as the others.
    Bimodal,
}

/// What a client makes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stub {
    /// Takes the first address.
    First,
    /// Takes any address.
    Random,
    /// Takes the address that is nearest to its own, as RFC 6724 has it, whatever the order.
    Nearest,
    /// Draws among SRV records as RFC 2782 says.
    Srv,
    /// Draws among SRV records as HAProxy reads them: by weight / 256, whatever the priority.
    SrvHaproxy,
}

impl Stub {
    /// Whether it asks for SRV.
    #[must_use]
    pub fn srv(self) -> bool {
        matches!(self, Self::Srv | Self::SrvHaproxy)
    }
}

/// What a resolver does to the order of an answer that it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheOrder {
    /// Starts anywhere in it, as unbound and BIND do.
    Rotate,
    /// Shuffles it.
    Shuffle,
    /// Keeps it.
    Freeze,
}

/// How the service is balanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Service {
    /// The algorithm.
    pub balance: Balance,
    /// Whether static weights count. If not all weigh 1, as where weights come from load alone.
    pub weighted: bool,
    /// Whether load reports count.
    pub reports: bool,
    /// What an address answer holds.
    pub answer: AnswerMode,
    /// At most this many records of it.
    pub max_answers: MaxAnswers,
    /// TTL of the records.
    pub ttl: RecordTtl,
    /// How long the weight of a new instance grows.
    pub slow_start: SlowStart,
}

impl Plan {
    /// Requests per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let fleet = &self.fleet;
        let working = self.scenario.always_working(fleet.speeds.len());
        let speed: f64 = fleet.speeds[..working].iter().sum();
        let work = cast::seconds(fleet.service_time.0);
        self.clients.load * speed * f64::from(fleet.workers) / work
    }

    /// How many seconds are simulated.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.clients.requests as f64 / self.rate()
    }

    /// The share of the requests that comes through each resolver.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        let size = |i: u32| f64::from(i + 1).powf(-self.caches.zipf);
        let mut sizes: Vec<f64> = (0..self.caches.resolvers).map(size).collect();
        if let (Some(hot), [first, rest @ ..]) = (self.scenario.hot_share(), &mut sizes[..]) {
            let rest: f64 = rest.iter().sum();
            *first = (rest * hot / (1.0 - hot)).max(f64::MIN_POSITIVE);
        }
        let sum: f64 = sizes.iter().sum();
        sizes.iter().map(|size| size / sum).collect()
    }
}
