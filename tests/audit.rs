//! The audit log: the real server, and what its file says of every change.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};
use support::authenticated::Authenticated;
use support::http::Http;
use support::needs::{STRACE, works};
use support::server::Server;
use support::{SOON, eventually};

const LOGGED: &str = "[audit]\nfile = \"audit.jsonl\"\n";
const WEB_1: &str = "/v1/services/web/instances/web-1";

fn lines_of(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn lines(server: &Server) -> Vec<Value> {
    lines_of(&server.folder().join("audit.jsonl"))
}

fn last(server: &Server) -> Value {
    lines(server).pop().unwrap()
}

/// The values of `line` at `keys`; what is not there is null.
fn told(line: &Value, keys: &[&str]) -> Vec<Value> {
    keys.iter().map(|key| line.pointer(key).cloned().unwrap_or_default()).collect()
}

fn at(address: &str) -> Value {
    json!({ "addresses": [address], "ttl": null })
}

#[test]
fn each_write_is_in_the_log_before_it_is_answered() {
    let server = Server::start(LOGGED);
    let http = &server.http;
    let instance = &["/what", "/trigger", "/service", "/id", "/before/weight", "/after/weight"];

    assert_eq!(http.put(WEB_1, &at("10.0.0.1")).status, 201);
    let line = last(&server);
    assert_eq!(
        told(&line, instance),
        [json!("put"), json!("call"), json!("web"), json!("web-1"), json!(null), json!(1)]
    );
    assert_eq!(told(&line, &["/address", "/identity"]), [json!("127.0.0.1"), json!(null)]);
    assert_eq!(line["revision"], http.revision());
    assert_eq!(line["before"], json!(null));
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");

    assert_eq!(http.patch(WEB_1, &json!({ "weight": 7 })).status, 200);
    assert_eq!(told(&last(&server), instance)[4..], [json!(1), json!(7)]);

    assert_eq!(
        http.put(&format!("{WEB_1}/heartbeat"), &json!({ "status": "critical" })).status,
        200
    );
    let usable = &["/before/usable", "/after/usable", "/after/reasons"];
    assert_eq!(told(&last(&server), usable), [json!(true), json!(false), json!(["critical"])]);

    assert_eq!(http.post(&format!("{WEB_1}/drain"), None).status, 200);
    let admin = &["/before/admin", "/after/admin"];
    assert_eq!(told(&last(&server), admin), [json!("enabled"), json!("draining")]);

    assert_eq!(http.delete(WEB_1).status, 204);
    let gone = &["/what", "/id", "/reason", "/before/weight", "/after"];
    let expected = [json!("remove"), json!("web-1"), json!("deregistered"), json!(7), json!(null)];
    assert_eq!(told(&last(&server), gone), expected);

    http.set("web", &json!({ "balance": "random" }));
    let settings = &["/what", "/service", "/before/balance", "/after/balance"];
    let expected = [json!("service"), json!("web"), json!("round_robin"), json!("random")];
    assert_eq!(told(&last(&server), settings), expected);

    http.set("web", &json!({}));
    assert_eq!(http.delete("/v1/services/web").status, 204);
    let expected = [json!("service"), json!("web"), json!("round_robin"), json!(null)];
    assert_eq!(told(&last(&server), settings), expected);

    let batch = json!({ "register": [
        { "service": "a", "id": "a-1", "addresses": ["10.0.0.1"] },
        { "service": "b", "id": "b-1", "addresses": ["10.0.0.2"] },
    ]});
    assert_eq!(http.post("/v1/batch", Some(&batch)).status, 200);
    let [.., a, b] = &lines(&server)[..] else { panic!("two lines at least") };
    assert_eq!((&a["id"], &b["id"]), (&json!("a-1"), &json!("b-1")));
    assert_eq!(a["revision"], b["revision"]);
}

#[test]
fn what_changes_nothing_is_in_no_line() {
    let server = Server::start(LOGGED);
    server.http.register("web", "web-1", &at("10.0.0.1"));
    let before = lines(&server);

    server.http.register("web", "web-1", &at("10.0.0.1"));
    assert_eq!(server.http.put(&format!("{WEB_1}/heartbeat"), &json!({})).status, 200);
    assert_eq!(server.http.put(WEB_1, &at("0.0.0.0")).status, 400);
    assert_eq!(server.http.delete("/v1/services/web/instances/no").status, 204);

    assert_eq!(lines(&server), before);
}

#[test]
fn what_happens_by_itself_says_why() {
    let config = "[audit]\nfile = \"audit.jsonl\"\n[services.web]\n[[services.web.instances]]\n\
                  id = \"web-9\"\naddresses = [\"10.0.0.9\"]\n";
    let server = Server::start(config);
    let brief = json!({ "addresses": ["10.0.0.1"], "ttl": "1s" });
    server.http.register("web", "web-1", &brief);

    let line = eventually(SOON, "the end of the lease", || {
        lines(&server).into_iter().find(|line| line["what"] == "remove")
    });
    let why = &["/trigger", "/reason", "/identity", "/address", "/id"];
    let expected = [json!("lease"), json!("expired"), json!(null), json!(null), json!("web-1")];
    assert_eq!(told(&line, why), expected);

    server.write_config(LOGGED);
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    let all = lines(&server);
    let removed = all.iter().find(|line| line["id"] == "web-9").unwrap();
    let expected = [json!("file"), json!("file"), json!(null), json!("127.0.0.1"), json!("web-9")];
    assert_eq!(told(removed, why), expected);
    assert_eq!(
        told(all.last().unwrap(), &["/what", "/address"]),
        [json!("reload"), json!("127.0.0.1")]
    );
}

#[test]
fn start_and_stop_frame_what_a_process_did() {
    let mut server = Server::start(LOGGED);
    server.http.register("web", "web-1", &at("10.0.0.1"));
    let revision = server.http.revision();

    assert!(server.terminate().success());

    let all = lines(&server);
    let what: Vec<&Value> = all.iter().map(|line| &line["what"]).collect();
    assert_eq!(what, ["start", "put", "stop"]);
    assert!(all[0]["revision"].as_u64() < Some(revision));
    assert_eq!(all[2]["revision"], revision);
}

#[test]
fn identities_are_named_and_secrets_are_not() {
    let guarded = Authenticated::start(&format!("{LOGGED}[auth]\nrequired = true\n"));
    let (server, admin, root) = (&guarded.server, &guarded.admin, &guarded.root);
    let spec = json!({ "name": "shop", "scopes": ["register"], "services": ["web"],
                       "networks": ["10.0.0.0/8"] });
    let made = admin.post("/v1/tokens", Some(&spec)).body;
    let secret = made["token"].as_str().unwrap();
    let check =
        json!({ "kind": "http", "path": "/", "headers": { "authorization": "Basic c2VjcmV0" } });
    let checked = json!({ "addresses": ["10.0.0.1"], "port": 80, "ttl": null, "checks": [check] });
    let reply = server.http.with_token(secret).put(WEB_1, &checked);
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(admin.delete(&format!("/v1/tokens/{}", made["id"].as_str().unwrap())).status, 204);

    let mut all = lines(server);
    // What the check found in the meantime.
    all.retain(|line| line["trigger"] != "check");
    let by: Vec<_> = all.iter().map(|line| told(line, &["/what", "/identity"])).collect();
    let expected = [
        ("token", None),
        ("start", None),
        ("token", Some("root")),
        ("put", Some("shop")),
        ("token", Some("root")),
    ];
    assert_eq!(by, expected.map(|(what, who)| vec![json!(what), json!(who)]));
    assert_eq!(told(&all[3], &["/after/owner"]), [json!("shop")]);
    let made_line = told(&all[2], &["/before", "/after/name", "/after/services"]);
    assert_eq!(made_line, [json!(null), json!("shop"), json!(["web"])]);
    assert_eq!(told(&all[4], &["/before/id", "/after"]), [made["id"].clone(), json!(null)]);
    let text = fs::read_to_string(server.folder().join("audit.jsonl")).unwrap();
    for hidden in [root.as_str(), secret, "c2VjcmV0", "hash"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

#[test]
fn what_clients_send_cannot_forge_a_line() {
    let server = Server::start(LOGGED);
    let text = "\n{\"what\":\"stop\"}\n\u{1b}[2J\u{202e}\u{2028}\u{0}";
    let body = json!({ "addresses": ["10.0.0.1"], "metadata": { "note": text } });

    server.http.register("web", "web-1", &body);

    // All of it is one line of printable ASCII, which reads back as it was sent.
    let line = last(&server);
    assert_eq!(lines(&server).len(), 2);
    assert_eq!(line["after"]["metadata"]["note"], text);
}

#[test]
fn a_full_file_gets_a_number_and_nothing_is_lost() {
    let config = "[audit]\nfile = \"audit.jsonl\"\nmax_size = \"4KiB\"\nkeep = 100\n";
    let server = Server::start(config);

    for n in 0..50 {
        server.http.register("web", &format!("web-{n}"), &at("10.0.0.1"));
    }

    let files = fs::read_dir(server.folder()).unwrap().map(|entry| entry.unwrap().path());
    let logs: Vec<_> =
        files.filter(|path| path.to_string_lossy().contains("audit.jsonl")).collect();
    assert!(logs.len() > 3, "{logs:?}");
    for log in &logs {
        assert!(fs::metadata(log).unwrap().len() <= 4096, "{log:?}");
    }
    let all: Vec<Value> = logs.iter().flat_map(|log| lines_of(log)).collect();
    let ids: BTreeSet<&str> = all.iter().filter_map(|line| line["id"].as_str()).collect();
    assert_eq!(ids.len(), 50);
}

#[test]
fn a_reload_goes_on_in_the_file_that_the_configuration_names_then() {
    let server = Server::start("");
    let http = &server.http;
    http.register("web", "web-1", &at("10.0.0.1"));
    assert!(!server.folder().join("audit.jsonl").exists());

    // On.
    server.write_config(LOGGED);
    assert_eq!(http.post("/v1/reload", None).status, 200);
    http.register("web", "web-2", &at("10.0.0.1"));
    assert_eq!(last(&server)["id"], "web-2");

    // Moved away, as logrotate does.
    let moved = server.folder().join("audit.old");
    fs::rename(server.folder().join("audit.jsonl"), &moved).unwrap();
    http.register("web", "web-3", &at("10.0.0.1"));
    assert_eq!(http.post("/v1/reload", None).status, 200);
    http.register("web", "web-4", &at("10.0.0.1"));
    assert_eq!(lines_of(&moved).pop().unwrap()["id"], "web-2");
    let ids: Vec<_> = lines(&server).iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids, [json!("web-3"), json!(null), json!("web-4")]);

    // One that cannot be written changes nothing.
    server.write_config("[audit]\nfile = \"no/such/folder/audit.jsonl\"\n");
    let refused = http.post("/v1/reload", None);
    assert_eq!(refused.problem().0, 422, "{refused:?}");
    http.register("web", "web-5", &at("10.0.0.1"));
    assert_eq!(last(&server)["id"], "web-5");

    // Off.
    server.write_config("");
    assert_eq!(http.post("/v1/reload", None).status, 200);
    http.register("web", "web-6", &at("10.0.0.1"));
    assert_eq!(last(&server)["what"], "reload");
}

#[test]
fn a_log_that_cannot_be_kept_is_a_reason_not_to_start() {
    let (code, log) = Server::builder("[audit]\nfile = \"no/such/folder/audit.jsonl\"\n").fail();

    assert_eq!(code, Some(1));
    assert!(log.contains("no/such/folder/audit.jsonl"), "{log}");
}

#[test]
fn what_is_acknowledged_is_in_the_log_of_a_killed_server() {
    let mut server = Server::start(LOGGED);
    let acknowledged = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (http, acknowledged): (Http, _) = (server.http.apart(), &acknowledged);
            scope.spawn(move || {
                for n in 0.. {
                    let id = format!("web-{client}-{n}");
                    let path = format!("/v1/services/web/instances/{id}");
                    let reply = http.call("PUT", &path, Some(&at("10.0.0.1")));
                    let Some(201) = reply.map(|reply| reply.status) else { break };
                    acknowledged.lock().unwrap().insert(id);
                }
            });
        }
        eventually(SOON, "registrations", || {
            (acknowledged.lock().unwrap().len() > 500).then_some(())
        });
        server.kill();
    });

    let text = fs::read_to_string(server.folder().join("audit.jsonl")).unwrap();
    let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let logged: BTreeSet<String> =
        whole.filter_map(|line| line["id"].as_str().map(str::to_owned)).collect();
    let missing: Vec<_> = acknowledged.lock().unwrap().difference(&logged).cloned().collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn a_restored_snapshot_is_in_the_log() {
    let mut server = Server::start(LOGGED);
    server.http.register("web", "web-1", &at("10.0.0.1"));
    let file = |name: &str| server.folder().join(name).display().to_string();
    let (saved, config) = (file("saved.jsonl"), format!("--config={}", file("registry.toml")));
    let url = format!("--server={}", server.url());
    let signpost = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_signpost")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    signpost(&["snapshot", "save", &url, &saved]);
    assert!(server.terminate().success());

    let file = |name: &str| server.folder().join(name).display().to_string();
    signpost(&["snapshot", "restore", &config, "--dry-run", &file("saved.jsonl")]);
    assert_eq!(last(&server)["what"], "stop");
    signpost(&["snapshot", "restore", &config, "--replace", &file("saved.jsonl")]);

    let line = last(&server);
    server.start_again();
    assert_eq!(line["what"], "restore");
    assert!(line["revision"].as_u64() <= Some(server.http.revision()));
}

