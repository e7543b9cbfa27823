//! The flags of `simulate`, and the plan that they make.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::args::OutputFormat;
use crate::cli::simulate::values::{Group, Weighing, duration, number};
use crate::model::{AnswerMode, Balance, DurationText, MaxAnswers, RecordTtl, SlowStart};
use crate::simulate::plan::{
    CacheOrder, Caches, Clients, Fleet, Plan, Reports, Service, ServiceSpread, Stub,
};
use crate::simulate::scenario::Scenario;

#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct SimulateArgs {
    /// How many servers there are, 1-2000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=2000), help_heading = "Fleet")]
    pub(super) servers: u32,
    /// Their speeds: 1:3 is half of them at 1 and half at 3; 1,1,2 is one each; 0.01-100
    #[arg(long, value_name = "SPEEDS", default_value = "1", help_heading = "Fleet")]
    pub(super) speed: Group,
    /// Their static weights: speed, equal, or as for --speed, whole numbers 1-65535
    #[arg(long, value_name = "WEIGHTS", default_value = "speed", help_heading = "Fleet")]
    pub(super) weights: Weighing,
    /// Requests that a server works on at a time, 1-256; others wait
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256), help_heading = "Fleet")]
    pub(super) workers: u32,
    /// Requests that a server takes at a time, waiting ones too, 1-1000000; more fail [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Fleet")]
    pub(super) capacity: Option<u32>,
    /// Mean time that a request takes at speed 1, 1ms-1m
    #[arg(long, value_name = "DURATION", default_value = "20ms", value_parser = duration(1, 60_000), help_heading = "Fleet")]
    pub(super) service_time: DurationText,
    /// How these times are spread
    #[arg(
        long,
        value_enum,
        value_name = "SPREAD",
        default_value = "exponential",
        help_heading = "Fleet"
    )]
    pub(super) service_spread: SpreadArg,
    /// Time between two load reports of a server, 50ms-10m, or 0s for none
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration(0, 600_000), help_heading = "Fleet")]
    pub(super) reports: DurationText,
    /// The share of load reports that is lost, 0-1
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, default_value_t = 0.0, value_parser = number(0.0, 1.0), help_heading = "Fleet")]
    pub(super) report_loss: f64,
    /// The lease of a server, renewed three times as often, 1s-24h
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration(1_000, 86_400_000), help_heading = "Fleet")]
    pub(super) lease: DurationText,

    /// Work that arrives over work that the fleet can do, 0.01-1.5
    #[arg(long, value_name = "LOAD", allow_negative_numbers = true, default_value_t = 0.8, value_parser = number(0.01, 1.5), help_heading = "Clients")]
    pub(super) load: f64,
    /// What clients do with an answer
    #[arg(
        long,
        value_enum,
        value_name = "CLIENT",
        default_value = "first",
        help_heading = "Clients"
    )]
    pub(super) client: ClientArg,
    /// How long a client waits for a connection before it tries the next record, 10ms-1m
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration(10, 60_000), help_heading = "Clients")]
    pub(super) connect_timeout: DurationText,
    /// Caching resolvers between clients and signpost, 0-100000; 0: clients ask it themselves
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=100_000), help_heading = "Clients")]
    pub(super) resolvers: u32,
    /// How unevenly clients use resolvers, 0-3: the i-th has a share of i^-ZIPF
    #[arg(long, value_name = "ZIPF", allow_negative_numbers = true, default_value_t = 1.0, value_parser = number(0.0, 3.0), help_heading = "Clients")]
    pub(super) zipf: f64,
    /// What resolvers do to the order of an answer that they keep
    #[arg(
        long,
        value_enum,
        value_name = "ORDER",
        default_value = "rotate",
        help_heading = "Clients"
    )]
    pub(super) cache: CacheArg,
    /// The shortest time that resolvers keep an answer, 0s-1h
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration(0, 3_600_000), help_heading = "Clients")]
    pub(super) min_ttl: DurationText,
    /// The share of resolvers that keep answers for 30s at least, 0-1
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, default_value_t = 0.09, value_parser = number(0.0, 1.0), help_heading = "Clients")]
    pub(super) extenders: f64,

    /// Compare these, separated by commas [default: all]
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',', help_heading = "Service")]
    pub(super) algorithm: Vec<Algorithm>,
    /// TTL of the records, 0s-1h
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration(0, 3_600_000), help_heading = "Service")]
    pub(super) ttl: DurationText,
    /// What an address answer holds
    #[arg(
        long,
        value_enum,
        value_name = "ANSWER",
        default_value = "auto",
        help_heading = "Service"
    )]
    pub(super) answer: AnswerArg,
    /// At most this many records in a sampled or ordered answer, 1-4096
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096), help_heading = "Service")]
    pub(super) max_answers: u16,
    /// How long the weight of a new server grows, 0s-1h
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration(0, 3_600_000), help_heading = "Service")]
    pub(super) slow_start: DurationText,
    /// Signposts that answer, each with turns of its own, 1-16
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16), help_heading = "Service")]
    pub(super) name_servers: u32,

    /// What goes wrong
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        default_value = "steady",
        help_heading = "Simulation"
    )]
    pub(super) scenario: ScenarioArg,
    /// Requests in a run, 1000-20000000
    #[arg(long, value_name = "N", default_value_t = 400_000, value_parser = clap::value_parser!(u64).range(1_000..=20_000_000), help_heading = "Simulation")]
    pub(super) requests: u64,
    /// Runs of each algorithm, with the seeds that follow --seed, 1-100
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100), help_heading = "Simulation")]
    pub(super) seeds: u64,
    /// The first seed; the same one gives the same results
    #[arg(long, value_name = "SEED", default_value_t = 1, help_heading = "Simulation")]
    pub(super) seed: u64,
    /// Draw p99 against TTL, imbalance over time and the answer to a fault into this folder, as SVG
    #[arg(long, value_name = "DIR", help_heading = "Simulation")]
    pub(super) plot: Option<PathBuf>,
    /// Tables and words, or JSON
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        help_heading = "Simulation"
    )]
    pub(super) output: OutputFormat,
}

