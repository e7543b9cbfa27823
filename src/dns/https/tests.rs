//! The front of a connection without TLS: what is asked, what is refused, what is too slow.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::Method;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::dns::https::request::Form;
use crate::dns::serve::Timeouts;
use crate::dns::transport::Transport;
use crate::net::connections::Admission;

const PEER: Peer = Peer {
    transport: Transport::Https,
    source: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1),
};

/// Echoes messages; silent to one that begins with 0, panics at one that begins with 9.
fn echo(packet: &[u8], peer: Peer, reply: &mut Vec<u8>) -> bool {
    assert_eq!(peer, PEER);
    assert_ne!(packet.first(), Some(&9));
    reply.clear();
    reply.extend(packet);
    packet.first().is_some_and(|first| *first != 0)
}

struct Connection {
    client: DuplexStream,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn connect(timeouts: Timeouts) -> Connection {
    let (client, stream) = duplex(1 << 20);
    let shared = Arc::new(Shared { timeouts, ..Shared::new(1, 1) });
    let (stop, mut stopped) = watch::channel(false);
    let task = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move {
            let Admission::Free(place) = shared.connections.admit(PEER.source.ip()) else { return };
            converse(stream, echo, PEER, &place, &shared, &mut stopped).await;
        }
    });
    Connection { client, shared, stop, task }
}

impl Connection {
    async fn send(&mut self, request: &[u8]) {
        self.client.write_all(request).await.unwrap();
    }

    /// All that comes until the server closes.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.client.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn post(length: usize) -> String {
    format!(
        "POST /dns-query HTTP/1.1\r\nhost: x\r\ncontent-type: application/dns-message\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    )
}

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(600);

async fn asked(method: &str, uri: &str, headers: &[(&str, &str)], body: &[u8]) -> Asked {
    try_asked(method, uri, headers, body).await.unwrap()
}

async fn try_asked(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Asked, Refused> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, body) = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap().into_parts();
    request::asked(&head, body).await
}

#[tokio::test]
async fn a_message_comes_by_post_and_by_get() {
    let form = Form::Wire;
    let media_type = [("content-type", "Application/DNS-Message; x=y")];
    let by_post = asked("POST", "/dns-query", &media_type, b"message").await;
    let encoded = format!("/dns-query?a=b&dns={}", URL_SAFE_NO_PAD.encode(b"mess\xff\xfeage"));

    assert_eq!(by_post, Asked { packet: b"message".to_vec(), form });
    for method in ["GET", "HEAD"] {
        let expected = Asked { packet: b"mess\xff\xfeage".to_vec(), form };
        assert_eq!(asked(method, &encoded, &[], b"").await, expected);
    }
    let accept = [("accept", "application/dns-json, */*;q=0.1")];
    assert_eq!(asked("GET", &encoded, &accept, b"").await.form, Form::Json);
    let accept = [("accept", "application/dns-message, application/dns-json")];
    assert_eq!(asked("GET", &encoded, &accept, b"").await.form, Form::Wire);
}

