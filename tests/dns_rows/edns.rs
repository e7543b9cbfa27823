//! Rows 47-64: EDNS and size.

use crate::row::{rows, told};
use crate::served::{NXDOMAIN, ONE, SOA, server};
use crate::support::message::Message;
use crate::support::outcome::Got;
use crate::support::packet::{DO, Packet, ask, header};
use crate::via::{Via, next_id};

/// A of one.service.local, with EDNS.
const ONE_EDNS: &[&str] =
    &["NOERROR qr aa 1/1/0/1", "an one.service.local. 5 A 10.0.0.1", "opt 1232"];

/// What a broken OPT gets when it was found before it was seen to be broken, and when not.
const FORMERR_OPT: &[&str] = &["FORMERR qr 1/0/0/1", "opt 1232"];
const FORMERR: &[&str] = &["FORMERR qr 1/0/0/0"];

/// An OPT record: owner, type, size, extended code and version and flags, length.
const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";

rows! {
    row_47_without_edns_the_reply_has_none: [
        ask("one.service.local", "A").gets(ONE),
        ask("nobody.service.local", "A").gets(NXDOMAIN),
    ];
    row_48_every_reply_to_edns_has_it_once: [
        ask("one.service.local", "A").edns(1232).gets(ONE_EDNS),
        ask("one.service.local", "MX").edns(1232)
            .gets(&["NOERROR qr aa 1/0/1/1", SOA, "opt 1232"]),
        ask("nobody.service.local", "A").edns(1232)
            .gets(&["NXDOMAIN qr aa 1/0/1/1", SOA, "opt 1232"]),
        ask("example.com", "A").edns(1232).gets(&["REFUSED qr 1/0/0/1", "opt 1232 ede=20"]),
        ask("one.service.local", "A").class(4).edns(1232)
            .gets(&["REFUSED qr 1/0/0/1", "opt 1232"]),
        ask("one.service.local", "A").opcode(2).edns(1232)
            .gets(&["NOTIMP op2 qr 1/0/0/1", "opt 1232"]),
        header().edns(1232).gets(&["FORMERR qr 0/0/0/1", "opt 1232"]),
        ask("id.server", "TXT").class(3).edns(1232).gets(&[
            "NOERROR qr 1/1/0/1",
            "an id.server. 0 CLASS3 TXT \"ns1\"",
            "opt 1232",
        ]),
        // Not the last record.
        ask("one.service.local", "A").counts([1, 0, 0, 2]).append(OPT)
            .append(b"\0\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x01").gets(ONE_EDNS),
    ];
    row_49_another_version_is_badvers: [
        ask("one.service.local", "A").edns(1232).edns_ttl(1 << 16)
            .gets(&["BADVERS qr 1/0/0/1", "opt 1232"]),
        ask("one.service.local", "A").edns(1232).edns_ttl(255 << 16 | DO)
            .gets(&["BADVERS qr 1/0/0/1", "opt 1232 do"]),
        // Options of another version mean something else, or nothing.
        ask("one.service.local", "A").edns(1232).edns_ttl(1 << 16).option(3, b"")
            .gets(&["BADVERS qr 1/0/0/1", "opt 1232"]),
        ask("one.service.local", "A").edns(1232).edns_ttl(1 << 16).option_bytes(b"\0\x08\0")
            .gets(&["BADVERS qr 1/0/0/1", "opt 1232"]),
        ask("example.com", "A").edns(1232).edns_ttl(1 << 16)
            .gets(&["BADVERS qr 1/0/0/1", "opt 1232"]),
    ];
    row_50_unknown_options_and_flags_are_ignored: [
        ask("one.service.local", "A").edns(1232).option(65_001, b"ab").gets(ONE_EDNS),
        ask("one.service.local", "A").edns(1232).option(0, b"").gets(ONE_EDNS),
        ask("one.service.local", "A").edns(1232).option(65_535, &[7; 400]).gets(ONE_EDNS),
        ask("one.service.local", "A").edns(1232).edns_ttl(0x7fff).gets(ONE_EDNS),
        // The high bits of a code mean nothing in a query.
        ask("one.service.local", "A").edns(1232).edns_ttl(0xff00_0000).gets(ONE_EDNS),
    ];
    row_51_do_is_copied: [
        ask("one.service.local", "A").edns(1232).edns_ttl(DO).gets(&[
            "NOERROR qr aa 1/1/0/1",
            "an one.service.local. 5 A 10.0.0.1",
            "opt 1232 do",
        ]),
        ask("nobody.service.local", "A").edns(1232).edns_ttl(DO)
            .gets(&["NXDOMAIN qr aa 1/0/1/1", SOA, "opt 1232 do"]),
        ask("example.com", "A").edns(1232).edns_ttl(DO)
            .gets(&["REFUSED qr 1/0/0/1", "opt 1232 do ede=20"]),
    ];
    row_54_a_broken_opt_is_malformed: [
        ask("one.service.local", "A").edns(1232).counts([1, 0, 0, 1]).append(OPT)
            .gets(FORMERR_OPT),
        // In the answer section, then in the authority section.
        ask("one.service.local", "A").counts([1, 1, 0, 0]).append(OPT).gets(FORMERR),
        ask("one.service.local", "A").counts([1, 0, 1, 0]).append(OPT).gets(FORMERR),
        // Longer than the message; an option longer than OPT; half the head of an option.
        ask("one.service.local", "A").counts([1, 0, 0, 1])
            .append(b"\0\0\x29\x04\xd0\0\0\0\0\0\x09abc").gets(FORMERR),
        ask("one.service.local", "A").edns(1232).option_bytes(b"\xff\x00\0\x09abc")
            .gets(FORMERR_OPT),
        ask("one.service.local", "A").edns(1232).option_bytes(b"\xff\x00\0").gets(FORMERR_OPT),
        // Of another owner than the root.
        ask("one.service.local", "A").counts([1, 0, 0, 1]).append(&[b"\x01a", OPT].concat())
            .gets(FORMERR),
    ];
    row_56_tcp_gives_the_whole_set: [
        ask("big.service.local", "A")
            .gets_over(Via::CONNECTED, &hundred("NOERROR qr aa 1/100/0/0")),
    ];
    row_57_the_server_names_itself_when_asked: [
        ask("one.service.local", "A").edns(1232).option(3, b"").gets(&[
            "NOERROR qr aa 1/1/0/1",
            "an one.service.local. 5 A 10.0.0.1",
            "opt 1232 nsid=ns1",
        ]),
        ask("example.com", "A").edns(1232).option(3, b"")
            .gets(&["REFUSED qr 1/0/0/1", "opt 1232 nsid=ns1 ede=20"]),
    ];
    row_60_a_client_subnet_comes_back_with_its_scope: [
        // No answer of this service depends on who asks.
        ask("one.service.local", "A").edns(1232).option(8, &[0, 1, 24, 0, 198, 51, 100]).gets(&[
            "NOERROR qr aa 1/1/0/1",
            "an one.service.local. 5 A 10.0.0.1",
            "opt 1232 subnet=1:24/0 [198, 51, 100]",
        ]),
        // The answers of this one do: by the 24 bits of [dns] client_prefix, or fewer.
        ask("sticky.service.local", "A").edns(1232).option(8, &[0, 1, 32, 0, 198, 51, 100, 7])
            .gets(&[
                "NOERROR qr aa 1/1/0/1",
                "an sticky.service.local. 5 A 10.0.0.51",
                "opt 1232 subnet=1:32/24 [198, 51, 100, 7]",
            ]),
        ask("sticky.service.local", "A").edns(1232).option(8, &[0, 2, 20, 0, 0x20, 1, 0x10])
            .gets(&[
                "NOERROR qr aa 1/1/0/1",
                "an sticky.service.local. 5 A 10.0.0.51",
                "opt 1232 subnet=2:20/20 [32, 1, 16]",
            ]),
        ask("sticky.service.local", "A").edns(1232).option(8, &[0, 1, 0, 0]).gets(&[
            "NOERROR qr aa 1/1/0/1",
            "an sticky.service.local. 5 A 10.0.0.51",
            "opt 1232 subnet=1:0/0 []",
        ]),
        // Unknown family; a scope in a query; bits behind the prefix; too many bytes.
        ask("one.service.local", "A").edns(1232).option(8, &[0, 3, 0, 0]).gets(FORMERR_OPT),
        ask("one.service.local", "A").edns(1232).option(8, &[0, 1, 24, 24, 198, 51, 100])
            .gets(FORMERR_OPT),
        ask("one.service.local", "A").edns(1232).option(8, &[0, 1, 23, 0, 198, 51, 101])
            .gets(FORMERR_OPT),
        ask("one.service.local", "A").edns(1232).option(8, &[0, 1, 24, 0, 198, 51, 100, 0])
            .gets(FORMERR_OPT),
        ask("one.service.local", "A").edns(1232).option(8, &[0, 1, 33, 0, 198, 51, 100, 0, 0])
            .gets(FORMERR_OPT),
    ];
    row_58_a_cookie_is_answered_with_ours: [
        ask("one.service.local", "A").edns(1232).option(10, &[1, 2, 3, 4, 5, 6, 7, 8]).gets(&[
            "NOERROR qr aa 1/1/0/1",
            "an one.service.local. 5 A 10.0.0.1",
            "opt 1232 cookie=[1, 2, 3, 4, 5, 6, 7, 8]+16",
        ]),
        // One that is not of ours is answered with a new one.
        ask("one.service.local", "A").edns(1232).option(10, &[9; 24]).gets(&[
            "NOERROR qr aa 1/1/0/1",
            "an one.service.local. 5 A 10.0.0.1",
            "opt 1232 cookie=[9, 9, 9, 9, 9, 9, 9, 9]+16",
        ]),
    ];
    row_59_a_cookie_of_another_length_is_malformed: [
        ask("one.service.local", "A").edns(1232).option(10, &[7; 0]).gets(FORMERR_OPT),
        ask("one.service.local", "A").edns(1232).option(10, &[7; 7]).gets(FORMERR_OPT),
        ask("one.service.local", "A").edns(1232).option(10, &[7; 9]).gets(FORMERR_OPT),
        ask("one.service.local", "A").edns(1232).option(10, &[7; 15]).gets(FORMERR_OPT),
        ask("one.service.local", "A").edns(1232).option(10, &[7; 41]).gets(FORMERR_OPT),
    ];
    row_61_replies_are_padded_where_nobody_can_read_them: [
        ask("one.service.local", "A").edns(1232).option(12, &[0; 40])
            .gets_over(Via::PLAIN, ONE_EDNS)
            .over(Via::ENCRYPTED, &[
                "NOERROR qr aa 1/1/0/1",
                "an one.service.local. 5 A 10.0.0.1",
                "opt 1232 padded to 468",
            ]),
        ask("two.service.local", "SRV").edns(1232).option(12, b"").option(3, b"")
            .gets_over(Via::ENCRYPTED, &[
                "NOERROR qr aa 1/2/0/3",
                "an two.service.local. 5 SRV 0 256 81 two-1.two.service.local.",
                "an two.service.local. 5 SRV 0 256 82 two-2.two.service.local.",
                "ar two-1.two.service.local. 5 A 10.0.0.11",
                "ar two-2.two.service.local. 5 A 10.0.0.12",
                "opt 1232 nsid=ns1 padded to 468",
            ]),
        // Not unless asked.
        ask("one.service.local", "A").edns(1232).gets_over(Via::ENCRYPTED, ONE_EDNS),
    ];
    row_62_keepalive_is_spoken_over_connections_of_dns: [
        ask("one.service.local", "A").edns(1232).option(11, b"")
            .gets_over(Via::DATAGRAM, ONE_EDNS)
            .over(Via::FRAMED, &[
                "NOERROR qr aa 1/1/0/1",
                "an one.service.local. 5 A 10.0.0.1",
                "opt 1232 keepalive=100",
            ])
            // HTTP has its own.
            .over(Via::REQUESTS, ONE_EDNS),
        ask("one.service.local", "A").edns(1232).gets_over(Via::FRAMED, ONE_EDNS),
    ];
    row_63_what_went_wrong_is_told: [
        ask("example.com", "A").edns(1232).gets(&["REFUSED qr 1/0/0/1", "opt 1232 ede=20"]),
        ask("local", "SOA").edns(1232).gets(&["REFUSED qr 1/0/0/1", "opt 1232 ede=20"]),
        ask("ill.service.local", "A").edns(1232).gets(&[
            "NOERROR qr aa 1/0/1/1",
            SOA,
            "opt 1232 ede=0 (no usable instance: 1 critical)",
        ]),
        ask("empty.service.local", "A").edns(1232)
            .gets(&["NOERROR qr aa 1/0/1/1", SOA, "opt 1232 ede=0 (no instance)"]),
        // Nothing is wrong with these.
        ask("one.service.local", "MX").edns(1232)
            .gets(&["NOERROR qr aa 1/0/1/1", SOA, "opt 1232"]),
    ];
    row_64_expire_is_not_offered: [
        ask("service.local", "SOA").edns(1232).option(9, b"").gets(&[
            "NOERROR qr aa 1/1/0/1",
            "an service.local. 1 SOA ns1.service.local. hostmaster.service.local. \
             * 3600 600 86400 1",
            "opt 1232",
        ]),
    ];
}

