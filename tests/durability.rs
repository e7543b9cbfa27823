//! Acknowledged means durable: over kill -9, restarts, foreign files and full disks.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use support::http::Http;
use support::needs;
use support::server::Server;
use support::watch::Watch;
use support::{SOON, eventually, now};

/// What one client knows of its own service.
#[derive(Debug, Clone, Default)]
struct Client {
    service: String,
    /// Addresses and metadata of what is registered, by id; all of it acknowledged.
    known: BTreeMap<String, Value>,
    /// What was on its way when the server went: done or not, but never half.
    unsure: BTreeMap<String, Option<Value>>,
    /// The last revision that it was told.
    revision: u64,
}

impl Client {
    /// Registers, replaces, deregisters until no reply comes any more.
    fn work(&mut self, http: &Http, rng: &mut StdRng, acknowledged: &AtomicUsize) {
        loop {
            let change = self.change(rng);
            self.unsure.clone_from(&change);
            let Some(reply) = self.send(http, &change) else { return };
            acknowledged.fetch_add(1, Ordering::Relaxed);
            self.unsure.clear();
            apply(&mut self.known, change);
            if let Some(revision) = reply["revision"].as_u64() {
                assert!(revision > self.revision, "{revision} after {}", self.revision);
                self.revision = revision;
            }
        }
    }

    /// One instance to put or to remove, or two that belong together.
    fn change(&self, rng: &mut StdRng) -> BTreeMap<String, Option<Value>> {
        let filling = "x".repeat(rng.random_range(0..500));
        let body = json!({
            "addresses": [format!("10.0.{}.{}", rng.random_range(0..250), rng.random_range(0..250))],
            "metadata": { "filling": filling, "mark": rng.random::<u64>().to_string() },
        });
        let id = format!("i-{}", rng.random_range(0..40));
        match rng.random_range(0..4) {
            0 => BTreeMap::from([(id, None)]),
            1 => ["pair-a", "pair-b"].map(|id| (id.to_owned(), Some(body.clone()))).into(),
            _ => BTreeMap::from([(id, Some(body))]),
        }
    }

    fn send(&self, http: &Http, change: &BTreeMap<String, Option<Value>>) -> Option<Value> {
        let register = change.iter().map(|(id, body)| {
            let mut item = body.clone()?;
            item["ttl"] = Value::Null;
            item["service"] = json!(self.service);
            item["id"] = json!(id);
            Some(item)
        });
        let register: Option<Vec<Value>> = register.collect();
        let (id, _) = change.first_key_value().unwrap();
        let path = format!("/v1/services/{}/instances/{id}", self.service);
        let reply = match register {
            None => http.call("DELETE", &path, None)?,
            Some(items) if items.len() == 1 => {
                let mut item = items[0].clone();
                item.as_object_mut().unwrap().remove("service");
                http.call("PUT", &path, Some(&item))?
            }
            Some(items) => http.call("POST", "/v1/batch", Some(&json!({ "register": items })))?,
        };
        assert!(reply.status < 300, "{reply:?}");
        Some(reply.body)
    }

    /// Compares what the server holds with what is known, and takes it over.
    fn compare(&mut self, http: &Http, round: u32) {
        let reply = http.get(&format!("/v1/services/{}", self.service));
        let instances = reply.body["instances"].as_array().cloned().unwrap_or_default();
        let found: BTreeMap<String, Value> = instances
            .iter()
            .map(|instance| {
                let id = instance["id"].as_str().unwrap().to_owned();
                let parts = ["addresses", "metadata"];
                (id, parts.iter().map(|part| (*part, instance[part].clone())).collect())
            })
            .collect();
        let mut with_unsure = self.known.clone();
        apply(&mut with_unsure, std::mem::take(&mut self.unsure));
        if found != self.known {
            assert_eq!(found, with_unsure, "round {round}: neither without nor with the last call");
        }
        self.known = found;
    }
}

fn apply(known: &mut BTreeMap<String, Value>, change: BTreeMap<String, Option<Value>>) {
    for (id, body) in change {
        match body {
            Some(body) => known.insert(id, body),
            None => known.remove(&id),
        };
    }
}

