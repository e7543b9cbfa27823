//! Clients that are slow on purpose, as slowhttptest plays them: others are served meanwhile, and the
//! slow ones are ended.

use std::process::{Command, Stdio};

use crate::WEB;
use crate::support::server::{Guarded, Server};
use crate::support::{SOON, eventually, needs};

#[test]
fn slow_clients_are_ended_and_keep_nobody_out() {
    if !needs::works(needs::SLOWHTTPTEST) {
        return;
    }
    // Slow heads, slow bodies, slow readers.
    for (kind, more) in [
        ("-H", &["-i", "1"][..]),
        ("-B", &["-i", "1", "-s", "8192", "-t", "PUT"]),
        ("-X", &["-n", "1", "-z", "8", "-w", "16", "-y", "32", "-k", "3"]),
    ] {
        let server =
            Server::start(&format!("{WEB}\n[limits]\nconnections = 100\nrequest_time = \"2s\""));
        let url = format!("http://{}/v1/services/web/instances/slow", server.http.address);
        let mut command = Command::new("slowhttptest");
        command.args([kind, "-c", "300", "-r", "300", "-l", "12", "-u", &url]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut attacker = Guarded(command.spawn().unwrap());

        let mut rounds = 0;
        while attacker.0.try_wait().unwrap().is_none() {
            server.assert_well(kind);
            rounds += 1;
        }
        assert!(rounds > 1, "it was asked while it was attacked");
        eventually(SOON, "none of them is left", || {
            (server.http.metric("signpost_http_connections", "")? < 5.0).then_some(())
        });
        server.assert_well(kind);
    }
}
