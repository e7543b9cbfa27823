//! One run: requests in the order of time, and what happens between them.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::simulate::agenda::{Agenda, Event, Retry};
use crate::simulate::cast::{below, millis, seconds};
use crate::simulate::demand::{CLIENTS, Demand, Request};
use crate::simulate::name_server::NameServer;
use crate::simulate::outcome::Outcome;
use crate::simulate::plan::{EXTENDED, Plan, Service};
use crate::simulate::resolver::{Record, Resolver};
use crate::simulate::scenario::Fault;
use crate::simulate::server::{Server, Taken};
use crate::simulate::tally::{Tally, WINDOW};

/// Runs `plan` with this service. The same seed makes the same requests for every service.
#[must_use]
pub fn run(plan: &Plan, service: &Service, seed: u64) -> Outcome {
    let mut run = Run::new(plan, service, seed);
    for _ in 0..plan.clients.requests {
        let request = run.demand.next();
        run.until(request.at);
        run.serve(request);
    }
    run.finish()
}

struct Run<'p> {
    plan: &'p Plan,
    service: &'p Service,
    demand: Demand,
    askers: Vec<Resolver>,
    name_servers: Vec<NameServer<'p>>,
    servers: Vec<Server>,
    leases: Vec<Lease>,
    /// Whose heartbeats get lost.
    cut: Vec<bool>,
    silent: bool,
    /// Where each asker went last.
    last: Vec<Option<usize>>,
    agenda: Agenda,
    tally: Tally,
    rng: SmallRng,
    now: f64,
    until: f64,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, service: &'p Service, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed ^ OTHER);
        let (fleet, until) = (&plan.fleet, plan.seconds());
        let n = fleet.speeds.len();
        let first = plan.scenario.working_at_first(n);
        let seats: Vec<(u16, bool)> =
            fleet.weights.iter().enumerate().map(|(i, w)| (w.get(), i < first)).collect();
        let server = |(i, &speed): (usize, &f64)| {
            Server::new(speed, fleet.workers, fleet.capacity, i < first)
        };
        let servers: Vec<Server> = fleet.speeds.iter().enumerate().map(server).collect();
        let third = seconds(fleet.lease.0) / 3.0;
        let leases =
            (0..n).map(|_| Lease::new(-rng.random::<f64>() * third, fleet.lease.0)).collect();
        let srv = plan.clients.stub.srv();
        let name_servers = (0..plan.name_servers)
            .map(|_| NameServer::new(service, srv, &seats, rng.next_u64()))
            .collect();
        let group = plan.scenario.group(n);
        let askers = askers(plan, &mut rng);
        let mut run = Self {
            plan,
            service,
            demand: Demand::new(plan, seed),
            last: vec![None; askers.len()],
            askers,
            name_servers,
            servers,
            leases,
            cut: vec![false; n],
            silent: false,
            agenda: Agenda::default(),
            tally: Tally::new(group, plan.clients.requests, warm_up(plan), until),
            rng,
            now: 0.0,
            until,
        };
        run.schedule();
        run
    }

    fn schedule(&mut self) {
        let n = self.servers.len();
        self.agenda.add(WINDOW, Event::Window);
        let held = seconds(self.service.ttl.get());
        for (at, fault) in self.plan.scenario.faults(n, self.until, held) {
            self.agenda.add(at, Event::Fault(fault));
        }
        if self.reports() {
            for i in 0..n {
                let at = self.rng.random::<f64>() * seconds(self.plan.fleet.reports.every.0);
                self.agenda.add(at, Event::Report(i));
            }
        }
        if self.reports() || self.service.slow_start.window().is_some() {
            self.agenda.add(WEIGH, Event::Weigh);
        }
    }

    fn reports(&self) -> bool {
        self.service.reports && !self.plan.fleet.reports.every.0.is_zero()
    }

    /// Everything that happens up to `now`.
    fn until(&mut self, now: f64) {
        while let Some((at, event)) = self.agenda.due(now) {
            self.now = at;
            match event {
                Event::Report(server) => self.report(server),
                Event::Weigh => self.weigh(),
                Event::Expire(server) => self.expire(server),
                Event::Fault(fault) => self.happen(fault),
                Event::Window if at > self.until => {}
                Event::Window => {
                    let workers = f64::from(self.plan.fleet.workers);
                    self.tally.close_window(&self.servers, workers, at);
                    self.agenda.add(at + WINDOW, Event::Window);
                }
                Event::Retry(retry) => self.retry(*retry),
            }
        }
        self.now = now;
    }

    fn serve(&mut self, request: Request) {
        let Request { at, asker, work, luck } = request;
        let resolver = &mut self.askers[asker];
        if resolver.asks(at) {
            let which = below(luck.rotate_left(16), self.name_servers.len());
            let name_server = &mut self.name_servers[which];
            name_server.answer(resolver.client, millis(at), &mut resolver.answer);
            let lease = |record: &Record| self.leases[record.server as usize].ends(at) - at;
            let shortest = resolver.answer.iter().map(lease).fold(f64::INFINITY, f64::min);
            let empty = resolver.answer.is_empty();
            resolver.keep(at, if empty { NEGATIVE_TTL } else { ttl(self.service, shortest) });
            self.tally.query(bytes(&resolver.answer, self.plan.clients.stub.srv()), at);
        }
        if resolver.answer.is_empty() {
            self.tally.failed(1, at);
            return;
        }
        let order = self.plan.caches.order;
        let start = resolver.start(order, luck);
        let choice = self.plan.clients.stub.choose(&resolver.answer, start, luck);
        let server = resolver.answer[choice].server as usize;
        let before = self.last[asker].replace(server);
        self.tally.chose(before.is_some_and(|before| before != server), at);
        if !attempt(&mut self.servers[server], server, &mut self.tally, at, at, work) {
            let left = resolver.others(order, choice, luck);
            self.try_later(Retry { since: at, work, left, luck });
        }
    }

    fn retry(&mut self, mut retry: Retry) {
        retry.luck = retry.luck.rotate_left(7);
        let choice = self.plan.clients.stub.choose(&retry.left, 0, retry.luck);
        let server = retry.left.remove(choice).server as usize;
        let Retry { since, work, .. } = retry;
        if !attempt(&mut self.servers[server], server, &mut self.tally, self.now, since, work) {
            self.try_later(retry);
        }
    }

    fn try_later(&mut self, retry: Retry) {
        let at = self.now + seconds(self.plan.clients.connect_timeout.0);
        if retry.left.is_empty() {
            self.tally.failed(1, retry.since);
        } else {
            self.agenda.add(at, Event::Retry(Box::new(retry)));
        }
    }

    fn report(&mut self, server: usize) {
        let reports = self.plan.fleet.reports;
        let every = seconds(reports.every.0);
        let next = self.now + every * self.rng.random_range(0.9..1.1);
        self.agenda.add(next, Event::Report(server));
        let lost = self.rng.random::<f64>() < reports.loss;
        if !self.servers[server].alive {
            return;
        }
        let tally = &mut self.tally;
        let load = self.servers[server].report(self.now, &mut |open| tally.done(open));
        if let Some(load) = load.filter(|_| !lost && !self.silent && !self.cut[server]) {
            for name_server in &mut self.name_servers {
                name_server.report(server, load, millis(self.now));
            }
        }
    }

    fn weigh(&mut self) {
        self.agenda.add(self.now + WEIGH, Event::Weigh);
        for name_server in &mut self.name_servers {
            name_server.weigh(millis(self.now));
        }
        if self.now >= self.until / 2.0 {
            self.tally.weights(self.name_servers[0].weights());
        }
    }

    fn expire(&mut self, server: usize) {
        // It may have been back, and gone again, since.
        let over = self.leases[server].ends(self.now) <= self.now;
        if over && (self.cut[server] || !self.servers[server].alive) {
            self.remove(server);
        }
    }

    fn remove(&mut self, server: usize) {
        for name_server in &mut self.name_servers {
            name_server.remove(server, millis(self.now));
        }
    }

    fn happen(&mut self, fault: Fault) {
        match fault {
            Fault::Die(server) => {
                self.stop(server);
                self.fall_silent(server);
            }
            Fault::Leave(server) => {
                self.stop(server);
                self.remove(server);
            }
            Fault::Drain(server) => self.remove(server),
            Fault::Join(server) => {
                self.servers[server].alive = true;
                self.renew(server);
                for name_server in &mut self.name_servers {
                    name_server.register(server, millis(self.now));
                }
            }
            Fault::Replace(server) => {
                self.servers[server].alive = true;
                self.renew(server);
                for name_server in &mut self.name_servers {
                    name_server.replace(server, millis(self.now));
                }
            }
            Fault::Cut(server) => {
                self.cut[server] = true;
                self.fall_silent(server);
            }
            Fault::Heal(server) => {
                self.cut[server] = false;
                self.renew(server);
                for name_server in &mut self.name_servers {
                    name_server.register(server, millis(self.now));
                }
            }
            Fault::Speed(server, factor) => self.servers[server].speed *= factor,
            Fault::Reverse => {
                let speeds: Vec<f64> = self.servers.iter().map(|server| server.speed).collect();
                let slow = self.servers.iter_mut().zip(speeds.iter().rev());
                slow.for_each(|(server, speed)| server.speed = *speed);
                for name_server in &mut self.name_servers {
                    name_server.reverse_weights(millis(self.now));
                }
            }
            Fault::Silence(silent) => self.silent = silent,
        }
    }

    /// No heartbeat of a server arrives any more.
    fn fall_silent(&mut self, server: usize) {
        self.leases[server].last = self.now;
        self.agenda.add(self.leases[server].ends(self.now), Event::Expire(server));
    }

    fn renew(&mut self, server: usize) {
        self.leases[server] = Lease::new(self.now, self.plan.fleet.lease.0);
    }

    fn stop(&mut self, server: usize) {
        let tally = &mut self.tally;
        self.servers[server].finish(self.now, &mut |open| tally.done(open));
        let lost = self.servers[server].die(self.now);
        self.tally.failed(lost, self.now);
    }

    fn finish(mut self) -> Outcome {
        // Those that were told to try another record.
        self.until(self.now + seconds(self.plan.clients.connect_timeout.0));
        let (imbalance, watched, shares) =
            (self.tally.imbalance(), self.tally.watched(), self.tally.shares());
        for server in &mut self.servers {
            let tally = &mut self.tally;
            server.finish(f64::INFINITY, &mut |open| tally.done(open));
        }
        let (answer, k) = self.name_servers[0].shape();
        let fault = self.plan.scenario.begins().map(|share| share * self.until);
        Outcome {
            answer,
            k,
            figures: self.tally.figures(&self.servers, self.until, fault),
            shares,
            weights: self.name_servers[0].weights().flatten().collect(),
            imbalance,
            watched,
        }
    }
}

