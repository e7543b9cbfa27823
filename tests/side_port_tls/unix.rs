//! Unix sockets: who may connect, and what is done about what is in their place.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::authenticated::first_token;
use crate::support::needs::{CURL, skipped, works};
use crate::support::server::{Builder, Server};
use crate::support::{SOON, eventually};
use crate::{Said, bearer, curl};

/// A server with a socket `http.sock` in its folder.
fn builder(config: &str) -> Builder {
    let builder = Server::builder(config);
    let socket = builder.path("http.sock").display().to_string();
    builder.argument(&format!("--http=unix:{socket}"))
}

fn socket(server: &Server) -> String {
    server.folder().join("http.sock").display().to_string()
}

/// Calls the socket.
fn call(server: &Server, arguments: &[String], path: &str) -> Said {
    let all = [&["--unix-socket".to_owned(), socket(server)], arguments].concat();
    curl(&all, &format!("http://localhost{path}"))
}

#[test]
fn a_socket_serves_what_ports_do_under_the_same_rules() {
    if !works(CURL) {
        return;
    }
    let config = "[auth]\nrequired = true\n";
    let builder = builder(config);
    let file = builder.path("registry.toml");
    fs::write(&file, config).unwrap();
    let root = bearer(&first_token(&file));
    let mut server = builder.start();

    assert_eq!(call(&server, &[], "/healthz").status, 200);
    assert_eq!(call(&server, &[], "/v1/services").status, 401);
    assert_eq!(call(&server, &root, "/v1/services").status, 200);
    let foreign = [&root[..], &["-H".to_owned(), "Host: evil.example".to_owned()]].concat();
    assert_eq!(call(&server, &foreign, "/v1/services").status, 403);
    let line = format!("http  unix:{}\n", socket(&server));
    assert!(server.printed().contains(&line), "{}", server.printed());
    let mode = fs::metadata(socket(&server)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o660);

    assert_eq!(server.terminate().code(), Some(0));
    assert!(!Path::new(&socket(&server)).exists(), "it is still there");
}

#[test]
fn a_relative_path_starts_at_the_file() {
    let builder = Server::builder(
        "[dns]\nlisten = [\"{dns}\"]\n[http]\nlisten = [\"{http}\", \"unix:a.sock\"]",
    );

    let server = builder.without_flags().start();

    let found = fs::metadata(server.folder().join("a.sock")).unwrap();
    assert!(found.file_type().is_socket());
}

#[test]
fn the_mode_says_who_may_connect() {
    if !works(CURL) {
        return;
    }
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let may = Command::new("setpriv").args(as_nobody).arg("true").status();
    if !may.is_ok_and(|status| status.success()) {
        skipped("only root can be somebody else");
        return;
    }
    let status = |mode: &str| {
        let server = builder(&format!("[http]\nunix_mode = \"{mode}\"")).start();
        // Others may look into the folder, so that the socket alone decides.
        fs::set_permissions(server.folder(), Permissions::from_mode(0o755)).unwrap();
        let own = call(&server, &[], "/healthz").status;
        let output = Command::new("setpriv")
            .args(as_nobody)
            .args(["curl", "-sS", "--unix-socket", &socket(&server), "http://localhost/healthz"])
            .output()
            .unwrap();
        (own, String::from_utf8_lossy(&output.stdout).contains("live"))
    };

    assert_eq!(status("0660"), (200, false));
    assert_eq!(status("0600"), (200, false));
    assert_eq!(status("0666"), (200, true));
}

#[test]
fn what_a_dead_server_left_is_replaced() {
    if !works(CURL) {
        return;
    }
    let mut server = builder("").start();
    server.kill();
    assert!(Path::new(&socket(&server)).exists());

    server.start_again();

    assert_eq!(call(&server, &[], "/healthz").status, 200);
}

#[test]
fn what_a_living_server_has_is_not() {
    if !works(CURL) {
        return;
    }
    let first = builder("").start();
    let second = Server::builder("").argument(&format!("--http=unix:{}", socket(&first)));

    let (code, said) = second.fail();

    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another process does already"), "{said}");
    assert_eq!(call(&first, &[], "/healthz").status, 200);
}

#[test]
fn who_is_behind_a_full_queue_is_not_waited_for() {
    let builder = builder("");
    let path = builder.path("http.sock");
    let stopped = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let address = SockAddr::unix(&path).unwrap();
    stopped.bind(&address).unwrap();
    stopped.listen(0).unwrap();
    let connect = || {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        client.connect(&address).map(|()| client)
    };
    let waiting: Vec<Socket> = std::iter::from_fn(|| connect().ok()).take(100).collect();
    assert!(waiting.len() < 100, "its queue is full");
    let other = Server::builder("").argument(&format!("--http=unix:{}", path.display()));

    let (code, said) = other.fail();

    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another process does already"), "{said}");
    drop(waiting);
}

#[test]
fn a_socket_has_places_when_ports_have_none() {
    if !works(CURL) {
        return;
    }
    let server = builder("[limits]\nconnections = 4").start();
    let watches: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut watch = TcpStream::connect(server.http.address).unwrap();
            watch.write_all(b"GET /v1/watch HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
            let mut lines = BufReader::new(&watch).lines().map(Result::unwrap);
            assert!(lines.any(|line| line == "event: reset"));
            drop(lines);
            watch
        })
        .collect();

    eventually(SOON, "all are busy", || {
        (server.http.apart().try_get("/healthz")?.status == 429).then_some(())
    });
    assert_eq!(call(&server, &[], "/v1/services").status, 200);
    drop(watches);
}

#[test]
fn what_is_no_socket_is_never_removed() {
    for make in [
        (|path: &Path| fs::write(path, "precious").unwrap()) as fn(&Path),
        |path| fs::create_dir(path).unwrap(),
        |path| std::os::unix::fs::symlink("/nonexistent", path).unwrap(),
    ] {
        let builder = builder("");
        let path = builder.path("http.sock");
        make(&path);
        let other = Server::builder("").argument(&format!("--http=unix:{}", path.display()));

        let (code, said) = other.fail();

        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("something that is no socket is there: remove it"), "{said}");
        assert!(fs::symlink_metadata(&path).is_ok(), "it is gone");
    }
}

#[test]
fn a_socket_that_became_anothers_is_left_to_it() {
    let mut server = builder("").start();
    let path = socket(&server);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();

    assert_eq!(server.terminate().code(), Some(0));

    assert!(Path::new(&path).exists(), "that of the other is gone");
}

#[test]
fn a_socket_that_cannot_be_made_is_told_with_the_way_out() {
    let long = format!("--http=unix:/tmp/{}", "a".repeat(200));
    for (argument, text) in [
        ("--http=unix:/nonexistent/http.sock", "its folder does not exist"),
        (long.as_str(), "the path is too long"),
    ] {
        let (code, said) = Server::builder("").argument(argument).fail();

        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn clients_of_a_socket_are_many_and_slow_ones_make_room() {
    if !works(CURL) {
        return;
    }
    let server = builder("[limits]\nconnections = 4").start();
    let idle: Vec<_> = (0..16)
        .map(|_| std::os::unix::net::UnixStream::connect(socket(&server)).unwrap())
        .collect();

    let said = call(&server, &[], "/v1/services");

    assert_eq!((said.status, &said.body), (200, &json!({ "revision": 1, "services": [] })));
    drop(idle);
}
