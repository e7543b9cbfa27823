//! Calls that are half sent when what they were let in by ends.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::raw::{Raw, connect, rest};
use crate::support::authenticated::Authenticated;

/// The head of `call` with `token`, to be answered when its body is there; then `half` of that.
fn begin(guarded: &Authenticated, call: &str, token: &str, body: &str, half: usize) -> TcpStream {
    let mut stream = connect(guarded.server.http.address);
    // That it may go on tells that it has passed whatever is looked at before.
    let head = format!(
        "{call} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut said = [0; 25];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&body.as_bytes()[..half]).unwrap();
    stream
}

#[test]
fn a_token_that_is_revoked_ends_what_is_half_sent_with_it() {
    let guarded = Authenticated::start("[auth]\nrequired = true\n");
    let spec = json!({ "name": "new", "scopes": ["admin"] }).to_string();
    let instance = json!({ "addresses": ["10.0.0.1"] }).to_string();
    for (call, body) in
        [("POST /v1/tokens", spec.as_str()), ("PUT /v1/services/web/instances/a", &instance)]
    {
        let made = guarded.made(&json!({ "name": "thief", "scopes": ["admin"] }));
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        let mut half = begin(&guarded, call, &text("token"), body, 1);
        let revoke = format!("/v1/tokens/{}", text("id"));
        assert_eq!(guarded.admin.delete(&revoke).status, 204);

        half.write_all(&body.as_bytes()[1..]).unwrap();

        let reply = Raw::parse(&rest(&mut half));
        assert_eq!(reply.problem(), (401, "unauthorized".to_owned(), None), "{call}");
    }
    let tokens = guarded.admin.get("/v1/tokens").body;
    let names: Vec<&Value> =
        tokens["tokens"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
    assert_eq!(names, ["root"]);
    assert_eq!(guarded.admin.get("/v1/services/web").status, 404);
}
