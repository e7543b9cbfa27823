//! What the one server of these tests serves.

use std::fmt::Write;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, Weak};

use crate::support::server::{Server, free_addresses};
use crate::support::tls::{Stream, connect};

/// The server, and where it answers over TLS and over HTTPS.
pub(crate) struct Served {
    server: Server,
    pub(crate) tls: SocketAddr,
    pub(crate) https: SocketAddr,
}

impl Served {
    /// A TLS connection that speaks `protocol`, to a certificate that is verified.
    pub(crate) fn connect(&self, address: SocketAddr, protocol: &[u8]) -> Stream {
        let trusted = self.server.folder().join("data/dev-tls.pem");
        connect(address, &std::fs::read_to_string(trusted).unwrap(), protocol)
    }
}

impl Deref for Served {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// The server. Tests that run at the same time share one; with the last of them it ends, which no
/// static variable would.
pub(crate) fn server() -> Arc<Served> {
    let mut shared = SERVER.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(start());
        *shared = Arc::downgrade(&server);
        server
    })
}

static SERVER: Mutex<Weak<Served>> = Mutex::new(Weak::new());

fn start() -> Served {
    let mut config = SERVICES.to_owned();
    for i in 0..100 {
        let instance = format!("id = \"i-{i:02}\"\naddresses = [\"10.1.0.{i}\"]\nport = 80\n");
        write!(config, "[[services.big.instances]]\n{instance}").unwrap();
    }
    for i in 0..20 {
        let address = format!("addresses = [\"10.2.0.{i}\", \"2001:db8:2::{i:x}\"]");
        let instance = format!("id = \"i-{i:02}\"\n{address}\nport = 80\n");
        write!(config, "[[services.glue.instances]]\n{instance}").unwrap();
    }
    let builder = Server::builder(&config);
    let builder = builder.file("zones/own.zone", OWN_ZONE).file("zones/corp.zone", CORP_ZONE);
    let builder = builder.file("zones/child.zone", CHILD_ZONE).file("zones/inner.zone", INNER_ZONE);
    let (tls, https) = free_addresses();
    let builder = builder.argument("--dev-tls").argument(&format!("--tls={tls}"));
    let server = builder.argument(&format!("--https={https}")).start();
    Served { server, tls, https }
}

const SERVICES: &str = r#"
[server]
addresses = ["192.0.2.1", "2001:db8::53"]
[store]
kind = "memory"
[dns]
reverse = ["10.0.0.0/24"]
[defaults]
answer = "all"
[[services.one.instances]]
id = "one-1"
addresses = ["10.0.0.1", "2001:db8::1"]
ports = [{ name = "http", port = 80 }]
[[services.two.instances]]
id = "two-1"
addresses = ["10.0.0.11"]
port = 81
[[services.two.instances]]
id = "two-2"
addresses = ["10.0.0.12"]
port = 82
[[services.shared.instances]]
id = "a"
addresses = ["10.0.0.21"]
port = 1
[[services.shared.instances]]
id = "b"
addresses = ["10.0.0.21"]
port = 2
[services.empty]
[[services.ill.instances]]
id = "ill-1"
addresses = ["10.0.0.31"]
status = "critical"
[[services.my_app.instances]]
id = "a_1"
addresses = ["10.0.0.41"]
[services.sticky]
balance = "consistent_hash"
[[services.sticky.instances]]
id = "s"
addresses = ["10.0.0.51"]
[[services.secure.instances]]
id = "s-1"
addresses = ["10.0.0.61", "2001:db8::61"]
ports = [{ name = "https", port = 8443 }]
[services.big]
[services.glue]
"#;

/// Static records of the server's own zone.
const OWN_ZONE: &str = "\
$ORIGIN service.local.
$TTL 300
@         SOA ns1 hostmaster 1 3600 600 86400 60
gateway   A 10.0.9.1
docs      CNAME gateway
service   CNAME one
out       CNAME www.example.com.
*.wild    A 10.0.9.9
host.wild TXT host
b.c.deep  A 10.0.9.2
";

/// A zone of its own.
const CORP_ZONE: &str = "\
$ORIGIN corp.example.
$TTL 120
@         SOA ns admin 77 1 2 3 30
@         NS ns
ns        A 192.0.2.53
www       A 192.0.2.80
www       AAAA 2001:db8::80
mail      MX 10 www
b.c.deep  A 192.0.2.81
*.w       A 192.0.2.82
host.w    TXT host
x.ent.w   A 192.0.2.83
*.alias   CNAME www
one       CNAME two
two       CNAME www
gone      CNAME nowhere
loop1     CNAME loop2
loop2     CNAME loop1
sub       NS ns.sub
sub       NS ns.else.example.
ns.sub    A 192.0.2.90
into      CNAME host.sub
_svc._tcp SRV 1 2 3 www
svcb      SVCB 1 www port=53
child     NS a.child
";

/// A zone below the server's own, which does not say so.
const INNER_ZONE: &str = "$ORIGIN inner.service.local.\n$TTL 60\n@ SOA a b 1 2 3 4 5\n@ NS a\n";

/// A zone below corp.example.
const CHILD_ZONE: &str = "$ORIGIN child.corp.example.\n$TTL 60\n@ SOA a b 1 2 3 4 5\n@ NS a\n";

/// What remains of other queries when they have one question and no EDNS.
pub(crate) const REFUSED: &[&str] = &["REFUSED qr 1/0/0/0"];
pub(crate) const FORMERR: &[&str] = &["FORMERR qr 0/0/0/0"];
pub(crate) const SILENCE: &[&str] = &["silence"];

/// A of one.service.local.
pub(crate) const ONE: &[&str] = &["NOERROR qr aa 1/1/0/0", "an one.service.local. 5 A 10.0.0.1"];

/// Negative answers, and the SOA in them.
pub(crate) const NODATA: &[&str] = &["NOERROR qr aa 1/0/1/0", SOA];
pub(crate) const NXDOMAIN: &[&str] = &["NXDOMAIN qr aa 1/0/1/0", SOA];
pub(crate) const SOA: &str = "ns service.local. 1 SOA ns1.service.local. hostmaster.service.local. \
                              * 3600 600 86400 1";

/// The same of corp.example: its SOA has a TTL of 120 and a MINIMUM of 30 (RFC 2308 section 5).
pub(crate) const CORP_NODATA: &[&str] = &["NOERROR qr aa 1/0/1/0", CORP_SOA];
pub(crate) const CORP_NXDOMAIN: &[&str] = &["NXDOMAIN qr aa 1/0/1/0", CORP_SOA];
pub(crate) const CORP_SOA: &str =
    "ns corp.example. 30 SOA ns.corp.example. admin.corp.example. 77 1 2 3 30";
