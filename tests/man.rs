//! The manual pages: those who read such pages find nothing wrong with them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use support::needs;

fn signpost(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_signpost")).args(arguments).output().unwrap()
}

fn pages() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("man1");
    let written = signpost(&["man", "--dir", inner.to_str().unwrap()]);
    assert!(written.status.success(), "{written:?}");
    let mut pages: Vec<_> =
        fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    (folder, pages)
}

#[test]
fn every_command_has_a_page_which_is_the_one_it_prints() {
    let (_folder, pages) = pages();
    let help = String::from_utf8(signpost(&["--help"]).stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = commands
        .map_while(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(' ').next().unwrap())
        .filter(|command| *command != "help")
        .collect();

    assert!(commands.len() > 12, "{commands:?}");
    for words in commands.iter().map(|c| vec![*c]).chain([vec!["token", "create"], vec![]]) {
        let name = [&["signpost"][..], &words].concat().join("-");
        let page = pages.iter().find(|page| page.ends_with(format!("{name}.1"))).unwrap();
        let printed = signpost(&[&["man"], &words[..]].concat());
        assert_eq!(fs::read(page).unwrap(), printed.stdout, "{name}");
    }
}

#[test]
fn mandoc_and_groff_have_no_complaint() {
    if !needs::works(&["mandoc", "-Tascii", "/dev/null"]) || !needs::works(&["man", "--version"]) {
        return;
    }
    let (_folder, pages) = pages();

    let lint = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).args(&pages).output().unwrap();
    assert_eq!(String::from_utf8(lint.stdout).unwrap(), "");
    for page in &pages {
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l"]).arg(page);
        // As lintian does: a width that cuts no word.
        let shown = man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80").output().unwrap();
        assert_eq!(String::from_utf8(shown.stderr).unwrap(), "", "{}", page.display());
        assert!(shown.status.success() && !shown.stdout.is_empty());
    }
}
