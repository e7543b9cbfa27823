//! The resolvers that languages bring along: Go, Node.js, Java, Python; and gRPC.

use crate::needs;
use crate::pages::shell::Shell;
use crate::proxies::{answer_all, backends};
use crate::setup::{piece, served, write};

#[test]
fn go_finds_servers_and_weights() {
    let Some((folder, mut shell)) = served(&["go", "version"]) else { return };
    write(&folder, "web.go", &piece("Go"));

    // What it compiles of its library is kept between runs.
    let cache = needs::tools().join("go-cache");
    let run = format!("GOCACHE={} GOFLAGS=-buildvcs=false CGO_ENABLED=0", cache.display());
    let found = shell.run(&format!("{run} go run web.go | sort"));

    assert_eq!(found, SERVERS.map(|server| server.replacen(' ', ". ", 1)));
}

#[test]
fn node_finds_servers_and_weights() {
    let Some((folder, mut shell)) = served(&["node", "--version"]) else { return };
    write(&folder, "web.mjs", &piece("Node.js"));

    assert_eq!(shell.run("node web.mjs | sort"), SERVERS);
}

#[test]
fn java_finds_servers_and_weights() {
    // Not installed by ./test.
    if !needs::present(&["javac", "-version"]) {
        return;
    }
    let Some((folder, mut shell)) = served(&["java", "-version"]) else { return };
    write(&folder, "Web.java", &piece("Java"));

    let expected = [
        "0 21845 8080 web-2.web.service.local.",
        "0 21845 8080 web-3.web.service.local.",
        "0 65535 8080 web-1.web.service.local.",
    ];
    assert_eq!(shell.run("java Web.java | sort"), expected);
}

#[test]
fn dnspython_finds_servers_and_weights() {
    let Some((folder, mut shell)) = served(needs::DNSPYTHON) else { return };
    write(&folder, "web.py", &piece("Python"));

    let found = shell.run("/usr/bin/python3 web.py | sort");

    assert_eq!(found, SERVERS.map(|server| server.replacen(' ', ". ", 1)));
}

#[test]
fn grpc_calls_every_instance_in_turn() {
    let Some((folder, mut shell)) = served(&["python3", "-c", "import grpc"]) else { return };
    backends(&mut shell);
    answer_all(&mut shell);
    write(&folder, "server.py", GRPC_SERVER);
    write(&folder, "client.py", &format!("{}{GRPC_CALLS}", piece("gRPC")));

    shell.run("python3 server.py >server.log 2>&1 &");

    assert_eq!(calls(&mut shell), ["10.0.0.11", "10.0.0.12", "10.0.0.13"]);
}

fn calls(shell: &mut Shell) -> Vec<String> {
    shell.run("timeout 100 python3 client.py")
}

/// Name, port and weight of the instances of web.
pub(crate) const SERVERS: [&str; 3] = [
    "web-1.web.service.local 8080 65535",
    "web-2.web.service.local 8080 21845",
    "web-3.web.service.local 8080 21845",
];

/// Three servers that say who they are, whatever they are asked.
const GRPC_SERVER: &str = r"
from concurrent import futures
import grpc

class Name(grpc.GenericRpcHandler):
    def __init__(self, name):
        self.name = name.encode()
    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.name)

servers = []
for i in (1, 2, 3):
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Name(f'10.0.0.1{i}'),))
    server.add_insecure_port(f'10.0.0.1{i}:8080')
    server.start()
    servers.append(server)
servers[0].wait_for_termination()
";

/// Calls until all have answered.
const GRPC_CALLS: &str = r"
who, found = channel.unary_unary('/name/who'), set()
while len(found) < 3:
    found.add(who(b'', wait_for_ready=True, timeout=60).decode())
print(*sorted(found), sep='\n')
";
