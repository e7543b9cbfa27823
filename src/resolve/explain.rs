//! Why an answer is what it is: for each instance, in or out and for what reasons.

use std::collections::HashSet;
use std::net::IpAddr;

use rand::Rng;

use crate::model::{AnswerMode, Balance, Instance, InstanceId, ServiceName, SrvTiers};
use crate::registry::{Family, InstanceView, PortChoice, ServiceView};
use crate::resolve::name::{Choice, Form, Name, Part};
use crate::resolve::targets::HTTPS_PORT;
use crate::resolve::{Answer, Asker, Data, Kind, Outcome};

/// How an answer came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The service.
    pub service: ServiceName,
    /// Its algorithm.
    pub balance: Balance,
    /// The answer mode in force, never auto.
    pub answer: AnswerMode,
    /// How many instances an answer of this kind holds.
    pub k: usize,
    /// Every instance of the service, by id.
    pub instances: Vec<InstanceExplanation>,
}

/// What became of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceExplanation {
    /// The instance.
    pub id: InstanceId,
    /// Whether it is in the answer.
    pub included: bool,
    /// Why it is not; empty when it is.
    pub reasons: Vec<&'static str>,
    /// Its weight in force, for this client.
    pub weight: u32,
}

/// Explains the `outcome` of resolving `labels` in `view` for `asker`: what is in the reply. Moves no
/// counter.
pub fn explain(
    view: &ServiceView,
    labels: &[&[u8]],
    kind: Kind,
    asker: &Asker<'_>,
    outcome: &Outcome<Answer>,
    rng: &mut impl Rng,
) -> Explanation {
    let part = match Name::parse(labels) {
        Name::Of(_, part) => part,
        Name::Listed(_) | Name::Branch | Name::Nothing => Part::Nothing,
    };
    let (answer, k) = shape(view, &part, kind, asker, outcome, rng);
    let stages = Stages::new(view, &part, kind, outcome, answer, weighed(view, &part, kind, asker));
    let instances = (0..).zip(&*view.instances).map(|(index, instance)| InstanceExplanation {
        id: instance.instance.id.clone(),
        included: stages.told.contains(&index),
        reasons: stages.reasons(index),
        weight: stages.weight(index),
    });
    let instances = instances.collect();
    Explanation { service: view.name.clone(), balance: view.settings.balance, answer, k, instances }
}

fn shape(
    view: &ServiceView,
    part: &Part<'_>,
    kind: Kind,
    asker: &Asker<'_>,
    outcome: &Outcome<Answer>,
    rng: &mut impl Rng,
) -> (AnswerMode, usize) {
    match (part, family(kind), outcome) {
        (Part::Pool(Choice::Key(_), Form::Plain), Some(_), _) => (AnswerMode::Single, 1),
        (Part::Pool(choice, Form::Plain), Some(family), _) => {
            let selection = view.select(choice.selector());
            let (selection, _) = asker.sees(view, choice, &selection);
            let pool = &view.addresses(selection, family, rng).pool;
            (pool.mode(), pool.k())
        }
        (_, _, Outcome::Answer(answer)) => (AnswerMode::All, answer.data.len()),
        (_, _, Outcome::NoData | Outcome::NxDomain) => (AnswerMode::All, 0),
    }
}

/// The weight of each instance for this client, and whether it is left out as far; `None` where its
/// locality makes no difference.
fn weighed(
    view: &ServiceView,
    part: &Part<'_>,
    kind: Kind,
    asker: &Asker<'_>,
) -> Option<Vec<(u32, bool)>> {
    let Part::Pool(choice, form) = part else { return None };
    let selection = view.select(choice.selector());
    let (selection, _) = asker.sees(view, choice, &selection);
    if let Some(family) = family(kind) {
        return view.weighed(selection, |i| i.addresses.iter().any(|a| family.has(a.ip())));
    }
    let port = Some(kind).filter(|kind| lists_ports(*kind) && *kind != Kind::Ptr);
    let port = port.and_then(|kind| asked_port(view, *form, kind))?;
    view.weighed(selection, |instance| port.of(instance).is_some())
}

