//! The command line over TLS and unix sockets, and what it does not say in the clear.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::authority::{Authority, LONG, dns};
use crate::support::authenticated::first_token;
use crate::support::server::Server;
use crate::{prepare, start, token};

/// Runs a client command with these variables: its code, and what it says on stdout and stderr.
fn signpost(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signpost"));
    for name in ["TOKEN", "TOKEN_FILE", "SERVER", "CA", "CERT", "KEY"] {
        command.env_remove(format!("SIGNPOST_{name}"));
    }
    let output = command.args(arguments).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

const REQUIRED: &str = "client_ca = \"ca.pem\"\nclient_certificates = \"required\"";
const SHOP: &str = "[[auth.certificates]]\nsan = \"shop.example\"\nname = \"shop\"\n\
    scopes = [\"read\", \"register\"]\nservices = [\"web\"]\nnetworks = [\"10.0.0.0/8\"]\n";

#[test]
fn commands_show_a_certificate_and_believe_whom_they_are_told_to() {
    let encrypted = start(REQUIRED, SHOP);
    let folder = encrypted.folder();
    encrypted.authority.sign(folder, "shop", &[dns("shop.example")], LONG);
    Authority::new().write(folder, "other.pem");
    let url = format!("https://localhost:{}", encrypted.tls.port());
    let url = url.replace("localhost", &encrypted.tls.ip().to_string());
    let [ca, other, cert, key] =
        ["ca.pem", "other.pem", "shop.pem", "shop.key"].map(|name| path(folder, name));
    let register = ["register", "web", "a", "--address", "10.0.0.1", "--port", "80"];
    let by_flags = ["--server", &url, "--ca", &ca, "--cert", &cert, "--key", &key];

    let (code, _, said) = signpost(&[&register[..], &by_flags].concat(), &[]);
    assert_eq!(code, 0, "{said}");
    let variables = [
        ("SIGNPOST_SERVER", url.as_str()),
        ("SIGNPOST_CA", &ca),
        ("SIGNPOST_CERT", &cert),
        ("SIGNPOST_KEY", &key),
    ];
    let (code, listed, said) = signpost(&["ls"], &variables);
    assert!(code == 0 && listed.contains("web"), "{listed}{said}");
    let (code, _, said) = signpost(&["ls", "db"], &variables);
    assert_eq!(code, 3, "{said}");

    for (arguments, reason) in [
        // By the system's authorities.
        (vec!["--cert", &cert, "--key", &key], "invalid peer certificate: "),
        (vec!["--ca", &other, "--cert", &cert, "--key", &key], "invalid peer certificate: "),
        (vec!["--ca", &ca], "received fatal alert: CertificateRequired"),
    ] {
        let all = [&["ls", "--server", &url][..], &arguments].concat();
        let (code, _, said) = signpost(&all, &[("SSL_CERT_FILE", &other)]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&format!("cannot agree on TLS with {url}: ")), "{said}");
        assert!(said.contains(reason) && said.contains("--ca FILE"), "{said}");
    }
    let trusted = [("SSL_CERT_FILE", ca.as_str())];
    let by_system = ["ls", "--server", &url, "--cert", &cert, "--key", &key];
    assert_eq!(signpost(&by_system, &trusted).0, 0);
}

