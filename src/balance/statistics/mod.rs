//! What the algorithms promise of shares, counts and queues, by statistics with fixed seeds.
//!
//! Tests only. What a file of this layer promises by itself is tested there; here is what takes a
//! model of the world around it: caches, rebuilds, queues of servers. All that is promised:
//!
//! | of | promise | held by |
//! |---|---|---|
//! | round robin | in any window first places of all differ by at most 1 | `round_robin::the_first_record_rotates_exactly` |
//! | | so do inclusions in samples, and everyone is first as often | `round_robin::in_any_window_of_samples_..`, `samples_whose_size_divides_..` |
//! | | 16 threads together too | `round_robin::workers_share_the_turns` |
//! | shuffle | every order is as likely | `dice::every_permutation_is_as_likely` |
//! | | clients of a dead first go to all others, none over 1.05 of its part | `firsts` |
//! | weighted random | a million draws are in proportion to weight | `random::a_million_draws_..` |
//! | | an order is RFC 2782's repeated draw | `random::an_order_follows_rfc_2782` |
//! | samples | inclusion is exact, units distinct | `pps::inclusion_is_exact_..`, `laws` |
//! | | shares are by weight within 4 deviations under every cache | `caches` |
//! | | counts of a line are within 4 of the weights over 100,000 answers | `pps::golden_offsets_..` |
//! | schedule | exact over a period; 1.2 since its beginning, 2 in any stretch | `schedule` |
//! | rebuild | the first answer after it is by weight, within 4 deviations | `firsts` |
//! | SRV | RFC 2782, Go, HAProxy and nginx see shares within 0.5 % | `weights::every_client_that_reads_..` |
//! | | no more than the client takes; TC says exactly that some are missing | `tests/dns_size.rs` |
//! | consistent hash | only the keys of who is removed, added or reweighed move | `consistent_hash` |
//! | | the fullest is within 1 + sqrt(2 n ln n / keys) + 2 % | `consistent_hash::no_instance_has_many_..` |
//! | bounded load | none is over 1.25 of the mean and one | `consistent_hash::no_instance_is_loaded_..` |
//! | least connections | times are those of two choices, within 5 %; most handed out is ln ln n / ln 2 | `queues` |
//! | | never worse than chance, however old reports are | `least_connections::stale_..`, `tests/simulate.rs` |
//! | dynamic weights | as even as with true weights, within 10 %, in 3 time constants | `speeds` |
//! | | no weight moves by over 1.2 when settled, at a ttl of 0, 5 and 30 s | `dynamic::a_mixed_fleet_settles_..` |
//! | | a host that slows down has its new share in 3 (time constant + ttl) | `dynamic::a_host_that_slows_down_..` |
//! | slow start | Envoy's formula less a step, never over the target | `slow_start` |
//! | panic | all are answered under the threshold, until 5 % over it, and it shows | `registry::panic`, `tests/guards.rs` |
//! | the dead | get 1.25 of (rate / n) (lease + ttl / 2) at most, and nothing when these are over | `tests/simulate.rs` |
//! | readers | 16 threads see one set or another while sets change, never parts of both | `registry::tests::readers` |
//! | costs | one of a pool in 50 ns, two choices 80, 8 of 64 in 300, an owner of 64 in 1,000 | `benches/selectors.rs` measures, `benches/instructions` guards |

mod caches;
mod firsts;
mod queues;
mod speeds;
