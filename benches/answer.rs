//! What an answer costs from packet to packet: parse, resolve, encode. No sockets.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use signpost::dns::authority::Authority;
use signpost::dns::front::Front;
use signpost::dns::name::Name;
use signpost::dns::reverse::Reverse;
use signpost::dns::served::Served;
use signpost::dns::transport::{Peer, Transport};
use signpost::dns::zones::{self, SoaTimers, Zones};
use signpost::model::{
    Conduct, Declared, DeclaredService, Image, Instance, Limits, RateLimit, ServiceName,
};
use signpost::registry::{Names, Policy, Registry};
use tokio::sync::mpsc;

fn instance(i: usize) -> Instance {
    let json = format!(
        r#"{{"id":"web-{i}","addresses":["10.{}.{}.{}"],"ports":[{{"name":"http","port":80}}],
            "ttl":null}}"#,
        i / 62_500,
        i / 250 % 250,
        i % 250 + 1
    );
    serde_json::from_str(&json).expect("a legal instance")
}

fn front(n: usize) -> Front {
    let web =
        DeclaredService { instances: (0..n).map(instance).collect(), ..DeclaredService::default() };
    let service = ServiceName::new("web").expect("a legal name");
    front_of([(service, web)].into(), Zones::default(), Reverse::default())
}

fn front_of(
    services: BTreeMap<ServiceName, DeclaredService>,
    zones: Zones,
    reverse: Reverse,
) -> Front {
    let policy = Policy {
        declared: Arc::new(Declared { services, ..Declared::default() }),
        limits: Limits::default(),
        forget_after: Duration::from_secs(600),
    };
    let names = Names { zone_length: 13, server: "ns1".into() };
    let (registry, _engine) = Registry::new(Image::default(), policy, names, mpsc::channel(1).0);
    let name = |text: &str| Name::from_text(text, None).expect("a legal name");
    let served = Served {
        home: Authority {
            apex: name("service.local."),
            own_name: name("ns1.service.local."),
            name_servers: vec![name("ns1.service.local.")],
            primary: name("ns1.service.local."),
            soa: SoaTimers {
                rname: name("hostmaster.service.local."),
                refresh: 3600,
                retry: 600,
                expire: 86_400,
            },
        },
        aliases: Vec::new(),
        identity: "ns1".into(),
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        zones,
        reverse,
        default_ttl: 5,
        negative_ttl: 1,
        client_prefix: (24, 56),
        // More than any bench can ask for: the table is gone through, and nobody is limited.
        conduct: Conduct {
            rate_limit: RateLimit {
                per_address: u32::MAX,
                per_prefix: u32::MAX,
                ..RateLimit::default()
            },
            ..Conduct::default()
        },
    };
    Front::new(registry, served)
}

fn query(name: &str, rtype: u16) -> Vec<u8> {
    let mut packet = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    packet.extend(Name::from_text(name, None).expect("a legal name").wire());
    packet.extend(rtype.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    packet
}

fn answers(c: &mut Criterion) {
    let peer = Peer { transport: Transport::Udp, source: SocketAddr::from(([127, 0, 0, 1], 4000)) };
    let mut group = c.benchmark_group("packet to packet");
    for (label, n, name, rtype) in [
        ("A, all of 4", 4, "web.service.local.", 1),
        ("A, 8 of 1000", 1_000, "web.service.local.", 1),
        ("SRV with glue, 10", 10, "_http._tcp.web.service.local.", 33),
        ("NXDOMAIN", 4, "nope.service.local.", 1),
        ("REFUSED", 4, "example.com.", 1),
    ] {
        let front = front(n);
        let packet = query(name, rtype);
        let mut reply = Vec::new();
        group.bench_function(label, |b| {
            b.iter(|| front.handle(black_box(&packet), peer, &mut reply));
        });
    }
    // A client that may not be where it says, without a cookie and with a valid one.
    let peer = Peer { source: SocketAddr::from(([192, 0, 2, 1], 4000)), ..peer };
    let (front, mut reply) = (front(4), Vec::new());
    let plain = query("web.service.local.", 1);
    group.bench_function("A, all of 4, to a stranger", |b| {
        b.iter(|| front.handle(black_box(&plain), peer, &mut reply));
    });
    let with_cookie = |cookie: &[u8]| {
        let length = u8::try_from(cookie.len()).expect("a cookie is short");
        let (packet, _) = plain.split_at(plain.len() - 2);
        [packet, &[0, length + 4, 0, 10, 0, length], cookie].concat()
    };
    front.handle(&with_cookie(b"a client"), peer, &mut reply);
    // The cookie is the last option of the last record.
    let known = with_cookie(&reply[reply.len() - 24..]);
    group.bench_function("A, all of 4, by cookie", |b| {
        b.iter(|| front.handle(black_box(&known), peer, &mut reply));
    });
    group.finish();
}

/// What a name costs among very many: one that is there, and one that is not.
fn among_many(c: &mut Criterion) {
    let peer = Peer { transport: Transport::Udp, source: SocketAddr::from(([127, 0, 0, 1], 4000)) };
    let folder = tempfile::tempdir().expect("a folder for a zone file");
    let path = folder.path().join("many.zone");
    let mut text = "$ORIGIN example.org.\n$TTL 60\n@ SOA ns h 1 2 3 4 5\n".to_owned();
    (0..MANY).for_each(|i| text += &format!("n{i} A 10.0.0.1\n"));
    std::fs::write(&path, text).expect("room for a zone file");
    let apex = Name::from_text("service.local.", None).expect("a legal name");
    let zones = zones::load(&[path], &apex).expect("a legal zone file");
    let services = (0..MANY).map(|i| {
        let service =
            DeclaredService { instances: vec![instance(i)], ..DeclaredService::default() };
        (ServiceName::new(&format!("s{i}")).expect("a legal name"), service)
    });
    let range = "10.0.0.0/8".parse().expect("a legal range");
    let reverse = Reverse::new(vec![range]);
    let front = front_of(services.collect(), zones, reverse);
    let mut group = c.benchmark_group("among 100,000 names");
    for (label, name, rtype) in [
        ("service", "s77777.service.local.", 1),
        ("no service", "s777777.service.local.", 1),
        ("static", "n77777.example.org.", 1),
        ("not static", "n777777.example.org.", 1),
        ("address", "28.61.1.10.in-addr.arpa.", 12),
        ("no address", "28.61.9.10.in-addr.arpa.", 12),
        ("types of service", "_services._dns-sd._udp.service.local.", 12),
    ] {
        let packet = query(name, rtype);
        let mut reply = Vec::new();
        group.bench_function(label, |b| {
            b.iter(|| front.handle(black_box(&packet), peer, &mut reply));
        });
    }
    group.finish();
}

const MANY: usize = 100_000;

criterion_group!(benches, answers, among_many);
criterion_main!(benches);
