//! One zone as it is asked: names to record sets, found in one step per label.
//!
//! Every name between the apex and a record is a node, so that a name without records that has
//! some below it is known (RFC 8020). All names here are in lower case; names in data keep theirs.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::dns::name::{Name, is_within, suffixes};
use crate::dns::rtype;

/// The records of one zone.
#[derive(Debug, PartialEq)]
pub struct Zone {
    pub(crate) apex: Name,
    nodes: HashMap<Box<[u8]>, Node, RandomState>,
}

/// A name with its record sets; none where only names below it have records.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Node {
    sets: Vec<RecordSet>,
}

/// All records of one name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    /// The type.
    pub rtype: u16,
    /// Seconds, the same for all of them (RFC 2181 section 5.2).
    pub ttl: u32,
    /// The data of each, uncompressed, in the order of the file.
    pub data: Vec<Box<[u8]>>,
}

/// Where a name is in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'z> {
    /// It exists.
    Node(&'z Node),
    /// It is at or below a name that was delegated to other servers.
    Cut { owner: &'z [u8], servers: &'z RecordSet },
    /// It does not exist, and neither does any name between it and `encloser`.
    Missing { encloser: &'z [u8] },
}

impl Node {
    /// The set of this type; for [`rtype::ANY`] the first one (RFC 8482).
    #[must_use]
    pub fn set(&self, rtype: u16) -> Option<&RecordSet> {
        self.sets.iter().find(|set| set.rtype == rtype || rtype == rtype::ANY)
    }

    /// The sets, in the order in which their types first turned up.
    #[must_use]
    pub fn sets(&self) -> &[RecordSet] {
        &self.sets
    }
}

impl Zone {
    pub(crate) fn new(apex: Name) -> Self {
        let nodes = HashMap::from_iter([(apex.wire().into(), Node::default())]);
        Self { apex, nodes }
    }

    /// The name that all others are at or below, in lower case.
    #[must_use]
    pub fn apex(&self) -> &[u8] {
        self.apex.wire()
    }

    /// Adds a record. A second TTL in a set lowers the first; a record given twice is one.
    pub(crate) fn insert(&mut self, owner: &Name, rtype: u16, ttl: u32, data: &[u8]) {
        let apex = self.apex;
        let above = suffixes(owner.wire()).skip(1);
        for ancestor in above.take_while(|name| name.len() > apex.wire().len()) {
            if self.nodes.contains_key(ancestor) {
                break;
            }
            self.nodes.insert(ancestor.into(), Node::default());
        }
        let node = self.nodes.entry(owner.wire().into()).or_default();
        let Some(set) = node.sets.iter_mut().find(|set| set.rtype == rtype) else {
            node.sets.push(RecordSet { rtype, ttl, data: vec![data.into()] });
            return;
        };
        set.ttl = set.ttl.min(ttl);
        if !set.data.iter().any(|known| **known == *data) {
            set.data.push(data.into());
        }
    }

    /// Takes a set out of the zone.
    pub(crate) fn remove(&mut self, owner: &Name, rtype: u16) -> Option<RecordSet> {
        let sets = &mut self.nodes.get_mut(owner.wire())?.sets;
        let index = sets.iter().position(|set| set.rtype == rtype)?;
        Some(sets.remove(index))
    }

    /// The node of a name in lower case, with or without records, cuts aside.
    #[must_use]
    pub fn node(&self, name: &[u8]) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// The node that answers for what does not exist directly below `encloser`.
    pub(crate) fn wildcard(&self, encloser: &[u8]) -> Option<&Node> {
        self.node(Name::join(&[b"*"], encloser)?.wire())
    }

    /// Every name that has records of its own.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.nodes.iter().filter(|(_, node)| !node.sets.is_empty()).map(|(name, _)| &**name)
    }

    /// Finds a name in lower case; `None` when it is not in the zone.
    pub(crate) fn locate(&self, name: &[u8], rtype: u16) -> Option<Place<'_>> {
        if !is_within(name, self.apex()) {
            return None;
        }
        // From the apex down, since a cut hides what is below it.
        let mut starts = [0; MAX_LABELS];
        let mut depth = 0;
        for suffix in suffixes(name).take_while(|s| s.len() > self.apex().len()).take(MAX_LABELS) {
            starts[depth] = name.len() - suffix.len();
            depth += 1;
        }
        let (mut encloser, mut node) = self.nodes.get_key_value(self.apex())?;
        for &start in starts[..depth].iter().rev() {
            let Some((found, below)) = self.nodes.get_key_value(&name[start..]) else {
                return Some(Place::Missing { encloser });
            };
            (encloser, node) = (found, below);
            // RFC 4035 section 3.1.4.1: DS is the parent's, also at the cut itself.
            let here = start > 0 || rtype != rtype::DS;
            if let Some(servers) = node.set(rtype::NS).filter(|set| set.rtype == rtype::NS && here)
            {
                return Some(Place::Cut { owner: found, servers });
            }
        }
        Some(Place::Node(node))
    }
}

/// A name of 255 bytes has at most 127 labels.
const MAX_LABELS: usize = 127;
