//! A watcher whose machine is gone without a word: nothing tells the server but silence.

use std::process::Command;

use crate::support::needs;

#[test]
fn a_watcher_that_is_gone_gives_its_place_back_within_a_minute() {
    let Some(network) = needs::networks() else { return };
    if !needs::works(needs::CURL) {
        return;
    }
    // While the only interface is down, nothing reaches anybody, not even a reset. A comment is due
    // after 15 s at most, and has 45 s to be taken.
    let script = format!(
        r#"
        set -e
        ip link set lo up
        {signpost} serve --config registry.toml --http 127.0.0.1:8054 >/dev/null 2>log &
        curl -sS --retry 50 --retry-delay 1 --retry-all-errors -o /dev/null http://127.0.0.1:8054/readyz
        curl -sN http://127.0.0.1:8054/v1/watch >watched 2>&1 &
        until grep -q reset watched; do :; done
        ip link set lo down
        sleep 64
        ip link set lo up
        curl -s http://127.0.0.1:8054/metrics | grep -E '^signpost_http_(watchers|watches_ended_total.*slow)'
        "#,
        signpost = env!("CARGO_BIN_EXE_signpost"),
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("registry.toml"), "store.kind = \"memory\"").unwrap();

    let output = Command::new(network[0])
        .args(&network[1..])
        .args(["sh", "-c", &script])
        .current_dir(folder.path())
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["signpost_http_watchers 0", "signpost_http_watches_ended_total{reason=\"slow\"} 1"],
        "{complaints}{log}"
    );
}
