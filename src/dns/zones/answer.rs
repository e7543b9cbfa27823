//! What a zone found, written into a reply.

use crate::dns::name::{Name, is_within};
use crate::dns::rcode::Rcode;
use crate::dns::reply::{Record, Reply, Section};
use crate::dns::rtype;
use crate::dns::zones::file::soa_minimum;
use crate::dns::zones::lookup::{End, Found};
use crate::dns::zones::zone::{Node, RecordSet, Zone};

/// What is left to do after a static answer was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The reply's code.
    pub rcode: Rcode,
    /// The reply's AA flag.
    pub authoritative: bool,
    /// The answer is negative and its zone has no SOA of its own: the caller's belongs in
    /// the authority section.
    pub needs_soa: bool,
    /// The registry answers for this name (of [`Found::name`]); aliases before it are written.
    pub unclaimed: bool,
}

/// Writes what `zone` found: aliases and records, addresses of the names in them, and what goes
/// into the authority section. Sets TC when records of the answer do not fit.
pub fn write(zone: &Zone, found: &Found<'_>, reply: &mut Reply<'_>) -> Outcome {
    for (owner, alias) in &found.aliases {
        write_set(reply, Section::Answer, owner.wire(), alias, alias.ttl);
    }
    let outcome =
        Outcome { rcode: Rcode::NoError, authoritative: true, needs_soa: false, unclaimed: false };
    match found.end {
        End::Records(set) => {
            write_set(reply, Section::Answer, found.name.wire(), set, set.ttl);
            write_addresses(zone, &found.name, set, reply);
            outcome
        }
        End::NoData => Outcome { needs_soa: !write_soa(zone, reply), ..outcome },
        End::NxDomain => {
            Outcome { rcode: Rcode::NxDomain, needs_soa: !write_soa(zone, reply), ..outcome }
        }
        End::Referral { owner, servers } => {
            write_set(reply, Section::Authority, owner, servers, servers.ttl);
            // RFC 9471: a referral without the addresses it needs is a truncated one.
            if !write_addresses(zone, &found.name, servers, reply) {
                reply.truncate();
            }
            // AA speaks for the first owner: the alias, if there was one (RFC 1035 4.1.1).
            Outcome { authoritative: !found.aliases.is_empty(), ..outcome }
        }
        End::AliasOnly => outcome,
        End::Unclaimed => Outcome { unclaimed: true, ..outcome },
    }
}

/// Writes a set whole, or as much as fits with TC.
fn write_set(reply: &mut Reply<'_>, section: Section, owner: &[u8], set: &RecordSet, ttl: u32) {
    for data in &set.data {
        let record = Record { owner, rtype: set.rtype, ttl, rdata: &[data] };
        if !reply.push(section, &record) {
            reply.truncate();
            return;
        }
    }
}

/// The SOA of a negative answer, with the time it may be kept (RFC 2308 sections 3 and 5).
/// `false` when the zone has none.
fn write_soa(zone: &Zone, reply: &mut Reply<'_>) -> bool {
    let Some(soa) = zone.node(zone.apex()).and_then(|apex| apex.set(rtype::SOA)) else {
        return false;
    };
    let minimum = soa.data.first().and_then(|data| soa_minimum(data)).unwrap_or(0);
    write_set(reply, Section::Authority, zone.apex(), soa, soa.ttl.min(minimum));
    true
}

/// The addresses that the zone has for the hosts in a set of `owner`, up to the first that does not
/// fit, which it tells by `false`.
fn write_addresses(zone: &Zone, owner: &Name, set: &RecordSet, reply: &mut Reply<'_>) -> bool {
    let skip = match set.rtype {
        rtype::NS => 0,
        // RFC 9460 section 4.1 has them for the targets of SVCB too.
        rtype::MX | rtype::SVCB | rtype::HTTPS => 2,
        rtype::SRV => 6,
        _ => return true,
    };
    let mut hosts: Vec<Name> = Vec::new();
    for data in &set.data {
        let Some(host) = data.get(skip..).and_then(Name::read).map(|host| host.folded()) else {
            continue;
        };
        // RFC 9460 section 2.5: the root stands for the owner, unless it is an alias to nothing.
        let own = [rtype::SVCB, rtype::HTTPS].contains(&set.rtype)
            && host.wire() == [0]
            && data[..2] != [0, 0];
        let host = if own { owner.folded() } else { host };
        if hosts.contains(&host) || !is_within(host.wire(), zone.apex()) {
            continue;
        }
        hosts.push(host);
        if !write_host(zone, &host, reply) {
            return false;
        }
    }
    true
}

