//! What all targets serve: the example beside them, by the server's own code.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use signpost::config;
use signpost::dns::front::Front;
use signpost::dns::serve::Shared;
use signpost::dns::tcp;
use signpost::dns::transport::Peer;
use signpost::server::still;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// The front, made once.
pub fn front() -> &'static Front {
    static FRONT: OnceLock<Front> = OnceLock::new();
    FRONT.get_or_init(make)
}

/// A front of its own. All are alike.
pub fn make() -> Front {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The package's own folder, or that of the fuzzer's in it.
    let example = ["fuzz/example/registry.toml", "example/registry.toml"];
    let file = example.iter().map(|file| folder.join(file)).find(|file| file.exists());
    let config = config::load(&file.expect("the example is there"));
    still(&config.expect("the example is legal")).expect("its zone files are legal")
}

/// Serves a stream until it ends.
pub async fn converse<S>(stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handler = |packet: &[u8], peer, reply: &mut Vec<u8>| front().handle(packet, peer, reply);
    let shared = Arc::new(Shared::new(1, 1));
    let (_go_on, stop) = watch::channel(false);
    tcp::converse(stream, peer, handler, shared.clone(), stop).await;
    assert_eq!(shared.counters.panics.load(std::sync::atomic::Ordering::Relaxed), 0, "a panic");
}

/// Runs a conversation to its end. Time passes when nobody has anything left to do.
pub fn run<T>(conversation: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.expect("needs nothing of the system").block_on(conversation)
}
