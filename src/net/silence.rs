//! What the system is told of a connection whose client may stop reading, or be gone without a word.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

/// Prepares the connection of a client that may stay for long.
///
/// Best effort: without any of it a connection works, and costs more.
pub fn prepare(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    // Replies are small and complete: waiting to fill a segment would only delay them.
    socket.set_tcp_nodelay(true).ok();
    give_up_in_time(socket);
}

#[cfg(target_os = "linux")]
fn give_up_in_time(socket: SockRef<'_>) {
    // Else the system takes up to 4 MiB for each client that does not read.
    socket.set_tcp_notsent_lowat(UNSENT).ok();
    // Else it tries for a quarter of an hour before it tells that nobody is there.
    socket.set_tcp_user_timeout(Some(SILENCE)).ok();
}

#[cfg(not(target_os = "linux"))]
fn give_up_in_time(_: SockRef<'_>) {}

/// How much the system may hold for a client beyond what is on its way.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;
/// How long what was sent may stay without an answer; longer than clients may take to read.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(45);
