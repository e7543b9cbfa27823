//! What the tests of this module share: query packets, good and bad, and a front to send them to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Message;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;

use crate::dns::authority::Authority;
use crate::dns::front::Front;
use crate::dns::name::Name;
use crate::dns::reverse::Reverse;
use crate::dns::rtype;
use crate::dns::served::Served;
use crate::dns::transport::{Peer, Transport};
use crate::dns::zones::{self, SoaTimers};
use crate::model::{
    Admin, Conduct, Declared, DeclaredService, HealthPolicy, Image, InstanceSpec, Label, Limits,
    Localities, Locality, RateLimit, ServiceName, Share,
};
use crate::registry::{Names, Policy, Registry};

/// A query under construction: ID 0x1234, one question of class IN unless told otherwise.
#[derive(Debug, Clone)]
pub(crate) struct QueryBytes {
    flags: [u8; 2],
    counts: [u16; 4],
    question: Vec<u8>,
    rest: Vec<u8>,
}

impl QueryBytes {
    pub(crate) fn new(name: &str, rtype: u16) -> Self {
        let mut question = Name::from_text(name, None).unwrap().wire().to_vec();
        question.extend(rtype.to_be_bytes());
        question.extend([0, 1]);
        Self::raw(&question)
    }

    /// A question section of these bytes.
    pub(crate) fn raw(question: &[u8]) -> Self {
        Self { flags: [0; 2], counts: [1, 0, 0, 0], question: question.to_vec(), rest: Vec::new() }
    }

    /// No question at all.
    pub(crate) fn empty() -> Self {
        Self::raw(&[]).counts([0; 4])
    }

    pub(crate) fn flags(mut self, first: u8, second: u8) -> Self {
        self.flags = [first, second];
        self
    }

    pub(crate) fn counts(mut self, counts: [u16; 4]) -> Self {
        self.counts = counts;
        self
    }

    pub(crate) fn class(mut self, class: u16) -> Self {
        let end = self.question.len() - 2;
        self.question[end..].copy_from_slice(&class.to_be_bytes());
        self
    }

    pub(crate) fn opt(mut self, payload: u16, ttl: u32, options: &[u8]) -> Self {
        self.counts[3] += 1;
        self.rest.push(0);
        self.rest.extend(rtype::OPT.to_be_bytes());
        self.rest.extend(payload.to_be_bytes());
        self.rest.extend(ttl.to_be_bytes());
        self.rest.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
        self.rest.extend(options);
        self
    }

    pub(crate) fn trailing(mut self, bytes: &[u8]) -> Self {
        self.rest.extend(bytes);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, self.flags[0], self.flags[1]];
        bytes.extend(self.counts.into_iter().flat_map(u16::to_be_bytes));
        bytes.extend(&self.question);
        bytes.extend(&self.rest);
        bytes
    }
}

/// A front over declared services and zone files, with no engine behind it: nothing changes.
pub(crate) struct Stand {
    pub(crate) front: Front,
    pub(crate) registry: Registry,
}

impl Stand {
    /// `services` are name, settings and instances, as JSON; the server's zone is service.local.
    pub(crate) fn new(services: &[(&str, &str, &[&str])], zone_files: &[&str]) -> Self {
        Self::of("service.local.", services, zone_files)
    }

    /// The same with another apex.
    pub(crate) fn of(apex: &str, services: &[(&str, &str, &[&str])], zone_files: &[&str]) -> Self {
        let services = services.iter().map(|(name, settings, instances)| {
            let settings = serde_json::from_str(settings).unwrap();
            let instances = instances.iter().map(|json| {
                let spec: InstanceSpec = serde_json::from_str(json).unwrap();
                spec.clone().build(spec.id.unwrap(), None, Admin::Enabled).unwrap()
            });
            let instances = instances.collect();
            (ServiceName::new(name).unwrap(), DeclaredService { settings, instances })
        });
        let declared = Declared { services: services.collect(), ..Declared::default() };
        let policy = Policy {
            declared: Arc::new(declared),
            limits: Limits::default(),
            forget_after: Duration::from_secs(600),
            reverse: vec!["10.0.0.0/8".parse().unwrap()],
            health: HealthPolicy::default(),
            protect: Share::default(),
        };
        let names = Names { zone_length: apex.len() - 1, server: "ns1".into() };
        let (commits, rng) = (mpsc::channel(1).0, SmallRng::seed_from_u64(1));
        let (registry, _) = Registry::seeded(Image::default(), policy, names, commits, rng);
        let front = Front::new(registry.clone(), served(apex, zone_files));
        Self { front, registry }
    }

