// SPDX-License-Identifier: GPL-2.0

//! Access to files below a directory, and to no others.

use crate::support::pattern;
use core::ffi::CStr;
use kernel::{
    error::to_result,
    prelude::*,
    str::CStrExt,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use ktcp_server::{
    error::ENOBUFS,
    fs::{
        Directory,
        File,
        Kind,
        Timestamp,
        Wait, //
    },
    testing,
    Handler,
    Input,
    Next,
    Output,
    Peer, //
};

extern "C" {
    fn ktcp_kunit_enter_files() -> *mut c_void;
    fn ktcp_kunit_leave_files(old: *mut c_void);
    fn ktcp_kunit_make_dir(path: *const c_char, mode: u16) -> c_int;
    fn ktcp_kunit_make_link(path: *const c_char, target: *const c_char) -> c_int;
    fn ktcp_kunit_write(path: *const c_char, mode: u16, data: *const c_void, len: usize) -> c_int;
}

/// Calls `what` while names are looked up as for user space.
fn among_files<T>(what: impl FnOnce() -> T) -> T {
    // SAFETY: Undone below, by the same task.
    let old = unsafe { ktcp_kunit_enter_files() };
    let result = what();
    // SAFETY: `old` is what the task had before.
    unsafe { ktcp_kunit_leave_files(old) };
    result
}

fn make_dir(path: &CStr, mode: u16) -> Result {
    // SAFETY: The name ends with a NUL.
    match to_result(unsafe { ktcp_kunit_make_dir(path.as_char_ptr(), mode) }) {
        Err(EEXIST) => Ok(()),
        result => result,
    }
}

fn make_link(path: &CStr, target: &CStr) -> Result {
    // SAFETY: Both end with a NUL.
    match to_result(unsafe { ktcp_kunit_make_link(path.as_char_ptr(), target.as_char_ptr()) }) {
        Err(EEXIST) => Ok(()),
        result => result,
    }
}

fn write(path: &CStr, mode: u16, data: &[u8]) -> Result {
    // SAFETY: The name ends with a NUL, and C reads the stated number of bytes.
    to_result(unsafe {
        ktcp_kunit_write(path.as_char_ptr(), mode, data.as_ptr().cast(), data.len())
    })
}

/// A tree, and its root:
///
/// ```text
/// /ktcp/secret
/// /ktcp/www/file
/// /ktcp/www/private      nobody may not read it
/// /ktcp/www/closed/file  nor look into that folder
/// /ktcp/www/sub/file
/// /ktcp/www/...          links
/// ```
fn tree() -> Result<Directory> {
    among_files(make_tree)?;
    Directory::open(c"/ktcp/www")
}

fn make_tree() -> Result {
    make_dir(c"/ktcp", 0o755)?;
    write(c"/ktcp/secret", 0o644, b"secret")?;
    make_dir(c"/ktcp/www", 0o755)?;
    write(c"/ktcp/www/file", 0o644, b"0123456789")?;
    write(c"/ktcp/www/private", 0o600, b"private")?;
    make_dir(c"/ktcp/www/closed", 0o700)?;
    write(c"/ktcp/www/closed/file", 0o644, b"closed")?;
    make_dir(c"/ktcp/www/sub", 0o755)?;
    write(c"/ktcp/www/sub/file", 0o644, b"sub")?;
    for (name, target) in [
        (c"/ktcp/www/link", c"sub/../file"),
        (c"/ktcp/www/sub/up", c"../file"),
        (c"/ktcp/www/out", c"../secret"),
        (c"/ktcp/www/absolute", c"/ktcp/www/file"),
        (c"/ktcp/www/loop", c"loop"),
        (c"/ktcp/www/dangling", c"nothing"),
    ] {
        make_link(name, target)?;
    }
    Ok(())
}

fn content(root: &Directory, name: &CStr) -> Result<KVec<u8>> {
    let file = root.find(name, Wait::Yes)?.open()?;
    let mut buffer = KVec::from_elem(0, 100, GFP_KERNEL)?;
    let count = file.read_at(&mut buffer, 0, Wait::Yes)?;
    buffer.truncate(count);
    Ok(buffer)
}

/// Logs the error of a test: KUnit only tells that there is one.
fn told(result: Result) -> Result {
    result.inspect_err(|error| pr_err!("ktcp_files: {error:?}\n"))
}

fn check_names() -> Result {
    let root = tree()?;
    for (name, expected) in [
        (c"file", &b"0123456789"[..]),
        (c"sub/file", b"sub"),
        (c"link", b"0123456789"),
        (c"sub/up", b"0123456789"),
        (c"./sub/../file", b"0123456789"),
    ] {
        assert!(content(&root, name)?[..] == *expected);
    }
    for (name, error) in [
        (c"nothing", ENOENT),
        (c"dangling", ENOENT),
        (c"file/x", ENOTDIR),
        (c"loop", ELOOP),
        (c"private", EACCES),
        (c"closed/file", EACCES),
        (c"..", EXDEV),
        (c"../secret", EXDEV),
        (c"sub/../../secret", EXDEV),
        (c"out", EXDEV),
        (c"absolute", EXDEV),
    ] {
        assert_eq!(content(&root, name).err(), Some(error));
    }
    Ok(())
}

fn check_reading() -> Result {
    let root = tree()?;
    let file = root.find(c"file", Wait::Yes)?.open()?;
    let clone = file.clone();
    drop(file);
    let mut buffer = [b'x'; 4];
    assert_eq!(clone.read_at(&mut buffer, 8, Wait::Yes)?, 2);
    assert_eq!(&buffer, b"89xx");
    assert_eq!(clone.read_at(&mut buffer, 10, Wait::Yes)?, 0);
    assert_eq!(clone.read_at(&mut buffer, 1 << 40, Wait::Yes)?, 0);
    assert_eq!(clone.read_at(&mut [], 0, Wait::Yes)?, 0);
    assert_eq!(
        clone.read_at(&mut buffer, u64::MAX, Wait::Yes).err(),
        Some(EINVAL)
    );
    // Either at once or not at all.
    match clone.read_at(&mut buffer, 0, Wait::No) {
        Ok(count) => assert_eq!(&buffer[..count], &b"0123"[..count]),
        Err(error) => assert_eq!(error, EAGAIN),
    }
    let directory = root.find(c"sub", Wait::Yes)?.open()?;
    assert_eq!(directory.read_at(&mut buffer, 0, Wait::Yes).is_err(), true);
    Ok(())
}

fn check_metadata() -> Result {
    let root = tree()?;
    let of = |name| root.find(name, Wait::Yes)?.metadata(Wait::Yes);
    let file = of(c"file")?;
    assert_eq!((file.kind, file.size), (Kind::File, 10));
    assert_eq!(of(c"sub")?.kind, Kind::Directory);
    assert_eq!(of(c".")?.kind, Kind::Directory);
    assert!(file.modified <= Timestamp::now());
    // The cache of names knows it by now.
    let again = root.find(c"file", Wait::No)?.metadata(Wait::No)?;
    assert_eq!(again, file);

    // Another state of it is another one, a few ticks later.
    fsleep(Delta::from_millis(50));
    among_files(|| write(c"/ktcp/www/file", 0o644, b"9876543210"))?;
    let changed = of(c"file")?;
    assert!(changed.changed != file.changed);
    assert_eq!(
        (changed.inode, changed.generation),
        (file.inode, file.generation)
    );
    // Another file is another one, whatever its content and however soon it was made.
    let other = of(c"sub/file")?;
    assert!((other.inode, other.generation) != (changed.inode, changed.generation));
    among_files(|| write(c"/ktcp/www/file", 0o644, b"0123456789"))
}

fn check_listing() -> Result {
    let root = tree()?;
    let (names, complete) = root.find(c".", Wait::Yes)?.names(100)?;
    // With that which another test sends, or without it.
    assert!(complete && (9..=10).contains(&names.len()));
    assert!(names.iter().any(|name| **name == *c"private"));
    assert!(!names.iter().any(|name| **name == *c"."));
    let (names, complete) = root.find(c".", Wait::Yes)?.names(3)?;
    assert_eq!((names.len(), complete), (3, false));
    assert_eq!(root.find(c"file", Wait::Yes)?.names(3).err(), Some(ENOTDIR));
    assert_eq!(
        root.find(c"closed", Wait::Yes)?.names(3).err(),
        Some(EACCES)
    );
    assert_eq!(Directory::open(c"/ktcp/www/file").err(), Some(ENOTDIR));
    assert_eq!(Directory::open(c"/nothing").err(), Some(ENOENT));
    // A working directory is something that processes have.
    for name in [c"ktcp/www", c"", c"."] {
        let open = || Directory::open(name).err();
        assert_eq!((open(), among_files(open)), (Some(EINVAL), Some(EINVAL)));
    }
    Ok(())
}

/// Says two words with a file between them, and then what it was asked.
struct Sender {
    file: File,
    size: u64,
}

impl Handler for Sender {
    type Session = ();

    fn open(&self, _peer: &Peer<'_>) -> Result {
        Ok(())
    }

    fn receive(&self, _s: &mut (), input: &mut Input<'_>, output: &mut Output<'_>) -> Result<Next> {
        while let Some(&byte) = input.first() {
            if output.write(b"<").is_err() {
                break;
            }
            output.send_file(&self.file, 1..self.size)?;
            assert_eq!(output.room(), 0);
            assert_eq!(output.write(&[byte]), Err(ENOBUFS));
            assert_eq!(output.send_file(&self.file, 0..1), Err(ENOBUFS));
            input.consume(1);
        }
        Ok(Next::Receive)
    }
}

fn check_sending() -> Result {
    let root = tree()?;
    let content = pattern(300_000)?;
    among_files(|| write(c"/ktcp/www/sent", 0o644, &content))?;
    let file = root.find(c"sent", Wait::Yes)?.open()?;
    let size = content.len() as u64;
    let answer = testing::converse(
        Sender {
            file: file.clone(),
            size,
        },
        b"ab",
    )?;
    assert_eq!(answer.len(), 2 * content.len());
    for part in answer.chunks(content.len()) {
        assert!(part[0] == b'<' && part[1..] == content[1..]);
    }
    // A file that is shorter than was assumed
    let answer = testing::converse(
        Sender {
            file,
            size: size + 1,
        },
        b"a",
    );
    // The reset arrives as an error of `converse`.
    assert!(answer.is_err());
    Ok(())
}

#[kunit_tests(ktcp_files)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_found() -> Result {
        told(check_names())
    }

    #[test]
    fn reads_at_any_place() -> Result {
        told(check_reading())
    }

    #[test]
    fn sends_without_copying() -> Result {
        told(check_sending())
    }

    #[test]
    fn metadata_tells_states_apart() -> Result {
        told(check_metadata())
    }

    #[test]
    fn directories_are_listed() -> Result {
        told(check_listing())
    }
}
