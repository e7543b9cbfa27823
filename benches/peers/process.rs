//! A server under test: started on its core with a folder of its own, measured, and stopped.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::clock::{now, sleep};
use crate::cores;

/// How to start a server whose files are written.
pub(crate) struct Plan {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
}

/// A running server. It ends with this value.
pub(crate) struct Process {
    child: Child,
    command: Command,
    folder: TempDir,
}

impl Process {
    /// Starts what `plan` says for a new folder, behind the words of `wrapper`.
    ///
    /// # Errors
    /// When the folder can't be written or the program not started.
    pub(crate) fn start(
        wrapper: &[&str],
        plan: impl FnOnce(&Path) -> io::Result<Plan>,
    ) -> io::Result<Self> {
        let folder = tempfile::tempdir_in(TEMPORARY)?;
        let plan = plan(folder.path())?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new("taskset");
        command
            .args(["-c", &cores::SERVER.to_string()])
            .args(wrapper.iter().map(|word| word.replace("FOLDER", &path(folder.path()))))
            .arg(plan.program)
            .args(plan.arguments)
            .env_remove("RUST_LOG")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn()?;
        Ok(Self { child, command, folder })
    }

    /// Ends it and starts it again.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.end();
        self.child = self.command.spawn()?;
        Ok(())
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the server ends before that, with what it said, or takes too long.
    pub(crate) fn wait(&mut self, mut ready: impl FnMut() -> bool) -> io::Result<()> {
        let start = now();
        while !ready() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || start.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                let log: Vec<&str> = log.lines().rev().take(5).collect();
                return Err(io::Error::other(format!("is not ready: {ended:?} {log:?}")));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until it has nothing more to do of its start or of what it was told.
    pub(crate) fn settle(&self) {
        let start = now();
        while start.elapsed() < PATIENCE {
            let before = self.cpu();
            sleep(QUIET);
            if self.cpu() - before < QUIET / 100 {
                return;
            }
        }
    }

    /// How long its processes and threads have run so far.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = self.family().into_iter().flat_map(|pid| {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        });
        let nanos =
            |stat: String| stat.split(' ').next().and_then(|field| field.parse::<u64>().ok());
        Duration::from_nanos(threads.filter_map(nanos).sum())
    }

    /// Bytes of memory that its processes hold. What they share is counted once: by `Pss`.
    pub(crate) fn memory(&self) -> u64 {
        let files = self
            .family()
            .into_iter()
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
        files
            .filter_map(|text| {
                let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
                line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
            })
            .map(|kib| kib * 1024)
            .sum()
    }

    /// Ends it in an orderly way, and waits for its whole family.
    pub(crate) fn stop(mut self) -> TempDir {
        self.end();
        let empty = tempfile::tempdir_in(TEMPORARY).expect("a temporary folder");
        std::mem::replace(&mut self.folder, empty)
    }

    /// The process and its children, and theirs.
    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(&pid) = family.get(next) {
            next += 1;
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            for task in tasks {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                family
                    .extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        family
    }

    fn end(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-s", "TERM", &pid]).stderr(Stdio::null()).status());
        if self.wait_for_end().is_err() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }

    fn wait_for_end(&mut self) -> io::Result<()> {
        let start = now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// An address where nobody listens. Between this and the server's start somebody might; then the
/// server fails, and says so.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    loop {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
}

/// A path as text.
pub(crate) fn path(path: &Path) -> String {
    path.display().to_string()
}

/// On the disk of the build, since `/tmp` may be memory, where syncing costs nothing.
const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");
/// One that runs for less than a hundredth of such a time has nothing to do.
const QUIET: Duration = Duration::from_millis(200);
/// How long a server may take to start or to end: valgrind is slow.
const PATIENCE: Duration = Duration::from_secs(120);
