//! The short way and the full handler give the same bytes, draw the same chance and count the same,
//! whatever is registered and whatever is asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::runtime::{Builder, Runtime};

use crate::dns::authority::Authority;
use crate::dns::fast::{Loaded, Scratch, answer};
use crate::dns::fixture::{QueryBytes, Stand, localities, served};
use crate::dns::front::Desk;
use crate::dns::name::Name;
use crate::dns::rate_limit::Verdict;
use crate::dns::rtype;
use crate::dns::served::Served;
use crate::dns::transport::{Peer, Transport};
use crate::model::{Conduct, Millis, RateLimit};

/// Services as JSON: a name, settings, instances.
type Service = (String, String, Vec<String>);

/// What is around the services.
#[derive(Debug, Clone)]
struct Around {
    zone_files: Vec<&'static str>,
    aliases: bool,
    limited: bool,
    localities: bool,
}

/// One packet, from whom, and how long after the one before.
#[derive(Debug, Clone)]
struct Sent {
    packet: Vec<u8>,
    client: &'static str,
    after: u64,
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(words)
}

fn settings() -> impl Strategy<Value = String> {
    (
        word(&[
            "round_robin",
            "random",
            "weighted_round_robin",
            "least_connections",
            "consistent_hash",
        ]),
        word(&["auto", "auto", "all", "subset", "sticky_subset", "ordered", "single"]),
        word(&["0s", "1s", "1500ms", "5s", "1h"]),
        select(&[1, 2, 4, 8, 8, 8, 60, 4096][..]),
        word(&["active", "all"]),
        select(&[65_535, 1, 100][..]),
        word(&["prefer", "prefer", "prefer", "off"]),
        word(&[
            "",
            "",
            r#","panic":0.9"#,
            r#","panic":0.9,"panic_mode":"closed""#,
            r#","panic":0.9,"panic_mode":"last_good""#,
        ]),
    )
        .prop_map(|(balance, answer, ttl, most, tiers, weight, locality, panic)| {
            format!(
                r#"{{"balance":"{balance}","answer":"{answer}","ttl":"{ttl}","max_answers":{most},
                    "srv_tiers":"{tiers}","srv_weight_max":{weight},"locality":"{locality}"{panic}}}"#
            )
        })
}

/// Addresses come from a small range, so that instances share some.
fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..200_u8).prop_map(|i| format!("\"10.0.0.{i}\"")),
        1 => (0..20_u8).prop_map(|i| format!("\"2001:db8::{i}:1\"")),
    ]
}

