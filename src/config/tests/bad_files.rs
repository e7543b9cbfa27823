//! Each way a file can be wrong, and exactly what the user is told: place, key, reason, advice.
//!
//! `bad_files.txt` holds them: a file, a line of `----`, what is said of it, a line of `====`.

use std::path::Path;

use crate::config::{Fault, parse};

const CASES: &str = include_str!("bad_files.txt");

#[test]
fn every_fault_is_placed_named_and_explained() {
    let mut count = 0;
    for case in CASES.split_terminator("\n====\n") {
        let (text, said) = case.split_once("\n----\n").unwrap();

        let error = parse(text, Path::new("registry.toml")).unwrap_err();

        assert_eq!(error.to_string(), said, "of this file:\n{text}\n");
        count += 1;
    }
    assert!(count > 70, "only {count} cases");
}

#[test]
fn a_fault_carries_what_it_prints() {
    let text = "[services.web]\nbalance = \"fast\"\nmax_answer = 3\n";

    let error = parse(text, Path::new("etc/registry.toml")).unwrap_err();

    let keys = "balance, answer, ttl, max_answers, srv_tiers, srv_weight_max, txt, slow_start, \
                panic, panic_mode, protect, checks, locality, hot_key_replicas, protect_for, \
                ejection, ejection_failures, ejection_base, ejection_max, instances";
    let algorithms =
        "round_robin, random, weighted_round_robin, least_connections, consistent_hash";
    let faults: Vec<Fault> = error.faults().cloned().collect();
    assert_eq!(
        faults,
        [
            Fault {
                path: "etc/registry.toml".into(),
                line: 2,
                column: 11,
                key: "services.web.balance".into(),
                message: "unknown value \"fast\"".into(),
                hint: Some(format!("allowed here: {algorithms}")),
            },
            Fault {
                path: "etc/registry.toml".into(),
                line: 3,
                column: 1,
                key: "services.web.max_answer".into(),
                message: "unknown key".into(),
                hint: Some(format!("did you mean `max_answers`? allowed here: {keys}")),
            },
        ]
    );
}

#[test]
fn too_many_faults_are_counted() {
    let text: String = (10..41).map(|i| format!("unknown{i} = 1\n")).collect();

    let error = parse(&text, Path::new("registry.toml")).unwrap_err();

    assert_eq!(error.faults().count(), 20);
    assert!(error.to_string().ends_with("\nand at least 11 more"), "{error}");
}

#[test]
fn line_ends_and_marks_of_other_systems_do_not_move_the_place() {
    let text = "\u{feff}[dns]\r\nttl = \"5s\"\r\nmax_answers = 5000\r\n";

    let error = parse(text, Path::new("registry.toml")).unwrap_err();

    let place = error.faults().map(|fault| (fault.line, fault.column)).next();
    assert_eq!(place, Some((3, 15)));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = crate::config::load(Path::new("/nonexistent/registry.toml")).unwrap_err();

    let text = error.to_string();
    assert!(text.starts_with("/nonexistent/registry.toml: cannot be read: "), "{text}");
    assert_eq!(error.faults().count(), 0);
}
