//! One signpost as clients and servers see it: what is registered, and the pool that answers.
//!
//! Pools are built and weights are looked at when `registry` does so.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::balance::dynamic::Dynamic;
use crate::balance::in_force::{Reports, Seat, in_force, moved};
use crate::balance::meter::LazyMeter;
use crate::balance::pool::{Ask, Member, Pool, PoolSpec};
use crate::balance::ramps::{Ramps, Usable};
use crate::balance::slow_start;
use crate::balance::traffic::{Asked, Stream, Traffic};
use crate::balance::weights::srv_weights;
use crate::model::{
    AnswerMode, Balance, HotKeyReplicas, InstanceId, Load, Millis, RecordTtl, SrvWeightMax, Tier,
};
use crate::simulate::plan::Service;
use crate::simulate::resolver::Record;

/// One signpost.
#[derive(Debug)]
pub(super) struct NameServer<'p> {
    service: &'p Service,
    /// Whether it is asked for SRV, not for addresses.
    srv: bool,
    /// Every server that may register, in the plan's order.
    registrants: Vec<Registrant>,
    dynamic: Option<Box<Dynamic>>,
    reports: Option<Reports>,
    traffic: Arc<Traffic>,
    /// Who is new, and when the next weight grows.
    ramps: (Ramps, Option<Millis>),
    /// The weights of those that are registered, before what slow start makes of them.
    balanced: Vec<u32>,
    /// The weights in force.
    weights: Vec<u32>,
    served: Served,
    rng: SmallRng,
    units: Vec<u32>,
}

#[derive(Debug)]
struct Registrant {
    id: InstanceId,
    base: u16,
    meter: LazyMeter,
    registered: bool,
    /// How many were in its place before.
    replaced: u32,
}

impl Registrant {
    fn seat(&self) -> Seat<'_> {
        Seat { id: &self.id, base: self.base, meter: &self.meter }
    }
}

/// What is answered until something changes.
#[derive(Debug)]
struct Served {
    pool: Pool,
    /// The server of each unit.
    servers: Vec<u32>,
    /// SRV weights; empty where nobody asks for SRV.
    srv: Vec<u16>,
}

