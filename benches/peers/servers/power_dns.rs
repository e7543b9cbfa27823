//! PowerDNS with one receiver, and Lua records whose state is shared by the threads.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::data::{Data, ZONE, head, line};
use crate::process::{Plan, path};

/// Writes its files.
pub(crate) fn plan(folder: &Path, dns: SocketAddr, data: Data) -> io::Result<Plan> {
    let mut zone = head();
    for service in 0..data.services {
        let name = Data::service('o', service);
        let instances: Vec<String> =
            (0..data.instances).map(|i| format!("{{1,'{}'}}", data.address(service, i))).collect();
        let instances = instances.join(",");
        line(&mut zone, format_args!("{name} LUA A \"pickwrandom({{{instances}}})\""));
    }
    let inside = folder.display();
    fs::write(folder.join("zone"), zone)?;
    fs::write(
        folder.join("zones"),
        format!("zone \"{ZONE}\" {{ type master; file \"{inside}/zone\"; }};\n"),
    )?;
    fs::write(
        folder.join("pdns.conf"),
        format!(
            "local-address={}\nlocal-port={}\nlaunch=bind\nbind-config={inside}/zones\n\
             enable-lua-records=shared\nreceiver-threads=1\ndistributor-threads=1\n\
             socket-dir={inside}\nsecurity-poll-suffix=\nguardian=no\ndaemon=no\nloglevel=3\n",
            dns.ip(),
            dns.port()
        ),
    )?;
    let arguments = vec![format!("--config-dir={}", path(folder))];
    Ok(Plan { program: "/usr/sbin/pdns_server".to_owned(), arguments })
}