/// Declares the words of a flag and what they stand for.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident => $target:ty { $($(#[$value:meta])* $word:ident => $into:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
        #[value(rename_all = "snake_case")]
        pub(super) enum $name { $($(#[$value])* $word,)* }

        impl From<$name> for $target {
            fn from(word: $name) -> Self {
                match word { $($name::$word => $into,)* }
            }
        }
    };
}

words! {
    /// How service times are spread.
    SpreadArg => ServiceSpread {
        Exponential => Self::Exponential,
        /// Few are very long
        Lognormal => Self::Lognormal,
        /// One in ten takes ten times as long
        Bimodal => Self::Bimodal,
        /// All alike
        Fixed => Self::Fixed,
    }
}

words! {
    /// What clients do with an answer.
    ClientArg => Stub {
        /// Takes the first address
        First => Self::First,
        /// Takes any address
        Random => Self::Random,
        /// Takes the nearest on one subnet, as glibc sorts (RFC 6724)
        Nearest => Self::Nearest,
        /// Asks for SRV and draws as RFC 2782 says
        Srv => Self::Srv,
        /// Asks for SRV and reads it as HAProxy does
        SrvHaproxy => Self::SrvHaproxy,
    }
}

words! {
    /// What resolvers do to the order.
    CacheArg => CacheOrder {
        /// Starts anywhere in it, as unbound and BIND do
        Rotate => Self::Rotate,
        /// Shuffles it
        Shuffle => Self::Shuffle,
        /// Keeps it
        Freeze => Self::Freeze,
    }
}

words! {
    /// What an address answer holds.
    AnswerArg => AnswerMode {
        Auto => Self::Auto,
        All => Self::All,
        Subset => Self::Subset,
        StickySubset => Self::StickySubset,
        Ordered => Self::Ordered,
        Single => Self::Single,
    }
}

words! {
    /// What goes wrong.
    ScenarioArg => Scenario {
        /// Nothing
        Steady => Self::Steady,
        /// One server in twenty dies
        Kill => Self::Kill,
        /// Every second server dies, and is back later
        KillHalf => Self::KillHalf,
        /// One server slows down to a fifth
        Slow => Self::Slow,
        /// Speeds and weights are reversed
        WeightStep => Self::WeightStep,
        /// As many servers again join
        ScaleOut => Self::ScaleOut,
        /// Half of the servers leave, each drained first
        ScaleIn => Self::ScaleIn,
        /// Every second server cannot reach signpost for 30 s
        Partition => Self::Partition,
        /// A tenth of the servers is replaced every minute
        Churn => Self::Churn,
        /// No load report arrives for a while
        Blackout => Self::Blackout,
        /// One server is dead 7 s of every 14 s
        Flap => Self::Flap,
        /// One server after the other restarts
        Rolling => Self::Rolling,
        /// One resolver carries a fifth of the requests
        HotResolver => Self::HotResolver,
    }
}

/// What is compared: the algorithm, and where its weights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Algorithm {
    /// Each in turn
    RoundRobin,
    /// By chance, by static weight
    Random,
    /// By static weight
    WeightedRoundRobin,
    /// By the load that servers report, whatever their static weight
    #[value(name = "weighted_round_robin+load")]
    Loaded,
    /// To those with the most idle capacity
    LeastConnections,
    /// The same client to the same server
    ConsistentHash,
}

