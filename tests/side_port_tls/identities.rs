//! What a certificate is good for, beside tokens.

use serde_json::{Value, json};

use crate::authority::{dns, uri};
use crate::support::authenticated::first_token;
use crate::support::needs::{CURL, works};
use crate::{Encrypted, Said, bearer, prepare, start, token};

const OPTIONAL: &str = "client_ca = \"ca.pem\"\nclient_certificates = \"optional\"";
const REQUIRED: &str = "client_ca = \"ca.pem\"\nclient_certificates = \"required\"";
const AUTH: &str = "[auth]\nrequired = true\n";
const WEB_1: &str = "/v1/services/web/instances/web-1";

/// An identity of certificates that registers as tokens of shops do.
fn identity(san: &str, name: &str) -> String {
    format!(
        "[[auth.certificates]]\nsan = \"{san}\"\nname = \"{name}\"\n\
         scopes = [\"read\", \"register\"]\nservices = [\"web\", \"shop-*\"]\n\
         networks = [\"10.0.0.0/8\"]\n"
    )
}

fn admin(san: &str) -> String {
    format!("[[auth.certificates]]\nsan = \"{san}\"\nname = \"root\"\nscopes = [\"admin\"]\n")
}

fn at(address: &str) -> Value {
    json!({ "addresses": [address], "ttl": null })
}

/// The status, and of a problem its kind and field.
fn told(said: &Said) -> (u16, &str, Option<&str>) {
    let kind = said.body["type"].as_str().unwrap_or_default();
    (said.status, kind.trim_start_matches("urn:signpost:"), said.body["field"].as_str())
}

#[test]
fn a_certificate_is_known_by_its_names_alone() {
    if !works(CURL) {
        return;
    }
    let known = identity("web.prod.example", "web") + &identity("spiffe://prod.example/web", "web");
    let encrypted = start(OPTIONAL, &(AUTH.to_owned() + &known));

    for (name, names, status) in [
        ("dns", vec![dns("web.prod.example")], 200),
        ("upper", vec![dns("Web.PROD.example")], 200),
        ("several", vec![dns("other.example"), dns("web.prod.example")], 200),
        ("uri", vec![uri("spiffe://prod.example/web")], 200),
        ("other", vec![dns("db.prod.example")], 401),
        ("below", vec![dns("a.web.prod.example")], 401),
        ("star", vec![dns("*.prod.example")], 401),
        ("upper-uri", vec![uri("spiffe://prod.example/Web")], 401),
        ("longer-uri", vec![uri("spiffe://prod.example/web/a")], 401),
        ("dns-as-uri", vec![uri("web.prod.example")], 401),
        // Its common name is that of the file: no name of a certificate.
        ("web.prod.example", vec![], 401),
    ] {
        let shown = encrypted.client(name, &names);
        let said = encrypted.curl(&shown, "/v1/services");
        assert_eq!(said.status, status, "{name}: {said:?}");
    }
    let nobody = encrypted.curl(&[], "/v1/services");
    assert_eq!(told(&nobody), (401, "unauthorized", None));
    assert!(!encrypted.server.log().contains("panicked"));
}

#[test]
fn a_certificate_has_the_rights_of_its_identity_and_owns_what_it_registers() {
    if !works(CURL) {
        return;
    }
    let known = identity("shop.example", "shop") + &identity("other.example", "other");
    let config = AUTH.to_owned() + &known + &admin("root.example");
    let encrypted = start(OPTIONAL, &config);
    let shop = encrypted.client("shop", &[dns("shop.example")]);
    let other = encrypted.client("other", &[dns("other.example")]);
    let root = encrypted.client("root", &[dns("root.example")]);
    // A certificate of an admin makes the first token.
    let made = json!({ "name": "shop", "scopes": ["register"], "services": ["web"],
                       "networks": ["10.0.0.0/8"] });
    let words = ["-H", "content-type: application/json", "--data"].map(str::to_owned);
    let post = |who: &[String], spec: &Value| {
        let arguments = [&words[..], &[spec.to_string()], who].concat();
        encrypted.curl(&arguments, "/v1/tokens")
    };
    assert_eq!(told(&post(&shop, &made)), (403, "forbidden", None));
    let same = post(&root, &made).body["token"].as_str().unwrap().to_owned();
    let third = json!({ "name": "third", "scopes": ["register"], "services": ["web"],
                        "networks": ["10.0.0.0/8"] });
    let third = post(&root, &third).body["token"].as_str().unwrap().to_owned();

    assert_eq!(encrypted.put(&shop, WEB_1, &at("10.0.0.1")).status, 201);
    let db = "/v1/services/db/instances/a";
    let refused = encrypted.put(&shop, db, &at("10.0.0.1"));
    assert_eq!(told(&refused), (403, "forbidden", Some("service")));
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("the certificate of shop is for shop-*, web"), "{detail}");
    let refused = encrypted.put(&shop, WEB_1, &at("192.0.2.1"));
    assert_eq!(told(&refused), (403, "forbidden", Some("addresses[0]")));

    // Of another certificate, of another's token, of a token of the same name, of an admin's.
    let owned = (409, "owned", None);
    assert_eq!(told(&encrypted.put(&other, WEB_1, &at("10.0.0.2"))), owned);
    assert_eq!(told(&encrypted.put(&bearer(&third), WEB_1, &at("10.0.0.2"))), owned);
    assert_eq!(encrypted.put(&bearer(&same), WEB_1, &at("10.0.0.3")).status, 200);
    assert_eq!(encrypted.put(&root, WEB_1, &at("10.0.0.4")).status, 200);
    // And the other way round.
    let web_2 = "/v1/services/web/instances/web-2";
    assert_eq!(encrypted.put(&bearer(&third), web_2, &at("10.0.0.1")).status, 201);
    assert_eq!(told(&encrypted.put(&shop, web_2, &at("10.0.0.1"))), owned);
}

