//! Which way names go on this host: resolv.conf(5), nsswitch.conf(5), systemd-resolved, and who else
//! claims `.local`.

use std::net::IpAddr;

use crate::doctor::Finding;

/// What decides about names, as it was read; empty where there is no such file.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    pub(super) resolv_conf: String,
    pub(super) nsswitch: String,
    /// resolved.conf and its drop-ins, one after the other.
    pub(super) resolved: String,
    /// Whether avahi-daemon runs.
    pub(super) avahi: bool,
}

/// All of it, for a zone.
pub(super) fn findings(files: &Files, zone: &str) -> Vec<Finding> {
    let conf = ResolvConf::parse(&files.resolv_conf);
    let mut findings = vec![conf.servers(), conf.search(zone), nsswitch(&files.nsswitch, zone)];
    if conf.asks_resolved() || sources(&files.nsswitch).iter().any(|source| source == "resolve") {
        findings.push(resolved(&files.resolved, zone));
    }
    if is_local(zone) {
        findings.push(mdns(files.avahi));
    }
    findings
}

/// What to do on this host so that the zone resolves.
pub(super) fn way(files: &Files, zone: &str) -> String {
    let conf = ResolvConf::parse(&files.resolv_conf);
    if conf.asks_resolved() {
        return resolved_step(zone);
    }
    format!(
        "have the name server in /etc/resolv.conf send {zone} to signpost, or let signpost answer \
         on port 53 there (docs/clients.md)"
    )
}

#[derive(Debug, Default)]
struct ResolvConf {
    servers: Vec<String>,
    search: Vec<String>,
    ndots: Option<usize>,
}

impl ResolvConf {
    fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines().map(str::trim) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().map(str::to_owned)),
                // The last one wins.
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let mut ndots =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    conf.ndots = ndots.next_back().or(conf.ndots);
                }
                _ => {}
            }
        }
        conf
    }

    fn asks_resolved(&self) -> bool {
        self.servers.iter().any(|server| server == "127.0.0.53" || server == "127.0.0.54")
    }

    fn servers(&self) -> Finding {
        let check = "resolv.conf";
        let list = self.servers.join(", ");
        let wrong = self.servers.iter().find(|server| {
            // A link-local one has its interface behind it.
            let address = server.split('%').next().unwrap_or_default();
            address.parse::<IpAddr>().is_err()
        });
        match (self.servers.len(), wrong) {
            (_, Some(wrong)) => Finding::fail(
                check,
                format!("nameserver {wrong} is no address"),
                "write an address without a port: other ports cannot be asked from here",
            ),
            (0, None) => Finding::warn(
                check,
                "no nameserver: programs ask 127.0.0.1, port 53",
                "add a nameserver line",
            ),
            (1..=3, None) => Finding::ok(check, format!("programs ask {list}, port 53")),
            (_, None) => Finding::warn(
                check,
                format!("nameservers {list}: the fourth and later ones are never asked"),
                "keep three",
            ),
        }
    }

    fn search(&self, zone: &str) -> Finding {
        let check = "search list";
        // The shortest name of a service: one label and those of the zone.
        let dots = zone.split('.').count();
        match self.ndots {
            Some(ndots) if ndots > dots && !self.search.is_empty() => Finding::warn(
                check,
                format!(
                    "ndots:{ndots}: each name is first asked for below {}",
                    self.search.join(", ")
                ),
                format!("write names with a last dot, web.{zone}., or set ndots:{dots}"),
            ),
            _ if self.search.iter().any(|domain| domain == "local") => Finding::warn(
                check,
                "local is searched: names that are not found are asked for by multicast too",
                "take local off the search line",
            ),
            _ if self.search.iter().any(|domain| domain == zone) => {
                Finding::ok(check, format!("{zone} is searched: web alone is found too"))
            }
            _ => Finding::ok(check, "names of the zone are asked for as they are"),
        }
    }
}

/// What `hosts:` names, in order, each followed by its action in brackets where it has one.
fn sources(nsswitch: &str) -> Vec<String> {
    let lines = nsswitch.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let hosts = lines.filter_map(|line| line.strip_prefix("hosts:")).next_back();
    // An action may hold blanks.
    let spaced = hosts.unwrap_or("files dns").replace('[', " [").replace(']', "] ");
    let mut sources: Vec<String> = Vec::new();
    for word in spaced.split_whitespace() {
        match sources.last_mut() {
            Some(last) if last.starts_with('[') && !last.ends_with(']') => {
                last.push(' ');
                last.push_str(word);
            }
            _ => sources.push(word.to_owned()),
        }
    }
    sources
}

/// | before dns | names of the zone, when it is below local |
/// |---|---|
/// | nothing of mdns | go to DNS |
/// | mdns4_minimal [NOTFOUND=return] | with three labels or more, so all of services, go to DNS |
/// | mdns4 [NOTFOUND=return] | never get there |
fn nsswitch(text: &str, zone: &str) -> Finding {
    let check = "nsswitch";
    let sources = sources(text);
    let line = sources.join(" ");
    let asks = |source: &String| source == "dns" || source == "resolve";
    let Some(dns) = sources.iter().position(asks) else {
        return Finding::fail(
            check,
            format!("hosts: {line}: DNS is never asked"),
            "add dns to the line hosts: in /etc/nsswitch.conf",
        );
    };
    let before = &sources[..dns];
    let mdns = before.iter().position(|source| source.starts_with("mdns"));
    let Some(mdns) = mdns.filter(|_| is_local(zone)) else {
        return Finding::ok(check, format!("hosts: {line}"));
    };
    let ends = before.get(mdns + 1).is_some_and(|a| a.to_uppercase().contains("NOTFOUND=RETURN"));
    match (before[mdns].ends_with("_minimal"), ends) {
        (true, _) => Finding::ok(
            check,
            format!("hosts: {line}: {zone} alone is asked for by multicast, names below it by DNS"),
        ),
        (false, true) => Finding::fail(
            check,
            format!("hosts: {line}: multicast keeps all names below local from DNS"),
            format!("write {0}_minimal for {0} in /etc/nsswitch.conf", before[mdns]),
        ),
        (false, false) => Finding::warn(
            check,
            format!("hosts: {line}: multicast is asked first, which takes seconds"),
            format!("write {0}_minimal for {0} in /etc/nsswitch.conf", before[mdns]),
        ),
    }
}

