//! What legal files come to: defaults, overlays, derived values, flags, differences.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::config::{Boot, ClientPolicy, Config, Flags, Live, StoreKind, load, parse, parse_with};
use crate::model::{
    AnswerMode, Authentication, Balance, Conduct, Declared, HealthPolicy, HttpAddress, Label,
    Limits, Localities, MaxAnswers, RateLimit, RecordTtl, Settings, Share, ZoneName,
};

/// A path whose folder holds no zone files.
fn elsewhere() -> &'static Path {
    Path::new("/nonexistent/registry.toml")
}

fn config(text: &str) -> Config {
    parse(text, elsewhere()).unwrap()
}

fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn addresses(boot: &Boot) -> Vec<String> {
    boot.addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_has_the_defaults_of_the_contract() {
    let expected = Config {
        boot: Boot {
            zone: ZoneName::new("service.local").unwrap(),
            aliases: vec![],
            name: Label::new("ns1").unwrap(),
            ns: vec!["ns1".into()],
            addresses: vec!["127.0.0.1".parse().unwrap()],
            data_dir: "/nonexistent/data".into(),
            dns_listen: sockets(&["127.0.0.1:8053"]),
            tls_listen: vec![],
            https_listen: vec![],
            quic_listen: vec![],
            dev_tls: false,
            http_listen: sockets(&["127.0.0.1:8054"]),
            http_unix: vec![],
            http_unix_mode: 0o660,
            http_tls_listen: vec![],
            allow_insecure: false,
            authentication: Authentication::default(),
            store: StoreKind::Embedded,
        },
        live: Live {
            negative_ttl: Duration::from_secs(1),
            client_prefix: (24, 56),
            certificate: None,
            reverse: vec![],
            localities: Localities::default(),
            zones: vec![],
            conduct: Conduct {
                chaos: true,
                version: String::new(),
                cookies: true,
                cookie_secrets: vec![],
                rate_limit: RateLimit {
                    per_address: 1_000,
                    per_prefix: 4_000,
                    slip: 2,
                    exempt: RateLimit::LOCAL.map(|text| text.parse().unwrap()).into(),
                },
            },
            forget_after: Duration::from_secs(600),
            protect: Share::default(),
            limits: Limits {
                instances: 1_000_000,
                services: 100_000,
                instances_per_service: 50_000,
                instances_per_identity: 1_000_000,
                metadata: 40_960,
                metadata_total: 1_073_741_824,
                watchers: 1_000,
                headers: 16_384,
                body: 1_048_576,
                bulk_body: 8_388_608,
                bulk_items: 10_000,
                request_time: Duration::from_secs(30),
                in_flight: 268_435_456,
                requests_per_address: 2_000,
                requests_per_identity: 0,
                connections: 4_096,
                connections_per_client: 128,
                tokens: 10_000,
                allow: vec![],
            },
            health: HealthPolicy { concurrency: 256, allow: vec![] },
            hosts: vec![],
            audit: None,
            clients: ClientPolicy::default(),
            declared: Declared::default(),
        },
        warnings: vec![],
    };

    assert_eq!(config(""), expected);
    assert_eq!(config("[server]\n[dns]\n[http]\n[store]\n[limits]\n[services]\n"), expected);
}

#[test]
fn the_default_is_that_of_an_empty_file() {
    assert_eq!(Config::default(), parse("", Path::new("registry.toml")).unwrap());
}

#[test]
fn settings_fall_back_key_by_key() {
    let text = r#"
        [dns]
        ttl = "7s"
        max_answers = 4
        [defaults]
        max_answers = 100
        balance = "random"
        [services.web]
        ttl = "0s"
        answer = "all"
    "#;

    let declared = config(text).live.declared;

    let defaults = Settings {
        balance: Balance::Random,
        ttl: RecordTtl::new(Duration::from_secs(7)).unwrap(),
        max_answers: MaxAnswers::new(100).unwrap(),
        ..Settings::default()
    };
    assert_eq!(declared.defaults, defaults);
    let web = declared.defaults.patched(&declared.services["web"].settings);
    let ttl = RecordTtl::new(Duration::ZERO).unwrap();
    assert_eq!(web, Settings { ttl, answer: AnswerMode::All, ..defaults });
}

#[test]
fn a_declared_instance_has_no_lease_unless_it_says_so() {
    let text = r#"
        [[services.web.instances]]
        id = "a"
        addresses = ["10.0.0.1"]
        [[services.web.instances]]
        id = "b"
        addresses = ["10.0.0.1"]
        ttl = "30s"
    "#;

    let declared = config(text).live.declared;

    let leases: Vec<_> =
        declared.services["web"].instances.iter().map(|i| i.ttl.map(|ttl| ttl.get())).collect();
    assert_eq!(leases, [None, Some(Duration::from_secs(30))]);
}

#[test]
fn this_server_has_the_concrete_addresses_it_listens_on() {
    let text = r#"dns.listen = ["10.0.0.1:53", "[::1]:53", "10.0.0.1:54", "[fe80::1]:53"]"#;

    let config = config(text);

    assert_eq!(addresses(&config.boot), ["10.0.0.1", "::1"]);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn a_wildcard_without_addresses_is_a_warning() {
    let text = "[dns]\nlisten = [\"10.0.0.1:53\", \"0.0.0.0:54\"]\n";

    let bare = config(text);
    let given = config(&format!("{text}[server]\naddresses = [\"192.0.2.1\", \"192.0.2.1\"]"));

    let warning = "/nonexistent/registry.toml:2:26: dns.listen[1]: 0.0.0.0:54 listens on every \
                   address, and server.addresses does not say which of them are ns1.service.local\
                   \n  hint: set server.addresses to what clients reach this server by";
    assert_eq!(bare.warnings, [warning]);
    assert_eq!(addresses(&bare.boot), ["10.0.0.1"]);
    assert_eq!(given.warnings, Vec::<String>::new());
    assert_eq!(addresses(&given.boot), ["192.0.2.1"]);
}

#[test]
fn names_of_name_servers_are_folded_and_lose_their_dot() {
    let config = config(r#"server.ns = ["NS1", "ns2.Example.NET."]"#);

    assert_eq!(config.boot.ns, ["ns1", "ns2.example.net"]);
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let zones = folder.path().join("z");
    std::fs::create_dir(&zones).unwrap();
    std::fs::write(zones.join("a.zone"), "").unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, "server.data_dir = \"d\"\ndns.zones = [\"z/*.zone\"]").unwrap();

    let config = load(&file).unwrap();

    assert_eq!(config.boot.data_dir, folder.path().join("d"));
    assert_eq!(config.live.zones, [zones.join("a.zone")]);
}

#[test]
fn allow_insecure_opens_the_side_port() {
    let text = "[http]\nlisten = [\"0.0.0.0:8054\", \"[::ffff:127.0.0.1]:1\"]\n";

    assert!(parse(text, elsewhere()).is_err());
    let config = config(&format!("{text}allow_insecure = true"));

    assert_eq!(config.boot.http_listen, sockets(&["0.0.0.0:8054", "[::ffff:127.0.0.1]:1"]));
}

#[test]
fn authentication_opens_the_side_port_with_a_warning() {
    let text = "[http]\nlisten = [\"0.0.0.0:8054\", \"127.0.0.1:8054\"]\n[auth]\nrequired = true";

    let config = config(text);

    assert!(config.boot.authentication.required);
    let warning = "/nonexistent/registry.toml:2:11: http.listen[0]: 0.0.0.0:8054 is beyond loopback: \
                   tokens cross the network in clear\n  hint: keep it on loopback, and give clients \
                   http.tls_listen";
    assert_eq!(config.warnings, [warning]);
}

fn plain(texts: &[&str]) -> Vec<HttpAddress> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn flags_replace_the_lists_of_the_file() {
    let text = "[dns]\nlisten = [\"0.0.0.0:53\"]\n[http]\nlisten = [\"0.0.0.0:80\"]";
    let flags =
        Flags { dns: sockets(&["[::1]:0"]), http: plain(&["127.0.0.1:0"]), ..Flags::default() };

    let config = parse_with(text, elsewhere(), &flags).unwrap();

    assert_eq!(config.boot.dns_listen, flags.dns);
    assert_eq!(config.boot.http_listen, sockets(&["127.0.0.1:0"]));
    assert_eq!(addresses(&config.boot), ["::1"]);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn flags_do_not_open_the_side_port_by_themselves() {
    let flags = Flags { http: plain(&["0.0.0.0:80"]), ..Flags::default() };

    let error = parse_with("[http]\nallow_insecure = false", elsewhere(), &flags).unwrap_err();

    let said = "/nonexistent/registry.toml:2:18: http.allow_insecure: is false, but --http \
                0.0.0.0:80 is beyond loopback, and nobody has to say who they are\n  hint: keep it \
                on loopback, or set auth.required = true (or http.allow_insecure = true)";
    assert_eq!(error.to_string(), said);
}

#[test]
fn differences_name_what_needs_a_restart() {
    let old = config("").boot;
    for (text, keys) in [
        ("dns.ttl = \"9s\"\nlimits.services = 5", &[][..]),
        ("dns.listen = [\"[::1]:53\"]", &["dns.listen"]),
        ("server.name = \"ns9\"", &["server.name"]),
        ("server.ns = [\"ns9\"]", &["server.ns"]),
        ("server.addresses = [\"10.0.0.1\"]", &["server.addresses"]),
        ("server.zone = \"a\"\nserver.data_dir = \"b\"", &["server.zone", "server.data_dir"]),
        ("http.allow_insecure = true", &["http.allow_insecure"]),
        ("http.listen = []\nstore.kind = \"memory\"", &["http.listen", "store.kind"]),
    ] {
        assert_eq!(old.differences(&config(text).boot), keys, "{text}");
    }
}

#[test]
fn clients_are_where_the_longest_network_says() {
    let text = r#"
        [[localities]]
        networks = ["10.0.0.0/8", "2001:db8::/32"]
        region = "EU"
        [[localities]]
        networks = ["10.1.0.0/16"]
        region = "eu"
        zone = "eu-1a"
    "#;

    let localities = config(text).live.localities;

    let of = |client: &str| {
        let locality = localities.find(client.parse().unwrap())?;
        let text = |label: &Option<Label>| label.as_ref().map(ToString::to_string);
        Some((text(&locality.region)?, text(&locality.zone)))
    };
    assert_eq!(of("10.1.2.3/32"), Some(("eu".into(), Some("eu-1a".into()))));
    assert_eq!(of("10.2.0.0/16"), Some(("eu".into(), None)));
    assert_eq!(of("2001:db8::7/128"), Some(("eu".into(), None)));
    assert_eq!(of("192.0.2.1/32"), None);
}
