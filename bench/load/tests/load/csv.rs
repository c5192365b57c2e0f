// SPDX-License-Identifier: GPL-2.0

//! `--csv`, as Python reads it.

use crate::{
    http,
    servers::{self, bench, scratch, start, LOOPBACK},
};
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn reader() -> PathBuf {
    // Not at compile time: checkouts share what is compiled.
    let folder = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    Path::new(&folder).join("tests/load/rows.py")
}

fn rows(path: &Path) -> Vec<Value> {
    let output = Command::new("python3")
        .arg(reader())
        .arg(path)
        .stderr(Stdio::inherit())
        .output()
        .expect("python3 is installed");
    assert!(output.status.success(), "{}", path.display());
    serde_json::from_slice(&output.stdout).expect("a list")
}

#[test]
fn two_runs_have_names_once_and_a_row_each() {
    let server = start(LOOPBACK, servers::echo);
    let path = scratch("twice.csv");
    for more in ["", "--rate 50.5 --depth 2"] {
        let arguments = format!("--requests 5 --quiet {more} --csv {}", path.display());
        let output = bench("echo", &server.to_string(), &arguments);
        assert_eq!(output.status.code(), Some(0));
    }
    let rows = rows(&path);
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row["server"], server.to_string());
        for (name, value) in [
            ("path", ""),
            ("answers", "5"),
            ("reconnects", "0"),
            ("unsent", "0"),
        ] {
            assert_eq!(row[name], value, "{name} of {row}");
        }
    }
    assert_eq!([&rows[0]["rate"], &rows[1]["rate"]], ["", "50.5"]);
    assert_eq!(fs::read_to_string(path).expect("a file").lines().count(), 3);
}

#[test]
fn paths_with_commas_and_quotes_are_one_field() {
    let server = start(LOOPBACK, |stream| {
        http::answer_with(stream, |_| http::HELLO.to_vec());
    });
    for (number, of) in ["/a,b,c", "/\"a\"", "/\"", "/,\",", "/'a','b'", "/a;b"]
        .iter()
        .enumerate()
    {
        let path = scratch(&format!("path-{number}.csv"));
        let arguments = format!("--path {of} --requests 2 --quiet --csv {}", path.display());
        let output = bench("http", &server.to_string(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{of}");
        let rows = rows(&path);
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (&rows[0]["path"], &rows[0]["answers"]),
            (&(*of).into(), &"2".into())
        );
    }
}

#[test]
fn file_with_other_columns_is_left_as_it_is() {
    let server = start(LOOPBACK, servers::echo);
    let path = scratch("other.csv");
    for text in ["server,answers\n127.0.0.1:1,5\n", "no table at all", "\n"] {
        fs::write(&path, text).expect("a folder for it");
        let arguments = format!("--requests 2 --quiet --csv {}", path.display());
        let output = bench("echo", &server.to_string(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(fs::read_to_string(&path).expect("a file"), text);
    }
}

#[test]
fn dash_is_standard_output() {
    let server = start(LOOPBACK, servers::echo);
    let output = bench("echo", &server.to_string(), "--requests 2 --csv -");
    assert_eq!(output.status.code(), Some(0));
    let path = scratch("dash.csv");
    fs::write(&path, output.stdout).expect("a folder for it");
    assert_eq!(rows(&path)[0]["answers"], "2");
}
