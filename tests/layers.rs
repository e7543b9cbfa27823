//! Keeps the rule of ARCHITECTURE.md: no module imports one above it, and what has one home (a
//! crate, the clock) is named nowhere else.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each module of `lib.rs` and the ones that it may import, besides itself. A new module needs a
/// line here, which is the moment to think about where it belongs.
const LAYERS: [(&str, &[&str]); 17] = [
    ("fence", &[]),
    ("model", &[]),
    ("snapshot", &["model"]),
    ("net", &["model"]),
    ("balance", &["model"]),
    ("simulate", &["model", "balance"]),
    ("registry", &["model", "balance"]),
    ("resolve", &["model", "balance", "registry"]),
    ("audit", &["model", "registry"]),
    ("store", &["model", "fence"]),
    ("dns", &["model", "fence", "net", "balance", "registry", "resolve"]),
    ("http", &["model", "snapshot", "net", "balance", "registry", "resolve"]),
    ("health", &["model", "registry"]),
    ("config", &["model"]),
    (
        "server",
        &[
            "model", "fence", "snapshot", "net", "balance", "registry", "resolve", "audit",
            "store", "dns", "http", "health", "config",
        ],
    ),
    ("doctor", &["registry", "store", "config", "server"]),
    ("cli", &["model", "snapshot", "net", "simulate"]),
];

/// What is named in one place only: the text, and the beginning of the paths where it may be.
const HOMES: [(&str, &[&str]); 23] = [
    ("sd_notify::", &["server/service_manager.rs"]),
    ("sd_listen_fds::", &["net/inherited.rs"]),
    ("hickory_", &["dns/"]),
    ("axum::", &["http/"]),
    ("h2::", &["health/grpc.rs"]),
    ("rustls::", &["net/tls/", "dns/", "http/"]),
    ("rcgen::", &["net/tls/"]),
    ("webpki::", &["net/tls/"]),
    ("rustls_native_certs::", &["cli/trust.rs"]),
    ("use ring::", &["model/token.rs"]),
    ("subtle::", &["model/token.rs"]),
    ("redb::", &["store/"]),
    ("toml::", &["config/"]),
    ("ecow::", &["model/name.rs"]),
    // Types that are JSON say so in full: serde reads and writes them, utoipa describes them.
    ("utoipa::", &["model/", "registry/", "resolve/", "http/"]),
    ("papaya::", &["registry/"]),
    ("rustix::", &["server/", "audit/file.rs"]),
    ("clap::", &["cli/"]),
    ("ureq::", &["cli/"]),
    ("plotters::", &["cli/simulate/"]),
    ("pprof::", &["server/profile.rs"]),
    // Everything else is handed the time, so that tests can hand it out.
    ("Instant::now", &["registry/clock.rs"]),
    ("SystemTime::now", &["registry/clock.rs"]),
];

#[test]
fn no_module_looks_up() {
    let violations: Vec<String> =
        sources().iter().flat_map(|(path, text)| violations(path, text)).collect();

    assert_eq!(violations, Vec::<String>::new());
}

#[test]
fn every_module_has_its_layer() {
    let root = fs::read_to_string(source_folder().join("lib.rs")).unwrap();
    let modules = root.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));

    let unplaced: Vec<&str> = modules.filter(|name| layer(name).is_none()).collect();

    assert_eq!(unplaced, Vec::<&str>::new(), "say in LAYERS what these may import");
}

#[test]
fn layers_have_no_circle() {
    for (i, (name, below)) in LAYERS.iter().enumerate() {
        let known: Vec<&str> = LAYERS[..i].iter().map(|(name, _)| *name).collect();
        let above: Vec<&&str> = below.iter().filter(|b| !known.contains(*b)).collect();

        assert_eq!(above, Vec::<&&str>::new(), "of {name}, which comes before them");
    }
}

