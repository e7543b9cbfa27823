//! Backups: what `snapshot save` keeps of a running server, and what `snapshot restore` makes of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
mod refused;
#[cfg(test)]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use support::server::Server;
use support::{SOON, at, eventually, needs, now};

/// Runs `signpost snapshot` with `words` in the server's folder: exit code, stdout, stderr.
fn snapshot(server: &Server, words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_signpost"))
        .arg("snapshot")
        .args(words)
        .env("SIGNPOST_SERVER", server.url())
        .current_dir(server.folder())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs what must succeed: stdout.
fn done(server: &Server, words: &[&str]) -> String {
    let (code, stdout, stderr) = snapshot(server, words);
    assert_eq!((code, stderr.as_str()), (0, ""), "{words:?}");
    stdout
}

/// Runs what must fail: stderr.
fn failed(server: &Server, words: &[&str]) -> String {
    let (code, stdout, stderr) = snapshot(server, words);
    assert_eq!((code, stdout.as_str()), (1, ""), "{words:?}: {stderr}");
    stderr
}

/// The lines of a snapshot as JSON: the first, those between, the last.
fn lines(file: &Path) -> (Value, Vec<Value>, Value) {
    let text = fs::read_to_string(file).unwrap();
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.pop().unwrap();
    (lines.remove(0), lines, end)
}

/// A snapshot of these lines, which its last line confirms.
fn sealed(lines: &[Value]) -> String {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let hash = format!("{:016x}", xxh3_64(text.as_bytes()));
    format!("{text}{}\n", json!({ "end": { "lines": lines.len(), "xxh3": hash } }))
}

/// What a server shows of everything, but for what time and restarts move.
fn shown(server: &Server) -> BTreeMap<String, Value> {
    let list = server.http.get("/v1/services").body;
    let names = list["services"].as_array().unwrap().iter().map(|s| s["service"].as_str().unwrap());
    names
        .map(|name| {
            let mut body = server.http.get(&format!("/v1/services/{name}")).body;
            body.as_object_mut().unwrap().remove("revision");
            for instance in body["instances"].as_array_mut().unwrap() {
                instance.as_object_mut().unwrap().remove("expires_in_ms");
                for check in instance["checks"].as_array_mut().into_iter().flatten() {
                    let check = check.as_object_mut().unwrap();
                    check.retain(|key, _| key == "name" || key == "kind");
                }
            }
            (name.to_owned(), body)
        })
        .collect()
}

/// A server with something of everything that is stored.
fn furnished() -> Server {
    let server = Server::start(STATIC);
    server.http.register(
        "web",
        "web-1",
        &json!({
            "addresses": ["10.0.0.1", "2001:db8::1"],
            "ports": [
                { "name": "http", "port": 8080, "protocol": "tcp" },
                { "name": "dns", "port": 53, "protocol": "udp" },
            ],
            "weight": 7, "tier": 2, "tags": ["blue", "green"],
            "metadata": { "version": "1.4", "text": "\u{fc} \"quoted\"\n\u{7f}" },
            "locality": { "region": "eu", "zone": "eu-1a" },
            "dependencies": ["api"], "ttl": "1h", "admin": "draining", "status": "warning",
            "checks": [{ "kind": "tcp", "interval": "1h" }],
        }),
    );
    server.http.register("web", "web-2", &json!({ "addresses": ["10.0.0.2"], "ttl": null }));
    server.http.register("api", "a", &json!({ "addresses": ["10.0.0.3"], "port": 80 }));
    server.http.set("web", &json!({ "ttl": "9s", "txt": ["version"], "balance": "random" }));
    server.http.set("empty", &json!({ "max_answers": 3 }));
    let reply = server.http.post("/v1/services/fixed/instances/f-1/drain", None);
    assert_eq!(reply.status, 200, "{reply:?}");
    server
}

const STATIC: &str = "[services.fixed]\n[[services.fixed.instances]]\nid = \"f-1\"\n\
                      addresses = [\"10.0.1.1\"]\n";

fn data(server: &Server) -> PathBuf {
    server.folder().join("data")
}

#[test]
fn what_is_saved_is_restored_into_an_empty_folder() {
    let mut server = furnished();
    let file = server.folder().join("backup.jsonl");
    let before = shown(&server);
    let revision = server.http.revision();

    let said = done(&server, &["save", "backup.jsonl"]);
    assert_eq!(server.terminate().code(), Some(0));
    fs::rename(data(&server), server.folder().join("lost")).unwrap();
    let restored = done(&server, &["restore", "backup.jsonl"]);
    let started = now();
    server.start_again();

    assert_eq!(
        said,
        format!(
            "saved service.local at revision {revision} in backup.jsonl: instances 3, overrides 2, \
             operator states 1\n"
        )
    );
    assert!(restored.contains("instances 3 (3 new, 0 changed, 0 removed)"), "{restored}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(shown(&server), before);
    assert!(server.http.revision() > revision);
    // A full fresh lease, from the start on.
    let lease = server.http.get("/v1/services/web/instances/web-1").body["expires_in_ms"].clone();
    let age = u64::try_from(started.elapsed().as_millis()).unwrap();
    assert!(lease.as_u64().unwrap() + age >= 3_600_000, "{lease} after {age}");
    // And saved again it is the same.
    done(&server, &["save", "again.jsonl"]);
    let (header, entries, _) = lines(&file);
    let (header_again, entries_again, _) = lines(&server.folder().join("again.jsonl"));
    assert_eq!(entries_again, entries);
    assert!(header_again["revision"].as_u64() > header["revision"].as_u64());
}

#[test]
fn who_registered_before_the_snapshot_renews_after_the_restore() {
    let mut server = Server::start("");
    let path = "/v1/services/web/instances/a";
    let body = json!({ "addresses": ["10.0.0.1"] });
    let generation = server.http.put(path, &body).body["generation"].clone();
    done(&server, &["save", "backup.jsonl"]);
    server.terminate();
    done(&server, &["restore", "--replace", "backup.jsonl"]);
    server.start_again();

    let beat = |generation: &Value| {
        let body = json!({ "generation": generation });
        server.http.put(&format!("{path}/heartbeat"), &body).status
    };

    assert_eq!(beat(&generation), 200);
    let other = json!({ "addresses": ["10.0.0.2"] });
    let later = server.http.put(path, &other).body["generation"].clone();
    assert!(later.as_u64() > generation.as_u64());
    assert_eq!((beat(&generation), beat(&later)), (409, 200));
}

#[test]
fn a_save_under_write_load_is_of_one_moment() {
    let server = Server::start("");
    let over = AtomicBool::new(false);
    let acknowledged = AtomicU64::new(0);
    let file = server.folder().join("backup.jsonl");
    let moments = std::thread::scope(|scope| {
        // One after the other, in turns of services.
        scope.spawn(|| {
            let http = server.http.apart();
            let body = json!({ "addresses": ["10.0.0.1"], "ttl": null });
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                http.register(["left", "right"][n % 2], &format!("i-{n}"), &body);
                n += 1;
                acknowledged.store(n as u64, Ordering::SeqCst);
            }
        });
        // Two services at once.
        scope.spawn(|| {
            let http = server.http.apart();
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                let item = |service: &str| {
                    let metadata = json!({ "mark": n.to_string() });
                    let addresses = ["10.0.0.2"];
                    json!({ "service": service, "id": "twin", "addresses": addresses,
                            "ttl": null, "metadata": metadata })
                };
                http.batch(&[item("castor"), item("pollux")]);
                n += 1;
            }
        });
        let moments: Vec<_> = (0..20)
            .map(|_| {
                let before = acknowledged.load(Ordering::SeqCst);
                done(&server, &["save", "--force", "backup.jsonl"]);
                (before, lines(&file))
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        moments
    });

    for (before, (header, entries, _)) in moments {
        let instances: Vec<&Value> = entries.iter().map(|entry| &entry["instance"]).collect();
        let of = |service: &str| instances.iter().filter(|i| i["service"] == service).count();
        let (left, right) = (of("left"), of("right"));
        assert!(left == right || left == right + 1, "{left} and {right}");
        assert!(left + right >= usize::try_from(before).unwrap(), "{left} + {right} < {before}");
        let mark = |service: &str| {
            let twin = instances.iter().find(|i| i["service"] == service);
            twin.map(|twin| twin["record"]["instance"]["metadata"]["mark"].clone())
        };
        assert_eq!(mark("castor"), mark("pollux"));
        assert_eq!(header["instances"], instances.len());
    }
}

#[test]
fn a_folder_that_holds_something_is_replaced_only_when_that_is_said() {
    let mut server = furnished();
    done(&server, &["save", "backup.jsonl"]);
    let before = shown(&server);
    server.http.register("web", "web-1", &json!({ "addresses": ["10.9.9.9"] }));
    server.http.register("late", "l", &json!({ "addresses": ["10.0.0.9"], "ttl": null }));
    server.http.set("late", &json!({ "ttl": "1s" }));
    server.http.delete("/v1/services/api/instances/a");
    let last = server.http.revision();
    server.kill();

    let refused = failed(&server, &["restore", "backup.jsonl"]);
    let told = done(&server, &["restore", "--dry-run", "backup.jsonl"]);
    server.start_again();
    assert!(shown(&server).contains_key("late"), "nothing has changed yet");
    server.kill();
    let restored = done(&server, &["restore", "--replace", "backup.jsonl"]);
    server.start_again();

    assert!(refused.contains("instances 3, overrides 3, operator states 1;"), "{refused}");
    assert!(refused.contains("--replace"), "{refused}");
    assert!(told.starts_with("would restore revision "), "{told}");
    assert!(told.contains("instances 3 (1 new, 1 changed, 1 removed)"), "{told}");
    assert!(restored.contains("instances 3 (1 new, 1 changed, 1 removed)"), "{restored}");
    assert_eq!(shown(&server), before);
    assert!(server.http.revision() > last);
}

#[test]
fn a_server_that_was_ahead_is_not_set_back() {
    let mut server = Server::start("");
    done(&server, &["save", "early.jsonl"]);
    // So that the folder is beyond what the snapshot alone would go on from.
    for _ in 0..2 {
        server.terminate();
        done(&server, &["restore", "--replace", "early.jsonl"]);
        server.start_again();
    }
    let ahead = server.http.revision();
    let (early, ..) = lines(&server.folder().join("early.jsonl"));
    server.kill();

    let said = done(&server, &["restore", "--replace", "early.jsonl"]);
    server.start_again();

    assert!(ahead > early["revision"].as_u64().unwrap());
    assert!(server.http.revision() > ahead, "{said}");
}

#[test]
fn a_save_replaces_no_file_unless_forced_and_leaves_none_when_it_fails() {
    let mut server = furnished();
    let file = server.folder().join("backup.jsonl");
    fs::write(&file, "the last good one").unwrap();

    let refused = failed(&server, &["save", "backup.jsonl"]);
    let kept = fs::read_to_string(&file).unwrap();
    done(&server, &["save", "--force", "backup.jsonl"]);
    let (header, ..) = lines(&file);
    server.kill();
    let away = failed(&server, &["save", "--force", "backup.jsonl"]);

    assert!(refused.contains("backup.jsonl is there already\n"), "{refused}");
    assert_eq!(kept, "the last good one");
    assert_eq!(header["format"], "signpost-snapshot");
    assert!(away.contains("cannot reach"), "{away}");
    assert_eq!(lines(&file).0, header);
    let names = fs::read_dir(server.folder()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with(".new")));
}

#[test]
fn a_save_that_is_cut_short_leaves_no_file() {
    let mut server = furnished();
    done(&server, &["save", "whole.jsonl"]);
    let text = fs::read_to_string(server.folder().join("whole.jsonl")).unwrap();
    server.kill();
    let cut = &text[..text.len() / 2];
    let listener = TcpListener::bind(server.http.address).unwrap();

    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 16]).unwrap();
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{cut}").unwrap();
        });
        failed(&server, &["save", "backup.jsonl"])
    });

    assert!(said.contains("what it sends is not a whole snapshot: line "), "{said}");
    let names = fs::read_dir(server.folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| !name.contains("backup.jsonl")), "{names:?}");
}

