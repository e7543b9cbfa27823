//! The usable instances of a service arranged for choosing: selector, tier, weights in force, and
//! then one pool a record type.
//!
//! What every client asks for (A, AAAA, SRV of the main port) is arranged when the view is built;
//! selections by tag, zone or another port when they are first asked for. Nothing here grows with
//! what is asked: only tags, zones and ports that instances have are kept, and of the many
//! combinations of tags a fixed number. They end with the view, at the service's next change.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use rand::Rng;

use crate::balance::meter::LazyMeter;
use crate::balance::owners::Owners;
use crate::balance::pool::{Member, Pool, PoolSpec};
use crate::balance::traffic::{Asked, Stream, Traffic};
use crate::model::{AnswerMode, Balance, Instance, RecordTtl, Settings};
use crate::registry::instance::InstanceView;
use crate::registry::panic::Panic;
use crate::registry::selection::{Family, PortChoice, Selection};
use crate::registry::vantage::Weighed;

/// Which instances a name asks for, before health and tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector<'q> {
    /// All of them.
    Whole,
    /// Those with every one of these tags.
    Tags(&'q [&'q str]),
    /// Those of this locality zone.
    Zone(&'q str),
}

/// What pools are built from: all instances of a service and their weights in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stock<'v> {
    pub(crate) instances: &'v [InstanceView],
    pub(crate) weights: &'v [u32],
    pub(crate) settings: &'v Settings,
    /// `None` when health is believed.
    pub(crate) panic: Option<&'v Panic>,
    /// What each has of its weight while it is new, in thousandths; `None` when nobody is.
    pub(crate) ramp: Option<&'v [u16]>,
    /// How clients at one locality see it; `None`: it is for everybody.
    pub(crate) weighed: Option<&'v Weighed>,
    /// Where queries are counted; `None` when nothing depends on it.
    pub(crate) traffic: Option<&'v Arc<Traffic>>,
}

impl<'v> Stock<'v> {
    pub(crate) fn instance(self, instance: u32) -> &'v Instance {
        &self.instances[instance as usize].instance
    }

    /// Whether an instance may be answered.
    pub(crate) fn answers(self, instance: usize) -> bool {
        match self.panic {
            None => self.instances[instance].usable(),
            Some(panic) => panic.answered[instance],
        }
    }

    /// The algorithm that pools go by. Each in turn has no weights: while some grow, or clients are
    /// shared between near and far, it is a schedule of weights that are else the same.
    fn balance(self) -> Balance {
        let weighs = self.ramp.is_some() || self.weighed.is_some_and(Weighed::shared);
        match self.settings.balance {
            Balance::RoundRobin if weighs => Balance::WeightedRoundRobin,
            usual => usual,
        }
    }

    /// The static weight of an instance, or what stands for it: turns know none.
    fn static_weight(self, instance: u32) -> u16 {
        let own = || match self.settings.balance {
            Balance::RoundRobin => 1,
            Balance::Random
            | Balance::WeightedRoundRobin
            | Balance::LeastConnections
            | Balance::ConsistentHash => self.instance(instance).weight.get(),
        };
        self.weighed.and_then(|weighed| weighed.static_weight(instance)).unwrap_or_else(own)
    }

    /// What is known of the load of an instance.
    fn meter(self, instance: u32) -> &'v LazyMeter {
        let own = &self.instances[instance as usize].vitals.meter;
        self.weighed.and_then(|weighed| weighed.meter(instance)).unwrap_or(own)
    }

    /// Whether an instance is left out, since nearer ones are enough.
    pub(crate) fn far(self, instance: u32) -> bool {
        self.weighed.is_some_and(|weighed| weighed.far(instance))
    }

    /// The queries that ask for this.
    pub(crate) fn stream(self, asked: Asked) -> Option<Stream> {
        self.traffic.map(|traffic| Stream::new(traffic, asked))
    }

    /// A pool of these members, which counts its queries where that makes a difference.
    pub(crate) fn pool(self, spec: PoolSpec<'_>, asked: Asked, rng: &mut impl Rng) -> Pool {
        let pool = Pool::new(spec, rng);
        match self.stream(asked) {
            Some(stream) => pool.counting(stream, self.settings.hot_key_replicas.get()),
            None => pool,
        }
    }

    /// The owners of keys among these members, in the same way.
    pub(crate) fn owners(self, members: &[Member<'_>], units: usize, asked: Asked) -> Box<Owners> {
        let owners = Owners::new(members, units, self.settings.balance);
        let replicas = self.settings.hot_key_replicas.get();
        Box::new(match self.stream(asked) {
            Some(stream) => owners.spreading(stream, replicas),
            None => owners,
        })
    }

    pub(crate) fn published(self, instance: u32) -> impl Iterator<Item = (&'v str, &'v str)> {
        let pairs = self.instances[instance as usize].instance.metadata.iter();
        // RFC 6763 section 6.1: a string has at most 255 bytes, the '=' among them.
        pairs.filter(move |(key, value)| {
            self.settings.txt.publishes(key) && key.len() + 1 + value.len() <= 255
        })
    }
}

