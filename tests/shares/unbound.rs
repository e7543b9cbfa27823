//! A real unbound in front of a server: it keeps what it is told for its ttl, and rotates it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::dns::{Dns, Query};
use crate::support::server::{Guarded, Server, free_addresses};
use crate::support::{SOON, eventually, needs};

pub(crate) struct Unbound {
    pub(crate) dns: Dns,
    control: PathBuf,
    _child: Guarded,
    _folder: TempDir,
}

impl Unbound {
    /// Asks `server` for its zone, as docs/clients.md sets it up, and where it tells for which
    /// client it asks, keeps answers for these apart. `None`, and said, where it is not installed.
    pub(crate) fn before(server: &Server, tells_clients: bool) -> Option<Self> {
        if !needs::works(&["/usr/sbin/unbound", "-V"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (address, upstream) = (free_addresses().0, server.dns.address);
        // What it keeps by client no command makes it forget.
        let subnets = match tells_clients {
            true => format!(
                "module-config: \"subnetcache iterator\"\n    send-client-subnet: {}\n    \
                 client-subnet-always-forward: yes",
                upstream.ip()
            ),
            false => "module-config: \"iterator\"".to_owned(),
        };
        let config = format!(
            r#"server:
    interface: {}@{}
    username: ""
    chroot: ""
    pidfile: ""
    directory: "{folder}"
    use-syslog: no
    {subnets}
    rrset-roundrobin: yes
    do-not-query-localhost: no
    domain-insecure: "service.local"
    private-domain: "service.local"
stub-zone:
    name: "service.local"
    stub-addr: {}@{}
remote-control:
    control-enable: yes
    control-use-cert: no
    control-interface: "{folder}/control"
"#,
            address.ip(),
            address.port(),
            upstream.ip(),
            upstream.port(),
            folder = folder.path().display(),
        );
        let file = folder.path().join("unbound.conf");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("/usr/sbin/unbound")
            .args(["-d", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let dns = Dns { address };
        let control = folder.path().join("control");
        let unbound = Self { dns, control, _child: Guarded(child), _folder: folder };
        let query = Query::new("service.local", "SOA").recursive();
        eventually(SOON, "unbound answers", || {
            let reply = unbound.dns.try_query(&query, std::time::Duration::from_secs(1))?;
            (reply.rcode == "NOERROR").then_some(())
        });
        Some(unbound)
    }

    /// Lets the ttl of what it keeps of this name and type pass at once.
    pub(crate) fn let_expire(&self, name: &str, rtype: &str) {
        let mut control = UnixStream::connect(&self.control).unwrap();
        control.write_all(format!("UBCT1 flush_type {name} {rtype}\n").as_bytes()).unwrap();
        let mut said = String::new();
        control.read_to_string(&mut said).unwrap();
        assert_eq!(said, "ok\n", "flush_type {name} {rtype}");
    }
}
