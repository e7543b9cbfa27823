//! gdnsd with one UDP thread: static records, or its plugin `weighted`.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::data::{Data, ZONE, head, line};
use crate::process::{Plan, path};

/// Writes its files.
pub(crate) fn plan(folder: &Path, dns: SocketAddr, data: Data, weighted: bool) -> io::Result<Plan> {
    let (ip, port, inside) = (dns.ip(), dns.port(), folder.display());
    let (zone, plugins) =
        if weighted { by_weight(data) } else { (data.zone_file(), String::new()) };
    fs::create_dir(folder.join("zones"))?;
    fs::write(folder.join("zones").join(ZONE), zone)?;
    fs::write(
        folder.join("config"),
        format!(
            "options => {{ listen => {ip}, dns_port => {port}, udp_threads => 1, \
             tcp_threads => 1, run_dir => {inside}/run, state_dir => {inside}/state }}\n{plugins}"
        ),
    )?;
    let arguments = ["-c", &path(folder), "start"].map(str::to_owned).to_vec();
    Ok(Plan { program: "/usr/sbin/gdnsd".to_owned(), arguments })
}

/// Equal weights: of others it would leave some out of most answers.
fn by_weight(data: Data) -> (String, String) {
    let mut zone = head();
    let mut plugins = "plugins => { weighted => { multi => true, service_types => up\n".to_owned();
    for service in 0..data.services {
        let name = Data::service('s', service);
        line(&mut zone, format_args!("{name} DYNA weighted!{name}"));
        let instances: String = (0..data.instances)
            .map(|i| format!(" i{i} = [ {}, 1 ]", data.address(service, i)))
            .collect();
        line(&mut plugins, format_args!("{name} => {{{instances} }}"));
    }
    plugins.push_str("} }\n");
    (zone, plugins)
}
