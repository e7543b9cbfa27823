//! When each instance was last the first address of an answer, as far as one thread remembers.
//!
//! A table of fixed size that only its thread writes, one word for an answer: what `explain` tells
//! costs a query a store to memory of its own. Who shares a slot with another is forgotten sooner.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Millis;

/// What one thread handed out.
#[derive(Debug)]
pub(crate) struct Handed(Box<[AtomicU64; SLOTS]>);

impl Default for Handed {
    fn default() -> Self {
        Self(Box::new([const { AtomicU64::new(0) }; SLOTS]))
    }
}

/// An address of a service: two services may share one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key(u64);

impl Key {
    /// Of `address` in the service whose salt this is.
    #[inline(always)]
    pub(crate) fn new(salt: u64, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::v4(salt, v4.octets()),
            IpAddr::V6(v6) => Self::v6(salt, v6.octets()),
        }
    }

    #[inline(always)]
    pub(crate) fn v4(salt: u64, octets: [u8; 4]) -> Self {
        Self::of(salt ^ u64::from(u32::from_ne_bytes(octets)))
    }

    #[inline(always)]
    pub(crate) fn v6(salt: u64, octets: [u8; 16]) -> Self {
        let [a, b] = [0, 8].map(|at| {
            octets[at..].first_chunk().map_or(0, |half: &[u8; 8]| u64::from_ne_bytes(*half))
        });
        Self::of(salt ^ a ^ b.rotate_left(29))
    }

    /// Spreads the bits: the high ones choose the slot, the others tell who has it.
    #[inline(always)]
    fn of(mixed: u64) -> Self {
        Self(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[inline(always)]
    fn slot(self) -> usize {
        usize::try_from(self.0 >> (u64::BITS - SLOTS.ilog2())).unwrap_or(0)
    }

    #[inline(always)]
    fn tag(self) -> u64 {
        (self.0 >> 8) << TIME
    }
}

impl Handed {
    /// Remembers that an answer began with it.
    #[inline(always)]
    pub(crate) fn note(&self, key: Key, now: Millis) {
        let slot = &self.0[key.slot() % SLOTS];
        slot.store(key.tag() | now.0 & LATEST, Ordering::Relaxed);
    }

    /// When that was; `None` when it never was, or is forgotten.
    pub(crate) fn last(&self, key: Key) -> Option<Millis> {
        let slot = self.0[key.slot() % SLOTS].load(Ordering::Relaxed);
        let own = slot != 0 && slot & !LATEST == key.tag();
        own.then_some(Millis(slot & LATEST))
    }
}

/// How many instances a thread remembers at most: 32 KiB.
const SLOTS: usize = 4_096;
/// Bits of a time in milliseconds: 34 years. The other 24 tell who it is of.
const TIME: u32 = 40;
const LATEST: u64 = (1 << TIME) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(salt: u64, address: &str) -> Key {
        Key::new(salt, address.parse().unwrap())
    }

    #[test]
    fn the_last_time_is_remembered_of_each() {
        let handed = Handed::default();
        handed.note(key(1, "10.0.0.1"), Millis(5));
        handed.note(key(1, "2001:db8::1"), Millis(6));
        handed.note(key(1, "10.0.0.1"), Millis(7));

        assert_eq!(handed.last(key(1, "10.0.0.1")), Some(Millis(7)));
        assert_eq!(handed.last(key(1, "2001:db8::1")), Some(Millis(6)));
        assert_eq!(handed.last(key(2, "10.0.0.1")), None);
        assert_eq!(handed.last(key(1, "10.0.0.2")), None);
    }

    #[test]
    fn a_thousand_instances_hardly_meet() {
        let handed = Handed::default();
        let keys =
            || (0..1_000_u32).map(|i| Key::new(9, IpAddr::from((0x0a00_0000 + i).to_be_bytes())));
        keys().for_each(|key| handed.note(key, Millis(1)));

        // Of 1,000 in 4,096 slots about 113 are overwritten by chance.
        let known = keys().filter(|key| handed.last(*key).is_some()).count();
        assert!(known > 850, "{known}");
    }
}
