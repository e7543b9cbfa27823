//! Instructions that a server spends on a query outside the system, as callgrind counts them.
//!
//! The difference of two runs of different length, so that start and end do not count. A server in
//! valgrind is slow, so queries queue up and are taken by the batch, as under full load.

use std::fs;
use std::io;
use std::path::Path;

use crate::data::{Data, Set};
use crate::flood::{Flood, Until};
use crate::servers::Server;

/// Instructions per query.
///
/// # Errors
/// When the server does not run in valgrind.
pub(crate) fn per_query(server: Server, data: Data, set: Set) -> io::Result<f64> {
    let [few, many] = RUNS;
    let (less, more) = (count(server, data, set, few)?, count(server, data, set, many)?);
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    let mean = more.saturating_sub(less) as f64 / (many - few) as f64;
    Ok(mean)
}

fn count(server: Server, data: Data, set: Set, queries: u64) -> io::Result<u64> {
    let running = server.start(data, CALLGRIND)?;
    let tally = Flood::new(running.dns, data.questions(set))?.run(Until::Answered(queries))?;
    if tally.answered < queries {
        return Err(io::Error::other(format!("{tally:?}")));
    }
    let folder = running.process.stop();
    totals(folder.path())
}

/// The sum over all processes: each writes a file of its own.
fn totals(folder: &Path) -> io::Result<u64> {
    let mut sum = None;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("callgrind.") {
            let text = fs::read_to_string(entry.path())?;
            let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
            let total = total.and_then(|total| total.trim().parse::<u64>().ok());
            sum = Some(sum.unwrap_or(0) + total.unwrap_or(0));
        }
    }
    sum.ok_or_else(|| io::Error::other("valgrind wrote nothing"))
}

const CALLGRIND: &[&str] =
    &["valgrind", "--tool=callgrind", "--callgrind-out-file=FOLDER/callgrind.%p"];

/// Queries of the two runs.
const RUNS: [u64; 2] = [5_000, 35_000];
