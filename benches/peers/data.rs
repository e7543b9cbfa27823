//! What every server is given: services, their addresses, and the questions about them.
//!
//! Names and addresses are computed from numbers, so that a zone file, a configuration of gdnsd and
//! a registration agree without a table.

use std::fmt::Write;
use std::net::Ipv4Addr;

use crate::reply::Expected;

/// The zone that all of them serve.
pub(crate) const ZONE: &str = "service.local";

/// So many services with so many instances each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    pub(crate) services: usize,
    pub(crate) instances: usize,
}

/// Queries, each with id 0, and what every reply must hold.
pub(crate) struct Questions {
    pub(crate) packets: Vec<Vec<u8>>,
    pub(crate) expected: Expected,
}

/// A kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Set {
    /// A of a service: an address of each instance.
    All,
    /// A of a service: one address.
    One,
    /// SRV of a service: each instance, with its address in Additional.
    Srv,
    /// A of a service: the addresses of 8 instances of it.
    Sample,
}

impl Set {
    /// What the table calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::All => "A, all instances of a service",
            Self::One => "A, one instance of a service",
            Self::Srv => "SRV, all instances with their addresses",
            Self::Sample => "A, a sample of the instances of a service",
        }
    }

    /// The same in few letters.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::All => "A of all",
            Self::One => "A of one",
            Self::Srv => "SRV",
            Self::Sample => "A of 8",
        }
    }

    /// The first letter of the services that are asked for it. Static servers can't have one and
    /// all addresses at the same name.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::All | Self::Srv | Self::Sample => 's',
            Self::One => 'o',
        }
    }

    fn rtype(self) -> u8 {
        match self {
            Self::All | Self::One | Self::Sample => 1,
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

    /// What is asked of each service, and what the reply must hold.
    pub(crate) fn questions(self, set: Set) -> Questions {
        let query = |i| query(&Self::service(set.letter(), i), set.rtype());
        let expected = match set {
            Set::All => Expected::new(self.instances, 0),
            Set::One => Expected::new(1, 0),
            Set::Srv => Expected::new(self.instances, self.instances),
            Set::Sample => Expected::new(8, 0),
        };
        Questions { packets: (0..self.services).map(query).collect(), expected }
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

    /// A master file with nothing but the addresses of the services.
    pub(crate) fn address_file(self) -> String {
        let mut zone = head();
        for (service, instance) in self.all() {
            let (name, address) = (Self::service('s', service), self.address(service, instance));
            line(&mut zone, format_args!("{name} A {address}"));
        }
        zone
    }

    /// Registrations of all instances, as bodies for `/v1/batch`.
    pub(crate) fn batches(self) -> Vec<String> {
        let items: Vec<String> = self
            .all()
            .map(|(service, i)| {
                let (name, address) = (Self::service('s', service), self.address(service, i));
                format!(
                    r#"{{"service":"{name}","id":"i{i}","addresses":["{address}"],"port":8080,"ttl":"1h"}}"#
                )
            })
            .collect();
        let batch = |items: &[String]| format!(r#"{{"register":[{}]}}"#, items.join(","));
        items.chunks(BATCH).map(batch).collect()
    }

    /// The numbers of each instance and its service.
    fn all(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.services).flat_map(move |service| (0..self.instances).map(move |i| (service, i)))
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

/// Registrations in a batch: as many as one may hold.
const BATCH: usize = 10_000;
