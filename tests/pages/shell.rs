//! A bash in a network of its own, so that a page's ports are free whatever else runs here.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::pages::skipped;

/// The shell. What it started in the background ends with it.
pub(crate) struct Shell {
    process: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Shell {
    /// A shell in `folder`, with `signpost` on its path. `None` where this user may not make a
    /// network, which is said.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let Some(unshare) = unshare() else {
            skipped("unshare(1) may not make a network of its own here");
            return None;
        };
        let binary = Path::new(env!("CARGO_BIN_EXE_signpost")).parent().unwrap();
        let tools = binary.parent().unwrap().join("tools/bin");
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        let mut process = Command::new(unshare[0])
            .args(&unshare[1..])
            .args(["bash", "--noprofile", "--norc"])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}:/usr/sbin:/sbin", binary.display()))
            .env_remove("SIGNPOST_SERVER")
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            for line in lines {
                // A test that has failed no longer listens.
                if sender.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        let mut shell = Self { process, input, output };
        assert_eq!(shell.run(PRELUDE), Vec::<String>::new());
        Some(shell)
    }

    /// Runs `command` and returns the lines that it printed, to stdout or stderr.
    pub(crate) fn run(&mut self, command: &str) -> Vec<String> {
        // The shell reads its commands from stdin, which is not for them to read.
        let command = format!("{{\n{command}\n}} </dev/null\nprintf '\\n{END}\\n'\n");
        self.input.write_all(command.as_bytes()).unwrap();
        let mut lines = Vec::new();
        loop {
            match self.output.recv_timeout(DEADLINE) {
                Ok(line) if line == END => break,
                Ok(line) => lines.push(line),
                Err(_) => panic!("no end in {DEADLINE:?} of {command}printed: {lines:#?}"),
            }
        }
        // The newline before the end mark, and those of the command's own.
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // unshare --kill-child takes everything in the namespace along.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The command that runs another in namespaces of its own, where that is possible.
fn unshare() -> Option<&'static [&'static str]> {
    const FORMS: [&[&str]; 2] = [
        &["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"],
        &["unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"],
    ];
    FORMS.into_iter().find(|form| {
        let tried = Command::new(form[0])
            .args(&form[1..])
            .args(["ip", "link", "set", "lo", "up"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    })
}

/// What a page's reader has: a network, and a server in the other terminal.
const PRELUDE: &str = r#"
exec 2>&1
ip link set lo up
cargo() {
    [ "$*" = "run --release" ] || { echo "cargo $*: not in a page"; return 1; }
    signpost >server.log 2>&1 &
    until_it_works curl -sf -o ready.log http://127.0.0.1:8054/readyz
    cat server.log
}
until_it_works() {
    local end=$((SECONDS + 60))
    while [ $SECONDS -lt $end ]; do "$@" && return; sleep 0.05; done
    echo "never worked: $*"
}
"#;

const END: &str = "<end of the command>";
const DEADLINE: Duration = Duration::from_secs(180);
