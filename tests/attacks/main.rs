//! What attackers send to the side-port, by raw sockets to the real server.
//!
//! Each attack on registration, HTTP and the process, and the test that holds what becomes of it. What
//! other test crates hold is not repeated here; DNS has its own (`packets`, `survival`, `dns_rows`).
//!
//! | attack | test |
//! |---|---|
//! | body of 10 MB, sized or chunked | `http_api/connections.rs`: `a_body_that_is_too_large_is_told_so_..` |
//! | Content-Length absurd, negative, signed, twice, out of range; codings; folds; bare CR; chunks | `smuggling.rs`: `a_body_whose_end_is_unclear_..` |
//! | Content-Length with Transfer-Encoding | `smuggling.rs`: `of_two_lengths_..` |
//! | the same through HAProxy and nginx | `smuggling.rs`: `nothing_is_hidden_behind_a_front_..` |
//! | what is no HTTP | `robustness.rs`: `malformed_http_..`; `http_api/malformed.rs`: `what_is_no_http_..` |
//! | heads too large, too many headers, long targets | `limits.rs`: `a_head_that_is_too_large_..`; `http2.rs`: `a_large_head_over_http2_..` |
//! | HTTP/2: CONTINUATION, rapid reset, SETTINGS, PING, HPACK bomb | `http2.rs`: `floods_of_frames_..` |
//! | HTTP/2: replies without a window | `survival.rs`: `clients_without_room_..` |
//! | slow heads | `slow.rs`; `http_api/connections.rs`: `a_client_that_never_finishes_..` |
//! | slow bodies | `slow.rs`; `limits.rs`: `a_body_that_dribbles_..` |
//! | slow readers | `slow.rs`; `watchers.rs`: `watchers_that_never_read_..` |
//! | too many requests of an address, of an identity | `limits.rs`: `an_address_..`, `an_identity_..` |
//! | too many instances: in all, of a service, of services; of an identity | `robustness.rs`: `limits_refuse_..`; `registry/tests/owners.rs`: `an_identity_owns_..` |
//! | too much metadata | `limits.rs`: `metadata_over_its_limit_..` |
//! | 20,000 registrations of 40 KiB | `load.rs`: `instances_with_all_metadata_..` |
//! | too many watchers | `limits.rs`: `too_many_watchers_..`; `watch.rs`: `watchers_are_limited` |
//! | 900 of 1,000 watchers that never read; one that falls behind | `watchers.rs` |
//! | a watcher whose machine is gone | `gone.rs` |
//! | a watch or waiting read with a token that is revoked or over | `watchers.rs`: `who_loses_the_token_..` |
//! | calls that are half sent when their token is revoked, or their certificate is nobody's any more | `revoked.rs`; `side_port_tls/reloads.rs`: `certificates_that_become_required_..` |
//! | connections whose requests wait for their client | `held.rs`: `requests_by_halves_..` |
//! | replies that are not taken, bodies by halves: memory | `held.rs`; `http/budget.rs` |
//! | more connections than limits or descriptors; none left; reset before accept | `survival.rs` |
//! | `%00`, `%2e%2e`, `//`, `%2f`, absolute form, `*`, dots, case | `names.rs`: `no_spelling_..`; `browsers.rs`: `no_spelling_of_a_path_..` (the guard) |
//! | dangerous names | `names.rs`: `dangerous_names_..` |
//! | dangerous addresses | `names.rs`: `dangerous_addresses_..`; `browsers.rs`: `nobody_registers_where_secrets_are` |
//! | one bad record that breaks readers | `robustness.rs`: `bad_bodies_..`: it is not taken |
//! | foreign Host, Origin, Sec-Fetch-Site; content types | `browsers.rs` |
//! | User-Agent, X-Forwarded-For | `browsers.rs`: `nobody_is_believed_..` |
//! | a token of one service that writes another; unknown, malformed, expired tokens | `auth.rs` |
//! | stale generations and zombies | `auth.rs`: `a_stale_generation_..`; `registry/tests/owners.rs` |
//! | forged lines, escapes and turned text in logs | `logs.rs` |
//! | clock jumps | `leases.rs`: `a_wall_clock_that_jumps_..` |
//! | SIGSTOP, SIGCONT | `leases.rs`: `a_stopped_server_..` |
//! | SIGTERM under load | `load.rs`: `a_stop_under_load_..`; `lifecycle.rs`: `a_server_ends_in_seconds_..` |
//! | kill -9, torn files, full disk | `durability.rs` |
//! | a bad file at reload | `reload.rs` |
//! | checks that lead elsewhere (SSRF) | `checks/refusals.rs` |

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as the tests do")]

mod gone;
mod held;
mod http2;
mod limits;
mod load;
mod logs;
mod names;
mod raw;
mod revoked;
mod slow;
mod smuggling;
#[cfg(test)]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;
mod watchers;

const WEB: &str =
    "[[services.web.instances]]\nid = \"web-1\"\naddresses = [\"10.0.0.1\"]\nport = 80\n";

/// Resident memory, in KiB.
fn resident(server: &support::server::Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