#[test]
fn a_planted_violation_is_found() {
    for (path, text, found) in [
        ("model/name.rs", "use crate::registry::Views;", "model/name.rs: model imports registry"),
        (
            "balance/pool.rs",
            "use crate::{model::{Millis, Load}, dns::front};",
            "balance/pool.rs: balance imports dns",
        ),
        ("dns/front.rs", "    crate::http::app();", "dns/front.rs: dns imports http"),
        ("http/app.rs", "use crate::{\n    dns,\n    model,\n};", "http/app.rs: http imports dns"),
        ("server/mod.rs", "use crate::cli::ServeArgs;", "server/mod.rs: server imports cli"),
        ("model/name.rs", "use super::super::cli;", "model/name.rs: says super::super"),
        ("http/app.rs", "use hickory_proto::rr::Name;", "http/app.rs: names hickory_"),
        ("dns/serve.rs", "let t = Instant::now();", "dns/serve.rs: names Instant::now"),
        ("server/mod.rs", "axum::serve(a, b)", "server/mod.rs: names axum::"),
        ("zone/mod.rs", "use crate::model::Name;", "zone/mod.rs: zone has no layer"),
    ] {
        assert_eq!(violations(path, text), [found], "{text}");
    }
}

#[test]
fn what_is_allowed_is_no_violation() {
    for (path, text) in [
        ("registry/mod.rs", "use crate::{balance::pool, model, registry::view::Views};"),
        ("dns/query.rs", "use hickory_proto::rr::Name;"),
        ("registry/clock.rs", "Self { start: tokio::time::Instant::now() }"),
        ("model/name.rs", "//! As [`crate::dns`] has it, with hickory_proto."),
        ("model/name.rs", "#[cfg(test)]\nmod tests {\n    Instant::now();\n}"),
        ("main.rs", "use signpost::cli; // crate::cli"),
    ] {
        assert_eq!(violations(path, text), Vec::<String>::new(), "{text}");
    }
}

/// What is wrong with the imports of the file at `path`, relative to `src`.
fn violations(path: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    // The crate root and the binary stand above all layers.
    if !["lib.rs", "main.rs"].contains(&path) {
        let own = path.split(['/', '.']).next().unwrap();
        match layer(own) {
            Some(allowed) => {
                let mut above: Vec<&str> = imports(&code);
                above.retain(|name| *name != own && !allowed.contains(name));
                above.sort_unstable();
                above.dedup();
                found.extend(above.iter().map(|name| format!("{path}: {own} imports {name}")));
            }
            None => found.push(format!("{path}: {own} has no layer")),
        }
        // It could reach the root past this test; crate:: says the same and is seen.
        if code.contains("super::super") {
            found.push(format!("{path}: says super::super"));
        }
    }
    for (text, homes) in HOMES {
        if code.contains(text) && !homes.iter().any(|home| path.starts_with(home)) {
            found.push(format!("{path}: names {text}"));
        }
    }
    found
}

fn layer(name: &str) -> Option<&'static [&'static str]> {
    LAYERS.iter().find(|(layer, _)| *layer == name).map(|(_, allowed)| *allowed)
}

/// The text without comments, and without the tests at its end: they may read clocks.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that follow `crate::`, alone or in braces.
fn imports(code: &str) -> Vec<&str> {
    let mut modules = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => modules.extend(identifier(rest)),
            Some(group) => {
                let (mut depth, mut begins) = (1, true);
                for (i, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                    if begins && depth == 1 && !character.is_whitespace() {
                        modules.extend(identifier(&group[i..]));
                    }
                    begins =
                        depth == 1 && (character == ',' || (begins && character.is_whitespace()));
                }
            }
        }
    }
    modules
}

fn identifier(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    Some(&text[..end]).filter(|name| !name.is_empty())
}

/// Every source file that is not a test as a whole: its path below `src`, and its text.
fn sources() -> Vec<(String, String)> {
    let root = source_folder();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let module = fs::read_to_string(folder.join("mod.rs")).unwrap_or_default();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if module.contains(&format!("#[cfg(test)]\nmod {name};")) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((relative(&root, &path), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 50, "found only {} files", files.len());
    files
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/")
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}