impl Algorithm {
    fn needs_reports(self) -> bool {
        matches!(self, Self::Loaded | Self::LeastConnections)
    }

    fn balance(self) -> Balance {
        match self {
            Self::RoundRobin => Balance::RoundRobin,
            Self::Random => Balance::Random,
            Self::WeightedRoundRobin | Self::Loaded => Balance::WeightedRoundRobin,
            Self::LeastConnections => Balance::LeastConnections,
            Self::ConsistentHash => Balance::ConsistentHash,
        }
    }
}

impl SimulateArgs {
    /// The plan.
    ///
    /// # Errors
    /// When flags do not go together: which, and what would.
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let servers = self.servers as usize;
        let speeds =
            self.speed.spread(servers).ok_or_else(|| self.speed.misfit("--speed", servers))?;
        let weights = self.weights.spread(&speeds)?;
        let every = self.reports.0;
        if !every.is_zero() && every < Duration::from_millis(50) {
            return Err(format!(
                "--reports {} is out of range, 0s or 50ms-10m is allowed",
                self.reports
            ));
        }
        let plan = Plan {
            fleet: Fleet {
                speeds,
                weights,
                workers: self.workers,
                service_time: self.service_time,
                service_spread: self.service_spread.into(),
                capacity: self.capacity,
                reports: Reports { every: self.reports, loss: self.report_loss },
                lease: self.lease,
            },
            clients: Clients {
                load: self.load,
                requests: self.requests,
                stub: self.client.into(),
                connect_timeout: self.connect_timeout,
            },
            caches: Caches {
                resolvers: self.resolvers,
                zipf: self.zipf,
                order: self.cache.into(),
                min_ttl: self.min_ttl,
                extenders: self.extenders,
            },
            name_servers: self.name_servers,
            scenario: self.scenario.into(),
        };
        self.fits(&plan)?;
        Ok(plan)
    }

    /// Whether the run is long enough to show the scenario, and not absurdly long.
    fn fits(&self, plan: &Plan) -> Result<(), String> {
        let (seconds, rate) = (plan.seconds(), plan.rate());
        let least = plan.scenario.least_seconds(plan);
        let scenario = self.scenario.to_possible_value();
        let scenario = scenario.as_ref().map_or("", |value| value.get_name());
        if plan.scenario == Scenario::HotResolver && self.resolvers < 2 {
            return Err("--scenario hot_resolver needs --resolvers 2 or more".to_owned());
        }
        if matches!(plan.scenario, Scenario::ScaleOut | Scenario::ScaleIn) && self.servers < 2 {
            return Err(format!("--scenario {scenario} needs --servers 2 or more"));
        }
        if seconds < least {
            let enough = (least * rate).ceil();
            return Err(format!(
                "--requests {} last {seconds:.0}s at this load, scenario {scenario} takes \
                 {least:.0}s: --requests {enough} or more",
                self.requests
            ));
        }
        if seconds > LONGEST {
            return Err(format!(
                "--requests {} last {:.0} days at this load, more than 7: --requests {:.0} or less",
                self.requests,
                seconds / 86_400.0,
                LONGEST * rate
            ));
        }
        Ok(())
    }

    /// What to compare.
    pub(super) fn services(&self) -> Vec<Service> {
        let all = Algorithm::value_variants().iter().copied();
        let reports = !self.reports.0.is_zero();
        let chosen: Vec<Algorithm> = match &self.algorithm[..] {
            [] => all.filter(|algorithm| reports || *algorithm != Algorithm::Loaded).collect(),
            chosen => all.filter(|algorithm| chosen.contains(algorithm)).collect(),
        };
        let service = |algorithm: Algorithm| Service {
            balance: algorithm.balance(),
            weighted: algorithm != Algorithm::Loaded,
            reports: algorithm.needs_reports() && reports,
            answer: self.answer.into(),
            max_answers: MaxAnswers::new(self.max_answers.into()).unwrap_or_default(),
            ttl: RecordTtl::new(self.ttl.0).unwrap_or_default(),
            slow_start: SlowStart::new(self.slow_start.0).unwrap_or_default(),
        };
        chosen.into_iter().map(service).collect()
    }
}

/// The longest time that is simulated, in seconds.
const LONGEST: f64 = 7.0 * 86_400.0;
