//! Whole replies to queries with EDNS options, and to those of class CHAOS.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};

use crate::dns::fixture::{QueryBytes, Stand};
use crate::dns::rtype;
use crate::dns::transport::Transport;
use crate::model::{Conduct, RateLimit};

const CLIENT: &str = "192.0.2.1";
const ALL: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];

fn stand(conduct: Conduct) -> Stand {
    let web = r#"{"id":"web-1","addresses":["10.0.0.1"],"port":80}"#;
    Stand::new(&[("web", "{}", &[web])], &[]).with(conduct)
}

fn web() -> QueryBytes {
    QueryBytes::new("web.service.local.", rtype::A)
}

/// The data of an option in the reply.
fn option(reply: &[u8], code: u16) -> Option<Vec<u8>> {
    let message = Message::from_vec(reply).unwrap();
    match message.edns?.option(EdnsCode::from(code))? {
        EdnsOption::NSID(nsid) => Some(nsid.as_ref().to_vec()),
        EdnsOption::Unknown(_, data) => Some(data.clone()),
        other => panic!("{other:?}"),
    }
}

fn rcode(reply: &[u8]) -> ResponseCode {
    Message::from_vec(reply).unwrap().metadata.response_code
}

/// A COOKIE option of a client, with what it got from a server.
fn cookie(server: &[u8]) -> Vec<u8> {
    let length = u8::try_from(8 + server.len()).unwrap();
    [&[0, 10, 0, length][..], b"a client", server].concat()
}

#[test]
fn a_cookie_is_given_out_and_known_again() {
    let stand = stand(Conduct::default());

    for transport in ALL {
        let first = stand.reply(&web().opt(1232, 0, &cookie(b"")), CLIENT, transport);
        let given = option(&first, COOKIE).unwrap();
        let again = stand.reply(&web().opt(1232, 0, &cookie(&given[8..])), CLIENT, transport);

        assert_eq!((&given[..8], given.len()), (&b"a client"[..], 24));
        assert_eq!(option(&again, COOKIE), Some(given), "{transport:?}");
        assert_eq!((rcode(&first), rcode(&again)), (ResponseCode::NoError, ResponseCode::NoError));
    }
}

#[test]
fn a_bad_cookie_is_answered_with_a_good_one() {
    let stand = stand(Conduct::default());

    for server in [&[1; 8][..], &[1; 16], &[1; 32]] {
        let reply = stand.reply(&web().opt(1232, 0, &cookie(server)), CLIENT, Transport::Udp);

        let given = option(&reply, COOKIE).unwrap();
        assert_eq!((rcode(&reply), given.len()), (ResponseCode::NoError, 24));
        assert_ne!(&given[8..], server);
    }
}

#[test]
fn every_kind_of_reply_has_the_cookie() {
    let stand = stand(Conduct::default());
    let asks = |name, rtype| QueryBytes::new(name, rtype);

    for (packet, code) in [
        (asks("none.service.local.", rtype::A), ResponseCode::NXDomain),
        (asks("example.com.", rtype::A), ResponseCode::Refused),
        (asks("web.service.local.", rtype::AXFR), ResponseCode::Refused),
        (asks("id.server.", rtype::TXT).class(3), ResponseCode::NoError),
        (web().flags(0x28, 0), ResponseCode::NotImp),
    ] {
        let reply = stand.reply(&packet.opt(1232, 0, &cookie(b"")), CLIENT, Transport::Udp);

        assert_eq!((rcode(&reply), option(&reply, COOKIE).map(|c| c.len())), (code, Some(24)));
    }
}

