//! Where a name is: in which zone of the registry's names, and which labels are left of its apex.

use crate::dns::authority::Authority;
use crate::dns::name::Name;
use crate::dns::served::Served;

/// A name below an apex of ours that nothing but the registry answers for.
#[derive(Debug)]
pub(super) struct Place<'n> {
    /// The apex, in wire form and lower case.
    pub(super) apex: &'n [u8],
    labels: [&'n [u8]; MOST_LABELS],
    count: usize,
}

/// Room for a name in lower case.
#[derive(Debug)]
pub(super) struct Folded([u8; MAX_NAME]);

impl<'n> Place<'n> {
    /// Finds the place of `name`, which may be no name at all: then there is none. None either when
    /// it has more labels left of the apex than any common question, when it is the server's own,
    /// or when a zone file may have to do with it.
    #[inline(always)]
    pub(super) fn find(served: &Served, name: &[u8], folded: &'n mut Folded) -> Option<Self> {
        let name = folded.fold(name)?;
        let authority = authority(served, name)?;
        let (relative, apex) = name.split_at(name.len() - authority.apex.wire().len());
        let mut place = Self { apex, labels: [&[]; MOST_LABELS], count: 0 };
        let mut rest = relative;
        while let Some((&length, labels)) = rest.split_first() {
            // What is left of an apex and made of whole labels is a name.
            let slot = place.labels.get_mut(place.count)?;
            if !(1..=MAX_LABEL).contains(&length) {
                return None;
            }
            (*slot, rest) = labels.split_at_checked(length.into())?;
            place.count += 1;
        }
        let last = place.labels().last()?;
        let highest = || &name[relative.len() - last.len() - 1..];
        let zones = &served.zones;
        let own = authority.own_name.wire();
        let others = zones.any_below(apex)
            || (std::ptr::eq(authority, &raw const served.home)
                && zones.server().is_some_and(|statics| statics.zone().node(highest()).is_some()));
        // Nearly all differ in the first letter.
        let is_own = name.get(1) == own.get(1) && name == own;
        (!is_own && !others).then_some(place)
    }

    /// Those left of the apex, left to right, at least one.
    pub(super) fn labels(&self) -> &[&'n [u8]] {
        &self.labels[..self.count]
    }
}

/// The zone of the registry's names whose apex `name` ends in, perhaps within a label.
#[inline]
fn authority<'s>(served: &'s Served, name: &[u8]) -> Option<&'s Authority> {
    let ends = |authority: &&Authority| name.ends_with(authority.apex.wire());
    Some(&served.home).filter(ends).or_else(|| served.aliases.iter().find(ends))
}

impl Default for Folded {
    fn default() -> Self {
        Self([0; MAX_NAME])
    }
}

impl Folded {
    #[inline(always)]
    fn fold(&mut self, name: &[u8]) -> Option<&[u8]> {
        if name.len() > Name::MAX {
            return None;
        }
        self.0.get_mut(..name.len())?.copy_from_slice(name);
        // By the block, whatever is behind the name: a block is a few instructions. Length bytes are
        // at most 63, below 'A'.
        let (blocks, _) = self.0.as_chunks_mut::<BLOCK>();
        for block in blocks.get_mut(..name.len().div_ceil(BLOCK))? {
            block.make_ascii_lowercase();
        }
        Some(&self.0[..name.len()])
    }
}

/// A port, a protocol and a service.
const MOST_LABELS: usize = 3;
const MAX_LABEL: u8 = 63;
/// The longest name in whole blocks.
const MAX_NAME: usize = Name::MAX.next_multiple_of(BLOCK);
const BLOCK: usize = 32;
