//! What signpost means to reach, and whether it did in this run.

use crate::data::Set;
use crate::results::Results;
use crate::rounds::Rows;
use crate::scale::Subset;
use crate::servers::{Algorithm, Server};
use crate::table::{best_peer, median};
use crate::writes::{Work, Written, rate};

/// One of them.
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) figure: f64,
    pub(crate) bound: Bound,
}

/// Where the figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    /// By which part of what is wanted it was missed; `None` if it was met.
    fn missed_by(&self) -> Option<f64> {
        let part = match self.bound {
            Bound::AtMost(most) => self.figure / most - 1.0,
            Bound::AtLeast(least) => 1.0 - self.figure / least,
        };
        (part > 0.0).then_some(part)
    }
}

/// All for which there are figures.
pub(crate) fn all(results: &Results, subset: Option<&Subset>) -> Vec<Target> {
    let at_most = |what: &str, figure, most| {
        let what = what.to_owned();
        Target { what, figure, bound: Bound::AtMost(most) }
    };
    let mut targets = queries(&results.rows);
    targets.extend(writes(&results.written));
    let disturbed = results.disturbed.iter();
    let ratios = disturbed.map(|d| d.busy.as_secs_f64() / d.idle.as_secs_f64()).collect();
    let what = "p99 of queries under 5,000 changes a second, to idle";
    targets.push(at_most(what, median(ratios), 1.5));
    if let Some(visible) = results.visible {
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let stale = visible.stale as f64;
        targets.push(at_most("stale answers after a registration's reply", stale, 0.0));
    }
    if let Some(subset) = subset {
        let ratio = subset.large / subset.small;
        targets.push(at_most("cpu of a sample, of 10,000 to of 10", ratio, 1.2));
    }
    if let [small, .., large] = &results.sizes[..] {
        let thousand = results.sizes.iter().find(|size| size.data.services == 1_000);
        let query = thousand.map_or(f64::NAN, |thousand| large.cpu / thousand.cpu);
        let size = format!("{} instances", large.data.services * large.data.instances);
        targets.extend([
            at_most(&format!("cpu of a query, {size} to 10,000"), query, 1.2),
            at_most(
                &format!("cpu of a registration, {size} to 10"),
                large.registration / small.registration,
                1.5,
            ),
            at_most(&format!("bytes an instance, {size}"), large.registered, 600.0),
            at_most(&format!("the same after a restart, {size}"), large.loaded, 600.0),
            at_most(&format!("seconds until ready, {size}"), large.ready.as_secs_f64(), 5.0),
        ]);
    }
    targets.retain(|target| !target.figure.is_nan());
    targets
}

fn queries(rows: &Rows) -> Vec<Target> {
    let mut targets = Vec::new();
    for (set, algorithm, most) in [
        // 3 % is noise.
        (Set::All, Algorithm::RoundRobin, 1.03),
        (Set::All, Algorithm::Random, 1.03),
        (Set::All, Algorithm::WeightedRoundRobin, 1.03),
        (Set::All, Algorithm::LeastConnections, 1.1),
        (Set::One, Algorithm::ConsistentHash, 1.1),
        (Set::Srv, Algorithm::RoundRobin, 1.3),
    ] {
        let Some(ours) = rows.get(&(set, Server::Signpost(algorithm))) else { continue };
        let nsd = rows.get(&(set, Server::Nsd)).map(|row| (Server::Nsd, row));
        let peer = if set == Set::Srv { nsd } else { best_peer(rows, set) };
        if let Some((peer, theirs)) = peer {
            let what = format!("cpu, {}, {}, to {}", set.short(), algorithm.name(), peer.name());
            targets.push(Target { what, figure: ours.ratio(theirs), bound: Bound::AtMost(most) });
        }
        if let Some(figure) = ours.instructions.filter(|_| set == Set::All) {
            let what = format!("instructions, {}, {}", set.short(), algorithm.name());
            targets.push(Target { what, figure, bound: Bound::AtMost(1_200.0) });
        }
    }
    targets
}

fn writes(written: &Written) -> Vec<Target> {
    let mut targets = Vec::new();
    for connections in [64, 256] {
        let rate = |work| rate(written, work, connections);
        let (puts, registrations) = (rate(Work::Put), rate(Work::Registration));
        let mut target = |what: &str, figure, least| {
            let what = format!("{what}, {connections} connections");
            targets.push(Target { what, figure, bound: Bound::AtLeast(least) });
        };
        target("registrations to etcd's puts", registrations / puts, 6.0);
        target("heartbeats to registrations", rate(Work::Heartbeat) / registrations, 1.5);
        let [bulk, ..] = Work::Bulk.connections()[..] else { continue };
        let bulk = crate::writes::rate(written, Work::Bulk, bulk);
        target("heartbeats in bulk to registrations", bulk / registrations, 20.0);
    }
    targets
}

/// Writes each with its figure and whether it was met.
#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
pub(crate) fn print(targets: &[Target]) {
    if targets.is_empty() {
        return;
    }
    println!("{:<66} {:>8}  {:<10} ", "targets", "figure", "wanted");
    for target in targets {
        let wanted = match target.bound {
            Bound::AtMost(most) => format!("<= {most}"),
            Bound::AtLeast(least) => format!(">= {least}"),
        };
        let verdict = target
            .missed_by()
            .map_or_else(|| "met".to_owned(), |part| format!("missed by {:.0} %", part * 100.0));
        println!("{:<66} {:>8.2}  {wanted:<10} {verdict}", target.what, target.figure);
    }
}
