//! The command line: reads the arguments, runs client commands against a server's HTTP side-port,
//! and hands `serve` and `check` to `main`, which has what they need.
//!
//! A client of the HTTP contract, and what simulates a fleet without any server: no registry, no
//! DNS, and no files but the plots of a simulation, tokens and certificates.

mod args;
mod client;
mod credentials;
mod error;
mod instance;
mod ls;
mod man;
mod output;
mod register;
mod replies;
mod resolve;
mod server_url;
mod simulate;
mod snapshot;
mod table;
mod token;
mod trust;
mod unix;
mod values;

pub use args::{LogFormat, RestoreArgs, ServeArgs};
pub use error::Exit;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use ureq::http::Method;

use crate::cli::args::{
    Cli, ClientArgs, Command, DEFAULT_FILE, OutputFormat, SnapshotCommand, TokenCommand,
};
use crate::cli::client::{Call, Client};
use crate::cli::error::ClientError;
use crate::model::{Secret, Token, TokenSpec};

/// What is left to do after [`run`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Serve. A `config` of `None` means the built-in defaults.
    Serve(ServeArgs),
    /// Check this file.
    Check(PathBuf),
    /// Restore a snapshot. A `config` of `None` means the built-in defaults.
    Restore(RestoreArgs),
    /// Make a token without a server, by this file; `None` means the built-in defaults.
    CreateToken(Option<PathBuf>, TokenSpec),
    /// Look at this host. A `config` of `None` means the built-in defaults.
    Doctor(DoctorArgs),
    /// Nothing; this is how it ended. What there was to say is printed.
    Exit(Exit),
}

/// Reads `arguments` (the program's name first) and runs the command, unless it is one of those
/// that [`Next`] hands back.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Next {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help and version are refusals too, to stdout and with code 0. A reader that went
            // away does not change what is right.
            drop(refusal.print());
            return Next::Exit(if refusal.use_stderr() { Exit::Usage } else { Exit::Done });
        }
    };
    let ended = match cli.command {
        None => return Next::Serve(with_default_file(ServeArgs::default())),
        Some(Command::Serve(args)) => return Next::Serve(with_default_file(args)),
        Some(Command::Check { file }) => return Next::Check(file),
        Some(Command::Token { command: TokenCommand::Create { token, .. } }) if token.offline => {
            return Next::CreateToken(token.config.clone().or_else(default_file), token.into());
        }
        Some(Command::Simulate(args)) => return Next::Exit(simulate::simulate(&args)),
        Some(Command::Snapshot { command: SnapshotCommand::Restore(args) }) => {
            let config = args.config.or_else(default_file);
            return Next::Restore(RestoreArgs { config, ..args });
        }
        Some(Command::Snapshot { command: SnapshotCommand::Save { file, force, client } }) => {
            on(client, |client, output| snapshot::save(client, output, &file, force))
        }
        Some(Command::Doctor { config, client }) => return Next::Doctor(doctor(config, client)),
        Some(Command::Completions { shell }) => completions(shell),
        Some(Command::Man { dir: Some(folder), .. }) => man::write(&folder),
        Some(Command::Man { dir: None, command }) => man::print(&command),
        Some(Command::Ls { service: None, client }) => on(client, ls::services),
        Some(Command::Ls { service: Some(service), client }) => {
            on(client, |client, output| ls::service(client, output, &service))
        }
        Some(Command::Register { instance, client }) => {
            on(client, |client, output| register::register(client, output, &instance))
        }
        Some(Command::Deregister { target, client }) => {
            on(client, |client, output| instance::deregister(client, output, &target))
        }
        Some(Command::Heartbeat { target, generation, client }) => {
            on(client, |client, output| instance::heartbeat(client, output, &target, generation))
        }
        Some(Command::Drain { target, client }) => {
            on(client, |client, output| instance::drain(client, output, &target))
        }
        Some(Command::Undrain { target, client }) => {
            on(client, |client, output| instance::undrain(client, output, &target))
        }
        Some(Command::Resolve { question, client }) => {
            on(client, |client, output| resolve::resolve(client, output, &question))
        }
        Some(Command::Token { command: TokenCommand::Create { token, client } }) => {
            on(client, |client, output| token::create(client, output, token))
        }
        Some(Command::Token { command: TokenCommand::List { client } }) => on(client, token::list),
        Some(Command::Token { command: TokenCommand::Revoke { id, client } }) => {
            on(client, |client, output| token::revoke(client, output, &id))
        }
    };
    match ended {
        Ok(()) => Next::Exit(Exit::Done),
        Err(error) => {
            output::print_error(&error.report());
            Next::Exit(error.exit())
        }
    }
}

