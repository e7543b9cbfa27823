//! The circuit breaker of one service: what outcomes clients report of its instances, and who is
//! ejected for them until when.
//!
//! A state machine without I/O: time comes in, decisions go out. The engine tells it what was
//! reported and makes its decisions findings about the instances.

#[cfg(test)]
mod tests;
mod track;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Ejection, EjectionMax, InstanceId, Millis, Outcome, Settings};
use crate::registry::outliers::track::Track;

/// The settings that decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    on: bool,
    /// How many failures in a row eject.
    failures: u64,
    base: Duration,
    max: EjectionMax,
}

impl Rules {
    /// The rules of a service with these settings.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            on: settings.ejection == Ejection::On,
            failures: settings.ejection_failures.get().into(),
            base: settings.ejection_base.get(),
            max: settings.ejection_max,
        }
    }

    /// How long the ejection takes that brings an instance to so many strikes.
    fn time(&self, strikes: u32) -> Duration {
        (self.base * strikes).min(self.base.max(LONGEST))
    }
}

/// What made an instance an outlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// So many failures in a row.
    Failures,
    /// Successes that are far fewer than those of the others.
    SuccessRate,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The instance is not to be answered until then.
    Eject { id: InstanceId, cause: Cause, until: Millis },
    /// It may be answered again.
    Return { id: InstanceId },
    /// It is an outlier, and so many are ejected already that it stays.
    Hold { id: InstanceId },
}

/// What is known of one instance, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    /// The instance.
    pub id: InstanceId,
    /// Successes within the last 10 to 20 s.
    pub successes: u64,
    /// Failures within the same time.
    pub failures: u64,
    /// The mean of the latency reported within the same time; `None` when none was.
    pub latency_ms: Option<f64>,
    /// Failures since its last success.
    pub failures_in_a_row: u64,
    /// Ejections that it has not lived down.
    pub ejections: u32,
    /// When its ejection ends; `None`: it is not ejected.
    pub ejected_until: Option<Millis>,
}

/// The outcomes of the instances of one service.
#[derive(Debug, Default)]
pub(crate) struct Outliers {
    tracks: BTreeMap<InstanceId, Track>,
    /// Those with enough failures in a row, which are not ejected yet.
    failing: BTreeSet<InstanceId>,
    ejected: BTreeSet<InstanceId>,
    /// When the interval ends that is counted now; `None` while nothing is counted.
    interval_ends: Option<Millis>,
}

impl Outliers {
    /// Takes in what was reported of the instance with this `generation`; of an earlier one nothing
    /// is remembered.
    pub(crate) fn report(
        &mut self,
        generation: u64,
        outcome: &Outcome,
        rules: &Rules,
        now: Millis,
    ) {
        let id = &outcome.id;
        if self.tracks.get(id).is_some_and(|track| track.generation != generation) {
            self.drop_track(id);
        }
        let track = self.tracks.entry(id.clone()).or_insert_with(|| Track::new(generation));
        track.add(outcome);
        if track.run >= rules.failures && track.ejected_until.is_none() {
            self.failing.insert(id.clone());
        } else {
            self.failing.remove(id);
        }
        self.interval_ends.get_or_insert(now + INTERVAL);
    }

    /// Forgets the instances that `keep` does not want: those that are gone, or registered anew.
    pub(crate) fn retain(&mut self, keep: impl Fn(&InstanceId, u64) -> bool) {
        self.tracks.retain(|id, track| keep(id, track.generation));
        self.failing.retain(|id| self.tracks.contains_key(id));
        self.ejected.retain(|id| self.tracks.contains_key(id));
    }

    /// Decides who is ejected and who comes back. `candidates` tells how many instances were
    /// answered if none was ejected, `is_candidate` which: what is out for other reasons takes
    /// nobody's place among the ejected. Never more are ejected afterwards than the rules allow.
    pub(crate) fn settle(
        &mut self,
        rules: &Rules,
        candidates: impl FnOnce() -> usize,
        is_candidate: impl Fn(&InstanceId) -> bool,
        now: Millis,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        let interval_over = self.interval_ends.is_some_and(|ends| ends <= now);
        if self.ejected.is_empty() && self.failing.is_empty() && !interval_over {
            return steps;
        }
        let room = if rules.on { rules.max.of(candidates()) } else { 0 };
        self.end_ejections(rules.on, now, &mut steps);
        self.make_room(room, &is_candidate, &mut steps);
        let held = |id: &InstanceId| self.ejected.contains(id) && is_candidate(id);
        let mut ejected = self.ejected.iter().filter(|id| held(id)).count();
        let mut outliers = Vec::new();
        outliers.extend(self.failing.iter().map(|id| (id.clone(), Cause::Failures)));
        if interval_over {
            let others = self.far_below().into_iter().filter(|id| !self.failing.contains(id));
            outliers.extend(others.map(|id| (id, Cause::SuccessRate)));
        }
        if rules.on {
            for (id, cause) in outliers.into_iter().filter(|(id, _)| is_candidate(id)) {
                let has_room = ejected < room;
                steps.extend(self.eject(id, cause, rules, has_room, now));
                ejected += usize::from(has_room);
            }
        }
        if interval_over {
            self.start_interval(now);
        }
        steps
    }

