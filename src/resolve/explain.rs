//! Why an answer is what it is: for each instance, in or out and for what reasons.

use rand::Rng;

use crate::model::{AnswerMode, Balance, InstanceId, ServiceName};
use crate::registry::{Family, PortChoice, ServiceView};
use crate::resolve::name::{Choice, Name, Part};
use crate::resolve::{Answer, Data, Kind, Outcome};

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
    /// Its weight in force.
    pub weight: u32,
}

/// Explains the `outcome` of resolving `labels` in `view`. Moves no counter.
pub fn explain(
    view: &ServiceView,
    labels: &[&[u8]],
    kind: Kind,
    outcome: &Outcome<Answer>,
    rng: &mut impl Rng,
) -> Explanation {
    let part = match Name::parse(labels) {
        Name::Of(_, part) => part,
        Name::Branch | Name::Nothing => Part::Nothing,
    };
    let (answer, k) = shape(view, &part, kind, outcome, rng);
    let instances = view.instances.iter().enumerate().map(|(index, instance)| {
        let included = contains(view, outcome, index);
        let reasons = if included { Vec::new() } else { reasons(view, &part, kind, index) };
        let weight = view.weights[index];
        InstanceExplanation { id: instance.instance.id.clone(), included, reasons, weight }
    });
    let instances = instances.collect();
    Explanation { service: view.name.clone(), balance: view.settings.balance, answer, k, instances }
}

fn shape(
    view: &ServiceView,
    part: &Part<'_>,
    kind: Kind,
    outcome: &Outcome<Answer>,
    rng: &mut impl Rng,
) -> (AnswerMode, usize) {
    let family = match kind {
        Kind::A => Some(Family::V4),
        Kind::Aaaa => Some(Family::V6),
        Kind::Srv | Kind::Txt | Kind::Other => None,
    };
    match (part, family, outcome) {
        (Part::Pool(Choice::Key(_), None), Some(_), _) => (AnswerMode::Single, 1),
        (Part::Pool(choice, None), Some(family), _) => {
            let selection = view.select(choice.selector());
            let pool = &view.addresses(&selection, family, rng).pool;
            (pool.mode(), pool.k())
        }
        (_, _, Outcome::Answer(answer)) => (AnswerMode::All, answer.data.len()),
        (_, _, Outcome::NoData | Outcome::NxDomain) => (AnswerMode::All, 0),
    }
}

fn contains(view: &ServiceView, outcome: &Outcome<Answer>, index: usize) -> bool {
    let Outcome::Answer(answer) = outcome else { return false };
    match &answer.data {
        Data::Addresses(records) => {
            let own = &view.instances[index].instance.addresses;
            view.instances[index].usable() && own.iter().any(|a| records.contains(&a.ip()))
        }
        Data::Srv(records) => records.iter().any(|srv| srv.instance as usize == index),
        Data::Txt(records) => records.iter().any(|i| *i as usize == index),
    }
}

/// The first stage that left the instance out, in the order of the stages.
fn reasons(view: &ServiceView, part: &Part<'_>, kind: Kind, index: usize) -> Vec<&'static str> {
    let own = &view.instances[index];
    let (choice, port) = match part {
        Part::Pool(choice, port) => (choice, port.unwrap_or(PortChoice::Main)),
        Part::Instance(_) => return vec!["another instance was asked for"],
        Part::Branch | Part::Nothing => return vec!["the name stands for no instance"],
    };
    let matches = match choice {
        Choice::Whole | Choice::Key(_) => true,
        Choice::Tags(tags) => tags.iter().all(|tag| own.instance.tags.contains(*tag)),
        Choice::Zone(zone) => {
            own.instance.locality.zone.as_ref().is_some_and(|own| own.as_str() == *zone)
        }
    };
    if !matches {
        return vec!["not selected by the name"];
    }
    if !own.usable() {
        return own.reasons();
    }
    let has = |family: Family| own.instance.addresses.iter().any(|a| family.has(a.ip()));
    let lacking = match kind {
        Kind::A if !has(Family::V4) => Some("no IPv4 address"),
        Kind::Aaaa if !has(Family::V6) => Some("no IPv6 address"),
        Kind::Srv if port.of(&own.instance).is_none() => Some("no such port"),
        Kind::Other => Some("no records of this type"),
        Kind::A | Kind::Aaaa | Kind::Srv | Kind::Txt => None,
    };
    if let Some(lacking) = lacking {
        return vec![lacking];
    }
    let active = view.select(choice.selector());
    if !active.active().iter().any(|i| *i as usize == index) {
        return vec!["not in the active tier"];
    }
    match kind {
        Kind::Txt => vec!["same text as another"],
        Kind::A | Kind::Aaaa | Kind::Srv | Kind::Other => vec!["not chosen this time"],
    }
}
