//! The `signpost` binary: arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use signpost::cli::{self, Exit, Next};

fn main() -> ExitCode {
    let exit = match cli::run(std::env::args_os()) {
        Next::Serve(_args) => not_wired("serve"),
        Next::Check(_file) => not_wired("check"),
        Next::Exit(exit) => exit,
    };
    exit.into()
}

// Here `server::serve(args)` and `config::check(file)` are called once they exist.
fn not_wired(command: &str) -> Exit {
    drop(writeln!(std::io::stderr(), "signpost: {command} is not part of this build"));
    Exit::Failed
}
