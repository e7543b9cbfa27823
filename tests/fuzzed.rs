//! What fuzzing feeds its targets, on every test run: the corpus, and mutations of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[path = "../fuzz/targets/mod.rs"]
#[expect(unreachable_pub, clippy::panic, reason = "a library of its own for the fuzzer")]
mod targets;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// The inputs of a target that are kept.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has a corpus");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Feeds a target a corpus as it is, then pieces of it with bytes changed.
fn feed(folder: &str, run: fn(&[u8])) {
    let corpus = corpus(folder);
    corpus.iter().for_each(|input| run(input));

    let changes = proptest::collection::vec((any::<Index>(), any::<u8>()), 0..8);
    let pieces = (any::<Index>(), any::<Index>(), any::<Index>(), any::<Index>(), changes);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) };
    TestRunner::new(config)
        .run(&pieces, |(first, head, second, tail, changes)| {
            let (first, second) = (first.get(&corpus), second.get(&corpus));
            // The head of one and the tail of another, which may be all of one.
            let head = &first[..head.index(first.len() + 1)];
            let mut input = [head, &second[tail.index(second.len() + 1)..]].concat();
            for (at, byte) in changes {
                if !input.is_empty() {
                    let at = at.index(input.len());
                    input[at] = byte;
                }
            }
            run(&input);
            Ok(())
        })
        .unwrap();
}

#[test]
fn packets_keep_the_laws() {
    feed("packet", targets::packet);
}

#[test]
fn packets_get_one_reply_whichever_way_they_take() {
    feed("packet", targets::ways);
}

#[test]
fn zone_files_are_refused_or_answer_for_all_of_their_names() {
    feed("zone", targets::zone);
}

#[test]
fn streams_in_any_pieces_get_the_replies_of_their_messages() {
    feed("stream", targets::stream);
}

#[test]
fn requests_over_https_get_a_reply_or_the_status_of_their_mistake() {
    feed("https", targets::https);
}
