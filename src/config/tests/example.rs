//! The example of the repository works as it stands, and its comments tell the truth.

use std::path::Path;

use serde_json::json;

use crate::config::{Config, load, parse};
use crate::model::DeclaredService;

const EXAMPLE: &str = include_str!("../../../registry.toml");

fn path() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/registry.toml"))
}

/// Whether it is a key with its default in a comment: `#ttl = "5s"`.
fn commented_default(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// What the example says from `header` to the next section, headers of the same name included.
fn section(header: &str) -> Vec<&'static str> {
    let other = |line: &&str| line.starts_with('[') && !line.starts_with(header);
    EXAMPLE
        .lines()
        .skip_while(|line| !line.starts_with(header))
        .take_while(|line| !other(line))
        .collect()
}

#[test]
fn the_example_differs_from_the_defaults_in_what_it_declares() {
    let example = load(path()).unwrap();

    let mut expected = parse("", path()).unwrap();
    expected.live.declared.services.clone_from(&example.live.declared.services);
    assert_eq!(example, expected);
    let zone = path().with_file_name("zones").join("service.local.zone");
    assert_eq!(example.live.zones, [zone]);
}

#[test]
fn the_example_declares_two_services() {
    let Config { live, .. } = load(path()).unwrap();

    let as_json = |service: &DeclaredService| json!({ "settings": service.settings, "instances": service.instances });
    let services: Vec<_> = live
        .declared
        .services
        .iter()
        .map(|(name, service)| (name.as_str(), as_json(service)))
        .collect();
    let http = json!({ "name": "http", "port": 8080, "protocol": "tcp" });
    let metrics = json!({ "name": "metrics", "port": 9100, "protocol": "tcp" });
    let web =
        |n: u32, addresses: &[&str], weight: u32, tags: &[&str], version: &str, zone: &str| {
            json!({
                "id": format!("web-{n}"), "addresses": addresses, "ports": [http, metrics],
                "weight": weight, "tier": 0, "tags": tags, "metadata": { "version": version },
                "locality": { "region": "eu", "zone": zone }, "dependencies": [], "ttl": null,
                "admin": "enabled", "status": "passing",
            })
        };
    let cache = |n: u32, address: &str| {
        json!({
            "id": format!("cache-{n}"), "addresses": [address],
            "ports": [{ "port": 6379, "protocol": "tcp" }],
            "weight": 1, "tier": 0, "tags": [], "metadata": {}, "locality": {},
            "dependencies": [], "ttl": null, "admin": "enabled", "status": "passing",
        })
    };
    assert_eq!(
        services,
        [
            (
                "cache",
                json!({
                    "settings": { "balance": "consistent_hash", "ttl": "30s" },
                    "instances": [cache(1, "10.0.0.21"), cache(2, "10.0.0.22")],
                })
            ),
            (
                "web",
                json!({
                    "settings": { "balance": "weighted_round_robin", "txt": ["version"] },
                    "instances": [
                        web(1, &["10.0.0.11", "2001:db8::11"], 3, &[], "1.4", "eu-1a"),
                        web(2, &["10.0.0.12", "2001:db8::12"], 1, &[], "1.4", "eu-1b"),
                        web(3, &["10.0.0.13"], 1, &["canary"], "1.5", "eu-1b"),
                    ],
                })
            ),
        ]
    );
}

#[test]
fn each_default_in_a_comment_is_the_default() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let example = load(path()).unwrap();
    let commented: Vec<usize> = (0..lines.len()).filter(|i| commented_default(lines[*i])).collect();
    assert!(commented.len() > 40, "only {}", commented.len());
    for i in commented {
        // One at a time, since [defaults] would hide what [dns] says.
        let mut lines = lines.clone();
        lines[i] = &lines[i][1..];

        let config = parse(&lines.join("\n"), path()).unwrap();

        assert_eq!(config, example, "line {}: {}", i + 1, lines[i]);
    }
}

#[test]
fn each_key_is_in_the_example() {
    for header in [
        "[server]",
        "[dns]",
        "[tls]",
        "[http]",
        "[auth]",
        "[store]",
        "[registry]",
        "[rate_limit]",
        "[limits]",
        "[[localities]]",
        "[health]",
        "[defaults]",
        "[[services.web.instances]]",
    ] {
        let error = parse(&format!("{header}\nzzz = 0"), path()).unwrap_err();
        let unknown = error.faults().find(|fault| fault.message == "unknown key").unwrap();
        let (_, keys) = unknown.hint.as_deref().unwrap().split_once("allowed here: ").unwrap();
        let header = header.trim_matches(['[', ']']).replace("web.instances", "");
        let lines = match header.as_str() {
            "localities" => section("# [[localities]]"),
            "services." => [section("[[services.web"), section("[[services.cache")].concat(),
            header => section(&format!("[{header}]")),
        };
        for key in keys.split(", ") {
            let says = |line: &&str| {
                let rest = line.trim_start_matches(['#', ' ']).strip_prefix(key);
                rest.is_some_and(|rest| rest.starts_with(" = "))
            };
            assert!(lines.iter().any(says), "[{header}] {key} is missing in the example");
        }
    }
}