#[test]
fn files_that_are_no_certificates_are_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new();
    authority.write(folder, "ca.pem");
    authority.sign(folder, "one", &[], LONG);
    authority.sign(folder, "two", &[], LONG);
    let [ca, one, two, key] =
        ["ca.pem", "one.pem", "two.key", "one.key"].map(|name| path(folder, name));

    for (arguments, code, text) in [
        (vec!["--ca", "/nonexistent"], 1, "/nonexistent: cannot be read"),
        (vec!["--ca", &key], 1, "one.key: holds no certificate"),
        (vec!["--ca", &ca, "--cert", &one, "--key", &two], 1, "two.key: is not the key of"),
        (vec!["--ca", &ca, "--cert", &one, "--key", &one], 1, "one.pem: holds no private key"),
        (vec!["--cert", &one], 2, "--key"),
        (vec!["--key", &key], 2, "--cert"),
    ] {
        let all = [&["ls", "--server", "https://127.0.0.1:1"][..], &arguments].concat();
        let (found, _, said) = signpost(&all, &[]);
        assert_eq!(found, code, "{said}");
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn a_plain_server_called_by_tls_is_told_and_the_other_way_round() {
    let encrypted = start("", "");
    let ca = path(encrypted.folder(), "ca.pem");
    let plain = format!("https://{}", encrypted.server.http.address);

    let (code, _, said) = signpost(&["ls", "--server", &plain, "--ca", &ca], &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cannot agree on TLS"), "{said}");

    let (code, _, said) = signpost(&["ls", "--server", &format!("http://{}", encrypted.tls)], &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("this address speaks TLS: call it by https://"), "{said}");
}

#[test]
fn commands_speak_through_a_unix_socket() {
    let builder = Server::builder("");
    let socket = format!("unix:{}", builder.path("http.sock").display());
    let server = builder.argument(&format!("--http={socket}")).start();
    let run = |words: &[&str]| signpost(words, &[("SIGNPOST_SERVER", &socket)]);

    let (code, _, said) = run(&["register", "web", "a", "--address", "10.0.0.1", "--port", "80"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(run(&["heartbeat", "web", "a"]).0, 0);
    assert!(run(&["ls"]).1.contains("web"));
    assert!(run(&["resolve", "web.service.local"]).1.contains("10.0.0.1"));
    let saved = path(server.folder(), "backup.jsonl");
    assert_eq!(run(&["snapshot", "save", &saved]).0, 0);
    assert_eq!(run(&["deregister", "web", "a"]).0, 0);
    // Many at a time: replies of some size come in pieces.
    let many: Vec<_> = (0..5_000)
        .map(|i| json!({ "service": "big", "id": format!("i-{i}"), "addresses": ["10.0.0.1"] }))
        .collect();
    server.http.batch(&many);
    let (code, listed, said) = run(&["ls", "big", "-o", "json"]);
    assert_eq!((code, listed.matches("\"id\":").count()), (0, 5_000), "{said}");

    let (code, _, said) = signpost(&["ls", "--server", "unix:/nonexistent/http.sock"], &[]);
    assert_eq!(code, 1);
    assert!(said.contains("cannot reach unix:/nonexistent/http.sock: "), "{said}");
}

#[test]
fn a_token_is_not_said_in_the_clear_unless_told_to() {
    let variables = [("SIGNPOST_TOKEN", "signpost_x")];
    // Nobody is asked: it is refused before.
    for server in ["http://192.0.2.1:8054", "ns1.example:8054"] {
        let (code, _, said) = signpost(&["ls", "--server", server], &variables);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("cannot show the token to http://"), "{said}");
        assert!(said.contains("https://") && said.contains("--insecure-token"), "{said}");
    }
    let (_, _, said) =
        signpost(&["ls", "--server", "http://192.0.2.1:1", "--insecure-token"], &variables);
    assert!(said.contains("cannot reach http://192.0.2.1:1"), "{said}");
}

#[test]
fn a_token_goes_over_tls() {
    let prepared = prepare("", "[auth]\nrequired = true\n");
    let file = prepared.builder.path("registry.toml");
    std::fs::write(&file, "").unwrap();
    let root = first_token(&file);
    let encrypted = prepared.start();
    let http = encrypted.server.http.with_token(&root);
    let reader = token(&http, &json!({ "name": "reader", "scopes": ["read"] }));
    let ca = path(encrypted.folder(), "ca.pem");
    let url = format!("https://{}", encrypted.tls);

    let list = ["ls", "--server", &url, "--ca", &ca];
    assert_eq!(signpost(&list, &[("SIGNPOST_TOKEN", &reader)]).0, 0);
    let (code, _, said) = signpost(&list, &[("SIGNPOST_TOKEN", "wrong")]);
    assert!(code == 1 && said.contains("The call needs a token"), "{said}");
}