/// The pools of one service. Most queries need the first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Pools {
    whole: Selection,
    tags: Named,
    zones: Named,
    /// Selections by several tags, those that were asked for first.
    combined: Box<[OnceLock<Box<Combined>>]>,
}

/// Selections by one word each, sorted by it, made when they are first asked for.
#[derive(Debug)]
struct Named(Box<[Word]>);

#[derive(Debug)]
struct Word {
    word: Box<str>,
    selection: OnceLock<Box<Selection>>,
}

impl Named {
    fn new<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let words: BTreeSet<&str> = words.collect();
        let word = |word: &str| Word { word: word.into(), selection: OnceLock::new() };
        Self(words.into_iter().map(word).collect())
    }

    fn get(&self, word: &str) -> Option<&OnceLock<Box<Selection>>> {
        let found = self.0.binary_search_by(|own| (*own.word).cmp(word)).ok()?;
        Some(&self.0[found].selection)
    }
}

/// A selection by several tags.
#[derive(Debug)]
struct Combined {
    /// Sorted, none twice.
    tags: Box<[Box<str>]>,
    selection: Arc<Selection>,
}

impl Pools {
    pub(crate) fn new(stock: Stock<'_>, rng: &mut impl Rng) -> Self {
        let tags = stock.instances.iter().flat_map(|view| view.instance.tags.iter());
        let zones = stock.instances.iter().filter_map(|view| view.instance.zone());
        let whole = Selection::new(stock, Selector::Whole);
        whole.addresses(stock, Family::V4, rng);
        whole.addresses(stock, Family::V6, rng);
        whole.targets(stock, PortChoice::Main, rng);
        let tags = Named::new(tags);
        let combined = if tags.0.len() > 1 { COMBINED } else { 0 };
        Self {
            whole,
            tags,
            zones: Named::new(zones),
            combined: (0..combined).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) fn whole(&self) -> &Selection {
        &self.whole
    }

    /// The selection for `selector`. All are kept, so that their counters go on, except empty ones
    /// and those by several tags that came when there was no more room.
    pub(crate) fn select<'v>(&'v self, stock: Stock<'v>, selector: Selector<'_>) -> Selected<'v> {
        let kept = match selector {
            Selector::Whole => return Selected::Kept(&self.whole),
            Selector::Zone(zone) => self.zones.get(zone),
            Selector::Tags(tags) => {
                let mut tags = tags.to_vec();
                tags.sort_unstable();
                tags.dedup();
                match tags[..] {
                    [tag] => self.tags.get(tag),
                    _ if tags.iter().any(|tag| self.tags.get(tag).is_none()) => None,
                    _ => return self.combine(stock, &tags),
                }
            }
        };
        match kept {
            Some(cell) => {
                Selected::Kept(cell.get_or_init(|| Selection::new(stock, selector).into()))
            }
            None => Selected::Made(Selection::none(stock).into()),
        }
    }

    fn combine<'v>(&'v self, stock: Stock<'v>, tags: &[&str]) -> Selected<'v> {
        let asked = |kept: &Combined| kept.tags.iter().map(|tag| &**tag).eq(tags.to_vec());
        let mut known = self.combined.iter().map_while(OnceLock::get);
        if let Some(kept) = known.find(|kept| asked(kept)) {
            return Selected::Kept(&kept.selection);
        }
        let made = Arc::new(Selection::new(stock, Selector::Tags(tags)));
        if made.is_empty() {
            return Selected::Made(made);
        }
        for cell in &self.combined {
            // Another thread may be faster, with the same tags or others.
            let kept = cell.get_or_init(|| {
                let tags = tags.iter().map(|tag| (*tag).into()).collect();
                Box::new(Combined { tags, selection: Arc::clone(&made) })
            });
            if asked(kept) {
                return Selected::Kept(&kept.selection);
            }
        }
        Selected::Made(made)
    }
}

/// A selection, kept in the view or made for one query.
#[derive(Debug)]
pub enum Selected<'v> {
    /// Kept.
    Kept(&'v Selection),
    /// Made.
    Made(Arc<Selection>),
}

impl Deref for Selected<'_> {
    type Target = Selection;
    fn deref(&self) -> &Selection {
        match self {
            Self::Kept(selection) => selection,
            Self::Made(selection) => selection,
        }
    }
}

pub(crate) fn member(stock: Stock<'_>, i: u32, unit: u32) -> Member<'_> {
    let view = &stock.instances[i as usize];
    Member {
        id: view.instance.id.as_str(),
        weight: stock.weights[i as usize],
        base: stock.static_weight(i),
        meter: stock.meter(i),
        unit,
    }
}

pub(crate) fn spec<'v>(
    stock: Stock<'_>,
    answer: AnswerMode,
    members: Vec<Member<'v>>,
    records: Vec<u8>,
) -> PoolSpec<'v> {
    let settings = stock.settings;
    PoolSpec {
        members,
        records,
        balance: stock.balance(),
        answer,
        cached: settings.ttl > RecordTtl::ZERO,
        max_answers: settings.max_answers.get(),
    }
}

/// How many selections by several tags a view keeps. Others are made for each query: right, but with
/// counters that start anew.
const COMBINED: usize = 16;
