//! Runs the examples of README.md and docs: every command prints what the page shows, every
//! piece of configuration is one that `signpost check` accepts.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as the tests do")]

mod pages;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use pages::shell::Shell;
use pages::{Block, blocks, checkout};

#[test]
fn every_command_prints_what_its_page_shows() {
    let sessions = blocks("console");
    let mut differences = Vec::new();
    for page in pages::pages() {
        let blocks: Vec<&Block> = sessions.iter().filter(|block| block.page == page).collect();
        if blocks.is_empty() {
            continue;
        }
        let folder = checkout();
        let Some(mut shell) = Shell::start(folder.path()) else { return };
        // Only the README starts from nothing.
        if page != "README.md" {
            shell.run("cargo run --release");
        }
        for (block, step) in blocks.iter().flat_map(|block| steps(block)) {
            let printed = shell.run(&step.command);
            if !matches(&step, &printed) {
                let (place, command, shown) = (block.place(), &step.command, &step.printed);
                let (shown, printed) = (shown.join("\n"), printed.join("\n"));
                differences.push(format!("{place}: $ {command}\n{shown}\n--- but:\n{printed}\n"));
            }
        }
        shell.run("kill $(jobs -p); wait");
    }

    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_piece_of_configuration_is_legal() {
    for block in blocks("toml") {
        let folder = checkout();
        fs::write(folder.path().join("page.toml"), &block.text).unwrap();

        let output = Command::new(env!("CARGO_BIN_EXE_signpost"))
            .args(["check", "page.toml"])
            .current_dir(folder.path())
            .output()
            .unwrap();

        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{}", block.place());
    }
}

#[test]
fn the_table_of_keys_has_every_key_with_its_default() {
    let folder = checkout();
    let example = fs::read_to_string(folder.path().join("registry.toml")).unwrap();
    let page = fs::read_to_string(pages::root().join("docs/configuration.md")).unwrap();
    // Rows of server, dns, http, store, registry and limits have the section in the key.
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | `"));
    let rows = rows.filter(|(key, _)| key.contains('.'));
    let mut shown: Vec<String> =
        rows.map(|(key, rest)| format!("{key} = {}", rest.split('`').next().unwrap())).collect();

    let mut defaults = Vec::new();
    let mut section = "";
    for line in example.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.split(']').next().unwrap();
        }
        let key = line.strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphabetic));
        if section == "defaults" {
            break;
        }
        defaults.extend(key.map(|key| format!("{section}.{key}")));
    }
    shown.sort();
    defaults.sort();

    assert_eq!(shown, defaults);
}