/// The whole set of big.service.local, without its glue.
fn hundred(head: &'static str) -> Vec<&'static str> {
    let mut lines: Vec<String> =
        (0..100).map(|i| format!("an big.service.local. 5 A 10.1.0.{i}")).collect();
    lines.sort_unstable();
    // Data of a test lives as long as the test run.
    let lines = lines.into_iter().map(|line| &*Box::leak(line.into_boxed_str()));
    std::iter::once(head).chain(lines).collect()
}

/// The reply to a query, of which there must be one.
fn reply(query: &Packet, via: Via) -> Message {
    match via.send(&server(), &query.bytes(next_id())) {
        Ok(Got::Reply(bytes)) => Message::parse(&bytes),
        other => panic!("{via:?}: {other:?}"),
    }
}

/// What a client takes, and how much it then gets at most.
const SIZES: [(Option<u16>, usize); 9] = [
    (None, 512),
    (Some(0), 512),
    (Some(511), 512),
    (Some(512), 512),
    (Some(900), 900),
    (Some(1232), 1232),
    (Some(1233), 1232),
    (Some(4096), 1232),
    (Some(65_535), 1232),
];

#[test]
fn row_52_less_than_512_bytes_is_taken_as_512() {
    sizes(|limit| limit == 512);
}

#[test]
fn row_53_no_datagram_is_over_1232_bytes() {
    sizes(|limit| limit > 512);
}

/// Asks for a set of 100 addresses in each size of a kind.
fn sizes(kind: impl Fn(usize) -> bool) {
    for (payload, limit) in SIZES.into_iter().filter(|(_, limit)| kind(*limit)) {
        let plain = ask("big.service.local", "A");
        let query = match payload {
            Some(payload) => plain.edns(payload),
            None => plain,
        };
        let reply = reply(&query, Via::Udp);

        let told = (reply.rcode.as_str(), reply.flags.as_str());
        assert_eq!(told, ("NOERROR", "qr aa tc"), "{payload:?}");
        // One more record of 16 bytes would not have fitted.
        assert!((limit - 15..=limit).contains(&reply.size), "{payload:?}: {}", reply.size);
        assert_eq!(reply.edns.map(|edns| edns.payload), payload.map(|_| 1232), "{payload:?}");
    }
}

#[test]
fn row_55_too_much_is_told_by_tc_and_glue_goes_without_it() {
    let server = server();

    // 100 SRV records do not fit, whatever the size; what fits is there, and OPT with it.
    let cut = reply(&ask("big.service.local", "SRV").edns(1232), Via::Udp);
    assert_eq!((cut.flags.as_str(), cut.additional.len()), ("qr aa tc", 0));
    assert!((1232 - 40..=1232).contains(&cut.size) && cut.edns.is_some(), "{cut:?}");

    // 20 do, their 40 addresses not.
    let bare = reply(&ask("glue.service.local", "SRV").edns(1232), Via::Udp);
    assert_eq!((bare.flags.as_str(), bare.answers.len()), ("qr aa", 20));
    assert!((1..40).contains(&bare.additional.len()) && bare.edns.is_some(), "{bare:?}");

    for via in Via::CONNECTED {
        let whole = told(&server, &ask("glue.service.local", "SRV").edns(512), *via);
        assert_eq!(whole[0], "NOERROR qr aa 1/20/0/41", "{via:?}");
        let whole = told(&server, &ask("big.service.local", "SRV"), *via);
        assert_eq!(whole[0], "NOERROR qr aa 1/100/0/100", "{via:?}");
    }
}
