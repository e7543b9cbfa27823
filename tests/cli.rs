//! The binary as a user meets it, where no server is needed: exit codes, errors, completions.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output};

use socket2::{Domain, Socket, Type};

fn signpost(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signpost"));
    command.args(line.split_whitespace()).env_remove("SIGNPOST_SERVER").env_remove("COLUMNS");
    command
}

fn run(line: &str) -> Output {
    signpost(line).output().unwrap()
}

/// What ends up where: exit code, stdout, stderr.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A port that refuses connections for as long as the socket lives: bound, but not listening.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

const CLIENT_COMMANDS: [&str; 8] = [
    "ls",
    "ls web",
    "register web web-1 --address 10.0.0.1 --port 80",
    "deregister web web-1",
    "heartbeat web web-1",
    "drain web web-1",
    "undrain web web-1",
    "resolve web.service.local",
];

#[test]
fn a_server_that_is_away_is_code_1_with_the_next_step() {
    let (_socket, address) = refusing();

    for command in CLIENT_COMMANDS {
        let output = run(&format!("{command} --server http://{address}"));

        let error = format!(
            "signpost: cannot reach http://{address}: connection refused\n  \
             start it with \"signpost serve\" or name another with --server URL\n"
        );
        assert_eq!(told(&output), (Some(1), String::new(), error), "{command}");
    }
}

#[test]
fn the_server_may_come_from_the_environment() {
    let (_socket, address) = refusing();

    for url in [format!("{address}"), format!("http://{address}/")] {
        let output = signpost("ls").env("SIGNPOST_SERVER", url).output().unwrap();

        let (code, _, error) = told(&output);
        assert_eq!(code, Some(1));
        assert!(error.contains(&format!("cannot reach http://{address}: ")), "{error}");
    }
}

#[test]
fn wrong_usage_is_code_2_and_says_what_is_wrong() {
    for (line, reason) in [
        ("nonsense", "unrecognized subcommand 'nonsense'"),
        ("run --service web", "unrecognized subcommand 'run'"),
        ("watch", "unrecognized subcommand 'watch'"),
        ("man nonsense", "there is no command \"nonsense\""),
        ("deregister web", "<ID>"),
        ("register web web-1 --port 80", "--address <IP>"),
        ("register web web-1 --address 10.0.0.1", "--port <[NAME=]PORT[/PROTO]>"),
        ("register web web-1 --address 10.1 --port 80", "invalid IP address syntax"),
        ("register web web-1 --address 10.0.0.1 --port http", "write [NAME=]PORT[/PROTO]"),
        ("register web web-1 --address 10.0.0.1 --port 80 --ttl 10", "e.g. 10s or 2m"),
        ("register web web-1 --address 10.0.0.1 --port 80 --weight 0", "1-65535 is allowed"),
        ("register web web-1 --address 10.0.0.1 --port 80 --metadata a", "write K=V"),
        ("resolve web.service.local A --client me", "invalid IP address syntax"),
        ("serve --dns 8053", "e.g. 127.0.0.1:8053 or [::1]:8053"),
        ("serve --log-format xml", "[possible values: text, json]"),
        ("ls -o yaml", "[possible values: table, json]"),
        ("ls --server ftp://ns1:8054", "write https://HOST:PORT or unix:PATH"),
        ("ls --cert cert.pem", "--key <FILE>"),
        ("completions tcsh", "possible values: bash"),
    ] {
        let (code, stdout, stderr) = told(&run(line));

        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{line}");
        assert!(stderr.contains(reason), "{line}: {stderr}");
        assert!(!stderr.contains('\u{1b}'), "{line}: {stderr}");
    }
}

#[test]
fn an_empty_name_is_wrong_usage() {
    for words in [["ls", ""].as_slice(), &["heartbeat", "web", ""], &["drain", "", "web-1"]] {
        let output = signpost("").args(words).output().unwrap();

        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, stderr) = told(&run(&format!("completions {shell}")));

        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{shell}");
        for command in [
            "serve",
            "check",
            "ls",
            "register",
            "deregister",
            "heartbeat",
            "drain",
            "undrain",
            "resolve",
            "completions",
            "man",
            "doctor",
        ] {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn version_and_help_go_to_stdout() {
    let version = format!("signpost {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(told(&run("--version")), (Some(0), version, String::new()));

    let (code, help, stderr) = told(&run("-h"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(help.contains("Exit codes: 0 done"), "{help}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for line in ["completions zsh", "-h", "--version"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);

        let output = signpost(line).stdout(writer).output().unwrap();

        assert_eq!(told(&output), (Some(0), String::new(), String::new()), "{line}");
    }
}
