// SPDX-License-Identifier: GPL-2.0

//! Files below a directory, for services that send them to clients.
//!
//! A [`Directory`] is the only way to a file, and leads to no file outside it: not by `..`, not by
//! a symbolic link, and not by a concurrent rename. The library looks up and opens files with the
//! rights of the user *nobody* (user and group 65534, no capability). So a service cannot give out
//! files that others may not read, although the kernel could.
//!
//! # Context
//!
//! All functions may sleep, unless they say otherwise. With [`Wait::No`] they do not wait for a
//! disk or a file server: they fail with `EAGAIN` instead.
//!
//! A function that may sleep fails with `EBUSY` where the caller must not, except with
//! [`Wait::No`].
//!
//! C header: [`include/linux/namei.h`](srctree/include/linux/namei.h)

use crate::{
    shim::{
        self,
        raw::RawStat, //
    },
    sync::context, //
};
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    str::CString, //
};

/// Permission to wait for the disk or the file server that holds a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Wait as long as it takes.
    Yes,
    /// Do not wait: fail with `EAGAIN` if the data is not in memory. Some file systems always do.
    No,
}

impl Wait {
    fn only_cached(self) -> bool {
        self == Self::No
    }

    /// Fails with `EBUSY` if the caller wants to wait where it must not sleep.
    fn check(self) -> Result {
        match self {
            Self::Yes => context::may_sleep(),
            Self::No => Ok(()),
        }
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970, in UTC.
    pub seconds: i64,
    /// Nanoseconds within that second, fewer than 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// Returns the time of day, to a few milliseconds. Any context.
    ///
    /// # Examples
    ///
    /// ```
    /// use ktcp_server::fs::Timestamp;
    ///
    /// assert!(Timestamp::now().nanos < 1_000_000_000);
    /// ```
    pub fn now() -> Self {
        let (mut seconds, mut nanos) = (0, 0);
        // SAFETY: Both are valid for a write.
        unsafe { shim::ktcp_now(&raw mut seconds, &raw mut nanos) };
        Self { seconds, nanos }
    }
}

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Another type, which cannot be opened here: a device, a pipe, a socket.
    Other,
}

/// Metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Type of the file.
    pub kind: Kind,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of the content (`mtime`).
    pub modified: Timestamp,
    /// Time of the last change of the content or the metadata (`ctime`). Some file systems record
    /// it only to a few milliseconds: a change soon after an earlier one may leave it the same.
    pub changed: Timestamp,
    /// A number that differs between any two states of the file that were looked at, even within
    /// one tick of the clock (`i_version`). 0 if the file system has none.
    pub change_cookie: u64,
    /// Inode number, unique within the file system.
    pub inode: u64,
    /// A number that distinguishes successive files with the same `inode`. 0 if the file system has
    /// none.
    pub generation: u32,
    /// Device number of the file system.
    pub device: u32,
}

impl From<RawStat> for Metadata {
    fn from(raw: RawStat) -> Self {
        Self {
            kind: match raw.mode & bindings::S_IFMT {
                bindings::S_IFREG => Kind::File,
                bindings::S_IFDIR => Kind::Directory,
                _ => Kind::Other,
            },
            size: raw.size,
            modified: Timestamp {
                seconds: raw.modified_seconds,
                nanos: raw.modified_nanos,
            },
            changed: Timestamp {
                seconds: raw.changed_seconds,
                nanos: raw.changed_nanos,
            },
            change_cookie: raw.change_cookie,
            inode: raw.inode,
            generation: raw.generation,
            device: raw.device,
        }
    }
}

/// A place in a file system.
///
/// # Invariants
///
/// `0` is a `struct path` on which this value owns a reference; the file that it names exists.
struct Path(bindings::path);

// SAFETY: The reference counts of a path are atomic, and it belongs to no task.
unsafe impl Send for Path {}

// SAFETY: A shared `Path` only lends out its pointer, and C serialises what it does with it.
unsafe impl Sync for Path {}

impl Path {
    /// Returns the path that `find` writes.
    ///
    /// # Safety
    ///
    /// When `find` returns 0, it has written a path, and passes a reference on it to the caller.
    unsafe fn find(find: impl FnOnce(*mut bindings::path) -> c_int) -> Result<Self> {
        let mut path = MaybeUninit::<bindings::path>::uninit();
        to_result(find(path.as_mut_ptr()))?;
        // INVARIANT: `find` succeeded, so by this function's contract the reference on the path is
        // ours.
        // SAFETY: By this function's contract `find` has initialised the path.
        Ok(Self(unsafe { path.assume_init() }))
    }

    fn as_ptr(&self) -> *const bindings::path {
        &raw const self.0
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns the reference, which ends here.
        unsafe { shim::ktcp_put_path(self.as_ptr()) }
    }
}

