//! The Debian package: lintian finds no error in it, and in a system of its own, a fresh one, it
//! installs, works, and goes without leaving anything but state.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use support::needs;

#[test]
fn it_installs_works_and_goes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !needs::works(&["cargo-deb", "--version"]) || !needs::works(&["lintian", "--version"]) {
        return;
    }
    let changelog = fs::read_to_string(root.join("packaging/debian/changelog")).unwrap();
    let first = format!("signpost ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&first), "{changelog}");
    let package = build(root);

    let mut lint = Command::new("lintian");
    let lint = lint.args(["--fail-on", "error", "--allow-root"]).arg(&package).output().unwrap();
    let said = String::from_utf8(lint.stdout).unwrap();
    assert!(lint.status.success(), "{said}");
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("W: ")).collect();
    // Which needs a number that only Debian hands out.
    let known = |line: &&str| line.contains("initial-upload-closes-no-bugs");
    assert!(warnings.iter().all(known), "{said}");

    let Some(system) = System::fresh() else { return };
    let before = system.files();
    fs::copy(&package, system.path("tmp/signpost.deb")).unwrap();
    system.runs("dpkg --install /tmp/signpost.deb");

    let version = format!("signpost {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(system.runs("signpost --version"), version);
    let checked = system.runs("signpost check /etc/signpost/registry.toml");
    assert_eq!(
        checked,
        "/etc/signpost/registry.toml: ok, 0 services, 0 static instances, 0 zone files\n"
    );
    let user = system.runs("getent passwd signpost");
    assert!(user.ends_with(":/var/lib/signpost:/usr/sbin/nologin\n"), "{user}");
    assert_eq!(
        system
            .runs("dpkg-query --show --showformat '${Conffiles}' signpost | cut -d' ' -f2")
            .trim(),
        "/etc/signpost/registry.toml"
    );
    for there in [
        "usr/lib/systemd/system/signpost.service",
        "usr/lib/systemd/system/signpost.socket",
        "usr/lib/sysusers.d/signpost.conf",
        "usr/share/man/man1/signpost.1.gz",
        "usr/share/man/man1/signpost-token-create.1.gz",
        "usr/share/bash-completion/completions/signpost",
        "usr/share/zsh/vendor-completions/_signpost",
        "usr/share/fish/vendor_completions.d/signpost.fish",
        "usr/share/doc/signpost/operations.md",
        "usr/share/doc/signpost/copyright",
        "usr/share/doc/signpost/changelog.Debian.gz",
    ] {
        assert!(system.path(there).exists(), "{there}");
    }
    let wanted = |by: &str, unit: &str| {
        system
            .path(&format!("etc/systemd/system/{by}.target.wants/{unit}"))
            .symlink_metadata()
            .is_ok()
    };
    assert!(wanted("multi-user", "signpost.service"), "starts with the machine");
    assert!(!wanted("sockets", "signpost.socket"), "is for who enables it");

    // It serves as the unit has it run, but for systemd; and again after an upgrade.
    let serving = "install -d -o signpost -g signpost -m 700 /var/lib/signpost /var/log/signpost && \
        timeout --preserve-status 3 setpriv --reuid=signpost --regid=signpost --clear-groups \
        signpost serve --config /etc/signpost/registry.toml --dns 127.0.0.1:0 --http 127.0.0.1:0";
    assert!(system.runs(serving).contains("(udp, tcp)"));
    assert!(system.path("var/log/signpost/audit.jsonl").exists());
    fs::write(system.path("etc/signpost/registry.toml"), "[server]\nname = \"mine\"\n").unwrap();
    system.runs("dpkg --install /tmp/signpost.deb");
    let kept = fs::read_to_string(system.path("etc/signpost/registry.toml")).unwrap();
    assert!(kept.contains("mine"), "an upgrade leaves what an administrator wrote");

    system.runs("dpkg --purge signpost && rm /tmp/signpost.deb");
    let left = system.files();
    let left: Vec<&PathBuf> = left.difference(&before).collect();
    let state = ["", "/lock", "/registry.redb"]
        .map(|file| PathBuf::from(format!("var/lib/signpost{file}")));
    assert_eq!(left, state.iter().collect::<Vec<_>>());
    assert!(!system.path("var/log/signpost").exists());
}

/// Makes the package of the program under test.
fn build(root: &Path) -> PathBuf {
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", needs::tools().join("bin").display());
    let mut build = Command::new(root.join("packaging/build"));
    build.args([env!("CARGO_BIN_EXE_signpost"), "--fast"]).env("PATH", path);
    let built = build.output().unwrap();
    assert!(built.status.success(), "{built:?}");
    root.join(String::from_utf8(built.stdout).unwrap().lines().last().unwrap())
}

/// A Debian of its own, in a folder.
struct System(TempDir);

impl System {
    /// What `./test` makes by debootstrap, copied. `None`, and said, where there is none.
    fn fresh() -> Option<Self> {
        let made = needs::tools().join("root");
        let made = made.to_str().unwrap();
        if !needs::works(&["chroot", made, "dpkg", "--version"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let copied =
            Command::new("cp").args(["-a", &format!("{made}/.")]).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        Some(Self(folder))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Runs a command of a shell there, which must succeed; what it printed.
    fn runs(&self, line: &str) -> String {
        let mut command = Command::new("chroot");
        command.arg(self.0.path()).args(["sh", "-c", line]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// All files, but for what dpkg and others keep about their work.
    fn files(&self) -> BTreeSet<PathBuf> {
        let skipped = ["var/lib/dpkg", "var/log", "var/cache", "etc", "run", "dev", "proc", "sys"];
        let mut files = BTreeSet::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let own = path.strip_prefix(self.0.path()).unwrap().to_owned();
                if skipped.iter().any(|skipped| own.starts_with(skipped)) {
                    continue;
                }
                if path.symlink_metadata().unwrap().is_dir() {
                    folders.push(path);
                }
                files.insert(own);
            }
        }
        // Of /etc what has to do with us: accounts have their own backups there.
        let etc = Command::new("find").arg(self.path("etc")).args(["-name", "*signpost*"]).output();
        let etc = String::from_utf8(etc.unwrap().stdout).unwrap();
        files.extend(etc.lines().map(PathBuf::from));
        files
    }
}
