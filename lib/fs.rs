// SPDX-License-Identifier: GPL-2.0

//! Files below a directory, for services that give them out.
//!
//! A [`Directory`] is the only way to a file, and leads to nothing outside of it: neither by `..`
//! nor by a symbolic link, nor by a rename at the wrong moment. Everything is looked up and opened
//! with the rights of nobody (the user and group 65534, no capability): what others may not read is
//! not given out, although the kernel could.
//!
//! # Context
//!
//! Everything here may sleep. What is done with [`Wait::No`] does not wait for a disk or a server:
//! it says `EAGAIN` instead.
//!
//! What may sleep fails with `EBUSY` where the caller must not, unless it is told [not to
//! wait](Wait::No).
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

/// Permission to wait for the disk, or for the server, on which a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// As long as it takes.
    Yes,
    /// Not at all: `EAGAIN` if what is wanted is not in memory. Some file systems always say so.
    No,
}

impl Wait {
    fn only_cached(self) -> bool {
        self == Self::No
    }

    /// Fails with `EBUSY` where the caller must not wait and wants to.
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
    /// And nanoseconds, fewer than 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// The time of day, to a few milliseconds. Any context.
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
    /// Something that cannot be opened here: a device, a pipe, a socket.
    Other,
}

/// Metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Its type.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// The time at which its content was last changed.
    pub modified: Timestamp,
    /// The time at which its content or anything else about it was last changed. Some file systems keep
    /// it to a few milliseconds only: what changes just after it was looked at may have the same.
    pub changed: Timestamp,
    /// A number that differs between any two states that were looked at, even within one tick of the
    /// clock, where the file system has one (`i_version`); else 0.
    pub change_cookie: u64,
    /// Its number in its file system.
    pub inode: u64,
    /// A number that tells apart the files that have the same `inode` one after the other, where the file
    /// system has one; else 0.
    pub generation: u32,
    /// The number of the file system.
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
/// `0` is a `struct path` on which this value owns a reference; what it names is there.
struct Path(bindings::path);

// SAFETY: The reference counts of a path are atomic, and it belongs to no task.
unsafe impl Send for Path {}

// SAFETY: A shared `Path` only lends out its pointer, and C serialises what it does with it.
unsafe impl Sync for Path {}

impl Path {
    /// The path that `find` writes when it returns 0, with a reference.
    ///
    /// # Safety
    ///
    /// `find` does so.
    unsafe fn find(find: impl FnOnce(*mut bindings::path) -> c_int) -> Result<Self> {
        let mut path = MaybeUninit::<bindings::path>::uninit();
        to_result(find(path.as_mut_ptr()))?;
        // INVARIANT: `find` succeeded, so it has written a path and taken the reference.
        // SAFETY: As said.
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

/// The rights of nobody.
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

/// A directory, below which files can be found and nothing else.
///
/// It stays the directory that it was when it was opened, whatever is mounted or renamed later, and
/// keeps its file system from being unmounted.
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
    /// Opens the directory that process 1 knows under this name, which begins with a slash. Mounts that
    /// only the calling process sees, its root and its working directory do not matter.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a name without a slash in front; `ENOENT`, `ENOTDIR`, `EACCES`, `ENOMEM` and others of
    /// `openat(2)`. The rights of nobody are asked for only when a file below it is looked up.
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

    /// Finds what has that name, relative to this directory. Symbolic links are followed as long as
    /// they stay below; `.` is the directory itself.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`, `ENOMEM` as for `openat2(2)`; `EXDEV`
    /// for what leads outside; `EAGAIN` with [`Wait::No`], and when each of many tries met a rename.
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

/// Something below a [`Directory`].
pub struct Found<'a> {
    directory: &'a Directory,
    path: Path,
}

impl Found<'_> {
    /// Returns what is known about it. May sleep.
    pub fn metadata(&self, wait: Wait) -> Result<Metadata> {
        wait.check()?;
        let mut raw = RawStat::default();
        // SAFETY: `self` holds a reference on its path, and `raw` is valid for a write.
        to_result(unsafe {
            shim::ktcp_stat(self.path.as_ptr(), wait.only_cached(), &raw mut raw)
        })?;
        Ok(raw.into())
    }

    /// Opens it for reading.
    ///
    /// # Errors
    ///
    /// `EACCES` if nobody may not read it, or if it is neither a regular file nor a directory;
    /// `ENOMEM`, `ENFILE`.
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

    /// The names in this directory, in the order of the file system, without `.` and `..`; says
    /// also whether these are all. No more than `most` are taken.
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
    /// Takes one more name; says whether the next is wanted.
    ///
    /// # Safety
    ///
    /// `this` points to a `Names` that nothing else uses, and `name` to `len` bytes.
    unsafe extern "C" fn add(this: *mut c_void, name: *const c_char, len: c_int) -> bool {
        // SAFETY: By this function's contract.
        let this = unsafe { &mut *this.cast::<Self>() };
        // SAFETY: By this function's contract; file systems do not count below 0.
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
        // One with a NUL in it, of a file system that is broken, cannot be looked up.
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

/// A file that is open for reading. Its clones are the same open file.
///
/// # Invariants
///
/// `0` points to a `struct file` on which this value owns a reference. Its position is not used.
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

    /// Returns true if sockets can take its pages; that of most file systems can.
    pub(crate) fn can_be_sent(&self) -> bool {
        // SAFETY: `self` holds a reference on the file.
        unsafe { shim::ktcp_can_send_file(self.as_ptr()) }
    }

    /// Reads from byte `position` on into `buffer`; returns how many bytes, 0 at the end.
    ///
    /// # Errors
    ///
    /// `EIO`, `EISDIR`; `EAGAIN` with [`Wait::No`]; `EINVAL` for a position beyond what files have.
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
