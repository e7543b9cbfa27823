//! As much as one client can register, and a stop while many do.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value, json};

use crate::WEB;
use crate::resident;
use crate::support::dns::Query;
use crate::support::http::Http;
use crate::support::server::Server;
use crate::support::{SOON, needs, now};

/// As much metadata as an instance may have: 40 KiB, and different from any other's.
fn maximal(number: usize) -> Value {
    let pairs = (0..64).map(|i| (format!("{i:0>128}"), json!(format!("{number:0>512}"))));
    Value::Object(pairs.collect::<Map<_, _>>())
}

#[test]
fn instances_with_all_metadata_there_may_be_are_bounded_by_number() {
    const LIMIT: usize = 3_000;
    let config = format!("{WEB}\n[store]\nkind = \"memory\"\n[limits]\ninstances = {LIMIT}");
    let server = Server::start(&config);
    let before = resident(&server);
    let (mut registered, mut refused, mut slowest) = (0, 0, std::time::Duration::ZERO);

    for first in (0..20_000).step_by(100) {
        let items: Vec<Value> = (first..first + 100)
            .map(|i| {
                let metadata = if registered < LIMIT { maximal(i) } else { json!({}) };
                json!({ "service": "big", "id": format!("i-{i}"), "addresses": ["10.0.0.2"], "ttl": null, "metadata": metadata })
            })
            .collect();
        let reply = server.http.post("/v1/batch", Some(&json!({ "register": items })));
        match reply.status {
            200 => registered += 100,
            _ => {
                assert_eq!(reply.problem(), (429, "limit", None), "{reply:?}");
                assert!(reply.body["detail"].as_str().unwrap().contains("instances = 3000"));
                refused += 100;
            }
        }
        let start = now();
        assert_eq!(server.dns.ask("web.service.local", "A").only(), "10.0.0.1");
        slowest = slowest.max(start.elapsed());
    }

    let after = resident(&server);
    needs::note(&format!(
        "{registered} instances of 40 KiB: {before} KiB, then {after} KiB; slowest DNS reply {slowest:?}"
    ));
    // web-1 is one of them, and a batch is taken whole or not at all.
    assert_eq!((registered, refused), (LIMIT - 100, 20_000 - (LIMIT - 100)));
    // 40 KiB each, as they came; not twice that.
    let most = u64::try_from(LIMIT).unwrap() * 41 + 128 * 1024;
    assert!(after - before < most, "{before} KiB were resident, then {after} KiB");
    assert!(
        server.http.metric("signpost_limit_refusals_total", "limit=\"instances\"").unwrap() > 100.0
    );
    // Who asks for all of it gets it, and the server is well beside that.
    assert!(server.dns.tcp(&Query::new("big.service.local", "A")).data().contains(&"10.0.0.2"));
}

#[test]
fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    let mut server = Server::start("");
    let (over, told) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let clients: Vec<Http> = (0..8).map(|_| server.http.apart()).collect();

    let took = std::thread::scope(|scope| {
        for (number, client) in clients.into_iter().enumerate() {
            let (over, told) = (&over, &told);
            scope.spawn(move || {
                for i in 0.. {
                    let id = format!("i-{number}-{i}");
                    let body = json!({ "addresses": ["10.0.0.3"], "ttl": null });
                    let reply = client.call(
                        "PUT",
                        &format!("/v1/services/api/instances/{id}"),
                        Some(&body),
                    );
                    match reply {
                        Some(reply) if reply.status == 201 => drop(told.lock().unwrap().insert(id)),
                        // The server is going down, and says so, or is gone.
                        Some(reply) => assert_eq!(reply.problem().0, 503, "{reply:?}"),
                        None => assert!(over.load(Ordering::Relaxed), "cut before the stop"),
                    }
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        crate::support::eventually(SOON, "they register", || {
            (told.lock().unwrap().len() > 500).then_some(())
        });
        over.store(true, Ordering::Relaxed);
        let start = now();
        assert_eq!(server.terminate().code(), Some(0));
        start.elapsed()
    });

    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
    server.start_again();
    let reply = server.http.get("/v1/services/api").body;
    let there: BTreeSet<String> = reply["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|instance| instance["id"].as_str().unwrap().to_owned())
        .collect();
    let told = told.into_inner().unwrap();
    let lost: Vec<&String> = told.difference(&there).collect();
    assert_eq!(lost, Vec::<&String>::new(), "of {}", told.len());
}
