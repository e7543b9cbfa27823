//! DNS over HTTPS (RFC 8484), and the JSON for people.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::dig::dig;
use crate::support::dns::Query;
use crate::support::http2;
use crate::support::message::Message;
use crate::support::needs::{CURL, DIG, KDIG, works};
use crate::support::{at, now};
use crate::{Encrypted, Stream, connect, start};

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

fn with_web(config: &str) -> Encrypted {
    let encrypted = start(config);
    let web = json!({"addresses": ["10.0.0.1", "2001:db8::1"], "port": 80, "ttl": null});
    encrypted.server.http.register("web", "a", &web);
    encrypted
}

/// The headers and the body of a curl with `-i`.
fn parted(text: &str) -> (Vec<String>, String) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().map(str::to_ascii_lowercase).collect(), body.to_owned())
}

/// `cache-control` of a question by name.
fn cache_control(encrypted: &Encrypted, question: &str) -> String {
    let (headers, _) = parted(&encrypted.curl(&["-i", &format!("{}?{question}", encrypted.url())]));
    let found = headers.iter().find_map(|line| line.strip_prefix("cache-control: "));
    found.unwrap().to_owned()
}

#[test]
fn dig_and_kdig_ask_by_post_and_by_get() {
    if !works(DIG) || !works(KDIG) {
        return;
    }
    let encrypted = with_web("");

    let ca = format!("+tls-ca={}", encrypted.certificate().display());
    for method in ["+https", "+https-get"] {
        let line = format!("{method} {ca} +tls-hostname=localhost +short web.service.local AAAA");
        assert_eq!(dig(encrypted.https, &line), ["2001:db8::1"]);

        let output = std::process::Command::new("kdig")
            .args([&format!("@{}", encrypted.https.ip()), "-p"])
            .args([&encrypted.https.port().to_string(), method, &ca, "web.service.local"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("(status: 200)") && text.contains("10.0.0.1"), "{text}");
    }
    let metrics = "signpost_dns_requests_total";
    assert_eq!(encrypted.server.http.metric(metrics, "proto=\"https\""), Some(4.0));
}

#[test]
fn curl_looks_up_hosts_over_https() {
    if !works(CURL) {
        return;
    }
    let encrypted = start("");
    let http = encrypted.server.http.address;
    let body = json!({"addresses": [http.ip()], "port": http.port(), "ttl": null});
    encrypted.server.http.register("registry", "a", &body);

    let url = format!("http://registry.service.local:{}/healthz", http.port());
    let text = encrypted.curl(&["--doh-url", &encrypted.url(), &url]);

    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"status": "live"}));
}

#[test]
fn a_message_comes_back_as_it_would_over_tcp() {
    if !works(CURL) {
        return;
    }
    let encrypted = with_web("");
    let query = Query::new("web.service.local", "SRV");
    let (question, answer) =
        (encrypted.server.folder().join("question"), encrypted.server.folder().join("answer"));
    std::fs::write(&question, query.packet(7)).unwrap();
    let (question, reply) = (format!("@{}", question.display()), answer.display().to_string());
    let media_type = "content-type: application/dns-message";

    for version in VERSIONS {
        let url = encrypted.url();
        let told = encrypted.curl(&[
            version,
            "-H",
            media_type,
            "--data-binary",
            &question,
            "-o",
            &reply,
            "-w",
            "%{http_code} %{content_type} %{http_version}",
            &url,
        ]);

        let number = version.trim_start_matches("--http").trim_end_matches(".0");
        assert_eq!(told, format!("200 application/dns-message {number}"));
        let reply = std::fs::read(&answer).unwrap();
        assert_eq!(reply[..2], [0, 7]);
        assert_eq!(Message::parse(&reply).answers, encrypted.server.dns.tcp(&query).answers);
    }
}

#[test]
fn caches_are_told_how_long_the_records_last() {
    if !works(CURL) {
        return;
    }
    let encrypted = with_web("[dns]\nttl = \"7s\"\nnegative_ttl = \"3s\"");
    encrypted.server.http.set("uncached", &json!({"ttl": "0s"}));
    let body = json!({"addresses": ["10.0.0.1"], "port": 80, "ttl": null});
    encrypted.server.http.register("uncached", "a", &body);

    for (question, expected) in [
        ("name=web.service.local", "max-age=7"),
        ("name=uncached.service.local", "max-age=0"),
        ("name=nobody.service.local", "max-age=3"),
        ("name=web.service.local&type=MX", "max-age=3"),
        ("name=example.com", "no-store"),
    ] {
        assert_eq!(cache_control(&encrypted, question), expected, "{question}");
    }
}

#[test]
fn people_ask_by_name_and_read_json() {
    if !works(CURL) {
        return;
    }
    let encrypted = with_web("");
    let ask = |question: &str| {
        let url = format!("{}?{question}", encrypted.url());
        let (headers, body) = parted(&encrypted.curl(&["-i", &url]));
        assert!(headers.contains(&"content-type: application/dns-json".to_owned()), "{headers:?}");
        assert!(headers.contains(&"x-content-type-options: nosniff".to_owned()), "{headers:?}");
        serde_json::from_str::<Value>(&body).unwrap()
    };

    let a = json!({"name": "a.web.service.local.", "type": 1, "TTL": 5, "data": "10.0.0.1"});
    let aaaa = json!({"name": "a.web.service.local.", "type": 28, "TTL": 5, "data": "2001:db8::1"});
    let flags = |status| json!({"Status": status, "TC": false, "RD": true, "RA": false, "AD": false, "CD": false});
    let mut expected = flags(0);
    expected["Question"] = json!([{"name": "web.service.local.", "type": 33}]);
    expected["Answer"] = json!([{"name": "web.service.local.", "type": 33, "TTL": 5,
        "data": "0 256 80 a.web.service.local."}]);
    expected["Additional"] = json!([a, aaaa]);
    assert_eq!(ask("name=web.service.local&type=SRV&do=1&cd=1"), expected);
    assert_eq!(ask("name=web.service.local.&type=33"), expected);

    let mut expected = flags(3);
    let soa = encrypted.server.dns.ask("service.local", "SOA");
    expected["Question"] = json!([{"name": "nobody.service.local.", "type": 1}]);
    expected["Authority"] = json!([{"name": "service.local.", "type": 6, "TTL": 1,
        "data": soa.only()}]);
    assert_eq!(ask("name=nobody.service.local"), expected);
}

