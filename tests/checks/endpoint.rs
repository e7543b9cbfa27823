//! A small server of which every reply is planned, and which counts who comes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a connection gets.
#[derive(Debug, Clone)]
pub(crate) enum Conduct {
    /// These bytes, behind which the connection is closed.
    Say(String),
    /// Those in turn.
    Turns(Vec<String>),
    /// These bytes, and then nothing, for as long as the client waits.
    Hang(String),
    /// These bytes, and then more of the same for as long as the client reads.
    Flood(String),
    /// These bytes, one by one, each after a while.
    Drip(String),
    /// These bytes after a while.
    Late(String, Duration),
}

/// The server. Ends with the test.
pub(crate) struct Endpoint {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    conduct: Mutex<Conduct>,
    /// The requests as they came.
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    waiting: AtomicUsize,
    most: AtomicUsize,
    over: AtomicBool,
}

impl Endpoint {
    pub(crate) fn start(conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            conduct: Mutex::new(conduct),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.over.load(Ordering::SeqCst) {
                    break;
                }
                let (stream, serving) = (stream.unwrap(), Arc::clone(&serving));
                serving.open.fetch_add(1, Ordering::SeqCst);
                let waiting = Waiting::new(&serving);
                std::thread::spawn(move || {
                    // A client that goes away has had enough.
                    drop(serving.serve(stream, waiting));
                    serving.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    /// One that replies with this status and body.
    pub(crate) fn replying(status: &str, body: &str) -> Self {
        Self::start(Conduct::Say(reply(status, body)))
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on does something else.
    pub(crate) fn turn_to(&self, conduct: Conduct) {
        *self.shared.conduct.lock().unwrap() = conduct;
    }

    /// From now on replies with this status.
    pub(crate) fn reply(&self, status: &str) {
        self.turn_to(Conduct::Say(reply(status, "")));
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How many waited for a reply at the same time, at most.
    pub(crate) fn most(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes it.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    #[expect(clippy::disallowed_methods, reason = "slowness is what is tested")]
    fn serve(&self, mut stream: TcpStream, waiting: Waiting) -> std::io::Result<()> {
        let turn = self.connections.fetch_add(1, Ordering::SeqCst);
        let conduct = self.conduct.lock().unwrap().clone();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            // Who only connects asks nothing.
            if stream.read(&mut byte)? == 0 {
                return Ok(());
            }
            request.push(byte[0]);
        }
        self.requests.lock().unwrap().push(String::from_utf8(request).unwrap());
        if let Conduct::Late(_, after) = conduct {
            std::thread::sleep(after);
        }
        // Who has its reply may be back before this thread goes on.
        drop(waiting);
        match conduct {
            Conduct::Say(text) | Conduct::Late(text, _) => stream.write_all(text.as_bytes())?,
            Conduct::Turns(texts) => stream.write_all(texts[turn % texts.len()].as_bytes())?,
            Conduct::Hang(text) => {
                stream.write_all(text.as_bytes())?;
                drop(stream.read(&mut [0]));
            }
            Conduct::Flood(text) => loop {
                stream.write_all(text.as_bytes())?;
            },
            Conduct::Drip(text) => {
                for byte in text.bytes().cycle() {
                    stream.write_all(&[byte])?;
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
        Ok(())
    }
}

/// A connection that has no reply yet.
struct Waiting(Arc<Shared>);

impl Waiting {
    fn new(shared: &Arc<Shared>) -> Self {
        let waiting = shared.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most.fetch_max(waiting, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A whole reply.
pub(crate) fn reply(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}
