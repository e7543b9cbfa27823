//! Unix sockets: a file that those may connect to whom its mode allows.
//!
//! It has its mode before anybody can connect. What is in its place is removed only when it is a
//! socket that nobody answers on.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// A unix socket that is listened on. Its file goes with it.
#[derive(Debug)]
pub struct UnixSocket {
    pub(crate) listener: UnixListener,
    pub(crate) file: SocketFile,
}

impl UnixSocket {
    /// Listens on `path`, for whom `mode` allows. Must be called in a runtime.
    ///
    /// # Errors
    /// When a server answers there already, something else is there, or the system refuses.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, UnixError> {
        let failed = |source| UnixError::System { path: path.to_owned(), source };
        clear(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        socket.bind(&SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
        let file = SocketFile::of(path).map_err(failed)?;
        // Until it listens nobody can connect, whatever the mode that it was made with. Who may write to
        // the folder may have put a link in its place: what that leads to keeps its mode.
        let (mode, flag) = (Mode::from_bits_truncate(mode), FchmodatFlags::NoFollowSymlink);
        fchmodat(AT_FDCWD, path, mode, flag).map_err(|error| failed(error.into()))?;
        socket.set_nonblocking(true).map_err(failed)?;
        socket.listen(BACKLOG).map_err(failed)?;
        let listener = UnixListener::from_std(socket.into()).map_err(failed)?;
        Ok(Self { listener, file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

/// The file of a socket that is listened on; removed when dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another server may have made itself one in its place.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Why a unix socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum UnixError {
    /// Another server has it.
    #[error("cannot listen on unix:{}, another process does already: stop it, or choose another path", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// It would have to be removed.
    #[error("cannot listen on unix:{}, something that is no socket is there: remove it, or choose another path", path.display())]
    Foreign {
        /// What is there.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot listen on unix:{}{}", path.display(), hint(source))]
    System {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Removes the socket of a server that is gone.
fn clear(path: &Path) -> Result<(), UnixError> {
    let system = |source| UnixError::System { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(UnixError::Foreign { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    let ask = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A server that has stopped would never make room in its queue.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match ask() {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(system)
        }
        Ok(_) => Err(UnixError::InUse { path: path.to_owned() }),
        // A full queue, say: somebody is behind it.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(UnixError::InUse { path: path.to_owned() })
        }
        Err(error) => Err(system(error)),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => ", its folder does not exist: make it, or choose another path",
        ErrorKind::PermissionDenied => ", this user may not: choose a folder that it may write to",
        ErrorKind::InvalidInput => ", the path is too long (107 bytes are allowed)",
        _ => "",
    }
}

const BACKLOG: i32 = 1_024;
