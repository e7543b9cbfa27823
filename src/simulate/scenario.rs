//! What goes wrong during a simulation, and when.

use serde::Serialize;

use crate::simulate::plan::Plan;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// Nothing.
    Steady,
    /// One server in twenty, at least one, dies and stays dead.
    Kill,
    /// Every second server dies, and is back after a while.
    KillHalf,
    /// One server slows down to a fifth.
    Slow,
    /// The weights of the first half and of the others change places. Speeds do, too.
    WeightStep,
    /// Half of the servers are there; then the others join.
    ScaleOut,
    /// Half of the servers deregister, and stop when nobody may hold them any more.
    ScaleIn,
    /// Every second server cannot reach the registry for half a minute. Clients reach it.
    Partition,
    /// A tenth of the servers is replaced every minute, one after the other, by others.
    Churn,
    /// No load report arrives for a while.
    Blackout,
    /// One server dies every 14 s, and is back 7 s later.
    Flap,
    /// One server after the other deregisters, stops, and is back 5 s later.
    Rolling,
    /// One resolver carries a fifth of all requests.
    HotResolver,
}

/// Something that happens to a server, or to all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// It dies without a word: its lease runs out.
    Die(usize),
    /// It deregisters and stops.
    Leave(usize),
    /// It deregisters and goes on.
    Drain(usize),
    /// It starts and registers.
    Join(usize),
    /// Another starts in its place and registers.
    Replace(usize),
    /// Its heartbeats and reports get lost.
    Cut(usize),
    /// They arrive again.
    Heal(usize),
    /// Its speed is multiplied.
    Speed(usize, f64),
    /// The operator changes weights.
    Reverse,
    /// From now on load reports are lost, or not.
    Silence(bool),
}

impl Scenario {
    /// How many of `servers` there are at first.
    pub(super) fn working_at_first(self, servers: usize) -> usize {
        if self == Self::ScaleOut { servers.div_ceil(2) } else { servers }
    }

    /// How many of `servers` there always are: those that load is measured by.
    pub(super) fn always_working(self, servers: usize) -> usize {
        match self {
            Self::ScaleOut | Self::ScaleIn => servers.div_ceil(2),
            Self::Steady
            | Self::Kill
            | Self::KillHalf
            | Self::Slow
            | Self::WeightStep
            | Self::Partition
            | Self::Churn
            | Self::Blackout
            | Self::Flap
            | Self::Rolling
            | Self::HotResolver => servers,
        }
    }

    /// The share of the largest resolver, where the scenario says it.
    pub(super) fn hot_share(self) -> Option<f64> {
        (self == Self::HotResolver).then_some(0.2)
    }

    /// When the first thing happens, as a share of the time that is simulated.
    #[must_use]
    pub fn begins(self) -> Option<f64> {
        match self {
            Self::Steady | Self::HotResolver => None,
            Self::Kill
            | Self::KillHalf
            | Self::Slow
            | Self::WeightStep
            | Self::ScaleOut
            | Self::ScaleIn
            | Self::Partition
            | Self::Churn
            | Self::Blackout
            | Self::Flap
            | Self::Rolling => Some(0.4),
        }
    }

    /// How many seconds a run must have so that it shows what happens.
    #[must_use]
    pub fn least_seconds(self, plan: &Plan) -> f64 {
        let lease = plan.fleet.lease.0.as_secs_f64();
        match self {
            Self::Steady | Self::HotResolver => 5.0,
            Self::Kill | Self::KillHalf => 60.0 + 4.0 * lease,
            Self::Slow
            | Self::WeightStep
            | Self::ScaleOut
            | Self::ScaleIn
            | Self::Blackout
            | Self::Flap => 100.0,
            Self::Partition => 150.0,
            Self::Churn => 200.0,
            Self::Rolling => 100.0 + 10.0 * plan.fleet.speeds.len() as f64,
        }
    }

    /// The servers whose share is watched: those that it is about.
    pub(super) fn group(self, servers: usize) -> Vec<bool> {
        let half = servers.div_ceil(2);
        let of = |i: usize| match self {
            Self::Steady | Self::Blackout | Self::Churn | Self::Rolling | Self::HotResolver => {
                false
            }
            Self::Kill => i < killed(servers),
            Self::KillHalf | Self::Partition => i.is_multiple_of(2),
            Self::Slow | Self::Flap => i == 0,
            Self::WeightStep => i < half,
            Self::ScaleOut | Self::ScaleIn => i >= half,
        };
        (0..servers).map(of).collect()
    }

    /// What happens and after how many of `seconds`. `held` is for how many an answer is kept.
    pub(super) fn faults(self, servers: usize, seconds: f64, held: f64) -> Vec<(f64, Fault)> {
        let at = seconds * self.begins().unwrap_or(1.0);
        let later = seconds * 0.7;
        let group = self.group(servers);
        let chosen = || (0..servers).filter(|i| group[*i]);
        match self {
            Self::Steady | Self::HotResolver => Vec::new(),
            Self::Kill => chosen().map(|i| (at, Fault::Die(i))).collect(),
            Self::KillHalf => {
                chosen().flat_map(|i| [(at, Fault::Die(i)), (later, Fault::Join(i))]).collect()
            }
            Self::Slow => vec![(at, Fault::Speed(0, 0.2))],
            Self::WeightStep => vec![(at, Fault::Reverse)],
            Self::ScaleOut => chosen().map(|i| (at, Fault::Join(i))).collect(),
            Self::ScaleIn => chosen()
                .flat_map(|i| [(at, Fault::Drain(i)), (at + held, Fault::Leave(i))])
                .collect(),
            Self::Partition => {
                chosen().flat_map(|i| [(at, Fault::Cut(i)), (at + 30.0, Fault::Heal(i))]).collect()
            }
            Self::Churn => repeated(at, seconds, 600.0 / servers as f64)
                .zip((0..servers).cycle())
                .flat_map(|(at, i)| [(at, Fault::Leave(i)), (at + 5.0, Fault::Replace(i))])
                .collect(),
            Self::Blackout => vec![(at, Fault::Silence(true)), (later, Fault::Silence(false))],
            Self::Flap => repeated(at, seconds, 14.0)
                .flat_map(|at| [(at, Fault::Die(0)), (at + 7.0, Fault::Join(0))])
                .collect(),
            Self::Rolling => (0..servers)
                .zip(repeated(at, seconds, 10.0))
                .flat_map(|(i, at)| [(at, Fault::Leave(i)), (at + 5.0, Fault::Join(i))])
                .collect(),
        }
    }
}

fn killed(servers: usize) -> usize {
    (servers / 20).max(1)
}

fn repeated(from: f64, to: f64, every: f64) -> impl Iterator<Item = f64> {
    (0..).map(move |i| from + f64::from(i) * every).take_while(move |at| *at < to)
}
