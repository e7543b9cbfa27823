//! Runs this program under callgrind, which counts only inside [`counted`], and reads the counts.

use std::env::consts::ARCH;
use std::process::{Command, Stdio};

use crate::baseline::{Made, Row};
use crate::rows;

/// The argument that makes this program the one that is counted.
pub(crate) const COUNTED: &str = "--counted";

/// Does `work` again and again, counted. Never part of its caller, since callgrind knows it by name.
#[inline(never)]
pub(crate) fn counted(times: u64, work: &mut dyn FnMut()) {
    (0..times).for_each(|_| work());
}

/// Whether callgrind works here.
pub(crate) fn present() -> bool {
    let mut command = Command::new("valgrind");
    command.args(["--tool=none", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The compiler of this program, and its processor.
pub(crate) fn made() -> Made {
    // Cargo runs benches with the toolchain that has built them.
    let rustc = Command::new("rustc").arg("--version").output().expect("cargo has a rustc");
    let rustc = String::from_utf8_lossy(&rustc.stdout).trim().to_owned();
    Made { rustc, processor: ARCH.to_owned() }
}

/// What each row costs, once: the median of some runs, since how a map is laid out is chance.
pub(crate) fn count() -> Vec<Row> {
    let runs: Vec<Vec<u64>> = (0..RUNS).map(|_| run()).collect();
    let rows = rows::rows().into_iter().enumerate();
    let median = |(i, (name, times)): (usize, (String, u64))| {
        let mut counts: Vec<u64> = runs.iter().map(|counts| counts[i]).collect();
        counts.sort_unstable();
        Row { name, instructions: counts[RUNS / 2] / times }
    };
    rows.map(median).collect()
}

/// All counts of one run, in the order of the rows.
fn run() -> Vec<u64> {
    let folder = tempfile::tempdir().expect("a folder for the counts");
    let out = folder.path().join("counts");
    let status = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--combine-dumps=yes"])
        .args([format!("--toggle-collect={FUNCTION}"), format!("--dump-after={FUNCTION}")])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().expect("this program has a path"))
        .arg(COUNTED)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "valgrind failed");
    let counts = parts(&std::fs::read_to_string(out).expect("callgrind has written the counts"));
    assert_eq!(counts.len(), rows::rows().len(), "one part for each row");
    counts
}

/// The total of each part that was written since [`counted`] had ended.
fn parts(text: &str) -> Vec<u64> {
    let mut counts = Vec::new();
    let mut ours = false;
    for line in text.lines() {
        if let Some(trigger) = line.strip_prefix("desc: Trigger: ") {
            ours = trigger.starts_with("--dump-after");
        } else if let Some(count) = line.strip_prefix("summary: ").filter(|_| ours) {
            counts.push(count.trim().parse().expect("a summary of one number"));
        }
    }
    counts
}

/// The name of [`counted`] in callgrind's words.
const FUNCTION: &str = "*::counted";
/// Odd, for a median; a run takes a second.
const RUNS: usize = 5;
