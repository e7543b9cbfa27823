//! What can go wrong with a client command, how it is told, and the exit code it ends in.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;

use crate::cli::output::printable;
use crate::net::tls::CertificateError;

/// How a run ended; the number is the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked is done, or was so before.
    Done = 0,
    /// The server refused or could not be reached.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The server knows no such service or instance.
    NotFound = 3,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a client command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("cannot reach {server}: {reason}")]
    Unreachable { server: String, reason: String },
    /// It may have been done all the same.
    #[error("cannot {action} at {server}: {reason}")]
    NoReply { server: String, action: String, reason: String },
    #[error("cannot {action} at {server}: {}", problem.title)]
    Refused { server: String, action: String, status: u16, problem: Box<Problem> },
    /// Not what a signpost server of this version says.
    #[error("cannot {action} at {server}: {reason}")]
    Unexpected { server: String, action: String, reason: String },
    #[error("cannot read the token in {}: {error}", file.display())]
    TokenFile {
        file: PathBuf,
        #[source]
        error: io::Error,
    },
    /// What is given can be none.
    #[error("{given} holds no token")]
    NoToken { given: String },
    /// The server is not believed, or does not believe this client.
    #[error("cannot agree on TLS with {server}: {reason}")]
    Tls { server: String, reason: String },
    #[error("cannot show the token to {server}: everybody on the way could read it")]
    InClear { server: String },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("this system names no authorities to trust{reason}")]
    NoAuthorities { reason: String },
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    #[error("cannot save a snapshot in {}: {error}", file.display())]
    Snapshot {
        file: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("there is no command {command:?}")]
    NoPage { command: String },
    #[error("{} is there already", file.display())]
    Exists { file: PathBuf },
    #[error("cannot write {}: {error}", file.display())]
    Write {
        file: PathBuf,
        #[source]
        error: io::Error,
    },
}

/// An RFC 9457 problem document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Problem {
    /// `urn:signpost:NAME`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) title: String,
    #[serde(default)]
    pub(super) detail: String,
    pub(super) field: Option<String>,
}

impl ClientError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Refused { status: 404, .. } => Exit::NotFound,
            Self::NoPage { .. } => Exit::Usage,
            Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::NoReply { .. }
            | Self::Unexpected { .. }
            | Self::TokenFile { .. }
            | Self::NoToken { .. }
            | Self::Tls { .. }
            | Self::InClear { .. }
            | Self::Certificate(_)
            | Self::NoAuthorities { .. }
            | Self::Output(_)
            | Self::Snapshot { .. }
            | Self::Exists { .. }
            | Self::Write { .. } => Exit::Failed,
        }
    }

    /// The error as it is shown: what, where and why on the first line, then details and the next
    /// step, indented. Ends in a newline.
    pub(super) fn report(&self) -> String {
        let mut report = format!("signpost: {}\n", printable(&self.to_string()));
        let mut line = |text: &str| {
            writeln!(report, "  {}", printable(text)).expect("a String takes any text");
        };
        match self {
            Self::Unreachable { .. } => {
                line("start it with \"signpost serve\" or name another with --server URL");
            }
            Self::NoReply { .. } => {
                line("it may be done all the same; repeating the command does no harm");
            }
            Self::Refused { problem, .. } => {
                if !problem.detail.is_empty() {
                    line(&problem.detail);
                }
                if let Some(field) = &problem.field {
                    line(&format!("field: {field}"));
                }
                if let Some(step) = problem.next_step() {
                    line(step);
                }
            }
            Self::Unexpected { .. } => {
                line("is that a signpost server? name another with --server URL");
            }
            Self::NoPage { .. } => line("\"signpost --help\" lists the commands there are"),
            Self::Exists { .. } => line("name another file, or let --force replace it"),
            Self::TokenFile { .. } | Self::NoToken { .. } => {
                line("\"signpost token create\" makes one");
            }
            Self::Tls { .. } => {
                line("--ca FILE names whom to trust, --cert and --key what to show to the server");
            }
            Self::InClear { .. } => {
                line("name it by https://, or let --insecure-token show it all the same");
            }
            Self::NoAuthorities { .. } => line("--ca FILE names whom to trust"),
            Self::Certificate(_) | Self::Output(_) | Self::Snapshot { .. } | Self::Write { .. } => {
            }
        }
        report
    }
}

impl Problem {
    /// Whether it says that the service or the instance is absent.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self.name(), "unknown-service" | "unknown-instance")
    }

    fn name(&self) -> &str {
        self.kind.strip_prefix("urn:signpost:").unwrap_or(&self.kind)
    }

    /// What to do about it, where that does not follow from the detail.
    fn next_step(&self) -> Option<&'static str> {
        match self.name() {
            "unknown-service" => Some("\"signpost ls\" lists the services there are"),
            "unknown-instance" => Some(
                "\"signpost ls SERVICE\" lists the instances there are, \"signpost register\" adds one",
            ),
            "static-instance" | "static-service" => {
                Some("it is declared in the server's configuration file: change it there")
            }
            "unauthorized" => Some(
                "set SIGNPOST_TOKEN, or SIGNPOST_TOKEN_FILE; \"signpost token create\" makes a token",
            ),
            "unavailable" | "storage-full" => Some("the server's log says more; try again"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, problem: &str) -> ClientError {
        ClientError::Refused {
            server: "http://127.0.0.1:8054".into(),
            action: "register web/web-1".into(),
            status,
            problem: serde_json::from_str(problem).unwrap(),
        }
    }

    #[test]
    fn a_problem_is_told_with_title_detail_and_field() {
        let error = refused(
            400,
            r#"{"type":"urn:signpost:invalid","title":"Invalid request","status":400,
                "detail":"\"a\u001bb\" is reserved","field":"tags[0]","instance":"ignored"}"#,
        );

        assert_eq!(
            error.report(),
            "signpost: cannot register web/web-1 at http://127.0.0.1:8054: Invalid request\n  \
             \"a\\u{1b}b\" is reserved\n  field: tags[0]\n"
        );
        assert_eq!(error.exit(), Exit::Failed);
    }

    #[test]
    fn what_is_unknown_is_not_found_and_names_the_next_step() {
        let error = refused(
            404,
            r#"{"type":"urn:signpost:unknown-service","title":"Unknown service","status":404,
                "detail":"no service \"web\""}"#,
        );

        assert_eq!(
            error.report(),
            "signpost: cannot register web/web-1 at http://127.0.0.1:8054: Unknown service\n  \
             no service \"web\"\n  \"signpost ls\" lists the services there are\n"
        );
        assert_eq!(error.exit(), Exit::NotFound);
    }

    #[test]
    fn a_server_that_is_away_is_told_with_the_next_step() {
        let error = ClientError::Unreachable {
            server: "http://127.0.0.1:8054".into(),
            reason: "connection refused".into(),
        };

        assert_eq!(
            error.report(),
            "signpost: cannot reach http://127.0.0.1:8054: connection refused\n  \
             start it with \"signpost serve\" or name another with --server URL\n"
        );
        assert_eq!(error.exit(), Exit::Failed);
    }
}
