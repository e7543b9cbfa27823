use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use proptest::prelude::*;

use super::*;
use crate::dns::fixture::QueryBytes;
use crate::dns::query::{Parsed, parse};

fn name(text: &str) -> Name {
    Name::from_text(text, None).unwrap()
}

fn head(packet: &[u8]) -> Head<'_> {
    match parse(packet) {
        Parsed::Query(query) => query.head,
        other => panic!("{other:?}"),
    }
}

/// SRV records with one address of glue each, as many as fit; the reply and both counts.
fn srv_reply(packet: &[u8], transport: Transport, instances: u16) -> (Vec<u8>, u16, u16) {
    let mut buffer = vec![1, 2, 3];
    let mut reply = Reply::start(&mut buffer, &head(packet), transport, b"ns1");
    let owner = name("_http._tcp.web.service.local.");
    let targets: Vec<Name> =
        (0..instances).map(|i| name(&format!("web-{i}.web.service.local."))).collect();
    for target in &targets {
        let rdata = [&[0, 0, 1, 0, 31, 144], target.wire()];
        let srv = Record { owner: owner.wire(), rtype: rtype::SRV, ttl: 5, rdata: &rdata };
        if !reply.push(Section::Answer, &srv) {
            reply.truncate();
            break;
        }
    }
    for target in &targets {
        let rdata: [&[u8]; 1] = [&[10, 0, 0, 1]];
        let a = Record { owner: target.wire(), rtype: rtype::A, ttl: 5, rdata: &rdata };
        if !reply.push(Section::Additional, &a) {
            break;
        }
    }
    let counts = (reply.count(Section::Answer), reply.count(Section::Additional));
    reply.finish(Rcode::NoError, true);
    (buffer, counts.0, counts.1)
}

#[test]
fn a_reply_is_written_bit_by_bit() {
    let packet = QueryBytes::new("Web.service.local.", rtype::A).flags(0x01, 0x30).bytes();
    let mut buffer = Vec::new();
    let web = name("web.service.local.");
    let mut reply = Reply::start(&mut buffer, &head(&packet), Transport::Udp, b"");
    let rdata: [&[u8]; 1] = [&[10, 0, 0, 1]];
    let a = Record { owner: web.wire(), rtype: rtype::A, ttl: 5, rdata: &rdata };

    assert!(reply.push(Section::Answer, &a));
    reply.finish(Rcode::NoError, true);

    let expected = [
        // RD is copied; AD and CD, which the query set, are not.
        b"\x12\x34\x85\x00\x00\x01\x00\x01\x00\x00\x00\x00".as_slice(),
        b"\x03Web\x07service\x05local\x00\x00\x01\x00\x01",
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x00\x00\x01",
    ];
    assert_eq!(buffer, expected.concat());
}

#[test]
fn nineteen_srv_records_with_glue_fit_one_datagram() {
    let packet =
        QueryBytes::new("_http._tcp.web.service.local.", rtype::SRV).opt(1232, 0, &[]).bytes();

    let (buffer, answers, additionals) = srv_reply(&packet, Transport::Udp, 19);

    assert_eq!((answers, additionals), (19, 19));
    let message = Message::from_vec(&buffer).unwrap();
    for (srv, a) in message.answers.iter().zip(&message.additionals) {
        let RData::SRV(data) = &srv.data else { panic!("{srv:?}") };
        assert_eq!((data.target.to_ascii(), data.port), (a.name.to_ascii(), 8080));
    }
    assert!(!message.metadata.truncation);
}

#[test]
fn truncation_keeps_opt_and_whole_records() {
    let packet =
        QueryBytes::new("_http._tcp.web.service.local.", rtype::SRV).opt(1232, 0, &[]).bytes();

    let (buffer, answers, additionals) = srv_reply(&packet, Transport::Udp, 40);

    assert_eq!((answers, additionals), (26, 2));
    let message = Message::from_vec(&buffer).unwrap();
    assert!(message.metadata.truncation && message.edns.is_some());
}

