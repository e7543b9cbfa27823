//! From an address to the instances that have it. Reads an index, and the view of each service to
//! say how long that holds.

use std::net::IpAddr;

use crate::model::Millis;
use crate::registry::{Owner, Views};
use crate::resolve::ttl;

/// Calls `write` with those who have `address`, usable or not, sorted and at most `most` of them,
/// and with the TTL of all: the shortest. `None` when nobody has it.
pub fn pointers<R>(
    views: &Views,
    address: IpAddr,
    now: Millis,
    most: usize,
    write: impl FnOnce(&[&Owner], u32) -> R,
) -> Option<R> {
    views.read_owners(address, |owners| {
        let mut here = Vec::with_capacity(owners.len().min(most));
        let mut shortest = u32::MAX;
        for owner in owners {
            if here.len() == most {
                break;
            }
            let own = views.read(owner.service.as_str(), |view| {
                let (index, found) = view?.instance(owner.id.as_str())?;
                // The index may be a moment ahead of the view, or behind it.
                let has = found.instance.addresses.iter().any(|own| own.ip() == address);
                has.then(|| ttl(view?, [index], now).into())?
            });
            if let Some(own) = own {
                shortest = shortest.min(own);
                here.push(owner);
            }
        }
        (!here.is_empty()).then(|| write(&here, shortest))
    })
}
