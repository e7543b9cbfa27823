//! Programs that ask by the system's resolver: glibc, musl, and curl with its.

use crate::setup::{served_on_port_53, write};

#[test]
fn glibc_finds_services_by_port_53() {
    let Some((_folder, mut shell)) = served_on_port_53(&["getent", "--version"]) else { return };

    let found = shell.run("getent ahostsv4 web-2.web.service.local | cut -d' ' -f1 | sort -u");
    assert_eq!(found, ["10.0.0.12"]);
    assert_eq!(shell.run("getent ahosts nobody.service.local; echo $?"), ["2"]);
}

#[test]
fn curl_reaches_a_service_by_its_name() {
    let Some((_folder, mut shell)) = served_on_port_53(&["curl", "--version"]) else { return };
    // The server itself is what listens here.
    shell.run("signpost register side-port one --address 127.0.0.1 --port 8054");

    let status =
        "curl -s -o page -w '%{http_code} %{remote_ip}' http://side-port.service.local:8054";
    assert_eq!(shell.run(&format!("{status}/healthz")), ["200 127.0.0.1"]);
    assert_eq!(shell.run("curl -s http://nobody.service.local:8054; echo $?"), ["6"]);
}

#[test]
fn musl_finds_services_by_port_53() {
    let Some((folder, mut shell)) = served_on_port_53(&["musl-gcc", "-v"]) else { return };
    write(&folder, "find.c", FIND);

    assert_eq!(shell.run("musl-gcc -static -o find find.c"), Vec::<String>::new());

    assert_eq!(shell.run("./find web-2.web.service.local"), ["10.0.0.12", "2001:db8::12"]);
    assert_eq!(shell.run("./find web-3.web.service.local"), ["10.0.0.13"]);
    assert_eq!(shell.run("./find nobody.service.local"), ["Name does not resolve"]);

    // Before 1.2.4 what fits 512 bytes; since then, everything.
    let items = (0..100).map(|i| {
        format!(r#"{{"service":"many","id":"i-{i}","ttl":null,"addresses":["10.1.0.{i}"]}}"#)
    });
    let items = items.collect::<Vec<_>>().join(",");
    write(&folder, "batch.json", &format!(r#"{{"register":[{items}]}}"#));
    shell.run(
        "curl -sf http://127.0.0.1:8054/v1/batch --json @batch.json\n\
         curl -sf -X PUT http://127.0.0.1:8054/v1/services/many --json '{\"answer\":\"all\"}'",
    );
    let found: usize = shell.run("./find many.service.local | wc -l")[0].parse().unwrap();
    assert!([29, 100].contains(&found), "{found}");
}

/// Prints the addresses of a name, sorted by text.
const FIND: &str = r"
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

int main(int count, char **arguments) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    static char texts[1000][64];
    int error = getaddrinfo(arguments[count - 1], 0, &hints, &found), n = 0;
    if (error) { puts(gai_strerror(error)); return 1; }
    for (; found && n < 1000; found = found->ai_next)
        getnameinfo(found->ai_addr, found->ai_addrlen, texts[n++], 64, 0, 0, NI_NUMERICHOST);
    qsort(texts, n, 64, by_text);
    for (int i = 0; i < n; i++) puts(texts[i]);
}
";
