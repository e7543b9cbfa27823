//! Rows 1-23: header, opcode, class and question.

use crate::row::{Case, rows};
use crate::served::{FORMERR, NXDOMAIN, ONE, REFUSED, SILENCE};
use crate::support::packet::{AA, AD, CD, Packet, QR, RA, RD, TC, Z, ask, header, raw};
use crate::via::Via;

const BAD_REQUEST: &[&str] = &["http 400 Bad Request"];

/// An A record of the root.
const RECORD: &[u8] = b"\0\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x01";

rows! {
    row_01_a_positive_answer: [
        ask("one.service.local", "A").gets(ONE),
        ask("one.service.local", "A").bits(RD).gets(&[
            "NOERROR qr aa rd 1/1/0/0",
            "an one.service.local. 5 A 10.0.0.1",
        ]),
    ];
    row_02_checking_disabled_changes_nothing: [
        ask("one.service.local", "A").bits(CD).gets(ONE),
    ];
    row_03_ad_and_z_are_not_copied: [
        ask("one.service.local", "A").bits(AD).gets(ONE),
        ask("one.service.local", "A").bits(Z).gets(ONE),
    ];
    row_04_flags_of_replies_are_ignored: [
        ask("one.service.local", "A").bits(AA).gets(ONE),
        ask("one.service.local", "A").bits(TC).gets(ONE),
        ask("one.service.local", "A").bits(RA).gets(ONE),
        ask("one.service.local", "A").bits(AA | TC | RA | Z | AD | CD).gets(ONE),
    ];
    row_05_other_opcodes_are_not_implemented: [
        ask("one.service.local", "A").opcode(1).gets(&["NOTIMP op1 qr 1/0/0/0"]),
        ask("one.service.local", "A").opcode(2).gets(&["NOTIMP op2 qr 1/0/0/0"]),
        ask("one.service.local", "A").opcode(3).gets(&["NOTIMP op3 qr 1/0/0/0"]),
        ask("one.service.local", "A").opcode(6).gets(&["NOTIMP op6 qr 1/0/0/0"]),
        ask("one.service.local", "A").opcode(7).gets(&["NOTIMP op7 qr 1/0/0/0"]),
        ask("one.service.local", "A").opcode(8).bits(RD).gets(&["NOTIMP op8 qr rd 1/0/0/0"]),
        ask("one.service.local", "A").opcode(14).edns(512).gets(&[
            "NOTIMP op14 qr 1/0/0/1",
            "opt 1232",
        ]),
        header().opcode(1).gets(&["NOTIMP op1 qr 0/0/0/0"]),
        header().opcode(15).gets(&["NOTIMP op15 qr 0/0/0/0"]),
    ];
    row_06_notify_is_not_implemented: [
        ask("service.local", "SOA").opcode(4).bits(AA).gets(&["NOTIMP op4 qr 1/0/0/0"]),
    ];
    row_07_update_is_not_implemented: [
        // Adds an A record of web.service.local.
        ask("service.local", "SOA").opcode(5).counts([1, 0, 1, 0]).append(
            b"\x03web\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x02",
        ).gets(&["NOTIMP op5 qr 1/0/0/0"]),
    ];
    row_08_a_response_is_met_with_silence: [
        ask("one.service.local", "A").bits(QR).no_query(),
        ask("one.service.local", "A").bits(QR).edns(1232).no_query(),
        ask("one.service.local", "A").bits(QR).opcode(5).no_query(),
        ask("one.service.local", "A").bits(QR).counts([9; 4]).no_query(),
        ask("one.service.local", "A").bits(QR).cut(17).no_query(),
        raw(b"\xc0\x0c", 1).bits(QR).no_query(),
        header().bits(QR).no_query(),
    ];
    row_09_no_question_is_malformed: [
        header().gets(FORMERR),
        header().edns(1232).gets(&["FORMERR qr 0/0/0/1", "opt 1232"]),
        header().counts([0, 1, 0, 0]).append(RECORD).gets(FORMERR),
        // RFC 7873 section 5.4: asks for a cookie and nothing else.
        header().edns(1232).option(10, &[1, 2, 3, 4, 5, 6, 7, 8])
            .gets(&["NOERROR qr 0/0/0/1", "opt 1232 cookie=[1, 2, 3, 4, 5, 6, 7, 8]+16"]),
    ];
    row_10_two_questions_are_malformed: [
        ask("one.service.local", "A").counts([2, 0, 0, 0])
            .append(ask("two.service.local", "A").question()).gets(FORMERR),
        ask("one.service.local", "A").counts([2, 0, 0, 0]).gets(FORMERR),
        ask("one.service.local", "A").counts([65_535, 0, 0, 0]).gets(FORMERR),
    ];
    row_11_records_in_a_query_are_ignored: [
        ask("one.service.local", "A").counts([1, 1, 0, 0]).append(RECORD).gets(ONE),
        ask("one.service.local", "A").counts([1, 0, 1, 0]).append(RECORD).gets(ONE),
        ask("one.service.local", "A").counts([1, 0, 0, 1]).append(RECORD).gets(ONE),
        // One that is announced and not there.
        ask("one.service.local", "A").counts([1, 1, 0, 0]).gets(&["FORMERR qr 1/0/0/0"]),
        ask("one.service.local", "A").counts([1, 65_535, 65_535, 65_535])
            .gets(&["FORMERR qr 0/0/0/0"]),
    ];
    row_12_trailing_bytes_are_ignored: [
        ask("one.service.local", "A").append(&[0]).gets(ONE),
        ask("one.service.local", "A").append(&[0xff; 300]).gets(ONE),
    ];
    row_13_less_than_a_header_is_met_with_silence: [
        header().cut(1).gets_over(Via::DATAGRAM, SILENCE),
        header().cut(2).gets_over(Via::DATAGRAM, SILENCE),
        // Row 68: such a stream is not DNS.
        header().cut(11).gets_over(Via::DATAGRAM, SILENCE)
            .over(Via::FRAMED, &["closed"]).over(Via::REQUESTS, BAD_REQUEST),
    ];
    row_14_class_chaos_has_no_services: [
        ask("one.service.local", "A").class(3).gets(REFUSED),
        ask("one.service.local", "TXT").class(3).gets(REFUSED),
        ask("service.local", "SOA").class(3).gets(REFUSED),
    ];
    row_15_class_any_is_answered_as_in: [
        ask("one.service.local", "A").class(255).gets(ONE),
    ];
    row_16_other_classes_are_refused: [
        ask("one.service.local", "A").class(0).gets(REFUSED),
        ask("one.service.local", "A").class(2).gets(REFUSED),
        ask("one.service.local", "A").class(4).gets(REFUSED),
        ask("one.service.local", "A").class(254).gets(REFUSED),
        ask("one.service.local", "A").class(65_535).gets(REFUSED),
    ];
    row_17_chaos_names_are_neutral: [
        ask("id.server", "TXT").class(3)
            .gets(&["NOERROR qr 1/1/0/0", "an id.server. 0 CLASS3 TXT \"ns1\""]),
        ask("hostname.bind", "TXT").class(3)
            .gets(&["NOERROR qr 1/1/0/0", "an hostname.bind. 0 CLASS3 TXT \"ns1\""]),
        ask("version.bind", "TXT").class(3).gets(REFUSED),
        ask("version.server", "TXT").class(3).gets(REFUSED),
        ask("authors.bind", "TXT").class(3).gets(REFUSED),
        ask("version.bind", "TXT").gets(REFUSED),
    ];
    row_18_other_zones_are_refused: [
        ask("example.com", "A").gets(REFUSED),
        ask("local", "SOA").gets(REFUSED),
        ask("local", "A").gets(REFUSED),
        ask(".", "NS").gets(REFUSED),
        ask("xservice.local", "A").gets(REFUSED),
        ask("one.service.localx", "A").gets(REFUSED),
        ask("example", "A").gets(REFUSED),
        ask("example.com", "A").edns(1232).gets(&["REFUSED qr 1/0/0/1", "opt 1232 ede=20"]),
    ];
    row_19_case_is_kept_and_means_nothing: [
        ask("oNe.SeRvIcE.LoCaL", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an oNe.SeRvIcE.LoCaL. 5 A 10.0.0.1"]),
        ask("WWW.corp.EXAMPLE", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an WWW.corp.EXAMPLE. 120 A 192.0.2.80"]),
        ask("HTTP.X.wILD.service.local", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an HTTP.X.wILD.service.local. 300 A 10.0.9.9"]),
    ];
    row_20_labels_of_other_kinds_are_malformed: [
        raw(&[&[0x40], &[b'a'; 64][..], b"\0"].concat(), 1).gets(FORMERR),
        raw(b"\x41ab\0", 1).gets(FORMERR),
        raw(b"\x80\0", 1).gets(FORMERR),
        raw(b"\x03one\x80", 1).gets(FORMERR),
    ];
    row_21_a_name_has_at_most_255_bytes: [
        raw(&long_name(255), 1).gets(NXDOMAIN),
        raw(&long_name(256), 1).gets(FORMERR),
        // As many labels as a name can have.
        raw(&[&b"\x01a".repeat(120)[..], b"\x07service\x05local\0"].concat(), 1).gets(NXDOMAIN),
        raw(&[&b"\x01a".repeat(127)[..], b"\0"].concat(), 1).gets(REFUSED),
        raw(&[&b"\x01a".repeat(128)[..], b"\0"].concat(), 1).gets(FORMERR),
    ];
    row_22_pointers_in_a_question_are_malformed: [
        raw(b"\xc0\x0c", 1).gets(FORMERR),
        raw(b"\xc0\x20", 1).gets(FORMERR),
        raw(b"\xc0\x00", 1).gets(FORMERR),
        raw(b"\x03one\xc0\x0c", 1).gets(FORMERR),
        raw(b"\xff\xff", 1).gets(FORMERR),
    ];
    row_23_labels_are_bytes: [
        raw(b"\x03\x00\xff.\x07service\x05local\0", 1).gets(NXDOMAIN),
        // One label that reads as two.
        raw(b"\x09one-1.one\x07service\x05local\0", 1).gets(NXDOMAIN),
        raw(b"\x0bone.service\x05local\0", 1).gets(REFUSED),
        raw(b"\x04one\0\x07service\x05local\0", 1).gets(NXDOMAIN),
        raw(b"\x01*\x07service\x05local\0", 1).gets(NXDOMAIN),
        // ASCII alone has case: 0xc9 and 0xe9 are the two E with an accent of Latin-1.
        raw(b"\x01\xc9\x01w\x04corp\x07example\0", 1)
            .gets(&["NOERROR qr aa 1/1/0/0", "an \\201.w.corp.example. 120 A 192.0.2.82"]),
    ];
}

impl Packet {
    /// Gets silence; over HTTP, where there is none, an error.
    fn no_query(self) -> Case {
        self.gets_over(Via::BARE, SILENCE).over(Via::REQUESTS, BAD_REQUEST)
    }
}

/// A name below `service.local` that is this long on the wire.
fn long_name(length: usize) -> Vec<u8> {
    let zone = b"\x07service\x05local\0";
    let mut name = Vec::new();
    let mut left = length - zone.len();
    while left > 0 {
        let label = left.min(61) - 1;
        name.push(u8::try_from(label).unwrap());
        name.extend(vec![b'a'; label]);
        left -= label + 1;
    }
    name.extend(zone);
    name
}