/// What `doctor` was told, and what the side-port said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorArgs {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Whether the report is for machines.
    pub json: bool,
    /// Where the side-port is that is ready, or why it is not.
    pub reached: Result<String, String>,
}

fn doctor(config: Option<PathBuf>, args: ClientArgs) -> DoctorArgs {
    let (server, json) = (args.server.to_string(), args.output == OutputFormat::Json);
    let ready = |client: &Client, _| {
        client
            .call(Call::new(Method::GET, "ask whether it is ready", "/readyz".to_owned()))
            .map(drop)
    };
    let reached = on(args, ready).map(|()| server).map_err(|error| error.to_string());
    DoctorArgs { config: config.or_else(default_file), json, reached }
}

/// Shows a report.
#[must_use]
pub fn show_report(text: &str, failed: bool) -> Exit {
    match output::print(text) {
        Ok(()) if failed => Exit::Failed,
        Ok(()) => Exit::Done,
        Err(error) => {
            output::print_error(&error.report());
            error.exit()
        }
    }
}

fn on(
    args: ClientArgs,
    command: impl FnOnce(&Client, OutputFormat) -> Result<(), ClientError>,
) -> Result<(), ClientError> {
    let client = Client::new(args.server, credentials::authorization()?, &args.trust)?;
    command(&client, args.output)
}

/// Takes the file of the current folder when there is one and none was named; else says that the
/// built-in defaults apply.
fn with_default_file(mut args: ServeArgs) -> ServeArgs {
    if args.config.is_none() {
        args.config = default_file();
        if args.config.is_none() {
            output::print_error(
                "signpost: no registry.toml here, serving with built-in defaults\n",
            );
        }
    }
    args
}

/// The file of the current folder, when there is one. One that is there but cannot be read is the
/// loader's to refuse.
fn default_file() -> Option<PathBuf> {
    let file = Path::new(DEFAULT_FILE);
    let absent = file.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound);
    (!absent).then(|| file.to_owned())
}

/// Tells a token that was made without a server: it alone goes to stdout.
#[must_use]
pub fn show_token(secret: &Secret, token: &Token) -> Exit {
    let note = token::told_once(&token.id().to_string(), token.identity.name.as_str());
    output::print_error(&format!("signpost: {note}\n"));
    match output::print(&format!("{}\n", secret.as_str())) {
        Ok(()) => Exit::Done,
        Err(error) => {
            output::print_error(&error.report());
            error.exit()
        }
    }
}

/// Into memory first: the generator panics when its writer fails.
fn completions(shell: Shell) -> Result<(), ClientError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "signpost", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_takes_its_flags_as_they_are() {
        let next = run(words(
            "signpost serve --config a.toml --dns 127.0.0.1:53 --dns [::1]:53 \
             --tls [::1]:853 --https 127.0.0.1:443 --quic 127.0.0.1:853 --dev-tls \
             --http 127.0.0.1:80 --log-format json",
        ));

        assert_eq!(
            next,
            Next::Serve(ServeArgs {
                config: Some("a.toml".into()),
                dns: vec!["127.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()],
                tls: vec!["[::1]:853".parse().unwrap()],
                https: vec!["127.0.0.1:443".parse().unwrap()],
                quic: vec!["127.0.0.1:853".parse().unwrap()],
                dev_tls: true,
                http: vec!["127.0.0.1:80".parse().unwrap()],
                log_format: LogFormat::Json,
            })
        );
    }

    #[test]
    fn check_has_a_default_file() {
        assert_eq!(run(words("signpost check")), Next::Check("registry.toml".into()));
        assert_eq!(run(words("signpost check other.toml")), Next::Check("other.toml".into()));
    }
}
