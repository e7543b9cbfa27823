//! Zonemaster, the registries' own test of a zone: all of its test cases.
//!
//! It knows no port but 53 and no server of a name but by its address, so that the server gets a
//! network of its own, with two addresses of each family.

use std::collections::BTreeSet;
use std::fs;

use crate::pages::shell::Shell;
use crate::support::needs;

const REGISTRY: &str = r#"
[server]
ns = ["ns1", "ns2"]
addresses = ["192.0.2.53", "2001:db8::53"]
[dns]
listen = ["192.0.2.53:53", "[2001:db8::53]:53", "198.51.100.53:53", "[2001:db8:1::53]:53"]
"#;

const ZONE: &str = "$ORIGIN service.local.\n$TTL 300\n\
                    @ IN SOA ns1 hostmaster 1 14400 3600 1209600 1\n\
                    ns2 IN A 198.51.100.53\n    IN AAAA 2001:db8:1::53\n";

/// What it says, from "notice" upwards, of a zone that is as it should be: level, test case, what.
const EXPLAINED: [&str; 7] = [
    // The addresses of this test are those that RFC 5737 and 3849 set aside for examples, and
    // nobody serves their reverse zones here.
    "ERROR ADDRESS01 NAMESERVER_IP_PRIVATE_NETWORK",
    "WARNING ADDRESS02 NO_RESPONSE_PTR_QUERY",
    // There is no DNSSEC below local.: nobody could delegate to it.
    "NOTICE DNSSEC07 NEITHER_DNSKEY_NOR_DS",
    "NOTICE UNSPECIFIED NOT_SIGNED",
    // It has no mail.
    "NOTICE SYNTAX06 RNAME_MAIL_DOMAIN_INVALID",
    "NOTICE ZONE09 Z09_MISSING_MAIL_TARGET",
    // "There is none" may be kept for a second, not five minutes: services come and go.
    "NOTICE ZONE06 SOA_DEFAULT_TTL_MAXIMUM_VALUE_LOWER",
];

#[test]
fn zonemaster_finds_nothing_that_is_not_explained() {
    if !needs::works(needs::ZONEMASTER) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("zones")).unwrap();
    fs::write(folder.path().join("registry.toml"), REGISTRY).unwrap();
    fs::write(folder.path().join("zones/service.local.zone"), ZONE).unwrap();
    let Some(mut shell) = Shell::start(folder.path()) else { return };
    shell.run(
        "for address in 192.0.2.53/32 198.51.100.53/32 2001:db8::53/128 2001:db8:1::53/128; do\n\
         ip address add $address dev lo; done",
    );
    let said = shell.run("cargo run --release");
    assert!(said.iter().any(|line| line.contains("[2001:db8:1::53]:53")), "{said:#?}");

    let found = shell.run(
        "zonemaster-cli --raw --level NOTICE --show-testcase \
         --ns ns1.service.local/192.0.2.53 --ns ns1.service.local/2001:db8::53 \
         --ns ns2.service.local/198.51.100.53 --ns ns2.service.local/2001:db8:1::53 service.local",
    );

    // Seconds, level, test case, what, arguments.
    let kinds = found.iter().map(|line| {
        let words: Vec<&str> = line.split_whitespace().skip(1).take(3).collect();
        words.join(" ")
    });
    let kinds: BTreeSet<String> = kinds.collect();
    assert_eq!(kinds, EXPLAINED.map(str::to_owned).into(), "{found:#?}");
}
