//! Manual pages: one for the program and one for each command, made of the same words as `--help`.
//!
//! What only a manual has, files, signals and examples, is written here, in the language of roff.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::args::Cli;
use crate::cli::error::ClientError;
use crate::cli::output;

/// Prints the page of `words`, a command like `token create`, or of the program.
///
/// # Errors
/// When there is no such command.
pub(super) fn print(words: &[String]) -> Result<(), ClientError> {
    let name = words.iter().fold("signpost".to_owned(), |name, word| format!("{name}-{word}"));
    let pages = pages();
    let Some((_, text)) = pages.iter().find(|(known, _)| *known == name) else {
        return Err(ClientError::NoPage { command: words.join(" ") });
    };
    output::print(text)
}

/// Writes all pages into `folder`, which is made where it is not there.
///
/// # Errors
/// When one cannot be written.
pub(super) fn write(folder: &Path) -> Result<(), ClientError> {
    let written = fs::create_dir_all(folder).and_then(|()| {
        pages()
            .iter()
            .try_for_each(|(name, text)| fs::write(folder.join(format!("{name}.1")), text))
    });
    written.map_err(|error| ClientError::Write { file: folder.to_owned(), error })
}

/// Every page, with its name.
fn pages() -> Vec<(String, String)> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    add(&program, &mut pages);
    pages
}

fn add(command: &Command, pages: &mut Vec<(String, String)>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    render(command, &name, &mut text).expect("a vector takes any text");
    pages.push((name, tidy(&String::from_utf8_lossy(&text))));
    for command in command.get_subcommands() {
        add(command, pages);
    }
}

/// Without what roff takes for slips of the pen.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    for line in text.replace("\n.br\n\n.br\n", "\n.sp\n").lines() {
        tidy.push_str(line.trim_end());
        tidy.push('\n');
    }
    tidy
}

fn render(command: &Command, name: &str, text: &mut Vec<u8>) -> io::Result<()> {
    let more = if name.contains('-') { COMMAND } else { PROGRAM };
    let source = concat!("signpost ", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.clone())
        .title(name.to_uppercase())
        .date(DATE)
        .source(source)
        .manual(MANUAL);
    page.render_title(text)?;
    page.render_name_section(text)?;
    page.render_synopsis_section(text)?;
    page.render_description_section(text)?;
    if command.get_arguments().next().is_some() {
        page.render_options_section(text)?;
    }
    if command.has_subcommands() {
        page.render_subcommands_section(text)?;
    }
    text.extend_from_slice(more.as_bytes());
    Ok(())
}

/// When what is written here was last changed.
const DATE: &str = "2026-11-23";
const MANUAL: &str = "signpost manual";

/// What follows on the page of the program.
const PROGRAM: &str = r#".SH ENVIRONMENT
.TP
\fBSIGNPOST_SERVER\fR
The side\-port that client commands talk to, as \fB\-\-server\fR.
.TP
\fBSIGNPOST_TOKEN\fR
The token to show to the server.
.TP
\fBSIGNPOST_TOKEN_FILE\fR
A file that holds it.
.TP
\fBRUST_LOG\fR
What the server logs, e.g. \fBdebug\fR. Default: \fBinfo\fR.
.TP
\fBLISTEN_FDS\fR, \fBNOTIFY_SOCKET\fR, \fBWATCHDOG_USEC\fR
What a service manager sets: sockets that it keeps, and where it wants to hear of the server.
.SH FILES
.TP
\fIregistry.toml\fR
The configuration, in the current folder unless \fB\-\-config\fR names another. Every key has a
default, and an empty file is legal. The Debian package has it in \fI/etc/signpost\fR.
.TP
\fIdata/registry.redb\fR
All state. One process at a time has it.
.SH SIGNALS
.TP
\fBSIGTERM\fR, \fBSIGINT\fR
The server stops accepting, finishes what is in flight, at most 10 s, stores and ends.
.TP
\fBSIGHUP\fR
It reads its configuration and zone files again. One that is not legal changes nothing.
.SH EXIT STATUS
0 done, also deregistering what is absent; 1 failed; 2 wrong usage; 3 not found.
.SH EXAMPLES
.nf
$ signpost serve \-\-dns 127.0.0.1:8053 \-\-http 127.0.0.1:8054 &
$ signpost register web web\-1 \-\-address 10.0.0.11 \-\-port http=8080
$ dig @127.0.0.1 \-p 8053 web.service.local
$ signpost resolve web.service.local SRV
$ signpost drain web web\-1
.fi
.SH SEE ALSO
.BR dig (1),
.BR systemd.socket (5),
the guides in \fI/usr/share/doc/signpost\fR, and the page of each command above.
"#;

/// What follows on the page of a command.
const COMMAND: &str = r#".SH EXIT STATUS
0 done; 1 failed; 2 wrong usage; 3 not found.
.SH SEE ALSO
.BR signpost (1)
"#;