fn resolved(conf: &str, zone: &str) -> Finding {
    let check = "systemd-resolved";
    let lines = conf.lines().map(str::trim);
    let domains =
        lines.filter_map(|line| line.strip_prefix("Domains=")).flat_map(str::split_whitespace);
    let routed = domains.map(|domain| domain.trim_start_matches('~')).any(|domain| domain == zone);
    if routed {
        return Finding::ok(check, format!("{zone} is routed"));
    }
    if is_local(zone) {
        return Finding::warn(
            check,
            format!("resolves names here, and {zone} is not routed: names below local are refused"),
            resolved_step(zone),
        );
    }
    Finding::warn(
        check,
        format!("resolves names here, and {zone} is not routed: whoever it asks decides"),
        resolved_step(zone),
    )
}

fn resolved_step(zone: &str) -> String {
    format!(
        "write DNS=ADDRESS:PORT and Domains=~{zone} below [Resolve] into \
         /etc/systemd/resolved.conf.d/signpost.conf, then: systemctl reload-or-restart systemd-resolved"
    )
}

fn mdns(avahi: bool) -> Finding {
    let check = "multicast DNS";
    match avahi {
        false => Finding::ok(check, "avahi-daemon does not run"),
        true => Finding::warn(
            check,
            "avahi-daemon answers for names of two labels below local",
            "fine for services, whose names are longer; to be rid of it set another server.zone",
        ),
    }
}

fn is_local(zone: &str) -> bool {
    zone == "local" || zone.ends_with(".local")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    const ZONE: &str = "service.local";

    fn states(files: &Files, zone: &str) -> Vec<(&'static str, State)> {
        findings(files, zone).into_iter().map(|finding| (finding.check, finding.state)).collect()
    }

    #[test]
    fn an_ordinary_host_is_well() {
        let files = Files {
            resolv_conf:
                "# by hand\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch example.com\n"
                    .into(),
            nsswitch: "passwd: files\nhosts: files mdns4_minimal [NOTFOUND=return] dns # x\n"
                .into(),
            ..Files::default()
        };

        assert!(findings(&files, ZONE).iter().all(|finding| finding.state == State::Ok));
        assert!(way(&files, ZONE).contains("docs/clients.md"));
    }

    #[test]
    fn each_trap_is_found() {
        let nsswitch =
            |hosts: &str| Files { nsswitch: format!("hosts: {hosts}"), ..Files::default() };
        let resolv = |text: &str| Files { resolv_conf: text.to_owned(), ..Files::default() };
        for (files, check, state) in [
            (nsswitch("files myhostname"), "nsswitch", State::Fail),
            (nsswitch("files mdns4 [NOTFOUND=return] dns"), "nsswitch", State::Fail),
            (nsswitch("files mdns4 [ notfound=return ] dns"), "nsswitch", State::Fail),
            (nsswitch("files mdns4 dns"), "nsswitch", State::Warn),
            (nsswitch("files mdns4_minimal [NOTFOUND=return] dns"), "nsswitch", State::Ok),
            (nsswitch("resolve [!UNAVAIL=return] dns"), "systemd-resolved", State::Warn),
            (resolv("nameserver 127.0.0.1:8053"), "resolv.conf", State::Fail),
            (resolv(""), "resolv.conf", State::Warn),
            (resolv(&"nameserver 10.0.0.1\n".repeat(4)), "resolv.conf", State::Warn),
            (
                resolv("nameserver 10.0.0.1\nsearch a.b\noptions ndots:5"),
                "search list",
                State::Warn,
            ),
            (resolv("nameserver 10.0.0.1\nsearch local"), "search list", State::Warn),
            (resolv("nameserver 127.0.0.53"), "systemd-resolved", State::Warn),
            (Files { avahi: true, ..Files::default() }, "multicast DNS", State::Warn),
        ] {
            assert!(states(&files, ZONE).contains(&(check, state)), "{files:?}: {check}");
        }
    }

    #[test]
    fn systemd_resolved_is_well_when_the_zone_is_routed() {
        let files = Files {
            resolv_conf: "nameserver 127.0.0.53\n".into(),
            resolved: "[Resolve]\nDNS=127.0.0.1:8053\nDomains=~other ~service.local\n".into(),
            ..Files::default()
        };

        assert!(states(&files, ZONE).contains(&("systemd-resolved", State::Ok)));
        assert!(way(&files, ZONE).contains("Domains=~service.local"));
    }

    #[test]
    fn multicast_is_no_matter_to_other_zones() {
        let files = Files {
            resolv_conf: "nameserver 10.0.0.1".into(),
            nsswitch: "hosts: files mdns4 [NOTFOUND=return] dns".into(),
            avahi: true,
            ..Files::default()
        };

        assert!(findings(&files, "svc.internal").iter().all(|finding| finding.state == State::Ok));
    }
}
