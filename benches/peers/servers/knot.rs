//! Knot DNS with one UDP worker.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::data::{Data, ZONE};
use crate::process::{Plan, path};

/// Writes its files.
pub(crate) fn plan(folder: &Path, dns: SocketAddr, data: Data) -> io::Result<Plan> {
    fs::write(folder.join("zone"), data.zone_file())?;
    let (file, folder) = (folder.join("knot.conf"), folder.display());
    fs::write(
        &file,
        format!(
            "server:\n    rundir: {folder}\n    listen: {}@{}\n    udp-workers: 1\n    \
             tcp-workers: 1\n    background-workers: 1\n\
             database:\n    storage: {folder}\n\
             log:\n  - target: stderr\n    any: warning\n\
             zone:\n  - domain: {ZONE}\n    storage: {folder}\n    file: zone\n    \
             journal-content: none\n    zonefile-load: whole\n",
            dns.ip(),
            dns.port()
        ),
    )?;
    let arguments = vec!["-c".to_owned(), path(&file)];
    Ok(Plan { program: "/usr/sbin/knotd".to_owned(), arguments })
}