#[test]
fn what_is_no_question_gets_its_status_over_both_versions() {
    if !works(CURL) {
        return;
    }
    let encrypted = with_web("");
    let large = encrypted.server.folder().join("large");
    std::fs::write(&large, vec![1; 65_536]).unwrap();
    let large = format!("@{}", large.display());
    let url = encrypted.url();
    let elsewhere = url.replace("dns-query", "other");
    let media_type = "content-type: application/dns-message";

    for version in VERSIONS {
        for (arguments, status) in [
            (vec![elsewhere.clone()], "404"),
            (vec![url.clone()], "400"),
            (vec![format!("{url}?dns=AAAA")], "400"),
            (vec![format!("{url}?dns=!")], "400"),
            (vec!["-XDELETE".to_owned(), url.clone()], "405"),
            (vec!["--data-binary".to_owned(), "x".to_owned(), url.clone()], "415"),
            (["-H", media_type, "--data-binary", &large, &url].map(str::to_owned).to_vec(), "413"),
        ] {
            let mut all = vec![version, "-o", "/dev/null", "-w", "%{http_code}"];
            all.extend(arguments.iter().map(String::as_str));
            assert_eq!(encrypted.curl(&all), status, "{version} {arguments:?}");
        }
    }
    encrypted.server.assert_well("after requests that are no questions");
}

#[test]
fn slow_heads_do_not_keep_others_out() {
    if !works(CURL) {
        return;
    }
    let encrypted = with_web("limits.connections = 4");
    let trusted = std::fs::read_to_string(encrypted.certificate()).unwrap();

    let slow: Vec<Stream> = (0..8)
        .map(|_| {
            let mut stream = connect(encrypted.https, &trusted, b"http/1.1");
            // The server may have closed it for the next one.
            drop(
                stream.write_all(b"GET /dns-query?name=web.service.local HTTP/1.1\r\nhost: x\r\n"),
            );
            drop(stream.flush());
            stream
        })
        .collect();
    let text = encrypted.curl(&[&format!("{}?name=web.service.local", encrypted.url())]);

    assert!(text.contains("10.0.0.1"), "{text}");
    drop(slow);
}

#[test]
fn many_questions_share_a_connection() {
    if !works(CURL) {
        return;
    }
    let encrypted = with_web("");
    let mut config = String::new();
    for _ in 0..50 {
        let url = encrypted.url();
        writeln!(config, "url = \"{url}?name=web.service.local\"").unwrap();
    }
    let file = encrypted.server.folder().join("urls");
    std::fs::write(&file, config).unwrap();

    for version in VERSIONS {
        let file = file.display().to_string();
        let told = encrypted.curl(&[version, "-w", "\n%{num_connects}\n", "--config", &file]);

        assert_eq!(told.matches("10.0.0.1").count(), 50, "{told}");
        let connects: u32 = told.lines().filter_map(|line| line.parse::<u32>().ok()).sum();
        assert_eq!(connects, 1, "{told}");
    }
}

#[test]
fn who_takes_no_replies_gets_no_more_of_them() {
    let encrypted = with_web("");
    let trusted = std::fs::read_to_string(encrypted.certificate()).unwrap();
    let mut stream = connect(encrypted.https, &trusted, b"h2");

    let path = "/dns-query?name=web.service.local";
    let mut bytes = http2::opening(0);
    bytes.extend((0..100).flat_map(|i| http2::get(2 * i + 1, "https", path)));
    assert!(http2::sent(&mut stream, &bytes));

    let replies: Vec<bool> = (0..100).map(|_| http2::next_is_ok(&mut stream)).collect();
    assert_eq!(replies, [[true; 8].as_slice(), &[false; 92]].concat());
    encrypted.server.assert_well("beside untaken replies");
}

#[test]
fn who_never_stops_asking_does_not_hold_up_a_stop() {
    let mut encrypted = with_web("");
    let trusted = std::fs::read_to_string(encrypted.certificate()).unwrap();
    let mut stream = connect(encrypted.https, &trusted, b"h2");
    assert!(http2::sent(&mut stream, &http2::opening(0)));
    let path = "/dns-query?name=web.service.local";
    let (begun, asking) = std::sync::mpsc::channel();

    let asker = std::thread::spawn(move || {
        for id in (1..).step_by(2) {
            let bytes = [http2::get(id, "https", path), http2::reset(id)].concat();
            if !http2::sent(&mut stream, &bytes) {
                return;
            }
            begun.send(()).ok();
            at(now() + Duration::from_millis(50));
        }
    });
    asking.recv().unwrap();

    assert_eq!(encrypted.server.terminate().code(), Some(0));
    assert!(!encrypted.server.log().contains("cut"), "{}", encrypted.server.log());
    asker.join().unwrap();
}
