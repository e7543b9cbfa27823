//! The gRPC check, against servers of gRPC's own making.

use std::process::{Command, Stdio};

use super::endpoint::Endpoint;
use super::support::needs::{tools, works};
use super::support::server::Guarded;
use super::*;

/// The standard health service without its package: the messages as they are on the wire.
const HEALTH: &str = r#"
import sys
from concurrent import futures
import grpc

class Health(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == '/grpc.health.v1.Health/Check':
            return grpc.unary_unary_rpc_method_handler(self.check)
    def check(self, request, context):
        states = dict(line.split() for line in open(sys.argv[1] + '/states'))
        name = request[2:].decode() or '-'
        if name not in states:
            context.abort(grpc.StatusCode.NOT_FOUND, 'unknown service')
        return bytes([8, int(states[name])])

server = grpc.server(futures.ThreadPoolExecutor(4))
if sys.argv[2] == 'health':
    server.add_generic_rpc_handlers((Health(),))
port = server.add_insecure_port('127.0.0.1:0')
server.start()
open(sys.argv[1] + '/port.new', 'w').write(str(port))
import os
os.rename(sys.argv[1] + '/port.new', sys.argv[1] + '/port')
server.wait_for_termination()
"#;

/// A server of gRPC with or without the health service; its states are in a file of the folder.
struct Grpc {
    folder: tempfile::TempDir,
    port: u16,
    _process: Guarded,
}

impl Grpc {
    fn start(which: &str, states: &str) -> Option<Self> {
        let python = tools().join("bin/python3");
        let python = python.to_str().unwrap();
        if !works(&[python, "-c", "import grpc"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("states"), states).unwrap();
        let mut command = Command::new(python);
        command.args(["-c", HEALTH, folder.path().to_str().unwrap(), which]);
        let process = Guarded(command.stdout(Stdio::null()).spawn().unwrap());
        let port = eventually(SOON, "the server of gRPC listens", || {
            std::fs::read_to_string(folder.path().join("port")).ok()?.parse().ok()
        });
        Some(Self { folder, port, _process: process })
    }

    fn set(&self, states: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, states).unwrap();
        std::fs::rename(new, self.folder.path().join("states")).unwrap();
    }
}

#[test]
fn the_health_service_of_grpc_is_asked() {
    let Some(grpc) = Grpc::start("health", "- 1\na.B 2\n") else { return };
    let server = Server::start("");
    let checks = json!([
        quick("grpc", json!({})),
        quick("grpc", json!({ "name": "ab", "service": "a.B" })),
        quick("grpc", json!({ "name": "none", "service": "c.D" })),
    ]);
    server.http.register("web", "web-1", &instance(grpc.port, checks));

    let all = |expected: [(&str, &str); 3]| {
        eventually(SOON, &format!("{expected:?}"), || {
            let states = states(&server, "web-1");
            let found: Vec<_> = states.iter().map(|(s, o)| (s.as_str(), o.as_str())).collect();
            (found == expected).then_some(())
        });
    };
    let none = ("critical", "NOT_FOUND: no such service");
    all([("passing", "SERVING"), ("critical", "NOT_SERVING"), none]);
    assert_eq!(reasons(&server), json!(["check grpc critical"]));
    grpc.set("- 0\na.B 1\n");
    all([("critical", "UNKNOWN"), ("passing", "SERVING"), none]);
}

#[test]
fn who_has_no_health_service_is_not_well() {
    let Some(grpc) = Grpc::start("nothing", "") else { return };
    let http = Endpoint::replying("200 OK", "");
    let server = Server::start("");
    let checks = json!([quick("grpc", json!({}))]);
    server.http.register("web", "web-1", &instance(grpc.port, checks.clone()));
    server.http.register("web", "web-2", &instance(http.port(), checks));

    assert_eq!(until(&server, "critical"), "UNIMPLEMENTED: no grpc.health.v1");
    let output = eventually(SOON, "HTTP/1.1 is not gRPC", || {
        Some(states(&server, "web-2").remove(0).1).filter(|output| !output.is_empty())
    });
    assert!(output.starts_with("no HTTP/2") || output.starts_with("no answer"), "{output}");
}
