//! A server with the example configuration, and a shell in its network.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::needs;
use crate::pages::shell::Shell;
use crate::pages::{Block, checkout, pages, parse, root};

/// A server in a network of its own, where `needed` succeeds.
pub(crate) fn served(needed: &[&str]) -> Option<(TempDir, Shell)> {
    if !needs::works(needed) {
        return None;
    }
    let folder = checkout();
    let mut shell = Shell::start(folder.path())?;
    shell.run("cargo run --release");
    Some((folder, shell))
}

/// The same, where the system's own resolver asks it: set up as the page says of glibc.
pub(crate) fn served_on_port_53(needed: &[&str]) -> Option<(TempDir, Shell)> {
    if !needs::works(needed) {
        return None;
    }
    let folder = checkout();
    let mut shell = Shell::start(folder.path())?;
    // Both, since this is what `until_it_works` and the commands of other pieces ask.
    let listen = piece(LIBC).replacen("listen = [", "listen = [\"127.0.0.1:8053\", ", 1);
    let config = fs::read_to_string(folder.path().join("registry.toml")).unwrap();
    let config = config.replacen("[dns]\n", &listen, 1);
    write(&folder, "registry.toml", &config);
    write(&folder, "resolv.conf", "nameserver 127.0.0.2\n");
    // With loopback addresses alone getaddrinfo would not ask for addresses at all.
    shell.run("ip address add 192.0.2.1/32 dev lo; mount --bind resolv.conf /etc/resolv.conf");
    shell.run("cargo run --release");
    Some((folder, shell))
}

/// The same with encrypted addresses, and `data/dev-tls.pem` to trust.
pub(crate) fn served_encrypted(needed: &[&str]) -> Option<(TempDir, Shell)> {
    if !needs::works(needed) {
        return None;
    }
    let folder = checkout();
    let mut shell = Shell::start(folder.path())?;
    shell.run(
        "signpost serve --dev-tls >server.log 2>&1 &\n\
         until_it_works curl -sf -o ready.log http://127.0.0.1:8054/readyz",
    );
    Some((folder, shell))
}

/// The section about what asks port 53 only.
pub(crate) const LIBC: &str = "glibc, musl, and all that ask port 53 only";

/// The page's only block below the heading `section`.
pub(crate) fn piece(section: &str) -> String {
    let mut found = clients_page();
    found.retain(|block| block.section == section);
    assert_eq!(found.len(), 1, "blocks below {section}");
    found.remove(0).text
}

/// Writes a file that a program is started with.
pub(crate) fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).unwrap();
}

fn clients_page() -> Vec<Block> {
    parse(PAGE, &fs::read_to_string(root().join(PAGE)).unwrap())
}

const PAGE: &str = "docs/clients.md";

#[test]
fn every_piece_of_the_page_is_run_or_says_that_it_is_not() {
    assert!(pages().contains(&PAGE.to_owned()));
    let text = fs::read_to_string(root().join(PAGE)).unwrap();
    let tests = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")).unwrap();
    let tests = tests.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let tests: String = tests.collect();

    let not_run: BTreeSet<String> = clients_page()
        .into_iter()
        .map(|block| block.section)
        .filter(|section| section != LIBC && !tests.contains(&format!("piece(\"{section}\")")))
        .collect();

    let said = text.split("\n#").filter(|section| section.contains("Not run by a test"));
    let said: BTreeSet<String> = said
        .map(|section| section.lines().next().unwrap().trim_matches(['#', ' ']).to_owned())
        .collect();
    assert_eq!(not_run, said);
}
