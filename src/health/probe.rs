//! One probe: a connection, a question, an answer, all within its time.
//!
//! It goes to the address that it is given and nowhere else: no name is looked up, no proxy is
//! asked, no redirect is followed. Dropped, it leaves nothing open.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::health::outcome::Outcome;
use crate::health::{grpc, http};
use crate::model::{DurationText, Probe, Question, Status};

/// Asks what `probe` asks at `target`. `host` is what the instance is called there.
pub(super) async fn ask(probe: &Probe, target: SocketAddr, host: &str) -> Outcome {
    let asked = tokio::time::timeout(probe.timeout, connect_and_ask(probe, target, host)).await;
    asked.unwrap_or_else(|_| {
        Outcome::critical(format!("no answer within {}", DurationText(probe.timeout)))
    })
}

async fn connect_and_ask(probe: &Probe, target: SocketAddr, host: &str) -> Outcome {
    let stream = match TcpStream::connect(target).await {
        Ok(stream) => stream,
        Err(error) => return Outcome::refused(&error),
    };
    // Requests are small, and are not to wait for company.
    stream.set_nodelay(true).ok();
    match &probe.question {
        Question::Tcp => Outcome::Said(Status::Passing, "connected".into()),
        Question::Http(check) => http::ask(stream, check, host).await,
        Question::Grpc(service) => grpc::ask(stream, service, host).await,
    }
}