#[test]
fn fifty_kills_lose_nothing_acknowledged_and_leave_nothing_half_written() {
    let mut server = Server::start("");
    let mut rng = StdRng::seed_from_u64(1);
    let mut clients: Vec<Client> =
        (0..4).map(|i| Client { service: format!("s{i}"), ..Client::default() }).collect();

    for round in 0..50 {
        let acknowledged = AtomicUsize::new(0);
        let enough = rng.random_range(1..80);
        std::thread::scope(|scope| {
            for client in &mut clients {
                let (http, mut rng) = (server.http.apart(), StdRng::from_rng(&mut rng));
                let acknowledged = &acknowledged;
                scope.spawn(move || client.work(&http, &mut rng, acknowledged));
            }
            eventually(SOON, "enough is written", || {
                (acknowledged.load(Ordering::Relaxed) >= enough).then_some(())
            });
            server.kill();
        });
        server.start_again();

        let revision = server.http.revision();
        let told = clients.iter().map(|client| client.revision).max().unwrap();
        assert!(revision >= told, "round {round}: revision {revision}, {told} was told before");
        for client in &mut clients {
            client.compare(&server.http, round);
            // From here on every revision must be beyond all that anybody has seen.
            client.revision = revision;
        }
    }
}

#[test]
fn revisions_neither_go_back_nor_repeat() {
    let mut server = Server::start("[services.declared]");
    let mut last = 0;

    for round in 0..12 {
        let address = format!("10.0.0.{round}");
        let body = json!({ "addresses": [address], "ttl": null });
        let revision = server.http.register("web", "a", &body);
        assert!(revision > last, "round {round}: {revision} after {last}");
        let event = Watch::open(server.http.address, "/v1/watch", None).event();
        assert_eq!((event.name.as_str(), &event.data["revision"]), ("reset", &json!(revision)));
        let serial = server.dns.ask("service.local", "SOA");
        assert_eq!(serial.only().split(' ').nth(2), Some(revision.to_string().as_str()));
        if round % 2 == 0 {
            server.restart();
        } else {
            server.kill();
            server.start_again();
        }
        let after = server.http.revision();
        assert!(after >= revision, "round {round}: {after} after {revision}");
        last = after;
    }
}

#[test]
fn a_restart_gives_each_lease_one_full_fresh_ttl() {
    let ttl = Duration::from_secs(3);
    let mut server = Server::start("");
    for i in 0..20 {
        let body = json!({ "addresses": [format!("10.0.0.{i}")], "ttl": "3s" });
        server.http.register("web", &format!("web-{i}"), &body);
    }
    support::at(now() + Duration::from_millis(1_500));

    server.kill();
    let before = now();
    server.start_again();
    let after = now();

    assert_eq!(server.dns.ask("web-0.web.service.local", "A").rcode, "NOERROR");
    let mut watch = Watch::open(server.http.address, "/v1/watch?service=web", None);
    let mut gone = 0;
    while gone < 20 {
        let event = watch.event();
        if event.name == "remove" {
            assert_eq!(event.data["reason"], "expired");
            assert!(event.at >= before + ttl, "too early: {event:?}");
            // A second of grace for a busy machine; without a fresh ttl it were 1.5 s too early.
            assert!(event.at <= after + ttl + Duration::from_secs(1), "too late: {event:?}");
            gone += 1;
        }
    }
}

#[test]
fn a_data_folder_in_use_is_refused_by_name() {
    let server = Server::start("");
    let folder = server.folder().join("data");

    let second = Server::builder(&format!("[server]\ndata_dir = {folder:?}"));
    let (code, log) = second.fail();

    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&format!("{} is in use", folder.display())), "{log}");
    assert_eq!(server.http.get("/readyz").status, 200, "the first one is not disturbed");
}

#[test]
fn a_foreign_or_torn_file_is_refused_by_name_and_left_as_it_is() {
    let mut server = Server::start("");
    server.http.register("web", "a", &json!({ "addresses": ["10.0.0.1"], "ttl": null }));
    assert_eq!(server.terminate().code(), Some(0));
    let [file] = &files(&server)[..] else { panic!("one file: {:?}", files(&server)) };
    let whole = fs::read(server.folder().join("data").join(file)).unwrap();
    let mut altered = whole.clone();
    let address = whole.windows(8).position(|window| window == b"10.0.0.1").unwrap();
    altered[address] = b'x';

    for (damage, content) in [
        ("foreign", b"SQLite format 3\0, or something else".repeat(500)),
        ("empty", Vec::new()),
        ("a page short", whole[..whole.len() - 4096].to_vec()),
        ("half", whole[..whole.len() / 2].to_vec()),
        ("altered", altered),
    ] {
        let builder = Server::builder("").file(&format!("data/{file}"), "");
        let path = builder.path(&format!("data/{file}"));
        fs::write(&path, &content).unwrap();
        let kept = tempfile::NamedTempFile::new().unwrap();
        fs::hard_link(&path, kept.path().with_extension("kept")).unwrap();

        let (code, log) = builder.fail();

        assert_eq!(code, Some(1), "{damage}: {log}");
        assert!(log.contains(path.to_str().unwrap()), "{damage}: {log}");
        let left = fs::read(kept.path().with_extension("kept")).unwrap();
        fs::remove_file(kept.path().with_extension("kept")).unwrap();
        assert!(left == content, "{damage}: the file was changed");
    }
}

