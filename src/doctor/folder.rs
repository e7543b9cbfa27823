//! The data folder: who may read it, whether it has room, and whether what is in it can be read.

use std::path::PathBuf;

use crate::doctor::Finding;

/// The folder as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// `None` where there is none.
    pub(super) seen: Option<Seen>,
}

/// What there is.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) is_folder: bool,
    pub(super) mode: u32,
    pub(super) owner: u32,
    /// Who looks.
    pub(super) user: u32,
    /// Bytes that this user may still write; `None` where nobody says.
    pub(super) free: Option<u64>,
    /// The process that has it open.
    pub(super) holder: Option<u32>,
    /// Whether there is a registry, or why it cannot be used.
    pub(super) registry: Result<bool, String>,
}

/// All of it.
pub(super) fn findings(folder: &Folder) -> Vec<Finding> {
    let path = folder.path.display();
    let Some(seen) = &folder.seen else {
        let found = format!("{path} is not there: the first start makes it");
        return vec![Finding::ok("data folder", found)];
    };
    if !seen.is_folder {
        let next = "move it away, or set server.data_dir";
        return vec![Finding::fail("data folder", format!("{path} is no folder"), next)];
    }
    vec![rights(folder, seen), room(seen), registry(seen)]
}

fn rights(folder: &Folder, seen: &Seen) -> Finding {
    let (check, path, mode) = ("data folder", folder.path.display(), seen.mode & 0o777);
    let close = format!("chmod 700 {path}");
    if mode & 0o002 != 0 {
        return Finding::fail(check, format!("everybody may write to {path} ({mode:o})"), close);
    }
    if seen.user != 0 && seen.user != seen.owner {
        return Finding::fail(
            check,
            format!("{path} belongs to user {}, and this is user {}", seen.owner, seen.user),
            "run the server, and this, as that user, or as root",
        );
    }
    match mode & 0o077 {
        0 => Finding::ok(check, format!("{path}, for its owner only")),
        _ => Finding::warn(check, format!("others may look into {path} ({mode:o})"), close),
    }
}

fn room(seen: &Seen) -> Finding {
    let check = "free space";
    let next = "make room: without it registrations are refused (507), while DNS goes on";
    match seen.free {
        None => Finding::ok(check, "the system does not say"),
        Some(free) => {
            let found = format!("{} MiB", free >> 20);
            match free {
                ..FEW => Finding::fail(check, found, next),
                FEW..SOME => Finding::warn(check, found, next),
                SOME.. => Finding::ok(check, found),
            }
        }
    }
}

fn registry(seen: &Seen) -> Finding {
    let check = "registry";
    match (&seen.registry, seen.holder) {
        (Err(reason), _) => Finding::fail(
            check,
            reason,
            "move the file away and restore a backup: signpost snapshot restore FILE",
        ),
        (Ok(_), Some(pid)) => Finding::ok(check, format!("process {pid} has it")),
        (Ok(true), None) => Finding::ok(check, "can be read; no process has it"),
        (Ok(false), None) => Finding::ok(check, "none yet"),
    }
}

/// The process that holds the lock of a file, by the kernel's table (proc(5), /proc/locks).
pub(super) fn holder(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = fields[..] else { return None };
        let held: u64 = file.rsplit(':').next()?.parse().ok()?;
        (held == inode).then(|| pid.parse().ok()).flatten()
    })
}

/// A registry of a few thousand instances has to be written twice.
const FEW: u64 = 16 << 20;
const SOME: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn folder(change: impl FnOnce(&mut Seen)) -> Folder {
        let mut seen = Seen {
            is_folder: true,
            mode: 0o40_700,
            owner: 7,
            user: 7,
            free: Some(1 << 40),
            holder: None,
            registry: Ok(true),
        };
        change(&mut seen);
        Folder { path: "/data".into(), seen: Some(seen) }
    }

    fn worst(folder: &Folder) -> State {
        findings(folder).iter().map(|finding| finding.state).max().unwrap()
    }

    #[test]
    fn who_may_do_what_is_judged() {
        for (folder, state) in [
            (folder(|_| {}), State::Ok),
            (Folder { path: "/data".into(), seen: None }, State::Ok),
            (folder(|seen| seen.holder = Some(3)), State::Ok),
            (folder(|seen| (seen.owner, seen.user) = (7, 0)), State::Ok),
            (folder(|seen| seen.mode = 0o40_755), State::Warn),
            (folder(|seen| seen.free = Some(20 << 20)), State::Warn),
            (folder(|seen| seen.mode = 0o40_777), State::Fail),
            (folder(|seen| seen.is_folder = false), State::Fail),
            (folder(|seen| seen.user = 8), State::Fail),
            (folder(|seen| seen.free = Some(1 << 20)), State::Fail),
            (folder(|seen| seen.registry = Err("not ours".into())), State::Fail),
        ] {
            assert_eq!(worst(&folder), state, "{folder:?}");
        }
    }

    #[test]
    fn the_holder_of_a_lock_is_found() {
        let locks = "1: POSIX  ADVISORY  WRITE 5 fe:00:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 1234 fe:00:77 0 EOF\n";

        assert_eq!(holder(locks, 77), Some(1234));
        assert_eq!(holder(locks, 78), None);
    }
}
