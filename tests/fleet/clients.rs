//! Clients that arrive at random, look the name up for every request and take the first address.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::dns::Query;
use crate::support::message::Message;
use crate::support::now;
use crate::support::spread::NAME;

/// A request: when its client looked the name up, whom it was sent to, and whether that one answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) to: IpAddr,
    pub(crate) answered: bool,
}

/// All clients.
pub(crate) struct Clients {
    sent: Arc<Mutex<Vec<Sent>>>,
    task: JoinHandle<()>,
}

impl Clients {
    /// Sends `rate` requests a second until `end`, at random times, to `port` of whom `dns` says.
    pub(crate) fn start(dns: SocketAddr, port: u16, rate: f64, end: Instant) -> Self {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&sent);
        let task = tokio::spawn(async move {
            let (mut rng, mut next) = (SmallRng::seed_from_u64(70), now());
            let mut requests = JoinSet::new();
            while next < end {
                tokio::time::sleep_until(next.into()).await;
                requests.spawn(request(dns, port, rng.random(), Arc::clone(&all)));
                next += Duration::from_secs_f64(-f64::ln(1.0 - rng.random::<f64>()) / rate);
                while requests.try_join_next().is_some() {}
            }
            requests.join_all().await;
        });
        Self { sent, task }
    }

    /// Waits until all requests have ended; all of them.
    pub(crate) async fn finish(self) -> Vec<Sent> {
        self.task.await.unwrap();
        let sent = self.sent.lock().unwrap();
        sent.clone()
    }
}

async fn request(dns: SocketAddr, port: u16, id: u16, all: Arc<Mutex<Vec<Sent>>>) {
    let at = now();
    let to = look_up(dns, id).await;
    let answered = exchange((to, port).into()).await.is_ok_and(|reply| !reply.is_empty());
    all.lock().unwrap().push(Sent { at, to, answered });
}

/// The first address of the name. Asks again as resolvers do, since a datagram may get lost.
async fn look_up(dns: SocketAddr, id: u16) -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    socket.connect(dns).await.unwrap();
    let mut reply = [0; 1500];
    for _ in 0..10 {
        socket.send(&Query::new(NAME, "A").packet(id)).await.unwrap();
        let reply_in_time = tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut reply));
        if let Ok(length) = reply_in_time.await {
            return Message::parse(&reply[..length.unwrap()]).data()[0].parse().unwrap();
        }
    }
    panic!("no answer in twenty seconds");
}

async fn exchange(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").await?;
    let mut reply = Vec::new();
    connection.read_to_end(&mut reply).await?;
    Ok(reply)
}