/// Credentials of the user nobody.
///
/// # Invariants
///
/// `0` points to a `struct cred` on which this value owns a reference.
struct Nobody(NonNull<bindings::cred>);

// SAFETY: Credentials are counted atomically, never change, and belong to no task.
unsafe impl Send for Nobody {}

// SAFETY: As above.
unsafe impl Sync for Nobody {}

impl Nobody {
    fn new() -> Result<Self> {
        // SAFETY: May be called from any task that can sleep.
        let cred = unsafe { shim::ktcp_nobody() };
        // INVARIANT: When it is not null, it came with a reference.
        NonNull::new(cred.cast_mut()).map(Self).ok_or(ENOMEM)
    }

    fn as_ptr(&self) -> *const bindings::cred {
        self.0.as_ptr()
    }
}

impl Drop for Nobody {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns the reference, which ends here.
        unsafe { shim::ktcp_put_cred(self.as_ptr()) }
    }
}

/// A directory that gives access to the files below it, and to no others.
///
/// It refers to the same directory for as long as it lives, whatever is mounted or renamed
/// meanwhile, and keeps the file system from being unmounted.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::fs::{Directory, Kind, Wait};
///
/// let root = Directory::open(c"/")?;
/// assert_eq!(root.find(c".", Wait::Yes)?.metadata(Wait::Yes)?.kind, Kind::Directory);
/// assert!(root.find(c"..", Wait::Yes).is_err());
/// # Ok::<(), Error>(())
/// ```
pub struct Directory {
    path: Path,
    nobody: Nobody,
}

impl Directory {
    /// Opens a directory by its absolute name, as process 1 sees it. The mount namespace, the root
    /// and the working directory of the calling process do not matter.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the name does not begin with a slash; `ENOENT`, `ENOTDIR`, `EACCES`, `ENOMEM`
    /// and others of `openat(2)`. If the user nobody may not search the directory, only
    /// [`find`](Self::find) fails.
    ///
    /// May sleep.
    pub fn open(name: &CStr) -> Result<Self> {
        context::may_sleep()?;
        if !name.to_bytes().starts_with(b"/") {
            return Err(EINVAL);
        }
        // SAFETY: `name` ends with a NUL, and C writes a path with a reference when it succeeds.
        let path = unsafe {
            Path::find(|found| {
                shim::ktcp_open_root(kernel::str::CStrExt::as_char_ptr(name), found)
            })?
        };
        Ok(Self {
            path,
            nobody: Nobody::new()?,
        })
    }

    /// Finds a file by its name, relative to this directory. Follows symbolic links that stay below
    /// the directory; `.` is the directory itself.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`, `ENOMEM` as for `openat2(2)`;
    /// `EXDEV` if the name leads outside; `EAGAIN` with [`Wait::No`], and when each of many tries
    /// has met a rename.
    ///
    /// May sleep.
    pub fn find(&self, name: &CStr, wait: Wait) -> Result<Found<'_>> {
        wait.check()?;
        // SAFETY: `self` holds a reference on its path and on the credentials, `name` ends with a
        // NUL, and C writes a path with a reference when it succeeds.
        let path = unsafe {
            Path::find(|found| {
                shim::ktcp_lookup(
                    self.path.as_ptr(),
                    self.nobody.as_ptr(),
                    kernel::str::CStrExt::as_char_ptr(name),
                    wait.only_cached(),
                    found,
                )
            })?
        };
        Ok(Found {
            directory: self,
            path,
        })
    }
}

/// A file or directory below a [`Directory`], not yet opened.
pub struct Found<'a> {
    directory: &'a Directory,
    path: Path,
}