#[test]
fn tcp_holds_what_udp_does_not() {
    let packet = QueryBytes::new("_http._tcp.web.service.local.", rtype::SRV).bytes();

    let (buffer, answers, additionals) = srv_reply(&packet, Transport::Tcp, 900);

    assert_eq!((answers, additionals), (900, 900));
    let message = Message::from_vec(&buffer).unwrap();
    let hosts = message.answers.iter().filter_map(|record| match &record.data {
        RData::SRV(data) => Some(&data.target),
        _ => None,
    });
    assert!(hosts.eq(message.additionals.iter().map(|record| &record.name)));
}

#[test]
fn a_rollback_leaves_no_trace() {
    let packet = QueryBytes::new("web.local.", rtype::A).bytes();
    let (other, third) = (name("other.web.local."), name("third.web.local."));
    let rdata: [&[u8]; 1] = [&[10, 0, 0, 1]];
    let record = |owner| Record { owner, rtype: rtype::A, ttl: 5, rdata: &rdata };
    let (mut straight, mut rolled) = (Vec::new(), Vec::new());

    let mut reply = Reply::start(&mut straight, &head(&packet), Transport::Udp, b"");
    reply.push(Section::Answer, &record(third.wire()));
    reply.finish(Rcode::NoError, true);
    let mut reply = Reply::start(&mut rolled, &head(&packet), Transport::Udp, b"");
    let mark = reply.mark();
    reply.push(Section::Additional, &record(other.wire()));
    reply.rollback(mark);
    reply.push(Section::Answer, &record(third.wire()));
    reply.finish(Rcode::NoError, true);

    assert_eq!(rolled, straight);
}

#[test]
fn names_in_data_are_compressed_where_every_reader_knows_the_type() {
    let (zone, host) = (name("example.org."), name("host.example.org."));
    let soa = [host.wire(), zone.wire(), &[7; 20]];
    for (rtype, rdata, expected) in [
        (rtype::NS, &[host.wire()][..], b"\x00\x07\x04host\xc0\x0c".as_slice()),
        (rtype::CNAME, &[zone.wire()], b"\x00\x02\xc0\x0c"),
        (rtype::PTR, &[zone.wire()], b"\x00\x02\xc0\x0c"),
        (rtype::MX, &[&[0, 9], host.wire()], b"\x00\x09\x00\x09\x04host\xc0\x0c"),
        (rtype::SOA, &soa, &[&b"\x00\x1d\x04host\xc0\x0c\xc0\x0c"[..], &[7; 20]].concat()),
        // RFC 2782 and RFC 3597 section 4.
        (rtype::SRV, &[&[0; 6], zone.wire()], b"\x00\x13\0\0\0\0\0\0\x07example\x03org\0"),
        (65_280, &[zone.wire()], b"\x00\x0d\x07example\x03org\0"),
    ] {
        let packet = QueryBytes::new("example.org.", rtype).bytes();
        let mut buffer = Vec::new();
        let mut reply = Reply::start(&mut buffer, &head(&packet), Transport::Udp, b"");

        assert!(reply.push(Section::Answer, &Record { owner: zone.wire(), rtype, ttl: 5, rdata }));
        reply.finish(Rcode::NoError, true);

        let data = packet.len() + 10;
        assert_eq!(&buffer[data..], expected, "type {rtype}");
    }
}

fn any_name() -> impl Strategy<Value = Name> {
    let label = prop_oneof!["[a-c]{1,3}", "[A-C]{1,2}", "[a-z]{30,63}"];
    proptest::collection::vec(label, 0..4)
        .prop_map(|labels| name(&format!("{}.", labels.join("."))))
}

