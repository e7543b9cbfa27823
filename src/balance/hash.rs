//! Hashes that have the same value on every server, so that all of them pick the same owner.
//!
//! The seed is part of the contract: changing it moves every client and every key.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::balance::cast;
use crate::model::Network;

/// The hash of an instance, by its id.
#[must_use]
pub fn instance_hash(id: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), SEED)
}

/// The hash of a client, by the part of its address that counts as one client.
#[must_use]
pub fn client_hash(network: Network) -> u64 {
    // Family, length and address: 10.0.0.0/8 and 10.0.0.0/24 are different clients.
    let mut bytes = [0; 18];
    match network.address() {
        IpAddr::V4(v4) => {
            bytes[0] = 4;
            bytes[2..6].copy_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            bytes[0] = 6;
            bytes[2..].copy_from_slice(&v6.octets());
        }
    }
    bytes[1] = network.length();
    xxh3_64_with_seed(&bytes, SEED)
}

/// A number for a client: cheaper than its hash, and good for telling clients apart.
#[must_use]
#[inline]
pub fn client_number(network: Network) -> u64 {
    match network.address() {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => {
            let (high, low) = cast::halves(v6.to_bits());
            high ^ low.rotate_left(32)
        }
    }
}

/// The hash of a key: the labels left of `key` in a query name, in lower case.
#[must_use]
pub fn key_hash(labels: &[u8]) -> u64 {
    xxh3_64_with_seed(labels, SEED)
}

/// "signpost" as a number.
const SEED: u64 = 0x7369_676e_706f_7374;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_on_every_server_and_in_every_release() {
        let v4 = Network::of("10.1.2.3".parse().unwrap(), 24);
        let v6 = Network::of("2001:db8::1".parse().unwrap(), 56);

        assert_eq!(
            [instance_hash("web-1"), key_hash(b"user-42"), client_hash(v4), client_hash(v6)],
            [
                0x1f42_4757_5376_c970,
                0x76ba_a812_c49c_5908,
                0xf8cb_f0bb_eddb_bcc4,
                0x9aa6_5162_e63f_c092,
            ]
        );
    }

    #[test]
    fn clients_differ_by_family_and_length() {
        let of = |text: &str| client_hash(text.parse().unwrap());

        assert_ne!(of("0.0.0.0/0"), of("::/0"));
        assert_ne!(of("10.0.0.0/8"), of("10.0.0.0/24"));
    }
}
