//! NSD with one server process.
//!
//! It adds addresses to SRV only together with the zone's NS to everything (`minimal-responses`).
//! Others add no NS here, so its zone has none and its replies are the same as theirs.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::data::ZONE;
use crate::process::{Plan, path};

/// Writes its files.
pub(crate) fn plan(folder: &Path, dns: SocketAddr, zone: &str) -> io::Result<Plan> {
    let zone: String =
        zone.split_inclusive('\n').filter(|line| !line.starts_with("@ NS")).collect();
    fs::write(folder.join("zone"), zone)?;
    let (file, folder) = (folder.join("nsd.conf"), folder.display());
    fs::write(
        &file,
        format!(
            "server:\n ip-address: {}@{}\n username: \"\"\n pidfile: \"\"\n zonesdir: {folder}\n \
             database: \"\"\n xfrdfile: {folder}/xfrd\n zonelistfile: {folder}/list\n \
             logfile: {folder}/nsd.log\n server-count: 1\n rrl-ratelimit: 0\n \
             minimal-responses: no\nremote-control:\n control-enable: no\n\
             zone:\n name: {ZONE}\n zonefile: zone\n",
            dns.ip(),
            dns.port()
        ),
    )?;
    let arguments = vec!["-d".to_owned(), "-c".to_owned(), path(&file)];
    Ok(Plan { program: "/usr/sbin/nsd".to_owned(), arguments })
}
