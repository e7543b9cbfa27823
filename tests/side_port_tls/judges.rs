//! What programs that judge TLS say of the side-port.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::start;
use crate::support::needs::works;

/// What testssl says of the certificate, since it is one of the test's own.
const OF_THE_TEST: [(&str, &str); 2] = [
    ("cert_chain_of_trust", "no public authority has signed it, as none does for a private name"),
    ("cert_revocation", "its authority publishes neither a list nor a responder"),
];

#[test]
fn testssl_finds_nothing_that_matters() {
    if !works(&["testssl", "--version"]) {
        return;
    }
    let encrypted = start(
        "client_ca = \"ca.pem\"\nclient_certificates = \"optional\"",
        "[[auth.certificates]]\nsan = \"a\"\nname = \"a\"\nscopes = [\"read\"]\n",
    );
    let report = encrypted.folder().join("testssl.json");

    let output = Command::new("testssl")
        .args(["--quiet", "--warnings", "off", "--color", "0"])
        .args(["--protocols", "--std", "--fs", "--server-preference", "--server-defaults"])
        .args(["--headers", "--vulnerable", "--jsonfile"])
        .arg(&report)
        .arg(encrypted.tls.to_string())
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stdout);
    let text = std::fs::read_to_string(&report).unwrap_or_else(|_| panic!("no report: {output:?}"));
    let findings: Vec<Value> = serde_json::from_str(&text).unwrap();
    let severity = |finding: &Value| finding["severity"].as_str().unwrap().to_owned();
    let of = |id: &str| findings.iter().find(|finding| finding["id"] == id);
    // That it was judged at all, and by which protocols.
    assert_eq!(of("TLS1_3").map(severity).as_deref(), Some("OK"), "{said}");
    assert_eq!(of("TLS1_2").map(severity).as_deref(), Some("OK"), "{said}");
    assert_eq!(of("TLS1").map(severity).as_deref(), Some("INFO"), "{said}");
    assert!(findings.len() > 60, "only {}: {said}", findings.len());
    let serious: Vec<&Value> = findings
        .iter()
        .filter(|finding| !["OK", "INFO", "LOW"].contains(&severity(finding).as_str()))
        .filter(|finding| OF_THE_TEST.iter().all(|(id, _)| finding["id"] != *id))
        .collect();
    assert_eq!(serious, Vec::<&Value>::new());
}

#[test]
fn old_versions_of_tls_are_refused() {
    if !works(&["openssl", "version"]) {
        return;
    }
    let encrypted = start("", "");
    let agreed = |version: &str| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &encrypted.tls.to_string(), version])
            // What this machine's policy would keep from trying.
            .args(["-cipher", "ALL:@SECLEVEL=0"])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.contains("Server certificate").then(|| {
            let line = said.lines().find(|line| line.contains("Cipher is")).unwrap();
            line.split(',').next().unwrap().trim_start_matches("New").trim().to_owned()
        })
    };
    let versions = ["-tls1", "-tls1_1", "-tls1_2", "-tls1_3"];

    let known: BTreeSet<&str> =
        versions.into_iter().filter(|version| agreed(version).is_some()).collect();

    assert_eq!(known, BTreeSet::from(["-tls1_2", "-tls1_3"]));
}
