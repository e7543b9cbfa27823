//! What one probe found out.

use std::io;

use nix::errno::Errno;

use crate::model::Status;

/// The end of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It says this of the instance, and why, for people.
    Said(Status, String),
    /// It says nothing of the instance: this machine could not do it.
    Unable(String),
}

impl Outcome {
    pub(super) fn critical(why: impl Into<String>) -> Self {
        Self::Said(Status::Critical, why.into())
    }

    /// What it means that the system refused something.
    pub(super) fn refused(error: &io::Error) -> Self {
        let lacks = [
            Errno::EMFILE,
            Errno::ENFILE,
            Errno::ENOBUFS,
            Errno::ENOMEM,
            Errno::EADDRNOTAVAIL,
            Errno::EAGAIN,
        ];
        let own = error.raw_os_error().is_some_and(|code| lacks.contains(&Errno::from_raw(code)));
        if own { Self::Unable(error.to_string()) } else { Self::critical(error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_says_nothing_of_an_instance() {
        let of = |errno: Errno| Outcome::refused(&io::Error::from_raw_os_error(errno as i32));

        assert!(matches!(of(Errno::EMFILE), Outcome::Unable(_)));
        assert!(matches!(of(Errno::ECONNREFUSED), Outcome::Said(Status::Critical, _)));
        assert!(matches!(of(Errno::EHOSTUNREACH), Outcome::Said(Status::Critical, _)));
    }
}