fn instance() -> impl Strategy<Value = String> {
    let rest = word(&["", "", "", r#","admin":"draining""#, r#","status":"critical""#]);
    let lease = word(&["null", "null", r#""1s""#, r#""3s""#, r#""7s""#, r#""30s""#]);
    let ports = word(&[
        "[]",
        r#"[{"port":80}]"#,
        r#"[{"name":"http","port":80},{"name":"dns","port":53,"protocol":"udp"}]"#,
        r#"[{"name":"dns","port":53,"protocol":"udp"},{"name":"http","port":8080}]"#,
        r#"[{"name":"http","port":80}]"#,
    ]);
    let tier = select(&[0, 0, 0, 1, 700][..]);
    let locality = word(&[
        "{}",
        "{}",
        r#"{"region":"eu","zone":"eu-1a"}"#,
        r#"{"region":"eu","zone":"eu-1b"}"#,
        r#"{"region":"eu"}"#,
        r#"{"zone":"eu-1a"}"#,
        r#"{"region":"us","zone":"us-1"}"#,
    ]);
    (vec(address(), 1..=3), 1..6_u16, tier, ports, lease, rest, locality).prop_map(
        |(mut addresses, weight, tier, ports, lease, rest, locality)| {
            addresses.sort();
            addresses.dedup();
            format!(
                r#""addresses":[{}],"weight":{weight},"tier":{tier},"ports":{ports},
                   "ttl":{lease},"locality":{locality}{rest}"#,
                addresses.join(",")
            )
        },
    )
}

fn services() -> impl Strategy<Value = Vec<Service>> {
    let number = prop_oneof![3 => 0..6_usize, 2 => 6..14_usize, 1 => 14..70_usize];
    let long = prop::bool::weighted(0.1);
    let service = (settings(), number, long).prop_flat_map(|(settings, number, long)| {
        (Just(settings), vec(instance(), number), Just(long))
    });
    vec(service, SERVICES.len()).prop_map(|services| {
        let named = SERVICES.iter().zip(services);
        let service = |(name, (settings, instances, long)): (&&str, (_, Vec<String>, bool))| {
            let tail = if long { "x".repeat(58) } else { String::new() };
            let instances = instances.into_iter().enumerate();
            let instances =
                instances.map(|(i, fields)| format!(r#"{{"id":"i{i}{tail}",{fields}}}"#));
            ((*name).to_owned(), settings, instances.collect())
        };
        named.map(service).collect()
    })
}

fn around() -> impl Strategy<Value = Around> {
    let all = vec![OWN, OTHER, BELOW];
    let files = select(vec![vec![], vec![], vec![OWN], vec![NEAR], vec![OTHER], vec![BELOW], all]);
    (files, any::<bool>(), prop::bool::weighted(0.2), any::<bool>()).prop_map(
        |(zone_files, aliases, limited, localities)| Around {
            zone_files,
            aliases,
            limited,
            localities,
        },
    )
}

fn name() -> impl Strategy<Value = String> {
    let service = || select(SERVICES);
    let relative = prop_oneof![
        6 => service().prop_map(str::to_owned),
        2 => service().prop_map(|service| format!("_http._tcp.{service}")),
        2 => service().prop_map(|service| format!("_dns._udp.{service}")),
        1 => service().prop_map(|service| format!("_{service}._tcp")),
        1 => service().prop_map(|service| format!("_{service}._udp")),
        1 => service().prop_map(|service| format!("i0.{service}")),
        1 => (word(OTHER_LABELS), service()).prop_map(|(label, service)| format!("{label}.{service}")),
        1 => word(OTHER_LABELS).prop_map(str::to_owned),
    ];
    (relative, word(APEXES)).prop_map(|(relative, apex)| format!("{relative}.{apex}"))
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let rtype = select(&[1, 1, 1, 28, 28, 33, 33, 33, 16, 65, 255, 12, 43][..]);
    let flags = (select(&[0, 0, 1, 1, 2, 4, 0x80, 0x28][..]), select(&[0, 0, 0x20, 0xff][..]));
    let class = prop_oneof![20 => Just(1_u16), 1 => Just(255), 1 => Just(3)];
    let size = select(&[0, 511, 512, 513, 600, 1231, 1232, 1233, 4096, 65_535][..]);
    let ttl = select(&[0, 0x8000, 0x8000, 0xff00_7fff, 0x0001_0000][..]);
    let options =
        select(vec![vec![], vec![], vec![], vec![0, 3, 0, 0], vec![0, 8, 0, 4, 0, 1, 0, 0]]);
    let opt = prop::option::weighted(0.7, (size, ttl, options));
    let trailing = prop_oneof![20 => Just(vec![]), 1 => vec(any::<u8>(), 1..30)];
    let case = any::<u64>();
    let changes = prop_oneof![4 => Just(vec![]), 1 => vec((any::<Index>(), any::<u8>()), 1..4)];
    (name(), rtype, flags, class, opt, trailing, case, changes).prop_map(
        |(name, rtype, flags, class, opt, trailing, case, changes)| {
            let lift = |(i, c): (usize, char)| match case >> (i % 64) & 1 {
                0 => c,
                _ => c.to_ascii_uppercase(),
            };
            let name: String = name.chars().enumerate().map(lift).collect();
            let mut query = QueryBytes::new(&name, rtype).flags(flags.0, flags.1).class(class);
            if let Some((size, ttl, options)) = opt {
                query = query.opt(size, ttl, &options);
            }
            let mut packet = query.trailing(&trailing).bytes();
            for (at, byte) in changes {
                let at = at.index(packet.len());
                packet[at] = byte;
            }
            packet
        },
    )
}

fn sent() -> impl Strategy<Value = Sent> {
    let client = word(&["127.0.0.1", "192.0.2.1", "192.0.2.77", "2001:db8::1"]);
    let after = select(&[0, 0, 0, 1, 300, 999, 1_000, 4_000][..]);
    (packet(), client, after).prop_map(|(packet, client, after)| Sent { packet, client, after })
}

fn stand(services: &[Service], around: &Around) -> Stand {
    let services: Vec<(&str, &str, Vec<&str>)> = services
        .iter()
        .map(|(name, settings, instances)| {
            (&**name, &**settings, instances.iter().map(|i| &**i).collect())
        })
        .collect();
    let services: Vec<(&str, &str, &[&str])> =
        services.iter().map(|(name, settings, of)| (*name, *settings, &of[..])).collect();
    let stand = Stand::new(&services, &[]);
    let alias = |apex: &str| {
        let apex = Name::from_text(apex, None).unwrap();
        let own_name = Name::from_text("ns1", Some(&apex)).unwrap();
        let home = served("service.local.", &[]).home;
        Authority { own_name, name_servers: vec![own_name], primary: own_name, apex, ..home }
    };
    let usual = served("service.local.", &around.zone_files);
    let limit = RateLimit { per_address: 5, per_prefix: 8, ..RateLimit::default() };
    let conduct = match around.limited {
        true => Conduct { rate_limit: limit, ..Conduct::default() },
        false => usual.conduct.clone(),
    };
    let aliases = if around.aliases { vec![alias("svc."), alias(LONG_APEX)] } else { Vec::new() };
    let localities = localities(if around.localities { LOCALITIES } else { &[] });
    stand.front.serve(Served { conduct, aliases, localities, ..usual });
    stand
}

/// A runtime whose clock stands still unless told otherwise.
fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn both_ways_are_one(
        services in services(),
        around in around(),
        sent in vec(sent(), 60),
        seed in any::<u64>(),
    ) {
        let runtime = paused();
        let _entered = runtime.enter();
        let (short, long) = (stand(&services, &around), stand(&services, &around));
        let rng = SmallRng::seed_from_u64(seed);
        let mut desks = (Desk::new(rng.clone()), Desk::unhurried(rng));
        let mut replies = (Vec::new(), Vec::new());

        for Sent { packet, client, after } in sent {
            runtime.block_on(tokio::time::advance(Duration::from_millis(after)));
            let source = SocketAddr::new(client.parse().unwrap(), 5353);
            let peer = Peer { transport: Transport::Udp, source };
            let sends = (
                short.front.handle_at(&mut desks.0, &packet, peer, &mut replies.0),
                long.front.handle_at(&mut desks.1, &packet, peer, &mut replies.1),
            );

            prop_assert_eq!(sends.0, sends.1);
            if sends.0 {
                prop_assert_eq!(&replies.0, &replies.1, "{:?} from {}", packet, client);
            }
            prop_assert_eq!(format!("{:?}", desks.0.rng()), format!("{:?}", desks.1.rng()));
        }

        let counted = |stand: &Stand| format!("{:?}", stand.front.metrics());
        prop_assert_eq!(counted(&short), counted(&long));
    }
}

/// The TTL of the answer to an A query for `web`, at each tenth of a second of 8.
fn ttls(desk: Desk, instances: &[String]) -> Vec<u32> {
    let runtime = paused();
    let _entered = runtime.enter();
    let instances: Vec<&str> = instances.iter().map(|json| &**json).collect();
    let settings = r#"{"ttl":"5s","answer":"all","max_answers":100}"#;
    let stand = Stand::new(&[("web", settings, &instances)], &[]);
    let query = QueryBytes::new("web.service.local.", rtype::A).opt(1232, 0, &[]).bytes();
    let peer = Peer { transport: Transport::Udp, source: (Ipv4Addr::LOCALHOST, 5353).into() };
    let (mut desk, mut reply) = (desk, Vec::new());
    let ttl = |_| {
        assert!(stand.front.handle_at(&mut desk, &query, peer, &mut reply));
        runtime.block_on(tokio::time::advance(Duration::from_millis(100)));
        // Behind the OPT record, the question and six bytes of the first record.
        let at = query.len() - 11 + 6;
        u32::from_be_bytes(*reply[at..].first_chunk().unwrap())
    };
    (0..80).map(ttl).collect()
}

#[test]
fn a_ttl_is_that_of_the_service_or_what_is_left_of_the_shortest_lease() {
    let instance = |i: usize, lease: &str| {
        format!(r#"{{"id":"i{i}","addresses":["10.0.0.{i}"],"port":80,"ttl":{lease}}}"#)
    };
    let expected: Vec<u32> =
        (0..80_u32).map(|i| (70_u32.saturating_sub(i) / 10).clamp(1, 5)).collect();

    // Few are looked at together, many by each answer.
    for others in [1, 4, 70] {
        let mut instances: Vec<String> = (1..=others).map(|i| instance(i, r#""60s""#)).collect();
        instances[others / 2] = instance(others / 2 + 1, r#""7s""#);
        let rng = SmallRng::seed_from_u64(1);

        assert_eq!(ttls(Desk::new(rng.clone()), &instances), expected, "{others}");
        assert_eq!(ttls(Desk::unhurried(rng), &instances), expected, "{others}");
    }
}

/// Whether the short way takes the question.
fn is_common(stand: &Stand, query: &QueryBytes) -> bool {
    let served = stand.front.served();
    let (views, now) = (stand.registry.views().pin(), Millis(1_000));
    let loaded = Loaded { served: &served, views: &views, now };
    let (mut rng, mut scratch) = (SmallRng::seed_from_u64(1), Scratch::default());
    let (source, limit) = (Ipv4Addr::LOCALHOST.into(), |_: &mut SmallRng| Verdict::Answer);
    let (bytes, mut reply) = (query.bytes(), Vec::new());
    answer(&bytes, source, &loaded, limit, &mut rng, &mut scratch, &mut reply).is_some()
}

#[test]
fn common_questions_are_taken_and_others_are_not() {
    let instances = [
        r#"{"id":"i0","addresses":["10.0.0.1"],"ports":[{"name":"http","port":80}]}"#,
        r#"{"id":"i1","addresses":["10.0.0.2","2001:db8::1"],"ports":[{"name":"http","port":80}]}"#,
    ];
    let stand = Stand::new(&[("web", "{}", &instances)], &[]);
    let query = |name: &str, rtype| QueryBytes::new(name, rtype);
    // Pools of a named port are built when somebody asks.
    stand.ask("_web._tcp.service.local.", rtype::SRV);
    stand.ask("_http._tcp.web.service.local.", rtype::SRV);
    let (web, plain) = (query("wEb.SERVICE.local.", rtype::A), [0x04, 0xd0]);

    for taken in [
        web.clone(),
        web.clone().flags(1, 0x10),
        web.clone().opt(u16::from_be_bytes(plain), 0x8000, &[]),
        query("web.service.local.", rtype::AAAA),
        query("web.service.local.", rtype::SRV),
        query("_web._tcp.service.local.", rtype::SRV),
        query("_http._tcp.web.service.local.", rtype::SRV),
    ] {
        assert!(is_common(&stand, &taken), "{taken:?}");
    }
    for left in [
        web.clone().opt(1232, 0, &[0, 3, 0, 0]),
        web.clone().opt(1232, 0x0001_0000, &[]),
        web.clone().class(3),
        web.clone().flags(0x80, 0),
        web.trailing(&[0]),
        query("web.service.local.", rtype::TXT),
        query("nope.service.local.", rtype::A),
        query("ns1.service.local.", rtype::A),
        query("service.local.", rtype::A),
        query("web.", rtype::A),
        QueryBytes::empty(),
    ] {
        assert!(!is_common(&stand, &left), "{left:?}");
    }
}

#[test]
fn a_client_with_edns_is_told_of_a_panic() {
    let instances = [
        r#"{"id":"i0","addresses":["10.0.0.1"],"port":80,"weight":2}"#,
        r#"{"id":"i1","addresses":["10.0.0.2"],"port":80,"weight":3,"status":"critical"}"#,
    ];
    let stand = Stand::new(&[("web", r#"{"panic":0.5}"#, &instances)], &[]);
    let query = |name: &str, rtype| QueryBytes::new(name, rtype);
    let told = |query: QueryBytes| {
        let message = stand.send(&query.opt(1232, 0, &[]), "192.0.2.1");
        let error = message.edns.as_ref().unwrap().option(EdnsCode::from(15)).cloned();
        (message.answers.len(), error)
    };
    // Code 0: other.
    let said = b"\0\0panic: open, 2 of 5 healthy by weight".to_vec();
    let said = Some(EdnsOption::Unknown(15, said));

    for rtype in [rtype::A, rtype::SRV] {
        let web = query("web.service.local.", rtype);
        assert!(is_common(&stand, &web), "without EDNS nobody is told");
        assert!(!is_common(&stand, &web.clone().opt(1232, 0, &[])));
        assert_eq!(told(web), (2, said.clone()));
    }
    assert_eq!(told(query("web.service.local.", rtype::AAAA)), (0, said));
    // Its own name is answered whatever its health.
    assert_eq!(told(query("i1.web.service.local.", rtype::A)), (1, None));
    assert_eq!(told(query("web.service.local.", 43)), (0, None));
}

#[test]
fn common_questions_are_taken_from_every_locality_that_asked_before() {
    let instances = [
        r#"{"id":"i0","addresses":["10.0.0.1"],"locality":{"region":"eu"}}"#,
        r#"{"id":"i1","addresses":["10.0.0.2"]}"#,
    ];
    let stand = Stand::new(&[("web", "{}", &instances)], &[]);
    let web = QueryBytes::new("web.service.local.", rtype::A);
    assert!(is_common(&stand, &web), "nobody is anywhere");

    let stand = stand.at(&[("127.0.0.0/8", "eu", ""), ("192.0.2.0/24", "us", "")]);

    assert!(!is_common(&stand, &web), "the first one there");
    stand.send(&web, "192.0.2.1");
    assert!(!is_common(&stand, &web), "from elsewhere");
    stand.send(&web, "127.0.0.9");
    assert!(is_common(&stand, &web));
}

#[test]
fn what_is_a_byte_too_long_for_a_name_is_left_to_the_full_handler() {
    let instance = r#"{"id":"i0","addresses":["10.0.0.1"]}"#;
    let service = "s".repeat(55);
    let stand = Stand::new(&[(&service, "{}", &[instance])], &[]);
    for (last, taken) in [(5, true), (6, false)] {
        // Registered when there was no alias as long as this.
        let labels = [63, 63, 63, last].map(|length| "a".repeat(length));
        let apex = Name::from_text(&(labels.join(".") + "."), None).unwrap();
        let usual = served("service.local.", &[]);
        let alias = Authority { apex, ..usual.home.clone() };
        stand.front.serve(Served { aliases: vec![alias], ..usual });
        let question = [&[55], service.as_bytes(), apex.wire(), &[0, 1, 0, 1]].concat();

        assert_eq!(is_common(&stand, &QueryBytes::raw(&question)), taken, "{last}");
    }
}

/// Where the clients are; not all of them are anywhere.
const LOCALITIES: &[(&str, &str, &str)] = &[
    ("192.0.2.0/24", "eu", ""),
    ("192.0.2.64/26", "eu", "eu-1a"),
    ("2001:db8::/32", "us", "us-9"),
];

const SERVICES: &[&str] =
    &["web", "db", "a-long-name-of-a-service-that-is-nearly-as-long-as-labels-can"];

const OTHER_LABELS: &[&str] = &[
    "ns1",
    "tag",
    "a.tag",
    "x.key",
    "nope",
    "_dns-sd._udp",
    "_services._dns-sd._udp",
    "_tcp",
    "_web",
    "static",
    "x.wild",
    "_http._tcp",
    "sub",
    "x.sub",
    "_http._tcp.tag",
    "_._tcp",
    // Labels that hold what an apex looks like.
    "\\003web\\007service\\005local",
    "web\\007service\\005local\\000",
    "a\\003svc\\000",
];

const APEXES: &[&str] = &[
    "service.local.",
    "service.local.",
    "service.local.",
    "svc.",
    LONG_APEX,
    "example.com.",
    "local.",
];

const LONG_APEX: &str = "a-rather-long-label-in-an-alias-that-is.there-to-make-names.long-enough-for-the-limit.of-what-fits-a-name.so-that-targets-do-not-fit.in-all-of-their-glory.example.";

/// Static records among the registry's names; one takes `db` from it.
const OWN: &str = "$ORIGIN service.local.\n$TTL 60\nstatic A 192.0.2.9\n*.wild A 192.0.2.10\n\
    db A 192.0.2.11\nx._tcp TXT a\n";
/// Others that come close: one gives `db` away, and wildcards, which registered names are not for.
const NEAR: &str = "$ORIGIN service.local.\n$TTL 60\ndb NS ns.else.\n* CNAME web\n\
    *.sub A 192.0.2.10\n";
/// A zone that has nothing to do with ours.
const OTHER: &str = "$ORIGIN example.com.\n$TTL 60\n@ SOA ns h 1 2 3 4 5\nweb A 192.0.2.12\n";
/// A zone below ours.
const BELOW: &str = "$ORIGIN web.service.local.\n$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ A 192.0.2.13\n";