#[test]
fn a_cookie_can_be_asked_for_alone() {
    let stand = stand(Conduct::default());
    let ask = |server: &[u8]| {
        let packet = QueryBytes::empty().opt(1232, 0, &cookie(server));
        stand.reply(&packet, CLIENT, Transport::Udp)
    };

    let first = ask(b"");
    let given = option(&first, COOKIE).unwrap();
    let (known, bad) = (ask(&given[8..]), ask(&[1; 16]));

    // RFC 7873 section 5.4.
    assert_eq!((rcode(&first), rcode(&known)), (ResponseCode::NoError, ResponseCode::NoError));
    assert_eq!(
        (rcode(&bad), option(&bad, COOKIE).map(|c| c.len())),
        (ResponseCode::BADCOOKIE, Some(24))
    );
    assert_eq!(first[4..12], [0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn without_cookies_the_option_is_unknown() {
    let stand = stand(Conduct { cookies: false, ..Conduct::default() });

    let reply = stand.reply(&web().opt(1232, 0, &cookie(b"")), CLIENT, Transport::Udp);
    let alone = QueryBytes::empty().opt(1232, 0, &cookie(b""));
    let alone = stand.reply(&alone, CLIENT, Transport::Udp);

    assert_eq!((rcode(&reply), option(&reply, COOKIE)), (ResponseCode::NoError, None));
    assert_eq!((rcode(&alone), option(&alone, COOKIE)), (ResponseCode::FormErr, None));
}

#[test]
fn servers_that_share_secrets_take_each_others_cookies() {
    let secrets = |hex: &[&str]| hex.iter().map(|hex| hex.repeat(16).parse().unwrap()).collect();
    let sharing = |hex| stand(Conduct { cookie_secrets: secrets(hex), ..Conduct::default() });
    let (old, new) = (sharing(&["0a", "0b"]), sharing(&["0b", "0a"]));
    let stranger = sharing(&["0c"]);

    let first = old.reply(&web().opt(1232, 0, &cookie(b"")), CLIENT, Transport::Udp);
    let given = option(&first, COOKIE).unwrap();
    let known = |stand: &Stand| {
        let alone = QueryBytes::empty().opt(1232, 0, &cookie(&given[8..]));
        rcode(&stand.reply(&alone, CLIENT, Transport::Udp)) == ResponseCode::NoError
    };

    assert_eq!((known(&old), known(&new), known(&stranger)), (true, true, false));
}

#[test]
fn keepalive_is_told_on_tcp_connections_to_who_asks() {
    let stand = stand(Conduct::default());

    for (transport, told) in [
        (Transport::Udp, None),
        (Transport::Tcp, Some(vec![0, 100])),
        (Transport::Tls, Some(vec![0, 100])),
        (Transport::Https, None),
        (Transport::Quic, None),
    ] {
        for asked in [&[0, 11, 0, 0][..], &[0, 11, 0, 2, 1, 44]] {
            let reply = stand.reply(&web().opt(1232, 0, asked), CLIENT, transport);
            assert_eq!(option(&reply, KEEPALIVE), told, "{transport:?}");
        }
        let reply = stand.reply(&web().opt(1232, 0, &[]), CLIENT, transport);
        assert_eq!(option(&reply, KEEPALIVE), None, "{transport:?}");
    }
}

#[test]
fn padding_fills_the_block_where_nobody_reads_along() {
    let stand = stand(Conduct::default());
    let names = ["web.service.local.", "none.service.local.", "example.com."];

    for transport in ALL {
        for name in names {
            let asked = QueryBytes::new(name, rtype::A).opt(1232, 0, &[0, 12, 0, 3, 0, 0, 0]);
            let reply = stand.reply(&asked, CLIENT, transport);

            let padding = option(&reply, PADDING);
            assert_eq!(padding.is_some(), transport.encrypted(), "{transport:?} {name}");
            let whole_blocks = reply.len().is_multiple_of(468);
            assert_eq!(whole_blocks, transport.encrypted(), "{transport:?} {name}");
            assert!(padding.unwrap_or_default().iter().all(|byte| *byte == 0));
        }
        let reply = stand.reply(&web().opt(1232, 0, &[]), CLIENT, transport);
        assert_eq!(option(&reply, PADDING), None, "{transport:?}");
    }
}

#[test]
fn all_options_fit_beside_the_longest_question() {
    let stand = stand(Conduct::default());
    let label = "x".repeat(63);
    let options = [
        &[0, 3, 0, 0, 0, 11, 0, 0, 0, 12, 0, 0, 0, 8, 0, 20, 0, 2, 128, 0][..],
        &[1; 16],
        &cookie(b""),
    ]
    .concat();

    for end in ["example", "service.local"] {
        let first = 253 - 3 * 64 - end.len() - 1;
        let name = format!("{}.{label}.{label}.{label}.{end}.", "y".repeat(first));
        for transport in ALL {
            let packet = QueryBytes::new(&name, rtype::A).opt(0, 0, &options);
            assert_eq!(packet.bytes().len(), 12 + 255 + 4 + 11 + options.len());

            let reply = stand.reply(&packet, CLIENT, transport);

            let message = Message::from_vec(&reply).unwrap();
            assert!(transport != Transport::Udp || reply.len() <= 512, "{}", reply.len());
            assert!(message.edns.is_some(), "{transport:?}");
            assert_eq!(option(&reply, COOKIE).map(|cookie| cookie.len()), Some(24));
        }
    }
}

#[test]
fn padding_never_makes_a_reply_too_long() {
    let instances: Vec<String> = (0..2_600)
        .map(|i| format!(r#"{{"id":"i-{i}","addresses":["10.{}.{}.1"]}}"#, i / 250, i % 250))
        .collect();
    for count in (2_500..2_600).step_by(7) {
        let instances: Vec<&str> = instances[..count].iter().map(String::as_str).collect();
        let stand = Stand::new(&[("web", r#"{"answer":"all"}"#, &instances)], &[]);
        let padded = web().opt(1232, 0, &[0, 12, 0, 0]);

        let reply = stand.reply(&padded, CLIENT, Transport::Tls);

        let message = Message::from_vec(&reply).unwrap();
        assert_eq!(reply.len() % 468, 0, "{count}");
        assert_eq!((message.answers.len(), message.metadata.truncation), (count, false));
    }
}

fn limited(per_address: u32, slip: u32) -> Stand {
    let rate_limit = RateLimit { per_address, per_prefix: 0, slip, exempt: Vec::new() };
    stand(Conduct { rate_limit, ..Conduct::default() })
}

#[test]
fn over_the_limit_udp_is_told_to_use_tcp() {
    let stand = limited(3, 1);
    let reply = |transport| {
        let packet = web().opt(1232, 0, &[]);
        let message = Message::from_vec(&stand.reply(&packet, "198.51.100.1", transport)).unwrap();
        let edns = message.edns.is_some();
        (message.answers.len(), message.metadata.truncation, message.metadata.response_code, edns)
    };
    let (answer, slip) =
        ((1, false, ResponseCode::NoError, true), (0, true, ResponseCode::NoError, true));

    assert_eq!(
        std::array::from_fn(|_| reply(Transport::Udp)),
        [answer, answer, answer, slip, slip]
    );
    for transport in [Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic] {
        assert_eq!(std::array::from_fn(|_| reply(transport)), [answer; 5]);
    }
}

#[test]
fn over_the_limit_who_knows_cookies_is_told_to_bring_one() {
    let stand = limited(3, 1);
    let ask = |server: &[u8]| {
        stand.reply(&web().opt(1232, 0, &cookie(server)), "198.51.100.1", Transport::Udp)
    };
    (0..3).for_each(|_| assert_eq!(rcode(&ask(b"")), ResponseCode::NoError));

    let refused = ask(&[9; 16]);
    let message = Message::from_vec(&refused).unwrap();
    let given = option(&refused, COOKIE).unwrap();

    assert_eq!(rcode(&refused), ResponseCode::BADCOOKIE);
    assert_eq!((message.answers.len(), message.metadata.truncation), (0, false));
    (0..10).for_each(|_| assert_eq!(rcode(&ask(&given[8..])), ResponseCode::NoError));
    assert_eq!(rcode(&ask(b"")), ResponseCode::BADCOOKIE);
}

#[test]
fn over_the_limit_without_slip_there_is_silence() {
    let stand = limited(3, 0);
    let asks = [
        web(),
        web().opt(1232, 0, &cookie(b"")),
        QueryBytes::new("id.server.", rtype::TXT).class(3),
        QueryBytes::empty(),
        QueryBytes::empty().opt(1232, 0, &cookie(b"")),
        web().flags(0x28, 0),
    ];
    let client = "198.51.100.1";
    (0..3).for_each(|_| drop(stand.reply(&web(), client, Transport::Udp)));

    for packet in asks {
        assert_eq!(stand.try_reply(&packet, client, Transport::Udp), None, "{packet:?}");
        assert!(stand.try_reply(&packet, client, Transport::Tcp).is_some(), "{packet:?}");
        assert!(stand.try_reply(&packet, "127.0.0.1", Transport::Udp).is_some(), "{packet:?}");
    }
}

#[test]
fn a_reply_over_the_limit_is_hardly_larger_than_its_query() {
    let stand = limited(1, 1);
    let client = "198.51.100.1";
    drop(stand.reply(&web(), client, Transport::Udp));

    for (packet, more) in [
        (web(), 0),
        (web().opt(1232, 0, &[]), 0),
        (web().opt(1232, 0, &[0, 3, 0, 0]), -4),
        (web().opt(1232, 0, &cookie(b"")), 16),
        (QueryBytes::empty(), 0),
        (web().flags(0x28, 0), 0),
    ] {
        let reply = stand.reply(&packet, client, Transport::Udp);
        assert_eq!(reply.len(), packet.bytes().len().strict_add_signed(more), "{packet:?}");
    }
}

/// The extended errors of a reply to an EDNS query: each its number and text.
fn error(stand: &Stand, name: &str, rtype: u16) -> Option<(u16, String)> {
    let packet = QueryBytes::new(name, rtype).opt(1232, 0, &[]);
    let data = option(&stand.reply(&packet, CLIENT, Transport::Udp), 15)?;
    let (code, text) = data.split_first_chunk::<2>().unwrap();
    Some((u16::from_be_bytes(*code), String::from_utf8(text.to_vec()).unwrap()))
}

#[test]
fn a_service_without_usable_instances_says_why() {
    let instance =
        |id, rest| format!(r#"{{"id":"{id}","addresses":["10.0.0.1"],"port":80,{rest}}}"#);
    let down = [
        instance("a", r#""status":"critical""#),
        instance("b", r#""status":"critical""#),
        instance("c", r#""admin":"draining","status":"critical""#),
        instance("d", r#""admin":"disabled""#),
    ];
    let down: Vec<&str> = down.iter().map(String::as_str).collect();
    let up = instance("a", r#""tags":["x"]"#);
    let stand =
        Stand::new(&[("down", "{}", &down), ("none", "{}", &[]), ("up", "{}", &[&up])], &[]);
    let down = (0, "no usable instance: 2 critical, 1 disabled, 1 draining".to_owned());

    for (name, rtype, expected) in [
        ("down.service.local.", rtype::A, Some(down.clone())),
        ("down.service.local.", rtype::AAAA, Some(down.clone())),
        ("down.service.local.", rtype::SRV, Some(down.clone())),
        ("down.service.local.", rtype::ANY, Some(down.clone())),
        ("x.tag.down.service.local.", rtype::A, Some(down.clone())),
        ("_down._tcp.service.local.", rtype::SRV, Some(down)),
        ("none.service.local.", rtype::A, Some((0, "no instance".to_owned()))),
        // These lack data for another reason.
        ("down.service.local.", rtype::MX, None),
        ("a.down.service.local.", rtype::AAAA, None),
        ("up.service.local.", rtype::A, None),
        ("up.service.local.", rtype::AAAA, None),
        ("y.tag.up.service.local.", rtype::A, None),
        ("nobody.service.local.", rtype::A, None),
        ("example.com.", rtype::A, Some((20, String::new()))),
    ] {
        assert_eq!(error(&stand, name, rtype), expected, "{name} {rtype}");
    }
    let plain = QueryBytes::new("down.service.local.", rtype::A);
    let message = stand.send(&plain, CLIENT);
    assert_eq!((message.edns, message.authorities.len()), (None, 1));
}

/// What a query of class CHAOS is told: its text, or its code.
fn told(stand: &Stand, name: &str, rtype: u16) -> String {
    let message = stand.send(&QueryBytes::new(name, rtype).class(3), CLIENT);
    assert!(message.authorities.is_empty(), "never an SOA of class IN");
    match &message.answers[..] {
        [record] => record.data.to_string(),
        [] => message.metadata.response_code.to_string(),
        more => panic!("{more:?}"),
    }
}

#[test]
fn the_server_says_of_itself_what_it_is_allowed_to() {
    let open = stand(Conduct { version: "signpost".into(), ..Conduct::default() });
    let usual = stand(Conduct::default());
    let closed = stand(Conduct { chaos: false, ..Conduct::default() });
    let refused = &ResponseCode::Refused.to_string()[..];

    for (name, rtype, by_open, by_usual, by_closed) in [
        ("id.server.", rtype::TXT, "ns1", "ns1", refused),
        ("hostname.bind.", rtype::TXT, "ns1", "ns1", refused),
        ("ID.Server.", rtype::ANY, "ns1", "ns1", refused),
        ("version.bind.", rtype::TXT, "signpost", refused, refused),
        ("version.server.", rtype::TXT, "signpost", refused, refused),
        ("id.server.", rtype::A, refused, refused, refused),
        ("authors.bind.", rtype::TXT, refused, refused, refused),
        ("web.service.local.", rtype::A, refused, refused, refused),
        (".", rtype::TXT, refused, refused, refused),
    ] {
        let all = [&open, &usual, &closed].map(|stand| told(stand, name, rtype));
        assert_eq!(all, [by_open, by_usual, by_closed], "{name} {rtype}");
    }
    let nsid = |stand: &Stand| {
        let packet = web().opt(1232, 0, &[0, 3, 0, 0]);
        option(&stand.reply(&packet, CLIENT, Transport::Udp), 3)
    };
    assert_eq!((nsid(&usual), nsid(&closed)), (Some(b"ns1".to_vec()), None));
}

const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
