//! Which names a message already holds, so that later ones can point at them (RFC 1035 4.1.4).
//!
//! An entry is only a hint: it is compared with the message before it is used, so one that is
//! stale after a rollback does no harm. Work per label is bounded whatever the names are.

use crate::dns::name::suffixes;

/// Offsets of names in one message, found by a hash of the name.
pub(crate) struct NameTable {
    /// Open addressing; 0 is empty, else 18 bits of hash above 14 bits of offset. Enough for what
    /// fits a UDP reply, without touching the heap.
    small: [u32; SMALL],
    /// Takes over in long TCP replies.
    large: Vec<u32>,
    used: usize,
}

impl NameTable {
    pub(crate) fn new() -> Self {
        Self { small: [0; SMALL], large: Vec::new(), used: 0 }
    }

    /// How `name` can be written at the end of `message`: the number of bytes to copy from its
    /// front, then the offset to point to; `None` instead of an offset when nothing matches.
    pub(crate) fn split(&self, message: &[u8], name: &[u8]) -> (usize, Option<u16>) {
        let mut hashes = [0; MAX_SUFFIXES];
        let hashes = hash_suffixes(name, &mut hashes);
        for (suffix, &hash) in suffixes(name).zip(hashes.iter()) {
            if suffix.len() > 1
                && let Some(offset) = self.find(message, hash, suffix)
            {
                return (name.len() - suffix.len(), Some(offset));
            }
        }
        (name.len(), None)
    }

    /// Notes that the first `fresh` bytes of `name` were written at `offset`, and what follows
    /// them after that, or by a pointer.
    pub(crate) fn note(&mut self, message: &[u8], offset: usize, name: &[u8], fresh: usize) {
        let mut hashes = [0; MAX_SUFFIXES];
        let hashes = hash_suffixes(name, &mut hashes);
        for (suffix, &hash) in suffixes(name).zip(hashes.iter()) {
            let position = name.len() - suffix.len();
            if position >= fresh || suffix.len() <= 1 {
                return;
            }
            let Some(offset) = u16::try_from(offset + position).ok().filter(|o| *o < POINTERS)
            else {
                return;
            };
            // A name that is known was noted with all its parents.
            if self.find(message, hash, suffix).is_some() {
                return;
            }
            self.insert(entry(hash, offset));
        }
    }

    fn find(&self, message: &[u8], hash: u32, suffix: &[u8]) -> Option<u16> {
        let slots = self.slots();
        for probe in 0..MAX_PROBES {
            let slot = slots[(hash as usize + probe) & (slots.len() - 1)];
            if slot == 0 {
                return None;
            }
            let offset = slot & OFFSET_MASK;
            if slot == hash << OFFSET_BITS | offset && holds(message, offset as usize, suffix) {
                return u16::try_from(offset).ok();
            }
        }
        None
    }

    fn insert(&mut self, entry: u32) {
        if self.large.is_empty() && self.used >= SMALL / 2 {
            self.large = vec![0; LARGE];
            for old in self.small.into_iter().filter(|slot| *slot != 0) {
                place(&mut self.large, old);
            }
        }
        let slots = if self.large.is_empty() { &mut self.small[..] } else { &mut self.large };
        if place(slots, entry) {
            self.used += 1;
        }
    }

    fn slots(&self) -> &[u32] {
        if self.large.is_empty() { &self.small } else { &self.large }
    }
}

/// Puts an entry in the first free slot near its hash; full neighbourhoods do without it.
fn place(slots: &mut [u32], entry: u32) -> bool {
    let mask = slots.len() - 1;
    let start = (entry >> OFFSET_BITS) as usize;
    for probe in 0..MAX_PROBES {
        let slot = &mut slots[(start + probe) & mask];
        if *slot == 0 {
            *slot = entry;
            return true;
        }
    }
    false
}

fn entry(hash: u32, offset: u16) -> u32 {
    hash << OFFSET_BITS | u32::from(offset)
}

