//! The thread that writes the log, and then answers those whose changes it wrote.
//!
//! A log that cannot be written stops nobody: what is missing is counted, and said in the log itself
//! by the first line that can be written again.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::audit::file::AuditFile;
use crate::audit::line::{self, Mark, mark};
use crate::model::Revision;
use crate::registry::{Clock, Turn};

/// The log of a running server.
#[derive(Debug)]
pub struct Writer {
    ended: Receiver<()>,
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
    /// Whether there is a log now.
    #[must_use]
    pub fn open(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.open)
    }

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
    /// is sent to it.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        file: Option<AuditFile>,
        revision: Revision,
        clock: Clock,
        stats: Arc<AuditStats>,
    ) -> io::Result<(Self, SyncSender<Turn>)> {
        let (turns, received) = sync_channel(QUEUE);
        let (last_revision, last) = channel();
        let control = Control::default();
        control.follow(file);
        let mut log = Log {
            control: control.clone(),
            clock,
            stats,
            file: None,
            failing: false,
            failed: 0,
            told: 0,
        };
        let (alive, ended) = channel();
        let work = move || {
            let _alive: Sender<()> = alive;
            log.mark(Mark::Start(revision), 0);
            log.follow(&received);
            // Nobody knows the last revision of a registry that did not end well.
            if let Ok(revision) = last.recv() {
                let lost = log.stats.lost.load(Relaxed) - log.failed;
                log.mark(Mark::Stop(revision), lost);
            }
            log.sync();
        };
        std::thread::Builder::new().name("audit".into()).spawn(work)?;
        Ok((Self { ended, last_revision, control }, turns))
    }

    /// What says where the log goes.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Writes what is left, after the engine has ended with `revision`. Blocks, but not for long: a disk
    /// that hangs must not keep the process.
    pub fn close(self, revision: Revision) {
        // A thread that is gone has said why.
        self.last_revision.send(revision).ok();
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the audit log is not written in time, its end is missing");
        }
    }
}

/// What the thread holds.
struct Log {
    control: Control,
    clock: Clock,
    stats: Arc<AuditStats>,
    file: Option<AuditFile>,
    failing: bool,
    /// How many changes could not be written.
    failed: u64,
    /// How many of all that are missing the log tells of.
    told: u64,
}

impl Log {
    /// Writes turns until nobody can send any.
    fn follow(&mut self, turns: &Receiver<Turn>) {
        loop {
            match turns.recv_timeout(REST) {
                Ok(turn) => {
                    self.write(&turn);
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

    fn write(&mut self, turn: &Turn) {
        self.turn_to_next();
        let (entries, at) = (&turn.entries, turn.at);
        let (mut lines, mut count) = (Vec::new(), 0);
        for (i, entry) in entries.iter().enumerate() {
            line::write(entry, at, &mut lines);
            count += 1;
            if lines.len() >= CHUNK || i + 1 == entries.len() {
                self.append(&lines, count, turn.lost, at);
                lines.clear();
                count = 0;
            }
        }
    }

    fn mark(&mut self, of: Mark, lost: u64) {
        self.turn_to_next();
        let at = self.clock.wall();
        self.append(&mark(of, at), 0, lost, at);
    }

    /// Appends `lines`, which tell of `count` changes, behind what is to be said of those missing
    /// before: `lost` never came here, others failed to be written.
    fn append(&mut self, lines: &[u8], count: u64, lost: u64, at: Duration) {
        let Some(file) = &mut self.file else { return };
        let missing = lost + self.failed;
        let gap = (missing > self.told).then(|| mark(Mark::Gap(missing - self.told), at));
        match gap.map_or(Ok(()), |gap| file.append(&gap)).and_then(|()| file.append(lines)) {
            Ok(()) => {
                self.told = missing;
                self.stats.written.fetch_add(count, Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the audit log can be written again");
                }
            }
            Err(error) => {
                self.failed += count;
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

/// How long the end of a process waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
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
    use crate::registry::{Deed, Entry, Trigger};

    fn policy(folder: &Path) -> AuditPolicy {
        AuditPolicy { file: folder.join("audit.jsonl"), max_size: 1 << 20, keep: 1 }
    }

    fn reload(turns: &SyncSender<Turn>) {
        let (author, trigger) = (Author::default(), Trigger::File);
        let entry = Entry { revision: Some(Revision(2)), author, trigger, deed: Deed::Reload };
        let turn = Turn::new(Duration::ZERO, vec![entry]);
        turns.send(turn).unwrap();
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
        let broken = AuditFile::over(policy(Path::new("/no/such/folder")), unwritable);
        let stats = Arc::new(AuditStats::default());
        let (writer, turns) =
            Writer::start(Some(broken), Revision(1), Clock::start(), Arc::clone(&stats)).unwrap();

        reload(&turns);
        reload(&turns);
        while stats.lost.load(Relaxed) < 2 {
            std::thread::yield_now();
        }
        writer.control().follow(Some(AuditFile::open(policy(folder.path())).unwrap()));
        reload(&turns);
        drop(turns);
        writer.close(Revision(3));

        let expected = ["\"gap\" 2", "\"reload\" null", "\"stop\" null"];
        assert_eq!(words(folder.path()), expected);
        assert_eq!((stats.written.load(Relaxed), stats.lost.load(Relaxed)), (1, 2));
    }

    #[test]
    fn a_log_that_is_switched_off_says_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = AuditFile::open(policy(folder.path())).unwrap();
        let (writer, turns) =
            Writer::start(Some(file), Revision(1), Clock::start(), Arc::default()).unwrap();
        reload(&turns);
        while words(folder.path()).len() < 2 {
            std::thread::yield_now();
        }

        writer.control().follow(None);
        reload(&turns);
        drop(turns);
        writer.close(Revision(3));

        assert_eq!(words(folder.path()), ["\"start\" null", "\"reload\" null"]);
    }
}
