//! An HTTP client of DNS over HTTPS that sends anything.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signpost::dns::transport::{Peer, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

use crate::targets::{packet, served};

/// Makes a request of what follows the first byte, which says how, and holds the response to the
/// laws: one of the statuses of a client's mistakes, or a DNS reply that keeps its own.
pub fn https(bytes: &[u8]) {
    let Some((form, rest)) = bytes.split_first() else { return };
    let close = "host: a\r\nconnection: close\r\n\r\n";
    let request = match form % 4 {
        0 => {
            let length = rest.len();
            let head = format!(
                "POST /dns-query HTTP/1.1\r\ncontent-type: application/dns-message\r\n\
                 content-length: {length}\r\n{close}"
            );
            [head.as_bytes(), rest].concat()
        }
        1 => {
            let encoded = URL_SAFE_NO_PAD.encode(rest);
            format!("GET /dns-query?dns={encoded} HTTP/1.1\r\n{close}").into_bytes()
        }
        2 => [b"GET /dns-query?", rest, format!(" HTTP/1.1\r\n{close}").as_bytes()].concat(),
        _ => rest.to_vec(),
    };

    let response = served::run(exchange(request));

    let Some((head, body)) = cut(&response) else {
        // Bytes that are no HTTP may be met with silence; a request of ours is not.
        assert!(form % 4 > 1, "no response to {rest:?}");
        return;
    };
    let status = head.get(9..12).unwrap_or_default();
    assert!(STATUSES.contains(&status), "{head} to {rest:?}");
    if form % 4 < 2 && status == "200" {
        packet::check(rest, Transport::Https, body);
    }
}

async fn exchange(request: Vec<u8>) -> Vec<u8> {
    let (client, server) = duplex(PIPE);
    let peer = Peer { transport: Transport::Https, source: ([192, 0, 2, 1], 5353).into() };
    let serving = served::converse(server, peer);
    let (mut incoming, mut outgoing) = split(client);
    let sending = async {
        outgoing.write_all(&request).await.ok();
        outgoing.shutdown().await.ok();
    };
    let mut response = Vec::new();
    let receiving = async { incoming.read_to_end(&mut response).await.ok() };
    tokio::join!(serving, sending, receiving);
    response
}

/// The head and the body of an HTTP/1.1 response.
fn cut(response: &[u8]) -> Option<(&str, &[u8])> {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&response[..end]).expect("heads are text");
    head.starts_with("HTTP/1.").then_some((head, &response[end + 4..]))
}

/// What there is to say to a client, right or wrong; 500 is ours.
const STATUSES: [&str; 9] = ["200", "400", "404", "405", "408", "413", "414", "415", "431"];
const PIPE: usize = 1 << 20;
