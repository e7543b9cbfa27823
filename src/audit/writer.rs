//! The thread that writes the log, and then answers those whose changes it wrote.
//!
//! A log that cannot be written stops nobody: what is missing is counted, and said in the log itself
//! by the first line that can be written again.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::audit::file::AuditFile;
use crate::audit::line::{self, Mark, mark};
use crate::model::Revision;
use crate::registry::{Clock, Entry, Tap, Turn};

/// The log of a running server.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    last_revision: Sender<Revision>,
    control: Control,
}

/// Counters of the log. Read by metrics.
#[derive(Debug, Default)]
pub struct AuditStats {
    /// Changes written.
    pub written: AtomicU64,
    /// Changes that are in no line.
    pub lost: Arc<AtomicU64>,
}

/// Says where the log goes. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Control {
    open: Arc<AtomicBool>,
    next: Arc<Mutex<Option<Next>>>,
}

/// Where the thread goes on; `None`: nowhere.
#[derive(Debug)]
struct Next(Option<AuditFile>);

impl Control {
    /// Goes on with `file`, or nowhere.
    pub fn follow(&self, file: Option<AuditFile>) {
        self.open.store(file.is_some(), Relaxed);
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Next(file));
    }

    fn take(&self) -> Option<Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Writer {
    /// Starts the thread, which writes to `file` that a server begins at `revision`, and then what
    /// comes by the tap, which is for the engine.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        file: Option<AuditFile>,
        revision: Revision,
        clock: Clock,
        stats: Arc<AuditStats>,
    ) -> io::Result<(Self, Tap)> {
        let (turns, received) = sync_channel(QUEUE);
        let (last_revision, last) = channel();
        let control = Control::default();
        control.follow(file);
        let tap = Tap { turns, open: Arc::clone(&control.open), lost: Arc::clone(&stats.lost) };
        let mut log =
            Log { control: control.clone(), clock, stats, file: None, failing: false, told: 0 };
        let work = move || {
            log.mark(Mark::Start(revision));
            log.follow(&received);
            // Nobody knows the last revision of a registry that did not end well.
            if let Ok(revision) = last.recv() {
                log.mark(Mark::Stop(revision));
            }
            log.sync();
        };
        let thread = std::thread::Builder::new().name("audit".into()).spawn(work)?;
        Ok((Self { thread, last_revision, control }, tap))
    }

    /// What says where the log goes.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Writes what is left, after the engine has ended with `revision`. Blocks.
    pub fn close(self, revision: Revision) {
        // A thread that is gone has said why.
        self.last_revision.send(revision).ok();
        self.thread.join().ok();
    }
}

/// What the thread holds.
struct Log {
    control: Control,
    clock: Clock,
    stats: Arc<AuditStats>,
    file: Option<AuditFile>,
    failing: bool,
    /// How many of those that are lost the log tells of.
    told: u64,
}

impl Log {
    /// Writes turns until nobody can send any.
    fn follow(&mut self, turns: &Receiver<Turn>) {
        loop {
            match turns.recv_timeout(REST) {
                Ok(turn) => {
                    self.write(&turn.entries, turn.at);
                    turn.answer();
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.turn_to_next();
                    self.sync();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn write(&mut self, entries: &[Entry], at: Duration) {
        self.turn_to_next();
        let (mut lines, mut count) = (Vec::new(), 0);
        for (i, entry) in entries.iter().enumerate() {
            line::write(entry, at, &mut lines);
            count += 1;
            if lines.len() >= CHUNK || i + 1 == entries.len() {
                self.append(&lines, count, at);
                lines.clear();
                count = 0;
            }
        }
    }

    fn mark(&mut self, of: Mark) {
        self.turn_to_next();
        let at = self.clock.wall();
        self.append(&mark(of, at), 0, at);
    }

    /// Appends `lines`, which tell of `count` changes, behind what is to be said of those lost before.
    fn append(&mut self, lines: &[u8], count: u64, at: Duration) {
        let Some(file) = &mut self.file else { return };
        let lost = self.stats.lost.load(Relaxed);
        let gap = (lost > self.told).then(|| mark(Mark::Gap(lost - self.told), at));
        match gap.map_or(Ok(()), |gap| file.append(&gap)).and_then(|()| file.append(lines)) {
            Ok(()) => {
                self.told = lost;
                self.stats.written.fetch_add(count, Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the audit log can be written again");
                }
            }
            Err(error) => {
                self.stats.lost.fetch_add(count, Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the audit log cannot be written, changes are missing");
                }
            }
        }
    }

    fn turn_to_next(&mut self) {
        if let Some(Next(file)) = self.control.take() {
            self.sync();
            self.file = file;
        }
    }

    fn sync(&mut self) {
        if let Some(Err(error)) = self.file.as_mut().map(AuditFile::sync) {
            tracing::error!(%error, "the audit log may not be on the disk");
        }
    }
}

/// Turns that may wait to be written; what comes then is lost, and counted.
const QUEUE: usize = 64;
/// After how long without a change what was written is put on disk.
const REST: Duration = Duration::from_secs(1);
/// Bytes that are written at once, about.
const CHUNK: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use super::*;
    use crate::model::{AuditPolicy, Author};
    use crate::registry::{Deed, Trigger};

    fn policy(folder: &Path) -> AuditPolicy {
        AuditPolicy { file: folder.join("audit.jsonl"), max_size: 1 << 20, keep: 1 }
    }

    fn reload(tap: &Tap) {
        let (author, trigger) = (Author::default(), Trigger::File);
        let entry = Entry { revision: Some(Revision(2)), author, trigger, deed: Deed::Reload };
        let turn = Turn::new(Duration::ZERO, vec![entry]);
        tap.turns.send(turn).unwrap();
    }

    fn words(folder: &Path) -> Vec<String> {
        let text = fs::read_to_string(folder.join("audit.jsonl")).unwrap();
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let what = |line: serde_json::Value| format!("{} {}", line["what"], line["lost"]);
        text.lines().map(|line| what(read(line))).collect()
    }

    #[test]
    fn what_could_not_be_written_is_said_when_it_can_be_again() {
        let folder = tempfile::tempdir().unwrap();
        let unwritable = File::open("/dev/null").unwrap();
        let broken = AuditFile::over(policy(folder.path()), unwritable);
        let stats = Arc::new(AuditStats::default());
        let (writer, tap) =
            Writer::start(Some(broken), Revision(1), Clock::start(), Arc::clone(&stats)).unwrap();

        reload(&tap);
        reload(&tap);
        while stats.lost.load(Relaxed) < 2 {
            std::thread::yield_now();
        }
        writer.control().follow(Some(AuditFile::open(policy(folder.path())).unwrap()));
        reload(&tap);
        drop(tap);
        writer.close(Revision(3));

        let expected = ["\"gap\" 2", "\"reload\" null", "\"stop\" null"];
        assert_eq!(words(folder.path()), expected);
        assert_eq!((stats.written.load(Relaxed), stats.lost.load(Relaxed)), (1, 2));
    }

    #[test]
    fn a_log_that_is_switched_off_says_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = AuditFile::open(policy(folder.path())).unwrap();
        let (writer, tap) =
            Writer::start(Some(file), Revision(1), Clock::start(), Arc::default()).unwrap();
        reload(&tap);
        while words(folder.path()).len() < 2 {
            std::thread::yield_now();
        }

        writer.control().follow(None);
        reload(&tap);
        drop(tap);
        writer.close(Revision(3));

        assert_eq!(words(folder.path()), ["\"start\" null", "\"reload\" null"]);
    }
}
