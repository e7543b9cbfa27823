//! What is done to an instance that is there: `deregister`, `heartbeat`, `drain`, `undrain`.

use std::fmt;

use ureq::http::Method;

use crate::cli::args::{OutputFormat, Target};
use crate::cli::client::{Call, Client, encode};
use crate::cli::error::ClientError;
use crate::cli::output::{print, printable};
use crate::cli::replies::{DrainReply, HeartbeatReply};
use crate::cli::table::span;

impl Target {
    /// The path of the instance.
    pub(super) fn path(&self) -> String {
        format!("/v1/services/{}/instances/{}", encode(&self.service), encode(&self.id))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.id)
    }
}

/// Removes the instance. Absent is as good as removed, whoever says so.
pub(super) fn deregister(
    client: &Client,
    output: OutputFormat,
    target: &Target,
) -> Result<(), ClientError> {
    let call = Call::new(Method::DELETE, format!("deregister {target}"), target.path());
    match client.call(call) {
        Err(ClientError::Refused { problem, .. }) if problem.is_absence() => {}
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    match output {
        OutputFormat::Table => print(&line(&format!("{target} is deregistered"))),
        // The server's reply is 204: there is no JSON to print.
        OutputFormat::Json => Ok(()),
    }
}

/// Renews the instance's lease; with a `generation` only that of its registration.
pub(super) fn heartbeat(
    client: &Client,
    output: OutputFormat,
    target: &Target,
    generation: Option<u64>,
) -> Result<(), ClientError> {
    let path = target.path() + "/heartbeat";
    let call = Call::new(Method::PUT, format!("renew {target}"), path);
    let call = match generation {
        Some(generation) => call.json(&serde_json::json!({ "generation": generation })),
        None => call,
    };
    let reply = client.call(call)?;
    output.show(&reply, |renewed: &HeartbeatReply, _| {
        let lease = match renewed.expires_in_ms {
            Some(left) => format!("expires in {}", span(left)),
            None => "no lease, it never expires".to_owned(),
        };
        line(&format!("{target} is renewed: {lease}"))
    })
}

/// Takes the instance out of all answers.
pub(super) fn drain(
    client: &Client,
    output: OutputFormat,
    target: &Target,
) -> Result<(), ClientError> {
    let path = target.path() + "/drain";
    let reply = client.call(Call::new(Method::POST, format!("drain {target}"), path))?;
    output.show(&reply, |drained, _| drain_line(target, drained))
}

/// Lets the instance be answered again.
pub(super) fn undrain(
    client: &Client,
    output: OutputFormat,
    target: &Target,
) -> Result<(), ClientError> {
    let path = target.path() + "/drain";
    let reply = client.call(Call::new(Method::DELETE, format!("undrain {target}"), path))?;
    output.show(&reply, |undrained: &DrainReply, _| {
        line(&format!("{target} is enabled: revision {}", undrained.revision))
    })
}

fn drain_line(target: &Target, drained: &DrainReply) -> String {
    let safe = match drained.safe_in_ms {
        None => String::new(),
        Some(0) => ", safe to stop now".to_owned(),
        // Rounded up: a moment too late is safe.
        Some(left) => format!(", safe to stop in {}", span(left.div_ceil(1_000) * 1_000)),
    };
    line(&format!("{target} is draining: revision {}{safe}", drained.revision))
}

fn line(text: &str) -> String {
    printable(text) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { service: "web".into(), id: "a/b".into() }
    }

    #[test]
    fn an_id_stays_one_segment() {
        assert_eq!(target().path(), "/v1/services/web/instances/a%2Fb");
    }

    #[test]
    fn draining_says_when_it_is_safe_to_stop() {
        for (safe, text) in [
            (Some(0), "web/a/b is draining: revision 7, safe to stop now\n"),
            (Some(4_001), "web/a/b is draining: revision 7, safe to stop in 5s\n"),
            (None, "web/a/b is draining: revision 7\n"),
        ] {
            let drained = DrainReply { revision: 7, safe_in_ms: safe };

            assert_eq!(drain_line(&target(), &drained), text);
        }
    }
}