/// The port that a name and a type are about.
fn asked_port<'n>(view: &ServiceView, form: Form<'n>, kind: Kind) -> Option<PortChoice<'n>> {
    match form {
        Form::Plain if kind == Kind::Https => Some(HTTPS_PORT),
        Form::Plain => Some(PortChoice::Main),
        Form::Port(port) => Some(port),
        Form::Binding(name) => view.port_protocol(name).map(|of| PortChoice::Bound(name, of)),
    }
}

/// How far each instance got.
struct Stages<'e> {
    view: &'e ServiceView,
    part: &'e Part<'e>,
    kind: Kind,
    mode: AnswerMode,
    /// Those of the active tier that the name selects.
    active: HashSet<u32>,
    /// Those in the answer.
    told: HashSet<u32>,
    /// The published pairs in the answer.
    texts: HashSet<Vec<(&'e str, &'e str)>>,
    /// See [`weighed`].
    weighed: Option<Vec<(u32, bool)>>,
}

impl<'e> Stages<'e> {
    fn new(
        view: &'e ServiceView,
        part: &'e Part<'e>,
        kind: Kind,
        outcome: &Outcome<Answer>,
        mode: AnswerMode,
        weighed: Option<Vec<(u32, bool)>>,
    ) -> Self {
        let active: HashSet<u32> = match part {
            Part::Pool(choice, _) => {
                view.select(choice.selector()).active().iter().copied().collect()
            }
            Part::Instance(id) | Part::Browsed(id, _) => {
                view.instance(id).map(|(index, _)| index).into_iter().collect()
            }
            Part::Branch | Part::Nothing => HashSet::new(),
        };
        let data = match outcome {
            Outcome::Answer(answer) => Some(&answer.data),
            Outcome::NoData | Outcome::NxDomain => None,
        };
        let mut texts = HashSet::new();
        let told = match data {
            None => HashSet::new(),
            Some(Data::Addresses(records)) => {
                // An address that others have too does not put them into the answer.
                let records: HashSet<&IpAddr> = records.iter().collect();
                let own = |i: &u32| view.instances[*i as usize].instance.addresses.iter();
                let has = |i: &u32| own(i).any(|address| records.contains(&address.ip()));
                active.iter().copied().filter(has).collect()
            }
            Some(
                Data::Srv(records)
                | Data::Svcb(records)
                | Data::Https(records)
                | Data::Ptr(records),
            ) => records.iter().map(|srv| srv.instance).collect(),
            Some(Data::Txt(instances)) => {
                texts.extend(instances.iter().map(|i| view.published(*i).collect()));
                instances.iter().copied().collect()
            }
        };
        Self { view, part, kind, mode, active, told, texts, weighed }
    }

    /// The weight of an instance for this client.
    fn weight(&self, index: u32) -> u32 {
        let own = self.view.weights[index as usize];
        self.weighed.as_ref().map_or(own, |weighed| weighed[index as usize].0)
    }

    /// Whether an instance is left out of addresses, since nearer ones are enough.
    fn far(&self, index: u32) -> bool {
        self.weighed.as_ref().is_some_and(|weighed| weighed[index as usize].1)
    }