/// A record of type NS, or SRV, and whether it is taken back.
fn any_record() -> impl Strategy<Value = (Section, Name, u32, Name, bool, bool)> {
    let section =
        prop_oneof![Just(Section::Answer), Just(Section::Authority), Just(Section::Additional)];
    (section, any_name(), any::<u32>(), any_name(), any::<bool>(), prop::bool::weighted(0.3))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_was_written_is_read_back_by_hickory(
        question in any_name(),
        payload in proptest::option::of(any::<u16>()),
        subnet in any::<bool>(),
        tcp in any::<bool>(),
        mut records in proptest::collection::vec(any_record(), 0..150),
    ) {
        records.sort_by_key(|record| record.0);
        let mut packet = QueryBytes::new(&question.to_string(), rtype::NS);
        if let Some(payload) = payload {
            let option: &[u8] = if subnet { &[0, 8, 0, 5, 0, 2, 8, 0, 32] } else { &[] };
            packet = packet.opt(payload, 0, option);
        }
        let packet = packet.bytes();
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let mut buffer = Vec::new();
        let head = head(&packet);
        let mut reply = Reply::start(&mut buffer, &head, transport, b"ns1");
        let mut written = Vec::new();
        for (section, owner, ttl, target, is_srv, taken_back) in &records {
            let (rtype, numbers) =
                if *is_srv { (rtype::SRV, &[0; 6][..]) } else { (rtype::NS, &[][..]) };
            let rdata = [numbers, target.wire()];
            let record = Record { owner: owner.wire(), rtype, ttl: *ttl, rdata: &rdata };
            let mark = reply.mark();
            let fits = reply.push(*section, &record);
            if *taken_back {
                reply.rollback(mark);
            } else if fits {
                // A name that is pointed to has the case of its first occurrence.
                written.push((*section, owner.folded(), *ttl, target.folded()));
            }
        }
        reply.finish(Rcode::NxDomain, true);

        prop_assert!(buffer.len() <= transport.limit(head.edns.as_ref()));
        let message = Message::from_vec(&buffer).unwrap();
        let sections = [
            (Section::Answer, &message.answers),
            (Section::Authority, &message.authorities),
            (Section::Additional, &message.additionals),
        ];
        let mut read = Vec::new();
        for (section, records) in sections {
            for record in records {
                let target = match &record.data {
                    RData::NS(target) => &target.0,
                    RData::SRV(srv) => &srv.target,
                    other => panic!("{other:?}"),
                };
                let [owner, target] = [&record.name, target].map(from_hickory);
                read.push((section, owner.folded(), record.ttl, target.folded()));
            }
        }
        prop_assert_eq!(read, written);
        prop_assert_eq!(message.edns.is_some(), payload.is_some());
        prop_assert_eq!(from_hickory(message.queries[0].name()), question);
    }
}

fn from_hickory(name: &hickory_proto::rr::Name) -> Name {
    Name::join(&name.iter().collect::<Vec<_>>(), &[0]).unwrap()
}

#[test]
fn a_soa_points_into_the_question_whatever_its_case() {
    let packet = QueryBytes::new("No.Web.Service.LOCAL.", rtype::A).bytes();
    let mut buffer = Vec::new();
    let names = ["service.local.", "ns1.service.local.", "hostmaster.example."].map(name);
    let [apex, primary, contact] = &names;
    let mut reply = Reply::start(&mut buffer, &head(&packet), Transport::Udp, b"");
    let rdata = [primary.wire(), contact.wire(), &[7; 20]];
    let soa = Record { owner: apex.wire(), rtype: rtype::SOA, ttl: 1, rdata: &rdata };

    assert!(reply.push(Section::Authority, &soa));
    reply.finish(Rcode::NxDomain, true);

    let expected = [
        b"\xc0\x13\x00\x06\x00\x01\x00\x00\x00\x01\x00\x2e".as_slice(),
        b"\x03ns1\xc0\x13\x0ahostmaster\x07example\x00",
        &[7; 20],
    ];
    assert_eq!(buffer[12 + 26..], expected.concat());
}
