//! The command line against a real server: what is printed, what is done, and the exit codes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::process::Command;

use serde_json::{Value, json};

use support::server::Server;

/// Runs `signpost` with `line` against `server`: exit code, stdout, stderr.
fn run(server: &Server, line: &str) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_signpost"))
        .args(line.split_whitespace())
        .env("SIGNPOST_SERVER", server.url())
        .env_remove("COLUMNS")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs what must succeed: stdout, each line with single spaces.
fn done(server: &Server, line: &str) -> Vec<String> {
    let (code, stdout, stderr) = run(server, line);
    assert_eq!((code, stderr.as_str()), (0, ""), "{line}");
    stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Runs what must fail: exit code and stderr.
fn failed(server: &Server, line: &str) -> (i32, String) {
    let (code, stdout, stderr) = run(server, line);
    assert_eq!(stdout, "", "{line}");
    (code, stderr)
}

const REGISTER: &str = "register web web-1 --address 10.0.0.1 --address 2001:db8::1 \
     --port http=8080 --port dns=53/udp --weight 3 --tier 1 --tag blue --tag green \
     --metadata version=1.4 --zone eu-1a --region eu --ttl 20s";

#[test]
fn what_is_registered_is_there() {
    let server = Server::start("");

    let printed = done(&server, REGISTER);

    assert!(
        printed[0].starts_with("web/web-1 is registered: revision 2, lease 20s"),
        "{printed:?}"
    );
    let mut read = server.http.get("/v1/services/web/instances/web-1");
    assert!(read.take_ms("/expires_in_ms") <= 20_000);
    let instance = json!({
        "id": "web-1", "addresses": ["10.0.0.1", "2001:db8::1"],
        "ports": [
            { "name": "http", "port": 8080, "protocol": "tcp" },
            { "name": "dns", "port": 53, "protocol": "udp" },
        ],
        "weight": 3, "tier": 1, "tags": ["blue", "green"], "metadata": { "version": "1.4" },
        "locality": { "region": "eu", "zone": "eu-1a" }, "dependencies": [], "ttl": "20s",
        "admin": "enabled", "status": "passing", "usable": true, "reasons": [], "load": null,
        "expires_in_ms": null, "source": "api",
    });
    assert_eq!(read.body, instance);
    assert_eq!(server.dns.ask("web.service.local", "A").only(), "10.0.0.1");
}

#[test]
fn tables_show_services_and_instances() {
    let server = Server::start("[services.db]");
    done(&server, "register web web-1 --address 10.0.0.1 --port http=8080 --ttl none");
    done(&server, "register web web-2 --address 10.0.0.2 --port 80 --weight 5 --ttl none");
    done(&server, "drain web web-1");

    assert_eq!(
        done(&server, "ls"),
        ["SERVICE INSTANCES USABLE REVISION DECLARED", "db 0 0 1 yes", "web 2 1 4 no",]
    );
    assert_eq!(
        done(&server, "ls web"),
        [
            "web: balance round_robin, answer auto, ttl 5s, revision 4",
            "ID ADDRESSES PORTS WEIGHT STATUS USABLE EXPIRES SOURCE",
            "web-1 10.0.0.1 http=8080 3 passing no: draining never api"
                .replace(" 3 ", " 1 ")
                .as_str(),
            "web-2 10.0.0.2 80 5 passing yes never api",
        ]
    );
}

#[test]
fn json_is_what_the_server_says() {
    let server = Server::start("");
    done(&server, "register web web-1 --address 10.0.0.1 --port 80 --ttl none");

    for (line, path) in [
        ("ls -o json", "/v1/services"),
        ("ls web -o json", "/v1/services/web"),
        ("resolve web.service.local A -o json", "/v1/resolve?name=web.service.local&type=A"),
    ] {
        let (code, stdout, _) = run(&server, line);
        let printed: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, printed), (0, server.http.get(path).body), "{line}");
    }
    let (_, stdout, _) = run(&server, "drain web web-1 -o json");
    let printed: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(printed["instance"]["admin"], "draining");
    let (_, stdout, _) = run(&server, "register web web-2 --address 10.0.0.2 --port 80 -o json");
    let printed: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&printed["instance"]["id"], &printed["revision"]), (&json!("web-2"), &json!(4)));
}

#[test]
fn an_instance_lives_its_life_by_commands() {
    let server = Server::start("");
    let address = || server.dns.ask("web.service.local", "A").data().len();
    done(&server, "register web web-1 --address 10.0.0.1 --port 80 --ttl 20s");
    assert_eq!(address(), 1);

    // Seconds are rounded down, and some milliseconds have passed.
    let renewed = done(&server, "heartbeat web web-1");
    assert!(renewed[0].starts_with("web/web-1 is renewed: expires in "), "{renewed:?}");
    let drained = done(&server, "drain web web-1");
    assert!(drained[0].starts_with("web/web-1 is draining: revision 3, safe to stop in "));
    assert_eq!(address(), 0);
    assert_eq!(done(&server, "undrain web web-1"), ["web/web-1 is enabled: revision 4"]);
    assert_eq!(address(), 1);
    // Also when it is not there any more.
    for _ in 0..2 {
        assert_eq!(done(&server, "deregister web web-1"), ["web/web-1 is deregistered"]);
        assert_eq!(address(), 0);
    }
}