/// Tries a server. Whether it was there.
fn attempt(
    server: &mut Server,
    number: usize,
    tally: &mut Tally,
    now: f64,
    since: f64,
    work: f64,
) -> bool {
    match server.take(now, since, work, &mut |open| tally.done(open)) {
        Taken::Yes => tally.got(number, now),
        Taken::Full => {
            tally.got(number, now);
            tally.failed(1, since);
        }
        Taken::Dead => {
            tally.missed(number, now);
            return false;
        }
    }
    true
}

/// A lease that is renewed at every third of it.
#[derive(Debug, Clone, Copy)]
struct Lease {
    /// When it was renewed first.
    first: f64,
    /// After this it was no more.
    last: f64,
    length: f64,
}

impl Lease {
    fn new(first: f64, length: Duration) -> Self {
        Self { first, last: f64::INFINITY, length: seconds(length) }
    }

    /// When it is over, as far as is known at `now`.
    fn ends(&self, now: f64) -> f64 {
        let third = self.length / 3.0;
        let renewals = ((now.min(self.last) - self.first) / third).floor();
        self.first + renewals * third + self.length
    }
}

/// The TTL of an answer, as `resolve` has it: in whole seconds, at least 1 unless nobody may cache.
fn ttl(service: &Service, shortest_lease: f64) -> f64 {
    let ttl = seconds(service.ttl.get());
    if ttl == 0.0 { 0.0 } else { ttl.min(shortest_lease).floor().max(1.0) }
}

