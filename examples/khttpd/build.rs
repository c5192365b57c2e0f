// SPDX-License-Identifier: GPL-2.0

//! For cargo, what Kbuild does: the table of media types, from the list of the distribution.

use std::{
    env, fs,
    path::Path,
    process::{
        Command,
        Stdio, //
    },
};

fn main() {
    let source = env::var("KTCP_MIME").unwrap_or("/etc/mime.types".to_owned());
    // As it is when this runs: the program may have been compiled in another checkout.
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let tool = format!("{folder}/../../tools/ktcp/media_types.py");
    println!("cargo::rerun-if-env-changed=KTCP_MIME");
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-changed={tool}");
    let made = Command::new("python3")
        .args([&tool, &source])
        .stderr(Stdio::inherit())
        .output()
        .expect("python3 does not run");
    assert!(made.status.success(), "there is no table of media types");
    let table = Path::new(&env::var_os("OUT_DIR").unwrap()).join("media_types.txt");
    fs::write(&table, made.stdout).unwrap();
    println!("cargo::rustc-env=KTCP_MEDIA_TYPES={}", table.display());
}
