// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs that hold the library while they are open.
//!
//! The operations of the `kernel` crate's files have no owner, and lie in the module that makes the
//! file: the kernel looks into them when the file is closed, and that module may be gone by then. Those
//! of `shim/debugfs.c` belong to the library, which can be unloaded when the last file is closed. A
//! server does not wait for that: what is read of a file after its server has gone is `EIO`.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use crate::shim;
use core::ptr;
use kernel::{
    bindings,
    fmt::{
        self,
        Display,
        Formatter, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};

/// A folder. Dropping it removes it with all that is in it, and waits for readers.
///
/// Without debugfs, or without memory for it, there is no folder and none of its files: nothing may depend
/// on debugfs, as everywhere in the kernel.
///
/// # Invariants
///
/// `dentry` is an error, or a folder that this value owns.
pub(crate) struct Dir {
    dentry: *mut bindings::dentry,
    _parent: Option<Arc<Dir>>,
}

// SAFETY: Folders of debugfs may be used and removed by any task.
unsafe impl Send for Dir {}

// SAFETY: As above; debugfs has locks of its own.
unsafe impl Sync for Dir {}

impl Dir {
    /// Makes a folder in `parent`, or in the root of debugfs. May sleep.
    pub(crate) fn new(name: &CStr, parent: Option<&Arc<Self>>) -> Self {
        let above = parent.map_or(ptr::null_mut(), |parent| parent.dentry);
        // SAFETY: `name` is copied; null and errors are allowed for the parent, which otherwise is there
        // as long as this value.
        let dentry = unsafe { shim::ktcp_debugfs_dir(name.as_char_ptr(), above) };
        // INVARIANT: The folder is new.
        Self {
            dentry,
            _parent: parent.cloned(),
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the folder is ours, if it is there.
        unsafe { shim::ktcp_debugfs_remove(self.dentry) };
    }
}

/// The content of a file.
pub(crate) trait Show: Send + Sync {
    /// Writes it. Called again for a reader with more room. May sleep.
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result;
}

/// A folder with files. Dropping it removes them, and waits for readers.
pub(crate) struct Files {
    // Dropped first: until it is removed, its files point to their contents.
    _dir: Dir,
    /// Never changed.
    _files: KVec<(&'static CStr, KBox<dyn Show>)>,
}

impl Files {
    /// Makes files in `dir`, readable by root. Those for which there is no memory are missing. May sleep.
    pub(crate) fn new(dir: Dir, files: KVec<(&'static CStr, KBox<dyn Show>)>) -> Self {
        for (name, content) in &files {
            let content = ptr::from_ref(content).cast_mut().cast();
            // SAFETY: `name` is copied; the folder is there, or an error; the content stays where it is
            // until the folder is removed, and is what `ktcp_show_file` takes.
            unsafe { shim::ktcp_debugfs_file(name.as_char_ptr(), dir.dentry, content) };
        }
        Self {
            _dir: dir,
            _files: files,
        }
    }
}

struct Shown<'a>(&'a dyn Show);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

/// Writes what a file of [`Files`] shows.
///
/// # Safety
///
/// Called by `shim/debugfs.c` alone, for a file that is not removed before this returns, with its content.
#[no_mangle]
unsafe extern "C" fn ktcp_show_file(seq: *mut bindings::seq_file, content: *mut c_void) -> c_int {
    // SAFETY: By this function's contract it is a content that `Files::new` has given away.
    let content = unsafe { &*content.cast::<KBox<dyn Show>>() };
    // SAFETY: By this function's contract `seq` is there, and the caller's.
    let seq = unsafe { SeqFile::from_raw(seq) };
    seq_print!(seq, "{}", Shown(&**content));
    0
}