#[test]
fn a_lease_that_ends_before_anybody_calls_is_in_the_log() {
    let mut server = Server::start(LOGGED);
    server.http.register("web", "web-1", &json!({ "addresses": ["10.0.0.1"], "ttl": "1s" }));
    server.kill();

    server.start_again();

    let line = eventually(SOON, "the end of the lease", || {
        lines(&server).into_iter().find(|line| line["what"] == "remove")
    });
    assert_eq!(told(&line, &["/trigger", "/id"]), [json!("lease"), json!("web-1")]);
}

#[test]
fn who_reports_an_instance_to_death_is_named() {
    let server = Server::start(LOGGED);
    for n in 0..4 {
        server.http.register("web", &format!("web-{n}"), &at("10.0.0.1"));
    }

    let outcomes = json!([{ "id": "web-0", "failures": 1000 }]);
    assert_eq!(server.http.post("/v1/services/web/reports", Some(&outcomes)).status, 200);

    let line = last(&server);
    let expected = [json!("outcomes"), json!("127.0.0.1"), json!("web-0"), json!(false)];
    assert_eq!(told(&line, &["/trigger", "/address", "/id", "/after/usable"]), expected);
}

#[test]
fn a_line_has_only_what_differs() {
    let server = Server::start(LOGGED);
    let metadata = json!({ "note": "x".repeat(500) });
    let body = json!({ "addresses": ["10.0.0.1"], "metadata": metadata });
    server.http.register("web", "web-1", &body);

    let status = json!({ "status": "critical" });
    assert_eq!(server.http.put(&format!("{WEB_1}/heartbeat"), &status).status, 200);

    let line = last(&server);
    let old = json!({ "status": "passing", "usable": true, "reasons": [] });
    let new = json!({ "status": "critical", "usable": false, "reasons": ["critical"] });
    assert_eq!((&line["before"], &line["after"]), (&old, &new));
}

#[test]
fn a_disk_that_hangs_hangs_no_client_and_no_process() {
    if !works(STRACE) {
        return;
    }
    let mut server = Server::start(LOGGED);
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let is_audit = |task: &std::path::PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "audit")
    };
    let thread = tasks.map(|task| task.unwrap().path()).find(is_audit).unwrap();
    let id = thread.file_name().unwrap().to_str().unwrap();
    let hangs = "inject=write:delay_enter=3600000000";
    let mut strace = Command::new("strace")
        .args(["-p", id, "-o", "/dev/null", "-e", hangs])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut attached = String::new();
    BufReader::new(strace.stderr.take().unwrap()).read_line(&mut attached).unwrap();
    assert!(attached.contains("attached"), "{attached}");

    assert_eq!(server.http.put(WEB_1, &at("10.0.0.1")).status, 201);
    assert!(server.log().contains("the audit log is not written in time"), "{}", server.log());
    assert!(server.terminate().success());

    strace.kill().unwrap();
    strace.wait().unwrap();
}