    /// The first stage that left the instance out, in the order of the stages; none when it is in.
    fn reasons(&self, index: u32) -> Vec<&'static str> {
        let own = &self.view.instances[index as usize];
        if self.told.contains(&index) {
            return Vec::new();
        }
        let port = match self.part {
            Part::Pool(choice, _) if !selects(choice, &own.instance) => {
                return vec!["not selected by the name"];
            }
            Part::Pool(_, _) if !self.view.answers(index) => return self.left_out(own),
            Part::Pool(_, form) => asked_port(self.view, *form, self.kind),
            Part::Instance(_) | Part::Browsed(_, _) if !self.active.contains(&index) => {
                return vec!["another instance was asked for"];
            }
            Part::Instance(_) => Some(PortChoice::Main),
            Part::Browsed(_, protocol) => Some(PortChoice::MainOf(*protocol)),
            Part::Branch | Part::Nothing => return vec!["the name stands for no instance"],
        };
        let has = |family: Family| own.instance.addresses.iter().any(|a| family.has(a.ip()));
        let all_tiers = lists_ports(self.kind) && self.view.settings.srv_tiers == SrvTiers::All;
        vec![match (self.kind, self.part) {
            _ if !self.has_type() => "no records of this type",
            (Kind::A, _) if !has(Family::V4) => "no IPv4 address",
            (Kind::Aaaa, _) if !has(Family::V6) => "no IPv6 address",
            (Kind::Srv | Kind::Svcb | Kind::Https | Kind::Ptr, _) | (_, Part::Browsed(_, _))
                if port.and_then(|port| port.of(&own.instance)).is_none() =>
            {
                "no such port"
            }
            _ if !self.active.contains(&index) && !all_tiers => "not in the active tier",
            (Kind::Txt, Part::Pool(Choice::Key(_), _)) => "not chosen this time",
            (Kind::Txt, _)
                if self.texts.contains(&self.view.published(index).collect::<Vec<_>>()) =>
            {
                "same text as another"
            }
            (Kind::A | Kind::Aaaa, _) if self.far(index) => "far, and nearer ones are enough",
            (Kind::A | Kind::Aaaa, _) if self.mode != AnswerMode::All => "not chosen this time",
            (
                Kind::A
                | Kind::Aaaa
                | Kind::Srv
                | Kind::Txt
                | Kind::Svcb
                | Kind::Https
                | Kind::Ptr
                | Kind::Other,
                _,
            ) => "no room in the reply",
        }]
    }

    /// Why nobody is sent to an instance, whatever is asked.
    fn left_out(&self, own: &InstanceView) -> Vec<&'static str> {
        let mut reasons = own.reasons();
        // A panic answers more than those who are healthy, or nobody.
        reasons.extend(self.view.panic.as_ref().filter(|_| own.usable()).map(|_| "panic: closed"));
        reasons
    }

    /// Whether names like this one have records of the type at all.
    fn has_type(&self) -> bool {
        match (self.kind, self.part) {
            (Kind::A | Kind::Aaaa | Kind::Srv | Kind::Txt, Part::Instance(_)) => true,
            (Kind::Srv | Kind::Txt, Part::Browsed(_, _)) => true,
            (Kind::A | Kind::Aaaa, Part::Browsed(_, _))
            | (Kind::Svcb | Kind::Https | Kind::Ptr, Part::Instance(_) | Part::Browsed(_, _)) => {
                false
            }
            (Kind::Ptr, Part::Pool(_, form)) => {
                matches!(form, Form::Port(PortChoice::MainOf(_)))
            }
            (Kind::A | Kind::Aaaa | Kind::Txt | Kind::Https, Part::Pool(_, form)) => {
                *form == Form::Plain
            }
            (Kind::Srv, Part::Pool(_, form)) => !matches!(form, Form::Binding(_)),
            (Kind::Svcb, Part::Pool(_, form)) => matches!(form, Form::Binding(_)),
            (Kind::Other, _) | (_, Part::Branch | Part::Nothing) => false,
        }
    }
}

fn selects(choice: &Choice<'_>, instance: &Instance) -> bool {
    match choice {
        Choice::Whole | Choice::Key(_) => true,
        Choice::Tags(tags) => tags.iter().all(|tag| instance.tags.contains(tag)),
        Choice::Zone(zone) => instance.zone() == Some(*zone),
    }
}

fn family(kind: Kind) -> Option<Family> {
    match kind {
        Kind::A => Some(Family::V4),
        Kind::Aaaa => Some(Family::V6),
        Kind::Srv | Kind::Txt | Kind::Svcb | Kind::Https | Kind::Ptr | Kind::Other => None,
    }
}

/// Whether records of the type are of ports, and so of the tiers that SRV lists.
fn lists_ports(kind: Kind) -> bool {
    match kind {
        Kind::Srv | Kind::Svcb | Kind::Https | Kind::Ptr => true,
        Kind::A | Kind::Aaaa | Kind::Txt | Kind::Other => false,
    }
}