impl<'p> NameServer<'p> {
    /// With the servers of these static weights, of which those are registered that are marked.
    pub(super) fn new(service: &'p Service, srv: bool, servers: &[(u16, bool)], seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let registrant = |(i, &(base, registered)): (usize, &(u16, bool))| Registrant {
            id: id(i, 0),
            base: if service.weighted { base } else { 1 },
            meter: LazyMeter::default(),
            registered,
            replaced: 0,
        };
        let traffic = Arc::new(Traffic::new(service.ttl.get(), rng.next_u64()));
        let served = Served::new(service, service.balance, srv, Vec::new(), Vec::new(), &mut rng);
        let mut server = Self {
            service,
            srv,
            registrants: servers.iter().enumerate().map(registrant).collect(),
            dynamic: None,
            reports: None,
            traffic,
            ramps: Default::default(),
            balanced: Vec::new(),
            weights: Vec::new(),
            served,
            rng,
            units: Vec::new(),
        };
        server.build(Millis(0));
        server
    }

    /// How answers are chosen, and how many records they hold.
    pub(super) fn shape(&self) -> (AnswerMode, usize) {
        (self.served.pool.mode(), self.served.pool.k())
    }

    /// The weights in force, by server; none for those that are not registered.
    pub(super) fn weights(&self) -> impl Iterator<Item = Option<u32>> {
        let mut weights = self.weights.iter();
        let weight = move |one: &Registrant| match one.registered {
            true => weights.next().copied(),
            false => None,
        };
        self.registrants.iter().map(weight)
    }

    /// Answers a query into `out`.
    pub(super) fn answer(&mut self, client: u64, now: Millis, out: &mut Vec<Record>) {
        let served = &self.served;
        let ask = Ask { client, now, fit: FIT, peek: false };
        if self.srv {
            served.pool.order(&ask, &mut self.rng, &mut self.units);
        } else {
            served.pool.pick(&ask, &mut self.rng, &mut self.units);
        }
        let ranked = self.srv && self.service.balance == Balance::ConsistentHash;
        out.clear();
        out.extend((0..).zip(&self.units).map(|(rank, &unit)| Record {
            server: served.servers[unit as usize],
            weight: served.srv.get(unit as usize).copied().unwrap_or(0),
            priority: if ranked { rank } else { 0 },
        }));
    }

    /// A server registers. One that is registered stays what it is.
    pub(super) fn register(&mut self, server: usize, now: Millis) {
        let registrant = &mut self.registrants[server];
        if !registrant.registered {
            (registrant.registered, registrant.meter) = (true, LazyMeter::default());
            self.ramps.0.note(&registrant.id, now);
            self.build(now);
        }
    }

    /// Another server registers in the place of one that is gone.
    pub(super) fn replace(&mut self, server: usize, now: Millis) {
        let registrant = &mut self.registrants[server];
        registrant.replaced += 1;
        registrant.id = id(server, registrant.replaced);
        self.register(server, now);
    }

    /// A server is gone, by its own word or because its lease is over.
    pub(super) fn remove(&mut self, server: usize, now: Millis) {
        if std::mem::take(&mut self.registrants[server].registered) {
            self.build(now);
        }
    }

    /// An operator reverses the static weights.
    pub(super) fn reverse_weights(&mut self, now: Millis) {
        let mut bases: Vec<u16> = self.registrants.iter().map(|one| one.base).collect();
        bases.reverse();
        self.registrants.iter_mut().zip(bases).for_each(|(one, base)| one.base = base);
        self.build(now);
    }

    /// A server reports its load.
    pub(super) fn report(&mut self, server: usize, load: Load, now: Millis) {
        let registrant = &self.registrants[server];
        if registrant.registered {
            registrant.meter.meter().report(load, now);
            self.reports.get_or_insert_with(|| Reports::since(now)).note(now);
        }
    }

    /// Looks whether weights have moved with the load, or with the age of who is new, and then answers
    /// by the new ones.
    pub(super) fn weigh(&mut self, now: Millis) {
        let grown = self.ramps.1.is_some_and(|next| next <= now);
        if grown | self.moved(now) {
            self.build(now);
        }
    }

    fn moved(&mut self, now: Millis) -> bool {
        let seats = seats(&self.registrants);
        let Service { balance, ttl, .. } = *self.service;
        self.reports.as_mut().is_some_and(|reports| reports.look(seats.len(), now))
            && moved(balance, ttl, &seats, &mut self.dynamic, Some(&self.balanced), now)
    }

    fn build(&mut self, now: Millis) {
        let Service { balance, ttl, .. } = *self.service;
        let seats = seats(&self.registrants);
        self.balanced = in_force(balance, ttl, &seats, self.dynamic.as_deref(), now);
        self.weights.clone_from(&self.balanced);
        let growing = self.grow(now);
        // Each in turn has no weights: while some grow it is a schedule.
        let balance = match balance {
            Balance::RoundRobin if growing => Balance::WeightedRoundRobin,
            usual => usual,
        };
        let weighed = registered(&self.registrants).zip(&self.weights);
        let members = (0..).zip(weighed).map(|(unit, (registrant, &weight))| Member {
            id: registrant.id.as_str(),
            weight,
            base: registrant.base,
            meter: &registrant.meter,
            unit,
        });
        let members = members.collect();
        let servers = (0..).zip(&self.registrants).filter(|(_, registrant)| registrant.registered);
        let servers = servers.map(|(server, _)| server).collect();
        let served = Served::new(self.service, balance, self.srv, members, servers, &mut self.rng);
        let asked = if self.srv { Asked::Other } else { Asked::V4 };
        self.served = served.counting(Stream::new(&self.traffic, asked));
    }

    /// Makes of the weights what they are while some are new, and says whether any is.
    fn grow(&mut self, now: Millis) -> bool {
        let Service { balance, slow_start, .. } = *self.service;
        let window = slow_start.window().filter(|_| balance != Balance::ConsistentHash);
        let Some(window) = window else { return false };
        let weight = |one: &Registrant| if balance == Balance::RoundRobin { 1 } else { one.base };
        let usable = registered(&self.registrants).map(|one| Usable {
            id: &one.id,
            tier: Tier::default(),
            weight: weight(one).into(),
        });
        let (ramps, next) = &mut self.ramps;
        ramps.settle(usable, window, now);
        *next = ramps.next(window, now);
        let factor = |one: &Registrant| ramps.factor(&one.id, window, now);
        let factors: Vec<u16> = registered(&self.registrants).map(factor).collect();
        if next.is_some() {
            slow_start::scale(&mut self.weights, &factors);
        }
        next.is_some()
    }
}

impl Served {
    fn new(
        service: &Service,
        balance: Balance,
        asked_for_srv: bool,
        members: Vec<Member<'_>>,
        servers: Vec<u32>,
        rng: &mut SmallRng,
    ) -> Self {
        let mut srv = Vec::new();
        if asked_for_srv {
            let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
            srv_weights(&weights, SrvWeightMax::default().get(), &mut srv);
        }
        let spec = PoolSpec {
            records: vec![1; members.len()],
            members,
            balance,
            answer: if asked_for_srv { AnswerMode::All } else { service.answer },
            cached: service.ttl > RecordTtl::ZERO,
            max_answers: service.max_answers.get(),
        };
        Self { pool: Pool::new(spec, rng), servers, srv }
    }

    fn counting(self, stream: Stream) -> Self {
        Self { pool: self.pool.counting(stream, HotKeyReplicas::default().get()), ..self }
    }
}

/// The id of the server in a place, when so many were there before.
fn id(place: usize, replaced: u32) -> InstanceId {
    let id = if replaced == 0 { format!("web-{place}") } else { format!("web-{place}-{replaced}") };
    InstanceId::new(&id).expect("a legal id")
}

fn registered(registrants: &[Registrant]) -> impl Iterator<Item = &Registrant> {
    registrants.iter().filter(|registrant| registrant.registered)
}

fn seats(registrants: &[Registrant]) -> Vec<Seat<'_>> {
    registered(registrants).map(Registrant::seat).collect()
}

/// How many A records a message of 1232 bytes holds.
const FIT: usize = 74;