/// How long a message with these records is, for `web.service.local`.
fn bytes(records: &[Record], srv: bool) -> usize {
    // Header, question and OPT; a record with its owner and target compressed, or an SRV record with
    // the target spelled out and its address (RFC 2782, RFC 6891).
    const FRAME: usize = 12 + 23 + 11;
    FRAME + records.len() * if srv { 44 + 16 } else { 16 }
}

fn askers(plan: &Plan, rng: &mut SmallRng) -> Vec<Resolver> {
    let caches = &plan.caches;
    let mut floor = || {
        let extends = rng.random::<f64>() < caches.extenders;
        seconds(caches.min_ttl.0).max(if extends { EXTENDED } else { 0.0 })
    };
    match caches.resolvers as usize {
        0 => (0..CLIENTS).map(Resolver::direct).collect(),
        resolvers => (0..resolvers).map(|i| Resolver::caching(i, floor())).collect(),
    }
}

/// The seconds at the beginning that do not count: queues fill and weights are found in them. Two
/// minutes if they are there, but at least half of the run counts; where something goes wrong, from
/// well before that.
fn warm_up(plan: &Plan) -> f64 {
    let seconds = plan.seconds();
    match plan.scenario.begins() {
        None => (seconds / 4.0).max(120.0).min(seconds / 2.0),
        Some(share) => seconds * share * 0.6,
    }
}

/// How often a registry looks at weights.
const WEIGH: f64 = 0.2;
/// How long "there is none" is kept, in seconds.
const NEGATIVE_TTL: f64 = 1.0;
/// Makes another stream of chance of a seed.
const OTHER: u64 = 0x5eed_0f07_4e72;