#[test]
fn a_token_that_is_shown_is_what_counts() {
    if !works(CURL) {
        return;
    }
    let config = AUTH.to_owned() + &identity("shop.example", "shop") + &admin("root.example");
    let prepared = prepare(OPTIONAL, &config);
    let file = prepared.builder.path("registry.toml");
    std::fs::write(&file, "").unwrap();
    let root = first_token(&file);
    let encrypted = prepared.start();
    let http = encrypted.server.http.with_token(&root);
    let reader = token(&http, &json!({ "name": "reader", "scopes": ["read"] }));
    let shop = encrypted.client("shop", &[dns("shop.example")]);
    let admin = encrypted.client("root", &[dns("root.example")]);
    let with = |certificate: &[String], token: &str| [certificate, &bearer(token)].concat();
    let db = "/v1/services/db/instances/a";

    assert_eq!(encrypted.put(&with(&shop, &root), db, &at("192.0.2.1")).status, 201);
    let less = encrypted.put(&with(&admin, &reader), db, &at("192.0.2.2"));
    assert_eq!(told(&less), (403, "forbidden", None));
    let wrong = encrypted.curl(&with(&admin, "wrong"), "/v1/services");
    assert_eq!(told(&wrong), (401, "unauthorized", None));
}

#[test]
fn where_certificates_are_required_nobody_stays_unknown() {
    if !works(CURL) {
        return;
    }
    let encrypted = start(REQUIRED, &identity("shop.example", "shop"));
    let shop = encrypted.client("shop", &[dns("shop.example")]);
    let unlisted = encrypted.client("unlisted", &[dns("unlisted.example")]);

    assert_eq!(encrypted.put(&shop, WEB_1, &at("10.0.0.1")).status, 201);
    let refused = encrypted.put(&unlisted, WEB_1, &at("10.0.0.1"));
    assert_eq!(told(&refused), (401, "unauthorized", None));
    assert_eq!(told(&encrypted.curl(&unlisted, "/v1/services")), (401, "unauthorized", None));
    assert_eq!(encrypted.curl(&unlisted, "/healthz").status, 200);
    // Loopback has rules of its own.
    assert_eq!(encrypted.server.http.get("/v1/services").status, 200);
}

#[test]
fn a_refusal_is_heard_by_who_still_sends() {
    if !works(CURL) {
        return;
    }
    let encrypted = start("", AUTH);

    for version in ["--http1.1", "--http2"] {
        // Many calls of one process, each with a status; the last is followed by nothing.
        let said = encrypted.put(
            &[version, "-o", "/dev/null"].map(str::to_owned),
            "/v1/services/web/instances/a[1-300]",
            &at("10.0.0.1"),
        );
        assert_eq!((said.error.as_str(), said.status), ("", 401), "{version}");
        let text = said.body.to_string();
        assert_eq!(text.matches("401").count(), 299, "{version}: {text}");
    }
}

#[test]
fn who_may_do_what_does_not_depend_on_what_is_spoken() {
    if !works(CURL) {
        return;
    }
    let prepared = prepare("", AUTH);
    let file = prepared.builder.path("registry.toml");
    std::fs::write(&file, "").unwrap();
    let root = bearer(&first_token(&file));
    let encrypted: Encrypted = prepared.start();
    let header = |text: &str| vec!["-H".to_owned(), text.to_owned()];
    let also = |text: &str| [root.clone(), header(text)].concat();

    for version in ["--http1.1", "--http2"] {
        let version = [version.to_owned()];
        let get = |arguments: &[String]| {
            encrypted.curl(&[&version[..], arguments].concat(), "/v1/services")
        };
        let put = |arguments: &[String]| {
            encrypted.put(&[&version[..], arguments].concat(), WEB_1, &at("10.0.0.1"))
        };
        assert_eq!(told(&get(&[])), (401, "unauthorized", None));
        assert_eq!(told(&get(&bearer("x"))), (401, "unauthorized", None));
        assert_eq!(get(&root).status, 200);
        assert_eq!(told(&get(&also("Host: evil.example"))), (403, "forbidden", Some("host")));
        let foreign = also("Origin: https://evil.example");
        assert_eq!(told(&put(&foreign)), (403, "forbidden", Some("origin")));
        let own = also(&format!("Origin: https://{}", encrypted.tls));
        assert!([200, 201].contains(&put(&own).status));
        for word in ["X-Forwarded-For: 127.0.0.1", "X-SSL-Client-SAN: root", "User-Agent: root"] {
            assert_eq!(get(&header(word)).status, 401, "{word}");
        }
    }
}
