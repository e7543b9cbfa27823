//! The rows in their order: what is done in each, how often, and what it is called.

use std::hint::black_box;

use crate::callgrind::counted;
use crate::change::Changing;
use crate::packet::{QUESTIONS, front};

/// The name of each row and how often it is done, in the order of [`run`].
pub(crate) fn rows() -> Vec<(String, u64)> {
    let questions = QUESTIONS.iter().map(|question| (question.row.to_owned(), PACKETS));
    let changes = ["a registration", "a heartbeat"].map(|row| (row.to_owned(), CHANGES));
    questions.chain(changes).collect()
}

/// Does all rows.
pub(crate) fn run() {
    let (front, mut reply) = (front(), Vec::new());
    for question in &QUESTIONS {
        let (packet, peer) = (question.packet(), question.peer());
        row(PACKETS, &mut || {
            assert!(front.handle(black_box(&packet), peer, &mut reply), "there is a reply");
        });
    }
    let mut changing = Changing::new();
    row(CHANGES, &mut || changing.register());
    row(CHANGES, &mut || changing.renew());
}

/// Does `work` until everything that is made once has been made, then counted.
fn row(times: u64, work: &mut dyn FnMut()) {
    (0..times / 10).for_each(|_| work());
    counted(times, work);
}

/// Enough for what depends on chance to be within 1 % of its mean.
const PACKETS: u64 = 1_000;
const CHANGES: u64 = 200;
