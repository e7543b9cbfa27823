//! What fails the counting of instructions (`cargo bench --bench instructions`, which `./test` runs),
//! on counts made up for it.

#[path = "../benches/instructions/baseline.rs"]
mod baseline;

use baseline::{Baseline, Made, Row};

/// A baseline of two rows.
fn kept() -> Baseline {
    let made = Made { rustc: "rustc 1.95.0".into(), processor: "x86_64".into() };
    Baseline { made, rows: vec![row("A of 4", 1_000), row("no such service", 600)] }
}

fn row(name: &str, instructions: u64) -> Row {
    Row { name: name.into(), instructions }
}

/// Whether it fails, and what is said of the rows.
fn verdict(now: &Baseline) -> (bool, Vec<String>) {
    let compared = kept().compare(now);
    (compared.fails(), compared.to_string().lines().map(str::to_owned).collect())
}

/// What is kept, with the first row at this count.
fn with(instructions: u64) -> Baseline {
    let mut now = kept();
    now.rows[0].instructions = instructions;
    now
}

#[test]
fn a_rise_fails_and_names_its_row() {
    let (fails, lines) = verdict(&with(1_051));

    assert!(fails);
    assert_eq!(
        lines,
        [
            "row                                      baseline          now",
            "A of 4                                       1000         1051  \
             ROSE by 5.1 %, from 1000 to 1051",
            "no such service                               600          600",
        ]
    );
}

#[test]
fn what_is_within_the_tolerance_passes() {
    for instructions in [950, 1_000, 1_050] {
        assert!(!verdict(&with(instructions)).0, "{instructions}");
    }
}

#[test]
fn a_fall_passes_and_asks_for_a_new_baseline() {
    let (fails, lines) = verdict(&with(949));

    assert!(!fails);
    assert!(lines[1].ends_with("949  fell: renew the baseline with -- --bless"), "{lines:?}");
}

#[test]
fn a_row_that_only_one_side_has_fails() {
    let (mut more, mut less) = (kept(), kept());
    more.rows.push(row("SRV", 2_000));
    less.rows.pop();

    for (now, said) in [(more, "NEW"), (less, "GONE")] {
        let (fails, lines) = verdict(&now);
        assert!(fails && lines.last().unwrap().contains(said), "{lines:?}");
    }
}

#[test]
fn another_compiler_is_compared_and_said() {
    let mut now = with(1_100);
    now.made.rustc = "rustc 1.96.0".into();

    let (fails, lines) = verdict(&now);

    assert!(fails);
    assert_eq!(lines[0], "made by rustc 1.96.0 on x86_64, compared with rustc 1.95.0 on x86_64");
}

#[test]
fn another_processor_is_not_compared() {
    let mut now = with(2_000);
    now.made.processor = "aarch64".into();

    let (fails, lines) = verdict(&now);

    assert!(!fails);
    assert_eq!(lines[0], "nothing to compare with: the baseline is of rustc 1.95.0 on x86_64");
}

#[test]
fn a_baseline_reads_what_it_wrote() {
    assert_eq!(Baseline::parse(&kept().to_string()), kept());
}
