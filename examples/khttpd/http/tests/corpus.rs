// SPDX-License-Identifier: GPL-2.0

//! Inputs that the fuzzer has come up with.

use crate::check;
use std::fs;

#[test]
fn what_fuzzing_has_found_interesting() {
    // As it is when the test runs: what was compiled may be shared by checkouts.
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let corpus = fs::read_to_string(format!("{package}/fuzz/corpus.txt")).unwrap();
    for line in corpus.lines() {
        check::check(&check::unescaped(line));
    }
    assert!(corpus.lines().count() > 100);
}

#[test]
fn a_line_of_the_corpus_is_an_input() {
    assert_eq!(check::unescaped(r"a\\\r\n\t\x00\xff"), b"a\\\r\n\t\x00\xff");
}
