//! One server: workers, a line of waiting requests, and what it says of its load.

use std::collections::VecDeque;

use crate::model::Load;

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) speed: f64,
    pub(super) alive: bool,
    /// When each worker has done what it was given.
    free: Vec<f64>,
    /// Requests that are not done, those that end first in front.
    open: VecDeque<Open>,
    capacity: usize,
    /// Seconds of work that it was given.
    given: f64,
    since_report: SinceReport,
}

/// A request that is not done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Open {
    /// When it will be done.
    pub(super) ends: f64,
    /// When its client first tried.
    pub(super) since: f64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is served or waits.
    Yes,
    /// Refused at once: the server holds all that it can.
    Full,
    /// Nobody there.
    Dead,
}

#[derive(Debug, Clone, Copy, Default)]
struct SinceReport {
    at: f64,
    busy: f64,
    done: f64,
    seconds: f64,
    refused: f64,
}

impl Server {
    pub(super) fn new(speed: f64, workers: u32, capacity: Option<u32>, alive: bool) -> Self {
        Self {
            speed,
            alive,
            free: vec![0.0; workers as usize],
            open: VecDeque::new(),
            capacity: capacity.map_or(usize::MAX, |capacity| capacity as usize),
            given: 0.0,
            since_report: SinceReport::default(),
        }
    }

    /// Takes a request, unless it cannot; `done` is called for those that were done by `now`.
    pub(super) fn take(
        &mut self,
        now: f64,
        since: f64,
        work: f64,
        done: &mut impl FnMut(Open),
    ) -> Taken {
        if !self.alive {
            return Taken::Dead;
        }
        self.finish(now, done);
        if self.open.len() >= self.capacity {
            self.since_report.refused += 1.0;
            return Taken::Full;
        }
        let time = work / self.speed;
        self.given += time;
        // First come, first served: whoever is free first takes it.
        let mut first = 0;
        for worker in 1..self.free.len() {
            if self.free[worker] < self.free[first] {
                first = worker;
            }
        }
        let ends = self.free[first].max(now) + time;
        self.free[first] = ends;
        // Nearly in order: only those of the other workers may end before.
        let place = self.open.iter().rposition(|open| open.ends <= ends).map_or(0, |i| i + 1);
        self.open.insert(place, Open { ends, since });
        Taken::Yes
    }

    /// Counts what is done by `now`.
    pub(super) fn finish(&mut self, now: f64, done: &mut impl FnMut(Open)) {
        while let Some(open) = self.open.front().copied().filter(|open| open.ends <= now) {
            self.open.pop_front();
            self.since_report.done += 1.0;
            self.since_report.seconds += open.ends - open.since;
            done(open);
        }
    }

    /// Dies, and returns how many requests it had.
    pub(super) fn die(&mut self, now: f64) -> u64 {
        self.alive = false;
        self.given = self.busy(now);
        self.free.fill(now);
        let lost = self.open.len() as u64;
        self.open.clear();
        lost
    }

    /// Seconds that its workers have worked, all together.
    pub(super) fn busy(&self, now: f64) -> f64 {
        // What is still to come is in one piece for each worker.
        self.given - self.free.iter().map(|free| (free - now).max(0.0)).sum::<f64>()
    }

    /// What it says of its load: connections as of now, rates since the last report. `None` when it
    /// has just reported.
    pub(super) fn report(&mut self, now: f64, done: &mut impl FnMut(Open)) -> Option<Load> {
        self.finish(now, done);
        let busy = self.busy(now);
        let last = std::mem::take(&mut self.since_report);
        self.since_report = SinceReport { at: now, busy, ..SinceReport::default() };
        let span = now - last.at;
        (span > 0.0).then(|| Load {
            connections: Some(self.open.len() as f64),
            capacity: (self.capacity < usize::MAX).then_some(self.capacity as f64),
            cpu: Some((busy - last.busy) / span / self.free.len() as f64),
            qps: Some(last.done / span),
            eps: Some(last.refused / span),
            latency_ms: (last.done > 0.0).then(|| last.seconds / last.done * 1000.0),
            overloaded: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(server: &mut Server, now: f64) -> Vec<f64> {
        let mut ends = Vec::new();
        server.finish(now, &mut |open| ends.push(open.ends));
        ends
    }

    #[test]
    fn requests_wait_for_the_first_worker_that_is_free() {
        let mut server = Server::new(2.0, 2, None, true);
        for (at, work) in [(0.0, 8.0), (0.0, 2.0), (0.5, 2.0), (0.5, 1.0)] {
            assert_eq!(server.take(at, at, work, &mut |_| ()), Taken::Yes);
        }

        assert_eq!(server.busy(1.0), 2.0);
        assert_eq!(ends(&mut server, 10.0), [1.0, 2.0, 2.5, 4.0]);
        assert_eq!(server.busy(10.0), 6.5);
    }

    #[test]
    fn a_report_tells_what_happened_since_the_last() {
        let mut server = Server::new(1.0, 1, Some(2), true);
        server.report(1.0, &mut |_| ());
        for at in [1.0, 1.0, 1.0] {
            server.take(at, at, 0.5, &mut |_| ());
        }

        let load = server.report(2.0, &mut |_| ()).unwrap();

        let expected = Load {
            connections: Some(0.0),
            capacity: Some(2.0),
            cpu: Some(1.0),
            qps: Some(2.0),
            eps: Some(1.0),
            latency_ms: Some(750.0),
            overloaded: None,
        };
        assert_eq!(load, expected);
        assert_eq!(server.report(2.0, &mut |_| ()), None);
    }

    #[test]
    fn who_dies_loses_what_it_had() {
        let mut server = Server::new(1.0, 1, None, true);
        for _ in 0..3 {
            server.take(0.0, 0.0, 1.0, &mut |_| ());
        }

        assert_eq!(ends(&mut server, 1.5), [1.0]);
        assert_eq!(server.die(1.5), 2);
        assert_eq!((server.busy(9.0), server.take(2.0, 2.0, 1.0, &mut |_| ())), (1.5, Taken::Dead));
    }
}