    /// The reply to a packet from this client over UDP; it must be well-formed and fit.
    pub(crate) fn send(&self, packet: &QueryBytes, client: &str) -> Message {
        Message::from_vec(&self.reply(packet, client, Transport::Udp)).unwrap()
    }

    /// Treats clients otherwise, and serves no zone files.
    pub(crate) fn with(self, conduct: Conduct) -> Self {
        self.front.serve(Served { conduct, ..served("service.local.", &[]) });
        self
    }

    /// Knows where clients are, by network, region and zone; serves no zone files.
    pub(crate) fn at(self, networks: &[(&str, &str, &str)]) -> Self {
        let localities = localities(networks);
        self.front.serve(Served { localities, ..served("service.local.", &[]) });
        self
    }

    /// The bytes of a reply.
    pub(crate) fn reply(&self, packet: &QueryBytes, client: &str, transport: Transport) -> Vec<u8> {
        self.try_reply(packet, client, transport).unwrap()
    }

    /// The bytes of a reply, if there is one.
    pub(crate) fn try_reply(
        &self,
        packet: &QueryBytes,
        client: &str,
        transport: Transport,
    ) -> Option<Vec<u8>> {
        let source = SocketAddr::new(client.parse().unwrap(), 5353);
        let mut reply = Vec::new();
        let answered = self.front.handle(&packet.bytes(), Peer { transport, source }, &mut reply);
        answered.then_some(reply)
    }

    /// Asks as a client with EDNS of 1232 bytes does.
    pub(crate) fn ask(&self, name: &str, rtype: u16) -> Message {
        self.send(&QueryBytes::new(name, rtype).opt(1232, 0, &[]), "192.0.2.1")
    }
}

/// Of networks, regions and zones; an empty zone is none.
pub(crate) fn localities(networks: &[(&str, &str, &str)]) -> Localities {
    let label = |text: &str| Label::new(text).ok();
    let entry = |(network, region, zone): &(&str, &str, &str)| {
        (network.parse().unwrap(), Locality { region: label(region), zone: label(zone) })
    };
    Localities::new(networks.iter().map(entry).collect())
}

fn unlimited() -> RateLimit {
    RateLimit { per_address: 0, per_prefix: 0, ..RateLimit::default() }
}

pub(crate) fn served(apex: &str, zone_files: &[&str]) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let paths = zone_files.iter().enumerate().map(|(index, text)| {
        let path = folder.path().join(format!("{index}.zone"));
        std::fs::write(&path, text).unwrap();
        path
    });
    let paths: Vec<_> = paths.collect();
    let apex = Name::from_text(apex, None).unwrap();
    let below = |label: &str| Name::from_text(label, Some(&apex)).unwrap();
    let soa = SoaTimers { rname: below("hostmaster"), refresh: 3600, retry: 600, expire: 86_400 };
    let zones = zones::load(&paths, &apex).unwrap();
    let soa = zones.server().and_then(|server| server.timers().cloned()).unwrap_or(soa);
    let home = Authority {
        own_name: below("ns1"),
        name_servers: vec![below("ns1")],
        primary: below("ns1"),
        soa,
        apex,
    };
    Served {
        identity: "ns1".into(),
        addresses: vec!["192.0.2.53".parse().unwrap()],
        zones,
        reverse: Reverse::default(),
        default_ttl: 5,
        negative_ttl: 1,
        client_prefix: (24, 56),
        localities: Localities::default(),
        // Tests ask faster than any client.
        conduct: Conduct { rate_limit: unlimited(), ..Conduct::default() },
        aliases: Vec::new(),
        home,
    }
}
