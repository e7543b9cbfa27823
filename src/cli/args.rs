//! What may be written on the command line, as clap reads it.
//!
//! Only the grammar: no I/O and no decisions. Values that have a syntax of their own are read in
//! `values` and `server_url`; whether an id or a number is acceptable is the server's to say.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::cli::server_url::ServerUrl;
use crate::cli::simulate::SimulateArgs;
use crate::cli::values::{Lease, Pair, PortArg, listen_address, tier, weight};
use crate::model::{
    DurationText, HttpAddress, Label, Network, Scope, ServicePattern, Tier, Weight,
};

/// The file that `serve` and `check` take when none is named.
pub(super) const DEFAULT_FILE: &str = "registry.toml";

/// DNS-based service discovery: register over HTTP, find over plain DNS.
///
/// Without a command: serve, with the registry.toml of this folder when there is one.
#[derive(Debug, Parser)]
#[command(name = "signpost", version, color = ColorChoice::Never, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

const EXIT_CODES: &str = "\
Environment: SIGNPOST_TOKEN is the token to show to the server, SIGNPOST_TOKEN_FILE a file that holds it.
Exit codes: 0 done (also deregistering what is absent), 1 failed, 2 wrong usage, 3 not found.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Answer DNS and HTTP until SIGTERM
    Serve(ServeArgs),
    /// Say whether a configuration file is valid
    Check {
        /// The file
        #[arg(default_value = DEFAULT_FILE)]
        file: PathBuf,
    },
    /// List the services, or the instances of one
    Ls {
        /// The service whose instances to list
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        service: Option<String>,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Register an instance, or replace it
    Register {
        #[command(flatten)]
        instance: RegisterArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Remove an instance; done also when it is absent
    Deregister {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Renew an instance's lease
    Heartbeat {
        #[command(flatten)]
        target: Target,
        /// Only as the registration that got this number; a later one is not renewed
        #[arg(long, value_name = "G")]
        generation: Option<u64>,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Stop answering with an instance, and say when it is safe to stop it
    Drain {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Answer with a drained instance again
    Undrain {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Show what DNS answers for a name, and why
    Resolve {
        #[command(flatten)]
        question: ResolveArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Make, list and revoke tokens for the side-port
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Show what algorithms and TTLs would do to a fleet, and recommend one; needs no server
    Simulate(Box<SimulateArgs>),
    /// Save everything that a server has stored, or restore it
    Snapshot {
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Look at this host: names, ports, clock, data folder; what is wrong, and what to do
    Doctor {
        /// The server's configuration file
        /// [default: registry.toml when it is there, else built-in defaults]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of the program or of a command
    Man {
        /// The command, e.g. token create
        command: Vec<String>,
        /// Write all pages into this folder instead
        #[arg(long, value_name = "DIR", conflicts_with = "command")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    /// Save the state of a running server in a file
    Save {
        /// The file, for this user only; - for stdout
        file: PathBuf,
        /// Replace the file when it is there
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Make the data folder of a stopped server hold what a snapshot holds
    Restore(RestoreArgs),
}

/// What `snapshot restore` was told.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RestoreArgs {
    /// The snapshot; - for stdin
    pub file: PathBuf,
    /// The server's configuration file, which says where its data folder is
    /// [default: registry.toml when it is there, else built-in defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Let go of what the data folder holds
    #[arg(long)]
    pub replace: bool,
    /// Take a snapshot of another zone too
    #[arg(long)]
    pub other_zone: bool,
    /// Only tell what would change
    #[arg(long)]
    pub dry_run: bool,
}

/// What is to be done about tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it; it is not shown again
    Create {
        #[command(flatten)]
        token: NewToken,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// List the tokens there are, without what they are
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// End a token at once
    Revoke {
        /// Its id, as `list` shows it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// A token that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct NewToken {
    /// Whom it stands for: who owns what is registered with it
    pub(super) name: Label,
    /// What it is good for: read, register or admin; repeatable
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub(super) scopes: Vec<Scope>,
    /// A service whose instances it may register, or the beginning of such: shop-*; repeatable
    #[arg(long = "service", value_name = "PATTERN")]
    pub(super) services: Vec<ServicePattern>,
    /// Where the addresses are that it may register, e.g. 10.1.0.0/16; repeatable
    #[arg(long = "network", value_name = "CIDR")]
    pub(super) networks: Vec<Network>,
    /// How long it holds, e.g. 90d [default: until it is revoked]
    #[arg(long, value_name = "DURATION")]
    pub(super) ttl: Option<DurationText>,
    /// Write it into the data folder while no server runs: for the first one
    #[arg(long, conflicts_with = "output")]
    pub(super) offline: bool,
    /// The configuration file that names the data folder [default: registry.toml when it is there]
    #[arg(long, value_name = "FILE", requires = "offline")]
    pub(super) config: Option<PathBuf>,
}

/// What `serve` was told; everything else is in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct ServeArgs {
    /// The configuration file [default: registry.toml when it is there, else built-in defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer DNS here instead of on the file's addresses; repeatable
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub dns: Vec<SocketAddr>,
    /// Answer DNS over TLS here instead of on the file's addresses; repeatable
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub tls: Vec<SocketAddr>,
    /// Answer DNS over HTTPS here instead of on the file's addresses; repeatable
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub https: Vec<SocketAddr>,
    /// Answer DNS over QUIC here instead of on the file's addresses; repeatable
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub quic: Vec<SocketAddr>,
    /// Make a self-signed certificate and answer DNS encrypted too, for trying out
    #[arg(long)]
    pub dev_tls: bool,
    /// Answer HTTP here instead of on the file's addresses; repeatable
    #[arg(long, value_name = "ADDR|unix:PATH")]
    pub http: Vec<HttpAddress>,
    /// The form of the log on stderr
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What every command that talks to a server takes.
#[derive(Debug, Clone, Args)]
pub(super) struct ClientArgs {
    /// Where the server is: https://HOST:PORT, http://HOST:PORT or unix:PATH
    #[arg(
        long,
        value_name = "URL",
        env = "SIGNPOST_SERVER",
        default_value = "http://127.0.0.1:8054"
    )]
    pub(super) server: ServerUrl,
    #[command(flatten)]
    pub(super) trust: TrustArgs,
    /// A table, or the server's JSON unchanged
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(super) output: OutputFormat,
}

/// Whom a client command trusts, and by what it is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct TrustArgs {
    /// PEM file of the authorities that servers' certificates are of [default: those of this system]
    #[arg(long, value_name = "FILE", env = "SIGNPOST_CA")]
    pub(super) ca: Option<PathBuf>,
    /// PEM file of the certificate to show to the server, and of those who signed it
    #[arg(long, value_name = "FILE", env = "SIGNPOST_CERT", requires = "key")]
    pub(super) cert: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, value_name = "FILE", env = "SIGNPOST_KEY", requires = "cert")]
    pub(super) key: Option<PathBuf>,
    /// Show the token also over plain HTTP beyond this machine, to all who can see it pass
    #[arg(long)]
    pub(super) insecure_token: bool,
}

/// The form of a client command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum OutputFormat {
    #[default]
    Table,
    Json,
}

/// One instance, by the names that its URL is made of.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct Target {
    /// The service
    // An empty segment would be another path.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) service: String,
    /// The instance's id in the service
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct RegisterArgs {
    #[command(flatten)]
    pub(super) target: Target,
    /// An address to answer with; repeatable
    #[arg(long = "address", value_name = "IP", required = true)]
    pub(super) addresses: Vec<IpAddr>,
    /// A port it listens on, e.g. 8080, http=8080 or dns=53/udp; repeatable, the first is the main one
    #[arg(long = "port", value_name = "[NAME=]PORT[/PROTO]", required = true)]
    pub(super) ports: Vec<PortArg>,
    /// Share of the traffic relative to the others, 1-65535 [default: 1]
    #[arg(long, value_name = "N", value_parser = weight)]
    pub(super) weight: Option<Weight>,
    /// Lower tiers are answered first, 0-65535 [default: 0]
    #[arg(long, value_name = "N", value_parser = tier)]
    pub(super) tier: Option<Tier>,
    /// A tag to select it by; repeatable
    #[arg(long = "tag", value_name = "T")]
    pub(super) tags: Vec<String>,
    /// How long it stays without a heartbeat, e.g. 10s; none: for ever [default: 30s]
    #[arg(long, value_name = "DURATION|none")]
    pub(super) ttl: Option<Lease>,
    /// Free text for clients; repeatable
    #[arg(long, value_name = "K=V")]
    pub(super) metadata: Vec<Pair>,
    /// The zone it runs in, e.g. eu-1a
    #[arg(long, value_name = "Z")]
    pub(super) zone: Option<String>,
    /// The region it runs in, e.g. eu
    #[arg(long, value_name = "R")]
    pub(super) region: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ResolveArgs {
    /// The name to ask for, e.g. web.service.local
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: String,
    /// The record type, e.g. A, AAAA, SRV, TXT
    #[arg(value_name = "TYPE", default_value = "A", ignore_case = true)]
    pub(super) record_type: String,
    /// Ask as this client; matters where the answer depends on who asks
    #[arg(long, value_name = "IP")]
    pub(super) client: Option<IpAddr>,
}
