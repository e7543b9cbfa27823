//! `/docs`: a page that needs nothing from elsewhere, and may not have anything.

use crate::support::server::Server;

#[test]
fn the_page_may_load_nothing_and_be_framed_by_nobody() {
    let server = Server::start("[auth]\nrequired = true\n");

    let reply = server.http.raw(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n");

    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "frame-ancestors 'none'",
        "x-frame-options: DENY",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert!(body.starts_with("<!DOCTYPE html>") && body.contains("/v1/batch"), "{body}");
}

#[test]
fn both_are_for_who_calls_the_server_by_its_name() {
    let server = Server::start("");

    for path in ["/docs", "/openapi.json"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        let reply = server.http.raw(request.as_bytes());

        assert!(reply.starts_with("HTTP/1.1 403 "), "{path}: {reply}");
    }
}
