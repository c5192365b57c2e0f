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
        check::check(&unescaped(line));
    }
    assert!(corpus.lines().count() > 100);
}

/// An input of the fuzzer, of the line that `tools/ktcp/corpus.py` has made of it.
fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = line.bytes();
    let mut input = Vec::new();
    while let Some(byte) = bytes.next() {
        input.push(match byte {
            b'\\' => match bytes.next().unwrap() {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'\\' => b'\\',
                b'x' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => panic!("an escape that is none: {other}"),
            },
            other => other,
        });
    }
    input
}

#[test]
fn a_line_of_the_corpus_is_an_input() {
    assert_eq!(unescaped(r"a\\\r\n\t\x00\xff"), b"a\\\r\n\t\x00\xff");
}