#[tokio::test]
async fn a_name_and_a_type_make_a_message() {
    let head = b"\0\0\x01\0\0\x01\0\0\0\0\0\x01".as_slice();
    let bare = b"\0\0\x29\xff\xff\0\0\0\0\0\0".as_slice();
    for (query, question, edns) in [
        ("name=web.local", b"\x03web\x05local\0\0\x01\0\x01".as_slice(), bare),
        ("name=web.local.&type=srv&do=1&cd=true", b"\x03web\x05local\0\0\x21\0\x01", bare),
        ("type=33&name=w%65b", b"\x03web\0\0\x21\0\x01", bare),
        ("name=.&type=TYPE65", b"\0\0\x41\0\x01", bare),
        (
            "name=a&edns_client_subnet=192.0.2.255/25",
            b"\x01a\0\0\x01\0\x01",
            b"\0\0\x29\xff\xff\0\0\0\0\0\x0c\0\x08\0\x08\0\x01\x19\0\xc0\0\x02\x80",
        ),
        (
            "name=a&edns_client_subnet=2001:db8::1%2F32",
            b"\x01a\0\0\x01\0\x01",
            b"\0\0\x29\xff\xff\0\0\0\0\0\x0c\0\x08\0\x08\0\x02\x20\0\x20\x01\x0d\xb8",
        ),
    ] {
        let packet = [head, question, edns].concat();
        let asked = asked("GET", &format!("/dns-query?{query}"), &[], b"").await;
        assert_eq!(asked, Asked { packet, form: Form::Json }, "{query}");
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused_by_the_right_status() {
    let largest = vec![1; 65_535];
    let message = ("content-type", "application/dns-message");
    assert_eq!(asked("POST", "/dns-query", &[message], &largest).await.packet, largest);

    for (method, uri, headers, body, status) in [
        ("GET", "/", &[][..], &b""[..], 404),
        ("POST", "/dns-query/", &[message], b"message", 404),
        ("PUT", "/dns-query", &[message], b"message", 405),
        ("OPTIONS", "/dns-query", &[], b"", 405),
        ("POST", "/dns-query", &[], b"message", 415),
        ("POST", "/dns-query", &[("content-type", "text/plain")], b"message", 415),
        ("POST", "/dns-query", &[message], &[1; 65_536], 413),
        ("GET", "/dns-query", &[], b"", 400),
        ("GET", "/dns-query?dns=AA==", &[], b"", 400),
        ("GET", "/dns-query?dns=A+/A", &[], b"", 400),
        ("GET", "/dns-query?dns=AAAA&name=a", &[], b"", 400),
        ("GET", "/dns-query?name=a..b", &[], b"", 400),
        ("GET", "/dns-query?name=%zz", &[], b"", 400),
        ("GET", "/dns-query?name=%+1", &[], b"", 400),
        ("GET", "/dns-query?name=%c3%28", &[], b"", 400),
        ("GET", "/dns-query?name=a&type=NOPE", &[], b"", 400),
        ("GET", "/dns-query?name=a&type=65536", &[], b"", 400),
        ("GET", "/dns-query?name=a&edns_client_subnet=x/1", &[], b"", 400),
        ("GET", "/dns-query?name=a&edns_client_subnet=1.2.3.4/-1", &[], b"", 400),
    ] {
        let refused = try_asked(method, uri, headers, body).await.unwrap_err();
        assert_eq!(refused.status().as_u16(), status, "{method} {uri}: {refused}");
    }
}

#[tokio::test]
async fn silence_and_panics_have_a_status_of_their_own() {
    for (first, status) in [(1, "200 OK"), (0, "400 Bad Request"), (9, "500 Internal Server")] {
        let mut connection = connect(Timeouts::default());

        connection.send(&[post(13).as_bytes(), &[first; 13]].concat()).await;

        let response = connection.rest().await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
        let refused = connection.shared.counters.https_refused.load(Ordering::Relaxed);
        assert_eq!(refused, u64::from(first != 1));
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let of = |method: Method| async move {
        let mut connection = connect(Timeouts::default());
        let request = format!(
            "{method} /dns-query?dns=AQIDBAUGBwgJCgsM HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        );
        connection.send(request.as_bytes()).await;
        let response = connection.rest().await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let head: Vec<_> = head.lines().filter(|line| !line.starts_with("date")).collect();
        (head.join("\n"), body.len())
    };

    let (of_get, of_head) = (of(Method::GET).await, of(Method::HEAD).await);

    let (mut get, mut head): (Vec<_>, Vec<_>) =
        (of_get.0.lines().collect(), of_head.0.lines().collect());
    get.sort_unstable();
    head.sort_unstable();
    assert_eq!(get, head);
    assert!(head.contains(&"content-length: 12"), "{head:?}");
    assert!(head.contains(&"x-content-type-options: nosniff"), "{head:?}");
    assert_eq!((of_get.1, of_head.1), (12, 0));
}

#[tokio::test]
async fn a_client_that_says_nothing_or_drips_its_head_is_cut() {
    for begun in ["", "PRI * HT", "GET /dns-query?name=a HTTP/1.1\r\nhost: x\r\n"] {
        let timeouts = Timeouts { idle: SHORT, message: LONG, write: LONG };
        let mut connection = connect(timeouts);

        connection.send(begun.as_bytes()).await;

        assert_eq!(connection.rest().await, "", "{begun}");
        connection.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_body_has_a_deadline_and_an_answer() {
    let mut connection = connect(Timeouts { idle: LONG, message: SHORT, write: LONG });

    connection.send(post(13).as_bytes()).await;

    let response = connection.rest().await;
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let mut connection = connect(Timeouts::default());

    let long = "a".repeat(20_000);
    connection.send(format!("GET /dns-query HTTP/1.1\r\nlong: {long}\r\n\r\n").as_bytes()).await;

    let response = connection.rest().await;
    assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
}

#[tokio::test]
async fn a_stop_ends_an_idle_connection_at_once_and_a_busy_one_after_its_reply() {
    let (mut idle, mut busy) = (connect(Timeouts::default()), connect(Timeouts::default()));
    // The server's side first runs when both are there: the stop, and what arrived before it.
    busy.send(&[post(13).as_bytes(), &[1; 13]].concat()).await;

    idle.stop.send(true).unwrap();
    busy.stop.send(true).unwrap();

    assert_eq!(idle.rest().await, "");
    let response = busy.rest().await;
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    idle.task.await.unwrap();
    busy.task.await.unwrap();
}
