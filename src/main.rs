//! The `signpost` binary: arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use signpost::cli::{self, Exit, Next};
use signpost::server;

fn main() -> ExitCode {
    let exit = match cli::run(std::env::args_os()) {
        Next::Serve(args) => told(server::serve(&args)),
        Next::Check(_file) => Exit::Failed,
        Next::Exit(exit) => exit,
    };
    exit.into()
}

fn told<E: std::fmt::Display>(result: Result<(), E>) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            // Nobody may be reading it.
            drop(writeln!(std::io::stderr(), "signpost: {error}"));
            Exit::Failed
        }
    }
}
