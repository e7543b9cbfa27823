//! What is counted during a run, and the figures made of it.

use crate::simulate::cast;
use crate::simulate::outcome::Figures;
use crate::simulate::server::{Open, Server};

/// The counts of one run.
#[derive(Debug)]
pub(super) struct Tally {
    /// From when on requests count.
    from: f64,
    /// In milliseconds.
    latencies: Vec<f32>,
    failed: u64,
    stale: u64,
    queries: u64,
    /// Of answers, all together.
    bytes: u64,
    /// Requests that chose a server, and those of them that chose another than the one before.
    chosen: (u64, u64),
    /// What each server got.
    got: Vec<u64>,
    /// The same in the window that is not over.
    window: Vec<u32>,
    busy: Vec<f64>,
    windows: Vec<Window>,
    watched: Vec<bool>,
    seconds: Vec<Second>,
    /// The smallest and largest weight in force of each server, where they count.
    weights: Vec<Option<(f64, f64)>>,
}

/// The tries of one second.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    all: u32,
    /// At watched servers.
    watched: u32,
    /// At servers that were not there.
    missed: u32,
}

/// What is measured at the end of a window.
#[derive(Debug, Clone, Copy)]
struct Window {
    end: f64,
    imbalance: f64,
    cv: f64,
    utilisation_stdev: f64,
}

/// How long a window is, in seconds.
pub(super) const WINDOW: f64 = 10.0;

impl Tally {
    pub(super) fn new(watched: Vec<bool>, requests: u64, from: f64, until: f64) -> Self {
        let servers = watched.len();
        Self {
            from,
            latencies: Vec::with_capacity(usize::try_from(requests).unwrap_or(0)),
            failed: 0,
            stale: 0,
            queries: 0,
            bytes: 0,
            chosen: (0, 0),
            got: vec![0; servers],
            window: vec![0; servers],
            busy: vec![0.0; servers],
            windows: Vec::new(),
            watched,
            seconds: vec![Second::default(); cast::index(until) + 1],
            weights: vec![None; servers],
        }
    }

    /// A request went to a server that took or refused it.
    pub(super) fn got(&mut self, server: usize, now: f64) {
        self.note(server, now, 0);
        self.window[server] += 1;
        if now >= self.from {
            self.got[server] += 1;
        }
    }

    /// A try went to a server that was not there.
    pub(super) fn missed(&mut self, server: usize, now: f64) {
        self.note(server, now, 1);
        if now >= self.from {
            self.stale += 1;
        }
    }

    fn note(&mut self, server: usize, now: f64, missed: u32) {
        if let Some(second) = self.seconds.get_mut(cast::index(now)) {
            second.watched += u32::from(self.watched[server]);
            second.missed += missed;
            second.all += 1;
        }
    }

    /// A request chose a server, maybe another than the one before it.
    pub(super) fn chose(&mut self, another: bool, now: f64) {
        if now >= self.from {
            self.chosen.0 += 1;
            self.chosen.1 += u64::from(another);
        }
    }

    /// A request is done.
    pub(super) fn done(&mut self, open: Open) {
        if open.since >= self.from {
            self.latencies.push(cast::single((open.ends - open.since) * 1000.0));
        }
    }

    /// Requests failed.
    pub(super) fn failed(&mut self, how_many: u64, now: f64) {
        if now >= self.from {
            self.failed += how_many;
        }
    }

    /// A name server answered with so many bytes.
    pub(super) fn query(&mut self, bytes: usize, now: f64) {
        if now >= self.from {
            self.queries += 1;
            self.bytes += bytes as u64;
        }
    }

    /// These weights are in force, over their mean.
    pub(super) fn weights(&mut self, weights: impl Iterator<Item = Option<u32>>) {
        let weights: Vec<Option<u32>> = weights.collect();
        let known = || weights.iter().flatten().map(|weight| f64::from(*weight));
        let mean = known().sum::<f64>() / known().count().max(1) as f64;
        for (range, weight) in self.weights.iter_mut().zip(weights) {
            let Some(weight) = weight.map(|weight| f64::from(weight) / mean) else { continue };
            let (low, high) = range.unwrap_or((weight, weight));
            *range = Some((low.min(weight), high.max(weight)));
        }
    }

    /// A window is over.
    pub(super) fn close_window(&mut self, servers: &[Server], workers: f64, now: f64) {
        let (mut loads, mut used) = (Vec::new(), Vec::new());
        let (mut requests, mut speed) = (0.0, 0.0);
        for (i, server) in servers.iter().enumerate() {
            let busy = server.busy(now);
            let before = std::mem::replace(&mut self.busy[i], busy);
            let got = f64::from(std::mem::take(&mut self.window[i]));
            if server.alive {
                loads.push(got / server.speed);
                used.push((busy - before) / WINDOW / workers);
                requests += got;
                speed += server.speed;
            }
        }
        if requests > 0.0 {
            let most = loads.iter().copied().fold(0.0, f64::max);
            let (mean, stdev) = spread(&loads);
            self.windows.push(Window {
                end: now,
                imbalance: most * speed / requests,
                cv: stdev / mean,
                utilisation_stdev: spread(&used).1,
            });
        }
    }