#[test]
fn what_root_restores_belongs_to_the_owner_of_the_folder() {
    let mut server = furnished();
    done(&server, &["save", "backup.jsonl"]);
    server.terminate();
    let folder = data(&server);
    if std::os::unix::fs::chown(&folder, Some(12_345), Some(12_345)).is_err() {
        needs::skipped("only root may give files away");
        return;
    }

    done(&server, &["restore", "--replace", "backup.jsonl"]);

    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap();
        assert_eq!(file.metadata().unwrap().uid(), 12_345, "{}", file.path().display());
    }
    server.start_again();
}

#[test]
fn a_snapshot_goes_through_pipes() {
    let mut server = furnished();
    let before = shown(&server);
    let (code, saved, said) = snapshot(&server, &["save", "-"]);
    server.terminate();
    fs::write(server.folder().join("piped"), saved).unwrap();

    let restored = Command::new(env!("CARGO_BIN_EXE_signpost"))
        .args(["snapshot", "restore", "--replace", "-"])
        .stdin(fs::File::open(server.folder().join("piped")).unwrap())
        .current_dir(server.folder())
        .status()
        .unwrap();
    server.start_again();

    assert_eq!(code, 0);
    assert!(said.starts_with("saved service.local at revision "), "{said}");
    assert!(restored.success());
    assert_eq!(shown(&server), before);
}

