//! The side-port over TLS and on unix sockets, and whom certificates of clients stand for.

use std::path::Path;

use crate::config::{Config, ConfigError, parse};
use crate::model::{CertificateName, ClientCertificates};

const TLS: &str = "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";

fn read(text: &str) -> Result<Config, ConfigError> {
    parse(&format!("{TLS}{text}"), Path::new("/etc/signpost/registry.toml"))
}

/// The keys and messages of all faults.
fn faults(text: &str) -> Vec<(String, String)> {
    let error = read(text).unwrap_err();
    error.faults().map(|fault| (fault.key.clone(), fault.message.clone())).collect()
}

#[test]
fn unix_sockets_are_in_the_list_and_start_at_the_folder() {
    let text =
        "[http]\nlisten = ['unix:http.sock', '127.0.0.1:1', 'unix:/run/b']\nunix_mode = '600'";

    let boot = read(text).unwrap().boot;

    assert_eq!(boot.http_unix, [Path::new("/etc/signpost/http.sock"), Path::new("/run/b")]);
    assert_eq!(boot.http_listen, ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(boot.http_unix_mode, 0o600);
    let other = read("[http]\nlisten = ['127.0.0.1:1']").unwrap().boot;
    assert_eq!(boot.differences(&other), ["http.listen", "http.unix_mode"]);
}

#[test]
fn what_is_no_address_or_mode_is_refused() {
    for (text, key) in [
        ("[http]\nlisten = ['unix:']", "http.listen[0]"),
        ("[http]\nlisten = ['unix:a', 'unix:a']", "http.listen"),
        ("[http]\nunix_mode = '0888'", "http.unix_mode"),
        ("[http]\nunix_mode = '01777'", "http.unix_mode"),
        ("[http]\nunix_mode = '7'", "http.unix_mode"),
        ("[http]\nunix_mode = '+66'", "http.unix_mode"),
        ("[http]\ntls_listen = ['unix:a']", "http.tls_listen[0]"),
        ("[http]\ntls_listen = ['127.0.0.1:8054']", "http.listen[0]"),
        ("[http]\nclient_certificates = 'maybe'", "http.client_certificates"),
        ("[http]\nclient_certificates = 'required'", "http.client_certificates"),
    ] {
        let found = faults(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let told = if key == "http.listen[0]" && text.contains("8054") {
            "http.tls_listen[0]"
        } else {
            key
        };
        assert_eq!(found[0].0, told, "{text}: {found:?}");
    }
    let without = parse("[http]\ntls_listen = ['127.0.0.1:1']", Path::new("a")).unwrap_err();
    assert_eq!(without.faults().next().unwrap().message, "needs a certificate");
}

#[test]
fn beyond_loopback_somebody_has_to_ask_over_tls_too() {
    let beyond = |http: &str, rest: &str| {
        read(&format!("[http]\ntls_listen = ['0.0.0.0:8055']\n{http}\n{rest}")).is_ok()
    };
    let ca = "client_ca = 'ca.pem'\nclient_certificates =";

    assert!(!beyond("", ""));
    assert!(!beyond(&format!("{ca} 'optional'"), ""));
    assert!(beyond(&format!("{ca} 'required'"), ""));
    assert!(beyond("", "[auth]\nrequired = true"));
    assert!(beyond("allow_insecure = true", ""));
    assert_eq!(
        faults("[http]\ntls_listen = ['0.0.0.0:8055']"),
        [(
            "http.tls_listen[0]".to_owned(),
            "0.0.0.0:8055 is beyond loopback, and nobody has to say who they are".to_owned()
        )]
    );
}

#[test]
fn certificates_have_the_rights_of_tokens_and_their_rules() {
    let http = "[http]\nclient_ca = 'ca.pem'\nclient_certificates = 'optional'\n";
    let entry =
        "[[auth.certificates]]\nsan = 'Web.example'\nname = 'Shop'\nscopes = ['register']\n";

    let config = read(&format!("{http}{entry}services = ['web', 'web']")).unwrap();

    let policy = config.live.clients;
    assert_eq!(policy.asked, ClientCertificates::Optional);
    assert_eq!(policy.authorities.as_deref(), Some(Path::new("/etc/signpost/ca.pem")));
    let (san, identity) = &policy.identities[0];
    assert_eq!(*san, CertificateName::Dns("web.example".into()));
    assert_eq!((identity.name.as_str(), identity.services.len()), ("shop", 1));
    assert_eq!(config.warnings, Vec::<String>::new());
    for (text, key) in [
        (format!("{http}{entry}"), "auth.certificates[0].services"),
        (
            format!("{http}{entry}services = ['*']\n{entry}services = ['*']"),
            "auth.certificates[1].san",
        ),
        (format!("{http}{entry}services = ['w*b']"), "auth.certificates[0].services[0]"),
        (format!("{http}{entry}service = 'web'"), "auth.certificates[0].service"),
        (format!("{http}[[auth.certificates]]\nsan = 'a b'"), "auth.certificates[0].san"),
    ] {
        assert_eq!(faults(&text)[0].0, key, "{text}");
    }
}

#[test]
fn what_nobody_asks_for_is_a_warning() {
    let entry = "[[auth.certificates]]\nsan = 'a'\nname = 'a'\nscopes = ['read']";
    for text in [entry, "[http]\nclient_ca = 'ca.pem'"] {
        let warnings = read(text).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("has no effect"), "{warnings:?}");
    }
}
