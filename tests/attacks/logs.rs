//! What clients send never gets into a log as it is: no line of its own, no escape sequence, no text
//! that turns around.

use serde_json::json;

use crate::WEB;
use crate::raw::send;
use crate::support::server::Server;

#[test]
fn nothing_that_clients_send_is_raw_in_a_log() {
    for format in ["text", "json"] {
        let builder = Server::builder(WEB).argument("--log-format").argument(format);
        let server = builder.under(&["env", "RUST_LOG=debug"]).start();
        let evil = "\u{1b}[31mred\u{202e}txt\u{2028}\u{9b}2J";
        let encoded: String = evil.bytes().map(|byte| format!("%{byte:02x}")).collect();

        for request in [
            format!("GET /v1/services/a%0aforged%20line{encoded} HTTP/1.1\r\nHost: localhost\r\n"),
            format!("GET /{encoded}%0d%0aforged HTTP/1.1\r\nHost: localhost\r\n"),
            format!("GET /v1/watch?service=%0aforged{encoded} HTTP/1.1\r\nHost: localhost\r\n"),
            format!("GET /v1/services HTTP/1.1\r\nHost: {evil}forged\r\n"),
            format!("GET /v1/services HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {evil}forged\r\n"),
            format!("GET /v1/services HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {evil}\r\n"),
            format!("{evil} / HTTP/1.1\r\nHost: localhost\r\n"),
        ] {
            let reply =
                send(server.http.address, format!("{request}Connection: close\r\n\r\n").as_bytes());
            assert!((200..500).contains(&reply.status), "{request:?} {reply:?}");
        }
        let metadata = json!({ "k\nforged": format!("{evil}\nforged") });
        let body = json!({ "addresses": ["10.0.0.5"], "ttl": "1s", "metadata": metadata });
        server.http.register("api", "a", &body);
        for field in ["id", "status", "addresses"] {
            let body = json!({ field: format!("\nforged{evil}") });
            let reply = server.http.put("/v1/services/api/instances/b", &body);
            assert_eq!(reply.status, 400, "{reply:?}");
        }
        server.assert_well("after forged lines");

        let log = server.log();
        for line in log.lines() {
            assert!(!line.starts_with("forged"), "{line:?}");
            let raw = |c: char| {
                c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{2028}'
            };
            assert!(!line.contains(raw), "{line:?}");
            if format == "json" {
                assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line:?}");
            }
        }
    }
}
