//! How many instructions an answer costs, per algorithm and kind of question, and a change: against
//! a baseline that is kept beside the code. A count says the same on a busy machine as on an idle
//! one, so that it can fail a change where a time could not.
//!
//! `cargo bench --bench instructions` compares and fails when a row rose by more than 5 %;
//! `cargo bench --bench instructions -- --bless` makes the counts of now the baseline.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod baseline;
mod callgrind;
mod change;
mod packet;
mod rows;

use std::fs;
use std::process::ExitCode;

use baseline::Baseline;

fn main() -> ExitCode {
    let asked = |flag| std::env::args().any(|argument| argument == flag);
    if asked(callgrind::COUNTED) {
        rows::run();
        return ExitCode::SUCCESS;
    }
    if !callgrind::present() {
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        println!("skipped: valgrind does not work here, which ./test installs");
        return if ci { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let now = Baseline { made: callgrind::made(), rows: callgrind::count() };
    if asked("--bless") {
        fs::write(BASELINE, now.to_string()).expect("the baseline can be written");
        println!("{now}");
        return ExitCode::SUCCESS;
    }
    let text = fs::read_to_string(BASELINE).expect("the baseline can be read");
    let compared = Baseline::parse(&text).compare(&now);
    println!("{compared}");
    if compared.fails() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/baseline.toml");
