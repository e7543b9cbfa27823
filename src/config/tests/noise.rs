//! Whatever a file holds, the loader answers with settings or with faults that lie in the file.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::config::{ConfigError, parse};

fn check(text: &str) -> Result<(), TestCaseError> {
    let Err(error) = parse(text, Path::new("/nonexistent/registry.toml")) else {
        return Ok(());
    };
    prop_assert!(matches!(error, ConfigError::Illegal(_)));
    let lines: Vec<&str> = text.split('\n').collect();
    let mut last = (0, 0);
    for fault in error.faults() {
        let line = lines.get(fault.line - 1);
        prop_assert!(line.is_some_and(|l| fault.column <= l.chars().count() + 1), "{}", fault);
        prop_assert!(last <= (fault.line, fault.column), "{}", error);
        prop_assert!(!fault.message.is_empty());
        last = (fault.line, fault.column);
    }
    Ok(())
}

const EXAMPLE: &str = include_str!("../../../registry.toml");

/// Pieces that are legal somewhere, so that most mixtures get past the parser.
const PIECES: [&str; 20] = [
    "[server]\n",
    "[dns]\n",
    "[limits]\n",
    "[services.web]\n",
    "[services]\n",
    "[[services.web.instances]]\n",
    "[[services]]\n",
    "instances = [{}, 1]\n",
    "id = \"web-1\"\n",
    "id = 7\n",
    "addresses = [\"10.0.0.1\", \"::\"]\n",
    "ports = [{ port = 1 }, { port = 0, x = 1 }]\n",
    "port = 80\n",
    "ttl = \"5s\"\n",
    "ttl = 1979-05-27\n",
    "zones = [\"*\", \"..\", \"\", \"/\"]\n",
    "listen = [\"0.0.0.0:53\"]\n",
    "client_prefix = [1, 2, 3]\n",
    "allow = [\"10.0.0.0/8\"]\n",
    "a.\"b c\".d = { e = [] }\n",
];

fn settings() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_mixture_of_legal_pieces_is_answered(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12),
    ) {
        check(&pieces.concat())?;
    }

    #[test]
    fn the_example_with_lines_exchanged_is_answered(
        (from, to) in (0..EXAMPLE.lines().count(), 0..EXAMPLE.lines().count()),
        uncommented in any::<bool>(),
    ) {
        let mut lines: Vec<&str> = EXAMPLE.lines().collect();
        lines.swap(from, to);
        if uncommented {
            for line in &mut lines {
                *line = line.strip_prefix('#').unwrap_or(line);
            }
        }
        check(&lines.join("\n"))?;
    }

    #[test]
    fn the_example_with_characters_replaced_is_answered(
        at in 0..EXAMPLE.len(),
        length in 0usize..8,
        by in "[\\[\\]{}\"'=.,#\\-0a\n\u{e9}]{0,4}",
    ) {
        let mut text = EXAMPLE.to_owned();
        text.replace_range(at..(at + length).min(EXAMPLE.len()), &by);
        check(&text)?;
    }
}