/// The files of a server's data folder that hold something.
fn files(server: &Server) -> Vec<String> {
    let entries = fs::read_dir(server.folder().join("data")).unwrap().map(Result::unwrap);
    let full = entries.filter(|entry| entry.metadata().unwrap().len() > 0);
    full.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn every_reply_to_a_write_is_sent_after_its_sync() {
    if !needs::works(needs::STRACE) {
        return;
    }
    let builder = Server::builder("");
    let trace = builder.path("trace");
    let calls = "trace=fsync,fdatasync,write,writev,sendto,sendmsg";
    // -D: the server is our child, and strace its child, which ends with it.
    let strace = ["strace", "-D", "-f", "-s", "32", "-e", calls, "-o", trace.to_str().unwrap()];
    let server = builder.under(&strace).start();

    let writes = 40;
    for i in 0..writes {
        let body = json!({ "addresses": [format!("10.0.0.{i}")], "ttl": null });
        server.http.register("web", &format!("web-{i}"), &body);
    }

    let created = "HTTP/1.1 201";
    let lines = eventually(SOON, "the trace shows every reply", || {
        let text = fs::read_to_string(&trace).unwrap();
        (text.matches(created).count() >= writes).then_some(text)
    });
    let (mut synced, mut replies) = (false, 0);
    for line in lines.lines() {
        if line.contains("sync") && line.ends_with("= 0") {
            synced = true;
        }
        if line.contains(created) {
            replies += 1;
            assert!(synced, "reply {replies} without a sync since the one before:\n{line}");
            synced = false;
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_while_dns_goes_on_and_heals_by_itself() {
    let Some(namespace) = needs::mounts() else { return };
    // In a mount namespace of its own the small disk ends with the server.
    let mount = "mkdir -p \"$0\" && mount -t tmpfs -o size=12m none \"$0\" && exec \"$@\"";
    let builder = Server::builder("");
    let data = builder.path("data").display().to_string();
    let server = builder.under(&[namespace, &["sh", "-c", mount, &data]].concat()).start();
    let inside = format!("/proc/{}/root{data}/filler", server.pid());
    let metadata: BTreeMap<String, String> =
        (0..40).map(|i| (format!("key-{i}"), "x".repeat(500))).collect();
    let write = |i: usize| {
        let address = format!("10.0.{}.{}", i / 250, i % 250);
        let body = json!({ "addresses": [address], "metadata": metadata, "ttl": null });
        server.http.put(&format!("/v1/services/web/instances/web-{i}"), &body)
    };
    let answers = || server.dns.ask("web-0.web.service.local", "A").only().to_owned();
    assert_eq!(write(0).status, 201);
    let brief = json!({ "addresses": ["10.0.0.1"], "ttl": "3s" });
    server.http.register("brief", "one", &brief);
    // Takes all the space there is; how much does not matter.
    drop(fs::write(&inside, vec![0; 16 << 20]));

    let mut registered = 1;
    let refused = loop {
        let reply = write(registered);
        if reply.status != 201 {
            break reply;
        }
        registered += 1;
        assert!(registered < 1_000, "20 MB fit a full disk of 12 MB");
    };

    let (status, kind, _) = refused.problem();
    assert!([(507, "storage-full"), (503, "unavailable")].contains(&(status, kind)), "{refused:?}");
    for i in 0..20 {
        assert!([503, 507].contains(&write(registered + i).status));
        assert_eq!(answers(), "10.0.0.0");
        assert_eq!(server.http.get("/v1/services/web").status, 200);
    }
    assert_eq!(
        server.http.get("/v1/services/web").body["instances"].as_array().unwrap().len(),
        registered
    );

    eventually(SOON, "leases end whatever the store does", || {
        server.dns.ask("brief.service.local", "A").answers.is_empty().then_some(())
    });
    assert!([503, 507].contains(&write(registered).status), "the disk is still full");

    fs::remove_file(&inside).unwrap();
    eventually(Duration::from_secs(5), "writes work again", || {
        (write(registered).status == 201).then_some(())
    });
    let name = format!("web-{registered}.web.service.local");
    assert_eq!(server.dns.ask(&name, "A").rcode, "NOERROR");
}