/// Writes the addresses that `zone` has for `host` (in lower case) into the additional section, a
/// set as a whole; `false` when one does not fit.
pub fn write_host(zone: &Zone, host: &Name, reply: &mut Reply<'_>) -> bool {
    let sets = zone.node(host.wire()).map_or(&[][..], Node::sets);
    sets.iter().filter(|set| [rtype::A, rtype::AAAA].contains(&set.rtype)).all(|set| {
        let mark = reply.mark();
        let fits = set.data.iter().all(|data| {
            let rdata: &[&[u8]] = &[data];
            let record = Record { owner: host.wire(), rtype: set.rtype, ttl: set.ttl, rdata };
            reply.push(Section::Additional, &record)
        });
        if !fits {
            reply.rollback(mark);
        }
        fits
    })
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;

    use super::*;
    use crate::dns::fixture::QueryBytes;
    use crate::dns::query::{Parsed, parse};
    use crate::dns::transport::Transport;
    use crate::dns::zones::zone_of;

    /// The reply as text: code and flags, then the records of each section.
    fn answer(zone: &Zone, packet: &QueryBytes, transport: Transport) -> Vec<String> {
        let packet = packet.bytes();
        let Parsed::Query(query) = parse(&packet) else { panic!("{packet:?}") };
        let mut buffer = Vec::new();
        let mut reply = Reply::start(&mut buffer, &query.head, transport, b"");
        let found = zone.lookup(&query.name, query.rtype).unwrap();
        let outcome = write(zone, &found, &mut reply);
        reply.finish(outcome.rcode, outcome.authoritative);
        let message = Message::from_vec(&buffer).unwrap();
        let aa = if message.metadata.authoritative { " aa" } else { "" };
        let tc = if message.metadata.truncation { " tc" } else { "" };
        let mut lines = vec![format!("{}{aa}{tc}", outcome.rcode.as_str())];
        let sections =
            [("an", &message.answers), ("ns", &message.authorities), ("ar", &message.additionals)];
        for (section, records) in sections {
            let shown = |record| format!("{section} {record}");
            lines.extend(records.iter().map(shown));
        }
        lines
    }

    const ZONE: &str = "$ORIGIN example.org.\n$TTL 60\n\
        @ SOA ns H 1 2 3 4 5\n@ NS ns\n@ MX 10 Mail\nns A 10.0.0.1\nns AAAA ::1\n\
        mail A 10.0.0.2\nwww CNAME mail\ngone CNAME nowhere\nalias CNAME x.sub\n\
        sub NS ns.sub\nsub NS ns.else.org.\nns.sub A 10.0.0.3\n\
        _http._tcp SRV 0 0 80 mail\n_http._tcp SRV 0 0 81 mail\n";

    #[test]
    fn each_ending_has_its_reply() {
        let zone = zone_of(ZONE);
        let soa = "ns example.org. 5 IN SOA ns.example.org. H.example.org. 1 2 3 4 5";
        let cut = [
            "ns sub.example.org. 60 IN NS ns.sub.example.org.",
            "ns sub.example.org. 60 IN NS ns.else.org.",
        ];
        let glue = "ar ns.sub.example.org. 60 IN A 10.0.0.3";
        let mail = "ar mail.example.org. 60 IN A 10.0.0.2";
        let table: [(&str, u16, Vec<&str>); 9] = [
            ("Mail", rtype::A, vec!["NOERROR aa", "an Mail.example.org. 60 IN A 10.0.0.2"]),
            ("mail", rtype::TXT, vec!["NOERROR aa", soa]),
            ("none", rtype::A, vec!["NXDOMAIN aa", soa]),
            (
                "www",
                rtype::A,
                vec![
                    "NOERROR aa",
                    "an www.example.org. 60 IN CNAME mail.example.org.",
                    "an mail.example.org. 60 IN A 10.0.0.2",
                ],
            ),
            (
                "gone",
                rtype::A,
                vec!["NXDOMAIN aa", "an gone.example.org. 60 IN CNAME nowhere.example.org.", soa],
            ),
            ("a.sub", rtype::A, vec!["NOERROR", cut[0], cut[1], glue]),
            (
                "alias",
                rtype::A,
                vec![
                    "NOERROR aa",
                    "an alias.example.org. 60 IN CNAME x.sub.example.org.",
                    cut[0],
                    cut[1],
                    glue,
                ],
            ),
            (
                "@",
                rtype::MX,
                vec![
                    "NOERROR aa",
                    "an example.org. 60 IN MX 10 Mail.example.org.",
                    "ar Mail.example.org. 60 IN A 10.0.0.2",
                ],
            ),
            (
                "_http._tcp",
                rtype::SRV,
                vec![
                    "NOERROR aa",
                    "an _http._tcp.example.org. 60 IN SRV 0 0 80 mail.example.org.",
                    "an _http._tcp.example.org. 60 IN SRV 0 0 81 mail.example.org.",
                    mail,
                ],
            ),
        ];
        for (name, rtype, expected) in table {
            let name =
                if name == "@" { "example.org.".into() } else { format!("{name}.example.org.") };
            let packet = QueryBytes::new(&name, rtype);
            assert_eq!(answer(&zone, &packet, Transport::Udp), expected, "{name}");
        }
    }

    #[test]
    fn a_set_that_does_not_fit_is_cut_with_tc() {
        let records: String = (0..60).map(|i| format!("many A 10.0.1.{i}\n")).collect();
        let zone = zone_of(&format!("{ZONE}{records}"));
        let packet = QueryBytes::new("many.example.org.", rtype::A);

        let udp = answer(&zone, &packet, Transport::Udp);
        let tcp = answer(&zone, &packet, Transport::Tcp);

        assert_eq!((udp[0].as_str(), udp.len()), ("NOERROR aa tc", 1 + (512 - 34) / 16));
        assert_eq!((tcp[0].as_str(), tcp.len()), ("NOERROR aa", 61));
    }
}
