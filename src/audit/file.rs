//! A file that is only appended to, and that makes room for another when it is long enough.
//!
//! | file | is |
//! |---|---|
//! | `audit.jsonl` | appended to |
//! | `audit.jsonl.1` | the last one that was full |
//! | `audit.jsonl.N` | the oldest one; the next rotation removes it |
//!
//! Whoever moves it away finds a new one begun at the next change.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::model::AuditPolicy;

/// The file that is appended to.
#[derive(Debug)]
pub struct AuditFile {
    policy: AuditPolicy,
    file: File,
    size: u64,
    /// Whether the last line has no end: a write failed in its middle.
    torn: bool,
    /// Whether anything was written since the last [`Self::sync`].
    dirty: bool,
}

/// A file that cannot be appended to.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write the audit log {}: {source}; its folder must exist, and this user must be allowed \
     to write there",
    path.display()
)]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

impl AuditFile {
    /// Opens the file of `policy`, or makes it, for its owner alone.
    ///
    /// # Errors
    /// When it is no file of its own (a link, a device), or the system does not let us.
    pub fn open(policy: AuditPolicy) -> Result<Self, OpenError> {
        let opened = open(&policy.file).and_then(|mut file| {
            let size = file.metadata()?.len();
            // Of a process that was killed, or a disk that was full, in the middle of a line.
            let torn = size > 0 && last_byte(&mut file)? != b'\n';
            Ok((file, size, torn))
        });
        match opened {
            Ok((file, size, torn)) => Ok(Self { policy, file, size, torn, dirty: false }),
            Err(source) => Err(OpenError { path: policy.file, source }),
        }
    }

    /// One whose `file` is somebody else's choice.
    #[cfg(test)]
    pub(super) fn over(policy: AuditPolicy, file: File) -> Self {
        Self { policy, file, size: 0, torn: false, dirty: false }
    }

