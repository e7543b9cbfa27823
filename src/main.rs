//! The `signpost` binary: arguments in, exit code out.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use signpost::cli::{self, DoctorArgs, Exit, LogFormat, Next, RestoreArgs, ServeArgs};
use signpost::config::Flags;
use signpost::doctor::{self, Reached};
use signpost::server::{self, Options, RestoreOptions};

fn main() -> ExitCode {
    let exit = match cli::run(std::env::args_os()) {
        Next::Serve(args) => report(server::serve(options(args))),
        Next::Check(file) => report(server::check(&file).map(|checked| {
            // Nobody may be reading it.
            drop(writeln!(std::io::stdout(), "{checked}"));
        })),
        Next::Restore(args) => report(server::restore(&restore_options(args)).map(|restored| {
            drop(writeln!(std::io::stdout(), "{restored}"));
        })),
        Next::CreateToken(file, spec) => match server::create_token(file, spec) {
            Ok((secret, token)) => cli::show_token(&secret, &token),
            Err(error) => failed(&error),
        },
        Next::Doctor(args) => examine(args),
        Next::Exit(exit) => exit,
    };
    exit.into()
}

fn options(args: ServeArgs) -> Options {
    let log_format = match args.log_format {
        LogFormat::Text => server::LogFormat::Text,
        LogFormat::Json => server::LogFormat::Json,
    };
    let ServeArgs { config, dns, tls, https, quic, dev_tls, http, .. } = args;
    Options { config, flags: Flags { dns, tls, https, quic, dev_tls, http }, log_format }
}

fn examine(args: DoctorArgs) -> Exit {
    let DoctorArgs { config, json, reached } = args;
    let reached = reached.map_or_else(Reached::Not, Reached::Ready);
    let report = doctor::examine(doctor::Options { config, reached });
    let text = if json { report.json() } else { report.table() };
    cli::show_report(&text, report.failed())
}

fn restore_options(args: RestoreArgs) -> RestoreOptions {
    let RestoreArgs { file, config, replace, other_zone, dry_run } = args;
    RestoreOptions { file, config, replace, other_zone, dry_run }
}

fn report(result: Result<(), impl Error>) -> Exit {
    result.map_or_else(|error| failed(&error), |()| Exit::Done)
}

fn failed(error: &dyn Error) -> Exit {
    let mut text = format!("signpost: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some errors show their cause themselves.
        let shown = error.to_string();
        if !text.contains(&shown) {
            text = format!("{text}: {shown}");
        }
        cause = error.source();
    }
    drop(writeln!(std::io::stderr(), "{text}"));
    Exit::Failed
}