    /// When to settle next, if nothing is reported until then.
    pub(crate) fn next(&self) -> Option<Millis> {
        let ends = self.ejected.iter().filter_map(|id| self.tracks.get(id)?.ejected_until);
        ends.chain(self.interval_ends).min()
    }

    /// Whether nothing is left to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// All of it, by id.
    pub(crate) fn outcomes(&self) -> Vec<Outcomes> {
        let of = |(id, track): (&InstanceId, &Track)| {
            let lately = track.lately();
            Outcomes {
                id: id.clone(),
                successes: lately.successes,
                failures: lately.failures,
                latency_ms: lately.latency(),
                failures_in_a_row: track.run,
                ejections: track.strikes,
                ejected_until: track.ejected_until,
            }
        };
        self.tracks.iter().map(of).collect()
    }

    fn end_ejections(&mut self, on: bool, now: Millis, steps: &mut Vec<Step>) {
        let over = |id: &InstanceId| {
            let track = self.tracks.get(id);
            !on || track.and_then(|track| track.ejected_until).is_none_or(|until| until <= now)
        };
        let over: Vec<InstanceId> = self.ejected.iter().filter(|id| over(id)).cloned().collect();
        for id in over {
            steps.push(self.take_back(id));
        }
    }

    /// Takes back ejections that too few others are left for, those first that end first.
    fn make_room(
        &mut self,
        room: usize,
        is_candidate: impl Fn(&InstanceId) -> bool,
        steps: &mut Vec<Step>,
    ) {
        let counted = self.ejected.iter().filter(|id| is_candidate(id));
        let ends = |id: &InstanceId| self.tracks.get(id).and_then(|track| track.ejected_until);
        let mut counted: Vec<_> = counted.map(|id| (ends(id), id.clone())).collect();
        counted.sort_unstable();
        let surplus = counted.len().saturating_sub(room);
        for (_, id) in counted.into_iter().take(surplus) {
            steps.push(self.take_back(id));
        }
    }

    fn take_back(&mut self, id: InstanceId) -> Step {
        self.ejected.remove(&id);
        if let Some(track) = self.tracks.get_mut(&id) {
            track.ejected_until = None;
            track.run = 0;
        }
        Step::Return { id }
    }

    /// Ejects an outlier where there is room; else says once that it is held.
    fn eject(
        &mut self,
        id: InstanceId,
        cause: Cause,
        rules: &Rules,
        has_room: bool,
        now: Millis,
    ) -> Option<Step> {
        let track = self.tracks.get_mut(&id)?;
        if !has_room {
            let said = std::mem::replace(&mut track.held, true);
            return (!said).then_some(Step::Hold { id });
        }
        // More strikes than lead to the longest time would only take longer to live down.
        if rules.time(track.strikes) < rules.time(track.strikes + 1) {
            track.strikes += 1;
        }
        let until = now + rules.time(track.strikes);
        track.ejected_until = Some(until);
        track.ejected_lately = true;
        track.held = false;
        self.failing.remove(&id);
        self.ejected.insert(id.clone());
        Some(Step::Eject { id, cause, until })
    }

    /// The instances whose share of successes in the interval is an outlier among the others, as
    /// Envoy has it: below the mean by over 1.9 standard deviations. Where all are nearly perfect
    /// that would be next to nothing, so it must also be five points.
    fn far_below(&self) -> Vec<InstanceId> {
        let counted = self.tracks.iter().filter(|(_, track)| track.ejected_until.is_none());
        let counted = counted.filter(|(_, track)| track.now.requests() >= REQUESTS);
        let rates: Vec<(&InstanceId, f64)> =
            counted.map(|(id, track)| (id, track.now.success_rate())).collect();
        if rates.len() < INSTANCES {
            return Vec::new();
        }
        let count = rates.len() as f64;
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
        let least = mean - (DEVIATIONS * variance.sqrt()).max(POINTS);
        rates.into_iter().filter(|(_, rate)| *rate < least).map(|(id, _)| id.clone()).collect()
    }

    fn start_interval(&mut self, now: Millis) {
        for track in self.tracks.values_mut() {
            track.start_interval();
        }
        self.tracks.retain(|_, track| !track.is_blank());
        self.failing.retain(|id| self.tracks.get(id).is_some_and(|track| track.run > 0));
        let counts = self.tracks.values().any(Track::moves_with_time);
        self.interval_ends = counts.then_some(now + INTERVAL);
    }

    fn drop_track(&mut self, id: &InstanceId) {
        self.tracks.remove(id);
        self.failing.remove(id);
        self.ejected.remove(id);
    }
}

/// How long outcomes are added up before success rates are compared.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// The longest ejection, unless the first is longer.
const LONGEST: Duration = Duration::from_secs(300);
/// Outcomes in an interval that make a success rate.
const REQUESTS: u64 = 100;
/// Success rates that can be compared.
const INSTANCES: usize = 5;
/// Standard deviations that make an outlier.
const DEVIATIONS: f64 = 1.9;
/// How far below the mean an outlier is at least.
const POINTS: f64 = 0.05;