impl Found<'_> {
    /// Returns the metadata of the file. May sleep.
    pub fn metadata(&self, wait: Wait) -> Result<Metadata> {
        wait.check()?;
        let mut raw = RawStat::default();
        // SAFETY: `self` holds a reference on its path, and `raw` is valid for a write.
        to_result(unsafe {
            shim::ktcp_stat(self.path.as_ptr(), wait.only_cached(), &raw mut raw)
        })?;
        Ok(raw.into())
    }

    /// Opens the file for reading.
    ///
    /// # Errors
    ///
    /// `EACCES` if the user nobody may not read it, or if it is neither a regular file nor a
    /// directory; `ENOMEM`, `ENFILE`.
    ///
    /// May sleep.
    pub fn open(&self) -> Result<File> {
        context::may_sleep()?;
        let (path, nobody) = (self.path.as_ptr(), self.directory.nobody.as_ptr());
        // SAFETY: `self` holds references on both.
        let file = from_err_ptr(unsafe { shim::ktcp_open(path, nobody) })?;
        // INVARIANT: The file is new, and its one reference is ours.
        NonNull::new(file).map(File).ok_or(ENOENT)
    }

    /// Returns the names in this directory, at most `most`, and true if these are all. They are in
    /// the order of the file system, without `.` and `..`.
    ///
    /// # Errors
    ///
    /// `ENOTDIR`, `ENOENT` (it was removed), `EACCES`, `ENOMEM`.
    ///
    /// May sleep.
    pub fn names(&self, most: usize) -> Result<(KVVec<CString>, bool)> {
        context::may_sleep()?;
        let mut names = Names {
            names: KVVec::new(),
            most,
            result: Ok(()),
            is_complete: true,
        };
        // SAFETY: `self` holds references on both, and `Names::add` is called during the call only,
        // with the pointer to `names`.
        to_result(unsafe {
            shim::ktcp_read_dir(
                self.path.as_ptr(),
                self.directory.nobody.as_ptr(),
                Names::add,
                (&raw mut names).cast(),
            )
        })?;
        names.result?;
        Ok((names.names, names.is_complete))
    }
}

/// The names of a directory that is being read.
struct Names {
    names: KVVec<CString>,
    most: usize,
    result: Result,
    is_complete: bool,
}

impl Names {
    /// Adds one name. Returns true if the next one is wanted.
    ///
    /// # Safety
    ///
    /// `this` points to a `Names` that nothing else uses, and `name` to `len` bytes.
    unsafe extern "C" fn add(this: *mut c_void, name: *const c_char, len: c_int) -> bool {
        // SAFETY: By this function's contract.
        let this = unsafe { &mut *this.cast::<Self>() };
        // SAFETY: By this function's contract; file systems pass no negative length.
        let name = unsafe { core::slice::from_raw_parts(name.cast::<u8>(), len.max(0) as usize) };
        if name == b"." || name == b".." {
            return true;
        }
        if this.names.len() == this.most {
            this.is_complete = false;
            return false;
        }
        this.result = this.take(name);
        this.result.is_ok()
    }

    fn take(&mut self, name: &[u8]) -> Result {
        // A name with a NUL in it, from a corrupt file system, cannot be looked up.
        if !name.contains(&0) {
            let mut copy = KVec::with_capacity(name.len() + 1, GFP_KERNEL)?;
            copy.extend_from_slice(name, GFP_KERNEL)?;
            copy.push(0, GFP_KERNEL)?;
            let name = CString::try_from(CStr::from_bytes_with_nul(&copy).map_err(|_| EINVAL)?)?;
            self.names.push(name, GFP_KERNEL)?;
        }
        Ok(())
    }
}

/// A file that is open for reading. Its clones share the open file.
///
/// # Invariants
///
/// `0` points to a `struct file` on which this value owns a reference. The position of the file is
/// not used.
pub struct File(NonNull<bindings::file>);

// SAFETY: Files are counted atomically, and belong to no task.
unsafe impl Send for File {}

// SAFETY: All that `&File` offers is reading at positions that the caller gives, which may be done
// by many tasks at once.
unsafe impl Sync for File {}

impl Clone for File {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant there is a reference already.
        let file = unsafe { shim::ktcp_get_file(self.0.as_ptr()) };
        debug_assert_eq!(file, self.0.as_ptr());
        // INVARIANT: The reference was just taken.
        Self(self.0)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns the reference, which ends here.
        unsafe { bindings::fput(self.0.as_ptr()) }
    }
}

impl File {
    pub(crate) fn as_ptr(&self) -> *mut bindings::file {
        self.0.as_ptr()
    }

    /// Returns true if sockets can take its pages, as they can with most file systems.
    pub(crate) fn can_be_sent(&self) -> bool {
        // SAFETY: `self` holds a reference on the file.
        unsafe { shim::ktcp_can_send_file(self.as_ptr()) }
    }

    /// Reads from byte `position` on into `buffer`. Returns the number of bytes; 0 is the end of
    /// the file.
    ///
    /// # Errors
    ///
    /// `EIO`, `EISDIR`; `EAGAIN` with [`Wait::No`]; `EINVAL` for a position beyond the largest file
    /// offset.
    ///
    /// May sleep.
    pub fn read_at(&self, buffer: &mut [u8], position: u64, wait: Wait) -> Result<usize> {
        wait.check()?;
        let position = i64::try_from(position).map_err(|_| EINVAL)?;
        // SAFETY: `self` holds a reference on the file, and the pointer and the length are those of
        // one slice that we borrow mutably.
        let read = unsafe {
            shim::ktcp_read(
                self.0.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                position,
                wait.only_cached(),
            )
        };
        usize::try_from(read).map_err(|_| Error::from_errno(read as c_int))
    }
}
