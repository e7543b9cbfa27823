//! What every server is given: services, their addresses, and the questions about them.
//!
//! Names and addresses are computed from numbers, so that a zone file, a configuration of gdnsd and
//! a registration agree without a table.

use std::fmt::Write;
use std::net::Ipv4Addr;

/// The zone that all of them serve.
pub(crate) const ZONE: &str = "service.local";

/// So many services with so many instances each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    pub(crate) services: usize,
    pub(crate) instances: usize,
}

/// What is asked, and what the reply must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Set {
    /// A of a service: an address of each instance.
    All,
    /// A of a service: one address.
    One,
    /// SRV of a service: each instance, with its address in Additional.
    Srv,
}

impl Set {
    /// What the table calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::All => "A, all instances of a service",
            Self::One => "A, one instance of a service",
            Self::Srv => "SRV, all instances with their addresses",
        }
    }

    /// The first letter of the services that are asked for it. Static servers can't have one and
    /// all addresses at the same name.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::All | Self::Srv => 's',
            Self::One => 'o',
        }
    }

    /// How many records Answer and Additional must hold.
    pub(crate) fn counts(self, data: Data) -> (usize, usize) {
        match self {
            Self::All => (data.instances, 0),
            Self::One => (1, 0),
            Self::Srv => (data.instances, data.instances),
        }
    }

    fn rtype(self) -> u8 {
        match self {
            Self::All | Self::One => 1,
            Self::Srv => 33,
        }
    }
}

impl Data {
    /// The label of a service. Of one length, so that no name is cheaper than another.
    pub(crate) fn service(letter: char, service: usize) -> String {
        format!("{letter}{service:06}")
    }

    /// The address of an instance.
    pub(crate) fn address(self, service: usize, instance: usize) -> Ipv4Addr {
        let number = u32::try_from(service * self.instances + instance).expect("a small number");
        Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + number)
    }

    /// A query for each service, with id 0.
    pub(crate) fn queries(self, set: Set) -> Vec<Vec<u8>> {
        (0..self.services).map(|i| query(&Self::service(set.letter(), i), set.rtype())).collect()
    }

    /// A master file with all of it, static: what NSD and Knot serve.
    pub(crate) fn zone_file(self) -> String {
        let mut zone = head();
        for service in 0..self.services {
            let [all, one] = ['s', 'o'].map(|letter| Self::service(letter, service));
            for instance in 0..self.instances {
                let address = self.address(service, instance);
                line(&mut zone, format_args!("{all} A {address}"));
                line(&mut zone, format_args!("{all} SRV 0 256 8080 i{instance}.{all}"));
                line(&mut zone, format_args!("i{instance}.{all} A {address}"));
            }
            line(&mut zone, format_args!("{one} A {}", self.address(service, 0)));
        }
        zone
    }
}

/// The beginning of a master file.
pub(crate) fn head() -> String {
    format!(
        "$ORIGIN {ZONE}.\n$TTL 5\n@ SOA ns1 hostmaster 1 3600 600 86400 5\n@ NS ns1\n\
         ns1 A 127.0.0.1\n"
    )
}

/// Adds a line to a text in memory.
pub(crate) fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes everything");
}

fn query(service: &str, rtype: u8) -> Vec<u8> {
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [service].into_iter().chain(ZONE.split('.')) {
        packet.push(u8::try_from(label.len()).expect("a label"));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, rtype, 0, 1]);
    packet
}