#[test]
fn a_hundred_thousand_instances_are_saved_while_others_register() {
    let mut server = Server::start("");
    let item = |i: u32| {
        let address = std::net::Ipv4Addr::from(0x0a00_0001 + i);
        json!({ "service": format!("s-{}", i % 50), "id": format!("i-{i}"), "ttl": null,
                "addresses": [address], "metadata": { "n": i.to_string() } })
    };
    let items: Vec<Value> = (0..100_000).map(item).collect();
    server.http.batch(&items);

    // Who does not read is in the way of nobody but another who saves.
    let mut idle = TcpStream::connect(server.http.address).unwrap();
    idle.write_all(b"GET /v1/snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    idle.read_exact(&mut [0; 1]).unwrap();
    let busy = failed(&server, &["save", "backup.jsonl"]);
    assert!(busy.contains("another snapshot is being taken"), "{busy}");
    drop(idle);
    eventually(SOON, "there is a place again", || {
        (snapshot(&server, &["save", "first.jsonl"]).0 == 0).then_some(())
    });

    let mut slowest = std::time::Duration::ZERO;
    let said = std::thread::scope(|scope| {
        let save = scope.spawn(|| done(&server, &["save", "backup.jsonl"]));
        let body = json!({ "addresses": ["10.0.0.1"], "ttl": null });
        while !save.is_finished() {
            let start = now();
            server.http.register("other", "o", &body);
            slowest = slowest.max(start.elapsed());
            at(start + std::time::Duration::from_millis(5));
        }
        save.join().unwrap()
    });
    println!("slowest registration during the save: {slowest:?}; {said}");
    let before = server.http.get("/v1/services/s-7").body["instances"].clone();
    server.terminate();
    fs::remove_dir_all(data(&server)).unwrap();
    done(&server, &["restore", "backup.jsonl"]);
    server.start_again();

    let (header, entries, _) = lines(&server.folder().join("backup.jsonl"));
    assert!(header["instances"].as_u64().unwrap() >= 100_000);
    assert_eq!(entries.len() as u64, header["instances"].as_u64().unwrap());
    assert_eq!(server.http.get("/v1/services/s-7").body["instances"], before);
    let list = server.http.get("/v1/services").body;
    let services = list["services"].as_array().unwrap();
    let total: u64 = services.iter().map(|s| s["instances"].as_u64().unwrap()).sum();
    assert_eq!(total, header["instances"].as_u64().unwrap());
}
