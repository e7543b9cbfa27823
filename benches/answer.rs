//! What an answer costs from packet to packet: parse, resolve, encode. No sockets.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use signpost::config::Config;
use signpost::dns::front::Front;
use signpost::dns::name::Name;
use signpost::dns::transport::{Peer, Transport};
use signpost::model::{DeclaredService, Instance, RateLimit, ServiceName};
use signpost::server::still;

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
    front_of(Config::default(), [(service, web)].into())
}

fn front_of(mut config: Config, services: BTreeMap<ServiceName, DeclaredService>) -> Front {
    config.live.declared.services = services;
    // More than any bench can ask for: the table is gone through, and nobody is limited.
    config.live.conduct.rate_limit =
        RateLimit { per_address: u32::MAX, per_prefix: u32::MAX, ..RateLimit::default() };
    still(&config).expect("a legal configuration")
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
    let mut config = Config::default();
    config.live.zones = vec![path];
    config.live.reverse = vec!["10.0.0.0/8".parse().expect("a legal range")];
    let services = (0..MANY).map(|i| {
        let service =
            DeclaredService { instances: vec![instance(i)], ..DeclaredService::default() };
        (ServiceName::new(&format!("s{i}")).expect("a legal name"), service)
    });
    let front = front_of(config, services.collect());
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
