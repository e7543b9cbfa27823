//! The static records of the server's own zone, which the registry's names live among.
//!
//! The handler asks in this order: `zone().lookup_claimed`, the registry, and for names that
//! the registry does not know `zone().lookup_left_over`.

use crate::dns::name::Name;
use crate::dns::rtype;
use crate::dns::zones::zone::{Node, RecordSet, Zone};

/// A zone file for the server's own zone, its SOA taken apart.
#[derive(Debug, PartialEq)]
pub struct ServerZone {
    zone: Zone,
    timers: Option<SoaTimers>,
}

/// What the file's SOA decides; MNAME, serial and minimum are the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoaTimers {
    /// The mailbox of who is responsible, as a name.
    pub rname: Name,
    /// Seconds between a secondary's looks.
    pub refresh: u32,
    /// Seconds until it tries again.
    pub retry: u32,
    /// Seconds until it gives up.
    pub expire: u32,
}

impl ServerZone {
    pub(crate) fn new(mut zone: Zone) -> Self {
        let apex = zone.apex;
        let soa = zone.remove(&apex, rtype::SOA);
        let timers = soa.and_then(|soa| SoaTimers::read(soa.data.first()?));
        Self { zone, timers }
    }

    /// The records besides SOA, and the ways to ask for them.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The file's SOA, if it has one.
    #[must_use]
    pub fn timers(&self) -> Option<&SoaTimers> {
        self.timers.as_ref()
    }

    /// The name servers that replace the server's own set.
    #[must_use]
    pub fn name_servers(&self) -> Option<&RecordSet> {
        self.zone.node(self.zone.apex())?.set(rtype::NS)
    }

    /// The node of a name (lower case) that has static records, which make it static for all types.
    #[must_use]
    pub fn static_name(&self, name: &[u8]) -> Option<&Node> {
        self.zone.node(name).filter(|node| !node.sets().is_empty())
    }
}

impl SoaTimers {
    fn read(soa: &[u8]) -> Option<Self> {
        let mname = Name::read(soa)?;
        let rname = Name::read(&soa[mname.wire().len()..])?;
        let numbers = &soa[mname.wire().len() + rname.wire().len()..];
        let number =
            |index: usize| numbers.get(index * 4..)?.first_chunk().copied().map(u32::from_be_bytes);
        Some(Self { rname, refresh: number(1)?, retry: number(2)?, expire: number(3)? })
    }
}