/// Whether a reader that starts at `at` would read exactly `name`, case aside.
fn holds(message: &[u8], mut at: usize, name: &[u8]) -> bool {
    for suffix in suffixes(name) {
        let length = loop {
            match message.get(at..at + 2) {
                // Pointers only ever lead back, so this ends.
                Some(&[high, low]) if high & 0xc0 == 0xc0 => {
                    let target = usize::from(u16::from_be_bytes([high & 0x3f, low]));
                    if target >= at {
                        return false;
                    }
                    at = target;
                }
                _ => match message.get(at) {
                    Some(&length) => break usize::from(length),
                    None => return false,
                },
            }
        };
        let Some(there) = message.get(at..=at + length) else { return false };
        if !suffix.get(..=length).is_some_and(|here| here.eq_ignore_ascii_case(there)) {
            return false;
        }
        at += 1 + length;
    }
    true
}

/// Hashes of the name and its parents, in the order of [`suffixes`], 18 bits each.
fn hash_suffixes<'h>(name: &[u8], hashes: &'h mut [u32; MAX_SUFFIXES]) -> &'h [u32] {
    // From the root up, so that each byte is mixed once: FNV-1a, then its best bits.
    let mut starts = [0; MAX_SUFFIXES];
    let mut count = 0;
    for suffix in suffixes(name).take(MAX_SUFFIXES) {
        starts[count] = name.len() - suffix.len();
        count += 1;
    }
    let mut hash: u32 = 0x811c_9dc5;
    let mut end = name.len();
    for index in (0..count).rev() {
        for byte in &name[starts[index]..end] {
            hash = (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193);
        }
        end = starts[index];
        hashes[index] = hash.wrapping_mul(0x9e37_79b1) >> OFFSET_BITS;
    }
    &hashes[..count]
}

const SMALL: usize = 128;
const LARGE: usize = 4096;

/// Up to how many names a message holds, of those in full and the ends of theirs, all are found again:
/// so many at most are in the small table, and a search passes them all.
pub(crate) const SURE: usize = SMALL / 2;
const MAX_PROBES: usize = SURE;

/// A name of 255 bytes has at most 127 labels and the root.
const MAX_SUFFIXES: usize = 128;
const OFFSET_BITS: u32 = 14;
const OFFSET_MASK: u32 = (1 << OFFSET_BITS) - 1;

/// Pointers reach this far.
const POINTERS: u16 = 1 << OFFSET_BITS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name::Name;

    fn name(text: &str) -> Name {
        Name::from_text(text, None).unwrap()
    }

    fn append(table: &mut NameTable, message: &mut Vec<u8>, name: &Name) {
        let offset = message.len();
        let (fresh, pointer) = table.split(message, name.wire());
        message.extend(&name.wire()[..fresh]);
        message.extend(pointer.map(|p| p | 0xc000).into_iter().flat_map(u16::to_be_bytes));
        table.note(message, offset, name.wire(), fresh);
    }

    #[test]
    fn the_longest_known_suffix_is_pointed_at_whatever_its_case() {
        let (mut table, mut message) = (NameTable::new(), vec![0; 12]);
        append(&mut table, &mut message, &name("Web.Service.local."));
        append(&mut table, &mut message, &name("a.web.service.local."));
        append(&mut table, &mut message, &name("b.a.web.service.LOCAL."));
        append(&mut table, &mut message, &name("b.a.web.service.local."));

        let expected =
            [b"\x03Web\x07Service\x05local\x00\x01a\xc0\x0c\x01b".as_slice(), b"\xc0\x1f\xc0\x23"];

        assert_eq!(message[12..], expected.concat());
    }

    #[test]
    fn the_root_is_written_out() {
        let table = NameTable::new();

        assert_eq!(table.split(&[0; 12], Name::ROOT.wire()), (1, None));
    }

    #[test]
    fn a_stale_entry_is_not_used() {
        let (mut table, mut message) = (NameTable::new(), vec![0; 12]);
        append(&mut table, &mut message, &name("web.local."));
        message.truncate(12);
        message.extend(b"\x03wob\x05local\x00");

        assert_eq!(table.split(&message, name("web.local.").wire()), (4, Some(16)));
    }

    #[test]
    fn many_names_are_all_found_again_within_the_reach_of_pointers() {
        let (mut table, mut message) = (NameTable::new(), vec![0; 12]);
        let names: Vec<Name> = (0..1000).map(|i| name(&format!("web-{i}.local."))).collect();
        for name in &names {
            append(&mut table, &mut message, name);
        }

        let found = names.iter().filter(|name| table.split(&message, name.wire()).0 == 0).count();

        assert!(found > 990, "{found}");
    }
}