    /// The imbalance of each window.
    pub(super) fn imbalance(&self) -> Vec<f64> {
        self.windows.iter().map(|window| window.imbalance).collect()
    }

    /// The share of the watched servers in each second.
    pub(super) fn watched(&self) -> Vec<f64> {
        let share = |second: &Second| f64::from(second.watched) / f64::from(second.all.max(1));
        self.seconds.iter().map(share).collect()
    }

    /// The share of each server.
    pub(super) fn shares(&self) -> Vec<f64> {
        let all = self.got.iter().sum::<u64>().max(1) as f64;
        self.got.iter().map(|got| *got as f64 / all).collect()
    }

    /// The figures of a run that ended at `until`; `fault` is when something first happened.
    pub(super) fn figures(
        &mut self,
        servers: &[Server],
        until: f64,
        fault: Option<f64>,
    ) -> Figures {
        let mean = self.latencies.iter().map(|ms| f64::from(*ms)).sum::<f64>()
            / self.latencies.len().max(1) as f64;
        let mut percentile = |share: f64| {
            let place = cast::index((self.latencies.len() as f64 * share).ceil()).max(1) - 1;
            let none = self.latencies.is_empty();
            if none {
                0.0
            } else {
                f64::from(*self.latencies.select_nth_unstable_by(place, f32::total_cmp).1)
            }
        };
        let (p50_ms, p99_ms, p999_ms) = (percentile(0.5), percentile(0.99), percentile(0.999));
        // Of a short run the last, whatever there is.
        let from = self.from.min(self.windows.last().map_or(0.0, |window| window.end - WINDOW));
        let counted: Vec<&Window> =
            self.windows.iter().filter(|window| window.end - WINDOW >= from).collect();
        let average = |of: fn(&Window) -> f64| {
            counted.iter().fold(0.0, |sum, window| sum + of(window)) / counted.len().max(1) as f64
        };
        let loads = self.got.iter().zip(servers).map(|(got, server)| *got as f64 / server.speed);
        let (sum, squares) = loads.fold((0.0, 0.0), |(s, q), load| (s + load, q + load * load));
        let swing = self.weights.iter().flatten().map(|(low, high)| high / low.max(LEAST_WEIGHT));
        let asked = self.latencies.len() as u64 + self.failed;
        Figures {
            p50_ms,
            p99_ms,
            p999_ms,
            mean_ms: mean,
            imbalance: average(|window| window.imbalance),
            imbalance_cv: average(|window| window.cv),
            utilisation_stdev: average(|window| window.utilisation_stdev),
            jain: if squares > 0.0 { sum * sum / squares / self.got.len() as f64 } else { 1.0 },
            stale: self.stale as f64,
            stale_s: fault.and_then(|at| self.stale_for(at)),
            moves: self.chosen.1 as f64 / self.chosen.0.max(1) as f64,
            errors: self.failed as f64 / asked.max(1) as f64,
            dns_qps: self.queries as f64 / (until - self.from),
            answer_bytes: self.bytes as f64 / self.queries.max(1) as f64,
            settle_s: fault.and_then(|at| settled(&self.watched(), at, until)),
            weight_swing: swing.fold(1.0, f64::max),
        }
    }
}

impl Tally {
    /// Seconds from `at` until under 1 % of the tries are at servers that are not there. `None` when
    /// they always were.
    fn stale_for(&self, at: f64) -> Option<f64> {
        let stale = |second: &Second| f64::from(second.missed) >= 0.01 * f64::from(second.all);
        let last = self.seconds.iter().rposition(|second| second.missed > 0 && stale(second))?;
        Some((last as f64 + 1.0 - at).max(0.0))
    }
}

/// Seconds from `at` until nine tenths of the way from what was before to what it is in the last
/// quarter are behind. `None` when there is no such way, but chance.
fn settled(watched: &[f64], at: f64, until: f64) -> Option<f64> {
    let (at, until) = (cast::index(at), cast::index(until).min(watched.len()));
    let mean = |from: usize, to: usize| {
        let seconds = watched.get(from..to).filter(|seconds| !seconds.is_empty());
        seconds.map(spread)
    };
    let (before, noise) = mean(at / 2, at)?;
    let (after, _) = mean(until - (until - at) / 4, until)?;
    let way = after - before;
    // Of the mean of so many seconds.
    if way.abs() <= 4.0 * noise / ((until - at) as f64 / 4.0).sqrt() {
        return None;
    }
    let arrived = |second: &usize| {
        mean(*second, second + 3).is_some_and(|(share, _)| (after - share) / way <= 0.1)
    };
    (at..until).find(arrived).map(|second| (second - at) as f64 + 1.0)
}

/// Mean and standard deviation.
fn spread(numbers: &[f64]) -> (f64, f64) {
    let n = numbers.len().max(1) as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let variance = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// A weight below this share of the mean is none: what swings to it is bad enough.
const LEAST_WEIGHT: f64 = 0.01;
