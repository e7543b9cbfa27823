//! schemathesis: requests made up from the document, those that it allows and those that it does not,
//! and each reply held to it.

use std::process::Command;

use crate::support::authenticated::Authenticated;
use crate::support::needs;
use crate::support::server::Server;

#[test]
fn nothing_that_is_made_up_is_answered_otherwise_than_described() {
    let server = Server::start("");

    run(&server, &[]);
}

#[test]
fn nor_where_everybody_has_to_say_who_they_are() {
    let guarded = Authenticated::start("[auth]\nrequired = true\n");

    run(&guarded.server, &["--header", &format!("Authorization: Bearer {}", guarded.root)]);
}

/// Runs all checks in all phases, with as many examples as fit in about a minute.
fn run(server: &Server, arguments: &[&str]) {
    let program = needs::tools().join("bin/schemathesis");
    if !needs::works(&[program.to_str().unwrap(), "--version"]) {
        return;
    }
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi/hooks.py");
    let config = server.folder().join("schemathesis.toml");
    std::fs::write(&config, format!("hooks = {hooks:?}\n")).unwrap();
    let output = Command::new(program)
        .arg("--config-file")
        .arg(&config)
        .args(["run", &format!("{}/openapi.json", server.url()), "--checks=all"])
        .args(["--max-examples=8", "--seed=1", "--request-timeout=20", "--continue-on-failure"])
        .args(["--no-color", "--no-shrink"])
        .args(arguments)
        .current_dir(server.folder())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