    /// Appends `lines`, whole lines each of which ends with a line feed, all to one file.
    ///
    /// # Errors
    /// When the system could not take all of them. Some may have been written.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.stay_at_its_path()?;
        if self.size > 0 && self.size + lines.len() as u64 > self.policy.max_size {
            self.rotate();
        }
        self.dirty = true;
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
            self.size += 1;
        }
        // Until all of it is written the last line may be without its end.
        self.torn = true;
        self.file.write_all(lines)?;
        self.torn = false;
        self.size += lines.len() as u64;
        Ok(())
    }

    /// Puts on disk what was written.
    ///
    /// # Errors
    /// When the disk could not take it.
    pub fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Begins anew where somebody has moved the file away, or another in its place. What has a name
    /// yet, though another one, goes on as long as nothing can be begun.
    fn stay_at_its_path(&mut self) -> io::Result<()> {
        let own = self.file.metadata()?;
        let there = fs::symlink_metadata(&self.policy.file);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
            return Ok(());
        }
        self.sync()?;
        match Self::open(self.policy.clone()) {
            Ok(new) => *self = new,
            Err(_) if own.nlink() > 0 => {}
            Err(error) => return Err(error.source),
        }
        Ok(())
    }

    /// Gives the file a number and begins another. Where that cannot be done the file grows: a long
    /// log is better than none.
    fn rotate(&mut self) {
        let begun = self.begin_another();
        let file = self.policy.file.display();
        match begun {
            Ok(()) => tracing::info!(%file, "the audit log was full, it has the number 1"),
            Err(error) => {
                tracing::error!(%error, %file, "the audit log cannot be rotated, it goes on growing");
                // Not at each line.
                self.size = 0;
            }
        }
    }

    fn begin_another(&mut self) -> io::Result<()> {
        self.sync()?;
        let path = &self.policy.file;
        for n in (1..self.policy.keep).rev() {
            match fs::rename(numbered(path, n), numbered(path, n + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        if self.policy.keep == 0 {
            fs::remove_file(path)?;
        } else {
            fs::rename(path, numbered(path, 1))?;
        }
        self.file = open(path)?;
        (self.size, self.torn) = (0, false);
        Ok(())
    }
}

/// `audit.jsonl` and 2 are `audit.jsonl.2`.
fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

/// Opens a file that nobody else chose. Root may do this in a folder of the server's: what a link
/// there points to must be neither written nor given away.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let not_through_links = OFlags::NOFOLLOW.bits().cast_signed();
    options.read(true).append(true).mode(0o600).custom_flags(not_through_links);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // At night an operator is root, and the server, whose folder it is, is not. Who may not
            // give files away is the server.
            if let Some(folder) = path.parent().and_then(|folder| folder.metadata().ok()) {
                fchown(&file, Some(folder.uid()), Some(folder.gid())).ok();
            }
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = options.open(path)?;
            let metadata = file.metadata()?;
            if !metadata.is_file() || metadata.nlink() > 1 {
                let reason = "it is no ordinary file, or has another name too";
                return Err(io::Error::new(ErrorKind::InvalidInput, reason));
            }
            Ok(file)
        }
        Err(error) => Err(error),
    }
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(folder: &Path, max_size: u64, keep: u32) -> AuditPolicy {
        AuditPolicy { file: folder.join("audit.jsonl"), max_size, keep }
    }

    fn read(folder: &Path, name: &str) -> Option<String> {
        fs::read_to_string(folder.join(name)).ok()
    }

    #[test]
    fn what_was_there_stays_and_a_torn_line_gets_its_end() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("audit.jsonl"), "{}\n{\"to").unwrap();

        let mut file = AuditFile::open(policy(folder.path(), 1_000, 1)).unwrap();
        file.append(b"[1]\n[2]\n").unwrap();
        drop(file);
        let mut file = AuditFile::open(policy(folder.path(), 1_000, 1)).unwrap();
        file.append(b"[3]\n").unwrap();

        let all = "{}\n{\"to\n[1]\n[2]\n[3]\n";
        assert_eq!(read(folder.path(), "audit.jsonl").as_deref(), Some(all));
    }

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AuditFile::open(policy(folder.path(), 8, 2)).unwrap();

        for n in 1..=9 {
            file.append(format!("[{n}]\n").as_bytes()).unwrap();
        }

        let names = ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3"];
        assert_eq!(
            names.map(|name| read(folder.path(), name)),
            [Some("[9]\n"), Some("[7]\n[8]\n"), Some("[5]\n[6]\n"), None]
                .map(|text| text.map(str::to_owned)),
        );
    }

    #[test]
    fn one_that_is_moved_away_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AuditFile::open(policy(folder.path(), 1_000, 1)).unwrap();
        file.append(b"[1]\n").unwrap();

        let path = folder.path().join("audit.jsonl");
        fs::rename(&path, folder.path().join("moved")).unwrap();
        file.append(b"[2]\n").unwrap();
        fs::remove_file(&path).unwrap();
        file.append(b"[3]\n").unwrap();

        let names = ["moved", "audit.jsonl"].map(|name| read(folder.path(), name).unwrap());
        assert_eq!(names, ["[1]\n", "[3]\n"]);
    }

    #[test]
    fn one_that_is_moved_away_for_good_goes_on_under_its_other_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AuditFile::open(policy(folder.path(), 1_000, 1)).unwrap();

        // Nothing can be begun where there is a folder.
        fs::rename(folder.path().join("audit.jsonl"), folder.path().join("moved")).unwrap();
        fs::create_dir(folder.path().join("audit.jsonl")).unwrap();
        file.append(b"[1]\n").unwrap();
        assert_eq!(read(folder.path(), "moved").as_deref(), Some("[1]\n"));

        fs::remove_file(folder.path().join("moved")).unwrap();
        assert!(file.append(b"[2]\n").is_err());
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("audit.jsonl"), folder.path().join("victim"));
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(AuditFile::open(policy(folder.path(), 8, 1)).is_err());
        assert!(!victim.exists());

        fs::remove_file(&path).unwrap();
        fs::write(&victim, "").unwrap();
        fs::hard_link(&victim, &path).unwrap();
        assert!(AuditFile::open(policy(folder.path(), 8, 1)).is_err());
    }

    #[test]
    fn one_that_cannot_be_rotated_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AuditFile::open(policy(folder.path(), 8, 1)).unwrap();
        // A folder that is not empty cannot be replaced.
        fs::create_dir_all(folder.path().join("audit.jsonl.1/full")).unwrap();

        for n in 1..=5 {
            file.append(format!("[{n}]\n").as_bytes()).unwrap();
        }

        let all = "[1]\n[2]\n[3]\n[4]\n[5]\n";
        assert_eq!(read(folder.path(), "audit.jsonl").as_deref(), Some(all));
    }

    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let policy = policy(folder.path(), 8, 1);
        AuditFile::open(policy.clone()).unwrap();

        assert_eq!(fs::metadata(policy.file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for file in [folder.path().to_owned(), folder.path().join("no/such/audit.jsonl")] {
            let error = AuditFile::open(AuditPolicy { file: file.clone(), max_size: 1, keep: 1 });
            let message = error.unwrap_err().to_string();
            assert!(message.contains(&file.display().to_string()), "{message}");
        }
    }
}
