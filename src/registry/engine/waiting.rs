//! Writes that wait for the store. A slow store lets them pile up, and who sent them may have hung
//! up since, so that no limit of connections bounds them: this does, by number and by bytes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{Author, Millis, Token};
use crate::registry::plan::Write;
use crate::registry::refusal::Refusal;
use crate::registry::reply::Reply;

/// The queue, first come first served.
#[derive(Default)]
pub(super) struct Waiting {
    writes: VecDeque<Waiter>,
    /// About how many bytes they take.
    bytes: usize,
    /// When it is worth another look at who has gone.
    sweep_at: Millis,
}

struct Waiter {
    author: Author,
    write: Write,
    reply: Reply,
    bytes: usize,
}

impl Waiting {
    /// Adds a write, or refuses it where there is no room.
    pub(super) fn push(&mut self, author: Author, write: Write, reply: Reply, now: Millis) {
        let bytes = footprint(&write, &reply);
        if !self.has_room(bytes) && now >= self.sweep_at {
            self.sweep_at = now + SWEEP;
            self.sweep();
        }
        if !self.has_room(bytes) {
            return reply.refuse(Refusal::Behind);
        }
        self.bytes += bytes;
        self.writes.push_back(Waiter { author, write, reply, bytes });
    }

    /// The next that somebody still waits for. Of the others nobody was told anything, and so they
    /// need not be done.
    pub(super) fn next(&mut self) -> Option<(Author, Write, Reply)> {
        while let Some(Waiter { author, write, reply, bytes }) = self.writes.pop_front() {
            self.bytes -= bytes;
            if !reply.is_closed() {
                return Some((author, write, reply));
            }
        }
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// One that is larger than all may be together has its turn alone.
    fn has_room(&self, bytes: usize) -> bool {
        let fits = self.writes.len() < MAX_WRITES && self.bytes + bytes <= MAX_BYTES;
        fits || self.writes.is_empty()
    }

    fn sweep(&mut self) {
        self.writes.retain(|waiter| !waiter.reply.is_closed());
        self.bytes = self.writes.iter().map(|waiter| waiter.bytes).sum();
    }
}

/// About how many bytes a write takes while it waits.
fn footprint(write: &Write, reply: &Reply) -> usize {
    let write = match write {
        Write::Register { spec, .. } => spec.footprint(),
        Write::Patch { patch, .. } => patch.footprint(),
        Write::Override { patch, .. } => patch.footprint(),
        Write::Statuses(reports) => size_of_val(&**reports),
        Write::Batch { deregister, register } => {
            let specs = register.iter().map(|(_, _, spec)| NAMES + spec.footprint());
            deregister.len() * NAMES + specs.sum::<usize>()
        }
        Write::Deregister { .. } | Write::Forget { .. } | Write::RevokeToken(_) => 0,
        Write::AddToken(_) => size_of::<Token>(),
    };
    let reply = match reply {
        Reply::Renewed(renewals, results, _) => {
            renewals.len() * NAMES + size_of_val(&**renewals) + size_of_val(&**results)
        }
        Reply::Instance(..) | Reply::Settings(..) | Reply::Revision(_) => 0,
    };
    size_of::<Waiter>() + NAMES + write + reply
}

/// How many may wait.
const MAX_WRITES: usize = 65_536;
/// About how many bytes all of them may take.
const MAX_BYTES: usize = 64 << 20;
/// How often a full queue is looked through for those whose clients have gone.
const SWEEP: Duration = Duration::from_millis(100);
/// A service and an id, as long as they may be.
const NAMES: usize = 192;
