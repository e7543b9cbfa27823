//! Other people's programs: which are here, and how to get the others.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Whether `program`, a path, is there.
pub(crate) fn has(program: &str) -> bool {
    Path::new(program).exists()
}

/// Installs Debian packages such that nothing of them starts by itself.
///
/// # Errors
/// When this is not root on Debian, or has no network.
pub(crate) fn install(packages: &[&str]) -> io::Result<()> {
    let policy = Path::new(POLICY);
    let guarded = policy.exists();
    if !guarded {
        fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755))?;
    }
    let mut command = Command::new("apt-get");
    command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    let status = command.env("DEBIAN_FRONTEND", "noninteractive").status();
    if !guarded {
        fs::remove_file(policy)?;
    }
    match status?.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("apt-get could not install {packages:?}"))),
    }
}

/// What Debian asks whether a service may start.
const POLICY: &str = "/usr/sbin/policy-rc.d";
