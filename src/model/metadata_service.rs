//! Where clouds tell a machine its secrets, to whoever asks from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::address::Address;
use crate::model::instance::{Instance, SpecError};

/// Whether clouds keep metadata and credentials at `address`, also where IPv6 only carries IPv4.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    let v4 = match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) if METADATA_V6.contains(&v6) => return true,
        IpAddr::V6(v6) => carried(v6),
    };
    v4.is_some_and(|v4| v4.is_link_local() || METADATA_V4.contains(&v4))
}

impl Instance {
    /// Refuses one with an address that leads to nothing but a metadata service: whoever found it
    /// would ask that. Those that clouds took from networks which others use as well are left out.
    ///
    /// # Errors
    /// Names the address.
    pub fn check_no_metadata_service(&self) -> Result<(), SpecError> {
        let Some(i) = self.addresses.iter().position(|address| is_nothing_else(*address)) else {
            return Ok(());
        };
        let reason = format!("{} is where clouds tell machines their secrets", self.addresses[i]);
        Err(SpecError::new(format!("addresses[{i}]"), reason))
    }
}

fn is_nothing_else(address: Address) -> bool {
    match address.ip() {
        // Link-local ones are no `Address`.
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => {
            METADATA_V6.contains(&v6) || carried(v6).is_some_and(|v4| v4.is_link_local())
        }
    }
}

/// The IPv4 address that a translator would send to: NAT64 (RFC 6052, 8215), 6to4 (RFC 3056), SIIT
/// (RFC 2765), ISATAP (RFC 5214), and addresses that end in one (RFC 4291 section 2.5.5).
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, .., high, low] => {
            Some(v4(high, low))
        }
        [0x2002, high, low, ..] => Some(v4(high, low)),
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [.., 0 | 0x200, 0x5efe, high, low] => Some(v4(high, low)),
        _ => None,
    }
}

/// Alibaba, Oracle and Azure; the others are link-local.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// AWS and Google.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_a_metadata_service_alone_is_known() {
        let is = |text: &str| is_nothing_else(text.parse().unwrap());

        for text in
            ["fd00:ec2::254", "fd20:ce::254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::"]
        {
            assert!(is(text), "{text}");
        }
        for text in ["fd00:ec2::253", "64:ff9b::10.0.0.1", "10.0.0.1", "100.100.100.200", "::1"] {
            assert!(!is(text), "{text}");
        }
        assert!("169.254.169.254".parse::<Address>().is_err());
    }
}
