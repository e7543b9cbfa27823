//! Programs that find their servers by signpost: HAProxy, nginx, Envoy, Prometheus.

use crate::pages::shell::Shell;
use crate::setup::{piece, served, served_on_port_53, write};

const HAPROXY: &[&str] = &["haproxy", "-v"];
const NGINX: &[&str] = &["nginx", "-v"];

#[test]
fn haproxy_takes_all_servers_and_their_weights() {
    let Some((folder, mut shell)) = served(HAPROXY) else { return };
    write(&folder, "haproxy.cfg", &format!("{HAPROXY_AROUND}{}", piece("HAProxy")));
    assert_eq!(shell.run("haproxy -c -q -f haproxy.cfg"), Vec::<String>::new());

    shell.run("haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &");

    // 65535 and 21845 of 65535, as HAProxy counts.
    assert_eq!(weights(&mut shell, 3), ["86", "86", "256"]);
}

#[test]
fn haproxy_finds_hundreds_over_tcp_and_some_over_udp() {
    let Some((folder, mut shell)) = served(HAPROXY) else { return };
    let items = (0..250).map(|i| {
        format!(
            r#"{{"service":"web","id":"i-{i}","ttl":null,"addresses":["10.1.0.{i}"],
               "ports":[{{"name":"http","port":8080}}]}}"#
        )
    });
    let items = items.collect::<Vec<_>>().join(",");
    write(&folder, "batch.json", &format!(r#"{{"register":[{items}]}}"#));
    shell.run("curl -sf http://127.0.0.1:8054/v1/batch --json @batch.json");
    let config = format!("{HAPROXY_AROUND}{}", piece("HAProxy"));
    let config = config.replace("server-template web 20 ", "server-template web 300 ");

    write(&folder, "tcp.cfg", &config);
    shell.run("haproxy -db -f tcp.cfg >haproxy.log 2>&1 & haproxy=$!");
    assert_eq!(weights(&mut shell, 253).len(), 253);
    shell.run("kill $haproxy; wait $haproxy");

    write(&folder, "udp.cfg", &config.replace("tcp@", ""));
    shell.run("haproxy -db -f udp.cfg >haproxy.log 2>&1 &");
    // "Some 27": what fits 1232 bytes depends on the length of their names.
    let some = shell.run(
        "enough() { csv | up >weights; [ $(wc -l <weights) -ge 20 ]; }\n\
                          until_it_works enough; wc -l <weights",
    );
    let some: usize = some[0].parse().unwrap();
    assert!((20..60).contains(&some), "{some}");
}

/// Waits until HAProxy has `count` servers; their weights.
fn weights(shell: &mut Shell, count: usize) -> Vec<String> {
    // Column 18 is the state; a server that has no address yet is in maintenance.
    shell.run(&format!(
        "csv() {{ curl -s 'http://127.0.0.1:8404/;csv'; }}\n\
         until_it_works csv >head\n\
         column=$(head -1 head | tr , '\\n' | grep -nx uweight | cut -d: -f1)\n\
         up() {{ grep ^web,web | awk -F, -v w=$column '$18 !~ /MAINT/ {{ print $w }}' | sort -n; }}\n\
         weights() {{ csv | up >weights; [ $(wc -l <weights) = {count} ]; }}\n\
         until_it_works weights; cat weights"
    ))
}

#[test]
fn nginx_finds_its_upstream() {
    let Some((folder, mut shell)) = served(NGINX) else { return };
    write(&folder, "nginx.conf", &format!("{NGINX_AROUND}{}{BACKENDS}}}\n", piece("nginx")));
    backends(&mut shell);
    let checked = shell.run("nginx -t -q -p . -e nginx.log -c nginx.conf");
    assert_eq!(checked, Vec::<String>::new());

    shell.run("nginx -p . -e nginx.log -c nginx.conf &");

    // Each in its turn, as DNS gives them: nginx asks again when what it has is over.
    let said = shell.run(
        "all() { curl -sf http://127.0.0.1:8080/ >>said; [ $(sort -u said | wc -l) = 3 ]; }\n\
         until_it_works all; sort -u said",
    );
    assert_eq!(said, ["10.0.0.11", "10.0.0.12", "10.0.0.13"]);
}

#[test]
fn envoy_takes_all_instances() {
    let Some((folder, mut shell)) = served(&["envoy", "--version"]) else { return };
    let cluster: Vec<String> = piece("Envoy").lines().map(|line| format!("      {line}")).collect();
    let cluster = cluster.join("\n").replacen("      name", "    - name", 1);
    write(&folder, "envoy.yaml", &format!("{ENVOY_AROUND}{cluster}\n"));
    answer_all(&mut shell);

    shell.run(
        "envoy -c envoy.yaml -l error --concurrency 1 --disable-hot-restart >envoy.log 2>&1 &",
    );

    let found = shell.run(
        "hosts() { curl -s http://127.0.0.1:9901/clusters | sed -n 's/^web::\\(.*\\)::health_.*/\\1/p' \
         | sort >hosts; [ $(wc -l <hosts) = 3 ]; }\n\
         until_it_works hosts; cat hosts",
    );
    assert_eq!(found, ["10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080"]);
}

#[test]
fn prometheus_finds_all_targets() {
    let Some((folder, mut shell)) = served_on_port_53(&["prometheus", "--version"]) else { return };
    // By itself it spreads first scrapes over a minute.
    let around = "global: { scrape_interval: 1s }\n";
    write(&folder, "prometheus.yml", &format!("{around}{}", piece("Prometheus")));
    let checked = shell.run("promtool check config prometheus.yml").join("\n");
    assert!(checked.contains("SUCCESS"), "{checked}");

    shell.run(
        "prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb \
         --web.listen-address=127.0.0.1:9090 >prometheus.log 2>&1 &",
    );

    let found = shell.run(
        "targets() { curl -s http://127.0.0.1:9090/api/v1/targets?state=active \
         | grep -o '\"__address__\":\"[^\"]*' | cut -d'\"' -f4 | sort >targets\n\
         [ $(wc -l <targets) = 4 ]; }\n\
         until_it_works targets; cat targets",
    );
    let expected = [
        "127.0.0.1:8054",
        "web-1.web.service.local:9100",
        "web-2.web.service.local:9100",
        "web-3.web.service.local:9100",
    ];
    assert_eq!(found, expected);
    // The server's own metrics are read.
    let read = shell.run(
        "read() { curl -s 'http://127.0.0.1:9090/api/v1/query?query=signpost_build_info' >value\n\
         grep -q '127.0.0.1:8054' value; }\n\
         until_it_works read; grep -o '\"status\":\"success\"' value",
    );
    assert_eq!(read, [r#""status":"success""#]);
}

/// Has A and AAAA of `web` hold every instance.
pub(crate) fn answer_all(shell: &mut Shell) {
    shell.run(
        "curl -sf -X PUT http://127.0.0.1:8054/v1/services/web --json '{\"answer\":\"all\"}' \
         || echo refused",
    );
}

/// Gives this network the addresses of the example's instances.
pub(crate) fn backends(shell: &mut Shell) {
    shell.run("for i in 1 2 3; do ip address add 10.0.0.1$i/32 dev lo; done");
}

const HAPROXY_AROUND: &str = "defaults\n    mode http\n    timeout connect 1s\n    \
    timeout client 1s\n    timeout server 1s\nfrontend stats\n    bind 127.0.0.1:8404\n    \
    stats enable\n    stats uri /\n";
/// What nginx needs to run as a child of the test, up to the middle of `http`.
pub(crate) const NGINX_AROUND: &str = "daemon off;\npid nginx.pid;\nuser root;\nevents {}\n\
    http {\naccess_log off;\nclient_body_temp_path a;\nproxy_temp_path b;\n\
    fastcgi_temp_path c;\nuwsgi_temp_path d;\nscgi_temp_path e;\n";
/// The instances of the example: nginx that says which one was reached.
pub(crate) const BACKENDS: &str = "server { listen 10.0.0.11:8080; listen 10.0.0.12:8080; \
    listen 10.0.0.13:8080; location / { return 200 \"$server_addr\\n\"; } }\n";
const ENVOY_AROUND: &str = "admin:\n  address: { socket_address: { address: 127.0.0.1, \
    port_value: 9901 } }\nstatic_resources:\n  clusters:\n";