#[test]
fn the_table_of_metrics_has_every_metric() {
    let folder = checkout();
    let Some(mut shell) = Shell::start(folder.path()) else { return };
    shell.run("cargo run --release");
    // A family without a member is not shown.
    shell.run("dig @127.0.0.1 -p 8053 web.service.local; curl -s http://127.0.0.1:8054/nothing");
    let samples = shell.run("curl -s http://127.0.0.1:8054/metrics | grep -v '^#'");
    let name = |line: &str| {
        let name = line.split(['{', ' ']).next().unwrap();
        // A histogram is three series.
        let histogram = ["_bucket", "_count", "_sum"].iter().find_map(|s| name.strip_suffix(s));
        histogram.unwrap_or(name).to_owned()
    };
    let real: BTreeSet<String> = samples.iter().map(|line| name(line)).collect();

    let page = fs::read_to_string(pages::root().join("docs/operations.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `signpost_"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    let names = cells.flat_map(|cell| cell.split('`').filter(|name| name.starts_with("signpost_")));
    let shown: BTreeSet<String> = names.map(str::to_owned).collect();

    assert_eq!(shown, real);
    let alerts: String = blocks("yaml").into_iter().map(|block| block.text).collect();
    let used = alerts.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    let used: BTreeSet<&str> = used.filter(|word| word.starts_with("signpost_")).collect();
    assert!(used.len() > 5 && used.iter().all(|name| real.contains(*name)), "{used:?}");
}

#[test]
fn the_readme_begins_with_the_command_that_serves() {
    let first = blocks("console").into_iter().next().unwrap();

    assert_eq!(steps(&first)[0].1.command, "cargo run --release");
}

#[test]
fn a_page_that_shows_something_else_is_found() {
    let shows = |command: &str, text: &str| Step {
        command: command.to_owned(),
        printed: text.lines().map(str::to_owned).collect(),
    };
    let printed = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();

    for (page, real, same) in [
        ("a\nb", "a\nb", true),
        ("a\nb", "b\na", false),
        ("a", "a\nb", false),
        ("a\n...\nd", "a\nb\nc\nd", true),
        ("...\nd", "d", true),
        ("a\n...", "b", false),
        ("rev [..] of [..]", "rev 7 of web", true),
        ("rev [..] of web", "rev 7 of cache", false),
        // What runs down may have run further down here.
        ("web  29s  yes", "web  28s  yes", true),
        ("web  29s  yes", "web  9s   yes", false),
        ("web  28s  yes", "web  29s  yes", false),
        (r#"{"expires_in_ms":29999}"#, r#"{"expires_in_ms":28000}"#, true),
        (r#"{"revision":29999}"#, r#"{"revision":28000}"#, false),
    ] {
        assert_eq!(matches(&shows("signpost ls", page), &printed(real)), same, "{page} | {real}");
    }
    // The order of records is the algorithm's business.
    assert!(matches(&shows("dig web", "a\nb"), &printed("b\na")));
    assert!(!matches(&shows("dig web", "a\nb"), &printed("b\nb")));
}

/// A command of a page and what the page says that it prints.
#[derive(Debug)]
struct Step {
    command: String,
    printed: Vec<String>,
}

/// The commands of a block: `$ ` begins one, `> ` continues it, the rest is what it prints.
fn steps(block: &Block) -> Vec<(&Block, Step)> {
    let mut steps: Vec<(&Block, Step)> = Vec::new();
    for line in block.text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let step = Step { command: command.to_owned(), printed: Vec::new() };
            steps.push((block, step));
            continue;
        }
        let (_, step) = steps.last_mut().expect("a block begins with a command");
        match line.strip_prefix("> ") {
            Some(more) if step.printed.is_empty() => {
                step.command.push('\n');
                step.command += more;
            }
            _ => step.printed.push(line.to_owned()),
        }
    }
    steps
}

/// Whether `printed` is what the page shows. In the page `...` is any number of lines and `[..]`
/// any text in a line; a span that runs down may be up to 5 s less than there.
fn matches(step: &Step, printed: &[String]) -> bool {
    let (mut shown, mut printed) = (step.printed.clone(), printed.to_vec());
    if step.command.starts_with("dig ") {
        shown.sort();
        printed.sort();
    }
    lines_match(&shown, &printed)
}

fn lines_match(shown: &[String], printed: &[String]) -> bool {
    match (shown, printed) {
        ([], []) => true,
        ([dots, rest @ ..], _) if dots.trim() == "..." => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        ([line, shown @ ..], [real, printed @ ..]) => {
            line_matches(line, real) && lines_match(shown, printed)
        }
        ([], _) | (_, []) => false,
    }
}

fn line_matches(shown: &str, real: &str) -> bool {
    let Some((before, after)) = shown.split_once("[..]") else {
        return text_matches(shown.trim_end(), real.trim_end());
    };
    let starts = (0..=real.len()).filter(|end| real.is_char_boundary(*end));
    let mut starts = starts.filter(|end| text_matches(before, &real[..*end]));
    starts.any(|end| {
        let ends = (end..=real.len()).filter(|from| real.is_char_boundary(*from));
        let mut ends = ends.filter(|from| line_matches(after, &real[*from..]));
        ends.next().is_some()
    })
}

fn text_matches(shown: &str, real: &str) -> bool {
    let (shown, real) = (words(shown), words(real));
    shown.len() == real.len()
        && shown.iter().zip(&real).enumerate().all(|(i, (shown_word, real_word))| {
            shown_word == real_word || ran_down(&shown, i, shown_word, real_word)
        })
}

/// Whether `real` is the span `shown` a little later: `28s` for `29s`, or the same behind `_ms`.
fn ran_down(words: &[&str], i: usize, shown: &str, real: &str) -> bool {
    let seconds = shown.strip_suffix('s').zip(real.strip_suffix('s'));
    let milliseconds = words[..i].iter().rev().find(|word| word.len() > 1);
    let milliseconds = milliseconds.filter(|word| word.ends_with("_ms")).map(|_| (shown, real));
    let within = |(shown, real): (&str, &str), most: u64| {
        let numbers = shown.parse::<u64>().ok().zip(real.parse::<u64>().ok());
        numbers.is_some_and(|(shown, real)| real <= shown && shown - real <= most)
    };
    seconds.is_some_and(|pair| within(pair, 5)) || milliseconds.is_some_and(|p| within(p, 5_000))
}

/// Words and what is between them, each a piece; how many blanks there are says nothing.
fn words(text: &str) -> Vec<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            pieces.push(&rest[..end]);
        }
        rest = &rest[end..];
    }
    pieces
}
