//! Accepts connections, whatever goes wrong with one of them or with the machine.
//!
//! Never ends and never spins: an error of one connection is passed over at once, and a want of
//! descriptors or memory is waited out, longer each time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::sleep;

/// What connections are accepted from.
pub trait Listen {
    /// A connection, and where it comes from.
    type Accepted;

    /// The next connection. May be dropped at any time: no connection is lost.
    fn next(&self) -> impl Future<Output = io::Result<Self::Accepted>> + Send;
}

impl Listen for TcpListener {
    type Accepted = (TcpStream, SocketAddr);

    fn next(&self) -> impl Future<Output = io::Result<Self::Accepted>> + Send {
        self.accept()
    }
}

impl Listen for UnixListener {
    /// Who is at the other end has no address.
    type Accepted = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// A listener that goes on.
#[derive(Debug)]
pub struct Acceptor<L> {
    listener: L,
    /// How long to leave the listener alone after the next error; `None` while all is well.
    pause: Option<Duration>,
    /// How many connections to accept before errors are worth another line: where descriptors are
    /// few, a flood has errors and successes by turns.
    untold: u32,
}

impl<L: Listen> Acceptor<L> {
    /// Accepts from `listener`.
    #[must_use]
    pub fn new(listener: L) -> Self {
        Self { listener, pause: None, untold: 0 }
    }

    /// The next connection. Calls `failed` for each that could not be accepted, for whatever
    /// reason. May be dropped at any time: no connection is lost.
    pub async fn accept(&mut self, failed: impl Fn()) -> L::Accepted {
        loop {
            let error = match self.listener.next().await {
                Ok(accepted) => {
                    self.pause = None;
                    self.untold = self.untold.saturating_sub(1);
                    return accepted;
                }
                Err(error) => error,
            };
            failed();
            if is_of_one_connection(&error) {
                continue;
            }
            if self.untold == 0 {
                tracing::error!(%error, "cannot accept connections, trying on");
            }
            self.untold = TOLD_FOR;
            let pause = self.pause.unwrap_or(FIRST_PAUSE);
            self.pause = Some((pause * 2).min(LONGEST_PAUSE));
            sleep(pause).await;
        }
    }
}

/// Whether only the connection that was to be accepted is lost (accept(2): errors that were on its
/// way already).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkDown, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
    )
}

const TOLD_FOR: u32 = 1_000;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Short enough for a client that waits for its connection.
const LONGEST_PAUSE: Duration = Duration::from_millis(640);