#[test]
fn resolving_shows_the_answer_and_the_reasons() {
    let server = Server::start("");
    done(&server, "register web web-1 --address 10.0.0.1 --port 80 --ttl none");
    done(&server, "register web web-2 --address 10.0.0.2 --port 80 --ttl none");
    done(&server, "drain web web-2");

    let printed = done(&server, "resolve web.service.local --client 10.9.8.7").join("\n");

    for line in [
        "web.service.local. 5 A 10.0.0.1",
        "ID ANSWER WEIGHT CHANCE LAST REASONS",
        "web-1 in 1 100.0% - -",
        "web-2 out 1 0.0% - draining",
        "balance round_robin, answer all, k 1",
    ] {
        assert!(printed.contains(line), "{line}:\n{printed}");
    }
    assert!(!printed.contains("10.0.0.2"), "{printed}");
    let nobody = done(&server, "resolve nobody.service.local srv").join("\n");
    assert!(nobody.contains("NXDOMAIN"), "{nobody}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let server =
        Server::start("[[services.fix.instances]]\nid = \"f\"\naddresses = [\"10.0.0.1\"]");

    for (line, code, reason) in [
        ("ls nobody", 3, "no service nobody is known"),
        ("heartbeat web web-1", 3, "no instance web-1 of service web"),
        ("drain web web-1", 3, "no instance web-1 of service web"),
        ("register web tag --address 10.0.0.1 --port 80", 1, "\"tag\" is reserved"),
        ("register fix f --address 10.0.0.1 --port 80", 1, "declared in the configuration file"),
        ("deregister fix f", 1, "declared in the configuration file"),
        ("register web a --address 10.0.0.1 --port 80 --weight 0", 2, "out of range"),
        ("register web a --address 10.0.0.300 --port 80", 2, "invalid"),
        ("register web a --port 80", 2, "--address"),
        ("ls --server ftp://x", 2, "ftp"),
    ] {
        let (found, error) = failed(&server, line);
        assert_eq!(found, code, "{line}: {error}");
        assert!(error.contains(reason), "{line}: {error}");
    }
}

#[test]
fn check_reads_a_file_as_serve_would() {
    let server = Server::start(
        "[services.web]\n[[services.web.instances]]\nid = \"a\"\naddresses = [\"10.0.0.1\"]",
    );
    let file = server.folder().join("registry.toml");
    let file = file.display();

    let ok = done(&server, &format!("check {file}"));
    assert_eq!(ok, [format!("{file}: ok, 1 service, 1 static instance, 0 zone files")]);

    for (bad, place, reason) in [
        ("[services.web]\nbalanec = \"random\"\n", ":2:1", "services.web.balanec"),
        ("[services.web]\nbalance = \"rnadom\"\n", ":2:11", "rnadom"),
        ("[server]\nzone = \"local.\"\naliases = 5\n", ":3:", "aliases"),
        ("[server\n", ":1:", "table"),
    ] {
        server.write_config(bad);
        let (code, error) = failed(&server, &format!("check {file}"));
        assert_eq!(code, 1, "{bad}");
        assert!(error.contains(&format!("{file}{place}")) && error.contains(reason), "{error}");
    }
    let (code, error) = failed(&server, "check /nowhere/registry.toml");
    assert!(code == 1 && error.contains("/nowhere/registry.toml"), "{error}");
}

#[test]
fn check_says_what_a_zone_file_hides() {
    let zone = "$ORIGIN service.local.\n@ 60 IN SOA ns1 a 1 1 1 1 1\nweb 60 IN A 10.9.9.9\n";
    let server = Server::builder("[services.web]").file("zones/own.zone", zone).start();
    let file = server.folder().join("registry.toml");

    let (code, stdout, stderr) = run(&server, &format!("check {}", file.display()));

    let said = format!("{stdout}{stderr}");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("web has a static record in a zone file"), "{said}");
}

#[test]
fn serve_prints_a_line_for_each_address_and_logs_as_told() {
    for format in ["text", "json"] {
        let builder = Server::builder("").argument(&format!("--log-format={format}"));
        let server = builder.start();

        let printed = server.printed();
        assert_eq!(printed.lines().count(), 2, "{printed}");
        for address in [server.dns.address, server.http.address] {
            assert!(printed.contains(&address.to_string()), "{address}: {printed}");
        }
        let log = server.log();
        assert!(!log.is_empty() && !log.contains('\x1b'), "no colours in a file: {log}");
        let json = log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok());
        assert_eq!(json, format == "json", "{log}");
    }
}
